//! Phrase mode: phrases drawn without replacement by their scores (eq. 1).
use std::ops::Range;

use schemas::Draws;

use super::Selection;
use crate::segment::Segment;

/// A phrase that may be masked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Candidate {
    /// Where it stands.
    pub tokens: Range<usize>,
    /// Its score: s of eq. 1.
    pub score: f64,
}

/// P_X: what phrase mode may mask.
#[derive(Debug)]
pub(super) struct Candidates {
    /// Every occurrence of a pool phrase.
    pub pool: Vec<Candidate>,
    /// The noun phrases that share no token with any of these, with the lowest score of the pool.
    pub clean_nouns: Vec<Candidate>,
}

pub(super) fn candidates(segment: &Segment<'_>, lowest_score: f64) -> Candidates {
    let mut in_pool_phrase = vec![false; segment.input_ids.len()];
    let mut pool = Vec::with_capacity(segment.phrases.len() + segment.noun_phrases.len());
    for span in segment.phrases {
        in_pool_phrase[span.tokens.tokens()].fill(true);
        pool.push(Candidate { tokens: span.tokens.tokens(), score: f64::from(span.score) });
    }
    let clean = segment.noun_phrases.iter().map(|noun| noun.tokens());
    let clean = clean.filter(|tokens| !in_pool_phrase[tokens.clone()].contains(&true));
    let clean_nouns = clean.map(|tokens| Candidate { tokens, score: lowest_score }).collect();
    Candidates { pool, clean_nouns }
}

/// All noun phrases, with equal scores.
pub(super) fn all_nouns(segment: &Segment<'_>) -> Vec<Candidate> {
    segment.noun_phrases.iter().map(|noun| Candidate { tokens: noun.tokens(), score: 0.0 }).collect()
}

/// Draws candidates one after another with p(p_i) = exp(s_i) / sum_j exp(s_j) over those that
/// remain, until the budget is met. This is the order of s_i + g_i for independent Gumbel g_i.
pub(super) fn select(selection: &mut Selection, candidates: Vec<Candidate>, temperature: f64, draws: &mut Draws) {
    let mut order: Vec<(f64, Range<usize>)> = candidates
        .into_iter()
        .map(|candidate| {
            // Half a step above zero, so that the logarithm is finite.
            let uniform = draws.unit() + 0.5 / (1u64 << 53) as f64;
            (candidate.score / temperature - (-uniform.ln()).ln(), candidate.tokens)
        })
        .collect();
    order.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, tokens) in order {
        if selection.is_full() {
            return;
        }
        if selection.fits(tokens.len()) && selection.is_free(tokens.clone()) {
            selection.take(tokens);
        }
    }
}
