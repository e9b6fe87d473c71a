//! Whether two offers mean one product, from the mean hidden states of both: the files of Ditto (Li
//! et al. 2020, VLDB).
//!
//! A logistic regression on |u - v| and u * v is fitted to the training part. The validation part
//! chooses the penalty and the threshold. The cosine of u and v with a threshold is the score
//! without any fit.
//!
//! A line is `COL name VAL text COL …`, a tab, the other offer, a tab, and 0 or 1.
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

use super::{
    Probe, ProbeError, Probing,
    features::Frozen,
    logistic::{Logistic, Targets},
    nearest::normalized,
    record::{Outcome, Score},
};
use crate::metrics::f1;

/// Inverse strengths of the penalty that are tried on the validation part.
const CHOICES: [f64; 4] = [0.001, 0.01, 0.1, 1.0];

/// Two offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Their texts.
    pub texts: [String; 2],
    /// Whether they mean one product.
    pub same: bool,
}

/// The files of a data set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MatchingFiles {
    /// What is fitted.
    pub train: PathBuf,
    /// What decides about the penalty and the threshold.
    pub validation: PathBuf,
    /// What is scored.
    pub test: PathBuf,
}

/// A data set of offers.
#[derive(Debug)]
pub struct Matching {
    name: String,
    /// Training, validation and test.
    parts: [Vec<Offers>; 3],
}

impl Matching {
    /// Reads the files of a data set, which gets the name of its test file.
    ///
    /// # Errors
    /// When one cannot be used.
    pub fn read(files: &MatchingFiles) -> Result<Self, ProbeError> {
        let name = files.test.file_stem().unwrap_or_default().to_string_lossy();
        let parts = [read_offers(&files.train)?, read_offers(&files.validation)?, read_offers(&files.test)?];
        Ok(Self { name: format!("matching {name}"), parts })
    }
}

/// Reads a file of Ditto.
///
/// # Errors
/// When it cannot be read or has another shape.
pub fn read_offers(path: &Path) -> Result<Vec<Offers>, ProbeError> {
    let text = std::fs::read_to_string(path).map_err(|source| ProbeError::Io { path: path.to_owned(), source })?;
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let offers = lines.map(|(number, line)| {
        let mut parts = line.split('\t');
        match (parts.next(), parts.next(), parts.next().map(str::trim), parts.next()) {
            (Some(one), Some(other), Some(same @ ("0" | "1")), None) => {
                Ok(Offers { texts: [values_of(one), values_of(other)], same: same == "1" })
            }
            _ => Err(ProbeError::Matching { path: path.to_owned(), line: number + 1 }),
        }
    });
    let offers: Vec<Offers> = offers.collect::<Result<_, _>>()?;
    let (same, all) = (offers.iter().filter(|offers| offers.same).count(), offers.len());
    if same == 0 || same == all {
        return Err(ProbeError::OneClass { path: path.to_owned(), same, all });
    }
    Ok(offers)
}

/// The values of an offer without the names of its columns, joined by spaces.
fn values_of(offer: &str) -> String {
    let columns = offer.split("COL ").filter_map(|column| column.split_once(" VAL"));
    let values = columns.map(|(_, value)| value.trim()).filter(|value| !value.is_empty());
    values.collect::<Vec<_>>().join(" ")
}

impl Probe for Matching {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn items(&self) -> Value {
        json!({"same": self.parts[2].iter().map(|offers| u8::from(offers.same)).collect::<Vec<_>>()})
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let [train, validation, test] = &self.parts;
        let part = |offers: &[Offers]| Part::of(probing.frozen, offers);
        let (train, validation, test) = (part(train)?, part(validation)?, part(test)?);
        let targets = Targets::binary(&train.same);
        let (mut best, mut chosen) = (Threshold { f1: -1.0, at: 0.0 }, Vec::new());
        let mut logits_of_validation = Vec::new();
        for c in CHOICES {
            let fitted = Logistic::fit(&train.features, &targets, c)?;
            let logits = |part: &Part| Vec::<f64>::try_from(fitted.logits(&part.features).view([-1]));
            let on_validation = logits(&validation)?;
            let threshold = Threshold::best(&on_validation, &validation.same);
            logits_of_validation.extend(on_validation);
            if threshold.f1 > best.f1 {
                (best, chosen) = (threshold, logits(&test)?);
            }
        }
        let [on_validation, cosines] = [&validation, &test].map(|part| Vec::<f64>::try_from(&part.cosines));
        let (on_validation, cosines) = (on_validation?, cosines?);
        let by_cosine = Threshold::best(&on_validation, &validation.same);
        let predicted = [best.apply(&chosen), by_cosine.apply(&cosines)];
        let same = |part: &Part| Tensor::from_slice(&part.same.iter().map(|&is| i64::from(is)).collect::<Vec<_>>());
        probing.export(
            &self.name,
            &[
                ("train", &train.features),
                ("validation", &validation.features),
                ("test", &test.features),
                ("train_same", &same(&train)),
                ("validation_same", &same(&validation)),
                ("test_same", &same(&test)),
                ("choices", &Tensor::from_slice(&CHOICES)),
                ("validation_logits", &Tensor::from_slice(&logits_of_validation)),
                ("test_logits", &Tensor::from_slice(&chosen)),
                ("validation_cosines", &validation.cosines),
                ("test_cosines", &test.cosines),
            ],
        )?;
        let [logistic, cosine] = predicted.each_ref().map(|predicted| f1_of_same(predicted, &test.same));
        let scores = vec![Score::ratio("logistic, F1", logistic), Score::ratio("cosine, F1", cosine)];
        let [logistic, cosine] = predicted.map(|predicted| predicted.into_iter().map(u8::from).collect::<Vec<_>>());
        Ok(Outcome::new(scores, json!({"logistic": logistic, "cosine": cosine})))
    }
}

/// Above which score a pair is taken for one product.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Threshold {
    /// F1 where it was chosen.
    f1: f64,
    at: f64,
}

impl Threshold {
    /// The one with the highest F1, half-way between two scores. Among equal ones the highest.
    fn best(scores: &[f64], same: &[bool]) -> Self {
        let mut order: Vec<(f64, bool)> = scores.iter().copied().zip(same.iter().copied()).collect();
        order.sort_by(|a, b| b.0.total_cmp(&a.0));
        let gold = same.iter().filter(|is| **is).count();
        let (mut best, mut right) = (Self { f1: 0.0, at: f64::INFINITY }, 0);
        for (predicted, (score, is)) in (1..).zip(&order) {
            right += usize::from(*is);
            let next = order.get(predicted).map(|(next, _)| *next);
            // Equal scores are on one side.
            if next == Some(*score) {
                continue;
            }
            let f1 = f1(right as f64, predicted as f64, gold as f64);
            if f1 > best.f1 {
                best = Self { f1, at: next.map_or(f64::NEG_INFINITY, |next| f64::midpoint(*score, next)) };
            }
        }
        best
    }

    fn apply(&self, scores: &[f64]) -> Vec<bool> {
        scores.iter().map(|&score| score > self.at).collect()
    }
}

/// What is known of some pairs.
struct Part {
    /// |u - v| and u * v: `[pairs, 2 d]`.
    features: Tensor,
    /// `[pairs]`.
    cosines: Tensor,
    same: Vec<bool>,
}

impl Part {
    fn of(frozen: &Frozen, offers: &[Offers]) -> Result<Self, ProbeError> {
        let side = |side: usize| -> Result<Tensor, ProbeError> {
            let texts = offers.iter().map(|offers| frozen.encode(&offers.texts[side], usize::MAX));
            Ok(frozen.means(&texts.collect::<Result<Vec<_>, _>>()?))
        };
        let (u, v) = (side(0)?, side(1)?);
        let cosines = (normalized(&u) * normalized(&v)).sum_dim_intlist([1i64].as_slice(), false, Kind::Double);
        Ok(Self { features: of_pairs(&u, &v), cosines, same: offers.iter().map(|offers| offers.same).collect() })
    }
}

/// Features of pairs that do not depend on their order, |u - v| and u * v: `[pairs, 2 d]`.
pub(super) fn of_pairs(u: &Tensor, v: &Tensor) -> Tensor {
    Tensor::cat(&[(u - v).abs(), u * v], 1)
}

/// F1 of the positive class.
fn f1_of_same(predicted: &[bool], gold: &[bool]) -> f64 {
    let right = predicted.iter().zip(gold).filter(|(predicted, gold)| **predicted && **gold).count();
    let count = |of: &[bool]| of.iter().filter(|is| **is).count() as f64;
    f1(right as f64, count(predicted), count(gold))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_left_out_and_empty_values_too() {
        let offer = "COL name VAL sony dsc-120 COL description VAL  COL price VAL 104.95 ";
        assert_eq!(values_of(offer), "sony dsc-120 104.95");
    }

    #[test]
    fn another_shape_is_named_with_its_line() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "COL a VAL b\tCOL a VAL c\t1\nCOL a VAL b\t0\n").unwrap();
        let error = read_offers(file.path()).unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    /// Against every threshold.
    #[test]
    fn the_threshold_is_the_best_one() {
        let scores = [0.9, 0.8, 0.8, 0.7, 0.4, 0.3, 0.3, -0.5];
        for bits in 1..255u32 {
            let same: Vec<bool> = (0..8).map(|bit| bits >> bit & 1 == 1).collect();
            let found = Threshold::best(&scores, &same);
            let of = |at: f64| f1_of_same(&Threshold { f1: 0.0, at }.apply(&scores), &same);
            let most = [0.85, 0.75, 0.5, 0.35, 0.0, -1.0].map(of).into_iter().fold(0.0, f64::max);
            assert_eq!((found.f1, of(found.at)), (most, most), "{same:?}");
        }
    }

    #[test]
    fn f1_is_of_the_positive_class() {
        assert_eq!(f1_of_same(&[true, true, false, false], &[true, false, true, false]), 0.5);
        assert_eq!(f1_of_same(&[false], &[false]), 0.0);
    }
}
