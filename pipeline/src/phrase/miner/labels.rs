//! Labels without anyone labelling: lists of names tell good candidates (section C, distant supervision).
use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
};

use super::{
    MineError,
    candidates::Candidates,
    features::Lexical,
    tokens::{Types, types_of},
};
use crate::source::{LineReader, open};

/// What names good phrases.
#[derive(Clone, Debug)]
pub enum List {
    /// A file, one entry a line.
    File(PathBuf),
    /// These.
    Names(Vec<String>),
}

impl List {
    fn each(&self, mut entry: impl FnMut(&str)) -> Result<(), MineError> {
        match self {
            Self::Names(names) => names.iter().for_each(|name| entry(name)),
            Self::File(path) => each_line(path, |line| entry(line))?,
        }
        Ok(())
    }
}

/// Calls `each` with the lines of a file that are not blank.
pub fn each_line(path: &Path, mut each: impl FnMut(&str)) -> Result<(), MineError> {
    let read = |source| MineError::Read { path: path.to_owned(), source };
    let mut lines = LineReader::new(open(path, Arc::default()).map_err(read)?.bytes);
    while let Some(batch) = lines.next_batch(1 << 18) {
        batch.iter().for_each(|(_, line)| each(&String::from_utf8_lossy(line)));
        if let Some((_, source)) = batch.damage {
            return Err(read(source));
        }
    }
    Ok(())
}

/// Words that say little by themselves.
#[derive(Clone, Debug)]
pub struct StopWords(HashSet<String>);

impl StopWords {
    /// English ones, which are part of the program.
    pub fn english() -> &'static Self {
        static ENGLISH: LazyLock<StopWords> = LazyLock::new(|| {
            let lines = include_str!("stop_words.txt").lines().filter(|line| !line.starts_with('#'));
            StopWords(lines.flat_map(str::split_whitespace).map(str::to_owned).collect())
        });
        &ENGLISH
    }

    /// Those of a file, one a line.
    pub fn read(path: &Path) -> Result<Self, MineError> {
        let mut words = HashSet::new();
        each_line(path, |line| {
            words.insert(line.trim().to_lowercase());
        })?;
        Ok(Self(words))
    }

    /// Whether a word in lower case is one. A curly apostrophe is as good as a straight one.
    pub fn contains(&self, word: &str) -> bool {
        self.0.contains(word) || (word.contains('’') && self.0.contains(&word.replace('’', "'")))
    }
}

/// Phrases of the quality lists that are made of words of the text, and are no candidates; there may be equal ones.
#[derive(Debug, Default)]
struct Rare {
    words: Vec<u32>,
    /// Where each ends.
    ends: Vec<usize>,
}

/// What the lists say of the candidates.
#[derive(Debug, Default)]
pub struct Labels {
    of: Vec<Label>,
    rare: Rare,
    /// Entries of the quality lists.
    pub entries: u64,
    lists: u8,
}

/// What the lists say of a candidate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Label {
    /// It is in no list: most of them are no phrases.
    #[default]
    Negative,
    /// It names something, good or not: in no training.
    Unknown,
    /// A good phrase, of the list with this number.
    Positive(u8),
}

impl Labels {
    /// Looks the entries of all lists up. Every stop word is a negative.
    pub fn new(
        types: &Types,
        candidates: &Candidates,
        lexical: &Lexical,
        quality: &[List],
        entities: Option<&List>,
    ) -> Result<Self, MineError> {
        let mut labels = Self { of: vec![Label::Negative; candidates.len()], ..Self::default() };
        let mut words = Vec::new();
        if let Some(entities) = entities {
            entities.each(|entry| {
                if types_of(types, entry, &mut words)
                    && let Some(node) = candidates.find(&words)
                {
                    labels.of[node as usize] = Label::Unknown;
                }
            })?;
        }
        let mut rare = Rare::default();
        let mut entries = 0;
        for (number, list) in (0u8..).zip(quality) {
            list.each(|entry| {
                entries += 1;
                if types_of(types, entry, &mut words) {
                    match candidates.find(&words) {
                        // Of several lists the first one counts.
                        Some(node) => {
                            let label = &mut labels.of[node as usize];
                            if !matches!(label, Label::Positive(_)) {
                                *label = Label::Positive(number);
                            }
                        }
                        None => {
                            rare.words.extend_from_slice(&words);
                            rare.ends.push(rare.words.len());
                        }
                    }
                }
            })?;
        }
        labels.lists = quality.len() as u8;
        labels.entries = entries;
        labels.rare = rare;
        for word in 0..candidates.types() as u32 {
            if lexical.is_stop_word(word) {
                labels.of[word as usize] = Label::Negative;
            }
        }
        Ok(labels)
    }

    /// Phrases of the quality lists that are made of words of the text, and are no candidates.
    pub fn rare(&self) -> impl Iterator<Item = &[u32]> {
        let starts = std::iter::once(0).chain(self.rare.ends.iter().copied());
        starts.zip(&self.rare.ends).map(|(start, &end)| &self.rare.words[start..end])
    }

    /// The positives of each quality list and the negatives among some nodes, as numbers from the first of them.
    pub fn split(&self, nodes: std::ops::Range<u32>) -> (Vec<Vec<u32>>, Vec<u32>) {
        let labels = &self.of[nodes.start as usize..nodes.end as usize];
        let with = |label| (0u32..).zip(labels).filter(|(_, l)| **l == label).map(|(at, _)| at).collect();
        ((0..self.lists).map(|list| with(Label::Positive(list))).collect(), with(Label::Negative))
    }

    /// Takes back positives that were never cut out as a piece.
    pub fn drop_unused(&mut self, counts: &[u64]) {
        for (label, &count) in self.of.iter_mut().zip(counts) {
            if matches!(label, Label::Positive(_)) && count == 0 {
                *label = Label::Unknown;
            }
        }
    }
}
