//! What is measured of a candidate (section D).
use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use rayon::prelude::*;

use super::{
    EPSILON,
    candidates::Candidates,
    forest::Matrix,
    segmentation::{self, segments},
    tokens::{Marks, Tokens},
};

/// Features of a candidate of several words.
pub const OF_PHRASES: [&str; 14] = [
    "concordance",
    "cosine",
    "weighted log concordance",
    "outside",
    "quoted",
    "dashed",
    "bracketed",
    "capitalised",
    "starts with stop word",
    "ends with stop word",
    "stop words",
    "idf",
    "within longer",
    "within extension",
];

/// Features of a word.
pub const OF_WORDS: [&str; 9] = [
    "log frequency",
    "independence",
    "stop word",
    "idf",
    "quoted",
    "bracketed",
    "capitalised",
    "capitals",
    "within extension",
];

/// What is fixed for each word.
pub struct Lexical {
    /// ln of documents per document with the word.
    idf: Vec<f64>,
    /// A stop word.
    stop: Vec<bool>,
    /// A number.
    numeric: Vec<bool>,
}

impl Lexical {
    /// Of the words of a text.
    pub fn new(tokens: &Tokens, is_stop_word: impl Fn(&str) -> bool) -> Self {
        let types = &tokens.types;
        let all = 0..types.len() as u32;
        Self {
            idf: types
                .documents
                .iter()
                .map(|&documents| (tokens.documents as f64 / documents.max(1) as f64 + EPSILON).ln())
                .collect(),
            stop: all.clone().map(|kind| is_stop_word(types.text(kind))).collect(),
            numeric: all.map(|kind| types.is_numeric(kind)).collect(),
        }
    }

    /// Whether a word is a stop word.
    pub fn is_stop_word(&self, word: u32) -> bool {
        self.stop[word as usize]
    }

    fn weak(&self, word: u32) -> bool {
        self.stop[word as usize] || self.numeric[word as usize]
    }
}

/// Sums over the places of a node, side by side in one cache line, since most nodes must be fetched from memory.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
pub struct Sums<N = u64> {
    /// How many places there are.
    pub count: N,
    quoted: N,
    dashed: N,
    bracketed: N,
    capitalised: N,
    capitals: N,
    /// Further uses of its words nearby, weighted by their idf in units of [`IDF_UNIT`].
    outside: N,
}

impl Sums<AtomicU64> {
    fn into_inner(self) -> Sums {
        Sums {
            count: self.count.into_inner(),
            quoted: self.quoted.into_inner(),
            dashed: self.dashed.into_inner(),
            bracketed: self.bracketed.into_inner(),
            capitalised: self.capitalised.into_inner(),
            capitals: self.capitals.into_inner(),
            outside: self.outside.into_inner(),
        }
    }
}

/// The sums of each node.
pub struct Places(Vec<Sums>);

/// So that sums are the same in any order.
const IDF_UNIT: f64 = 65536.0;

impl Places {
    /// Sums over the places that `find` gives for a segment, each with its node.
    pub fn sum(
        tokens: &Tokens,
        lexical: &Lexical,
        nodes: usize,
        find: impl Fn(Range<usize>, &mut segmentation::Room, segmentation::Told<'_>) + Sync,
    ) -> Self {
        let sums: Vec<Sums<AtomicU64>> = (0..nodes).map(|_| Sums::default()).collect();
        let idf: Vec<u64> = lexical.idf.iter().map(|idf| (idf.max(0.0) * IDF_UNIT).round() as u64).collect();
        let (words, marks) = (&tokens.words, &tokens.marks);
        let documents = segmentation::chunks(words.len(), |place| marks[place].has(Marks::ENDS_DOCUMENT));
        let new_room = || (segmentation::Room::default(), vec![0u32; tokens.types.len()]);
        documents.par_iter().for_each_init(new_room, |(room, nearby), chunk| {
            each_segment(tokens, chunk.clone(), nearby, |segment, nearby| {
                find(segment, room, &mut |place, node| {
                    let Some(sums) = sums.get(node as usize) else { return };
                    sums.count.fetch_add(1, Relaxed);
                    let (first, last) = (marks[place.start], marks[place.end - 1]);
                    if first.has(Marks::QUOTE_BEFORE) && last.has(Marks::QUOTE_AFTER) {
                        sums.quoted.fetch_add(1, Relaxed);
                    }
                    if first.has(Marks::OPEN_BEFORE) && last.has(Marks::CLOSE_AFTER) {
                        sums.bracketed.fetch_add(1, Relaxed);
                    }
                    if first.has(Marks::CAPITALISED) {
                        if marks[place.clone()].iter().all(|m| m.has(Marks::CAPITALISED)) {
                            sums.capitalised.fetch_add(1, Relaxed);
                        }
                        if marks[place.clone()].iter().all(|m| m.has(Marks::CAPITALS)) {
                            sums.capitals.fetch_add(1, Relaxed);
                        }
                    }
                    if place.len() > 1 {
                        if marks[place.start..place.end - 1].iter().any(|m| m.has(Marks::DASH_AFTER)) {
                            sums.dashed.fetch_add(1, Relaxed);
                        }
                        let here = &words[place];
                        let sum: u64 = here
                            .iter()
                            .map(|word| {
                                let kind = word.kind() as usize;
                                let near = nearby[kind];
                                if near == 1 {
                                    return 0;
                                }
                                let own = here.iter().filter(|w| w.kind() == word.kind()).count() as u32;
                                u64::from(near - own) * idf[kind]
                            })
                            .sum();
                        if sum > 0 {
                            sums.outside.fetch_add(sum, Relaxed);
                        }
                    }
                });
            });
        });
        Self(sums.into_iter().map(Sums::into_inner).collect())
    }

    /// The sums of a node.
    pub fn of(&self, node: usize) -> &Sums {
        &self.0[node]
    }

    /// How many places each node has.
    pub fn counts(&self) -> Vec<u64> {
        self.0.iter().map(|sums| sums.count).collect()
    }
}

/// Goes through the segments of some documents, with how often each word stands in the segment, the one before and the one after, of the
/// same document. `nearby` is zero before and after.
fn each_segment(
    tokens: &Tokens,
    documents: Range<usize>,
    nearby: &mut [u32],
    mut each: impl FnMut(Range<usize>, &[u32]),
) {
    let ends_document = |segment: &Range<usize>| tokens.marks[segment.end - 1].has(Marks::ENDS_DOCUMENT);
    let add = |nearby: &mut [u32], segment: &Range<usize>, by: u32| {
        for word in &tokens.words[segment.clone()] {
            let count = &mut nearby[word.kind() as usize];
            *count = count.wrapping_add(by);
        }
    };
    let mut all = segments(tokens, documents);
    let mut before: Option<Range<usize>> = None;
    let mut here = all.next();
    if let Some(first) = &here {
        add(nearby, first, 1);
    }
    while let Some(segment) = here {
        let last = ends_document(&segment);
        let after = all.next();
        if let (Some(after), false) = (&after, last) {
            add(nearby, after, 1);
        }
        each(segment.clone(), nearby);
        if let Some(before) = before.take() {
            add(nearby, &before, u32::MAX);
        }
        if last {
            add(nearby, &segment, u32::MAX);
            if let Some(after) = &after {
                add(nearby, after, 1);
            }
        } else {
            before = Some(segment);
        }
        here = after;
    }
}

/// The largest count of the one-word extensions of each node, to either side.
fn extensions(candidates: &Candidates, counts: &[u64]) -> Vec<u64> {
    let mut most = vec![0; candidates.len()];
    for node in candidates.longer() {
        for inner in [candidates.parent(node), candidates.suffix(node)].into_iter().flatten() {
            let most: &mut u64 = &mut most[inner as usize];
            *most = (*most).max(counts[node as usize]);
        }
    }
    most
}

/// The features of all candidates of several words, in their order, when they count so much.
pub fn of_phrases(
    tokens: &Tokens,
    candidates: &Candidates,
    lexical: &Lexical,
    counts: &[u64],
    places: &Places,
) -> Matrix {
    let all = tokens.words.len() as f64;
    let extended = extensions(candidates, counts);
    let count = |node: u32| counts[node as usize] as f64;
    let rows =
        candidates.by_length().enumerate().skip(1).flat_map(|(length, nodes)| nodes.map(move |n| (n, length + 1)));
    let rows: Vec<(u32, usize)> = rows.collect();
    let values = rows.par_iter().flat_map_iter(|&(node, length)| {
        let mut words = Vec::with_capacity(length);
        candidates.words(node, &mut words);
        let probability = |node: u32, length: usize| (count(node) + EPSILON) * length as f64 / all;
        let at = node as usize;
        let mut row = [0.0; OF_PHRASES.len()];
        if counts[at] > 0 {
            // The split into the two parts that are likeliest together.
            let (mut left, mut right) = (candidates.parent(node), candidates.suffix(node));
            let lefts = std::iter::from_fn(|| {
                let this = left?;
                left = candidates.parent(this);
                Some(this)
            });
            let lefts: Vec<u32> = lefts.collect();
            let mut best = (0.0, 0, 0, 0);
            for split in 1..length {
                let (Some(l), Some(r)) = (lefts.get(length - 1 - split), right) else { break };
                let product = probability(*l, split) * probability(r, length - split);
                if product > best.0 {
                    best = (product, *l, r, split);
                }
                right = candidates.suffix(r);
            }
            let (_, l, r, split) = best;
            let concordance = probability(node, length) / probability(l, split) / probability(r, length - split);
            row[0] = concordance;
            row[1] = count(node) / (count(l) + EPSILON).sqrt() / (count(r) + EPSILON).sqrt();
            row[2] = count(node) * concordance.ln();
            let sums = places.of(at);
            let found = sums.count.max(1) as f64;
            let weight: f64 = words.iter().map(|w| lexical.idf[*w as usize]).sum();
            if weight > 0.0 {
                row[3] = sums.outside as f64 / IDF_UNIT / found / weight;
            }
            row[4] = sums.quoted as f64 / found;
            row[5] = sums.dashed as f64 / found;
            row[6] = sums.bracketed as f64 / found;
            row[7] = sums.capitalised as f64 / found;
            let within = [candidates.parent(node), candidates.suffix(node)].into_iter().flatten().map(count);
            row[12] = count(node) / within.fold(count(node), f64::max);
            row[13] = extended[at] as f64 / count(node);
        }
        row[8] = f64::from(lexical.weak(words[0]));
        row[9] = f64::from(lexical.is_stop_word(words[length - 1]));
        row[10] = words.iter().filter(|w| lexical.weak(**w)).count() as f64 / length as f64;
        row[11] = words.iter().map(|w| lexical.idf[*w as usize]).sum::<f64>() / length as f64;
        row.map(|value| value as f32)
    });
    Matrix::new(OF_PHRASES.len(), values.collect())
}

/// The features of all words, in their order.
pub fn of_words(candidates: &Candidates, lexical: &Lexical, counts: &[u64], places: &Places) -> Matrix {
    let extended = extensions(candidates, counts);
    let values = (0..candidates.types()).flat_map(|word| {
        let mut row = [0.0; OF_WORDS.len()];
        row[0] = (counts[word] as f64 + 1.0).ln();
        row[1] = counts[word] as f64 / candidates.counts[word].max(1) as f64;
        row[2] = f64::from(lexical.weak(word as u32));
        row[3] = lexical.idf[word];
        let sums = places.of(word);
        if sums.count > 0 {
            let found = sums.count as f64;
            row[4] = sums.quoted as f64 / found;
            row[5] = sums.bracketed as f64 / found;
            row[6] = sums.capitalised as f64 / found;
            row[7] = sums.capitals as f64 / found;
            row[8] = extended[word] as f64 / (counts[word] as f64).max(1.0);
        }
        row.map(|value| value as f32)
    });
    Matrix::new(OF_WORDS.len(), values.collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        segmentation::Trie,
        tokens::{Word, test::made_up},
    };

    /// The sums of one node, by looking at each place alone.
    fn places_by_looking(tokens: &Tokens, lexical: &Lexical, words: &[u32], places: &[usize]) -> [f64; 7] {
        let segments: Vec<Range<usize>> = segments(tokens, 0..tokens.words.len()).collect();
        let last_of_document = |s: &Range<usize>| tokens.marks[s.end - 1].has(Marks::ENDS_DOCUMENT);
        let mut sums = [0.0; 7];
        for &start in places {
            let end = start + words.len();
            let marks = &tokens.marks[start..end];
            let (first, last) = (marks[0], marks[words.len() - 1]);
            let mut add = |at: usize, holds: bool| sums[at] += f64::from(u8::from(holds));
            add(0, true);
            add(1, first.has(Marks::QUOTE_BEFORE) && last.has(Marks::QUOTE_AFTER));
            add(2, marks[..words.len() - 1].iter().any(|m| m.has(Marks::DASH_AFTER)));
            add(3, first.has(Marks::OPEN_BEFORE) && last.has(Marks::CLOSE_AFTER));
            add(4, marks.iter().all(|m| m.has(Marks::CAPITALISED)));
            add(5, marks.iter().all(|m| m.has(Marks::CAPITALS)));
            let here = segments.iter().position(|s| s.contains(&start)).unwrap();
            let mut window = segments[here].clone();
            if here > 0 && !last_of_document(&segments[here - 1]) {
                window.start = segments[here - 1].start;
            }
            if here + 1 < segments.len() && !last_of_document(&segments[here]) {
                window.end = segments[here + 1].end;
            }
            if words.len() > 1 {
                for word in words {
                    let near = tokens.words[window.clone()].iter().filter(|w| w.kind() == *word).count();
                    let own = words.iter().filter(|w| *w == word).count();
                    sums[6] += (near - own) as f64 * lexical.idf[*word as usize];
                }
            }
        }
        sums
    }

    proptest! {
        #[test]
        fn sums_are_those_of_all_places(tokens in made_up(150)) {
            let lexical = Lexical::new(&tokens, |word| word == "a");
            let candidates = Candidates::count(&tokens.words, tokens.types.len(), 2, 4);
            let trie = Trie::new(&candidates, std::iter::empty());
            let longest = trie.longest(&tokens);
            let places = Places::sum(&tokens, &lexical, candidates.len(), |segment, _, found| {
                super::super::all_places(&tokens, &candidates, &trie, &longest, segment, found);
            });
            // The places of each candidate, by the rule for one place.
            let mut of: HashMap<u32, Vec<usize>> = HashMap::new();
            let starts = |word: Word| word.may_start() && candidates.starts[word.kind() as usize] >= 2;
            let extends = |word: Word| word.may_extend() && candidates.starts[word.kind() as usize] >= 2;
            for start in (0..tokens.words.len()).filter(|&at| starts(tokens.words[at])) {
                let mut kinds = Vec::new();
                for at in start..tokens.words.len().min(start + 4) {
                    if at > start && (tokens.words[at - 1].ends_segment() || !extends(tokens.words[at])) {
                        break;
                    }
                    kinds.push(tokens.words[at].kind());
                    let Some(node) = candidates.find(&kinds) else { break };
                    of.entry(node).or_default().push(start);
                }
            }
            let mut words = Vec::new();
            for node in 0..candidates.len() as u32 {
                candidates.words(node, &mut words);
                let none = Vec::new();
                let wanted = places_by_looking(&tokens, &lexical, &words, of.get(&node).unwrap_or(&none));
                let at = node as usize;
                let sums = places.of(at);
                let exact = [sums.count, sums.quoted, sums.dashed, sums.bracketed, sums.capitalised, sums.capitals];
                for (sum, wanted) in exact.iter().zip(wanted) {
                    prop_assert_eq!(*sum as f64, wanted);
                }
                let outside = sums.outside as f64 / IDF_UNIT;
                prop_assert!((outside - wanted[6]).abs() < 1e-2, "{outside} {}", wanted[6]);
                if words.len() > 1 {
                    prop_assert_eq!(sums.count, candidates.counts[at]);
                }
            }
        }
    }

    /// Words separated by spaces, without a tagger's opinion.
    fn text(words: &str) -> Tokens {
        crate::tokens::test::plain(words)
    }

    #[test]
    fn features_are_those_of_the_formulas() {
        // `x y` five times, `x` once and `y` twice more, in documents of three words.
        let tokens = text("x y a . x y b . x y c . x y d . x y x . y e y");
        let lexical = Lexical::new(&tokens, |word| word == "a");
        let candidates = Candidates::count(&tokens.words, tokens.types.len(), 2, 3);
        let find = |word: &str| tokens.types.find(word).unwrap();
        let (x, y) = (find("x"), find("y"));
        let node = candidates.find(&[x, y]).unwrap();
        let trie = Trie::new(&candidates, std::iter::empty());
        let longest = trie.longest(&tokens);
        let places = Places::sum(&tokens, &lexical, candidates.len(), |segment, _, found| {
            super::super::all_places(&tokens, &candidates, &trie, &longest, segment, found);
        });
        let matrix = of_phrases(&tokens, &candidates, &lexical, &candidates.counts, &places);
        let row = matrix.row((node - candidates.longer().start) as usize);
        let close = |found: f32, wanted: f64| {
            assert!((f64::from(found) - wanted).abs() < 1e-4 * wanted.abs().max(1.0), "{found} {wanted}")
        };
        let (all, f, fx, fy) = (18.0f64, 5.0f64, 6.0f64, 7.0f64);
        let concordance = (f * 2.0 / all) / (fx / all) / (fy / all);
        close(row[0], concordance);
        close(row[1], f / (fx * fy).sqrt());
        close(row[2], f * concordance.ln());
        // One further x in the fifth of five documents; six documents, of which five have x and six have y.
        let (idf_x, idf_y) = ((6.0f64 / 5.0).ln(), 0.0);
        close(row[3], idf_x / 5.0 / (idf_x + idf_y));
        close(row[11], (idf_x + idf_y) / 2.0);
        close(row[12], f / fy);
        close(row[13], 0.0);
    }
}
