//! The version of a folder of libtorch. The build script and the launcher read it too.
use std::{fs, path::Path};

/// The version of torch in a folder, without what comes after a `+`; `None` when it does not say.
pub(crate) fn version_of(folder: &Path) -> Option<String> {
    let text = ["version.py", "build-version"].iter().find_map(|name| fs::read_to_string(folder.join(name)).ok())?;
    let line = text.lines().find_map(|line| line.strip_prefix("__version__ = "));
    let version = line.map_or(text.trim(), |quoted| quoted.trim().trim_matches('\''));
    version.split('+').next().map(str::to_owned)
}
