//! A trained tagger and chunker, and their file format.
//!
//! A file is one line that names the format ([`MAGIC`]), then zstd. Its content is the tags, the
//! dictionary, and the weights of the tagger and of the chunker. Words and features are in
//! ascending order and stored as differences. A number is stored seven bits at a time, the lowest
//! first, in as few bytes as it needs. Each model has exactly one content: whatever
//! [`Model::to_bytes`] would not write is refused.
use std::io;

use hashbrown::HashMap;

use crate::{
    chunker::{self, Chunker},
    features::Feature,
    tagger::{MOST_TAGS, Tagger},
    weights::{Cell, FeatureRow, MOST_CELLS, Weights},
};

/// A tagger, and a chunker that was trained with its tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Part-of-speech tags.
    pub tagger: Tagger,
    /// Noun phrases.
    pub chunker: Chunker,
}

/// Bytes are not a model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The first line is missing or names another version.
    #[error("not a model of this version, expected the first line `{}`", MAGIC.trim_end())]
    FirstLine,
    /// The content after the first line is damaged or too large.
    #[error("its content cannot be decompressed")]
    Decompress(#[source] io::Error),
    /// The content ends too early.
    #[error("its content is cut short")]
    CutShort,
    /// The content is too long.
    #[error("its content has {count} bytes after the last weight")]
    TrailingBytes {
        /// The number of bytes.
        count: usize,
    },
    /// A number does not fit 32 bits, or is longer than necessary.
    #[error("it has a number of more than 32 bits, or a padded number")]
    Number,
    /// There are no tags, or too many.
    #[error("it has {found} tags, expected 1 to {MOST_TAGS}")]
    TagCount {
        /// The number of tags.
        found: u32,
    },
    /// The name of a tag is not UTF-8.
    #[error("the name of a tag is not UTF-8")]
    TagName,
    /// The dictionary gives a word a tag that the model does not have.
    #[error("its dictionary has tag {found}, but there are {tags} tags")]
    UnknownTag {
        /// The tag, from 0.
        found: u8,
        /// The number of tags.
        tags: usize,
    },
    /// A weight is for a label that the tagger or the chunker does not have.
    #[error("it has a weight for label {found}, but there are {labels} labels")]
    UnknownLabel {
        /// The label, from 0.
        found: u8,
        /// The number of labels.
        labels: usize,
    },
    /// A feature has no weights, or more than there are labels.
    #[error("it has a feature with {found} weights, expected 1 to {labels}")]
    RowLength {
        /// The number of weights.
        found: u8,
        /// The number of labels.
        labels: usize,
    },
    /// Words, features, or the labels of a feature are repeated or not sorted.
    #[error("its words, features or labels are not in ascending order")]
    Order,
    /// Weights that are zero are not stored.
    #[error("it has a weight of zero")]
    ZeroWeight,
    /// The tagger or the chunker has too many weights.
    #[error("it has more than {MOST_CELLS} weights")]
    TooManyWeights,
}

/// The first line of a file.
const MAGIC: &str = "ebert tagger and chunker, version 1\n";

/// The most bytes of a model's content.
const MOST_BYTES: usize = 64 << 20;

#[cfg(feature = "weights")]
static EMBEDDED: &[u8] = include_bytes!("../models/english.bin");

impl Model {
    /// The model inside the crate. Needs the feature `weights`, a default feature.
    #[cfg(feature = "weights")]
    pub fn embedded() -> &'static Self {
        static MODEL: std::sync::LazyLock<Model> = std::sync::LazyLock::new(|| {
            Model::from_bytes(EMBEDDED).expect("the embedded model is valid, as a test checks")
        });
        &MODEL
    }

    /// The BLAKE3 hash of the file of [`embedded`](Self::embedded), in hex.
    #[cfg(feature = "weights")]
    pub fn embedded_blake3() -> &'static str {
        static HASH: std::sync::LazyLock<String> =
            std::sync::LazyLock::new(|| blake3::hash(EMBEDDED).to_hex().to_string());
        &HASH
    }

    /// Writes a file.
    ///
    /// # Errors
    /// If zstd fails, or if the model is larger than [`from_bytes`](Self::from_bytes) accepts.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        let content = self.encode();
        if content.len() > MOST_BYTES {
            let message = format!("the model has {} bytes, more than {MOST_BYTES}", content.len());
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        let mut file = MAGIC.as_bytes().to_vec();
        file.extend(zstd::bulk::compress(&content, 19)?);
        Ok(file)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// If the bytes are not exactly what [`to_bytes`](Self::to_bytes) writes for some model.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ModelError> {
        let compressed = file.strip_prefix(MAGIC.as_bytes()).ok_or(ModelError::FirstLine)?;
        Self::decode(&zstd::bulk::decompress(compressed, MOST_BYTES).map_err(ModelError::Decompress)?)
    }

    fn encode(&self) -> Vec<u8> {
        let Self { tagger, chunker } = self;
        let mut content = Vec::new();
        put_number(&mut content, tagger.tags.len() as u32);
        for tag in &tagger.tags {
            put_number(&mut content, tag.len() as u32);
            content.extend_from_slice(tag.as_bytes());
        }
        let mut words: Vec<(u32, u8)> = tagger.dictionary.iter().map(|(word, tag)| (*word, *tag)).collect();
        words.sort_unstable();
        put_number(&mut content, words.len() as u32);
        let mut last = 0;
        for (word, tag) in words {
            put_number(&mut content, word - last);
            content.push(tag);
            last = word;
        }
        for weights in [&tagger.weights, &chunker.weights] {
            let rows = weights.rows();
            put_number(&mut content, rows.len() as u32);
            let mut last = 0;
            for row in &rows {
                put_number(&mut content, row.feature.0 - last);
                last = row.feature.0;
            }
            content.extend(rows.iter().map(|row| row.cells.len() as u8));
            content.extend(rows.iter().flat_map(|row| row.cells.iter().map(|cell| cell.label)));
            content.extend(rows.iter().flat_map(|row| row.cells.iter().map(|cell| cell.weight as u8)));
        }
        content
    }

    fn decode(content: &[u8]) -> Result<Self, ModelError> {
        let mut decoder = Decoder { rest: content };
        let tags = decoder.tags()?;
        let dictionary = decoder.dictionary(tags.len())?;
        let weights = decoder.weights(tags.len())?;
        let tagger = Tagger { tags, dictionary, weights };
        let chunker = Chunker { weights: decoder.weights(chunker::ALL_LABELS)? };
        match decoder.rest.len() {
            0 => Ok(Self { tagger, chunker }),
            count => Err(ModelError::TrailingBytes { count }),
        }
    }
}

fn put_number(content: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        content.push(number as u8 | 0x80);
        number >>= 7;
    }
    content.push(number as u8);
}

/// Reads a content from its start.
struct Decoder<'c> {
    rest: &'c [u8],
}

impl<'c> Decoder<'c> {
    fn take(&mut self, count: usize) -> Result<&'c [u8], ModelError> {
        self.rest.split_off(..count).ok_or(ModelError::CutShort)
    }

    fn byte(&mut self) -> Result<u8, ModelError> {
        self.rest.split_off_first().copied().ok_or(ModelError::CutShort)
    }

    fn number(&mut self) -> Result<u32, ModelError> {
        let mut number = 0;
        for shift in (0..u32::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u32::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                return Err(ModelError::Number);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return if byte == 0 && shift > 0 { Err(ModelError::Number) } else { Ok(number) };
            }
        }
        Err(ModelError::Number)
    }

    /// The next of several numbers in ascending order, after `last`.
    fn ascending(&mut self, last: Option<u32>) -> Result<u32, ModelError> {
        match (last, self.number()?) {
            (None, first) => Ok(first),
            (Some(_), 0) => Err(ModelError::Order),
            (Some(last), difference) => last.checked_add(difference).ok_or(ModelError::Order),
        }
    }

    fn tags(&mut self) -> Result<Vec<String>, ModelError> {
        let count = self.number()?;
        if !(1..=MOST_TAGS).contains(&(count as usize)) {
            return Err(ModelError::TagCount { found: count });
        }
        let mut tags = Vec::new();
        for _ in 0..count {
            let length = self.number()? as usize;
            let name = std::str::from_utf8(self.take(length)?).map_err(|_| ModelError::TagName)?;
            tags.push(name.to_owned());
        }
        Ok(tags)
    }

    fn dictionary(&mut self, tags: usize) -> Result<HashMap<u32, u8>, ModelError> {
        let mut dictionary = HashMap::new();
        let mut last = None;
        for _ in 0..self.number()? {
            let word = self.ascending(last)?;
            last = Some(word);
            let tag = self.byte()?;
            if usize::from(tag) >= tags {
                return Err(ModelError::UnknownTag { found: tag, tags });
            }
            dictionary.insert(word, tag);
        }
        Ok(dictionary)
    }

    fn weights(&mut self, labels: usize) -> Result<Weights, ModelError> {
        let count = self.number()? as usize;
        let mut features = Vec::new();
        let mut last = None;
        for _ in 0..count {
            let feature = self.ascending(last)?;
            last = Some(feature);
            features.push(Feature(feature));
        }
        let lengths = self.take(count)?;
        if let Some(&found) = lengths.iter().find(|length| !(1..=labels).contains(&usize::from(**length))) {
            return Err(ModelError::RowLength { found, labels });
        }
        let cells = lengths.iter().map(|length| usize::from(*length)).sum();
        let (all_labels, all_weights) = (self.take(cells)?, self.take(cells)?);
        if let Some(&found) = all_labels.iter().find(|label| usize::from(**label) >= labels) {
            return Err(ModelError::UnknownLabel { found, labels });
        }
        if all_weights.contains(&0) {
            return Err(ModelError::ZeroWeight);
        }
        let mut cells =
            all_labels.iter().zip(all_weights).map(|(&label, &weight)| Cell { label, weight: weight as i8 });
        let mut rows = Vec::new();
        for (feature, &length) in features.into_iter().zip(lengths) {
            let cells: Vec<Cell> = cells.by_ref().take(usize::from(length)).collect();
            if !cells.is_sorted_by(|a, b| a.label < b.label) {
                return Err(ModelError::Order);
            }
            rows.push(FeatureRow { feature, cells });
        }
        Weights::new(&rows).ok_or(ModelError::TooManyWeights)
    }
}

#[cfg(test)]
mod tests;
