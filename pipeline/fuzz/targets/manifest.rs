//! The reader of manifests: any bytes, with the hash set right where there is a place for one, are read or refused.
//! A manifest reads the same after it was written again.
#![no_main]
use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use schemas::{
    Manifest,
    manifest::{CorpusBody, GraphBody, MANIFEST, PoolBody, ShardsBody},
};
use serde_json::Value;

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("manifest-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a temporary folder");
    folder
});

const FIELD: &str = "\"self_blake3\": \"";

fuzz_target!(|data: &[u8]| {
    let mut bytes = data.to_vec();
    if let Some(at) = bytes.windows(FIELD.len()).rposition(|w| w == FIELD.as_bytes()) {
        let from = at + FIELD.len();
        let end = bytes[from..].iter().position(|b| *b == b'"').map_or(bytes.len(), |i| from + i);
        bytes.drain(from..end);
        let hash = blake3::hash(&bytes).to_hex();
        bytes.splice(from..from, hash.bytes());
    }
    fs::write(FOLDER.join(MANIFEST), &bytes).expect("a temporary file");
    round::<CorpusBody>();
    round::<PoolBody>();
    round::<GraphBody>();
    round::<ShardsBody>();
});

fn round<B: serde::Serialize + serde::de::DeserializeOwned + Clone + PartialEq + std::fmt::Debug>() {
    let manifest = match Manifest::<B>::read(&FOLDER) {
        Ok(manifest) => manifest,
        Err(error) => {
            let _ = error.to_string();
            return;
        }
    };
    let original = fs::read(FOLDER.join(MANIFEST)).expect("read before");
    let again = Manifest::new(manifest.body.clone(), manifest.files.clone()).seal(&FOLDER).expect("room");
    let read = Manifest::<B>::read(&FOLDER).expect("just written");
    assert_eq!(read, again);
    let value = |m: &Manifest<B>| -> Value { serde_json::to_value(&m.body).expect("a body") };
    assert_eq!(value(&read), value(&manifest));
    fs::write(FOLDER.join(MANIFEST), original).expect("a temporary file");
}
