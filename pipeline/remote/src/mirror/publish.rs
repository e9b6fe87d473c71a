//! Storing what a command has written: data, then records, then manifests.
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::{self, Read},
};

use futures_util::{StreamExt, TryStreamExt, stream, stream::FuturesUnordered};
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, UpdateVersion};
use serde::Deserialize;

use super::{
    AT_ONCE, Fetched, Known, Mirror, RemoteError, Report, SMALL_AT_ONCE, TRIES, has_holes, local, may_pass,
    names::{MANIFEST, files, is_manifest, is_small},
    version_of,
};

/// The most parts of an upload. S3 takes 10,000.
const PARTS: u64 = 9_000;

impl Mirror {
    pub(super) async fn published(&mut self, task_of: Option<&str>, report: Report<'_>) -> Result<(), RemoteError> {
        self.listed = self.list().await?;
        // What has gone before the manifest that stands for it: another process of this machine may seal a folder
        // meanwhile. Then its manifest is stored before the parts go.
        let not_gone = files(&self.folder)?;
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
        let mut gone: Vec<String> = self.seen.iter().filter(|name| !not_gone.contains_key(*name)).cloned().collect();
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
            let mut file = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                other => other.map_err(local(&path))?,
            };
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
