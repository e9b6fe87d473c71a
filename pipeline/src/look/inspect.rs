//! `pipeline inspect`: what is in the shards, for a person.
use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
};

use schemas::{
    Draws, Manifest, ManifestError, Segment, SegmentRows, SpanOutside, StoreError,
    manifest::{CorpusBody, ShardsBody},
    open_segments, store,
};

use crate::{
    engine::progress::thousands,
    hint::Hint,
    phrase::pool,
    text::{Tokenizer, TokenizerError},
};

/// Looking into shards failed.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// A manifest.
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    /// A file.
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    /// The copy of the tokenizer.
    #[error(transparent)]
    Tokenizer(#[from] TokenizerError),
    /// The pool.
    #[error(transparent)]
    Pool(#[from] pool::PoolOfShardsError),
    /// A row.
    #[error("shard `{}` is not what its manifest promises", path.display())]
    Row {
        /// The shard.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: SpanOutside,
    },
    /// The report cannot be written.
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

/// How to look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Rows to show of each kind.
    pub rows: usize,
    /// Shards to read of each kind: each is a random sample of the whole.
    pub shards: usize,
    /// Whether to use colours.
    pub colour: bool,
}

/// Bars of the length histogram.
const BARS: usize = 10;

/// Writes what is in the shards of `out` to `report`.
pub fn inspect(out: &Path, look: Look, report: &mut impl io::Write) -> Result<(), InspectError> {
    let folder = out.join("shards");
    let manifest = Manifest::<ShardsBody>::read(&folder)?;
    let body = &manifest.body;
    let pool = pool::of_shards(out, body)?;
    let path = folder.join(&body.tokenizer.file);
    let tokenizer = Tokenizer::load(&path)?;
    let (found, wanted) = (tokenizer.blake3(), body.tokenizer.blake3.clone());
    if found != wanted {
        return Err(StoreError::Damaged { path, found, wanted }.into());
    }
    let paint = Paint { on: look.colour };

    let counts = &body.counts.of_segments;
    writeln!(report, "{}", paint.bold("counts"))?;
    let disk: u64 = manifest.files.iter().filter(|f| !f.name.starts_with("pairs")).map(|f| f.bytes).sum();
    let per_token = disk as f64 / counts.tokens.max(1) as f64;
    for (name, number) in [
        ("documents", counts.documents),
        ("segments", counts.segments),
        ("tokens", counts.tokens),
        ("phrase spans", counts.phrase_spans),
        ("cut spans", counts.cut_spans),
        ("noun phrases", counts.noun_phrases),
        ("cut nouns", counts.cut_noun_phrases),
        ("pairs", body.counts.pairs),
        ("pool phrases", body.pool.phrases),
        ("vocabulary", u64::from(body.tokenizer.vocab_size)),
    ] {
        writeln!(report, "  {name:14} {:>16}", thousands(number))?;
    }
    writeln!(report, "  {:14} {:>16}   {per_token:.2} a token, with spans", "bytes on disk", thousands(disk))?;

    let mut lengths = [0u64; BARS];
    let mut found: HashMap<u32, u64> = HashMap::new();
    let (mut rows, mut tokens) = (0u64, 0u64);
    let mut shown: Vec<(u64, String)> = Vec::new();
    let width = usize::from(body.max_tokens).div_ceil(BARS);
    let mut read = 0;
    for kind in ["products", "reviews"] {
        let mut candidates: Vec<(u64, String)> = Vec::new();
        let all: Vec<_> = manifest.files.iter().filter(|f| f.name.starts_with(kind)).collect();
        for entry in all.iter().take(look.shards) {
            read += 1;
            let path = store::verify_file(&folder, entry)?;
            let table = open_segments(&path)?;
            for batch in table.batches(1 << 12, None) {
                let mut segments = SegmentRows::new(&batch?);
                for row in 0..segments.len() {
                    let segment =
                        segments.get(row).map_err(|source| InspectError::Row { path: path.clone(), source })?;
                    rows += 1;
                    tokens += segment.input_ids.len() as u64;
                    lengths[((segment.input_ids.len() - 1) / width).min(BARS - 1)] += 1;
                    for span in segment.phrases {
                        *found.entry(span.phrase.get()).or_default() += 1;
                    }
                    // The rows with the smallest keyed draws: the same ones every time.
                    let id = segment.document.get() ^ u64::from(segment.segment).rotate_left(32);
                    let key = Draws::new(body.seed, "inspect", &id.to_le_bytes()).next_u64();
                    if candidates.len() < look.rows || candidates.last().is_some_and(|c| key < c.0) {
                        let text = show(&segment, &tokenizer, paint);
                        let at = candidates.partition_point(|c| c.0 < key);
                        candidates.insert(at, (key, text));
                        candidates.truncate(look.rows);
                    }
                }
            }
        }
        shown.extend(candidates);
    }
    let all_shards = manifest.files.iter().filter(|f| !f.name.starts_with("pairs")).count();
    let sample = if read < all_shards { format!(" (of {read} of {all_shards} shards)") } else { String::new() };

    writeln!(report, "\n{}", paint.bold(&format!("tokens in a segment{sample}")))?;
    let most = lengths.iter().copied().max().unwrap_or(1).max(1);
    for (i, n) in lengths.iter().enumerate() {
        let (from, to) = (i * width + 1, ((i + 1) * width).min(usize::from(body.max_tokens)));
        if from <= to {
            let bar = "█".repeat((n * 40).div_ceil(most) as usize);
            writeln!(report, "  {from:>5}-{to:<5} {:>14}  {bar}", thousands(*n))?;
        }
    }
    writeln!(report, "  {:.1} tokens a segment", tokens as f64 / rows.max(1) as f64)?;
    let shares = &body.shares;
    writeln!(
        report,
        "  {:.1}% of all tokens in pool phrases, {:.1}% in noun phrases, {:.1}% in noun phrases apart from pool phrases",
        100.0 * shares.phrases,
        100.0 * shares.noun_phrases,
        100.0 * shares.clean_noun_phrases
    )?;

    writeln!(report, "\n{}", paint.bold(&format!("most frequent phrases{sample}")))?;
    let mut frequent: Vec<(u32, u64)> = found.into_iter().collect();
    frequent.sort_unstable_by_key(|&(phrase, n)| (std::cmp::Reverse(n), phrase));
    for (phrase, n) in frequent.iter().take(20) {
        if let Some(phrase) = pool.phrases.get(*phrase as usize) {
            writeln!(report, "  {:>14}  {:.4}  {}", thousands(*n), phrase.score, phrase.text)?;
        }
    }

    rejected(out, body, &paint, report)?;

    writeln!(report, "\n{}", paint.bold("some rows: [pool phrases] and (noun phrases)"))?;
    for (_, text) in shown {
        writeln!(report, "  {text}")?;
    }
    Ok(())
}

/// Rejected records by reason, with the first few places of unreadable ones.
fn rejected(out: &Path, body: &ShardsBody, paint: &Paint, report: &mut impl io::Write) -> Result<(), InspectError> {
    writeln!(report, "\n{}", paint.bold("rejected records"))?;
    if body.counts.rejected.is_empty() {
        writeln!(report, "  none")?;
    }
    // A corpus that was made again since, or is unfinished, holds nothing of these shards.
    let corpus = match Manifest::<CorpusBody>::read(&out.join("corpus")) {
        Ok(corpus) => Some(corpus).filter(|corpus| corpus.data_blake3() == body.corpus.blake3),
        Err(ManifestError::Absent { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    for (reason, n) in &body.counts.rejected {
        writeln!(report, "  {reason:18} {:>12}", thousands(*n))?;
        for place in corpus.iter().flat_map(|c| c.body.places.get(reason)).flatten().take(3) {
            writeln!(report, "    `{}` line {}: {}", place.path, place.line, place.found)?;
        }
    }
    for skipped in corpus.iter().flat_map(|c| &c.body.skipped) {
        writeln!(report, "  skipped `{}`: {}", skipped.path, skipped.why)?;
    }
    for (reason, n) in &body.counts.pairs_dropped {
        writeln!(report, "  pairs: {reason:11} {:>12}", thousands(*n))?;
    }
    Ok(())
}

/// What a token is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Inside {
    #[default]
    Nothing,
    Noun,
    Phrase,
}

/// A segment as text: tokens of a word joined, phrases and noun phrases marked, not more than about three lines. Where a noun phrase
/// overlaps a pool phrase, the pool phrase shows.
fn show(segment: &Segment<'_>, tokenizer: &Tokenizer, paint: Paint) -> String {
    const MOST: usize = 60;
    // What each token is in, and where the mark begins: two noun phrases may touch.
    let mut inside = vec![(Inside::Nothing, 0); segment.input_ids.len()];
    for noun in segment.noun_phrases {
        inside[noun.tokens()].fill((Inside::Noun, noun.tokens().start));
    }
    for span in segment.phrases {
        inside[span.tokens.tokens()].fill((Inside::Phrase, 0));
    }
    let name = segment.product.map_or_else(|| segment.document.to_string(), str::to_owned);
    let mut text = format!("{} ", paint.dim(&format!("{name}/{}", segment.segment)));
    let mut open = (Inside::Nothing, 0);
    for (i, &id) in segment.input_ids.iter().enumerate().take(MOST) {
        let piece = tokenizer.vocabulary().get(usize::from(id)).map_or("?", String::as_str);
        let (piece, joined) = piece.strip_prefix("##").map_or((piece, false), |rest| (rest, true));
        if open != inside[i] {
            text.push_str(paint.end(open.0));
        }
        if !joined {
            text.push(' ');
        }
        if open != inside[i] {
            text.push_str(paint.begin(inside[i].0));
            open = inside[i];
        }
        text.push_str(piece);
    }
    text.push_str(paint.end(open.0));
    if segment.input_ids.len() > MOST {
        text.push_str(" …");
    }
    text
}

/// Colours, or brackets where there are none.
#[derive(Clone, Copy)]
struct Paint {
    on: bool,
}

impl Paint {
    fn begin(self, what: Inside) -> &'static str {
        match (what, self.on) {
            (Inside::Nothing, _) => "",
            (Inside::Phrase, true) => "\x1b[1;33m",
            (Inside::Phrase, false) => "[",
            (Inside::Noun, true) => "\x1b[36m",
            (Inside::Noun, false) => "(",
        }
    }

    fn end(self, what: Inside) -> &'static str {
        match (what, self.on) {
            (Inside::Nothing, _) => "",
            (_, true) => "\x1b[0m",
            (Inside::Phrase, false) => "]",
            (Inside::Noun, false) => ")",
        }
    }

    fn bold(self, text: &str) -> String {
        if self.on { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn dim(self, text: &str) -> String {
        if self.on { format!("\x1b[2m{text}\x1b[0m") } else { text.to_owned() }
    }
}
