//! Review question answering: files of the shape of SQuAD 1.1 (Rajpurkar et al. 2016).
//!
//! `{"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text",
//! "answer_start"}]}]}]}]}`; `answer_start` counts characters. All questions of an entry of `data`
//! stay together, and so do entries with an equal context, in whatever file.
use std::collections::{HashMap, HashSet};

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

/// Version of this reader: raised when it gives other examples for the same file.
pub const RULES: u32 = 1;

const WANTED: &str = r#"SQuAD 1.1 JSON: {"data": [{"title", "paragraphs": [{"context", "qas": [{"id", "question", "answers": [{"text", "answer_start"}]}]}]}]}"#;

/// A question that no text answers: SQuAD 1.1's scores are not defined for it.
pub const NO_ANSWER: &str = "questions without an answer: left out";
/// An answer without text.
pub const EMPTY_ANSWER: &str = "answers of no text: left out";
/// An answer that stands elsewhere than its file says.
pub const ELSEWHERE: &str = "answers that are not where answer_start says: scored, not trained on";

/// Reads the text of a file. An error is what was found, and what was wanted.
///
/// # Errors
/// When it is not JSON of the shape of SQuAD 1.1.
pub fn read(text: &str) -> Result<Read, (String, &'static str)> {
    let file: File = serde_json::from_str(text).map_err(|error| (error.to_string(), WANTED))?;
    let (mut examples, mut left_out, mut tally) = (Vec::new(), Vec::new(), Tally::default());
    let mut titles = HashSet::new();
    for entry in file.data {
        // Without a title an entry is known by its text, wherever it stands.
        let text = entry.paragraphs.first().map_or("", |paragraph| &paragraph.context);
        let untitled = || format!("text {}", &blake3::hash(text.as_bytes()).to_hex()[..16]);
        let title = if entry.title.is_empty() { untitled() } else { entry.title };
        let document = unused_name(&title, &mut titles);
        for paragraph in entry.paragraphs {
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
                    left_out.push(question.id);
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
    let mut files = [examples];
    join_documents(&mut files);
    let [examples] = files;
    Ok(Read { examples, left_out, tally, numbered: false })
}

/// A name that is none of these yet, and is from now on.
fn unused_name(name: &str, taken: &mut HashSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{name} ({number})"));
    let name = std::iter::once(name.to_owned()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or_default();
    taken.insert(name.clone());
    name
}

/// Makes one document of those that share a context, in these files together; it has the name of
/// the first. Documents of several files that share a name alone get names of their own.
pub fn join_documents(files: &mut [Vec<Example>]) {
    // Of each document of each file its number, of each number the one that it belongs to, and of
    // each context a number.
    let (mut numbers, mut belongs): (HashMap<(usize, String), usize>, Vec<usize>) = Default::default();
    let mut contexts: HashMap<String, usize> = HashMap::new();
    let root = |belongs: &[usize], mut number: usize| {
        while belongs[number] != number {
            number = belongs[number];
        }
        number
    };
    for (file, examples) in files.iter().enumerate() {
        for example in examples {
            let Input::Pair(_, context) = &example.input else { continue };
            let number = *numbers.entry((file, example.document.clone())).or_insert_with(|| {
                belongs.push(belongs.len());
                belongs.len() - 1
            });
            let other = *contexts.entry(context.clone()).or_insert(number);
            let (one, other) = (root(&belongs, number), root(&belongs, other));
            belongs[one.max(other)] = one.min(other);
        }
    }
    let (mut taken, mut names): (HashSet<String>, HashMap<usize, String>) = Default::default();
    for (file, examples) in files.iter_mut().enumerate() {
        for example in examples {
            let Some(&number) = numbers.get(&(file, example.document.clone())) else { continue };
            let name =
                names.entry(root(&belongs, number)).or_insert_with(|| unused_name(&example.document, &mut taken));
            example.document.clone_from(name);
        }
    }
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

    fn file(entries: &[(&str, &[&str])]) -> Vec<Example> {
        let entry = |(number, (title, contexts)): (usize, &(&str, &[&str]))| {
            let paragraph = |(at, context): (usize, &&str)| {
                let question = serde_json::json!({"id": format!("{number}/{at}"), "question": "?",
                    "answers": [{"text": context, "answer_start": 0}]});
                serde_json::json!({"context": context, "qas": [question]})
            };
            serde_json::json!({"title": title, "paragraphs": contexts.iter().enumerate().map(paragraph).collect::<Vec<_>>()})
        };
        let entries: Vec<_> = entries.iter().enumerate().map(entry).collect();
        read(&serde_json::json!({"data": entries}).to_string()).unwrap().examples
    }

    fn documents(examples: &[Example]) -> Vec<&str> {
        examples.iter().map(|example| example.document.as_str()).collect()
    }

    #[test]
    fn what_shares_a_context_is_one_document_and_what_shares_a_title_is_not() {
        let one = file(&[("Tea", &["a", "b"]), ("Tea", &["c"]), ("Cup", &["d", "b"]), ("", &["e"])]);
        let text = |context: &str| format!("text {}", &blake3::hash(context.as_bytes()).to_hex()[..16]);
        let (e, f) = (text("e"), text("f"));
        assert_eq!(documents(&one), ["Tea", "Tea", "Tea (2)", "Tea", "Tea", &e]);
        let other = file(&[("", &["f"]), ("Pot", &["c"]), ("Tea", &["g"])]);
        assert_eq!(documents(&other), [&f, "Pot", "Tea"]);
        let mut files = [one, other];
        join_documents(&mut files);
        assert_eq!(documents(&files[0]), ["Tea", "Tea", "Tea (2)", "Tea", "Tea", &e]);
        assert_eq!(documents(&files[1]), [&f, "Tea (2)", "Tea (3)"]);
    }

    #[test]
    fn another_shape_is_named() {
        let (found, _) = read(r#"{"data": [{"paragraphs": [{"qas": []}]}]}"#).unwrap_err();
        assert!(found.contains("missing field `context`"), "{found}");
        assert!(read("<xml/>").is_err());
    }
}
