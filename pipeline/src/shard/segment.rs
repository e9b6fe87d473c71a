//! Cuts an encoded document into segments: never inside a word, nor inside a phrase that fits.
use std::ops::Range;

use crate::phrase::matcher::Occurrence;

/// The most segments of a document: their number is stored in 16 bits.
pub const MOST_SEGMENTS: usize = 65_535;

/// A document in pieces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cut {
    /// Token ranges, in order, without gaps.
    pub segments: Vec<Range<usize>>,
    /// Occurrences that a boundary cut.
    pub cut_spans: usize,
}

/// Cuts a document into segments of at most `max_tokens` tokens.
///
/// `first_tokens` are the first tokens of its words and the number of tokens; `spans` are sorted by start. A
/// segment ends at the last word start that fits and that no span crosses; spans longer than a segment, and
/// those that an earlier boundary has cut already, do not count. Where chains of overlapping spans leave no
/// such place, it ends at the last word start that fits.
pub fn cut(first_tokens: &[u32], spans: &[Occurrence], max_tokens: usize) -> Cut {
    let Some(&tokens) = first_tokens.last() else { return Cut::default() };
    let tokens = tokens as usize;
    let mut cut = Cut::default();
    let (mut start, mut word, mut span) = (0, 0, 0);
    while tokens - start > max_tokens {
        let limit = start + max_tokens;
        let (mut safe, mut fits) = (None, None);
        // One past the last token of any span that begins in this segment before the place looked at.
        let mut reach = 0;
        let mut next_span = span;
        let mut next_word = word + 1;
        while let Some(&place) = first_tokens.get(next_word).filter(|p| **p as usize <= limit) {
            while let Some(s) = spans.get(next_span).filter(|s| s.start < place) {
                if s.start as usize >= start && (s.end - s.start) as usize <= max_tokens {
                    reach = reach.max(s.end);
                }
                next_span += 1;
            }
            fits = Some((next_word, place));
            if reach <= place {
                safe = fits;
            }
            next_word += 1;
        }
        // A word is shorter than a segment, so there is always a place that fits.
        let Some((at_word, place)) = safe.or(fits) else { break };
        cut.segments.push(start..place as usize);
        (start, word) = (place as usize, at_word);
        while spans.get(span).is_some_and(|s| (s.start as usize) < start) {
            cut.cut_spans += usize::from(spans[span].end as usize > start);
            span += 1;
        }
    }
    if tokens > 0 {
        cut.segments.push(start..tokens);
    }
    cut
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use schemas::PhraseId;

    use super::*;

    fn spans(of: &[(u32, u32)]) -> Vec<Occurrence> {
        let mut spans: Vec<_> =
            of.iter().map(|&(start, end)| Occurrence { start, end, phrase: PhraseId::new(0) }).collect();
        spans.sort_unstable();
        spans
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a document of one segment is what is meant")]
    fn a_boundary_keeps_words_and_phrases_whole() {
        let words: Vec<u32> = (0..=10).collect();
        for (name, max, phrases, wanted, lost) in [
            ("short", 10, vec![], vec![0..10], 0),
            ("no phrase", 4, vec![], vec![0..4, 4..8, 8..10], 0),
            ("a phrase across", 4, vec![(3, 5)], vec![0..3, 3..7, 7..10], 0),
            ("overlapping phrases", 4, vec![(2, 4), (3, 5)], vec![0..2, 2..6, 6..10], 0),
            ("a chain without a place", 4, vec![(0, 3), (2, 5), (4, 7)], vec![0..4, 4..8, 8..10], 1),
            ("longer than a segment", 4, vec![(1, 7)], vec![0..4, 4..8, 8..10], 1),
        ] {
            let cut = cut(&words, &spans(&phrases), max);
            assert_eq!((cut.segments, cut.cut_spans), (wanted, lost), "{name}");
        }
        assert_eq!(cut(&[0, 3, 5, 9], &[], 5).segments, [0..5, 5..9]);
    }

    proptest! {
        #[test]
        fn segments_are_as_promised(
            lengths in prop::collection::vec(1u32..6, 1..60),
            raw in prop::collection::vec((0usize..60, 1usize..8), 0..40),
            max in 6usize..24,
        ) {
            let mut first = vec![0];
            for l in &lengths { first.push(first[first.len() - 1] + l); }
            let n = lengths.len();
            let phrases: Vec<_> = raw.iter().filter(|(w, _)| *w < n)
                .map(|&(w, l)| (first[w], first[(w + l).min(n)])).collect();
            let spans = spans(&phrases);
            let cut = cut(&first, &spans, max);
            let total = first[n] as usize;
            // Without gaps, not empty, not too long, at word starts.
            prop_assert_eq!(cut.segments.iter().map(|s| s.start).chain([total]).skip(1).collect::<Vec<_>>(),
                cut.segments.iter().map(|s| s.end).collect::<Vec<_>>());
            for s in &cut.segments {
                prop_assert!(!s.is_empty() && s.len() <= max);
                prop_assert!(first.contains(&(s.start as u32)));
            }
            // Slow oracle: each boundary is the last place that fits and crosses no span that begins in its segment.
            let mut lost = std::collections::BTreeSet::new();
            for s in &cut.segments[..cut.segments.len() - 1] {
                let safe = |p: u32| spans.iter().all(|x| {
                    !(x.start < p && p < x.end) || (x.start as usize) < s.start || (x.end - x.start) as usize > max
                });
                let places: Vec<u32> = first.iter().copied()
                    .filter(|&p| p as usize > s.start && p as usize <= s.start + max && (p as usize) < total).collect();
                let wanted = places.iter().rev().find(|&&p| safe(p)).or(places.last()).unwrap();
                prop_assert_eq!(s.end as u32, *wanted);
                for (i, x) in spans.iter().enumerate() {
                    if x.start < *wanted && *wanted < x.end { lost.insert(i); }
                }
            }
            prop_assert_eq!(cut.cut_spans, lost.len());
        }
    }
}
