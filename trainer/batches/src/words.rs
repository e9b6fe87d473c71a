//! How similar texts are by their words: the baselines of retrieval, which need no model.
use std::{collections::HashMap, hash::Hash};

/// Texts as bags of words. A word's weight follows from how many of the texts have it.
#[derive(Debug, Default)]
pub struct Bags {
    bags: Vec<Bag>,
    /// The weight of each word in tf-idf: ln((1 + n) / (1 + texts with it)) + 1.
    tf_idf: Vec<f64>,
    /// The weight of each word in BM25: ln(1 + (n - texts with it + 0.5) / (texts with it + 0.5)).
    bm25: Vec<f64>,
    /// The mean number of words of a text.
    mean_length: f64,
}

/// One text.
#[derive(Debug)]
struct Bag {
    /// Its distinct words with their counts, in the order of their ids.
    counts: Vec<(BagWord, f64)>,
    /// All of its words.
    length: f64,
    /// The length of its tf-idf vector.
    norm: f64,
}

/// Number of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct BagWord(u32);

/// Constants of BM25 (Robertson and Zaragoza 2009, section 3.4).
const K1: f64 = 1.2;
const B: f64 = 0.75;

impl Bags {
    /// Counts the words of each text.
    pub fn of<W: Eq + Hash, T: IntoIterator<Item = W>>(texts: impl IntoIterator<Item = T>) -> Self {
        let mut ids: HashMap<W, BagWord> = HashMap::new();
        let mut texts_with: Vec<f64> = Vec::new();
        let mut bags: Vec<Bag> = Vec::new();
        for text in texts {
            let mut words: Vec<BagWord> = Vec::new();
            for word in text {
                let next = BagWord(ids.len() as u32);
                words.push(*ids.entry(word).or_insert(next));
            }
            texts_with.resize(ids.len(), 0.0);
            words.sort_unstable();
            let runs = words.chunk_by(|a, b| a == b);
            let counts: Vec<(BagWord, f64)> = runs.map(|run| (run[0], run.len() as f64)).collect();
            counts.iter().for_each(|(word, _)| texts_with[word.0 as usize] += 1.0);
            bags.push(Bag { counts, length: words.len() as f64, norm: 0.0 });
        }
        let n = bags.len() as f64;
        let tf_idf = texts_with.iter().map(|with| ((1.0 + n) / (1.0 + with)).ln() + 1.0).collect();
        let bm25 = texts_with.iter().map(|with| (1.0 + (n - with + 0.5) / (with + 0.5)).ln()).collect();
        let mean_length = bags.iter().map(|bag| bag.length).sum::<f64>() / n.max(1.0);
        let mut all = Self { bags, tf_idf, bm25, mean_length };
        let norm = |bag: &Bag| bag.counts.iter().map(|&entry| all.weight(entry).powi(2)).sum::<f64>().sqrt();
        let norms: Vec<f64> = all.bags.iter().map(norm).collect();
        all.bags.iter_mut().zip(norms).for_each(|(bag, norm)| bag.norm = norm);
        all
    }

    /// Bags of runs of letters and digits, in lower case.
    pub fn of_texts<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        Self::of(texts.into_iter().map(letters))
    }

    /// The ratio of the distinct words of two texts that both have (Jaccard).
    pub fn overlap(&self, one: usize, other: usize) -> f64 {
        let [one, other] = [&self.bags[one], &self.bags[other]];
        let common = common(one, other).count();
        common as f64 / (one.counts.len() + other.counts.len() - common).max(1) as f64
    }

    /// The cosine of two tf-idf vectors, as scikit-learn's `TfidfVectorizer` defines them.
    pub fn tf_idf(&self, one: usize, other: usize) -> f64 {
        let [one, other] = [&self.bags[one], &self.bags[other]];
        let products = common(one, other).map(|(word, a, b)| self.weight((word, a)) * self.weight((word, b)));
        let lengths = one.norm * other.norm;
        if lengths > 0.0 { products.sum::<f64>() / lengths } else { 0.0 }
    }

    /// BM25 of a text for the distinct words of a query, which is one of the texts.
    pub fn bm25(&self, query: usize, text: usize) -> f64 {
        let [query, text] = [&self.bags[query], &self.bags[text]];
        let norm = K1 * (1.0 - B + B * text.length / self.mean_length);
        let of_word =
            |(word, _, count): (BagWord, f64, f64)| self.bm25[word.0 as usize] * count * (K1 + 1.0) / (count + norm);
        common(query, text).map(of_word).sum()
    }

    fn weight(&self, (word, count): (BagWord, f64)) -> f64 {
        count * self.tf_idf[word.0 as usize]
    }
}

/// The runs of letters and digits of a text, in lower case.
pub(crate) fn letters(text: &str) -> Vec<String> {
    let text = text.to_lowercase();
    let words = text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_owned).collect()
}

/// The words of both, with their counts in each.
fn common<'a>(one: &'a Bag, other: &'a Bag) -> impl Iterator<Item = (BagWord, f64, f64)> + 'a {
    let mut rest = other.counts.as_slice();
    one.counts.iter().filter_map(move |&(word, count)| {
        rest = &rest[rest.partition_point(|(other, _)| *other < word)..];
        rest.first().filter(|(other, _)| *other == word).map(|(_, in_other)| (word, count, *in_other))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of scikit-learn 1.7 (`TfidfVectorizer(token_pattern=r"\w+")`), and of the formulas.
    #[test]
    fn baselines_have_their_known_values() {
        let bags = Bags::of_texts(["Red tea, red cup", "red TEA pot", "blue plate", ""]);
        assert_eq!([bags.overlap(0, 1), bags.overlap(0, 2), bags.overlap(3, 3)], [0.5, 0.0, 0.0]);
        // Two of four texts have red and tea, one has each other word.
        let [both, one] = [3.0f64, 2.0].map(|with| (5.0 / with).ln() + 1.0);
        let lengths = (5.0 * both.powi(2) + one.powi(2)).sqrt() * (2.0 * both.powi(2) + one.powi(2)).sqrt();
        assert!((bags.tf_idf(0, 1) - 3.0 * both.powi(2) / lengths).abs() < 1e-12);
        assert!((bags.tf_idf(0, 0) - 1.0).abs() < 1e-12);
        assert_eq!([bags.tf_idf(0, 2), bags.tf_idf(0, 3)], [0.0, 0.0]);
        // A text has 9 / 4 words on average, the second has 3.
        let idf = (1.0f64 + 2.5 / 2.5).ln();
        let wanted = 2.0 * idf * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * 3.0 / 2.25));
        assert!((bags.bm25(0, 1) - wanted).abs() < 1e-12, "{}", bags.bm25(0, 1));
    }

    #[test]
    fn words_may_be_anything() {
        let bags = Bags::of([vec![[1u16, 2], [3, 4]], vec![[3, 4]]]);
        assert_eq!(bags.overlap(0, 1), 0.5);
    }
}
