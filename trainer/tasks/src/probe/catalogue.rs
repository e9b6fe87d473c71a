//! Products of a corpus with their associations, of which some are drawn.
use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
};

use schemas::{CorpusProductRows, GraphEdgeRows, Relation, TextId, open_corpus_products, open_graph_edges};

use super::ProbeError;

/// What decides which products are compared.
#[derive(Clone, Debug)]
pub struct Known {
    /// Its text, by which copies are known.
    pub text_id: TextId,
    /// Its most specific category.
    pub category: Option<u32>,
}

/// All products of a corpus, by id.
#[derive(Debug, Default)]
pub struct Catalogue {
    folder: PathBuf,
    /// Products that have a text.
    pub products: HashMap<String, Known>,
}

/// Rows that are read at once.
const ROWS: usize = 1 << 14;

/// The files of a corpus that hold products.
fn files(folder: &Path) -> Result<Vec<PathBuf>, ProbeError> {
    let at = |source| ProbeError::Io { path: folder.to_owned(), source };
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(at)? {
        let path = entry.map_err(at)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("products-") && name.ends_with(".parquet") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

impl Catalogue {
    /// Reads the corpus of an output folder.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn read(out: &Path) -> Result<Self, ProbeError> {
        let folder = out.join("corpus");
        let (mut products, mut categories) = (HashMap::new(), HashMap::new());
        for file in files(&folder)? {
            for rows in open_corpus_products(&file)?.read::<CorpusProductRows>(ROWS) {
                for product in rows?.iter().filter(|product| !product.text.is_empty()) {
                    let category = product.categories.last().map(|&name| {
                        let next = categories.len() as u32;
                        *categories.entry(name.to_owned()).or_insert(next)
                    });
                    products.insert(product.product_id.to_owned(), Known { text_id: product.text_id, category });
                }
            }
        }
        Ok(Self { folder, products })
    }

    /// The texts of some products.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn texts(&self, of: &HashSet<&str>) -> Result<HashMap<String, String>, ProbeError> {
        let mut texts = HashMap::new();
        for file in files(&self.folder)? {
            for rows in open_corpus_products(&file)?.read::<CorpusProductRows>(ROWS) {
                for product in rows?.iter().filter(|product| of.contains(product.product_id)) {
                    texts.insert(product.product_id.to_owned(), product.text.to_owned());
                }
            }
        }
        Ok(texts)
    }
}

/// An association between products that have a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// Its products.
    pub products: [String; 2],
    /// How the two are associated.
    pub relation: Relation,
}

/// The requested edges of the graph of an output folder.
///
/// # Errors
/// When it cannot be read.
pub fn edges(out: &Path, wanted: impl Fn(&str, &str) -> bool) -> Result<Vec<Edge>, ProbeError> {
    let path = out.join("graph/associations.parquet");
    let mut edges = Vec::new();
    for rows in open_graph_edges(&path)?.read::<GraphEdgeRows>(ROWS) {
        for edge in rows?.iter() {
            let edge = edge.map_err(|source| ProbeError::Relation { path: path.clone(), source })?;
            if wanted(edge.product_a, edge.product_b) {
                let products = [edge.product_a, edge.product_b].map(str::to_owned);
                edges.push(Edge { products, relation: edge.relation });
            }
        }
    }
    Ok(edges)
}
