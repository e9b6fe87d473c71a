//! `OUT/graph/associations.parquet`: undirected edges among products of the corpus.
//!
//! Joins the associations as found with the products of the corpus, puts the smaller id first, and leaves
//! out loops and repetitions. All edges are in memory, and the ids of all products: about [`BYTES_PER_EDGE`] bytes for each
//! association as found, and [`BYTES_PER_PRODUCT`] for each product.
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use arrow::{array::StringArray, record_batch::RecordBatch};
use polars::prelude::*;
use schemas::{
    Counts, Manifest, ManifestError, Rules, StoreError, columns,
    manifest::{CorpusBody, GraphBody, Hash, MANIFEST},
    store::{self, Layout, TableWriter},
};

use crate::{
    REMAKE,
    engine::{
        hashes::{Hashes, check_files},
        progress::{NEW, Outcome},
    },
};

/// Memory for an association as found: three 16-byte views before and after the join, and the sort.
pub const BYTES_PER_EDGE: u64 = 200;
/// Memory for the id of a product of the corpus, as measured.
pub const BYTES_PER_PRODUCT: u64 = 115;

/// The graph step failed.
#[derive(Debug, thiserror::Error)]
pub enum GraphError {
    /// The table library refused.
    #[error("cannot {what} `{}`", path.display())]
    Table {
        /// What was tried: a verb.
        what: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: PolarsError,
    },
    /// A file of ours, or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Raised whenever the output of this step changes for the same input.
pub const RULES: u32 = 1;

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
    let old = match Manifest::<GraphBody>::read(&folder, REMAKE) {
        Err(ManifestError::Absent { .. }) => None,
        other => Some(other?),
    };
    let why = match &old {
        None => NEW.to_owned(),
        Some(old) if old.body.corpus.blake3 != corpus.data_blake3() => "the corpus has changed".to_owned(),
        Some(Manifest { body, .. }) if let Some(why) = rules().changed_since(&body.rules) => why,
        Some(old) => match check_files(&folder, old, hashes)? {
            None => return Ok((old.clone(), Outcome::UpToDate)),
            Some(missing) => missing,
        },
    };
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;
    store::sweep(&folder, |name| [NAME, MANIFEST].contains(&name))?;

    let corpus_folder = out.join("corpus");
    let table = |what| {
        let path = corpus_folder.clone();
        move |source| GraphError::Table { what, path, source }
    };
    let load = |stem: &str, columns: &[&str], hashes: &mut Hashes| -> Result<DataFrame, GraphError> {
        let mut all: Option<DataFrame> = None;
        for entry in corpus.files.iter().filter(|f| f.name.starts_with(stem) && f.rows > 0) {
            hashes.verify(&corpus_folder, entry, REMAKE)?;
            let path = corpus_folder.join(&entry.name);
            let file = File::open(&path).map_err(StoreError::io("open", &path))?;
            let columns = columns.iter().map(|c| (*c).to_owned()).collect();
            let frame = ParquetReader::new(file)
                .with_columns(Some(columns))
                .finish()
                .map_err(|source| GraphError::Table { what: "read", path, source })?;
            match &mut all {
                None => all = Some(frame),
                Some(all) => drop(all.vstack_mut(&frame).map_err(table("join the tables of"))?),
            }
        }
        let empty = || {
            DataFrame::empty_with_schema(&columns.iter().map(|c| Field::new((*c).into(), DataType::String)).collect())
        };
        Ok(all.unwrap_or_else(empty))
    };
    let products = load("products-", &["product_id"], hashes)?;
    let found = load("associations-", &["product", "other", "relation"], hashes)?;
    let edges = edges(&found, &products).map_err(table("join the associations of"))?;
    let (body, file) = write(&folder, &edges, found.height() as u64, corpus)?;
    let manifest = Manifest::new(body, vec![file]).seal(&folder)?;
    Ok((manifest, Outcome::made(since, why)))
}

/// Undirected edges with both ends in `products`, sorted.
fn edges(found: &DataFrame, products: &DataFrame) -> PolarsResult<DataFrame> {
    let semi = || JoinArgs::new(JoinType::Semi);
    let kept = found.join(products, ["product"], ["product_id"], semi(), None)?.join(
        products,
        ["other"],
        ["product_id"],
        semi(),
        None,
    )?;
    let (products, others) = (kept.column("product")?.str()?, kept.column("other")?.str()?);
    let ends = || products.iter().zip(others.iter());
    let smaller: StringChunked = ends().map(|(a, b)| a.min(b)).collect();
    let larger: StringChunked = ends().map(|(a, b)| a.max(b)).collect();
    let no_loop: BooleanChunked = ends().map(|(a, b)| Some(a != b)).collect();
    let edges = DataFrame::new(
        kept.height(),
        vec![
            smaller.with_name("product_a".into()).into_column(),
            larger.with_name("product_b".into()).into_column(),
            kept.column("relation")?.clone(),
        ],
    )?;
    edges
        .filter(&no_loop)?
        .unique_stable(None, UniqueKeepStrategy::Any, None)?
        .sort(["product_a", "product_b", "relation"], SortMultipleOptions::default().with_maintain_order(false))
}

fn write(
    folder: &Path,
    edges: &DataFrame,
    found: u64,
    corpus: &Manifest<CorpusBody>,
) -> Result<(GraphBody, schemas::FileEntry), GraphError> {
    let layout = Layout { byte_streams: &[], plain: &[], row_group_bytes: 64 << 20 };
    let mut table = TableWriter::create(&folder.join(NAME), columns::graph_associations(), &layout)?;
    let refused = |source| GraphError::Table { what: "write the edges of", path: folder.to_owned(), source };
    let column = |name: &str| edges.column(name).and_then(|c| c.str()).map_err(refused);
    let (a, b, relation) = (column("product_a")?, column("product_b")?, column("relation")?);
    let mut rows = a.iter().zip(b.iter()).zip(relation.iter()).map(|((a, b), r)| (a, b, r));
    let (mut by_relation, mut nodes) = (Counts::new(), std::collections::HashSet::<Option<&str>>::new());
    loop {
        let piece: Vec<_> = rows.by_ref().take(1 << 15).collect();
        if piece.is_empty() {
            break;
        }
        for (a, b, relation) in &piece {
            *by_relation.entry(relation.unwrap_or_default().to_owned()).or_default() += 1;
            nodes.extend([a, b]);
        }
        let batch = RecordBatch::try_new(
            columns::graph_associations(),
            vec![
                Arc::new(StringArray::from_iter_values(piece.iter().map(|r| r.0.unwrap_or_default()))),
                Arc::new(StringArray::from_iter_values(piece.iter().map(|r| r.1.unwrap_or_default()))),
                Arc::new(StringArray::from_iter_values(piece.iter().map(|r| r.2.unwrap_or_default()))),
            ],
        );
        table.write_result(batch)?;
    }
    let body = GraphBody {
        rules: rules(),
        corpus: Hash { blake3: corpus.data_blake3() },
        found,
        edges: by_relation,
        products: nodes.len() as u64,
    };
    table.note_made(&body)?;
    Ok((body, table.commit()?))
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
        let edges = edges(&found, &products).unwrap();
        let wanted = df!(
            "product_a" => ["a", "a", "a"], "product_b" => ["b", "b", "c"],
            "relation" => ["complement", "substitute", "complement"],
        )
        .unwrap();
        assert!(edges.equals(&wanted), "{edges:?}");
    }
}
