//! What a person sees of a mined pool.
use std::io;

use super::{Mined, MinedPhrase};
use crate::progress::thousands;

/// Phrases shown from the top, and around the threshold.
const SHOWN: usize = 20;

/// Writes how many phrases there are by length, the best ones, and those around the threshold: of several words, and of one.
pub fn write(mined: &Mined, (min_score, min_score_single): (f64, f64), out: &mut impl io::Write) -> io::Result<()> {
    let counts = &mined.counts;
    writeln!(
        out,
        "text      {} documents   {} words   {} distinct",
        thousands(counts.documents),
        thousands(counts.words),
        thousands(counts.types)
    )?;
    let by_length: Vec<String> = (1..).zip(&counts.candidates).map(|(n, c)| format!("{n}: {}", thousands(*c))).collect();
    writeln!(out, "candidates  by words   {}", by_length.join("   "))?;
    writeln!(
        out,
        "names     {} in the list   {} candidates of several words and {} words are named",
        thousands(counts.entries),
        thousands(counts.positives),
        thousands(counts.positive_words)
    )?;
    let least = |phrase: &MinedPhrase| if phrase.words > 1 { min_score } else { min_score_single };
    let longest = mined.phrases.iter().map(|p| p.words).max().unwrap_or(0);
    let kept: Vec<String> = (1..=longest)
        .map(|words| {
            let kept = mined.phrases.iter().filter(|p| p.words == words && p.score >= least(p)).count();
            format!("{words}: {}", thousands(kept as u64))
        })
        .collect();
    writeln!(out, "phrases   {} found   those that pass {min_score} ({min_score_single} for one word), by words   {}", thousands(mined.phrases.len() as u64), kept.join("   "))?;
    let longer: Vec<&MinedPhrase> = mined.phrases.iter().filter(|p| p.words > 1).collect();
    let edge = longer.partition_point(|p| p.score >= min_score);
    let around = edge.saturating_sub(SHOWN / 2)..(edge + SHOWN / 2).min(longer.len());
    list("best", &longer[..SHOWN.min(longer.len())], out)?;
    list(&format!("around {min_score}"), &longer[around], out)
}

fn list(heading: &str, phrases: &[&MinedPhrase], out: &mut impl io::Write) -> io::Result<()> {
    let texts: Vec<&str> = phrases.iter().map(|p| p.text.as_str()).collect();
    writeln!(out, "{heading:9} {}", texts.join(" · "))
}
