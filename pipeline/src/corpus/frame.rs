//! Frames: the binary form of a record in a spill file.
//!
//! A frame is a head ([`HEAD`] bytes: length, checksum, document, file, line), then the record's
//! fields. Numbers are little-endian, and a text is its length in bytes, then its bytes.
use std::{
    fs::File,
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use ebert_dumps::MAX_LINE;
use schemas::{DocumentId, Relation, StoreError};
use xxhash_rust::xxh3::xxh3_64;

/// Where a record was read: number of the raw file in name order, and line from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) file: u32,
    pub(crate) line: u64,
}

/// A record on its way to its bucket.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) document: DocumentId,
    pub(crate) position: Position,
    /// [`ProductFields`] or [`ReviewFields`], encoded.
    pub(crate) fields: &'a [u8],
}

/// Bytes before the fields.
const HEAD: usize = 4 + 4 + 8 + 4 + 8;

/// Bytes before what the checksum covers: the length and the checksum itself.
const UNSUMMED: usize = 4 + 4;

/// Upper bound of a frame's fields. A record is one line, and its cleaned text is stored at most twice.
const LONGEST: usize = 8 * MAX_LINE;

fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

impl<'a> Frame<'a> {
    /// Appends a frame to `into`; `write_fields` appends its fields.
    pub(crate) fn write(
        into: &mut Vec<u8>,
        document: DocumentId,
        position: Position,
        write_fields: impl FnOnce(&mut Vec<u8>),
    ) {
        let start = into.len();
        into.extend_from_slice(&[0; UNSUMMED]);
        into.extend_from_slice(&document.get().to_le_bytes());
        into.extend_from_slice(&position.file.to_le_bytes());
        into.extend_from_slice(&position.line.to_le_bytes());
        write_fields(into);
        let length = (into.len() - start - HEAD) as u32;
        let sum = checksum(&into[start + UNSUMMED..]);
        into[start..start + 4].copy_from_slice(&length.to_le_bytes());
        into[start + 4..start + UNSUMMED].copy_from_slice(&sum.to_le_bytes());
    }

    /// Decodes the frame at the start of `bytes` and returns it with its length, head included.
    /// `None` if the frame is incomplete or its checksum does not match.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<(Self, usize)> {
        let (frame, sum) = Self::split(bytes)?;
        let length = HEAD + frame.fields.len();
        (sum == checksum(&bytes[UNSUMMED..length])).then_some((frame, length))
    }

    /// As [`Frame::read`], for bytes whose checksum was verified before.
    pub(crate) fn read_verified(bytes: &'a [u8]) -> Option<Self> {
        Self::split(bytes).map(|(frame, _)| frame)
    }

    /// The frame at the start of `bytes`, and its stored checksum.
    fn split(bytes: &'a [u8]) -> Option<(Self, u32)> {
        let mut fields = FieldReader(bytes.get(..HEAD)?);
        let length = fields.u32()? as usize;
        let sum = fields.u32()?;
        let document = DocumentId::new(fields.u64()?);
        let position = Position { file: fields.u32()?, line: fields.u64()? };
        Some((Self { document, position, fields: bytes.get(HEAD..HEAD + length)? }, sum))
    }
}

/// The fields of a product.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ProductFields<'a> {
    /// The record has no text: only its associations count.
    pub(crate) empty: bool,
    pub(crate) product_id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    /// Without repetitions, in order of first occurrence.
    pub(crate) categories: Vec<&'a str>,
    /// Empty if the record has none.
    pub(crate) brand: &'a str,
    /// The keys of `details`.
    pub(crate) attributes: Vec<&'a str>,
    pub(crate) associations: Vec<(Relation, &'a str)>,
}

impl<'a> ProductFields<'a> {
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.empty));
        for text in [self.product_id, self.title, self.text, self.brand] {
            put_text(into, text);
        }
        for list in [&self.categories, &self.attributes] {
            into.extend_from_slice(&(list.len() as u32).to_le_bytes());
            list.iter().for_each(|text| put_text(into, text));
        }
        into.extend_from_slice(&(self.associations.len() as u32).to_le_bytes());
        for (relation, other) in &self.associations {
            into.push(*relation as u8);
            put_text(into, other);
        }
    }

    /// `None` if these are not the fields of a product.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = FieldReader(bytes);
        let empty = from.bytes(1)?[0] != 0;
        let (product_id, title, text, brand) = (from.text()?, from.text()?, from.text()?, from.text()?);
        let categories = from.list(|f| f.text())?;
        let attributes = from.list(|f| f.text())?;
        let associations = from.list(|f| {
            let relation =
                if f.bytes(1)?[0] == Relation::Complement as u8 { Relation::Complement } else { Relation::Substitute };
            Some((relation, f.text()?))
        })?;
        Some(Self { empty, product_id, title, text, categories, brand, attributes, associations })
    }
}

/// The fields of a review.
#[derive(Debug, PartialEq)]
pub(crate) struct ReviewFields<'a> {
    /// The product, if the record names one.
    pub(crate) product_id: Option<&'a str>,
    pub(crate) text: &'a str,
    /// Stars.
    pub(crate) rating: Option<f32>,
}

impl<'a> ReviewFields<'a> {
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.product_id.is_some()));
        put_text(into, self.product_id.unwrap_or_default());
        put_text(into, self.text);
        into.extend_from_slice(&self.rating.unwrap_or(f32::NAN).to_le_bytes());
    }

    /// `None` if these are not the fields of a review.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = FieldReader(bytes);
        let has_product = from.bytes(1)?[0] != 0;
        let product_id = Some(from.text()?).filter(|_| has_product);
        let text = from.text()?;
        let rating = Some(f32::from_bits(from.u32()?)).filter(|r| !r.is_nan());
        Some(Self { product_id, text, rating })
    }
}

fn put_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&(text.len() as u32).to_le_bytes());
    into.extend_from_slice(text.as_bytes());
}

/// Takes fields off the front of some bytes.
struct FieldReader<'a>(&'a [u8]);

impl<'a> FieldReader<'a> {
    fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.bytes(8)?.try_into().ok().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        std::str::from_utf8(self.bytes(length)?).ok()
    }

    fn list<T>(&mut self, mut one: impl FnMut(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let length = self.u32()?;
        (0..length).map(|_| one(self)).collect()
    }
}

/// Reads frames one after another without holding more than one.
pub(crate) struct FrameReader {
    path: PathBuf,
    file: BufReader<File>,
    frame: Vec<u8>,
}

impl FrameReader {
    /// Opens a spill file or a sorted run.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::open(path).map_err(StoreError::io("open", path))?;
        Ok(Self { path: path.to_owned(), file: BufReader::with_capacity(1 << 18, file), frame: Vec::new() })
    }

    /// The bytes of the next frame, not verified; `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<&[u8]>, StoreError> {
        let error = |e| StoreError::io("read", &self.path)(e);
        self.frame.resize(HEAD, 0);
        match self.file.read(&mut self.frame[..1]).map_err(error)? {
            0 => return Ok(None),
            _ => self.file.read_exact(&mut self.frame[1..HEAD]).map_err(error)?,
        }
        let length = FieldReader(&self.frame).u32().unwrap_or(0) as usize;
        if length > LONGEST {
            return Err(malformed(&self.path));
        }
        self.frame.resize(HEAD + length, 0);
        self.file.read_exact(&mut self.frame[HEAD..]).map_err(error)?;
        Ok(Some(&self.frame))
    }
}

/// A spill file does not hold what was written.
pub(crate) fn malformed(path: &Path) -> StoreError {
    let found =
        io::Error::new(io::ErrorKind::InvalidData, "it is not as it was written; delete the folder that it is in");
    StoreError::io("read spill file", path)(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_changed_bit_of_a_frame_is_noticed() {
        let fields = ReviewFields { product_id: Some("B0"), text: "A good kettle", rating: Some(4.0) };
        let mut bytes = Vec::new();
        let position = Position { file: 1, line: 7 };
        Frame::write(&mut bytes, DocumentId::new(9), position, |into| fields.write(into));
        let (frame, length) = Frame::read(&bytes).unwrap();
        assert_eq!((frame.document.get(), frame.position, length), (9, position, bytes.len()));
        assert_eq!(ReviewFields::read(frame.fields), Some(fields));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::read(&changed).is_none(), "bit {bit}");
        }
    }
}
