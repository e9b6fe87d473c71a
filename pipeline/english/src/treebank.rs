//! Treebanks: one token a line, a blank line between sentences.
//!
//! Two formats: `word tag chunk`, separated by a space (CoNLL-2000, Tjong Kim Sang and Buchholz 2000), and `word<TAB>tag` (as exported from
//! the English Web Treebank). Plain, gz or zst.

/// A sentence with its tags and, where the file has them, its noun phrases.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sentence {
    /// The tokens.
    pub words: Vec<String>,
    /// Penn tag of each.
    pub tags: Vec<String>,
    /// Where each token is in noun phrases.
    pub chunks: Option<Vec<Chunk>>,
}

/// Where a token is in noun phrases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Chunk {
    /// It begins one.
    Begin,
    /// It goes on with one.
    Inside,
    /// It is in none.
    #[default]
    Outside,
}

impl Chunk {
    /// All, by number.
    pub const ALL: [Self; 3] = [Self::Begin, Self::Inside, Self::Outside];
}

/// A text is not a treebank.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TreebankError {
    /// A line has other columns.
    #[error("line {line}: found `{found}`, wanted a word and a tag")]
    Malformed {
        /// From 1.
        line: usize,
        /// What the line holds.
        found: String,
    },
    /// There is no sentence.
    #[error("it holds no sentence")]
    Empty,
}

/// Reads the sentences of a treebank.
///
/// # Errors
/// If a line has other columns, or if there is no sentence.
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
        // A text of sentences is none: of a word, its tag and its chunk there is nothing more.
        if separator == ' ' && columns.clone().filter(|column| !column.is_empty()).count() > 1 {
            return Err(malformed());
        }
        sentence.words.push(word.to_owned());
        sentence.tags.push(penn(tag).to_owned());
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

/// The Penn Treebank's own name of a tag: brackets are written in two ways.
fn penn(tag: &str) -> &str {
    match tag {
        "-LRB-" => "(",
        "-RRB-" => ")",
        tag => tag,
    }
}

/// Noun phrases as ranges of tokens.
pub fn spans(chunks: &[Chunk]) -> Vec<std::ops::Range<usize>> {
    let mut spans: Vec<std::ops::Range<usize>> = Vec::new();
    for (i, chunk) in chunks.iter().enumerate() {
        match chunk {
            Chunk::Begin => spans.push(i..i + 1),
            Chunk::Inside => match spans.last_mut().filter(|span| span.end == i) {
                Some(span) => span.end += 1,
                None => spans.push(i..i + 1),
            },
            Chunk::Outside => {}
        }
    }
    spans
}
