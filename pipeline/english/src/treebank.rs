//! Treebanks: one token per line, a blank line between sentences.
//!
//! There are two formats: `word tag chunk`, separated by spaces (CoNLL-2000, Tjong Kim Sang and
//! Buchholz 2000), and `word<TAB>tag`.
pub use crate::chunker::Chunk;

/// A sentence with its tags and, if the treebank has them, its noun phrases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The tokens.
    pub words: Vec<String>,
    /// The Penn tag of each token.
    pub tags: Vec<String>,
    /// The position of each token in noun phrases.
    pub chunks: Option<Vec<Chunk>>,
}

/// A text is not a treebank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreebankError {
    /// A line has other columns.
    #[error("line {line}: found `{found}`, expected a word and a tag")]
    Malformed {
        /// The line's number, from 1.
        line: usize,
        /// The line.
        found: String,
    },
    /// There are no sentences.
    #[error("has no sentences")]
    Empty,
}

/// Parses the sentences of a treebank.
///
/// # Errors
/// If a line has other columns, or if there are no sentences.
///
/// ```
/// let sentences = ebert_english::treebank::parse("A DT B-NP\nkettle NN I-NP\nboils VBZ O\n")?;
/// assert_eq!(sentences[0].tags, ["DT", "NN", "VBZ"]);
/// # Ok::<(), ebert_english::treebank::TreebankError>(())
/// ```
pub fn parse(text: &str) -> Result<Vec<Sentence>, TreebankError> {
    let mut sentences = Vec::new();
    let mut sentence = Sentence::default();
    for (number, line) in text.lines().chain([""]).enumerate() {
        if line.trim().is_empty() {
            if !sentence.words.is_empty() {
                sentences.push(std::mem::take(&mut sentence));
            }
            continue;
        }
        let malformed = || TreebankError::Malformed { line: number + 1, found: line.to_owned() };
        let separator = if line.contains('\t') { '\t' } else { ' ' };
        let mut columns = line.split(separator);
        let (Some(word), Some(tag)) = (columns.next(), columns.next().filter(|tag| !tag.is_empty())) else {
            return Err(malformed());
        };
        // More than three columns are prose.
        if separator == ' ' && columns.clone().filter(|column| !column.is_empty()).count() > 1 {
            return Err(malformed());
        }
        sentence.words.push(word.to_owned());
        sentence.tags.push(penn_name(tag).to_owned());
        if let Some(chunk) = columns.next() {
            let chunk = match chunk {
                "B-NP" => Chunk::Begin,
                "I-NP" => Chunk::Inside,
                _ => Chunk::Outside,
            };
            sentence.chunks.get_or_insert_default().push(chunk);
        }
        if sentence.chunks.as_ref().is_some_and(|chunks| chunks.len() != sentence.words.len()) {
            return Err(malformed());
        }
    }
    if sentences.is_empty() {
        return Err(TreebankError::Empty);
    }
    Ok(sentences)
}

/// The Penn Treebank's name of a tag. Treebanks write brackets in two ways.
fn penn_name(tag: &str) -> &str {
    match tag {
        "-LRB-" => "(",
        "-RRB-" => ")",
        tag => tag,
    }
}
