//! Some pairs with their titles and evidence, and how well the words of titles alone separate neighbors from negatives.
//!
//! The overlap of two titles is the Jaccard index of their sets of words. Its AUC is the probability that a neighbor
//! overlaps more with its anchor than the negative of any pair does with its own. A tie counts half. A model that
//! has learned nothing but equal words reaches it, so a trained one must be above it.
use std::{
    cmp::Ordering,
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
};

use schemas::{
    CorpusInteractionRows, Manifest, PairRowsOf, ReviewerId, TokenId, columns,
    manifest::{CorpusBody, ShardsBody},
    open_corpus_interactions, open_pairs_of,
    store::verify_file,
};

use super::InspectError;
use crate::engine::frames::read_sealed;

/// Pairs whose titles are compared. The rows are in a random order, so the first ones are a sample.
const SAMPLE: usize = 20_000;

/// The pairs of shards.
#[derive(Debug, Default, PartialEq)]
pub(super) struct PairSummary {
    /// The overlap of all sampled pairs, and of those of each relation.
    pub overlaps: Vec<TitleOverlap>,
    pub examples: Vec<PairExample>,
}

/// How well the overlap of titles separates neighbors from negatives.
#[derive(Debug, PartialEq)]
pub(super) struct TitleOverlap {
    /// A relation, or `all`.
    pub relation: String,
    pub pairs: usize,
    /// From 0 to 1; 0.5 is chance.
    pub auc: f64,
    /// The part of pairs whose neighbor overlaps more than their negative, where ties count half.
    pub nearer: f64,
}

/// A pair that is printed as an example.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct PairExample {
    pub relation: String,
    pub weight: Option<f32>,
    /// Those who reviewed both products, where there are interactions.
    pub users: Option<usize>,
    pub anchor: String,
    pub neighbor: String,
    pub negative: String,
}

/// The ids of a pair.
struct SampledPair {
    relation: String,
    weight: Option<f32>,
    anchor: String,
    neighbor: String,
    negative: String,
}

/// Reads the first pairs and the titles of their products. `None` without pairs.
pub(super) fn summarize(
    out: &Path,
    shards: &Manifest<ShardsBody>,
    corpus: &Manifest<CorpusBody>,
    examples: usize,
) -> Result<Option<PairSummary>, InspectError> {
    let pairs =
        if shards.body.tokenizer.has_wide_ids() { sample::<u32>(out, shards)? } else { sample::<u16>(out, shards)? };
    if pairs.is_empty() {
        return Ok(None);
    }
    let titles = titles(out, corpus, &pairs)?;
    let title = |id: &str| titles.get(id).map_or("", String::as_str);
    let words = |id: &str| words(title(id));
    let mut scores: BTreeMap<&str, Scores> = BTreeMap::new();
    for pair in &pairs {
        let anchor = words(&pair.anchor);
        let (neighbor, negative) = (jaccard(&anchor, &words(&pair.neighbor)), jaccard(&anchor, &words(&pair.negative)));
        for relation in ["all", pair.relation.as_str()] {
            let of_relation = scores.entry(relation).or_default();
            of_relation.neighbors.push(neighbor);
            of_relation.negatives.push(negative);
        }
    }
    let overlaps = scores.into_iter().map(|(relation, scores)| TitleOverlap {
        relation: relation.to_owned(),
        pairs: scores.neighbors.len(),
        nearer: scores.nearer(),
        auc: scores.auc(),
    });
    let shown = &pairs[..examples.min(pairs.len())];
    let reviewers = reviewers(out, corpus, shown)?;
    let examples = shown.iter().map(|pair| PairExample {
        relation: pair.relation.clone(),
        weight: pair.weight,
        users: reviewers.as_ref().map(|reviewers| {
            let of = |id: &str| reviewers.get(id);
            of(&pair.anchor).zip(of(&pair.neighbor)).map_or(0, |(a, b)| a.intersection(b).count())
        }),
        anchor: title(&pair.anchor).to_owned(),
        neighbor: title(&pair.neighbor).to_owned(),
        negative: title(&pair.negative).to_owned(),
    });
    Ok(Some(PairSummary { overlaps: overlaps.collect(), examples: examples.collect() }))
}

fn sample<I: TokenId>(out: &Path, shards: &Manifest<ShardsBody>) -> Result<Vec<SampledPair>, InspectError> {
    let mut pairs = Vec::new();
    for entry in shards.files.iter().filter(|file| file.name.starts_with("pairs-")) {
        let table = open_pairs_of::<I>(&verify_file(&out.join("shards"), entry)?)?;
        for rows in table.read::<PairRowsOf<I>>(1 << 12) {
            let rows = rows?;
            for row in 0..rows.len() {
                if pairs.len() == SAMPLE {
                    return Ok(pairs);
                }
                let pair = rows.get(row)?;
                pairs.push(SampledPair {
                    relation: pair.relation.to_string(),
                    weight: pair.weight,
                    anchor: pair.anchor.product.to_owned(),
                    neighbor: pair.neighbor.product.to_owned(),
                    negative: pair.negative.product.to_owned(),
                });
            }
        }
    }
    Ok(pairs)
}

/// The titles of the products of pairs.
fn titles(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    pairs: &[SampledPair],
) -> Result<HashMap<String, String>, InspectError> {
    let wanted: HashSet<&str> =
        pairs.iter().flat_map(|pair| [&pair.anchor, &pair.neighbor, &pair.negative]).map(String::as_str).collect();
    let mut titles = HashMap::new();
    for entry in corpus.files.iter().filter(|file| file.name.starts_with("products-")) {
        let schema = columns::corpus_products();
        let table = read_sealed(&out.join("corpus"), entry, &schema, &["product_id", "title"])?;
        let (ids, names) = (table.column("product_id")?.str()?, table.column("title")?.str()?);
        let rows = ids.iter().zip(names.iter()).filter_map(|(id, title)| id.zip(title));
        titles.extend(rows.filter(|(id, _)| wanted.contains(id)).map(|(id, title)| (id.to_owned(), title.to_owned())));
    }
    Ok(titles)
}

/// The reviewers of the anchors and neighbors of pairs. `None` where the corpus has no interactions.
fn reviewers<'p>(
    out: &Path,
    corpus: &Manifest<CorpusBody>,
    pairs: &'p [SampledPair],
) -> Result<Option<HashMap<&'p str, HashSet<ReviewerId>>>, InspectError> {
    if corpus.body.counts.interactions == 0 || pairs.is_empty() {
        return Ok(None);
    }
    let ids = pairs.iter().flat_map(|pair| [&pair.anchor, &pair.neighbor]);
    let mut reviewers: HashMap<&str, HashSet<ReviewerId>> = ids.map(|id| (id.as_str(), HashSet::new())).collect();
    for entry in corpus.files.iter().filter(|file| file.name.starts_with("interactions-")) {
        let table = open_corpus_interactions(&verify_file(&out.join("corpus"), entry)?)?;
        for rows in table.read::<CorpusInteractionRows>(1 << 13) {
            for interaction in rows?.iter() {
                if let Some(of_product) = reviewers.get_mut(interaction.product_id) {
                    of_product.insert(interaction.reviewer);
                }
            }
        }
    }
    Ok(Some(reviewers))
}

fn words(title: &str) -> HashSet<String> {
    let words = title.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
    words.map(str::to_lowercase).collect()
}

/// From 0, for no common word, to 1.
fn jaccard(a: &HashSet<String>, b: &HashSet<String>) -> f64 {
    let common = a.intersection(b).count();
    common as f64 / (a.len() + b.len() - common).max(1) as f64
}

/// Overlaps of anchors with their neighbors and with their negatives.
#[derive(Default)]
struct Scores {
    neighbors: Vec<f64>,
    negatives: Vec<f64>,
}

impl Scores {
    fn nearer(&self) -> f64 {
        let pairs = self.neighbors.iter().zip(&self.negatives);
        let wins = pairs.map(|(neighbor, negative)| match neighbor.total_cmp(negative) {
            Ordering::Greater => 1.0,
            Ordering::Equal => 0.5,
            Ordering::Less => 0.0,
        });
        wins.sum::<f64>() / self.neighbors.len().max(1) as f64
    }

    /// The area under the curve of true against false positives: the probability that a neighbor scores higher than
    /// a negative, where ties count half.
    fn auc(mut self) -> f64 {
        self.negatives.sort_unstable_by(f64::total_cmp);
        let below: usize = self
            .neighbors
            .iter()
            .map(|score| {
                let lower = self.negatives.partition_point(|other| other < score);
                lower + self.negatives.partition_point(|other| other <= score)
            })
            .sum();
        below as f64 / 2.0 / (self.neighbors.len() * self.negatives.len()).max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_auc_counts_pairs_of_scores(neighbors in prop::collection::vec(0u8..5, 1..20), negatives in prop::collection::vec(0u8..5, 1..20)) {
            let scores = |values: &[u8]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
            let mut wanted = 0.0;
            for a in &neighbors {
                wanted += negatives.iter().map(|b| if a > b { 1.0 } else if a == b { 0.5 } else { 0.0 }).sum::<f64>();
            }
            wanted /= (neighbors.len() * negatives.len()) as f64;
            let found = Scores { neighbors: scores(&neighbors), negatives: scores(&negatives) }.auc();
            prop_assert!((found - wanted).abs() < 1e-12);
        }
    }

    #[test]
    fn the_overlap_is_of_words() {
        let overlap = |a: &str, b: &str| jaccard(&words(a), &words(b));
        let scores = Scores { neighbors: vec![0.5, 0.2, 0.1], negatives: vec![0.1, 0.2, 0.3] };
        assert_eq!(scores.nearer(), 0.5);
        assert_eq!(overlap("Green tea, loose", "LOOSE black tea!"), 0.5);
        assert_eq!((overlap("", ""), overlap("tea", "tea tea"), overlap("tea", "mug")), (0.0, 1.0, 0.0));
    }
}
