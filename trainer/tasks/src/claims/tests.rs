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
    // Three claims are corrected for, and five if two are tested elsewhere.
    let p = |findings: &Findings| findings.claims[0].p.zip(findings.claims[0].corrected).unwrap();
    let others = Claims { tested_elsewhere: 2, ..claims }.test().unwrap();
    assert_eq!((p(&findings).1 / p(&findings).0).round(), 3.0);
    assert_eq!((p(&others).1 / p(&others).0).round(), 5.0);
    // By hand: documents 0 to 199 with d % 11 below the quality.
    let right = |quality: usize| (0..200).filter(|d| d % 11 < quality).count() as f64 / 200.0;
    let of = |endpoint| findings.scores.iter().find(|(at, _)| *at == endpoint).unwrap().1.clone();
    let near = |found: Option<f64>, wanted: f64| assert!((found.unwrap() - wanted).abs() < 1e-12, "{found:?} {wanted}");
    near(of(Endpoint::Words)[0].mean, right(3));
    near(of(Endpoint::WordsAndPoolPhrases)[0].mean, (right(3) + right(4)) / 2.0);
    near(of(Endpoint::Retrieval)[0].mean, right(3) + (1.0 - right(3)) / 10.0);
    near(of(Endpoint::Titles)[0].mean, right(3));
    // The mean of two sets, of which one has nothing right.
    near(of(Endpoint::Aspects)[1].mean, (2.0 * right(6) + right(7)) / 6.0);
    assert_eq!((of(Endpoint::Aspects)[1].replicates, of(Endpoint::Aspects)[2].mean), (3, None));
    let markdown = findings.markdown();
    assert!(markdown.contains("| text helps: bert − start | F1 of aspects | +"), "{markdown}");
    assert!(markdown.ends_with("\nMissing: l1\n"), "{markdown}");
    assert!(findings.csv().contains("\"later\",micro-F1 of titles,,,0,,,,\n") && findings.svg().starts_with("<svg"));
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
    for (from, to, wanted) in [
        ("name = \"later\"", "name = \"bert\"", "arm `bert` is there twice"),
        ("\"b3\"]", "\"b2\"]", "arm `bert`: `b2` is there twice"),
    ] {
        fs::write(&path, TEXT.replace(from, to)).unwrap();
        let error = Claims::read(&path).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains("hint: "), "{error}");
    }
}

#[test]
fn a_claim_waits_for_all_replicates_and_names_are_of_one_model() {
    let mut partial = model("b2", 6);
    partial["probes"].as_object_mut().unwrap().remove("titles");
    let folder = files(&record(&[partial]));
    let path = folder.path().join("claims.toml");
    // Without the third replicate, and with the record of the second not there yet.
    let findings = Claims::read(&path).unwrap().test().unwrap();
    assert!(findings.claims.iter().all(|tested| tested.verdict == Verdict::Untested));
    assert_eq!(findings.scores[0].1[1].replicates, 2);
    assert_eq!(findings.missing, ["b3", "l1", "b2 (micro-F1 of titles)"]);
    fs::remove_file(folder.path().join("two.json")).unwrap();
    let findings = Claims::read(&path).unwrap().test().unwrap();
    assert_eq!(findings.missing, ["b2", "b3", "l1"]);
    fs::remove_file(folder.path().join("one.json")).unwrap();
    let error = Claims::read(&path).unwrap().test().unwrap_err().to_string();
    assert!(error.contains("none of the records") && error.contains("ebert probe"), "{error}");

    let mut other = model("b1", 5);
    other["weights"] = json!("other");
    let folder = files(&record(&[other]));
    let error = Claims::read(&folder.path().join("claims.toml")).unwrap().test().unwrap_err().to_string();
    assert!(error.contains("two models are called `b1`"), "{error}");
}
