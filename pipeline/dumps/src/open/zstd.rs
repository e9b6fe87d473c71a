//! Decompresses a zstd file of any number of frames.
//!
//! The decoder gets one block or header per call, and all of it. A call that fails drops the output
//! that it has written. With larger calls, up to 128 KiB of good text before a damaged block would be
//! lost. With smaller ones, a part of the damaged block would be given, because the decoder copies
//! stored blocks before it has all of them. How much would depend on the caller's buffers.
use std::{
    fs::File,
    io::{self, BufRead, Read},
};

use zstd::{
    stream::raw::{DParameter, Decoder, InBuffer, Operation as _, OutBuffer},
    zstd_safe::zstd_sys::ZSTD_MAGICNUMBER,
};

use super::{peek, read_at};

/// Log2 of the largest window, as `zstd --long=31` writes it. The decoder takes as much memory as
/// the window of a frame.
const LARGEST_WINDOW: u32 = 31;

/// Bytes of a block header.
const BLOCK_HEADER: usize = 3;

/// The most bytes of a block.
const LARGEST_BLOCK: usize = 1 << 17;

/// First bytes of a skippable frame, from and to.
const SKIPPABLE: (u32, u32) = (0x184d_2a50, 0x184d_2a5f);

/// Whether a file with these first bytes is zstd: a frame, or a skippable frame.
pub(super) fn is_magic(start: &[u8]) -> bool {
    let start = start.first_chunk().map(|bytes| u32::from_le_bytes(*bytes));
    start.is_some_and(|start| start == ZSTD_MAGICNUMBER || (SKIPPABLE.0..=SKIPPABLE.1).contains(&start))
}

/// Finds out where the frames of a file begin, without decompressing them: each block has its length in its header.
pub(crate) struct FrameStarts<'f> {
    file: &'f File,
    size: u64,
    /// Where the next frame begins.
    at: u64,
}

impl<'f> FrameStarts<'f> {
    pub(crate) fn of(file: &'f File) -> io::Result<Self> {
        Ok(Self { file, size: file.metadata()?.len(), at: 0 })
    }

    /// The first frame that begins at `from` or behind it, and before `until`. Calls must have growing offsets.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(crate) fn find(&mut self, from: u64, until: u64) -> io::Result<Option<u64>> {
        while self.at < from && self.at < until {
            self.at = self.end(until)?;
        }
        Ok(Some(self.at).filter(|at| *at < until.min(self.size)))
    }

    /// Whether a frame that is not skippable ends within so many bytes, and others follow.
    ///
    /// # Errors
    /// If the disk cannot be read.
    pub(crate) fn has_several(&mut self, within: u64) -> io::Result<bool> {
        while self.at < within.min(self.size) {
            let is_skippable = self.number(self.at)?.is_some_and(|magic| magic != u64::from(ZSTD_MAGICNUMBER));
            self.at = self.end(within + 1)?;
            if !is_skippable {
                return Ok(self.at <= within && self.at < self.size);
            }
        }
        Ok(false)
    }

    /// The end of the frame that begins here. The end of the file if the frame is damaged or cut short: what follows
    /// cannot be read. Any offset from `until` on if the frame ends there or behind it.
    fn end(&self, until: u64) -> io::Result<u64> {
        let Some(magic) = self.number(self.at)? else { return Ok(self.size) };
        if (u64::from(SKIPPABLE.0)..=u64::from(SKIPPABLE.1)).contains(&magic) {
            let length = self.number(self.at + 4)?;
            return Ok(length.map_or(self.size, |length| (self.at + 8 + length).min(self.size)));
        }
        let mut header = [0; 5];
        if magic != u64::from(ZSTD_MAGICNUMBER) || read_at(self.file, &mut header, self.at)? < header.len() {
            return Ok(self.size);
        }
        // RFC 8878, 3.1.1.1: the window, the id of the dictionary, and the size of the content.
        let flags = header[4];
        let is_single_segment = flags >> 5 & 1 == 1;
        let dictionary = [0, 1, 2, 4][usize::from(flags & 3)];
        let content = [u64::from(is_single_segment), 2, 4, 8][usize::from(flags >> 6)];
        let mut at = self.at + header.len() as u64 + u64::from(!is_single_segment) + dictionary + content;
        while at < until {
            let mut block = [0; 4];
            if read_at(self.file, &mut block[..BLOCK_HEADER], at)? < BLOCK_HEADER {
                return Ok(self.size);
            }
            let block = u32::from_le_bytes(block);
            let stored = match block >> 1 & 3 {
                // One byte that is repeated.
                1 => 1,
                0 | 2 => u64::from(block >> 3),
                _ => return Ok(self.size),
            };
            at += BLOCK_HEADER as u64 + stored;
            if block & 1 == 1 {
                let checksum = if flags >> 2 & 1 == 1 { 4 } else { 0 };
                return Ok((at + checksum).min(self.size));
            }
        }
        Ok(at)
    }

    /// Four bytes as a number. `None` where the file ends.
    fn number(&self, at: u64) -> io::Result<Option<u64>> {
        let mut bytes = [0; 4];
        let is_whole = read_at(self.file, &mut bytes, at)? == bytes.len();
        Ok(is_whole.then(|| u64::from(u32::from_le_bytes(bytes))))
    }
}

/// The frames of a zstd file, one after another.
pub(crate) struct Frames<R> {
    compressed: R,
    decoder: Decoder<'static>,
    /// Whether a frame has begun and not ended.
    inside: bool,
    /// Bytes that the decoder asks for, to the end of a block or header.
    wanted: usize,
    /// The block or header that the decoder gets next, as far as it is there.
    next: Vec<u8>,
    /// Whether the last call filled the caller's buffer, so that more output may be ready.
    pending: bool,
}

impl<R: BufRead> Frames<R> {
    pub(crate) fn new(compressed: R) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(LARGEST_WINDOW))?;
        Ok(Self { compressed, decoder, inside: false, wanted: 0, next: Vec::new(), pending: false })
    }
}

impl<R: BufRead> Frames<R> {
    /// Takes the next block or header from the stream, as far as the stream has it.
    fn take_next(&mut self) -> io::Result<()> {
        // Behind a block, the decoder asks for the header of the next as well. That header is
        // left for the next call, because it may be damaged.
        let length = self.wanted.saturating_sub(BLOCK_HEADER).max(self.wanted.min(BLOCK_HEADER));
        // Only a skippable frame is longer. The decoder skips it in any pieces.
        let length = length.clamp(1, LARGEST_BLOCK);
        while self.next.len() < length {
            let there = peek(&mut self.compressed)?;
            let piece = &there[..there.len().min(length - self.next.len())];
            if piece.is_empty() {
                break;
            }
            self.next.extend_from_slice(piece);
            let taken = piece.len();
            self.compressed.consume(taken);
        }
        Ok(())
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if into.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.pending {
                self.take_next()?;
                if self.next.is_empty() {
                    let cut = || io::Error::new(io::ErrorKind::UnexpectedEof, "the zstd stream is cut short");
                    return if self.inside { Err(cut()) } else { Ok(0) };
                }
                if !self.inside {
                    self.decoder.reinit()?;
                }
            }
            let mut source = InBuffer::around(if self.pending { &[] } else { &self.next });
            let mut target = OutBuffer::around(&mut *into);
            let wanted = self
                .decoder
                .run(&mut source, &mut target)
                // Which reason zstd has depends on the size of its buffers.
                .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the zstd stream is corrupt"))?;
            let (taken, given) = (source.pos(), target.pos());
            self.next.drain(..taken);
            // Zero at the end of a frame.
            (self.inside, self.wanted) = (wanted > 0, wanted);
            self.pending = self.inside && given == into.len();
            if given > 0 {
                return Ok(given);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use proptest::prelude::*;

    use super::*;

    /// The output before the end or an error, with buffers of these sizes.
    fn decompress(compressed: &[u8], at_once: usize, buffer: usize) -> (Vec<u8>, Option<io::ErrorKind>) {
        let mut frames = Frames::new(BufReader::with_capacity(buffer, compressed)).unwrap();
        let (mut all, mut some) = (Vec::new(), vec![0; at_once]);
        loop {
            match frames.read(&mut some) {
                Ok(0) => return (all, None),
                Ok(n) => all.extend_from_slice(&some[..n]),
                Err(e) => return (all, Some(e.kind())),
            }
        }
    }

    /// Where the blocks of a frame begin that has neither a checksum nor its size in its header.
    fn blocks(frame: &[u8]) -> Vec<usize> {
        let mut at = 6;
        let mut blocks = Vec::new();
        loop {
            let header = u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], 0]);
            blocks.push(at);
            let stored = if header >> 1 & 3 == 1 { 1 } else { header as usize >> 3 };
            at += BLOCK_HEADER + stored;
            if header & 1 == 1 {
                assert_eq!(at, frame.len());
                return blocks;
            }
        }
    }

    #[test]
    fn all_blocks_before_a_damaged_one_are_given() {
        let text: String = (0..100_000).map(|i| format!("word {} ", i * 7919 % 10_007)).collect();
        let frame = zstd::encode_all(text.as_bytes(), 1).unwrap();
        let blocks = blocks(&frame);
        assert!(blocks.len() > 5, "{blocks:?}");
        let mut given = Vec::new();
        for block in blocks {
            let mut damaged = frame.clone();
            // A reserved type of block.
            damaged[block] |= 3 << 1;
            for (at_once, buffer) in [(1 << 17, 1 << 17), (1 << 20, 1 << 20), (1 << 16, 1 << 17), (1000, 10)] {
                let (all, error) = decompress(&damaged, at_once, buffer);
                assert_eq!(error, Some(io::ErrorKind::InvalidData));
                assert!(text.as_bytes().starts_with(&all));
                given.push(all.len());
                let (all, error) = decompress(&frame[..block], at_once, buffer);
                assert_eq!(error, Some(io::ErrorKind::UnexpectedEof));
                given.push(all.len());
            }
        }
        let given: Vec<&[usize]> = given.chunks(8).collect();
        assert!(given.iter().all(|sizes| sizes.iter().all(|size| *size == sizes[0])), "{given:?}");
        assert!(given[0][0] == 0 && given.windows(2).all(|pair| pair[0][0] < pair[1][0]), "{given:?}");
    }

    /// Of a stored block, the decoder gives what it has, and finds only then that the frame has another length.
    #[test]
    fn damage_in_tiny_frames_leaves_the_same_for_every_size_of_buffer() {
        let mut compressed = Vec::new();
        for text in ["\n[", "{\"a\": \"x\"}\n", "é日\n"] {
            let mut encoder = zstd::Encoder::new(&mut compressed, 1).unwrap();
            encoder.include_checksum(text.len() % 2 == 0).unwrap();
            encoder.set_pledged_src_size(Some(text.len() as u64)).unwrap();
            io::copy(&mut text.as_bytes(), &mut encoder).unwrap();
            encoder.finish().unwrap();
        }
        let mut with_output = 0;
        for (at, bit) in (0..compressed.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut damaged = compressed.clone();
            damaged[at] ^= 1 << bit;
            let wanted = decompress(&damaged, 1 << 10, 1 << 10);
            with_output += usize::from(wanted.1.is_some() && !wanted.0.is_empty());
            for (at_once, buffer) in [(1 << 10, 1), (1 << 10, 3), (1, 1 << 10), (1, 10), (5, 10)] {
                assert_eq!(
                    decompress(&damaged, at_once, buffer),
                    wanted,
                    "bit {bit} of byte {at}, {at_once}, {buffer}"
                );
            }
        }
        assert!(with_output > 100, "{with_output}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn frames_are_decompressed(
            texts in prop::collection::vec(prop::collection::vec("[a-d]{1,9}", 0..300), 0..4),
            at_once in 1usize..5000, buffer in 1usize..300, checksum in any::<bool>(), level in -3..4,
        ) {
            let texts: Vec<String> = texts.iter().map(|words| words.concat()).collect();
            let mut compressed = Vec::new();
            for text in &texts {
                let mut encoder = zstd::Encoder::new(&mut compressed, level).unwrap();
                encoder.include_checksum(checksum).unwrap();
                io::copy(&mut text.as_bytes(), &mut encoder).unwrap();
                encoder.finish().unwrap();
                // A skippable frame.
                compressed.extend(b"\x5a\x2a\x4d\x18\x05\x00\x00\x00hello");
            }
            let (all, error) = decompress(&compressed, at_once, buffer);
            prop_assert_eq!(error, None);
            prop_assert_eq!(all, texts.concat().into_bytes());
        }

        #[test]
        fn damage_leaves_the_same_for_every_size_of_buffer(
            words in prop::collection::vec("[a-z]{1,9} ", 1..500), at in any::<prop::sample::Index>(),
            with in prop::collection::vec(any::<u8>(), 1..50), at_once in 1usize..5000, buffer in 1usize..300,
        ) {
            let text: String = (0..60_000).map(|i| format!("{}{} ", words[i % words.len()], i * i % 977)).collect();
            let mut compressed = zstd::encode_all(text.as_bytes(), 1).unwrap();
            let at = at.index(compressed.len());
            for (byte, with) in compressed[at..].iter_mut().zip(with) {
                *byte ^= with;
            }
            prop_assert_eq!(decompress(&compressed, at_once, buffer), decompress(&compressed, 1 << 20, 1 << 20));
        }
    }
}
