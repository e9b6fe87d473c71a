//! The files with weights of a folder.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use crate::pointer::Pointer;

use super::{
    error::WeightsError,
    format::{Foreign, INDEX, WEIGHTS, foreign},
};

/// Every file with weights of a folder, one or many, whether or not it is there.
///
/// # Errors
/// When the folder has neither weights nor a list of them.
pub fn listed(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join(WEIGHTS);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join(INDEX);
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let foreign = foreign(folder);
            if let Some(Foreign::Pickled(file) | Foreign::RenamedPickled(file)) = &foreign {
                Pointer::refuse(&folder.join(file))?;
            }
            return Err(WeightsError::Absent { folder: folder.to_owned(), foreign });
        }
        Err(source) => return Err(WeightsError::Io { path, source }),
    };
    Pointer::refuse(&path)?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|source| WeightsError::Index { path, source })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// Every file with weights of a folder, one or many.
///
/// # Errors
/// When one of them is missing, or is a pointer of Git LFS.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let files = listed(folder)?;
    let missing: Vec<&PathBuf> = files.iter().filter(|file| !file.is_file()).collect();
    if let Some(first) = missing.first() {
        let first = first.file_name().unwrap_or_default().to_string_lossy().into_owned();
        return Err(WeightsError::Part {
            index: folder.join(INDEX),
            parts: files.len(),
            missing: missing.len(),
            first,
        });
    }
    files.iter().try_for_each(|file| Pointer::refuse(file))?;
    Ok(files)
}
