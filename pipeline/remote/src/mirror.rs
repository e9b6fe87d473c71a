//! An output folder in an object store, and its mirror in the cache of this machine.
//!
//! A command works on the mirror, which is an ordinary folder. [`Mirror::refresh`] brings what is small (manifests,
//! records of finished files, options), and an empty stand-in of the right size for every other object.
//! [`Mirror::fetch`] fills those that are needed, or ranges of them. [`Mirror::publish`] stores what the command has
//! written.
//!
//! * **Stand-ins.** A file with holes has the execute permission of its owner ([`has_holes`]), so that a killed process
//!   leaves no doubt about it. It is never stored. A stand-in without any data cannot be read.
//! * **Order.** Data is stored first, then the records that say that it is finished, then manifests. A manifest whose
//!   data changes is removed before. What a step has removed goes last.
//! * **Manifests** are put on condition that there is none, or the one that was seen. If another process was faster,
//!   equal bytes are fine. Others are [`RemoteError::Conflict`].
//! * **What is the truth.** An object that changed replaces its file in the mirror. A file that was written here and is
//!   not stored yet stays, unless its object changed. Only what this process saw and then removed is removed from the
//!   store, and never a file that the manifest in its folder lists. So a folder that someone cleans costs no object.
//!
//! Several processes of a machine share a mirror. Each transfer has it alone.
use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    fs::{self, OpenOptions},
    io::{self, Write},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{Error, ObjectMeta, ObjectStore, path::Path as ObjectPath};
use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Runtime};
use xxhash_rust::xxh3::xxh3_64;

use super::{Fetched, Remote, RemoteError, TRIES, version_of};

mod names;
mod publish;

use names::{files, is_ours, is_ranged, is_small, joined, pieces};

/// Permission of a file with holes: no file of an output folder is a program.
const HOLES: u32 = 0o100;

/// Bytes at the end of a file that tasks read in ranges ([`is_ranged`]) that are always there. They have the places of
/// the ranges, or the place of their list.
const END: u64 = 64 << 10;

/// Requests at the same time, of large ranges and of small objects.
const AT_ONCE: usize = 4;
const SMALL_AT_ONCE: usize = 16;

/// Whether a file is a stand-in of an object of which some bytes are not here.
pub fn has_holes(about: &fs::Metadata) -> bool {
    about.is_file() && about.permissions().mode() & HOLES != 0
}

/// The folder of the mirror of an address, in the folder of all mirrors.
pub fn folder_of(address: &str, mirrors: &Path) -> PathBuf {
    mirrors.join(format!("{:016x}", xxh3_64(address.trim_end_matches('/').as_bytes())))
}

/// A part of the output folder that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Name of a file or folder below the output folder.
    pub name: String,
    /// Bytes of the file, if not all.
    pub range: Option<Range<u64>>,
}

/// What is known of an object that was fetched or stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Known {
    /// The version of the object.
    version: String,
    /// The file in the mirror.
    inode: u64,
    /// Size and time of a complete file.
    stamp: Option<String>,
    /// Ranges that a file with holes has.
    held: Vec<(u64, u64)>,
}

impl Known {
    fn complete(meta: &ObjectMeta, about: &fs::Metadata) -> Self {
        Self { version: version_of(meta), inode: about.ino(), stamp: Some(stamp(about)), held: Vec::new() }
    }

    /// Whether the file is the one that was fetched or stored.
    fn is(&self, about: &fs::Metadata) -> bool {
        self.inode == about.ino() && self.stamp.as_ref() == Some(&stamp(about))
    }
}

fn stamp(about: &fs::Metadata) -> String {
    format!("{} {}.{:09}", about.len(), about.mtime(), about.mtime_nsec())
}

/// An output folder in an object store, with its mirror on this machine.
pub struct Mirror {
    remote: Remote,
    folder: PathBuf,
    known: BTreeMap<String, Known>,
    /// The objects when they were last listed.
    listed: BTreeMap<String, ObjectMeta>,
    /// Files of the mirror after the last refresh.
    seen: BTreeSet<String>,
    /// One for all transfers, since connections stay open in between.
    runtime: Rc<Runtime>,
}

/// Reports what has been transferred.
type Report<'a> = &'a mut dyn FnMut(Fetched);

impl Mirror {
    /// The output folder at an address such as `s3://bucket/folder`, with its mirror in the folder of all mirrors.
    ///
    /// # Errors
    /// If it is not the address of a folder in an object store.
    pub fn open(address: &str, mirrors: &Path) -> Result<Self, RemoteError> {
        Self::of(Remote::of(address.trim_end_matches('/'), env::vars())?, mirrors)
    }

    pub(crate) fn of(remote: Remote, mirrors: &Path) -> Result<Self, RemoteError> {
        if !remote.lists || remote.pattern.is_some() {
            return Err(RemoteError::NotWritable { source_name: remote.name });
        }
        let folder = folder_of(&remote.name, mirrors);
        let runtime = runtime::Builder::new_current_thread().enable_all().build().map_err(local(&folder))?;
        let (known, listed, seen) = Default::default();
        Ok(Self { remote, folder, known, listed, seen, runtime: Rc::new(runtime) })
    }

    /// Files of which the end is here, and maybe other ranges.
    pub fn ranged(&self) -> Vec<PathBuf> {
        let ranged = self.seen.iter().filter(|name| is_ranged(name)).map(|name| self.path(name));
        ranged.filter(|path| fs::metadata(path).is_ok_and(|about| has_holes(&about))).collect()
    }

    /// The folder of the mirror.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Learns what the store has: fetches what is small, and makes stand-ins of the rest.
    ///
    /// # Errors
    /// If the store cannot be read, or the mirror written.
    pub fn refresh(&mut self, report: Report<'_>) -> Result<(), RemoteError> {
        self.alone(async |mirror| mirror.refreshed(report).await)
    }

    /// Fetches what is needed and not here. Names that the store does not have are ignored.
    ///
    /// # Errors
    /// As for [`Mirror::refresh`].
    pub fn fetch(&mut self, needed: &[Needed], report: Report<'_>) -> Result<(), RemoteError> {
        self.alone(async |mirror| {
            let mut tries = 0;
            loop {
                match mirror.fetched(needed, report).await {
                    // Another process has stored it again, or removed it.
                    Err(RemoteError::Changed { .. }) if tries < TRIES => {
                        tries += 1;
                        mirror.refreshed(report).await?;
                    }
                    other => return other,
                }
            }
        })
    }

    /// Stores what was written since the last refresh, and learns what others have stored. If another process has
    /// completed the folder `task_of` meanwhile, and this one has not, a task has nothing to add.
    ///
    /// # Errors
    /// If the store cannot be written, or another process with other options writes to it.
    pub fn publish(&mut self, task_of: Option<&str>, report: Report<'_>) -> Result<(), RemoteError> {
        self.alone(async |mirror| {
            mirror.published(task_of, report).await?;
            mirror.refreshed(report).await
        })
    }

    /// Works on the mirror while no other process of this machine does.
    fn alone<T>(&mut self, work: impl AsyncFnOnce(&mut Self) -> Result<T, RemoteError>) -> Result<T, RemoteError> {
        fs::create_dir_all(&self.folder).map_err(local(&self.folder))?;
        let path = self.beside("lock");
        let lock = super::locked(&path).map_err(local(&path))?;
        if has_holes(&lock.metadata().map_err(local(&path))?) {
            return Err(RemoteError::NoPermissions { path });
        }
        let state = self.beside("json");
        self.known = fs::read(&state).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
        let outcome = self.runtime.clone().block_on(work(self));
        // Without it, all is fetched again.
        let saved = self.save(&state).map_err(local(&state));
        let done = outcome?;
        saved.map(|()| done)
    }

    fn save(&self, state: &Path) -> io::Result<()> {
        let temporary = self.beside("json.new");
        fs::write(&temporary, serde_json::to_vec(&self.known)?)?;
        fs::rename(&temporary, state)
    }

    /// A file next to the mirror.
    fn beside(&self, ending: &str) -> PathBuf {
        self.folder.with_extension(ending)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn location(&self, name: &str) -> ObjectPath {
        name.split('/').fold(self.remote.prefix.clone(), |path, part| path.join(part))
    }

    /// A name for a file that is being fetched. Each version has its own, so a stopped fetch continues.
    fn temporary(&self, name: &str, meta: &ObjectMeta) -> Result<PathBuf, RemoteError> {
        let folder = self.beside("partial");
        fs::create_dir_all(&folder).map_err(local(&folder))?;
        Ok(folder.join(format!("{:016x}", xxh3_64(format!("{name} {}", version_of(meta)).as_bytes()))))
    }

    /// Asks until it works, or fails for good.
    async fn retried<T>(&self, mut ask: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            match ask().await {
                Err(error) if tries < TRIES && may_pass(&error) => {
                    tokio::time::sleep(self.remote.pause * (1 << tries)).await
                }
                other => return other,
            }
        }
    }

    fn not_written(&self, name: &str, source: Error) -> RemoteError {
        RemoteError::Write { source_name: self.remote.name.clone(), object: name.to_owned(), source }
    }

    async fn list(&self) -> Result<BTreeMap<String, ObjectMeta>, RemoteError> {
        let (store, prefix) = (&self.remote.store, &self.remote.prefix);
        let list = async || store.list(Some(prefix)).try_collect::<Vec<ObjectMeta>>().await;
        let all = match self.retried(list).await {
            // A folder of a local store that does not exist yet.
            Err(Error::NotFound { .. }) => Vec::new(),
            other => other.map_err(|error| self.remote.error(error))?,
        };
        let base = if prefix.as_ref().is_empty() { 0 } else { prefix.as_ref().len() + 1 };
        let named = |meta: ObjectMeta| Some((meta.location.as_ref().get(base..)?.to_owned(), meta));
        Ok(all.into_iter().filter_map(named).filter(|(name, _)| is_ours(name)).collect())
    }

    async fn refreshed(&mut self, report: Report<'_>) -> Result<(), RemoteError> {
        let mut tries = 0;
        loop {
            tries += 1;
            match self.refreshed_once(report).await {
                // Another process has stored it again, or removed it.
                Err(RemoteError::Changed { .. }) if tries < TRIES => {}
                other => return other,
            }
        }
    }

    async fn refreshed_once(&mut self, report: Report<'_>) -> Result<(), RemoteError> {
        self.listed = self.list().await?;
        let mut here = BTreeSet::new();
        for (name, about) in files(&self.folder)? {
            let (listed, known) = (self.listed.get(&name), self.known.get(&name));
            let keep = match (listed, known) {
                (Some(meta), Some(known)) => version_of(meta) == known.version,
                (Some(_), None) => false,
                (None, Some(known)) => !has_holes(&about) && !known.is(&about),
                (None, None) => !has_holes(&about),
            };
            if keep {
                here.insert(name);
            } else {
                let path = self.path(&name);
                match fs::remove_file(&path) {
                    // Another process of this machine was faster.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    other => other.map_err(local(&path))?,
                }
                self.known.remove(&name);
            }
        }
        let listed = std::mem::take(&mut self.listed);
        self.known.retain(|name, _| listed.contains_key(name));
        let mut small = Vec::new();
        for (name, meta) in listed.iter().filter(|(name, _)| !here.contains(*name)) {
            if is_small(name) || meta.size == 0 { small.push((name, meta)) } else { self.stand_in(name, meta).await? }
        }
        self.fetch_small(&small, report).await?;
        for (name, meta) in listed.iter().filter(|(name, _)| is_ranged(name)) {
            let end = meta.size.saturating_sub(END)..meta.size;
            self.fetch_ranges(name, meta, vec![end], &mut |_| ()).await?;
        }
        self.listed = listed;
        self.seen = files(&self.folder)?.into_keys().collect();
        Ok(())
    }

    /// Makes a file of the object's size that has no data, or its end alone if it is read in ranges: other processes
    /// may open it as soon as it has its name.
    async fn stand_in(&mut self, name: &str, meta: &ObjectMeta) -> Result<(), RemoteError> {
        let (path, temporary) = (self.path(name), self.beside("empty"));
        let _ = fs::remove_file(&temporary);
        let mode = if is_ranged(name) { HOLES | 0o600 } else { HOLES };
        let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary);
        let file = file.map_err(local(&temporary))?;
        file.set_len(meta.size).map_err(local(&temporary))?;
        let mut held = Vec::new();
        if is_ranged(name) {
            let end = meta.size.saturating_sub(END)..meta.size;
            let bytes = self.remote.range(meta, end.clone()).await?.unwrap_or_default();
            file.write_all_at(&bytes, end.start).map_err(local(&temporary))?;
            held.push((end.start, end.end));
        }
        if name_unless_taken(&temporary, &path).map_err(local(&path))? {
            let inode = file.metadata().map_err(local(&path))?.ino();
            self.known.insert(name.to_owned(), Known { version: version_of(meta), inode, stamp: None, held });
        }
        Ok(())
    }

    async fn fetch_small(&mut self, objects: &[(&String, &ObjectMeta)], report: Report<'_>) -> Result<(), RemoteError> {
        let mut done = Fetched { bytes: 0, all: objects.iter().map(|(_, meta)| meta.size).sum() };
        let remote = &self.remote;
        let ask = |&(name, meta): &(&String, &ObjectMeta)| {
            let (name, meta) = (name.clone(), meta.clone());
            async move {
                let bytes = if meta.size == 0 { None } else { remote.range(&meta, 0..meta.size).await? };
                Ok::<_, RemoteError>((name, meta, bytes.unwrap_or_default()))
            }
        };
        let all: Vec<_> = objects.iter().map(ask).collect();
        let mut fetched = stream::iter(all).buffer_unordered(SMALL_AT_ONCE);
        let mut known = Vec::new();
        while let Some((name, meta, bytes)) = fetched.try_next().await? {
            let (path, temporary) = (self.folder.join(&name), self.temporary(&name, &meta)?);
            fs::write(&temporary, &bytes).map_err(local(&temporary))?;
            if name_unless_taken(&temporary, &path).map_err(local(&path))? {
                known.push((name, Known::complete(&meta, &fs::metadata(&path).map_err(local(&path))?)));
            }
            done.bytes += bytes.len() as u64;
            report(done);
        }
        drop(fetched);
        self.known.extend(known);
        Ok(())
    }

    async fn fetched(&mut self, needed: &[Needed], report: Report<'_>) -> Result<(), RemoteError> {
        let (mut whole, mut ranges) = (BTreeSet::new(), BTreeMap::<&str, Vec<Range<u64>>>::new());
        for Needed { name, range } in needed {
            match range {
                Some(range) => ranges.entry(name).or_default().push(range.clone()),
                None => {
                    let folder = format!("{name}/");
                    let below = self.listed.range(folder.clone()..).take_while(|(name, _)| name.starts_with(&folder));
                    whole.extend(below.map(|(name, _)| name.clone()));
                    whole.extend(self.listed.contains_key(name).then(|| name.clone()));
                }
            }
        }
        let is_missing = |name: &str| fs::metadata(self.path(name)).is_ok_and(|about| has_holes(&about));
        whole.retain(|name| is_missing(name));
        ranges.retain(|name, _| !whole.contains(*name) && is_missing(name));
        let objects = whole.iter().map(|name| self.listed[name].size);
        let of_ranges = ranges.values().flatten().map(|range| range.end - range.start);
        let mut done = Fetched { bytes: 0, all: objects.chain(of_ranges).sum() };
        for name in whole {
            let meta = self.listed[&name].clone();
            self.fetch_whole(&name, &meta, &mut |bytes| report(Fetched { bytes: done.bytes + bytes, ..done })).await?;
            done.bytes += meta.size;
        }
        for (name, ranges) in ranges {
            let Some(meta) = self.listed.get(name).cloned() else { continue };
            let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
            self.fetch_ranges(name, &meta, ranges, &mut |more| report(Fetched { bytes: done.bytes + more, ..done }))
                .await?;
            done.bytes += bytes;
        }
        Ok(())
    }

    async fn fetch_whole(
        &mut self,
        name: &str,
        meta: &ObjectMeta,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteError> {
        let (path, temporary) = (self.path(name), self.temporary(name, meta)?);
        let file = OpenOptions::new().create(true).append(true).open(&temporary);
        let mut file = file.map_err(local(&temporary))?;
        let mut at = file.metadata().map_err(local(&temporary))?.len();
        if at > meta.size {
            file.set_len(0).map_err(local(&temporary))?;
            at = 0;
        }
        let pieces: Vec<_> =
            pieces(at..meta.size, self.remote.range).map(|range| self.remote.range(meta, range)).collect();
        let mut pieces = stream::iter(pieces).buffered(AT_ONCE);
        while let Some(bytes) = pieces.try_next().await? {
            let bytes = bytes.unwrap_or_default();
            file.write_all(&bytes).map_err(local(&temporary))?;
            at += bytes.len() as u64;
            report(at);
        }
        drop(pieces);
        file.sync_all().map_err(local(&temporary))?;
        fs::rename(&temporary, &path).map_err(local(&path))?;
        self.known.insert(name.to_owned(), Known::complete(meta, &fs::metadata(&path).map_err(local(&path))?));
        Ok(())
    }

    /// Fetches ranges of a file with holes. A complete file has them.
    async fn fetch_ranges(
        &mut self,
        name: &str,
        meta: &ObjectMeta,
        ranges: Vec<Range<u64>>,
        report: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteError> {
        let path = self.path(name);
        let Ok(about) = fs::metadata(&path) else { return Ok(()) };
        if !has_holes(&about) {
            return Ok(());
        }
        let known = self.known.get(name).filter(|known| known.inode == about.ino());
        let mut held = known.map(|known| known.held.clone()).unwrap_or_default();
        let is_held = |range: &Range<u64>| held.iter().any(|held| held.0 <= range.start && range.end <= held.1);
        let missing = joined(ranges.into_iter().filter(|range| !range.is_empty() && !is_held(range)).collect());
        if missing.is_empty() {
            return Ok(());
        }
        // So that it can be read and written.
        let readable = fs::set_permissions(&path, fs::Permissions::from_mode(HOLES | 0o600));
        let file = match readable.and_then(|()| OpenOptions::new().write(true).open(&path)) {
            // Another process of this machine has removed it, with the parts of a step that is done.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            other => other.map_err(local(&path))?,
        };
        let all = missing.iter().flat_map(|range| pieces(range.clone(), self.remote.range));
        let remote = &self.remote;
        let ask = |range: Range<u64>| async move {
            let bytes = remote.range(meta, range.clone()).await?;
            Ok::<_, RemoteError>((range, bytes))
        };
        let asked: Vec<_> = all.map(ask).collect();
        let mut pieces = stream::iter(asked).buffer_unordered(AT_ONCE);
        let mut done = 0;
        while let Some((range, bytes)) = pieces.try_next().await? {
            file.write_all_at(&bytes.unwrap_or_default(), range.start).map_err(local(&path))?;
            done += range.end - range.start;
            report(done);
        }
        drop(pieces);
        held.extend(missing.iter().map(|range| (range.start, range.end)));
        let known = Known { version: version_of(meta), inode: about.ino(), stamp: None, held };
        self.known.insert(name.to_owned(), known);
        Ok(())
    }
}

/// Whether a request may work when it is repeated. The client has already repeated those that a server could not
/// answer; what a server refuses, such as a bucket that does not exist, it refuses again.
fn may_pass(error: &Error) -> bool {
    matches!(error, Error::Generic { .. }) && !error.to_string().contains("status code: 4")
}

/// An error of this machine's files.
fn local(path: &Path) -> impl Fn(io::Error) -> RemoteError {
    let path = path.to_owned();
    move |source| RemoteError::Cache { path: path.clone(), source }
}

/// Gives a file its name, unless another process has just written one of that name.
fn name_unless_taken(temporary: &Path, path: &Path) -> io::Result<bool> {
    loop {
        fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        return match fs::hard_link(temporary, path) {
            Ok(()) => fs::remove_file(temporary).map(|()| true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => fs::remove_file(temporary).map(|()| false),
            // Another process has just removed the folder, as it was empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound && temporary.exists() => continue,
            // A file system without such links.
            Err(_) => fs::rename(temporary, path).map(|()| true),
        };
    }
}

#[cfg(test)]
mod tests;
