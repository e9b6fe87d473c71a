//! The summary of a mined pool that is printed.
use ebert_mining::{Mined, MinedPhrase};

use super::read::LeftOut;
use crate::engine::progress::{count_of, thousands};

/// Phrases shown from the top and from the end.
const SHOWN: usize = 20;

/// A heading and its text.
pub type Line = (String, String);

/// The least score of a phrase that is kept.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    /// Of several words.
    pub phrases: f64,
    /// Of one word.
    pub words: f64,
}

/// Numbers of phrases by length, and of the phrases of several words that are kept the best and the
/// last ones.
pub fn lines(mined: &Mined, left_out: LeftOut, thresholds: Thresholds) -> Vec<Line> {
    let counts = &mined.counts;
    let by_length = |numbers: &mut dyn Iterator<Item = u64>| -> String {
        let numbers: Vec<String> = (1..).zip(numbers).map(|(words, n)| format!("{words}: {}", thousands(n))).collect();
        numbers.join("   ")
    };
    let threshold = |words: u32| if words > 1 { thresholds.phrases } else { thresholds.words };
    let longest = mined.phrases.iter().map(|p| p.words).max().unwrap_or(0);
    let mut kept = (1..=longest)
        .map(|words| mined.phrases.iter().filter(|p| p.words == words && p.score >= threshold(words)).count() as u64);
    let longer: Vec<&MinedPhrase> =
        mined.phrases.iter().filter(|p| p.words > 1 && p.score >= thresholds.phrases).collect();
    let last = &longer[SHOWN.max(longer.len().saturating_sub(SHOWN)).min(longer.len())..];
    let texts = |phrases: &[&MinedPhrase]| -> String {
        let texts: Vec<String> = phrases.iter().map(|p| brief(&p.text)).collect();
        texts.join(" · ")
    };
    let mut lines = vec![
        (
            "text",
            format!(
                "{} words in {}, {} distinct",
                thousands(counts.words),
                count_of(counts.documents, "document", "documents"),
                thousands(counts.distinct_words)
            ),
        ),
        ("frequent", format!("by words   {}", by_length(&mut counts.candidates.iter().copied()))),
        (
            "named",
            format!(
                "{} and {} in a list of {}",
                count_of(counts.positives, "phrase", "phrases"),
                count_of(counts.positive_words, "word", "words"),
                thousands(counts.list_entries)
            ),
        ),
        ("kept", format!("by words   {}", by_length(&mut kept))),
        ("best", texts(&longer[..SHOWN.min(longer.len())])),
    ];
    if !last.is_empty() {
        lines.push(("last", format!("{}   (threshold {})", texts(last), thresholds.phrases)));
    }
    if left_out != LeftOut::default() {
        lines.push(("skipped", left_out.to_string()));
    }
    if counts.looks_foreign() {
        lines.push((
            "warning",
            "hardly any English stop word was found, and mining assumes English; --stop-words takes another list"
                .to_owned(),
        ));
    }
    lines.into_iter().map(|(heading, text)| (heading.to_owned(), text)).collect()
}

/// A text, cut to the length of a line.
fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
