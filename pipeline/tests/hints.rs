//! Hints and next commands can be typed: they fit the data and the options, and a shell takes their paths.
mod support;

use std::{fs, path::Path, process::Command};

use support::{TOKENIZER, ebert, gzip, said, succeed};

/// A few products, each of which names the next one, or none.
fn write(folder: &Path, associated: bool) {
    fs::create_dir_all(folder).unwrap();
    let line = |i: usize| {
        let other = if associated { format!("\"P{}\"", (i + 1) % 9) } else { String::new() };
        format!("{{\"asin\": \"P{i}\", \"title\": \"Steel kettle number {i}\", \"also_buy\": [{other}]}}\n")
    };
    fs::write(folder.join("meta.json"), (0..9).map(line).collect::<String>()).unwrap();
}

/// What a shell makes of a printed command, run in the workspace.
fn typed(command: &str) -> Command {
    let program = ebert([""]).get_program().to_owned();
    let mut shell = Command::new("bash");
    shell.arg("-c").arg(command.replacen("ebert", program.to_str().unwrap(), 1));
    shell.current_dir(support::workspace()).env("NO_COLOR", "1").env_remove("EBERT_MAKE");
    shell
}

#[test]
fn the_next_command_fits_the_shards() {
    let folder = tempfile::tempdir().unwrap();
    let next = |printed: &str| printed.lines().last().unwrap().trim_start_matches("next ").trim().to_owned();
    let pool = folder.path().join("pool.txt");
    for (associated, phrase, recipe) in
        [(true, "steel kettle", "e-bert"), (false, "steel kettle", "e-bert-ahm"), (true, "tea tin", "bert")]
    {
        let (raw, out) = (folder.path().join(format!("raw {recipe}")), folder.path().join(format!("my {recipe}")));
        write(&raw, associated);
        fs::write(&pool, format!("0.9\t{phrase}\n")).unwrap();
        let shards = || {
            let mut command = ebert(["shards", "--pool"]);
            command.arg(&pool).arg("--corpus").arg(&raw).arg("--out").arg(&out);
            command
        };
        let commands = next(&succeed(shards().args(TOKENIZER)));
        let (inspect, pretrain) = commands.split_once("    ").unwrap();
        let wanted = format!("ebert pretrain --shards '{}' --recipe {recipe}", out.display());
        assert_eq!(pretrain, wanted.clone() + " --init bert-base-uncased");
        assert!(succeed(&mut typed(inspect)).contains("some rows"), "{inspect}");
        // The trainer takes the start model of the shards.
        let init = folder.path().join("model");
        fs::create_dir_all(&init).unwrap();
        fs::copy(support::workspace().join(TOKENIZER[1]), init.join("tokenizer.json")).unwrap();
        assert!(next(&succeed(shards().arg("--init").arg(&init))).ends_with(&wanted), "{wanted}");
    }
    // The trainer knows the sample's shards by their raw files, wherever they are.
    let (raw, out) = (folder.path().join("copy"), folder.path().join("sample"));
    fs::create_dir(&raw).unwrap();
    for file in ebert_commands::SAMPLE_FILES {
        fs::copy(support::workspace().join("data/sample").join(file), raw.join(file)).unwrap();
    }
    let mut command = ebert(["shards", "--nouns", "off", "--corpus"]);
    let printed = succeed(command.arg(&raw).arg("--out").arg(&out).args(TOKENIZER));
    assert!(next(&printed).ends_with(&format!("ebert pretrain --shards {}", out.display())), "{printed}");
}

#[test]
fn paths_with_spaces_are_quoted_in_hints() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("my shop");
    let output = ebert(["pairs", "--out"]).arg(&out).output().unwrap();
    let text = said(&output, &[(folder.path(), "DIR")]);
    assert!(text.contains("hint: run `ebert corpus --out 'DIR/my shop'` to finish it"), "{text}");
}

/// A second set of shards is not built in the folder of the first one.
#[test]
fn the_folder_of_a_step_is_not_an_output_folder() {
    let folder = tempfile::tempdir().unwrap();
    let shards = folder.path().join("out/shards");
    fs::create_dir_all(&shards).unwrap();
    fs::write(shards.join("manifest.json"), "{\"format\": 2, \"self_blake3\": \"\"}").unwrap();
    for command in ["inspect", "verify"] {
        let text = said(&ebert([command]).arg(&shards).output().unwrap(), &[(folder.path(), "DIR")]);
        let wanted = "hint: `DIR/out/shards` is one folder of an output folder: name `DIR/out` instead";
        assert!(text.starts_with("exit 1") && text.contains(wanted), "{text}");
        let mut here = ebert([command, "."]);
        let text = said(&here.current_dir(&shards).output().unwrap(), &[]);
        assert!(text.contains("name `./..` instead"), "{text}");
    }
    fs::write(shards.join("manifest.json"), "{\"manifest_version\": 3}").unwrap();
    let text = said(&ebert(["verify"]).arg(folder.path().join("out")).output().unwrap(), &[]);
    assert!(text.contains("hint: another program wrote it") && !text.contains("delete"), "{text}");
}

/// Steps agree on options. An error names the one that differs, not missing files.
#[test]
fn other_options_than_those_of_earlier_steps_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let (raw, out) = (folder.path().join("raw"), folder.path().join("out"));
    write(&raw, true);
    let pool = folder.path().join("pool.txt");
    fs::write(&pool, "0.9\tsteel kettle\n").unwrap();
    let run = |arguments: &[&str]| {
        let output = ebert(arguments.iter().copied()).arg("--out").arg(&out).args(TOKENIZER).output().unwrap();
        said(&output, &[(folder.path(), "DIR")])
    };
    assert!(run(&["corpus", "--corpus", raw.to_str().unwrap()]).starts_with("exit 0"));
    succeed(ebert(["graph", "--out"]).arg(&out));
    assert!(run(&["pool", "--min-support", "2"]).starts_with("exit 0"));
    insta::assert_snapshot!("pool_language", run(&["encode", "--language", "other"]));
    // An imported pool is the same in any language, but shards are not.
    assert!(run(&["pool", "--pool", pool.to_str().unwrap()]).starts_with("exit 0"));
    assert!(run(&["encode"]).starts_with("exit 0"));
    insta::assert_snapshot!("pairs_language", run(&["pairs", "--language", "other"]));
    assert!(run(&["pairs"]).starts_with("exit 0"));
    let sealed = run(&["seal", "--max-tokens", "100"]);
    assert!(sealed.contains("2 of 2 shards were encoded with other options"), "{sealed}");
}

/// What a hint for a file does leaves one file, which is read.
#[test]
fn files_that_are_partly_unreadable_are_written_anew() {
    let has_jq = Command::new("jq").arg("--version").output().is_ok_and(|output| output.status.success());
    for (line, id, program) in [
        (&b"{\"asin\": \"B1\", \"title\": \"Caf\xe9 box\", \"also_buy\": []}\n"[..], "", "iconv"),
        (b"{\"asin\": null, \"sku\": \"B1\", \"title\": \"Cedar box\", \"also_buy\": []}\n", "sku", "jq"),
    ] {
        if program == "jq" && !has_jq {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let [raw, out] = ["raw", "out"].map(|name| folder.path().join(name));
        fs::create_dir(&raw).unwrap();
        let file = raw.join("meta.json");
        let good = b"{\"asin\": \"B0\", \"sku\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
        fs::write(&file, [&good[..], line].concat()).unwrap();
        let run = || {
            said(&ebert(["corpus", "--corpus"]).arg(&raw).arg("--out").arg(&out).args(TOKENIZER).output().unwrap(), &[])
        };
        let text = run();
        let command = text.rsplit('`').nth(1).unwrap_or_default();
        assert!(text.starts_with("exit 1") && command.starts_with(program), "{text}");
        let command = command.replace("FILE", file.to_str().unwrap()).replace(".ID", &format!(".{id}"));
        succeed(&mut typed(&command));
        let text = run();
        assert!(text.starts_with("exit 0") && text.contains("products 2"), "{text}");
    }
}

#[test]
fn files_that_are_cut_short_are_fetched_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("meta.json.gz");
    fs::write(&path, &gzip(&vec![b'{'; 1 << 16])[..20]).unwrap();
    let text = said(&ebert(["corpus", "--corpus"]).arg(&path).args(TOKENIZER).output().unwrap(), &[]);
    assert!(text.starts_with("exit 1") && text.contains("the gzip stream is cut short"), "{text}");
    assert!(text.contains("hint: fetch them again"), "{text}");
}
