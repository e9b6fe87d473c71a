//! Review question answering: files of the shape of SQuAD 1.1 (Rajpurkar et al. 2016).
//!
//! `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}`;
//! `answer_start` counts characters. All questions of an entry of `data` stay together, and so do those of equal contexts.
use std::collections::HashMap;

use serde::Deserialize;

use super::{Example, Gold, Input, Read, Span, Tally};

#[derive(Deserialize)]
struct File {
    data: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default)]
    title: String,
    paragraphs: Vec<Paragraph>,
}

#[derive(Deserialize)]
struct Paragraph {
    context: String,
    qas: Vec<Question>,
}

#[derive(Deserialize)]
struct Question {
    id: String,
    question: String,
    #[serde(default)]
    answers: Vec<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    text: String,
    answer_start: i64,
}

const WANTED: &str = r#"SQuAD 1.1 JSON: {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}"#;

/// A question that no text answers: SQuAD 1.1's scores are not defined for it.
pub const NO_ANSWER: &str = "questions without an answer: left out";
/// An answer without text.
pub const EMPTY_ANSWER: &str = "answers of no text: left out";
/// An answer that stands elsewhere than its file says.
pub const ELSEWHERE: &str = "answers that are not where answer_start says: scored, not trained on";

/// Reads the text of a file. An error is what was found, and what was wanted.
pub fn read(text: &str) -> Result<Read, (String, &'static str)> {
    let file: File = serde_json::from_str(text).map_err(|error| (error.to_string(), WANTED))?;
    let (mut examples, mut tally) = (Vec::new(), Tally::default());
    let mut document_of: HashMap<String, String> = HashMap::new();
    for (number, entry) in file.data.into_iter().enumerate() {
        let title = if entry.title.is_empty() { format!("entry {}", number + 1) } else { entry.title };
        for paragraph in entry.paragraphs {
            let document = document_of.entry(paragraph.context.clone()).or_insert_with(|| title.clone()).clone();
            for question in paragraph.qas {
                let place = format!("in question {}", question.id);
                let (mut texts, mut at) = (Vec::new(), None);
                for answer in question.answers {
                    if answer.text.trim().is_empty() {
                        tally.add(EMPTY_ANSWER, &place);
                        continue;
                    }
                    let start = usize::try_from(answer.answer_start).ok();
                    let span = start.and_then(|start| Span::new(start, start + answer.text.chars().count()));
                    let span = span.filter(|span| span.of(&paragraph.context) == Some(answer.text.as_str()));
                    if span.is_none() {
                        tally.add(ELSEWHERE, &place);
                    }
                    at = at.or(span);
                    texts.push(answer.text);
                }
                if texts.is_empty() {
                    tally.add(NO_ANSWER, &place);
                    continue;
                }
                examples.push(Example {
                    id: question.id,
                    document: document.clone(),
                    input: Input::Pair(question.question, paragraph.context.clone()),
                    gold: Gold::Answers { texts, at },
                });
            }
        }
    }
    Ok(Read { examples, tally })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_where_they_are_said_to_be() {
        let text = r#"{"version": "1.1", "data": [
            {"title": "first", "paragraphs": [{"context": "It’s a nice holder. It fits any lipstick.", "qas": [
                {"id": "1", "question": "What?", "answers": [{"text": "a nice holder", "answer_start": 5}, {"text": "holder", "answer_start": 12}]},
                {"id": "2", "question": "Fits?", "answers": [{"text": "lipstick", "answer_start": 3}, {"text": "any lipstick", "answer_start": 28}]},
                {"id": "3", "question": "Off?", "answers": [{"text": "lipstick", "answer_start": -1}]},
                {"id": "4", "question": "None?", "answers": []},
                {"id": "5", "question": "Empty?", "answers": [{"text": " ", "answer_start": 4}]}]}]},
            {"paragraphs": [{"context": "Good.", "qas": []}]},
            {"title": "third", "paragraphs": [{"context": "It’s a nice holder. It fits any lipstick.", "qas": [
                {"id": "6", "question": "What?", "answers": [{"text": "holder", "answer_start": 12}]}]}]}]}"#;
        let read = read(text).unwrap();
        let of = |example: &Example| match &example.gold {
            Gold::Answers { texts, at } => (texts.len(), at.map(|at| (at.start(), at.end()))),
            _ => unreachable!(),
        };
        let found: Vec<_> = read.examples.iter().map(|e| (e.id.as_str(), e.document.as_str(), of(e))).collect();
        assert_eq!(
            found,
            [
                ("1", "first", (2, Some((5, 18)))),
                ("2", "first", (2, Some((28, 40)))),
                ("3", "first", (1, None)),
                // The same review under another title stays with the first.
                ("6", "first", (1, Some((12, 18)))),
            ]
        );
        let tally: Vec<_> = read.tally.iter().collect();
        assert_eq!(
            tally,
            [(EMPTY_ANSWER, 1, "in question 5"), (ELSEWHERE, 2, "in question 2"), (NO_ANSWER, 2, "in question 4"),]
        );
    }

    #[test]
    fn another_shape_is_named() {
        let (found, _) = read(r#"{"data": [{"paragraphs": [{"qas": []}]}]}"#).unwrap_err();
        assert!(found.contains("missing field `context`"), "{found}");
        assert!(read("<xml/>").is_err());
    }
}
