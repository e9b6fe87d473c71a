//! The front door: help without a trainer, the way to the trainer, what applies to the sample alone, and hints for
//! people who ran make.
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use support::{TOKENIZER, ebert, said, succeed, workspace};

const PRODUCT: &str = "{\"asin\": \"B01\", \"title\": \"Stainless steel kettle\", \"also_buy\": []}\n";

/// A folder with the program alone, as a user may have installed it.
fn installed(trainer: Option<&str>) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("ebert");
    fs::hard_link(env!("CARGO_BIN_EXE_ebert"), &program)
        .or_else(|_| fs::copy(env!("CARGO_BIN_EXE_ebert"), &program).map(drop))
        .unwrap();
    if let Some(script) = trainer {
        let path = folder.path().join("ebert-trainer");
        fs::write(&path, script).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    (folder, program)
}

fn command(program: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(arguments).env("PATH", "/usr/bin:/bin").env_remove("EBERT_MAKE").env("NO_COLOR", "1");
    command
}

#[test]
fn the_overview_groups_commands() {
    insta::assert_snapshot!("help", succeed(&mut ebert(["--help"])));
    insta::assert_snapshot!("help_encode", succeed(&mut ebert(["encode", "-h"])));
}

#[test]
fn help_completions_and_pages_need_no_trainer() {
    let (folder, program) = installed(None);
    let pretrain = succeed(&mut command(&program, &["pretrain", "--help"]));
    assert!(pretrain.contains("Usage: ebert pretrain") && pretrain.contains("-o, --out <RUN>"), "{pretrain}");
    assert!(succeed(&mut command(&program, &["help", "grid"])).contains("Table 2"));
    for shell in ["bash", "zsh", "fish"] {
        let script = succeed(&mut command(&program, &["completions", shell]));
        assert!(script.contains("pretrain") && script.contains("min-score-single"), "{shell}");
    }
    let pages = folder.path().join("man");
    succeed(command(&program, &["man"]).arg(&pages));
    for page in ["ebert.1", "ebert-shards.1", "ebert-pretrain.1", "ebert-report-overlap.1"] {
        assert!(fs::read_to_string(pages.join(page)).is_ok_and(|text| text.contains(".TH")), "{page}");
    }
    assert!(succeed(&mut command(&program, &["man"])).contains(".TH ebert 1"));
}

#[test]
fn a_missing_trainer_is_named_with_what_to_do() {
    let (folder, program) = installed(None);
    let output = command(&program, &["pretrain", "--recipe", "sample"]).output().unwrap();
    insta::assert_snapshot!("no_trainer", said(&output, &[(folder.path(), "DIR")]));
    // A wrong option is found without it.
    assert_eq!(command(&program, &["pretrain", "--resum"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn the_program_becomes_the_trainer() {
    let script =
        "#!/bin/sh\necho \"$@ version $EBERT_VERSION pid $$\"\n[ \"$1\" = doctor ] && kill -TERM $$\nexit 75\n";
    let (_folder, program) = installed(Some(script));
    let child = command(&program, &["pretrain", "--set", "a b=1"]).stdout(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let wanted = format!("pretrain --set a b=1 version {} pid {pid}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!((text, output.status.code()), (wanted, Some(75)));
    // A signal ends the process itself.
    let status = command(&program, &["doctor"]).stdout(Stdio::null()).status().unwrap();
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGTERM));
}

#[test]
fn only_the_sample_has_a_default_tokenizer() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("out"));
    fs::create_dir(&raw).unwrap();
    fs::write(raw.join("meta.json"), PRODUCT).unwrap();
    for step in ["shards", "corpus"] {
        let output = ebert([step, "--corpus"]).arg(&raw).arg("-o").arg(&out).output().unwrap();
        let text = said(&output, &[(folder.path(), "DIR")]);
        if step == "shards" {
            insta::assert_snapshot!("no_tokenizer", text);
        }
        assert!(text.starts_with("exit 2") && !out.exists(), "{text}");
    }
    // A later step of such a corpus must name it, too.
    succeed(
        ebert(["corpus", "--corpus"])
            .arg(&raw)
            .args(["--tokenizer"])
            .arg(other_tokenizer(folder.path()))
            .arg("-o")
            .arg(&out),
    );
    let output = ebert(["pool", "-o"]).arg(&out).output().unwrap();
    let text = said(&output, &[(folder.path(), "DIR")]);
    assert!(text.starts_with("exit 1") && text.contains("hint: name its tokenizer with `--tokenizer FILE`"), "{text}");
}

/// A wheel has the sample in `share/ebert/sample`, and its programs in `bin`.
#[test]
fn the_installed_sample_is_the_default_elsewhere() {
    let environment = tempfile::tempdir().unwrap();
    let (bin, share) = (environment.path().join("bin"), environment.path().join("share/ebert/sample"));
    for folder in [&bin, &share] {
        fs::create_dir_all(folder).unwrap();
    }
    let (program, elsewhere) = (bin.join("ebert"), tempfile::tempdir().unwrap());
    fs::copy(env!("CARGO_BIN_EXE_ebert"), &program).unwrap();
    let corpus = |out| {
        let mut command = command(&program, &["corpus", "--out", out]);
        command.current_dir(&elsewhere);
        command
    };
    fs::copy(workspace().join("data/sample/tokenizer.json"), share.join("tokenizer.json")).unwrap();
    fs::write(share.join("meta.json"), PRODUCT).unwrap();
    succeed(&mut corpus("first"));
    assert!(fs::read_to_string(elsewhere.path().join("first/corpus/manifest.json")).unwrap().contains("meta.json"));
    // The one in the current folder goes before it.
    fs::create_dir_all(elsewhere.path().join("data/sample")).unwrap();
    let text = said(&corpus("second").output().unwrap(), &[]);
    assert!(text.contains("data/sample") && !text.contains("share/ebert"), "{text}");
}

/// The sample's tokenizer as a list of entries: another file.
fn other_tokenizer(folder: &Path) -> PathBuf {
    let text = fs::read_to_string(workspace().join("data/sample/tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let mut entries: Vec<_> = json["model"]["vocab"].as_object().unwrap().iter().collect();
    entries.sort_by_key(|(_, id)| id.as_u64());
    let path = folder.join("vocab.txt");
    fs::write(&path, entries.iter().map(|(entry, _)| format!("{entry}\n")).collect::<String>() + "zzzz\n").unwrap();
    path
}

#[test]
fn a_corpus_is_replaced_by_another_one_only_by_force() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, id) in [("one", "B01"), ("two", "B02")] {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("meta.json"), PRODUCT.replace("B01", id)).unwrap();
    }
    let run = |corpus: &str, more: &[&str]| {
        let mut command = ebert(["corpus", "--corpus"]);
        command.arg(path(corpus)).args(TOKENIZER).arg("-o").arg(path("out")).args(more);
        said(&command.output().unwrap(), &[(folder.path(), "DIR")])
    };
    assert!(run("one", &[]).starts_with("exit 0"));
    insta::assert_snapshot!("another_corpus", run("two", &[]));
    // The sample does not replace it either.
    let output = ebert(["shards", "-o"]).arg(path("out")).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    // It was not touched.
    assert!(run("one", &[]).contains("up to date"));
    // The same files elsewhere are the same corpus. From then on, other files in that folder are, too.
    fs::rename(path("one"), path("moved")).unwrap();
    assert!(run("moved", &[]).contains("up to date"));
    fs::write(path("moved/meta.json"), PRODUCT.replace("B01", "B03")).unwrap();
    assert!(run("moved", &[]).contains("has changed"));
    let forced = run("two", &["--force"]);
    assert!(forced.starts_with("exit 0") && forced.contains("again: `meta.json` has changed"), "{forced}");
}

/// Someone who first names a wrong folder does not have to name another output folder, too.
#[test]
fn a_first_run_that_kept_no_record_does_not_decide_the_corpus() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let without_id = PRODUCT.replace("\"asin\": \"B01\", ", "");
    for (name, content) in
        [("wrong", &without_id), ("right", &PRODUCT.to_owned()), ("other", &PRODUCT.replace("B01", "B02"))]
    {
        fs::create_dir(path(name)).unwrap();
        fs::write(path(name).join("meta.json"), content).unwrap();
    }
    fs::write(path("right/bad.json"), PRODUCT.to_owned() + "{\n").unwrap();
    let run = |corpus: &str, more: &[&str]| {
        let mut command = ebert(["corpus", "--corpus"]);
        command.arg(path(corpus)).args(TOKENIZER).arg("-o").arg(path("out")).args(more);
        said(&command.output().unwrap(), &[(folder.path(), "DIR")])
    };
    assert!(run("wrong", &[]).starts_with("exit 1"));
    // This one fails, too, but its records are kept: `--max-unreadable` does not read them twice.
    assert!(run("right", &[]).contains("1 of 3 records cannot be read"), "{}", run("right", &[]));
    assert!(run("other", &[]).contains("has a corpus of other raw files: `DIR/right`"));
    assert!(run("right", &["--max-unreadable", "0.5"]).starts_with("exit 0"));
}

#[test]
fn hints_name_targets_for_people_who_ran_make() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let run = |make: &str| {
        let output = ebert(["shards", "--pool", "/none", "-o"]).arg(&out).env("EBERT_MAKE", make).output().unwrap();
        said(&output, &[(folder.path(), "DIR")])
    };
    assert!(run("").contains("hint: `--pool` names a file"), "{}", run(""));
    assert!(run("1").contains("hint: `POOL=` names a file"), "{}", run("1"));
    let output = ebert(["inspect"]).arg(&out).env("EBERT_MAKE", "1").output().unwrap();
    let text = said(&output, &[(folder.path(), "DIR")]);
    assert!(text.contains("hint: run `make shards OUT=DIR/out` to finish it"), "{text}");
}

#[test]
fn quiet_prints_nothing_and_verbose_prints_complete_lists() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::create_dir(&raw).unwrap();
    fs::write(raw.join("meta.json"), PRODUCT).unwrap();
    (0..6).for_each(|i| fs::write(raw.join(format!("notes-{i}.txt")), "Buy tea\n").unwrap());
    let corpus = |more: &[&str]| {
        let mut command = ebert(["corpus", "--corpus"]);
        succeed(command.arg(&raw).args(TOKENIZER).arg("-o").arg(folder.path().join("out")).args(more))
    };
    assert_eq!(corpus(&["-q"]), "");
    let [normal, verbose] = [corpus(&[]), corpus(&["-v"])];
    assert!(normal.contains("`notes-2.txt` and 3 more: ") && !normal.contains("notes-5"), "{normal}");
    assert!(verbose.contains("`notes-4.txt`, `notes-5.txt`: "), "{verbose}");
    assert_eq!(ebert(["corpus", "-q", "-v"]).output().unwrap().status.code(), Some(2));
}

/// Lines for a program have names and numbers; a person's words are not among them.
#[test]
fn lines_for_a_program_have_fields() {
    let folder = tempfile::tempdir().unwrap();
    let printed = succeed(ebert(["shards", "--nouns", "off", "--log", "json", "-o"]).arg(folder.path()));
    let mut lines: Vec<serde_json::Value> = Vec::new();
    for line in printed.lines() {
        lines.push(serde_json::from_str(line).unwrap());
    }
    let of = |name: &str| lines.iter().find(|line| line["event"] == name || line["step"] == name).unwrap();
    assert_eq!((of("corpus")["products"].as_u64(), of("corpus")["reviews"].as_u64()), (Some(2000), Some(7673)));
    assert!(of("shards")["tokens"].as_u64() > Some(900_000) && of("shards")["files"] == 3);
    assert_eq!(of("skipped_records")["duplicate"], 96);
    assert!(of("best_phrases")["phrases"].as_array().is_some_and(|phrases| phrases.len() == 20));
    assert_eq!(of("next")["commands"].as_array().map(Vec::len), Some(2));
    for line in lines.iter().filter(|line| line["event"] != "next") {
        for (name, value) in line.as_object().unwrap() {
            // Names are short; a reason may be a sentence, and a place is a path.
            let is_name = value.as_str().is_none_or(|text| text.split_whitespace().count() <= 3);
            assert!(is_name || ["reason", "place"].contains(&name.as_str()), "{name}: {value}");
        }
    }
}
