//! `ebert similar`: the products of a catalog that are nearest to a title, as
//! [`retrieval`](crate::probe::retrieval) ranks them.
//!
//! The catalog is read and encoded batch by batch, once for all titles. Only the nearest products are
//! kept, so memory does not grow with the catalog.
use serde::Serialize;
use tch::Tensor;

use super::{
    ApplyError,
    title_file::{Title, TitleFile},
};
use crate::probe::{
    ProbeError,
    distance::NeighborDistance,
    features::{Frozen, mean},
    nearest::normalized,
};

/// A product and how near it is.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Neighbor {
    /// The product.
    #[serde(flatten)]
    pub product: Title,
    /// Its cosine or distance.
    pub value: f64,
}

/// The nearest products of a title.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Similar {
    /// The title.
    pub title: String,
    /// By cosine of mean states, the highest first.
    pub cosine: Vec<Neighbor>,
    /// By the distance of Neighbor Product Reconstruction, the lowest first.
    pub npr_distance: Vec<Neighbor>,
    /// Products with the tokens of the title, which are left out.
    pub same: u64,
}

/// A title that is compared.
struct Query {
    ids: Vec<u32>,
    /// Its mean, `[d]`, of length 1.
    mean: Tensor,
    /// As [`NeighborDistance::states`] gives them.
    states: Tensor,
    found: Similar,
}

/// Finds the `top` nearest products of each title. `progress` gets the number of products so far.
/// The longest texts are cut, as in probes.
///
/// # Errors
/// When a title has no token, the catalog cannot be read, or states are not finite.
pub fn similar(
    (frozen, distance): (&Frozen, &NeighborDistance),
    catalog: &TitleFile,
    titles: &[String],
    top: usize,
    mut progress: impl FnMut(u64),
) -> Result<Vec<Similar>, ApplyError> {
    let encode = |title: &str| frozen.encode(title, usize::MAX);
    let encoded = titles.iter().map(|title| encode(title)).collect::<Result<Vec<_>, _>>()?;
    if let Some((title, _)) = titles.iter().zip(&encoded).find(|(_, ids)| ids.is_empty()) {
        return Err(ApplyError::NoTokens { title: title.clone() });
    }
    let contents = frozen.contents(&encoded);
    let query = |((title, ids), contents): ((&String, Vec<u32>), &Tensor)| Query {
        ids,
        mean: normalized(&mean(contents)),
        states: distance.states(contents),
        found: Similar { title: title.clone(), ..Similar::default() },
    };
    let mut queries: Vec<Query> = titles.iter().zip(encoded).zip(&contents).map(query).collect();
    let mut read = 0;
    catalog.each_batch(|batch| {
        let texts = batch.iter().map(|title| encode(&title.title)).collect::<Result<Vec<_>, _>>()?;
        let contents = frozen.contents(&texts);
        let states: Vec<Tensor> = contents.iter().map(|contents| distance.states(contents)).collect();
        let means = normalized(&Tensor::stack(&contents.iter().map(mean).collect::<Vec<_>>(), 0));
        for Query { ids, mean, states: of_title, found } in &mut queries {
            let cosines: Vec<f64> = Vec::try_from(means.mv(mean))?;
            let distances = distance.to_each(of_title, &states)?;
            if cosines.iter().chain(&distances).any(|value| value.is_nan()) {
                return Err(ProbeError::NotFinite.into());
            }
            for (((product, text), cosine), distance) in batch.iter().zip(&texts).zip(cosines).zip(distances) {
                if text == ids {
                    found.same += 1;
                } else if !text.is_empty() {
                    keep(&mut found.cosine, product, cosine, |new, old| new > old, top);
                    keep(&mut found.npr_distance, product, distance, |new, old| new < old, top);
                }
            }
        }
        read += batch.len() as u64;
        progress(read);
        Ok(())
    })?;
    Ok(queries.into_iter().map(|query| query.found).collect())
}

/// Adds a product to the `top` nearest, behind those that are as near.
fn keep(nearest: &mut Vec<Neighbor>, product: &Title, value: f64, is_nearer: fn(f64, f64) -> bool, top: usize) {
    let place = nearest.partition_point(|old| !is_nearer(value, old.value));
    if place < top {
        nearest.insert(place, Neighbor { product: product.clone(), value });
        nearest.truncate(top);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_are_kept_and_the_first_of_equal_ones() {
        let mut nearest = Vec::new();
        for (number, value) in [3.0, 1.0, 2.0, 1.0, 5.0, 0.5].into_iter().enumerate() {
            let product = Title { id: number.to_string(), title: String::new() };
            keep(&mut nearest, &product, value, |new, old| new < old, 3);
        }
        let found: Vec<(&str, f64)> = nearest.iter().map(|it| (it.product.id.as_str(), it.value)).collect();
        assert_eq!(found, [("5", 0.5), ("1", 1.0), ("3", 1.0)]);
    }
}
