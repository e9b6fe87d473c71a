//! Claims about training recipes, tested on what probes found of their models.
//!
//! A file in TOML names records of `ebert probe`, arms (recipes with their replicates) and claims.
//! A claim is that one arm has higher scores than another at one or more endpoints. [`Claims::test`]
//! compares them by the bootstrap of [`bootstrap`](super::bootstrap). A claim with several
//! endpoints has the largest p of them, and Holm's correction covers all claims.
mod endpoint;
mod findings;
#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

pub use endpoint::Endpoint;
pub use findings::{ArmScore, Findings, Tested, Verdict};

use super::{
    bootstrap::{Difference, Panel, RESAMPLES, mean_and_deviation},
    grid::twice,
    metrics::Sums,
};
use endpoint::ProbeRecord;
use findings::tested;

/// A file of claims.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Records of `ebert probe`, relative to the file.
    pub probes: Vec<PathBuf>,
    /// The arms, in the order of the table; the others are compared with the first.
    pub arm: Vec<Arm>,
    /// The claims.
    pub claim: Vec<Claim>,
    /// How many further claims Holm's correction counts, which something else tests.
    #[serde(default)]
    pub tested_elsewhere: usize,
}

/// A recipe with its replicates.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Arm {
    /// Its name.
    pub name: String,
    /// Its models, as the records name them. Replicates of two arms are paired by their number.
    pub models: Vec<String>,
}

/// One arm has higher scores than another.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// In words.
    pub claim: String,
    /// The arm.
    pub arm: String,
    /// What it is compared with.
    pub control: String,
    /// Where it is higher.
    pub endpoints: Vec<Endpoint>,
}

/// Claims cannot be tested.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// A file cannot be read.
    #[error("cannot read `{}`\nhint: {hint}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Where such a file comes from.
        hint: &'static str,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is not {expected}: {what}\nhint: {hint}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        what: String,
        /// Where such a file comes from.
        hint: &'static str,
    },
    /// No record is there.
    #[error("none of the records in `probes` exists\nhint: {hint}")]
    NoRecord {
        /// Where they come from.
        hint: &'static str,
    },
    /// Two models have one name.
    #[error("two models are called `{model}` in the records, of which the first is `{}`\nhint: probe them under different names", path.display())]
    Ambiguous {
        /// The first record.
        path: PathBuf,
        /// Their name.
        model: String,
    },
    /// Two records are of other data.
    #[error("`{}` and `{}` have different items or settings\nhint: probe all models with the same options", first.display(), other.display())]
    Different {
        /// A record.
        first: PathBuf,
        /// Another one.
        other: PathBuf,
    },
}

impl Claims {
    /// Reads a file of claims.
    ///
    /// # Errors
    /// If it cannot be read, or is not one.
    pub fn read(path: &Path) -> Result<Self, ClaimsError> {
        let (path, hint) = (path.to_owned(), "docs/results/proof/claims.toml is an example");
        let text = fs::read_to_string(&path).map_err(|source| ClaimsError::Io { path: path.clone(), hint, source })?;
        let malformed =
            |what: String| ClaimsError::Malformed { path: path.clone(), expected: "a file of claims", what, hint };
        let claims: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
        let names: Vec<&String> = claims.arm.iter().map(|arm| &arm.name).collect();
        if let Some(name) = twice(&names) {
            return Err(malformed(format!("arm `{name}` is there twice")));
        }
        for arm in &claims.arm {
            if let Some(model) = twice(&arm.models) {
                return Err(malformed(format!("arm `{}`: `{model}` is there twice", arm.name)));
            }
        }
        for claim in &claims.claim {
            if let Some(arm) = [&claim.arm, &claim.control].into_iter().find(|arm| claims.number(arm).is_none()) {
                return Err(malformed(format!("claim `{}`: no arm is called `{arm}`", claim.claim)));
            }
            if claim.endpoints.is_empty() {
                return Err(malformed(format!("claim `{}`: endpoints is empty", claim.claim)));
            }
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        Ok(Self { probes: claims.probes.iter().map(|probe| folder.join(probe)).collect(), ..claims })
    }

    fn number(&self, name: &str) -> Option<usize> {
        self.arm.iter().position(|arm| arm.name == name)
    }

    /// Compares the arms at all endpoints, and tests the claims. A claim is not tested before all models
    /// of both arms are probed.
    ///
    /// # Errors
    /// If a record cannot be read, or two do not have the same items.
    pub fn test(&self) -> Result<Findings, ClaimsError> {
        let record = self.record()?;
        let is_probed = |name: &str| record.models.iter().any(|model| model["model"] == name);
        let mut missing: Vec<String> = Vec::new();
        for name in self.arm.iter().flat_map(|arm| &arm.models) {
            if !is_probed(name) && !missing.contains(name) {
                missing.push(name.clone());
            }
        }
        let mut differences: HashMap<(Endpoint, usize, usize), Option<Difference>> = HashMap::new();
        let mut scores = Vec::new();
        for endpoint in Endpoint::ALL {
            let sums_of = |name: &String| {
                let model = record.models.iter().find(|model| model["model"] == name.as_str())?;
                endpoint.sums(&record, model)
            };
            let sums: Vec<Vec<Option<Vec<Sums>>>> =
                self.arm.iter().map(|arm| arm.models.iter().map(sums_of).collect()).collect();
            let complete: Vec<bool> = sums.iter().map(|arm| arm.iter().all(Option::is_some)).collect();
            for (arm, sums) in self.arm.iter().zip(&sums) {
                let without = arm.models.iter().zip(sums).filter(|(name, sums)| sums.is_none() && is_probed(name));
                missing.extend(without.map(|(model, _)| format!("{model} ({})", endpoint.title())));
            }
            let score = endpoint.score();
            let panel = Panel::of_sums(sums, move |sums| vec![score(sums)]);
            let compare = |arm, other| panel.compare(arm, other, RESAMPLES).map(|differences| differences[0]);
            let arms = (0..self.arm.len()).map(|arm| {
                let each: Vec<f64> = panel.replicates(arm).into_iter().map(|scores| scores[0]).collect();
                let (mean, deviation) = mean_and_deviation(&each);
                let difference = (arm > 0).then(|| compare(arm, 0)).flatten();
                let (mean, replicates) = ((!each.is_empty()).then_some(mean), each.len());
                ArmScore { mean, deviation, replicates, difference }
            });
            scores.push((endpoint, arms.collect()));
            for claim in self.claim.iter().filter(|claim| claim.endpoints.contains(&endpoint)) {
                if let (Some(arm), Some(control)) = (self.number(&claim.arm), self.number(&claim.control)) {
                    let difference = (complete[arm] && complete[control]).then(|| compare(arm, control)).flatten();
                    differences.insert((endpoint, arm, control), difference);
                }
            }
        }
        let of_claim = |claim: &Claim| -> Vec<Option<Difference>> {
            let key = |endpoint| Some((endpoint, self.number(&claim.arm)?, self.number(&claim.control)?));
            claim.endpoints.iter().map(|&endpoint| differences.get(&key(endpoint)?).copied().flatten()).collect()
        };
        let claims = self.claim.iter().map(|claim| (claim.clone(), of_claim(claim))).collect();
        let claims = tested(claims, self.tested_elsewhere);
        Ok(Findings { arms: self.arm.iter().map(|arm| arm.name.clone()).collect(), scores, claims, missing })
    }

    /// All records that exist, as one.
    fn record(&self) -> Result<ProbeRecord, ClaimsError> {
        let hint = "`ebert probe MODEL... --out FILE` writes records";
        let mut all: Option<(&PathBuf, ProbeRecord)> = None;
        for path in &self.probes {
            let text = match fs::read(path) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(source) => return Err(ClaimsError::Io { path: path.clone(), hint, source }),
            };
            let record: ProbeRecord = serde_json::from_slice(&text).map_err(|error| {
                let expected = "a record of `ebert probe`";
                ClaimsError::Malformed { path: path.clone(), expected, what: error.to_string(), hint }
            })?;
            match &mut all {
                None => all = Some((path, record)),
                Some((_, all)) if all.items == record.items && all.settings == record.settings => {
                    all.models.extend(record.models);
                }
                Some((first, _)) => {
                    return Err(ClaimsError::Different { first: (*first).clone(), other: path.clone() });
                }
            }
        }
        let (first, record) = all.ok_or(ClaimsError::NoRecord { hint })?;
        let mut weights: HashMap<&str, &Value> = HashMap::new();
        for model in &record.models {
            let name = model["model"].as_str().unwrap_or_default();
            if *weights.entry(name).or_insert(&model["weights"]) != &model["weights"] {
                return Err(ClaimsError::Ambiguous { path: first.clone(), model: name.to_owned() });
            }
        }
        Ok(record)
    }
}
