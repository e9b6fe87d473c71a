//! The folder of spill files: records sorted into buckets on disk, unsorted within a bucket.
//!
//! The frames of a spill file are in reading order. At intervals, and at the end, a checkpoint stores
//! the valid length of every spill file and the position in the raw files. A resumed run cuts the
//! spill files back to the checkpoint and continues reading from there.
use std::{
    collections::BTreeMap,
    fs::{self, DirEntry, File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use schemas::{
    StoreError,
    store::{self, write_file},
};

use super::{
    checkpoint::{BucketId, Checkpoint, Spill, SpillFileId, SpillLayout, Stream},
    frame::FrameReader,
    group,
};

/// Bytes collected for a spill file before they are written.
const BUFFER: usize = 1 << 16;

const CHECKPOINT: &str = "checkpoint.json";

/// The folder `OUT/spill`.
#[derive(Clone, Debug)]
pub(crate) struct SpillFolder {
    path: PathBuf,
}

impl SpillFolder {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self, id: SpillFileId) -> PathBuf {
        self.path.join(name_of(id))
    }

    /// The checkpoint of a stopped run over the same input and options (`spilled_from`), if its spill
    /// files are complete. Otherwise empties the folder and returns the checkpoint of a new run.
    ///
    /// A resumed run keeps its layout, unless the limit of open files is too low for it now.
    pub(crate) fn resume(&self, layout: SpillLayout, spilled_from: &str) -> Result<Checkpoint, StoreError> {
        if let Some(stopped) = self.stopped()
            && stopped.spilled_from == spilled_from
            && stopped.layout.buckets == layout.buckets
            && (stopped.finished || stopped.layout.files <= layout.files && self.holds(&stopped))
        {
            return Ok(stopped);
        }
        self.clear()?;
        fs::create_dir_all(&self.path).map_err(StoreError::io("create", &self.path))?;
        Ok(Checkpoint { spilled_from: spilled_from.to_owned(), layout, ..Default::default() })
    }

    /// The checkpoint of a stopped run.
    fn stopped(&self) -> Option<Checkpoint> {
        let bytes = fs::read(self.path.join(CHECKPOINT)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Whether a stopped run kept a record, or a task has finished.
    pub(crate) fn has_records(&self) -> bool {
        let is_group =
            |entry: io::Result<DirEntry>| entry.is_ok_and(|e| e.file_name().to_str().is_some_and(group::is_name));
        self.stopped().is_some_and(|stopped| stopped.lengths.values().any(|&bytes| bytes > 0))
            || fs::read_dir(&self.path).is_ok_and(|entries| entries.into_iter().any(is_group))
    }

    /// Whether the spill files are at least as long as in the checkpoint.
    fn holds(&self, checkpoint: &Checkpoint) -> bool {
        let length_of = |name: &str| fs::metadata(self.path.join(name)).map_or(0, |about| about.len());
        checkpoint.lengths.iter().all(|(name, length)| length_of(name) >= *length)
    }

    /// Opens all spill files, cut back to the checkpoint.
    pub(crate) fn writer(&self, checkpoint: &Checkpoint) -> Result<SpillWriter<'_>, StoreError> {
        let mut files = BTreeMap::new();
        for id in checkpoint.layout.all_files() {
            let (name, path) = (name_of(id), self.file(id));
            let length = checkpoint.lengths.get(&name).copied().unwrap_or(0);
            let open = || -> io::Result<File> {
                let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&path)?;
                file.set_len(length)?;
                file.seek(SeekFrom::End(0))?;
                Ok(file)
            };
            let file = open().map_err(StoreError::io("open", &path))?;
            files.insert(id, SpillFile { name, path, file, buffer: Vec::new(), length });
        }
        Ok(SpillWriter { folder: self, files })
    }

    /// Removes the folder and all spill files.
    pub(crate) fn clear(&self) -> Result<(), StoreError> {
        let files = self.refuse_foreign()?;
        let checkpoint = self.path.join(CHECKPOINT);
        // The checkpoint goes first: without it, the rest of a partly removed folder is ignored.
        if checkpoint.exists() {
            store::remove(&checkpoint)?;
            store::sync_folder(&self.path)?;
        }
        files.iter().try_for_each(|file| store::remove(file))?;
        let is_link = fs::symlink_metadata(&self.path).is_ok_and(|about| about.is_symlink());
        match if is_link { fs::remove_file(&self.path) } else { fs::remove_dir(&self.path) } {
            Err(e) if ![io::ErrorKind::NotFound, io::ErrorKind::DirectoryNotEmpty].contains(&e.kind()) => {
                Err(StoreError::io("remove", &self.path)(e))
            }
            _ => Ok(()),
        }
    }

    /// Lists the files of the folder. Those of NFS are left out: a file that is removed while a process has it open is
    /// there until it is closed.
    ///
    /// # Errors
    /// If one of them is not a spill file: the folder gets emptied, and a user's own files would be lost.
    pub(crate) fn refuse_foreign(&self) -> Result<Vec<PathBuf>, StoreError> {
        let error = |e| StoreError::io("list", &self.path)(e);
        let entries = match fs::read_dir(&self.path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(error)?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(error)?.path();
            match path.file_name().and_then(|name| name.to_str()) {
                Some(name) if name.starts_with(OF_NFS) => {}
                Some(name) if is_ours(name) => files.push(path),
                _ => return Err(StoreError::Foreign { path }),
            }
        }
        Ok(files)
    }
}

/// How NFS names a file that is removed while it is open.
const OF_NFS: &str = ".nfs";

fn name_of(id: SpillFileId) -> String {
    format!("{}-{:05}.spill", id.stream.stem(), id.number)
}

/// Whether this is the name of the checkpoint, the frames of a group of raw files, a spill file, one
/// bucket of it (`.part7`), or a sorted run of either (`.run0`, of earlier versions).
fn is_ours(name: &str) -> bool {
    let name = store::file_of_temporary(name).unwrap_or(name);
    if name == CHECKPOINT || group::is_name(name) {
        return true;
    }
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let numbered = |ending: &str, stem: &str| ending.strip_prefix(stem).is_some_and(digits);
    let mut parts = name.split('.');
    let of = parts.next().and_then(|first| first.split_once('-'));
    of.is_some_and(|(stem, number)| Stream::ALL.iter().any(|stream| stream.stem() == stem) && digits(number))
        && parts.next().is_some_and(|what| ["spill", "kept", "resolved"].contains(&what) || numbered(what, "part"))
        && parts.next().is_none_or(|what| numbered(what, "run"))
        && parts.next().is_none()
}

/// All spill files, open for appending.
pub(crate) struct SpillWriter<'a> {
    folder: &'a SpillFolder,
    files: BTreeMap<SpillFileId, SpillFile>,
}

struct SpillFile {
    name: String,
    path: PathBuf,
    file: File,
    buffer: Vec<u8>,
    /// With what is in the buffer.
    length: u64,
}

impl SpillFile {
    fn flush(&mut self) -> Result<(), StoreError> {
        self.file.write_all(&self.buffer).map_err(StoreError::io("write", &self.path))?;
        self.buffer.clear();
        Ok(())
    }
}

impl Spill for SpillWriter<'_> {
    /// # Panics
    /// If the file is not one of the layout.
    fn append(&mut self, id: SpillFileId, frames: &[u8]) -> Result<(), StoreError> {
        let file = self.files.get_mut(&id).expect("all spill files of the layout are open");
        file.buffer.extend_from_slice(frames);
        file.length += frames.len() as u64;
        if file.buffer.len() >= BUFFER { file.flush() } else { Ok(()) }
    }

    /// Syncs what was appended, then stores the checkpoint.
    fn checkpoint(&mut self, checkpoint: &mut Checkpoint) -> Result<(), StoreError> {
        for file in self.files.values_mut() {
            file.flush()?;
            file.file.sync_data().map_err(StoreError::io("sync", &file.path))?;
            checkpoint.lengths.insert(file.name.clone(), file.length);
        }
        let folder = &self.folder.path;
        let json = serde_json::to_vec(checkpoint).map_err(|e| StoreError::io("write", folder)(e.into()))?;
        write_file(&folder.join(CHECKPOINT), &json)?;
        Ok(())
    }
}

/// Splits a spill file into one file per bucket, at most `open_files` of them at a time. Frames of
/// other buckets are left out.
pub(crate) fn split(
    from: &Path,
    layout: SpillLayout,
    parts: &BTreeMap<BucketId, PathBuf>,
    open_files: usize,
) -> Result<(), StoreError> {
    let parts: Vec<(&BucketId, &PathBuf)> = parts.iter().collect();
    for some in parts.chunks(open_files.max(1)) {
        let mut files = BTreeMap::new();
        for &(bucket, path) in some {
            let file = File::create(path).map_err(StoreError::io("create", path))?;
            files.insert(bucket.number, (path, BufWriter::with_capacity(BUFFER, file)));
        }
        let mut frames = FrameReader::open(from)?;
        while let Some(frame) = frames.next_frame()? {
            if let Some((path, file)) = files.get_mut(&frame.key.group.bucket(layout.buckets)) {
                file.write_all(frame.bytes).map_err(StoreError::io("write", path))?;
            }
        }
        for (path, mut file) in files.into_values() {
            file.flush().map_err(StoreError::io("write", path))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::CorpusError;

    #[test]
    #[should_panic(expected = "all spill files of the layout are open")]
    fn frames_for_a_file_that_is_not_open_are_not_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFolder::new(folder.path().join("spill"));
        let checkpoint = spill.resume(SpillLayout { buckets: 4, files: 2 }, "test").unwrap();
        let mut writer = spill.writer(&checkpoint).unwrap();
        let mut append = |number| writer.append(SpillFileId { stream: Stream::Products, number }, b"frames");
        append(1).unwrap();
        append(2).unwrap();
    }

    #[test]
    fn a_folder_with_a_file_of_someone_else_is_not_emptied() {
        let folder = tempfile::tempdir().unwrap();
        let spill = SpillFolder::new(folder.path().join("spill"));
        let ours = [
            "checkpoint.json",
            "checkpoint.json.0123456789abcdef.tmp",
            "products-00000.spill",
            "reviews-00012.part7",
            "products-00000.spill.run0",
            "reviews-00012.part7.run10",
            "reviews-00012.kept.run0",
            "interactions-00001.spill",
            "variants-00000.spill",
            "raw-00003.frames",
            "raw-00003.frames.0123456789abcdef.tmp",
        ];
        for theirs in [
            "meta.json",
            "raw.frames",
            "products-00000.json",
            "notes-1.spill",
            "products-00000.spill.gz",
            "checkpoint.json.bak",
        ] {
            fs::create_dir(&spill.path).unwrap();
            ours.iter().chain([&theirs]).for_each(|name| fs::write(spill.path.join(name), name).unwrap());
            let error = CorpusError::from(spill.clear().unwrap_err()).to_string();
            assert!(error.contains(theirs) && error.contains("hint:"), "{error}");
            assert_eq!(fs::read_dir(&spill.path).unwrap().count(), ours.len() + 1);
            fs::remove_file(spill.path.join(theirs)).unwrap();
            spill.clear().unwrap();
            assert!(!spill.path.exists());
        }
        // NFS keeps a removed file under such a name while a process has it open.
        let open = spill.path.join(".nfs000000000124a1c400000001");
        fs::create_dir(&spill.path).unwrap();
        [&open, &spill.path.join(ours[0])].into_iter().for_each(|file| fs::write(file, "").unwrap());
        spill.clear().unwrap();
        assert!(open.exists() && fs::read_dir(&spill.path).unwrap().count() == 1);
    }
}
