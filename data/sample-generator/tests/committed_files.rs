//! The files in `data/sample` are those that the generator writes.
use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::Command,
};

const FILES: [&str; 2] = ["meta_sample.json.gz", "Sample_5.json.gz"];

fn generate(out: &Path, seed: &str) {
    let output = Command::new(env!("CARGO_BIN_EXE_ebert-sample-generator"))
        .args(["--seed", seed, "--out"])
        .arg(out)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn text(gz: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(gz).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn seed_0_gives_the_committed_bytes() {
    let out = tempfile::tempdir().unwrap();
    generate(out.path(), "0");
    for file in FILES {
        let committed: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../sample", file].iter().collect();
        let (committed, generated) = (fs::read(committed).unwrap(), fs::read(out.path().join(file)).unwrap());
        // The lines first, since a message about them says more.
        let (committed_text, generated_text) = (text(&committed), text(&generated));
        for (i, (committed, generated)) in committed_text.lines().zip(generated_text.lines()).enumerate() {
            assert_eq!(committed, generated, "{file}, line {}", i + 1);
        }
        assert!(committed_text == generated_text, "{file} has another number of lines");
        assert!(committed == generated, "{file} is compressed otherwise; the lines are equal");
    }
}

#[test]
fn another_seed_gives_other_bytes() {
    let out = tempfile::tempdir().unwrap();
    generate(out.path(), "1");
    for file in FILES {
        let committed: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../sample", file].iter().collect();
        assert!(fs::read(committed).unwrap() != fs::read(out.path().join(file)).unwrap(), "{file}");
    }
}
