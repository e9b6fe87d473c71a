//! A sealed folder of shards: checked, counted, and read by row group.
use std::{
    fmt,
    path::{Path, PathBuf},
};

use schemas::{
    Manifest, ManifestError, Pair, PairProduct, PairRowsOf, SegmentName, SegmentRowsOf, StoreError, TextId, TokenId,
    manifest::{MANIFEST, ShardsBody},
    open_pairs_of, open_segments_of, segment_names, segment_phrases,
    store::{TableReader, verify_file},
};
use serde::{Deserialize, Serialize};

use crate::{error::DataError, relations::RelationRatios, segment::Segment, vocabulary::Vocabulary};

/// One of the two corpora.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Corpus {
    /// A document for each product.
    Products,
    /// A document for each review.
    Reviews,
}

impl fmt::Display for Corpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Products => "products",
            Self::Reviews => "reviews",
        })
    }
}

/// How many segments are trained on, and how many are not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// Trained on.
    pub trained: u64,
    /// Kept to measure on.
    pub held_out: u64,
}

/// A row group of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Chunk {
    /// Index of the file.
    pub file: u32,
    /// Row group in it.
    pub group: u32,
}

/// A segment that is never trained on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeldOutSegment {
    /// Row group.
    pub chunk: Chunk,
    /// Row of the row group.
    pub row: u32,
    /// Which segment it is.
    pub name: SegmentName,
}

/// A sealed folder of shards, each file as the manifest names it.
#[derive(Debug)]
pub struct Shards {
    folder: PathBuf,
    manifest: Manifest<ShardsBody>,
    vocabulary: Vocabulary,
    tokenizer: Vec<u8>,
    held_out: f64,
    /// Which pairs are used.
    relations: RelationRatios,
    files: Vec<PathBuf>,
    /// Row groups of products, reviews and pairs, in the order of the manifest.
    products: Vec<Chunk>,
    reviews: Vec<Chunk>,
    pairs: Vec<Chunk>,
    /// The segments that are held out.
    held_out_segments: Vec<HeldOutSegment>,
    /// The pairs whose anchor is held out: row group and row.
    held_out_pairs: Vec<(Chunk, u32)>,
    splits: [Split; 2],
    pair_split: Split,
}

/// Rows read at a time.
const ROWS: usize = 1 << 12;

impl Shards {
    /// The folder of shards that a user names: itself, or an output folder of `ebert shards`.
    pub fn folder_of(named: &Path) -> PathBuf {
        let within = named.join("shards");
        if named.join(MANIFEST).is_file() && !within.exists() { named.to_owned() } else { within }
    }

    /// Opens the shards in `folder`, checks the hash of every file, and counts what is trained on.
    /// `held_out` is the ratio of documents that are not. `progress` receives the number of bytes
    /// as they are checked.
    ///
    /// # Errors
    /// When the manifest is missing or of another format, or a file does not match the manifest.
    pub fn open(folder: &Path, held_out: f64, progress: impl Fn(u64)) -> Result<Self, DataError> {
        Self::open_with_relations(folder, held_out, RelationRatios::default(), progress)
    }

    /// As [`Shards::open`], with these ratios of the pairs of each relation to train on.
    ///
    /// # Errors
    /// As [`Shards::open`].
    pub fn open_with_relations(
        folder: &Path,
        held_out: f64,
        relations: RelationRatios,
        progress: impl Fn(u64),
    ) -> Result<Self, DataError> {
        let manifest = match Manifest::<ShardsBody>::read(folder) {
            Err(ManifestError::Absent { folder, .. }) => return Err(DataError::Unfinished { folder }),
            other => other?,
        };
        let (vocabulary, tokenizer) = Vocabulary::of_shards(folder, &manifest.body.tokenizer)?;
        let mut shards = Self {
            folder: folder.to_owned(),
            vocabulary,
            tokenizer,
            held_out,
            relations,
            files: Vec::new(),
            products: Vec::new(),
            reviews: Vec::new(),
            pairs: Vec::new(),
            held_out_segments: Vec::new(),
            held_out_pairs: Vec::new(),
            splits: Default::default(),
            pair_split: Split::default(),
            manifest,
        };
        for entry in shards.manifest.files.clone() {
            let path = verify_file(folder, &entry)?;
            let file = shards.files.len() as u32;
            shards.files.push(path.clone());
            if entry.name.starts_with("pairs-") {
                if shards.has_wide_ids() {
                    shards.count_pairs::<u32>(&path, file)?;
                } else {
                    shards.count_pairs::<u16>(&path, file)?;
                }
            } else if let Some(corpus) = corpus_of(&entry.name) {
                let table = shards.open_segments(&path)?;
                for group in 0..table.row_groups() as u32 {
                    let chunk = Chunk { file, group };
                    shards.chunks_mut(corpus).push(chunk);
                    for (row, name) in segment_names(&table, group as usize)?.into_iter().enumerate() {
                        if shards.is_held_out(name.text_id) {
                            shards.held_out_segments.push(HeldOutSegment { chunk, row: row as u32, name });
                            shards.splits[corpus as usize].held_out += 1;
                        } else {
                            shards.splits[corpus as usize].trained += 1;
                        }
                    }
                }
            }
            progress(entry.bytes);
        }
        Ok(shards)
    }

    /// Counts the pairs of a file that are trained on, and notes those whose anchor is held out.
    fn count_pairs<I: TokenId>(&mut self, path: &Path, file: u32) -> Result<(), DataError> {
        let table = open_pairs_of::<I>(path)?;
        for group in 0..table.row_groups() as u32 {
            let chunk = Chunk { file, group };
            self.pairs.push(chunk);
            let mut number = 0;
            for rows in table.read_group::<PairRowsOf<I>>(group as usize, ROWS)? {
                let rows = rows?;
                for row in 0..rows.len() {
                    let pair = pair(path, &rows, row)?;
                    if self.is_held_out(pair.anchor.text_id) {
                        self.held_out_pairs.push((chunk, number));
                    }
                    number += 1;
                    if !self.is_used(&pair) {
                        continue;
                    }
                    let is_trained = self.is_trained(&pair);
                    let count = &mut self.pair_split;
                    *(if is_trained { &mut count.trained } else { &mut count.held_out }) += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether their ids have 32 bits.
    fn has_wide_ids(&self) -> bool {
        self.manifest.body.tokenizer.has_wide_ids()
    }

    /// Opens a shard of segments for what does not depend on the width of ids.
    fn open_segments(&self, path: &Path) -> Result<TableReader, StoreError> {
        if self.has_wide_ids() { open_segments_of::<u32>(path) } else { open_segments_of::<u16>(path) }
    }

    /// Bytes of all files that the manifest of `folder` names.
    ///
    /// # Errors
    /// When the manifest is missing, damaged or of another format.
    pub fn bytes(folder: &Path) -> Result<u64, DataError> {
        Ok(Manifest::<ShardsBody>::read(folder)?.files.iter().map(|f| f.bytes).sum())
    }

    /// What the shards were made from, and what is in them.
    pub fn manifest(&self) -> &Manifest<ShardsBody> {
        &self.manifest
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Their vocabulary.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The bytes of the tokenizer's file, as the manifest names it.
    pub fn tokenizer(&self) -> &[u8] {
        &self.tokenizer
    }

    /// Checks that some segment of these corpora is trained on.
    ///
    /// # Errors
    /// When all are held out, or there is none.
    pub fn require_segments(&self, corpora: &[Corpus]) -> Result<(), DataError> {
        let splits: Vec<Split> = corpora.iter().map(|&corpus| self.split(corpus)).collect();
        if splits.iter().any(|split| split.trained > 0) {
            return Ok(());
        }
        Err(DataError::Nothing {
            folder: self.folder.clone(),
            what: if corpora == [Corpus::Products] { "product segments" } else { "segments" },
            held_out: splits.iter().map(|split| split.held_out).sum(),
            hint: "check what the shards hold with `ebert inspect`",
        })
    }

    /// Checks that some pair is trained on.
    ///
    /// # Errors
    /// When all are held out, or there is none.
    pub fn require_pairs(&self) -> Result<(), DataError> {
        if self.pair_split.trained > 0 {
            return Ok(());
        }
        Err(DataError::Nothing {
            folder: self.folder.clone(),
            what: "pairs",
            held_out: self.pair_split.held_out,
            hint: "pairs come from associations (docs/associations.md), and data.relations selects some; a recipe without `neighbor`, such as e-bert-ahm, needs none",
        })
    }

    /// Segments of a corpus.
    pub fn split(&self, corpus: Corpus) -> Split {
        self.splits[corpus as usize]
    }

    /// Tokens of a corpus that are trained on, special tokens counted. Reads all of its shards.
    ///
    /// # Errors
    /// When one of them cannot be read.
    pub fn trained_tokens(&self, corpus: Corpus) -> Result<u64, DataError> {
        let mut tokens = 0;
        self.each_trained_segment(corpus, |segment| tokens += segment.input_ids.len() as u64 + 2)?;
        Ok(tokens)
    }

    /// Visits every segment of a corpus that is trained on. The segments of a document follow one
    /// another.
    ///
    /// # Errors
    /// When a shard cannot be read.
    pub fn each_trained_segment(&self, corpus: Corpus, mut visit: impl FnMut(&Segment<'_>)) -> Result<(), DataError> {
        for &chunk in self.chunks(corpus) {
            self.each_segment(chunk, |_, segment| {
                if !self.is_held_out(segment.text_id) {
                    visit(segment);
                }
            })?;
        }
        Ok(())
    }

    /// Pairs; one with a held-out product is held out.
    pub fn pair_split(&self) -> Split {
        self.pair_split
    }

    /// Row groups of a corpus.
    pub(crate) fn chunks(&self, corpus: Corpus) -> &[Chunk] {
        match corpus {
            Corpus::Products => &self.products,
            Corpus::Reviews => &self.reviews,
        }
    }

    /// Row groups of pairs.
    pub(crate) fn pair_chunks(&self) -> &[Chunk] {
        &self.pairs
    }

    /// Every held-out segment.
    pub(crate) fn held_out_segments(&self) -> &[HeldOutSegment] {
        &self.held_out_segments
    }

    fn chunks_mut(&mut self, corpus: Corpus) -> &mut Vec<Chunk> {
        match corpus {
            Corpus::Products => &mut self.products,
            Corpus::Reviews => &mut self.reviews,
        }
    }

    /// Whether a text is never trained on, in any document. The key is the shards' seed, so that
    /// this is the same for every run.
    pub fn is_held_out(&self, text: TextId) -> bool {
        text.is_held_out(self.manifest.body.seed, self.held_out)
    }

    /// Reads a row group of segments, row by row.
    pub(crate) fn each_segment(&self, chunk: Chunk, visit: impl FnMut(usize, &Segment<'_>)) -> Result<(), DataError> {
        if self.has_wide_ids() {
            self.each_segment_of::<u32>(chunk, visit)
        } else {
            self.each_segment_of::<u16>(chunk, visit)
        }
    }

    /// The same, where ids have this width.
    fn each_segment_of<I: TokenId>(
        &self,
        chunk: Chunk,
        mut visit: impl FnMut(usize, &Segment<'_>),
    ) -> Result<(), DataError> {
        let path = &self.files[chunk.file as usize];
        let mut first = 0;
        let (mut ids, mut word_starts) = (Vec::new(), Vec::new());
        for batch in open_segments_of::<I>(path)?.row_group(chunk.group as usize, ROWS, None)? {
            let mut rows = SegmentRowsOf::<I>::new(&batch?);
            for row in 0..rows.len() {
                let stored = rows.word_starts(row);
                let is_stored = stored.is_some();
                word_starts.clear();
                word_starts.extend_from_slice(stored.unwrap_or_default());
                let segment = rows.get(row).map_err(|source| DataError::Span { path: path.clone(), source })?;
                ids.clear();
                ids.extend(segment.input_ids.iter().map(|id| id.get()));
                self.check_ids(path, &ids)?;
                let words = |what| DataError::Words { path: path.clone(), document: segment.document, what };
                if !is_stored && !self.vocabulary.word_starts(&ids, &mut word_starts) {
                    return Err(words("no word starts, and its vocabulary does not mark them"));
                }
                let is_within = word_starts.last().is_none_or(|&last| usize::from(last) < ids.len());
                if !is_within || !word_starts.is_sorted_by(|one, next| one < next) {
                    return Err(words("word starts that are not ascending places of its tokens"));
                }
                // A segment may begin within a word that was too long for one.
                if !ids.is_empty() && word_starts.first() != Some(&0) {
                    word_starts.insert(0, 0);
                }
                let segment = Segment {
                    document: segment.document,
                    text_id: segment.text_id,
                    segment: segment.segment,
                    input_ids: &ids,
                    word_starts: &word_starts,
                    phrases: segment.phrases,
                    noun_phrases: segment.noun_phrases,
                };
                visit(first + row, &segment);
            }
            first += rows.len();
        }
        Ok(())
    }

    /// How often each pool phrase occurs in both corpora, by its number.
    pub(crate) fn phrase_counts(&self) -> Result<Vec<u64>, DataError> {
        let mut counts = vec![0; self.manifest.body.pool.phrases as usize];
        for &Chunk { file, group } in self.products.iter().chain(&self.reviews) {
            let path = &self.files[file as usize];
            for phrase in segment_phrases(&self.open_segments(path)?, group as usize)? {
                let number = phrase.get() as usize;
                counts.resize(counts.len().max(number + 1), 0);
                counts[number] += 1;
            }
        }
        Ok(counts)
    }

    /// The pairs whose anchor is held out: row group and row.
    pub(crate) fn held_out_pairs(&self) -> &[(Chunk, u32)] {
        &self.held_out_pairs
    }

    /// Reads a row group of pairs, row by row: anchor, neighbor and negative, and whether it is
    /// trained on.
    pub(crate) fn each_pair(
        &self,
        chunk: Chunk,
        visit: impl FnMut(u32, [PairProduct<'_, u32>; 3], bool),
    ) -> Result<(), DataError> {
        if self.has_wide_ids() {
            self.each_pair_of::<u32>(chunk, visit)
        } else {
            self.each_pair_of::<u16>(chunk, visit)
        }
    }

    /// The same, where ids have this width.
    fn each_pair_of<I: TokenId>(
        &self,
        chunk: Chunk,
        mut visit: impl FnMut(u32, [PairProduct<'_, u32>; 3], bool),
    ) -> Result<(), DataError> {
        let path = &self.files[chunk.file as usize];
        let mut number = 0;
        for rows in open_pairs_of::<I>(path)?.read_group::<PairRowsOf<I>>(chunk.group as usize, ROWS)? {
            let rows = rows?;
            for row in 0..rows.len() {
                let pair = pair(path, &rows, row)?;
                let sides = sides(&pair);
                let ids = sides.map(|side| side.input_ids.iter().map(|id| id.get()).collect::<Vec<u32>>());
                if ids.iter().any(Vec::is_empty) {
                    return Err(DataError::EmptyPair { path: path.clone() });
                }
                ids.iter().try_for_each(|ids| self.check_ids(path, ids))?;
                let side = |side: usize| {
                    let PairProduct { product, text_id, .. } = sides[side];
                    PairProduct { product, text_id, input_ids: ids[side].as_slice() }
                };
                visit(number, [0, 1, 2].map(side), self.is_trained(&pair));
                number += 1;
            }
        }
        Ok(())
    }

    /// Whether the recipe uses this pair.
    fn is_used<I: TokenId>(&self, pair: &Pair<'_, I>) -> bool {
        self.relations.takes(pair, self.manifest.body.seed)
    }

    /// Whether a pair is used, and none of its products is held out.
    fn is_trained<I: TokenId>(&self, pair: &Pair<'_, I>) -> bool {
        self.is_used(pair) && !sides(pair).iter().any(|side| self.is_held_out(side.text_id))
    }

    fn check_ids(&self, path: &Path, ids: &[u32]) -> Result<(), DataError> {
        let (size, most) = (self.vocabulary.len(), self.manifest.body.max_tokens);
        if ids.len() > usize::from(most) {
            return Err(DataError::Length { path: path.to_owned(), found: ids.len(), most });
        }
        match ids.iter().max() {
            Some(&id) if id as usize >= size => Err(DataError::Id { path: path.to_owned(), id, size }),
            _ => Ok(()),
        }
    }
}

fn pair<'a, I: TokenId>(path: &Path, rows: &'a PairRowsOf<I>, row: usize) -> Result<Pair<'a, I>, DataError> {
    rows.get(row).map_err(|source| DataError::Relation { path: path.to_owned(), source })
}

/// Anchor, neighbor and negative.
fn sides<'a, I: TokenId>(pair: &Pair<'a, I>) -> [PairProduct<'a, I>; 3] {
    [pair.anchor, pair.neighbor, pair.negative]
}

fn corpus_of(file: &str) -> Option<Corpus> {
    if file.starts_with("products-") {
        Some(Corpus::Products)
    } else {
        file.starts_with("reviews-").then_some(Corpus::Reviews)
    }
}

impl fmt::Display for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = &self.manifest.body;
        writeln!(
            f,
            "{} shards in {}: {} tokens, a vocabulary of {}, at most {} tokens per segment",
            self.manifest.files.len(),
            self.folder.display(),
            body.counts.of_segments.tokens,
            body.tokenizer.vocab_size,
            body.max_tokens
        )?;
        writeln!(f, "{:20} {:>12} {:>12}", "", "trained on", "held out")?;
        for (name, split) in [
            ("product segments", self.split(Corpus::Products)),
            ("review segments", self.split(Corpus::Reviews)),
            ("pairs", self.pair_split),
        ] {
            writeln!(f, "{name:20} {:>12} {:>12}", split.trained, split.held_out)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_by_their_folder_or_the_one_above() {
        let out = tempfile::tempdir().unwrap();
        let folder = out.path().join("shards");
        assert_eq!(Shards::folder_of(out.path()), folder);
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(folder.join(MANIFEST), "{}").unwrap();
        assert_eq!([out.path(), &folder].map(Shards::folder_of), [folder.clone(), folder.clone()]);
    }
}
