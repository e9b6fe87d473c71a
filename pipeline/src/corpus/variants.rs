//! Which product a variant belongs to.
//!
//! Reviews of the 2023 dump name a variant (`asin`) and its parent (`parent_asin`), and products are
//! parents. Where a review names only a variant, other records may name the parent.
use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
};

use schemas::{CorpusTextRows, StoreError, open_corpus_products};

use super::frame::{SpilledFrames, VariantFields, malformed};

/// The parents of the variants that are not products themselves. In memory: about 100 bytes per
/// variant. Dumps before 2023 have none.
#[derive(Debug, Default)]
pub(crate) struct Variants {
    /// `None` where records name different parents.
    parents: HashMap<Box<str>, Option<Box<str>>>,
}

/// What is known of the parent of a product id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parent<'a> {
    /// It is a product, or no record names a parent.
    None,
    One(&'a str),
    /// Records name different parents.
    Ambiguous,
}

impl Variants {
    /// Reads the variants that were spilled, and leaves out those that are in a table of products.
    pub(crate) fn load<'p>(
        spill: &SpilledFrames,
        products: impl Iterator<Item = &'p Path>,
    ) -> Result<Self, StoreError> {
        let mut variants = Self::default();
        let mut reader = spill.read()?;
        while let Some(frame) = reader.next_frame()? {
            let VariantFields { variant, parent } =
                VariantFields::read(frame.fields).ok_or_else(|| malformed(&spill.name))?;
            variants.insert(variant, parent);
        }
        for table in products {
            if variants.parents.is_empty() {
                break;
            }
            for rows in open_corpus_products(table)?.read::<CorpusTextRows>(1 << 12) {
                for product in rows?.iter().filter_map(|row| row.product_id) {
                    variants.parents.remove(product);
                }
            }
        }
        Ok(variants)
    }

    fn insert(&mut self, variant: &str, parent: &str) {
        match self.parents.entry(variant.into()) {
            Entry::Vacant(entry) => {
                entry.insert(Some(parent.into()));
            }
            Entry::Occupied(mut entry) if entry.get().as_deref() != Some(parent) => {
                entry.insert(None);
            }
            Entry::Occupied(_) => {}
        }
    }

    pub(crate) fn parent(&self, product_id: &str) -> Parent<'_> {
        match self.parents.get(product_id) {
            None => Parent::None,
            Some(None) => Parent::Ambiguous,
            Some(Some(parent)) => Parent::One(parent),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_with_two_parents_is_ambiguous() {
        let mut variants = Variants::default();
        for (variant, parent) in [("x", "A"), ("y", "A"), ("x", "A"), ("y", "B"), ("y", "A")] {
            variants.insert(variant, parent);
        }
        assert_eq!(["x", "y", "z"].map(|id| variants.parent(id)), [Parent::One("A"), Parent::Ambiguous, Parent::None]);
    }
}
