//! Text to token ids, with the place of each token in the text.
mod added;
mod error;

use std::path::Path;

use tokenizers::{
    NormalizedString, Normalizer as _, Tokenizer, models::wordpiece::WordPiece, normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer,
};

pub use added::{Added, added};
pub use error::TokensError;

use crate::{BertConfig, pointer::Pointer};
use added::read;
use serde::{Deserialize, Serialize};

/// The most tokens of a vocabulary: shards and batches hold ids of 16 bits.
pub const MOST_TOKENS: usize = 1 << 16;

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    cls: u16,
    sep: u16,
    pad: u16,
}

/// A range of a text, in characters (Unicode scalar values), as the task files count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Span(u32, u32);

impl Span {
    /// `None` when it holds no character.
    pub fn new(start: usize, end: usize) -> Option<Self> {
        (start < end && end <= u32::MAX as usize).then_some(Self(start as u32, end as u32))
    }

    /// The first character.
    pub fn start(self) -> usize {
        self.0 as usize
    }

    /// The first character after it.
    pub fn end(self) -> usize {
        self.1 as usize
    }

    /// From the first character of this to the end of `other`, if that is later than its own.
    pub fn to(self, other: Self) -> Self {
        Self(self.0, self.1.max(other.1))
    }

    /// Whether they share a character.
    pub fn overlaps(self, other: Self) -> bool {
        self.0 < other.1 && other.0 < self.1
    }

    /// The characters of a text that stand there; `None` where the text is shorter.
    pub fn of(self, text: &str) -> Option<&str> {
        let mut starts = text.char_indices().map(|(at, _)| at).chain([text.len()]);
        let start = starts.nth(self.start())?;
        let end = starts.nth(self.end() - self.start() - 1)?;
        text.get(start..end)
    }
}

impl TryFrom<(u32, u32)> for Span {
    type Error = String;

    fn try_from((start, end): (u32, u32)) -> Result<Self, String> {
        Self::new(start as usize, end as usize).ok_or_else(|| format!("no character stands from {start} to {end}"))
    }
}

impl From<Span> for (u32, u32) {
    fn from(span: Span) -> Self {
        (span.0, span.1)
    }
}

/// A text in tokens, without special ones.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Encoded {
    /// Ids.
    pub ids: Vec<u16>,
    /// Where each token stands in the text.
    pub spans: Vec<Span>,
    /// Which word each token is of: it rises by one from word to word.
    pub words: Vec<u32>,
}

/// The tokenizer of a Hugging Face folder; of a folder with `vocab.txt` alone BERT's, with what
/// `tokenizer_config.json` says of case, accents and Chinese characters.
///
/// # Errors
/// When it cannot be read.
pub fn tokenizer(folder: &Path) -> Result<Tokenizer, TokensError> {
    let broken = |what: String| TokensError::Unreadable { folder: folder.to_owned(), what };
    let file = folder.join("tokenizer.json");
    Pointer::refuse(&file)?;
    if file.is_file() {
        let mut tokenizer = Tokenizer::from_file(&file).map_err(|error| broken(error.to_string()))?;
        // Files of some models cut and pad.
        tokenizer.with_padding(None).with_truncation(None).map_err(|error| broken(error.to_string()))?;
        return Ok(tokenizer);
    }
    let vocabulary = folder.join("vocab.txt").display().to_string();
    let model = WordPiece::from_file(&vocabulary).unk_token("[UNK]".to_owned()).build();
    let mut tokenizer = Tokenizer::new(model.map_err(|error| broken(error.to_string()))?);
    let config = read(folder, "tokenizer_config.json")?;
    let says = |key: &str| config[key].as_bool();
    // What is not said is as in `BertNormalizer::default()`: accents go where case goes.
    let normalizer = BertNormalizer::new(
        true,
        says("tokenize_chinese_chars").unwrap_or(true),
        says("strip_accents"),
        says("do_lower_case").unwrap_or(true),
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(|error| broken(error.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    // One at a time: each gets the next id.
    for Added { id, token } in added(folder)? {
        let text = token.content.clone();
        let done = if token.special { tokenizer.add_special_tokens([token]) } else { tokenizer.add_tokens([token]) };
        done.map_err(|error| broken(error.to_string()))?;
        let found = tokenizer.token_to_id(&text).unwrap_or_default();
        if found != id {
            return Err(broken(format!("the added token {text} should have id {id}, and {found} is next")));
        }
    }
    Ok(tokenizer)
}

/// What the tokenizer of a Hugging Face folder makes of a text before it looks for tokens; nothing
/// where the folder does not say it.
///
/// # Errors
/// When its tokenizer cannot be read.
pub fn normalized(folder: &Path, text: &str) -> Result<Option<String>, TokensError> {
    let config = read(folder, "tokenizer_config.json")?;
    let says = ["do_lower_case", "strip_accents", "tokenize_chinese_chars"].iter().any(|key| config[key].is_boolean());
    if !says && !folder.join("tokenizer.json").is_file() {
        return Ok(None);
    }
    let broken =
        |error: tokenizers::Error| TokensError::Unreadable { folder: folder.to_owned(), what: error.to_string() };
    Ok(Some(normalized_by(&tokenizer(folder)?, text).map_err(broken)?))
}

/// What a tokenizer makes of a text before it looks for tokens.
pub fn normalized_by(tokenizer: &Tokenizer, text: &str) -> Result<String, tokenizers::Error> {
    let mut text = NormalizedString::from(text);
    tokenizer.get_normalizer().map_or(Ok(()), |normalizer| normalizer.normalize(&mut text))?;
    Ok(text.get().to_owned())
}

impl Tokens {
    /// Reads the tokenizer of a model.
    ///
    /// # Errors
    /// When there is none, or it is not the model's.
    pub fn of(folder: &Path, config: &BertConfig) -> Result<Self, TokensError> {
        let mut tokenizer = tokenizer(folder)?;
        // `[MASK]` in a review is text.
        tokenizer.set_encode_special_tokens(true);
        let found = tokenizer.get_vocab_size(true);
        if found > MOST_TOKENS {
            return Err(TokensError::Limit { folder: folder.to_owned(), found });
        }
        if found as i64 > config.vocab_size {
            return Err(TokensError::Size { folder: folder.to_owned(), found, wanted: config.vocab_size });
        }
        let special = |name: &str| {
            let id = tokenizer.token_to_id(name).and_then(|id| u16::try_from(id).ok());
            id.ok_or_else(|| TokensError::Unreadable { folder: folder.to_owned(), what: format!("it has no {name}") })
        };
        let (cls, sep, pad) = (special("[CLS]")?, special("[SEP]")?, special("[PAD]")?);
        Ok(Self { tokenizer, cls, sep, pad })
    }

    /// The id of `[CLS]`.
    pub fn cls(&self) -> u16 {
        self.cls
    }

    /// The id of `[SEP]`.
    pub fn sep(&self) -> u16 {
        self.sep
    }

    /// The id of `[PAD]`.
    pub fn pad(&self) -> u16 {
        self.pad
    }

    /// The id of a token as the vocabulary writes it, such as `[MASK]`.
    pub fn id(&self, name: &str) -> Option<u16> {
        self.tokenizer.token_to_id(name).and_then(|id| u16::try_from(id).ok())
    }

    /// A token as the vocabulary writes it.
    pub fn name(&self, id: u16) -> String {
        self.tokenizer.id_to_token(u32::from(id)).unwrap_or_default()
    }

    /// Encodes a text.
    ///
    /// # Errors
    /// When the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Encoded, TokensError> {
        let refused = |what: String| TokensError::Encode { text: text.chars().take(80).collect(), what };
        let encoding = self.tokenizer.encode_char_offsets(text, false).map_err(|error| refused(error.to_string()))?;
        let mut encoded = Encoded::default();
        let mut word = None;
        for ((&id, &(start, end)), &of) in
            encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids())
        {
            // A token that stands for no character of the text has no place to be an answer.
            let Some(span) = Span::new(start, end) else { continue };
            let id = u16::try_from(id).map_err(|_| refused(format!("token {id} is beyond 65,535")))?;
            let number = match (encoded.words.last(), word) {
                (None, _) => 0,
                (Some(&last), before) => last + u32::from(before != Some(of) || of.is_none()),
            };
            word = Some(of);
            encoded.ids.push(id);
            encoded.spans.push(span);
            encoded.words.push(number);
        }
        Ok(encoded)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A tokenizer over these words and pieces.
    fn small(words: &[&str]) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].iter().chain(words);
        let text: String = vocabulary.flat_map(|word| [*word, "\n"]).collect();
        fs::write(folder.path().join("vocab.txt"), text).unwrap();
        let config = serde_json::json!({"vocab_size": 1000, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8});
        Tokens::of(folder.path(), &serde_json::from_value(config).unwrap()).unwrap()
    }

    #[test]
    fn places_count_characters_of_the_text_as_it_was() {
        let tokens = small(&["battery", "life", "##s", "cafe", "“"]);
        let encoded = tokens.encode("“Café” [MASK] lifes").unwrap();
        let spans: Vec<_> = encoded.spans.iter().map(|s| (s.start(), s.end())).collect();
        assert_eq!(spans, [(0, 1), (1, 5), (5, 6), (7, 8), (8, 12), (12, 13), (14, 18), (18, 19)]);
        assert_eq!(encoded.words, [0, 1, 2, 3, 4, 5, 6, 6]);
        // `[MASK]` is text: none of its three words is in the vocabulary.
        assert_eq!(encoded.ids, [9, 8, 1, 1, 1, 1, 6, 7]);
        assert_eq!(tokens.encode(" ").unwrap(), Encoded::default());
    }

    #[test]
    fn a_cased_vocabulary_is_read_as_cased() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\nTea\ntea\n").unwrap();
        let ids = || tokenizer(folder.path()).unwrap().encode("Tea", false).unwrap().get_ids().to_vec();
        assert_eq!(ids(), [5]);
        fs::write(folder.path().join("tokenizer_config.json"), r#"{"do_lower_case": false}"#).unwrap();
        assert_eq!(ids(), [4]);
    }

    #[test]
    fn accents_stay_where_the_configuration_says_so() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\nsch\u{f6}n\nschon\n茶\n茶茶\n")
            .unwrap();
        let ids = || tokenizer(folder.path()).unwrap().encode("Sch\u{f6}n 茶茶", false).unwrap().get_ids().to_vec();
        assert_eq!(ids(), [5, 6, 6]);
        let config = r#"{"strip_accents": false, "tokenize_chinese_chars": false}"#;
        fs::write(folder.path().join("tokenizer_config.json"), config).unwrap();
        assert_eq!(ids(), [4, 7]);
    }

    #[test]
    fn added_tokens_stay_whole() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("vocab.txt"), "[PAD]\n[UNK]\n[CLS]\n[SEP]\nx\n##box\n").unwrap();
        let ids = || tokenizer(folder.path()).unwrap().encode("an xbox", false).unwrap().get_ids().to_vec();
        assert_eq!(ids(), [1, 4, 5]);
        fs::write(folder.path().join("added_tokens.json"), r#"{"xbox": 6}"#).unwrap();
        assert_eq!(ids(), [1, 6]);
        fs::write(folder.path().join("added_tokens.json"), r#"{"xbox": 8}"#).unwrap();
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains("the added token xbox should have id 8, and 6 is next"), "{error}");
    }

    #[test]
    fn a_vocabulary_beyond_16_bits_names_the_limit_of_this_build() {
        let folder = tempfile::tempdir().unwrap();
        let words: String = (0..70_000).map(|i| format!("w{i}\n")).collect();
        fs::write(folder.path().join("vocab.txt"), format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{words}")).unwrap();
        let config = serde_json::json!({"vocab_size": 70_004, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8});
        let error = Tokens::of(folder.path(), &serde_json::from_value(config).unwrap()).unwrap_err().to_string();
        assert!(error.contains("has 70004 tokens, and this build supports up to 65,536\nhint: "), "{error}");
        fs::write(folder.path().join("tokenizer.json"), "version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
            .unwrap();
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains("tokenizer.json` is a Git LFS pointer"), "{error}");
    }

    #[test]
    fn what_is_no_tokenizer_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let error = tokenizer(folder.path()).unwrap_err().to_string();
        assert!(error.contains("has no tokenizer that can be read"), "{error}");
        fs::write(folder.path().join("vocab.txt"), "[UNK]\na\nb\nc\n").unwrap();
        let config = |size: i64| {
            let config = serde_json::json!({"vocab_size": size, "hidden_size": 8, "num_hidden_layers": 1,
                "num_attention_heads": 1, "intermediate_size": 8});
            serde_json::from_value::<BertConfig>(config).unwrap()
        };
        let error = Tokens::of(folder.path(), &config(3)).unwrap_err().to_string();
        assert!(error.contains("has 4 tokens, and the model 3 word embeddings"), "{error}");
        assert!(Tokens::of(folder.path(), &config(9)).unwrap_err().to_string().contains("it has no [CLS]"));
    }
}
