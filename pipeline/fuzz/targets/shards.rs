//! The readers of shards: any bytes are rows or an error. Nothing is read out of bounds, nothing panics.
#![no_main]
use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use schemas::{PairRows, SegmentRows, open_pairs, open_segments};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("shard-fuzz-{}.parquet", std::process::id())));

fuzz_target!(|data: &[u8]| {
    fs::write(&*FILE, data).expect("a temporary file");
    if let Ok(table) = open_segments(&FILE) {
        for batch in table.batches(100, None) {
            let Ok(batch) = batch else { break };
            let mut rows = SegmentRows::new(&batch);
            for row in 0..rows.len() {
                if let Ok(segment) = rows.get(row) {
                    let last = segment.phrases.iter().map(|p| p.tokens.tokens().end).max().unwrap_or(0);
                    assert!(last <= segment.input_ids.len());
                }
            }
        }
    }
    if let Ok(table) = open_pairs(&FILE) {
        for batch in table.batches(100, None) {
            let Ok(batch) = batch else { break };
            let rows = PairRows::new(&batch);
            for row in 0..rows.len() {
                let _ = rows.get(row);
            }
        }
    }
});
