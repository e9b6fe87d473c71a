//! Small raw folders, and the output of all steps over them.
use std::{fs, io::Read, path::Path};

use flate2::read::MultiGzDecoder;

use super::{ebert, gzip, said, tokenizer_unless_in, workspace};

pub(crate) const PRODUCT: &str =
    r#"{"asin": "B01", "title": "Stainless steel kettle", "also_buy": ["B02"], "also_view": []}"#;
pub(crate) const OTHER: &str =
    r#"{"asin": "B02", "title": "Green tea", "description": ["<b>Loose</b> leaf&amp;nbsp;tea"], "also_buy": []}"#;

/// A small raw folder, its pool, and where to put what is made.
pub(crate) struct Raw {
    pub folder: tempfile::TempDir,
}

impl Raw {
    pub(crate) fn new(files: &[(&str, &[u8])]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("raw")).unwrap();
        for (name, bytes) in files {
            fs::write(folder.path().join("raw").join(name), bytes).unwrap();
        }
        fs::write(folder.path().join("pool.txt"), "0.9\tstainless steel\n0.95\tkettle\n0.2\tgreen tea\n").unwrap();
        Self { folder }
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs all steps over it and returns the output.
    pub(crate) fn run(&self, more: &[&str]) -> String {
        let mut command = ebert(["shards", "--threads", "2"]);
        command.args(tokenizer_unless_in(more));
        command.arg("--corpus").arg(self.path("raw")).arg("--pool").arg(self.path("pool.txt"));
        command.arg("--out").arg(self.path("out")).args(more);
        let text = said(&command.output().unwrap(), &[(self.folder.path(), "DIR")]);
        // Times differ, and with them the width of the output.
        text.lines()
            .map(|line| {
                // `… 3.6 M tokens/s   PLACE`: the rate differs.
                let line = match line.split_once(" tokens/s") {
                    Some((head, place)) => {
                        let end = head.rfind("   ").unwrap_or(head.len());
                        format!("{}   …   {}", &head[..end], place.trim_start())
                    }
                    None => line.to_owned(),
                };
                // `PLACE   0.1 s   again: why`: the time differs.
                let (head, why) = match line.split_once(" s   again:") {
                    Some((head, why)) => (format!("{head} s"), format!("   again:{why}")),
                    None => (line, String::new()),
                };
                match head.rsplit_once("  ") {
                    Some((head, time)) if time.trim().ends_with(" s") => format!("{}  … s{why}\n", head.trim_end()),
                    _ => head.trim_end().to_owned() + "\n",
                }
            })
            .collect()
    }
}

pub(crate) fn lines(records: &[&str]) -> Vec<u8> {
    (records.join("\n") + "\n").into_bytes()
}

/// Raw files in every form: plain, gzip, with CRLF, without a last newline, damaged at the end; with
/// unreadable lines all over. About 15 MiB of text.
pub(crate) fn raw_files_of_every_form(folder: &Path) {
    let inflate = |name: &str| {
        let mut text = String::new();
        let file = fs::File::open(workspace().join("data/sample").join(name)).unwrap();
        MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        text
    };
    let (products, reviews) = (inflate("meta_sample.json.gz"), inflate("Sample_5.json.gz"));
    let with_flaws = |text: &str| {
        let mut flawed = String::new();
        for (number, line) in text.lines().enumerate() {
            flawed += line;
            flawed += match number % 700 {
                100 => "\nneither JSON nor a dict\n",
                400 => "\n\n  \n",
                600 => "\n{\"title\": \"no id\", \"also_buy\": [\"B1\"]}\n",
                _ => "\n",
            };
        }
        flawed
    };
    let damaged = gzip(with_flaws(&reviews).as_bytes());
    fs::create_dir(folder).unwrap();
    for (name, bytes) in [
        ("a.json", with_flaws(&products).into_bytes()),
        ("b.json.gz", gzip(with_flaws(&reviews).as_bytes())),
        ("c.json", with_flaws(&products).replace('\n', "\r\n").into_bytes()),
        ("d.json.gz", damaged[..damaged.len() * 9 / 10].to_vec()),
        ("e.json", with_flaws(&reviews).trim_end().as_bytes().to_vec()),
    ] {
        fs::write(folder.join(name), bytes).unwrap();
    }
}
