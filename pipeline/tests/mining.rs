//! Mining phrases, as whole commands: the same for any number of threads, near the reference, and clear where it
//! cannot be done.
mod support;

use std::{
    collections::HashMap,
    fs,
    io::Read,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;
use insta::assert_snapshot;
use support::{ebert, real_data, said, succeed, workspace};

/// The reviews of the sample, one per line, and some good phrases of it.
fn sample(folder: &Path) -> (PathBuf, PathBuf) {
    let bytes = fs::read(workspace().join("data/sample/Sample_5.json.gz")).unwrap();
    let mut lines = String::new();
    MultiGzDecoder::new(&bytes[..]).read_to_string(&mut lines).unwrap();
    let text: String = lines
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["reviewText"].as_str().unwrap().replace('\n', " ")
                + "\n"
        })
        .collect();
    let (path, list) = (folder.join("reviews.txt"), folder.join("good.txt"));
    fs::write(&path, text).unwrap();
    fs::write(&list, "Cast iron\nphone case\nlitter box\ncutting board\nstainless steel\nnobody says this\nbattery\n")
        .unwrap();
    (path, list)
}

fn mine(text: &Path, more: &[&str]) -> String {
    let mut command = ebert(["mine"]);
    succeed(command.arg(text).args(more))
}

/// Scores by phrase, in the order of the lines.
fn entries(lines: &str) -> Vec<(f64, &str)> {
    lines.lines().map(|line| line.split_once('\t').unwrap()).map(|(s, p)| (s.parse().unwrap(), p)).collect()
}

#[test]
fn any_number_of_threads_mines_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let (text, list) = sample(folder.path());
    let list = list.to_str().unwrap();
    let one = mine(&text, &["--quality-list", list, "--threads", "1"]);
    for threads in ["2", "5"] {
        assert_eq!(mine(&text, &["--quality-list", list, "--threads", threads]), one, "{threads} threads");
    }
    // Most of the text is in temporary files, which are in the folder of the output.
    let out = folder.path().join("in files");
    for threads in ["1", "3"] {
        mine(
            &text,
            &["--quality-list", list, "--mining-mib", "1", "--threads", threads, "--out", out.to_str().unwrap()],
        );
        assert_eq!(fs::read_to_string(&out).unwrap(), one, "{threads} threads");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
    let found = entries(&one);
    assert!(found.len() > 500, "{}", found.len());
    assert!(found.is_sorted_by(|a, b| b.0 < a.0 || (a.0 == b.0 && a.1 < b.1)));
    let score = |phrase| found.iter().find(|(_, p)| *p == phrase).map_or(0.0, |(score, _)| *score);
    assert!(score("cast iron") > 0.7 && score("cast iron") > score("of the"), "{}", score("cast iron"));
    // Rare ones are not found, and a file gets what standard output would.
    assert_eq!(score("nobody says this"), 0.0);
    let out = folder.path().join("phrases.txt");
    mine(&text, &["--quality-list", list, "--out", out.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(out).unwrap(), one);
}

#[test]
fn what_cannot_be_mined_is_said_with_a_hint() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let ten = |line: &str| format!("{line}\n").repeat(10);
    let long = "a blue pen ".repeat(1_600_000);
    for (name, text) in [
        ("empty", String::new()),
        ("marks", ten("... !!! - -")),
        ("small", "a blue pen\n".to_owned()),
        ("other", ten("новая красивая машина")),
        ("named", ten("blue pen")),
        (
            "german",
            ten("Der Kessel hat einen breiten Griff und gießt, ohne zu tropfen. Wir kochen damit jeden Morgen Tee."),
        ),
        ("long", long),
    ] {
        fs::write(path(name), text).unwrap();
    }
    fs::write(path("list"), "blue pen\n").unwrap();
    fs::write(path("latin"), b"a caf\xe9 racer\n".repeat(10)).unwrap();
    let mut report = String::new();
    for (text, list) in [
        ("empty", "list"),
        ("marks", "list"),
        ("small", "list"),
        ("other", "list"),
        ("long", "list"),
        ("latin", "list"),
        ("named", "list"),
        ("absent", "list"),
        ("other", "absent"),
        ("german", ""),
    ] {
        let mut command = ebert(["mine"]);
        command.arg(path(text));
        if !list.is_empty() {
            command.arg("--quality-list").arg(path(list));
        }
        let said = said(&command.output().unwrap(), &[(folder.path(), "DIR")]);
        report += &format!("mine {text} --quality-list {list}\n{said}\n");
    }
    assert_snapshot!("cannot_be_mined", report);
}

#[test]
fn phrases_go_where_they_are_sent() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "a blue pen and a red pen\n".repeat(10)).unwrap();
    fs::write(path("list"), "blue pen\n").unwrap();
    let mine = |output: &str| {
        let mut command = ebert(["mine", "text", "--quality-list", "list", "--out", output]);
        command.current_dir(folder.path()).output().unwrap()
    };
    // A bare name, and a link to a file, which stays a link.
    assert!(mine("bare").status.success());
    let wanted = fs::read(path("bare")).unwrap();
    std::os::unix::fs::symlink("target", path("link")).unwrap();
    fs::write(path("target"), "old").unwrap();
    assert!(mine("link").status.success());
    assert!(fs::read(path("target")).unwrap() == wanted && path("link").is_symlink());
    // A pipe gets them, and is a pipe afterwards.
    assert!(std::process::Command::new("mkfifo").arg(path("pipe")).status().unwrap().success());
    let reader = std::thread::spawn({
        let pipe = path("pipe");
        move || fs::read(pipe).unwrap()
    });
    assert!(mine("pipe").status.success());
    assert!(reader.join().unwrap() == wanted);
    // They are written even if nobody reads the messages.
    let mut unheard = ebert(["mine", "text", "--quality-list", "list", "--out", "unheard"]);
    let mut unheard = unheard.current_dir(folder.path()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(unheard.stderr.take());
    assert!(unheard.wait().unwrap().success() && fs::read(path("unheard")).unwrap() == wanted);
    // An input is not replaced, also if a link leads to it.
    std::os::unix::fs::symlink("text", path("other name")).unwrap();
    for (output, what) in [("text", "the text"), ("other name", "the text"), ("./list", "the list of good phrases")] {
        let before = ["text", "list"].map(|name| fs::read(path(name)).unwrap());
        let said = said(&mine(output), &[]);
        assert!(said.starts_with("exit 2") && said.contains(&format!("is {what} of this command")), "{said}");
        assert!(["text", "list"].map(|name| fs::read(path(name)).unwrap()) == before, "{output}");
    }
    // An output that cannot be written is refused before the work, and nothing is left.
    for output in ["absent/file", "."] {
        let output = mine(output);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(1) && said.contains("cannot write") && !said.contains("text"), "{said}");
    }
    assert!(fs::read_dir(folder.path()).unwrap().flatten().all(|e| !e.file_name().to_string_lossy().contains("tmp")));
}

#[test]
fn a_list_from_a_pipe_is_refused_where_it_is_read_twice() {
    let folder = tempfile::tempdir().unwrap();
    let (out, pipe) = (folder.path().join("out"), folder.path().join("pipe"));
    succeed(ebert(["corpus", "--out"]).arg(&out));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Nobody writes to it: it is refused before it is opened, which would wait.
    let output = ebert(["pool", "--out"]).arg(&out).arg("--quality-list").arg(&pipe).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(1) && said.contains("not a regular file"), "{said}");
}

#[test]
fn lists_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("text"), "a blue pen and a red pen\n".repeat(10)).unwrap();
    let wide: Vec<u8> = "blue pen\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let late = "blue pen\n".repeat(9_000) + "\0\n";
    for (bytes, wanted) in [
        (
            &b"version https://git-lfs.github.com/spec/v1\n"[..],
            "found a Git LFS pointer, not the file itself, expected text in UTF-8",
        ),
        (b"<!DOCTYPE html><html>", "found a web page, expected text in UTF-8"),
        (&wide, "found text in UTF-16, expected text in UTF-8"),
        (b"PK\x03\x04\x14\0\0\0", "found a zip archive, expected text in UTF-8"),
        (b"caf\xe9 racer\n", "\nhint: `iconv -f WINDOWS-1252 -t UTF-8 < DIR/list > DIR/list.utf8`"),
        (late.as_bytes(), "line 9001 has a byte that is zero, expected text in UTF-8"),
        (b"\n", "`DIR/list` has no entries, expected one per line"),
        (
            b"blue pen\n0.9\tred pen\n0.8\tpen\n",
            "line 2 has tabs, as most others, expected one entry per line\n\
             hint: keep the column with the entries, such as `cut -f 2 < DIR/list > DIR/list.column`",
        ),
    ] {
        fs::write(path("list"), bytes).unwrap();
        for option in ["--quality-list", "--entity-list", "--stop-words"] {
            let output = ebert(["mine"]).arg(path("text")).arg(option).arg(path("list")).output().unwrap();
            let said = said(&output, &[(folder.path(), "DIR")]);
            assert!(said.starts_with("exit 1") && said.contains(wanted), "{option}: {said}");
        }
    }
    // Titles of Wikipedia's dumps.
    fs::write(path("list"), "blue_pen\ntea\n").unwrap();
    let lines = mine(&path("text"), &["--quality-list", path("list").to_str().unwrap()]);
    assert!(!lines.is_empty());
    // A pipe is read once.
    let command = "\"$0\" mine \"$1\" --quality-list <(echo 'blue pen') > /dev/null";
    let program = ebert([""]).get_program().to_owned();
    let mut shell = std::process::Command::new("bash");
    assert!(shell.arg("-c").arg(command).arg(program).arg(path("text")).status().unwrap().success());
}

#[test]
fn texts_of_another_kind_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let wide: Vec<u8> = "a blue pen\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, wanted) in [
        (&b"version https://git-lfs.github.com/spec/v1\n"[..], "found a Git LFS pointer, not the file itself"),
        (b"<!DOCTYPE html><title>Sign in</title>", "found a web page"),
        (&wide, "hint: `iconv -f UTF-16LE -t UTF-8 < DIR/text > DIR/text.utf8`"),
        (b"PK\x03\x04\x14\0\0\0", "found a zip archive"),
    ] {
        fs::write(&path, bytes).unwrap();
        let said = said(&ebert(["mine"]).arg(&path).output().unwrap(), &[(folder.path(), "DIR")]);
        assert!(said.starts_with("exit 1") && said.contains(wanted), "{said}");
    }
}

#[test]
fn a_text_in_another_language_is_mined() {
    let folder = tempfile::tempdir().unwrap();
    let (text, list) = (folder.path().join("text"), folder.path().join("list"));
    let words = ["это", "наша", "новая", "дома", "сада", "电子产品", "非常好", "ありがとう"];
    // The most common words of another language are its stop words.
    let line = |i: usize| format!("и {} красивая машина {}\n", words[i % 8], words[i / 8 % 8]);
    fs::write(&text, (0..640).map(line).collect::<String>()).unwrap();
    fs::write(&list, "Красивая машина\n").unwrap();
    let output = ebert(["mine"]).arg(&text).arg("--quality-list").arg(&list).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stdout).contains("\tкрасивая машина\n"), "{output:?}");
}

#[test]
fn a_pool_is_made_again_when_what_decides_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (out, list) = (folder.path().join("out"), folder.path().join("list"));
    fs::write(&list, "cast iron\nlitter box\nphone case\n").unwrap();
    let list = list.to_str().unwrap();
    let why = |more: &[&str]| -> String {
        let said = succeed(ebert(["pool", "--log", "json", "--out"]).arg(&out).args(more));
        let step: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        step["reason"].as_str().unwrap_or("up to date").to_owned()
    };
    succeed(ebert(["corpus", "--out"]).arg(&out));
    let import = folder.path().join("pool.txt");
    fs::write(&import, "0.9\tcast iron\n").unwrap();
    let import = import.to_str().unwrap();
    for (options, wanted) in [
        (vec![], "is new"),
        (vec!["--seed", "7", "--threads", "1"], "up to date"),
        (vec!["--quality-list", list], "the lists or options of mining have changed"),
        (vec!["--quality-list", list, "--min-support", "20"], "the lists or options of mining have changed"),
        (vec!["--pool", import], "it was mined, and `--pool` is given"),
        (vec!["--pool", import], "up to date"),
        (vec![], "it was imported, and no `--pool` is given"),
    ] {
        assert_eq!(why(&options), wanted, "{options:?}");
    }
}

/// Spearman's rank correlation.
fn rank_correlation(pairs: &[(f64, f64)]) -> f64 {
    let ranks = |value: fn(&(f64, f64)) -> f64| -> Vec<f64> {
        let mut order: Vec<usize> = (0..pairs.len()).collect();
        order.sort_by(|a, b| value(&pairs[*a]).total_cmp(&value(&pairs[*b])));
        let mut ranks = vec![0.0; pairs.len()];
        let mut start = 0;
        for tied in order.chunk_by(|a, b| value(&pairs[*a]) == value(&pairs[*b])) {
            tied.iter().for_each(|at| ranks[*at] = start as f64 + (tied.len() - 1) as f64 / 2.0);
            start += tied.len();
        }
        ranks
    };
    let (a, b) = (ranks(|p| p.0), ranks(|p| p.1));
    let mean = (pairs.len() - 1) as f64 / 2.0;
    let product = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum::<f64>();
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

#[test]
fn mined_phrases_are_near_those_of_autophrase() {
    let Some(data) = real_data() else { return };
    let file = |name: &str| data.join("phrases").join(name);
    let path = |name: &str| file(name).display().to_string();
    let lists =
        ["--quality-list", &path("wiki_quality.txt.gz"), "--entity-list", &path("wiki_all.txt.gz")].map(str::to_owned);
    let lists: Vec<&str> = lists.iter().map(String::as_str).collect();
    let text = file("amazon-text.txt.gz");
    let mined = mine(&text, &lists);
    assert_eq!(mine(&text, &[&lists[..], &["--threads", "1"]].concat()), mined, "one thread");
    for threads in ["1", "3"] {
        let little = ["--mining-mib", "1", "--threads", threads];
        assert_eq!(mine(&text, &[&lists[..], &little].concat()), mined, "in temporary files, {threads} threads");
    }

    let mut reference = String::new();
    let bytes = fs::read(file("amazon-autophrase-multi-words.txt.gz")).unwrap();
    MultiGzDecoder::new(&bytes[..]).read_to_string(&mut reference).unwrap();
    let ours: HashMap<&str, f64> =
        entries(&mined).into_iter().filter(|(_, p)| p.contains(' ')).map(|(s, p)| (p, s)).collect();
    let theirs: HashMap<&str, f64> = entries(&reference).into_iter().map(|(s, p)| (p, s)).collect();
    let good = |of: &HashMap<&str, f64>| of.values().filter(|score| **score >= 0.5).count();
    let both = ours.iter().filter(|(p, s)| **s >= 0.5 && theirs.get(**p).is_some_and(|s| *s >= 0.5)).count();
    let jaccard = both as f64 / (good(&ours) + good(&theirs) - both) as f64;
    let common: Vec<(f64, f64)> = ours.iter().filter_map(|(p, s)| Some((*s, *theirs.get(p)?))).collect();
    let correlation = rank_correlation(&common);
    println!("Jaccard {jaccard:.3}, Spearman {correlation:.3} of {} common phrases", common.len());
    assert!(jaccard >= 0.85 && correlation >= 0.9, "Jaccard {jaccard}, Spearman {correlation}");
}
