//! Probes as whole commands: scores against what training measured and against scikit-learn, and
//! what is refused.
mod support;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ebert_bert::{BertForMaskedLm, Decision, weights};
use schemas::{CorpusProduct, Draws, GraphEdge, Relation, create_corpus_products, create_graph_edges};
use serde_json::{Value, json};
use support::{Place, keep_positions, start, tasks, text_id, text_of};
use tch::Device;

fn probe(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
    command.args(["probe", "--threads", "1", "--device", "cpu"]).args(arguments).current_dir(folder).output().unwrap()
}

fn record(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Python with scikit-learn, or the reason for skipping printed.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EBERT_PYTHON").map(PathBuf::from)?;
    let found = Command::new(&python).args(["-c", "import sklearn"]).output().is_ok_and(|o| o.status.success());
    if !found {
        println!("skipped: EBERT_PYTHON names no Python with scikit-learn");
    }
    found.then_some(python)
}

/// Compares an export with scikit-learn. Every difference is at most what tolerances and rounding
/// give.
fn compare(python: &Path, record: &Path, exported: &Path) {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/probe/scikit.py");
    let output = Command::new(python).arg(script).args([record, exported]).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    println!("{found:#}");
    for (probe, differences) in found.as_object().unwrap() {
        let differences = differences.as_object().unwrap();
        assert!(differences.len() > 2, "{probe}");
        for (name, value) in differences {
            let value = value.as_f64().unwrap();
            let most = match name.as_str() {
                "logistic, probabilities" | "probabilities" => 1e-3,
                // A threshold may be on either side of a pair.
                "F1" | "F1 by cosine" => 1e-9,
                "cosine, ranks" | "tf-idf, ranks" | "BM25, ranks" | "word overlap, ranks" => 0.0,
                "scores" | "logistic, scores" | "5 nearest, scores" | "AUC" => 1e-9,
                "logistic, predictions that differ" | "words tagged differently" => 2.0,
                "5 nearest, titles with other votes" => 5.0,
                // Sentences are cut into words elsewhere, too.
                "F1 of whole words" => 0.01,
                "labels" | "titles" | "titles with votes" | "pairs" | "words" | "questions" => {
                    assert!(value > 0.0, "{probe}: {name}");
                    continue;
                }
                _ => panic!("{probe}: no bound for `{name}`"),
            };
            assert!(value <= most, "{probe}, {name}: {value} is more than {most}");
        }
    }
}

/// Shards with the corpus and the graph that they might be made from.
fn with_products(place: &Place) {
    fs::create_dir_all(place.path("corpus")).unwrap();
    fs::create_dir_all(place.path("graph")).unwrap();
    let mut products = create_corpus_products(&place.path("corpus/products-00000.parquet")).unwrap();
    let mut draws = Draws::new(1, "texts", b"");
    let names: Vec<String> = (0..120).map(|number| format!("P{number}")).collect();
    for (number, name) in (0u64..).zip(&names) {
        let words = (0..3 + draws.below(6)).map(|_| format!("w{}", 5 + 4 * draws.below(14) + draws.below(3)));
        let text = words.collect::<Vec<_>>().join(" ");
        let mut product = CorpusProduct::of(name, &text, &text);
        product.categories = vec!["All", ["Some", "Others"][number as usize % 2]];
        product.text_id = text_id(number, "products");
        products.push(&product).unwrap();
    }
    products.finish().unwrap().commit().unwrap();
    let mut edges = create_graph_edges(&place.path("graph/associations.parquet")).unwrap();
    let mut all: Vec<(&String, &String, Relation)> = Vec::new();
    for from in 0..120 {
        for step in [1, 3, 5, 7, 11, 17, 23, 31, 41, 53] {
            let pair = [&names[from], &names[(from + step) % 120]];
            let relation = if (from + step) % 3 == 0 { Relation::Substitute } else { Relation::Complement };
            all.push((pair[0].min(pair[1]), pair[0].max(pair[1]), relation));
        }
    }
    all.sort();
    for (product_a, product_b, relation) in all {
        edges.push(&GraphEdge { product_a, product_b, relation, weight: None }).unwrap();
    }
    edges.finish().unwrap().commit().unwrap();
}

#[test]
fn the_cloze_of_a_run_is_what_its_training_measured() {
    let place = Place::new();
    with_products(&place);
    let output = place.run(&[&support::RUN[..], &["--out", "run"]].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    let output = probe(place.folder.path(), &["run", "--shards", ".", "--held-out", "0.1", "--export", "exported"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let found = record(&place.path("probe.json"));
    let scores = &found["models"][0]["probes"]["cloze"]["scores"];
    let measured: Value = serde_json::from_str(place.metrics("run").last().unwrap()).unwrap();
    let measured = &measured["held_out"];
    for (name, wanted) in [
        ("words", &measured[0]),
        ("pool phrases", &measured[1]["pool_phrases"]),
        ("rare pool phrases", &measured[1]["rare_phrases"]),
        ("frequent pool phrases", &measured[1]["frequent_phrases"]),
        ("noun phrases", &measured[1]["noun_phrases"]),
    ] {
        for (score, key) in [("loss", "loss"), ("tokens right", "accuracy"), ("whole", "whole")] {
            let found = scores[format!("{name}, {score}")].as_f64();
            match wanted[key].as_f64() {
                Some(wanted) => assert!((found.unwrap() - wanted).abs() < 1e-6, "{name} {score}: {found:?} {wanted}"),
                None => assert_eq!(found, None, "{name}"),
            }
        }
    }
    // The results of documents add up to the scores.
    let words = &found["models"][0]["probes"]["cloze"]["results"]["words"];
    let documents = found["items"]["cloze"]["document"].as_array().unwrap().len();
    let column = |name: &str| words[name].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect::<Vec<_>>();
    let sum = |name: &str| column(name).iter().sum::<f64>();
    assert_eq!(column("tokens").len(), documents);
    assert!((sum("loss") / sum("tokens") - measured[0]["loss"].as_f64().unwrap()).abs() < 1e-3);
    assert_eq!(sum("right") / sum("tokens"), measured[0]["accuracy"].as_f64().unwrap());
    assert_eq!(sum("whole") / sum("units"), measured[0]["whole"].as_f64().unwrap());
    let retrieval = &found["models"][0]["probes"]["retrieval"]["results"];
    let ranks = |of: &Value| of.as_array().unwrap().len();
    assert!(ranks(&retrieval["cosine"]) > 20, "{}", text_of(&output));
    assert_eq!(ranks(&retrieval["cosine"]), ranks(&retrieval["NPR distance"]));
    if let Some(python) = python() {
        compare(&python, &place.path("probe.json"), &place.path("exported"));
    }
    // A ratio above that of the recipe is reported.
    let output = probe(place.folder.path(), &["run", "run", "--shards", ".", "--held-out", "0.2"]);
    assert!(text_of(&output).contains("note: `run` held out 0.1 of the documents"), "{}", text_of(&output));
    let [first, second] = [0, 1].map(|model| record(&place.path("probe.json"))["models"][model]["probes"].clone());
    for probe in ["cloze", "retrieval", "relations"] {
        assert_eq!(first[probe]["results"], second[probe]["results"]);
    }
    let output =
        probe(place.folder.path(), &["run", "--shards", ".", "--held-out", "0.2", "--log", "json", "-o", "again.json"]);
    let lines = support::events(&output);
    assert_eq!((&lines[0]["event"], &lines.last().unwrap()["place"]), (&"warning".into(), &"again.json".into()));
    for line in lines.iter().filter(|line| line["event"] == "probe") {
        let name = line["probe"].as_str().unwrap();
        assert_eq!((&line["model"], &line["scores"]), (&"run".into(), &first[name]["scores"]));
    }
    assert_eq!(lines.iter().filter(|line| line["event"] == "probe").count(), first.as_object().unwrap().len());
    // A model is not better than itself.
    let claims = "probes = [\"probe.json\"]\n[[arm]]\nname = \"a\"\nmodels = [\"run\"]\n[[arm]]\nname = \"b\"\nmodels = [\"run\"]\n\
        [[claim]]\nclaim = \"b is better\"\narm = \"b\"\ncontrol = \"a\"\nendpoints = [\"words\", \"retrieval\"]\n";
    fs::write(place.path("claims.toml"), claims).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
    let text = text_of(&command.args(["claims", "claims.toml"]).current_dir(place.folder.path()).output().unwrap());
    assert!(
        text.contains("| b is better: b − a | words right | +0.00 [0.00, 0.00] | 1.0000 | 1.0000 | open |"),
        "{text}"
    );
    assert!(text.ends_with("written   claims.md, claims.csv, claims.svg\n"), "{text}");
    assert!(fs::read_to_string(place.path("claims.svg")).unwrap().starts_with("<svg"));
    let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
    command.args(["claims", "claims.toml", "--log", "json"]).current_dir(place.folder.path());
    let lines = support::events(&command.output().unwrap());
    let claim = &lines[0];
    assert_eq!((&claim["event"], &claim["arm"], &claim["verdict"]), (&"claim".into(), &"b".into(), &"open".into()));
    assert_eq!((claim["endpoints"][1]["endpoint"].as_str(), claim["p_holm"].as_f64()), (Some("retrieval"), Some(1.0)));
    assert_eq!(claim["endpoints"][0]["difference"]["value"], 0.0);
    assert!(lines.iter().any(|line| line["event"] == "arm" && line["mean"].is_f64()));
    assert_eq!(lines.last().unwrap()["files"][1], "claims.csv");
}

#[test]
fn a_model_of_another_vocabulary_has_no_cloze() {
    let place = Place::new();
    with_products(&place);
    tasks::make_model(&place.path("bert"), 1);
    let output = probe(place.folder.path(), &["bert", "--shards", ".", "--held-out", "0.3", "--export", "exported"]);
    assert!(output.status.success(), "{}", text_of(&output));
    let text = text_of(&output);
    assert!(text.contains("cloze is left out: `bert` has 44 word embeddings, and the shards 64 tokens"), "{text}");
    let probes = record(&place.path("probe.json"))["models"][0]["probes"].clone();
    assert!(probes["cloze"]["left_out"].is_string() && probes["retrieval"]["results"]["cosine"].is_array(), "{text}");
    assert!(probes["relations"]["results"]["logit"].as_array().unwrap().len() > 20, "{text}");
    if let Some(python) = python() {
        compare(&python, &place.path("probe.json"), &place.path("exported"));
    }
}

const ASPECTS: &str = "aspects.xml";

#[test]
fn a_model_with_too_few_positions_has_no_cloze() {
    let place = Place::new();
    with_products(&place);
    start(&place, 0, |name| Some(name.to_owned()));
    keep_positions(&place.path("start"), 16);
    let output = probe(place.folder.path(), &["start", "--shards", ".", "--held-out", "0.3"]);
    let text = text_of(&output);
    assert!(output.status.success() && text.contains("cloze is left out: the model has 16 positions"), "{text}");
}

fn offers(pairs: usize) -> String {
    let offer = |number: u64| {
        let mut draws = Draws::new(3, "offer", &number.to_le_bytes());
        let word =
            |draws: &mut Draws| ["red", "blue", "green", "tea", "pot", "soap", "big", "small"][draws.below(8) as usize];
        let words = [word(&mut draws), word(&mut draws), word(&mut draws)].join(" ");
        format!("COL title VAL {words} COL price VAL {}", number % 3)
    };
    let line = |pair: u64| {
        let same = pair.is_multiple_of(3);
        let other = if same { pair } else { pair + 1 };
        format!("{}\t{}\t{}\n", offer(pair), offer(other), u8::from(same))
    };
    (0..pairs as u64).map(line).collect()
}

#[test]
fn scores_of_tasks_are_those_of_scikit_learn() {
    let place = tasks::Place::new();
    for (file, pairs) in [("train.txt", 150), ("valid.txt", 80), ("test.txt", 81)] {
        fs::write(place.path(file), offers(pairs)).unwrap();
    }
    let data = ["--titles", "titles.jsonl", "--matching", "train.txt", "valid.txt", "test.txt", "--aspects", ASPECTS];
    let output = probe(place.folder.path(), &[&["bert", "--export", "exported"], &data[..]].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    let first = record(&place.path("probe.json"));
    if let Some(python) = python() {
        compare(&python, &place.path("probe.json"), &place.path("exported"));
    }
    let results = &first["models"][0]["probes"]["titles"]["results"]["5 nearest"];
    assert_eq!(results["right"].as_array().unwrap().len(), first["items"]["titles"]["gold"].as_array().unwrap().len());

    // Two models give one table, and the first has the same scores.
    tasks::make_model(&place.path("other"), 2);
    let output = probe(place.folder.path(), &[&["bert", "other", "-o", "both.json"], &data[..]].concat());
    let text = text_of(&output);
    assert!(text.contains(" |   bert |  other |\n"), "{text}");
    let both = record(&place.path("both.json"));
    assert_eq!(
        both["models"][0]["probes"]["aspects aspects"]["scores"],
        first["models"][0]["probes"]["aspects aspects"]["scores"]
    );
    assert_ne!(both["models"][0]["weights"], both["models"][1]["weights"]);
}

/// The optional folder of real data, or the reason for skipping printed.
fn real_data() -> Option<PathBuf> {
    let beside = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let folder = std::env::var_os("EBERT_SHARED").map_or_else(beside, PathBuf::from).join("data");
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: the optional folder of real data `{}` is not there", folder.display());
    None
}

/// Real texts, through a BERT of random weights.
#[test]
fn scores_on_real_texts_are_those_of_scikit_learn() {
    let (Some(data), Some(python)) = (real_data(), python()) else { return };
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let config = json!({"vocab_size": 30_522, "hidden_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 64, "max_position_embeddings": 128, "model_type": "bert", "initializer_range": 0.2});
    fs::create_dir(path("bert")).unwrap();
    fs::write(path("bert/config.json"), config.to_string()).unwrap();
    fs::copy(data.join("vocab/bert-base-uncased-vocab.txt"), path("bert/vocab.txt")).unwrap();
    let model = BertForMaskedLm::new(&serde_json::from_value(config).unwrap(), 1, Device::Cpu, Decision::on_cpu());
    let named = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    weights::write(&path("bert").join(weights::WEIGHTS), named).unwrap();
    let parts = ["train", "valid", "test"].map(|part| format!("abt-buy-{part}.txt"));
    let unpack = "import gzip, sys; open(sys.argv[2], 'wb').write(gzip.open(sys.argv[1]).read())";
    for part in &parts {
        let packed = data.join(format!("matching/{part}.gz"));
        let output = Command::new(&python).args(["-c", unpack]).args([&packed, &path(part)]).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
    }
    let sentences = data.join("downstream/Laptops_Test_Gold.xml");
    let [train, valid, test] = &parts;
    let arguments = ["bert", "--export", "exported", "--matching", train, valid, test, "--aspects"];
    let output = probe(place.path(), &[&arguments[..], &[sentences.to_str().unwrap()]].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    compare(&python, &path("probe.json"), &path("exported"));
}

#[test]
fn help_and_failures_teach() {
    let place = tasks::Place::new();
    let mut said = String::new();
    let mut note = |what: &str, arguments: &[&str]| {
        let output = probe(place.folder.path(), arguments);
        said += &format!("# {what}: exit {}\n{}\n", output.status.code().unwrap(), text_of(&output));
    };
    note("help", &["--help"]);
    note("nothing to probe with", &["bert"]);
    fs::write(place.path("pairs.txt"), "COL a VAL b\tCOL a VAL c\t1\nCOL a VAL b\t0\n").unwrap();
    note("another shape", &["bert", "--matching", "pairs.txt", "pairs.txt", "pairs.txt"]);
    fs::write(place.path("pairs.txt"), "COL a VAL b\tCOL a VAL c\t1\n").unwrap();
    note("one class", &["bert", "--matching", "pairs.txt", "pairs.txt", "pairs.txt"]);
    fs::write(place.path("same.txt"), "COL a VAL b\tCOL a VAL c\t1\nCOL a VAL b\tCOL a VAL c\t0\n").unwrap();
    let twice = ["--matching", "same.txt", "same.txt", "same.txt", "--matching", "same.txt", "same.txt", "same.txt"];
    note("two of one name", &[&["bert"], &twice[..]].concat());
    fs::write(place.path("few.jsonl"), "{\"id\": \"B1\", \"title\": \"Tea pot\", \"labels\": [\"Tea\"]}\n").unwrap();
    note("few titles", &["bert", "--titles", "few.jsonl"]);
    let sentence = "<sentences><sentence id=\"1\"><text>The cord is short.</text></sentence></sentences>";
    fs::write(place.path("few.xml"), sentence).unwrap();
    note("few sentences", &["bert", "--aspects", "few.xml"]);
    note("a ratio", &["bert", "--aspects", "few.xml", "--held-out", "2"]);
    fs::write(place.path("bert/recipe.toml"), "[neighbor]\nmargins = 1\n").unwrap();
    note("a recipe of another version", &["bert", "--matching", "same.txt", "same.txt", "same.txt"]);
    insta::assert_snapshot!("probe", said);
}
