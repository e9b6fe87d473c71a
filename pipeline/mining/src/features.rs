//! Features of candidates (section D of the specification).
use crate::{
    candidates::Candidates,
    forest::Rows,
    ids::{NodeId, WordId},
    occurrences::OccurrenceSums,
    smoothing::EPSILON,
    word_properties::WordProperties,
};

/// Features of a candidate of several words.
const PHRASE_FEATURES: usize = 14;
/// Features of a word.
const WORD_FEATURES: usize = 9;

/// The features of each candidate of several words, in their order.
pub(crate) struct PhraseRows<'a> {
    pub(crate) measurements: Measurements<'a>,
    pub(crate) extension_counts: &'a [u64],
}

impl Rows for PhraseRows<'_> {
    const COLUMNS: usize = PHRASE_FEATURES;

    fn append(&self, row: usize, into: &mut Vec<f32>) {
        let node = NodeId::from_index(self.measurements.candidates.words() + row);
        into.extend(self.measurements.of_phrase(node, self.extension_counts[node.index()]));
    }
}

/// The features of each word.
pub(crate) struct WordRows<'a> {
    pub(crate) measurements: Measurements<'a>,
    pub(crate) extension_counts: &'a [u64],
}

impl Rows for WordRows<'_> {
    const COLUMNS: usize = WORD_FEATURES;

    fn append(&self, row: usize, into: &mut Vec<f32>) {
        into.extend(self.measurements.of_word(WordId::from_index(row), self.extension_counts[row]));
    }
}

/// What features are computed from.
#[derive(Clone, Copy)]
pub(crate) struct Measurements<'a> {
    /// Words of the text.
    pub(crate) text_words: usize,
    pub(crate) candidates: &'a Candidates,
    pub(crate) properties: &'a WordProperties,
    /// How often each node is a phrase: f in the specification.
    pub(crate) counts: &'a [u64],
    pub(crate) sums: &'a OccurrenceSums,
}

/// A candidate split in two, with the number of words of the left part.
struct Parts {
    left: NodeId,
    right: NodeId,
    left_words: usize,
}

impl Measurements<'_> {
    fn of_phrase(&self, node: NodeId, extension_count: u64) -> [f32; PHRASE_FEATURES] {
        let mut words: Vec<WordId> = Vec::new();
        self.candidates.words_of(node, &mut words);
        let length = words.len();
        let properties = self.properties;
        let is_weak = |word: &WordId| properties.is_stop_word_or_number(*word);
        let idf: f64 = words.iter().map(|word| properties.idf(*word)).sum();
        let mut row = [0.0; PHRASE_FEATURES];
        let count = self.count(node);
        if count > 0.0 {
            let Parts { left, right, left_words } = self.likeliest_parts(node, length);
            let concordance = self.probability(node, length)
                / self.probability(left, left_words)
                / self.probability(right, length - left_words);
            row[0] = concordance;
            row[1] = count / (self.count(left) + EPSILON).sqrt() / (self.count(right) + EPSILON).sqrt();
            row[2] = count * concordance.ln();
            let sums = self.sums.of(node);
            let occurrences = sums.count.max(1) as f64;
            if idf > 0.0 {
                row[3] = sums.outside() / occurrences / idf;
            }
            row[4] = sums.quoted as f64 / occurrences;
            row[5] = sums.dashed as f64 / occurrences;
            row[6] = sums.bracketed as f64 / occurrences;
            row[7] = sums.capitalised as f64 / occurrences;
            let shorter = [self.candidates.parent(node), self.candidates.suffix(node)];
            let largest = shorter.into_iter().flatten().map(|shorter| self.count(shorter)).fold(count, f64::max);
            // Completeness: low where a shorter candidate occurs far more often.
            row[12] = count / largest;
            // Super-completeness: high where most occurrences are part of a longer candidate.
            row[13] = extension_count as f64 / count;
        }
        row[8] = f64::from(is_weak(&words[0]));
        row[9] = f64::from(properties.is_stop_word(words[length - 1]));
        row[10] = words.iter().filter(|word| is_weak(word)).count() as f64 / length as f64;
        row[11] = idf / length as f64;
        row.map(|value| value as f32)
    }

    fn of_word(&self, word: WordId, extension_count: u64) -> [f32; WORD_FEATURES] {
        let node = NodeId::from(word);
        let count = self.count(node);
        let mut row = [0.0; WORD_FEATURES];
        row[0] = (count + 1.0).ln();
        row[1] = count / self.candidates.count(node).max(1) as f64;
        row[2] = f64::from(self.properties.is_stop_word_or_number(word));
        row[3] = self.properties.idf(word);
        let sums = self.sums.of(node);
        if sums.count > 0 {
            let occurrences = sums.count as f64;
            row[4] = sums.quoted as f64 / occurrences;
            row[5] = sums.bracketed as f64 / occurrences;
            row[6] = sums.capitalised as f64 / occurrences;
            row[7] = sums.capitals as f64 / occurrences;
            row[8] = extension_count as f64 / count.max(1.0);
        }
        row.map(|value| value as f32)
    }

    fn count(&self, node: NodeId) -> f64 {
        self.counts[node.index()] as f64
    }

    fn probability(&self, node: NodeId, words: usize) -> f64 {
        (self.count(node) + EPSILON) * words as f64 / self.text_words as f64
    }

    /// The split into the two parts with the largest product of probabilities.
    fn likeliest_parts(&self, node: NodeId, length: usize) -> Parts {
        // Prefixes of length - 1 words, length - 2 words, and so on.
        let lefts: Vec<NodeId> =
            std::iter::successors(self.candidates.parent(node), |&left| self.candidates.parent(left)).collect();
        let mut right = self.candidates.suffix(node);
        let mut best = Parts { left: NodeId::default(), right: NodeId::default(), left_words: 0 };
        let mut largest = 0.0;
        for left_words in 1..length {
            let (Some(&left), Some(suffix)) = (lefts.get(length - 1 - left_words), right) else { break };
            let product = self.probability(left, left_words) * self.probability(suffix, length - left_words);
            if product > largest {
                largest = product;
                best = Parts { left, right: suffix, left_words };
            }
            right = self.candidates.suffix(suffix);
        }
        best
    }

    /// The largest count of the candidates that extend each node by one word, on either side.
    pub(crate) fn extension_counts(&self) -> Vec<u64> {
        let mut largest = vec![0; self.candidates.len()];
        for node in self.candidates.longer().map(NodeId::from_index) {
            for shorter in [self.candidates.parent(node), self.candidates.suffix(node)].into_iter().flatten() {
                let largest: &mut u64 = &mut largest[shorter.index()];
                *largest = (*largest).max(self.counts[node.index()]);
            }
        }
        largest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        lists::StopWords,
        occurrences::AllOccurrences,
        passages::Passages,
        testing::{candidates_of, plain_text},
        trie::Trie,
    };

    #[test]
    fn features_are_those_of_the_formulas() {
        // `x y` five times, `x` once and `y` twice more, in documents of three words.
        let tokens = plain_text("x y a . x y b . x y c . x y d . x y x . y e y");
        let properties = WordProperties::new(&tokens, &StopWords::new(["a"]));
        let candidates = candidates_of(&tokens, 2, 3);
        let find = |word: &str| tokens.vocabulary.find(word).unwrap();
        let node = candidates.find(&[find("x"), find("y")]).unwrap();
        let trie = Trie::new(&candidates, std::iter::empty()).unwrap();
        let passages = Passages::new(&tokens, trie.longest_nodes(&tokens).unwrap());
        let finder = AllOccurrences { trie: &trie };
        let sums = OccurrenceSums::collect(&passages, &properties, candidates.len(), &finder).unwrap();
        let measurements = Measurements {
            text_words: tokens.len(),
            candidates: &candidates,
            properties: &properties,
            counts: candidates.counts(),
            sums: &sums,
        };
        let extension_counts = measurements.extension_counts();
        let mut row = Vec::new();
        PhraseRows { measurements, extension_counts: &extension_counts }
            .append(node.index() - candidates.words(), &mut row);
        let close = |found: f32, wanted: f64| {
            assert!((f64::from(found) - wanted).abs() < 1e-4 * wanted.abs().max(1.0), "{found} {wanted}")
        };
        let (all, f, fx, fy) = (18.0f64, 5.0f64, 6.0f64, 7.0f64);
        let concordance = (f * 2.0 / all) / (fx / all) / (fy / all);
        close(row[0], concordance);
        close(row[1], f / (fx * fy).sqrt());
        close(row[2], f * concordance.ln());
        // One further x in the fifth of five documents; six documents, of which five have x and six
        // have y.
        let (idf_x, idf_y) = ((6.0f64 / 5.0).ln(), 0.0);
        close(row[3], idf_x / 5.0 / (idf_x + idf_y));
        close(row[11], (idf_x + idf_y) / 2.0);
        close(row[12], f / fy);
        close(row[13], 0.0);
    }
}
