//! A set of short strings in order of insertion.
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::clean::clean_name;

/// A set of short strings in order of insertion, in one allocation.
#[derive(Debug, Default)]
pub(super) struct DistinctStrings {
    text: String,
    ends: Vec<usize>,
    /// Indices of the strings by their hash. A record may have many: a linear search would be
    /// quadratic.
    known: HashTable<u32>,
}

impl DistinctStrings {
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
        self.known.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.text[start..end])
    }

    /// Cleans and trims a string and inserts it, unless it is empty or known.
    pub(super) fn insert_cleaned(&mut self, raw: &str, trim: impl Fn(&str) -> &str) {
        let start = self.text.len();
        clean_name(raw, &mut self.text);
        let kept = trim(&self.text[start..]).len();
        self.text.truncate(start + kept);
        let Self { text, ends, known } = self;
        let of = |index: u32| {
            let index = index as usize;
            &text[if index == 0 { 0 } else { ends[index - 1] }..ends[index]]
        };
        let (new, hash) = (&text[start..], xxh3_64(&text.as_bytes()[start..]));
        if new.is_empty() || known.find(hash, |&index| of(index) == new).is_some() {
            text.truncate(start);
        } else {
            known.insert_unique(hash, ends.len() as u32, |&index| xxh3_64(of(index).as_bytes()));
            ends.push(text.len());
        }
    }

    /// Keeps the strings for which `keep` holds.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&str) -> bool) {
        // Most sets keep everything, and then nothing is copied.
        let mut kept: Option<(String, Vec<usize>)> = None;
        let mut start = 0;
        for (at, &end) in self.ends.iter().enumerate() {
            let text = &self.text[start..end];
            if !keep(text) {
                kept.get_or_insert_with(|| (self.text[..start].to_owned(), self.ends[..at].to_vec()));
            } else if let Some((texts, ends)) = &mut kept {
                texts.push_str(text);
                ends.push(texts.len());
            }
            start = end;
        }
        if let Some((text, ends)) = kept {
            (self.text, self.ends) = (text, ends);
            let Self { text, ends, known } = self;
            known.clear();
            let of = |index: u32| {
                let index = index as usize;
                xxh3_64(&text.as_bytes()[if index == 0 { 0 } else { ends[index - 1] }..ends[index]])
            };
            for index in 0..ends.len() as u32 {
                known.insert_unique(of(index), index, |&index| of(index));
            }
        }
    }
}
