//! Groups to tables.
use std::{fs, path::PathBuf, time::Instant};

use schemas::{StoreError, Task, manifest::MANIFEST, store};

use super::{
    super::{
        CorpusError, SORT_MEMORY,
        bucket::{self, BucketOptions},
        checkpoint::{BucketId, SpillFileId, Stream, VARIANTS},
        folder,
        frame::SpilledFrames,
        limits::Flaws,
        plan::CorpusPlan,
        variants::Variants,
        write::limits_of_worker,
    },
    CorpusTasks, Phase,
    read::AllRead,
};
use crate::engine::{
    hashes::Hashes,
    ledger::Ledger,
    progress::{Done, Progress},
    stage,
};

impl CorpusTasks<'_> {
    /// Writes the tables of a task that are missing. `None` if an earlier phase is not finished.
    ///
    /// # Errors
    /// If the raw files have more flaws than are allowed, or a table cannot be written.
    pub fn write(
        &self,
        phase: Phase,
        task: Task,
        hashes: &mut Hashes,
        progress: &Progress,
    ) -> Result<Option<Done>, CorpusError> {
        let since = Instant::now();
        let own = self.parts_of(phase, task);
        let streams = phase.streams();
        let of_task = (own.len() * streams.len()) as u64;
        let Some(read) = self.all_read()? else {
            // The groups go when the corpus is sealed.
            return Ok(self.sealed()?.map(|_| Done::new(since, of_task, 0)));
        };
        Flaws::of_tally(&read.tally, self.files).refuse(self.settings)?;
        let plan = CorpusPlan::new(self.settings, &read.inputs, self.files)?;
        let ledger = Ledger::open(&self.settings.out, "corpus")?;
        let mut missing = Vec::new();
        for &stream in streams {
            for &part in &own {
                let id = BucketId { stream, number: part as u32 };
                if bucket::finished(&ledger, id, &plan.made_from, hashes)?.is_none() {
                    missing.push(id);
                }
            }
        }
        if missing.is_empty() {
            return Ok(Some(Done::new(since, of_task, 0)));
        }
        let variants = if phase == Phase::Interactions && read.tally.may_be_variants > 0 {
            let Some(variants) = self.variants(&read, &ledger, &plan.made_from)? else { return Ok(None) };
            variants
        } else {
            Variants::default()
        };
        let folder = folder(&self.settings);
        fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
        store::remove(&folder.join(MANIFEST))?;
        let (threads, made) = (self.settings.threads(), missing.len() as u64);
        let limits = limits_of_worker(threads, missing.len(), SORT_MEMORY);
        let options = BucketOptions { copies: self.settings.copies, variants: &variants, limits };
        let bar = progress.count("buckets", made);
        let mut missing = missing.into_iter();
        stage::run(
            threads,
            || Ok(missing.next()),
            || (),
            |(), id| {
                let BucketId { stream, number } = id;
                let frames = self.frames(&read, SpillFileId { stream, number })?;
                bucket::write(&frames, &ledger, id, &plan.made_from, options)
            },
            |finished| {
                for file in finished.files {
                    hashes.remember(&folder.join(&file.name), &file.blake3)?;
                }
                bar.inc(1);
                Ok::<(), StoreError>(())
            },
        )?;
        bar.finish_and_clear();
        Ok(Some(Done::new(since, of_task, made)))
    }

    /// The frames of a bucket, or all variants, in all groups.
    fn frames(&self, read: &AllRead<'_>, id: SpillFileId) -> Result<SpilledFrames, StoreError> {
        let mut sections = Vec::new();
        for group in &read.groups {
            sections.extend(Some(group.section(id)?).filter(|section| !section.bytes.is_empty()));
        }
        Ok(SpilledFrames { sections, name: self.spill.file(id) })
    }

    /// The parents of variants. `None` if a table of products is missing.
    fn variants(&self, read: &AllRead<'_>, ledger: &Ledger, made_from: &str) -> Result<Option<Variants>, StoreError> {
        let mut paths = Vec::new();
        for number in 0..self.layout.buckets {
            let id = BucketId { stream: Stream::Products, number };
            if !bucket::recorded(ledger, id, made_from)? {
                return Ok(None);
            }
            paths.extend(bucket::tables(id).last().map(|name| ledger.folder().join(name)));
        }
        Variants::load(&self.frames(read, VARIANTS)?, paths.iter().map(PathBuf::as_path)).map(Some)
    }
}
