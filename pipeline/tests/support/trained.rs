//! Byte-level tokenizers with the settings of RoBERTa and ModernBERT, trained on the sample.
use std::{fs::File, io::Read, sync::OnceLock};

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use tokenizers::{
    AddedToken,
    models::{
        TrainerWrapper,
        bpe::{BPE, BpeTrainer},
    },
    normalizers::NFC,
    pre_tokenizers::byte_level::ByteLevel,
};

use super::workspace;

/// Whose settings a tokenizer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Like {
    RoBerta,
    ModernBert,
}

/// Text in which tokens cross words: punctuation in a row, characters of several bytes, scripts
/// without spaces.
const HARD: &str = "Wait... what?!! don't can't it's we're I've I'll http://www.shop.com/a-b_c 10.5oz 20°-30° ™®©\n\
                    中文字符混合 日本語の文章。カタカナ 한국어 조선말 café naïve Ångström «quoted» “so” — it’s 👍🏽 👍👍 ½²³\n\
                    a  b   c\t\td\n\n\ne \u{a0} f";

/// A `tokenizer.json`, trained once per test program.
pub(crate) fn byte_level(like: Like) -> &'static str {
    static TRAINED: [OnceLock<String>; 2] = [const { OnceLock::new() }; 2];
    TRAINED[like as usize].get_or_init(|| train(like))
}

/// The same with a part changed.
pub(crate) fn changed(like: Like, change: impl FnOnce(&mut Value)) -> String {
    let mut json: Value = serde_json::from_str(byte_level(like)).expect("a tokenizer is JSON");
    change(&mut json);
    json.to_string()
}

fn train(like: Like) -> String {
    let mut text = String::new();
    for name in ["meta_sample.json.gz", "Sample_5.json.gz"] {
        let file = File::open(workspace().join("data/sample").join(name)).expect("the sample is there");
        GzDecoder::new(file).read_to_string(&mut text).expect("the sample is text");
    }
    let special: &[&str] = match like {
        Like::RoBerta => &["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
        Like::ModernBert => &["<|endoftext|>", "[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"],
    };
    // The mask takes the space before it.
    let special =
        special.iter().map(|&token| AddedToken::from(token, true).lstrip(token.to_lowercase().contains("mask")));
    let trainer = BpeTrainer::builder()
        .vocab_size(4000)
        .show_progress(false)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special.collect())
        .build();
    let mut tokenizer = tokenizers::Tokenizer::new(BPE::default());
    if like == Like::ModernBert {
        tokenizer.with_normalizer(Some(NFC)).expect("no tokens are added yet");
    }
    // RoBERTa's file has no space before the text; `add_prefix_space` is an option that people change.
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    let hard = std::iter::repeat_n(HARD, 200);
    tokenizer.train(&mut TrainerWrapper::from(trainer), text.lines().step_by(4).chain(hard)).expect("it learns");
    if like == Like::ModernBert {
        let spaces = (2..25).rev().map(|n| " ".repeat(n));
        let others = ["|||IP_ADDRESS|||", "|||EMAIL_ADDRESS|||", "[unused0]", "[unused1]", "é|é"].map(str::to_owned);
        tokenizer
            .add_tokens(spaces.chain(others).map(|token| AddedToken::from(token, false)))
            .expect("tokens are added");
        // Found before the text is normalized.
        tokenizer.add_tokens([AddedToken::from("e\u{301}|raw", false).normalized(false)]).expect("a token is added");
    }
    let mut json: Value = serde_json::to_value(&tokenizer).expect("a tokenizer is JSON");
    // As the files on the hub have them.
    json["truncation"] = json!({"direction": "Right", "max_length": 512, "strategy": "LongestFirst", "stride": 0});
    json["model"]["continuing_subword_prefix"] = "".into();
    json["model"]["end_of_word_suffix"] = "".into();
    json.to_string()
}
