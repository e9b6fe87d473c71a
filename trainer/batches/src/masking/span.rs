//! Span mode, of the SpanBERT baseline: runs of words of random length.
use schemas::Draws;

use super::Selection;

/// Takes spans at random starts until the budget is met. A span's length in words is geometric with
/// parameter `p`, over 1 to `longest`. It ends early at a word that is taken or does not fit, and
/// where a second text begins.
pub(super) fn select(selection: &mut Selection, p: f64, longest: u32, draws: &mut Draws) {
    let mut starts: Vec<usize> = (0..selection.words()).collect();
    while !selection.is_full() && !starts.is_empty() {
        let length = length(p, longest, draws.unit());
        let start = starts.swap_remove(draws.below(starts.len() as u64) as usize);
        for word in start..(start + length).min(selection.words()) {
            let tokens = selection.word(word);
            if word > start && selection.cut == Some(tokens.start) {
                break;
            }
            if selection.is_full() || !selection.fits(tokens.len()) || !selection.is_free(tokens.clone()) {
                break;
            }
            selection.take(tokens);
        }
    }
}

/// The length at `quantile` (0 to 1) of the geometric distribution cut at `longest`.
fn length(p: f64, longest: u32, quantile: f64) -> usize {
    let cut = 1.0 - (1.0 - p).powf(f64::from(longest));
    let length = (1.0 - quantile * cut).ln() / (1.0 - p).ln();
    (length.floor() as usize + 1).min(longest as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_ends_where_a_second_text_begins() {
        let starts: Vec<u16> = (0..10).collect();
        // Spans of 1 to 10 words, equally often: how often the word before the cut is followed by
        // the one behind it.
        let crossings = |cut| {
            let crosses = |seed: u64| {
                let mut selection = Selection::new(&starts, 10, 0.2);
                selection.cut = cut;
                select(&mut selection, 1e-9, 10, &mut Draws::new(seed, "test", b"cut"));
                selection.units == [4..5, 5..6]
            };
            (0..10_000).filter(|&seed| crosses(seed)).count()
        };
        // In one span with probability 9/100; in two of them, 1/10 (or 1/100 if only spans of one
        // word end before) times 1/9.
        let [whole, cut] = [None, Some(5)].map(crossings);
        assert!((800..1_100).contains(&whole) && (60..170).contains(&cut), "{whole} {cut}");
    }

    #[test]
    fn lengths_are_geometric_and_cut() {
        let mut draws = Draws::new(0, "test", b"lengths");
        let mut seen = [0u32; 11];
        for _ in 0..100_000 {
            seen[length(0.2, 10, draws.unit())] += 1;
        }
        let cut = 1.0 - 0.8f64.powi(10);
        // Chi-square with 9 degrees of freedom; 27.9 is the 0.1% point.
        let chi: f64 = (1..=10)
            .map(|n| {
                let wanted = 100_000.0 * 0.2 * 0.8f64.powi(n - 1) / cut;
                (f64::from(seen[n as usize]) - wanted).powi(2) / wanted
            })
            .sum();
        assert!(seen[0] == 0 && chi < 27.9, "{seen:?} {chi}");
    }
}
