//! `ebert fill-mask`, `embed` and `similar` as whole commands: against the model itself, against
//! DuckDB, and what is refused.
mod support;

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use arrow_array::{Float32Array, ListArray, RecordBatch, StringArray};
use ebert_bert::{Packed, Phase, weights};
use ebert_tasks::probe::{features::Frozen, nearest::normalized};
use schemas::store::TableReader;
use serde_json::Value;
use support::{events, tasks::Place, text_of};
use tch::{Device, Kind, Tensor};
use trainer::neighbor::{NeighborOptions, Reduction, Scale, distances_from};

const CPU: [&str; 4] = ["--threads", "1", "--device", "cpu"];

fn run(place: &Place, command: &str, arguments: &[&str]) -> Output {
    place.run(&[&[command], &CPU[..], arguments].concat())
}

fn frozen(place: &Place) -> Frozen {
    Frozen::open(&place.path("bert"), Device::Cpu).unwrap()
}

/// The texts of a place's titles.
fn titles(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("titles.jsonl")).unwrap();
    let title = |line: &str| serde_json::from_str::<Value>(line).unwrap()["title"].as_str().unwrap().to_owned();
    text.lines().map(title).collect()
}

fn encoded(frozen: &Frozen, titles: &[String]) -> Vec<Vec<u32>> {
    titles.iter().map(|title| frozen.encode(title, usize::MAX).unwrap()).collect()
}

#[test]
fn masks_get_the_softmax_of_the_models_logits() {
    let place = Place::new();
    let lines = events(&run(&place, "fill-mask", &["--model", "bert", "--log", "json", "the [MASK] is [MASK] ."]));
    let frozen = frozen(&place);
    let [cls, sep, mask] = ["[CLS]", "[SEP]", "[MASK]"].map(|name| frozen.tokens().id(name).unwrap());
    let [the, is, stop] = ["the", "is", "."].map(|name| frozen.tokens().id(name).unwrap());
    let row = [cls, the, mask, is, mask, stop, sep];
    let packed = Packed::new(&row, &[row.len()], Device::Cpu);
    let logits = tch::no_grad(|| frozen.model().predict_at(&packed, &[2, 4], Phase::Evaluate));
    assert_eq!((lines.len(), &lines[0]["event"]), (1, &"fill_mask".into()));
    let masks = lines[0]["masks"].as_array().unwrap();
    assert_eq!(masks.len(), 2);
    for (number, entries) in (0..).zip(masks) {
        let wanted: Vec<f32> = Vec::try_from(logits.get(number).softmax(-1, Kind::Float)).unwrap();
        let mut order: Vec<usize> = (0..wanted.len()).collect();
        order.sort_by(|&a, &b| wanted[b].total_cmp(&wanted[a]));
        let entries = entries.as_array().unwrap();
        assert_eq!(entries.len(), 5);
        for (entry, id) in entries.iter().zip(order) {
            assert_eq!(
                (entry["id"].as_u64(), entry["entry"].as_str().unwrap()),
                (Some(id as u64), &*frozen.tokens().name(id as u32))
            );
            assert!((entry["probability"].as_f64().unwrap() - f64::from(wanted[id])).abs() < 1e-6);
        }
    }
}

#[test]
fn lines_of_standard_input_are_texts() {
    let place = Place::new();
    let texts = ["red [MASK] pot", "a new [MASK]"];
    let model = ["--model", "bert", "--top", "2"];
    let arguments = run(&place, "fill-mask", &[&model[..], &texts].concat());
    let piped = |input: &str| {
        let mut command = place.command(&[&["fill-mask"], &CPU[..], &model].concat());
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    let lines = piped("red [MASK] pot\n\na new [MASK]\n");
    assert_eq!((lines.status.code(), text_of(&lines)), (Some(0), text_of(&arguments)));
    assert_eq!(text_of(&lines).lines().count(), 6, "{}", text_of(&lines));
    let wrong = piped("red [MASK] pot\n\na new pot\n");
    assert!(text_of(&wrong).contains("line 3 of standard input"), "{}", text_of(&wrong));
    // All entries of a small vocabulary add up to 1.
    let all = events(&run(&place, "fill-mask", &["--model", "bert", "--top", "1000", "--log", "json", "[MASK]"]));
    let entries = all[0]["masks"][0].as_array().unwrap();
    let sum: f64 = entries.iter().map(|entry| entry["probability"].as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-5, "{sum}");
}

/// The float32 numbers of a `.npy` file.
fn npy(path: &Path) -> Vec<f32> {
    let bytes = fs::read(path).unwrap();
    let start = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    bytes[start..].chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect()
}

fn embed(place: &Place, input: &str, out: &str, more: &[&str]) -> Output {
    let output = run(place, "embed", &[&["--model", "bert", input, "--out", out], more].concat());
    assert!(output.status.success(), "{}", text_of(&output));
    output
}

#[test]
fn embeddings_are_the_means_that_probes_use() {
    let place = Place::new();
    let (frozen, titles) = (frozen(&place), titles(&place));
    let ids = encoded(&frozen, &titles);
    let means = frozen.means(&ids);
    let flat = |rows: &Tensor| Vec::<f32>::try_from(rows.to_kind(Kind::Float).contiguous().view([-1])).unwrap();
    embed(&place, "titles.jsonl", "titles.npy", &[]);
    assert_eq!(npy(&place.path("titles.npy")), flat(&means));
    let output = embed(&place, "titles.jsonl", "titles.parquet", &["--normalize"]);
    assert!(text_of(&output).contains("embedded  120 rows of 32 floats   titles.parquet"), "{}", text_of(&output));
    let table = TableReader::open_any(&place.path("titles.parquet")).unwrap();
    assert_eq!(table.note("ebert.embed"), Some(r#"{"pooling":"mean","normalize":true}"#));
    let rows: Vec<RecordBatch> = table.row_group(0, 1000, None).unwrap().map(Result::unwrap).collect();
    let [ids_of_rows, texts] =
        [0, 1].map(|column: usize| rows[0].column(column).as_any().downcast_ref::<StringArray>().unwrap());
    assert_eq!((ids_of_rows.value(7), texts.value(7)), ("B7", titles[7].as_str()));
    let embeddings = rows[0].column(2).as_any().downcast_ref::<ListArray>().unwrap();
    let values = embeddings.values().as_any().downcast_ref::<Float32Array>().unwrap();
    assert_eq!((rows.len(), embeddings.value_length(3)), (1, 32));
    assert_eq!(values.values(), &flat(&normalized(&means))[..]);

    // The state of `[CLS]`, of one title alone.
    embed(&place, "titles.jsonl", "cls.npy", &["--pooling", "cls"]);
    let row = [&[frozen.tokens().cls()], &ids[5][..], &[frozen.tokens().sep()]].concat();
    let packed = Packed::new(&row, &[row.len()], Device::Cpu);
    let states = tch::no_grad(|| frozen.model().encoder().encode(&packed, Phase::Evaluate));
    let found = &npy(&place.path("cls.npy"))[5 * 32..6 * 32];
    for (found, wanted) in found.iter().zip(flat(&states.get(0))) {
        assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
    }
}

/// More lines than a batch has, blank and long ones among them: a row for each.
#[test]
fn each_line_has_a_row() {
    let place = Place::new();
    let mut lines: Vec<String> = (0..2500).map(|number| format!("set of tea number {}", number % 3 + 1)).collect();
    lines[1] = String::new();
    lines[2000] = "red tea ".repeat(60);
    fs::write(place.path("lines.txt"), lines.join("\n") + "\n").unwrap();
    let output = run(&place, "embed", &["--model", "bert", "lines.txt", "-o", "lines.npy", "--log", "json"]);
    let facts = events(&output);
    assert_eq!((&facts[0]["titles"], &facts[1]["event"]), (&2500.into(), &"embedded".into()));
    assert_eq!((&facts[1]["rows"], &facts[1]["cut"], &facts[1]["empty"]), (&2500.into(), &1.into(), &1.into()));
    let found = npy(&place.path("lines.npy"));
    assert_eq!(found.len(), 2500 * 32);
    let wanted: Vec<f32> = {
        let frozen = frozen(&place);
        Vec::try_from(frozen.means(&encoded(&frozen, &lines)).view([-1])).unwrap()
    };
    assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-5));
    assert_eq!(found[32..64], [0.0; 32]);
}

#[test]
fn similar_products_are_the_nearest_by_both_measures() {
    let place = Place::new();
    let (frozen, titles) = (frozen(&place), titles(&place));
    let arguments = ["--model", "bert", "--catalog", "titles.jsonl", "--top", "7", "--log", "json", &titles[4]];
    let search = || events(&run(&place, "similar", &arguments));
    let warns = |lines: &[Value]| lines.iter().any(|line| line["event"] == "warning");
    let lines = search();
    assert!(warns(&lines));
    assert_neighbors(&frozen, &titles, lines.last().unwrap(), &NeighborOptions::default());

    // A recipe defines the distance, and reports that it was trained.
    let recipe =
        "[neighbor]\nreduction = \"mean\"\nscale = \"sqrt_d\"\n[[stage]]\nsteps = 1\n[[stage]]\nneighbor = true\n";
    fs::write(place.path("bert/recipe.toml"), recipe).unwrap();
    let lines = search();
    assert!(!warns(&lines));
    let options = NeighborOptions { reduction: Reduction::Mean, scale: Scale::SqrtD, ..NeighborOptions::default() };
    assert_neighbors(&frozen, &titles, lines.last().unwrap(), &options);
}

/// Compares the neighbors of the fifth title with a sort of all products.
fn assert_neighbors(frozen: &Frozen, titles: &[String], found: &Value, options: &NeighborOptions) {
    let ids = encoded(frozen, titles);
    let others: Vec<usize> = (0..titles.len()).filter(|&other| ids[other] != ids[4]).collect();
    assert_eq!(found["same"].as_u64().unwrap() as usize, titles.len() - others.len());
    let contents = frozen.contents(&ids);
    let means = normalized(&frozen.means(&ids));
    let cosines: Vec<f64> = Vec::try_from(means.mv(&means.get(4))).unwrap();
    let distances = distances_from(&contents[4], &contents, options);
    let distances: Vec<f64> = Vec::try_from(distances.to_kind(Kind::Double)).unwrap();
    for (measure, values, sign) in [("cosine", &cosines, -1.0), ("npr_distance", &distances, 1.0)] {
        let mut order = others.clone();
        order.sort_by(|&a, &b| (sign * values[a]).total_cmp(&(sign * values[b])));
        let neighbors = found[measure].as_array().unwrap();
        assert_eq!(neighbors.len(), 7);
        for (neighbor, place) in neighbors.iter().zip(order) {
            let value = neighbor["value"].as_f64().unwrap();
            // Equal titles may change places.
            assert!(
                (value - values[place]).abs() < 1e-4 * value.abs().max(1.0),
                "{measure}: {value} {}",
                values[place]
            );
            let id: usize = neighbor["id"].as_str().unwrap()[1..].parse().unwrap();
            assert!((values[id] - value).abs() < 1e-4 * value.abs().max(1.0), "{neighbor}");
            assert_eq!(neighbor["title"], titles[id].as_str());
        }
    }
}

#[test]
fn help_and_failures_teach() {
    let place = Place::new();
    let mut said = String::new();
    let mut note = |what: &str, command: &str, arguments: &[&str]| {
        let output = run(&place, command, arguments);
        said += &format!("# {what}: exit {}\n{}\n", output.status.code().unwrap(), text_of(&output));
    };
    for command in ["fill-mask", "embed", "similar"] {
        note(&format!("help of {command}"), command, &["--help"]);
    }
    let bert = ["--model", "bert"];
    note("no mask", "fill-mask", &[&bert[..], &["a red pot"]].concat());
    let long = format!("{} [MASK]", "red tea ".repeat(40));
    note("a long text", "fill-mask", &[&bert[..], &[&long]].concat());
    // As a sentence encoder: without the head.
    let encoder = place.path("encoder");
    fs::create_dir(&encoder).unwrap();
    for file in ["config.json", "vocab.txt"] {
        fs::copy(place.path("bert").join(file), encoder.join(file)).unwrap();
    }
    let stored = weights::read(&place.path("bert/model.safetensors")).unwrap();
    let stored =
        stored.iter().filter(|(name, _)| !name.starts_with("cls.")).map(|(name, tensor)| (name.clone(), tensor));
    weights::write(&encoder.join("model.safetensors"), stored).unwrap();
    note("no head", "fill-mask", &["--model", "encoder", "a red [MASK]"]);
    note("no model", "fill-mask", &["--model", "no/such/model", "a red [MASK]"]);
    note("another ending", "embed", &[&bert[..], &["titles.jsonl", "--out", "titles.csv"]].concat());
    note("no folder", "embed", &[&bert[..], &["titles.jsonl", "--out", "no/titles.npy"]].concat());
    note("no input", "embed", &[&bert[..], &["none.jsonl", "--out", "titles.npy"]].concat());
    note("a folder", "embed", &[&bert[..], &["bert", "--out", "titles.npy"]].concat());
    fs::write(place.path("wrong.jsonl"), "{\"id\": \"B1\", \"title\": \"Tea\"}\n{\"asin\": \"B2\"}\n").unwrap();
    note("another shape", "embed", &[&bert[..], &["wrong.jsonl", "--out", "titles.npy"]].concat());
    fs::write(place.path("empty.txt"), "\n").unwrap();
    note("no titles", "similar", &[&bert[..], &["--catalog", "empty.txt", "red pot"]].concat());
    note("no token", "similar", &[&bert[..], &["--catalog", "titles.jsonl", " "]].concat());
    fs::write(place.path("few.txt"), "set of red tea\nnew soap\nset of pot and tea\nnew soap\n").unwrap();
    note("embeddings need no head", "similar", &["--model", "encoder", "--catalog", "few.txt", "new soap", "red pot"]);
    insta::assert_snapshot!("apply", said);
    assert!(!place.path("titles.npy").exists());
}
