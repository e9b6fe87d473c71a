//! Frames: the binary form of a record in a spill file.
//!
//! A frame is a head ([`HEAD`] bytes: length, checksum, group, document, file, line), then the
//! record's fields. Numbers are little-endian, and a text is its length in bytes, then its bytes.
use std::{
    io::{self, BufReader, Read},
    path::{Path, PathBuf},
};

use ebert_dumps::MAX_LINE;
use schemas::{DocumentId, Relation, ReviewerId, StoreError, TextId};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::sections::{Section, SectionReader};

/// Where a record was read: number of the raw file in name order, and line from 1. It orders records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) file: u32,
    pub(crate) line: u64,
}

impl Position {
    /// Bits for the line in a range.
    const LINE_BITS: u32 = 40;

    /// A record in a range of a raw file, by its number. How many lines come before the range is not known, so the
    /// number of the line begins with that of the range. The order is the same.
    pub(crate) fn in_range(file: u32, range: u32, line: u64) -> Self {
        Self { file, line: u64::from(range) << Self::LINE_BITS | line }
    }
}

/// Records of one group meet in one bucket: those of a product, the reviews with one text, and the
/// interactions of a reviewer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct GroupId(u64);

impl GroupId {
    pub(crate) const fn new(id: u64) -> Self {
        Self(id)
    }

    pub(crate) const fn get(self) -> u64 {
        self.0
    }

    /// Number of the group's bucket, below `buckets`.
    pub(crate) const fn bucket(self, buckets: u32) -> u32 {
        (self.0 % buckets as u64) as u32
    }
}

impl From<DocumentId> for GroupId {
    fn from(product: DocumentId) -> Self {
        Self(product.get())
    }
}

impl From<TextId> for GroupId {
    fn from(text: TextId) -> Self {
        Self(text.get())
    }
}

impl From<ReviewerId> for GroupId {
    fn from(reviewer: ReviewerId) -> Self {
        Self(reviewer.get())
    }
}

/// Which frames are equal, and where they come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FrameKey {
    pub(crate) group: GroupId,
    /// The product or review. Of an interaction: its product.
    pub(crate) document: DocumentId,
    pub(crate) position: Position,
}

/// A record on its way to its bucket.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) key: FrameKey,
    /// [`ProductFields`], [`ReviewFields`], [`InteractionFields`] or [`VariantFields`], encoded.
    pub(crate) fields: &'a [u8],
    /// All of the frame, head included.
    pub(crate) bytes: &'a [u8],
}

/// Bytes before the fields.
const HEAD: usize = 4 + 4 + 8 + 8 + 4 + 8;

/// Bytes before what the checksum covers: the length and the checksum itself.
const UNSUMMED: usize = 4 + 4;

/// Upper bound of a frame's fields. A record is one line, and its cleaned text is stored at most twice.
const LONGEST: usize = 8 * MAX_LINE;

fn checksum(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32
}

impl<'a> Frame<'a> {
    /// Appends a frame to `into`; `write_fields` appends its fields.
    pub(crate) fn write(into: &mut Vec<u8>, key: FrameKey, write_fields: impl FnOnce(&mut Vec<u8>)) {
        let start = into.len();
        into.extend_from_slice(&[0; UNSUMMED]);
        into.extend_from_slice(&key.group.get().to_le_bytes());
        into.extend_from_slice(&key.document.get().to_le_bytes());
        into.extend_from_slice(&key.position.file.to_le_bytes());
        into.extend_from_slice(&key.position.line.to_le_bytes());
        write_fields(into);
        let length = (into.len() - start - HEAD) as u32;
        let sum = checksum(&into[start + UNSUMMED..]);
        into[start..start + 4].copy_from_slice(&length.to_le_bytes());
        into[start + 4..start + UNSUMMED].copy_from_slice(&sum.to_le_bytes());
    }

    /// Decodes the frame at the start of `bytes`. `None` if it is incomplete or its checksum does not
    /// match.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let (frame, sum) = Self::split(bytes)?;
        (sum == checksum(&frame.bytes[UNSUMMED..])).then_some(frame)
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
        let (group, document) = (GroupId::new(fields.u64()?), DocumentId::new(fields.u64()?));
        let position = Position { file: fields.u32()?, line: fields.u64()? };
        let bytes = bytes.get(..HEAD + length)?;
        Some((Self { key: FrameKey { group, document, position }, fields: &bytes[HEAD..], bytes }, sum))
    }
}

/// The fields of a product.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProductFields<'a> {
    /// The record has no text: only its associations count.
    pub(crate) empty: bool,
    pub(crate) product_id: &'a str,
    pub(crate) title: &'a str,
    pub(crate) text: &'a str,
    pub(crate) text_id: TextId,
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
        into.extend_from_slice(&self.text_id.get().to_le_bytes());
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
        let text_id = TextId::new(from.u64()?);
        let categories = from.list(|f| f.text())?;
        let attributes = from.list(|f| f.text())?;
        let associations = from.list(|f| {
            let relation = f.bytes(1)?[0];
            let relation = [Relation::Complement, Relation::Substitute].into_iter().find(|r| *r as u8 == relation)?;
            Some((relation, f.text()?))
        })?;
        Some(Self { empty, product_id, title, text, text_id, categories, brand, attributes, associations })
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

/// The fields of an interaction. The frame's group is the reviewer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InteractionFields<'a> {
    pub(crate) product_id: &'a str,
    /// The id may be that of a variant: the record does not name the parent.
    pub(crate) may_be_variant: bool,
    /// In seconds since 1970.
    pub(crate) time: Option<i64>,
}

impl<'a> InteractionFields<'a> {
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.may_be_variant) | u8::from(self.time.is_some()) << 1);
        into.extend_from_slice(&self.time.unwrap_or_default().to_le_bytes());
        put_text(into, self.product_id);
    }

    /// `None` if these are not the fields of an interaction.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = FieldReader(bytes);
        let flags = from.bytes(1)?[0];
        let time = Some(from.u64()? as i64).filter(|_| flags & 2 != 0);
        Some(Self { product_id: from.text()?, may_be_variant: flags & 1 != 0, time })
    }
}

/// A record that names a variant and its parent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VariantFields<'a> {
    pub(crate) variant: &'a str,
    pub(crate) parent: &'a str,
}

impl<'a> VariantFields<'a> {
    pub(crate) fn write(&self, into: &mut Vec<u8>) {
        put_text(into, self.variant);
        put_text(into, self.parent);
    }

    /// `None` if these are not the fields of a variant.
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut from = FieldReader(bytes);
        Some(Self { variant: from.text()?, parent: from.text()? })
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

/// The frames of one bucket on disk, unsorted.
#[derive(Clone, Debug)]
pub(crate) struct SpilledFrames {
    /// Where they are.
    pub(crate) sections: Vec<Section>,
    /// Names the bucket in messages, and begins the names of temporary files.
    pub(crate) name: PathBuf,
}

impl SpilledFrames {
    /// Those in a spill file.
    pub(crate) fn of_file(path: &Path) -> Result<Self, StoreError> {
        Ok(Self { sections: vec![Section::whole(path)?], name: path.to_owned() })
    }

    /// Their size.
    pub(crate) fn bytes(&self) -> u64 {
        self.sections.iter().map(|section| section.bytes.end - section.bytes.start).sum()
    }

    /// Reads them.
    pub(crate) fn read(&self) -> Result<FrameReader, StoreError> {
        FrameReader::new(self.sections.clone())
    }
}

/// Reads frames one after another without holding more than one.
pub(crate) struct FrameReader {
    sections: std::vec::IntoIter<Section>,
    /// Of the section that is being read.
    path: PathBuf,
    reader: Option<BufReader<SectionReader>>,
    frame: Vec<u8>,
}

impl FrameReader {
    /// Reads sections one after another. Opens the first of them.
    pub(crate) fn new(sections: Vec<Section>) -> Result<Self, StoreError> {
        let sections = sections.into_iter();
        let mut frames = Self { sections, path: PathBuf::new(), reader: None, frame: Vec::new() };
        frames.open_next()?;
        Ok(frames)
    }

    /// Reads a spill file.
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        Self::new(vec![Section::whole(path)?])
    }

    /// Opens the next section. Returns false after the last one.
    fn open_next(&mut self) -> Result<bool, StoreError> {
        let Some(section) = self.sections.next() else { return Ok(false) };
        self.path.clone_from(&section.path);
        self.reader = Some(section.open()?);
        Ok(true)
    }

    /// The next frame, verified. `None` at the end.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame<'_>>, StoreError> {
        self.frame.resize(HEAD, 0);
        loop {
            if let Some(reader) = &mut self.reader {
                let read = reader.read(&mut self.frame[..1]).map_err(StoreError::io("read", &self.path))?;
                if read > 0 {
                    break;
                }
            }
            if !self.open_next()? {
                return Ok(None);
            }
        }
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let error = |e| StoreError::io("read", &self.path)(e);
        reader.read_exact(&mut self.frame[1..HEAD]).map_err(error)?;
        let length = FieldReader(&self.frame).u32().unwrap_or(0) as usize;
        if length > LONGEST {
            return Err(malformed(&self.path));
        }
        self.frame.resize(HEAD + length, 0);
        reader.read_exact(&mut self.frame[HEAD..]).map_err(error)?;
        Frame::read(&self.frame).map(Some).ok_or_else(|| malformed(&self.path))
    }

    /// The bytes of the frame that was read last.
    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame
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

    fn product<'a>(associations: Vec<(Relation, &'a str)>) -> ProductFields<'a> {
        let (categories, attributes, text_id) = (vec!["Tea"], Vec::new(), TextId::new(7));
        let (product_id, title, text, brand) = ("B0", "Tea", "Tea", "");
        ProductFields { empty: false, product_id, title, text, text_id, categories, brand, attributes, associations }
    }

    #[test]
    fn interactions_and_variants_are_read_back() {
        for (may_be_variant, time) in [(true, None), (false, Some(-7)), (true, Some(1_472_688_000))] {
            let fields = InteractionFields { product_id: "B0", may_be_variant, time };
            let mut bytes = Vec::new();
            fields.write(&mut bytes);
            assert_eq!(InteractionFields::read(&bytes), Some(fields));
        }
        let fields = VariantFields { variant: "B0x", parent: "B0" };
        let mut bytes = Vec::new();
        fields.write(&mut bytes);
        assert_eq!(VariantFields::read(&bytes), Some(fields));
    }

    #[test]
    fn an_unknown_relation_is_not_read() {
        for relation in [Relation::Complement, Relation::Substitute] {
            let fields = product(vec![(relation, "B1")]);
            let mut bytes = Vec::new();
            fields.write(&mut bytes);
            assert_eq!(ProductFields::read(&bytes), Some(fields));
            let at = bytes.len() - 4 - "B1".len() - 1;
            bytes[at] = 2;
            assert_eq!(ProductFields::read(&bytes), None);
        }
    }

    #[test]
    fn any_changed_bit_of_a_frame_is_noticed() {
        let fields = ReviewFields { product_id: Some("B0"), text: "A good kettle", rating: Some(4.0) };
        let mut bytes = Vec::new();
        let position = Position { file: 1, line: 7 };
        let key = FrameKey { group: GroupId::new(3), document: DocumentId::new(9), position };
        Frame::write(&mut bytes, key, |into| fields.write(into));
        let frame = Frame::read(&bytes).unwrap();
        assert_eq!((frame.key, frame.bytes), (key, &bytes[..]));
        assert_eq!(ReviewFields::read(frame.fields), Some(fields));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Frame::read(&changed).is_none(), "bit {bit}");
        }
    }
}
