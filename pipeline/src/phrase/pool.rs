//! The phrase pool: `OUT/pool/phrases.parquet`, imported from a file or mined from the corpus.
//!
//! Both ways give entries, `score` and phrase. An entry of one word has a threshold of its own. Entries with the same
//! words are one; the higher score stays.
use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_dumps::{NotText, SkipReason};
use schemas::{
    Manifest, ManifestError, PhraseId, PoolPhrase, PoolPhraseRows, Previous, Rules, StoreError, create_pool_phrases,
    manifest::{Hash, MANIFEST, PoolBody, PoolSource, ShardsBody},
    open_pool_phrases, store,
};

mod entries;
mod import;
mod mining;
mod unchanged;

pub use self::mining::Mining;
use self::{entries::Entries, mining::NothingLearnt};
use super::mine::{
    self, MiningError,
    read::LeftOut,
    summary::{self, Line, Thresholds},
};
use crate::{
    REMAKE,
    engine::{
        hashes::{Hashes, check_files},
        progress::{NEW, Outcome, older_format, thousands},
        sections::PartFolder,
    },
    hint::{Hint, check_file, unreadable},
    settings::StepSettings,
    text,
};

/// A phrase of the pool.
#[derive(Clone, Debug, PartialEq)]
pub struct Phrase {
    /// Words in lower case and without accents, separated by one space, without transparent hyphens.
    pub text: String,
    /// Quality, as it was mined.
    pub score: f32,
    /// Number of words.
    pub words: u8,
    /// Occurrences in the text that it was mined from.
    pub frequency: Option<u64>,
}

/// The phrases, by id: sorted by score descending, then text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    /// Row number is phrase id.
    pub phrases: Vec<Phrase>,
}

/// Where the phrases of a pool come from.
pub enum Source<'a> {
    /// A file of `score<TAB>phrase` lines.
    Import(&'a Path),
    /// The corpus.
    Mine(Mining<'a>),
}

/// Raised whenever other phrases enter the pool for the same entries.
pub const RULES: u32 = 3;

impl Source<'_> {
    /// The code that decides the pool.
    fn rules(&self) -> Rules {
        let pool = Rules::of([("pool", RULES), ("words", text::RULES)]);
        match self {
            Self::Import(_) => pool,
            Self::Mine(_) => pool.and(mine::rules()),
        }
    }

    /// What decides the phrases, as the manifest records it. The lines of a file are counted when it is read.
    fn describe(&self, hashes: &mut Hashes) -> Result<PoolSource, PoolError> {
        match self {
            Self::Import(file) => {
                check_readable(file)?;
                Ok(PoolSource::Import { blake3: hashes.blake3(file)?, entries: 0 })
            }
            Self::Mine(mining) => Ok(PoolSource::Mined(mining.describe(hashes)?)),
        }
    }
}

/// A pool that is there: its manifest, how the step ended, and what a person may want to see of one that was mined now.
pub struct Made {
    /// The manifest.
    pub manifest: Manifest<PoolBody>,
    /// Whether it was there already.
    pub outcome: Outcome,
    /// Lines of a summary.
    pub summary: Vec<Line>,
    /// Why the pool is empty or may be poor, and what to do.
    pub warning: Option<String>,
}

/// The pool step failed.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// The file to import.
    #[error(
        "cannot read the phrase pool `{}`\nhint: {}",
        path.display(),
        unreadable(source, "`--pool` names a file of `score<TAB>phrase` lines, plain, .gz or .zst")
    )]
    Read {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A pool that is another kind of file.
    #[error(
        "the phrase pool `{}` is not read: found {}, expected `score<TAB>phrase` lines in UTF-8\nhint: {}",
        path.display(), found.reason,
        found.hint.as_deref().unwrap_or("`--pool` names a file of `score<TAB>phrase` lines, plain, .gz or .zst")
    )]
    NotAPool {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: NotText,
    },
    /// Lines that are not entries.
    #[error(
        "{} of {} lines of the phrase pool `{}` are not entries\n{places}\n\
         hint: each line is a score from 0 to 1, a tab and a phrase, such as `0.9312<TAB>stainless steel`",
        thousands(*bad), thousands(*entries), path.display()
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
        "the phrase pool `{}` is empty\nhint: each line is a score from 0 to 1, a tab and a phrase, such as `0.9312<TAB>stainless steel`",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A pool file or list was written to while it was hashed or read.
    #[error("`{}` changed while it was being read\nhint: run the same command again once the file is complete", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// Nothing passes the thresholds.
    #[error(
        "none of the {} entries of the phrase pool `{}` reaches the minimum score, {min_score} or {min_score_single} for single words\n\
         hint: lower `--min-score` and `--min-score-single`",
        thousands(*entries), path.display()
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
    /// The corpus cannot be mined.
    #[error(transparent)]
    Mine(#[from] MiningError),
    /// A file of ours, or the disk.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
}

/// Makes the pool, or finds that it is up to date.
///
/// # Errors
/// If a file cannot be read or changes meanwhile, or the pool cannot be written. Also if too many
/// lines of an imported file are malformed, or none reaches the minimum score.
pub fn make(settings: StepSettings<'_>, source: &Source<'_>, hashes: &mut Hashes) -> Result<Made, PoolError> {
    let since = Instant::now();
    let folder = settings.out.join("pool");
    let old = Manifest::<PoolBody>::read_previous(&folder)?;
    let described = source.describe(hashes)?;
    let why = match old {
        Previous::None => NEW.to_owned(),
        Previous::OlderFormat(found) => older_format(found),
        Previous::Sealed(old) => match changed(settings, &source.rules(), &described, &old.body) {
            Some(why) => why,
            None => match check_files(&folder, &old, hashes)? {
                None => {
                    PartFolder::within(&folder).clear()?;
                    return Ok(Made { manifest: *old, outcome: Outcome::UpToDate, summary: Vec::new(), warning: None });
                }
                Some(missing) => missing,
            },
        },
    };
    let mut entries = Entries::new(settings.tokenizer, settings.min_score, settings.min_score_single);
    let (mut summary, mut warning) = (Vec::new(), None);
    let (pool, rejected, made_from) = match (source, described) {
        (Source::Import(file), PoolSource::Import { blake3, .. }) => {
            let lines = import::import(file, settings.max_unreadable, &mut entries)?;
            let (pool, rejected) = entries.finish();
            if pool.phrases.is_empty() {
                let (min_score, min_score_single) = (settings.min_score, settings.min_score_single);
                let path = (*file).to_owned();
                return Err(PoolError::NothingKept { path, entries: lines, min_score, min_score_single });
            }
            (pool, rejected, PoolSource::Import { blake3, entries: lines })
        }
        (Source::Mine(mining), described) => {
            let mined = mining.mine(hashes)?;
            for phrase in mined.iter().flat_map(|mined| &mined.phrases) {
                entries.add(phrase.score, &phrase.text, Some(phrase.count));
            }
            let (pool, rejected) = entries.finish();
            let (min_score, min_score_single) = (settings.min_score, settings.min_score_single);
            match mined {
                Err(why) => warning = Some(why.to_string()),
                Ok(mined) if pool.phrases.is_empty() => {
                    let entries = mined.phrases.len() as u64;
                    warning = Some(NothingLearnt::LowScores { entries, min_score, min_score_single }.to_string());
                }
                Ok(mined) => {
                    let thresholds = Thresholds { phrases: min_score, words: min_score_single };
                    summary = summary::lines(&mined, LeftOut::default(), thresholds);
                    warning = summary::warning(&mined).map(str::to_owned);
                }
            }
            (pool, rejected, described)
        }
        (Source::Import(_), PoolSource::Mined(_)) => unreachable!("a source describes itself"),
    };
    source.check_unchanged(&made_from, hashes)?;
    fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    store::remove(&folder.join(MANIFEST))?;
    store::sweep(&folder, |name| [NAME, MANIFEST].contains(&name))?;
    let body = PoolBody {
        rules: source.rules(),
        source: made_from,
        tokenizer: Hash { blake3: settings.tokenizer.blake3() },
        min_score: settings.min_score,
        min_score_single: settings.min_score_single,
        phrases: pool.phrases.len() as u64,
        lowest_score: pool.phrases.last().map_or(settings.min_score as f32, |p| p.score),
        rejected,
    };
    let file = write(&folder, &pool, &body)?;
    let manifest = Manifest::new(body, vec![file]).seal(&folder)?;
    PartFolder::within(&folder).clear()?;
    Ok(Made { manifest, outcome: Outcome::made(since, why), summary, warning })
}

/// The pool, if it is up to date. Its table is not checked.
///
/// # Errors
/// If its manifest is there and cannot be read, or a file that it is made from cannot be read.
pub fn current(
    settings: StepSettings<'_>,
    source: &Source<'_>,
    hashes: &mut Hashes,
) -> Result<Option<Manifest<PoolBody>>, PoolError> {
    let Some(old) = Manifest::<PoolBody>::read_previous(&settings.out.join("pool"))?.sealed() else { return Ok(None) };
    let described = source.describe(hashes)?;
    Ok(changed(settings, &source.rules(), &described, &old.body).is_none().then_some(old))
}

/// Checks that a pool file is text and can be read twice: it is hashed first.
///
/// # Errors
/// If it does not exist, is not a regular file of text, or cannot be opened.
pub fn check_readable(file: &Path) -> Result<(), PoolError> {
    let read = |source| PoolError::Read { path: file.to_owned(), source };
    check_file(file).map_err(read)?;
    match NotText::of(file).map_err(read)?.filter(|found| found.reason != SkipReason::Empty) {
        Some(found) => Err(PoolError::NotAPool { path: file.to_owned(), found }),
        None => Ok(()),
    }
}

fn changed(settings: StepSettings<'_>, rules: &Rules, source: &PoolSource, was: &PoolBody) -> Option<String> {
    match (&was.source, source) {
        (PoolSource::Import { blake3: old, entries }, PoolSource::Import { blake3, .. }) => {
            let malformed = was.rejected.get("malformed").copied().unwrap_or(0);
            if malformed as f64 > settings.max_unreadable * *entries as f64 {
                return Some(format!(
                    "it has more malformed lines than `--max-unreadable {}`",
                    settings.max_unreadable
                ));
            }
            if old != blake3 {
                return Some("`--pool` is another file".to_owned());
            }
        }
        (PoolSource::Mined(old), PoolSource::Mined(new)) => {
            if old.corpus != new.corpus {
                return Some("the corpus has changed".to_owned());
            }
            if old != new {
                return Some("the lists or options of mining have changed".to_owned());
            }
        }
        (PoolSource::Mined(_), PoolSource::Import { .. }) => {
            return Some("it was mined, and `--pool` is given".to_owned());
        }
        (PoolSource::Import { .. }, PoolSource::Mined(_)) => {
            return Some("it was imported, and no `--pool` is given".to_owned());
        }
    }
    if let Some(why) = rules.changed_since(&was.rules) {
        return Some(why);
    }
    if was.tokenizer.blake3 != settings.tokenizer.blake3() {
        return Some("the tokenizer has changed".to_owned());
    }
    for (name, then, now) in [
        ("min-score", was.min_score, settings.min_score),
        ("min-score-single", was.min_score_single, settings.min_score_single),
    ] {
        if then != now {
            return Some(format!("`--{name}` was {then} and is {now}"));
        }
    }
    None
}

const NAME: &str = "phrases.parquet";

fn write(folder: &Path, pool: &Pool, body: &PoolBody) -> Result<schemas::FileEntry, StoreError> {
    let mut table = create_pool_phrases(&folder.join(NAME))?;
    for (row, phrase) in pool.phrases.iter().enumerate() {
        table.push(&PoolPhrase {
            id: PhraseId::new(row as u32),
            phrase: &phrase.text,
            score: phrase.score,
            words: phrase.words,
            frequency: phrase.frequency,
        })?;
    }
    let mut table = table.finish()?;
    table.note_made(body)?;
    table.commit()
}

/// The pool of `out` cannot be had for the shards there.
#[derive(Debug, thiserror::Error)]
pub enum PoolOfShardsError {
    /// The manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// The table.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// It is not the one that their spans refer to.
    #[error("the shards were made with another pool than `{}`\nhint: run `{REMAKE}` to rebuild them with this one", folder.display())]
    Other {
        /// The folder.
        folder: PathBuf,
    },
}

/// Reads the pool of `out` that the spans of these shards refer to.
///
/// # Errors
/// If the pool is missing, damaged, or not the one of the shards.
pub fn of_shards(out: &Path, shards: &ShardsBody) -> Result<Pool, PoolOfShardsError> {
    let folder = out.join("pool");
    let manifest = Manifest::<PoolBody>::read(&folder)?;
    if manifest.data_blake3() != shards.pool.blake3 {
        return Err(PoolOfShardsError::Other { folder });
    }
    Ok(load(out, &manifest)?)
}

/// Reads the pool of `out`, after checking that it is complete.
///
/// # Errors
/// If a file of the pool is missing or damaged.
pub fn load(out: &Path, manifest: &Manifest<PoolBody>) -> Result<Pool, StoreError> {
    let folder = out.join("pool");
    for entry in &manifest.files {
        store::verify_file(&folder, entry)?;
    }
    let table = open_pool_phrases(&folder.join(NAME))?;
    let mut pool = Pool { phrases: Vec::with_capacity(table.rows() as usize) };
    for rows in table.read::<PoolPhraseRows>(1 << 14) {
        pool.phrases.extend(rows?.iter().map(|row| Phrase {
            text: row.phrase.to_owned(),
            score: row.score,
            words: row.words,
            frequency: row.frequency,
        }));
    }
    Ok(pool)
}
