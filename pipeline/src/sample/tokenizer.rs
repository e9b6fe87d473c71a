//! The tokenizer of the sample: a small uncased WordPiece vocabulary, trained on the clean text of its corpus.
use std::{path::Path, sync::Arc};

use schemas::{StoreError, store};
use tokenizers::{
    AddedToken, ModelWrapper,
    models::{TrainerWrapper, wordpiece::WordPiece, wordpiece::WordPieceTrainer},
};

use super::SampleError;
use crate::text::{SPECIAL_TOKENS, uncased_bert};
use ebert_dumps::{LineReader, clean::clean, open, parse};

/// Entries of the vocabulary: enough for the sample's words, few enough to train a model on a laptop.
pub const VOCABULARY: usize = 6_000;

/// Trains on the raw files `names` of `dir` and writes `tokenizer.json` beside them.
pub fn write_tokenizer(dir: &Path, names: &[&str]) -> Result<(), SampleError> {
    let mut texts = Vec::new();
    for name in names {
        let path = dir.join(name);
        let opened = open(&path, Arc::default()).map_err(StoreError::io("open", &path))?;
        let mut lines = LineReader::new(opened.bytes);
        while let Some(batch) = lines.next_batch(1 << 20) {
            for line in batch.iter() {
                let mut text = String::new();
                // The generator writes no line that cannot be read.
                let _ = parse(line.bytes, |record| {
                    let product = record.title.iter().chain(record.features()).chain(record.description.iter());
                    for piece in product.chain(record.review_pieces()) {
                        clean(piece, &mut text);
                        text.push('\n');
                    }
                });
                texts.push(text);
            }
        }
    }
    let special: Vec<AddedToken> = SPECIAL_TOKENS.iter().map(|t| AddedToken::from(*t, true)).collect();
    let trainer = WordPieceTrainer::builder()
        .vocab_size(VOCABULARY)
        .min_frequency(2)
        .limit_alphabet(400)
        .show_progress(false)
        .special_tokens(special)
        .build();
    let error = |message: String| SampleError::Tokenizer { path: dir.join("tokenizer.json"), message };
    let mut inner = uncased_bert(WordPiece::default()).map_err(error)?;
    let mut trainer = TrainerWrapper::WordPieceTrainer(trainer);
    inner.train(&mut trainer, texts.iter()).map_err(|e| error(e.to_string()))?;
    let ModelWrapper::WordPiece(model) = inner.get_model() else { return Err(error("no WordPiece model".to_owned())) };
    let trained = uncased_bert(model.clone()).map_err(error)?;
    let json = trained.to_string(true).map_err(|e| error(e.to_string()))? + "\n";
    store::write_file(&dir.join("tokenizer.json"), json.as_bytes())?;
    Ok(())
}
