//! The summary of a mined pool that is printed.
use ebert_mining::{Mined, MinedPhrase};

use super::read::LeftOut;
use crate::engine::progress::{Facts, count_of, thousands};

/// Phrases shown from the top and from the end.
const SHOWN: usize = 20;

/// A heading and what it reports.
pub type Line = (&'static str, Facts);

/// The minimum score of a phrase that is kept.
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
    let by_length = |numbers: &[u64]| -> String {
        let numbers: Vec<String> = (1..).zip(numbers).map(|(words, n)| format!("{words}: {}", thousands(*n))).collect();
        format!("by words   {}", numbers.join("   "))
    };
    let threshold = |words: u32| if words > 1 { thresholds.phrases } else { thresholds.words };
    let longest = mined.phrases.iter().map(|p| p.words).max().unwrap_or(0);
    let kept: Vec<u64> = (1..=longest)
        .map(|words| mined.phrases.iter().filter(|p| p.words == words && p.score >= threshold(words)).count() as u64)
        .collect();
    let frequent: Vec<u64> = counts.candidates.to_vec();
    let longer: Vec<&MinedPhrase> =
        mined.phrases.iter().filter(|p| p.words > 1 && p.score >= thresholds.phrases).collect();
    let best = &longer[..SHOWN.min(longer.len())];
    let last = &longer[SHOWN.max(longer.len().saturating_sub(SHOWN)).min(longer.len())..];
    let texts = |phrases: &[&MinedPhrase]| -> Vec<String> { phrases.iter().map(|p| brief(&p.text)).collect() };
    let documents = count_of(counts.documents, "document", "documents");
    let (words, distinct) = (thousands(counts.words), thousands(counts.distinct_words));
    let (phrases, single) =
        (count_of(counts.positives, "phrase", "phrases"), count_of(counts.positive_words, "word", "words"));
    let mut lines = vec![
        (
            "text",
            Facts::new("mined_text", format!("{words} words in {documents}, {distinct} distinct"))
                .with("words", counts.words)
                .with("documents", counts.documents)
                .with("distinct_words", counts.distinct_words),
        ),
        ("frequent", Facts::new("frequent_phrases", by_length(&frequent)).with("by_words", frequent.clone())),
        (
            "named",
            Facts::new(
                "named_phrases",
                format!("{phrases} and {single} in a list of {}", thousands(counts.list_entries)),
            )
            .with("phrases", counts.positives)
            .with("words", counts.positive_words)
            .with("list_entries", counts.list_entries),
        ),
        ("kept", Facts::new("kept_phrases", by_length(&kept)).with("by_words", kept.clone())),
        ("best", Facts::new("best_phrases", texts(best).join(" · ")).with("phrases", texts(best))),
    ];
    if !last.is_empty() {
        let text = format!("{}   (threshold {})", texts(last).join(" · "), thresholds.phrases);
        let facts = Facts::new("last_phrases", text).with("phrases", texts(last)).with("min_score", thresholds.phrases);
        lines.push(("last", facts));
    }
    if left_out != LeftOut::default() {
        let facts = Facts::new("skipped_lines", left_out.to_string())
            .with("invalid_utf8", left_out.invalid_utf8)
            .with("too_long", left_out.too_long);
        lines.push(("skipped", facts));
    }
    lines
}

/// What may be wrong with a text that was mined.
pub fn warning(mined: &Mined) -> Option<&'static str> {
    mined.counts.looks_foreign().then_some(
        "hardly any stop word was found: is the text in English? \
         `--language other` is for other languages, and `--stop-words FILE` names their stop words",
    )
}

/// A text, cut to the length of a line.
fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
