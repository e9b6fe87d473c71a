//! Aspects of review sentences: SemEval 2014 Task 4 XML (Pontiki et al. 2014).
//!
//! `<sentences><sentence id="…"><text>…</text><aspectTerms><aspectTerm term="…" polarity="…"
//! from="…" to="…"/>…`; `from` and `to` count characters. Sentences of equal text stay together,
//! whatever their ids.
//!
//! MAMS (Jiang et al. 2019) has the same shape without ids: such a sentence gets its number in the
//! file, counted from 1.
use std::collections::HashSet;

use roxmltree::{Document, Node};

use super::{Example, Gold, Input, Read, Span};

/// Version of this reader: raised when it gives other examples for the same file.
pub const RULES: u32 = 1;

const WANTED: &str = r#"SemEval 2014 Task 4 XML: <sentences><sentence id=""><text/><aspectTerms><aspectTerm term="" polarity="" from="" to=""/>"#;

/// The classes of aspect sentiment.
pub const POLARITIES: [&str; 3] = ["negative", "neutral", "positive"];

/// A sentence without text.
pub const NO_TEXT: &str = "sentences without text: left out";
/// A sentence without an id.
pub const NUMBERED: &str = "sentences without an id: named by their number in the file";
/// A place that holds another text than the term.
pub const ELSEWHERE: &str = "aspects whose from and to do not give their term: left out";
/// A fourth polarity, which the paper's three classes do not have.
pub const CONFLICT: &str = "aspects of polarity `conflict`: left out, as usual";
/// One place named twice.
pub const TWICE: &str = "aspects that a sentence names twice at one place: counted once";

/// A sentence with its aspects.
struct Sentence<'a> {
    id: String,
    text: String,
    aspects: Vec<(Span, Option<&'a str>)>,
}

/// An aspect's polarity may be missing where only places are read.
fn sentences<'a>(
    document: &'a Document<'_>,
    polarities: bool,
    read: &mut Read,
) -> Result<Vec<Sentence<'a>>, (String, &'static str)> {
    let root = document.root_element();
    let line = |node: Node<'_, '_>| document.text_pos_at(node.range().start).row;
    let shape = |found: String| (found, WANTED);
    if !root.has_tag_name("sentences") {
        return Err(shape(format!("the root is <{}>", root.tag_name().name())));
    }
    let mut sentences = Vec::new();
    let nodes = || root.children().filter(|node| node.has_tag_name("sentence"));
    let ids: HashSet<&str> = nodes().filter_map(|node| node.attribute("id")).collect();
    for (number, node) in nodes().enumerate() {
        let id = node.attribute("id").map_or_else(|| numbered(number + 1, &ids), str::to_owned);
        if !node.has_attribute("id") {
            read.tally.add(NUMBERED, &format!("in line {}", line(node)));
            read.numbered = true;
        }
        let text = node.children().find(|node| node.has_tag_name("text"));
        let text: String = text
            .map(|text| text.descendants().filter(|n| n.is_text()).filter_map(|n| n.text()).collect())
            .unwrap_or_default();
        if text.trim().is_empty() {
            read.tally.add(NO_TEXT, &format!("in sentence {id}"));
            read.left_out.push(id);
            continue;
        }
        let terms = node.children().find(|node| node.has_tag_name("aspectTerms"));
        let terms = terms.into_iter().flat_map(|terms| terms.children().filter(|n| n.has_tag_name("aspectTerm")));
        let mut aspects = Vec::new();
        for term in terms {
            let value = |name: &str| {
                let missing = || shape(format!("line {}: an aspectTerm without {name}", line(term)));
                term.attribute(name).ok_or_else(missing)
            };
            let place = |name: &str| {
                let value = value(name)?;
                value.parse().map_err(|_| shape(format!("line {}: {name} is `{value}`", line(term))))
            };
            let (start, end): (usize, usize) = (place("from")?, place("to")?);
            let span = Span::new(start, end).filter(|span| span.of(&text) == term.attribute("term"));
            value("term")?;
            let polarity = if polarities { Some(value("polarity")?) } else { None };
            match span {
                Some(span) => aspects.push((span, polarity)),
                None => {
                    read.tally.add(ELSEWHERE, &format!("in sentence {id}"));
                    read.left_out.push(id_of_aspect(&id, start, end));
                }
            }
        }
        sentences.push(Sentence { id, text, aspects });
    }
    Ok(sentences)
}

/// The id of a sentence without one, which no other has.
fn numbered(number: usize, ids: &HashSet<&str>) -> String {
    let mut id = number.to_string();
    while ids.contains(id.as_str()) {
        id.insert(0, '#');
    }
    id
}

/// An aspect's sentence and place, by which predictions name it.
fn id_of_aspect(sentence: &str, start: usize, end: usize) -> String {
    format!("{sentence}#{start}-{end}")
}

fn parse(text: &str) -> Result<Document<'_>, (String, &'static str)> {
    let options = roxmltree::ParsingOptions { allow_dtd: false, ..Default::default() };
    Document::parse_with_options(text, options).map_err(|error| (error.to_string(), WANTED))
}

/// Sentences with the places of their aspects; those without aspects, too. An error is what was
/// found, and what was wanted.
///
/// # Errors
/// When it is not SemEval XML, or an aspect lacks its term or place.
pub fn read_aspects(text: &str) -> Result<Read, (String, &'static str)> {
    let (document, mut read) = (parse(text)?, Read::default());
    for Sentence { id, text, aspects } in sentences(&document, false, &mut read)? {
        let mut spans: Vec<Span> = aspects.iter().map(|(span, _)| *span).collect();
        spans.sort();
        spans.dedup();
        (spans.len()..aspects.len()).for_each(|_| read.tally.add(TWICE, &format!("in sentence {id}")));
        read.examples.push(Example {
            id,
            document: text.clone(),
            input: Input::Text(text),
            gold: Gold::Aspects(spans),
        });
    }
    Ok(read)
}

/// Each aspect with its polarity; its id is the sentence's with the place. An error is what was
/// found, and what was wanted.
///
/// # Errors
/// When it is not SemEval XML, or an aspect lacks its term, its place or a known polarity.
pub fn read_sentiment(text: &str) -> Result<Read, (String, &'static str)> {
    let (document, mut read) = (parse(text)?, Read::default());
    for Sentence { id, text, aspects } in sentences(&document, true, &mut read)? {
        let mut seen: Vec<Span> = Vec::new();
        for (span, polarity) in aspects {
            let Some(polarity) = polarity else { continue };
            let place = format!("in sentence {id}");
            let aspect = id_of_aspect(&id, span.start(), span.end());
            if polarity == "conflict" {
                read.tally.add(CONFLICT, &place);
                read.left_out.push(aspect);
                continue;
            }
            if !POLARITIES.contains(&polarity) {
                let found = format!("sentence {id} has an aspect of polarity `{polarity}`");
                return Err((found, "polarity positive, negative, neutral or conflict"));
            }
            if seen.contains(&span) {
                read.tally.add(TWICE, &place);
                continue;
            }
            seen.push(span);
            let term = span.of(&text).unwrap_or_default().to_owned();
            read.examples.push(Example {
                id: aspect,
                document: text.clone(),
                input: Input::Pair(text.clone(), term),
                gold: Gold::Class(polarity.to_owned()),
            });
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<sentences>
  <sentence id="1"><text>The “sales” team &amp; cord</text><aspectTerms>
    <aspectTerm term="“sales” team" polarity="negative" from="4" to="16"/>
    <aspectTerm term="cord" polarity="conflict" from="19" to="23"/>
    <aspectTerm term="cord" polarity="neutral" from="18" to="22"/></aspectTerms></sentence>
  <sentence id="2"><text>No aspect here.</text></sentence>
  <sentence id="3"><text> </text></sentence>
  <sentence id="4"><text>Good cord</text><aspectTerms>
    <aspectTerm term="cord" polarity="positive" from="5" to="9"/>
    <aspectTerm term="cord" polarity="positive" from="5" to="9"/></aspectTerms></sentence>
</sentences>"#;

    #[test]
    fn aspects_are_read_at_their_characters() {
        let read = read_aspects(FILE).unwrap();
        let spans = |example: &Example| match &example.gold {
            Gold::Aspects(spans) => spans.iter().map(|s| (s.start(), s.end())).collect::<Vec<_>>(),
            _ => unreachable!(),
        };
        let found: Vec<_> = read.examples.iter().map(|e| (e.id.as_str(), spans(e))).collect();
        assert_eq!(found, [("1", vec![(4, 16), (19, 23)]), ("2", vec![]), ("4", vec![(5, 9)])]);
        let tally: Vec<_> = read.tally.iter().collect();
        assert_eq!(
            tally,
            [(TWICE, 1, "in sentence 4"), (ELSEWHERE, 1, "in sentence 1"), (NO_TEXT, 1, "in sentence 3")]
        );
    }

    #[test]
    fn sentences_without_an_id_are_numbered() {
        let file = r#"<sentences>
            <sentence><text>Good cord</text><aspectTerms>
                <aspectTerm from="5" polarity="positive" term="cord" to="9"/></aspectTerms></sentence>
            <sentence id="3"><text>Fine</text></sentence>
            <sentence><text>Short cord</text></sentence>
            <sentence><text> </text></sentence></sentences>"#;
        let read = read_aspects(file).unwrap();
        let ids: Vec<&str> = read.examples.iter().map(|example| example.id.as_str()).collect();
        // The second 3 is another one.
        assert_eq!((ids, read.left_out, read.numbered), (vec!["1", "3", "#3"], vec!["4".to_owned()], true));
        assert_eq!(read.tally.counts()[NUMBERED], 3);
        assert_eq!(read_sentiment(file).unwrap().examples[0].id, "1#5-9");
        assert!(!read_aspects(FILE).unwrap().numbered);
    }

    #[test]
    fn a_file_of_mams_is_read() {
        let Some(shared) = std::env::var_os("EBERT_SHARED") else { return };
        let path = std::path::Path::new(&shared).join("data/downstream/mams-val.xml");
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let (aspects, sentiment) = (read_aspects(&text).unwrap(), read_sentiment(&text).unwrap());
        assert_eq!(aspects.examples.len(), 500);
        assert!(sentiment.examples.len() > 1000 && sentiment.numbered);
    }

    #[test]
    fn conflict_is_left_out_and_counted() {
        let read = read_sentiment(FILE).unwrap();
        let found: Vec<_> = read.examples.iter().map(|e| (e.id.as_str(), &e.input, &e.gold)).collect();
        let (pair, class) = (|a: &str, b: &str| Input::Pair(a.into(), b.into()), |c: &str| Gold::Class(c.into()));
        assert_eq!(
            found,
            [
                ("1#4-16", &pair("The “sales” team & cord", "“sales” team"), &class("negative")),
                ("4#5-9", &pair("Good cord", "cord"), &class("positive")),
            ]
        );
        assert_eq!(read.tally.counts()[CONFLICT], 1);
    }

    #[test]
    fn another_shape_is_named() {
        let error = |text: &str| read_sentiment(text).unwrap_err().0;
        assert_eq!(error("<Reviews/>"), "the root is <Reviews>");
        assert!(error("{}").contains("1:1"), "{}", error("{}"));
        let of = |term: &str| {
            error(&format!(
                "<sentences>\n<sentence id=\"7\"><text>cord</text><aspectTerms>{term}</aspectTerms></sentence></sentences>"
            ))
        };
        assert_eq!(of("<aspectTerm term='cord' from='x' to='4'/>"), "line 2: from is `x`");
        assert_eq!(of("<aspectTerm term='cord' to='4'/>"), "line 2: an aspectTerm without from");
        let bare = "<aspectTerm term='cord' from='0' to='4'/>";
        assert_eq!(of(bare), "line 2: an aspectTerm without polarity");
        // Places need none.
        let sentence = format!(
            "<sentences><sentence id='7'><text>cord</text><aspectTerms>{bare}</aspectTerms></sentence></sentences>"
        );
        assert_eq!(read_aspects(&sentence).unwrap().examples[0].gold, Gold::Aspects(vec![Span::new(0, 4).unwrap()]));
        assert_eq!(
            of("<aspectTerm term='cord' from='0' to='4' polarity='great'/>"),
            "sentence 7 has an aspect of polarity `great`"
        );
    }
}
