//! Tag-guided segmentation: the text as a row of phrases and words (section F).
//!
//! Each segment is cut into the pieces with the largest sum of log scores, by dynamic programming. A piece scores by how often it
//! occurs among pieces of its length and by its quality; between two words of a piece their tags must belong together, and at its end not.
//! How much tags belong together is estimated from the last segmentation. What a candidate is cut out as, not every occurrence of its
//! words, is its rectified count.
use std::{
    ops::Range,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use ebert_prefetch::prefetch;
use hashbrown::HashMap;
use rayon::prelude::*;

use super::{
    EPSILON,
    candidates::{Candidates, NONE},
    tokens::{TAGS, Tokens},
};
use crate::edges::{Edges, key_of};

/// The candidates, and phrases of the quality list that are none but are made of words of the corpus.
pub struct Trie<'c> {
    candidates: &'c Candidates,
    /// Nodes that are no candidates, by what they extend and the word.
    extra: HashMap<(u32, u32), u32>,
    /// What each of them extends.
    parents: Vec<u32>,
    /// Whether a node has such extensions.
    has_extra: Vec<bool>,
    /// The nodes of listed phrases.
    listed: Vec<u32>,
}

/// Listed phrases of more words than this are left out.
const LONGEST_LISTED: usize = 16;

impl<'c> Trie<'c> {
    /// A trie of the candidates and these phrases of two words or more.
    pub fn new<'w>(candidates: &'c Candidates, phrases: impl Iterator<Item = &'w [u32]>) -> Self {
        let has_extra = vec![false; candidates.len()];
        let mut trie = Self { candidates, extra: HashMap::new(), parents: Vec::new(), has_extra, listed: Vec::new() };
        for phrase in phrases.filter(|p| (2..=LONGEST_LISTED).contains(&p.len())) {
            let mut node = phrase[0];
            for &word in &phrase[1..] {
                node = match trie.child(node, word) {
                    Some(child) => child,
                    None => trie.add(node, word),
                };
            }
            trie.listed.push(node);
        }
        trie
    }

    fn add(&mut self, node: u32, word: u32) -> u32 {
        let child = self.has_extra.len() as u32;
        assert!(child < u32::MAX, "more phrases than fit their number");
        self.extra.insert((node, word), child);
        self.parents.push(node);
        self.has_extra[node as usize] = true;
        self.has_extra.push(false);
        child
    }

    fn child(&self, node: u32, word: u32) -> Option<u32> {
        let candidate = if (node as usize) < self.candidates.len() { self.candidates.child(node, word) } else { None };
        candidate.or_else(|| self.has_extra[node as usize].then(|| self.extra.get(&(node, word)).copied()).flatten())
    }

    #[inline]
    fn parent(&self, node: u32) -> Option<u32> {
        match (node as usize).checked_sub(self.candidates.len()) {
            None => self.candidates.parent(node),
            Some(extra) => Some(self.parents[extra]),
        }
    }

    /// How many nodes there are.
    pub fn len(&self) -> usize {
        self.has_extra.len()
    }

    /// A node and what it extends, down to a word.
    #[inline]
    pub fn prefixes(&self, node: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(Some(node), |&node| self.parent(node))
    }

    /// For each place of the text the longest node that stands there.
    pub fn longest(&self, tokens: &Tokens) -> Vec<u32> {
        let (words, edges) = (&tokens.words, self.edges());
        let mut longest: Vec<u32> = words.par_iter().map(|word| word.kind()).collect();
        longest.par_chunks_mut(AT_ONCE).enumerate().for_each(|(chunk, longest)| {
            // All places of a chunk go down the trie together, a word at a time, so that their edges are fetched together.
            let start = chunk * AT_ONCE;
            let mut going = [0; AT_ONCE];
            let mut count = longest.len();
            (0..count).for_each(|at| going[at] = at);
            for depth in 0.. {
                let mut rest = 0;
                for i in 0..count {
                    let at = going[i];
                    if !words[start + at + depth].ends_segment() {
                        edges.prefetch(key_of(longest[at], edge_word(words[start + at + depth + 1].kind())));
                        going[rest] = at;
                        rest += 1;
                    }
                }
                count = 0;
                for i in 0..rest {
                    let at = going[i];
                    let next = edge_word(words[start + at + depth + 1].kind());
                    if let Some((_, child)) = edges.find(longest[at], next) {
                        longest[at] = child;
                        going[count] = at;
                        count += 1;
                    }
                }
                if count == 0 {
                    break;
                }
            }
        });
        longest
    }

    /// All edges in one table, where each is found with one look into memory.
    fn edges(&self) -> Edges<u32> {
        let candidates = self.candidates;
        let mut edges = Edges::with_room_for(self.len() - candidates.types());
        for node in 0..candidates.len() as u32 {
            for (word, child) in candidates.children(node) {
                edges.find_or_insert(node, edge_word(word), || child);
            }
        }
        for (&(node, word), &child) in &self.extra {
            edges.find_or_insert(node, edge_word(word), || child);
        }
        edges
    }

    /// Has what [`Self::prefixes`] of a candidate need first on its way from memory.
    #[inline]
    pub fn prefetch(&self, node: u32) {
        self.candidates.prefetch(node);
    }
}

/// Places that go down the trie together.
const AT_ONCE: usize = 64;

/// The word on an edge: no edge is along 0, and words are numbers from 0.
fn edge_word(word: u32) -> u32 {
    word + 1
}

/// Words that a worker takes at a time; it takes whole segments or documents.
const CHUNK: usize = 1 << 18;

/// Cuts a text into ranges of about [`CHUNK`] words that end where `ends` says.
pub fn chunks(words: usize, ends: impl Fn(usize) -> bool) -> Vec<Range<usize>> {
    let mut chunks = Vec::new();
    let mut start = 0;
    while start < words {
        let mut last = (start + CHUNK).min(words) - 1;
        while last + 1 < words && !ends(last) {
            last += 1;
        }
        chunks.push(start..last + 1);
        start = last + 1;
    }
    chunks
}

/// The segments of a range of words that begins and ends with one.
pub fn segments(tokens: &Tokens, within: Range<usize>) -> impl Iterator<Item = Range<usize>> {
    let mut start = within.start;
    std::iter::from_fn(move || {
        let length = tokens.words[start..within.end].iter().position(|word| word.ends_segment())?;
        let segment = start..start + length + 1;
        start = segment.end;
        Some(segment)
    })
}

/// How much two tags belong together, by the numbers of both.
pub type Transitions = Vec<f64>;

/// The tags of two neighbours, as one number.
#[inline]
fn pair(tokens: &Tokens, place: usize) -> usize {
    tokens.marks[place].tag() * TAGS + tokens.marks[place + 1].tag()
}

/// What the segmentation of a text needs.
pub struct Segmentation<'a> {
    tokens: &'a Tokens,
    trie: &'a Trie<'a>,
    /// The longest node at each place.
    longest: &'a [u32],
    chunks: Vec<Range<usize>>,
    /// Those of them on which transitions are estimated.
    sample: Vec<Range<usize>>,
    /// How often each pair of tags stands side by side in a segment of the sample.
    neighbours: Vec<u64>,
    transitions: Transitions,
}

/// A node as a piece. All that cutting asks of it lies in one place, since most nodes must be fetched from memory.
#[derive(Clone, Copy, Debug)]
#[repr(align(16))]
struct Piece {
    /// Its log score; what is in no lexicon is impossible.
    score: f64,
    /// The node without its last word; [`NONE`] of a word.
    parent: u32,
    /// Its number of words.
    words: u32,
}

/// All nodes as pieces.
pub struct Pieces(Vec<Piece>);

impl Pieces {
    #[inline]
    fn prefetch(&self, node: u32) {
        if let Some(piece) = self.0.get(node as usize) {
            prefetch(piece);
        }
    }
}

/// Logarithms that a pass adds up.
struct Costs<'p> {
    pieces: &'p Pieces,
    inside: Vec<f64>,
    end: Vec<f64>,
}

/// Hears of places in a segment, each with its node.
pub type Told<'f> = &'f mut dyn FnMut(Range<usize>, u32);

/// Room that a segment is cut in.
#[derive(Default)]
pub struct Room {
    best: Vec<f64>,
    /// Start and node of the best piece that ends before each place.
    from: Vec<(u32, u32)>,
    /// Sum of the costs of joining the words up to each.
    joined: Vec<f64>,
}

/// A pass that changed the log-likelihood by a smaller share than this was the last.
const CONVERGED: f64 = 1e-8;
/// The most passes that estimate transitions.
const MOST_PASSES: u32 = 10;
/// Transitions are some thousands of numbers: they are estimated on at most so many chunks, 17 million words, evenly spread over the text.
const MOST_CHUNKS: usize = 64;
/// How many places ahead of the one that is looked at its node is fetched, and then what that extends.
pub const AHEAD: usize = 12;

impl<'a> Segmentation<'a> {
    /// Prepares the segmentation; all tags belong together alike.
    pub fn new(tokens: &'a Tokens, trie: &'a Trie<'a>, longest: &'a [u32]) -> Self {
        let chunks = chunks(tokens.words.len(), |place| tokens.words[place].ends_segment());
        let sample = spread(&chunks, MOST_CHUNKS);
        let neighbours = sum_tables(&sample, |chunk, table| {
            for place in chunk {
                if !tokens.words[place].ends_segment() {
                    table[pair(tokens, place)] += 1;
                }
            }
        });
        let mut seen = [false; TAGS];
        tokens.marks.iter().for_each(|marks| seen[marks.tag()] = true);
        let tags = seen.iter().filter(|seen| **seen).count().max(1);
        Self { tokens, trie, longest, chunks, sample, neighbours, transitions: vec![1.0 / tags as f64; TAGS * TAGS] }
    }

    /// Each node as a piece, by how often it is one and its quality.
    pub fn pieces(&self, counts: &[u64], quality: &[f64]) -> Pieces {
        let candidates = self.trie.candidates;
        let mut pieces: Vec<Piece> = Vec::with_capacity(self.trie.len());
        for node in 0..self.trie.len() as u32 {
            let parent = self.trie.parent(node);
            let words = parent.map_or(1, |parent| pieces[parent as usize].words + 1);
            pieces.push(Piece { score: f64::NEG_INFINITY, parent: parent.unwrap_or(NONE), words });
        }
        let mut most: f64 = 0.0;
        for (length, nodes) in candidates.by_length().enumerate() {
            let range = nodes.start as usize..nodes.end as usize;
            let total: u64 = counts[range.clone()].iter().sum();
            for node in range.filter(|&node| length == 0 || counts[node] > 0) {
                let share = counts[node] as f64 / total.max(1) as f64;
                most = most.max(share);
                pieces[node].score = (share + EPSILON).ln() + (quality[node] + EPSILON).ln();
            }
        }
        // A listed phrase that is no candidate counts as the most frequent one, of quality 1.
        for &node in &self.trie.listed {
            let score = &mut pieces[node as usize].score;
            if *score == f64::NEG_INFINITY {
                *score = (most + EPSILON).ln();
            }
        }
        Pieces(pieces)
    }

    /// Estimates how tags belong together, pass by pass. `told` hears the number of each pass.
    pub fn estimate(&mut self, pieces: &Pieces, mut told: impl FnMut(u32)) {
        let mut last = f64::INFINITY;
        for pass in 1..=MOST_PASSES {
            told(pass);
            let costs = self.costs(pieces);
            let likelihoods: Vec<(f64, Vec<u64>)> = self
                .sample
                .par_iter()
                .map_init(Room::default, |room, chunk| {
                    let mut joined = vec![0u64; TAGS * TAGS];
                    let mut sum = 0.0;
                    for segment in segments(self.tokens, chunk.clone()) {
                        sum += self.cut(&costs, segment, room, |piece, _| {
                            for place in piece.start..piece.end - 1 {
                                joined[pair(self.tokens, place)] += 1;
                            }
                        });
                    }
                    (sum, joined)
                })
                .collect();
            let likelihood: f64 = likelihoods.iter().map(|(sum, _)| sum).sum();
            let mut joined = vec![0u64; TAGS * TAGS];
            for (_, table) in likelihoods {
                joined.iter_mut().zip(table).for_each(|(a, b)| *a += b);
            }
            for ((transition, joined), &all) in self.transitions.iter_mut().zip(joined).zip(&self.neighbours) {
                // Tags that meet nowhere in the sample keep what they began with.
                if all > 0 {
                    *transition = joined as f64 / all as f64;
                }
            }
            if (likelihood - last).abs() < CONVERGED * last.abs() {
                break;
            }
            last = likelihood;
        }
    }

    fn costs<'p>(&self, pieces: &'p Pieces) -> Costs<'p> {
        Costs {
            pieces,
            inside: self.transitions.iter().map(|t| (t + EPSILON).ln()).collect(),
            end: self.transitions.iter().map(|t| (1.0 - t + EPSILON).ln()).collect(),
        }
    }

    /// A function that cuts a segment into its best pieces and tells each, from the last to the first.
    pub fn cutter<'s>(&'s self, pieces: &'s Pieces) -> impl Fn(Range<usize>, &mut Room, Told<'_>) + Sync + 's {
        let costs = self.costs(pieces);
        move |segment, room, piece| {
            self.cut(&costs, segment, room, piece);
        }
    }

    /// How often each candidate is a piece.
    pub fn counts(&self, nodes: usize, cut: impl Fn(Range<usize>, &mut Room, Told<'_>) + Sync) -> Vec<u64> {
        let counts: Vec<AtomicU64> = (0..nodes).map(|_| AtomicU64::new(0)).collect();
        self.chunks.par_iter().for_each_init(Room::default, |room, chunk| {
            for segment in segments(self.tokens, chunk.clone()) {
                cut(segment, room, &mut |_, node| {
                    if let Some(count) = counts.get(node as usize) {
                        count.fetch_add(1, Relaxed);
                    }
                });
            }
        });
        counts.into_iter().map(AtomicU64::into_inner).collect()
    }

    /// Fetches the node some places on, and what a node that was fetched before extends.
    #[inline]
    fn prefetch_ahead(&self, pieces: &Pieces, place: usize) {
        if let Some(&node) = self.longest.get(place + AHEAD) {
            pieces.prefetch(node);
            pieces.prefetch(pieces.0[self.longest[place + AHEAD / 2] as usize].parent);
        }
    }

    /// Cuts a segment into its best pieces; gives the sum of their scores.
    fn cut(
        &self,
        costs: &Costs<'_>,
        segment: Range<usize>,
        room: &mut Room,
        mut piece: impl FnMut(Range<usize>, u32),
    ) -> f64 {
        let Room { best, from, joined } = room;
        let length = segment.len();
        best.clear();
        best.resize(length + 1, f64::NEG_INFINITY);
        best[0] = 0.0;
        from.clear();
        from.resize(length + 1, (0, 0));
        joined.clear();
        joined.push(0.0);
        let mut sum = 0.0;
        for place in segment.start..segment.end - 1 {
            sum += costs.inside[pair(self.tokens, place)];
            joined.push(sum);
        }
        for start in 0..length {
            let place = segment.start + start;
            self.prefetch_ahead(costs.pieces, place);
            let so_far = best[start] - joined[start];
            let mut node = self.longest[place];
            let mut here = &costs.pieces.0[node as usize];
            let mut end = start + here.words as usize;
            loop {
                let mut score = so_far + joined[end - 1] + here.score;
                if end < length {
                    score += costs.end[pair(self.tokens, segment.start + end - 1)];
                }
                if score > best[end] {
                    (best[end], from[end]) = (score, (start as u32, node));
                }
                if here.parent == NONE {
                    break;
                }
                (node, end) = (here.parent, end - 1);
                here = &costs.pieces.0[node as usize];
            }
        }
        let mut end = length;
        while end > 0 {
            let (start, node) = from[end];
            piece(segment.start + start as usize..segment.start + end, node);
            end = start as usize;
        }
        best[length]
    }
}

/// At most so many of the chunks, evenly spread.
fn spread(chunks: &[Range<usize>], most: usize) -> Vec<Range<usize>> {
    let count = chunks.len().min(most);
    (0..count).map(|i| chunks[i * chunks.len() / count].clone()).collect()
}

/// Fills a table of tag pairs for each chunk, and adds them up.
fn sum_tables(chunks: &[Range<usize>], fill: impl Fn(Range<usize>, &mut [u64]) + Sync) -> Vec<u64> {
    let none = || vec![0u64; TAGS * TAGS];
    chunks
        .par_iter()
        .map(|chunk| {
            let mut table = none();
            fill(chunk.clone(), &mut table);
            table
        })
        .reduce(none, |mut a, b| {
            a.iter_mut().zip(b).for_each(|(a, b)| *a += b);
            a
        })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tokens::test::made_up;

    #[test]
    fn a_sample_is_all_or_evenly_spread() {
        let chunks: Vec<Range<usize>> = (0..10).map(|i| 3 * i..3 * i + 3).collect();
        assert_eq!(spread(&chunks, 10), chunks);
        assert_eq!(spread(&chunks, 64), chunks);
        assert_eq!(spread(&chunks, 4), [0..3, 6..9, 15..18, 21..24]);
        assert!(spread(&[], 64).is_empty());
    }

    proptest! {
        #[test]
        fn the_longest_node_is_where_a_walk_ends(tokens in made_up(300)) {
            let candidates = Candidates::count(&tokens.words, tokens.types.len(), 2, 5);
            let listed: [&[u32]; 3] = [&[0, 1, 2, 0], &[3, 3], &[1, 0]];
            let trie = Trie::new(&candidates, listed.into_iter());
            for (place, longest) in trie.longest(&tokens).into_iter().enumerate() {
                let within = tokens.words[place..].iter().position(|word| word.ends_segment()).unwrap();
                let mut node = tokens.words[place].kind();
                for word in &tokens.words[place + 1..=place + within] {
                    let Some(child) = trie.child(node, word.kind()) else { break };
                    node = child;
                }
                prop_assert_eq!(longest, node);
            }
        }
    }

    /// The best sum over all ways to cut a segment, by trying them.
    fn best_by_trying(segmentation: &Segmentation<'_>, pieces: &Pieces, segment: Range<usize>) -> f64 {
        if segment.is_empty() {
            return 0.0;
        }
        let costs = segmentation.costs(pieces);
        let (tokens, trie) = (segmentation.tokens, segmentation.trie);
        let mut best = f64::NEG_INFINITY;
        let mut node = Some(tokens.words[segment.start].kind());
        let mut inside = 0.0;
        for end in segment.start + 1..=segment.end {
            let Some(here) = node else { break };
            let mut score = inside + pieces.0[here as usize].score;
            if end < segment.end {
                score += costs.end[pair(tokens, end - 1)];
                inside += costs.inside[pair(tokens, end - 1)];
                node = trie.child(here, tokens.words[end].kind());
            }
            best = best.max(score + best_by_trying(segmentation, pieces, end..segment.end));
        }
        best
    }

    proptest! {
        #[test]
        fn a_segment_is_cut_into_the_best_pieces(tokens in made_up(60), qualities in prop::collection::vec(0.01f64..1.0, 400)) {
            let candidates = Candidates::count(&tokens.words, tokens.types.len(), 2, 4);
            // One phrase of the list is a candidate or is not, as it happens.
            let listed: [&[u32]; 2] = [&[0, 1, 2], &[3, 3]];
            let trie = Trie::new(&candidates, listed.into_iter());
            let longest = trie.longest(&tokens);
            let mut segmentation = Segmentation::new(&tokens, &trie, &longest);
            let quality: Vec<f64> = (0..candidates.len()).map(|node| qualities[node % qualities.len()]).collect();
            // Some candidates are pieces no more.
            let mut counts = candidates.counts.clone();
            counts.iter_mut().skip(candidates.types()).step_by(3).for_each(|count| *count = 0);
            let pieces = segmentation.pieces(&counts, &quality);
            for _ in 0..2 {
                let costs = segmentation.costs(&pieces);
                let mut room = Room::default();
                for segment in segments(&tokens, 0..tokens.words.len()).filter(|s| s.len() <= 12) {
                    let mut cut = Vec::new();
                    let found = segmentation.cut(&costs, segment.clone(), &mut room, |place, node| cut.push((place, node)));
                    let wanted = best_by_trying(&segmentation, &pieces, segment.clone());
                    prop_assert!((found - wanted).abs() < 1e-6 * wanted.abs().max(1.0), "{found} {wanted}");
                    // Pieces are the segment, from its end to its start, and each is its node's words.
                    let mut end = segment.end;
                    for (place, node) in cut {
                        prop_assert_eq!(place.end, end);
                        let walked = place.clone().skip(1).try_fold(tokens.words[place.start].kind(), |node, at| {
                            trie.child(node, tokens.words[at].kind())
                        });
                        prop_assert_eq!(walked, Some(node));
                        end = place.start;
                    }
                    prop_assert_eq!(end, segment.start);
                }
                segmentation.estimate(&pieces, |_| {});
            }
        }
    }
}
