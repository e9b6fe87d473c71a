//! Raw files of object stores and web servers, fetched to a cache, and output folders in object stores ([`Mirror`]).
//!
//! | source | what is fetched |
//! |---|---|
//! | `s3://bucket/dumps`, `gs://…`, `az://…` | all objects below the prefix |
//! | `s3://bucket/dumps/*.json.gz` | the objects that the pattern matches |
//! | `https://host/meta.jsonl.gz` | one file |
//!
//! Credentials, regions and endpoints come from the environment, with the names that the tools of the stores use, such
//! as `AWS_ACCESS_KEY_ID`, `AWS_REGION` and `AWS_ENDPOINT_URL`.
//!
//! An object is fetched in large ranges, or in one request from a web server without them. A failed request is tried
//! again. All ranges must be of one version of the object: a changed one is an error. An object in the cache is
//! fetched again if its version has changed, and a stopped run continues where it was.
//!
//! ```no_run
//! let cache = std::path::Path::new("/var/cache/raw");
//! let folder = ebert_remote::fetch("s3://bucket/dumps/*.json.gz", cache, &mut |_| ())?;
//! for file in std::fs::read_dir(folder)? {
//!     println!("{}", file?.path().display());
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! An output folder in a store has a mirror in the cache. What is in it is fetched on demand, and what a program writes
//! to it is stored: data first, manifests last and on condition.
//!
//! ```no_run
//! use std::path::Path;
//!
//! use ebert_remote::{Mirror, Needed};
//!
//! let mut mirror = Mirror::open("s3://bucket/out", Path::new("/var/cache/out"))?;
//! mirror.refresh(&mut |_| ())?;
//! mirror.fetch(&[Needed { name: "shards".to_owned(), range: None }], &mut |_| ())?;
//! println!("{}", mirror.folder().join("shards").display());
//! # Ok::<(), ebert_remote::RemoteError>(())
//! ```
#![warn(missing_docs)]
#![forbid(unsafe_code)]
use std::{
    collections::BTreeSet,
    env, fs, io,
    io::Write,
    ops::Range,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::TryStreamExt;
use object_store::{
    GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, parse_url_opts, path::Path as ObjectPath,
};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

mod mirror;

pub use mirror::{Mirror, Needed, folder_of, has_holes};

/// Bytes of one request.
const RANGE: u64 = 16 << 20;

/// Bytes from which the records of a file are recognized.
const START: u64 = 4 << 20;

/// How often a range is asked for.
const TRIES: u32 = 6;

/// Half of the pause after the first failed request.
const PAUSE: Duration = Duration::from_millis(100);

/// What has been fetched so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes, those in the cache included.
    pub bytes: u64,
    /// Bytes of all objects.
    pub all: u64,
}

/// A source cannot be fetched.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// It is not an address.
    #[error(
        "`{source_name}` is not an address of an object store\nhint: for example s3://bucket/folder, gs://bucket/folder, az://container/folder or https://host/file"
    )]
    Address {
        /// The source.
        source_name: String,
    },
    /// Its address has a query.
    #[error(
        "`{source_name}` has a `?`, and such addresses are not fetched\n\
         hint: fetch the file with another program, such as `curl -LO`, and name it"
    )]
    Query {
        /// The source.
        source_name: String,
    },
    /// Nothing is there.
    #[error(
        "`{source_name}` has no object\nhint: list what is there, such as with `aws s3 ls`; a pattern matches whole names"
    )]
    Nothing {
        /// The source.
        source_name: String,
    },
    /// The store refuses, or cannot be reached.
    #[error("cannot read `{source_name}`\nhint: check the address{}", credentials(source_name))]
    Store {
        /// The source.
        source_name: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// An object changed while it was read.
    #[error(
        "`{object}` in `{source_name}` changed while it was read\nhint: run the same command again once it is complete"
    )]
    Changed {
        /// The source.
        source_name: String,
        /// The object.
        object: String,
    },
    /// An object cannot be written.
    #[error(
        "cannot write `{object}` to `{source_name}`\n\
         hint: check that you may write there{}. Then run the same command again: finished steps are kept",
        credentials(source_name)
    )]
    Write {
        /// The output folder.
        source_name: String,
        /// The object.
        object: String,
        /// What the store says.
        #[source]
        source: object_store::Error,
    },
    /// Another manifest is there than the one that was replaced.
    #[error(
        "`{object}` in `{source_name}` is from another run\n  found    {found}\n  expected {wanted}\n\
         hint: another run with other options or raw files writes to the same place. Wait for it and run the same \
         command again, or choose another place with `--out`"
    )]
    Conflict {
        /// The output folder.
        source_name: String,
        /// The manifest.
        object: String,
        /// Hash of the one that is there.
        found: String,
        /// Hash of the one of this run.
        wanted: String,
    },
    /// Nothing can be written there.
    #[error(
        "`{source_name}` is not a place for output\n\
         hint: name a folder, s3://bucket/folder, gs://bucket/folder or az://container/folder"
    )]
    NotWritable {
        /// The address.
        source_name: String,
    },
    /// The file system of the cache cannot mark files.
    #[error(
        "`{}` is on a file system without permissions\n\
         hint: name a folder on another one with XDG_CACHE_HOME",
        path.display()
    )]
    NoPermissions {
        /// A file in the cache.
        path: PathBuf,
    },
    /// The cache cannot be written.
    #[error("cannot read or write `{}`", path.display())]
    Cache {
        /// A file in the cache.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The variables that a store reads, for a hint.
fn credentials(source: &str) -> &'static str {
    match source.split(':').next() {
        Some("s3") => {
            ", and credentials such as AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL"
        }
        Some("gs") => ", and GOOGLE_SERVICE_ACCOUNT, which names the file of a key",
        Some("az") => ", and credentials such as AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
        _ => "",
    }
}

/// Fetches the objects of a source and returns their folder. Names below it are those below the source.
///
/// # Errors
/// If the store cannot be read, or an object changes.
pub fn fetch(source: &str, cache: &Path, progress: &mut dyn FnMut(Fetched)) -> Result<PathBuf, RemoteError> {
    Remote::of(source, env::vars())?.fetch_to(cache, progress)
}

/// As [`fetch`], but only the start of each object, where that is enough to recognize its records.
///
/// # Errors
/// As for [`fetch`].
pub fn fetch_starts(source: &str, cache: &Path, progress: &mut dyn FnMut(Fetched)) -> Result<PathBuf, RemoteError> {
    Remote { most: Some(START), ..Remote::of(source, env::vars())? }.fetch_to(cache, progress)
}

/// A source.
struct Remote {
    name: String,
    store: Box<dyn ObjectStore>,
    /// What names begin with.
    prefix: ObjectPath,
    /// What the rest of a name must be like.
    pattern: Option<glob::Pattern>,
    /// Whether the store lists what it has.
    lists: bool,
    /// Bytes of one request.
    range: u64,
    /// Bytes of an object that are enough, if not all are needed.
    most: Option<u64>,
    /// Half of the pause after a failed request. It doubles with each.
    pause: Duration,
}

impl Remote {
    /// A source, with the variables of the environment.
    fn of(source: &str, variables: impl Iterator<Item = (String, String)>) -> Result<Self, RemoteError> {
        let wrong = || RemoteError::Address { source_name: source.to_owned() };
        let starts = |c: char| "*?[".contains(c);
        let lists = !source.starts_with("http");
        // Up to the last folder without a wildcard.
        let (fixed, pattern) = match source.find(starts).filter(|_| lists) {
            Some(at) => source.split_at(source[..at].rfind('/').map_or(at, |slash| slash + 1)),
            None => (source, ""),
        };
        let url = Url::parse(fixed).map_err(|_| wrong())?;
        if url.query().is_some() {
            return Err(RemoteError::Query { source_name: source.to_owned() });
        }
        let pattern = (!pattern.is_empty()).then(|| glob::Pattern::new(pattern)).transpose().map_err(|_| wrong())?;
        let store = |source_error| RemoteError::Store { source_name: source.to_owned(), source: source_error };
        let mut options: Vec<(String, String)> = variables
            .map(|(name, value)| match name.as_str() {
                // As the tools of AWS call it.
                "AWS_ENDPOINT_URL_S3" | "AWS_ENDPOINT_URL" => ("aws_endpoint".to_owned(), value),
                _ => (name.to_ascii_lowercase(), value),
            })
            .collect();
        // An endpoint without encryption, such as one on this machine, is taken as it is named.
        const ENDPOINTS: [&str; 4] = ["aws_endpoint", "google_base_url", "azure_endpoint", "azure_storage_endpoint"];
        let is_plain = |url: &str| url.starts_with("http://");
        if is_plain(source) || options.iter().any(|(name, value)| ENDPOINTS.contains(&name.as_str()) && is_plain(value))
        {
            options.push(("allow_http".to_owned(), "true".to_owned()));
        }
        let (store_of_url, prefix) = parse_url_opts(&url, options).map_err(store)?;
        Ok(Self {
            name: source.to_owned(),
            store: store_of_url,
            prefix,
            pattern,
            lists,
            range: RANGE,
            most: None,
            pause: PAUSE,
        })
    }

    fn error(&self, source: object_store::Error) -> RemoteError {
        match source {
            object_store::Error::NotFound { .. } => RemoteError::Nothing { source_name: self.name.clone() },
            source => RemoteError::Store { source_name: self.name.clone(), source },
        }
    }

    /// All objects, in the order of their names, with their names below the source.
    async fn objects(&self) -> Result<Vec<(String, ObjectMeta)>, RemoteError> {
        let only = || self.prefix.filename().unwrap_or("file").to_owned();
        let mut found = Vec::new();
        if self.lists {
            let all: Vec<ObjectMeta> =
                self.store.list(Some(&self.prefix)).try_collect().await.map_err(|error| self.error(error))?;
            let base = if self.prefix.as_ref().is_empty() { 0 } else { self.prefix.as_ref().len() + 1 };
            let options = glob::MatchOptions { require_literal_separator: true, ..glob::MatchOptions::default() };
            for meta in all {
                let Some(name) = meta.location.as_ref().get(base..).filter(|name| !name.is_empty()) else { continue };
                if self.pattern.as_ref().is_none_or(|pattern| pattern.matches_with(name, options)) {
                    found.push((name.to_owned(), meta));
                }
            }
        }
        if found.is_empty() && self.pattern.is_none() {
            found.push((only(), self.store.head(&self.prefix).await.map_err(|error| self.error(error))?));
        }
        // Consoles of stores make empty objects for folders.
        let folders: BTreeSet<String> = found
            .iter()
            .flat_map(|(name, _)| name.match_indices('/').map(|(at, _)| name[..at].to_owned()).collect::<Vec<_>>())
            .collect();
        found.retain(|(name, meta)| meta.size > 0 || !folders.contains(name));
        found.sort_by(|one, other| one.0.cmp(&other.0));
        if found.is_empty() { Err(RemoteError::Nothing { source_name: self.name.clone() }) } else { Ok(found) }
    }

    fn fetch_to(&self, cache: &Path, progress: &mut dyn FnMut(Fetched)) -> Result<PathBuf, RemoteError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|source| RemoteError::Cache { path: cache.to_owned(), source })?;
        runtime.block_on(self.fetch(cache, progress))
    }

    async fn fetch(&self, cache: &Path, progress: &mut dyn FnMut(Fetched)) -> Result<PathBuf, RemoteError> {
        let objects = self.objects().await?;
        fs::create_dir_all(cache).map_err(|source| RemoteError::Cache { path: cache.to_owned(), source })?;
        let part = if self.most.is_some() { "-start" } else { "" };
        let folder = cache.join(format!("{:016x}{part}", xxh3_64(self.name.as_bytes())));
        // A second process waits, and then finds all files.
        let lock = folder.with_extension("lock");
        let _lock = locked(&lock).map_err(|source| RemoteError::Cache { path: lock, source })?;
        let mut sizes = Vec::new();
        for (_, meta) in &objects {
            sizes.push(match self.most {
                Some(most) if self.lists && meta.size > most && !self.needs_end(meta).await? => most,
                _ => meta.size,
            });
        }
        let mut fetched = Fetched { bytes: 0, all: sizes.iter().sum() };
        let mut kept = BTreeSet::new();
        for ((name, meta), wanted) in objects.iter().zip(sizes) {
            // A name cannot lead out of the folder.
            let path = name
                .split('/')
                .filter(|part| !matches!(*part, "" | "." | ".."))
                .fold(folder.clone(), |path, part| path.join(part));
            let before = fetched.bytes;
            self.object(meta, wanted, &path, &mut |bytes| progress(Fetched { bytes: before + bytes, ..fetched }))
                .await?;
            fetched.bytes += wanted;
            progress(fetched);
            kept.extend([hidden(&path, "version"), path]);
        }
        remove_others(&folder, &kept).map_err(|source| RemoteError::Cache { path: folder.clone(), source })?;
        Ok(folder)
    }

    /// Whether an object can only be read with its end: Parquet, Arrow, zip and tar. Compressed tars are known by name.
    async fn needs_end(&self, meta: &ObjectMeta) -> Result<bool, RemoteError> {
        const TAR: Range<usize> = 257..262;
        let name = meta.location.as_ref();
        if name.contains(".tar.") || name.ends_with(".tgz") {
            return Ok(true);
        }
        let start = self.range(meta, 0..TAR.end as u64).await?.unwrap_or_default();
        let begins = |magic: &[u8]| start.starts_with(magic);
        Ok(begins(b"PAR1") || begins(b"ARROW1") || begins(b"PK\x03\x04") || start.get(TAR) == Some(b"ustar"))
    }

    /// Fetches the first `wanted` bytes of an object, or the rest of them.
    async fn object(
        &self,
        meta: &ObjectMeta,
        wanted: u64,
        path: &Path,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteError> {
        let cache = |path: &Path| {
            let path = path.to_owned();
            move |source| RemoteError::Cache { path, source }
        };
        let version = version_of(meta);
        let (partial, version_file) = (hidden(path, "partial"), hidden(path, "version"));
        let known = fs::read_to_string(&version_file).is_ok_and(|known| known == version);
        let size = |path: &Path| fs::metadata(path).map_or(0, |about| about.len());
        if known && path.is_file() && size(path) == wanted {
            return Ok(());
        }
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).map_err(cache(path))?;
        if !known {
            for old in [path, &partial] {
                let _ = fs::remove_file(old);
            }
            fs::write(&version_file, &version).map_err(cache(&version_file))?;
        }
        let mut file = fs::OpenOptions::new().create(true).append(true).open(&partial).map_err(cache(&partial))?;
        let mut at = size(&partial).min(wanted);
        if at < size(&partial) {
            file.set_len(at).map_err(cache(&partial))?;
        }
        while at < wanted {
            match self.range(meta, at..(at + self.range).min(wanted)).await? {
                Some(bytes) => {
                    file.write_all(&bytes).map_err(cache(&partial))?;
                    at += bytes.len() as u64;
                    progress(at);
                }
                None => {
                    self.whole(meta, &partial, &mut file, progress).await?;
                    at = wanted;
                }
            }
        }
        file.sync_all().map_err(cache(&partial))?;
        if size(&partial) != wanted {
            // Another process wrote to it, too: the file system has no locks.
            let _ = fs::remove_file(&partial);
            let error = io::Error::other("another run fetches the same file\nhint: run one after the other");
            return Err(RemoteError::Cache { path: partial, source: error });
        }
        fs::rename(&partial, path).map_err(cache(path))
    }

    /// Writes all bytes of an object to `file`, which is at `path`.
    async fn whole(
        &self,
        meta: &ObjectMeta,
        path: &Path,
        file: &mut fs::File,
        progress: &mut dyn FnMut(u64),
    ) -> Result<(), RemoteError> {
        let cache = |source| RemoteError::Cache { path: path.to_owned(), source };
        let mut tries = 0;
        loop {
            tries += 1;
            file.set_len(0).map_err(cache)?;
            let found = self.store.get(&meta.location).await.map_err(|error| self.error(error))?;
            if version_of(&found.meta) != version_of(meta) {
                return Err(self.changed(meta));
            }
            let (mut bytes, mut at) = (found.into_stream(), 0);
            let error = loop {
                match bytes.try_next().await {
                    Ok(Some(bytes)) => {
                        file.write_all(&bytes).map_err(cache)?;
                        at += bytes.len() as u64;
                        progress(at);
                    }
                    Ok(None) if at == meta.size => return Ok(()),
                    Ok(None) => break self.cut(at, meta.size),
                    Err(error) => break error,
                }
            };
            if tries == TRIES {
                return Err(self.error(error));
            }
            tokio::time::sleep(self.pause * (1 << tries)).await;
        }
    }

    fn changed(&self, meta: &ObjectMeta) -> RemoteError {
        RemoteError::Changed { source_name: self.name.clone(), object: meta.location.to_string() }
    }

    fn cut(&self, found: u64, wanted: u64) -> object_store::Error {
        let source = format!("found {found} bytes, expected {wanted}").into();
        object_store::Error::Generic { store: "object store", source }
    }

    /// The bytes of a range, of the version that was listed. `None` from a web server that sends no ranges.
    async fn range(&self, meta: &ObjectMeta, range: Range<u64>) -> Result<Option<Vec<u8>>, RemoteError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let options = GetOptions {
                range: Some(GetRange::Bounded(range.clone())),
                if_match: if_match(meta),
                ..GetOptions::default()
            };
            let wanted = range.end - range.start;
            let found = match self.store.get_opts(&meta.location, options).await {
                Ok(found) if version_of(&found.meta) != version_of(meta) => return Err(self.changed(meta)),
                Ok(found) => found.bytes().await,
                Err(error) => Err(error),
            };
            let error = match found {
                Ok(bytes) if bytes.len() as u64 == wanted => return Ok(Some(bytes.into())),
                Err(object_store::Error::NotSupported { .. }) if !self.lists => return Ok(None),
                Ok(bytes) => self.cut(bytes.len() as u64, wanted),
                Err(object_store::Error::Precondition { .. } | object_store::Error::NotFound { .. }) => {
                    return Err(self.changed(meta));
                }
                Err(error) => error,
            };
            if tries == TRIES {
                return Err(self.error(error));
            }
            tokio::time::sleep(self.pause * (1 << tries)).await;
        }
    }
}

/// The version of an object.
fn version_of(meta: &ObjectMeta) -> String {
    match &meta.e_tag {
        Some(tag) => format!("{} {}", meta.size, bare(tag)),
        None => format!("{} {}", meta.size, meta.last_modified),
    }
}

/// The tag that an answer must have. A weak one (`W/"…"`) matches nothing, so the answer's own is compared alone.
fn if_match(meta: &ObjectMeta) -> Option<String> {
    let tag = meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"))?;
    Some(format!("\"{}\"", bare(tag)))
}

/// A tag without its quotes. Lists of Azure have none, answers to requests do.
fn bare(tag: &str) -> &str {
    tag.trim_matches('"')
}

/// Opens a file and locks it until it is dropped, so one process of this machine works at a time. On a file system
/// without locks, it is only opened.
fn locked(path: &Path) -> io::Result<fs::File> {
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path)?;
    match file.lock() {
        Err(error) if error.kind() != io::ErrorKind::Unsupported => Err(error),
        _ => Ok(file),
    }
}

/// A hidden file next to `path`.
fn hidden(path: &Path, end: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{end}"))
}

/// Removes the files of objects that are gone.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
