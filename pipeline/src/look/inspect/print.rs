//! How a [`Summary`] is printed.
use std::io;

use super::{
    pairs::{PairExample, TitleOverlap},
    summary::{Example, Summary},
};
use crate::{
    engine::progress::{count_of, thousands},
    text::Tokenizer,
};

/// Prints a summary.
pub(super) fn print(
    summary: &Summary,
    tokenizer: &Tokenizer,
    paint: Paint,
    report: &mut dyn io::Write,
) -> io::Result<()> {
    let part = if summary.shards_read < summary.all_shards {
        format!(" (of {} of {} shards)", summary.shards_read, summary.all_shards)
    } else {
        String::new()
    };
    writeln!(report, "{}", paint.bold("counts"))?;
    counts(summary, report)?;
    writeln!(report, "\n{}", paint.bold(&format!("tokens in a segment{part}")))?;
    lengths(summary, report)?;
    writeln!(report, "\n{}", paint.bold(&format!("most frequent phrases{part}")))?;
    for frequent in &summary.frequent_phrases {
        let phrase = &frequent.phrase;
        writeln!(report, "  {:>14}  {:.4}  {}", thousands(frequent.spans), phrase.score, phrase.text)?;
    }
    writeln!(report, "\n{}", paint.bold("rejected records"))?;
    rejected(summary, report)?;
    if let Some(corpus) = summary.corpus.as_ref().filter(|corpus| !corpus.counts.removed.is_empty()) {
        writeln!(report, "\n{}", paint.bold("text of the shop's pages that was removed"))?;
        writeln!(report, "  {:24} {:>12} {:>14}", "rule", "pieces", "bytes")?;
        for (rule, removed) in &corpus.counts.removed {
            writeln!(report, "  {rule:24} {:>12} {:>14}", thousands(removed.pieces), thousands(removed.bytes))?;
        }
    }
    if let Some(pairs) = &summary.pairs {
        writeln!(
            report,
            "\n{}",
            paint.bold("common words of titles: how well they separate neighbors from negatives")
        )?;
        for TitleOverlap { relation, pairs, auc, nearer } in &pairs.overlaps {
            writeln!(
                report,
                "  {relation:14} {:>12} pairs   AUC {auc:.3}   the neighbor is nearer in {:.1}%",
                thousands(*pairs as u64),
                100.0 * nearer
            )?;
        }
        writeln!(report, "\n{}", paint.bold("some pairs: anchor, neighbor, negative"))?;
        pairs.examples.iter().try_for_each(|pair| self::pair(pair, paint, report))?;
    }
    writeln!(report, "\n{}", paint.bold("some rows: [pool phrases] and (noun phrases)"))?;
    for example in &summary.examples {
        writeln!(report, "  {}", marked(example, tokenizer, paint))?;
    }
    Ok(())
}

/// A pair: its titles and its evidence.
fn pair(pair: &PairExample, paint: Paint, report: &mut dyn io::Write) -> io::Result<()> {
    let mut evidence = pair.relation.clone();
    if let Some(weight) = pair.weight {
        evidence += &format!(", weight {weight:.4}");
    }
    if let Some(users) = pair.users {
        evidence += &format!(", {} reviewed both", count_of(users as u64, "user", "users"));
    }
    writeln!(report, "  {}", paint.dim(&evidence))?;
    for title in [&pair.anchor, &pair.neighbor, &pair.negative] {
        let short: String = title.chars().take(100).collect();
        writeln!(report, "    {}", if short.is_empty() { "(no title)" } else { &short })?;
    }
    Ok(())
}

fn counts(summary: &Summary, report: &mut dyn io::Write) -> io::Result<()> {
    let shards = &summary.shards;
    let counts = &shards.counts.of_segments;
    for (name, number) in [
        ("documents", counts.documents),
        ("segments", counts.segments),
        ("tokens", counts.tokens),
        ("phrase spans", counts.phrase_spans),
        ("cut spans", counts.cut_spans),
        ("noun phrases", counts.noun_phrases),
        ("cut nouns", counts.cut_noun_phrases),
        ("sharing spans", counts.spans_sharing_tokens),
        ("sharing nouns", counts.noun_phrases_sharing_tokens),
        ("cut words", counts.cut_words),
        ("pairs", shards.counts.pairs),
        ("pool phrases", shards.pool.phrases),
        ("vocabulary", u64::from(shards.tokenizer.vocab_size)),
    ] {
        // Only tokenizers whose tokens cross words have these.
        if number == 0 && ["sharing spans", "sharing nouns", "cut words"].contains(&name) {
            continue;
        }
        writeln!(report, "  {name:14} {:>16}", thousands(number))?;
    }
    for (from, pairs) in &shards.counts.negatives {
        writeln!(report, "  {:14} {:>16}   pairs", format!("negative {from}"), thousands(*pairs))?;
    }
    if let Some(corpus) = &summary.corpus {
        writeln!(
            report,
            "  {:14} {:>16}   reviewer and product, once each",
            "interactions",
            thousands(corpus.counts.interactions)
        )?;
    }
    for (relation, pairs) in &shards.counts.pairs_by_relation {
        writeln!(report, "  {:14} {:>16}   of the pairs", relation, thousands(*pairs))?;
    }
    for (relation, edges) in summary.graph.iter().flat_map(|graph| &graph.edges) {
        writeln!(report, "  {:14} {:>16}   of the associations", relation, thousands(*edges))?;
    }
    if let Some(graph) = &summary.graph {
        let missing = graph.named_ids - graph.named_products;
        let (named, missing) = (thousands(graph.named_ids), thousands(missing));
        writeln!(
            report,
            "  {:14} {named:>16}   named by associations, {missing} are not in the corpus",
            "product ids"
        )?;
        let (without, unknown) =
            (thousands(graph.reviews_without_product), thousands(graph.reviews_of_unknown_products));
        writeln!(
            report,
            "  {:14} {without:>16}   without a product id, {unknown} of products that are not in the corpus",
            "reviews"
        )?;
    }
    let per_token = summary.disk_bytes as f64 / counts.tokens.max(1) as f64;
    let bytes = thousands(summary.disk_bytes);
    writeln!(report, "  {:14} {bytes:>16}   {per_token:.2} per token, with spans", "bytes on disk")
}

/// A histogram, and shares of the tokens.
fn lengths(summary: &Summary, report: &mut dyn io::Write) -> io::Result<()> {
    const LONGEST_BAR: u64 = 40;
    let lengths = &summary.lengths;
    let most = lengths.bars.iter().map(|bar| bar.segments).max().unwrap_or(0).max(1);
    for bar in &lengths.bars {
        let (from, to) = (bar.lengths.start(), bar.lengths.end());
        let drawn = "█".repeat((bar.segments * LONGEST_BAR).div_ceil(most) as usize);
        writeln!(report, "  {from:>5}-{to:<5} {:>14}  {drawn}", thousands(bar.segments))?;
    }
    writeln!(report, "  {:.1} tokens per segment", lengths.tokens as f64 / lengths.segments.max(1) as f64)?;
    let shares = &summary.shards.shares;
    writeln!(
        report,
        "  {:.1}% of all tokens in pool phrases, {:.1}% in noun phrases, {:.1}% in noun phrases apart from pool phrases",
        100.0 * shares.phrases,
        100.0 * shares.noun_phrases,
        100.0 * shares.clean_noun_phrases
    )
}

/// Rejected records by reason, with the first few places of unreadable ones.
fn rejected(summary: &Summary, report: &mut dyn io::Write) -> io::Result<()> {
    let counts = &summary.shards.counts;
    if counts.rejected.is_empty() {
        writeln!(report, "  none")?;
    }
    let corpus = summary.corpus.as_ref();
    for (reason, n) in &counts.rejected {
        writeln!(report, "  {reason:18} {:>12}", thousands(*n))?;
        for place in corpus.iter().flat_map(|corpus| corpus.places.get(reason)).flatten().take(3) {
            writeln!(report, "    `{}` line {}: {}", place.path, place.line, place.found)?;
        }
    }
    for (reason, n) in corpus.iter().flat_map(|corpus| &corpus.counts.without_interaction) {
        writeln!(report, "  no interaction: {reason:18} {:>12}", thousands(*n))?;
    }
    for (field, reasons) in corpus.iter().flat_map(|corpus| &corpus.counts.unread) {
        for (reason, n) in reasons {
            writeln!(report, "  unread value of `{field}`: {reason} {:>12}", thousands(*n))?;
        }
    }
    for skipped in corpus.iter().flat_map(|corpus| &corpus.skipped) {
        writeln!(report, "  skipped `{}`: {}", skipped.path, skipped.why)?;
    }
    for (reason, n) in &counts.pairs_dropped {
        writeln!(report, "  pairs: {reason:11} {:>12}", thousands(*n))?;
    }
    Ok(())
}

/// What contains a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    NounPhrase,
    Phrase,
}

/// A mark that is open: two noun phrases may touch, so that they differ by where they start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Mark {
    inside: Inside,
    start: usize,
}

/// A segment as text of about three lines at most. The tokens of a word are joined. Phrases and
/// noun phrases are marked. Where a noun phrase overlaps a pool phrase, the pool phrase is marked.
fn marked(example: &Example, tokenizer: &Tokenizer, paint: Paint) -> String {
    const MOST_TOKENS: usize = 60;
    let mut marks = vec![Mark::default(); example.input_ids.len()];
    for range in &example.noun_phrases {
        marks[range.clone()].fill(Mark { inside: Inside::NounPhrase, start: range.start });
    }
    // Pool phrases that touch or overlap share one mark.
    for range in &example.phrases {
        marks[range.clone()].fill(Mark { inside: Inside::Phrase, start: 0 });
    }
    let mut text = format!("{} ", paint.dim(&format!("{}/{}", example.name, example.segment))).into_bytes();
    let mut open = Mark::default();
    for (&id, &mark) in example.input_ids.iter().zip(&marks).take(MOST_TOKENS) {
        let bytes = tokenizer.bytes_of(id);
        // A mark does not cover the space before a word.
        let (space, piece) = match bytes.strip_prefix(b" ") {
            Some(piece) => (true, piece),
            None => (tokenizer.marks_words() && !tokenizer.continues(id), &bytes[..]),
        };
        if open != mark {
            text.extend(paint.end(open.inside).bytes());
        }
        if space {
            text.push(b' ');
        }
        if open != mark {
            text.extend(paint.begin(mark.inside).bytes());
            open = mark;
        }
        text.extend(piece.iter().map(|&byte| if byte == b'\n' { b' ' } else { byte }));
    }
    text.extend(paint.end(open.inside).bytes());
    if example.input_ids.len() > MOST_TOKENS {
        text.extend(" …".bytes());
    }
    // A token may be a part of a character.
    String::from_utf8_lossy(&text).into_owned()
}

/// Marks with colors, or with brackets.
#[derive(Clone, Copy)]
pub(super) struct Paint {
    pub on: bool,
}

impl Paint {
    fn begin(self, inside: Inside) -> &'static str {
        match (inside, self.on) {
            (Inside::Nothing, _) => "",
            (Inside::Phrase, true) => "\x1b[1;33m",
            (Inside::Phrase, false) => "[",
            (Inside::NounPhrase, true) => "\x1b[36m",
            (Inside::NounPhrase, false) => "(",
        }
    }

    fn end(self, inside: Inside) -> &'static str {
        match (inside, self.on) {
            (Inside::Nothing, _) => "",
            (_, true) => "\x1b[0m",
            (Inside::Phrase, false) => "]",
            (Inside::NounPhrase, false) => ")",
        }
    }

    fn bold(self, text: &str) -> String {
        if self.on { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        if self.on { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}
