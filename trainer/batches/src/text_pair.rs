//! Pairs of texts: some segments are fed as two texts, as tasks of two texts are.
use std::ops::RangeInclusive;

use schemas::Draws;

use crate::{format::SequenceFormat, masking::MaskKey, order::SPECIAL, segment::Segment};

/// Which segments are cut into two texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct TextPairs {
    /// The fraction of segments, drawn by key.
    pub(crate) fraction: f64,
    /// Tokens of the longest sequence, special tokens counted. A segment that has no room for the
    /// separators stays whole.
    pub(crate) longest: usize,
    /// How the two texts are written.
    pub(crate) format: SequenceFormat,
}

impl TextPairs {
    /// The first token of the second text, if the segment is cut.
    ///
    /// That is the start of the word nearest to the middle that begins in no phrase and no noun
    /// phrase. So whatever is masked together is in one text. A segment without such a word in its
    /// middle half stays whole.
    pub(crate) fn cut(&self, segment: &Segment<'_>, key: MaskKey) -> Option<usize> {
        let tokens = segment.input_ids.len();
        if self.fraction == 0.0 || tokens + SPECIAL + self.format.separators() > self.longest {
            return None;
        }
        let drawn = Draws::new(key.seed, "text-pair", &key.id_of(segment)).unit() < self.fraction;
        let candidates = tokens.div_ceil(4).max(1)..=3 * tokens / 4;
        drawn.then(|| nearest(segment, tokens as f64 / 2.0, candidates)).flatten()
    }
}

/// The place nearest to the middle where a text may be cut; of two, the first.
fn nearest(segment: &Segment<'_>, middle: f64, candidates: RangeInclusive<usize>) -> Option<usize> {
    let phrases = segment.phrases.iter().map(|phrase| phrase.tokens.tokens());
    let units: Vec<_> = phrases.chain(segment.noun_phrases.iter().map(|noun| noun.tokens())).collect();
    let is_within = |at: usize| units.iter().any(|unit| unit.start < at && at < unit.end);
    let distance = |at: &usize| (*at as f64 - middle).abs();
    let words = segment.word_starts.iter().map(|&start| usize::from(start));
    let free = words.filter(|at| candidates.contains(at) && !is_within(*at));
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
            tests::{Row, masking, segments},
        },
        vocabulary::tests::small,
    };

    const FORMATS: [SequenceFormat; 3] = [SequenceFormat::Bert, SequenceFormat::Roberta, SequenceFormat::ModernBert];
    const KEY: MaskKey = MaskKey { seed: 7, epoch: 0 };

    fn all(longest: usize, format: SequenceFormat) -> TextPairs {
        TextPairs { fraction: 1.0, longest, format }
    }

    proptest! {
        #[test]
        fn a_cut_is_the_free_word_start_nearest_to_the_middle(row in segments(), document: u64) {
            let tokens = row.ids.len();
            let units: Vec<_> =
                row.phrases.iter().map(|p| p.tokens.tokens()).chain(row.nouns.iter().map(|n| n.tokens())).collect();
            let may = |at: &usize| {
                let in_the_middle = 4 * at >= tokens && 4 * at <= 3 * tokens;
                let in_two = units.iter().any(|unit| unit.contains(&(at - 1)) && unit.contains(at));
                in_the_middle && row.starts.contains(&(*at as u16)) && !in_two
            };
            let wanted = (1..tokens).filter(may).min_by_key(|at| (2 * at).abs_diff(tokens));
            let segment = row.segment(document);
            for format in FORMATS {
                let most = tokens + 2 + format.separators();
                prop_assert_eq!(all(most, format).cut(&segment, KEY), wanted);
                // No room for the separators, and none wanted.
                prop_assert_eq!(all(most - 1, format).cut(&segment, KEY), None);
                let none = TextPairs { fraction: 0.0, longest: 512, format };
                prop_assert_eq!(none.cut(&segment, KEY), None);
            }
        }

        #[test]
        fn two_texts_hide_what_one_does_on_either_side(row in segments(), document: u64, format in 0..3usize) {
            let (masking, special, format) = (masking(Fill::Words), small(400).special, FORMATS[format]);
            let (ids, segment, separators) = (&row.ids, row.segment(document), format.separators());
            let Some(cut) = all(512, format).cut(&segment, KEY) else { return Ok(()) };
            let (one, two) = (Texts::one(segment.clone()), Texts { segment, cut: Some(cut), format });
            prop_assert_eq!(two.length(), one.length() + separators);
            for mode in [MaskMode::Word, MaskMode::Phrase, MaskMode::Noun, MaskMode::Token, MaskMode::Span] {
                let batch = |texts: &[Texts<'_>]| MaskedBatch::of(texts, mode, &masking, KEY, special);
                let (whole, pair) = (batch(std::slice::from_ref(&one)), batch(&[two.clone(), one.clone()]));
                let types = [vec![0; cut + 2], vec![1; two.length() - cut - 2], vec![0; one.length()]].concat();
                if format.has_types() {
                    prop_assert_eq!(&pair.types, &types);
                } else {
                    prop_assert!(pair.types.is_empty());
                }
                prop_assert!(whole.types.is_empty());

                // What was hidden, put back, is the text with its special tokens.
                let mut input = pair.input_ids.clone();
                for (&at, &label) in pair.selected.iter().zip(&pair.labels) {
                    input[at as usize] = label;
                }
                let (cls, sep, between) = ([special.cls], [special.sep], vec![special.sep; separators]);
                let wanted = [&cls, &ids[..cut], &between, &ids[cut..], &sep, &cls, ids, &sep].concat();
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
                    let place = |&at: &u32| at + if at as usize > cut { separators as u32 } else { 0 };
                    let wanted: Vec<u32> = whole.selected.iter().map(place).collect();
                    prop_assert_eq!(of_pair.copied().collect::<Vec<_>>(), wanted);
                }
            }
        }
    }

    #[test]
    fn the_fraction_is_drawn_anew_in_each_epoch() {
        let row = Row::of(&[5, 9, 13, 17]);
        let pairs = TextPairs { fraction: 0.3, longest: 512, format: SequenceFormat::Bert };
        let cut = |epoch| {
            let cut = |document| pairs.cut(&row.segment(document), MaskKey { seed: 7, epoch }).is_some();
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
