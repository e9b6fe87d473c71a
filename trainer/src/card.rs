//! The model card of a checkpoint: what it is, what it was made from, how good it is, and whose
//! licenses matter.
//!
//! Its head is the YAML that the Hugging Face hub reads. It names only what is known: a start model
//! and data sets of the hub, and held-out scores under the hub's names of metrics.
use std::{fmt::Write as _, path::Path};

use ebert_batches::masking::MaskMode;
use ebert_bert::Family;
use schemas::{Manifest, manifest::ShardsBody};
use serde_json::{Value, json};

use crate::{
    init::hub_id,
    log::{Measured, brief, describe, describe_pairs, describe_retrieval},
    provenance::brief_path,
    state::TrainerState,
};

/// What a model is and was made from, by name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Names {
    /// The kind of encoder.
    pub family: Family,
    /// The recipe.
    pub recipe: String,
    /// The start model; `None` for a fresh one.
    pub start: Option<StartName>,
    /// Data sets on the hub, as `owner/name`.
    pub datasets: Vec<String>,
}

/// The name of a start model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StartName {
    /// Its id on the hub, without a revision.
    Hub(String),
    /// Its folder.
    Folder(String),
}

impl StartName {
    /// Of what a user names.
    pub fn of(model: &Path) -> Self {
        match hub_id(model) {
            Some(id) => Self::Hub(id.split('@').next().unwrap_or(id).to_owned()),
            None => Self::Folder(brief_path(model)),
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Hub(name) | Self::Folder(name) => name,
        }
    }
}

/// The card's text: Markdown with the head that model hubs read. `summary` is the recipe's.
pub fn card(state: &TrainerState, shards: &Manifest<ShardsBody>, summary: &str, names: &Names) -> String {
    let body = &shards.body;
    let mut text = head(state, body, names);
    let title =
        if names.start.is_some() { "post-trained for e-commerce" } else { "for e-commerce, trained from scratch" };
    let _ = write!(text, "# A {} {title}\n\n", names.family.name());
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
    let start = names.start.as_ref().map(|start| format!(", `{}`", start.text())).unwrap_or_default();
    let weights = state.identity.init_blake3.as_ref().map_or("none".to_owned(), |hash| format!("`{hash}`"));
    let _ = writeln!(text, "| weights of the start model{start} | {weights} |");
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
             look at the terms of both before you use or share them, and then set `license` at the top of this file. \
             The Amazon review dumps, for one, are given out for research.\n";
    text
}

/// The YAML head. Texts are quoted as in JSON, which YAML includes.
fn head(state: &TrainerState, body: &ShardsBody, names: &Names) -> String {
    let mut head = String::from("---\nlibrary_name: transformers\npipeline_tag: fill-mask\n");
    match body.options.language.as_deref() {
        None => head += "language: en\n",
        Some("other") => {}
        Some(code) => _ = writeln!(head, "language: {}", json!(code)),
    }
    // The hub's word for what the program cannot know. The text names what decides it.
    head += "license: unknown\n";
    if let Some(StartName::Hub(id)) = &names.start {
        let _ = writeln!(head, "base_model: {}", json!(id));
    }
    if !names.datasets.is_empty() {
        let _ = writeln!(head, "datasets: {}", json!(names.datasets));
    }
    let _ = writeln!(head, "tags: [{}, e-bert, e-commerce]", names.family.model_type());
    let measured = if state.step > 0 { &state.last_measured } else { &state.first_measured };
    if !measured.is_empty() {
        let _ = writeln!(
            head,
            "metrics: [accuracy, perplexity]\nmodel-index:\n- name: {}\n  results:",
            json!(names.recipe)
        );
        // An evaluation names its data: a data set of the hub if there is one alone.
        let data = if let [only] = names.datasets.as_slice() { only } else { "held-out" };
        for measured in measured {
            head += &result(measured, data);
        }
    }
    head + "---\n\n"
}

/// Held-out scores of a mode, as an entry of a model index.
fn result(measured: &Measured, data: &str) -> String {
    let units = match measured.mode {
        MaskMode::Word => "words",
        MaskMode::Span => "spans",
        MaskMode::Phrase | MaskMode::Noun => "phrases",
        MaskMode::Token => "tokens",
    };
    let mut text = format!(
        "  - task:\n      type: fill-mask\n    dataset:\n      type: {}\n      name: Held-out documents, {units} masked\n      config: {units}\n    metrics:\n",
        json!(data)
    );
    let metrics = [
        ("accuracy", format!("Tokens of masked {units} predicted right"), measured.accuracy),
        ("accuracy", format!("Masked {units} predicted right as a whole"), measured.whole),
        ("perplexity", format!("Perplexity of the tokens of masked {units}"), measured.loss.exp()),
    ];
    for (kind, name, value) in metrics {
        if let value @ Value::Number(_) = json!(value) {
            let _ = write!(text, "    - type: {kind}\n      name: {name}\n      value: {value}\n");
        }
    }
    text
}
