//! The trained tagger and chunker as a file.
//!
//! `pipeline/english/models/english.bin` is part of the program; its notice beside it says what it was trained on. The file is one line that says
//! what it is, then zstd: the tags, the dictionary, and the two models' rows, sorted by feature, differences instead of features.
use std::sync::LazyLock;

use hashbrown::HashMap;

use super::{
    chunker::Chunker,
    perceptron::{MOST_CELLS, MOST_LABELS, Weights},
    tagger::Tagger,
};

/// A tagger and the chunker that was trained with its tags.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// Parts of speech.
    pub tagger: Tagger,
    /// Noun phrases.
    pub chunker: Chunker,
}

/// Bytes are no model.
#[derive(Debug, thiserror::Error)]
#[error("found no model of this version, wanted `{}`", MAGIC.trim_end())]
pub struct ModelError;

const MAGIC: &str = "ebert tagger and chunker, version 1\n";

/// No file is larger than this when it is unpacked.
const MOST_BYTES: usize = 64 << 20;

static EMBEDDED: &[u8] = include_bytes!("../models/english.bin");

impl Model {
    /// The model of the project.
    pub fn embedded() -> &'static Self {
        // A test reads it, so it can be read.
        static MODEL: LazyLock<Model> = LazyLock::new(|| Model::from_bytes(EMBEDDED).unwrap_or_default());
        &MODEL
    }

    /// Hash of the model of the project, in hex: what noun phrases are made from.
    pub fn embedded_blake3() -> &'static str {
        static HASH: LazyLock<String> = LazyLock::new(|| blake3::hash(EMBEDDED).to_hex().to_string());
        &HASH
    }

    /// The model as a file.
    pub fn to_bytes(&self) -> std::io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        put(&mut bytes, self.tagger.tags.len() as u32);
        for tag in &self.tagger.tags {
            put(&mut bytes, tag.len() as u32);
            bytes.extend_from_slice(tag.as_bytes());
        }
        let mut words: Vec<(u32, u8)> = self.tagger.dictionary.iter().map(|(w, t)| (*w, *t)).collect();
        words.sort_unstable();
        put(&mut bytes, words.len() as u32);
        let mut last = 0;
        for (word, tag) in words {
            put(&mut bytes, word - last);
            bytes.push(tag);
            last = word;
        }
        for weights in [&self.tagger.weights, &self.chunker.weights] {
            let rows = weights.rows();
            put(&mut bytes, rows.len() as u32);
            let mut last = 0;
            for (feature, _) in &rows {
                put(&mut bytes, feature - last);
                last = *feature;
            }
            bytes.extend(rows.iter().map(|row| row.1.len() as u8));
            bytes.extend(rows.iter().flat_map(|row| row.1.iter().map(|cell| cell.0)));
            bytes.extend(rows.iter().flat_map(|row| row.1.iter().map(|cell| cell.1 as u8)));
        }
        let mut file = MAGIC.as_bytes().to_vec();
        file.extend(zstd::bulk::compress(&bytes, 19)?);
        Ok(file)
    }

    /// Reads a file.
    pub fn from_bytes(file: &[u8]) -> Result<Self, ModelError> {
        let packed = file.strip_prefix(MAGIC.as_bytes()).ok_or(ModelError)?;
        let bytes = zstd::bulk::decompress(packed, MOST_BYTES).map_err(|_| ModelError)?;
        read(&mut bytes.as_slice()).filter(|m| m.tagger.tags.len() < MOST_LABELS).ok_or(ModelError)
    }
}

fn read(from: &mut &[u8]) -> Option<Model> {
    let mut model = Model::default();
    for _ in 0..get(from)? {
        let length = get(from)? as usize;
        model.tagger.tags.push(String::from_utf8(from.split_off(..length)?.to_vec()).ok()?);
    }
    let (words, mut word) = (get(from)?, 0u32);
    let mut dictionary = HashMap::new();
    for _ in 0..words {
        word = word.wrapping_add(get(from)?);
        dictionary.insert(word, *from.split_off_first()?);
    }
    model.tagger.dictionary = dictionary;
    let mut weights = || {
        let (count, mut feature) = (get(from)? as usize, 0u32);
        let mut features = Vec::new();
        for _ in 0..count {
            feature = feature.wrapping_add(get(from)?);
            features.push(feature);
        }
        let lengths = from.split_off(..count)?;
        let cells = lengths.iter().map(|l| usize::from(*l)).sum();
        if cells > MOST_CELLS {
            return None;
        }
        let (mut labels, mut values) = (from.split_off(..cells)?, from.split_off(..cells)?);
        let mut rows = Vec::new();
        for (feature, &length) in features.into_iter().zip(lengths) {
            let length = usize::from(length).min(MOST_LABELS - 1);
            let (labels, values) = (labels.split_off(..length)?, values.split_off(..length)?);
            rows.push((feature, labels.iter().zip(values).map(|(l, v)| (*l, *v as i8)).collect()));
        }
        Some(Weights::new(rows))
    };
    model.tagger.weights = weights()?;
    model.chunker.weights = weights()?;
    Some(model)
}

/// A number in as few bytes as it needs, seven bits each, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u32) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn get(from: &mut &[u8]) -> Option<u32> {
    let mut number = 0;
    for shift in (0..35).step_by(7) {
        let byte = *from.split_off_first()?;
        number |= u32::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_model_is_one_and_small() {
        let model = Model::from_bytes(EMBEDDED).unwrap();
        assert!(model.tagger.tags().len() > 40);
        assert!(EMBEDDED.len() < 3 << 20, "{}", EMBEDDED.len());
        assert_eq!(Model::from_bytes(&model.to_bytes().unwrap()).unwrap(), model);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        for bytes in [&b""[..], MAGIC.as_bytes(), b"something else", &EMBEDDED[..EMBEDDED.len() / 2]] {
            assert!(Model::from_bytes(bytes).is_err());
        }
    }
}
