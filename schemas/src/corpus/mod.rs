//! The tables of a corpus: clean documents and their associations.
mod association;
mod interaction;
mod product;
mod projection;
mod review;

pub use association::{
    CorpusAssociation, CorpusAssociationBuilder, CorpusAssociationRows, columns as corpus_associations,
    create_corpus_associations, open_corpus_associations,
};
pub use interaction::{
    CorpusInteraction, CorpusInteractionBuilder, CorpusInteractionRows, columns as corpus_interactions,
    create_corpus_interactions, open_corpus_interactions,
};
pub use product::{
    CorpusProduct, CorpusProductBuilder, CorpusProductRows, columns as corpus_products, create_corpus_products,
    open_corpus_products,
};
pub use projection::{
    CorpusNameRows, CorpusText, CorpusTextRows, ProductCategories, ProductCategoryRows, ProductTextIdRows,
};
pub use review::{
    CorpusReview, CorpusReviewBuilder, CorpusReviewRows, columns as corpus_reviews, create_corpus_reviews,
    open_corpus_reviews,
};

/// Rows of documents in a batch, at most.
const BATCH_ROWS: usize = 1 << 12;

/// Bytes of text after which a batch ends.
const BATCH_BYTES: usize = 1 << 20;

/// A worker of the next stage takes a whole row group, so they are small.
const ROW_GROUP_BYTES: usize = 4 << 20;
