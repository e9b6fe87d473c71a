//! The seal: checks that every shard exists, hashes them, and writes the manifest last.
use std::{path::Path, time::Instant};

use schemas::{
    FileEntry, Manifest, Rules, StoreError,
    manifest::{
        CorpusBody, GraphBody, Hash, MANIFEST, PoolBody, PoolEntry, Resolved, ShardCounts, ShardOptions, ShardsBody,
        Shares,
    },
    store,
};
use serde::Serialize;

use super::{ShardError, encode};
use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{NEW, Outcome},
    },
    settings::StepSettings,
    shard::pairs,
};

/// Name of the copy of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Name of the resolved options.
const OPTIONS: &str = "options.toml";

/// Seals the shards, or finds that they are sealed. `tasks` is for the error message about missing shards.
///
/// # Errors
/// If shards or pairs are missing or of other options, a stored file cannot be read, or the
/// manifest cannot be written.
pub fn make(
    settings: StepSettings<'_>,
    corpus: &Manifest<CorpusBody>,
    pool: &Manifest<PoolBody>,
    graph: &Manifest<GraphBody>,
    tasks: Option<u32>,
    hashes: &mut Hashes,
) -> Result<(Manifest<ShardsBody>, Outcome), ShardError> {
    let since = Instant::now();
    let folder = settings.out.join("shards");
    let old = Manifest::<ShardsBody>::read_previous(&folder)?.sealed();
    let Plan { shards: planned, pairs } = plan(settings, corpus, pool, graph);
    let mut counts = ShardCounts { rejected: corpus.body.counts.rejected.clone(), ..Default::default() };
    let ledger = Ledger::open(&settings.out, "shards")?;
    let (mut missing, mut entries) = (Vec::new(), Vec::new());
    for shard in &planned {
        match shard.finished(&ledger, hashes)? {
            Some(made) => {
                counts.of_segments.add(&made.counts);
                entries.push(made.file);
            }
            None => missing.push(shard.name.clone()),
        }
    }
    match pairs::finished(&ledger, &pairs, hashes)? {
        Some((files, made)) => {
            counts.pairs = made.rows;
            counts.pairs_by_relation = made.relations;
            counts.pairs_dropped = made.dropped;
            counts.negatives = made.negatives;
            entries.extend(files);
        }
        None => missing.push(pairs::name_of(0)),
    }
    if !missing.is_empty() {
        return Err(ShardError::unfinished(missing, planned.len(), &settings.out, tasks));
    }
    let options = options_toml(settings, &corpus.body, &pool.body)?;
    let rules = [&corpus.body.rules, &pool.body.rules, &graph.body.rules]
        .into_iter()
        .cloned()
        .fold(encode::rules(settings.tokenizer, settings.finds_nouns()).and(pairs::rules()), Rules::and);
    let body = ShardsBody {
        rules,
        max_tokens: settings.max_tokens,
        seed: settings.seed,
        tokenizer: settings.tokenizer.entry(TOKENIZER),
        pool: PoolEntry {
            phrases: pool.body.phrases,
            lowest_score: pool.body.lowest_score,
            blake3: pool.data_blake3(),
        },
        corpus: Hash { blake3: corpus.data_blake3() },
        graph: Hash { blake3: graph.data_blake3() },
        options: ShardOptions { copies: corpus.body.options.copies, ..settings.shard_options() },
        resolved: Resolved { file: OPTIONS.to_owned(), blake3: blake3::hash(options.as_bytes()).to_hex().to_string() },
        shares: Shares::of(&counts.of_segments),
        counts,
    };
    let copies = [(TOKENIZER, settings.tokenizer.json()), (OPTIONS, options.as_bytes())];
    let manifest = Manifest::new(body, entries);
    if let Some(old) = old {
        if old.body == manifest.body && old.files == manifest.files {
            for (name, wanted) in copies {
                put_copy(&folder, name, wanted, hashes)?;
            }
            return Ok((old, Outcome::UpToDate));
        }
        store::remove(&folder.join(MANIFEST))?;
    }
    ledger.keep_only(&manifest.files)?;
    store::sweep(&folder, |name| copies.iter().any(|(copy, _)| name == *copy))?;
    for (name, bytes) in copies {
        store::write_file(&folder.join(name), bytes)?;
    }
    Ok((manifest.seal(&folder)?, Outcome::made(since, NEW.to_owned())))
}

/// Restores a small file that is missing; a changed one is refused.
fn put_copy(folder: &Path, name: &str, wanted: &[u8], hashes: &mut Hashes) -> Result<(), StoreError> {
    let (bytes, blake3) = (wanted.len() as u64, blake3::hash(wanted).to_hex().to_string());
    match hashes.verify(folder, &FileEntry { name: name.to_owned(), rows: 0, bytes, blake3 }) {
        Err(StoreError::Missing { path }) => store::write_file(&path, wanted).map(drop),
        other => other,
    }
}

/// The planned shards and pairs of these inputs and options.
pub fn plan(
    settings: StepSettings<'_>,
    corpus: &Manifest<CorpusBody>,
    pool: &Manifest<PoolBody>,
    graph: &Manifest<GraphBody>,
) -> Plan {
    let shards = encode::plan(settings, corpus, &pool.data_blake3());
    let pairs = pairs::plan(&shards, &graph.data_blake3(), settings.seed, &settings.shard_options());
    Plan { shards, pairs }
}

/// All tables of `OUT/shards`.
pub struct Plan {
    pub shards: Vec<encode::PlannedShard>,
    pub pairs: pairs::PlannedPairs,
}

/// The options of the shards, and those of corpus and pool that readers want to know. The pool's manifest has the
/// options of mining.
#[derive(Serialize)]
struct Options<'a> {
    max_tokens: u16,
    seed: u64,
    min_score: f64,
    min_score_single: f64,
    bucket_mib: u64,
    #[serde(flatten)]
    shards: &'a ShardOptions,
}

fn options_toml(settings: StepSettings<'_>, corpus: &CorpusBody, pool: &PoolBody) -> Result<String, ShardError> {
    let options = Options {
        max_tokens: settings.max_tokens,
        seed: settings.seed,
        min_score: pool.min_score,
        min_score_single: pool.min_score_single,
        bucket_mib: corpus.options.bucket_mib,
        shards: &ShardOptions { copies: corpus.options.copies, ..settings.shard_options() },
    };
    let toml = toml::to_string(&options).map_err(ShardError::Options)?;
    Ok(format!("# The options of these shards.\n{toml}"))
}
