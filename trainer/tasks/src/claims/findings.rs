//! What came of claims, as tables and a figure.
use std::fmt::Write as _;

use ebert_report::color::Color;
use indicatif::HumanCount;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Claim, Endpoint};
use crate::{
    bootstrap::{Difference, RESAMPLES, holm},
    figures::{self, Interval},
};

/// An arm's score at an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct ArmScore {
    /// Mean over replicates; `None` if no model of the arm was probed.
    pub mean: Option<f64>,
    /// Sample standard deviation of replicates.
    pub deviation: Option<f64>,
    /// Replicates that were probed.
    pub replicates: usize,
    /// From the first arm.
    pub difference: Option<Difference>,
}

/// What came of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// All differences are positive, and p is below 0.05 after Holm's correction.
    Holds,
    /// The interval of an endpoint is below zero.
    Refuted,
    /// Neither.
    Open,
    /// A model of an arm was not probed.
    Untested,
}

/// A claim that was tested.
#[derive(Clone, Debug, PartialEq)]
pub struct Tested {
    /// The claim.
    pub claim: Claim,
    /// For each endpoint, the arm's score less that of the control.
    pub differences: Vec<Option<Difference>>,
    /// The largest p of the endpoints.
    pub p: Option<f64>,
    /// After Holm's correction.
    pub corrected: Option<f64>,
    /// What came of it.
    pub verdict: Verdict,
}

/// All arms and claims.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Names of arms.
    pub arms: Vec<String>,
    /// For each endpoint, the score of each arm.
    pub scores: Vec<(Endpoint, Vec<ArmScore>)>,
    /// The claims.
    pub claims: Vec<Tested>,
    /// Models without a record, and models without results at an endpoint.
    pub missing: Vec<String>,
}

/// Claims with the differences at their endpoints. `elsewhere` further claims are counted in the correction.
pub(super) fn tested(claims: Vec<(Claim, Vec<Option<Difference>>)>, elsewhere: usize) -> Vec<Tested> {
    let largest = |differences: &[Option<Difference>]| {
        differences
            .iter()
            .map(|difference| Some(difference.as_ref()?.p))
            .collect::<Option<Vec<f64>>>()
            .map(|p| p.into_iter().fold(0.0, f64::max))
    };
    let p: Vec<Option<f64>> = claims.iter().map(|(_, differences)| largest(differences)).collect();
    // A claim that cannot be tested yet counts with p = 1, or the others would be corrected for too
    // few.
    let of_others = std::iter::repeat_n(1.0, elsewhere);
    let corrected = holm(&p.iter().map(|p| p.unwrap_or(1.0)).chain(of_others).collect::<Vec<_>>());
    let each = claims.into_iter().zip(p).zip(corrected);
    each.map(|(((claim, differences), p), corrected)| {
        let all = || differences.iter().flatten();
        let verdict = match p {
            None => Verdict::Untested,
            Some(_) if all().any(|difference| difference.high < 0.0) => Verdict::Refuted,
            Some(_) if corrected < 0.05 && all().all(|difference| difference.value > 0.0) => Verdict::Holds,
            Some(_) => Verdict::Open,
        };
        Tested { claim, differences, p, corrected: p.map(|_| corrected), verdict }
    })
    .collect()
}

impl Verdict {
    /// As in the table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Refuted => "refuted",
            Self::Open => "open",
            Self::Untested => "not tested yet",
        }
    }
}

impl Findings {
    /// The claims, then the scores of all arms, then missing models.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "# Tests of the claims\n\n\
             | claim | endpoint | difference [95% interval] | p | after Holm | verdict |\n|---|---|---|---|---|---|\n",
        );
        for tested in &self.claims {
            let Claim { claim, arm, control, endpoints } = &tested.claim;
            for (number, (endpoint, difference)) in endpoints.iter().zip(&tested.differences).enumerate() {
                let (p, corrected, verdict) = match (number, tested.p, tested.corrected) {
                    (0, Some(p), Some(corrected)) => {
                        (format!("{p:.4}"), format!("{corrected:.4}"), tested.verdict.as_str())
                    }
                    (0, ..) => ("–".to_owned(), "–".to_owned(), tested.verdict.as_str()),
                    _ => (String::new(), String::new(), ""),
                };
                let claim = if number == 0 {
                    format!("{claim}: {arm} − {control}").replace('|', "\\|")
                } else {
                    String::new()
                };
                let _ = writeln!(
                    text,
                    "| {claim} | {} | {} | {p} | {corrected} | {verdict} |",
                    endpoint.title(),
                    points(*difference)
                );
            }
        }
        let heads: Vec<&str> = self.scores.iter().map(|(endpoint, _)| endpoint.title()).collect();
        let _ =
            write!(text, "\n| arm | replicates | {} |\n|---|---|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
        for (row, arm) in self.arms.iter().enumerate() {
            let of = |(_, scores): &(Endpoint, Vec<ArmScore>)| match &scores[row] {
                ArmScore { mean: Some(mean), deviation: Some(deviation), .. } => {
                    format!("{:.2} ± {:.2}", 100.0 * mean, 100.0 * deviation)
                }
                ArmScore { mean: Some(mean), .. } => format!("{:.2}", 100.0 * mean),
                _ => "–".to_owned(),
            };
            let replicates = self.scores.iter().map(|(_, scores)| scores[row].replicates).max().unwrap_or(0);
            let cells: Vec<String> = self.scores.iter().map(of).collect();
            let _ = writeln!(text, "| {arm} | {replicates} | {} |", cells.join(" | "));
        }
        let first = self.arms.first().map_or("", String::as_str);
        let _ = write!(
            text,
            "\nIn percent, mean ± standard deviation of replicates. Intervals are of a bootstrap of replicates and documents, {} resamples. Figures show differences from {first}.\n",
            HumanCount(RESAMPLES as u64)
        );
        if !self.missing.is_empty() {
            let _ = write!(text, "\nMissing: {}\n", self.missing.join(", "));
        }
        text
    }

    /// Numbers and names for a program: one object per claim, then one per arm and endpoint.
    pub fn facts(&self) -> Vec<Value> {
        let claims = self.claims.iter().map(|Tested { claim, differences, p, corrected, verdict }| {
            let of_endpoint = |(endpoint, difference): (&Endpoint, &Option<Difference>)| json!({"endpoint": endpoint, "difference": difference});
            let endpoints: Vec<Value> = claim.endpoints.iter().zip(differences).map(of_endpoint).collect();
            json!({
                "event": "claim", "claim": claim.claim, "arm": claim.arm, "control": claim.control,
                "endpoints": endpoints, "p": p, "p_holm": corrected, "verdict": verdict,
            })
        });
        let arms = self.arms.iter().enumerate().flat_map(|(row, arm)| {
            self.scores.iter().map(move |(endpoint, scores)| {
                let ArmScore { mean, deviation, replicates, difference } = &scores[row];
                json!({
                    "event": "arm", "arm": arm, "endpoint": endpoint, "mean": mean, "standard_deviation": deviation,
                    "replicates": replicates, "difference_from_first": difference,
                })
            })
        });
        let missing = self.missing.iter().map(|missing| json!({"event": "missing", "missing": missing}));
        claims.chain(arms).chain(missing).collect()
    }

    /// One row per arm and endpoint.
    pub fn csv(&self) -> String {
        let mut csv = String::from(
            "arm,endpoint,mean,standard_deviation,replicates,difference_from_first,difference_low,difference_high,p\n",
        );
        let number = |value: Option<f64>| value.map(|value| format!("{value:.6}")).unwrap_or_default();
        for (row, arm) in self.arms.iter().enumerate() {
            for (endpoint, scores) in &self.scores {
                let score = &scores[row];
                let d = score.difference;
                let _ = writeln!(
                    csv,
                    "\"{}\",{},{},{},{},{},{},{},{}",
                    arm.replace('"', "\"\""),
                    endpoint.title(),
                    number(score.mean),
                    number(score.deviation),
                    score.replicates,
                    number(d.map(|d| d.value)),
                    number(d.map(|d| d.low)),
                    number(d.map(|d| d.high)),
                    number(d.map(|d| d.p))
                );
            }
        }
        csv
    }

    /// The differences from the first arm with their intervals, a panel for each endpoint.
    pub fn svg(&self) -> String {
        let first = self.arms.first().map_or("", String::as_str);
        let colors = Color::of_names(self.arms.iter().map(String::as_str));
        let panels = self.scores.iter().map(|(endpoint, scores)| {
            let rows = scores.iter().zip(&self.arms).enumerate().filter_map(|(row, (score, arm))| {
                let [value, low, high] = score.difference.map(|d| [d.value, d.low, d.high])?.map(|d| 100.0 * d);
                Some(Interval { name: arm.clone(), color: colors[row], value, low, high })
            });
            (format!("{}, points from {first}", endpoint.title()), rows.collect())
        });
        let panels: Vec<(String, Vec<Interval>)> = panels.filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty()).collect();
        figures::intervals("Differences with 95% intervals", &panels)
    }
}

fn points(difference: Option<Difference>) -> String {
    difference.map_or("–".to_owned(), |difference| difference.in_points())
}
