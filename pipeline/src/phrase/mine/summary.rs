//! What a person sees of a mined pool.
use ebert_mining::{Mined, MinedPhrase};

use super::read::LeftOut;
use crate::engine::progress::{count_of, thousands};

/// Phrases shown from the top, and around the threshold.
const SHOWN: usize = 20;

/// A heading and what stands under it.
pub type Line = (String, String);

/// How many phrases there are by length, the best ones, and those around the threshold of several words.
pub fn lines(mined: &Mined, left_out: LeftOut, (min_score, min_score_single): (f64, f64)) -> Vec<Line> {
    let counts = &mined.counts;
    let by_length = |numbers: &mut dyn Iterator<Item = u64>| -> String {
        let numbers: Vec<String> = (1..).zip(numbers).map(|(words, n)| format!("{words}: {}", thousands(n))).collect();
        numbers.join("   ")
    };
    let least = |phrase: &MinedPhrase| if phrase.words > 1 { min_score } else { min_score_single };
    let longest = mined.phrases.iter().map(|p| p.words).max().unwrap_or(0);
    let mut kept = (1..=longest)
        .map(|words| mined.phrases.iter().filter(|p| p.words == words && p.score >= least(p)).count() as u64);
    let longer: Vec<&MinedPhrase> = mined.phrases.iter().filter(|p| p.words > 1).collect();
    let edge = longer.partition_point(|p| p.score >= min_score);
    let around = edge.saturating_sub(SHOWN / 2)..(edge + SHOWN / 2).min(longer.len());
    let texts = |phrases: &[&MinedPhrase]| -> String {
        let texts: Vec<String> = phrases.iter().map(|p| brief(&p.text)).collect();
        texts.join(" · ")
    };
    let mut told = vec![
        (
            "text",
            format!(
                "{} words in {}, {} distinct",
                thousands(counts.words),
                count_of(counts.documents, "document", "documents"),
                thousands(counts.types)
            ),
        ),
        ("frequent", format!("by words   {}", by_length(&mut counts.candidates.iter().copied()))),
        (
            "named",
            format!(
                "{} and {} in a list of {}",
                count_of(counts.positives, "phrase", "phrases"),
                count_of(counts.positive_words, "word", "words"),
                thousands(counts.entries)
            ),
        ),
        ("kept", format!("by words   {}", by_length(&mut kept))),
        ("best", texts(&longer[..SHOWN.min(longer.len())])),
    ];
    let around_edge = format!("{}   (score {min_score})", texts(&longer[around]));
    told.push(("threshold", around_edge));
    if left_out != LeftOut::default() {
        told.push(("left out", left_out.to_string()));
    }
    if counts.looks_foreign() {
        told.push((
            "warning",
            "hardly any English stop word was found: tags, stop words and what a phrase is are those of English; --stop-words takes another list"
                .to_owned(),
        ));
    }
    told.into_iter().map(|(heading, text)| (heading.to_owned(), text)).collect()
}

/// The beginning of a text that is too long for a line.
fn brief(text: &str) -> String {
    const LONGEST: usize = 60;
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
