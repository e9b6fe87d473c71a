//! Whether two associated products are substitutes or complements, from the mean hidden states of
//! both.
//!
//! Pairs have a held-out product, so no model was trained on them. Products are in folds. A pair is
//! tested in the fold of both of its products. The regression is trained on pairs of which neither
//! product is in that fold, so no product is seen before. Pairs across two folds, and pairs with
//! both relations, are left out.
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use ebert_batches::Shards;
use schemas::{Draws, Relation};
use serde_json::{Value, json};
use tch::Tensor;

use super::{
    Probe, ProbeError, Probing,
    catalogue::{Catalogue, edges},
    folds::{FOLDS, fold_of, rows_of},
    logistic::{Logistic, Targets},
    matching::of_pairs,
    record::{Outcome, Score, short},
};

/// The inverse strength of the penalty.
const C: f64 = 0.1;
/// Pairs at most.
const MOST: usize = 20_000;

/// Pairs of products.
#[derive(Debug)]
pub struct Relations {
    pairs: Vec<RelatedPair>,
    folds: Vec<usize>,
    /// Of the products of all pairs.
    texts: BTreeMap<String, String>,
    /// Tokens of a text at most.
    most_tokens: usize,
}

/// Two products.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct RelatedPair {
    /// Decides which pairs are taken.
    draw: u64,
    products: [String; 2],
    is_substitute: bool,
}

impl Relations {
    /// Draws pairs of the graph of an output folder; `None` where it has too few of a relation.
    ///
    /// # Errors
    /// When its files cannot be read.
    pub fn draw(out: &Path, catalogue: &Catalogue, shards: &Shards, seed: u64) -> Result<Option<Self>, ProbeError> {
        let known = |product: &str| catalogue.products.get(product);
        let is_held_out = |product: &str| known(product).is_some_and(|known| shards.is_held_out(known.text_id));
        // By text, so that copies of a product are in one fold.
        let fold = |product: &str| known(product).map(|known| fold_of(seed, &known.text_id.to_string()));
        let wanted = |a: &str, b: &str| {
            let known = known(a).is_some() && known(b).is_some();
            known && (is_held_out(a) || is_held_out(b)) && fold(a) == fold(b)
        };
        let mut of_pair: HashMap<[String; 2], Vec<Relation>> = HashMap::new();
        for edge in edges(out, wanted)? {
            of_pair.entry(edge.products).or_default().push(edge.relation);
        }
        let draw = |[a, b]: &[String; 2]| Draws::new(seed, "probe-relation", format!("{a}\0{b}").as_bytes()).next_u64();
        let of_one_relation = of_pair.into_iter().filter_map(|(products, relations)| {
            let is_substitute = match relations[..] {
                [Relation::Substitute] => true,
                [Relation::Complement] => false,
                _ => return None,
            };
            Some(RelatedPair { draw: draw(&products), products, is_substitute })
        });
        let mut pairs: Vec<RelatedPair> = of_one_relation.collect();
        pairs.sort_unstable();
        pairs.truncate(MOST);
        let folds: Vec<usize> = pairs.iter().map(|pair| fold(&pair.products[0]).unwrap_or(0)).collect();
        let has_both = |rows: &[i64]| {
            [false, true].iter().all(|kind| rows.iter().any(|&row| pairs[row as usize].is_substitute == *kind))
        };
        if !(0..FOLDS).map(|fold| rows_of(&folds, fold)).all(|(test, rest)| has_both(&test) && has_both(&rest)) {
            return Ok(None);
        }
        let ids: HashSet<&str> = pairs.iter().flat_map(|pair| &pair.products).map(String::as_str).collect();
        let texts = catalogue.texts(&ids)?.into_iter().collect();
        let most_tokens = usize::from(shards.manifest().body.max_tokens);
        Ok(Some(Self { pairs, folds, texts, most_tokens }))
    }

    fn are_substitutes(&self) -> Vec<bool> {
        self.pairs.iter().map(|pair| pair.is_substitute).collect()
    }
}

impl Probe for Relations {
    fn name(&self) -> String {
        "relations".to_owned()
    }

    fn items(&self) -> Value {
        let side = |side: usize| self.pairs.iter().map(|pair| &pair.products[side]).collect::<Vec<_>>();
        let substitute: Vec<u8> = self.are_substitutes().into_iter().map(u8::from).collect();
        json!({"first": side(0), "second": side(1), "substitute": substitute})
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let frozen = probing.frozen;
        let texts = self.texts.values().map(|text| frozen.encode(text, self.most_tokens));
        let means = frozen.means(&texts.collect::<Result<Vec<_>, _>>()?);
        let place: HashMap<&String, i64> = self.texts.keys().zip(0..).collect();
        let side = |side: usize| {
            let rows: Vec<i64> = self.pairs.iter().map(|pair| place[&pair.products[side]]).collect();
            means.index_select(0, &Tensor::from_slice(&rows))
        };
        let features = of_pairs(&side(0), &side(1));
        let substitutes = self.are_substitutes();
        let mut logits = vec![0.0; self.pairs.len()];
        for fold in 0..FOLDS {
            let (test, training) = rows_of(&self.folds, fold);
            let rows = |rows: &[i64]| features.index_select(0, &Tensor::from_slice(rows));
            let wanted: Vec<bool> = training.iter().map(|&row| substitutes[row as usize]).collect();
            let fitted = Logistic::fit(&rows(&training), &Targets::binary(&wanted), C)?;
            let found: Vec<f64> = Vec::try_from(fitted.logits(&rows(&test)).view([-1]))?;
            test.iter().zip(found).for_each(|(&row, logit)| logits[row as usize] = logit);
        }
        let numbers = |of: &[usize]| Tensor::from_slice(&of.iter().map(|&n| n as i64).collect::<Vec<_>>());
        let substitute: Vec<usize> = substitutes.iter().map(|&is| usize::from(is)).collect();
        probing.export(
            "relations",
            &[
                ("features", &features),
                ("substitute", &numbers(&substitute)),
                ("folds", &numbers(&self.folds)),
                ("c", &Tensor::from_slice(&[C])),
                ("logits", &Tensor::from_slice(&logits)),
            ],
        )?;
        let mut scored: Vec<(f64, bool)> = logits.iter().copied().zip(substitutes).collect();
        let scores = vec![Score::ratio("substitute or complement, AUC", auc(&mut scored))];
        let logits: Vec<f64> = logits.into_iter().map(short).collect();
        Ok(Outcome::new(scores, json!({"logit": logits})))
    }
}

/// The probability that a positive is scored above a negative; equal scores count half.
fn auc(scored: &mut [(f64, bool)]) -> f64 {
    scored.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut ranks, mut positives, mut start) = (0.0, 0usize, 0);
    while start < scored.len() {
        let end = start + scored[start..].iter().take_while(|(score, _)| *score == scored[start].0).count();
        let here = scored[start..end].iter().filter(|(_, is)| *is).count();
        // The mean of the ranks start + 1 to end.
        ranks += here as f64 * (start + 1 + end) as f64 / 2.0;
        positives += here;
        start = end;
    }
    let negatives = scored.len() - positives;
    (ranks - (positives * (positives + 1)) as f64 / 2.0) / (positives * negatives) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_pairs_in_the_right_order() {
        let mut scored = [(0.1, false), (0.4, true), (0.4, false), (0.9, true), (0.2, true), (0.8, false)];
        let mut right = 0.0;
        for (a, is) in scored {
            for (b, other) in scored {
                if is && !other {
                    right += if a > b {
                        1.0
                    } else if a == b {
                        0.5
                    } else {
                        0.0
                    };
                }
            }
        }
        assert!((auc(&mut scored) - right / 9.0).abs() < 1e-12);
    }
}
