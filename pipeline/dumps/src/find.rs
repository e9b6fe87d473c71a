//! The raw files below a folder.
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{Generation, Kind, LineReader, open, parse};

/// Lines at the start of a file among which a record must be recognised.
const LINES_TRIED: usize = 100;

/// A file below the corpus folder, and what it holds.
#[derive(Clone, Debug)]
pub struct Found {
    /// Path below the folder, with `/`; files are in the order of this.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Size on disk.
    pub bytes: u64,
    /// Whether it is compressed.
    pub compressed: bool,
    /// What most of its first recognised records are; `None` where there is none.
    pub holds: Option<(Kind, Generation)>,
    /// Why nothing was recognised, or how the beginning is damaged.
    pub damage: Option<String>,
    /// Whether it begins as an array does, which has no records by lines.
    array: bool,
}

impl Found {
    fn in_words(&self) -> String {
        match &self.damage {
            Some(damage) => format!("`{}` (damaged: {damage})", self.name),
            None => format!("`{}`", self.name),
        }
    }
}

/// Why a file is skipped that is none of ours.
const NOTHING_RECOGNISED: &str = "no recognisable record in its first 100 lines";
/// Why an array is skipped.
const ARRAY: &str = "a JSON array; `jq -c '.[]'` writes its records one a line";
/// Why a link is skipped.
const LINK_TO_NOTHING: &str = "a link to nothing";
/// Why a pipe, a socket or a device is skipped.
const NO_FILE: &str = "not a file";

/// Skipped files by name, with the reasons: those without a record last, their reason once.
pub fn skipped_in_words(files: &[Skipped]) -> String {
    let (usual, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.why == NOTHING_RECOGNISED);
    let [mut usual, mut all] = [usual, others].map(|files| files.into_iter().map(named).collect::<Vec<String>>());
    if let Some(last) = usual.last_mut() {
        *last += &format!(" ({NOTHING_RECOGNISED})");
    }
    all.append(&mut usual);
    all.join(", ")
}

/// A file below the corpus folder that is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// Path below the folder, with `/`.
    pub path: String,
    /// The reason, in words.
    pub why: String,
}

/// A skipped file by its name, and why it was skipped where that is not the usual.
fn named(file: &Skipped) -> String {
    let Skipped { path, why } = file;
    if why == NOTHING_RECOGNISED { format!("`{path}`") } else { format!("`{path}` ({why})") }
}

/// The files below a folder, in the order of their names.
#[derive(Clone, Debug)]
pub struct RawFiles {
    /// All files that hold records or are damaged.
    pub recognised: Vec<Found>,
    /// Files without a recognisable record, links to nothing, and what is no file.
    pub skipped: Vec<Skipped>,
}

/// The corpus folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FindError {
    /// It is not there.
    #[error("there is no corpus folder `{}`\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)", folder.display())]
    NoFolder {
        /// The folder.
        folder: PathBuf,
    },
    /// There is no file in it.
    #[error("the corpus folder `{}` has no files\nhint: CORPUS= names a folder of raw Amazon dumps (.json or .jsonl, plain, .gz or .zst)", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// No file holds a record.
    #[error(
        "no file below `{}` holds a recognisable record in its first {LINES_TRIED} lines; looked at {looked_at}\n\
         hint: files hold one JSON object (or Python dict) a line, with the fields of the 2014, 2018 or 2023 Amazon dumps",
        folder.display()
    )]
    NothingRecognised {
        /// The folder.
        folder: PathBuf,
        /// The files, or the first few.
        looked_at: String,
    },
    /// A file or folder cannot be read.
    #[error(
        "cannot read `{}`\nhint: make it readable, or take it out of the corpus folder; a name that begins with a dot hides it",
        path.display()
    )]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

/// Finds and recognises the files below `folder`; `but_not` is a folder that is left out, since it
/// holds what is made. Hidden files are left out as well.
pub fn find(folder: &Path, but_not: &Path) -> Result<RawFiles, FindError> {
    let about = fs::metadata(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FindError::NoFolder { folder: folder.to_owned() },
        _ => FindError::Read { path: folder.to_owned(), source },
    })?;
    if !about.is_dir() && !about.is_file() {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "neither a folder nor a file");
        return Err(FindError::Read { path: folder.to_owned(), source });
    }
    let real = fs::canonicalize(folder).map_err(|source| FindError::Read { path: folder.to_owned(), source })?;
    // The raw files may lie inside it: then nothing is left out.
    let excluded = fs::canonicalize(but_not).ok().filter(|out| !real.starts_with(out));
    let mut walk = Walk { excluded, on_the_way: Vec::new(), files: Vec::new(), not_files: Vec::new() };
    if about.is_file() {
        walk.files.push((name_of(folder), folder.to_owned()));
    } else {
        walk.enter(folder, real, "")?;
    }
    let Walk { files: mut paths, not_files, .. } = walk;
    paths.sort();
    if paths.is_empty() && not_files.is_empty() {
        return Err(FindError::Empty { folder: folder.to_owned() });
    }
    let skip = |path, why: &str| Skipped { path, why: why.to_owned() };
    let mut files = RawFiles { recognised: Vec::new(), skipped: Vec::new() };
    files.skipped.extend(not_files.into_iter().map(|(name, why)| skip(name, why)));
    for (name, path) in paths {
        let found = look_into(name, path)?;
        if found.array {
            files.skipped.push(skip(found.name, ARRAY));
        } else if found.holds.is_some() || found.damage.is_some() {
            files.recognised.push(found);
        } else {
            files.skipped.push(skip(found.name, NOTHING_RECOGNISED));
        }
    }
    files.skipped.sort_by(|a, b| a.path.cmp(&b.path));
    if files.recognised.iter().all(|f| f.holds.is_none()) {
        let all: Vec<String> =
            files.recognised.iter().map(Found::in_words).chain(files.skipped.iter().map(named)).collect();
        let more = if all.len() > 5 { format!(" and {} more", all.len() - 5) } else { String::new() };
        let looked_at = all[..all.len().min(5)].join(", ") + &more;
        return Err(FindError::NothingRecognised { folder: folder.to_owned(), looked_at });
    }
    Ok(files)
}

/// A file's name as text. Control characters, backslashes and bytes that are not UTF-8 become `\xNN`
/// or `\\`, so different names stay different and no name can forge a line of a log.
fn name_of(path: &Path) -> String {
    let mut name = String::new();
    let escape =
        |name: &mut String, bytes: &[u8]| bytes.iter().for_each(|byte| name.push_str(&format!("\\x{byte:02x}")));
    for chunk in path.file_name().unwrap_or_default().as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => name.push_str("\\\\"),
                c if c.is_control() => escape(&mut name, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => name.push(c),
            }
        }
        escape(&mut name, chunk.invalid());
    }
    name
}

/// Whether a path with this error is a link that leads to no file.
fn leads_nowhere(path: &Path, error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    // `io::ErrorKind` has no stable kind for a circle of links.
    let is_nothing =
        matches!(error.kind(), NotFound | NotADirectory | InvalidFilename) || error.raw_os_error() == Some(libc::ELOOP);
    is_nothing && path.is_symlink()
}

/// A walk below a folder.
struct Walk {
    /// A folder that is left out.
    excluded: Option<PathBuf>,
    /// The folders that the walk is in, links followed: a link to one of them leads in a circle.
    on_the_way: Vec<PathBuf>,
    files: Vec<(String, PathBuf)>,
    /// What holds nothing that can be read, and why.
    not_files: Vec<(String, &'static str)>,
}

impl Walk {
    fn enter(&mut self, folder: &Path, real: PathBuf, prefix: &str) -> Result<(), FindError> {
        let error = |path: &Path| {
            let path = path.to_owned();
            move |source| FindError::Read { path, source }
        };
        self.on_the_way.push(real);
        for entry in fs::read_dir(folder).map_err(error(folder))? {
            let path = entry.map_err(error(folder))?.path();
            let name = name_of(&path);
            if name.starts_with('.') {
                continue;
            }
            let name = format!("{prefix}{name}");
            let about = match fs::metadata(&path) {
                Err(e) if leads_nowhere(&path, &e) => {
                    self.not_files.push((name, LINK_TO_NOTHING));
                    continue;
                }
                about => about.map_err(error(&path))?,
            };
            if about.is_dir() {
                let real = fs::canonicalize(&path).map_err(error(&path))?;
                let is_excluded = self.excluded.as_ref().is_some_and(|out| real.starts_with(out));
                if !is_excluded && !self.on_the_way.contains(&real) {
                    self.enter(&path, real, &format!("{name}/"))?;
                }
            } else if about.is_file() {
                self.files.push((name, path));
            } else {
                self.not_files.push((name, NO_FILE));
            }
        }
        self.on_the_way.pop();
        Ok(())
    }
}

fn look_into(name: String, path: PathBuf) -> Result<Found, FindError> {
    let error = |source| FindError::Read { path: path.clone(), source };
    let bytes = fs::metadata(&path).map_err(error)?.len();
    let opened = open(&path, Arc::default()).map_err(error)?;
    let mut lines = LineReader::new(opened.bytes);
    let mut kinds: Vec<((Kind, Generation), u32)> = Vec::new();
    let (mut tried, mut damage, mut array) = (0, None, false);
    while tried < LINES_TRIED {
        let Some(batch) = lines.next_batch(1 << 16) else { break };
        for (_, line) in batch.iter().take(LINES_TRIED - tried) {
            // A line of its own, or the first record after it; a piece of a record may begin with other things.
            let inside = line.trim_ascii_start().strip_prefix(b"[").map(<[u8]>::trim_ascii_start);
            array |= tried == 0 && inside.is_some_and(|inside| inside.is_empty() || inside.starts_with(b"{"));
            tried += 1;
            if let Ok(Some(kind)) = parse(line, |r| r.recognise()) {
                match kinds.iter_mut().find(|(k, _)| *k == kind) {
                    Some((_, n)) => *n += 1,
                    None => kinds.push((kind, 1)),
                }
            }
        }
        tried += batch.too_long.len();
        if batch.is_disk_error() {
            let (_, source) = batch.damage.unwrap_or((0, io::ErrorKind::Other.into()));
            return Err(error(source));
        }
        damage = batch.damage.map(|(_, e)| e.to_string());
    }
    // The most frequent; of equal ones the first seen.
    let holds = kinds.iter().rev().max_by_key(|(_, n)| *n).map(|(k, _)| *k);
    // The last record of an array has no comma behind it, and may be read.
    array &= kinds.iter().map(|(_, n)| n).sum::<u32>() <= 1;
    Ok(Found { name, path, bytes, compressed: opened.compressed, holds, damage, array })
}

#[cfg(test)]
mod tests {
    use std::{
        ffi::OsStr,
        os::unix::{
            ffi::OsStrExt,
            fs::{PermissionsExt, symlink},
        },
    };

    use proptest::prelude::*;

    use super::*;

    fn names(found: &RawFiles) -> (Vec<&str>, Vec<String>) {
        (found.recognised.iter().map(|f| f.name.as_str()).collect(), found.skipped.iter().map(named).collect())
    }

    #[test]
    fn names_of_bytes_and_of_their_escapes_differ() {
        let names = [&b"a\xff.json"[..], b"a\\xff.json", b"a\\\\xff.json", b"a\n.json", "é漢\u{85}".as_bytes()]
            .map(|name| name_of(Path::new(OsStr::from_bytes(name))));
        let wanted = [r"a\xff.json", r"a\\xff.json", r"a\\\\xff.json", r"a\x0a.json", r"é漢\xc2\x85"];
        assert_eq!(names, wanted);
    }

    /// The bytes that a name stands for.
    fn unescaped(name: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut rest = name.as_bytes();
        while let Some((&first, more)) = rest.split_first() {
            match (first, more) {
                (b'\\', [b'\\', after @ ..]) => {
                    bytes.push(b'\\');
                    rest = after;
                }
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digits = String::from_utf8(vec![*high, *low]).unwrap();
                    bytes.push(u8::from_str_radix(&digits, 16).unwrap());
                    rest = after;
                }
                _ => {
                    bytes.push(first);
                    rest = more;
                }
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn a_name_tells_its_bytes(bytes in prop::collection::vec(
            prop_oneof![any::<u8>(), prop::sample::select(&b"\\x0f\xc3\xa9"[..])], 1..20,
        )) {
            // As an entry of a folder is named: neither `/` nor a dot alone.
            let bytes: Vec<u8> = bytes.into_iter().filter(|b| !b"/\0.".contains(b)).collect();
            let name = name_of(Path::new(OsStr::from_bytes(&bytes)));
            prop_assert!(!name.contains(char::is_control));
            prop_assert_eq!(unescaped(&name), bytes, "{}", name);
        }
    }

    #[test]
    fn an_array_is_skipped_with_what_to_do_about_it() {
        let folder = tempfile::tempdir().unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}";
        fs::write(folder.path().join("a.json"), format!("[\n{record},\n{record}\n]\n")).unwrap();
        fs::write(folder.path().join("b.json"), format!("  [{record}, {record}]")).unwrap();
        let error = find(folder.path(), Path::new("nowhere")).unwrap_err().to_string();
        assert!(error.contains("`a.json` (a JSON array; `jq -c '.[]'`"), "{error}");
        fs::write(folder.path().join("c.json"), record).unwrap();
        fs::write(folder.path().join("d.json"), format!("[\"Tea\"]}}\n{record}\n{record}\n")).unwrap();
        let found = find(folder.path(), Path::new("nowhere")).unwrap();
        let skipped = ["a", "b"].map(|name| format!("`{name}.json` ({ARRAY})"));
        assert_eq!(names(&found), (vec!["c.json", "d.json"], skipped.into()));
    }

    #[test]
    fn links_are_followed_once_around_and_those_to_nothing_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let raw = folder.path().join("raw");
        fs::create_dir_all(raw.join("a/b")).unwrap();
        fs::create_dir(folder.path().join("elsewhere")).unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
        for name in ["raw/a/b/meta.json", "elsewhere/meta.json"] {
            fs::write(folder.path().join(name), record).unwrap();
        }
        fs::write(raw.join("notes.txt"), "nothing\n").unwrap();
        symlink(folder.path().join("elsewhere"), raw.join("linked")).unwrap();
        symlink("..", raw.join("a/b/up")).unwrap();
        symlink(&raw, raw.join("a/root")).unwrap();
        symlink("itself", raw.join("itself")).unwrap();
        symlink("gone.json", raw.join("lost.json")).unwrap();
        symlink("notes.txt/x", raw.join("lost.txt")).unwrap();
        symlink("x".repeat(300), raw.join("lost.zst")).unwrap();
        let found = find(&raw, &folder.path().join("out")).unwrap();
        let (recognised, skipped) = names(&found);
        assert_eq!(recognised, ["a/b/meta.json", "linked/meta.json"]);
        let lost = ["itself", "lost.json", "lost.txt", "lost.zst"].map(|name| format!("`{name}` (a link to nothing)"));
        assert_eq!(skipped, [&lost[..], &["`notes.txt`".to_owned()]].concat());
    }

    #[test]
    fn a_link_into_the_output_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let [raw, out] = ["raw", "out"].map(|name| folder.path().join(name));
        fs::create_dir_all(out.join("shards")).unwrap();
        fs::create_dir_all(out.join("raw/old")).unwrap();
        fs::create_dir(&raw).unwrap();
        let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
        for file in [raw.join("meta.json"), out.join("shards/meta.json"), out.join("raw/old/meta.json")] {
            fs::write(file, record).unwrap();
        }
        symlink(out.join("shards"), raw.join("made")).unwrap();
        symlink(&out, raw.join("out")).unwrap();
        assert_eq!(names(&find(&raw, &out).unwrap()).0, ["meta.json"]);
        // Raw files that lie in the output folder are read.
        assert_eq!(names(&find(&out.join("raw"), &out).unwrap()).0, ["old/meta.json"]);
    }

    #[test]
    fn what_is_not_a_corpus_is_named_for_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("notes.txt");
        fs::write(&file, "hello\n").unwrap();
        let error = |path: &Path| find(path, Path::new("out")).unwrap_err();
        assert!(matches!(error(&folder.path().join("gone")), FindError::NoFolder { .. }));
        assert!(matches!(error(&file.join("below")), FindError::NoFolder { .. }));
        assert!(matches!(error(&file), FindError::NothingRecognised { .. }));
        assert!(matches!(error(Path::new("/dev/null")), FindError::Read { .. }));
        symlink("itself", folder.path().join("itself")).unwrap();
        assert!(matches!(error(&folder.path().join("itself")), FindError::Read { .. }));
    }

    #[test]
    fn a_folder_that_cannot_be_read_is_an_error_with_a_way_on() {
        let folder = tempfile::tempdir().unwrap();
        let closed = folder.path().join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        // Root reads everything.
        if fs::read_dir(&closed).is_ok() {
            return;
        }
        let error = find(folder.path(), Path::new("out")).unwrap_err().to_string();
        assert!(error.contains("closed") && error.contains("hint: make it readable"), "{error}");
    }
}
