//! The second pass: spill files to the tables of all buckets.
use std::{collections::BTreeMap, path::PathBuf};

use schemas::{Counts, FileEntry, StoreError, manifest::Copies, store};

use super::{
    CorpusError, SORT_MEMORY,
    bucket::{self, BucketOptions, FinishedBucket},
    checkpoint::{BucketId, Checkpoint, SpillFileId, SpillLayout, Stream, VARIANTS},
    frame::SpilledFrames,
    limits,
    plan::CorpusPlan,
    sort::SortLimits,
    spill::{SpillFolder, split},
    variants::Variants,
};
use crate::engine::{
    hashes::Hashes,
    ledger::Ledger,
    progress::Progress,
    stage::{self, Threads},
};

/// The buckets of one spill file.
struct SpilledBuckets {
    file: SpillFileId,
    finished: Vec<FinishedBucket>,
    missing: Vec<BucketId>,
}

/// The tables of all buckets, and their counts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CorpusTables {
    pub(crate) files: Vec<FileEntry>,
    pub(crate) products: u64,
    pub(crate) reviews: u64,
    pub(crate) interactions: u64,
    /// Products and reviews that are left out, by reason.
    pub(crate) rejected: Counts,
    /// Interactions that are left out, by reason.
    pub(crate) without_interaction: Counts,
    pub(crate) associations: u64,
    pub(crate) text_bytes: u64,
}

impl CorpusTables {
    /// Adds a bucket.
    pub(crate) fn add(&mut self, bucket: FinishedBucket) {
        let FinishedBucket { id, files, counts } = bucket;
        self.files.extend(files);
        let (rows, rejected) = match id.stream {
            Stream::Products => (&mut self.products, &mut self.rejected),
            Stream::Reviews => (&mut self.reviews, &mut self.rejected),
            Stream::Interactions => (&mut self.interactions, &mut self.without_interaction),
            Stream::Variants => unreachable!("variants have no buckets"),
        };
        *rows += counts.rows;
        for (reason, n) in counts.rejected {
            *rejected.entry(reason).or_default() += n;
        }
        self.associations += counts.associations;
        self.text_bytes += counts.text_bytes;
    }
}

/// Divides memory and open files among the workers that have something to do: `work` is the number of such things.
pub(crate) fn limits_of_worker(threads: Threads, work: usize, sort_memory: usize) -> SortLimits {
    let workers = threads.get().min(work).max(1);
    // The other half of the files is for tables.
    let open_files = (limits::open_files() / 2 / workers).max(2);
    SortLimits { memory: sort_memory / workers, open_files }
}

/// Writes the tables of buckets.
pub(crate) struct BucketWriter<'a> {
    spill: &'a SpillFolder,
    ledger: &'a Ledger,
    layout: SpillLayout,
    /// The key of the tables.
    made_from: String,
    threads: Threads,
    copies: Copies,
    /// Whether interactions are written.
    interactions: bool,
    /// Whether the product of an interaction may be a variant.
    may_be_variants: bool,
    /// Bytes in which all workers together may sort.
    sort_memory: usize,
}

impl<'a> BucketWriter<'a> {
    /// `checkpoint` is that of all raw files.
    pub(crate) fn new(
        plan: &CorpusPlan<'_>,
        spill: &'a SpillFolder,
        ledger: &'a Ledger,
        checkpoint: &Checkpoint,
    ) -> Self {
        let made_from = plan.made_from.clone();
        Self {
            spill,
            ledger,
            layout: checkpoint.layout,
            made_from,
            threads: plan.settings.threads(),
            copies: plan.settings.copies,
            interactions: plan.settings.interactions,
            may_be_variants: checkpoint.tally.may_be_variants > 0,
            sort_memory: SORT_MEMORY,
        }
    }

    /// The streams that are written to tables.
    fn streams(&self) -> impl Iterator<Item = Stream> {
        let interactions = self.interactions;
        Stream::WITH_TABLES.into_iter().filter(move |&stream| interactions || stream != Stream::Interactions)
    }

    /// Which buckets of a stream are finished and which are missing, by spill file.
    fn buckets(&self, stream: Stream, hashes: &mut Hashes) -> Result<Vec<SpilledBuckets>, StoreError> {
        let mut all = Vec::new();
        for file in self.layout.files_of(stream) {
            let mut buckets = SpilledBuckets { file, finished: Vec::new(), missing: Vec::new() };
            for id in self.layout.buckets_of(file) {
                match bucket::finished(self.ledger, id, &self.made_from, hashes)? {
                    Some(finished) => buckets.finished.push(finished),
                    None => buckets.missing.push(id),
                }
            }
            all.push(buckets);
        }
        Ok(all)
    }

    /// Whether a bucket is missing whose spill file was removed: its table was finished and is gone.
    pub(crate) fn lacks_spill_files(&self, hashes: &mut Hashes) -> Result<bool, StoreError> {
        for stream in self.streams() {
            for of in self.buckets(stream, hashes)? {
                let needs_variants = stream == Stream::Interactions && !self.spill.file(VARIANTS).exists();
                if !of.missing.is_empty() && (needs_variants || !self.spill.file(of.file).exists()) {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }

    /// Writes the missing buckets and removes their spill files.
    pub(crate) fn write_all(&self, hashes: &mut Hashes, progress: &Progress) -> Result<CorpusTables, CorpusError> {
        let bar = progress.count("buckets", self.streams().count() as u64 * u64::from(self.layout.buckets));
        let mut tables = CorpusTables::default();
        for stream in self.streams() {
            let buckets = self.buckets(stream, hashes)?;
            let variants = match stream {
                Stream::Interactions if self.may_be_variants && buckets.iter().any(|of| !of.missing.is_empty()) => {
                    self.variants(&tables)?
                }
                _ => Variants::default(),
            };
            let work = buckets.iter().filter(|of| !of.missing.is_empty()).count();
            let limits = limits_of_worker(self.threads, work, self.sort_memory);
            let options = BucketOptions { copies: self.copies, variants: &variants, limits };
            let mut buckets = buckets.into_iter();
            stage::run(
                self.threads,
                || Ok(buckets.next()),
                || (),
                |(), of| self.write_buckets(of, options),
                |made| {
                    for bucket in made {
                        tables.add(bucket);
                        bar.inc(1);
                    }
                    Ok::<(), CorpusError>(())
                },
            )?;
        }
        bar.finish_and_clear();
        Ok(tables)
    }

    /// The parents of variants, once all tables of products are written.
    fn variants(&self, tables: &CorpusTables) -> Result<Variants, StoreError> {
        let of_products = tables.files.iter().filter(|file| file.name.starts_with(Stream::Products.stem()));
        let paths: Vec<PathBuf> = of_products.map(|file| self.ledger.folder().join(&file.name)).collect();
        let spilled = SpilledFrames::of_file(&self.spill.file(VARIANTS))?;
        Variants::load(&spilled, paths.iter().map(PathBuf::as_path))
    }

    /// Writes the missing buckets of one spill file.
    fn write_buckets(
        &self,
        of: SpilledBuckets,
        options: BucketOptions<'_>,
    ) -> Result<Vec<FinishedBucket>, CorpusError> {
        let SpilledBuckets { file, mut finished, missing } = of;
        let spill_file = self.spill.file(file);
        let mut parts: BTreeMap<BucketId, PathBuf> = BTreeMap::new();
        if self.layout.files < self.layout.buckets && !missing.is_empty() {
            parts.extend(missing.iter().map(|&id| (id, spill_file.with_extension(format!("part{}", id.number)))));
            split(&spill_file, self.layout, &parts, options.limits.open_files)?;
        }
        for id in missing {
            let part = parts.get(&id);
            let from = part.unwrap_or(&spill_file);
            finished.push(bucket::write(&SpilledFrames::of_file(from)?, self.ledger, id, &self.made_from, options)?);
            if let Some(part) = part {
                store::remove(part)?;
            }
        }
        // All its buckets are finished.
        store::remove(&spill_file)?;
        Ok(finished)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use schemas::{DocumentId, Draws, Relation, ReviewerId, TextId};

    use super::*;
    use crate::corpus::{
        checkpoint::Spill,
        frame::{Frame, FrameKey, GroupId, InteractionFields, Position, ProductFields, ReviewFields, VariantFields},
    };

    /// Products and reviews, many of them several times.
    fn spill(folder: &SpillFolder, layout: SpillLayout) {
        let mut checkpoint = folder.resume(layout, "test").unwrap();
        let mut writer = folder.writer(&checkpoint).unwrap();
        let mut draws = Draws::new(0, "test", b"buckets");
        for line in 0..6_000 {
            let position = Position { file: draws.below(3) as u32, line };
            let id = format!("B{}", draws.below(2_000));
            let text = format!("copy {line} of {id}");
            let mut append = |stream: Stream, group: GroupId, document, write: &dyn Fn(&mut Vec<u8>)| {
                let mut frame = Vec::new();
                Frame::write(&mut frame, FrameKey { group, document, position }, write);
                writer.append(layout.file_of(stream, group), &frame).unwrap();
            };
            if draws.below(2) == 0 {
                let fields = ProductFields {
                    empty: draws.below(10) == 0,
                    product_id: &id,
                    title: "",
                    text: &text,
                    text_id: TextId::of(&text),
                    categories: Vec::new(),
                    brand: "",
                    attributes: Vec::new(),
                    associations: vec![(Relation::Substitute, "B7")],
                };
                let document = DocumentId::of_product(&id);
                append(Stream::Products, document.into(), document, &|into| fields.write(into));
            } else {
                // Every text stands under several review ids, and every review id several times.
                let text = format!("text {}", draws.below(600));
                let fields = ReviewFields { product_id: Some(&id), text: &text, rating: Some(3.0) };
                let document = DocumentId::of_review(&format!("B{}", draws.below(3)), "", "", &text);
                append(Stream::Reviews, TextId::of(&text).into(), document, &|into| fields.write(into));
                // A third of the ids are variants.
                let variant = draws.below(3) == 0;
                let product_id = if variant { format!("{id}x") } else { id.clone() };
                let time = Some(draws.below(1_000) as i64).filter(|time| time % 7 > 0);
                let fields = InteractionFields { product_id: &product_id, may_be_variant: true, time };
                let reviewer = ReviewerId::of(&format!("A{}", draws.below(100)));
                let document = DocumentId::of_product(&product_id);
                append(Stream::Interactions, reviewer.into(), document, &|into| fields.write(into));
                let fields = VariantFields { variant: &format!("{id}x"), parent: &id };
                append(Stream::Variants, GroupId::new(0), document, &|into| fields.write(into));
            }
        }
        writer.checkpoint(&mut checkpoint).unwrap();
    }

    fn write_tables(out: &Path, layout: SpillLayout, threads: usize, sort_memory: usize) -> CorpusTables {
        let folder = SpillFolder::new(out.join("spill"));
        spill(&folder, layout);
        let ledger = Ledger::open(out, "corpus").unwrap();
        fs::create_dir(ledger.folder()).unwrap();
        let threads = Threads::new(threads);
        let made_from = "test".to_owned();
        let (copies, interactions, may_be_variants) = (Copies::Remove, true, true);
        let spill = &folder;
        let ledger = &ledger;
        let writer = BucketWriter {
            spill,
            ledger,
            layout,
            made_from,
            threads,
            copies,
            interactions,
            may_be_variants,
            sort_memory,
        };
        writer.write_all(&mut Hashes::load(out), &Progress::silent()).unwrap()
    }

    #[test]
    fn any_number_of_threads_and_any_memory_give_the_same_tables() {
        let tempdir = tempfile::tempdir().unwrap();
        let make = |files, threads, sort_memory| {
            let out = tempdir.path().join(format!("{files} {threads} {sort_memory}"));
            fs::create_dir(&out).unwrap();
            let mut tables = write_tables(&out, SpillLayout { buckets: 5, files }, threads, sort_memory);
            tables.files.sort_by(|a, b| a.name.cmp(&b.name));
            tables
        };
        let wanted = make(5, 1, usize::MAX);
        assert!(wanted.products > 1_000 && wanted.reviews > 500 && wanted.interactions > 1_000, "{wanted:?}");
        assert!(wanted.rejected["duplicate"] > 1_000 && wanted.rejected["copy"] > 800, "{:?}", wanted.rejected);
        for (files, threads, sort_memory) in
            [(5, 4, usize::MAX), (2, 1, usize::MAX), (5, 1, 30_000), (5, 4, 90_000), (2, 4, 1)]
        {
            let tables = make(files, threads, sort_memory);
            assert_eq!(tables, wanted, "{files} files, {threads} threads, {sort_memory} bytes");
        }
    }

    #[test]
    fn workers_share_memory_and_open_files() {
        for (threads, work, workers) in [(1, 32, 1), (4, 32, 4), (1024, 32, 32), (16, 3, 3), (16, 0, 1)] {
            let limits = limits_of_worker(Threads::new(threads), work, SORT_MEMORY);
            assert_eq!(limits.memory, SORT_MEMORY / workers, "{threads} threads, {work} files");
            assert!(limits.open_files * workers <= limits::open_files() || limits.open_files == 2);
        }
    }
}
