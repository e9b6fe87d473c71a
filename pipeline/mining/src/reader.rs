//! Text to arrays.
//!
//! Words are those of Unicode's UAX #29, in lower case: apostrophes stay inside, hyphens and colons
//! split, `1,000` is one word. The characters between words are punctuation. Some of them end a
//! segment, which no phrase crosses; others are noted at the words next to them.
use ebert_english::{Tagger, Tagging};
use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    error::MineError,
    ids::WordId,
    tokens::{Annotation, Batch, Pruning, TAGS, Tokens, Word},
    vocabulary,
};

/// Turns documents into batches of words with tags. Each thread needs its own.
pub struct Reader<'m> {
    /// `None` if words have no tags.
    tagging: Option<Tagging<'m>>,
    /// By tag.
    tag_rules: Vec<TagRule>,
    /// The Penn tokens of the document that is being read.
    tagged: Vec<TaggedToken>,
    /// The spellings of the batch, so that each is put into lower case once.
    spellings: HashTable<Spelling>,
    /// The distinct words of the batch.
    lower: HashTable<WordId>,
}

/// A word as it is written, with capitals.
struct Spelling {
    hash: u64,
    start: usize,
    end: usize,
    word: WordId,
    capitals: Annotation,
}

struct TaggedToken {
    /// Byte offset of its end.
    end: u32,
    tag: u8,
}

/// What a tag means to the miner.
#[derive(Clone, Copy, Debug)]
struct TagRule {
    pruning: Pruning,
    /// For tags of verbs: the tag that forms of be, have and do get instead.
    auxiliary: Option<u8>,
}

/// Forms of be, have and do, as Penn tokens.
const AUXILIARIES: [&str; 26] = [
    "be", "am", "is", "are", "was", "were", "been", "being", "'s", "'re", "'m", "’s", "’re", "’m", "do", "does", "did",
    "done", "doing", "have", "has", "had", "having", "'ve", "’ve", "'d",
];
/// Bytes of the longest form.
const LONGEST_AUXILIARY: usize = 6;

/// Documents that [`Tokens::from_documents`] reads at a time.
const BATCH: usize = 256;

impl<'m> Reader<'m> {
    /// A reader that tags words with this tagger. Tag names are those of the Penn Treebank.
    ///
    /// # Errors
    /// [`MineError::TooManyTags`] for a tag set of more than 64 tags, where each verb tag counts
    /// twice.
    pub fn new(tagger: &'m Tagger) -> Result<Self, MineError> {
        let names = tagger.tags();
        let is_verb = |name: &str| name.starts_with("VB");
        let tags = names.len() + names.iter().filter(|name| is_verb(name)).count();
        if tags > TAGS {
            return Err(MineError::TooManyTags { tags, limit: TAGS });
        }
        let mut auxiliaries = names.len() as u8..;
        let tag_rules = names.iter().map(|name| TagRule {
            pruning: match name.as_str() {
                "DT" | "$" => Pruning::StartOnly,
                "EX" | "LS" | "MD" | "PRP" | "PRP$" | "UH" | "WDT" | "WP" | "WP$" | "WRB" | "," | "." | ":" | "''" => {
                    Pruning::Excluded
                }
                _ => Pruning::Free,
            },
            auxiliary: if is_verb(name) { auxiliaries.next() } else { None },
        });
        Ok(Self { tag_rules: tag_rules.collect(), tagging: Some(Tagging::new(tagger)), ..Self::untagged() })
    }

    /// A reader without a tagger, for any language that separates words. All words get the same tag,
    /// so candidates may have any words, and segmentation estimates one probability: that two
    /// neighbors are in one piece. This is AutoPhrase's length penalty.
    pub fn untagged() -> Self {
        Self {
            tag_rules: vec![TagRule { pruning: Pruning::Free, auxiliary: None }],
            tagging: None,
            tagged: Vec::new(),
            spellings: HashTable::new(),
            lower: HashTable::new(),
        }
    }

    /// Reads some documents.
    pub fn read<D: AsRef<str>>(&mut self, documents: impl IntoIterator<Item = D>) -> Batch {
        let mut batch = Batch::default();
        self.spellings.clear();
        self.lower.clear();
        // The spellings of this batch, concatenated.
        let mut spelled = String::new();
        for document in documents {
            self.read_document(document.as_ref(), &mut batch, &mut spelled);
        }
        batch.count();
        batch
    }

    fn read_document(&mut self, text: &str, batch: &mut Batch, spelled: &mut String) {
        self.tag(text);
        let first = batch.words.len();
        let (mut at, mut token) = (0, 0);
        for (start, word) in vocabulary::words(text) {
            let before = note_punctuation(&text[at..start], batch, first);
            at = start + word.len();
            while token < self.tagged.len() && self.tagged[token].end as usize <= start {
                token += 1;
            }
            // Every word is in a token.
            let tag = self.tagged.get(token).map_or(0, |t| t.tag);
            let (id, capitals) = self.intern(word, batch, spelled);
            let that = word.eq_ignore_ascii_case("that") && self.is_preposition(tag);
            let pruning = if that { Pruning::Excluded } else { self.pruning(tag) };
            let mut annotation = Annotation::of_tag(tag);
            annotation.add(capitals);
            match before {
                Some(Punctuation::Quote) => annotation.add(Annotation::QUOTE_BEFORE),
                Some(Punctuation::Open) => annotation.add(Annotation::BRACKET_BEFORE),
                _ => {}
            }
            batch.words.push(Word::new(id, pruning));
            batch.annotations.push(annotation);
        }
        note_punctuation(&text[at..], batch, first);
        if let Some(last) = batch.words[first..].last_mut() {
            last.end_segment();
            if let Some(annotation) = batch.annotations.last_mut() {
                annotation.add(Annotation::ENDS_DOCUMENT);
            }
            batch.documents += 1;
        }
    }

    fn tag(&mut self, text: &str) {
        let Self { tagging, tag_rules, tagged, .. } = self;
        tagged.clear();
        let Some(tagging) = tagging else { return };
        tagging.each_sentence(text, |tokens, tags| {
            for (token, &tag) in tokens.iter().zip(tags) {
                let word = token.of(text);
                let is_auxiliary = || {
                    word.len() <= LONGEST_AUXILIARY && AUXILIARIES.iter().any(|form| form.eq_ignore_ascii_case(word))
                };
                let auxiliary = tag_rules[usize::from(tag)].auxiliary.filter(|_| is_auxiliary());
                tagged.push(TaggedToken { end: token.end, tag: auxiliary.unwrap_or(tag) });
            }
        });
    }

    fn pruning(&self, tag: u8) -> Pruning {
        // Tags above those of the tagger are auxiliaries.
        self.tag_rules.get(usize::from(tag)).map_or(Pruning::Excluded, |rule| rule.pruning)
    }

    fn is_preposition(&self, tag: u8) -> bool {
        let name = self.tagging.as_ref().and_then(|tagging| tagging.tags().get(usize::from(tag)));
        name.is_some_and(|name| name == "IN")
    }

    /// The number of a word in the batch, and its capitals.
    fn intern(&mut self, word: &str, batch: &mut Batch, spelled: &mut String) -> (WordId, Annotation) {
        let hash = xxh3_64(word.as_bytes());
        if let Some(known) = self.spellings.find(hash, |s| spelled[s.start..s.end] == *word) {
            return (known.word, known.capitals);
        }
        let mut capitals = Annotation::default();
        if word.chars().next().is_some_and(char::is_uppercase) {
            capitals.add(Annotation::CAPITALISED);
            if word.chars().all(char::is_uppercase) {
                capitals.add(Annotation::CAPITALS);
            }
        }
        let lower = word.to_lowercase();
        let lower_hash = xxh3_64(lower.as_bytes());
        let Batch { text, spans, .. } = batch;
        let id = match self.lower.find(lower_hash, |id| text[spans[id.index()].clone()] == lower) {
            Some(&id) => id,
            None => {
                let id = WordId::from_index(spans.len());
                spans.push(text.len()..text.len() + lower.len());
                text.push_str(&lower);
                self.lower.insert_unique(lower_hash, id, |id| xxh3_64(text[spans[id.index()].clone()].as_bytes()));
                id
            }
        };
        let start = spelled.len();
        spelled.push_str(word);
        let spelling = Spelling { hash, start, end: spelled.len(), word: id, capitals };
        self.spellings.insert_unique(hash, spelling, |s| s.hash);
        (id, capitals)
    }
}

impl Tokens {
    /// Reads a text on the calling thread.
    ///
    /// # Errors
    /// [`MineError::TooManyWords`], [`MineError::TooManyTags`] and [`MineError::Spill`].
    pub fn from_documents<D: AsRef<str>>(
        documents: impl IntoIterator<Item = D>,
        tagger: &Tagger,
    ) -> Result<Self, MineError> {
        let mut reader = Reader::new(tagger)?;
        let mut tokens = Self::default();
        let mut documents = documents.into_iter().peekable();
        while documents.peek().is_some() {
            tokens.append(&reader.read(documents.by_ref().take(BATCH)))?;
        }
        tokens.shrink_to_fit();
        Ok(tokens)
    }
}

/// What a character between words means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Punctuation {
    Dash,
    Quote,
    Open,
    Close,
    /// Ends a segment: sentence punctuation, line breaks, and symbols such as `*` or emoji.
    Stop,
    /// Has no effect.
    Ignored,
}

fn punctuation(c: char) -> Punctuation {
    match c {
        '-' | '—' | '•' => Punctuation::Dash,
        '"' | '“' | '”' | '„' | '‘' | '’' => Punctuation::Quote,
        '(' => Punctuation::Open,
        ')' => Punctuation::Close,
        '%' | '/' | '{' | '}' | '[' | ']' | '\'' | '<' | '>' | '«' | '»' => Punctuation::Ignored,
        _ => Punctuation::Stop,
    }
}

/// Notes the characters between two words at the word before them, unless it is of an earlier
/// document. `first` is the first word of the document. Returns the last character's meaning.
fn note_punctuation(between: &str, batch: &mut Batch, first: usize) -> Option<Punctuation> {
    let mut last = None;
    if between == " " {
        return None;
    }
    for c in between.chars() {
        let found = if !c.is_whitespace() {
            punctuation(c)
        } else if matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}') {
            Punctuation::Stop
        } else {
            continue;
        };
        last = Some(found);
        if batch.words.len() == first {
            continue;
        }
        if let (Some(word), Some(annotation)) = (batch.words.last_mut(), batch.annotations.last_mut()) {
            match found {
                Punctuation::Dash => annotation.add(Annotation::DASH_AFTER),
                Punctuation::Quote => annotation.add(Annotation::QUOTE_AFTER),
                Punctuation::Close => annotation.add(Annotation::BRACKET_AFTER),
                _ => {}
            }
            if !matches!(found, Punctuation::Dash | Punctuation::Ignored) {
                word.end_segment();
            }
        }
    }
    last
}

#[cfg(test)]
mod tests;
