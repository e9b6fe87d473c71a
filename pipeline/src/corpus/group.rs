//! The frames of some raw files, sorted by bucket in one file: what a task that reads raw files leaves for those that
//! write tables.
//!
//! It is a file of [`sections`](crate::engine::sections). The buckets of products come first, then those of reviews and
//! of interactions, then all variants. Notes are [`GroupNotes`]. So a task that writes tables reads one range of the
//! file per bucket. Frames of a bucket are in the order of reading.
use std::path::{Path, PathBuf};

use schemas::StoreError;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, Spill, SpillFileId, SpillLayout, Stream, Tally};
use crate::engine::sections::{Section, SectionWriter, Sections};

/// Name of the file of a group.
pub(crate) fn name_of(number: u32) -> String {
    format!("raw-{number:05}.frames")
}

/// Whether [`name_of`] gives this name.
pub(crate) fn is_name(name: &str) -> bool {
    let number = name.strip_prefix("raw-").and_then(|rest| rest.strip_suffix(".frames"));
    number.is_some_and(|number| number.len() >= 5 && number.bytes().all(|b| b.is_ascii_digit()))
}

/// What the tasks that write tables need to know of a group.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupNotes {
    /// Hash of the raw files, options and rules that decide the frames.
    pub(crate) made_from: String,
    /// Hashes of the raw files, or of the range.
    pub(crate) blake3: Vec<String>,
    /// Of a range: the hash of what is read outside of it ([`super::plan::hash_context`]).
    #[serde(default)]
    pub(crate) context: Option<String>,
    /// Number of lines in the last raw file, or in the range.
    pub(crate) lines: u64,
    /// What reading them counted.
    pub(crate) tally: Tally,
}

/// Where the frames of a spill file are in the order of buckets. The layout has one spill file per bucket.
fn place(layout: SpillLayout, id: SpillFileId) -> usize {
    let streams = match id.stream {
        Stream::Products => 0,
        Stream::Reviews => 1,
        Stream::Interactions => 2,
        Stream::Variants => 3,
    };
    streams * layout.buckets as usize + id.number as usize
}

/// Number of places.
fn places(layout: SpillLayout) -> usize {
    3 * layout.buckets as usize + 1
}

/// Writes a group. The file appears when it is complete.
pub(crate) struct GroupWriter {
    layout: SpillLayout,
    sections: SectionWriter,
}

impl GroupWriter {
    pub(crate) fn new(path: PathBuf, layout: SpillLayout) -> Self {
        Self { layout, sections: SectionWriter::new(path, places(layout)) }
    }

    /// Writes the file, unless `is_finished` shows that another process has done it meanwhile.
    pub(crate) fn commit(self, notes: &GroupNotes, is_finished: impl FnOnce() -> bool) -> Result<(), StoreError> {
        self.sections.commit(notes, is_finished)
    }
}

impl Spill for GroupWriter {
    fn append(&mut self, id: SpillFileId, frames: &[u8]) -> Result<(), StoreError> {
        self.sections.append(place(self.layout, id), frames)
    }

    /// A stopped task starts its group again.
    fn checkpoint(&mut self, _: &mut Checkpoint) -> Result<(), StoreError> {
        Ok(())
    }
}

/// A complete group.
#[derive(Debug)]
pub(crate) struct Group {
    layout: SpillLayout,
    sections: Sections<GroupNotes>,
}

impl Group {
    /// Opens the file of a group. `None` if it does not exist, or is not a group of this layout: then it is to be read
    /// again.
    pub(crate) fn open(path: &Path, layout: SpillLayout) -> Result<Option<Self>, StoreError> {
        Ok(Sections::open(path, places(layout))?.map(|sections| Self { layout, sections }))
    }

    pub(crate) fn notes(&self) -> &GroupNotes {
        &self.sections.notes
    }

    /// Where the frames of a bucket are, or all variants.
    pub(crate) fn section(&self, id: SpillFileId) -> Result<Section, StoreError> {
        self.sections.section(place(self.layout, id))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use schemas::{DocumentId, Draws};

    use super::*;
    use crate::{
        corpus::{
            checkpoint::VARIANTS,
            frame::{Frame, FrameKey, FrameReader, GroupId, Position},
        },
        engine::sections::TAIL,
    };

    const LAYOUT: SpillLayout = SpillLayout { buckets: 5, files: 5 };

    fn notes() -> GroupNotes {
        GroupNotes {
            made_from: "a hash".to_owned(),
            blake3: vec!["b".to_owned()],
            context: None,
            lines: 500,
            tally: Tally::default(),
        }
    }

    /// Writes frames in batches, and gives them by place.
    fn write(path: &Path, memory: usize) -> Vec<Vec<Vec<u8>>> {
        let sections = SectionWriter::within(path.to_owned(), places(LAYOUT), memory);
        let mut writer = GroupWriter { layout: LAYOUT, sections };
        let mut draws = Draws::new(0, "test", b"group");
        let mut wanted = vec![Vec::new(); places(LAYOUT)];
        for line in 0..500 {
            let stream = Stream::ALL[draws.below(4) as usize];
            let group = GroupId::new(draws.below(1_000));
            let id = LAYOUT.file_of(stream, group);
            let key = FrameKey { group, document: DocumentId::new(line), position: Position { file: 0, line } };
            let mut frame = Vec::new();
            Frame::write(&mut frame, key, |into| into.extend(vec![7; draws.below(60) as usize]));
            writer.append(id, &frame).unwrap();
            wanted[place(LAYOUT, id)].push(frame);
        }
        writer.commit(&notes(), || false).unwrap();
        wanted
    }

    #[test]
    fn frames_are_read_back_by_bucket_whatever_fits_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for memory in [usize::MAX, 4_000, 1] {
            let path = folder.path().join(name_of(files.len() as u32));
            let wanted = write(&path, memory);
            let group = Group::open(&path, LAYOUT).unwrap().unwrap();
            assert_eq!(group.notes(), &notes());
            let ids = [Stream::Products, Stream::Reviews, Stream::Interactions]
                .into_iter()
                .flat_map(|stream| (0..5).map(move |number| SpillFileId { stream, number }))
                .chain([VARIANTS]);
            for (id, wanted) in ids.zip(&wanted) {
                let mut reader = FrameReader::new(vec![group.section(id).unwrap()]).unwrap();
                for frame in wanted {
                    assert_eq!(reader.next_frame().unwrap().unwrap().bytes, frame);
                }
                assert!(reader.next_frame().unwrap().is_none() && !wanted.is_empty());
            }
            files.push(fs::read(&path).unwrap());
        }
        assert!(files.iter().all(|file| file == &files[0]));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn what_is_not_complete_or_has_another_layout_is_not_a_group() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name_of(0));
        assert!(Group::open(&path, LAYOUT).unwrap().is_none());
        write(&path, usize::MAX);
        assert!(Group::open(&path, SpillLayout { buckets: 4, files: 4 }).unwrap().is_none());
        let whole = fs::read(&path).unwrap();
        for length in [0, 7, 40, whole.len() / 2, whole.len() - 1] {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(Group::open(&path, LAYOUT).unwrap().is_none(), "{length} bytes");
        }
        // From the index on, no byte may change.
        let group_bytes = whole.len() - TAIL as usize - serde_json::to_vec(&notes()).unwrap().len() - 8 * 17;
        for at in group_bytes..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).unwrap();
            assert!(Group::open(&path, LAYOUT).unwrap().is_none(), "byte {at}");
        }
    }

    #[test]
    fn a_group_that_another_process_has_finished_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name_of(0));
        GroupWriter::new(path.clone(), LAYOUT).commit(&notes(), || true).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
