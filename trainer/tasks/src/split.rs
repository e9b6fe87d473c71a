//! Which examples are trained on, validated on and tested on: 7 : 1 : 2, as in the paper.
//!
//! Where a document goes is a keyed draw of its own, so adding documents moves none, and all
//! examples of a document go together. Where a test file is given, it is the test, and the other
//! file is split 7 : 1; what it shares with the test is left out.
use std::collections::HashSet;

use schemas::Draws;

use super::{Example, Tally, Task};

/// A part of a task's examples.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Train,
    Validation,
    Test,
}

/// The parts of a task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// Trained on.
    pub train: Vec<Example>,
    /// What decides between epochs and learning rates.
    pub validation: Vec<Example>,
    /// What is reported.
    pub test: Vec<Example>,
}

/// A document that is in the test file too.
pub const IN_TEST: &str = "examples of a document that is in the test file too: left out";

/// A part came out empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{documents} {}{} are too few for a {part} part\nhint: name {}",
    task.documents(),
    if *in_test > 0 { format!(", without {in_test} that are in the test file too,") } else { String::new() },
    if *in_test > 0 { "files that share less" } else { "a larger file, or another `--split-seed`" }
)]
pub struct SplitError {
    task: Task,
    part: &'static str,
    /// Those that may be in it.
    documents: usize,
    /// Those that may not, as they are in the test file.
    in_test: usize,
}

/// Splits examples; `test` are those of a test file, if there is one.
///
/// # Errors
/// When a part is empty.
pub fn split(
    task: Task,
    seed: u64,
    examples: Vec<Example>,
    test: Option<Vec<Example>>,
    tally: &mut Tally,
) -> Result<Parts, SplitError> {
    let own_test = test.is_none();
    let mut parts = Parts { test: test.unwrap_or_default(), ..Parts::default() };
    let tested: HashSet<String> = parts.test.iter().map(|e| e.document.clone()).collect();
    let documents: HashSet<&str> = examples.iter().map(|e| e.document.as_str()).collect();
    let in_test = documents.iter().filter(|document| tested.contains(**document)).count();
    let documents = documents.len() - in_test;
    for example in examples {
        if tested.contains(&example.document) {
            tally.add(IN_TEST, &format!("`{}`", example.id));
            continue;
        }
        match part_of(seed, &example.document, own_test) {
            Part::Train => parts.train.push(example),
            Part::Validation => parts.validation.push(example),
            Part::Test => parts.test.push(example),
        }
    }
    for (part, examples) in [("training", &parts.train), ("validation", &parts.validation), ("test", &parts.test)] {
        if examples.is_empty() {
            return Err(SplitError { task, part, documents, in_test });
        }
    }
    Ok(parts)
}

fn part_of(seed: u64, document: &str, with_test: bool) -> Part {
    let at = 10.0 * Draws::new(seed, "task-split", document.as_bytes()).unit();
    let at = if with_test { at } else { 0.8 * at };
    match at {
        at if at < 7.0 => Part::Train,
        at if at < 8.0 => Part::Validation,
        _ => Part::Test,
    }
}

/// At most `limit` of the examples, drawn by key, in their order.
pub fn limited(seed: u64, limit: Option<usize>, examples: Vec<Example>) -> Vec<Example> {
    let Some(limit) = limit.filter(|limit| *limit < examples.len()) else { return examples };
    let draw = |example: &Example| Draws::new(seed, "task-limit", example.id.as_bytes()).next_u64();
    let mut draws: Vec<(u64, usize)> = examples.iter().enumerate().map(|(at, e)| (draw(e), at)).collect();
    draws.sort_unstable();
    let kept: HashSet<usize> = draws[..limit].iter().map(|(_, at)| *at).collect();
    examples.into_iter().enumerate().filter(|(at, _)| kept.contains(at)).map(|(_, example)| example).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Gold, Input};

    fn examples(documents: std::ops::Range<usize>) -> Vec<Example> {
        let example = |document: usize, number: usize| Example {
            id: format!("{document}/{number}"),
            document: format!("d{document}"),
            input: Input::Text(String::new()),
            gold: Gold::Class(String::new()),
        };
        documents.flat_map(|document| (0..3).map(move |number| example(document, number))).collect()
    }

    fn documents(examples: &[Example]) -> HashSet<&str> {
        examples.iter().map(|e| e.document.as_str()).collect()
    }

    #[test]
    fn documents_stay_together_and_parts_are_of_the_right_size() {
        let parts = split(Task::Rqa, 0, examples(0..2000), None, &mut Tally::default()).unwrap();
        let sizes = [&parts.train, &parts.validation, &parts.test].map(|part| documents(part).len());
        assert_eq!(sizes.iter().sum::<usize>(), 2000);
        for (size, wanted) in sizes.into_iter().zip([1400.0, 200.0, 400.0]) {
            assert!((size as f64 - wanted).abs() < 60.0, "{sizes:?}");
        }
        assert!(documents(&parts.train).is_disjoint(&documents(&parts.test)));
        // More documents move none.
        let more = split(Task::Rqa, 0, examples(0..2500), None, &mut Tally::default()).unwrap();
        assert!(documents(&parts.test).is_subset(&documents(&more.test)));
        let other = split(Task::Rqa, 1, examples(0..2000), None, &mut Tally::default()).unwrap();
        assert_ne!(other, parts);
    }

    #[test]
    fn a_test_file_is_the_test_and_nothing_of_it_is_trained_on() {
        let mut tally = Tally::default();
        let parts = split(Task::Ae, 0, examples(0..800), Some(examples(790..900)), &mut tally).unwrap();
        assert_eq!(parts.test, examples(790..900));
        assert_eq!(tally.counts()[IN_TEST], 30);
        let (train, validation) = (documents(&parts.train), documents(&parts.validation));
        assert_eq!(train.len() + validation.len(), 790);
        assert!((validation.len() as f64 - 98.75).abs() < 30.0, "{}", validation.len());
        assert!(train.is_disjoint(&validation) && train.is_disjoint(&documents(&parts.test)));
    }

    #[test]
    fn an_empty_part_is_refused() {
        let error = split(Task::Pc, 0, examples(0..1), None, &mut Tally::default()).unwrap_err();
        assert!(error.to_string().starts_with("1 different titles are too few for a "), "{error}");
        let error = split(Task::Ae, 0, examples(0..9), Some(examples(0..9)), &mut Tally::default()).unwrap_err();
        let wanted = "0 different sentences, without 9 that are in the test file too, are too few for a training part";
        assert!(error.to_string().starts_with(wanted), "{error}");
    }

    #[test]
    fn a_limit_is_a_keyed_sample() {
        let all = examples(0..50);
        let some = limited(0, Some(40), all.clone());
        assert_eq!(some.len(), 40);
        assert_eq!(limited(0, Some(40), all.clone()), some);
        let fewer = limited(0, Some(10), all.clone());
        assert!(fewer.iter().all(|example| some.contains(example)));
        assert_ne!(limited(1, Some(40), all.clone()), some);
        assert_eq!(limited(0, Some(500), all.clone()), all);
    }
}
