//! Labels by distant supervision: lists of names mark the good candidates (section C of the
//! specification).
use crate::{
    candidates::Candidates,
    forest::Examples,
    ids::WordId,
    lists::{Lists, QualityList, is_closed_class},
    vocabulary::Vocabulary,
    word_properties::WordProperties,
};

/// Phrases of the quality lists that consist of words of the text but are not candidates. Some may
/// be equal.
#[derive(Debug, Default)]
struct RarePhrases {
    /// The words of all phrases, concatenated.
    words: Vec<WordId>,
    /// Where each phrase ends.
    ends: Vec<usize>,
}

/// The labels of all candidates.
#[derive(Debug)]
pub(crate) struct Labels {
    of: Vec<Label>,
    rare: RarePhrases,
    /// Entries of the quality lists.
    entries: u64,
    learns_from_products: bool,
    /// The lists that phrases are learned from.
    teachers: [u8; 2],
}

// Numbers of the lists that a corpus is learned from.
const THINGS: u8 = 0;
const NAMES: u8 = 1;
const KINDS: u8 = 2;
const BRANDS: u8 = 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Label {
    /// In no list. Most of these are not phrases.
    Negative,
    /// The name of something, good or not. Not learned from.
    Unknown,
    /// In the quality list with this number.
    Positive(u8),
}

impl Labels {
    /// Looks up the entries of all lists. Every stop word is a negative.
    pub(crate) fn new(
        vocabulary: &Vocabulary,
        candidates: &Candidates,
        properties: &WordProperties,
        lists: &Lists<'_>,
    ) -> Self {
        let (quality, learns_from_products) = match &lists.quality {
            QualityList::Phrases(list) => (vec![(THINGS, list)], false),
            QualityList::Products { kinds, brands, common } => {
                let common = common.iter().flat_map(|common| [(THINGS, &common.things), (NAMES, &common.names)]);
                (common.chain([(KINDS, kinds), (BRANDS, brands)]).collect(), true)
            }
        };
        let mut labels = Self {
            of: vec![Label::Negative; candidates.len()],
            rare: RarePhrases::default(),
            entries: 0,
            learns_from_products,
            teachers: [THINGS, NAMES],
        };
        let mut words = Vec::new();
        for entry in lists.entities.iter().flat_map(|list| list.entries()) {
            if vocabulary.find_words(entry, &mut words)
                && let Some(node) = candidates.find(&words)
            {
                labels.of[node.index()] = Label::Unknown;
            }
        }
        // Products name `For Women` and `Sold Out`, though also `The North Face`. They would teach
        // that such words start and end phrases. An encyclopedia has hardly any such titles.
        let is_incomplete = |words: &[WordId]| {
            let [first, .., last] = words else { return false };
            learns_from_products && [first, last].iter().any(|&&word| is_closed_class(vocabulary.text(word)))
        };
        for (number, list) in quality {
            for entry in list.entries() {
                labels.entries += 1;
                if !vocabulary.find_words(entry, &mut words) {
                    continue;
                }
                match candidates.find(&words) {
                    Some(node) => {
                        let label = &mut labels.of[node.index()];
                        if is_incomplete(&words) {
                            *label = Label::Unknown;
                        } else if !matches!(label, Label::Positive(_)) {
                            // Of several lists, the first one counts.
                            *label = Label::Positive(number);
                        }
                    }
                    None => labels.rare.push(&words),
                }
            }
        }
        for word in vocabulary.words().filter(|word| properties.is_stop_word(*word)) {
            labels.of[word.index()] = Label::Negative;
        }
        // Names of the corpus would teach that product lines are the best phrases.
        let is_common = |label: &Label| matches!(label, Label::Positive(THINGS | NAMES));
        if !labels.of[candidates.words()..].iter().any(is_common) {
            labels.teachers = [KINDS, BRANDS];
        }
        labels
    }

    /// Entries of the quality lists.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Phrases of the quality lists that consist of words of the text but are not candidates.
    pub(crate) fn rare(&self) -> impl Iterator<Item = &[WordId]> {
        self.rare.iter()
    }

    /// The examples for candidates of several words: of the lists of the language, or of the names of
    /// the corpus if those name no candidate. Rows are counted from the first such candidate.
    pub(crate) fn of_phrases(&self, candidates: &Candidates) -> Examples {
        let labels = &self.of[candidates.words()..];
        let positives = self.teachers.map(|list| rows(labels, Label::Positive(list)));
        Examples { positives: positives.into(), negatives: vec![rows(labels, Label::Negative)] }
    }

    /// The examples for single words. A row is the number of a word.
    pub(crate) fn of_words(&self, candidates: &Candidates, properties: &WordProperties) -> Examples {
        let labels = &self.of[..candidates.words()];
        let negatives = rows(labels, Label::Negative);
        if !self.learns_from_products {
            return Examples { positives: vec![rows(labels, Label::Positive(THINGS))], negatives: vec![negatives] };
        }
        let word = |row: &u32| WordId::new(*row);
        let frequent = |rows: Vec<u32>| rows.into_iter().filter(|row| candidates.is_frequent_word(word(row)));
        let (stop, other) = frequent(negatives).partition(|row| properties.is_stop_word(word(row)));
        let brands = frequent(rows(labels, Label::Positive(BRANDS))).collect();
        Examples { positives: vec![brands], negatives: vec![stop, other] }
    }

    /// Removes the positives that the segmentation never chose.
    pub(crate) fn drop_unused(&mut self, counts: &[u64]) {
        for (label, &count) in self.of.iter_mut().zip(counts) {
            if matches!(label, Label::Positive(_)) && count == 0 {
                *label = Label::Unknown;
            }
        }
    }
}

impl RarePhrases {
    fn push(&mut self, words: &[WordId]) {
        self.words.extend_from_slice(words);
        self.ends.push(self.words.len());
    }

    fn iter(&self) -> impl Iterator<Item = &[WordId]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, &end)| &self.words[start..end])
    }
}

fn rows(labels: &[Label], wanted: Label) -> Vec<u32> {
    (0u32..).zip(labels).filter(|(_, label)| **label == wanted).map(|(row, _)| row).collect()
}
