//! Inflates a gzip file of any number of members.
use std::io::{self, BufRead, Read};

use flate2::{Decompress, FlushDecompress, Status};

use super::peek;

/// The first bytes of a member.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// The members of a gzip file, one after another. Zero bytes may follow the last: some writers pad.
pub(super) struct Members<R> {
    compressed: R,
    inflate: Decompress,
    /// Whether a member has begun and not ended.
    inside: bool,
    /// The error that stopped the last call after it had given bytes; the next call returns it.
    error: Option<io::Error>,
}

impl<R: BufRead> Members<R> {
    pub(super) fn new(compressed: R) -> Self {
        Self { compressed, inflate: new_member(), inside: true, error: None }
    }

    /// Starts the next member. Returns whether there is one.
    fn next_member(&mut self) -> io::Result<bool> {
        let mut junk = false;
        loop {
            let next = peek(&mut self.compressed)?;
            let zeros = next.iter().take_while(|b| **b == 0).count();
            if next.is_empty() {
                return Ok(false);
            }
            if zeros < next.len() {
                let begins = next.iter().zip(MAGIC).all(|(found, wanted)| *found == wanted);
                junk |= zeros > 0 || !begins;
                break;
            }
            junk = true;
            self.compressed.consume(zeros);
        }
        if junk {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "bytes after the end of the gzip stream"));
        }
        (self.inflate, self.inside) = (new_member(), true);
        Ok(true)
    }
}

fn new_member() -> Decompress {
    const WINDOW_BITS: u8 = 15;
    Decompress::new_gzip(WINDOW_BITS)
}

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if let Some(error) = self.error.take() {
            return Err(error);
        }
        while !into.is_empty() && (self.inside || self.next_member()?) {
            let compressed = peek(&mut self.compressed)?;
            let ended = compressed.is_empty();
            let (in_before, out_before) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(compressed, into, FlushDecompress::None);
            let (taken, given) = (self.inflate.total_in() - in_before, self.inflate.total_out() - out_before);
            self.compressed.consume(taken as usize);
            let error = |kind, what: &str| Some(io::Error::new(kind, what));
            // Output before an error is good.
            self.error = match status {
                Ok(Status::StreamEnd) => {
                    self.inside = false;
                    None
                }
                Ok(_) if taken + given > 0 => None,
                Ok(_) if ended => error(io::ErrorKind::UnexpectedEof, "the gzip stream is cut short"),
                other => {
                    let why = other.as_ref().err().and_then(|e| e.message()).unwrap_or("nothing can be inflated");
                    error(io::ErrorKind::InvalidData, &format!("the gzip stream is corrupt: {why}"))
                }
            };
            match self.error.take_if(|_| given == 0) {
                Some(error) => return Err(error),
                None if given > 0 => return Ok(given as usize),
                None => {}
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    fn member(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// The output before the end or an error, with buffers of these sizes.
    fn inflate(compressed: &[u8], (at_once, buffer): (usize, usize)) -> (Vec<u8>, Option<io::Error>) {
        let mut members = Members::new(io::BufReader::with_capacity(buffer, compressed));
        let (mut all, mut some) = (Vec::new(), vec![0; at_once]);
        loop {
            match members.read(&mut some) {
                Ok(0) => return (all, None),
                Ok(n) => all.extend_from_slice(&some[..n]),
                Err(e) => return (all, Some(e)),
            }
        }
    }

    /// Texts with repetitions near and far.
    fn texts() -> impl Strategy<Value = Vec<Vec<u8>>> {
        let text = prop::collection::vec(prop_oneof!["[a-d]{1,9}", "the same words again and again"], 0..300);
        prop::collection::vec(text.prop_map(|words| words.concat().into_bytes()), 1..4)
    }

    proptest! {
        #[test]
        fn members_are_inflated(
            texts in texts(), at_once in 1usize..5000, buffer in 1usize..300, zeros in 0usize..20,
        ) {
            let mut compressed: Vec<u8> = texts.iter().flat_map(|text| member(text)).collect();
            let sizes = (at_once, buffer);
            let (all, error) = inflate(&compressed, sizes);
            prop_assert!(error.is_none(), "{error:?}");
            prop_assert_eq!(&all, &texts.concat());
            compressed.extend(vec![0; zeros]);
            let (all, error) = inflate(&compressed, sizes);
            prop_assert!(error.is_none(), "{error:?}");
            prop_assert_eq!(&all, &texts.concat());
            compressed.push(1);
            let (all, error) = inflate(&compressed, sizes);
            prop_assert_eq!(error.map(|e| e.kind()), Some(io::ErrorKind::InvalidData));
            prop_assert_eq!(all, texts.concat());
        }

        #[test]
        fn a_cut_stream_gives_its_beginning(
            texts in texts(), cut in any::<prop::sample::Index>(), at_once in 1usize..5000,
        ) {
            let compressed: Vec<u8> = texts.iter().flat_map(|text| member(text)).collect();
            let ends = texts.iter().scan(0, |end, text| { *end += member(text).len(); Some(*end) });
            let cut = 2 + cut.index(compressed.len() - 2);
            let (all, error) = inflate(&compressed[..cut], (at_once, 64));
            prop_assert!(texts.concat().starts_with(&all));
            match error {
                None => prop_assert!(ends.into_iter().any(|end| end == cut)),
                Some(e) => prop_assert_eq!(e.kind(), io::ErrorKind::UnexpectedEof),
            }
            // The same for every size of buffer.
            let (same, _) = inflate(&compressed[..cut], (1 << 17, 1 << 17));
            prop_assert_eq!(all, same);
        }

        #[test]
        fn bytes_before_damage_are_given(
            text in texts(), at in any::<prop::sample::Index>(), with in 1u8..=255, at_once in 1usize..5000,
        ) {
            let mut compressed = member(&text.concat());
            let at = 10 + at.index(compressed.len() - 10);
            compressed[at] ^= with;
            let (all, error) = inflate(&compressed, (at_once, 64));
            // Some bits have no meaning.
            prop_assert!(error.is_some() || all == text.concat());
            let (same, _) = inflate(&compressed, (1 << 17, 1 << 17));
            prop_assert_eq!(all, same);
        }
    }
}
