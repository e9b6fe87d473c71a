//! The graph in tasks, so that many processes can make it in one folder.
//!
//! 1. [`GraphTasks::edges`]: each task reads the tables of some buckets, and leaves a file per bucket with their edges,
//!    sorted by [`Partitions`]: ranges of products. A file of the user's is one more part. Associations that follow
//!    from reviews are in files of their own, as pairs of reviewers' lists.
//! 2. [`GraphTasks::graph`]: each task sorts the records of some partitions of all those files.
//! 3. [`GraphTasks::seal`]: one process weighs the pairs of lists, and writes the table and the manifest. It reads the
//!    partitions one after another.
//!
//! What a file holds depends on the corpus and the options alone, and not on the number of tasks. So finished files are
//! kept, and a task may run twice at the same time. Memory: [`SORT_MEMORY`] bytes for each sorter, and some of the ids
//! of products. Step 3 also holds two numbers per product if associations are derived.
use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    iter,
    path::{Path, PathBuf},
    time::Instant,
};

use schemas::{
    Counts, FORMAT, Manifest, Relation, StoreError, Task,
    manifest::{AssociationFile, AssociationSource, CorpusBody, GraphBody, Hash, ListCounts, MANIFEST},
    store,
};

use super::{
    GraphError,
    edges::{self, Edge},
    given::{self, GivenFile},
    lists::{LEAST_USERS, PairsOfLists, ProductLists},
    options::{AssociationOptions, NAME, SORT_MEMORY, rules},
    parts::{
        EdgeNotes, EdgePart, EdgeWriter, Partition, PartitionNotes, PartitionWriter, ReviewedProducts,
        StatedAssociations,
    },
    products::{Partitions, ProductRank, ProductTable},
    tables::CorpusTables,
};
use crate::engine::{
    hashes::Hashes,
    progress::{Done, Progress},
    runs::RunSorter,
    sections::PartFolder,
};

/// The most partitions.
const MOST_PARTITIONS: u64 = 64;

/// A part of the graph step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Tables of the corpus to edges by partition.
    Edges,
    /// Partitions, sorted.
    Partitions,
}

/// A file that [`GraphTasks::edges`] makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    /// The associations that the dump states of the products of a bucket.
    Stated(u64),
    /// The lists of the reviewers of a bucket.
    Lists(u64),
    /// The user's file.
    File,
}

/// Whether associations follow from reviews.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OfReviews {
    Never,
    Always,
    /// If the dump states none among products of the corpus.
    UnlessStated,
}

/// The graph of a corpus, and its parts.
pub struct GraphTasks<'a> {
    tables: CorpusTables<'a>,
    folder: PathBuf,
    files: PartFolder,
    options: AssociationOptions<'a>,
    /// Hash of the user's file.
    file: Option<String>,
    partitions: Partitions,
    of_reviews: OfReviews,
    made_from: String,
    products: OnceCell<ProductTable>,
}

/// What all parts of the first step counted.
#[derive(Default)]
struct Tally {
    stated: StatedAssociations,
    reviewed: ReviewedProducts,
    lists: ListCounts,
    file: Option<AssociationFile>,
}

impl<'a> GraphTasks<'a> {
    /// The parts of the graph of a corpus. `file` is the hash of the user's file, if there is one.
    ///
    /// # Errors
    /// If associations are to follow from reviews, and the corpus has no interactions.
    pub fn new(
        out: &Path,
        corpus: &'a Manifest<CorpusBody>,
        options: AssociationOptions<'a>,
        file: Option<String>,
    ) -> Result<Self, GraphError> {
        let (tables, folder) = (CorpusTables { folder: out.join("corpus"), corpus }, out.join("graph"));
        let has_interactions = corpus.body.options.interactions;
        let of_reviews = match options.source {
            _ if file.is_some() => OfReviews::Never,
            AssociationSource::Dump => OfReviews::Never,
            AssociationSource::Auto if !has_interactions => OfReviews::Never,
            AssociationSource::Auto if tables.rows("associations-") == 0 => OfReviews::Always,
            AssociationSource::Auto => OfReviews::UnlessStated,
            wanted if !has_interactions => return Err(GraphError::NoInteractions { folder: tables.folder, wanted }),
            AssociationSource::Reviews | AssociationSource::Both => OfReviews::Always,
        };
        let count = tables.buckets().clamp(1, MOST_PARTITIONS) as u32;
        let partitions = Partitions { count, products: tables.rows("products-") };
        let of = format!(
            "graph {FORMAT} {}\n{}\n{} {} {}\n",
            rules().key(),
            corpus.data_blake3(),
            options.source.as_str(),
            file.as_deref().unwrap_or("no file"),
            options.max_unreadable,
        );
        let made_from = blake3::hash(of.as_bytes()).to_hex().to_string();
        let (files, products) = (PartFolder::within(&folder), OnceCell::new());
        Ok(Self { tables, folder, files, options, file, partitions, of_reviews, made_from, products })
    }

    /// How many parts a phase has. Part p belongs to task p mod n of n.
    pub fn parts(&self, phase: Phase) -> u64 {
        match phase {
            Phase::Edges => self.tables.buckets() + u64::from(self.file.is_some()),
            Phase::Partitions => u64::from(self.partitions.count),
        }
    }

    /// The tables of the corpus that some parts of the first step read.
    pub fn tables(&self, own: &[u64]) -> Vec<PathBuf> {
        self.tables.of_buckets(own)
    }

    /// The files that a part writes.
    pub fn outputs(&self, phase: Phase, part: u64) -> Vec<PathBuf> {
        match phase {
            Phase::Edges => self.sources(part).into_iter().map(|source| self.path_of(source)).collect(),
            Phase::Partitions => vec![self.path_of_partition(part)],
        }
    }

    /// What the first step makes of a part.
    fn sources(&self, part: u64) -> Vec<Source> {
        if part >= self.tables.buckets() {
            return vec![Source::File];
        }
        let of_reviews = (self.of_reviews == OfReviews::Always).then_some(Source::Lists(part));
        iter::once(Source::Stated(part)).chain(of_reviews).collect()
    }

    fn all_sources(&self) -> impl Iterator<Item = Source> {
        (0..self.parts(Phase::Edges)).flat_map(|part| self.sources(part))
    }

    fn path_of(&self, source: Source) -> PathBuf {
        match source {
            Source::Stated(bucket) => self.files.file("stated", bucket),
            Source::Lists(bucket) => self.files.file("lists", bucket),
            Source::File => self.files.file("given", 0),
        }
    }

    fn path_of_partition(&self, partition: u64) -> PathBuf {
        self.files.file("sorted", partition)
    }

    fn open(&self, source: Source) -> Result<Option<EdgePart>, StoreError> {
        EdgePart::open(&self.path_of(source), self.partitions, &self.made_from)
    }

    fn open_partition(&self, partition: u64) -> Result<Option<Partition>, StoreError> {
        Partition::open(&self.path_of_partition(partition), &self.made_from)
    }

    /// The parts of a phase that are missing.
    ///
    /// # Errors
    /// If a stored file cannot be read.
    pub fn missing(&self, phase: Phase) -> Result<BTreeSet<u64>, GraphError> {
        let mut missing = BTreeSet::new();
        for part in 0..self.parts(phase) {
            let is_there = match phase {
                Phase::Edges => {
                    let mut sources = self.sources(part).into_iter();
                    sources.try_fold(true, |all, source| Ok::<_, StoreError>(all && self.open(source)?.is_some()))?
                }
                Phase::Partitions => self.open_partition(part)?.is_some(),
            };
            if !is_there {
                missing.insert(part);
            }
        }
        Ok(missing)
    }

    /// The ids of all products, read once.
    fn products(&self) -> Result<&ProductTable, GraphError> {
        if let Some(products) = self.products.get() {
            return Ok(products);
        }
        let products = self.tables.products(&self.files.file("products", 0))?;
        Ok(self.products.get_or_init(|| products))
    }

    /// Prepares the folder for parts. A graph of other options goes.
    fn prepare(&self) -> Result<(), GraphError> {
        self.files.create()?;
        Ok(store::remove(&self.folder.join(MANIFEST))?)
    }

    /// Makes the parts of a task that are missing.
    ///
    /// # Errors
    /// If a table, or the user's file, cannot be read.
    pub fn edges(&self, task: Task, hashes: &mut Hashes, progress: &Progress) -> Result<Done, GraphError> {
        let since = Instant::now();
        self.prepare()?;
        let own: Vec<u64> = (0..self.parts(Phase::Edges)).filter(|&part| task.has(part)).collect();
        let bar = progress.count("edges", own.len() as u64);
        let mut made = 0;
        for &part in &own {
            let mut is_new = false;
            for source in self.sources(part) {
                is_new |= self.make(source, hashes)?;
            }
            made += u64::from(is_new);
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Done::new(since, own.len() as u64, made))
    }

    /// Makes a file, unless it exists. Returns whether it did.
    fn make(&self, source: Source, hashes: &mut Hashes) -> Result<bool, GraphError> {
        if self.open(source)?.is_some() {
            return Ok(false);
        }
        let (path, products) = (self.path_of(source), self.products()?);
        let mut edges = EdgeWriter::new(path.clone(), self.partitions);
        let mut notes = EdgeNotes { made_from: self.made_from.clone(), ..EdgeNotes::default() };
        match source {
            Source::Stated(bucket) => {
                self.tables.check_products(bucket, hashes)?;
                let keep = self.file.is_none() && self.options.source != AssociationSource::Reviews;
                notes.stated = self.tables.stated(bucket, products, keep, &mut edges, hashes)?;
                notes.reviewed = self.tables.reviewed(bucket, products, hashes)?;
            }
            Source::Lists(bucket) => notes.lists = self.tables.lists(bucket, products, &mut edges, hashes)?,
            Source::File => {
                let (Some(file), Some(blake3)) = (self.options.file, &self.file) else { return Ok(false) };
                let max_unreadable = self.options.max_unreadable;
                let given = GivenFile { path: file, blake3, max_unreadable, next_to: &path, memory: SORT_MEMORY };
                notes.file = Some(given::read(given, products, &mut edges)?);
            }
        }
        edges.commit(&notes, || self.open(source).is_ok_and(|part| part.is_some()))?;
        Ok(true)
    }

    /// What the first step counted. `None` if parts are missing.
    fn tally(&self) -> Result<Option<Tally>, StoreError> {
        let mut tally = Tally::default();
        for source in self.all_sources() {
            let Some(part) = self.open(source)? else { return Ok(None) };
            tally.add(part.notes());
        }
        Ok(Some(tally))
    }

    /// Whether associations follow from reviews.
    fn follow_from_reviews(&self, tally: &Tally) -> bool {
        match self.of_reviews {
            OfReviews::Never => false,
            OfReviews::Always => true,
            OfReviews::UnlessStated => tally.stated.resolved == 0,
        }
    }

    /// All files of the first step. Those of reviews are not known to be needed before the others are there.
    fn needed(&self, tally: &Tally) -> Vec<Source> {
        let later = self.of_reviews == OfReviews::UnlessStated && self.follow_from_reviews(tally);
        let lists = (0..if later { self.tables.buckets() } else { 0 }).map(Source::Lists);
        self.all_sources().chain(lists).collect()
    }

    /// Sorts the partitions of a task that are missing. `None` if a part of the first step is missing.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn graph(&self, task: Task, hashes: &mut Hashes, progress: &Progress) -> Result<Option<Done>, GraphError> {
        let since = Instant::now();
        let Some(tally) = self.tally()? else { return Ok(None) };
        self.prepare()?;
        let needed = self.needed(&tally);
        // Nearly always they exist. If not, tasks begin at different ones.
        let (own, others): (Vec<_>, Vec<_>) = (0..).zip(&needed).partition(|(part, _)| task.has(*part));
        for (_, &source) in own.into_iter().chain(others) {
            self.make(source, hashes)?;
        }
        let own: Vec<u64> = (0..self.parts(Phase::Partitions)).filter(|&part| task.has(part)).collect();
        let bar = progress.count("graph", own.len() as u64);
        let mut made = 0;
        for &partition in &own {
            if self.open_partition(partition)?.is_none() {
                let Some(()) = self.sort(partition, &needed)? else { return Ok(None) };
                made += 1;
            }
            bar.inc(1);
        }
        bar.finish_and_clear();
        Ok(Some(Done::new(since, own.len() as u64, made)))
    }

    /// Sorts a partition.
    fn sort(&self, partition: u64, sources: &[Source]) -> Result<Option<()>, GraphError> {
        let (path, number) = (self.path_of_partition(partition), partition as usize);
        let mut parts = Vec::with_capacity(sources.len());
        for &source in sources {
            let Some(part) = self.open(source)? else { return Ok(None) };
            parts.push(part);
        }
        let mut writer = PartitionWriter::new(path.clone());
        let mut notes = PartitionNotes { made_from: self.made_from.clone(), ..PartitionNotes::default() };
        let mut edges = RunSorter::new(&path, SORT_MEMORY);
        for part in &parts {
            part.edges(number)?.try_for_each(|edge| edges.push(edge?))?;
        }
        edges.finish()?.try_for_each(|edge| writer.edge(edge?))?;
        let mut unknown = RunSorter::new(&path, SORT_MEMORY);
        for part in &parts {
            part.unknown(number)?.try_for_each(|id| unknown.push(id?))?;
        }
        for id in unknown.finish()? {
            id?;
            notes.unknown_ids += 1;
        }
        let ranks = self.partitions.ranks(partition);
        let (mut named, mut lists) = (vec![false; ranks.len()], vec![0; ranks.len()]);
        let mut pairs = RunSorter::new(&path, SORT_MEMORY);
        for part in &parts {
            for product in part.named(number)? {
                named[product?.index() - ranks.start] = true;
            }
            for of in part.lists(number)? {
                let ProductLists { product, lists: more } = of?;
                lists[product.index() - ranks.start] += more;
            }
            part.pairs(number)?.try_for_each(|pair| pairs.push(pair?))?;
        }
        notes.named_products = named.into_iter().filter(|&named| named).count() as u64;
        for pair in pairs.finish()? {
            let pair = pair?;
            if pair.users >= LEAST_USERS {
                writer.pair(pair)?;
            }
        }
        for (rank, lists) in (ranks.start as u32..).zip(lists).filter(|(_, lists)| *lists > 0) {
            writer.lists(ProductLists { product: ProductRank(rank), lists })?;
        }
        writer.commit(&notes, || self.open_partition(partition).is_ok_and(|sorted| sorted.is_some()))?;
        Ok(Some(()))
    }

    /// Writes the table and the manifest, and removes the parts. No other process may write the graph meanwhile. `None`
    /// if something is missing.
    ///
    /// # Errors
    /// If a file cannot be read or written.
    pub fn seal(&self, progress: &Progress) -> Result<Option<Manifest<GraphBody>>, GraphError> {
        let Some(mut tally) = self.tally()? else { return Ok(None) };
        for source in self.needed(&tally).into_iter().skip(self.all_sources().count()) {
            let Some(part) = self.open(source)? else { return Ok(None) };
            tally.add(part.notes());
        }
        let mut partitions = Vec::new();
        for partition in 0..self.parts(Phase::Partitions) {
            let Some(sorted) = self.open_partition(partition)? else { return Ok(None) };
            partitions.push(sorted);
        }
        let spinner = progress.spinner("graph");
        let named =
            |count: fn(&PartitionNotes) -> u64| partitions.iter().map(|sorted| count(sorted.notes())).sum::<u64>();
        let named_products = named(|notes| notes.named_products);
        let unknown_ids = named(|notes| notes.unknown_ids);
        let mut body = GraphBody {
            rules: rules(),
            corpus: Hash { blake3: self.tables.corpus.data_blake3() },
            source: self.options.source,
            found: tally.stated.found,
            named_ids: named_products + unknown_ids,
            named_products,
            lists: self.follow_from_reviews(&tally).then_some(tally.lists),
            file: tally.file,
            reviews_without_product: tally.reviewed.without_product,
            reviews_of_unknown_products: tally.reviewed.of_unknown_products,
            edges: Counts::new(),
            weights: BTreeMap::new(),
            products: 0,
        };
        store::remove(&self.folder.join(MANIFEST))?;
        store::sweep(&self.folder, |name| [NAME, MANIFEST].contains(&name))?;
        let path = self.folder.join(NAME);
        let products = self.products()?;
        let entry = match self.derived(&partitions, &body, &path)? {
            None => edges::write(&path, sorted_edges(&partitions), products, &mut body)?,
            Some(mut edges) => {
                sorted_edges(&partitions).try_for_each(|edge| edges.push(edge?))?;
                edges::write(&path, edges.finish()?, products, &mut body)?
            }
        };
        let manifest = Manifest::new(body, vec![entry]).seal(&self.folder)?;
        spinner.finish_and_clear();
        self.clear()?;
        Ok(Some(manifest))
    }

    /// The edges that follow from lists, if there are any.
    fn derived(
        &self,
        partitions: &[Partition],
        body: &GraphBody,
        next_to: &Path,
    ) -> Result<Option<RunSorter<Edge>>, GraphError> {
        let relation = match (&body.file, &body.lists) {
            (Some(_), _) => Relation::CoPurchased,
            (None, Some(_)) => Relation::CoReviewed,
            (None, None) => return Ok(None),
        };
        let mut lists = vec![0; self.partitions.products as usize];
        for sorted in partitions {
            for of in sorted.lists()? {
                let of = of?;
                lists[of.product.index()] = of.lists;
            }
        }
        let pairs = partitions.iter().map(Partition::pairs).flat_map(flat);
        let mut edges = RunSorter::new(next_to, SORT_MEMORY);
        PairsOfLists { pairs, lists, next_to, memory: SORT_MEMORY }.derive(relation, &mut edges)?;
        Ok(Some(edges))
    }

    /// Removes the parts of a sealed graph. No other process may write the graph meanwhile.
    ///
    /// # Errors
    /// If they cannot be removed.
    pub fn clear(&self) -> Result<(), GraphError> {
        Ok(self.files.clear()?)
    }
}

impl Tally {
    fn add(&mut self, notes: &EdgeNotes) {
        let Self { stated, reviewed, lists, file } = self;
        stated.found += notes.stated.found;
        stated.resolved += notes.stated.resolved;
        reviewed.without_product += notes.reviewed.without_product;
        reviewed.of_unknown_products += notes.reviewed.of_unknown_products;
        lists.users += notes.lists.users;
        lists.interactions += notes.lists.interactions;
        lists.without_time += notes.lists.without_time;
        lists.unknown_products += notes.lists.unknown_products;
        lists.too_long += notes.lists.too_long;
        *file = file.take().or_else(|| notes.file.clone());
    }
}

/// The edges of all partitions. They are ranges of products, so their edges are sorted as a whole.
fn sorted_edges(partitions: &[Partition]) -> impl Iterator<Item = Result<Edge, StoreError>> {
    partitions.iter().map(Partition::edges).flat_map(flat)
}

/// The records of a section, or the error of opening it.
fn flat<R>(
    records: Result<impl Iterator<Item = Result<R, StoreError>>, StoreError>,
) -> impl Iterator<Item = Result<R, StoreError>> {
    let (records, error) = match records {
        Ok(records) => (Some(records), None),
        Err(error) => (None, Some(Err(error))),
    };
    records.into_iter().flatten().chain(error)
}
