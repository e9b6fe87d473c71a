//! From text to tagged tokens.
use crate::{
    features::{WordForm, forms_of},
    sentence::{Sentences, Token},
    tagger::{TagScorer, Tagger},
};

/// Cuts text into sentences and tags their tokens.
///
/// It holds buffers and caches: create one per thread and reuse it.
pub struct Tagging<'m> {
    scorer: TagScorer<'m>,
    sentences: Sentences,
    forms: Vec<WordForm>,
    buffer: Vec<u8>,
    tags: Vec<u8>,
}

impl<'m> Tagging<'m> {
    /// Creates one for this tagger.
    pub fn new(tagger: &'m Tagger) -> Self {
        Self {
            scorer: TagScorer::new(tagger),
            sentences: Sentences::default(),
            forms: Vec::new(),
            buffer: Vec::new(),
            tags: Vec::new(),
        }
    }

    /// The names of the tags. A token's tag is an index into them.
    pub fn tags(&self) -> &[String] {
        self.scorer.tagger().tags()
    }

    /// Calls `visit` with the tokens of each sentence and their tags.
    ///
    /// # Panics
    /// If the text has 4 GiB or more.
    pub fn each_sentence(&mut self, text: &str, mut visit: impl FnMut(&[Token], &[u8])) {
        self.each_with_forms(text, |tokens, _, tags| visit(tokens, tags));
    }

    pub(crate) fn each_with_forms(&mut self, text: &str, mut visit: impl FnMut(&[Token], &[WordForm], &[u8])) {
        let Self { scorer, sentences, forms, buffer, tags } = self;
        sentences.each(text, |tokens| {
            forms_of(tokens.iter().map(|t| t.of(text)), forms, buffer);
            scorer.tag(forms, tags);
            visit(tokens, forms, tags);
        });
    }
}
