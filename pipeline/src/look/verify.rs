//! `ebert verify`: compares the hash of every sealed file with its manifest.
use std::{collections::BTreeSet, fs, io, path::Path};

use schemas::{
    Manifest, ManifestError, StoreError, in_a_line,
    manifest::{CorpusBody, GraphBody, PoolBody, ShardsBody},
    store::hash_file,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{engine::progress::thousands, hint::Hint};

/// The output is not as it was sealed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(
        "{} of {} files were modified or are missing\n{}\n\
         hint: delete the modified ones and run `ebert shards` again, with all options as before; complete files are kept",
        thousands(problems.len() as u64), thousands(*checked as u64), problems.join("\n")
    )]
    Damaged {
        /// One line per file.
        problems: Vec<String>,
        /// The number of files that were compared.
        checked: usize,
    },
    #[error(
        "all files are as they were sealed, but the shards are older than what they are made from: {} changed since\n\
         hint: run `ebert shards` to bring them up to date",
        steps.join(" and ")
    )]
    Stale {
        /// The steps that were rebuilt after the shards.
        steps: Vec<&'static str>,
    },
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// Compares all sealed folders of `out` with their manifests and reports to `report`. The shards
/// are required. Other folders may be absent, so that a copy of the shards can be verified.
pub fn verify(out: &Path, report: &mut dyn io::Write) -> Result<(), VerifyError> {
    let folder = out.join("shards");
    let shards = Manifest::<ShardsBody>::read(&folder)?;
    let body = &shards.body;
    let mut verification = Verification::default();
    verification.compare_folder("shards", &folder, &shards)?;
    verification.compare_file(&folder.join(&body.tokenizer.file), &body.tokenizer.blake3);
    verification.compare_file(&folder.join(&body.resolved.file), &body.resolved.blake3);
    verification.compare_step::<CorpusBody>(out, "corpus", &body.corpus.blake3)?;
    verification.compare_step::<PoolBody>(out, "pool", &body.pool.blake3)?;
    verification.compare_step::<GraphBody>(out, "graph", &body.graph.blake3)?;

    let Verification { folders, problems, stale_steps } = verification;
    for FolderSize { name, files, bytes } in &folders {
        let noun = if *files == 1 { "file " } else { "files" };
        writeln!(report, "{name:9} {:>7} {noun} {:>16} bytes", thousands(*files as u64), thousands(*bytes))?;
    }
    let checked = folders.iter().map(|folder| folder.files).sum();
    if !problems.is_empty() {
        return Err(VerifyError::Damaged { problems, checked });
    }
    if !stale_steps.is_empty() {
        return Err(VerifyError::Stale { steps: stale_steps });
    }
    writeln!(report, "all {} files are as they were sealed", thousands(checked as u64))?;
    Ok(())
}

/// What was compared, and what differed.
#[derive(Default)]
struct Verification {
    folders: Vec<FolderSize>,
    /// One line per file that is not as it was sealed.
    problems: Vec<String>,
    /// Steps whose output is not the one that the shards were made from.
    stale_steps: Vec<&'static str>,
}

/// The files that a manifest lists.
struct FolderSize {
    name: &'static str,
    files: usize,
    bytes: u64,
}

impl Verification {
    /// Compares the output of a step, if it is present.
    fn compare_step<B: Serialize + DeserializeOwned>(
        &mut self,
        out: &Path,
        step: &'static str,
        wanted_blake3: &str,
    ) -> Result<(), VerifyError> {
        let folder = out.join(step);
        if !folder.exists() {
            return Ok(());
        }
        let manifest = Manifest::<B>::read(&folder)?;
        self.compare_folder(step, &folder, &manifest)?;
        if manifest.data_blake3() != wanted_blake3 {
            self.stale_steps.push(step);
        }
        Ok(())
    }

    /// Compares the files of a folder with its manifest, and finds tables that the manifest does
    /// not list.
    fn compare_folder<B: Serialize + DeserializeOwned>(
        &mut self,
        name: &'static str,
        folder: &Path,
        manifest: &Manifest<B>,
    ) -> Result<(), VerifyError> {
        for entry in &manifest.files {
            self.compare_file(&folder.join(&entry.name), &entry.blake3);
        }
        let listed: BTreeSet<&str> = manifest.files.iter().map(|entry| entry.name.as_str()).collect();
        for entry in fs::read_dir(folder).map_err(StoreError::io("list", folder))? {
            let name = entry.map_err(StoreError::io("list", folder))?.file_name();
            let name = name.to_string_lossy();
            if name.ends_with(".parquet") && !listed.contains(name.as_ref()) {
                self.problems.push(format!("  `{}` is not in the manifest", folder.join(name.as_ref()).display()));
            }
        }
        let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
        self.folders.push(FolderSize { name, files: manifest.files.len(), bytes });
        Ok(())
    }

    fn compare_file(&mut self, path: &Path, wanted: &str) {
        let problem = match hash_file(path) {
            Ok(found) if found == wanted => return,
            Ok(found) => format!("  `{}`: blake3 found {found}, expected {wanted}", path.display()),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                format!("  `{}` is missing", path.display())
            }
            Err(error) => format!("  {}", in_a_line(&error)),
        };
        self.problems.push(problem);
    }
}
