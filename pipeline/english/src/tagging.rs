//! Text to tagged tokens.
use super::{
    features::{Record, records_of},
    sentence::{Sentences, Token},
    tagger::{self, Tagger},
};

/// Cuts text into sentences and tags their tokens; one for each thread.
pub struct Tagging<'m> {
    tagger: tagger::Scorer<'m>,
    sentences: Sentences,
    records: Vec<Record>,
    bytes: Vec<u8>,
    tags: Vec<u8>,
}

impl<'m> Tagging<'m> {
    /// With this tagger.
    pub fn new(tagger: &'m Tagger) -> Self {
        Self {
            tagger: tagger::Scorer::new(tagger),
            sentences: Sentences::default(),
            records: Vec::new(),
            bytes: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// The names of the tags, by number.
    pub fn tags(&self) -> &[String] {
        self.tagger.names()
    }

    /// Calls `each` with every sentence: its tokens and the number of each one's tag.
    pub fn each_sentence(&mut self, text: &str, mut each: impl FnMut(&[Token], &[u8])) {
        self.each(text, |tokens, _, tags| each(tokens, tags));
    }

    pub(super) fn each(&mut self, text: &str, mut each: impl FnMut(&[Token], &[Record], &[u8])) {
        let Self { tagger, sentences, records, bytes, tags } = self;
        sentences.each(text, |tokens| {
            records_of(tokens.iter().map(|t| t.of(text)), records, bytes);
            tagger.tag(records, tags);
            each(tokens, records, tags);
        });
    }
}
