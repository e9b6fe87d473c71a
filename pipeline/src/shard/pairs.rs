//! `OUT/shards/pairs-*.parquet`: associated products, each with a product that is not a neighbor.
//!
//! There is one row per association and draw. All draws are keyed by the association: its direction, its position in
//! the order, which rows of a hub stay, and its negative. Memory holds the edges ([`BYTES_PER_EDGE`] bytes each, and
//! 40 per further draw), and the ids and first segments of their products (48 bytes per product, and 2 per token, or 4
//! where ids have 32 bits).
//! Drawing negatives from categories takes 16 more bytes per product, and about 150 per category.
mod categories;
mod graph;
mod negatives;
mod rows;
mod texts;

use std::{fs, time::Instant};

use schemas::{
    Counts, FileEntry, Manifest, Pair, PairBuilderOf, PairProduct, Relation, Rules, StoreError, TokenId,
    create_pairs_of,
    manifest::{self, GraphBody, MANIFEST, ShardOptions},
    store,
};
use serde::{Deserialize, Serialize};

use self::{
    categories::Categories,
    graph::{Edge, Ends, Graph, ProductNumber},
    negatives::{FEWEST, Negative, Negatives},
    rows::choose,
    texts::FirstSegments,
};
use crate::{
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{Facts, NEW, Outcome, Progress, thousands},
    },
    settings::StepSettings,
    shard::{ShardError, encode},
};

/// Bytes of memory of an edge. It takes 20, its entries in the two neighbor lists 24, its key 16, its row 16, and its
/// draws 24.
pub const BYTES_PER_EDGE: u64 = 100;

/// Rows of one file.
const ROWS_PER_FILE: usize = 1 << 16;

/// The key of the pairs that some inputs and options give.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedPairs {
    made_from: String,
}

/// Counts of the pairs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PairCounts {
    /// Number of files.
    pub files: u32,
    /// Rows of all of them.
    pub rows: u64,
    /// Rows of each relation.
    #[serde(default)]
    pub relations: Counts,
    /// Rows left out, by reason.
    pub dropped: Counts,
    /// Rows by the category that their negative is from, if negatives are drawn from categories.
    #[serde(default)]
    pub negatives: Counts,
}

impl PairCounts {
    /// One line for the summary.
    pub(crate) fn described(&self) -> Facts {
        let pairs = format!("{} pairs", thousands(self.rows));
        let dropped = self.dropped.iter().map(|(reason, n)| format!("{} left out ({reason})", thousands(*n)));
        let mut parts: Vec<String> = std::iter::once(pairs).chain(dropped).collect();
        if !self.negatives.is_empty() {
            let counts = self.negatives.iter().map(|(from, n)| format!("{from} {}", thousands(*n)));
            parts.push(format!("negatives {}", counts.collect::<Vec<_>>().join(", ")));
        }
        Facts::new("step", parts.join("   "))
            .with("pairs", self.rows)
            .with("left_out", serde_json::json!(self.dropped))
            .with("negatives", serde_json::json!(self.negatives))
    }
}

/// Name of a file of pairs.
pub fn name_of(file: u32) -> String {
    format!("pairs-{file:05}.parquet")
}

/// Version of drawing. Raise it whenever the same graph and segments give other pairs.
pub const RULES: u32 = 3;

/// Versions of the code that decides pairs.
pub(crate) fn rules() -> Rules {
    Rules::of([("pairs", RULES)])
}

/// The pairs of these shards, graph, seed and options.
pub fn plan(shards: &[encode::PlannedShard], graph_blake3: &str, seed: u64, options: &ShardOptions) -> PlannedPairs {
    let mut hasher = blake3::Hasher::new();
    let (most, draws) = (options.max_per_product, options.draws);
    hasher.update(
        format!("pairs {} {seed} {most} {draws}\n{graph_blake3}\n{}\n", schemas::FORMAT, rules().key()).as_bytes(),
    );
    if options.negatives == manifest::Negatives::Category {
        hasher.update(format!("negatives category {FEWEST}\n").as_bytes());
    }
    for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
        hasher.update(shard.made_from.as_bytes());
    }
    PlannedPairs { made_from: hasher.finalize().to_hex().to_string() }
}

/// The files of finished pairs and their counts, if all of them exist with the planned content.
pub(crate) fn finished(
    ledger: &Ledger,
    planned: &PlannedPairs,
    hashes: &mut Hashes,
) -> Result<Option<(Vec<FileEntry>, PairCounts)>, StoreError> {
    let mut files = Vec::new();
    loop {
        let name = name_of(files.len() as u32);
        let Some(made) = ledger.finished::<PairCounts>(&name, &planned.made_from, hashes)? else { return Ok(None) };
        files.push(made.file);
        if files.len() >= made.counts.files as usize {
            return Ok(Some((files, made.counts)));
        }
    }
}

/// Draws the pairs, or finds that they are up to date.
pub fn make(
    settings: StepSettings<'_>,
    shards: &[encode::PlannedShard],
    graph: &Manifest<GraphBody>,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<(PairCounts, Outcome), ShardError> {
    let since = Instant::now();
    let (out, seed, options) = (&settings.out, settings.seed, &settings.shard_options());
    let folder = out.join("shards");
    let planned = plan(shards, &graph.data_blake3(), seed, options);
    let ledger = Ledger::open(out, "shards")?;
    if let Some((_, counts)) = finished(&ledger, &planned, hashes)? {
        return Ok((counts, Outcome::UpToDate));
    }
    store::remove(&folder.join(MANIFEST))?;
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let counts = if settings.tokenizer.has_wide_ids() {
        draw::<u32>(settings, shards, graph, &planned, &ledger, hashes, progress)?
    } else {
        draw::<u16>(settings, shards, graph, &planned, &ledger, hashes, progress)?
    };
    Ok((counts, Outcome::made(since, NEW.to_owned())))
}

/// Draws the pairs and writes their files, with ids of this width.
fn draw<I: TokenId>(
    settings: StepSettings<'_>,
    shards: &[encode::PlannedShard],
    graph: &Manifest<GraphBody>,
    planned: &PlannedPairs,
    ledger: &Ledger,
    hashes: &mut Hashes,
    progress: &Progress,
) -> Result<PairCounts, ShardError> {
    let (out, seed, options) = (&settings.out, settings.seed, &settings.shard_options());
    let folder = out.join("shards");
    let graph = Graph::load(out, graph, hashes)?;
    let numbers = graph.numbers();
    let texts = FirstSegments::<I>::load(&folder, shards, &numbers)?;
    let categories = match options.negatives {
        manifest::Negatives::Random => None,
        manifest::Negatives::Category => Some(Categories::load(&out.join("corpus"), shards, &numbers, &texts, hashes)?),
    };
    drop(numbers);
    let negatives = Negatives { graph: &graph, texts: &texts, categories: categories.as_ref() };
    let (mut rows, dropped) = choose(negatives, seed, options);
    rows.sort_unstable_by_key(|row| (row.key, row.edge, row.draw));
    let mut drawn_from = Counts::new();
    let mut drawn = Vec::with_capacity(rows.len());
    for row in &rows {
        let Some(Negative { product: negative, from }) = negatives.draw(row.edge, row.draw, seed) else { continue };
        let (Edge { relation, weight, .. }, ends) = (graph.edge(row.edge), graph.directed(row.edge, seed));
        drawn.push(DrawnPair { relation, weight, ends, negative });
        if categories.is_some() {
            *drawn_from.entry(from.to_string()).or_default() += 1;
        }
    }
    let counts = PairCounts {
        files: drawn.len().div_ceil(ROWS_PER_FILE).max(1) as u32,
        rows: drawn.len() as u64,
        relations: by_relation(&drawn),
        dropped,
        negatives: drawn_from,
    };
    let bar = progress.count("pairs", counts.rows);
    for file in 0..counts.files {
        let path = folder.join(name_of(file));
        let mut table = create_pairs_of::<I>(&path)?;
        let from = file as usize * ROWS_PER_FILE;
        for chunk in drawn[from..drawn.len().min(from + ROWS_PER_FILE)].chunks(1 << 11) {
            let mut batch = PairBuilderOf::default();
            for &DrawnPair { relation, weight, ends: Ends { anchor, neighbor }, negative } in chunk {
                let side = |number| PairProduct {
                    product: graph.product(number),
                    text_id: texts.text_id(number),
                    input_ids: texts.get(number),
                };
                let (anchor, neighbor, negative) = (side(anchor), side(neighbor), side(negative));
                batch.push(&Pair { relation, weight, anchor, neighbor, negative });
            }
            table.write_result(batch.finish())?;
            bar.inc(chunk.len() as u64);
        }
        let made = ledger.commit(table, &planned.made_from, counts.clone())?;
        hashes.remember(&path, &made.file.blake3)?;
    }
    bar.finish_and_clear();
    Ok(counts)
}

/// A row with its draws.
struct DrawnPair {
    relation: Relation,
    weight: Option<f32>,
    ends: Ends,
    negative: ProductNumber,
}

fn by_relation(drawn: &[DrawnPair]) -> Counts {
    let of = |relation| drawn.iter().filter(|pair| pair.relation == relation).count() as u64;
    let counts = Relation::ALL.into_iter().map(|relation| (relation.to_string(), of(relation)));
    counts.filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests;
