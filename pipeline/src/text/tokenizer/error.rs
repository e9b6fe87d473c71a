//! Why a tokenizer file cannot be used.
use std::path::{Path, PathBuf};

use schemas::quoted;

/// The tokens that a trainer adds or predicts, as BERT and ModernBERT name them. A vocabulary
/// without them cannot train a masked language model.
pub(super) const BERT_TOKENS: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// The same, as RoBERTa names them.
pub(super) const ROBERTA_TOKENS: [&str; 5] = ["<pad>", "<unk>", "<s>", "</s>", "<mask>"];

/// A tokenizer file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenizerError {
    #[error("cannot read tokenizer `{}`\nhint: `--tokenizer` names a `vocab.txt` (uncased) or a `tokenizer.json`", path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Neither a `vocab.txt` nor a `tokenizer.json`.
    #[error("tokenizer `{}` cannot be loaded: {found}\nhint: `--tokenizer` names a `vocab.txt` (uncased, one entry per line) or a `tokenizer.json` of Hugging Face tokenizers", path.display())]
    Malformed {
        path: PathBuf,
        /// The loader's message.
        found: String,
    },
    /// A `vocab.txt` of a cased BERT, which would be read as the vocabulary of an uncased one.
    #[error(
        "tokenizer `{}` has {found} entries with capitals, such as `{entry}`: a vocab.txt alone is read as the vocabulary of an uncased BERT\n\
         hint: name a cased model's tokenizer.json. In Python, AutoTokenizer.from_pretrained(folder, do_lower_case=False).save_pretrained(folder) writes it",
        path.display()
    )]
    Cased {
        path: PathBuf,
        /// Number of entries with capitals.
        found: usize,
        /// The first of these entries.
        entry: String,
    },
    /// A model that the shards cannot be made with.
    #[error(
        "tokenizer `{}` is {found}, expected WordPiece or byte-level BPE\n\
         hint: use the tokenizer of a BERT, RoBERTa or ModernBERT model",
        path.display()
    )]
    Model {
        path: PathBuf,
        /// Kind of the model.
        found: &'static str,
    },
    /// Another file of a model's folder.
    #[error("`{}` is {found}\nhint: `--tokenizer` names the `vocab.txt` (uncased) or `tokenizer.json` of a BERT model", path.display())]
    AnotherFile {
        path: PathBuf,
        /// What the file is.
        found: &'static str,
    },
    /// A part of a byte-level tokenizer that has no `tokenizer.json`.
    #[error(
        "`{}` is {found}, a part of a tokenizer in several files\n\
         hint: write them as one tokenizer.json, and name that:\n  \
         python3 -c 'import sys, transformers as t; t.AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[1])' {}",
        path.display(), quoted(folder_of(path))
    )]
    SeveralFiles {
        path: PathBuf,
        /// What the file is.
        found: &'static str,
    },
    /// Two entries of a `vocab.txt` are equal, so an id has no entry of its own.
    #[error(
        "tokenizer `{}` has the entry `{entry}` on lines {first} and {second}\n\
         hint: fetch the vocabulary again; each line of a vocab.txt is another entry",
        path.display()
    )]
    Duplicate { path: PathBuf, entry: String, first: usize, second: usize },
    /// The vocabulary of a `tokenizer.json` has an entry twice.
    #[error("tokenizer `{}` has the entry `{entry}` twice\nhint: fetch the tokenizer again", path.display())]
    EntryTwice { path: PathBuf, entry: String },
    /// Two entries of a `tokenizer.json` have the same id.
    #[error("tokenizer `{}` has the id {id} twice, for `{first}` and `{second}`\nhint: fetch the tokenizer again", path.display())]
    SameId { path: PathBuf, id: u32, first: String, second: String },
    /// An id so high that the vocabulary would not fit in memory.
    #[error("tokenizer `{}` has the id {id}, expected ids below {most}\nhint: fetch the tokenizer again", path.display())]
    HighId { path: PathBuf, id: u32, most: usize },
    #[error(
        "tokenizer `{}` has no `{token}` in its vocabulary\n\
         hint: a masked language model's vocabulary has {} or {}",
        path.display(), BERT_TOKENS.join(" "), ROBERTA_TOKENS.join(" ")
    )]
    NoSpecialToken { path: PathBuf, token: &'static str },
    /// A setting that would make other ids.
    #[error("tokenizer `{}` has {found}\nhint: {supported}", path.display())]
    Unsupported {
        path: PathBuf,
        /// What the tokenizer has.
        found: String,
        /// What is supported.
        supported: &'static str,
    },
}

/// The folder of a file, as it can be named.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
