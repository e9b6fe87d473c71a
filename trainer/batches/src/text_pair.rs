//! Pairs of texts: some segments are fed as `[CLS] a [SEP] b [SEP]` with token types 0 and 1, as
//! tasks of two texts are.
use schemas::{Draws, Segment};

use crate::{masking::MaskKey, vocabulary::Vocabulary};

/// Which segments are cut into two texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TextPairs {
    /// The fraction of segments, drawn by key.
    pub(crate) fraction: f64,
    /// Tokens of the longest sequence, special tokens counted. A segment that has no room for
    /// another `[SEP]` stays whole.
    pub(crate) longest: usize,
}

impl TextPairs {
    /// Special tokens of a pair: `[CLS]` and two of `[SEP]`.
    const SPECIAL: usize = 3;

    /// The first token of the second text, if the segment is cut.
    ///
    /// That is the start of the word nearest to the middle that begins in no phrase and no noun
    /// phrase. So whatever is masked together is in one text. A segment without such a word in its
    /// middle half stays whole.
    pub(crate) fn cut(&self, segment: &Segment<'_>, vocabulary: &Vocabulary, key: MaskKey) -> Option<usize> {
        let tokens = segment.input_ids.len();
        if self.fraction == 0.0 || tokens + Self::SPECIAL > self.longest {
            return None;
        }
        let drawn = Draws::new(key.seed, "text-pair", &key.id_of(segment)).unit() < self.fraction;
        let candidates = tokens.div_ceil(4).max(1)..=3 * tokens / 4;
        drawn.then(|| nearest(segment, vocabulary, tokens as f64 / 2.0, candidates)).flatten()
    }
}

/// The place nearest to the middle where a text may be cut; of two, the first.
fn nearest(
    segment: &Segment<'_>,
    vocabulary: &Vocabulary,
    middle: f64,
    candidates: impl Iterator<Item = usize>,
) -> Option<usize> {
    let phrases = segment.phrases.iter().map(|phrase| phrase.tokens.tokens());
    let units: Vec<_> = phrases.chain(segment.noun_phrases.iter().map(|noun| noun.tokens())).collect();
    let is_within = |at: usize| units.iter().any(|unit| unit.start < at && at < unit.end);
    let distance = |at: &usize| (*at as f64 - middle).abs();
    let free = candidates.filter(|&at| !vocabulary.continues(segment.input_ids[at]) && !is_within(at));
    free.min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        MaskedBatch, Texts,
        masking::{
            Fill, MaskMode,
            tests::{masking, segment, segments},
        },
        vocabulary::tests::small,
    };

    const KEY: MaskKey = MaskKey { seed: 7, epoch: 0 };

    fn all(longest: usize) -> TextPairs {
        TextPairs { fraction: 1.0, longest }
    }

    proptest! {
        #[test]
        fn a_cut_is_the_free_word_start_nearest_to_the_middle((ids, phrases, nouns) in segments(), document: u64) {
            let (vocabulary, tokens) = (small(400), ids.len());
            let row = segment(document, &ids, &phrases, &nouns);
            let units: Vec<_> =
                phrases.iter().map(|p| p.tokens.tokens()).chain(nouns.iter().map(|n| n.tokens())).collect();
            let may = |at: &usize| {
                let in_the_middle = 4 * at >= tokens && 4 * at <= 3 * tokens;
                let in_two = units.iter().any(|unit| unit.contains(&(at - 1)) && unit.contains(at));
                in_the_middle && !vocabulary.continues(ids[*at]) && !in_two
            };
            let wanted = (1..tokens).filter(may).min_by_key(|at| (2 * at).abs_diff(tokens));
            prop_assert_eq!(all(tokens + 3).cut(&row, &vocabulary, KEY), wanted);
            // No room for another [SEP], and none wanted.
            prop_assert_eq!(all(tokens + 2).cut(&row, &vocabulary, KEY), None);
            let none = TextPairs { fraction: 0.0, longest: 512 };
            prop_assert_eq!(none.cut(&row, &vocabulary, KEY), None);
        }

        #[test]
        fn two_texts_hide_what_one_does_on_either_side((ids, phrases, nouns) in segments(), document: u64) {
            let (vocabulary, masking) = (small(400), masking(Fill::Words));
            let special = vocabulary.special;
            let row = segment(document, &ids, &phrases, &nouns);
            let Some(cut) = all(512).cut(&row, &vocabulary, KEY) else { return Ok(()) };
            let (one, two) = (Texts::one(row.clone()), Texts { segment: row, cut: Some(cut) });
            prop_assert_eq!(two.length(), one.length() + 1);
            for mode in [MaskMode::Word, MaskMode::Phrase, MaskMode::Noun, MaskMode::Token, MaskMode::Span] {
                let batch = |texts: &[Texts<'_>]| MaskedBatch::of(texts, mode, &masking, KEY, special);
                let (whole, pair) = (batch(std::slice::from_ref(&one)), batch(&[two.clone(), one.clone()]));
                let types = [vec![0; cut + 2], vec![1; ids.len() - cut + 1], vec![0; one.length()]].concat();
                prop_assert_eq!(&pair.types, &types);
                prop_assert!(whole.types.is_empty());

                // What was hidden, put back, is the text with its special tokens.
                let mut input = pair.input_ids.clone();
                for (&at, &label) in pair.selected.iter().zip(&pair.labels) {
                    input[at as usize] = label;
                }
                let sep = [special.sep];
                let wanted = [&[special.cls], &ids[..cut], &sep, &ids[cut..], &sep, &[special.cls], &ids, &sep].concat();
                prop_assert_eq!(input, wanted);

                // Nothing is taken together from both texts.
                let of_pair = pair.selected.iter().filter(|&&at| (at as usize) < two.length());
                let mut sides: BTreeMap<u32, u8> = BTreeMap::new();
                for (&at, unit) in of_pair.clone().zip(&pair.units) {
                    let side = types[at as usize];
                    prop_assert!(unit.is_none_or(|unit| *sides.entry(unit).or_insert(side) == side));
                }
                // But for spans, it is what is taken of the text as a whole.
                if mode != MaskMode::Span {
                    let place = |&at: &u32| at + u32::from(at as usize > cut);
                    let wanted: Vec<u32> = whole.selected.iter().map(place).collect();
                    prop_assert_eq!(of_pair.copied().collect::<Vec<_>>(), wanted);
                }
            }
        }
    }

    #[test]
    fn the_fraction_is_drawn_anew_in_each_epoch() {
        let (vocabulary, ids) = (small(64), [5, 9, 13, 17]);
        let pairs = TextPairs { fraction: 0.3, longest: 512 };
        let cut = |epoch| {
            let cut = |document| {
                pairs.cut(&segment(document, &ids, &[], &[]), &vocabulary, MaskKey { seed: 7, epoch }).is_some()
            };
            (0..10_000).map(cut).collect::<Vec<bool>>()
        };
        let (first, second) = (cut(0), cut(1));
        let count = |drawn: &[bool]| drawn.iter().filter(|drawn| **drawn).count();
        // Four standard deviations of 46.
        assert!([&first, &second].iter().all(|drawn| count(drawn).abs_diff(3_000) < 184));
        let both: Vec<bool> = first.iter().zip(&second).map(|(a, b)| *a && *b).collect();
        assert!(count(&both).abs_diff(900) < 120 && first == cut(0));
    }
}
