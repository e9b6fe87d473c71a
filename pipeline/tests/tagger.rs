//! The tagger and chunker as commands: training gives the same bytes every time, scores are run, not quoted.
mod support;

use std::{fs, io::Read, path::Path};

use ebert_dumps::open;
use ebert_english::{
    Model,
    evaluate::evaluate,
    treebank::{self, Sentence},
};
use support::{ebert, real_data, said, succeed, workspace};

/// A treebank of a few sentences, with chunks.
fn small() -> String {
    let sentences = [
        "The DT B-NP\nkettle NN I-NP\nboils VBZ O\nwater NN B-NP\n. . O\n",
        "A DT B-NP\ngreen JJ I-NP\ntea NN I-NP\nis VBZ O\ngood JJ O\n. . O\n",
        "It PRP B-NP\nboils VBZ O\n( ( O\ngood JJ B-NP\ntea NN I-NP\n) ) O\n",
    ];
    sentences.iter().cycle().take(40).copied().collect::<Vec<_>>().join("\n")
}

#[test]
fn training_gives_the_same_bytes_and_learns() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("small.txt"), small()).unwrap();
    fs::write(path("web.txt"), "my\tPRP$\nkettle\tNN\n\n".repeat(30)).unwrap();
    for model in ["a.bin", "b.bin"] {
        let mut command = ebert(["train-tagger"]);
        succeed(command.args([path("small.txt"), path("web.txt")]).arg("--out").arg(path(model)));
    }
    assert_eq!(fs::read(path("a.bin")).unwrap(), fs::read(path("b.bin")).unwrap());
    let mut command = ebert(["evaluate-tagger"]);
    let report = succeed(command.arg(path("small.txt")).arg("--model").arg(path("a.bin")));
    assert!(report.contains("100.00% right") && report.contains("F1 100.00"), "{report}");
}

#[test]
fn what_a_model_cannot_hold_or_learn_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let train = |bank: &str| {
        let mut command = ebert(["train-tagger"]);
        command.arg(path(bank)).arg("--out").arg(path("model.bin"));
        said(&command.output().unwrap(), &[])
    };
    let lines = |tags: usize| (0..tags).map(|tag| format!("kettle\tT{tag}\n\n")).collect::<String>();
    fs::write(path("many.txt"), lines(64)).unwrap();
    fs::write(path("most.txt"), lines(63)).unwrap();
    let text = train("many.txt");
    assert!(text.starts_with("exit 1") && text.contains("have 64 different tags, more than 63\nhint: "), "{text}");
    let text = train("most.txt");
    assert!(text.starts_with("exit 0") && text.contains("this model finds no noun phrases"), "{text}");
}

#[test]
fn what_is_no_treebank_or_model_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("prose.txt"), "Thisisnotatreebank\n").unwrap();
    fs::write(path("half.txt"), "a DT B-NP\nkettle NN\n").unwrap();
    fs::write(path("empty.txt"), "\n\n").unwrap();
    fs::write(path("small.txt"), small()).unwrap();
    for (name, wanted) in [
        ("prose.txt", "line 1: found `Thisisnotatreebank`"),
        ("half.txt", "line 2"),
        ("empty.txt", "has no sentences"),
        ("gone.txt", "cannot read the treebank"),
    ] {
        let text = said(&ebert(["evaluate-tagger"]).arg(path(name)).output().unwrap(), &[(folder.path(), "DIR")]);
        assert!(text.starts_with("exit 1") && text.contains(wanted) && text.contains(name), "{text}");
    }
    let mut command = ebert(["evaluate-tagger"]);
    let text = said(&command.arg(path("small.txt")).arg("--model").arg(path("prose.txt")).output().unwrap(), &[]);
    assert!(
        text.starts_with("exit 1") && text.contains("not a model of this version") && text.contains("hint:"),
        "{text}"
    );
}

#[test]
fn the_projects_model_reaches_its_bar() {
    let Some(data) = real_data() else { return };
    let scores = evaluate(Model::embedded(), &conll2000_test(&data));
    assert!(scores.f1() > 93.0, "F1 {:.2}", scores.f1());
    assert!(scores.accuracy() > 96.0, "tags {:.2}%", scores.accuracy());
    assert!(fs::metadata(workspace().join("pipeline/english/models/english.bin")).unwrap().len() < 3 << 20);
}

#[test]
fn training_gives_the_projects_model() {
    let Some(data) = real_data() else { return };
    let folder = tempfile::tempdir().unwrap();
    let names = ["conll2000-train", "ewt-answers", "ewt-email", "ewt-newsgroup", "ewt-weblog", "ewt-reviews-train"];
    let mut command = ebert(["train-tagger"]);
    command.args(names.map(|name| data.join(format!("chunking/{name}.txt.gz"))));
    succeed(command.arg("--out").arg(folder.path().join("english.bin")));
    let ours = fs::read(workspace().join("pipeline/english/models/english.bin")).unwrap();
    assert!(
        fs::read(folder.path().join("english.bin")).unwrap() == ours,
        "the notice has the command that made the model"
    );
}

fn conll2000_test(data: &Path) -> Vec<Sentence> {
    let mut text = String::new();
    let file = data.join("chunking/conll2000-test.txt.gz");
    open(&file, Default::default()).unwrap().bytes.read_to_string(&mut text).unwrap();
    treebank::parse(&text).unwrap()
}
