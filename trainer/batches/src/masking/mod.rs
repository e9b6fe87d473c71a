//! Adaptive Hybrid Masking: which tokens of a sequence are hidden and predicted (section 3.2 of the
//! paper).
//!
//! [`Masking::mask`] draws the masks of one segment in one [`MaskMode`]; [`switch`] decides which
//! mode a step uses. What is drawn depends on the key alone: (seed, epoch, document, segment,
//! mode). So any number of threads, and a resumed run, draw the same.
//!
//! The budget is k = max(1, round(0.15 n)) of a segment's n tokens. Words are always taken whole.
mod corrupt;
mod phrase;
mod span;
pub mod switch;
mod word;

use std::sync::Arc;

use schemas::Draws;
use serde::{Deserialize, Serialize};

use crate::{segment::Segment, vocabulary::Vocabulary};

/// What is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MaskMode {
    /// Whole words at random.
    Word,
    /// Pool phrases, and noun phrases apart from them (eq. 1).
    Phrase,
    /// Spans of words of random length, as in SpanBERT.
    Span,
    /// Noun phrases, whatever the pool says.
    Noun,
    /// Tokens at random, as in BERT's first release.
    Token,
}

impl MaskMode {
    /// Its name in a recipe and in the metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Word => "word",
            Self::Phrase => "phrase",
            Self::Span => "span",
            Self::Noun => "noun",
            Self::Token => "token",
        }
    }

    /// The purpose that its draws are keyed with.
    const fn purpose(self) -> &'static str {
        match self {
            Self::Word => "mask-word",
            Self::Phrase => "mask-phrase",
            Self::Span => "mask-span",
            Self::Noun => "mask-noun",
            Self::Token => "mask-token",
        }
    }
}

/// What is masked in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// Words or phrases, as the switch decides.
    Adaptive,
    /// Words or phrases, drawn with the constant probability `switch.alpha0` of words.
    Mixed,
    /// Words.
    Word,
    /// Phrases.
    Phrase,
    /// Spans of words.
    Span,
    /// Noun phrases.
    Noun,
    /// Tokens, as in BERT's first release.
    Token,
    /// Nothing: the model stays as it is.
    None,
}

impl Scheme {
    /// The modes that a step may be in.
    pub fn modes(self) -> Vec<MaskMode> {
        match self {
            Self::Adaptive | Self::Mixed => vec![MaskMode::Word, MaskMode::Phrase],
            Self::Word => vec![MaskMode::Word],
            Self::Phrase => vec![MaskMode::Phrase],
            Self::Span => vec![MaskMode::Span],
            Self::Noun => vec![MaskMode::Noun],
            Self::Token => vec![MaskMode::Token],
            Self::None => Vec::new(),
        }
    }
}

/// What tops up a sequence whose phrases do not fill the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fill {
    /// Whole words at random.
    #[default]
    Words,
    /// Nothing: the sequence stays under budget.
    None,
}

/// Which part clean noun phrases have in phrase mode. A clean noun phrase shares no token with a
/// pool phrase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NounPhrases {
    /// They are drawn together with the pool phrases, as the paper's text says.
    #[default]
    Always,
    /// They are drawn when no pool phrase is left, which is the paper's purpose: "to ensure we have
    /// enough".
    TopUp,
    /// They are not drawn.
    Never,
}

/// How masks are drawn. The defaults are the paper's, or the choices of `docs/paper.md`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskingOptions {
    /// The ratio of tokens to select.
    pub budget: f64,
    /// Divides the scores of eq. 1.
    pub temperature: f64,
    /// Which part noun phrases have in phrase mode.
    pub nouns: NounPhrases,
    /// What tops up a sequence short of phrases.
    pub fill: Fill,
    /// The ratio of selected tokens that become `[MASK]`.
    pub replaced_by_mask: f64,
    /// The ratio of selected tokens that become a random token. The rest stays.
    pub replaced_at_random: f64,
    /// p of the geometric distribution of span lengths, in words.
    pub span_p: f64,
    /// The longest span, in words.
    pub span_words: u32,
    /// Whether scheme `span` also has SpanBERT's span boundary objective, whose loss is added to
    /// that of the masked-LM head.
    pub span_boundary: bool,
}

impl Default for MaskingOptions {
    fn default() -> Self {
        Self {
            budget: 0.15,
            temperature: 1.0,
            nouns: NounPhrases::Always,
            fill: Fill::Words,
            replaced_by_mask: 0.8,
            replaced_at_random: 0.1,
            span_p: 0.2,
            span_words: 10,
            span_boundary: false,
        }
    }
}

impl MaskingOptions {
    /// What is wrong with them, if anything: the option and what it may be.
    ///
    /// # Errors
    /// When an option is out of range.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let share = |v: f64| (0.0..=1.0).contains(&v);
        if !(self.budget > 0.0 && self.budget < 1.0) {
            return Err(("masking.budget", "a ratio between 0 and 1"));
        }
        if !(self.temperature > 0.0 && self.temperature.is_finite()) {
            return Err(("masking.temperature", "a number above 0"));
        }
        if !share(self.replaced_by_mask)
            || !share(self.replaced_at_random)
            || self.replaced_by_mask + self.replaced_at_random > 1.0 + 1e-12
        {
            return Err(("masking.replaced_by_mask + masking.replaced_at_random", "ratios that add up to at most 1"));
        }
        if !(self.span_p > 0.0 && self.span_p < 1.0) || self.span_words == 0 {
            return Err(("masking.span_p, masking.span_words", "a probability between 0 and 1, and at least one word"));
        }
        Ok(())
    }
}

/// What a selected token was taken as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakenAs {
    /// A part of a word, span or token that the mode takes.
    Unit,
    /// A part of a pool phrase.
    PoolPhrase,
    /// A part of a noun phrase.
    NounPhrase,
    /// A part of a word that tops up a sequence short of phrases.
    Filler,
}

/// The masks of one segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Masks {
    /// Positions of the selected tokens, ascending, special tokens not counted. All of them are
    /// predicted.
    pub positions: Vec<u16>,
    /// What stands there in the input.
    pub inputs: Vec<u32>,
    /// For each position the word or phrase that it was taken with (a word of a span alone).
    /// [`Masks::TOP_UP`] for words that top up phrases.
    pub units: Vec<u16>,
    /// What each position was taken as.
    pub taken_as: Vec<TakenAs>,
}

impl Masks {
    /// The token is of a word that tops up a sequence short of phrases.
    pub const TOP_UP: u16 = u16::MAX;
}

/// What keys the draws of a segment in addition to the segment itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskKey {
    /// Seed of the run.
    pub seed: u64,
    /// Times that the data were gone through before. [`MaskKey::FIXED`] for held-out documents.
    pub epoch: u32,
}

impl MaskKey {
    /// The epoch of masks that never change.
    pub const FIXED: u32 = u32::MAX;

    /// What names a segment in the key of a draw.
    pub(crate) fn id_of(self, segment: &Segment<'_>) -> [u8; 16] {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&self.epoch.to_le_bytes());
        id[4..12].copy_from_slice(&segment.document.get().to_le_bytes());
        id[12..].copy_from_slice(&segment.segment.to_le_bytes());
        id
    }
}

/// Draws masks.
#[derive(Clone, Debug)]
pub struct Masking {
    options: MaskingOptions,
    vocabulary: Vocabulary,
    /// The lowest score in the pool: that of a noun phrase.
    lowest_score: f64,
}

impl Masking {
    /// Draws masks over this vocabulary. `lowest_score` is that of the pool.
    pub fn new(options: MaskingOptions, vocabulary: Vocabulary, lowest_score: f32) -> Self {
        Self { options, vocabulary, lowest_score: f64::from(lowest_score) }
    }

    /// The same with another part of tokens to select, if one is given.
    pub fn with_budget(self: &Arc<Self>, budget: Option<f64>) -> Arc<Self> {
        match budget {
            None => self.clone(),
            Some(budget) => {
                let options = MaskingOptions { budget, ..self.options };
                Arc::new(Self { options, ..Self::clone(self) })
            }
        }
    }

    /// The masks of a segment in one mode.
    pub fn mask(&self, mode: MaskMode, segment: &Segment<'_>, key: MaskKey) -> Masks {
        self.mask_texts(mode, segment, None, key)
    }

    /// The same of a segment that is cut into two texts. The second starts at token `cut`, which
    /// starts a word and is not inside a phrase. No span continues after the cut.
    pub fn mask_texts(&self, mode: MaskMode, segment: &Segment<'_>, cut: Option<usize>, key: MaskKey) -> Masks {
        let mut draws = Draws::new(key.seed, mode.purpose(), &key.id_of(segment));
        let mut selection = Selection::new(segment.word_starts, segment.input_ids.len(), self.options.budget);
        selection.cut = cut;
        match mode {
            MaskMode::Word => word::select(&mut selection, &mut draws),
            MaskMode::Phrase => {
                let phrase::Candidates { mut pool, clean_nouns } = phrase::candidates(segment, self.lowest_score);
                let mut select = |candidates| {
                    phrase::select(&mut selection, candidates, self.options.temperature, &mut draws);
                };
                match self.options.nouns {
                    NounPhrases::Always => {
                        pool.extend(clean_nouns);
                        select(pool);
                    }
                    NounPhrases::TopUp => {
                        select(pool);
                        select(clean_nouns);
                    }
                    NounPhrases::Never => select(pool),
                }
            }
            MaskMode::Noun => {
                let candidates = phrase::all_nouns(segment);
                phrase::select(&mut selection, candidates, self.options.temperature, &mut draws);
            }
            MaskMode::Token => word::select_tokens(&mut selection, &mut draws),
            MaskMode::Span => span::select(&mut selection, self.options.span_p, self.options.span_words, &mut draws),
        }
        let units = selection.units.len();
        if matches!(mode, MaskMode::Phrase | MaskMode::Noun) && self.options.fill == Fill::Words {
            word::select(&mut selection, &mut draws);
        }
        let mut masks = corrupt::corrupt(segment.input_ids, &selection, &self.options, &self.vocabulary, &mut draws);
        let mut of = vec![Masks::TOP_UP; segment.input_ids.len()];
        for (number, tokens) in (0..).zip(&selection.units[..units]) {
            of[tokens.clone()].fill(number);
        }
        masks.units = masks.positions.iter().map(|&position| of[usize::from(position)]).collect();
        // A clean noun phrase shares no token with a pool phrase.
        let mut in_pool_phrase = vec![false; segment.input_ids.len()];
        segment.phrases.iter().for_each(|span| in_pool_phrase[span.tokens.tokens()].fill(true));
        let taken_as = |(&position, &unit): (&u16, &u16)| match mode {
            _ if unit == Masks::TOP_UP => TakenAs::Filler,
            MaskMode::Phrase if in_pool_phrase[usize::from(position)] => TakenAs::PoolPhrase,
            MaskMode::Phrase | MaskMode::Noun => TakenAs::NounPhrase,
            MaskMode::Word | MaskMode::Span | MaskMode::Token => TakenAs::Unit,
        };
        masks.taken_as = masks.positions.iter().zip(&masks.units).map(taken_as).collect();
        masks
    }
}

/// The tokens of a segment that are selected so far.
#[derive(Debug)]
struct Selection {
    taken: Vec<bool>,
    /// Start of each word, and the number of tokens at the end.
    words: Vec<usize>,
    /// Where a second text begins.
    cut: Option<usize>,
    budget: usize,
    count: usize,
    /// What was taken, in its order.
    units: Vec<std::ops::Range<usize>>,
}

impl Selection {
    /// Of so many tokens, in words that start at these.
    fn new(word_starts: &[u16], tokens: usize, share: f64) -> Self {
        let words = word_starts.iter().map(|&start| usize::from(start)).chain([tokens]).collect();
        let budget = ((share * tokens as f64).round() as usize).max(1);
        Self { taken: vec![false; tokens], words, cut: None, budget, count: 0, units: Vec::new() }
    }

    fn words(&self) -> usize {
        self.words.len() - 1
    }

    fn word(&self, word: usize) -> std::ops::Range<usize> {
        self.words[word]..self.words[word + 1]
    }

    fn is_full(&self) -> bool {
        self.count >= self.budget
    }

    fn is_free(&self, tokens: std::ops::Range<usize>) -> bool {
        !self.taken[tokens].contains(&true)
    }

    /// Whether this many more tokens may be taken. What is taken first may overshoot the budget.
    fn fits(&self, tokens: usize) -> bool {
        self.count == 0 || self.count + tokens <= self.budget
    }

    fn take(&mut self, tokens: std::ops::Range<usize>) {
        self.count += tokens.len();
        self.taken[tokens.clone()].fill(true);
        self.units.push(tokens);
    }
}

#[cfg(test)]
pub(crate) mod tests;
