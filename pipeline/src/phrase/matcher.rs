//! Finds every occurrence of every pool phrase: a trie over words.
//!
//! Each word of the pool has a number, which the word table gives with its ids; so the text to search is a row of
//! numbers, a match begins and ends at words by construction, and a word of no phrase ends every match. From each word the trie is
//! walked as far as the text goes along. (Leftmost-longest search over text followed by a word-boundary test is not
//! exact: `gift card holder` inside `gift card holders` hides `gift card`.)
//!
//! What costs time is waiting for memory. All edges lie in one table of 16-byte slots, found by (node, word); a filter that fits the
//! cache knows nearly all pairs of words that begin no phrase, and an edge nearly all words that do not follow it; and the words of a
//! document go down the trie side by side, so that their next edges are fetched at once.
use std::collections::HashMap;

use schemas::PhraseId;

use super::{
    edges::{Edge, Edges, key_of},
    pool::Pool,
};
use crate::text::{Document, Lexicon, Tokenizer};

/// Where a pool phrase occurs in a document, in tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Occurrence {
    /// First token.
    pub start: u32,
    /// One past the last token.
    pub end: u32,
    /// The phrase.
    pub phrase: PhraseId,
}

/// The trie of a pool; shared by all threads.
pub struct Matcher {
    /// What a word's number says of it.
    numbers: Numbers,
    /// For each word, by its number, the phrase that it is, counted from 1; 0 when it is none.
    single: Vec<u32>,
    edges: Edges<Node>,
    /// The first node that is no word.
    first_node: u32,
    /// Pairs of words that begin a phrase, one bit each; a few others have their bit set, too.
    pairs: Filter,
}

/// An edge while the trie grows.
#[derive(Clone, Copy, Default)]
struct Step {
    /// The node that it leads to.
    child: u32,
    /// The phrase that ends there, counted from 1; 0 when none does.
    phrase: u32,
}

/// Where two words or more lead. Edges from here are found by the place of the edge that leads here, after the words' numbers.
#[derive(Clone, Copy, Default)]
struct Node {
    /// The words that may follow, by [`Node::bit`]; 0 where none does.
    following: u32,
    /// The phrase that ends here, counted from 1; 0 when none does.
    phrase: u32,
}

impl Node {
    /// A bit of a word. Few words follow after two, so most of the others have another bit.
    fn bit(word: u32) -> u32 {
        1 << (word.wrapping_mul(0x9e37_79b9) >> 27)
    }
}

/// The numbers of words tell, without a look into memory, which are phrases and which begin longer ones: first come those that
/// do both, then those that begin phrases, then those that are phrases, then the others.
#[derive(Clone, Copy, Debug, Default)]
struct Numbers {
    both: u32,
    begin: u32,
    single: u32,
}

impl Numbers {
    /// Whether longer phrases begin with a word. None do with 0.
    fn begins(self, number: u32) -> bool {
        number.wrapping_sub(1) < self.begin
    }

    /// Whether a word is a phrase. 0 is none.
    fn is_phrase(self, number: u32) -> bool {
        (number.wrapping_sub(1) < self.both) | (number.wrapping_sub(1 + self.begin) < self.single)
    }
}

/// Room that [`Matcher::find`] works in.
#[derive(Debug, Default)]
pub struct Scratch {
    /// Numbers of the words that matching sees, 0 for a word of no phrase, and a last 0.
    numbers: Vec<u32>,
    /// Which word of the document each is.
    words: Vec<u32>,
}

/// Words that go down the trie together.
const TOGETHER: usize = 128;
/// How many edges they go together; the few that go on do so alone.
const DEPTH: usize = 4;

/// The way down the trie from a word.
#[derive(Clone, Copy, Default)]
struct Walk {
    /// The word's place among those that matching sees.
    first: usize,
    /// Where it has come to; 0 where it ends.
    node: u32,
    /// The phrases that ended on the way, after each edge; 0 where none did.
    phrases: [u32; DEPTH],
}

impl Matcher {
    /// The trie of a pool, and the lexicon of its words.
    pub fn new<'t>(pool: &Pool, tokenizer: &'t Tokenizer) -> (Self, Lexicon<'t>) {
        #[derive(Default)]
        struct Role {
            count: u32,
            begins: bool,
            single: bool,
        }
        let mut roles: HashMap<&str, Role> = HashMap::new();
        for phrase in &pool.phrases {
            for (place, word) in phrase.text.split(' ').enumerate() {
                let role = roles.entry(word).or_default();
                role.count += 1;
                role.begins |= place == 0 && phrase.words > 1;
                role.single |= phrase.words == 1;
            }
        }
        // By what the number is to tell; then frequent words lie side by side.
        let mut words: Vec<(&str, Role)> = roles.into_iter().collect();
        words.sort_unstable_by_key(|(word, role)| {
            let group = match (role.begins, role.single) {
                (true, true) => 0,
                (true, false) => 1,
                (false, true) => 2,
                (false, false) => 3,
            };
            (group, std::cmp::Reverse(role.count), *word)
        });
        let count = |is: fn(&Role) -> bool| words.iter().filter(|w| is(&w.1)).count() as u32;
        let of_words = Numbers {
            both: count(|r| r.begins && r.single),
            begin: count(|r| r.begins),
            single: count(|r| !r.begins && r.single),
        };
        let lexicon = Lexicon::new(tokenizer, words.iter().map(|w| w.0));
        let numbers: HashMap<&str, u32> = words.iter().enumerate().map(|(i, w)| (w.0, i as u32 + 1)).collect();

        let mut single = vec![0; words.len() + 1];
        let most = pool.phrases.iter().map(|phrase| usize::from(phrase.words) - 1).sum();
        // First each edge leads to a node with a number, in the order in which phrases need them, after the words' numbers.
        let mut steps: Edges<Step> = Edges::with_room_for(most);
        let first_node = words.len() as u32 + 1;
        let mut nodes = first_node;
        for (id, phrase) in pool.phrases.iter().enumerate() {
            let mut path = phrase.text.split(' ').map(|word| numbers[word]);
            let Some(mut node) = path.next() else { continue };
            let mut end = &mut single[node as usize];
            for word in path {
                let at = steps.find_or_insert(node, word, || {
                    nodes += 1;
                    Step { child: nodes - 1, phrase: 0 }
                });
                let step = steps.value_mut(at);
                node = step.child;
                end = &mut step.phrase;
            }
            *end = id as u32 + 1;
        }
        // Then the edges are put into a table of their own size, where a node is the place of the edge that leads to it.
        let mut steps: Vec<Edge<Step>> = steps.iter().copied().collect();
        steps.sort_unstable_by_key(|edge| edge.value.child);
        let mut edges = Edges::with_room_for(steps.len());
        let mut places: Vec<u32> = Vec::with_capacity(steps.len());
        let mut begun = Vec::new();
        for Edge { parent, word, value } in steps {
            let parent = match parent.checked_sub(first_node) {
                None => {
                    begun.push(key_of(parent, word));
                    parent
                }
                Some(node) => {
                    let place = places[node as usize];
                    let parent: &mut Node = edges.value_mut(place);
                    parent.following |= Node::bit(word);
                    first_node + place
                }
            };
            places.push(edges.find_or_insert(parent, word, || Node { following: 0, phrase: value.phrase }));
        }
        (Self { numbers: of_words, single, pairs: Filter::of(&begun), edges, first_node }, lexicon)
    }

    /// Finds every occurrence in a document, sorted by start, then end.
    pub fn find(&self, document: &Document, scratch: &mut Scratch, found: &mut Vec<Occurrence>) {
        found.clear();
        let Scratch { numbers, words } = scratch;
        numbers.clear();
        words.clear();
        if document.has_transparent {
            for (word, &number) in document.pool_words.iter().enumerate() {
                if number != Document::TRANSPARENT {
                    numbers.push(number);
                    words.push(word as u32);
                }
            }
        } else {
            numbers.extend_from_slice(&document.pool_words);
            words.extend(0..numbers.len() as u32);
        }
        numbers.push(0);
        // Most words are in no phrase here: those that may be are picked out first, and what is known of them is fetched. Then they
        // go down the trie together, an edge at a time, while the next word may follow. Then come the phrases, in order.
        let mut walks = [Walk::default(); TOGETHER];
        let mut going = [0; TOGETHER];
        for block in (0..words.len()).step_by(TOGETHER) {
            let (mut picked, mut count) = (0, 0);
            for (first, pair) in numbers.windows(2).enumerate().skip(block).take(TOGETHER) {
                let key = key_of(pair[0], pair[1]);
                let goes = self.numbers.begins(pair[0]) & self.pairs.may_have(key);
                if goes {
                    self.edges.fetch(key);
                }
                walks[picked] = Walk { first, node: if goes { pair[0] } else { 0 }, phrases: [0; DEPTH] };
                going[count] = picked;
                picked += usize::from(goes | self.numbers.is_phrase(pair[0]));
                count += usize::from(goes);
            }
            for depth in 0..DEPTH {
                let mut rest = 0;
                for i in 0..count {
                    let walk = &mut walks[going[i]];
                    let ahead = &numbers[walk.first + depth + 1..];
                    (walk.node, walk.phrases[depth]) = self.step(walk.node, ahead);
                    going[rest] = going[i];
                    rest += usize::from(walk.node != 0);
                }
                count = rest;
            }
            for walk in &walks[..picked] {
                let mut occurs = |phrase: u32, length: usize| {
                    if phrase != 0 {
                        found.push(Occurrence {
                            start: document.first_tokens[words[walk.first] as usize],
                            end: document.first_tokens[words[walk.first + length - 1] as usize + 1],
                            phrase: PhraseId::new(phrase - 1),
                        });
                    }
                };
                occurs(self.single[numbers[walk.first] as usize], 1);
                (2..).zip(walk.phrases).for_each(|(length, phrase)| occurs(phrase, length));
                let (mut node, mut length) = (walk.node, DEPTH + 1);
                while node != 0 {
                    let phrase;
                    (node, phrase) = self.step(node, &numbers[walk.first + length..]);
                    length += 1;
                    occurs(phrase, length);
                }
            }
        }
    }

    /// Goes along an edge: where it leads, or 0 if the word after next does not follow there, and the phrase that ends there, or 0.
    /// What comes next is on its way from memory then.
    #[inline]
    fn step(&self, node: u32, ahead: &[u32]) -> (u32, u32) {
        let Some((place, Node { following, phrase })) = self.edges.find(node, ahead[0]) else { return (0, 0) };
        // A word of a phrase is followed by a word, or by the last 0.
        let next = ahead[1];
        if following & Node::bit(next) == 0 {
            return (0, phrase);
        }
        let node = self.first_node + place;
        self.edges.fetch(key_of(node, next));
        (node, phrase)
    }

    /// Memory of the trie, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.single.as_slice()) + self.edges.bytes() + size_of_val(self.pairs.bits.as_slice())
    }
}

/// A set of keys that may say yes to a key that it does not have: one bit a key, about an eighth of them set.
struct Filter {
    bits: Vec<u64>,
    shift: u32,
}

impl Filter {
    fn of(keys: &[u64]) -> Self {
        let size = (8 * keys.len()).next_power_of_two().max(64);
        let mut filter = Self { bits: vec![0; size / 64], shift: 64 - size.trailing_zeros() };
        for &key in keys {
            let bit = filter.bit(key);
            filter.bits[bit / 64] |= 1 << (bit % 64);
        }
        filter
    }

    fn bit(&self, key: u64) -> usize {
        (key.wrapping_mul(0xd6e8_feb8_6659_fd93) >> self.shift) as usize
    }

    #[inline]
    fn may_have(&self, key: u64) -> bool {
        let bit = self.bit(key);
        self.bits[bit / 64] >> (bit % 64) & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_filter_has_all_that_it_was_given(keys in prop::collection::vec((1u32..40, 1u32..40), 0..500)) {
            let keys: HashSet<u64> = keys.into_iter().map(|(parent, word)| key_of(parent, word)).collect();
            let filter = Filter::of(&keys.iter().copied().collect::<Vec<_>>());
            prop_assert!(keys.iter().all(|&key| filter.may_have(key)));
        }
    }
}
