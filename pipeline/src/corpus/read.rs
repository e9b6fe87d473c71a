//! The first pass: raw files to spill files.
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ebert_dumps::{DumpFile, RecordReader};
use indicatif::ProgressBar;
use schemas::StoreError;

use super::{
    CorpusError,
    checkpoint::{Checkpoint, Spill},
    plan::RawInput,
    records::{BatchFrames, RawBatch, RecordSorter},
};
use crate::{
    engine::{progress::Progress, stage},
    settings::StepSettings,
};

/// Raw bytes that one worker takes at a time.
const BATCH: usize = 1 << 20;

/// Fills the spill files from raw files, from the checkpoint to their end. `files` are all raw files. `inputs` are
/// those that are read. Returns the number of lines in the last of them.
pub(crate) fn read(
    settings: StepSettings<'_>,
    files: &[DumpFile],
    inputs: &[RawInput<'_>],
    spill: &mut impl Spill,
    checkpoint: &mut Checkpoint,
    progress: &Progress,
) -> Result<u64, CorpusError> {
    let bar = progress.bytes("reading", inputs.iter().map(RawInput::bytes).sum());
    let layout = checkpoint.layout;
    let mut reader = RawReader::new(inputs, checkpoint, &bar);
    let batches_per_checkpoint = (settings.checkpoint_mib << 20).div_ceil(BATCH as u64);
    let (mut batches, mut lines) = (0, 0);
    let write = |batch: BatchFrames| -> Result<(), CorpusError> {
        for (file, frames) in &batch.frames {
            spill.append(*file, frames)?;
        }
        checkpoint.tally.add(batch.tally);
        lines = batch.last_line;
        (checkpoint.files_done, checkpoint.lines_done) =
            if batch.last { (batch.file + 1, 0) } else { (batch.file, batch.last_line) };
        batches += 1;
        if batches % batches_per_checkpoint == 0 {
            spill.checkpoint(checkpoint)?;
        }
        Ok(())
    };
    stage::run(
        settings.threads(),
        || reader.next_batch(),
        || RecordSorter::new(files, settings, layout),
        |sorter, batch| Ok(sorter.sort(&batch)),
        write,
    )?;
    checkpoint.finished = true;
    spill.checkpoint(checkpoint)?;
    bar.finish_and_clear();
    Ok(lines)
}

/// Reads the raw files in batches, from the checkpoint on.
struct RawReader<'a> {
    inputs: &'a [RawInput<'a>],
    /// Index of the current file.
    at: usize,
    /// Its records. `None` before it is opened.
    records: Option<Box<dyn RecordReader>>,
    /// Its lines up to this one are in the spill files already.
    skip_lines: u64,
    /// Bytes taken from the disk, for the progress bar.
    from_disk: Arc<AtomicU64>,
    bar: &'a ProgressBar,
    batch_bytes: usize,
}

impl<'a> RawReader<'a> {
    fn new(inputs: &'a [RawInput<'a>], checkpoint: &Checkpoint, bar: &'a ProgressBar) -> Self {
        let done = inputs.iter().take(checkpoint.files_done as usize);
        Self {
            inputs,
            at: checkpoint.files_done as usize,
            records: None,
            skip_lines: checkpoint.lines_done,
            from_disk: Arc::new(AtomicU64::new(done.map(RawInput::bytes).sum())),
            bar,
            batch_bytes: BATCH,
        }
    }

    fn next_batch(&mut self) -> Result<Option<RawBatch>, CorpusError> {
        while let Some(input) = self.inputs.get(self.at) {
            self.bar.set_position(self.from_disk.load(Ordering::Relaxed));
            let path = &input.found.path;
            let reader = match &mut self.records {
                Some(reader) => reader,
                closed => closed.insert(input.records(self.from_disk.clone()).map_err(StoreError::io("open", path))?),
            };
            let Some(mut lines) = reader.next_batch(self.batch_bytes) else {
                input.check_unchanged()?;
                (self.records, self.skip_lines) = (None, 0);
                self.at += 1;
                continue;
            };
            // A compressed file can only be read from its start: what is in the spill files is inflated
            // again, but not parsed. The last batch may report damage, and it ends the file.
            if lines.last_line <= self.skip_lines && !lines.last {
                continue;
            }
            if let Some(source) = lines.take_disk_error() {
                return Err(StoreError::io("read", path)(source).into());
            }
            let range = input.range.as_ref().map_or(0, |range| range.number);
            return Ok(Some(RawBatch { file: input.number, range, lines, skip_lines: self.skip_lines }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write, path::Path};

    use ebert_dumps::{MAX_LINE, find};
    use flate2::{Compression, write::GzEncoder};

    use super::*;
    use crate::{
        corpus::{plan::Inputs, raw_groups::RawRange},
        engine::hashes::Hashes,
    };

    /// File and line of each record, with its bytes; then file and damage.
    type Seen = (Vec<(u32, u64, Vec<u8>)>, Vec<(u32, String)>);

    fn read_on(inputs: &[RawInput<'_>], checkpoint: &Checkpoint, batch_bytes: usize) -> Vec<RawBatch> {
        let bar = ProgressBar::hidden();
        let mut reader = RawReader { batch_bytes, ..RawReader::new(inputs, checkpoint, &bar) };
        std::iter::from_fn(|| reader.next_batch().unwrap()).collect()
    }

    fn seen<'a>(batches: impl IntoIterator<Item = &'a RawBatch>) -> Seen {
        let (mut records, mut damage) = (Vec::new(), Vec::new());
        for batch in batches {
            let file = batch.file;
            records.extend(batch.new_lines().map(|line| (file, line.number, line.bytes.to_vec())));
            records.extend(batch.new_too_long().map(|line| (file, line, Vec::new())));
            damage.extend(
                batch.lines.damage.iter().map(|damage| (file, format!("{} {}", damage.after_line, damage.error))),
            );
        }
        records.sort();
        (records, damage)
    }

    #[test]
    fn a_file_that_is_written_meanwhile_has_changed() {
        let folder = tempfile::tempdir().unwrap();
        let (path, text) = (folder.path().join("a.json"), "{\"asin\": \"B1\", \"title\": \"Tea\", \"also_buy\": []}\n");
        fs::write(&path, text).unwrap();
        let files = find(folder.path(), Path::new("nowhere")).unwrap();
        let blake3 = schemas::store::hash_file(&path).unwrap();
        let whole = || RawInput::with_hash(0, &files.recognised[0], blake3.clone()).unwrap();
        let range = RawRange { number: 0, bytes: 0..10, is_last: false };
        let (all, part) = (whole(), whole().in_range(&range));
        all.check_unchanged().unwrap();
        part.check_unchanged().unwrap();
        // Times of files have steps of some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(50));
        fs::write(&path, text).unwrap();
        all.check_unchanged().unwrap();
        assert!(matches!(part.check_unchanged(), Err(CorpusError::Changed { .. })), "not all of its bytes were hashed");
        fs::write(&path, text.replace("Tea", "Cha")).unwrap();
        assert!(matches!(all.check_unchanged(), Err(CorpusError::Changed { .. })));
    }

    #[test]
    fn a_resumed_run_reads_the_rest_whatever_the_size_of_batches() {
        let folder = tempfile::tempdir().unwrap();
        let record =
            |n: usize| format!("{{\"asin\": \"B{n}\", \"title\": \"{}\", \"also_buy\": []}}", "Tea ".repeat(n % 50));
        let lines: Vec<String> = (0..6_000).map(record).collect();
        let gzip = |text: &str| {
            let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
            gz.write_all(text.as_bytes()).unwrap();
            gz.finish().unwrap()
        };
        let too_long = format!("{}\n{}\n{}\n", lines[0], "x".repeat(MAX_LINE + 1), lines[1]);
        let damaged = gzip(&lines.join("\n"));
        fs::write(folder.path().join("a.json"), lines.join("\r\n\n")).unwrap();
        fs::write(folder.path().join("b.json.gz"), gzip(&too_long)).unwrap();
        fs::write(folder.path().join("c.json.gz"), &damaged[..damaged.len() / 2]).unwrap();
        let rows: Vec<String> = (0..2_000).map(|n| format!("C{n},\"Tea\nand {}\"\n", "salt ".repeat(n % 9))).collect();
        fs::write(folder.path().join("d.csv"), format!("asin,title\n{}", rows.concat())).unwrap();
        fs::write(folder.path().join("e.json"), format!("[{}]", lines[..2_000].join(", "))).unwrap();
        let files = find(folder.path(), Path::new("nowhere")).unwrap();
        assert_eq!(files.recognised.len(), 5);
        let mut hashes = Hashes::load(Path::new("nowhere"));
        let inputs = Inputs::hash(&files, &mut hashes, &Progress::silent()).unwrap();
        let inputs = &inputs.files;

        let whole = read_on(inputs, &Checkpoint::default(), 1);
        let (all, damage) = seen(&whole);
        assert!(whole.len() > 9 && damage.len() == 1, "{} batches, {damage:?}", whole.len());
        for stop in &whole {
            let (files_done, lines_done) =
                if stop.lines.last { (stop.file + 1, 0) } else { (stop.file, stop.lines.last_line) };
            let checkpoint = Checkpoint { files_done, lines_done, ..Default::default() };
            let rest: Vec<_> = all.iter().filter(|r| (r.0, r.1) > (files_done, lines_done)).cloned().collect();
            for batch_bytes in [1, 300_000, 1 << 20] {
                let (records, damage_left) = seen(&read_on(inputs, &checkpoint, batch_bytes));
                assert!(records == rest, "from line {lines_done} of {files_done} in batches of {batch_bytes}");
                assert_eq!(damage_left, if files_done > 2 { vec![] } else { damage.clone() });
            }
        }
    }
}
