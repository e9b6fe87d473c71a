//! Text to token ids, with the place of each token in the text.
mod added;
mod error;

use std::path::Path;

use tokenizers::{
    NormalizedString, Normalizer as _, Tokenizer, models::wordpiece::WordPiece, normalizers::BertNormalizer,
    pre_tokenizers::bert::BertPreTokenizer, processors::PostProcessorWrapper,
};

pub use added::{Added, added};
pub use error::TokensError;

use crate::{BertConfig, Family, pointer::Pointer};
use added::read;
use serde::{Deserialize, Serialize};

/// The tokenizer of a model.
#[derive(Debug)]
pub struct Tokens {
    tokenizer: Tokenizer,
    cls: u32,
    sep: u32,
    pad: u32,
    /// What stands between two texts.
    between: Vec<u32>,
    mask: Option<Mask>,
}

/// The token that hides others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask {
    /// Its id.
    pub id: u32,
    /// As it is written.
    pub name: &'static str,
    /// Whether it takes the spaces before it.
    pub takes_spaces: bool,
}

/// The names of the first, the last, the padding and the hiding token: those of BERT and ModernBERT,
/// and those of RoBERTa.
pub const SPECIAL: [[&str; 4]; 2] = [["[CLS]", "[SEP]", "[PAD]", "[MASK]"], ["<s>", "</s>", "<pad>", "<mask>"]];

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
    pub ids: Vec<u32>,
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
///
/// # Errors
/// When the tokenizer refuses the text.
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
        // It adds special tokens, which sequences do themselves, and takes spaces from spans.
        tokenizer.with_post_processor(None::<PostProcessorWrapper>);
        let found = tokenizer.get_vocab_size(true);
        if found as i64 > config.vocab_size {
            return Err(TokensError::Size { folder: folder.to_owned(), found, wanted: config.vocab_size });
        }
        let names = SPECIAL.into_iter().find(|names| tokenizer.token_to_id(names[0]).is_some());
        let [cls, sep, pad, mask] = names.unwrap_or(SPECIAL[0]);
        let special = |name: &str| {
            tokenizer
                .token_to_id(name)
                .ok_or_else(|| TokensError::Unreadable { folder: folder.to_owned(), what: format!("it has no {name}") })
        };
        let takes_spaces = |id: u32| tokenizer.get_added_tokens_decoder().get(&id).is_some_and(|token| token.lstrip);
        let mask = tokenizer.token_to_id(mask).map(|id| Mask { id, name: mask, takes_spaces: takes_spaces(id) });
        let (cls, sep, pad) = (special(cls)?, special(sep)?, special(pad)?);
        // RoBERTa ends the first text, and begins the second with another end.
        let between = vec![sep; if matches!(config.family, Family::Roberta { .. }) { 2 } else { 1 }];
        Ok(Self { cls, sep, pad, between, mask, tokenizer })
    }

    /// The id of the first token of a sequence, `[CLS]` or `<s>`.
    pub fn cls(&self) -> u32 {
        self.cls
    }

    /// The id of the last token of a sequence, `[SEP]` or `</s>`.
    pub fn sep(&self) -> u32 {
        self.sep
    }

    /// The ids between two texts of a sequence.
    pub fn between(&self) -> &[u32] {
        &self.between
    }

    /// The token that hides others, if there is one.
    pub fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    /// The id of the padding, `[PAD]` or `<pad>`.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// The id of a token as the vocabulary writes it, such as `[MASK]`.
    pub fn id(&self, name: &str) -> Option<u32> {
        self.tokenizer.token_to_id(name)
    }

    /// A token as the vocabulary writes it.
    pub fn name(&self, id: u32) -> String {
        self.tokenizer.id_to_token(id).unwrap_or_default()
    }

    /// Encodes a text.
    ///
    /// # Errors
    /// When the tokenizer refuses.
    pub fn encode(&self, text: &str) -> Result<Encoded, TokensError> {
        let refused = |what: String| TokensError::Encode { text: text.chars().take(80).collect(), what };
        let encoding = self.tokenizer.encode_char_offsets(text, false).map_err(|error| refused(error.to_string()))?;
        let characters: Vec<char> = text.chars().collect();
        let text_of = |start: usize, end: usize| characters.get(start..end).unwrap_or_default();
        let mut encoded = Encoded::default();
        let mut word = None;
        for ((&id, &(start, end)), &of) in
            encoding.get_ids().iter().zip(encoding.get_offsets()).zip(encoding.get_word_ids())
        {
            // Tokens of byte-level BPE begin with the space before a word, and some are nothing else.
            let spaces = text_of(start, end).iter().take_while(|c| c.is_whitespace()).count();
            let start = if start + spaces < end { start + spaces } else { start };
            // A token that stands for no character of the text has no place to be an answer.
            let Some(span) = Span::new(start, end) else { continue };
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

    /// A byte-level BPE with RoBERTa's special tokens, trained on a few words.
    fn byte_level(folder: &Path) -> BertConfig {
        use tokenizers::{
            AddedToken, TokenizerBuilder,
            decoders::byte_level::ByteLevel as Decoder,
            models::bpe::{BPE, BpeTrainerBuilder},
            normalizers::NormalizerWrapper,
            pre_tokenizers::byte_level::ByteLevel,
            processors::roberta::RobertaProcessing,
        };
        let special = |text: &str| AddedToken::from(text, true);
        let mut trainer = BpeTrainerBuilder::new()
            .vocab_size(300)
            .show_progress(false)
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .special_tokens(
                ["<s>", "<pad>", "</s>", "<unk>"]
                    .map(special)
                    .into_iter()
                    .chain([special("<mask>").lstrip(true)])
                    .collect(),
            )
            .build();
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(None::<NormalizerWrapper>)
            .with_pre_tokenizer(Some(ByteLevel::default().add_prefix_space(false)))
            .with_post_processor(Some(RobertaProcessing::new(("</s>".into(), 2), ("<s>".into(), 0))))
            .with_decoder(Some(Decoder::default()))
            .build()
            .unwrap();
        let words = ["the battery life is good", " battery life", " good battery"];
        tokenizer.train(&mut trainer, words.into_iter()).unwrap();
        tokenizer.save(folder.join("tokenizer.json"), false).unwrap();
        let text = r#"{"model_type": "roberta", "vocab_size": 300, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8}"#;
        fs::write(folder.join("config.json"), text).unwrap();
        BertConfig::read(folder).unwrap()
    }

    #[test]
    fn a_roberta_has_its_own_special_tokens() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = Tokens::of(folder.path(), &byte_level(folder.path())).unwrap();
        assert_eq!((tokens.cls(), tokens.sep(), tokens.pad(), tokens.between()), (0, 2, 1, &[2, 2][..]));
        assert_eq!(tokens.mask(), Some(&Mask { id: 4, name: "<mask>", takes_spaces: true }));
        let encoded = tokens.encode("the battery\u{e9} <mask>").unwrap();
        let text: Vec<char> = "the battery\u{e9} <mask>".chars().collect();
        let pieces = encoded.spans.iter().map(|span| text[span.start()..span.end()].iter().collect::<String>());
        // A space before letters is of no span, but one that is a token of its own is. A letter of two bytes is of
        // two tokens.
        assert_eq!(pieces.collect::<Vec<_>>().concat(), "thebattery\u{e9}\u{e9} <mask>");
        let library = tokenizer(folder.path()).unwrap();
        let wanted = library.encode("the  battery", false).unwrap();
        assert_eq!(tokens.encode("the  battery").unwrap().ids, wanted.get_ids());
        assert!(!encoded.ids.contains(&4), "{encoded:?}");
        assert_eq!(encoded.words.last(), Some(&4), "{encoded:?}");
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
    fn ids_may_need_more_than_16_bits() {
        let folder = tempfile::tempdir().unwrap();
        let words: String = (0..70_000).map(|i| format!("w{i}\n")).collect();
        fs::write(folder.path().join("vocab.txt"), format!("[PAD]\n[UNK]\n[CLS]\n[SEP]\n{words}")).unwrap();
        let config = serde_json::json!({"vocab_size": 70_004, "hidden_size": 8, "num_hidden_layers": 1,
            "num_attention_heads": 1, "intermediate_size": 8});
        let tokens = Tokens::of(folder.path(), &serde_json::from_value(config).unwrap()).unwrap();
        assert_eq!(tokens.encode("w69999 w0").unwrap().ids, [70_003, 4]);
        assert_eq!(tokens.name(70_003), "w69999");
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
