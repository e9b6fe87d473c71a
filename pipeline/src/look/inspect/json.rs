//! A [`Summary`] for a program: one JSON object per line.
use std::{
    io::{self, Write},
    ops::Range,
};

use serde_json::{Value, json};

use super::{
    pairs::{PairExample, TitleOverlap},
    summary::{Example, LengthBar, Summary},
};
use crate::text::Tokenizer;

/// Prints a summary.
pub(super) fn print(summary: &Summary, tokenizer: &Tokenizer, report: &mut dyn Write) -> io::Result<()> {
    let mut lines = vec![counts(summary), lengths(summary)];
    lines.extend(summary.frequent_phrases.iter().map(|frequent| {
        let phrase = &frequent.phrase;
        json!({"event": "frequent_phrase", "phrase": phrase.text, "score": phrase.score, "spans": frequent.spans})
    }));
    lines.extend(rejected(summary));
    if let Some(pairs) = &summary.pairs {
        lines.extend(pairs.overlaps.iter().map(|TitleOverlap { relation, pairs, auc, nearer }| {
            json!({"event": "title_overlap", "relation": relation, "pairs": pairs, "auc": auc, "nearer": nearer})
        }));
        lines.extend(pairs.examples.iter().map(|pair| {
            let PairExample { relation, weight, users, anchor, neighbor, negative } = pair;
            json!({
                "event": "pair", "relation": relation, "weight": weight, "users": users, "anchor": anchor,
                "neighbor": neighbor, "negative": negative,
            })
        }));
    }
    lines.extend(summary.examples.iter().map(|example| segment(example, tokenizer)));
    lines.iter().try_for_each(|line| writeln!(report, "{line}"))
}

fn counts(summary: &Summary) -> Value {
    let shards = &summary.shards;
    let counts = &shards.counts.of_segments;
    json!({
        "event": "counts",
        "documents": counts.documents,
        "segments": counts.segments,
        "tokens": counts.tokens,
        "phrase_spans": counts.phrase_spans,
        "cut_spans": counts.cut_spans,
        "spans_sharing_tokens": counts.spans_sharing_tokens,
        "noun_phrases": counts.noun_phrases,
        "cut_noun_phrases": counts.cut_noun_phrases,
        "noun_phrases_sharing_tokens": counts.noun_phrases_sharing_tokens,
        "cut_words": counts.cut_words,
        "pairs": shards.counts.pairs,
        "pairs_by_relation": shards.counts.pairs_by_relation,
        "negatives": shards.counts.negatives,
        "pool_phrases": shards.pool.phrases,
        "vocabulary": shards.tokenizer.vocab_size,
        "interactions": summary.corpus.as_ref().map(|corpus| corpus.counts.interactions),
        "associations": summary.graph.as_ref().map(|graph| &graph.edges),
        "product_ids_named": summary.graph.as_ref().map(|graph| graph.named_ids),
        "product_ids_missing": summary.graph.as_ref().map(|graph| graph.named_ids - graph.named_products),
        "reviews_without_product": summary.graph.as_ref().map(|graph| graph.reviews_without_product),
        "reviews_of_unknown_products": summary.graph.as_ref().map(|graph| graph.reviews_of_unknown_products),
        "bytes": summary.disk_bytes,
    })
}

/// A histogram of lengths, and the parts of all tokens in phrases.
fn lengths(summary: &Summary) -> Value {
    let (lengths, shares) = (&summary.lengths, &summary.shards.shares);
    let bar = |bar: &LengthBar| json!({"from": bar.lengths.start(), "to": bar.lengths.end(), "segments": bar.segments});
    json!({
        "event": "lengths",
        "shards_read": summary.shards_read,
        "shards": summary.all_shards,
        "segments": lengths.segments,
        "tokens": lengths.tokens,
        "histogram": lengths.bars.iter().map(bar).collect::<Vec<_>>(),
        "tokens_in_phrases": shares.phrases,
        "tokens_in_noun_phrases": shares.noun_phrases,
        "tokens_in_clean_noun_phrases": shares.clean_noun_phrases,
    })
}

/// What is not in the shards, and why.
fn rejected(summary: &Summary) -> Vec<Value> {
    let counts = &summary.shards.counts;
    let mut lines = vec![json!({
        "event": "rejected_records", "reasons": counts.rejected, "pairs_dropped": counts.pairs_dropped,
    })];
    let Some(corpus) = &summary.corpus else { return lines };
    lines.push(json!({"event": "without_interaction", "reasons": corpus.counts.without_interaction}));
    for (reason, places) in &corpus.places {
        lines.extend(places.iter().map(|place| {
            json!({
                "event": "rejected_place", "reason": reason, "path": place.path, "line": place.line, "found": place.found,
            })
        }));
    }
    let unread = corpus.counts.unread.iter();
    lines.extend(unread.map(|(field, reasons)| json!({"event": "unread_values", "field": field, "reasons": reasons})));
    let skipped = corpus.skipped.iter();
    lines.extend(skipped.map(|file| json!({"event": "skipped_file", "path": file.path, "reason": file.why})));
    lines.push(json!({"event": "removed_page_text", "rules": corpus.counts.removed}));
    lines
}

/// A segment. Ranges are in tokens.
fn segment(example: &Example, tokenizer: &Tokenizer) -> Value {
    let entry = |&id: &u32| tokenizer.vocabulary().get(id as usize).map_or("?", String::as_str);
    let ranges = |ranges: &[Range<usize>]| -> Vec<[usize; 2]> { ranges.iter().map(|r| [r.start, r.end]).collect() };
    let mut row = json!({
        "event": "row",
        "name": example.name,
        "segment": example.segment,
        "tokens": example.input_ids.iter().map(entry).collect::<Vec<_>>(),
        "phrases": ranges(&example.phrases),
        "noun_phrases": ranges(&example.noun_phrases),
    });
    if let Some(starts) = &example.word_starts {
        row["word_starts"] = json!(starts);
    }
    row
}
