//! The first pass: raw files to spill files.
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use ebert_dumps::{LineBatch, LineReader, open};
use indicatif::ProgressBar;
use schemas::StoreError;

use super::{
    CorpusError,
    checkpoint::Checkpoint,
    plan::{CorpusPlan, RawInput},
    records::{BatchFrames, RecordSorter},
    spill::SpillWriter,
};
use crate::{
    engine::{progress::Progress, stage},
    text::Lexicon,
};

/// Raw bytes that one worker takes at a time.
const BATCH: usize = 1 << 20;

/// Consecutive lines of one raw file.
pub(crate) struct RawBatch {
    /// Number of the raw file.
    pub(crate) file: u32,
    pub(crate) lines: LineBatch,
    /// Lines up to this one are in the spill files already.
    pub(crate) skip_lines: u64,
}

/// Fills the spill files from the raw files, from the checkpoint to their end.
pub(crate) fn read(
    plan: &CorpusPlan<'_>,
    mut spill: SpillWriter<'_>,
    checkpoint: &mut Checkpoint,
    progress: &Progress,
) -> Result<(), CorpusError> {
    let (settings, inputs) = (plan.settings, plan.inputs.files.as_slice());
    let bar = progress.bytes("reading", inputs.iter().map(|input| input.found.bytes).sum());
    let lexicon = Lexicon::new(settings.tokenizer, std::iter::empty());
    let layout = checkpoint.layout;
    let mut reader = RawReader::new(inputs, checkpoint, &bar);
    let batches_per_checkpoint = (settings.checkpoint_mib << 20).div_ceil(BATCH as u64);
    let mut batches = 0;
    let write = |batch: BatchFrames| -> Result<(), CorpusError> {
        for (file, frames) in &batch.frames {
            spill.append(*file, frames)?;
        }
        checkpoint.tally.add(batch.tally);
        (checkpoint.files_done, checkpoint.lines_done) =
            if batch.last { (batch.file + 1, 0) } else { (batch.file, batch.last_line) };
        batches += 1;
        if batches % batches_per_checkpoint == 0 {
            spill.checkpoint(checkpoint)?;
        }
        Ok(())
    };
    stage::run(
        settings.threads,
        || reader.next_batch(),
        || RecordSorter::new(inputs, settings, &lexicon, layout),
        |sorter, batch| Ok(sorter.sort(&batch)),
        write,
    )?;
    checkpoint.finished = true;
    spill.checkpoint(checkpoint)?;
    bar.finish_and_clear();
    Ok(())
}

/// Reads the raw files in batches, from the checkpoint on.
struct RawReader<'a> {
    inputs: &'a [RawInput<'a>],
    /// Number of the current file.
    file: u32,
    /// Its lines; `None` before it is opened.
    lines: Option<LineReader>,
    /// Its lines up to this one are in the spill files already.
    skip_lines: u64,
    /// Bytes taken from the disk, for the progress bar.
    from_disk: Arc<AtomicU64>,
    bar: &'a ProgressBar,
}

impl<'a> RawReader<'a> {
    fn new(inputs: &'a [RawInput<'a>], checkpoint: &Checkpoint, bar: &'a ProgressBar) -> Self {
        let done = inputs.iter().take(checkpoint.files_done as usize);
        Self {
            inputs,
            file: checkpoint.files_done,
            lines: None,
            skip_lines: checkpoint.lines_done,
            from_disk: Arc::new(AtomicU64::new(done.map(|input| input.found.bytes).sum())),
            bar,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RawBatch>, CorpusError> {
        while let Some(input) = self.inputs.get(self.file as usize) {
            self.bar.set_position(self.from_disk.load(Ordering::Relaxed));
            let path = &input.found.path;
            let reader = match &mut self.lines {
                Some(reader) => reader,
                closed => {
                    let opened = open(path, self.from_disk.clone()).map_err(StoreError::io("open", path))?;
                    closed.insert(LineReader::new(opened.bytes))
                }
            };
            let Some(mut lines) = reader.next_batch(BATCH) else {
                (self.lines, self.skip_lines) = (None, 0);
                self.file += 1;
                continue;
            };
            // A compressed file can only be read from its start: what is in the spill files is inflated
            // again, but not parsed. The last batch may report damage, and it ends the file.
            if lines.last_line <= self.skip_lines && !lines.last {
                continue;
            }
            if lines.is_disk_error() {
                let (_, source) = lines.damage.take().unwrap_or((0, io::ErrorKind::Other.into()));
                return Err(StoreError::io("read", path)(source).into());
            }
            return Ok(Some(RawBatch { file: self.file, lines, skip_lines: self.skip_lines }));
        }
        Ok(None)
    }
}
