//! The first segments of the products of the graph, and which of them are alike.
use std::path::Path;

use schemas::{SegmentTokenRowsOf, TextId, TokenId, open_segments_of};
use xxhash_rust::xxh3::xxh3_64;

use crate::{
    engine::{
        runs::{long_number, number},
        sections::SectionWriter,
    },
    graph::products::{ProductRank, ProductTable},
    shard::{ShardError, encode},
};

/// Where the text of a product is in a file of texts. Without tokens, there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) start: u64,
    pub(super) length: u32,
}

/// Two first segments are alike if either number is the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Signature {
    /// Of the whole text.
    text: TextId,
    /// Hash of the segment's ids.
    ids: u64,
}

/// Segment 0 of each product of the graph: 32 bytes per product.
pub(super) struct FirstSegments {
    signatures: Vec<Signature>,
    starts: Vec<u64>,
    /// 0 without tokens.
    lengths: Vec<u32>,
    /// At least the number of products with tokens that are alike to each, itself included.
    alike: Vec<u32>,
    with_tokens: usize,
}

impl FirstSegments {
    /// Those of these shards. Appends their texts to a section.
    pub(super) fn load<I: TokenId>(
        folder: &Path,
        shards: &[encode::PlannedShard],
        products: &ProductTable,
        into: &mut SectionWriter,
        section: usize,
    ) -> Result<Self, ShardError> {
        let mut segments = FirstSegmentsBuilder::new(products.len());
        let (mut text, mut start) = (Vec::new(), 0);
        for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
            let table = open_segments_of::<I>(&folder.join(&shard.name))?;
            for rows in table.read::<SegmentTokenRowsOf<I>>(1 << 14) {
                for row in rows?.iter().filter(|row| row.segment == 0 && !row.input_ids.is_empty()) {
                    let Some(id) = row.product else { continue };
                    let Some(product) = products.rank(id)? else { continue };
                    text.clear();
                    PairText { product: id, text_id: row.text_id, input_ids: row.input_ids }.write(&mut text);
                    into.append(section, &text)?;
                    let place = Place { start, length: text.len() as u32 };
                    segments.set(product, row.text_id, row.input_ids, place);
                    start += text.len() as u64;
                }
            }
        }
        Ok(segments.finish())
    }

    pub(super) fn len(&self) -> usize {
        self.signatures.len()
    }

    pub(super) fn with_tokens(&self) -> usize {
        self.with_tokens
    }

    pub(super) fn has_tokens(&self, product: ProductRank) -> bool {
        self.lengths[product.index()] > 0
    }

    pub(super) fn place(&self, product: ProductRank) -> Place {
        Place { start: self.starts[product.index()], length: self.lengths[product.index()] }
    }

    /// Whether two products have the same first segment.
    pub(super) fn have_same_ids(&self, a: ProductRank, b: ProductRank) -> bool {
        self.signatures[a.index()].ids == self.signatures[b.index()].ids
    }

    /// Whether two products have the same text, or the same first segment.
    pub(super) fn are_alike(&self, a: ProductRank, b: ProductRank) -> bool {
        self.signatures[a.index()].text == self.signatures[b.index()].text || self.have_same_ids(a, b)
    }

    /// At least the number of products with tokens that are alike to one of them, itself included.
    pub(super) fn most_alike(&self, product: ProductRank) -> usize {
        self.alike[product.index()] as usize
    }
}

/// Collects first segments. Products that are left out have no tokens.
pub(super) struct FirstSegmentsBuilder(FirstSegments);

impl FirstSegmentsBuilder {
    pub(super) fn new(products: usize) -> Self {
        let none = Signature { text: TextId::new(0), ids: 0 };
        Self(FirstSegments {
            signatures: vec![none; products],
            starts: vec![0; products],
            lengths: vec![0; products],
            alike: vec![0; products],
            with_tokens: 0,
        })
    }

    pub(super) fn set<I: TokenId>(&mut self, product: ProductRank, text: TextId, ids: &[I], place: Place) {
        let Self(segments) = self;
        let bytes: Vec<u8> = ids.iter().flat_map(|id| id.get().to_le_bytes()).collect();
        segments.signatures[product.index()] = Signature { text, ids: xxh3_64(&bytes) };
        segments.starts[product.index()] = place.start;
        segments.lengths[product.index()] = place.length;
    }

    pub(super) fn finish(self) -> FirstSegments {
        let Self(mut segments) = self;
        segments.with_tokens = segments.lengths.iter().filter(|&&length| length > 0).count();
        segments.count_alike(|signature| signature.text.get());
        segments.count_alike(|signature| signature.ids);
        segments
    }
}

impl FirstSegments {
    /// Adds the number of products with the same key to `alike`.
    fn count_alike(&mut self, key: impl Fn(Signature) -> u64) {
        let with_tokens = self.signatures.iter().zip(0..).filter(|(_, product)| self.has_tokens(ProductRank(*product)));
        let mut keys: Vec<(u64, u32)> = with_tokens.map(|(&signature, product)| (key(signature), product)).collect();
        keys.sort_unstable();
        for same in keys.chunk_by(|a, b| a.0 == b.0) {
            same.iter().for_each(|&(_, product)| self.alike[product as usize] += same.len() as u32);
        }
    }
}

/// The product of a pair, as it is stored until the pairs are written. A checksum of 4 bytes follows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PairText<'a, I> {
    pub(super) product: &'a str,
    pub(super) text_id: TextId,
    pub(super) input_ids: &'a [I],
}

/// Bytes before the product id and the token ids: length of the product id, and the text id.
const HEAD: usize = 4 + 8;

impl<I: TokenId> PairText<'_, I> {
    fn write(&self, into: &mut Vec<u8>) {
        let start = into.len();
        into.extend((self.product.len() as u32).to_le_bytes());
        into.extend(self.text_id.get().to_le_bytes());
        into.extend(self.product.as_bytes());
        for id in self.input_ids {
            into.extend_from_slice(&id.get().to_le_bytes()[..size_of::<I>()]);
        }
        into.extend(checksum(&into[start..]).to_le_bytes());
    }
}

fn checksum(text: &[u8]) -> u32 {
    xxh3_64(text) as u32
}

/// Texts in memory, by their places.
pub(super) struct PairTexts<I> {
    /// Sorted by place.
    entries: Vec<PairTextEntry>,
    products: String,
    input_ids: Vec<I>,
}

struct PairTextEntry {
    start: u64,
    text_id: TextId,
    /// Where its product id ends in `products`, and where its token ids end in `input_ids`.
    product_end: usize,
    ids_end: usize,
}

impl<I: TokenId> PairTexts<I> {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), products: String::new(), input_ids: Vec::new() }
    }

    /// Adds the text that begins at a place. No place before it may follow. `None` if these are not the bytes of one.
    pub(super) fn push(&mut self, start: u64, bytes: &[u8]) -> Option<()> {
        let (bytes, sum) = bytes.split_last_chunk()?;
        if checksum(bytes) != u32::from_le_bytes(*sum) {
            return None;
        }
        let head = bytes.get(..HEAD)?;
        let (product, ids) = bytes[HEAD..].split_at_checked(number(&head[..4]) as usize)?;
        self.products.push_str(std::str::from_utf8(product).ok()?);
        let id = |bytes: &[u8]| I::of(bytes.iter().rev().fold(0, |id, &byte| id << 8 | u32::from(byte)));
        self.input_ids.extend(ids.chunks_exact(size_of::<I>()).map(id));
        let (product_end, ids_end) = (self.products.len(), self.input_ids.len());
        let text_id = TextId::new(long_number(&head[4..]));
        self.entries.push(PairTextEntry { start, text_id, product_end, ids_end });
        Some(())
    }

    /// The text at a place that was added.
    pub(super) fn get(&self, place: Place) -> Option<PairText<'_, I>> {
        let at = self.entries.binary_search_by_key(&place.start, |entry| entry.start).ok()?;
        let (product_start, ids_start) =
            at.checked_sub(1).map_or((0, 0), |before| (self.entries[before].product_end, self.entries[before].ids_end));
        let PairTextEntry { text_id, product_end, ids_end, .. } = self.entries[at];
        let (product, input_ids) = (&self.products[product_start..product_end], &self.input_ids[ids_start..ids_end]);
        Some(PairText { product, text_id, input_ids })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_read_back_by_their_places() {
        fn check<I: TokenId + std::fmt::Debug>(ids: &[I]) {
            let written = [("B1", 7, ids), ("", 8, &ids[..1]), ("ä", u64::MAX, &[])];
            let (mut bytes, mut texts, mut places) = (Vec::new(), PairTexts::new(), Vec::new());
            for (product, text_id, input_ids) in written {
                let start = bytes.len();
                PairText { product, text_id: TextId::new(text_id), input_ids }.write(&mut bytes);
                places.push(Place { start: start as u64, length: (bytes.len() - start) as u32 });
                texts.push(start as u64, &bytes[start..]).unwrap();
            }
            for ((product, text_id, input_ids), place) in written.into_iter().zip(places.iter().copied()) {
                assert_eq!(texts.get(place), Some(PairText { product, text_id: TextId::new(text_id), input_ids }));
            }
            assert_eq!(texts.get(Place { start: 1, length: 5 }), None);
            for bit in 0..8 * bytes.len() {
                bytes[bit / 8] ^= 1 << (bit % 8);
                let each = || places.iter().map(|place| &bytes[place.start as usize..][..place.length as usize]);
                assert_eq!(each().filter(|text| PairTexts::<I>::new().push(0, text).is_none()).count(), 1, "bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
        check(&[1u16, 65_535]);
        check(&[1u32, 70_000]);
    }
}
