//! The seal: checks that every shard is there, hashes them, and writes the manifest last.
use std::{path::Path, time::Instant};

use schemas::{
    FileEntry, Manifest, ManifestError, StoreError,
    manifest::{CorpusBody, GraphBody, Hash, MANIFEST, PoolBody, PoolEntry, ShardCounts, ShardOptions, ShardsBody},
    store,
};

use super::{ShardError, encode};
use crate::{corpus::remove_others, graph::pairs, hashes::Hashes, progress::Outcome, text::Tokenizer};

/// Name of the copy of the tokenizer.
pub const TOKENIZER: &str = "tokenizer.json";

/// Name of the resolved options.
const OPTIONS: &str = "options.toml";

/// What the seal is to be put on.
pub struct Request<'a> {
    /// The folder of everything made.
    pub out: &'a Path,
    /// The tokenizer that gave the ids.
    pub tokenizer: &'a Tokenizer,
    /// Longest segment in tokens.
    pub max_tokens: u16,
    /// Seed of every draw.
    pub seed: u64,
    /// The rest.
    pub options: ShardOptions,
}

/// Seals the shards, or finds that they are sealed.
pub fn make(
    request: &Request<'_>,
    corpus: &Manifest<CorpusBody>,
    pool: &Manifest<PoolBody>,
    graph: &Manifest<GraphBody>,
    hashes: &mut Hashes,
) -> Result<(Manifest<ShardsBody>, Outcome), ShardError> {
    let since = Instant::now();
    let folder = request.out.join("shards");
    let old = match Manifest::<ShardsBody>::read(&folder, "make shards") {
        Err(ManifestError::Absent { .. }) => None,
        other => Some(other?),
    };
    let (planned, pairs) = parts(request, corpus, pool, graph);
    let mut counts = ShardCounts { rejected: corpus.body.counts.rejected.clone(), ..Default::default() };
    let mut missing = Vec::new();
    let mut names = Vec::new();
    for shard in &planned {
        match encode::finished(&folder, shard) {
            Some(of) => {
                counts.documents += of.documents;
                counts.segments += of.segments;
                counts.tokens += of.tokens;
                counts.phrase_spans += of.phrase_spans;
                counts.cut_spans += of.cut_spans;
                counts.noun_phrases += of.noun_phrases;
            }
            None => missing.push(shard.name.clone()),
        }
        names.push(shard.name.clone());
    }
    let pairs_made = pairs::finished(&folder, &pairs);
    match pairs_made {
        Some(of) => {
            counts.pairs = of.rows;
            counts.pairs_dropped = of.dropped;
            names.extend((0..of.files).map(pairs::name_of));
        }
        None => missing.push(pairs::name_of(0)),
    }
    if let Some(first) = missing.first() {
        return Err(ShardError::Unfinished {
            missing: missing.len(),
            planned: planned.len() + 1,
            first: first.clone(),
        });
    }
    let body = ShardsBody {
        max_tokens: request.max_tokens,
        seed: request.seed,
        tokenizer: request.tokenizer.entry(TOKENIZER),
        pool: PoolEntry {
            phrases: pool.body.phrases,
            lowest_score: pool.body.lowest_score,
            blake3: pool.data_blake3(),
        },
        corpus: Hash { blake3: corpus.data_blake3() },
        graph: Hash { blake3: graph.data_blake3() },
        options: request.options.clone(),
        counts,
    };
    if let Some(old) = old {
        if old.body == body && old.files.iter().map(|f| &f.name).eq(sorted(&names)) {
            for file in &old.files {
                hashes.verify(&folder, file, "make shards")?;
            }
            let copy = folder.join(TOKENIZER);
            if copy.is_file() && hashes.blake3(&copy)? == old.body.tokenizer.blake3 {
                return Ok((old, Outcome::UpToDate));
            }
        }
        store::remove(&folder.join(MANIFEST))?;
    }
    let mut entries = Vec::new();
    for name in names {
        let path = folder.join(&name);
        let bytes = std::fs::metadata(&path).map_err(StoreError::io("read", &path))?.len();
        entries.push(FileEntry { rows: store::rows_of(&path)?, bytes, blake3: hashes.blake3(&path)?, name });
    }
    remove_others(&folder, &entries)?;
    store::write_file(&folder.join(TOKENIZER), request.tokenizer.json())?;
    store::write_file(&folder.join(OPTIONS), options_toml(request, pool).as_bytes())?;
    let manifest = Manifest::new(body, entries).seal(&folder)?;
    Ok((manifest, Outcome::made(since, "is new".to_owned())))
}

fn sorted(names: &[String]) -> Vec<&String> {
    let mut names: Vec<&String> = names.iter().collect();
    names.sort();
    names
}

/// The shards and pairs that these inputs and options give.
pub fn parts(
    request: &Request<'_>,
    corpus: &Manifest<CorpusBody>,
    pool: &Manifest<PoolBody>,
    graph: &Manifest<GraphBody>,
) -> (Vec<encode::Planned>, pairs::Planned) {
    let planned = encode::plan(corpus, &pool.data_blake3(), request.tokenizer, request.max_tokens);
    let pairs = pairs::plan(&planned, &graph.data_blake3(), request.seed, &request.options);
    (planned, pairs)
}

fn options_toml(request: &Request<'_>, pool: &Manifest<PoolBody>) -> String {
    format!(
        "# The options that these shards were made with.\n\
         max_tokens = {}\nseed = {}\nmin_score = {:?}\nmin_score_single = {:?}\nnouns = {}\nmax_per_product = {}\ndraws = {}\n",
        request.max_tokens,
        request.seed,
        pool.body.min_score,
        pool.body.min_score_single,
        request.options.nouns,
        request.options.max_per_product,
        request.options.draws,
    )
}
