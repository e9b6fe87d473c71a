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

/// Sums over the places of each node.
pub struct Places {
    /// How many places there are.
    pub counts: Vec<u64>,
    quoted: Vec<u64>,
    dashed: Vec<u64>,
    bracketed: Vec<u64>,
    capitalised: Vec<u64>,
    capitals: Vec<u64>,
    /// Further uses of its words nearby, weighted by their idf in units of [`IDF_UNIT`].
    outside: Vec<u64>,
}

/// So that sums are the same in any order.
const IDF_UNIT: f64 = 65536.0;

impl Places {
    /// Sums over the places that `find` gives for a segment, each with its node.
    pub fn sum(
        tokens: &Tokens,
        lexical: &Lexical,
        nodes: usize,
        find: impl Fn(Range<usize>, &mut segmentation::Room, &mut dyn FnMut(Range<usize>, u32)) + Sync,
    ) -> Self {
        let zeros = || -> Vec<AtomicU64> { (0..nodes).map(|_| AtomicU64::new(0)).collect() };
        let (counts, quoted, dashed, bracketed) = (zeros(), zeros(), zeros(), zeros());
        let (capitalised, capitals, outside) = (zeros(), zeros(), zeros());
        let idf: Vec<u64> = lexical.idf.iter().map(|idf| (idf.max(0.0) * IDF_UNIT).round() as u64).collect();
        let (words, marks) = (&tokens.words, &tokens.marks);
        let documents = segmentation::chunks(words.len(), |place| marks[place].has(Marks::ENDS_DOCUMENT));
        let new_room = || (segmentation::Room::default(), vec![0u32; tokens.types.len()]);
        documents.par_iter().for_each_init(new_room, |(room, nearby), chunk| {
            each_segment(tokens, chunk.clone(), nearby, |segment, nearby| {
                find(segment, room, &mut |place, node| {
                    let at = node as usize;
                    if at >= nodes {
                        return;
                    }
                    counts[at].fetch_add(1, Relaxed);
                    let (first, last) = (marks[place.start], marks[place.end - 1]);
                    if first.has(Marks::QUOTE_BEFORE) && last.has(Marks::QUOTE_AFTER) {
                        quoted[at].fetch_add(1, Relaxed);
                    }
                    if first.has(Marks::OPEN_BEFORE) && last.has(Marks::CLOSE_AFTER) {
                        bracketed[at].fetch_add(1, Relaxed);
                    }
                    if first.has(Marks::CAPITALISED) {
                        if marks[place.clone()].iter().all(|m| m.has(Marks::CAPITALISED)) {
                            capitalised[at].fetch_add(1, Relaxed);
                        }
                        if marks[place.clone()].iter().all(|m| m.has(Marks::CAPITALS)) {
                            capitals[at].fetch_add(1, Relaxed);
                        }
                    }
                    if place.len() > 1 {
                        if marks[place.start..place.end - 1].iter().any(|m| m.has(Marks::DASH_AFTER)) {
                            dashed[at].fetch_add(1, Relaxed);
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
                            outside[at].fetch_add(sum, Relaxed);
                        }
                    }
                });
            });
        });
        let plain = |sums: Vec<AtomicU64>| sums.into_iter().map(AtomicU64::into_inner).collect();
        Self {
            counts: plain(counts),
            quoted: plain(quoted),
            dashed: plain(dashed),
            bracketed: plain(bracketed),
            capitalised: plain(capitalised),
            capitals: plain(capitals),
            outside: plain(outside),
        }
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
            let found = places.counts[at].max(1) as f64;
            let weight: f64 = words.iter().map(|w| lexical.idf[*w as usize]).sum();
            if weight > 0.0 {
                row[3] = places.outside[at] as f64 / IDF_UNIT / found / weight;
            }
            row[4] = places.quoted[at] as f64 / found;
            row[5] = places.dashed[at] as f64 / found;
            row[6] = places.bracketed[at] as f64 / found;
            row[7] = places.capitalised[at] as f64 / found;
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
        if places.counts[word] > 0 {
            let found = places.counts[word] as f64;
            row[4] = places.quoted[word] as f64 / found;
            row[5] = places.bracketed[word] as f64 / found;
            row[6] = places.capitalised[word] as f64 / found;
            row[7] = places.capitals[word] as f64 / found;
            row[8] = extended[word] as f64 / (counts[word] as f64).max(1.0);
        }
        row.map(|value| value as f32)
    });
    Matrix::new(OF_WORDS.len(), values.collect())
}
