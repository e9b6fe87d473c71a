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
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    ops::Range,
    os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    rc::Rc,
};

use futures_util::{StreamExt, TryStreamExt, stream, stream::FuturesUnordered};
use object_store::{
    Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion,
    path::Path as ObjectPath,
};
use serde::{Deserialize, Serialize};
use tokio::runtime::{self, Runtime};
use xxhash_rust::xxh3::xxh3_64;

use super::{Fetched, Remote, RemoteError, TRIES, version_of};

/// Permission of a file with holes: no file of an output folder is a program.
const HOLES: u32 = 0o100;

/// The file that completes a folder.
const MANIFEST: &str = "manifest.json";

/// The folder of records.
const RECORDS: &str = ".made/";

/// Bytes at the end of a file that tasks read in ranges ([`is_ranged`]) that are always there. They have the places of the
/// ranges, or the place of their list.
const END: u64 = 64 << 10;

/// Bytes between two ranges that are fetched, too, rather than asked for apart.
const GAP: u64 = 1 << 20;

/// The most parts of an upload. S3 takes 10,000.
const PARTS: u64 = 9_000;

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
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let lock = lock.map_err(local(&path))?;
        if has_holes(&lock.metadata().map_err(local(&path))?) {
            return Err(RemoteError::NoPermissions { path });
        }
        match lock.lock() {
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(local(&path)(error)),
            _ => {}
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
                fs::remove_file(&path).map_err(local(&path))?;
                self.known.remove(&name);
            }
        }
        let listed = std::mem::take(&mut self.listed);
        self.known.retain(|name, _| listed.contains_key(name));
        let mut small = Vec::new();
        for (name, meta) in listed.iter().filter(|(name, _)| !here.contains(*name)) {
            if is_small(name) || meta.size == 0 { small.push((name, meta)) } else { self.stand_in(name, meta)? }
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

    /// Makes a file of the object's size that has no data.
    fn stand_in(&mut self, name: &str, meta: &ObjectMeta) -> Result<(), RemoteError> {
        let (path, temporary) = (self.path(name), self.beside("empty"));
        make_parent(&path)?;
        let _ = fs::remove_file(&temporary);
        let file = OpenOptions::new().write(true).create_new(true).mode(HOLES).open(&temporary);
        let file = file.map_err(local(&temporary))?;
        file.set_len(meta.size).map_err(local(&temporary))?;
        fs::rename(&temporary, &path).map_err(local(&path))?;
        let inode = file.metadata().map_err(local(&path))?.ino();
        self.known.insert(name.to_owned(), Known { version: version_of(meta), inode, ..Known::default() });
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
            make_parent(&path)?;
            fs::write(&temporary, &bytes).map_err(local(&temporary))?;
            fs::rename(&temporary, &path).map_err(local(&path))?;
            known.push((name, Known::complete(&meta, &fs::metadata(&path).map_err(local(&path))?)));
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
        fs::set_permissions(&path, fs::Permissions::from_mode(HOLES | 0o600)).map_err(local(&path))?;
        let file = OpenOptions::new().write(true).open(&path).map_err(local(&path))?;
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

    async fn published(&mut self, task_of: Option<&str>, report: Report<'_>) -> Result<(), RemoteError> {
        self.listed = self.list().await?;
        // Records before the data that they are about: another process of this machine may finish both meanwhile.
        let is_data = |name: &str| !is_small(name);
        let mut changed: Vec<String> = self.written()?.into_iter().filter(|name| !is_data(name)).collect();
        let data: Vec<String> = self.written()?.into_iter().filter(|name| is_data(name)).collect();
        let local_files = files(&self.folder)?;
        if let Some(folder) = task_of {
            let manifest = format!("{folder}/{MANIFEST}");
            let is_new = |meta: &ObjectMeta| self.known.get(&manifest).is_none_or(|k| k.version != version_of(meta));
            if !changed.contains(&manifest) && self.listed.get(&manifest).is_some_and(is_new) {
                return Ok(());
            }
        }
        // Files that do not differ from their objects, such as those of a task that ran twice.
        let mut equal = BTreeSet::new();
        for name in changed.iter().filter(|name| is_manifest(name)) {
            let (path, object) = (self.path(name), self.listed.get(name));
            if object.is_some() && self.stored(name).await? == fs::read(&path).map_err(local(&path))? {
                equal.insert(name.clone());
            }
        }
        let mut gone: Vec<String> = self.seen.iter().filter(|name| !local_files.contains_key(*name)).cloned().collect();
        gone.retain(|name| self.is_as_known(name) && !self.is_in_manifest(name));
        let stale = self.stale_manifests(&changed, &equal, &data, &gone);
        for name in &stale {
            self.remove(name).await?;
            self.listed.remove(name);
        }
        gone.retain(|name| !stale.contains(name));
        changed.retain(|name| !equal.contains(name));
        let size = |name: &String| local_files.get(name).map_or(0, fs::Metadata::len);
        let mut done = Fetched { bytes: 0, all: data.iter().chain(&changed).map(size).sum() };
        self.put_all(data, &local_files, &mut done, report).await?;
        let (manifests, records) = changed.into_iter().partition::<Vec<_>, _>(|name| is_manifest(name));
        self.put_all(records, &local_files, &mut done, report).await?;
        let mut manifests = manifests;
        let order = ["corpus/", "pool/", "graph/", "shards/"];
        manifests.sort_by_key(|name| order.iter().position(|folder| name.starts_with(folder)));
        for name in &manifests {
            self.put_manifest(name).await?;
            done.bytes += size(name);
            report(done);
        }
        for name in &gone {
            self.remove(name).await?;
        }
        let found = self.list().await?;
        for name in manifests.iter().chain(&equal) {
            if let Some(meta) = found.get(name).filter(|meta| meta.size == size(name)) {
                self.note(name, meta, &local_files);
            }
        }
        Ok(())
    }

    /// Stores files, and makes sure that all of their bytes are there.
    async fn put_all(
        &mut self,
        mut names: Vec<String>,
        files: &BTreeMap<String, fs::Metadata>,
        done: &mut Fetched,
        report: Report<'_>,
    ) -> Result<(), RemoteError> {
        let size = |name: &String| files.get(name).map_or(0, fs::Metadata::len);
        for _ in 0..TRIES {
            if names.is_empty() {
                return Ok(());
            }
            let (small, large) = names.iter().partition::<Vec<_>, _>(|name| size(name) <= self.remote.range);
            let mut puts = stream::iter(small.iter().map(|name| self.put_small(name)).collect::<Vec<_>>())
                .buffer_unordered(if small.len() > AT_ONCE { SMALL_AT_ONCE } else { AT_ONCE });
            while let Some(bytes) = puts.try_next().await? {
                done.bytes += bytes;
                report(*done);
            }
            drop(puts);
            // One after another: the parts of one are sent at the same time.
            for name in large {
                let before = *done;
                self.put_large(name, &mut |bytes| report(Fetched { bytes: before.bytes + bytes, ..before })).await?;
                done.bytes += size(name);
            }
            let found = self.list().await?;
            names.retain(|name| match found.get(name).filter(|meta| meta.size == size(name)) {
                Some(meta) => {
                    self.note(name, meta, files);
                    false
                }
                // It may have gone meanwhile.
                None => self.path(name).exists(),
            });
            done.bytes = done.bytes.saturating_sub(names.iter().map(size).sum());
        }
        let Some(name) = names.first() else { return Ok(()) };
        let source = format!("the store does not have all of its {} bytes", size(name)).into();
        Err(self.not_written(name, Error::Generic { store: "object store", source }))
    }

    /// Notes that the object is that file, as it was when it was stored.
    fn note(&mut self, name: &str, meta: &ObjectMeta, files: &BTreeMap<String, fs::Metadata>) {
        if let Some(about) = files.get(name) {
            self.known.insert(name.to_owned(), Known::complete(meta, about));
        }
    }

    /// Names of complete files that were neither fetched nor stored.
    fn written(&self) -> Result<Vec<String>, RemoteError> {
        let files = files(&self.folder)?.into_iter();
        let is_new = |name: &str, about: &fs::Metadata| self.known.get(name).is_none_or(|known| !known.is(about));
        Ok(files.filter(|(name, about)| !has_holes(about) && is_new(name, about)).map(|(name, _)| name).collect())
    }

    /// Whether the object is the one that was last seen.
    fn is_as_known(&self, name: &str) -> bool {
        let (listed, known) = (self.listed.get(name), self.known.get(name));
        listed.zip(known).is_some_and(|(listed, known)| version_of(listed) == known.version)
    }

    /// Whether the manifest in the folder of the mirror lists a file.
    fn is_in_manifest(&self, name: &str) -> bool {
        #[derive(Deserialize)]
        struct Manifest {
            files: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            name: String,
        }
        let Some((folder, file)) = name.rsplit_once('/') else { return false };
        let manifest = fs::read(self.path(folder).join(MANIFEST)).ok();
        let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
        manifest.is_some_and(|manifest| manifest.files.iter().any(|entry| entry.name == file))
    }

    /// Manifests of which other data is about to be stored, and those that were removed.
    fn stale_manifests(
        &self,
        changed: &[String],
        equal: &BTreeSet<String>,
        data: &[String],
        gone: &[String],
    ) -> Vec<String> {
        let of_other_data = |manifest: &str| {
            let folder = manifest.strip_suffix(MANIFEST).unwrap_or_default();
            data.iter().chain(gone).any(|name| name.starts_with(folder) && self.listed.contains_key(name))
        };
        let is_stale = |name: &String| {
            gone.contains(name) || changed.contains(name) && !equal.contains(name) && of_other_data(name)
        };
        let known = self.listed.keys().filter(|name| is_manifest(name) && self.is_as_known(name));
        known.filter(|name| is_stale(name)).cloned().collect()
    }

    async fn remove(&self, name: &str) -> Result<(), RemoteError> {
        let location = self.location(name);
        match self.retried(async || self.remote.store.delete(&location).await).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.not_written(name, error)),
        }
    }

    /// The bytes of a small object. None of one that has gone.
    async fn stored(&self, name: &str) -> Result<Vec<u8>, RemoteError> {
        let location = self.location(name);
        let get = async || self.remote.store.get(&location).await?.bytes().await;
        match self.retried(get).await {
            Ok(bytes) => Ok(bytes.into()),
            Err(Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(self.remote.error(error)),
        }
    }

    /// Stores a file in parts, some at the same time. One that another process has just removed is left out.
    async fn put_large(&self, name: &str, report: &mut dyn FnMut(u64)) -> Result<(), RemoteError> {
        let path = self.path(name);
        let Ok(size) = fs::metadata(&path).map(|about| about.len()) else { return Ok(()) };
        let location = self.location(name);
        let part = self.remote.range.max(size.div_ceil(PARTS));
        let mut tries = 0;
        loop {
            tries += 1;
            let mut file = File::open(&path).map_err(local(&path))?;
            let start = async || self.remote.store.put_multipart(&location).await;
            let mut upload = self.retried(start).await.map_err(|error| self.not_written(name, error))?;
            let mut sending = FuturesUnordered::new();
            let (mut outcome, mut sent) = (Ok(()), 0);
            while sent < size && outcome.is_ok() {
                if sending.len() == AT_ONCE {
                    outcome = sending.next().await.unwrap_or(Ok(()));
                }
                let mut bytes = Vec::new();
                (&mut file).take(part).read_to_end(&mut bytes).map_err(local(&path))?;
                if bytes.is_empty() {
                    break;
                }
                sent += bytes.len() as u64;
                sending.push(upload.put_part(bytes.into()));
                report(sent);
            }
            while let Some(other) = sending.next().await {
                outcome = outcome.and(other);
            }
            let outcome = match outcome {
                Ok(()) => upload.complete().await,
                Err(error) => Err(error),
            };
            match outcome {
                Ok(_) => return Ok(()),
                Err(error) => {
                    // What it leaves in the store costs space, but is not an object.
                    let _ = upload.abort().await;
                    if tries == TRIES || !may_pass(&error) {
                        return Err(self.not_written(name, error));
                    }
                    tokio::time::sleep(self.remote.pause * (1 << tries)).await;
                }
            }
        }
    }

    /// Stores a file in one request, and gives its size. One that another process has just removed has none.
    async fn put_small(&self, name: &str) -> Result<u64, RemoteError> {
        let path = self.path(name);
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            other => PutPayload::from(other.map_err(local(&path))?),
        };
        let location = self.location(name);
        let put = async || self.remote.store.put(&location, bytes.clone()).await;
        self.retried(put).await.map_err(|error| self.not_written(name, error))?;
        Ok(bytes.content_length() as u64)
    }

    /// Stores a manifest if there is none, or the one that was seen.
    async fn put_manifest(&self, name: &str) -> Result<(), RemoteError> {
        let (path, location) = (self.path(name), self.location(name));
        let bytes = fs::read(&path).map_err(local(&path))?;
        let mode = if self.is_as_known(name) {
            let head = self.retried(async || self.remote.store.head(&location).await).await;
            let head = head.map_err(|error| self.remote.error(error))?;
            if version_of(&head) != self.known[name].version {
                return self.same_or_conflict(name, &bytes).await;
            }
            PutMode::Update(UpdateVersion { e_tag: head.e_tag, version: head.version })
        } else {
            PutMode::Create
        };
        let put = async || {
            let options = PutOptions { mode: mode.clone(), ..PutOptions::default() };
            self.remote.store.put_opts(&location, bytes.clone().into(), options).await
        };
        match self.retried(put).await {
            Ok(_) => Ok(()),
            // Also after a request of this process whose answer was lost.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. } | Error::NotModified { .. }) => {
                self.same_or_conflict(name, &bytes).await
            }
            Err(error) => Err(self.not_written(name, error)),
        }
    }

    async fn same_or_conflict(&self, name: &str, wanted: &[u8]) -> Result<(), RemoteError> {
        let found = self.stored(name).await?;
        if found == wanted {
            return Ok(());
        }
        let hash = |bytes: &[u8]| {
            #[derive(Deserialize)]
            struct Manifest {
                self_blake3: String,
            }
            let manifest = serde_json::from_slice::<Manifest>(bytes);
            manifest.map_or_else(|_| format!("a file of {} bytes", bytes.len()), |manifest| manifest.self_blake3)
        };
        let (source_name, object) = (self.remote.name.clone(), name.to_owned());
        Err(RemoteError::Conflict { source_name, object, found: hash(&found), wanted: hash(wanted) })
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

fn make_parent(path: &Path) -> Result<(), RemoteError> {
    let parent = path.parent().unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(local(parent))
}

/// Whether a file or object belongs to the output folder: locks and temporary files do not, nor do runs of the trainer.
fn is_ours(name: &str) -> bool {
    let is_hidden = |(at, part): (usize, &str)| part.is_empty() || part.starts_with('.') && (at, part) != (0, ".made");
    !name.ends_with(".tmp") && !name.starts_with("runs/") && !name.split('/').enumerate().any(is_hidden)
}

fn is_manifest(name: &str) -> bool {
    name.rsplit('/').next() == Some(MANIFEST)
}

/// Whether an object is fetched without being asked for: manifests, records and options.
fn is_small(name: &str) -> bool {
    is_manifest(name) || name.starts_with(RECORDS) || !name.contains('/') && name.ends_with(".toml")
}

/// Whether tasks read ranges of a file: those that are neither small nor tables.
fn is_ranged(name: &str) -> bool {
    !is_small(name) && !name.ends_with(".parquet")
}

/// The files of a mirror, by their names below it.
fn files(folder: &Path) -> Result<BTreeMap<String, fs::Metadata>, RemoteError> {
    let (mut found, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        let entries = match fs::read_dir(&next) {
            // Another process has just removed it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other.map_err(local(&next))?,
        };
        for entry in entries {
            let path = entry.map_err(local(&next))?.path();
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() {
                folders.push(path);
            } else if let Some(name) =
                path.strip_prefix(folder).ok().and_then(Path::to_str).filter(|name| is_ours(name))
            {
                found.insert(name.to_owned(), about);
            }
        }
    }
    Ok(found)
}

/// A range in pieces of at most `most` bytes.
fn pieces(range: Range<u64>, most: u64) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(most as usize).map(move |start| start..(start + most).min(end))
}

/// Ranges in order, where near ones are one.
fn joined(mut ranges: Vec<Range<u64>>) -> Vec<Range<u64>> {
    ranges.sort_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end + GAP => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

#[cfg(test)]
mod tests;
