//! Shards: segments ([`encode`]), pairs ([`pairs`]), parts of the work for several machines ([`task`]), and the
//! manifest ([`seal`]).
use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use schemas::{ManifestError, StoreError, UnknownRelation, quoted};

use crate::{
    engine::progress::{listed, thousands},
    hint::Hint,
};

pub mod encode;
pub mod pairs;
pub mod seal;
pub mod task;

/// A step of the shards failed.
#[derive(Debug, thiserror::Error)]
pub enum ShardError {
    /// Rows that do not fit their columns.
    #[error("a batch of rows cannot be built")]
    Rows(#[source] arrow_schema::ArrowError),
    /// A pool that no automaton can hold.
    #[error(
        "the pool is too large to search for\nhint: raise `--min-score` or `--min-score-single`; fewer phrases are kept then"
    )]
    Matcher(#[source] aho_corasick::BuildError),
    /// Options that cannot be written.
    #[error("the options cannot be written as TOML")]
    Options(#[source] toml::ser::Error),
    /// An earlier step used another tokenizer.
    #[error(
        "`{}` was made with another tokenizer\n  blake3 found {found}, expected {wanted}\n\
         hint: name its tokenizer with `--tokenizer FILE`, or run `ebert shards`, which rebuilds what has changed",
        folder.display()
    )]
    Tokenizer {
        /// The folder.
        folder: PathBuf,
        /// Hash of its tokenizer.
        found: String,
        /// Hash of the given tokenizer.
        wanted: String,
    },
    /// A step is older than the corpus.
    #[error(
        "`{}` was built from an older corpus\n\
         hint: run `ebert {step} --out {}` with the options of the other steps, and then this again",
        out.join(step).display(), quoted(out)
    )]
    OtherCorpus {
        /// The step, and its folder.
        step: &'static str,
        /// Output folder of all steps.
        out: PathBuf,
    },
    /// Shards are missing when pairs are to be drawn, or at the seal.
    #[error("{}", unfinished(missing, *planned, out, *tasks))]
    Unfinished {
        /// Names of the missing tables.
        missing: Vec<String>,
        /// Number of tables in the plan.
        planned: usize,
        /// Output folder of all steps.
        out: PathBuf,
        /// Number of tasks, if it was given.
        tasks: Option<u32>,
    },
    /// Shards were encoded with other options than the pairs or the seal are to have.
    #[error(
        "{} of {} shards were encoded with other options, or from another corpus or pool\n\
         hint: use the `--language`, `--nouns`, `--max-tokens` and `--tokenizer` of `ebert encode` here, too, or encode them \
         again: `ebert encode --out {}` with the options of this command",
        thousands(*others as u64), thousands(*planned as u64), quoted(out)
    )]
    OtherOptions {
        /// Number of tables with other content.
        others: usize,
        /// Number of tables in the plan.
        planned: usize,
        /// Output folder of all steps.
        out: PathBuf,
    },
    /// An edge of the graph has an unknown relation.
    #[error("the graph `{}` holds an edge that cannot be read", path.display())]
    Edge {
        /// The table.
        path: PathBuf,
        /// Why not.
        #[source]
        source: UnknownRelation,
    },
    /// Rows of pairs went while they were written.
    #[error("the rows of the pairs in `{}` are missing: another program removed them\nhint: run the command again", folder.display())]
    RowsGone {
        /// The folder of the shards.
        folder: PathBuf,
    },
    /// The task of this process is unclear.
    #[error(transparent)]
    Task(#[from] task::TaskError),
    /// A stored file, or the disk.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
}

impl ShardError {
    /// Tables of the plan are missing, or are there with other content than planned.
    pub(crate) fn unfinished(missing: Vec<String>, planned: usize, out: &Path, tasks: Option<u32>) -> Self {
        let is_segments = |name: &&String| !name.starts_with("pairs-");
        let others = missing.iter().filter(is_segments).filter(|name| out.join("shards").join(name).exists()).count();
        let out = out.to_owned();
        if others > 0 {
            Self::OtherOptions { others, planned, out }
        } else {
            Self::Unfinished { missing, planned, out, tasks }
        }
    }
}

/// The missing tables by bucket, and the commands that write them.
fn unfinished(missing: &[String], planned: usize, out: &Path, tasks: Option<u32>) -> String {
    let bucket = |name: &String| name.trim_end_matches(".parquet").rsplit('-').next()?.parse::<u32>().ok();
    let (pairs, shards): (Vec<_>, Vec<_>) = missing.iter().partition(|name| name.starts_with("pairs-"));
    let buckets: BTreeSet<u32> = shards.iter().filter_map(|name| bucket(name)).collect();
    let out = format!("--out {}", quoted(out));
    if buckets.is_empty() {
        let first = pairs.first().map_or("pairs", |name| name.as_str());
        return format!("`{first}` is missing\nhint: run `ebert pairs {out}` with the options of the other steps");
    }
    let made = match tasks {
        Some(n) => {
            let tasks: BTreeSet<u32> = buckets.iter().map(|b| b % n).collect();
            let (which, i) = match tasks.first() {
                Some(only) if tasks.len() == 1 => ("part", only.to_string()),
                _ => ("parts", "i".to_owned()),
            };
            format!(
                "{which} {} of {n} did not finish: run `ebert encode {out} --part {i}/{n}` with the options of the other steps",
                listed(&tasks)
            )
        }
        None => format!("run `ebert encode {out}` with the options of the other steps to encode only those"),
    };
    let verb = if shards.len() == 1 { "is" } else { "are" };
    let noun = if buckets.len() == 1 { "bucket" } else { "buckets" };
    format!(
        "{} of {} shards {verb} missing: {noun} {}\nhint: {made}; then `ebert pairs` and `ebert seal`",
        thousands(shards.len() as u64),
        thousands(planned as u64),
        listed(&buckets)
    )
}
