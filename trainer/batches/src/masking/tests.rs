//! Properties of the masks, and their distribution.
use std::ops::Range;

use proptest::prelude::*;
use schemas::{DocumentId, PhraseId, PhraseSpan, TextId, TokenRange};

use super::*;
use crate::vocabulary::tests::small;

const KEY: MaskKey = MaskKey { seed: 7, epoch: 0 };

pub(crate) fn masking(fill: Fill) -> Masking {
    Masking::new(MaskingOptions { fill, ..Default::default() }, small(400), 0.5)
}

fn span(tokens: Range<usize>, score: f32) -> PhraseSpan {
    PhraseSpan { tokens: TokenRange::new(tokens).unwrap(), phrase: PhraseId::new(0), score }
}

/// A segment that owns its parts.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) ids: Vec<u32>,
    pub(crate) starts: Vec<u16>,
    pub(crate) phrases: Vec<PhraseSpan>,
    pub(crate) nouns: Vec<TokenRange>,
}

impl Row {
    /// Of the tokens of [`small`], which marks words, without phrases.
    pub(crate) fn of(ids: &[u32]) -> Self {
        let mut starts = Vec::new();
        assert!(small(400).word_starts(ids, &mut starts));
        Self { ids: ids.to_vec(), starts, phrases: Vec::new(), nouns: Vec::new() }
    }

    fn with_phrases(self, phrases: &[PhraseSpan]) -> Self {
        Self { phrases: phrases.to_vec(), ..self }
    }

    pub(crate) fn segment(&self, document: u64) -> Segment<'_> {
        Segment {
            document: DocumentId::new(document),
            text_id: TextId::new(document),
            segment: 0,
            input_ids: &self.ids,
            word_starts: &self.starts,
            phrases: &self.phrases,
            noun_phrases: &self.nouns,
        }
    }
}

/// Words of one to four tokens, phrases of whole words anywhere, noun phrases that do not overlap.
/// Tokens say nothing of words: any of them may start one.
pub(crate) fn segments() -> impl Strategy<Value = Row> {
    let words = proptest::collection::vec(proptest::collection::vec(5u32..400, 1..5), 1..60);
    let spans = proptest::collection::vec((any::<prop::sample::Index>(), 1usize..5, 0.5f32..1.0), 0..20);
    (words, spans, proptest::collection::vec((0usize..4, 1usize..4), 0..15)).prop_map(|(words, spans, nouns)| {
        let (mut ids, mut starts) = (Vec::new(), Vec::new());
        for word in words {
            starts.push(ids.len());
            ids.extend(word);
        }
        starts.push(ids.len());
        let last = starts.len() - 1;
        let tokens = |from: usize, words: usize| starts[from]..starts[(from + words).min(last)];
        let phrases = spans.iter().map(|(at, words, score)| span(tokens(at.index(last), *words), *score)).collect();
        let (mut at, mut ranges) = (0, Vec::new());
        for (gap, words) in nouns {
            at += gap;
            if at >= last {
                break;
            }
            ranges.extend(TokenRange::new(tokens(at, words)));
            at += words;
        }
        let starts = starts[..last].iter().map(|&start| start as u16).collect();
        Row { ids, starts, phrases, nouns: ranges }
    })
}

proptest! {
    #[test]
    fn masks_are_whole_words_within_the_budget(row in segments(), document: u64) {
        let (Row { ids, starts, phrases, nouns }, row) = (&row, row.segment(document));
        let ends = starts[1..].iter().copied().chain([ids.len() as u16]);
        let words: Vec<usize> = starts.iter().zip(ends).map(|(&start, end)| usize::from(end - start)).collect();
        let budget = ((0.15 * ids.len() as f64).round() as usize).max(1);
        for (mode, fill) in [
            (MaskMode::Word, Fill::Words),
            (MaskMode::Phrase, Fill::Words),
            (MaskMode::Phrase, Fill::None),
            (MaskMode::Noun, Fill::None),
            (MaskMode::Span, Fill::None),
        ] {
            let masks = masking(fill).mask(mode, &row, KEY);
            prop_assert!(masks.positions.is_sorted_by(|a, b| a < b));
            prop_assert_eq!(masks.positions.len(), masks.inputs.len());
            let taken: Vec<bool> = (0..ids.len()).map(|i| masks.positions.contains(&(i as u16))).collect();
            // What is taken first may overshoot alone: nothing else is then taken.
            let spans = phrases.iter().map(|p| &p.tokens).chain(nouns).map(|span| span.tokens().len());
            let longest = words.iter().copied().chain(spans);
            prop_assert!(masks.positions.len() <= budget.max(longest.max().unwrap_or(0)));
            for i in 1..ids.len() {
                if !starts.contains(&(i as u16)) {
                    prop_assert_eq!(taken[i], taken[i - 1], "a word is cut at {}", i);
                }
            }
            if fill == Fill::Words {
                prop_assert!(!masks.positions.is_empty());
            }
            if mode == MaskMode::Phrase && fill == Fill::None {
                // Every selected token is in a pool phrase, or in a noun phrase that touches no
                // pool phrase.
                let clean = |n: &&TokenRange| !phrases.iter().any(|p| overlap(p.tokens.tokens(), n.tokens()));
                for &position in &masks.positions {
                    let at = usize::from(position);
                    prop_assert!(phrases.iter().any(|p| p.tokens.tokens().contains(&at))
                        || nouns.iter().filter(clean).any(|n| n.tokens().contains(&at)));
                }
            }
            prop_assert_eq!(masks, masking(fill).mask(mode, &row, KEY));
        }
    }
}

fn overlap(a: Range<usize>, b: Range<usize>) -> bool {
    a.start < b.end && b.start < a.end
}

#[test]
fn the_first_taken_may_overshoot_and_then_nothing_else_is() {
    // Ten tokens: a budget of two; the only word has four, the phrase five.
    let row = Row::of(&[5, 8, 12, 16, 9, 13, 17, 21, 25, 29]).with_phrases(&[span(4..9, 0.9)]);
    let masks = masking(Fill::Words).mask(MaskMode::Phrase, &row.segment(1), KEY);
    assert_eq!(masks.positions, [4, 5, 6, 7, 8]);
}

#[test]
fn keys_change_the_masks() {
    let row = Row::of(&(0..60).map(|i| 5 + 4 * (i % 90)).collect::<Vec<u32>>());
    let masks = |document, key| masking(Fill::Words).mask(MaskMode::Word, &row.segment(document), key);
    let first = masks(1, KEY).positions;
    assert_ne!(first, masks(2, KEY).positions);
    assert_ne!(first, masks(1, MaskKey { epoch: 1, ..KEY }).positions);
    assert_ne!(first, masks(1, MaskKey { seed: 8, ..KEY }).positions);
}

#[test]
fn the_first_phrase_drawn_has_the_probability_of_equation_1() {
    // Three phrases of two tokens in ten, so that one alone is taken.
    let scores = [0.5f32, 0.75, 1.0];
    let phrases: Vec<_> = scores.iter().enumerate().map(|(i, &score)| span(3 * i..3 * i + 2, score)).collect();
    let row = Row::of(&[5, 9, 13, 17, 21, 25, 29, 33, 37, 41]).with_phrases(&phrases);
    let mut seen = [0u32; 3];
    for document in 0..60_000 {
        let masks = masking(Fill::None).mask(MaskMode::Phrase, &row.segment(document), KEY);
        assert_eq!(masks.positions.len(), 2);
        seen[usize::from(masks.positions[0] / 3)] += 1;
    }
    let sum: f64 = scores.iter().map(|&s| f64::from(s).exp()).sum();
    // Chi-square with 2 degrees of freedom; 13.8 is the 0.1% point.
    let chi: f64 = (0..3)
        .map(|i| {
            let wanted = 60_000.0 * f64::from(scores[i]).exp() / sum;
            (f64::from(seen[i]) - wanted).powi(2) / wanted
        })
        .sum();
    assert!(chi < 13.8, "{seen:?} {chi}");
}

#[test]
fn four_fifths_are_masked_and_half_of_the_rest_replaced() {
    let row = Row::of(&(0..200).map(|i| 5 + 4 * (i % 90)).collect::<Vec<u32>>());
    let (mut mask, mut kept, mut other) = (0u32, 0u32, 0u32);
    for document in 0..2_000 {
        let masks = masking(Fill::Words).mask(MaskMode::Word, &row.segment(document), KEY);
        assert_eq!(masks.positions.len(), 30);
        for (&position, &input) in masks.positions.iter().zip(&masks.inputs) {
            match input {
                4 => mask += 1,
                same if same == row.ids[usize::from(position)] => kept += 1,
                _ => other += 1,
            }
        }
    }
    let share = |n: u32| f64::from(n) / 60_000.0;
    // Four standard deviations; a random token is the token itself once in 395 times.
    assert!((share(mask) - 0.8).abs() < 0.0066, "{mask}");
    assert!((share(kept) - 0.1).abs() < 0.0052 && (share(other) - 0.1).abs() < 0.0052, "{kept} {other}");
}

proptest! {
    #[test]
    fn noun_phrases_have_the_part_of_their_option(row in segments(), document: u64) {
        let (Row { ids, phrases, nouns, .. }, row) = (&row, row.segment(document));
        let in_pool = |at: usize| phrases.iter().any(|p| p.tokens.tokens().contains(&at));
        let clean: Vec<&TokenRange> =
            nouns.iter().filter(|n| !phrases.iter().any(|p| overlap(p.tokens.tokens(), n.tokens()))).collect();
        let in_clean = |at: usize| clean.iter().any(|n| n.tokens().contains(&at));
        let masks = |nouns| {
            let options = MaskingOptions { fill: Fill::None, nouns, ..Default::default() };
            Masking::new(options, small(400), 0.5).mask(MaskMode::Phrase, &row, KEY)
        };
        let of_pool = masks(NounPhrases::Never);
        prop_assert!(of_pool.positions.iter().all(|&at| in_pool(usize::from(at))));
        let topped_up = masks(NounPhrases::TopUp);
        // The pool phrases are those that are drawn without noun phrases, and noun phrases come on
        // top.
        prop_assert!(of_pool.positions.iter().all(|at| topped_up.positions.contains(at)));
        let more = topped_up.positions.iter().filter(|at| !of_pool.positions.contains(at));
        prop_assert!(more.clone().all(|&at| in_clean(usize::from(at))));
        let budget = ((0.15 * ids.len() as f64).round() as usize).max(1);
        if of_pool.positions.len() >= budget {
            prop_assert_eq!(more.count(), 0);
        }
        if phrases.is_empty() {
            prop_assert_eq!(topped_up, masks(NounPhrases::Always));
        }
    }

    #[test]
    fn tokens_are_taken_one_by_one(row in segments(), document: u64) {
        let masks = masking(Fill::None).mask(MaskMode::Token, &row.segment(document), KEY);
        prop_assert_eq!(masks.positions.len(), ((0.15 * row.ids.len() as f64).round() as usize).max(1));
        prop_assert!(masks.positions.is_sorted_by(|a, b| a < b));
        // Each is a unit of its own.
        let mut units = masks.units.clone();
        units.sort_unstable();
        units.dedup();
        prop_assert_eq!(units.len(), masks.positions.len());
    }
}

#[test]
fn every_token_is_equally_likely_in_token_mode() {
    // Words of four tokens, of which word mode takes whole ones only.
    let row = Row::of(&(0..40).map(|i| if i % 4 == 0 { 5 } else { 8 }).collect::<Vec<u32>>());
    let mut seen = [0u32; 40];
    for document in 0..10_000 {
        let masks = masking(Fill::None).mask(MaskMode::Token, &row.segment(document), KEY);
        masks.positions.iter().for_each(|&at| seen[usize::from(at)] += 1);
    }
    // Six of 40 each time: 1,500 per token, with a standard deviation of 36.
    assert!(seen.iter().all(|&n| (1_350..1_650).contains(&n)), "{seen:?}");
}
