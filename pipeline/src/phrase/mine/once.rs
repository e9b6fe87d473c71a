//! Each text is mined once: copies would make their phrases frequent.
use std::{collections::HashSet, path::Path};

use ebert_dumps::Kind;
use schemas::{DocumentId, ProductTextIdRows, StoreError, TextId, open_corpus_products};

use crate::corpus::tables::Table;

/// Decides which documents are read: of those with one text, the one with the lowest (kind,
/// document). Holds 16 bytes per product, and 8 per review of the current table.
#[derive(Debug, Default)]
pub(super) struct OncePerText {
    /// The first product of each text, sorted.
    products: Vec<(TextId, DocumentId)>,
    /// Texts of the current table of reviews. Reviews with one text are in one table.
    reviews: HashSet<TextId>,
}

impl OncePerText {
    /// Reads the text ids of the products of these tables.
    pub(super) fn new<'t>(folder: &Path, tables: impl IntoIterator<Item = &'t Table>) -> Result<Self, StoreError> {
        let mut products = Vec::new();
        for table in tables.into_iter().filter(|table| table.kind == Kind::Product) {
            let table = open_corpus_products(&folder.join(&table.entry.name))?;
            for rows in table.read::<ProductTextIdRows>(1 << 14) {
                products.extend(rows?.iter().map(|(document, text)| (text, document)));
            }
        }
        products.sort_unstable();
        products.dedup_by_key(|(text, _)| *text);
        products.shrink_to_fit();
        Ok(Self { products, reviews: HashSet::new() })
    }

    /// To be called at the end of a table.
    pub(super) fn end_table(&mut self) {
        self.reviews.clear();
    }

    pub(super) fn is_read_product(&self, text: TextId, document: DocumentId) -> bool {
        self.products.binary_search(&(text, document)).is_ok()
    }

    /// Reviews of a table must be given in the order of their ids.
    pub(super) fn is_read_review(&mut self, text: TextId) -> bool {
        let at = self.products.partition_point(|(known, _)| *known < text);
        let of_product = self.products.get(at).is_some_and(|(known, _)| *known == text);
        !of_product && self.reviews.insert(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_document_of_a_text_is_read() {
        let (text, document) = (TextId::new, DocumentId::new);
        let products = vec![(text(1), document(5)), (text(7), document(2))];
        let mut once = OncePerText { products, reviews: HashSet::new() };
        assert!(once.is_read_product(text(1), document(5)) && !once.is_read_product(text(1), document(6)));
        assert_eq!([7, 8, 8, 9].map(|id| once.is_read_review(text(id))), [false, true, false, true]);
        once.end_table();
        assert!(once.is_read_review(text(8)) && !once.is_read_review(text(1)));
    }
}
