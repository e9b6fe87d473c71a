//! Scores of a model to predictions.
//!
//! * rqa: the span with the highest sum of its two logits, of all spans of at most so many tokens
//!   in all windows of a review. The answer is cut from the review as it was written. Every span is
//!   looked at, so no list of the best starts and ends cuts the search short.
//! * ae: the tag of a word is that of its first token. B begins an aspect. I continues it, or
//!   begins one after O.
//! * asc: the class with the highest score.
//! * pc: every label of at least the threshold's probability; none is possible.
use super::{
    Example, Input, Span, Task,
    predictions::Prediction,
    sequence::{Sequence, words},
};

/// How to decode.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoding {
    /// The most tokens of an answer.
    pub max_answer: usize,
    /// The least probability of a label.
    pub threshold: f64,
}

/// Predictions of all examples, in their order, from the scores of their sequences. An example
/// without sequences gets an empty prediction.
pub fn decode(
    task: Task,
    examples: &[Example],
    (sequences, scores): (&[Sequence], &[Vec<f32>]),
    classes: &[String],
    decoding: Decoding,
) -> Vec<Prediction> {
    let mut predictions: Vec<Prediction> = examples.iter().map(|_| Prediction::empty(task)).collect();
    let mut best: Vec<f32> = vec![f32::NEG_INFINITY; examples.len()];
    for (sequence, scores) in sequences.iter().zip(scores) {
        let at = sequence.example;
        match task {
            Task::Rqa => {
                let Some((span, score)) = best_span(sequence, scores, decoding.max_answer) else { continue };
                if score > best[at] {
                    best[at] = score;
                    let review = if let Input::Pair(_, review) = &examples[at].input { review.as_str() } else { "" };
                    predictions[at] = Prediction::Answer(span.of(review).unwrap_or_default().to_owned());
                }
            }
            Task::Ae => predictions[at] = Prediction::Aspects(aspects(sequence, scores)),
            Task::Asc => predictions[at] = Prediction::Class(classes.get(highest(scores)).cloned().unwrap_or_default()),
            Task::Pc => {
                // A probability is above p where its score is above log(p / (1 - p)).
                let least = (decoding.threshold / (1.0 - decoding.threshold)).ln();
                let labels = classes.iter().zip(scores).filter(|(_, score)| f64::from(**score) >= least);
                predictions[at] = Prediction::Labels(labels.map(|(label, _)| label.clone()).collect());
            }
        }
    }
    predictions
}

/// The span of a window with the highest score, if it has a token.
fn best_span(window: &Sequence, scores: &[f32], most: usize) -> Option<(Span, f32)> {
    let score = |token: usize, side: usize| scores[2 * (window.first + token) + side];
    let tokens = window.spans.len();
    let mut best: Option<(usize, usize, f32)> = None;
    for from in 0..tokens {
        for to in from..tokens.min(from.saturating_add(most)) {
            let sum = score(from, 0) + score(to, 1);
            if best.is_none_or(|(_, _, best)| sum > best) {
                best = Some((from, to, sum));
            }
        }
    }
    let (from, to, sum) = best?;
    Some((Span::new(window.spans[from].start(), window.spans[to].end())?, sum))
}

/// The aspects of a sentence, by the tags of the first tokens of its words.
fn aspects(sentence: &Sequence, scores: &[f32]) -> Vec<Span> {
    let mut found: Vec<Span> = Vec::new();
    let mut open = false;
    for (token, word) in words(&sentence.spans, &sentence.words) {
        let at = 3 * (sentence.first + token);
        let tag = highest(&scores[at..at + 3]);
        match (tag, open, found.last_mut()) {
            (0, ..) => {}
            (2, true, Some(aspect)) => *aspect = aspect.to(word),
            _ => found.push(word),
        }
        open = tag != 0;
    }
    found
}

/// The number of the first highest score.
fn highest(scores: &[f32]) -> usize {
    let mut best = 0;
    for (at, score) in scores.iter().enumerate() {
        if *score > scores[best] {
            best = at;
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gold, sequence::Target};

    const DECODING: Decoding = Decoding { max_answer: 3, threshold: 0.5 };

    fn example(input: Input) -> Example {
        Example { id: "x".into(), document: "d".into(), input, gold: Gold::Class(String::new()) }
    }

    fn sequence(first: usize, spans: &[(usize, usize)], words: &[u32]) -> Sequence {
        let length = first + spans.len() + 1;
        Sequence {
            example: 0,
            ids: vec![0; length],
            types: vec![0; length],
            target: Target::None,
            first,
            spans: spans.iter().map(|s| Span::new(s.0, s.1).unwrap()).collect(),
            words: words.to_vec(),
        }
    }

    #[test]
    fn the_best_span_of_all_windows_is_cut_from_the_review() {
        let review = "It’s Not too big";
        let examples = [example(Input::Pair("?".into(), review.into()))];
        // [CLS] ? [SEP] not too big [SEP] and a window with `It ’ s`.
        let first = sequence(3, &[(5, 8), (9, 12), (13, 16)], &[0, 1, 2]);
        let second = sequence(3, &[(0, 2), (2, 3), (3, 4)], &[0, 1, 2]);
        let scores = |of: [[f32; 2]; 3]| {
            let mut all = vec![[9.0, 9.0]; 3];
            all.extend(of);
            all.push([9.0, 9.0]);
            all.concat()
        };
        let decode = |scores: [Vec<f32>; 2], most: usize| {
            let decoding = Decoding { max_answer: most, ..DECODING };
            decode(Task::Rqa, &examples, (&[first.clone(), second.clone()], &scores), &[], decoding).remove(0)
        };
        let low = scores([[0.0, 0.0]; 3]);
        // Neither special tokens nor the question are answers, nor is an end before its start.
        let high = scores([[3.0, 0.0], [0.0, 0.0], [0.0, 4.0]]);
        assert_eq!(decode([high.clone(), low.clone()], 3), Prediction::Answer("Not too big".into()));
        assert_eq!(decode([high.clone(), low.clone()], 2), Prediction::Answer("too big".into()));
        let backwards = scores([[0.0, 4.0], [0.0, 0.0], [3.0, 0.5]]);
        assert_eq!(decode([backwards, low.clone()], 3), Prediction::Answer("Not".into()));
        let higher = scores([[9.0, 0.0], [0.0, 9.0], [0.0, 0.0]]);
        assert_eq!(decode([high, higher], 3), Prediction::Answer("It’".into()));
        let none = super::decode(Task::Rqa, &examples, (&[], &[]), &[], DECODING);
        assert_eq!(none, [Prediction::Answer(String::new())]);
    }

    #[test]
    fn tags_become_aspects_of_whole_words() {
        let (o, b, i) = ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]);
        let examples = [example(Input::Text("good battery life, cord".into()))];
        // good batter ##y life , cord
        let spans = [(0, 4), (5, 11), (11, 12), (13, 17), (17, 18), (19, 23)];
        let sentence = sequence(1, &spans, &[0, 1, 1, 2, 3, 4]);
        let aspects = |tags: [[f32; 3]; 6]| {
            let mut scores = b.to_vec();
            scores.extend(tags.concat());
            scores.extend(b);
            match decode(Task::Ae, &examples, (std::slice::from_ref(&sentence), &[scores]), &[], DECODING).remove(0) {
                Prediction::Aspects(spans) => spans.iter().map(|s| (s.start(), s.end())).collect::<Vec<_>>(),
                _ => unreachable!(),
            }
        };
        // The tag of a word's second piece does not count.
        assert_eq!(aspects([o, b, o, i, o, b]), [(5, 17), (19, 23)]);
        assert_eq!(aspects([o, b, b, b, o, i]), [(5, 12), (13, 17), (19, 23)]);
        assert_eq!(aspects([o; 6]), []);
    }

    #[test]
    fn classes_and_labels_are_named() {
        let classes: Vec<String> = ["x", "y", "z"].map(str::to_owned).to_vec();
        let examples = [example(Input::Text("a".into()))];
        let sentence = sequence(1, &[(0, 1)], &[0]);
        let of = |task, scores: &[f32], threshold| {
            let decoding = Decoding { threshold, ..DECODING };
            decode(task, &examples, (std::slice::from_ref(&sentence), &[scores.to_vec()]), &classes, decoding).remove(0)
        };
        assert_eq!(of(Task::Asc, &[0.1, 0.5, 0.5], 0.5), Prediction::Class("y".into()));
        assert_eq!(of(Task::Pc, &[0.1, -0.5, 3.0], 0.5), Prediction::Labels(vec!["x".into(), "z".into()]));
        assert_eq!(of(Task::Pc, &[0.1, -0.5, 3.0], 0.9), Prediction::Labels(vec!["z".into()]));
        assert_eq!(of(Task::Pc, &[-0.1; 3], 0.5), Prediction::Labels(vec![]));
    }
}
