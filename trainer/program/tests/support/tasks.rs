//! A folder with a small fresh BERT and a small file for each task, and the program over it.
use std::{
    fmt::Write as _,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ebert_bert::{BertConfig, BertForMaskedLm, Decision, weights};
use schemas::Draws;
use tch::Device;

const ASPECTS: [&str; 4] = ["screen", "battery life", "cord", "fan"];
const OPINIONS: [(&str, &str); 4] =
    [("great", "positive"), ("bad", "negative"), ("there", "neutral"), ("loud", "negative")];
const SIZES: [&str; 4] = ["big", "small", "tiny", "huge"];
const COLOURS: [&str; 4] = ["red", "blue", "green", "black"];
const KINDS: [(&str, &[&str]); 4] =
    [("tea", &["Food", "Drinks"]), ("pot", &["Kitchen"]), ("soap", &["Beauty"]), ("leash", &["Pets"])];

/// A folder with a small fresh BERT and a file for each task.
pub(crate) struct Place {
    pub folder: tempfile::TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        make_model(&place.path("bert"), 1);
        fs::write(place.path("rqa.json"), questions(80)).unwrap();
        fs::write(place.path("aspects.xml"), sentences(0..80)).unwrap();
        fs::write(place.path("test.xml"), sentences(80..100)).unwrap();
        fs::write(place.path("titles.jsonl"), titles(120)).unwrap();
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ebert-trainer"));
        command.args(arguments).current_dir(self.folder.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    pub(crate) fn finetune(&self, task: &str, data: &str, run: &str, more: &[&str]) -> Output {
        let arguments = ["finetune", "--model", "bert", "--task", task, "--data", data, "--out", run];
        // Enough for a model this small with most seeds.
        let epochs = match task {
            "rqa" => "20",
            "ae" => "16",
            "asc" => "40",
            _ => "30",
        };
        let options =
            ["--learning-rate", "5e-3", "--epochs", epochs, "--sequences", "8", "--threads", "1", "--device", "cpu"];
        self.run(&[&arguments, &options[..], more].concat())
    }

    /// `metrics.json` without what a clock decides.
    pub(crate) fn metrics(&self, run: &str) -> serde_json::Value {
        let mut metrics: serde_json::Value =
            serde_json::from_slice(&fs::read(self.path(run).join("metrics.json")).unwrap()).unwrap();
        metrics.as_object_mut().unwrap().remove("seconds");
        metrics
    }
}

/// A BERT of this seed, with a vocabulary for the files.
pub(crate) fn make_model(folder: &Path, seed: u64) {
    // With the usual 0.02 most seeds do not learn which of two answers a question asks for.
    let config = serde_json::json!({"vocab_size": vocabulary().len(), "hidden_size": 32, "num_hidden_layers": 2,
        "initializer_range": 0.2, "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 48});
    make_model_of(folder, &serde_json::from_value(config).unwrap(), seed);
}

/// Another encoder, with the same vocabulary.
pub(crate) fn make_model_of(folder: &Path, config: &BertConfig, seed: u64) {
    let model = BertForMaskedLm::new(config, seed, Device::Cpu, Decision::on_cpu());
    fs::create_dir_all(folder).unwrap();
    weights::write(&folder.join("model.safetensors"), model.parameters().iter().map(|(n, t)| (n.to_owned(), t)))
        .unwrap();
    fs::write(folder.join("config.json"), config.to_json(0).unwrap()).unwrap();
    fs::write(folder.join("vocab.txt"), vocabulary().join("\n") + "\n").unwrap();
}

fn vocabulary() -> Vec<&'static str> {
    let mut words: Vec<&str> = vec!["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
    words.extend("what size colour is the it ? . so new old number set of and 1 2 3 battery life".split(' '));
    words
        .extend(ASPECTS.iter().flat_map(|aspect| aspect.split(' ')).filter(|word| !["battery", "life"].contains(word)));
    words.extend(OPINIONS.iter().map(|(word, _)| *word).chain(SIZES).chain(COLOURS).chain(KINDS.map(|(word, _)| word)));
    words
}

fn pick<T: Copy>(purpose: &str, number: usize, from: &[T]) -> T {
    from[Draws::new(7, purpose, &number.to_le_bytes()).below(from.len() as u64) as usize]
}

/// Reviews with two questions each; the longer ones need two windows of 48 tokens.
pub(crate) fn questions(reviews: usize) -> String {
    let mut data = Vec::new();
    for number in 0..reviews {
        let (size, colour) = (pick("size", number, &SIZES), pick("colour", number, &COLOURS));
        let filler = "the new cord is there . ".repeat(number % 12);
        let context = format!("{filler}the size is {size} . the colour is {colour} . {number}");
        let question = |what: &str, answer: &str| {
            let start = context.rfind(&format!("is {answer} .")).unwrap() + 3;
            serde_json::json!({"id": format!("{number}-{what}"), "question": format!("what {what} is it ?"),
                "answers": [{"text": answer, "answer_start": start}]})
        };
        let qas = [question("size", size), question("colour", colour)];
        data.push(
            serde_json::json!({"title": format!("review {number}"), "paragraphs": [{"context": context, "qas": qas}]}),
        );
    }
    serde_json::json!({"version": "1.1", "data": data}).to_string()
}

/// Sentences with none to two aspects.
pub(crate) fn sentences(numbers: Range<usize>) -> String {
    let mut xml = String::from("<?xml version=\"1.0\"?>\n<sentences>\n");
    for number in numbers {
        let mut text = String::new();
        let mut terms = String::new();
        for part in 0..number % 3 {
            let (aspect, (opinion, polarity)) =
                (pick("aspect", 3 * number + part, &ASPECTS), pick("opinion", 3 * number + part, &OPINIONS));
            let from = text.len() + 4;
            let to = from + aspect.len();
            let _ = write!(text, "the {aspect} is {opinion} . ");
            let polarity = if number == 40 { "conflict" } else { polarity };
            let _ =
                write!(terms, "<aspectTerm term=\"{aspect}\" polarity=\"{polarity}\" from=\"{from}\" to=\"{to}\"/>");
        }
        let _ = writeln!(
            xml,
            "<sentence id=\"{number}\"><text>{text}it is number {number}</text><aspectTerms>{terms}</aspectTerms></sentence>"
        );
    }
    xml + "</sentences>\n"
}

/// Titles of two things each.
pub(crate) fn titles(count: usize) -> String {
    let mut lines = String::new();
    for number in 0..count {
        let ((first, labels), (second, more)) = (pick("kind", number, &KINDS), pick("other", number, &KINDS));
        let mut all: Vec<&str> = labels.iter().chain(more).copied().collect();
        all.sort_unstable();
        all.dedup();
        if number == 3 {
            all.push("Rare");
        }
        let title = format!("set of {first} and {second} number {number}");
        let _ = writeln!(lines, "{}", serde_json::json!({"id": format!("B{number}"), "title": title, "labels": all}));
    }
    lines
}

/// Two models, two tasks and two seeds.
pub(crate) fn grid(results: &str) -> String {
    format!(
        "summary = \"a test\"\nresults = \"{results}\"\nseeds = [0, 1]\n\
         [[model]]\nname = \"BERT-Raw\"\nfolder = \"bert\"\n\
         [[model]]\nname = \"E-BERT\"\nfolder = \"other\"\n\
         [task.ae]\ndata = [\"aspects.xml\"]\ntest = \"test.xml\"\nlearning_rate = 5e-3\nepochs = 2\nlimit = 40\n\
         [task.pc]\ndata = [\"titles.jsonl\"]\nlearning_rate = 5e-3\nepochs = 2\nmin_titles = 2\n\
         [figures]\ntitles = [[\"set of tea and pot\", \"new soap set\"]]\n"
    )
}
