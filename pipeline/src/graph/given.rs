//! A user's own associations or orders, in a file.
//!
//! | rows | example | relation |
//! |---|---|---|
//! | two products, a relation, perhaps a weight | `B01,B02,substitute` | the one that is named |
//! | an order and one of its products | `order,product` above `1007,B01` | `co_purchased` |
//! | all products of an order | `B01 B02 B07` | `co_purchased` |
//! | in Parquet, a product and a list of others | `asin`, `also_buy` | that of the list's name, or of a column |
//!
//! A file is a table in text, plain, gz or zst, with or without a header, or Parquet. Its rows are read one after
//! another. Rows of order and product may come in any order: they go through sorted runs on disk.
use std::{
    io::{self, Read},
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_dumps::{NotText, open};
use schemas::{StoreError, manifest::AssociationFile, quoted};
use xxhash_rust::xxh3::xxh3_64;

mod layout;
mod parquet;
mod relation;
mod text;

use self::{layout::Layout, relation::relation_of};
use super::{
    edges::Edge,
    lists::{LONGEST_ORDER, add_order},
    parts::EdgeWriter,
    products::{ProductRank, ProductTable},
};
use crate::{
    engine::{
        progress::thousands,
        runs::{FixedRecord, RunSorter, long_number, number},
    },
    hint::{self, Hint, check_file, unreadable},
};

/// What a hint expects of the files that are read.
const EXPECTED: &str = "`--associations` names a table in text (plain, .gz or .zst) or Parquet. Its columns are \
    `product_a,product_b,relation`, or `order,product`. Without a header, each row holds two products and their \
    relation, or all products of an order";

/// What is wrong with a line in another encoding.
const NOT_UTF8: &str = "not UTF-8";

/// A file of associations cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GivenError {
    /// The file itself.
    #[error("cannot read the associations `{}`\nhint: {}", path.display(), unreadable(source, EXPECTED))]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// It is something else.
    #[error("`{}` is not a file of associations: found {found}\nhint: {hint}", path.display())]
    Unrecognised { path: PathBuf, found: String, hint: String },
    /// Too many rows cannot be read.
    #[error(
        "{} of {} rows of the associations `{}` cannot be read\n{places}\nhint: {hint}",
        thousands(*bad), thousands(*rows), path.display()
    )]
    Malformed {
        path: PathBuf,
        bad: u64,
        rows: u64,
        /// The first few, a line each.
        places: String,
        /// What to do.
        hint: String,
    },
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
}

/// Checks that a file can be read twice: it is hashed first.
///
/// # Errors
/// If it does not exist, is not a regular file, or cannot be opened.
pub fn check_readable(path: &Path) -> Result<(), GivenError> {
    check_file(path).map_err(|source| GivenError::Read { path: path.to_owned(), source })
}

/// How a file of associations is read.
#[derive(Clone, Copy)]
pub(crate) struct GivenFile<'a> {
    pub(crate) path: &'a Path,
    /// Its hash.
    pub(crate) blake3: &'a str,
    /// The ratio of rows that may be unreadable.
    pub(crate) max_unreadable: f64,
    /// Temporary files are created next to this one.
    pub(crate) next_to: &'a Path,
    /// Bytes of memory of a sorter.
    pub(crate) memory: usize,
}

/// Adds the edges of a file, and the pairs of its orders, to `edges`.
pub(crate) fn read(
    file: GivenFile<'_>,
    products: &ProductTable,
    edges: &mut EdgeWriter,
) -> Result<AssociationFile, GivenError> {
    let unrecognized = |found: &str, hint: &str| {
        Err(GivenError::Unrecognised { path: file.path.to_owned(), found: found.to_owned(), hint: hint.to_owned() })
    };
    let error = |source| GivenError::Read { path: file.path.to_owned(), source };
    let mut rows = Rows::new(file, products, edges);
    let mut opened = open(file.path, Arc::default()).map_err(error)?;
    let mut start = Vec::new();
    opened.bytes.by_ref().take(1 << 12).read_to_end(&mut start).map_err(error)?;
    match (start.as_slice(), opened.compression) {
        ([b'P', b'A', b'R', b'1', ..], None) => parquet::read(file, &mut rows)?,
        ([b'P', b'A', b'R', b'1', ..], Some(compression)) => {
            let hint = format!("decompress it: `{} -d {}`", compression.program(), quoted(file.path));
            return unrecognized("a compressed Parquet file", &hint);
        }
        ([b'{' | b'[', ..], _) => return unrecognized("JSON", EXPECTED),
        (start, _) if start.trim_ascii().is_empty() => return unrecognized("no rows", EXPECTED),
        _ if let Some(found) = NotText::of(file.path).map_err(error)? => {
            return unrecognized(&found.reason.to_string(), found.hint.as_deref().unwrap_or(EXPECTED));
        }
        _ => text::read(file, Box::new(io::Cursor::new(start).chain(opened.bytes)), &mut rows)?,
    }
    rows.finish()
}

/// Collects rows.
struct Rows<'a> {
    file: GivenFile<'a>,
    products: &'a ProductTable,
    edges: &'a mut EdgeWriter,
    /// Of rows with an order and a product.
    order_products: RunSorter<OrderProduct>,
    counts: AssociationFile,
    places: Vec<String>,
    /// Whether a comma in a weight is a decimal point.
    has_decimal_commas: bool,
}

/// Why a row cannot be read.
struct BadRow(String);

/// A product of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct OrderProduct {
    /// Hash of the order's id.
    order: u64,
    product: ProductRank,
}

impl FixedRecord for OrderProduct {
    const BYTES: usize = 12;

    fn write(&self, into: &mut Vec<u8>) {
        into.extend(self.order.to_le_bytes());
        into.extend(self.product.0.to_le_bytes());
    }

    fn read(from: &[u8]) -> Self {
        Self { order: long_number(&from[0..8]), product: ProductRank(number(&from[8..12])) }
    }

    fn absorb(&mut self, other: &Self) -> bool {
        self == other
    }
}

impl<'a> Rows<'a> {
    fn new(file: GivenFile<'a>, products: &'a ProductTable, edges: &'a mut EdgeWriter) -> Self {
        let counts = AssociationFile {
            blake3: file.blake3.to_owned(),
            holds: String::new(),
            rows: 0,
            unreadable: 0,
            ids: 0,
            unknown_products: 0,
            too_long: 0,
        };
        Self {
            file,
            products,
            edges,
            order_products: RunSorter::new(file.next_to, file.memory),
            counts,
            places: Vec::new(),
            has_decimal_commas: true,
        }
    }

    /// Adds a row of text fields. `place` describes it in messages.
    fn add(
        &mut self,
        layout: Layout,
        fields: &[impl AsRef<str>],
        place: impl FnOnce() -> String,
    ) -> Result<(), StoreError> {
        self.counts.rows += 1;
        if let Err(BadRow(why)) = self.try_add(layout, fields)? {
            self.bad(|| format!("{}: {why}", place()));
        }
        Ok(())
    }

    /// Counts a row that cannot be read.
    fn bad(&mut self, place: impl FnOnce() -> String) {
        const MOST_PLACES: usize = 5;
        self.counts.unreadable += 1;
        if self.places.len() < MOST_PLACES {
            self.places.push(format!("  {}", place()));
        }
    }

    fn try_add(&mut self, layout: Layout, fields: &[impl AsRef<str>]) -> Result<Result<(), BadRow>, StoreError> {
        if let Some(wanted) = layout.fields().filter(|&wanted| fields.len() < wanted) {
            return Ok(Err(BadRow(format!("found {} fields, expected {wanted}", fields.len()))));
        }
        let field = |at: usize| fields[at].as_ref();
        match layout {
            Layout::Associations { one, other, relation, weight } => {
                let name = field(relation);
                let Some(relation) = relation_of(name) else { return Ok(Err(BadRow(relation::unknown(name)))) };
                let weight = weight.and_then(|at| fields.get(at)).map_or("", |weight| weight.as_ref().trim());
                let weight = match self.weight(weight) {
                    Ok(weight) => weight,
                    Err(bad) => return Ok(Err(bad)),
                };
                let (one, other) = (self.product(field(one))?, self.product(field(other))?);
                if let Some(edge) = one.zip(other).and_then(|(one, other)| Edge::new(one, other, relation, weight)) {
                    self.edges.edge(edge)?;
                }
            }
            Layout::OrderProducts { order, product } => {
                if field(order).is_empty() {
                    return Ok(Err(BadRow("no id of an order".to_owned())));
                }
                if let Some(product) = self.product(field(product))? {
                    let order = xxh3_64(field(order).as_bytes());
                    self.order_products.push(OrderProduct { order, product })?;
                }
            }
            Layout::Orders => {
                let mut order = Vec::new();
                for id in (0..fields.len()).map(field).filter(|id| !id.is_empty()) {
                    order.extend(self.product(id)?);
                }
                self.add_order(order)?;
            }
        }
        Ok(Ok(()))
    }

    /// A weight. `None` where a program wrote that there is none.
    fn weight(&self, text: &str) -> Result<Option<f32>, BadRow> {
        const NONE: [&str; 8] = ["", "NaN", "NA", "N/A", "#N/A", "<NA>", "None", "null"];
        if NONE.iter().any(|none| text.eq_ignore_ascii_case(none)) {
            return Ok(None);
        }
        let text_with_point = || text.replacen(',', ".", 1).parse::<f32>().ok().filter(|_| self.has_decimal_commas);
        match text.parse::<f32>().ok().or_else(text_with_point).filter(|weight| weight.is_finite()) {
            Some(weight) => Ok(Some(weight)),
            None => Err(BadRow(format!("found the weight `{text}`, expected a number"))),
        }
    }

    fn product(&mut self, id: &str) -> Result<Option<ProductRank>, StoreError> {
        let product = self.products.rank_of_given(id)?;
        self.counts.ids += 1;
        self.counts.unknown_products += u64::from(product.is_none());
        Ok(product)
    }

    fn add_order(&mut self, mut order: Vec<ProductRank>) -> Result<(), StoreError> {
        order.sort_unstable();
        order.dedup();
        if order.len() > LONGEST_ORDER {
            self.counts.too_long += 1;
            return Ok(());
        }
        add_order(&order, self.edges)
    }

    fn finish(mut self) -> Result<AssociationFile, GivenError> {
        let AssociationFile { rows, unreadable: bad, .. } = self.counts;
        if rows == 0 {
            let (path, found) = (self.file.path.to_owned(), "no rows below the names of its columns".to_owned());
            return Err(GivenError::Unrecognised { path, found, hint: EXPECTED.to_owned() });
        }
        if bad as f64 > self.file.max_unreadable * rows as f64 {
            let (path, places) = (self.file.path.to_owned(), self.places.join("\n"));
            let is_latin = self.places.iter().all(|place| place.ends_with(NOT_UTF8));
            let hint = if is_latin { hint::from_latin(&path, "the file") } else { EXPECTED.to_owned() };
            return Err(GivenError::Malformed { path, bad, rows, places, hint });
        }
        let empty = RunSorter::new(self.file.next_to, self.file.memory);
        let mut order = (None, Vec::new());
        for row in std::mem::replace(&mut self.order_products, empty).finish()? {
            let OrderProduct { order: of, product } = row?;
            if order.0 != Some(of) {
                let (_, complete) = std::mem::replace(&mut order, (Some(of), Vec::new()));
                self.add_order(complete)?;
            }
            // One more than an order may have shows that it is too long.
            if order.1.len() <= LONGEST_ORDER {
                order.1.push(product);
            }
        }
        self.add_order(order.1)?;
        Ok(self.counts)
    }
}
