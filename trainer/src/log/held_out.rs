//! What is measured on held-out documents and pairs: records, values for charts, and lines for a
//! person.
use serde::{Deserialize, Serialize};

use super::or_not_finite;
use ebert_batches::{Ranks, masking::MaskMode};

/// What was measured on held-out documents: a line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct HeldOutRecord {
    /// Steps done.
    pub step: u64,
    /// For each mode.
    pub held_out: Vec<Measured>,
    /// On pairs whose anchor is held out, where the shards have some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_out_pairs: Option<MeasuredPairs>,
}

/// How far held-out products are from their neighbors, with the distance of the recipe (eqs. 8-11),
/// also where it trains on no pairs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredPairs {
    /// Mean of eq. 12, unweighted. `null` in a file where it is not finite.
    #[serde(deserialize_with = "or_not_finite")]
    pub loss: f64,
    /// Mean distance to the neighbor.
    #[serde(deserialize_with = "or_not_finite")]
    pub near: f64,
    /// Mean distance to the negative.
    #[serde(deserialize_with = "or_not_finite")]
    pub far: f64,
    /// The ratio of pairs whose neighbor is nearer than the negative.
    pub nearer: f64,
    /// The part of the variance of the anchors' hidden states that lies within titles; where it
    /// falls, the tokens of a title become alike.
    #[serde(deserialize_with = "or_not_finite")]
    pub within: f64,
    /// Pairs that were measured.
    pub pairs: u64,
    /// How well the neighbor is found among the products of these pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrieval: Option<MeasuredRetrieval>,
}

/// How well neighbors are found among held-out products, compared with what needs no model.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredRetrieval {
    /// By the cosine of the means of the hidden states of two products' tokens, special tokens left
    /// out.
    pub model: Ranks,
    /// By the words that two products have in common, over those that either has.
    pub word_overlap: Ranks,
    /// By the cosine of tf-idf vectors of their words.
    pub tf_idf: Ranks,
    /// Products among which the neighbor is looked for.
    pub candidates: u64,
}

/// How well masked tokens are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// What is masked.
    pub mode: MaskMode,
    /// Mean cross entropy, in nats. `null` in a file where it is not finite.
    #[serde(deserialize_with = "or_not_finite")]
    pub loss: f64,
    /// The part of the tokens that is predicted right.
    pub accuracy: f64,
    /// Tokens that were masked.
    pub tokens: u64,
    /// The part of the words, or of the phrases, of which every token is predicted right. Words
    /// that top up phrases do not count.
    #[serde(default)]
    pub whole: f64,
    /// Words, or phrases, that were masked.
    #[serde(default)]
    pub units: u64,
    /// Of phrases: pool phrases alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool_phrases: Option<MeasuredPart>,
    /// Of phrases: noun phrases that share no token with a pool phrase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub noun_phrases: Option<MeasuredPart>,
    /// Of pool phrases: those that occur less often in the shards than the median over all masked tokens of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rare_phrases: Option<MeasuredPart>,
    /// Of pool phrases: the others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frequent_phrases: Option<MeasuredPart>,
}

/// How well a part of the masked tokens is predicted. The fields are those of [`Measured`].
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct MeasuredPart {
    #[serde(deserialize_with = "or_not_finite")]
    pub loss: f64,
    pub accuracy: f64,
    pub tokens: u64,
    pub whole: f64,
    pub units: u64,
}

impl HeldOutRecord {
    /// The values for TensorBoard.
    pub(super) fn scalars(&self) -> Vec<(&'static str, f64)> {
        let mut values = Vec::new();
        for m in &self.held_out {
            let (loss, accuracy, whole) = match m.mode {
                MaskMode::Word => ("held_out/word_loss", "held_out/word_accuracy", "held_out/whole_words"),
                _ => ("held_out/phrase_loss", "held_out/phrase_accuracy", "held_out/whole_phrases"),
            };
            values.extend([(loss, m.loss), (accuracy, m.accuracy), (whole, m.whole)]);
            if let Some(pool) = m.pool_phrases {
                values.extend([("held_out/pool_phrase_loss", pool.loss), ("held_out/whole_pool_phrases", pool.whole)]);
            }
            if let Some(nouns) = m.noun_phrases {
                values
                    .extend([("held_out/noun_phrase_loss", nouns.loss), ("held_out/whole_noun_phrases", nouns.whole)]);
            }
            if let Some(rare) = m.rare_phrases {
                values.extend([("held_out/rare_phrase_loss", rare.loss), ("held_out/whole_rare_phrases", rare.whole)]);
            }
            if let Some(frequent) = m.frequent_phrases {
                values.extend([
                    ("held_out/frequent_phrase_loss", frequent.loss),
                    ("held_out/whole_frequent_phrases", frequent.whole),
                ]);
            }
        }
        if let Some(pairs) = &self.held_out_pairs {
            values.extend([
                ("held_out/neighbor_loss", pairs.loss),
                ("held_out/near", pairs.near),
                ("held_out/far", pairs.far),
                ("held_out/nearer", pairs.nearer),
                ("held_out/variance_within_titles", pairs.within),
            ]);
            if let Some(MeasuredRetrieval { model, word_overlap, tf_idf, .. }) = pairs.retrieval {
                values.extend([
                    ("retrieval/mrr", model.mrr),
                    ("retrieval/recall_at_1", model.recall_at_1),
                    ("retrieval/recall_at_10", model.recall_at_10),
                    ("retrieval/mrr_of_word_overlap", word_overlap.mrr),
                    ("retrieval/mrr_of_tf_idf", tf_idf.mrr),
                ]);
            }
        }
        values
    }
}

/// `word 5.123 (12.3% of tokens, 11.0% of words right)   phrase 5.456 (9.8% of tokens, 2.1% of
/// phrases right)`.
pub fn describe(measured: &[Measured]) -> String {
    let parts: Vec<String> = measured
        .iter()
        .map(|m| {
            let (mode, tokens, whole) = (m.mode.as_str(), 100.0 * m.accuracy, 100.0 * m.whole);
            format!("{mode} {:.3} ({tokens:.1}% of tokens, {whole:.1}% of {mode}s right)", m.loss)
        })
        .collect();
    if parts.is_empty() { "no documents".to_owned() } else { parts.join("   ") }
}

/// `pairs 1.204 (near 0.912, far 1.108; the neighbor is nearer in 71.1%; 64.2% of the variance
/// within titles)`.
pub fn describe_pairs(pairs: &MeasuredPairs) -> String {
    let MeasuredPairs { loss, near, far, nearer, within, .. } = pairs;
    format!(
        "pairs {loss:.3} (near {near:.3}, far {far:.3}; the neighbor is nearer in {:.1}%; {:.1}% of the variance within titles)",
        100.0 * nearer,
        100.0 * within
    )
}

/// `neighbors found MRR 0.412 (word overlap 0.398, tf-idf 0.455), among the first 10 of 512
/// products 61.3% (55.0%, 66.1%)`.
pub fn describe_retrieval(retrieval: &MeasuredRetrieval) -> String {
    let MeasuredRetrieval { model, word_overlap, tf_idf, candidates } = retrieval;
    let [found, by_words, by_tf_idf] = [model, word_overlap, tf_idf].map(|ranks| 100.0 * ranks.recall_at_10);
    format!(
        "neighbors found MRR {:.3} (word overlap {:.3}, tf-idf {:.3}), \
         among the first 10 of {candidates} products {found:.1}% ({by_words:.1}%, {by_tf_idf:.1}%)",
        model.mrr, word_overlap.mrr, tf_idf.mrr
    )
}
