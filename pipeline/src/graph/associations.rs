//! `OUT/graph/associations.parquet`: undirected edges among products of the corpus.
//!
//! Edges are what a dump states, what follows from the reviews ([`lists`](super::lists)), or what a file of the user's
//! states ([`given`]). They have both ends in the corpus, the smaller id first, no loops and no
//! repetitions. They go through sorted runs on disk. Memory holds [`SORT_MEMORY`] bytes for each of at most four
//! sorters, and [`BYTES_PER_PRODUCT`] bytes per product. The step also counts which ids name no product.
use std::{collections::BTreeMap, fs, path::Path, time::Instant};

use schemas::{
    Counts, Manifest, Previous, Relation, Rules, StoreError,
    manifest::{AssociationSource, CorpusBody, GraphBody, Hash, MANIFEST},
    store,
};

use super::{
    GraphError, edges,
    given::{self, GivenFile},
    lists::PairCounter,
    tables::CorpusTables,
};
use crate::engine::{
    hashes::{Hashes, check_files},
    memory,
    progress::{NEW, Outcome, Progress, older_format},
    runs::RunSorter,
};

/// Memory of one sorter.
pub const SORT_MEMORY: usize = 96 << 20;
/// Memory per product: an id of ten characters and where it is (22), two numbers (8), and two marks.
pub const BYTES_PER_PRODUCT: u64 = 32;

/// Raised whenever the output of this step changes for the same input.
pub const RULES: u32 = 3;

fn rules() -> Rules {
    Rules::of([("graph", RULES)])
}

const NAME: &str = "associations.parquet";

/// Which associations to use.
#[derive(Clone, Copy, Debug)]
pub struct AssociationOptions<'a> {
    /// Of the corpus.
    pub source: AssociationSource,
    /// The user's file, which takes their place.
    pub file: Option<&'a Path>,
    /// The ratio of rows of the file that may be unreadable.
    pub max_unreadable: f64,
}

/// Makes the graph, or finds that it is up to date.
pub fn make(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(Manifest<GraphBody>, Outcome), GraphError> {
    let since = Instant::now();
    let folder = out.join("graph");
    let file = match options.file {
        Some(file) => {
            given::check_readable(file)?;
            Some(hashes.blake3(file)?)
        }
        None => None,
    };
    let why = match Manifest::<GraphBody>::read_previous(&folder)? {
        Previous::None => NEW.to_owned(),
        Previous::OlderFormat(found) => older_format(found),
        Previous::Sealed(old) => match changed(&old.body, corpus, options, file.as_deref()) {
            Some(why) => why,
            None => match check_files(&folder, &old, hashes)? {
                None => return Ok((*old, Outcome::UpToDate)),
                Some(missing) => missing,
            },
        },
    };
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;
    store::sweep(&folder, |name| [NAME, MANIFEST].contains(&name))?;

    let spinner = progress.spinner("graph");
    let path = folder.join(NAME);
    let mut tables = CorpusTables { folder: out.join("corpus"), corpus, hashes };
    let products = tables.products()?;
    let mut edges = RunSorter::new(&path, SORT_MEMORY);
    let source = options.source;
    let of_dump = file.is_none() && source != AssociationSource::Reviews;
    let stated = tables.stated(&products, of_dump.then_some(&mut edges), RunSorter::new(&path, SORT_MEMORY))?;
    let reviewed = tables.reviewed(&products)?;
    let given = match (options.file, &file) {
        (Some(path_of_file), Some(blake3)) => {
            let AssociationOptions { max_unreadable, .. } = options;
            let given = GivenFile { path: path_of_file, blake3, max_unreadable, next_to: &path, memory: SORT_MEMORY };
            Some(given::read(given, &products, &mut edges)?)
        }
        _ => None,
    };
    let has_interactions = corpus.body.options.interactions;
    let of_reviews = file.is_none()
        && match source {
            AssociationSource::Auto => stated.resolved == 0 && has_interactions,
            AssociationSource::Dump => false,
            AssociationSource::Reviews | AssociationSource::Both if !has_interactions => {
                return Err(GraphError::NoInteractions { folder: tables.folder, wanted: source });
            }
            AssociationSource::Reviews | AssociationSource::Both => true,
        };
    let lists = if of_reviews {
        let mut pairs = PairCounter::new(products.len(), &path, SORT_MEMORY);
        let lists = tables.lists(&products, &mut pairs)?;
        pairs.finish(Relation::CoReviewed, &mut edges)?;
        Some(lists)
    } else {
        None
    };
    let mut body = GraphBody {
        rules: rules(),
        corpus: Hash { blake3: corpus.data_blake3() },
        source,
        file: given,
        found: stated.found,
        named_ids: stated.named_ids,
        named_products: stated.named_products,
        lists,
        reviews_without_product: reviewed.without_product,
        reviews_of_unknown_products: reviewed.of_unknown_products,
        edges: Counts::new(),
        weights: BTreeMap::new(),
        products: 0,
    };
    let entry = edges::write(&path, edges.finish()?, &products, &mut body)?;
    let manifest = Manifest::new(body, vec![entry]).seal(&folder)?;
    spinner.finish_and_clear();
    drop(products);
    memory::give_back();
    Ok((manifest, Outcome::made(since, why)))
}

/// The graph, if it is up to date. Its table is not checked.
pub fn current(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    hashes: &mut Hashes,
) -> Result<Option<Manifest<GraphBody>>, GraphError> {
    let Some(old) = Manifest::<GraphBody>::read_previous(&out.join("graph"))?.sealed() else { return Ok(None) };
    let file = options.file.map(|file| hashes.blake3(file)).transpose()?;
    Ok(changed(&old.body, corpus, options, file.as_deref()).is_none().then_some(old))
}

/// What differs between a graph and the one that the settings ask for.
fn changed(
    old: &GraphBody,
    corpus: &Manifest<CorpusBody>,
    options: AssociationOptions<'_>,
    file: Option<&str>,
) -> Option<String> {
    if old.corpus.blake3 != corpus.data_blake3() {
        return Some("the corpus has changed".to_owned());
    }
    if let Some(why) = rules().changed_since(&old.rules) {
        return Some(why);
    }
    if let Some(was) = &old.file
        && was.unreadable as f64 > options.max_unreadable * was.rows as f64
    {
        return Some(format!("it has more unreadable rows than `--max-unreadable {}`", options.max_unreadable));
    }
    match (old.file.as_ref().map(|file| file.blake3.as_str()), file) {
        (None, None) if old.source != options.source => {
            let (was, is) = (old.source.as_str(), options.source.as_str());
            Some(format!("`--association-source` was {was} and is {is}"))
        }
        (was, is) if was != is => Some("the file of associations has changed".to_owned()),
        _ => None,
    }
}
