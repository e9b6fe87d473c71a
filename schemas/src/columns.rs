//! The columns of every stored table, as Arrow schemas. List children are named `element`.
pub use crate::{
    corpus::{corpus_associations, corpus_interactions, corpus_products, corpus_reviews},
    fields::element,
    graph::columns as graph_associations,
    pair::{columns as pairs, columns_of as pairs_of, pair_product},
    pool::columns as pool_phrases,
    segment::{columns as segments, columns_of as segments_of, noun_phrase, phrase_span},
};
