//! Prediction by the nearest neighbors, as `sklearn.neighbors.KNeighborsClassifier` with
//! `metric="cosine"`.
use tch::{Kind, Tensor};

/// Rows that are compared at once.
const AT_ONCE: i64 = 1024;

/// Rows `[n, d]` divided by their lengths, in float64.
pub fn normalized(rows: &Tensor) -> Tensor {
    let rows = rows.to_kind(Kind::Double);
    let length = rows.square().sum_dim_intlist([-1i64].as_slice(), true, Kind::Double).sqrt();
    rows / length.clamp_min(1e-12)
}

/// For each label the part of the `k` training rows with the highest cosine that have it: `[n,
/// labels]`. `labels` `[m, labels]` has 0 or 1 for each training row.
pub fn votes(features: &Tensor, training: &Tensor, labels: &Tensor, k: i64) -> Tensor {
    let _guard = tch::no_grad_guard();
    let (features, training) = (normalized(features), normalized(training));
    let parts: Vec<Tensor> = (0..features.size()[0])
        .step_by(AT_ONCE as usize)
        .map(|start| {
            let count = AT_ONCE.min(features.size()[0] - start);
            let cosines = features.narrow(0, start, count).matmul(&training.tr());
            let (_, nearest) = cosines.topk(k, 1, true, false);
            let chosen = labels.index_select(0, &nearest.view([-1])).view([count, k, -1]);
            chosen.mean_dim([1i64].as_slice(), false, Kind::Double)
        })
        .collect();
    Tensor::cat(&parts, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_decide_whatever_their_length() {
        let training = Tensor::from_slice(&[9.0, 1.0, 5.0, 1.0, 0.1, 3.0, 0.0, 0.1]).view([4, 2]);
        let labels = Tensor::from_slice(&[1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 1.0]).view([4, 2]);
        let found = votes(&Tensor::from_slice(&[0.2, 0.0, 0.0, 7.0]).view([2, 2]), &training, &labels, 2);
        assert_eq!(Vec::<f64>::try_from(found.view([-1])).unwrap(), [1.0, 0.5, 0.0, 1.0]);
    }
}
