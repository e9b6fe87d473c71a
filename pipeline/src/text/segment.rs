//! Cuts an encoded document into segments, never inside a word or a phrase that fits.
use std::ops::Range;

/// Cuts a document into segments of at most `max_tokens` tokens: token ranges in order, without gaps.
///
/// `word_starts` holds the tokens that start a word, then the number of tokens. `spans` are the
/// token ranges to keep whole, sorted by start. A segment ends at the last word start that fits and
/// that no span crosses. Spans longer than a segment do not count, nor do those that an earlier
/// boundary has cut. Where chains of overlapping spans leave no such place, the segment ends at the
/// last word start that fits. A word longer than a segment is cut where the segment is full.
pub fn cut(
    word_starts: &[u32],
    spans: impl Iterator<Item = Range<u32>> + Clone,
    max_tokens: usize,
) -> Vec<Range<usize>> {
    let mut segments = Vec::new();
    let Some(&tokens) = word_starts.last() else { return segments };
    let tokens = tokens as usize;
    // The next word start is after `start`.
    let (mut start, mut next_word) = (0, word_starts.partition_point(|place| *place == 0));
    // The spans that begin in this segment or later.
    let mut spans = spans.peekable();
    while tokens - start > max_tokens {
        let limit = start + max_tokens;
        let (mut safe, mut fits) = (None, None);
        // One past the last token of any span that begins in this segment before `place`.
        let mut reach = 0;
        let mut spans_ahead = spans.clone();
        while let Some(&place) = word_starts.get(next_word).filter(|place| **place as usize <= limit) {
            while let Some(span) = spans_ahead.next_if(|span| span.start < place) {
                if span.len() <= max_tokens {
                    reach = reach.max(span.end);
                }
            }
            fits = Some((next_word, place));
            if reach <= place {
                safe = fits;
            }
            next_word += 1;
        }
        let place;
        (next_word, place) = match safe.or(fits) {
            Some((word, place)) => (word + 1, place),
            None => (next_word, limit as u32),
        };
        segments.push(start..place as usize);
        start = place as usize;
        while spans.next_if(|span| span.start < place).is_some() {}
    }
    if tokens > 0 {
        segments.push(start..tokens);
    }
    segments
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cut_at(word_starts: &[u32], spans: &[Range<u32>], max_tokens: usize) -> Vec<Range<usize>> {
        cut(word_starts, spans.iter().cloned(), max_tokens)
    }

    #[test]
    #[expect(clippy::single_range_in_vec_init, reason = "a document of one segment is intended")]
    fn a_boundary_keeps_words_and_phrases_whole() {
        let words: Vec<u32> = (0..=10).collect();
        for (name, max, phrases, wanted) in [
            ("short", 10, vec![], vec![0..10]),
            ("no phrase", 4, vec![], vec![0..4, 4..8, 8..10]),
            ("a phrase across", 4, vec![3..5], vec![0..3, 3..7, 7..10]),
            ("overlapping phrases", 4, vec![2..4, 3..5], vec![0..2, 2..6, 6..10]),
            ("a chain without a place", 4, vec![0..3, 2..5, 4..7], vec![0..4, 4..8, 8..10]),
            ("longer than a segment", 4, vec![1..7], vec![0..4, 4..8, 8..10]),
        ] {
            assert_eq!(cut_at(&words, &phrases, max), wanted, "{name}");
        }
        assert_eq!(cut_at(&[0, 3, 5, 9], &[], 5), [0..5, 5..9]);
        assert_eq!(cut_at(&[0, 1, 8, 9], &[], 3), [0..1, 1..4, 4..7, 7..9], "a word longer than a segment");
        assert_eq!(cut_at(&[5, 6, 9], &[], 3), [0..3, 3..6, 6..9], "tokens before the first word");
        assert_eq!(cut_at(&[4], &[], 3), [0..3, 3..4], "no word");
        assert!(cut_at(&[0], &[], 3).is_empty());
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
            let mut spans: Vec<Range<u32>> = raw.iter().filter(|(w, _)| *w < n)
                .map(|&(w, l)| first[w]..first[(w + l).min(n)]).collect();
            spans.sort_unstable_by_key(|span| (span.start, span.end));
            let segments = cut_at(&first, &spans, max);
            let total = first[n] as usize;
            // Without gaps, not empty, not too long, at word starts.
            prop_assert_eq!(segments.iter().map(|s| s.start).chain([total]).skip(1).collect::<Vec<_>>(),
                segments.iter().map(|s| s.end).collect::<Vec<_>>());
            for s in &segments {
                prop_assert!(!s.is_empty() && s.len() <= max);
                prop_assert!(first.contains(&(s.start as u32)));
            }
            // Slow oracle: each boundary is the last place that fits and crosses no span that begins
            // in its segment.
            for s in &segments[..segments.len() - 1] {
                let safe = |p: u32| spans.iter().all(|x| {
                    !(x.start < p && p < x.end) || (x.start as usize) < s.start || (x.end - x.start) as usize > max
                });
                let places: Vec<u32> = first.iter().copied()
                    .filter(|&p| p as usize > s.start && p as usize <= s.start + max && (p as usize) < total).collect();
                let wanted = places.iter().rev().find(|&&p| safe(p)).or(places.last()).unwrap();
                prop_assert_eq!(s.end as u32, *wanted);
            }
        }
    }
}
