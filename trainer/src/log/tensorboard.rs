//! Event files for TensorBoard: TFRecord frames around `tensorflow.Event` messages.
//!
//! Formats: <https://www.tensorflow.org/tutorials/load_data/tfrecord> (a length and its masked
//! crc32c, the data and theirs) and `tensorflow/core/util/event.proto`; protocol buffers are
//! written by hand, as there are six fields.
use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

/// An event file being written.
#[derive(Debug)]
pub(super) struct EventFile {
    path: PathBuf,
    file: BufWriter<File>,
}

impl EventFile {
    /// Starts a file in a run's folder. What other files there have at `step` and later no longer
    /// counts.
    pub(super) fn create(folder: &Path, step: u64) -> io::Result<Self> {
        let seconds = now();
        let path = folder.join(format!("events.out.tfevents.{}.{}.ebert", seconds as u64, std::process::id()));
        let mut events = Self { file: BufWriter::new(File::create(&path)?), path };
        let mut version = Message::default();
        version.double(1, seconds);
        version.bytes(3, b"brain.Event:2");
        events.write(&version)?;
        // A session that starts at this step: TensorBoard drops what an earlier one wrote from
        // there on.
        let mut start = Message::default();
        start.varint(1, 1);
        let mut event = Message::default();
        event.double(1, seconds);
        event.varint(2, step);
        event.bytes(7, &start.0);
        events.write(&event)?;
        Ok(events)
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Notes values at a step.
    pub(super) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> io::Result<()> {
        let mut summary = Message::default();
        for (tag, value) in values {
            let mut entry = Message::default();
            entry.bytes(1, tag.as_bytes());
            entry.float(2, *value as f32);
            summary.bytes(1, &entry.0);
        }
        let mut event = Message::default();
        event.double(1, now());
        event.varint(2, step);
        event.bytes(5, &summary.0);
        self.write(&event)
    }

    /// Hands what was noted to the operating system.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }

    fn write(&mut self, event: &Message) -> io::Result<()> {
        let length = (event.0.len() as u64).to_le_bytes();
        self.file.write_all(&length)?;
        self.file.write_all(&masked_crc(&length).to_le_bytes())?;
        self.file.write_all(&event.0)?;
        self.file.write_all(&masked_crc(&event.0).to_le_bytes())
    }
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |d| d.as_secs_f64())
}

fn masked_crc(data: &[u8]) -> u32 {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// A protocol buffer message.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u8, wire: u8) {
        self.0.push(field << 3 | wire);
    }

    fn raw(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u8, value: u64) {
        self.key(field, 0);
        self.raw(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
    }

    fn float(&mut self, field: u8, value: f32) {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.key(field, 2);
        self.raw(value.len() as u64);
        self.0.extend(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_can_be_followed_and_values_found() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = EventFile::create(folder.path(), 300).unwrap();
        events.scalars(300, &[("loss/word", 2.5)]).unwrap();
        events.flush().unwrap();
        let bytes = std::fs::read(events.path()).unwrap();
        let mut frames = Vec::new();
        let mut at = 0;
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            let crc = |from: usize| u32::from_le_bytes(bytes[from..from + 4].try_into().unwrap());
            assert_eq!(crc(at + 8), masked_crc(&bytes[at..at + 8]));
            let data = &bytes[at + 12..at + 12 + length];
            assert_eq!(crc(at + 12 + length), masked_crc(data));
            frames.push(data.to_vec());
            at += 16 + length;
        }
        assert_eq!(frames.len(), 3);
        assert!(frames[0].ends_with(b"\x1a\x0dbrain.Event:2"));
        // Step 300 as a varint, then a session log whose status is START.
        assert!(frames[1].ends_with(&[0x10, 0xac, 0x02, 0x3a, 2, 0x08, 1]));
        let mut value = b"\x0a\x09loss/word\x15".to_vec();
        value.extend(2.5f32.to_le_bytes());
        assert!(frames[2].ends_with(&value));
    }

    #[test]
    fn the_checksum_is_that_of_the_format() {
        // CRC-32C of "123456789" is 0xe3069283 (RFC 3720's polynomial).
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }
}
