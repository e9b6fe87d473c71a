//! The stream of batches: every row once per epoch, in an order that a position finds again.
#[path = "support/shards.rs"]
#[allow(dead_code, reason = "not every test uses every helper")]
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ebert_batches::{
    Batch, Corpus, HeldOut, HeldOutPairs, PairBatch, PairPlan, Position, Segment, SegmentPlan, SequenceFormat, Shards,
    StepSize,
    masking::{MaskMode, Masking, MaskingOptions},
    pair_batches, segment_batches,
};
use schemas::{DocumentId, Manifest, manifest::ShardsBody};
use support::{Form, document_id, ids, seal_shards, seal_shards_as, text_id};
use tempfile::TempDir;

/// A folder of shards.
fn place() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    seal_shards(folder.path());
    folder
}

const HELD_OUT: f64 = 0.1;

fn open(place: &TempDir) -> (Arc<Shards>, Arc<Masking>) {
    let shards = Shards::open(place.path(), HELD_OUT, |_| ()).unwrap();
    let masking = Masking::new(MaskingOptions::default(), shards.vocabulary().clone(), 0.5);
    (Arc::new(shards), Arc::new(masking))
}

fn plan(corpora: &[Corpus]) -> SegmentPlan {
    SegmentPlan {
        corpora: corpora.to_vec(),
        size: StepSize::Sequences(7),
        mix: 3,
        modes: vec![MaskMode::Word, MaskMode::Phrase],
        seed: 4,
        text_pairs: 0.0,
        format: SequenceFormat::Bert,
        epochs_before: 0,
    }
}

const BOTH: [Corpus; 2] = [Corpus::Products, Corpus::Reviews];

/// The batches of the first epochs.
fn epochs(place: &TempDir, plan: SegmentPlan, epochs: u32) -> Vec<Batch> {
    let (shards, masking) = open(place);
    let mut batches = segment_batches(&shards, &masking, plan, Position::default()).unwrap();
    std::iter::repeat_with(|| batches.next_batch().unwrap()).take_while(|batch| batch.epoch < epochs).collect()
}

/// The text of every document, by id.
fn texts() -> BTreeMap<DocumentId, Vec<u32>> {
    let text = |kind: &'static str, documents| (0..documents).map(move |d| (document_id(d, kind), ids(d, kind)));
    text("products", 120).chain(text("reviews", 200)).collect()
}

#[test]
fn an_epoch_has_every_document_that_is_not_held_out_once() {
    let place = place();
    let (shards, _) = open(&place);
    for (corpora, kinds) in [(&BOTH[..], &["products", "reviews"][..]), (&BOTH[..1], &["products"])] {
        // By text, so that no text that is held out is trained on in another document.
        let all = kinds.iter().flat_map(|kind| {
            let documents = 0..if *kind == "products" { 120 } else { 200 };
            documents.map(|d| (document_id(d, kind), text_id(d, kind)))
        });
        let wanted: BTreeSet<DocumentId> =
            all.filter(|(_, text)| !shards.is_held_out(*text)).map(|(document, _)| document).collect();
        let batches = epochs(&place, plan(corpora), 2);
        let of_epoch = |epoch| batches.iter().filter(move |b| b.epoch == epoch).flat_map(|b| b.documents.clone());
        for epoch in 0..2 {
            assert_eq!(of_epoch(epoch).collect::<BTreeSet<_>>(), wanted);
            assert_eq!(of_epoch(epoch).count(), wanted.len());
            // All batches of an epoch but the last are full.
            let sizes: Vec<usize> = batches.iter().filter(|b| b.epoch == epoch).map(|b| b.lengths.len()).collect();
            assert!(sizes[..sizes.len() - 1].iter().all(|n| *n == 7) && sizes.len() == wanted.len().div_ceil(7));
        }
        assert!(!of_epoch(0).eq(of_epoch(1)), "each epoch has its order");
    }
}

#[test]
fn what_was_hidden_is_what_stood_there() {
    let place = place();
    let texts = texts();
    for batch in epochs(&place, plan(&BOTH), 1) {
        assert!(batch.lengths.is_sorted_by(|a, b| a >= b));
        for masked in &batch.masked {
            let mut row = masked.input_ids.clone();
            for (&at, &label) in masked.selected.iter().zip(&masked.labels) {
                row[at as usize] = label;
            }
            let wanted: Vec<u32> =
                batch.documents.iter().flat_map(|id| [&[2], texts[id].as_slice(), &[3]].concat()).collect();
            assert_eq!(row, wanted);
            assert!(!masked.selected.is_empty());
        }
    }
}

#[test]
fn other_vocabularies_hide_the_same_words() {
    let plain = place();
    let all = epochs(&plain, plan(&BOTH), 1);
    for form in [Form::Wide, Form::ByteLevel] {
        let place = tempfile::tempdir().unwrap();
        seal_shards_as(form, place.path());
        let vocabulary = Shards::open(place.path(), HELD_OUT, |_| ()).unwrap().vocabulary().clone();
        assert_eq!(vocabulary.tokens(), form.tokens());
        let found = epochs(&place, plan(&BOTH), 1);
        assert_eq!(found.len(), all.len());
        let (mut masks, mut random) = (0, 0);
        for (batch, wanted) in found.iter().zip(&all) {
            assert_eq!((&batch.documents, &batch.lengths), (&wanted.documents, &wanted.lengths));
            for (masked, wanted) in batch.masked.iter().zip(&wanted.masked) {
                assert_eq!((&masked.selected, &masked.units), (&wanted.selected, &wanted.units));
                assert_eq!((&masked.taken_as, masked.mode), (&wanted.taken_as, wanted.mode));
                let ids = |row: &[u32]| row.iter().map(|&id| form.id(id)).collect::<Vec<_>>();
                assert_eq!(masked.labels, ids(&wanted.labels));
                // A random token may be any that is text.
                for (&id, &wanted) in masked.input_ids.iter().zip(&ids(&wanted.input_ids)) {
                    assert!(id == wanted || vocabulary.ordinary().contains(&id), "{id}, expected {wanted}");
                    masks += u32::from(id == vocabulary.special.mask);
                    random += u32::from(id != wanted);
                }
            }
        }
        assert!(masks > 500 && (form == Form::ByteLevel || random > 20), "{masks} {random}");
        // Held-out words and pairs are the same, too.
        let [here, there] = [&place, &plain].map(|place| {
            let (shards, _) = open(place);
            (HeldOut::load(&shards, 100, 8).unwrap(), HeldOutPairs::load(&shards, 100, 8).unwrap())
        });
        let selected = |held_out: &HeldOut| -> Vec<Vec<u32>> {
            held_out.sets.iter().flat_map(|set| &set.batches).map(|(_, masked)| masked.selected.clone()).collect()
        };
        assert_eq!(selected(&here.0), selected(&there.0));
        assert_eq!(here.1.retrieval.candidates(), there.1.retrieval.candidates());
        assert_eq!(here.1.retrieval.word_overlap, there.1.retrieval.word_overlap);
    }
}

#[test]
fn words_come_from_the_shards_or_from_the_vocabulary() {
    let place = tempfile::tempdir().unwrap();
    seal_shards_as(Form::ByteLevel, place.path());
    let starts = |place: &TempDir| -> Vec<Vec<u16>> {
        let (shards, _) = open(place);
        let mut starts = Vec::new();
        let mut visit = |segment: &Segment<'_>| starts.push(segment.word_starts.to_vec());
        shards.each_trained_segment(Corpus::Products, &mut visit).unwrap();
        starts
    };
    let plain = self::place();
    assert_eq!(starts(&place), starts(&plain));
    // Without stored words nothing marks where they start.
    let mut manifest = Manifest::<ShardsBody>::read(plain.path()).unwrap();
    manifest.body.tokenizer.continuation_ids.clear();
    let (body, files) = (manifest.body, manifest.files);
    std::fs::remove_file(plain.path().join("manifest.json")).unwrap();
    Manifest::new(body, files).seal(plain.path()).unwrap();
    let (shards, _) = open(&plain);
    let error = shards.each_trained_segment(Corpus::Products, |_| ()).unwrap_err().to_string();
    assert!(error.contains("has no word starts, and its vocabulary does not mark them\nhint: "), "{error}");
}

#[test]
fn every_position_finds_the_same_rest() {
    let place = place();
    let (shards, masking) = open(&place);
    for size in [StepSize::Sequences(7), StepSize::Tokens(150)] {
        let plan = || SegmentPlan { size, ..plan(&BOTH) };
        let all = epochs(&place, plan(), 3);
        for at in (0..all.len() - 6).step_by(5) {
            let mut batches = segment_batches(&shards, &masking, plan(), all[at].after).unwrap();
            for wanted in &all[at + 1..at + 6] {
                assert_eq!(&batches.next_batch().unwrap(), wanted);
            }
        }
    }
}

#[test]
fn a_fraction_of_the_segments_becomes_two_texts() {
    let place = place();
    let (shards, masking) = open(&place);
    let plan = |text_pairs| SegmentPlan { text_pairs, ..plan(&BOTH) };
    let (none, half) = (epochs(&place, plan(0.0), 2), epochs(&place, plan(0.5), 2));
    let longest = usize::from(shards.manifest().body.max_tokens) + 2;
    let (mut pairs, mut sequences) = (0, 0);
    for (whole, batch) in none.iter().zip(&half) {
        // The same documents at the same steps, with as many tokens of text.
        let documents = |batch: &Batch| batch.documents.iter().copied().collect::<BTreeSet<_>>();
        assert_eq!((documents(whole), whole.after), (documents(batch), batch.after));
        assert_eq!(whole.content_tokens(), batch.content_tokens());
        assert_eq!(whole.text_pairs, 0);
        assert!(batch.lengths.iter().all(|&length| length <= longest) && batch.lengths.is_sorted_by(|a, b| a >= b));
        for masked in &batch.masked {
            assert_eq!(masked.types.len(), if batch.text_pairs == 0 { 0 } else { masked.input_ids.len() });
            let separators = masked.input_ids.iter().filter(|&&id| id == 3).count();
            assert_eq!(separators, batch.lengths.len() + batch.text_pairs);
        }
        pairs += batch.text_pairs;
        sequences += batch.lengths.len();
    }
    assert!((2 * sequences / 5..3 * sequences / 5).contains(&pairs), "{pairs} of {sequences}");

    // A position finds the same rest, and parts of a batch have its types.
    let mut rest = segment_batches(&shards, &masking, plan(0.5), half[4].after).unwrap();
    assert_eq!(&rest.next_batch().unwrap(), &half[5]);
    for batch in &half {
        for part in batch.parts(MaskMode::Word, 0..batch.lengths.len(), 50) {
            let (lengths, masked) = part;
            assert!(masked.types.is_empty() || masked.types.len() == lengths.iter().sum::<usize>());
            let second = masked.types.iter().filter(|&&t| t == 1).count();
            assert_eq!(second == 0, masked.input_ids.iter().filter(|&&id| id == 3).count() == lengths.len());
        }
    }
}

#[test]
fn a_step_of_tokens_holds_the_sequences_that_begin_in_it() {
    let place = place();
    let (shards, _) = open(&place);
    let all: u64 = BOTH.iter().map(|&corpus| shards.trained_tokens(corpus).unwrap()).sum();
    for size in 140..160 {
        let batches = epochs(&place, SegmentPlan { size: StepSize::Tokens(size), ..plan(&BOTH) }, 2);
        for epoch in 0..2 {
            let mut end = 0;
            let of_epoch: Vec<&Batch> = batches.iter().filter(|b| b.epoch == epoch).collect();
            for (number, batch) in of_epoch.iter().enumerate() {
                let tokens: usize = batch.lengths.iter().sum();
                assert!((end..end + tokens).contains(&(number * size)) || end > number * size, "{number}");
                end += tokens;
                // The last of a step begins in it; where the last of all begins before the last
                // step, that has it alone.
                let alone = number + 2 == of_epoch.len() && of_epoch[number + 1].lengths.len() == 1;
                assert!(end >= (number + 1) * size || number + 1 == of_epoch.len() || alone);
                assert!(end - batch.lengths.iter().max().unwrap() < (number + 1) * size);
            }
            assert_eq!(end as u64, all);
            assert_eq!(of_epoch.len() as u64, all.div_ceil(size as u64), "{size}");
        }
    }
}

#[test]
fn parts_of_a_batch_are_the_batch() {
    let place = place();
    for batch in epochs(&place, plan(&BOTH), 1) {
        let whole = batch.in_mode(MaskMode::Phrase);
        for (ranks, at_once) in [(1, 0), (1, 40), (2, 0), (3, 25)] {
            let parts: Vec<_> = (0..ranks)
                .flat_map(|rank| {
                    let share = (rank..batch.lengths.len()).step_by(ranks);
                    batch.parts(MaskMode::Phrase, share, at_once)
                })
                .collect();
            let mut found: Vec<u32> = Vec::new();
            let mut labels = 0;
            for (lengths, part) in &parts {
                assert!(at_once == 0 || lengths.len() == 1 || lengths.iter().sum::<usize>() <= at_once);
                assert_eq!(lengths.iter().sum::<usize>(), part.input_ids.len());
                let mut row = part.input_ids.clone();
                for (&at, &label) in part.selected.iter().zip(&part.labels) {
                    row[at as usize] = label;
                }
                labels += part.labels.len();
                found.extend(row);
            }
            let mut wanted = whole.input_ids.clone();
            for (&at, &label) in whole.selected.iter().zip(&whole.labels) {
                wanted[at as usize] = label;
            }
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!((found, labels), (wanted, whole.labels.len()), "{ranks} {at_once}");
        }
    }
}

#[test]
fn seeds_and_later_stages_have_orders_and_masks_of_their_own() {
    let place = place();
    let first = |plan| epochs(&place, plan, 1).swap_remove(0);
    let base = first(plan(&BOTH));
    assert_eq!(base, first(plan(&BOTH)));
    assert_ne!(base.documents, first(SegmentPlan { seed: 5, ..plan(&BOTH) }).documents);
    assert_ne!(base.documents, first(SegmentPlan { epochs_before: 1, ..plan(&BOTH) }).documents);
}

const PAIRS: PairPlan = PairPlan { pairs: 4, group: 1, mix: 3, seed: 4 };

#[test]
fn pairs_go_round_without_held_out_products() {
    let place = place();
    let (shards, _) = open(&place);
    let many = shards.pair_split().trained as usize;
    let mut batches = pair_batches(&shards, PAIRS, Position::default()).unwrap();
    let rounds: Vec<PairBatch> = (0..2 * many.div_ceil(4)).map(|_| batches.next_batch().unwrap()).collect();
    let sides = |batch: &PairBatch| -> Vec<Vec<Vec<u32>>> {
        let starts: Vec<usize> =
            batch.lengths.iter().scan(0, |end, n| Some(std::mem::replace(end, *end + n))).collect();
        let text = |s: usize| batch.input_ids[starts[s] + 1..starts[s] + batch.lengths[s] - 1].to_vec();
        batch.pairs.iter().map(|pair| pair.iter().map(|&s| text(s)).collect()).collect()
    };
    let wanted: BTreeSet<Vec<Vec<u32>>> = (0..60u64)
        .map(|pair| [pair, pair + 1, pair + 60].map(|p| p % 120))
        .filter(|products| !products.iter().any(|p| shards.is_held_out(text_id(*p, "products"))))
        .map(|products| products.iter().map(|p| ids(*p, "products")).collect())
        .collect();
    assert_eq!(wanted.len(), many);
    let (first, second) = rounds.split_at(rounds.len() / 2);
    for round in [first, second] {
        assert_eq!(round.iter().flat_map(sides).collect::<BTreeSet<_>>(), wanted);
    }
    assert_ne!(sides(&first[0]), sides(&second[0]));
    let mut later = pair_batches(&shards, PAIRS, rounds[3].after).unwrap();
    assert_eq!(later.next_batch().unwrap(), rounds[4]);
}

#[test]
fn groups_of_pairs_are_never_split() {
    let place = place();
    let (shards, _) = open(&place);
    let plan = PairPlan { pairs: 10, group: 4, ..PAIRS };
    let batch = pair_batches(&shards, plan, Position::default()).unwrap().next_batch().unwrap();
    assert_eq!((batch.groups(), batch.further_negatives.len()), (3, 10));
    let sequence = |batch: &PairBatch, s: usize| -> Vec<u32> {
        let start = batch.lengths[..s].iter().sum::<usize>();
        batch.input_ids[start..start + batch.lengths[s]].to_vec()
    };
    // Anchor, neighbor, negative, and further negatives of each pair, as tokens.
    type Texts = Vec<Vec<u32>>;
    let told = |batch: &PairBatch| -> Vec<(Texts, Texts)> {
        let sides = |pair: &[usize; 3]| pair.iter().map(|&s| sequence(batch, s)).collect();
        let further = |pairs: &Vec<usize>| pairs.iter().map(|&p| sequence(batch, batch.pairs[p][1])).collect();
        batch.pairs.iter().map(sides).zip(batch.further_negatives.iter().map(further)).collect()
    };
    let wanted = told(&batch);
    // Further negatives are neighbors of the group, and not of the anchor.
    for (pair, (sides, further)) in wanted.iter().enumerate() {
        let others = batch.further_negatives[pair].iter();
        assert!(others.clone().all(|other| other / 4 == pair / 4 && *other != pair));
        assert!(!further.contains(&sides[0]) && !further.contains(&sides[1]));
    }
    assert!(wanted.iter().any(|(_, further)| further.len() == 3));
    // In micro-batches, and in the parts of two processes.
    let parts =
        |share: Vec<usize>, tokens| batch.parts(share.into_iter(), tokens).iter().flat_map(told).collect::<Vec<_>>();
    assert_eq!(parts(vec![0, 1, 2], 0), wanted);
    assert_eq!(parts(vec![0, 1, 2], 40), wanted);
    let [mut first, second] = [parts(vec![0, 2], 0), parts(vec![1], 0)];
    first.splice(4..4, second);
    assert_eq!(first, wanted);
}

#[test]
fn held_out_documents_are_the_same_for_every_batch_size() {
    let place = place();
    let (shards, _) = open(&place);
    let held = |segments, sequences| HeldOut::load(&shards, segments, sequences).unwrap();
    let many = BOTH.iter().map(|&c| shards.split(c).held_out).sum::<u64>() as usize;
    assert_eq!(held(1000, 8).segments, many);
    assert_eq!(held(5, 8).segments, 5);
    let row = |sequences| -> Vec<u32> {
        held(10, sequences).sets[1].batches.iter().flat_map(|(_, batch)| batch.input_ids.clone()).collect()
    };
    assert_eq!(row(3), row(8));
}
