//! Malformed tables that fuzzing found. The Parquet library panics over some of them. Reading them is
//! an error that names the file.
use std::{fs, path::Path};

use schemas::{StoreError, open_pairs, open_segments, store::TableReader};

/// The first error, from opening to the last row.
fn first_error(open: impl Fn(&Path) -> Result<TableReader, StoreError>, path: &Path) -> Option<String> {
    match open(path) {
        Err(error) => Some(error.to_string()),
        Ok(table) => table.batches(100, None).find_map(Result::err).map(|error| error.to_string()),
    }
}

#[test]
fn malformed_tables_are_refused_by_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/malformed");
    let mut tables = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let errors = [first_error(open_segments, &path), first_error(open_pairs, &path)];
        for error in errors {
            let error = error.unwrap_or_else(|| panic!("`{}` was read", path.display()));
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
        tables += 1;
    }
    assert!(tables > 0);
}
