//! Commands that show what an output folder holds: `inspect`, `report` and `titles`.
mod support;

use std::fs;

use insta::assert_snapshot;
use support::{
    ebert,
    raw::{OTHER, PRODUCT, Raw, lines},
    said, succeed,
};

#[test]
fn inspect_shows_what_is_there() {
    let raw = Raw::new(&[(
        "meta.json",
        &lines(&[PRODUCT, OTHER, PRODUCT, "{\"asin\": \"B09\", \"title\": \"\", \"also_buy\": []}"]),
    )]);
    raw.run(&[]);
    let text = succeed(ebert(["inspect"]).arg(raw.path("out")));
    // The size on disk may change with the versions of the libraries.
    let text: Vec<&str> = text.lines().filter(|l| !l.contains("bytes on disk")).collect();
    assert_snapshot!("inspect", text.join("\n"));
}

/// The lines of a command for a program.
fn events(command: &mut std::process::Command) -> (Option<i32>, Vec<serde_json::Value>) {
    let output = command.args(["--log", "json"]).output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn programs_read_what_is_there() {
    let out = tempfile::tempdir().unwrap();
    succeed(ebert(["shards", "--out"]).arg(out.path()));
    let (code, lines) = events(ebert(["inspect"]).arg(out.path()));
    let of = |name: &str| lines.iter().filter(|line| line["event"] == name).collect::<Vec<_>>();
    let counts = of("counts")[0];
    let manifest = fs::read_to_string(out.path().join("shards/manifest.json")).unwrap();
    let sealed = &serde_json::from_str::<serde_json::Value>(&manifest).unwrap()["counts"];
    assert_eq!((code, counts["vocabulary"].as_u64()), (Some(0), Some(6000)));
    for name in ["documents", "segments", "tokens", "phrase_spans", "noun_phrases", "pairs", "pairs_by_relation"] {
        assert_eq!(counts[name], sealed[name], "{name}");
    }
    let bars = of("lengths")[0]["histogram"].as_array().unwrap();
    let segments = bars.iter().map(|bar| bar["segments"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(Some(segments), counts["segments"].as_u64());
    assert_eq!((of("frequent_phrase").len(), of("row").len(), of("rejected_records").len()), (20, 8, 1));
    let row = of("row")[0];
    let tokens = row["tokens"].as_array().unwrap().len() as u64;
    assert!(row["phrases"].as_array().unwrap().iter().all(|span| span[1].as_u64() <= Some(tokens)), "{row}");
    assert!(of("pair").iter().all(|pair| pair["anchor"].is_string()) && of("title_overlap")[0]["auc"].is_f64());

    let (code, lines) = events(ebert(["inspect", "--leaks"]).arg(out.path()));
    let kinds: Vec<_> = lines.iter().filter(|line| line["event"] == "leaks").map(|line| &line["documents"]).collect();
    assert!(code == Some(0) && kinds == ["products", "reviews"], "{lines:?}");

    let verify = || {
        let (code, lines) = events(ebert(["verify"]).arg(out.path()));
        (code, lines.last().unwrap().clone(), lines)
    };
    let (code, verified, lines) = verify();
    let files = lines.iter().filter(|line| line["event"] == "folder").map(|line| line["files"].as_u64().unwrap());
    assert_eq!((code, &verified["state"], verified["files"].as_u64()), (Some(0), &"sealed".into(), Some(files.sum())));
    fs::write(out.path().join("pool/phrases.parquet"), "damaged").unwrap();
    fs::remove_file(out.path().join("graph/associations.parquet")).unwrap();
    let (code, verified, lines) = verify();
    assert_eq!((code, &verified["state"], verified["problems"].as_u64()), (Some(1), &"damaged".into(), Some(2)));
    let states: Vec<_> = lines.iter().filter(|line| line["event"] == "problem").map(|line| &line["state"]).collect();
    assert_eq!(states, ["changed", "missing"]);
}

#[test]
fn inspect_shows_nothing_of_damaged_files() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    for (name, from, to) in [
        ("shards/tokenizer.json", "\"coffee\"", "\"zzffee\""),
        ("corpus/manifest.json", "\"products\":", "\"qroducts\":"),
    ] {
        let path = raw.path(&format!("out/{name}"));
        let whole = fs::read_to_string(&path).unwrap();
        let damaged = whole.replacen(from, to, 1);
        assert!(damaged != whole);
        fs::write(&path, damaged).unwrap();
        let output = ebert(["inspect"]).arg(raw.path("out")).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert!(text.contains(name) && text.contains("hint:"), "{text}");
        fs::write(&path, whole).unwrap();
    }
    // A copy of the shards and the pool is enough.
    fs::remove_dir_all(raw.path("out/corpus")).unwrap();
    succeed(ebert(["inspect"]).arg(raw.path("out")));
}

#[test]
fn report_overlap_draws_phrases_that_are_noun_phrases_by_category() {
    let product = |id: &str, category: &str, title: &str| {
        format!(r#"{{"asin": "{id}", "title": "{title}", "category": ["{category}", "x"], "also_buy": []}}"#)
    };
    let kitchen = product("B01", "Kitchen & <Dining>", "I love this stainless steel. The kettle is good.");
    let garden = product("B02", "Garden", "A kettle for the garden of stainless steel rods.");
    let raw = Raw::new(&[("meta.json", &lines(&[&kitchen, &garden]))]);
    assert!(raw.run(&[]).starts_with("exit 0"));
    let out = raw.path("out");
    let report = succeed(ebert(["report", "overlap"]).arg(&out));
    assert!(report.contains("overlap.svg") && report.contains("overlap.csv"), "{report}");
    let table = fs::read_to_string(out.join("report/overlap.csv")).unwrap();
    // Both phrases are noun phrases of the kitchen; in the garden, `stainless steel` is only a part of one.
    let wanted = "category,products,pool_phrases,\"Garden\",\"Kitchen & <Dining>\"\n\
                  \"Garden\",1,2,0.5000,1.0000\n\"Kitchen & <Dining>\",1,2,0.5000,1.0000\n";
    assert_eq!(table, wanted);
    let figure = fs::read_to_string(out.join("report/overlap.svg")).unwrap();
    assert_eq!(figure.matches("<rect").count(), 1 + 4);
    assert!(figure.contains("Kitchen &amp; &lt;Dining&gt;") && !figure.contains("<Dining>"));
    // Where the numbers come from, and both kinds of paper.
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("shards/manifest.json")).unwrap()).unwrap();
    let hash = &manifest["self_blake3"].as_str().unwrap()[..12];
    let wanted = format!("data: out/shards ({hash}), ebert {}", env!("CARGO_PKG_VERSION"));
    assert!(figure.contains(&wanted) && figure.contains("(prefers-color-scheme:dark)"), "{figure}");

    fs::write(raw.path("pool.txt"), "0.9\tblue pen\n").unwrap();
    assert!(raw.run(&[]).starts_with("exit 0"));
    let refused = said(&ebert(["report", "overlap"]).arg(&out).output().unwrap(), &[]);
    assert!(refused.contains("no product that names a category has a phrase of the pool"), "{refused}");
    // Without noun phrases there is nothing to draw, and turning them off makes the shards again.
    let off = raw.run(&["--nouns", "off"]);
    assert!(off.starts_with("exit 0") && off.contains("again: `--nouns` was on and is off"), "{off}");
    let manifest: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(out.join("shards/manifest.json")).unwrap()).unwrap();
    assert_eq!(
        (&manifest["counts"]["noun_phrases"], &manifest["options"]["tagger"]),
        (&0.into(), &serde_json::Value::Null)
    );
    let refused = said(&ebert(["report", "overlap"]).arg(&out).output().unwrap(), &[]);
    assert!(refused.starts_with("exit 1") && refused.contains("hint: run `ebert shards --nouns on`"), "{refused}");
}

#[test]
fn titles_are_the_products_with_a_title_and_a_category() {
    let tea = r#"{"asin": "B01", "title": "Green &amp; black tea", "category": ["Food", "Best before June.", "Tea"], "also_buy": []}"#;
    let no_title = r#"{"asin": "B02", "title": "", "description": ["text"], "category": ["Food"], "also_buy": []}"#;
    let no_category = r#"{"asin": "B03", "title": "A cup", "category": [], "also_buy": []}"#;
    let script = r#"{"asin": "B04", "title": "var aPageStart = (new Date()).getTime();\nvar ue_t0;", "description": ["A pot"], "category": ["Food"]}"#;
    let raw = Raw::new(&[("meta.json", &lines(&[tea, no_title, no_category, script]))]);
    assert!(raw.run(&[]).starts_with("exit 0"));
    let report = succeed(ebert(["titles"]).arg(raw.path("out")));
    assert!(report.contains("titles    1 products   2 labels"), "{report}");
    assert!(report.contains("left out  2 without a title, 1 without a category"), "{report}");
    let titles = fs::read_to_string(raw.path("out/titles.jsonl")).unwrap();
    let line: serde_json::Value = serde_json::from_str(&titles).unwrap();
    assert_eq!(line, serde_json::json!({"id": "B01", "title": "Green & black tea", "labels": ["Food", "Tea"]}));
    // A link stays one.
    fs::write(raw.path("named.jsonl"), "old").unwrap();
    std::os::unix::fs::symlink("named.jsonl", raw.path("link")).unwrap();
    succeed(ebert(["titles"]).arg(raw.path("out")).arg("--out").arg(raw.path("link")));
    assert!(raw.path("link").is_symlink() && fs::read_to_string(raw.path("named.jsonl")).unwrap() == titles);

    let raw = Raw::new(&[("meta.json", &lines(&[no_category, OTHER]))]);
    assert!(raw.run(&[]).starts_with("exit 0"));
    let refused = said(&ebert(["titles"]).arg(raw.path("out")).output().unwrap(), &[]);
    assert!(refused.starts_with("exit 1") && refused.contains("has a title and a category"), "{refused}");
}
