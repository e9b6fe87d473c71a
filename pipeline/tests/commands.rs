//! What the commands print and how they end: snapshots of whole commands, failures included.
mod support;

use std::fs;

use insta::assert_snapshot;
use support::{
    TOKENIZER, assert_same, ebert, gzip,
    raw::{OTHER, PRODUCT, Raw, lines},
    said, succeed,
};

#[test]
fn a_run_says_what_it_made_and_what_to_do_next() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER, PRODUCT])), ("notes.txt", b"hello\n")]);
    assert_snapshot!("a_run", raw.run(&[]));
    assert_snapshot!("a_run_again", raw.run(&[]));
}

#[test]
fn a_corpus_that_is_not_there_or_empty_or_something_else() {
    let raw = Raw::new(&[]);
    assert_snapshot!("corpus_empty", raw.run(&[]));
    fs::write(raw.path("raw/a.txt"), "hello\n").unwrap();
    fs::write(raw.path("raw/b.json"), "{\"id\": 1}\n").unwrap();
    assert_snapshot!("corpus_unrecognized", raw.run(&[]));
    fs::remove_dir_all(raw.path("raw")).unwrap();
    assert_snapshot!("corpus_missing", raw.run(&[]));
}

#[test]
fn a_corpus_in_a_folder_that_is_written_is_refused_and_kept() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    assert!(raw.run(&[]).starts_with("exit 0"));
    let mine = lines(&[PRODUCT, OTHER]);
    for step in ["corpus", "pool", "graph", "shards", "spill"] {
        let folder = raw.path("out").join(step);
        fs::create_dir_all(folder.join("mine")).unwrap();
        fs::write(folder.join("mine/meta.json"), &mine).unwrap();
        fs::write(folder.join("meta.parquet"), &mine).unwrap();
        let link = raw.path(&format!("link to {step}"));
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        for corpus in [&folder, &folder.join("mine"), &folder.join("mine/meta.json"), &link] {
            for command in ["shards", "corpus"] {
                let output =
                    ebert([command, "--corpus"]).arg(corpus).args(TOKENIZER).arg("--out").arg(raw.path("out")).output();
                let text = said(&output.unwrap(), &[(raw.folder.path(), "DIR")]);
                assert!(text.starts_with("exit 2") && text.contains("hint: move the raw files"), "{text}");
            }
        }
        assert_eq!(fs::read(folder.join("mine/meta.json")).unwrap(), mine);
    }
    let output = ebert(["corpus", "--corpus"])
        .arg(raw.path("link to pool"))
        .args(TOKENIZER)
        .arg("--out")
        .arg(raw.path("out"))
        .output();
    assert_snapshot!("corpus_in_out", said(&output.unwrap(), &[(raw.folder.path(), "DIR")]));
    // The other way round: a step's folder that is a link to raw files.
    fs::create_dir(raw.path("other")).unwrap();
    std::os::unix::fs::symlink(raw.path("raw"), raw.path("other/corpus")).unwrap();
    let output =
        ebert(["shards", "--corpus"]).arg(raw.path("raw")).args(TOKENIZER).arg("--out").arg(raw.path("other")).output();
    let text = said(&output.unwrap(), &[]);
    assert!(text.starts_with("exit 2") && text.contains("other/corpus"), "{text}");
}

#[test]
fn a_users_own_files_in_out_are_kept() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    let own = ["corpus/sales.parquet", "pool/notes.tmp", "graph/my.parquet.tmp", "shards/products.parquet"];
    for name in own.iter().map(|name| raw.path("out").join(name)) {
        fs::create_dir_all(name.parent().unwrap()).unwrap();
        fs::write(name, "mine").unwrap();
    }
    assert!(raw.run(&[]).starts_with("exit 0"));
    assert!(raw.run(&["--max-tokens", "120", "--bucket-mib", "1"]).starts_with("exit 0"));
    assert!(own.iter().all(|name| raw.path("out").join(name).exists()));
    // The spill files' folder is emptied at the end, so it may hold nothing else.
    fs::create_dir(raw.path("out/spill")).unwrap();
    fs::write(raw.path("out/spill/sales.csv"), "mine").unwrap();
    assert!(raw.run(&[]).starts_with("exit 1"), "--bucket-mib has changed");
    assert_snapshot!("spill_foreign", raw.run(&[]));
    assert!(raw.path("out/spill/sales.csv").exists() && raw.path("out/corpus/manifest.json").exists());
}

#[test]
fn links_to_nothing_are_named_and_paths_are_quoted() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    std::os::unix::fs::symlink("gone.json", raw.path("raw/lost.json")).unwrap();
    std::os::unix::fs::symlink(".", raw.path("raw/around")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(raw.path("raw/socket")).unwrap();
    let mut command = ebert(["shards", "--max-unreadable", "0.034", "--corpus"]);
    command.arg(raw.path("raw")).args(TOKENIZER).arg("--pool").arg(raw.path("pool.txt"));
    command.arg("--out").arg(raw.path("my out"));
    let text = said(&command.output().unwrap(), &[(raw.folder.path(), "DIR")]);
    for line in ["2 of 3 files are not read\n", " `lost.json`: a link to nothing\n", " `socket`: not a file\n"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(text.contains("limit 3.4%") && text.contains("ebert inspect 'DIR/my out'"), "{text}");
}

#[test]
fn unreadable_records_are_counted_and_too_many_fail() {
    let mut bytes = lines(&[PRODUCT, "{\"asin\": \"B03\", ", OTHER]);
    bytes.extend_from_slice(b"{\"asin\": \"\xff\"}\n");
    let long = [b"{\"asin\": \"".as_slice(), &vec![b'x'; 50 << 20], b"\"}\n"].concat();
    bytes.extend_from_slice(&long);
    bytes.extend_from_slice(b"{\"title\": \"no id\", \"also_buy\": []}\n\n");
    let raw = Raw::new(&[("meta.json", &bytes)]);
    assert_snapshot!("too_many_unreadable", raw.run(&[]));
    assert_snapshot!("unreadable_allowed", raw.run(&["--max-unreadable", "0.7"]));
}

#[test]
fn a_damaged_file_is_named_and_what_is_before_the_damage_is_kept() {
    let many: Vec<String> =
        (0..20_000).map(|i| format!(r#"{{"asin": "B{i}", "title": "Kettle number {i}", "also_buy": []}}"#)).collect();
    let whole = gzip((many.join("\n") + "\n").as_bytes());
    let raw = Raw::new(&[
        ("a.json", &lines(&[PRODUCT])),
        ("b.json.gz", &whole[..whole.len() / 2]),
        ("c.json", &lines(&[OTHER])),
    ]);
    assert_snapshot!("damaged", raw.run(&[]));
    let said = raw.run(&["--allow-damaged"]);
    let products: u64 =
        said.split("products ").nth(1).unwrap().split("  ").next().unwrap().replace(',', "").parse().unwrap();
    assert!((5_000..15_000).contains(&products), "{said}");
    assert!(said.contains("damaged   `b.json.gz` after line"), "{said}");
}

#[test]
fn a_pool_that_cannot_be_used() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    for (name, pool) in [
        ("pool_bad_lines", &b"0.9\tkettle\nkettle 0.9\nx\ty\n"[..]),
        ("pool_infinite", b"1e39\tkettle\n"),
        ("pool_empty", b""),
        ("pool_low", b"0.1\tgreen tea\n0.7\tkettle\n"),
    ] {
        fs::write(raw.path("pool.txt"), pool).unwrap();
        assert_snapshot!(name, raw.run(&[]));
    }
    let wide: Vec<u8> = "0.9\tkettle\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (pool, wanted) in [
        (
            &b"0.9\tsteel kettle\t123\n95\tkettle\n"[..],
            "2 of 2 lines of the phrase pool `DIR/pool.txt` are not entries",
        ),
        (
            &wide,
            "found text in UTF-16, expected `score<TAB>phrase` lines in UTF-8\nhint: `iconv -f UTF-16LE -t UTF-8 < DIR/pool.txt > DIR/pool.txt.utf8`",
        ),
        (b"version https://git-lfs.github.com/spec/v1\n", "found a Git LFS pointer, not the file itself"),
        (b"<html><title>Sign in</title>", "found a web page with the title \"Sign in\""),
        (
            b"PAR1\x15\0\x15\0",
            "found a Parquet file, expected `score<TAB>phrase` lines in UTF-8\nhint: `--pool` names a file of",
        ),
    ] {
        fs::write(raw.path("pool.txt"), pool).unwrap();
        let said = raw.run(&[]);
        assert!(said.starts_with("exit 1") && said.contains(wanted), "{said}");
    }
    fs::remove_file(raw.path("pool.txt")).unwrap();
    assert_snapshot!("pool_missing", raw.run(&[]));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut gzip, b"0.9\tkettle\n").unwrap();
    let gzip = gzip.finish().unwrap();
    for (damage, bytes) in [("cut short", &gzip[..gzip.len() - 9]), ("corrupt", &[&gzip[..10], &[0x07; 30]].concat())] {
        fs::write(raw.path("pool.txt"), bytes).unwrap();
        let said = raw.run(&[]);
        assert!(said.contains(damage) && said.contains("hint: the file is damaged: fetch"), "{said}");
    }
}

#[test]
fn an_out_of_another_format_is_refused() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let path = raw.path("out/corpus/manifest.json");
    let text = fs::read_to_string(&path).unwrap().replace("\"format\": 2", "\"format\": 3");
    fs::write(&path, text).unwrap();
    assert_snapshot!("another_format", raw.run(&[]));
}

#[test]
fn a_changed_byte_is_refused_by_name_and_the_hint_works() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let copy = raw.path("copy");
    let out = raw.path("out");
    assert!(std::process::Command::new("cp").arg("-r").args([&out, &copy]).status().unwrap().success());
    for name in [
        "corpus/products-00000.parquet",
        "corpus/associations-00000.parquet",
        "corpus/reviews-00000.parquet",
        "corpus/manifest.json",
        "pool/phrases.parquet",
        "pool/manifest.json",
        "graph/associations.parquet",
        "graph/manifest.json",
        "shards/products-00000.parquet",
        "shards/reviews-00000.parquet",
        "shards/pairs-00000.parquet",
        "shards/manifest.json",
    ] {
        let path = out.join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        let verify = ebert(["verify"]).arg(&out).output().unwrap();
        let run = raw.run(&[]);
        for text in [String::from_utf8_lossy(&verify.stderr).into_owned(), run] {
            assert!(text.contains(name.rsplit('/').next().unwrap()) && text.contains("hint:"), "{name}: {text}");
        }
        assert_eq!(verify.status.code(), Some(1), "{name}");
        fs::remove_file(&path).unwrap();
        let again = raw.run(&[]);
        assert!(again.starts_with("exit 0"), "{name}: {again}");
        assert_same(&copy, &out, name);
    }
    let report = succeed(ebert(["verify"]).arg(&out));
    assert!(report.contains("files are as they were sealed"), "{report}");
}

#[test]
fn a_damaged_table_is_never_sealed() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let out = raw.path("out");
    // A digit in the notes of a table, and a byte of its pages: each with the manifest gone, or another step to do.
    for (table, step) in [("shards/products-00000.parquet", "shards"), ("corpus/products-00000.parquet", "corpus")] {
        let path = out.join(table);
        let whole = fs::read(&path).unwrap();
        let note = whole.windows(7).position(|w| w == b"\"counts" || w == b"ebert.c").unwrap();
        for at in [note + 20, 40] {
            for (what, options) in [("no manifest", &[][..]), ("another seed", &["--seed", "9"])] {
                let manifest = out.join(step).join("manifest.json");
                let kept = fs::read(&manifest).unwrap();
                let mut bytes = whole.clone();
                bytes[at] ^= 1;
                fs::write(&path, bytes).unwrap();
                if what == "no manifest" {
                    fs::remove_file(&manifest).unwrap();
                }
                let said = raw.run(options);
                assert!(
                    said.starts_with("exit 1") && said.contains("products-00000.parquet"),
                    "{table} {what}: {said}"
                );
                assert!(said.contains("does not match the manifest") && said.contains("hint:"), "{said}");
                fs::write(&path, &whole).unwrap();
                fs::write(&manifest, kept).unwrap();
            }
        }
    }
    assert!(raw.run(&[]).starts_with("exit 0"));
}

#[test]
fn shards_of_another_format_are_refused_before_anything_is_made() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let path = raw.path("out/shards/manifest.json");
    let ours = fs::read_to_string(&path).unwrap();
    let text = ours.replace("\"format\": 2", "\"format\": 3");
    fs::write(&path, &text).unwrap();
    for options in [&[][..], &["--seed", "7"], &["--max-tokens", "120"]] {
        let said = raw.run(options);
        assert!(said.starts_with("exit 1") && said.contains("has format 3"), "{said}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    // Shards of format 1 are refused by those who read them, and rebuilt by a run.
    fs::write(&path, ours.replace("\"format\": 2", "\"format\": 1")).unwrap();
    let inspected = ebert(["inspect"]).arg(raw.path("out")).output().unwrap();
    let said = said(&inspected, &[(raw.folder.path(), "DIR")]);
    let hint = "hint: run `ebert shards --out DIR/out` with all other options as before; it rebuilds the folder";
    assert!(said.starts_with("exit 1") && said.contains("has format 1") && said.contains(hint), "{said}");
    let said = raw.run(&[]);
    assert!(said.starts_with("exit 0") && said.contains("again: the format was 1 and is 2"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), ours);
}

#[test]
fn a_gzip_file_may_have_members_and_padding_and_a_zstd_file_a_skippable_frame() {
    let gz = [gzip(&lines(&[PRODUCT])), gzip(b""), gzip(&lines(&[OTHER])), vec![0; 700]].concat();
    let zst =
        [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3][..], &zstd::encode_all(&lines(&[PRODUCT])[..], 1).unwrap()]
            .concat();
    let raw = Raw::new(&[("meta.gz", &gz), ("meta.zst", &zst)]);
    let said = raw.run(&[]);
    assert!(said.starts_with("exit 0") && said.contains("products 2 ") && said.contains("duplicate 1,"), "{said}");
    fs::write(raw.path("raw/meta.gz"), [gzip(&lines(&[PRODUCT])), b"garbage".to_vec()].concat()).unwrap();
    let said = raw.run(&[]);
    assert!(said.starts_with("exit 1") && said.contains("`DIR/raw/meta.gz` after line 1"), "{said}");
}

#[test]
fn a_record_of_very_many_categories_takes_no_time() {
    let categories: Vec<String> = (0..200_000).map(|i| format!("\"c{}\"", i % 150_000)).collect();
    let record = format!(r#"{{"asin": "B1", "title": "Kettle", "category": [{}]}}"#, categories.join(","));
    let raw = Raw::new(&[("meta.json", &lines(&[&record]))]);
    let since = std::time::Instant::now();
    assert!(raw.run(&[]).starts_with("exit 0"));
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let program = ebert([""]).get_program().to_owned();
    let piped = |command: String| {
        let script = format!("{program:?} {command} | true; exit ${{PIPESTATUS[0]}}");
        let mut bash = std::process::Command::new("bash");
        bash.current_dir(ebert([""]).get_current_dir().unwrap_or(std::path::Path::new("."))).args(["-c", &script]);
        bash.status().unwrap().code()
    };
    let out = raw.path("out");
    assert_eq!(piped(format!("inspect {out:?}")), Some(0));
    // What works on files does all of it.
    let anew = raw.path("anew");
    let run = format!(
        "shards --corpus {:?} --pool {:?} --out {anew:?} {}",
        raw.path("raw"),
        raw.path("pool.txt"),
        TOKENIZER.join(" ")
    );
    assert_eq!(piped(run), Some(0));
    assert_same(&out, &anew, "a run whose reader has gone");
    let shard = out.join("shards/products-00000.parquet");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[40] ^= 1;
    fs::write(&shard, bytes).unwrap();
    assert_eq!(piped(format!("verify {out:?}")), Some(1));
}

/// A step that was rebuilt leaves shards that are complete, and older than it.
#[test]
fn shards_that_are_out_of_date_are_not_called_damaged() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    let mut command = ebert(["pool", "--min-score", "0.92"]);
    command.arg("--pool").arg(raw.path("pool.txt"));
    succeed(command.arg("--out").arg(raw.path("out")));
    let said = said(&ebert(["verify"]).arg(raw.path("out")).output().unwrap(), &[]);
    assert!(said.starts_with("exit 1") && said.contains("older than what they are made from: pool changed"), "{said}");
    assert!(!said.contains("delete"), "{said}");
}

/// Steps that are older than the corpus are named, and not sealed.
#[test]
fn steps_of_another_corpus_are_refused() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT]))]);
    raw.run(&[]);
    fs::write(raw.path("raw/more.json"), lines(&[OTHER])).unwrap();
    let [corpus, pool] = ["raw", "pool.txt"].map(|name| raw.path(name).display().to_string());
    let options = [&["--threads", "1", "--corpus", &corpus, "--pool", &pool][..], &TOKENIZER].concat();
    let step = |name| {
        let mut command = support::step(name, &options);
        command.arg("--out").arg(raw.path("out"));
        said(&command.output().unwrap(), &[(raw.folder.path(), "DIR")])
    };
    for name in ["corpus", "encode"] {
        let said = step(name);
        assert!(said.starts_with("exit 0"), "{said}");
    }
    for name in ["pairs", "seal"] {
        let said = step(name);
        assert!(
            said.starts_with("exit 1") && said.contains("`DIR/out/graph` was built from an older corpus"),
            "{said}"
        );
        assert!(said.contains("hint: run `ebert graph --out DIR/out`"), "{said}");
    }
    for name in ["graph", "pairs", "seal"] {
        let said = step(name);
        assert!(said.starts_with("exit 0"), "{said}");
    }
    let pairs = succeed(ebert(["inspect"]).arg(raw.path("out")));
    assert!(pairs.contains("kettle"), "{pairs}");
}

/// The manifest counts more unreadable records than are allowed now: nothing is read or touched.
#[test]
fn a_stricter_limit_leaves_what_is_there() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, "{\"asin\": ", OTHER]))]);
    assert!(raw.run(&["--max-unreadable", "0.5"]).starts_with("exit 0"));
    let said = raw.run(&["--max-unreadable", "0.1"]);
    assert!(said.starts_with("exit 1") && said.contains("1 of 3 records cannot be read"), "{said}");
    assert!(said.contains("malformed: `meta.json` line 2: EOF while parsing a value at column 8"), "{said}");
    let report = succeed(ebert(["verify"]).arg(raw.path("out")));
    assert!(report.contains("files are as they were sealed") && !raw.path("out/spill").exists(), "{report}");

    let cut = gzip(&lines(&[PRODUCT, OTHER]));
    let raw = Raw::new(&[("one.json.gz", &[&cut[..], b"garbage"].concat())]);
    fs::rename(raw.path("raw/one.json.gz"), raw.path("one.json.gz")).unwrap();
    fs::remove_dir(raw.path("raw")).unwrap();
    fs::rename(raw.path("one.json.gz"), raw.path("raw")).unwrap();
    let said = raw.run(&[]);
    assert!(said.contains("`DIR/raw` after line 2: bytes after the end of the gzip stream"), "{said}");
}

#[test]
fn what_a_stopped_seal_left_is_swept_away() {
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER]))]);
    raw.run(&[]);
    fs::remove_file(raw.path("out/shards/manifest.json")).unwrap();
    let left = ["tokenizer.json", "options.toml", "manifest.json", "products-00000.parquet"]
        .map(|name| raw.path(&format!("out/shards/{name}.0123456789abcdef.tmp")));
    left.iter().for_each(|path| fs::write(path, "").unwrap());
    raw.run(&[]);
    for path in left {
        assert!(!path.exists(), "{}", path.display());
    }
}

#[test]
fn wrong_usage_ends_with_2() {
    for arguments in
        [&["shards", "--threads", "0"][..], &["encode", "--part", "3/3"], &["shards", "--corpsu", "x"], &["mine"]]
    {
        let output = ebert(arguments.iter().copied()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
    let help = succeed(&mut ebert(["shards", "--help"]));
    assert!(help.contains("Raw files: a folder"));
}

#[test]
fn a_corpus_without_interactions_has_no_table_of_them_left() {
    let review = br#"{"asin": "B01", "reviewerID": "A1", "reviewText": "Boils water.", "unixReviewTime": 1472688000}"#;
    let raw = Raw::new(&[("meta.json", &lines(&[PRODUCT, OTHER])), ("reviews.json", review)]);
    assert!(raw.run(&[]).starts_with("exit 0"));
    let tables = || -> Vec<String> {
        ["out/corpus", "out/.made/corpus"]
            .iter()
            .flat_map(|folder| fs::read_dir(raw.path(folder)).unwrap())
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.starts_with("interactions"))
            .collect()
    };
    assert_eq!(tables().len(), 2);
    // What a killed run leaves behind is removed, too.
    fs::write(raw.path("out/.made/corpus/interactions-00000.parquet.json.0123456789abcdef.tmp"), "{").unwrap();
    let said = raw.run(&["--no-interactions"]);
    assert!(said.starts_with("exit 0") && said.contains("again: `--no-interactions` has changed"), "{said}");
    assert_eq!(tables(), [""; 0]);
}
