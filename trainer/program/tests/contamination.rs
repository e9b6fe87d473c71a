//! Which test texts occur in what is trained on.
mod support;

use ebert_batches::{Corpus, Shards};
use ebert_tasks::contamination::{Contamination, FEWEST, RUN, contamination};
use support::{Place, ids};

/// Of texts as they are found in tests, those that occur in what is trained on: by a search for
/// every run in every document.
#[test]
fn contamination_is_what_a_naive_search_finds() {
    let place = Place::new();
    let shards = Shards::open(&place.path("shards"), 0.1, |_| ()).unwrap();
    let mut trained: Vec<Vec<u32>> = Vec::new();
    for corpus in [Corpus::Products, Corpus::Reviews] {
        shards.each_trained_segment(corpus, |segment| trained.push(segment.input_ids.to_vec())).unwrap();
    }
    let all = [("products", 120), ("reviews", 200)].into_iter();
    let texts = all.flat_map(|(kind, documents)| (0..documents).map(move |document| ids(document, kind)));
    let mut tests: Vec<Vec<u32>> = texts.filter(|text| !trained.contains(text)).collect();
    for (number, text) in trained.iter().enumerate() {
        // A part of a text, one with other tokens around it, and one that is changed in the middle.
        tests.push(text[..text.len().min(number % 30)].to_vec());
        tests.push([&[7, 7, 9][..], text, &[8]].concat());
        let mut changed = text.clone();
        changed[text.len() / 2] = 60;
        tests.push(changed);
    }
    let mut wanted = Contamination::default();
    for text in &tests {
        if text.len() < FEWEST {
            wanted.short += 1;
            continue;
        }
        let runs = text.windows(text.len().min(RUN));
        let occurs = |run: &[u32]| trained.iter().any(|text| text.windows(run.len()).any(|window| window == run));
        let (all, seen) = (runs.len(), runs.filter(|run| occurs(run)).count());
        wanted.texts += 1;
        wanted.shared += usize::from(seen > 0);
        wanted.mostly += usize::from(2 * seen >= all);
    }
    assert!(wanted.mostly < wanted.shared && wanted.shared < wanted.texts && wanted.short > 0, "{wanted:?}");
    let found = contamination(&shards, &[Vec::new(), tests]).unwrap();
    assert_eq!(found, [Contamination::default(), wanted]);
}
