//! The second pass: spill files to the tables of all buckets.
use std::{collections::BTreeMap, path::PathBuf};

use ebert_dumps::Kind;
use schemas::{FileEntry, StoreError, store};

use super::{
    CorpusError, SORT_MEMORY,
    bucket::{self, FinishedBucket},
    checkpoint::{BucketId, Checkpoint, SpillFileId, SpillLayout},
    limits,
    plan::CorpusPlan,
    sort::SortLimits,
    spill::{SpillFolder, split},
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
    pub(crate) duplicates: u64,
    pub(crate) associations: u64,
    pub(crate) text_bytes: u64,
}

impl CorpusTables {
    fn add(&mut self, bucket: FinishedBucket) {
        let FinishedBucket { id, files, counts } = bucket;
        self.files.extend(files);
        match id.kind {
            Kind::Product => self.products += counts.rows,
            Kind::Review => self.reviews += counts.rows,
        }
        self.duplicates += counts.duplicates;
        self.associations += counts.associations;
        self.text_bytes += counts.text_bytes;
    }
}

/// Writes the tables of buckets.
pub(crate) struct BucketWriter<'a> {
    spill: &'a SpillFolder,
    ledger: &'a Ledger,
    layout: SpillLayout,
    /// The key of the tables.
    made_from: String,
    threads: Threads,
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
        let made_from = plan.made_from(&checkpoint.tally);
        Self {
            spill,
            ledger,
            layout: checkpoint.layout,
            made_from,
            threads: plan.settings.threads(),
            sort_memory: SORT_MEMORY,
        }
    }

    /// Which buckets are finished and which are missing, by spill file.
    fn buckets(&self, hashes: &mut Hashes) -> Result<Vec<SpilledBuckets>, StoreError> {
        let mut all = Vec::new();
        for file in self.layout.all_files() {
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
        let buckets = self.buckets(hashes)?;
        Ok(buckets.iter().any(|of| !of.missing.is_empty() && !self.spill.file(of.file).exists()))
    }

    /// Writes the missing buckets and removes their spill files.
    pub(crate) fn write_all(&self, hashes: &mut Hashes, progress: &Progress) -> Result<CorpusTables, CorpusError> {
        let buckets = self.buckets(hashes)?;
        let bar = progress.count("buckets", 2 * u64::from(self.layout.buckets));
        let mut tables = CorpusTables::default();
        let limits = self.limits_of_worker(&buckets);
        let mut buckets = buckets.into_iter();
        stage::run(
            self.threads,
            || Ok(buckets.next()),
            || (),
            |(), of| self.write_buckets(of, limits),
            |made| {
                for bucket in made {
                    tables.add(bucket);
                    bar.inc(1);
                }
                Ok(())
            },
        )?;
        bar.finish_and_clear();
        Ok(tables)
    }

    /// Divides memory and open files among the workers that have something to do.
    fn limits_of_worker(&self, buckets: &[SpilledBuckets]) -> SortLimits {
        let work = buckets.iter().filter(|of| !of.missing.is_empty()).count();
        let workers = self.threads.get().min(work).max(1);
        // The other half of the files is for tables.
        let open_files = (limits::open_files() / 2 / workers).max(2);
        SortLimits { memory: self.sort_memory / workers, open_files }
    }

    /// Writes the missing buckets of one spill file.
    fn write_buckets(&self, of: SpilledBuckets, limits: SortLimits) -> Result<Vec<FinishedBucket>, CorpusError> {
        let SpilledBuckets { file, mut finished, missing } = of;
        let spill_file = self.spill.file(file);
        let mut parts: BTreeMap<BucketId, PathBuf> = BTreeMap::new();
        if self.layout.files < self.layout.buckets && !missing.is_empty() {
            parts.extend(missing.iter().map(|&id| (id, spill_file.with_extension(format!("part{}", id.number)))));
            split(&spill_file, self.layout, &parts, limits.open_files)?;
        }
        for id in missing {
            let part = parts.get(&id);
            let from = part.unwrap_or(&spill_file);
            finished.push(bucket::write(from, self.ledger, id, &self.made_from, limits)?);
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

    use schemas::{DocumentId, Draws, Relation};

    use super::*;
    use crate::{
        corpus::frame::{Frame, Position, ProductFields, ReviewFields},
        engine::progress::Log,
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
            let mut frame = Vec::new();
            let file = if draws.below(2) == 0 {
                let fields = ProductFields {
                    empty: draws.below(10) == 0,
                    product_id: &id,
                    text: &text,
                    associations: vec![(Relation::Substitute, "B7")],
                    ..Default::default()
                };
                let document = DocumentId::of_product(&id);
                Frame::write(&mut frame, document, position, |into| fields.write(into));
                layout.file_of(Kind::Product, document)
            } else {
                let fields = ReviewFields { product_id: Some(&id), text: &text, rating: Some(3.0) };
                let document = DocumentId::of_review(&id, "", "", "");
                Frame::write(&mut frame, document, position, |into| fields.write(into));
                layout.file_of(Kind::Review, document)
            };
            writer.append(file, &frame).unwrap();
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
        let writer = BucketWriter { spill: &folder, ledger: &ledger, layout, made_from, threads, sort_memory };
        writer.write_all(&mut Hashes::load(out), &Progress::new(Log::Json)).unwrap()
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
        assert!(wanted.products > 1_000 && wanted.reviews > 1_000 && wanted.duplicates > 2_000);
        for (files, threads, sort_memory) in
            [(5, 4, usize::MAX), (2, 1, usize::MAX), (5, 1, 30_000), (5, 4, 90_000), (2, 4, 1)]
        {
            let tables = make(files, threads, sort_memory);
            assert_eq!(tables, wanted, "{files} files, {threads} threads, {sort_memory} bytes");
        }
    }

    #[test]
    fn workers_share_memory_and_open_files() {
        let tempdir = tempfile::tempdir().unwrap();
        let (spill, ledger) =
            (SpillFolder::new(tempdir.path().join("spill")), Ledger::open(tempdir.path(), "corpus").unwrap());
        let layout = SpillLayout { buckets: 32, files: 32 };
        let limits = |threads: usize, missing: usize| {
            let writer = BucketWriter {
                spill: &spill,
                ledger: &ledger,
                layout,
                made_from: String::new(),
                threads: Threads::new(threads),
                sort_memory: SORT_MEMORY,
            };
            let mut buckets = writer.buckets(&mut Hashes::load(tempdir.path())).unwrap();
            buckets.iter_mut().skip(missing).for_each(|of| of.missing.clear());
            writer.limits_of_worker(&buckets)
        };
        for (threads, missing, workers) in [(1, 64, 1), (4, 64, 4), (1024, 64, 64), (16, 3, 3), (16, 0, 1)] {
            let limits = limits(threads, missing);
            assert_eq!(limits.memory, SORT_MEMORY / workers, "{threads} threads, {missing} files");
            assert!(limits.open_files * workers <= limits::open_files() || limits.open_files == 2);
        }
    }
}
