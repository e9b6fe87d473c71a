use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::{NounPhrases, chunker, tagger, tagging::Tagging, test_model};

const FILE: &[u8] = include_bytes!("../../models/english.bin");

const TEXT: &str = "It's a stainless steel kettle. I like the kettle!";

fn file_of(content: &[u8]) -> Vec<u8> {
    [MAGIC.as_bytes(), &zstd::bulk::compress(content, 1).unwrap()].concat()
}

/// The rows of these weights for some features.
fn retain(weights: &Weights, features: &HashSet<Feature>) -> Weights {
    let rows = weights.rows().into_iter().filter(|row| features.contains(&row.feature));
    Weights::new(&rows.collect::<Vec<_>>()).unwrap()
}

/// The part of the model that [`TEXT`] uses: small enough to damage each of its bytes.
fn small_model() -> Model {
    let Model { tagger, chunker } = test_model();
    let (mut words, mut found) = (HashSet::new(), HashSet::new());
    Tagging::new(tagger).each_with_forms(TEXT, |_, forms, tags| {
        words.extend(forms.iter().map(|form| form.word));
        for i in 0..forms.len() {
            found.extend(tagger::features(forms, i, tagger::TagsBefore::new(&tags[..i])));
            found.extend(chunker::features(forms, tags, i));
            found.extend(chunker::transition_features(chunker::tags_at(tags, i, 0)));
        }
    });
    let mut dictionary = tagger.dictionary.clone();
    dictionary.retain(|word, _| words.contains(word));
    Model {
        tagger: Tagger { tags: tagger.tags.clone(), dictionary, weights: retain(&tagger.weights, &found) },
        chunker: Chunker { weights: retain(&chunker.weights, &found) },
    }
}

/// Decodes a damaged content. If that succeeds, the content is that of the model, and it works.
fn check_damaged(content: &[u8]) -> Result<(), ModelError> {
    let model = Model::decode(content)?;
    assert!(model.encode() == content, "a model has one content");
    NounPhrases::new(&model).find(TEXT);
    Ok(())
}

#[test]
fn a_model_is_read_as_it_was_written() {
    let (file, model) = (FILE, test_model());
    assert!(model.tagger.tags().len() > 40);
    assert!(file.len() < 3 << 20, "{}", file.len());
    assert_eq!(model.to_bytes().unwrap(), file);
    let small = small_model();
    assert_eq!(Model::from_bytes(&small.to_bytes().unwrap()).unwrap(), small);
    assert_eq!(NounPhrases::new(&small).find(TEXT), NounPhrases::new(model).find(TEXT));
}

#[cfg(feature = "weights")]
#[test]
fn the_embedded_model_is_the_file() {
    assert!(Model::embedded() == test_model());
    assert_eq!(Model::embedded_blake3(), blake3::hash(FILE).to_string());
}

#[test]
fn a_damaged_file_is_refused() {
    let file = FILE;
    let other_version = [b"ebert tagger and chunker, version 0\n", &file[MAGIC.len()..]].concat();
    for bytes in [&b""[..], b"something else", &file[1..], &other_version] {
        assert!(matches!(Model::from_bytes(bytes), Err(ModelError::FirstLine)));
    }
    let trailing = [file, b"kettle"].concat();
    for bytes in [&file[..file.len() / 2], &file[..MAGIC.len() + 3], &trailing] {
        assert!(matches!(Model::from_bytes(bytes), Err(ModelError::Decompress(_))));
    }
    assert!(matches!(Model::from_bytes(MAGIC.as_bytes()), Err(ModelError::Decompress(_) | ModelError::CutShort)));
    let too_large = file_of(&vec![0; MOST_BYTES + 1]);
    assert!(matches!(Model::from_bytes(&too_large), Err(ModelError::Decompress(_))));
}

#[test]
fn a_file_of_a_model_that_cannot_work_is_refused() {
    let error = |change: &dyn Fn(&mut Model)| {
        let mut model = test_model().clone();
        change(&mut model);
        Model::from_bytes(&file_of(&model.encode())).unwrap_err().to_string()
    };
    let tags = test_model().tagger.tags().len();
    let row = |label| FeatureRow { feature: Feature(7), cells: vec![Cell { label, weight: 1 }] };
    let weights = |label| Weights::new(&[row(label)]).unwrap();
    assert_eq!(error(&|m| m.tagger.tags.clear()), "it has 0 tags, expected 1 to 63");
    assert_eq!(error(&|m| m.tagger.tags.resize(64, "NN".to_owned())), "it has 64 tags, expected 1 to 63");
    let wanted = format!("its dictionary has tag {tags}, but there are {tags} tags");
    assert_eq!(error(&|m| *m.tagger.dictionary.values_mut().next().unwrap() = tags as u8), wanted);
    let wanted = format!("it has a weight for label {tags}, but there are {tags} labels");
    assert_eq!(error(&|m| m.tagger.weights = weights(tags as u8)), wanted);
    let wanted = "it has a weight for label 12, but there are 12 labels";
    assert_eq!(error(&|m| m.chunker.weights = weights(12)), wanted);
}

/// A content of two tags, one word, and three features.
#[rustfmt::skip]
const CONTENT: [u8; 38] = [
    2, 2, b'D', b'T', 2, b'N', b'N', // 0: tags
    1, 5, 0, // 7: a word and its tag
    1, 9, 2, 0, 1, 1, 255, // 10: a feature of the tagger with two weights
    2, 3, 7, 3, 4, 0, 1, 2, 0, 1, 2, 3, 1, 1, 1, 1, 1, 1, 1, // 17: two features of the chunker
    0, 0, // 36: not part of it
];

#[test]
fn each_kind_of_damage_has_its_error() {
    let content = &CONTENT[..36];
    assert_eq!(Model::decode(content).unwrap().encode(), content);
    for (at, replaced, replacement, wanted) in [
        (36, 0, &[0, 0][..], "its content has 2 bytes after the last weight"),
        (35, 1, &[], "its content is cut short"),
        (1, 1, &[200, 200, 3], "its content is cut short"),
        (0, 1, &[0x82, 0], "it has a number of more than 32 bits, or a padded number"),
        (0, 1, &[0xff, 0xff, 0xff, 0xff, 0x10], "it has a number of more than 32 bits, or a padded number"),
        (0, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f], "it has 4294967295 tags, expected 1 to 63"),
        (2, 1, &[0xff], "the name of a tag is not UTF-8"),
        (9, 1, &[2], "its dictionary has tag 2, but there are 2 tags"),
        (7, 3, &[2, 5, 0, 0, 0], "its words, features or labels are not in ascending order"),
        (12, 1, &[0], "it has a feature with 0 weights, expected 1 to 2"),
        (12, 1, &[3], "it has a feature with 3 weights, expected 1 to 2"),
        (13, 2, &[0, 2], "it has a weight for label 2, but there are 2 labels"),
        (13, 2, &[1, 1], "its words, features or labels are not in ascending order"),
        (15, 1, &[0], "it has a weight of zero"),
        (19, 1, &[0], "its words, features or labels are not in ascending order"),
        (19, 1, &[0xff, 0xff, 0xff, 0xff, 0x0f], "its words, features or labels are not in ascending order"),
    ] {
        let mut damaged = content.to_vec();
        damaged.splice(at..at + replaced, replacement.iter().copied());
        assert_eq!(Model::decode(&damaged).unwrap_err().to_string(), wanted, "{replacement:?} at {at}");
    }
}

#[test]
fn more_weights_than_have_an_index_are_refused() {
    let labels = chunker::ALL_LABELS;
    let rows = MOST_CELLS / labels + 1;
    let mut content = CONTENT[..17].to_vec();
    put_number(&mut content, rows as u32);
    content.extend(std::iter::repeat_n(1, rows));
    content.extend(std::iter::repeat_n(labels as u8, rows));
    content.extend((0..labels as u8).cycle().take(labels * rows));
    content.extend(std::iter::repeat_n(1, labels * rows));
    assert!(matches!(Model::decode(&content), Err(ModelError::TooManyWeights)));
}

#[test]
fn a_content_that_is_cut_or_has_a_wrong_byte_is_refused_or_works() {
    let content = small_model().encode();
    for length in 0..content.len() {
        assert!(matches!(Model::decode(&content[..length]), Err(ModelError::CutShort)), "cut to {length}");
    }
    let (mut refused, mut works) = (0, 0);
    for at in 0..content.len() {
        let mut damaged = content.clone();
        damaged[at] ^= [0x01, 0x80, 0x10, 0xff, 0x04][at % 5];
        match check_damaged(&damaged) {
            Ok(()) => works += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 100 && works > 100, "{refused} refused, {works} work");
}

proptest! {
    #[test]
    fn random_damage_is_refused_or_works(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
    ) {
        thread_local!(static CONTENT: Vec<u8> = small_model().encode());
        let mut damaged = CONTENT.with(Clone::clone);
        for (at, byte) in changes {
            let at = at.index(damaged.len());
            damaged[at] = byte;
        }
        check_damaged(&damaged).ok();
    }

    #[test]
    fn random_contents_are_refused_or_work(content in prop::collection::vec(0u8..6, 0..60)) {
        check_damaged(&content).ok();
    }
}

#[test]
fn damage_to_the_whole_model_is_refused_or_works() {
    let content = test_model().encode();
    for at in (0..content.len()).step_by(content.len() / 20) {
        let mut damaged = content.clone();
        damaged[at] ^= 0x41;
        check_damaged(&damaged).ok();
    }
}
