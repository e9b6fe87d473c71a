//! The first segments of the products of the graph, and which of them are alike.
use std::{collections::HashMap, path::Path};

use schemas::{SegmentTokenRowsOf, TextId, TokenId, open_segments_of};
use xxhash_rust::xxh3::xxh3_64;

use super::graph::ProductNumber;
use crate::shard::{ShardError, encode};

/// Token ids of segment 0 of each product of the graph, and the id of its whole text.
pub(super) struct FirstSegments<I> {
    pub(super) ids: Vec<I>,
    /// For each product: where its ids are in `ids`.
    pub(super) spans: Vec<IdSpan>,
    /// For each product.
    pub(super) text_ids: Vec<TextId>,
    /// The products with tokens, sorted by text, and by a hash of their ids.
    by_text: Vec<(TextId, ProductNumber)>,
    by_ids: Vec<(u64, ProductNumber)>,
}

#[derive(Clone, Copy, Default)]
pub(super) struct IdSpan {
    pub(super) start: u64,
    pub(super) length: u16,
}

impl<I: TokenId> FirstSegments<I> {
    pub(super) fn load(
        folder: &Path,
        shards: &[encode::PlannedShard],
        numbers: &HashMap<&str, ProductNumber>,
    ) -> Result<Self, ShardError> {
        let mut ids = Vec::new();
        let mut spans = vec![IdSpan::default(); numbers.len()];
        let mut text_ids = vec![TextId::new(0); numbers.len()];
        for shard in shards.iter().filter(|s| s.name.starts_with("products-")) {
            let table = open_segments_of::<I>(&folder.join(&shard.name))?;
            for rows in table.read::<SegmentTokenRowsOf<I>>(1 << 14) {
                for row in rows?.iter().filter(|row| row.segment == 0) {
                    if let Some(&product) = row.product.and_then(|product| numbers.get(product)) {
                        text_ids[product.index()] = row.text_id;
                        spans[product.index()] = IdSpan { start: ids.len() as u64, length: row.input_ids.len() as u16 };
                        ids.extend_from_slice(row.input_ids);
                    }
                }
            }
        }
        Ok(Self::new(ids, spans, text_ids))
    }

    pub(super) fn new(ids: Vec<I>, spans: Vec<IdSpan>, text_ids: Vec<TextId>) -> Self {
        let mut texts = Self { ids, spans, text_ids, by_text: Vec::new(), by_ids: Vec::new() };
        let with_tokens: Vec<ProductNumber> = (0..texts.spans.len() as u32)
            .map(ProductNumber)
            .filter(|&product| !texts.get(product).is_empty())
            .collect();
        texts.by_text = with_tokens.iter().map(|&product| (texts.text_id(product), product)).collect();
        texts.by_ids = with_tokens.iter().map(|&product| (texts.ids_hash(product), product)).collect();
        texts.by_text.sort_unstable();
        texts.by_ids.sort_unstable();
        texts
    }

    pub(super) fn text_id(&self, product: ProductNumber) -> TextId {
        self.text_ids[product.index()]
    }

    pub(super) fn ids_hash(&self, product: ProductNumber) -> u64 {
        let bytes: Vec<u8> = self.get(product).iter().flat_map(|id| id.get().to_le_bytes()).collect();
        xxh3_64(&bytes)
    }

    /// Whether two products have the same text, or the same first segment.
    pub(super) fn are_alike(&self, a: ProductNumber, b: ProductNumber) -> bool {
        self.text_id(a) == self.text_id(b) || self.get(a) == self.get(b)
    }

    /// The products with tokens that are alike to one of them, itself included. Some may come twice.
    pub(super) fn alike(&self, product: ProductNumber) -> impl Iterator<Item = ProductNumber> {
        let (text, hash) = (self.text_id(product), self.ids_hash(product));
        let same_text = &self.by_text[self.by_text.partition_point(|(known, _)| *known < text)..];
        let same_ids = &self.by_ids[self.by_ids.partition_point(|(known, _)| *known < hash)..];
        let same_text = same_text.iter().take_while(move |(known, _)| *known == text).map(|&(_, other)| other);
        let same_ids = same_ids.iter().take_while(move |(known, _)| *known == hash).map(|&(_, other)| other);
        same_text.chain(same_ids.filter(move |&other| self.get(other) == self.get(product)))
    }

    pub(super) fn get(&self, product: ProductNumber) -> &[I] {
        let IdSpan { start, length } = self.spans[product.index()];
        &self.ids[start as usize..start as usize + usize::from(length)]
    }
}
