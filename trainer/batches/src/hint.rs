//! What a user should do about shards that are missing or are not as they were written.
use schemas::{ManifestError, StoreError};

/// The hint that ends a message about a file of the shards; empty where there is none.
pub(crate) fn of_store(error: &StoreError) -> &'static str {
    match error {
        StoreError::Missing { .. } => "\nhint: run `ebert shards` again, with all options as before",
        StoreError::Damaged { .. } => {
            "\nhint: delete the file and run `ebert shards` again, with all options as before; complete files are kept"
        }
        StoreError::Columns { .. } => {
            "\nhint: another version wrote it: run `ebert shards` again, with all options as before"
        }
        _ => "",
    }
}

/// The hint that ends a message about the manifest of the shards; empty where there is none.
pub(crate) fn of_manifest(error: &ManifestError) -> &'static str {
    match error {
        ManifestError::Absent { .. } => "\nhint: run `ebert shards` to finish it, with all options as intended",
        ManifestError::Malformed { .. } | ManifestError::Changed { .. } => {
            "\nhint: delete it and run `ebert shards` again; finished files are kept"
        }
        ManifestError::Format { found, .. } if *found < u64::from(schemas::FORMAT) => {
            "\nhint: run `ebert shards` again with all options as before; it rebuilds the folder"
        }
        ManifestError::Format { .. } => {
            "\nhint: use the release that wrote this one, or build the shards again in another folder"
        }
        ManifestError::Store(error) => of_store(error),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use schemas::open_pairs;

    use crate::DataError;

    #[test]
    fn a_table_of_another_version_is_refused_with_the_command_that_rebuilds_it() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/tests/v2/pairs-without-weight.parquet");
        let error = DataError::from(open_pairs(&file).err().unwrap()).to_string();
        assert!(error.contains("hint: another version wrote it: run `ebert shards` again"), "{error}");
    }
}
