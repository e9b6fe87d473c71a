//! Small raw folders, and the output of all steps over them.
use std::fs;

use super::{ebert, said, tokenizer_unless_in};

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
