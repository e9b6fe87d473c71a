//! Finds every occurrence of every pool phrase: a trie over words.
//!
//! Each word of the pool has a number, which the word table gives with its ids; so the text to search is a row of
//! numbers, a match begins and ends at words by construction, and a word of no phrase ends every match. From each word the trie is
//! walked as far as the text goes along. (Leftmost-longest search over text followed by a word-boundary test is not
//! exact: `gift card holder` inside `gift card holders` hides `gift card`.)
//!
//! What costs time is waiting for memory. All edges lie in one table of 16-byte slots, found by (node, word); a filter that fits the
//! cache knows nearly all pairs of words that begin no phrase; and the slots of the next words are fetched ahead.
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
    edges: Edges,
    /// Pairs of words that begin a phrase, one bit each; a few others have their bit set, too.
    pairs: Filter,
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

/// Words looked at before the first of them is searched from.
const AHEAD: usize = 32;

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
        let mut edges = Edges::with_room_for(most);
        // The node of a single word has the word's number.
        let mut nodes = words.len() as u32;
        for (id, phrase) in pool.phrases.iter().enumerate() {
            let mut path = phrase.text.split(' ').map(|word| numbers[word]);
            let Some(first) = path.next() else { continue };
            let mut end = None;
            let mut node = first;
            for word in path {
                let at = edges.find_or_insert(node, word, || {
                    nodes += 1;
                    nodes
                });
                node = edges.slots[at].child;
                end = Some(at);
            }
            match end {
                Some(at) => edges.slots[at].phrase = id as u32 + 1,
                None => single[first as usize] = id as u32 + 1,
            }
        }
        let edges = edges.finish();
        let begun: Vec<u64> =
            edges.slots.iter().filter(|e| e.word != 0 && e.parent as usize <= words.len()).map(Edge::key).collect();
        (Self { numbers: of_words, single, pairs: Filter::of(&begun), edges }, lexicon)
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
        // Most words are in no phrase here: those that may be are picked out first, and what is known of them is fetched; then
        // the edge from each along the next word is found, and what follows it fetched; then come the phrases.
        let mut picked = [0; AHEAD];
        let mut edges = [Edge::default(); AHEAD];
        for block in (0..words.len()).step_by(AHEAD) {
            let mut count = 0;
            for (at, pair) in numbers.windows(2).enumerate().skip(block).take(AHEAD) {
                let key = key_of(pair[0], pair[1]);
                let goes_on = self.numbers.begins(pair[0]) & self.pairs.may_have(key);
                if goes_on {
                    self.edges.fetch(key);
                }
                picked[count] = at << 1 | usize::from(goes_on);
                count += usize::from(goes_on | self.numbers.is_phrase(pair[0]));
            }
            for (pick, edge) in picked[..count].iter().zip(&mut edges) {
                let at = pick >> 1;
                *edge = (pick & 1 == 1)
                    .then(|| self.edges.get(numbers[at], numbers[at + 1]))
                    .flatten()
                    .copied()
                    .unwrap_or_default();
                if edge.child != 0 {
                    // The next word is in a phrase, so there is one after it, or the last 0.
                    self.edges.fetch(key_of(edge.child, numbers[at + 2]));
                }
            }
            for (pick, edge) in picked[..count].iter().zip(&edges) {
                let at = pick >> 1;
                let mut occurs = |phrase: u32, last: usize| {
                    if phrase != 0 {
                        found.push(Occurrence {
                            start: document.first_tokens[words[at] as usize],
                            end: document.first_tokens[words[last] as usize + 1],
                            phrase: PhraseId::new(phrase - 1),
                        });
                    }
                };
                occurs(self.single[numbers[at] as usize], at);
                let (mut edge, mut last) = (edge, at + 1);
                occurs(edge.phrase, last);
                while edge.child != 0 {
                    last += 1;
                    let Some(next) = self.edges.get(edge.child, numbers[last]) else { break };
                    occurs(next.phrase, last);
                    edge = next;
                }
            }
        }
    }

    /// Memory of the trie, in bytes.
    pub fn bytes(&self) -> usize {
        size_of_val(self.single.as_slice())
            + size_of_val(self.edges.slots.as_slice())
            + size_of_val(self.pairs.bits.as_slice())
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
