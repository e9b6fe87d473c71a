//! Public data sets, recognized by their fields.
use std::sync::{Arc, LazyLock};

use serde::Deserialize;

use super::{Fields, Mapping, ProductFields, ReviewFields};

/// A data set.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DataSet {
    name: String,
    /// Fields that all its records have.
    has: Vec<String>,
    products: Option<ProductFields>,
    reviews: Option<ReviewFields>,
}

static KNOWN: LazyLock<Vec<DataSet>> = LazyLock::new(|| {
    #[derive(Deserialize)]
    struct Known {
        set: Vec<DataSet>,
    }
    let known: Known = toml::from_str(include_str!("known.toml")).expect("a test reads it");
    known.set
});

/// The mappings of the data set whose records have these fields: of its products and of its reviews.
pub(crate) fn of_fields(found: &[String]) -> Vec<Arc<Mapping>> {
    let has = |set: &&DataSet| set.has.iter().all(|wanted| found.contains(wanted));
    let Some(set) = KNOWN.iter().find(has) else { return Vec::new() };
    let products = set.products.clone().map(Fields::Products);
    let reviews = set.reviews.clone().map(Fields::Reviews);
    let mapping = |fields| Arc::new(Mapping { name: set.name.clone(), fields });
    products.into_iter().chain(reviews).map(mapping).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_are_told_apart_and_read_what_they_have() {
        for set in KNOWN.iter() {
            let found = of_fields(&set.has);
            assert!(!found.is_empty() && found.iter().all(|mapping| mapping.name == set.name), "{}", set.name);
            // Each reads at least one of the fields that identify it.
            let reads = |mapping: &Arc<Mapping>| set.has.iter().any(|name| mapping.reads(name));
            assert!(found.iter().all(reads), "{}", set.name);
        }
        assert!(of_fields(&["asin".to_owned(), "title".to_owned()]).is_empty());
    }
}
