//! Where raw files are: folders, files and patterns.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{FindError, RelativePath, Skipped, walk::Walk};
use crate::mapping::Mapping;

/// A folder, a file, or a pattern such as `dumps/*.json.gz`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path.
    pub path: PathBuf,
    /// What was given instead of the path, such as an address.
    pub address: Option<String>,
    /// How its records are read, if their fields are not those of a dump.
    pub given: Option<Given>,
}

/// How records are read, as a user says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Their fields.
    pub mapping: Arc<Mapping>,
    /// What stands between the values of a table in text, if it is not to be found out.
    pub delimiter: Option<u8>,
    /// Whether the first row of a table in text has the names of the columns. Otherwise they are named 1, 2, ….
    pub header: bool,
}

impl Source {
    /// Whether a path is a pattern.
    pub fn is_pattern(path: &Path) -> bool {
        path.to_string_lossy().contains(['*', '?', '['])
    }

    /// The source as it was given.
    pub fn name(&self) -> String {
        self.address.clone().unwrap_or_else(|| self.path.display().to_string())
    }
}

impl From<&Path> for Source {
    fn from(path: &Path) -> Self {
        Self { path: path.to_owned(), address: None, given: None }
    }
}

/// The files of a source.
pub(super) struct SourceFiles<'s> {
    pub(super) files: Vec<(RelativePath, PathBuf)>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) given: Option<&'s Given>,
}

/// The files of all sources.
pub(super) fn files<'s>(sources: &'s [Source], output: &Path) -> Result<Vec<SourceFiles<'s>>, FindError> {
    let mut taken: BTreeMap<PathBuf, Vec<Option<&Given>>> = BTreeMap::new();
    let mut all = Vec::new();
    for source in sources {
        let (mut files, mut skipped) = of_source(&source.path, output)?;
        // With several mappings, a file is read several times.
        let given = source.given.as_ref();
        files.retain(|(_, path)| {
            let before = taken.entry(path.canonicalize().unwrap_or_else(|_| path.clone())).or_default();
            let is_new = before.is_empty() || given.is_some() && !before.contains(&None) && !before.contains(&given);
            before.extend(is_new.then_some(given));
            is_new
        });
        files.sort();
        if sources.len() > 1 && source.path.is_dir() {
            // A fetched source has the name of its address.
            let folder = source
                .address
                .as_deref()
                .map_or(source.path.as_path(), |address| Path::new(address.trim_end_matches('/')));
            let folder = RelativePath::of_file(folder);
            let names = files.iter_mut().map(|(name, _)| name);
            for name in names.chain(skipped.iter_mut().map(|file| &mut file.name)) {
                *name = name.below(folder.as_str());
            }
        }
        all.push(SourceFiles { files, skipped, given: source.given.as_ref() });
    }
    make_unique(&mut all);
    Ok(all)
}

/// Gives files of one name a number.
fn make_unique(all: &mut [SourceFiles<'_>]) {
    let mut names = BTreeSet::new();
    for source in all {
        let kind = source.given.map(|given| given.mapping.kind());
        for (name, _) in &mut source.files {
            if names.contains(name)
                && let Some(kind) = kind
            {
                *name = name.with_note(kind.stem());
            }
            let first = name.clone();
            for number in 2.. {
                if names.insert(name.clone()) {
                    break;
                }
                *name = first.with_note(&number.to_string());
            }
        }
    }
}

/// Files with their names, and those that are skipped.
type Found = (Vec<(RelativePath, PathBuf)>, Vec<Skipped>);

fn of_source(source: &Path, output: &Path) -> Result<Found, FindError> {
    let about = match fs::metadata(source) {
        Ok(about) => about,
        Err(_) if Source::is_pattern(source) => return of_pattern(source, output),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Err(FindError::NoFolder { folder: source.to_owned() });
        }
        Err(error) => return Err(FindError::read(source)(error)),
    };
    let mut walk = Walk::default();
    if about.is_dir() {
        let real = fs::canonicalize(source).map_err(FindError::read(source))?;
        // If the raw files lie inside the output folder, nothing is left out.
        walk.excluded = fs::canonicalize(output).ok().filter(|output| !real.starts_with(output));
        walk.enter(source, real, "")?;
    } else if about.is_file() {
        walk.files.push((RelativePath::of_file(source), source.to_owned()));
    } else {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "neither a folder nor a file");
        return Err(FindError::read(source)(error));
    }
    if walk.files.is_empty() && walk.skipped.is_empty() {
        return Err(FindError::Empty { folder: source.to_owned() });
    }
    Ok((walk.files, walk.skipped))
}

/// The files and folders that a pattern matches. Names begin at its first part with a wildcard.
fn of_pattern(pattern: &Path, output: &Path) -> Result<Found, FindError> {
    let text = pattern.to_string_lossy().into_owned();
    let no_match = |why: String| FindError::NoMatch { pattern: text.clone(), why };
    let matches = glob::glob(&text).map_err(|error| no_match(format!(": {error}")))?;
    let fixed: PathBuf = pattern.components().take_while(|part| !Source::is_pattern(part.as_ref())).collect();
    let output = fs::canonicalize(output).ok();
    let mut walk = Walk::default();
    walk.excluded.clone_from(&output);
    for path in matches {
        let path = path.map_err(|error| FindError::Read { path: error.path().to_owned(), source: error.into() })?;
        let real = fs::canonicalize(&path).map_err(FindError::read(&path))?;
        if output.as_ref().is_some_and(|output| real.starts_with(output)) {
            continue;
        }
        let name = RelativePath::of_path(path.strip_prefix(&fixed).unwrap_or(&path));
        if real.is_dir() {
            walk.enter(&path, real, &format!("{name}/"))?;
        } else {
            walk.files.push((name, path));
        }
    }
    if walk.files.is_empty() {
        return Err(no_match(String::new()));
    }
    Ok((walk.files, walk.skipped))
}
