//! The readers of shards: any bytes are rows or an error. Nothing is read out of bounds, and no panic leaves the
//! reader.
#![no_main]
use std::{fs, path::PathBuf, sync::LazyLock};

use libfuzzer_sys::fuzz_target;
use schemas::{PairRows, SegmentRows, open_pairs, open_segments};

static FILE: LazyLock<PathBuf> =
    LazyLock::new(|| std::env::temp_dir().join(format!("shard-fuzz-{}.parquet", std::process::id())));

/// The fuzzer's own hook ends the process at a panic, also at one that the reader catches.
static CATCH: LazyLock<()> = LazyLock::new(|| std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))));

fuzz_target!(|data: &[u8]| {
    LazyLock::force(&CATCH);
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
