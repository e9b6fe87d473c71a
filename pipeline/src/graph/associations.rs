//! `OUT/graph/associations.parquet`: undirected edges among products of the corpus.
//!
//! Keeps the associations with both ends in the corpus, puts the smaller id first, and leaves out
//! loops and repetitions. The tables of the corpus are read one at a time, but all edges
//! and the ids of all products are in memory: about [`BYTES_PER_EDGE`] bytes per association found,
//! and [`BYTES_PER_PRODUCT`] per product. It also counts which ids name no product.
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use arrow_schema::SchemaRef;
use polars::prelude::*;
use schemas::{
    Counts, GraphEdge, Manifest, ManifestError, Previous, Rules, StoreError, UnknownRelation, columns,
    create_graph_edges,
    manifest::{CorpusBody, GraphBody, Hash, MANIFEST},
    store,
};

use crate::{
    engine::{
        frames::{self, COUNT, FrameError, count_by},
        hashes::{Hashes, check_files},
        progress::{NEW, Outcome, older_format},
    },
    hint::Hint,
};

/// Memory per association found: three 16-byte views before and after the join, and the sort.
pub const BYTES_PER_EDGE: u64 = 200;
/// Memory per product id, as measured.
pub const BYTES_PER_PRODUCT: u64 = 115;

/// The graph cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot query the tables in `{}`", folder.display())]
    Query {
        folder: PathBuf,
        #[source]
        source: PolarsError,
    },
    /// A relation that the corpus does not have.
    #[error("an association of the corpus `{}` cannot be read", folder.display())]
    Relation {
        folder: PathBuf,
        #[source]
        source: UnknownRelation,
    },
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
}

/// Raised whenever the output of this step changes for the same input.
pub const RULES: u32 = 2;

fn rules() -> Rules {
    Rules::of([("graph", RULES)])
}

const NAME: &str = "associations.parquet";

/// Makes the graph, or finds that it is up to date.
pub fn make(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    hashes: &mut Hashes,
) -> Result<(Manifest<GraphBody>, Outcome), GraphError> {
    let since = Instant::now();
    let folder = out.join("graph");
    let why = match Manifest::<GraphBody>::read_previous(&folder)? {
        Previous::None => NEW.to_owned(),
        Previous::OlderFormat(found) => older_format(found),
        Previous::Sealed(old) if old.body.corpus.blake3 != corpus.data_blake3() => "the corpus has changed".to_owned(),
        Previous::Sealed(old) if let Some(why) = rules().changed_since(&old.body.rules) => why,
        Previous::Sealed(old) => match check_files(&folder, &old, hashes)? {
            None => return Ok((*old, Outcome::UpToDate)),
            Some(missing) => missing,
        },
    };
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;
    store::sweep(&folder, |name| [NAME, MANIFEST].contains(&name))?;

    let mut tables = CorpusFolder { folder: out.join("corpus"), corpus, hashes };
    let query = |source| GraphError::Query { folder: out.join("corpus"), source };
    let mut products = DataFrame::empty_with_schema(&strings(["product_id"]));
    tables.for_each("products-", &columns::corpus_products(), &["product_id"], |table| {
        products.vstack_mut_owned(table).map(drop)
    })?;
    let mut edges = DataFrame::empty_with_schema(&strings(EDGE));
    let mut named = DataFrame::empty_with_schema(&strings(["other"]));
    let mut found = 0;
    let ends = ["product", "other", "relation"];
    tables.for_each("associations-", &columns::corpus_associations(), &ends, |table| {
        found += table.height() as u64;
        named.vstack_mut_owned(table.select(["other"])?.unique_stable(None, UniqueKeepStrategy::Any, None)?)?;
        edges.vstack_mut_owned(edges_among(&table, &products)?).map(drop)
    })?;
    let mut reviews = ReviewedProducts::default();
    tables.for_each("reviews-", &columns::corpus_reviews(), &["product_id"], |table| {
        reviews.without_product += table.column("product_id")?.null_count() as u64;
        reviews.of_products += table.join(&products, ["product_id"], ["product_id"], semi(), None)?.height() as u64;
        reviews.all += table.height() as u64;
        Ok(())
    })?;
    let edges = sorted_and_unique(&edges).map_err(query)?;
    let named = NamedIds::of(&named, &products).map_err(query)?;
    let body = GraphBody {
        rules: rules(),
        corpus: Hash { blake3: corpus.data_blake3() },
        found,
        named_ids: named.all,
        named_products: named.products,
        reviews_without_product: reviews.without_product,
        reviews_of_unknown_products: reviews.all - reviews.without_product - reviews.of_products,
        edges: edges_by_relation(&edges).map_err(query)?,
        products: linked_products(&edges).map_err(query)?,
    };
    let file = write(&folder, &edges, &body)?;
    let manifest = Manifest::new(body, vec![file]).seal(&folder)?;
    Ok((manifest, Outcome::made(since, why)))
}

/// The products that reviews are of.
#[derive(Default)]
struct ReviewedProducts {
    /// Reviews.
    all: u64,
    /// Reviews of products of the corpus.
    of_products: u64,
    /// Reviews without a product id.
    without_product: u64,
}

/// The distinct ids that associations name.
struct NamedIds {
    all: u64,
    /// Those of products of the corpus.
    products: u64,
}

impl NamedIds {
    fn of(named: &DataFrame, products: &DataFrame) -> PolarsResult<Self> {
        let distinct = named.unique_stable(None, UniqueKeepStrategy::Any, None)?;
        let known = distinct.join(products, ["other"], ["product_id"], semi(), None)?;
        Ok(Self { all: distinct.height() as u64, products: known.height() as u64 })
    }
}

/// The columns of the graph.
const EDGE: [&str; 3] = ["product_a", "product_b", "relation"];

fn semi() -> JoinArgs {
    JoinArgs::new(JoinType::Semi)
}

fn strings<const N: usize>(columns: [&str; N]) -> Schema {
    columns.into_iter().map(|column| Field::new(column.into(), DataType::String)).collect()
}

/// The tables of a corpus.
struct CorpusFolder<'a> {
    folder: PathBuf,
    corpus: &'a Manifest<CorpusBody>,
    hashes: &'a mut Hashes,
}

impl CorpusFolder<'_> {
    /// Calls `each` with some columns of every table whose name begins with `stem`.
    fn for_each(
        &mut self,
        stem: &str,
        schema: &SchemaRef,
        columns: &[&str],
        mut each: impl FnMut(DataFrame) -> PolarsResult<()>,
    ) -> Result<(), GraphError> {
        for entry in self.corpus.files.iter().filter(|entry| entry.name.starts_with(stem)) {
            self.hashes.verify(&self.folder, entry)?;
            let table = frames::read(&self.folder.join(&entry.name), schema, columns)?;
            each(table).map_err(|source| GraphError::Query { folder: self.folder.clone(), source })?;
        }
        Ok(())
    }
}

/// The associations with both ends in `products`, apart from loops, as rows of [`EDGE`].
fn edges_among(found: &DataFrame, products: &DataFrame) -> PolarsResult<DataFrame> {
    let kept = found.join(products, ["product"], ["product_id"], semi(), None)?;
    let kept = kept.join(products, ["other"], ["product_id"], semi(), None)?;
    let (product, other) = (kept.column("product")?, kept.column("other")?);
    let in_order = product.lt(other)?;
    let columns = vec![
        product.zip_with(&in_order, other)?.with_name("product_a".into()),
        other.zip_with(&in_order, product)?.with_name("product_b".into()),
        kept.column("relation")?.clone(),
    ];
    DataFrame::new(kept.height(), columns)?.filter(&product.not_equal(other)?)
}

fn sorted_and_unique(edges: &DataFrame) -> PolarsResult<DataFrame> {
    let order = SortMultipleOptions::default().with_maintain_order(false);
    edges.unique_stable(None, UniqueKeepStrategy::Any, None)?.sort(EDGE, order)
}

/// The number of edges of each relation.
fn edges_by_relation(edges: &DataFrame) -> PolarsResult<Counts> {
    let counted = count_by(edges, &["relation"])?;
    let (relations, counts) = (counted.column("relation")?.str()?, counted.column(COUNT)?.u64()?);
    let pairs = relations.iter().flatten().zip(counts.iter().flatten());
    Ok(pairs.map(|(relation, count)| (relation.to_owned(), count)).collect())
}

/// The number of products with an edge.
fn linked_products(edges: &DataFrame) -> PolarsResult<u64> {
    let mut ends = edges.column("product_a")?.unique()?;
    ends.append(&edges.column("product_b")?.unique()?)?;
    Ok(ends.n_unique()? as u64)
}

fn write(folder: &Path, edges: &DataFrame, body: &GraphBody) -> Result<schemas::FileEntry, GraphError> {
    let mut table = create_graph_edges(&folder.join(NAME))?;
    let refused = |source| GraphError::Query { folder: folder.to_owned(), source };
    let column = |name: &str| edges.column(name).and_then(|c| c.str()).map_err(refused);
    let (a, b, relations) = (column("product_a")?, column("product_b")?, column("relation")?);
    for ((a, b), relation) in a.iter().zip(b.iter()).zip(relations.iter()) {
        let relation = relation.unwrap_or_default().parse();
        let relation = relation.map_err(|source| GraphError::Relation { folder: folder.to_owned(), source })?;
        let (product_a, product_b) = (a.unwrap_or_default(), b.unwrap_or_default());
        table.push(&GraphEdge { product_a, product_b, relation, weight: None })?;
    }
    let mut table = table.finish()?;
    table.note_made(body)?;
    Ok(table.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_undirected_unique_and_inside_the_corpus() {
        let found = df!(
            "product" => ["b", "a", "a", "a", "x", "a", "c"],
            "other" => ["a", "b", "b", "a", "a", "y", "a"],
            "relation" => ["substitute", "substitute", "complement", "substitute", "substitute", "complement", "complement"],
        )
        .unwrap();
        let products = df!("product_id" => ["a", "b", "c"]).unwrap();
        let edges = sorted_and_unique(&edges_among(&found, &products).unwrap()).unwrap();
        let wanted = df!(
            "product_a" => ["a", "a", "a"], "product_b" => ["b", "b", "c"],
            "relation" => ["complement", "substitute", "complement"],
        )
        .unwrap();
        assert!(edges.equals(&wanted), "{edges:?}");
        let relations = [("complement".to_owned(), 2), ("substitute".to_owned(), 1)];
        assert_eq!(edges_by_relation(&edges).unwrap(), Counts::from(relations));
        assert_eq!(linked_products(&edges).unwrap(), 3);
        let named = NamedIds::of(&found.select(["other"]).unwrap(), &products).unwrap();
        assert_eq!((named.all, named.products), (3, 2));
    }

    #[test]
    fn a_corpus_without_associations_has_no_edges() {
        let products = df!("product_id" => ["a"]).unwrap();
        let found = DataFrame::empty_with_schema(&strings(["product", "other", "relation"]));
        let edges = sorted_and_unique(&edges_among(&found, &products).unwrap()).unwrap();
        assert_eq!(edges.schema().as_ref(), &strings(EDGE));
        assert_eq!(edges_by_relation(&edges).unwrap(), Counts::new());
        assert_eq!(linked_products(&edges).unwrap(), 0);
    }
}
