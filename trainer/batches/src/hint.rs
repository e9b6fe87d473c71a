//! What a user should do about shards that are missing or are not as they were written.
use std::{fs, path::Path};

use schemas::{ManifestError, StoreError, quoted};
use serde_json::Value;

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
pub(crate) fn of_manifest(error: &ManifestError) -> String {
    let hint = match error {
        ManifestError::Malformed { path, .. } if let Some(hint) = of_another(path) => return hint,
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
    };
    hint.to_owned()
}

/// The output folder of a step's folder, such as the shards, as a user would type it.
pub(crate) fn out_of(step: &Path) -> String {
    let out = step.parent().filter(|out| !out.as_os_str().is_empty());
    quoted(out.unwrap_or(Path::new(".")))
}

/// The hint for a manifest of another step or of another program. `None` for one of shards, and for a damaged one.
fn of_another(path: &Path) -> Option<String> {
    /// A field that no other manifest has, and the step.
    const STEPS: [(&str, &str); 3] = [("inputs", "corpus"), ("min_score", "pool"), ("named_ids", "graph")];
    let value: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let folder = path.parent()?;
    if ["format", "self_blake3"].iter().all(|key| value.get(key).is_none()) {
        let folder = quoted(folder);
        return Some(format!(
            "\nhint: another program wrote it: name an output folder of `ebert shards` in place of `{folder}`"
        ));
    }
    let (_, step) = STEPS.into_iter().find(|(field, _)| value.get(field).is_some())?;
    let out = out_of(folder);
    Some(format!("\nhint: it is the manifest of a {step}, not of shards: name the output folder, `--shards {out}`"))
}

#[cfg(test)]
mod tests {
    use schemas::{Manifest, manifest::ShardsBody, open_pairs};

    use super::*;
    use crate::DataError;

    #[test]
    fn a_table_of_another_version_is_refused_with_the_command_that_rebuilds_it() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/tests/v2/pairs-without-weight.parquet");
        let error = DataError::from(open_pairs(&file).err().unwrap()).to_string();
        assert!(error.contains("hint: another version wrote it: run `ebert shards` again"), "{error}");
    }

    #[test]
    fn a_manifest_of_something_else_is_named_and_kept() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("corpus");
        fs::create_dir(&folder).unwrap();
        let named = format!("name the output folder, `--shards {}`", quoted(out.path()));
        for (text, wanted) in [
            (r#"{"manifest_version": 3, "name": "tabs"}"#, "hint: another program wrote it"),
            (r#"{"format": 2, "inputs": [], "self_blake3": ""}"#, &named),
            (r#"{"format": 2,"#, "hint: delete it and run `ebert shards` again"),
        ] {
            fs::write(folder.join("manifest.json"), text).unwrap();
            let source = serde_json::from_str::<u64>("{}").unwrap_err();
            let error = ManifestError::Malformed { path: folder.join("manifest.json"), source };
            let hint = of_manifest(&error);
            assert!(hint.contains(wanted), "{text}: {hint}");
        }
        fs::write(folder.join("manifest.json"), r#"{"manifest_version": 3, "name": "tabs"}"#).unwrap();
        let error = DataError::from(Manifest::<ShardsBody>::read(&folder).unwrap_err()).to_string();
        assert!(error.contains("another program") && !error.contains("delete"), "{error}");
    }
}
