//! Claims about training recipes, tested on what probes found of their models.
//!
//! A file in TOML names records of `ebert probe`, arms (recipes with their replicates) and claims.
//! A claim is that one arm has higher scores than another at one or more endpoints. [`Claims::test`]
//! compares them by the bootstrap of [`bootstrap`](super::bootstrap). A claim with several
//! endpoints has the largest p of them, and Holm's correction covers all claims.
use std::{
    collections::{BTreeMap, HashMap},
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use serde_json::Value;

use super::{
    bootstrap::{Difference, Panel, RESAMPLES, holm, mean_and_deviation},
    figures::{self, Interval},
    metrics::Sums,
};

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

/// A score of a probed model, with the documents that a bootstrap draws.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Endpoint {
    /// Masked words of held-out documents of which all tokens are right.
    Words,
    /// Masked pool phrases of held-out documents of which all tokens are right.
    PoolPhrases,
    /// The mean of both.
    WordsAndPoolPhrases,
    /// Mean reciprocal rank of a neighbor, by cosine.
    Retrieval,
    /// Micro-F1 of title categories, by logistic regression.
    Titles,
    /// F1 of aspects, the mean over all data sets.
    Aspects,
}

impl Endpoint {
    /// In the order of the table.
    pub const ALL: [Self; 6] =
        [Self::Words, Self::PoolPhrases, Self::WordsAndPoolPhrases, Self::Retrieval, Self::Titles, Self::Aspects];

    /// Its name in tables.
    pub fn title(self) -> &'static str {
        match self {
            Self::Words => "words right",
            Self::PoolPhrases => "pool phrases right",
            Self::WordsAndPoolPhrases => "mean of words and pool phrases",
            Self::Retrieval => "MRR of neighbors",
            Self::Titles => "micro-F1 of titles",
            Self::Aspects => "F1 of aspects",
        }
    }

    /// The sums of each document in a probed model, and how they become the score.
    fn sums(self, record: &Record, model: &Value) -> Option<(Vec<Sums>, Scores)> {
        let results = |probe: &str| Some(&model["probes"][probe]["results"]).filter(|results| results.is_object());
        let items = |probe: &str| &record.items[probe];
        match self {
            Self::Words | Self::PoolPhrases | Self::WordsAndPoolPhrases => {
                let cloze = results("cloze")?;
                let columns = [&cloze["words"], &cloze["pool phrases"]]
                    .map(|part| (column(&part["whole"]), column(&part["units"])));
                let [(words, all_words), (phrases, all_phrases)] = columns;
                let documents = rows(&[words?, all_words?, phrases?, all_phrases?]);
                Some((
                    documents,
                    match self {
                        Self::Words => |s| ratio(s[0], s[1]),
                        Self::PoolPhrases => |s| ratio(s[2], s[3]),
                        _ => |s| (ratio(s[0], s[1]) + ratio(s[2], s[3])) / 2.0,
                    },
                ))
            }
            Self::Retrieval => {
                let ranks = column(&results("retrieval")?["cosine"])?;
                let reciprocal: Vec<f64> = ranks.iter().map(|rank| 1.0 / rank).collect();
                let anchors = items("retrieval")["anchor"].as_array()?;
                let ones = vec![1.0; ranks.len()];
                Some((grouped(&[reciprocal, ones], anchors), |s| ratio(s[0], s[1])))
            }
            Self::Titles => {
                let logistic = &results("titles")?["logistic"];
                let gold = column(&items("titles")["gold"])?;
                let counts = [column(&logistic["right"])?, column(&logistic["predicted"])?, gold];
                Some((grouped(&counts, items("titles")["document"].as_array()?), |s| f1(s)))
            }
            Self::Aspects => {
                let mut documents = Vec::new();
                let sets = record.items.keys().filter(|probe| probe.starts_with("aspects "));
                for (set, probe) in (0..).zip(sets) {
                    let found = results(probe)?;
                    let counts =
                        [column(&found["right"])?, column(&found["predicted"])?, column(&items(probe)["gold"])?];
                    let place =
                        |sums: Sums| Sums(sums.0.into_iter().map(|(slot, value)| (3 * set + slot, value)).collect());
                    documents.extend(rows(&counts).into_iter().map(place));
                }
                let mean = |s: &[f64]| {
                    let sets = s.chunks_exact(3);
                    sets.clone().map(f1).sum::<f64>() / sets.len().max(1) as f64
                };
                (!documents.is_empty()).then_some((documents, mean))
            }
        }
    }
}

/// How summed documents become a score.
type Scores = fn(&[f64]) -> f64;

fn ratio(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

/// Of right, predicted and gold.
fn f1(sums: &[f64]) -> f64 {
    ratio(2.0 * sums[0], sums[1] + sums[2])
}

fn column(value: &Value) -> Option<Vec<f64>> {
    value.as_array()?.iter().map(Value::as_f64).collect()
}

/// Columns of equal length as the sums of rows.
fn rows(columns: &[Vec<f64>]) -> Vec<Sums> {
    let count = columns.iter().map(Vec::len).min().unwrap_or(0);
    (0..count).map(|row| Sums((0..).zip(columns).map(|(slot, column)| (slot, column[row])).collect())).collect()
}

/// Columns of equal length as the sums of the rows with an equal key.
fn grouped(columns: &[Vec<f64>], keys: &[Value]) -> Vec<Sums> {
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut groups: Vec<Sums> = Vec::new();
    for (row, key) in rows(columns).into_iter().zip(keys) {
        let next = groups.len();
        let number = *numbers.entry(key.to_string()).or_insert(next);
        if number == next {
            groups.push(row);
        } else {
            groups[number].0.iter_mut().zip(row.0).for_each(|((_, sum), (_, value))| *sum += value);
        }
    }
    groups
}

/// A record of `ebert probe`.
#[derive(Clone, Debug, Deserialize)]
struct Record {
    settings: Value,
    items: BTreeMap<String, Value>,
    models: Vec<Value>,
}

/// Claims cannot be tested.
#[derive(Debug, thiserror::Error)]
pub enum ClaimsError {
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is not {expected}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
        /// What is wrong.
        what: String,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All differences are positive, and p is below 0.05 after Holm's correction.
    Holds,
    /// The interval of an endpoint is below zero.
    Refuted,
    /// Neither.
    Open,
    /// Models are missing.
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
    /// Models that an arm names and no record has.
    pub missing: Vec<String>,
}

impl Claims {
    /// Reads a file of claims.
    ///
    /// # Errors
    /// If it cannot be read, or is not one.
    pub fn read(path: &Path) -> Result<Self, ClaimsError> {
        let text = fs::read_to_string(path).map_err(|source| ClaimsError::Io { path: path.to_owned(), source })?;
        let malformed =
            |what: String| ClaimsError::Malformed { path: path.to_owned(), expected: "a file of claims", what };
        let claims: Self = toml::from_str(&text).map_err(|error| malformed(error.to_string().trim_end().to_owned()))?;
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

    /// Compares the arms at all endpoints, and tests the claims.
    ///
    /// # Errors
    /// If a record cannot be read, or two do not have the same items.
    pub fn test(&self) -> Result<Findings, ClaimsError> {
        let record = self.record()?;
        let of_model = |name: &String| record.models.iter().find(|model| model["model"] == name.as_str());
        let models = self.arm.iter().flat_map(|arm| &arm.models);
        let missing = models.filter(|name| of_model(name).is_none()).cloned().collect();
        let mut differences: HashMap<(Endpoint, usize, usize), Option<Difference>> = HashMap::new();
        let mut scores = Vec::new();
        for endpoint in Endpoint::ALL {
            let mut score: Scores = |_| 0.0;
            let mut sums_of = |arm: &Arm| -> Vec<Vec<Sums>> {
                let found = arm.models.iter().filter_map(|name| endpoint.sums(&record, of_model(name)?));
                found
                    .map(|(sums, of)| {
                        score = of;
                        sums
                    })
                    .collect()
            };
            let sums: Vec<Vec<Vec<Sums>>> = self.arm.iter().map(&mut sums_of).collect();
            let panel = Panel::of_sums(sums, move |sums| vec![score(sums)]);
            let resampled = panel.resampled(RESAMPLES);
            let arms = (0..self.arm.len()).map(|arm| {
                let each: Vec<f64> = panel.replicates(arm).into_iter().map(|scores| scores[0]).collect();
                let (mean, deviation) = mean_and_deviation(&each);
                let difference = (arm > 0).then(|| resampled.difference(0, arm, 0)).flatten();
                let (mean, replicates) = ((!each.is_empty()).then_some(mean), each.len());
                ArmScore { mean, deviation, replicates, difference }
            });
            scores.push((endpoint, arms.collect()));
            for claim in self.claim.iter().filter(|claim| claim.endpoints.contains(&endpoint)) {
                if let (Some(arm), Some(control)) = (self.number(&claim.arm), self.number(&claim.control)) {
                    differences.insert((endpoint, arm, control), resampled.difference(0, arm, control));
                }
            }
        }
        let of_claim = |claim: &Claim| -> Vec<Option<Difference>> {
            let key = |endpoint| Some((endpoint, self.number(&claim.arm)?, self.number(&claim.control)?));
            claim.endpoints.iter().map(|&endpoint| differences.get(&key(endpoint)?).copied().flatten()).collect()
        };
        let claims = tested(self.claim.iter().map(|claim| (claim.clone(), of_claim(claim))).collect());
        Ok(Findings { arms: self.arm.iter().map(|arm| arm.name.clone()).collect(), scores, claims, missing })
    }

    /// All records as one.
    fn record(&self) -> Result<Record, ClaimsError> {
        let mut all: Option<Record> = None;
        for path in &self.probes {
            let text = fs::read(path).map_err(|source| ClaimsError::Io { path: path.clone(), source })?;
            let record: Record = serde_json::from_slice(&text).map_err(|error| {
                let expected = "a record of `ebert probe`";
                ClaimsError::Malformed { path: path.clone(), expected, what: error.to_string() }
            })?;
            match &mut all {
                None => all = Some(record),
                Some(all) if all.items == record.items && all.settings == record.settings => {
                    all.models.extend(record.models)
                }
                Some(_) => return Err(ClaimsError::Different { first: self.probes[0].clone(), other: path.clone() }),
            }
        }
        Ok(all.unwrap_or(Record { settings: Value::Null, items: BTreeMap::new(), models: Vec::new() }))
    }
}

/// Claims with the differences at their endpoints.
fn tested(claims: Vec<(Claim, Vec<Option<Difference>>)>) -> Vec<Tested> {
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
    let corrected = holm(&p.iter().map(|p| p.unwrap_or(1.0)).collect::<Vec<_>>());
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
            Self::Untested => "models are missing",
        }
    }
}

impl Findings {
    /// The claims, then the scores of all arms, then missing models.
    pub fn markdown(&self) -> String {
        let mut text = String::from(
            "| claim | endpoint | difference [95% interval] | p | after Holm | verdict |\n|---|---|---|---|---|---|\n",
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
                let claim = if number == 0 { format!("{claim}: {arm} − {control}") } else { String::new() };
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
            "\nIn percent, mean ± standard deviation of replicates. Intervals are of a bootstrap of replicates and documents, {RESAMPLES} resamples. Figures show differences from {first}.\n"
        );
        if !self.missing.is_empty() {
            let (count, names) = (self.missing.len(), self.missing.join(", "));
            let are = if count == 1 { "model is" } else { "models are" };
            let _ = write!(text, "\n{count} {are} missing: {names}\n");
        }
        text
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
        let panels = self.scores.iter().map(|(endpoint, scores)| {
            let rows = scores.iter().zip(&self.arms).enumerate().filter_map(|(row, (score, arm))| {
                let [value, low, high] = score.difference.map(|d| [d.value, d.low, d.high])?.map(|d| 100.0 * d);
                Some(Interval { name: arm.clone(), colour: row, value, low, high })
            });
            (format!("{}, points from {first}", endpoint.title()), rows.collect())
        });
        let panels: Vec<(String, Vec<Interval>)> = panels.filter(|(_, rows): &(_, Vec<_>)| !rows.is_empty()).collect();
        figures::intervals("Differences with 95% intervals", &panels)
    }
}

/// `+1.20 [0.30, 2.10]`, in points.
fn points(difference: Option<Difference>) -> String {
    difference
        .map_or("–".to_owned(), |d| format!("{:+.2} [{:.2}, {:.2}]", 100.0 * d.value, 100.0 * d.low, 100.0 * d.high))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A probed model whose scores rise with `quality`, from 0 to 10.
    fn model(name: &str, quality: usize) -> Value {
        let part = |extra: usize| json!({"whole": (0..200).map(|d| usize::from(d % 11 < quality + extra)).collect::<Vec<_>>(), "units": vec![1; 200]});
        let counts = |right: usize| json!({"right": (0..200).map(|d| usize::from(d % 11 < right)).collect::<Vec<_>>(), "predicted": vec![1; 200]});
        let ranks: Vec<usize> = (0..200).map(|d| if d % 11 < quality { 1 } else { 10 }).collect();
        json!({"model": name, "weights": "", "probes": {
            "cloze": {"results": {"words": part(0), "pool phrases": part(1)}},
            "retrieval": {"results": {"cosine": ranks}},
            "titles": {"results": {"logistic": counts(quality)}},
            "aspects a": {"results": counts(quality)},
            "aspects b": {"results": counts(0)},
        }})
    }

    fn record(models: &[Value]) -> Value {
        let gold = vec![1; 200];
        json!({"settings": {"seed": 0}, "models": models, "items": {
            "cloze": {"document": (0..200).map(|d| d.to_string()).collect::<Vec<_>>()},
            "retrieval": {"anchor": (0..200).map(|d| format!("P{}", d / 2)).collect::<Vec<_>>()},
            "titles": {"document": (0..200).map(|d| d / 2).collect::<Vec<_>>(), "gold": gold},
            "aspects a": {"gold": gold}, "aspects b": {"gold": gold},
        }})
    }

    const TEXT: &str = r#"
probes = ["one.json", "two.json"]
[[arm]]
name = "start"
models = ["s"]
[[arm]]
name = "bert"
models = ["b1", "b2", "b3"]
[[arm]]
name = "later"
models = ["l1"]
[[claim]]
claim = "text helps"
arm = "bert"
control = "start"
endpoints = ["aspects", "words-and-pool-phrases"]
[[claim]]
claim = "less is more"
arm = "start"
control = "bert"
endpoints = ["retrieval"]
[[claim]]
claim = "later is better"
arm = "later"
control = "bert"
endpoints = ["titles"]
"#;

    fn files(second: &Value) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        write("claims.toml", TEXT);
        write("one.json", &record(&[model("s", 3), model("b1", 6)]).to_string());
        write("two.json", &second.to_string());
        folder
    }

    #[test]
    fn claims_hold_are_refuted_or_wait_for_models() {
        let folder = files(&record(&[model("b2", 6), model("b3", 7)]));
        let claims = Claims::read(&folder.path().join("claims.toml")).unwrap();
        let findings = claims.test().unwrap();
        let verdicts: Vec<Verdict> = findings.claims.iter().map(|tested| tested.verdict).collect();
        assert_eq!(verdicts, [Verdict::Holds, Verdict::Refuted, Verdict::Untested]);
        assert_eq!(findings.missing, ["l1"]);
        // By hand: documents 0 to 199 with d % 11 below the quality.
        let right = |quality: usize| (0..200).filter(|d| d % 11 < quality).count() as f64 / 200.0;
        let of = |endpoint| findings.scores.iter().find(|(at, _)| *at == endpoint).unwrap().1.clone();
        let near =
            |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?} {wanted}");
        near(of(Endpoint::Words)[0].mean, right(3));
        near(of(Endpoint::WordsAndPoolPhrases)[0].mean, (right(3) + right(4)) / 2.0);
        near(of(Endpoint::Retrieval)[0].mean, right(3) + (1.0 - right(3)) / 10.0);
        near(of(Endpoint::Titles)[0].mean, right(3));
        // The mean of two sets, of which one has nothing right.
        near(of(Endpoint::Aspects)[1].mean, (2.0 * right(6) + right(7)) / 6.0);
        assert_eq!((of(Endpoint::Aspects)[1].replicates, of(Endpoint::Aspects)[2].mean), (3, None));
        let markdown = findings.markdown();
        assert!(markdown.contains("| text helps: bert − start | F1 of aspects | +"), "{markdown}");
        assert!(markdown.contains("\n1 model is missing: l1\n"), "{markdown}");
        assert!(
            findings.csv().contains("\"later\",micro-F1 of titles,,,0,,,,\n") && findings.svg().starts_with("<svg")
        );
    }

    #[test]
    fn records_of_other_items_and_wrong_names_are_refused() {
        let mut other = record(&[model("b2", 6)]);
        other["items"]["titles"]["gold"][3] = json!(2);
        let folder = files(&other);
        let path = folder.path().join("claims.toml");
        let error = Claims::read(&path).unwrap().test().unwrap_err().to_string();
        assert!(error.contains("have different items or settings"), "{error}");
        fs::write(&path, TEXT.replace("control = \"start\"", "control = \"begin\"")).unwrap();
        let error = Claims::read(&path).unwrap_err().to_string();
        assert!(error.contains("claim `text helps`: no arm is called `begin`"), "{error}");
    }
}
