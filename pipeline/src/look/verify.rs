//! `pipeline verify`: compares every file of an `OUT` folder with its manifest, by hash.
use std::{collections::BTreeSet, fs, io, path::Path};

use schemas::{
    Manifest, ManifestError, StoreError, in_a_line,
    manifest::{CorpusBody, GraphBody, PoolBody, ShardsBody},
    store::{hash_file, verify_file},
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{engine::progress::thousands, hint::Hint};

/// A folder is not what its manifest says.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// Files.
    #[error("{} of {checked} files are not as they were sealed\n{}\nhint: delete those that are there and run `make shards` again, with OUT= and all else as before; what is whole is kept", problems.len(), problems.join("\n"))]
    Damaged {
        /// Each with what is wrong.
        problems: Vec<String>,
        /// Files that were looked at.
        checked: usize,
    },
    /// Files are whole, but a step was done again on which the shards depend.
    #[error(
        "all files are as they were sealed, but the shards are older than what they are made from: {} changed since\n\
         hint: run `make shards` to bring them up to date",
        steps.join(" and ")
    )]
    Stale {
        /// The steps.
        steps: Vec<&'static str>,
    },
    /// A folder cannot be listed.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// What was found in one folder.
struct Checked {
    files: usize,
    bytes: u64,
    blake3: String,
}

/// Checks all sealed folders of `out` and reports to `report`. The shards must be there; a folder that is
/// not there is left out, so that shards can be checked where they were copied to.
pub fn verify(out: &Path, report: &mut impl io::Write) -> Result<(), VerifyError> {
    let (mut problems, mut stale) = (Vec::new(), Vec::new());
    let mut checked = 0;
    let shards = Manifest::<ShardsBody>::read(&out.join("shards"))?;
    let mut known = Vec::new();
    known.push(("shards", check(&out.join("shards"), &shards, &mut problems)?));
    let body = &shards.body;
    let copies = [(&body.tokenizer.file, &body.tokenizer.blake3), (&body.resolved.file, &body.resolved.blake3)];
    for (name, wanted) in copies {
        let path = out.join("shards").join(name);
        match hash_file(&path) {
            Ok(found) if found == *wanted => {}
            Ok(found) => problems.push(format!("  `{}`: blake3 found {found}, wanted {wanted}", path.display())),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                problems.push(format!("  `{}` is missing", path.display()));
            }
            Err(error) => problems.push(format!("  {}", in_a_line(&error))),
        }
    }
    fn other<B: Serialize + DeserializeOwned>(
        out: &Path,
        name: &'static str,
        wanted: &str,
        (problems, stale): (&mut Vec<String>, &mut Vec<&'static str>),
    ) -> Result<Option<(&'static str, Checked)>, VerifyError> {
        let folder = out.join(name);
        if !folder.exists() {
            return Ok(None);
        }
        let manifest = Manifest::<B>::read(&folder)?;
        let found = check(&folder, &manifest, problems)?;
        if found.blake3 != wanted {
            stale.push(name);
        }
        Ok(Some((name, found)))
    }
    known.extend(other::<CorpusBody>(out, "corpus", &body.corpus.blake3, (&mut problems, &mut stale))?);
    known.extend(other::<PoolBody>(out, "pool", &body.pool.blake3, (&mut problems, &mut stale))?);
    known.extend(other::<GraphBody>(out, "graph", &body.graph.blake3, (&mut problems, &mut stale))?);
    for (name, found) in &known {
        checked += found.files;
        let files = if found.files == 1 { "file " } else { "files" };
        writeln!(report, "{name:9} {:>7} {files} {:>16} bytes", thousands(found.files as u64), thousands(found.bytes))?;
    }
    if !problems.is_empty() {
        return Err(VerifyError::Damaged { problems, checked });
    }
    if !stale.is_empty() {
        return Err(VerifyError::Stale { steps: stale });
    }
    writeln!(report, "all {} files are as they were sealed", thousands(checked as u64))?;
    Ok(())
}

/// Compares the files of a folder with its manifest, and looks for tables that it does not name.
fn check<B: Serialize + DeserializeOwned>(
    folder: &Path,
    manifest: &Manifest<B>,
    problems: &mut Vec<String>,
) -> Result<Checked, VerifyError> {
    for entry in &manifest.files {
        match verify_file(folder, entry) {
            Ok(_) => {}
            Err(StoreError::Damaged { path, found, wanted, .. }) => {
                problems.push(format!("  `{}`: blake3 found {found}, wanted {wanted}", path.display()));
            }
            Err(StoreError::Missing { path, .. }) => problems.push(format!("  `{}` is missing", path.display())),
            Err(error) => problems.push(format!("  {}", in_a_line(&error))),
        }
    }
    let named: BTreeSet<&str> = manifest.files.iter().map(|f| f.name.as_str()).collect();
    for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
        let name = entry.map_err(StoreError::io("list", folder))?.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".parquet") && !named.contains(name.as_ref()) {
            problems.push(format!("  `{}` is not in the manifest", folder.join(name.as_ref()).display()));
        }
    }
    let bytes = manifest.files.iter().map(|f| f.bytes).sum();
    Ok(Checked { files: manifest.files.len(), bytes, blake3: manifest.data_blake3() })
}
