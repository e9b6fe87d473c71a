//! Which pairs are used, by their relation.
use schemas::{Draws, Pair, Relation, TokenId};
use serde::{Deserialize, Serialize};

/// The ratio of the pairs of each relation that are used, from 0 (none) to 1 (all).
///
/// Which pairs these are is drawn by key, so a lower ratio uses some of the pairs of a higher one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelationRatios {
    /// Products bought in addition.
    pub complement: f64,
    /// Products bought instead.
    pub substitute: f64,
    /// Products that the same users reviewed.
    pub co_reviewed: f64,
    /// Products of the same orders.
    pub co_purchased: f64,
}

impl Default for RelationRatios {
    fn default() -> Self {
        Self { complement: 1.0, substitute: 1.0, co_reviewed: 1.0, co_purchased: 1.0 }
    }
}

impl RelationRatios {
    /// The ratio of a relation.
    pub fn of(&self, relation: Relation) -> f64 {
        match relation {
            Relation::Complement => self.complement,
            Relation::Substitute => self.substitute,
            Relation::CoReviewed => self.co_reviewed,
            Relation::CoPurchased => self.co_purchased,
        }
    }

    /// The key of a value that cannot be, and what it may be.
    ///
    /// # Errors
    /// When a ratio is not from 0 to 1.
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let is_ratio = |relation: &Relation| (0.0..=1.0).contains(&self.of(*relation));
        match Relation::ALL.into_iter().find(|relation| !is_ratio(relation)) {
            Some(relation) => Err((format!("data.relations.{relation}"), "a ratio from 0 to 1")),
            None => Ok(()),
        }
    }

    /// Whether a pair is used. `seed` is that of the shards.
    pub(crate) fn takes<I: TokenId>(&self, pair: &Pair<'_, I>, seed: u64) -> bool {
        let ratio = self.of(pair.relation);
        let draw = || {
            let id = format!("{}\0{}\0{}", pair.anchor.product, pair.neighbor.product, pair.relation);
            Draws::new(seed, "relation", id.as_bytes()).unit()
        };
        ratio >= 1.0 || ratio > 0.0 && draw() < ratio
    }
}

#[cfg(test)]
mod tests {
    use schemas::{PairProduct, TextId};

    use super::*;

    #[test]
    fn a_ratio_is_the_part_of_pairs_that_are_used() {
        let taken = |ratio: f64| -> Vec<usize> {
            let ratios = RelationRatios { co_reviewed: ratio, complement: 0.0, ..Default::default() };
            let used = |number: usize, relation| {
                let name = format!("P{number}");
                let side = PairProduct { product: &name, text_id: TextId::new(0), input_ids: &[1u16] };
                let pair = Pair { relation, weight: None, anchor: side, neighbor: side, negative: side };
                ratios.takes(&pair, 7)
            };
            assert!((0..50).all(|number| used(number, Relation::Substitute) && !used(number, Relation::Complement)));
            (0..2000).filter(|&number| used(number, Relation::CoReviewed)).collect()
        };
        let (none, some, more, all) = (taken(0.0), taken(0.25), taken(0.5), taken(1.0));
        assert_eq!((none.len(), all.len()), (0, 2000));
        assert!((400..600).contains(&some.len()) && (900..1100).contains(&more.len()));
        assert!(some.iter().all(|number| more.contains(number)));
    }
}
