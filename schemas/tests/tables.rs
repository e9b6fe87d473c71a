//! What the builders write, the readers read.
use proptest::prelude::*;
use schemas::{
    CorpusAssociation, CorpusAssociationRows, CorpusInteraction, CorpusInteractionRows, CorpusProduct,
    CorpusProductRows, CorpusReview, CorpusReviewRows, DocumentId, GraphEdge, GraphEdgeRows, PhraseId, PoolPhrase,
    PoolPhraseRows, Relation, ReviewerId, TextId, create_corpus_associations, create_corpus_interactions,
    create_corpus_products, create_corpus_reviews, create_graph_edges, create_pool_phrases, open_corpus_associations,
    open_corpus_interactions, open_corpus_products, open_corpus_reviews, open_graph_edges, open_pool_phrases,
};

/// A text, or none, and a number.
type Value = (Option<String>, u32);

fn values() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec((prop::option::of(".{0,12}"), any::<u32>()), 0..40)
}

fn weight(text: &str) -> Option<f32> {
    (text.len() % 2 == 1).then_some(text.len() as f32)
}

fn relation(number: u32) -> Relation {
    if number.is_multiple_of(2) { Relation::Complement } else { Relation::Substitute }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn products(values in values(), piece in 1usize..50) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let lists: Vec<&str> = values.iter().filter_map(|(text, _)| text.as_deref()).collect();
        let rows: Vec<CorpusProduct<'_>> = values
            .iter()
            .map(|(text, number)| CorpusProduct {
                product_id: text.as_deref().unwrap_or("id"),
                title: text.as_deref().unwrap_or_default(),
                text: text.as_deref().unwrap_or("text"),
                categories: lists.iter().take(*number as usize % 4).copied().collect(),
                brand: text.as_deref(),
                attributes: lists.iter().rev().take(*number as usize / 4 % 3).copied().collect(),
                text_id: TextId::new(u64::from(*number)),
            })
            .collect();
        let mut table = create_corpus_products(&path).unwrap();
        rows.iter().for_each(|row| table.push(row).unwrap());
        prop_assert_eq!(table.finish().unwrap().commit().unwrap().rows, rows.len() as u64);
        let batches: Vec<CorpusProductRows> =
            open_corpus_products(&path).unwrap().read(piece).map(Result::unwrap).collect();
        prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= piece));
        prop_assert!(batches.iter().flat_map(CorpusProductRows::iter).eq(rows));
    }

    #[test]
    fn reviews(values in values()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let rows: Vec<CorpusReview<'_>> = values
            .iter()
            .map(|(text, number)| CorpusReview {
                review: DocumentId::new(u64::from(*number) << 32),
                text_id: TextId::new(u64::from(*number)),
                product_id: text.as_deref(),
                text: text.as_deref().unwrap_or("text"),
                rating: (number % 3 > 0).then_some(*number as f32),
            })
            .collect();
        let mut table = create_corpus_reviews(&path).unwrap();
        rows.iter().for_each(|row| table.push(row).unwrap());
        table.finish().unwrap().commit().unwrap();
        let batches: Vec<CorpusReviewRows> =
            open_corpus_reviews(&path).unwrap().read(7).map(Result::unwrap).collect();
        prop_assert!(batches.iter().flat_map(CorpusReviewRows::iter).eq(rows));
    }

    #[test]
    fn associations_and_edges(values in values()) {
        let folder = tempfile::tempdir().unwrap();
        let (found, edges) = (folder.path().join("found.parquet"), folder.path().join("edges.parquet"));
        let mut found_table = create_corpus_associations(&found).unwrap();
        let mut edge_table = create_graph_edges(&edges).unwrap();
        let rows: Vec<(&str, Relation)> =
            values.iter().map(|(text, number)| (text.as_deref().unwrap_or("B"), relation(*number))).collect();
        for &(text, relation) in &rows {
            found_table.push(&CorpusAssociation { product: text, other: "other", relation }).unwrap();
            edge_table.push(&GraphEdge { product_a: "a", product_b: text, relation, weight: weight(text) }).unwrap();
        }
        found_table.finish().unwrap().commit().unwrap();
        edge_table.finish().unwrap().commit().unwrap();
        let batches: Vec<CorpusAssociationRows> =
            open_corpus_associations(&found).unwrap().read(7).map(Result::unwrap).collect();
        let read = batches.iter().flat_map(CorpusAssociationRows::iter).map(Result::unwrap);
        prop_assert!(read.map(|row| (row.product, row.relation)).eq(rows.iter().copied()));
        let batches: Vec<GraphEdgeRows> = open_graph_edges(&edges).unwrap().read(7).map(Result::unwrap).collect();
        let read = batches.iter().flat_map(GraphEdgeRows::iter).map(Result::unwrap);
        let edges = rows.iter().map(|&(text, relation)| (text, relation, weight(text)));
        prop_assert!(read.map(|row| (row.product_b, row.relation, row.weight)).eq(edges));
    }

    #[test]
    fn interactions(values in values(), piece in 1usize..50) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let rows: Vec<CorpusInteraction<'_>> = values
            .iter()
            .map(|(text, number)| CorpusInteraction {
                reviewer: ReviewerId::new(u64::from(*number)),
                product_id: text.as_deref().unwrap_or("B"),
                time: text.as_ref().map(|_| i64::from(*number) - (1 << 31)),
            })
            .collect();
        let mut table = create_corpus_interactions(&path).unwrap();
        rows.iter().for_each(|row| table.push(row).unwrap());
        table.finish().unwrap().commit().unwrap();
        let batches: Vec<CorpusInteractionRows> =
            open_corpus_interactions(&path).unwrap().read(piece).map(Result::unwrap).collect();
        prop_assert!(batches.iter().all(|batch| !batch.is_empty() && batch.len() <= piece));
        prop_assert!(batches.iter().flat_map(CorpusInteractionRows::iter).eq(rows));
    }

    #[test]
    fn phrases(values in values()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("table.parquet");
        let rows: Vec<PoolPhrase<'_>> = values
            .iter()
            .enumerate()
            .map(|(id, (text, number))| PoolPhrase {
                id: PhraseId::new(id as u32),
                phrase: text.as_deref().unwrap_or("phrase"),
                score: *number as f32 / u32::MAX as f32,
                words: *number as u8,
                frequency: text.as_ref().map(|_| u64::from(*number)),
            })
            .collect();
        let mut table = create_pool_phrases(&path).unwrap();
        rows.iter().for_each(|row| table.push(row).unwrap());
        table.finish().unwrap().commit().unwrap();
        let batches: Vec<PoolPhraseRows> = open_pool_phrases(&path).unwrap().read(7).map(Result::unwrap).collect();
        prop_assert!(batches.iter().flat_map(PoolPhraseRows::iter).eq(rows));
    }
}

#[test]
fn a_table_of_other_columns_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edges.parquet");
    create_graph_edges(&path).unwrap().finish().unwrap().commit().unwrap();
    let error = open_corpus_reviews(&path).map(drop).unwrap_err().to_string();
    assert!(error.contains("found    product_a Utf8, ") && error.contains("expected review_id UInt64, "), "{error}");
}
