//! The tokens of a model to start from.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ebert_batches::vocabulary::{VocabularyError, tokens_of_file};
use ebert_bert::{
    Pointer,
    tokens::{TokensError, added},
};

use super::InitError;

/// The tokens by id of a model's folder: of `tokenizer.json` or else `vocab.txt`, and those that
/// were added to it; `None` when it has neither.
pub(super) fn tokens_of_model(folder: &Path) -> Result<Option<(PathBuf, Vec<String>)>, InitError> {
    let mut path = folder.join("tokenizer.json");
    // A stand-in of Git LFS is named here.
    let added = added(folder)?;
    let mut tokens: Vec<String> = if path.is_file() {
        tokens_of_file(&path)?
    } else {
        path = folder.join("vocab.txt");
        Pointer::refuse(&path).map_err(TokensError::from)?;
        match fs::read_to_string(&path) {
            Ok(text) => text.lines().map(|line| line.trim_end_matches('\r').to_owned()).collect(),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(VocabularyError::Io { path, source }.into()),
        }
    };
    for added in added {
        let id = added.id as usize;
        if id > tokens.len() {
            return Err(VocabularyError::Gap { path, tokens: tokens.len() + 1, id: tokens.len() }.into());
        }
        if id == tokens.len() {
            tokens.push(added.token.content);
        }
    }
    Ok(Some((path, tokens)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_tokens_follow_those_of_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let tokens = || tokens_of_model(folder.path()).map(|found| found.map(|(_, tokens)| tokens.join(" ")));
        assert_eq!(tokens().unwrap(), None);
        fs::write(folder.path().join("vocab.txt"), "[PAD]\r\na\n").unwrap();
        assert_eq!(tokens().unwrap().unwrap(), "[PAD] a");
        fs::write(folder.path().join("added_tokens.json"), r#"{"[PRICE]": 3, "xbox": 2}"#).unwrap();
        assert_eq!(tokens().unwrap().unwrap(), "[PAD] a xbox [PRICE]");
        fs::write(folder.path().join("added_tokens.json"), r#"{"xbox": 4}"#).unwrap();
        let error = tokens().unwrap_err().to_string();
        assert!(error.contains("3 tokens, but no token of id 2"), "{error}");
        fs::write(folder.path().join("tokenizer.json"), r#"{"model": {"vocab": {"a": 0}}}"#).unwrap();
        fs::remove_file(folder.path().join("added_tokens.json")).unwrap();
        assert_eq!(tokens().unwrap().unwrap(), "a");
    }
}
