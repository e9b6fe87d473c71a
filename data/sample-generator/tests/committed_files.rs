//! The files in `data/sample` are those that the generator writes.
use std::{fs, io::Read, path::PathBuf, process::Command};

fn text(gz: &[u8]) -> String {
    let mut text = String::new();
    flate2::read::GzDecoder::new(gz).read_to_string(&mut text).unwrap();
    text
}

#[test]
fn seed_0_gives_the_committed_bytes() {
    let out = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_ebert-sample-generator"))
        .args(["--seed", "0", "--out"])
        .arg(out.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for file in ["meta_sample.json.gz", "Sample_5.json.gz"] {
        let committed: PathBuf = [env!("CARGO_MANIFEST_DIR"), "../sample", file].iter().collect();
        let (committed, generated) = (fs::read(committed).unwrap(), fs::read(out.path().join(file)).unwrap());
        // The lines first, since a message about them says more.
        let (committed_text, generated_text) = (text(&committed), text(&generated));
        for (i, (committed, generated)) in committed_text.lines().zip(generated_text.lines()).enumerate() {
            assert_eq!(committed, generated, "{file}, line {}", i + 1);
        }
        assert!(committed_text == generated_text, "{file} has another number of lines");
        assert!(committed == generated, "{file} has equal lines, but its compressed bytes differ");
    }
}
