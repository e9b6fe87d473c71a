//! The algorithm from beginning to end (section G of the specification).
use std::{borrow::Cow, fmt};

use crate::{
    candidates::Candidates,
    count::count_candidates,
    error::MineError,
    features::Measurements,
    ids::NodeId,
    labels::Labels,
    lists::Lists,
    occurrences::{AllOccurrences, OccurrenceSums},
    passages::Passages,
    pieces::Pieces,
    quality::{Learning, NEUTRAL},
    segmentation::Segmentation,
    tokens::Tokens,
    trie::Trie,
    word_properties::WordProperties,
};

/// How often quality and segmentation alternate.
const ROUNDS: u32 = 2;

/// What decides the phrases, in addition to the text and the lists.
#[derive(Clone, Debug)]
pub struct Options {
    /// A phrase occurs at least this often in the text.
    pub min_support: u64,
    /// The most words of a phrase.
    pub max_words: usize,
    /// Seed of the random forests.
    pub seed: u64,
}

impl Default for Options {
    /// As in AutoPhrase: 10 occurrences, 6 words.
    fn default() -> Self {
        Self { min_support: 10, max_words: 6, seed: 0 }
    }
}

/// A phrase of the text.
#[derive(Clone, Debug, PartialEq)]
pub struct MinedPhrase {
    /// Its words in lower case, separated by single spaces.
    pub text: String,
    /// Quality, from 0 to 1.
    pub score: f64,
    /// The number of its words.
    pub words: u32,
    /// How often its words occur in sequence where they may be a phrase.
    pub count: u64,
}

/// The result of mining.
#[derive(Clone, Debug, Default)]
pub struct Mined {
    /// By score, the largest first, then by text.
    pub phrases: Vec<MinedPhrase>,
    /// What was counted on the way.
    pub counts: MinedCounts,
}

/// Counts of the text, its candidates and their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinedCounts {
    /// Documents with at least one word.
    pub documents: u64,
    /// Words of the text.
    pub words: u64,
    /// Distinct words of the text.
    pub distinct_words: u64,
    /// Stop words among the words.
    pub stop_words: u64,
    /// Candidates, by number of words from 1.
    pub candidates: Vec<u64>,
    /// Entries of the quality list.
    pub list_entries: u64,
    /// Candidates of several words in the quality list.
    pub positives: u64,
    /// Candidates of several words in no list.
    pub negatives: u64,
    /// Words in the quality list. Without any, no phrase has one word.
    pub positive_words: u64,
}

impl MinedCounts {
    /// Whether the text is hardly English: about 40% of English words are stop words.
    pub fn looks_foreign(&self) -> bool {
        10 * self.stop_words < self.words
    }
}

/// A step of [`mine()`]. Its `Display` is a short description for a progress bar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// Counts word sequences.
    CountCandidates,
    /// Looks up the entries of the lists.
    LookUpLists,
    /// Sums over all occurrences of candidates.
    MeasureCandidates,
    /// Trains the forests and scores candidates.
    LearnQuality {
        /// From 1.
        round: u32,
    },
    /// Segments a sample of the text to estimate how tags belong together.
    Segment {
        /// From 1.
        round: u32,
        /// From 1.
        pass: u32,
    },
    /// Segments the text and counts phrases.
    CountPhrases {
        /// From 1.
        round: u32,
    },
    /// Sorts the phrases.
    SortPhrases,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CountCandidates => f.write_str("counting candidates"),
            Self::LookUpLists => f.write_str("looking up names"),
            Self::MeasureCandidates => f.write_str("measuring candidates"),
            Self::LearnQuality { round } => write!(f, "round {round} of {ROUNDS}: learning quality"),
            Self::Segment { round, pass } => write!(f, "round {round} of {ROUNDS}: segmenting the text, pass {pass}"),
            Self::CountPhrases { round } => write!(f, "round {round} of {ROUNDS}: counting phrases"),
            Self::SortPhrases => f.write_str("sorting phrases"),
        }
    }
}

/// Mines the phrases of a text, on the threads of the current rayon pool. `on_step` is called
/// before each step.
///
/// # Errors
/// If there is nothing to mine or to learn from, or the text is too large; see [`MineError`].
pub fn mine(
    tokens: &Tokens,
    lists: &Lists<'_>,
    options: &Options,
    mut on_step: impl FnMut(Step),
) -> Result<Mined, MineError> {
    if tokens.is_empty() {
        return Err(MineError::NoText);
    }
    on_step(Step::CountCandidates);
    let Options { min_support, max_words, seed } = *options;
    let candidates = count_candidates(tokens, tokens.vocabulary.all_counts(), min_support, max_words, tokens.memory())?;
    if candidates.longer().is_empty() {
        return Err(MineError::NothingFrequent { min_support, words: tokens.len() as u64 });
    }
    on_step(Step::LookUpLists);
    let properties = WordProperties::new(tokens, lists.stop_words);
    let mut labels = Labels::new(&tokens.vocabulary, &candidates, &properties, lists);
    let mined_counts = mined_counts(tokens, &candidates, &properties, &labels);
    check_labels(&candidates, &mined_counts)?;
    let trie = Trie::new(&candidates, labels.rare())?;
    let passages = Passages::new(tokens, trie.longest_nodes(tokens)?);
    on_step(Step::MeasureCandidates);
    let mut counts = Cow::Borrowed(candidates.counts());
    let mut sums = OccurrenceSums::collect(&passages, &properties, candidates.len(), &AllOccurrences { trie: &trie })?;
    let mut segmentation = Segmentation::new(&passages)?;
    let mut quality = vec![NEUTRAL; candidates.len()];
    let mut round = 1;
    let counts = loop {
        on_step(Step::LearnQuality { round });
        let measurements = Measurements {
            text_words: tokens.len(),
            candidates: &candidates,
            properties: &properties,
            counts: &counts,
            sums: &sums,
        };
        Learning { measurements, labels: &labels, seed, round }.update(&mut quality);
        // Each table takes some bytes per candidate, so it is freed as soon as it is not needed.
        drop(sums);
        let pieces = Pieces::new(&trie, &counts, &quality);
        drop(counts);
        segmentation.estimate(&pieces, |pass| on_step(Step::Segment { round, pass }))?;
        on_step(Step::CountPhrases { round });
        let cutter = segmentation.cutter(&pieces);
        if round == ROUNDS {
            break segmentation.counts(candidates.len(), &cutter)?;
        }
        sums = OccurrenceSums::collect(&passages, &properties, candidates.len(), &cutter)?;
        counts = Cow::Owned(sums.counts());
        labels.drop_unused(&counts);
        round += 1;
    };
    on_step(Step::SortPhrases);
    let mut phrases = phrases(tokens, &candidates, &counts, &quality);
    if mined_counts.positive_words == 0 {
        phrases.retain(|phrase| phrase.words > 1);
    }
    Ok(Mined { phrases, counts: mined_counts })
}

fn mined_counts(tokens: &Tokens, candidates: &Candidates, properties: &WordProperties, labels: &Labels) -> MinedCounts {
    let words = || tokens.vocabulary.words();
    let (of_phrases, of_words) = (labels.of_phrases(candidates), labels.of_words(candidates, properties));
    let examples = |groups: &[Vec<u32>]| groups.iter().map(|group| group.len() as u64).sum();
    let frequent_words = words().filter(|word| candidates.is_frequent_word(*word)).count() as u64;
    MinedCounts {
        documents: tokens.documents,
        words: tokens.len() as u64,
        distinct_words: tokens.vocabulary.len() as u64,
        stop_words: words()
            .filter(|word| properties.is_stop_word(*word))
            .map(|word| candidates.count(word.into()))
            .sum(),
        candidates: std::iter::once(frequent_words)
            .chain(candidates.by_length().skip(1).map(|nodes| nodes.len() as u64))
            .collect(),
        list_entries: labels.entries(),
        positives: examples(&of_phrases.positives),
        negatives: examples(&of_phrases.negatives),
        positive_words: examples(&of_words.positives),
    }
}

fn check_labels(candidates: &Candidates, counts: &MinedCounts) -> Result<(), MineError> {
    let candidates = candidates.longer().len() as u64;
    match counts {
        MinedCounts { positives: 0, list_entries, .. } => {
            Err(MineError::NoPositives { candidates, entries: *list_entries })
        }
        MinedCounts { negatives: 0, .. } => Err(MineError::NoNegatives { candidates }),
        _ => Ok(()),
    }
}

/// The candidates that are pieces at least once, except for rare words and stems of contractions.
fn phrases(tokens: &Tokens, candidates: &Candidates, counts: &[u64], quality: &[f64]) -> Vec<MinedPhrase> {
    let mut phrases = Vec::new();
    let mut words = Vec::new();
    let contraction_stems = tokens.contraction_stems();
    for node in (0..candidates.len()).map(NodeId::from_index) {
        if counts[node.index()] == 0 {
            continue;
        }
        candidates.words_of(node, &mut words);
        if let [word] = words[..]
            && (!candidates.is_frequent_word(word) || contraction_stems.contains(&word))
        {
            continue;
        }
        let texts: Vec<&str> = words.iter().map(|word| tokens.vocabulary.text(*word)).collect();
        phrases.push(MinedPhrase {
            text: texts.join(" "),
            // The last digits of a sum of a thousand fractions depend on the order of its terms.
            score: (quality[node.index()] * 1e10).round() / 1e10,
            words: words.len() as u32,
            count: candidates.count(node),
        });
    }
    phrases.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
    phrases
}

#[cfg(test)]
mod tests {
    use schemas::Draws;

    use super::*;
    use crate::{
        lists::{CommonPhrases, List, QualityList, StopWords},
        occurrences::LowSums,
        pieces::Piece,
        spill::Memory,
        testing::{plain_text, plain_text_in},
        tokens::{Annotation, Word},
    };

    fn lists(quality: &[&str], entities: &[&str]) -> Lists<'static> {
        Lists {
            quality: QualityList::Phrases(quality.iter().collect()),
            entities: Some(entities.iter().collect::<List>()),
            stop_words: StopWords::english(),
        }
    }

    /// A text of several chunks, in which 9 of 10 `aN` are followed by `bN`.
    fn paired_words(memory: Memory) -> Tokens {
        let mut draws = Draws::new(0, "test", b"");
        let mut text = String::new();
        for document in 0..60_000 {
            text += if document == 0 { "the" } else { " . the" };
            for _ in 0..4 {
                let (pair, other) = (draws.below(40), draws.below(40));
                let second = if draws.below(10) == 0 { other } else { pair };
                text += &format!(" c{} a{pair} b{second}", draws.below(300));
            }
        }
        plain_text_in(&text, memory)
    }

    #[test]
    fn known_pairs_teach_the_others_on_any_number_of_threads_in_any_memory() {
        let folder = tempfile::tempdir().unwrap();
        let memory = |bytes| Memory::of_bytes(bytes, folder.path().join("text"));
        let tokens = paired_words(Memory::default());
        assert!(tokens.chunks_of_documents().len() > 2);
        let known: Vec<String> = (0..20).map(|pair| format!("A{pair} B{pair}")).collect();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let mine_on = |threads, tokens: &Tokens| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let options = Options { max_words: 3, ..Options::default() };
            pool.install(|| mine(tokens, &lists(&known, &[]), &options, |_| {}).unwrap())
        };
        let mined = mine_on(1, &tokens);
        assert_eq!(mine_on(3, &tokens).phrases, mined.phrases);
        // Nothing in memory, and a part: a chunk lies in memory and in the files.
        for bytes in [0, 20 * 300_000] {
            let tokens = paired_words(memory(bytes));
            assert_eq!(mine_on(1, &tokens).phrases, mined.phrases, "{bytes} bytes");
            assert_eq!(mine_on(3, &tokens).phrases, mined.phrases, "{bytes} bytes, 3 threads");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!((mined.counts.positives, mined.counts.documents), (20, 60_000));
        let score = |text: &str| mined.phrases.iter().find(|p| p.text == text).map_or(0.0, |p| p.score);
        for pair in 20..40 {
            let (good, bad) = (score(&format!("a{pair} b{pair}")), score(&format!("b{pair} c{pair}")));
            assert!(good > 0.8 && bad < 0.2, "{pair}: {good} {bad}");
        }
    }

    #[test]
    fn phrases_of_the_language_teach_before_names_of_the_corpus() {
        let tokens = paired_words(Memory::default());
        let pairs = |numbers: std::ops::Range<u32>| numbers.map(|n| format!("a{n} b{n}")).collect::<List>();
        let mined = |brands: &[&str], common: Option<CommonPhrases>| {
            let quality = QualityList::Products { kinds: pairs(0..7), brands: brands.iter().collect(), common };
            let lists = Lists { quality, entities: None, stop_words: StopWords::english() };
            mine(&tokens, &lists, &Options::default(), |_| {}).unwrap()
        };
        let common = CommonPhrases { things: pairs(5..10), names: pairs(10..14) };
        let unknown = CommonPhrases { things: ["cutting board"].into_iter().collect(), names: List::default() };
        for (common, positives) in [(Some(common), 9), (Some(unknown), 7), (None, 7)] {
            let alone = mined(&[], common.clone());
            assert_eq!((alone.counts.positives, alone.counts.positive_words), (positives, 0));
            // Neither list has words, so none is a phrase.
            assert!(!alone.phrases.is_empty() && alone.phrases.iter().all(|phrase| phrase.words > 1));
            let with_brands = mined(&["a3", "a4 b4"], common);
            assert_eq!(with_brands.counts.positive_words, 1);
            assert!(with_brands.phrases.iter().any(|phrase| phrase.words == 1));
        }
    }

    #[test]
    fn steps_are_reported_in_order() {
        let tokens = plain_text(&["a red pen"; 20].join(" . "));
        let mut steps = Vec::new();
        mine(&tokens, &lists(&["red pen"], &[]), &Options::default(), |step| steps.push(step)).unwrap();
        steps.dedup_by_key(|step| std::mem::discriminant(step));
        let names: Vec<String> = [
            Step::CountCandidates,
            Step::LookUpLists,
            Step::MeasureCandidates,
            Step::LearnQuality { round: 1 },
            Step::Segment { round: 1, pass: 1 },
            Step::CountPhrases { round: 1 },
            Step::LearnQuality { round: 2 },
            Step::Segment { round: 2, pass: 1 },
            Step::CountPhrases { round: 2 },
            Step::SortPhrases,
        ]
        .iter()
        .map(Step::to_string)
        .collect();
        assert_eq!(steps.iter().map(Step::to_string).collect::<Vec<_>>(), names);
    }

    #[test]
    fn texts_that_cannot_be_mined_are_errors() {
        let text = |count| plain_text(&vec!["red pen"; count].join(" . "));
        let options = Options::default();
        let error = |tokens: &Tokens, lists: &Lists<'_>| mine(tokens, lists, &options, |_| {}).unwrap_err().to_string();
        let pen = lists(&["red pen"], &[]);
        assert_eq!(error(&Tokens::default(), &pen), MineError::NoText.to_string());
        assert_eq!(error(&text(9), &pen), MineError::NothingFrequent { min_support: 10, words: 18 }.to_string());
        let hat = lists(&["red hat", "hat"], &[]);
        assert_eq!(error(&text(10), &hat), MineError::NoPositives { candidates: 1, entries: 2 }.to_string());
        assert_eq!(error(&text(10), &pen), MineError::NoNegatives { candidates: 1 }.to_string());
        let with_ink = plain_text(&["red pen ink"; 10].join(" . "));
        let named = lists(&["red pen"], &["pen ink", "red pen ink"]);
        assert_eq!(error(&with_ink, &named), MineError::NoNegatives { candidates: 3 }.to_string());
    }

    #[test]
    fn arrays_take_the_memory_that_the_root_page_promises() {
        assert_eq!(size_of::<Word>() + size_of::<Annotation>(), 6);
        assert_eq!(size_of::<NodeId>(), 4);
        assert_eq!((size_of::<LowSums>(), size_of::<Piece>()), (32, 16));
    }
}
