//! What the tasks of the graph leave for one another: records by partition.
use std::path::{Path, PathBuf};

use schemas::{
    StoreError,
    manifest::{AssociationFile, ListCounts},
};
use serde::{Deserialize, Serialize};

use super::{
    edges::Edge,
    lists::{ListSink, ListedPair, ProductLists},
    products::{Partitions, ProductRank, UnknownProduct},
};
use crate::engine::sections::{SectionRecords, SectionWriter, Sections};

/// The associations that a dump states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StatedAssociations {
    /// All of them.
    pub(super) found: u64,
    /// Those that join two products of the corpus.
    pub(super) resolved: u64,
}

/// The products that reviews are of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReviewedProducts {
    /// Reviews without a product id.
    pub(super) without_product: u64,
    /// Reviews of products that are not in the corpus.
    pub(super) of_unknown_products: u64,
}

/// What a part was made from, and what it counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct EdgeNotes {
    pub(super) made_from: String,
    pub(super) stated: StatedAssociations,
    pub(super) reviewed: ReviewedProducts,
    pub(super) lists: ListCounts,
    /// Of the part that reads a user's file.
    pub(super) file: Option<AssociationFile>,
}

/// Kinds of records. Each has a section per partition.
#[derive(Clone, Copy)]
enum Records {
    Edges,
    UnknownProducts,
    NamedProducts,
    Pairs,
    Lists,
}

const KINDS: usize = 5;

fn section(kind: Records, partitions: Partitions, partition: usize) -> usize {
    kind as usize * partitions.count as usize + partition
}

/// Writes the records of a part. They are not sorted, and some come twice.
pub(crate) struct EdgeWriter {
    partitions: Partitions,
    sections: SectionWriter,
}

impl EdgeWriter {
    pub(super) fn new(path: PathBuf, partitions: Partitions) -> Self {
        Self { partitions, sections: SectionWriter::new(path, KINDS * partitions.count as usize) }
    }

    pub(super) fn edge(&mut self, edge: Edge) -> Result<(), StoreError> {
        self.sections.push(section(Records::Edges, self.partitions, self.partitions.of(edge.a)), edge)
    }

    /// An association names a product of the corpus.
    pub(super) fn named(&mut self, product: ProductRank) -> Result<(), StoreError> {
        self.sections.push(section(Records::NamedProducts, self.partitions, self.partitions.of(product)), product)
    }

    /// An association names an id that is not in the corpus.
    pub(super) fn unknown(&mut self, id: UnknownProduct) -> Result<(), StoreError> {
        let partition = self.partitions.of_unknown(id);
        self.sections.push(section(Records::UnknownProducts, self.partitions, partition), id)
    }

    pub(super) fn commit(self, notes: &EdgeNotes, is_finished: impl FnOnce() -> bool) -> Result<(), StoreError> {
        self.sections.commit(notes, is_finished)
    }
}

impl ListSink for EdgeWriter {
    fn listed(&mut self, product: ProductRank) -> Result<(), StoreError> {
        let section = section(Records::Lists, self.partitions, self.partitions.of(product));
        self.sections.push(section, ProductLists { product, lists: 1 })
    }

    fn pair(&mut self, pair: ListedPair) -> Result<(), StoreError> {
        self.sections.push(section(Records::Pairs, self.partitions, self.partitions.of(pair.a)), pair)
    }
}

/// The records of a part.
pub(super) struct EdgePart {
    partitions: Partitions,
    sections: Sections<EdgeNotes>,
}

impl EdgePart {
    /// `None` if it is to be made.
    pub(super) fn open(path: &Path, partitions: Partitions, made_from: &str) -> Result<Option<Self>, StoreError> {
        let sections = Sections::<EdgeNotes>::open(path, KINDS * partitions.count as usize)?;
        let same = sections.filter(|sections| sections.notes.made_from == made_from);
        Ok(same.map(|sections| Self { partitions, sections }))
    }

    pub(super) fn notes(&self) -> &EdgeNotes {
        &self.sections.notes
    }

    pub(super) fn edges(&self, partition: usize) -> Result<SectionRecords<Edge>, StoreError> {
        self.sections.records(section(Records::Edges, self.partitions, partition))
    }

    pub(super) fn unknown(&self, partition: usize) -> Result<SectionRecords<UnknownProduct>, StoreError> {
        self.sections.records(section(Records::UnknownProducts, self.partitions, partition))
    }

    pub(super) fn named(&self, partition: usize) -> Result<SectionRecords<ProductRank>, StoreError> {
        self.sections.records(section(Records::NamedProducts, self.partitions, partition))
    }

    pub(super) fn pairs(&self, partition: usize) -> Result<SectionRecords<ListedPair>, StoreError> {
        self.sections.records(section(Records::Pairs, self.partitions, partition))
    }

    pub(super) fn lists(&self, partition: usize) -> Result<SectionRecords<ProductLists>, StoreError> {
        self.sections.records(section(Records::Lists, self.partitions, partition))
    }
}

/// What a partition was made from, and what it counted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct PartitionNotes {
    pub(super) made_from: String,
    /// Distinct ids that associations name and the corpus does not have.
    pub(super) unknown_ids: u64,
    /// Products that associations name.
    pub(super) named_products: u64,
}

/// Writes the records of a partition, sorted and each once.
pub(super) struct PartitionWriter(SectionWriter);

/// Sections of a partition: edges, pairs of enough users, and in how many lists each product is.
const PARTITION_SECTIONS: usize = 3;

impl PartitionWriter {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(SectionWriter::new(path, PARTITION_SECTIONS))
    }

    pub(super) fn edge(&mut self, edge: Edge) -> Result<(), StoreError> {
        self.0.push(0, edge)
    }

    pub(super) fn pair(&mut self, pair: ListedPair) -> Result<(), StoreError> {
        self.0.push(1, pair)
    }

    pub(super) fn lists(&mut self, lists: ProductLists) -> Result<(), StoreError> {
        self.0.push(2, lists)
    }

    pub(super) fn commit(self, notes: &PartitionNotes, is_finished: impl FnOnce() -> bool) -> Result<(), StoreError> {
        self.0.commit(notes, is_finished)
    }
}

/// The records of a partition.
pub(super) struct Partition(Sections<PartitionNotes>);

impl Partition {
    /// `None` if it is to be made.
    pub(super) fn open(path: &Path, made_from: &str) -> Result<Option<Self>, StoreError> {
        let sections = Sections::<PartitionNotes>::open(path, PARTITION_SECTIONS)?;
        Ok(sections.filter(|sections| sections.notes.made_from == made_from).map(Self))
    }

    pub(super) fn notes(&self) -> &PartitionNotes {
        &self.0.notes
    }

    pub(super) fn edges(&self) -> Result<SectionRecords<Edge>, StoreError> {
        self.0.records(0)
    }

    pub(super) fn pairs(&self) -> Result<SectionRecords<ListedPair>, StoreError> {
        self.0.records(1)
    }

    pub(super) fn lists(&self) -> Result<SectionRecords<ProductLists>, StoreError> {
        self.0.records(2)
    }
}
