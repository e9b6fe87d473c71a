//! Output folders in object stores. A command works on a mirror.
use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use ebert_commands::{OPTIONS_FILE, is_address};
use pipeline::{
    engine::progress::Progress,
    run::{Mirror, Needed, Run, RunError},
    settings::Settings,
};
use schemas::{Task, manifest::MANIFEST};

use super::remote;

/// The mirrors of this process, with the addresses that its user knows.
static MIRRORS: Mutex<Vec<(PathBuf, String)>> = Mutex::new(Vec::new());

fn mirrors() -> Vec<(PathBuf, String)> {
    MIRRORS.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// A message with the address of the output folder where it names the mirror.
pub(crate) fn with_address(text: String) -> String {
    let replaced =
        |text: String, (folder, address): &(PathBuf, String)| text.replace(&folder.display().to_string(), address);
    mirrors().iter().fold(text, replaced)
}

/// Settings whose output folder is on this machine. The folder of an address is its mirror.
///
/// # Errors
/// If the address cannot be written to.
pub(crate) fn settled(mut settings: Settings) -> Result<Settings, RunError> {
    if is_address(&settings.out) {
        let address = address_of(&settings.out);
        settings.out = mirror_folder(&address)?;
        settings.address = Some(address);
    } else if let Some((_, address)) = mirrors().into_iter().find(|(folder, _)| *folder == settings.out) {
        // The options of a folder that was copied to a store: `out` is where they are.
        settings.address = Some(address);
    }
    Ok(settings)
}

/// A run of these settings.
///
/// # Errors
/// If it cannot start.
pub(crate) fn run(settings: &Settings, progress: Progress, task: Option<Task>) -> Result<Run<'_>, RunError> {
    let mirror = settings.address.as_deref().map(|address| mirror(address, progress)).transpose()?;
    Run::new(settings, progress, task)?.on(mirror)
}

/// The output folder that a command looks at. What it needs of an address is fetched.
///
/// # Errors
/// If it cannot be fetched.
pub(crate) fn looked_at(out: &Path, folders: &[&str], progress: Progress) -> Result<PathBuf, RunError> {
    if !is_address(out) {
        return Ok(out.to_owned());
    }
    let address = address_of(out);
    let (folder, mut mirror) = (mirror_folder(&address)?, mirror(&address, progress)?);
    mirror.refresh()?;
    if folder.join(MANIFEST).is_file()
        && !folder.join("shards").exists()
        && let Some((parent, _)) = address.rsplit_once('/')
    {
        // It is the folder of the shards.
        return looked_at(Path::new(parent), folders, progress);
    }
    let path = |name: &&str| Needed { path: folder.join(name), range: None };
    mirror.fetch(&folders.iter().map(path).collect::<Vec<_>>())?;
    Ok(folder)
}

/// Refuses an address as the folder of a command that writes there.
///
/// # Errors
/// If it is one.
pub(crate) fn only_local(command: &'static str, out: &Path) -> Result<(), RunError> {
    if is_address(out) {
        return Err(RunError::OnlyLocal { command, address: address_of(out) });
    }
    Ok(())
}

/// The arguments of this program. A file of `--config` on another machine is fetched.
///
/// # Errors
/// If it cannot be fetched.
pub(crate) fn arguments() -> Result<Vec<OsString>, RunError> {
    let mut arguments: Vec<OsString> = env::args_os().collect();
    for at in 1..arguments.len() {
        let text = arguments[at].to_string_lossy().into_owned();
        let (option, value) = match text.strip_prefix("--config=") {
            Some(value) => ("--config=", value),
            None if arguments[at - 1] == "--config" => ("", text.as_str()),
            None => continue,
        };
        if is_address(Path::new(value)) {
            let (folder, name) = value.rsplit_once('/').unwrap_or_default();
            // One of an output folder, unless the address cannot be one.
            let is_web = value.starts_with("http") || value.starts_with("hf:");
            let path = if name == OPTIONS_FILE && !is_web {
                looked_at(Path::new(folder), &[], Progress::default())?
            } else {
                remote::fetched(value, remote::Needed::Whole)?
            };
            let path = if path.is_dir() { path.join(name) } else { path };
            if !path.is_file() {
                let what = "the store has no such object".to_owned();
                return Err(RunError::Config { path: value.into(), what });
            }
            arguments[at] = OsString::from(format!("{option}{}", path.display()));
        }
    }
    Ok(arguments)
}

/// The address of an output folder, without a slash at its end.
fn address_of(out: &Path) -> String {
    out.to_string_lossy().trim_end_matches('/').to_owned()
}

/// The mirror of an address.
#[cfg(feature = "remote")]
fn mirror_folder(address: &str) -> Result<PathBuf, RunError> {
    let folder = ebert_remote::folder_of(address, &remote::cache("out"));
    let mut mirrors = MIRRORS.lock().unwrap_or_else(PoisonError::into_inner);
    if !mirrors.iter().any(|(known, _)| *known == folder) {
        mirrors.push((folder.clone(), address.to_owned()));
    }
    Ok(folder)
}

/// An output folder in an object store.
#[cfg(feature = "remote")]
struct StoredOut {
    mirror: ebert_remote::Mirror,
    progress: Progress,
}

#[cfg(feature = "remote")]
impl StoredOut {
    /// Transfers with a bar.
    fn transfer(
        &mut self,
        what: &'static str,
        transfer: impl FnOnce(
            &mut ebert_remote::Mirror,
            &mut dyn FnMut(ebert_remote::Fetched),
        ) -> Result<(), ebert_remote::RemoteError>,
    ) -> Result<(), RunError> {
        let bar = self.progress.bytes(what, 0);
        let outcome = transfer(&mut self.mirror, &mut |done| {
            bar.set_length(done.all);
            bar.set_position(done.bytes);
        });
        bar.finish_and_clear();
        outcome.map_err(remote::failed)
    }
}

#[cfg(feature = "remote")]
impl Mirror for StoredOut {
    fn refresh(&mut self) -> Result<(), RunError> {
        self.transfer("fetching", |mirror, report| mirror.refresh(report))
    }

    fn fetch(&mut self, needed: &[Needed]) -> Result<(), RunError> {
        let folder = self.mirror.folder().to_owned();
        let named = |needed: &Needed| {
            let name = needed.path.strip_prefix(&folder).ok()?.to_str()?.to_owned();
            Some(ebert_remote::Needed { name, range: needed.range.clone() })
        };
        let needed: Vec<_> = needed.iter().filter_map(named).collect();
        if needed.is_empty() {
            return Ok(());
        }
        self.transfer("fetching", |mirror, report| mirror.fetch(&needed, report))
    }

    fn publish(&mut self, task_of: Option<&str>) -> Result<(), RunError> {
        self.transfer("storing", |mirror, report| mirror.publish(task_of, report))
    }

    fn ranged(&self) -> Vec<PathBuf> {
        self.mirror.ranged()
    }

    fn stands_in(&self) -> fn(&Path) -> bool {
        |path| std::fs::metadata(path).is_ok_and(|about| ebert_remote::has_holes(&about))
    }
}

#[cfg(feature = "remote")]
fn mirror(address: &str, progress: Progress) -> Result<Box<dyn Mirror>, RunError> {
    use ebert_remote::RemoteError;

    let mirror = ebert_remote::Mirror::open(address, &remote::cache("out"));
    let mirror = mirror.map_err(|error| match error {
        RemoteError::Address { .. } | RemoteError::Query { .. } | RemoteError::NotWritable { .. } => {
            RunError::OutAddress(Box::new(error))
        }
        error => remote::failed(error),
    })?;
    Ok(Box::new(StoredOut { mirror, progress }))
}

/// Refuses an output folder on another machine: this program was built without them.
#[cfg(not(feature = "remote"))]
fn mirror_folder(address: &str) -> Result<PathBuf, RunError> {
    Err(RunError::NoRemote { address: address.to_owned() })
}

/// Refuses an output folder on another machine: this program was built without them.
#[cfg(not(feature = "remote"))]
fn mirror(address: &str, _: Progress) -> Result<Box<dyn Mirror>, RunError> {
    Err(RunError::NoRemote { address: address.to_owned() })
}
