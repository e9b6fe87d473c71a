//! Committed files: format 2 is read, and format 1 is refused.
use std::path::{Path, PathBuf};

use schemas::{
    CorpusAssociation, CorpusAssociationRows, CorpusInteraction, CorpusInteractionRows, CorpusNameRows, CorpusProduct,
    CorpusProductRows, CorpusReview, CorpusReviewRows, CorpusText, CorpusTextRows, DocumentId, GraphEdge,
    GraphEdgeRows, Manifest, ManifestError, PairRows, PhraseId, PhraseSpan, PoolPhrase, PoolPhraseRows, Relation,
    ReviewerId, Rows, SegmentRows, SegmentTokenRows, StoreError, TextId, TokenRange,
    manifest::ShardsBody,
    open_corpus_associations, open_corpus_interactions, open_corpus_products, open_corpus_reviews, open_graph_edges,
    open_pairs, open_pool_phrases, open_segments,
    store::{TableReader, verify_file},
};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/v2")
}

#[test]
fn the_manifest_and_its_files_are_read() {
    let manifest = Manifest::<ShardsBody>::read(&folder()).unwrap();
    let body = &manifest.body;
    assert_eq!((body.max_tokens, body.seed, body.pool.phrases, body.counts.of_segments.tokens), (254, 0, 2, 26));
    let continues = body.tokenizer.continuations().unwrap();
    assert_eq!(continues.len(), 6_000);
    // No text of this fixture is split into pieces.
    assert!([973usize, 727, 1845].iter().all(|&id| !continues[id]));
    let names: Vec<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    assert_eq!(names, ["pairs-00000.parquet", "products-00000.parquet", "reviews-00000.parquet"]);
    for file in &manifest.files {
        verify_file(&folder(), file).unwrap();
    }
}

#[test]
fn segments_are_read() {
    let table = open_segments(&folder().join("reviews-00000.parquet")).unwrap();
    let batch = table.batches(10, None).next().unwrap().unwrap();
    let mut rows = SegmentRows::new(&batch);
    assert_eq!(rows.len(), 2);
    let segment = rows.get(1).unwrap();
    let text = "Good\nA good kettle of stainless-steel";
    assert_eq!(segment.document, DocumentId::of_review("B01", "A1", "1472688000", text));
    assert_eq!(segment.text_id, TextId::of("good a GOOD kettle, of stainless steel"));
    assert_eq!((segment.product, segment.segment), (Some("B01"), 0));
    assert_eq!(segment.input_ids, [297, 31, 297, 1845, 154, 973, 15, 727]);
    let span = |tokens: std::ops::Range<usize>, phrase, score| PhraseSpan {
        tokens: TokenRange::new(tokens).unwrap(),
        phrase: PhraseId::new(phrase),
        score,
    };
    assert_eq!(segment.phrases, [span(3..4, 0, 0.95), span(5..8, 1, 0.9)]);
    assert!(segment.noun_phrases.is_empty());
}

#[test]
fn pairs_are_read() {
    let table = open_pairs(&folder().join("pairs-00000.parquet")).unwrap();
    let batch = table.batches(10, None).next().unwrap().unwrap();
    let rows = PairRows::new(&batch);
    assert_eq!(rows.len(), 1);
    let pair = rows.get(0).unwrap();
    assert_eq!(pair.relation, Relation::Complement);
    assert_eq!([pair.anchor.product, pair.neighbor.product, pair.negative.product], ["B02", "B01", "B03"]);
    assert_eq!(pair.neighbor.input_ids, [973, 727, 1845, 1880, 78, 544, 16]);
    assert_eq!((pair.anchor.text_id, pair.neighbor.text_id), (TextId::of("Green tea"), TextId::of(KETTLE)));
}

/// Pairs had no weight at first, within format 2.
#[test]
fn pairs_without_weights_are_refused() {
    let error = open_pairs(&folder().join("pairs-without-weight.parquet")).err().unwrap();
    assert!(matches!(error, StoreError::Columns { .. }), "{error}");
}

/// The only batch of a table.
fn only<R: Rows>(table: &TableReader) -> R {
    let mut batches = table.read::<R>(1000);
    let rows = batches.next().unwrap().unwrap();
    assert!(batches.next().is_none());
    rows
}

/// The columns that a projection decodes.
fn decoded<R: Rows>(table: &TableReader) -> Vec<String> {
    let batch = table.row_group(0, 1000, Some(R::COLUMNS)).unwrap().next().unwrap().unwrap();
    batch.schema().fields().iter().map(|field| field.name().clone()).collect()
}

const KETTLE: &str = "Stainless steel kettle\nBoils water.";

#[test]
fn products_are_read() {
    let table = open_corpus_products(&folder().join("corpus/products-00000.parquet")).unwrap();
    let rows: CorpusProductRows = only(&table);
    let kettle = CorpusProduct {
        product_id: "B01",
        title: "Stainless steel kettle",
        text: KETTLE,
        categories: vec!["Home & Kitchen", "Kettles"],
        brand: Some("Acme"),
        attributes: vec!["Color"],
        text_id: TextId::of(KETTLE),
    };
    assert_eq!(rows.len(), 3);
    assert!(rows.iter().any(|row| row == kettle));
    let tea = rows.iter().find(|row| row.product_id == "B02").unwrap();
    assert_eq!(tea, CorpusProduct::of("B02", "Green tea", "Green tea"));

    let rows: CorpusTextRows = only(&table);
    let document = DocumentId::of_product("B01");
    assert!(
        rows.iter()
            .any(|row| row
                == CorpusText { document, text_id: TextId::of(KETTLE), product_id: Some("B01"), text: KETTLE })
    );
    assert!(rows.iter().is_sorted_by_key(|row| row.document));
    assert_eq!(decoded::<CorpusTextRows>(&table), ["product_id", "text", "text_id"]);

    let names: CorpusNameRows = only(&table);
    assert_eq!((names.len(), names.texts().count()), (3, 3));
    let mut categories: Vec<&str> = names.categories().collect();
    categories.sort_unstable();
    assert_eq!(categories, ["Home & Kitchen", "Home & Kitchen", "Kettles"]);
    assert!(names.brands().eq(["Acme"]) && names.attributes().eq(["Color"]));
    assert_eq!(
        decoded::<CorpusNameRows>(&table),
        ["product_id", "text", "categories", "brand", "attributes", "text_id"]
    );
}

#[test]
fn reviews_are_read() {
    let table = open_corpus_reviews(&folder().join("corpus/reviews-00000.parquet")).unwrap();
    let rows: CorpusReviewRows = only(&table);
    let text = "Good\nA good kettle of stainless-steel";
    let text_id = TextId::of(text);
    let review = DocumentId::of_review("B01", "A1", "1472688000", text);
    assert_eq!(rows.len(), 2);
    assert!(
        rows.iter()
            .any(|row| row == CorpusReview { review, text_id, product_id: Some("B01"), text, rating: Some(5.0) })
    );
    assert!(rows.iter().any(|row| row.product_id == Some("B02") && row.rating.is_none()));

    let rows: CorpusTextRows = only(&table);
    assert!(rows.iter().any(|row| row == CorpusText { document: review, text_id, product_id: Some("B01"), text }));
    assert_eq!(decoded::<CorpusTextRows>(&table), ["review_id", "text_id", "product_id", "text"]);

    let names: CorpusNameRows = only(&table);
    assert!(names.texts().any(|found| found == text));
    assert_eq!((names.categories().count(), names.brands().count(), names.attributes().count()), (0, 0, 0));
    assert_eq!(decoded::<CorpusNameRows>(&table), ["review_id", "text_id", "product_id", "text"]);
}

#[test]
fn associations_and_edges_are_read() {
    let table = open_corpus_associations(&folder().join("corpus/associations-00000.parquet")).unwrap();
    let rows: CorpusAssociationRows = only(&table);
    let found: Vec<CorpusAssociation<'_>> = rows.iter().map(Result::unwrap).collect();
    assert_eq!(found.len(), 5);
    assert!(found.contains(&CorpusAssociation { product: "B01", other: "B99", relation: Relation::Substitute }));

    let rows: GraphEdgeRows = only(&open_graph_edges(&folder().join("graph/associations.parquet")).unwrap());
    let edges: Vec<GraphEdge<'_>> = rows.iter().map(Result::unwrap).collect();
    let edge = |product_b, relation| GraphEdge { product_a: "B01", product_b, relation, weight: None };
    assert_eq!(edges, [edge("B02", Relation::Complement), edge("B03", Relation::Substitute)]);
}

#[test]
fn the_pool_is_read() {
    let rows: PoolPhraseRows = only(&open_pool_phrases(&folder().join("pool/phrases.parquet")).unwrap());
    let phrases: Vec<PoolPhrase<'_>> = rows.iter().collect();
    let of = |id, phrase, score, words| PoolPhrase { id: PhraseId::new(id), phrase, score, words, frequency: None };
    assert_eq!(phrases, [of(0, "kettle", 0.95, 1), of(1, "stainless steel", 0.9, 2)]);
}

#[test]
fn the_tokens_of_segments_are_read_without_spans() {
    let table = open_segments(&folder().join("reviews-00000.parquet")).unwrap();
    let rows: SegmentTokenRows = only(&table);
    let row = rows.iter().nth(1).unwrap();
    assert_eq!((row.product, row.segment), (Some("B01"), 0));
    assert_eq!(row.input_ids, [297, 31, 297, 1845, 154, 973, 15, 727]);
    assert_eq!(decoded::<SegmentTokenRows>(&table), ["text_id", "product_id", "segment", "input_ids"]);
}

#[test]
fn interactions_are_read() {
    let table = open_corpus_interactions(&folder().join("corpus/interactions-00000.parquet")).unwrap();
    let rows: CorpusInteractionRows = only(&table);
    let of = |reviewer, product_id, time| CorpusInteraction { reviewer: ReviewerId::of(reviewer), product_id, time };
    let wanted = [of("A1", "B02", None), of("A1", "B01", Some(1_472_688_000)), of("A2", "B03", None)];
    assert!(rows.iter().eq(wanted));
}

#[test]
fn format_1_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/v1");
    let error = Manifest::<ShardsBody>::read(&folder).unwrap_err();
    assert!(matches!(error, ManifestError::Format { found: 1, .. }), "{error}");
    // Without a manifest, its tables have other columns.
    let error = open_segments(&folder.join("reviews-00000.parquet")).err().unwrap();
    assert!(matches!(error, StoreError::Columns { .. }), "{error}");
}
