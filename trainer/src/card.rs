//! The model card of a checkpoint: what it is, what it was made from, how good it is, and whose
//! licenses matter.
use std::fmt::Write as _;

use schemas::{Manifest, manifest::ShardsBody};

use crate::{
    log::{brief, describe, describe_pairs, describe_retrieval},
    state::TrainerState,
};

/// The card's text, Markdown with the head that model hubs read.
pub fn card(state: &TrainerState, shards: &Manifest<ShardsBody>, recipe: &str) -> String {
    let body = &shards.body;
    let summary = toml::from_str::<toml::Table>(recipe)
        .ok()
        .and_then(|table| table.get("summary")?.as_str().map(str::to_owned))
        .unwrap_or_default();
    let mut text = String::from(
        "---\nlibrary_name: transformers\npipeline_tag: fill-mask\nlanguage: en\ntags: [bert, e-bert, e-commerce]\n---\n\n",
    );
    let started = state.identity.init_blake3.as_deref();
    text += if started.is_some() {
        "# A BERT post-trained for e-commerce\n\n"
    } else {
        "# A BERT for e-commerce, trained from scratch\n\n"
    };
    let _ = write!(
        text,
        "{summary}. Trained after Zhang et al., \"E-BERT: A Phrase and Product Knowledge Enhanced Language Model for E-commerce\" (arXiv 2009.02835): \
         step {} of {}, {} tokens.\n\n\
         ```python\nfrom transformers import AutoModelForMaskedLM, AutoTokenizer\n\n\
         model, tokenizer = [c.from_pretrained(\"this folder\") for c in (AutoModelForMaskedLM, AutoTokenizer)]\n```\n\n",
        state.step,
        state.steps,
        brief(state.tokens as f64)
    );
    text += "## On held-out documents\n\nMean cross entropy in nats per masked token, and what is predicted right.\n\n| | |\n|---|---|\n";
    let _ = writeln!(text, "| before the first step | {} |", describe(&state.first_measured));
    if state.step > 0 && !state.last_measured.is_empty() {
        let _ = writeln!(text, "| last measured | {} |", describe(&state.last_measured));
    }
    for (when, pairs) in
        [("before the first step", state.first_measured_pairs), ("last measured", state.last_measured_pairs)]
    {
        if let Some(pairs) = pairs {
            let _ = writeln!(text, "| {when} | {} |", describe_pairs(&pairs));
            if let Some(retrieval) = pairs.retrieval {
                let _ = writeln!(text, "| {when} | {} |", describe_retrieval(&retrieval));
            }
        }
    }
    if let Some(best) = state.best {
        let _ = writeln!(
            text,
            "| lowest mean of both losses in the last stage | {:.3}, at step {} |",
            best.loss, best.step
        );
    }
    text += "\n## Inputs\n\n| | BLAKE3 |\n|---|---|\n";
    match started {
        Some(hash) => _ = writeln!(text, "| weights of the start model | `{hash}` |"),
        None => text += "| weights of the start model | none |\n",
    }
    for (what, hash) in [
        ("recipe (`recipe.toml`)", &state.identity.recipe_blake3),
        ("shards", &shards.self_blake3),
        ("corpus", &body.corpus.blake3),
        ("phrase pool", &body.pool.blake3),
        ("association graph", &body.graph.blake3),
        ("tokenizer", &body.tokenizer.blake3),
    ] {
        let _ = writeln!(text, "| {what} | `{hash}` |");
    }
    let counts = &body.counts.of_segments;
    let _ = write!(
        text,
        "\nSegments of at most {} tokens, special tokens not counted. {} documents, {} tokens, {} phrases in the pool, {} product pairs.\n",
        body.max_tokens, counts.documents, counts.tokens, body.pool.phrases, body.counts.pairs
    );
    text += "\n## Licenses\n\nThe program's own license does not cover these weights. They follow from the weights that training started from and from the corpus: \
             look at the terms of both before you use or share them. The Amazon review dumps, for one, are given out for research.\n";
    text
}
