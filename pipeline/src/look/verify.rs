//! `ebert verify`: compares the hash of every sealed file with its manifest.
use std::{
    collections::BTreeSet,
    fmt, fs, io,
    path::{Path, PathBuf},
};

use schemas::{
    Manifest, ManifestError, StoreError, in_a_line,
    manifest::{CorpusBody, GraphBody, PoolBody, ShardsBody},
    store::hash_file,
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    engine::progress::{Format, thousands},
    hint::Hint,
};

/// The output is not as it was sealed.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(
        "{} of {} files were modified or are missing\n{}\n\
         hint: delete the modified ones and run `ebert shards` again, with all options as before; complete files are kept",
        thousands(problems.len() as u64), thousands(*checked as u64), problems.iter().map(|problem| format!("  {problem}")).collect::<Vec<_>>().join("\n")
    )]
    Damaged {
        /// The files.
        problems: Vec<Problem>,
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

/// A file that is not as it was sealed.
#[derive(Debug)]
pub struct Problem {
    path: PathBuf,
    what: Difference,
}

/// How a file differs from its manifest.
#[derive(Debug)]
enum Difference {
    Changed { found: String, wanted: String },
    Missing,
    Unlisted,
    Unreadable(StoreError),
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        match &self.what {
            Difference::Changed { found, wanted } => write!(f, "`{path}`: blake3 found {found}, expected {wanted}"),
            Difference::Missing => write!(f, "`{path}` is missing"),
            Difference::Unlisted => write!(f, "`{path}` is not in the manifest"),
            Difference::Unreadable(error) => f.write_str(&in_a_line(error)),
        }
    }
}

impl Problem {
    /// Names for a program.
    fn facts(&self) -> Value {
        let (state, found, wanted) = match &self.what {
            Difference::Changed { found, wanted } => ("changed", Some(found), Some(wanted)),
            Difference::Missing => ("missing", None, None),
            Difference::Unlisted => ("unlisted", None, None),
            Difference::Unreadable(_) => ("unreadable", None, None),
        };
        let why = match &self.what {
            Difference::Unreadable(error) => Some(in_a_line(error)),
            _ => None,
        };
        json!({"event": "problem", "path": self.path, "state": state, "found": found, "expected": wanted, "why": why})
    }
}

/// Compares all sealed folders of `out` with their manifests and reports to `report`. The shards
/// are required. Other folders may be absent, so that a copy of the shards can be verified.
///
/// # Errors
/// If a file is not as it was sealed, or another folder was rebuilt after the shards. Also if a
/// manifest cannot be read, or `report` cannot be written.
pub fn verify(out: &Path, format: Format, report: &mut dyn io::Write) -> Result<(), VerifyError> {
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
    let checked = folders.iter().map(|folder| folder.files).sum();
    if format == Format::Json {
        for FolderSize { name, files, bytes } in &folders {
            writeln!(report, "{}", json!({"event": "folder", "folder": name, "files": files, "bytes": bytes}))?;
        }
        problems.iter().try_for_each(|problem| writeln!(report, "{}", problem.facts()))?;
        let state = match (problems.is_empty(), stale_steps.is_empty()) {
            (true, true) => "sealed",
            (true, false) => "stale",
            (false, _) => "damaged",
        };
        let facts = json!({
            "event": "verified", "state": state, "files": checked, "problems": problems.len(), "stale_steps": stale_steps,
        });
        writeln!(report, "{facts}")?;
    }
    for FolderSize { name, files, bytes } in folders.iter().filter(|_| format == Format::Text) {
        let noun = if *files == 1 { "file " } else { "files" };
        writeln!(report, "{name:9} {:>7} {noun} {:>16} bytes", thousands(*files as u64), thousands(*bytes))?;
    }
    if !problems.is_empty() {
        return Err(VerifyError::Damaged { problems, checked });
    }
    if !stale_steps.is_empty() {
        return Err(VerifyError::Stale { steps: stale_steps });
    }
    if format == Format::Text {
        writeln!(report, "all {} files are as they were sealed", thousands(checked as u64))?;
    }
    Ok(())
}

/// What was compared, and what differed.
#[derive(Default)]
struct Verification {
    folders: Vec<FolderSize>,
    problems: Vec<Problem>,
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
                self.problems.push(Problem { path: folder.join(name.as_ref()), what: Difference::Unlisted });
            }
        }
        let bytes = manifest.files.iter().map(|entry| entry.bytes).sum();
        self.folders.push(FolderSize { name, files: manifest.files.len(), bytes });
        Ok(())
    }

    fn compare_file(&mut self, path: &Path, wanted: &str) {
        let what = match hash_file(path) {
            Ok(found) if found == wanted => return,
            Ok(found) => Difference::Changed { found, wanted: wanted.to_owned() },
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Difference::Missing,
            Err(error) => Difference::Unreadable(error),
        };
        self.problems.push(Problem { path: path.to_owned(), what });
    }
}
