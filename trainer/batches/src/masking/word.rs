//! Word mode: whole words in random order. Token mode: single tokens.
use schemas::Draws;

use super::Selection;

/// Takes free words in random order, each that still fits, until the budget is met.
pub(super) fn select(selection: &mut Selection, draws: &mut Draws) {
    let mut words: Vec<usize> = (0..selection.words()).collect();
    for next in 0..words.len() {
        if selection.is_full() {
            return;
        }
        let pick = next + draws.below((words.len() - next) as u64) as usize;
        words.swap(next, pick);
        let word = selection.word(words[next]);
        if selection.fits(word.len()) && selection.is_free(word.clone()) {
            selection.take(word);
        }
    }
}

/// Takes single tokens in random order until the budget is met, wherever words begin.
pub(super) fn select_tokens(selection: &mut Selection, draws: &mut Draws) {
    let mut tokens: Vec<usize> = (0..selection.taken.len()).collect();
    for next in 0..tokens.len() {
        if selection.is_full() {
            return;
        }
        let pick = next + draws.below((tokens.len() - next) as u64) as usize;
        tokens.swap(next, pick);
        selection.take(tokens[next]..tokens[next] + 1);
    }
}
