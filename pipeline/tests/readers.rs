//! The shards as their users open them: every DuckDB query and polars snippet of docs/files.md, run as printed with
//! the real libraries. `make test` makes the Python environment that this needs.
mod support;

use std::{fs, path::PathBuf, process::Command};

use support::{ebert, succeed, workspace};

/// Python with duckdb and polars, or the reason for skipping printed.
fn python() -> Option<PathBuf> {
    let python = std::env::var_os("EBERT_PYTHON").map(PathBuf::from);
    if python.is_none() {
        eprintln!("skipped: EBERT_PYTHON names no Python with duckdb and polars; `make test` sets it");
    }
    python
}

/// The code blocks of a language in docs/files.md.
fn blocks(language: &str) -> Vec<String> {
    let page = fs::read_to_string(workspace().join("docs/files.md")).unwrap();
    let fence = format!("```{language}\n");
    page.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

#[test]
fn the_pages_queries_run_as_printed() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    succeed(ebert(["shards", "--out"]).arg(folder.path().join("data/work")));
    let sql = blocks("sql");
    let queries: Vec<&str> = sql.iter().flat_map(|b| b.split(";\n")).map(str::trim).filter(|q| !q.is_empty()).collect();
    assert!(queries.len() >= 3, "docs/files.md has {} queries", queries.len());
    for query in queries {
        let code =
            format!("import duckdb\nrows = duckdb.sql({query:?}).fetchall()\nassert rows, 'no row'\nprint(rows)");
        succeed(Command::new(&python).args(["-c", &code]).current_dir(folder.path()));
    }
    let snippets: Vec<String> = blocks("python").into_iter().filter(|code| code.contains("polars")).collect();
    assert!(!snippets.is_empty());
    for snippet in snippets {
        let said = succeed(Command::new(&python).args(["-c", &snippet]).current_dir(folder.path()));
        assert!(said.contains("shape: ("), "{said}");
    }
}

#[test]
fn duckdb_and_polars_read_every_value() {
    let Some(python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    succeed(ebert(["shards", "--bucket-mib", "1", "--out"]).arg(folder.path()));
    let code = r###"
import duckdb, glob, json, polars as pl
manifest = json.load(open("shards/manifest.json"))
counts = manifest["counts"]
for kind in ("products", "reviews", "pairs"):
    for f in glob.glob(f"shards/{kind}-*.parquet"):
        theirs = pl.read_parquet(f).to_dicts()
        ours = [dict(zip(("document_id", "text_id", "product_id", "segment", "input_ids", "phrases", "noun_phrases", "word_starts") if kind != "pairs"
                else ("relation", "weight", "anchor", "neighbor", "negative"), row)) for row in duckdb.sql(f"SELECT * FROM '{f}'").fetchall()]
        assert theirs == ours, f
one = lambda q: duckdb.sql(q).fetchall()[0][0]
segments = "read_parquet(['shards/products-*.parquet', 'shards/reviews-*.parquet'])"
assert one(f"SELECT count(*) FROM {segments}") == counts["segments"]
assert one(f"SELECT sum(len(input_ids)) FROM {segments}") == counts["tokens"]
assert one(f"SELECT sum(len(phrases)) FROM {segments}") == counts["phrase_spans"]
assert one("SELECT count(*) FROM 'shards/pairs-*.parquet'") == counts["pairs"]
table = bytes.fromhex(manifest["tokenizer"]["continuation_ids"])
vocabulary = {i: w for w, i in json.load(open("shards/tokenizer.json"))["model"]["vocab"].items()}
for i, word in vocabulary.items():
    assert bool(table[i // 8] >> i % 8 & 1) == word.startswith("##"), word
print("all values agree")
"###;
    let said = succeed(Command::new(&python).args(["-c", code]).current_dir(folder.path()));
    assert!(said.contains("all values agree"));
}
