//! The program over a small sealed folder of shards.
#![allow(dead_code, unused_imports, reason = "not every test uses every helper")]
#[path = "../../../batches/tests/support/shards.rs"]
mod shards;
pub(crate) mod tasks;
#[path = "../../../../pipeline/tests/support/trained.rs"]
pub(crate) mod trained;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output},
    thread,
    time::{Duration, Instant},
};

use ebert_bert::{BertConfig, BertForMaskedLm, Decision, weights};
use serde_json::json;
pub(crate) use shards::{
    Form, VOCABULARY, document_id, ids, seal_shards, seal_shards_as, seal_shards_of, text_id, tokens,
};
use tch::{Device, Tensor};

/// Every part of a recipe, in seconds: dropout, both modes, both stages, held-out documents.
pub(crate) const RECIPE: &str = r#"
summary = "a test"
scheme = "adaptive"
dropout = 0.1
[model]
hidden_size = 16
layers = 2
heads = 2
intermediate_size = 32
positions = 32
[data]
held_out = 0.1
[switch]
warmup_epochs = 0.5
[neighbor]
pairs = 4
reduction = "mean"
[optimizer]
learning_rate = 1e-2
sequences = 8
[measure]
every = 50
[checkpoint]
every = 60
keep = 2
[[stage]]
corpora = ["products", "reviews"]
steps = 100
[[stage]]
corpora = ["products"]
steps = 60
neighbor = true
"#;

/// A run of a hundred steps without dropout.
pub(crate) const RUN: [&str; 8] =
    ["--recipe", "tiny.toml", "--set", "dropout=0.0", "--set", "stage.0.steps=60", "--set", "stage.1.steps=40"];

/// Neighbor Product Reconstruction with everything that the paper's does not have.
pub(crate) const WHOLE_NEIGHBOR: [&str; 8] = [
    "--set",
    "neighbor.negatives=in_batch",
    "--set",
    "neighbor.group=2",
    "--set",
    "neighbor.projection=true",
    "--set",
    "neighbor.states=normalized",
];

/// A folder with shards and a recipe.
pub(crate) struct Place {
    pub folder: tempfile::TempDir,
}

/// The folder of the workspace.
pub(crate) fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::with(seal_shards)
    }

    /// With the shards that `seal` writes into a folder.
    pub(crate) fn with(seal: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        seal(&folder.path().join("shards"));
        fs::write(folder.path().join("tiny.toml"), RECIPE).unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// `ebert pretrain` over the shards, with these arguments. One thread: several run at once.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_on("cpu", arguments)
    }

    /// The same on a device.
    pub(crate) fn command_on(&self, device: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
        command.args(["pretrain", "--threads", "1", "--device", device, "--shards", "."]).args(arguments);
        command.current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// How many lines a run has written. It may be in the middle of one, which does not count.
    pub(crate) fn lines(&self, run: &str) -> usize {
        let bytes = fs::read(self.path(run).join("metrics.jsonl")).unwrap_or_default();
        bytes.iter().filter(|&&byte| byte == b'\n').count()
    }

    /// Waits until a run has written this many lines; `child` is one of its processes.
    pub(crate) fn wait_for(&self, run: &str, lines: usize, child: &mut Child) {
        let since = Instant::now();
        while self.lines(run) < lines {
            assert!(child.try_wait().unwrap().is_none(), "{run}: it ended before line {lines}");
            assert!(since.elapsed() < Duration::from_secs(120), "{run}: line {lines} does not come");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// The lines of a run's metrics, once it has ended, without what a clock decides.
    pub(crate) fn metrics(&self, run: &str) -> Vec<String> {
        let text = fs::read_to_string(self.path(run).join("metrics.jsonl")).unwrap_or_default();
        text.lines()
            .map(|line| {
                let mut value: serde_json::Value = serde_json::from_str(line).unwrap();
                for clock in ["seconds", "waited"] {
                    value.as_object_mut().unwrap().remove(clock);
                }
                value.to_string()
            })
            .collect()
    }

    pub(crate) fn weights(&self, run: &str) -> Vec<u8> {
        fs::read(self.path(run).join("model/model.safetensors")).unwrap()
    }
}

/// Writes the folder `start`: a small BERT with a vocabulary of `more` tokens beyond those of the
/// shards, whose weights `rename` names, or leaves out.
pub(crate) fn start(place: &Place, more: usize, rename: impl Fn(&str) -> Option<String>) {
    let folder = place.path("start");
    fs::create_dir_all(&folder).unwrap();
    let config = json!({"model_type": "bert", "vocab_size": VOCABULARY + more, "hidden_size": 16,
        "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 32});
    fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let vocabulary: String = tokens().iter().map(|token| format!("{token}\n")).collect();
    fs::write(folder.join("vocab.txt"), vocabulary).unwrap();
    let config: BertConfig = serde_json::from_value(config).unwrap();
    let model = BertForMaskedLm::new(&config, 3, Device::Cpu, Decision::on_cpu());
    let named = model.parameters().iter().filter_map(|(name, tensor)| Some((rename(name)?, tensor)));
    weights::write(&folder.join(weights::WEIGHTS), named).unwrap();
}

/// Leaves a model so many positions.
pub(crate) fn keep_positions(folder: &Path, most: i64) {
    let path = folder.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    config["max_position_embeddings"] = most.into();
    fs::write(path, config.to_string()).unwrap();
    let path = folder.join(weights::WEIGHTS);
    let cut = |(name, tensor): (String, Tensor)| {
        let positions = name == "bert.embeddings.position_embeddings.weight";
        if positions { (name, tensor.narrow(0, 0, most)) } else { (name, tensor) }
    };
    let stored: Vec<(String, Tensor)> = weights::read(&path).unwrap().into_iter().map(cut).collect();
    weights::write(&path, stored.iter().map(|(name, tensor)| (name.clone(), tensor))).unwrap();
}

/// The lines that a command printed for a program.
pub(crate) fn events(output: &Output) -> Vec<serde_json::Value> {
    assert!(output.status.success(), "{}", text_of(output));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

pub(crate) fn text_of(output: &Output) -> String {
    String::from_utf8_lossy(&[output.stdout.as_slice(), &output.stderr].concat()).into_owned()
}

/// The numbers of a run's metrics: for each line its step, and its losses and norms.
pub(crate) fn numbers(place: &Place, run: &str) -> Vec<(u64, String, Vec<f64>)> {
    let lines = place.metrics(run);
    let read = |line: &String| {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let keys = [
            "loss",
            "boundary_loss",
            "neighbor_loss",
            "gradient_norm",
            "masked_gradient_norm",
            "neighbor_gradient_norm",
            "alpha",
        ];
        let mut numbers: Vec<f64> = keys.iter().filter_map(|key| value[key].as_f64()).collect();
        for measured in value["held_out"].as_array().into_iter().flatten() {
            numbers.extend(["loss", "accuracy", "whole"].map(|key| measured[key].as_f64().unwrap()));
        }
        (value["step"].as_u64().unwrap(), value["mode"].to_string() + &value["tokens"].to_string(), numbers)
    };
    lines.iter().map(read).collect()
}

/// Compares two runs; differences of rounding grow from step to step.
pub(crate) fn assert_alike(place: &Place, found: &str, wanted: &str, share: f64) {
    let [found, wanted] = [found, wanted].map(|run| numbers(place, run));
    assert_eq!(found.len(), wanted.len());
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((found.0, &found.1, found.2.len()), (wanted.0, &wanted.1, wanted.2.len()));
        for (a, b) in found.2.iter().zip(&wanted.2) {
            assert!((a - b).abs() <= share * b.abs().max(0.1), "step {}: {found:?} {wanted:?}", found.0);
        }
    }
}

/// Compares the masked-LM losses of a run in bfloat16 with those of the same run in float32: within
/// 2%.
pub(crate) fn assert_bfloat16_is_near(place: &Place, found: &str, wanted: &str) {
    let [found, wanted] = [found, wanted].map(|run| numbers(place, run));
    assert_eq!(found.len(), wanted.len());
    let mut worst = 0.0f64;
    for (found, wanted) in found.iter().zip(&wanted) {
        // The first number of a step is its masked-LM loss; of a measurement, the held-out loss of
        // words.
        assert_eq!((found.0, &found.1), (wanted.0, &wanted.1));
        worst = worst.max((found.2[0] / wanted.2[0] - 1.0).abs());
    }
    println!("largest difference of a loss: {:.2}%", 100.0 * worst);
    assert!(worst < 0.02, "{worst}");
}
