//! The phrase pool: import of `score<TAB>phrase` lines, and `OUT/pool/phrases.parquet`.
//!
//! The format is AutoPhrase's output (Shang et al. 2018). An entry without a space in the file is a single
//! word and has a threshold of its own. Entries with the same words are one; the higher score stays.
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use arrow::{
    array::{AsArray, Float32Array, StringArray, UInt8Array, UInt32Array, UInt64Array},
    datatypes::{Float32Type, UInt8Type},
    record_batch::RecordBatch,
};
use schemas::{
    Counts, Manifest, ManifestError, StoreError, columns,
    manifest::{Hash, MANIFEST, PoolBody, PoolSource},
    store::{self, Layout, TableReader, TableWriter},
};

use crate::{
    REMAKE,
    corpus::check_files,
    hashes::Hashes,
    progress::{NEW, Outcome},
    source::{LineReader, open},
    text::{Tokenizer, Words},
};

/// A phrase of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    /// Normalised words, separated by one space, without transparent hyphens.
    pub text: String,
    /// Quality, as it was mined.
    pub score: f32,
    /// Number of words.
    pub words: u8,
}

/// The phrases, by id: sorted by score descending, then text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Row number is phrase id.
    pub phrases: Vec<Phrase>,
}

/// What the pool is to be made from.
pub struct Request<'a> {
    /// The file to import.
    pub file: &'a Path,
    /// The folder of everything made.
    pub out: &'a Path,
    /// Decides what a word is.
    pub tokenizer: &'a Tokenizer,
    /// Least score of an entry with several words.
    pub min_score: f64,
    /// Least score of an entry with one word.
    pub min_score_single: f64,
    /// The share of lines without score and phrase up to which an import succeeds.
    pub max_unreadable: f64,
}

/// The pool step failed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The file to import.
    #[error("cannot read the phrase pool `{}`\nhint: POOL= names a file of `score<TAB>phrase` lines, plain, .gz or .zst", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Lines that are no entries.
    #[error(
        "{bad} of {entries} lines of the phrase pool `{}` are no entries\n{places}\n\
         hint: each line is a score, a tab and a phrase, such as `0.9312<TAB>stainless steel`",
        path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
        /// How many.
        bad: u64,
        /// Of how many.
        entries: u64,
        /// The first few, a line each.
        places: String,
    },
    /// No line at all.
    #[error(
        "the phrase pool `{}` is empty\nhint: each line is a score, a tab and a phrase, such as `0.9312<TAB>stainless steel`",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// Nothing passes the thresholds.
    #[error(
        "none of the {entries} entries of the phrase pool `{}` reaches the least score, {min_score} or {min_score_single} for single words\n\
         hint: lower MIN_SCORE= and MIN_SCORE_SINGLE=",
        path.display()
    )]
    NothingKept {
        /// The file.
        path: PathBuf,
        /// How many.
        entries: u64,
        /// Threshold of several words.
        min_score: f64,
        /// Threshold of one word.
        min_score_single: f64,
    },
    /// A file of ours, or the disk.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
}

/// Imports the pool, or finds that it is up to date.
pub fn make(request: &Request<'_>, hashes: &mut Hashes) -> Result<(Manifest<PoolBody>, Outcome), PoolError> {
    let since = Instant::now();
    let folder = request.out.join("pool");
    let old = match Manifest::<PoolBody>::read(&folder, REMAKE) {
        Err(ManifestError::Absent { .. }) => None,
        other => Some(other?),
    };
    check_readable(request.file)?;
    let blake3 = hashes.blake3(request.file)?;
    let why = match &old {
        None => NEW.to_owned(),
        Some(old) => match changed(request, &blake3, &old.body) {
            Some(why) => why,
            None => match check_files(&folder, old, hashes)? {
                None => return Ok((old.clone(), Outcome::UpToDate)),
                Some(missing) => missing,
            },
        },
    };
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;
    store::sweep(&folder)?;
    let (pool, entries, rejected) = import(request)?;
    let file = write(&folder, &pool)?;
    let body = PoolBody {
        source: PoolSource::Import { blake3, entries },
        tokenizer: Hash { blake3: request.tokenizer.blake3() },
        min_score: request.min_score,
        min_score_single: request.min_score_single,
        phrases: pool.phrases.len() as u64,
        lowest_score: pool.phrases.last().map_or(0.0, |p| p.score),
        rejected,
    };
    let manifest = Manifest::new(body, vec![file]).seal(&folder)?;
    Ok((manifest, Outcome::made(since, why)))
}

/// Fails when there is no such file, or it is none.
pub fn check_readable(file: &Path) -> Result<(), PoolError> {
    let read = |source| PoolError::Read { path: file.to_owned(), source };
    let about = fs::File::open(file).and_then(|f| f.metadata()).map_err(read)?;
    if about.is_dir() { Err(read(io::ErrorKind::IsADirectory.into())) } else { Ok(()) }
}

fn changed(request: &Request<'_>, blake3: &str, was: &PoolBody) -> Option<String> {
    let PoolSource::Import { blake3: old, entries } = &was.source;
    let malformed = was.rejected.get("malformed").copied().unwrap_or(0);
    if malformed as f64 > request.max_unreadable * *entries as f64 {
        return Some(format!("it has more malformed lines than --max-unreadable {}", request.max_unreadable));
    }
    if old != blake3 {
        return Some(format!("`{}` is another pool", request.file.display()));
    }
    if was.tokenizer.blake3 != request.tokenizer.blake3() {
        return Some("the tokenizer has changed".to_owned());
    }
    for (name, then, now) in [
        ("MIN_SCORE", was.min_score, request.min_score),
        ("MIN_SCORE_SINGLE", was.min_score_single, request.min_score_single),
    ] {
        if then != now {
            return Some(format!("{name} was {then} and is {now}"));
        }
    }
    None
}

/// Reads the entries that pass the thresholds; gives the number of lines and what was left out, too.
fn import(request: &Request<'_>) -> Result<(Pool, u64, Counts), PoolError> {
    let read = |source| PoolError::Read { path: request.file.to_owned(), source };
    let mut lines = LineReader::new(open(request.file, Arc::default()).map_err(read)?.bytes);
    let mut words = Words::new(request.tokenizer);
    let mut best: HashMap<String, (f32, u8)> = HashMap::new();
    let (mut entries, mut bad, mut low, mut duplicate) = (0u64, 0u64, 0u64, 0u64);
    let (mut wordless, mut many_words) = (0u64, 0u64);
    let mut places = Vec::new();
    let mut text = String::new();
    while let Some(batch) = lines.next_batch(1 << 20) {
        let too_long = batch.too_long.iter().map(|&number| (number, &b"a line of more than 16 MiB"[..]));
        for (number, line) in batch.iter().chain(too_long) {
            entries += 1;
            let Some((score, phrase)) = entry(line) else {
                bad += 1;
                if places.len() < 5 {
                    let start: String = String::from_utf8_lossy(line).chars().take(40).collect();
                    places.push(format!("  line {number}: `{start}`"));
                }
                continue;
            };
            let least = if phrase.contains(' ') { request.min_score } else { request.min_score_single };
            if score < least {
                low += 1;
                continue;
            }
            let count = join_words(&mut words, phrase, &mut text);
            let count = match u8::try_from(count) {
                Ok(0) => {
                    wordless += 1;
                    continue;
                }
                Ok(count) => count,
                Err(_) => {
                    many_words += 1;
                    continue;
                }
            };
            let score = score as f32;
            match best.get_mut(&text) {
                Some(kept) => {
                    duplicate += 1;
                    kept.0 = kept.0.max(score);
                }
                None => {
                    best.insert(text.clone(), (score, count));
                }
            }
        }
        if let Some((_, source)) = batch.damage {
            return Err(read(source));
        }
    }
    if entries == 0 {
        return Err(PoolError::Empty { path: request.file.to_owned() });
    }
    if bad as f64 > request.max_unreadable * entries as f64 {
        let path = request.file.to_owned();
        return Err(PoolError::Malformed { path, bad, entries, places: places.join("\n") });
    }
    if best.is_empty() {
        return Err(PoolError::NothingKept {
            path: request.file.to_owned(),
            entries,
            min_score: request.min_score,
            min_score_single: request.min_score_single,
        });
    }
    let mut phrases: Vec<Phrase> =
        best.into_iter().map(|(text, (score, words))| Phrase { text, score, words }).collect();
    phrases.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then_with(|| a.text.cmp(&b.text)));
    let rejected = [
        ("malformed", bad),
        ("below_score", low),
        ("without_words", wordless),
        ("too_many_words", many_words),
        ("duplicate", duplicate),
    ];
    let rejected = rejected.into_iter().filter(|r| r.1 > 0).map(|(reason, n)| (reason.to_owned(), n)).collect();
    Ok((Pool { phrases }, entries, rejected))
}

/// Score and phrase of a line.
fn entry(line: &[u8]) -> Option<(f64, &str)> {
    let (score, phrase) = std::str::from_utf8(line).ok()?.split_once('\t')?;
    let score: f64 = score.trim().parse().ok()?;
    let phrase = phrase.trim();
    ((score as f32).is_finite() && !phrase.is_empty()).then_some((score, phrase))
}

/// Writes the words of a phrase, separated by spaces, and counts them. Transparent hyphens are left out.
fn join_words(words: &mut Words<'_>, phrase: &str, text: &mut String) -> usize {
    text.clear();
    words.find(phrase);
    let mut count = 0;
    for (number, &range) in words.ranges().iter().enumerate() {
        if words.is_transparent(number) {
            continue;
        }
        if count > 0 {
            text.push(' ');
        }
        text.push_str(words.word(range));
        count += 1;
    }
    count
}

const NAME: &str = "phrases.parquet";

fn write(folder: &Path, pool: &Pool) -> Result<schemas::FileEntry, StoreError> {
    let layout = Layout { byte_streams: &["phrase_id"], plain: &["phrase"], row_group_bytes: 16 << 20 };
    let mut table = TableWriter::create(&folder.join(NAME), columns::pool_phrases(), &layout)?;
    for (number, phrases) in pool.phrases.chunks(1 << 14).enumerate() {
        let first = (number << 14) as u32;
        let batch = RecordBatch::try_new(
            columns::pool_phrases(),
            vec![
                Arc::new(UInt32Array::from_iter_values(first..first + phrases.len() as u32)),
                Arc::new(StringArray::from_iter_values(phrases.iter().map(|p| &p.text))),
                Arc::new(Float32Array::from_iter_values(phrases.iter().map(|p| p.score))),
                Arc::new(UInt8Array::from_iter_values(phrases.iter().map(|p| p.words))),
                Arc::new(UInt64Array::new_null(phrases.len())),
            ],
        );
        table.write_result(batch)?;
    }
    table.commit()
}

/// Reads the pool of `out`, after checking that it is whole.
pub fn load(out: &Path, manifest: &Manifest<PoolBody>) -> Result<Pool, StoreError> {
    let folder = out.join("pool");
    for entry in &manifest.files {
        store::verify_file(&folder, entry, REMAKE)?;
    }
    let table = TableReader::open(&folder.join(NAME), &columns::pool_phrases())?;
    let mut pool = Pool { phrases: Vec::with_capacity(table.rows() as usize) };
    for batch in table.batches(1 << 14, None) {
        let batch = batch?;
        let texts = batch.column(1).as_string::<i32>();
        let scores = batch.column(2).as_primitive::<Float32Type>();
        let words = batch.column(3).as_primitive::<UInt8Type>();
        pool.phrases.extend((0..batch.num_rows()).map(|i| Phrase {
            text: texts.value(i).to_owned(),
            score: scores.value(i),
            words: words.value(i),
        }));
    }
    Ok(pool)
}
