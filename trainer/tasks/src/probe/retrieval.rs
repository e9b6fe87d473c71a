//! How high a held-out product ranks its neighbor among 1,000 products that are none, half of them
//! from its own category.
//!
//! A model ranks by the cosine of mean hidden states, and by the distance of Neighbor Product
//! Reconstruction (eqs. 8-11), as the model's recipe defines it. That distance compares all tokens
//! of two products, so it is computed for fewer anchors. Words alone rank as well, as baselines:
//! overlap, tf-idf and BM25.
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    path::Path,
};

use ebert_batches::{Bags, Ranks, Shards, rank};
use schemas::{Draws, TextId};
use serde_json::{Value, json};
use tch::Tensor;

use super::{
    Probe, ProbeError, Probing,
    catalogue::{Catalogue, Edge, edges},
    distance::NeighborDistance,
    nearest::normalized,
    record::{Outcome, Score},
};

/// Anchors at most.
const MOST_ANCHORS: usize = 1_000;
/// Of these, how many the distance of NPR is computed for.
const NPR_ANCHORS: usize = 500;
/// Products that a neighbor is ranked among.
const CANDIDATES: usize = 1_000;
/// Products that the half from any category is taken from. Anchors share them, so that fewer texts
/// are encoded.
const POOL: usize = 2_000;
/// Numbers of hidden states that are held at a time, with float32: 1 GiB.
const MOST_VALUES: usize = 1 << 28;
/// Anchors from one progress message to the next.
const ANCHORS_PER_MESSAGE: usize = 100;

/// A held-out product, one neighbor by each of its relations, and products that are not its
/// neighbors. Products are numbered as the texts.
#[derive(Debug)]
struct Question {
    anchor: usize,
    neighbors: Vec<(String, usize)>,
    candidates: Vec<usize>,
}

impl Question {
    /// Ranks of the neighbors, where `similarities` are those of neighbors and then candidates.
    fn ranks(&self, similarities: &[f64]) -> Vec<f64> {
        let (neighbors, candidates) = similarities.split_at(self.neighbors.len());
        neighbors.iter().map(|&similarity| rank(similarity, candidates.iter().copied())).collect()
    }

    /// Neighbors and then candidates.
    fn others(&self) -> impl Iterator<Item = usize> {
        self.neighbors.iter().map(|(_, product)| *product).chain(self.candidates.iter().copied())
    }
}

/// What is compared.
#[derive(Debug)]
pub struct Retrieval {
    questions: Vec<Question>,
    products: Vec<String>,
    texts: Vec<String>,
    /// Tokens of a text at most.
    most_tokens: usize,
    /// Ranks by words alone, question after question.
    baselines: [(&'static str, Vec<f64>); 3],
}

/// A question by the ids of its products.
struct Drawn {
    anchor: String,
    neighbors: Vec<(String, String)>,
    candidates: Vec<String>,
}

impl Retrieval {
    /// Draws anchors among the products that are held out, with their neighbors and candidates. All
    /// draws are keyed, so that every model gets the same questions. `None` where no held-out
    /// product has an association.
    ///
    /// # Errors
    /// When files of `out` cannot be read.
    pub fn draw(out: &Path, catalogue: &Catalogue, shards: &Shards, seed: u64) -> Result<Option<Self>, ProbeError> {
        let drawn = draw(out, catalogue, shards, seed)?;
        if drawn.is_empty() {
            return Ok(None);
        }
        let of_question = |q: &Drawn| {
            let neighbors = q.neighbors.iter().map(|(_, product)| product);
            neighbors.chain(&q.candidates).chain([&q.anchor]).cloned().collect::<Vec<_>>()
        };
        let products: BTreeSet<String> = drawn.iter().flat_map(of_question).collect();
        let mut texts = catalogue.texts(&products.iter().map(String::as_str).collect())?;
        let products: Vec<String> = products.into_iter().collect();
        let texts: Vec<String> = products.iter().map(|product| texts.remove(product).unwrap_or_default()).collect();
        let place: HashMap<&str, usize> = products.iter().map(String::as_str).zip(0..).collect();
        let question = |drawn: Drawn| Question {
            anchor: place[drawn.anchor.as_str()],
            neighbors: drawn.neighbors.into_iter().map(|(relation, id)| (relation, place[id.as_str()])).collect(),
            candidates: drawn.candidates.iter().map(|id| place[id.as_str()]).collect(),
        };
        let questions: Vec<Question> = drawn.into_iter().map(question).collect();
        let bags = Bags::of_texts(texts.iter().map(String::as_str));
        let by = |similarity: &dyn Fn(usize, usize) -> f64| -> Vec<f64> {
            let of_question = |question: &Question| {
                let all: Vec<f64> = question.others().map(|other| similarity(question.anchor, other)).collect();
                question.ranks(&all)
            };
            questions.iter().flat_map(of_question).collect()
        };
        let baselines = [
            ("word overlap", by(&|a, b| bags.overlap(a, b))),
            ("tf-idf", by(&|a, b| bags.tf_idf(a, b))),
            ("BM25", by(&|a, b| bags.bm25(a, b))),
        ];
        let most_tokens = usize::from(shards.manifest().body.max_tokens);
        Ok(Some(Self { questions, products, texts, most_tokens, baselines }))
    }

    /// Ranks by the cosine of mean states.
    fn by_cosine(&self, probing: &Probing<'_>, texts: &[Vec<u32>]) -> Result<Vec<f64>, ProbeError> {
        let means = normalized(&probing.frozen.means(texts));
        let mut ranks = Vec::new();
        for question in &self.questions {
            let rows: Vec<i64> = question.others().map(|other| other as i64).collect();
            let others = means.index_select(0, &Tensor::from_slice(&rows));
            let cosines: Vec<f64> = Vec::try_from(others.mv(&means.get(question.anchor as i64)))?;
            ranks.extend(question.ranks(&cosines));
        }
        probing.export("retrieval", &[("means", &means)])?;
        Ok(ranks)
    }

    /// Ranks by the distance of NPR, of the first questions.
    fn by_distance(&self, probing: &Probing<'_>, texts: &[Vec<u32>]) -> Result<Vec<f64>, ProbeError> {
        let distance = NeighborDistance::read(probing.folder, probing.frozen.model().encoder().device())?;
        let questions = &self.questions[..self.questions.len().min(NPR_ANCHORS)];
        let most_tokens = MOST_VALUES / probing.frozen.width() as usize;
        let (mut ranks, mut rest) = (Vec::new(), questions);
        while !rest.is_empty() {
            let (wanted, count) = first_within(rest, most_tokens, |product| texts[product].len());
            let wanted_texts: Vec<Vec<u32>> = wanted.iter().map(|&product| texts[product].clone()).collect();
            let states = probing.frozen.contents(&wanted_texts).into_iter().map(|states| distance.states(&states));
            let states: HashMap<usize, Tensor> = wanted.into_iter().zip(states).collect();
            for (number, question) in (questions.len() - rest.len()..).zip(&rest[..count]) {
                if number % ANCHORS_PER_MESSAGE == 0 {
                    probing.say(&format!("retrieval, distance of NPR: anchor {number} of {}", questions.len()));
                }
                let others: Vec<Tensor> = question.others().map(|other| states[&other].shallow_clone()).collect();
                let distances = distance.to_each(&states[&question.anchor], &others)?;
                let similarities: Vec<f64> = distances.into_iter().map(|distance| -distance).collect();
                ranks.extend(question.ranks(&similarities));
            }
            rest = &rest[count..];
        }
        Ok(ranks)
    }

    /// The relation of each neighbor that is ranked.
    fn relations(&self) -> Vec<&str> {
        self.questions.iter().flat_map(|q| q.neighbors.iter().map(|(relation, _)| relation.as_str())).collect()
    }
}

impl Probe for Retrieval {
    fn name(&self) -> String {
        "retrieval".to_owned()
    }

    fn items(&self) -> Value {
        let pairs =
            || self.questions.iter().flat_map(|q| q.neighbors.iter().map(move |(_, product)| (q.anchor, *product)));
        let ids = |of: fn((usize, usize)) -> usize| pairs().map(|pair| &self.products[of(pair)]).collect::<Vec<_>>();
        let mut items = json!({"anchor": ids(|(a, _)| a), "neighbor": ids(|(_, b)| b), "relation": self.relations()});
        for (name, ranks) in &self.baselines {
            items[*name] = json!(ranks);
        }
        items
    }

    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError> {
        let texts = self.texts.iter().map(|text| probing.frozen.encode(text, self.most_tokens));
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        probing.say(&format!("retrieval: {} products", texts.len()));
        let cosine = self.by_cosine(probing, &texts)?;
        let distance = self.by_distance(probing, &texts)?;
        if let Some(folder) = probing.export {
            let questions: Vec<Value> = self
                .questions
                .iter()
                .map(|q| json!({"anchor": q.anchor, "neighbors": q.neighbors, "candidates": q.candidates}))
                .collect();
            let text = json!({"texts": self.texts, "questions": questions}).to_string();
            schemas::store::write_file(&folder.join("retrieval.json"), text.as_bytes())?;
        }
        let relations = self.relations();
        let first = &relations[..distance.len()];
        let mut scores = rows("cosine", &cosine, &relations);
        scores.extend(rows("NPR distance", &distance, first));
        // The model on the anchors that have a distance.
        scores.extend(summary(&format!("cosine, first {NPR_ANCHORS} anchors"), &cosine[..distance.len()]));
        for (name, ranks) in &self.baselines {
            scores.extend(rows(name, ranks, &relations));
        }
        Ok(Outcome::new(scores, json!({"cosine": cosine, "NPR distance": distance})))
    }
}

/// The products of the first questions, and how many questions these are: at least one, and as many as have no more
/// tokens together.
fn first_within(
    questions: &[Question],
    most_tokens: usize,
    tokens: impl Fn(usize) -> usize,
) -> (BTreeSet<usize>, usize) {
    let (mut products, mut sum) = (BTreeSet::new(), 0);
    for (count, question) in questions.iter().enumerate() {
        let own: BTreeSet<usize> = question.others().chain([question.anchor]).collect();
        let new: Vec<usize> = own.into_iter().filter(|product| !products.contains(product)).collect();
        sum += new.iter().map(|&product| tokens(product)).sum::<usize>();
        if count > 0 && sum > most_tokens {
            return (products, count);
        }
        products.extend(new);
    }
    (products, questions.len())
}

/// The scores of ranks, of all and by relation.
fn rows(name: &str, ranks: &[f64], relations: &[&str]) -> Vec<Score> {
    let mut rows: Vec<Score> = summary(name, ranks).into();
    let mut of: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    relations.iter().zip(ranks).for_each(|(relation, rank)| of.entry(relation).or_default().push(*rank));
    rows.extend(of.iter().flat_map(|(relation, ranks)| summary(&format!("{name}, {relation}"), ranks)));
    rows
}

fn summary(name: &str, ranks: &[f64]) -> [Score; 3] {
    let Ranks { mrr, recall_at_1, recall_at_10 } = Ranks::of(ranks);
    [("MRR", mrr), ("recall@1", recall_at_1), ("recall@10", recall_at_10)]
        .map(|(score, value)| Score::ratio(format!("{name}, {score}"), value))
}

/// Questions, in the keyed order of their anchors.
fn draw(out: &Path, catalogue: &Catalogue, shards: &Shards, seed: u64) -> Result<Vec<Drawn>, ProbeError> {
    let known = |product: &str| catalogue.products.get(product);
    let held_out = |product: &str| known(product).is_some_and(|known| shards.is_held_out(known.text_id));
    let edges = edges(out, |a, b| known(a).is_some() && known(b).is_some() && (held_out(a) || held_out(b)))?;
    let mut neighbors: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for Edge { products: [a, b], relation } in &edges {
        for (anchor, neighbor) in [(a, b), (b, a)].into_iter().filter(|(anchor, _)| held_out(anchor)) {
            neighbors.entry(anchor).or_default().push((relation.as_str(), neighbor));
        }
    }
    let key = |purpose: &str, id: &str| Draws::new(seed, purpose, id.as_bytes()).next_u64();
    let mut anchors: Vec<&str> = neighbors.keys().copied().collect();
    anchors.sort_by_key(|anchor| (key("probe-anchor", anchor), *anchor));
    anchors.truncate(MOST_ANCHORS);
    let mut all: Vec<&str> = catalogue.products.keys().map(String::as_str).collect();
    all.sort_by_key(|product| (key("probe-candidate", product), *product));
    let mut of_category: HashMap<u32, Vec<&str>> = HashMap::new();
    for &product in &all {
        if let Some(category) = catalogue.products[product].category {
            of_category.entry(category).or_default().push(product);
        }
    }
    all.truncate(POOL);
    let question = |anchor: &str| {
        let of_anchor = &neighbors[anchor];
        // No copy of the anchor or of any of its neighbors is a candidate.
        let related = of_anchor.iter().map(|(_, product)| *product).chain([anchor]);
        let mut texts: HashSet<TextId> = related.map(|product| catalogue.products[product].text_id).collect();
        let mut candidates = Vec::new();
        let category = catalogue.products[anchor].category.and_then(|category| of_category.get(&category));
        for (from, most) in [(category, CANDIDATES / 2), (Some(&all), CANDIDATES)] {
            let Some(from) = from else { continue };
            // Each anchor starts elsewhere in the keyed order.
            let start = (key("probe-start", anchor) % from.len() as u64) as usize;
            for product in from[start..].iter().chain(&from[..start]) {
                if candidates.len() == most {
                    break;
                }
                if texts.insert(catalogue.products[*product].text_id) {
                    candidates.push((*product).to_owned());
                }
            }
        }
        let mut chosen: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
        for (relation, product) in of_anchor {
            let drawn = (key("probe-neighbor", &format!("{anchor}\0{product}")), *product);
            let least = chosen.entry(relation).or_insert(drawn);
            *least = drawn.min(*least);
        }
        let neighbors = chosen.into_iter().map(|(relation, (_, product))| (relation.to_owned(), product.to_owned()));
        Drawn { anchor: anchor.to_owned(), neighbors: neighbors.collect(), candidates }
    };
    Ok(anchors.into_iter().map(question).filter(|question| !question.candidates.is_empty()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_several_questions_are_counted_once() {
        let question = |anchor: usize, neighbor: usize, candidates: &[usize]| Question {
            anchor,
            neighbors: vec![("substitute".to_owned(), neighbor)],
            candidates: candidates.to_vec(),
        };
        let questions = [question(0, 1, &[2, 3]), question(1, 0, &[2, 4]), question(5, 6, &[7])];
        let within = |most: usize| {
            let (products, count) = first_within(&questions, most, |_| 10);
            (products.len(), count)
        };
        // Never none, and the third has three products that the others do not have.
        assert_eq!([0, 49, 50, 79, 80].map(within), [(4, 1), (4, 1), (5, 2), (5, 2), (8, 3)]);
    }
}
