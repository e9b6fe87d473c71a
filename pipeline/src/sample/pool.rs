//! The phrase pool of the sample: word n-grams of the generated text, scored for cohesion and domain.
//!
//! A candidate is a run of 1 to 5 words inside a sentence which neither starts nor ends with a stop word and occurs
//! at least [`MIN_COUNT`] times. A candidate that nearly always stands inside one longer run is left out.
//!
//! * More than one word: the normalised pointwise mutual information of the best split (Bouma 2009), the lowest over
//!   all places to cut, and how concentrated the phrase is in few categories (1 - H / log C, of its rates), are
//!   squashed by a logistic.
//! * One word: the concentration alone, squashed.
//!
//! Sums run over sorted keys, so the scores are the same on every run.
use std::collections::HashMap;

use super::catalog::CATEGORIES;

/// Fewer occurrences do not make a candidate.
pub const MIN_COUNT: u32 = 8;
/// The most frequent candidates of several words which are kept.
const KEEP: usize = 1_200;
/// The most frequent single words which are kept.
const KEEP_SINGLE: usize = 800;
/// Stop words that may stand inside a phrase.
const LINKS: [&str; 6] = ["and", "for", "in", "of", "on", "the"];
/// A share of the occurrences inside one longer run above which the shorter one is left out.
const INSIDE: f64 = 0.9;

/// The longest phrase, in words; one more is counted to see which phrases are whole.
const LONGEST: usize = 6;
const C: usize = CATEGORIES.len();

const STOP_WORDS: &str = "a about above after again all almost already also always am an and another any anyone are as at \
    back be because been before being best better between both but by came can can't could did didn't do does doesn't \
    don't down each either even ever every few first for found from further get gets give given go goes got great had \
    has have having he her here him his how i if in into is isn't it it's its just keep keeps kept know last less let \
    like look looks made make makes many may me mine more most much must my near need never new next no nor not now of \
    off on once one only or other our ours out over own per please put rather really said same say see she should since \
    so some still such take takes than that that's the their them then there these they thing this those though three \
    through to too took two under until up upon us use used uses using very want was wasn't way we well were what when \
    where which while who why will with within without won't would yet you your";

type Words = [u32; LONGEST];

/// Counts the n-grams of a corpus, then scores them.
pub struct Miner {
    ids: HashMap<String, u32>,
    words: Vec<String>,
    counts: HashMap<Words, [u32; C]>,
    totals: [u64; C],
}

impl Default for Miner {
    fn default() -> Self {
        Self::new()
    }
}

impl Miner {
    /// An empty count.
    pub fn new() -> Self {
        Self { ids: HashMap::new(), words: vec![String::new()], counts: HashMap::new(), totals: [0; C] }
    }

    /// Counts the n-grams of `text`, which belongs to a category of [`CATEGORIES`].
    pub fn add(&mut self, text: &str, category: usize) {
        let lower = text.to_lowercase();
        for run in lower.split(|c: char| !(c.is_alphanumeric() || c == '\'' || c == '-' || c == ' ')) {
            let ids: Vec<u32> = run
                .split([' ', '-'])
                .map(|w| w.trim_matches('\''))
                .filter(|w| !w.is_empty())
                .map(|w| self.id(w))
                .collect();
            self.totals[category] += ids.len() as u64;
            for start in 0..ids.len() {
                let mut key = [0; LONGEST];
                for (n, &id) in ids[start..].iter().take(LONGEST).enumerate() {
                    if id == 0 {
                        break;
                    }
                    key[n] = id;
                    self.counts.entry(key).or_default()[category] += 1;
                }
            }
        }
    }

    /// The id of a word; 0 of one with other letters than a-z, which no phrase may hold.
    fn id(&mut self, word: &str) -> u32 {
        if !word.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'\'') {
            return 0;
        }
        if let Some(&id) = self.ids.get(word) {
            return id;
        }
        let id = self.words.len() as u32;
        self.ids.insert(word.to_owned(), id);
        self.words.push(word.to_owned());
        id
    }

    /// The pool: phrases with their scores, by score descending, then phrase.
    pub fn pool(&self) -> Vec<(String, f64)> {
        let stop: std::collections::BTreeSet<&str> = STOP_WORDS.split_whitespace().collect();
        let mut longest: HashMap<Words, u32> = HashMap::new();
        for (key, counts) in &self.counts {
            let n = length(key);
            if n > 1 {
                let count: u32 = counts.iter().sum();
                for inner in [cut(key, 0, n - 1), cut(key, 1, n)] {
                    let most = longest.entry(inner).or_default();
                    *most = count.max(*most);
                }
            }
        }
        let mut candidates: Vec<(u32, &Words)> = self
            .counts
            .iter()
            .map(|(key, counts)| (counts.iter().sum::<u32>(), key))
            .filter(|&(count, key)| count >= MIN_COUNT && self.is_candidate(key, &stop))
            .filter(|&(count, key)| {
                let inside = longest.get(key).copied().unwrap_or(0);
                length(key) == 1 || f64::from(inside) <= INSIDE * f64::from(count)
            })
            .collect();
        candidates.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| self.phrase(a.1).cmp(&self.phrase(b.1))));
        let (single, several): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|&(_, key)| length(key) == 1);
        let candidates = single.into_iter().take(KEEP_SINGLE).chain(several.into_iter().take(KEEP));
        let mut pool: Vec<(String, f64)> = candidates.map(|(_, key)| (self.phrase(key), self.score(key))).collect();
        pool.sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        pool
    }

    fn is_candidate(&self, key: &Words, stop: &std::collections::BTreeSet<&str>) -> bool {
        let n = length(key);
        let word = |i: usize| self.words[key[i] as usize].as_str();
        let content = |w: &str| w.len() > 1 && !stop.contains(w) && w.bytes().any(|b| b.is_ascii_lowercase());
        match n {
            1 => content(word(0)) && word(0).len() > 2,
            LONGEST => false,
            _ => {
                let letters = (0..n).all(|i| word(i).bytes().all(|b| b.is_ascii_lowercase()));
                let inner = (1..n - 1).all(|i| !stop.contains(word(i)) || LINKS.contains(&word(i)));
                inner
                    && word(0).len() > 1
                    && content(word(n - 1))
                    && !stop.contains(word(0))
                    && ((0..n).any(|i| word(i).len() > 3) || letters)
            }
        }
    }

    fn phrase(&self, key: &Words) -> String {
        let words: Vec<&str> = key[..length(key)].iter().map(|&id| self.words[id as usize].as_str()).collect();
        words.join(" ")
    }

    fn score(&self, key: &Words) -> f64 {
        let focus = self.concentration(key);
        match length(key) {
            1 => logistic(9.0 * (focus - 0.62)),
            n => {
                let all = self.totals.iter().sum::<u64>() as f64;
                let share = |key: &Words| self.count(key) / all;
                let whole = share(key);
                let cohesion = (1..n)
                    .map(|at| (whole / (share(&cut(key, 0, at)) * share(&cut(key, at, n)))).ln() / -whole.ln())
                    .fold(f64::INFINITY, f64::min);
                logistic(10.0 * (cohesion - 0.73) + 3.0 * (focus - 0.60))
            }
        }
    }

    fn count(&self, key: &Words) -> f64 {
        self.counts.get(key).map_or(0.0, |counts| f64::from(counts.iter().sum::<u32>()))
    }

    /// 1 - H / log C of the phrase's rates in the categories: 1 when it is in a single one, 0 when evenly in all.
    fn concentration(&self, key: &Words) -> f64 {
        let counts = self.counts.get(key).copied().unwrap_or_default();
        let rates: Vec<f64> =
            counts.iter().zip(self.totals).map(|(&n, total)| f64::from(n) / total.max(1) as f64).collect();
        let sum: f64 = rates.iter().sum();
        let entropy: f64 = rates.iter().filter(|&&r| r > 0.0).map(|r| -(r / sum) * (r / sum).ln()).sum();
        1.0 - entropy / (C as f64).ln()
    }
}

fn length(key: &Words) -> usize {
    key.iter().position(|&id| id == 0).unwrap_or(LONGEST)
}

fn cut(key: &Words, from: usize, to: usize) -> Words {
    let mut part = [0; LONGEST];
    part[..to - from].copy_from_slice(&key[from..to]);
    part
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phrase_of_one_category_scores_above_loose_words() {
        let mut miner = Miner::new();
        for i in 0..60u32 {
            miner.add(&format!("stainless-steel kettle number{} warm water", i % 7), 0);
            miner.add(&format!("warm socks number{} in water", i % 5), 1 + (i % 3) as usize);
        }
        let pool = miner.pool();
        let score = |phrase: &str| pool.iter().find(|(p, _)| p == phrase).map(|(_, s)| *s);
        assert!(score("stainless steel kettle") > score("warm"), "{pool:?}");
        assert_eq!(score("stainless steel"), None, "always inside the longer phrase");
    }
}
