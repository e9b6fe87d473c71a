//! Products and reviews in raw files: the Amazon review dumps of 2014, 2018 and 2023, other public data sets, and
//! tables whose fields a user names.
//!
//! This crate finds files, decompresses and unpacks them, and splits them into records. It parses each into a
//! [`Record`] with the same interface for all, and turns raw text into [clean] text.
//!
//! A file is recognized by its contents, not its name: its compression (gzip, zstd, bzip2 or xz) or archive (tar,
//! zip), its [`Layout`] (JSON of any form, a table in text, Parquet, Arrow, blocks of lines), and the fields of its
//! records. Any other file is named for what it is, such as a web page or a vocabulary.
//!
//! # Generations
//!
//! | generation | product | associations | review |
//! |---|---|---|---|
//! | 2014, also as Python dicts | `asin`, `title`, `description`, `brand`, `categories` | `related`: `also_bought`, `bought_together` are complements; `also_viewed`, `buy_after_viewing` are substitutes | `asin`, `reviewerID`, `summary`, `reviewText`, `overall`, `unixReviewTime` |
//! | 2018 | `asin`, `title`, `description`, `feature`, `category`, `brand`, `details` | `also_buy` are complements, `also_view` are substitutes | as 2014 |
//! | 2023 | `parent_asin`, `title`, `subtitle`, `author`, `features`, `description`, `categories` or else `main_category`, `store`, `details` | `bought_together` are complements | `parent_asin` or `asin`, `user_id`, `title`, `text`, `rating`, `timestamp` |
//!
//! The dumps are described in McAuley et al. 2015 (2014 dump), Ni, Li and McAuley 2019 (2018 dump)
//! and Hou et al. 2024 (2023 dump). The first also defines complements and substitutes.
//!
//! Tables of ratings without text (user, product, stars, time) are recognized, too: [`RatingTable`] reads their lines.
//!
//! # Fields in another shape
//!
//! Dumps go through pandas, a CSV, a warehouse or MongoDB before someone has them. Any field may
//! then hold another type, and reads the same:
//!
//! | what it holds | example | read as |
//! |---|---|---|
//! | a list or a map in a string | `"['Kitchen', 'Mugs']"`, `"{\"Scent\": \"Cedar\"}"`, `"['a' 'b']"` of numpy, `"frozenset({'a'})"` | the list or the map |
//! | an array of Postgres where a list is usual | `"{Kitchen,\"Tea Kettles\"}"` | the list |
//! | a spelling of a missing value | `"nan"`, `"None"`, `"null"`, `"<NA>"`, `"#N/A"`, `"set()"`, `NaN` | no value |
//! | a map where a list is usual | `{"0": "Kitchen", "1": "Mugs"}`, `[{"name": "Mugs"}]` | its values, or its name |
//! | a number in an id; in a table in text, only `.0` is removed | `31852`, `1384719342.0` | ten digits: `0000031852` |
//! | stars in words | `"4,0 von 5 Sternen"`, `"4/5"`, `"4,5"` | the number |
//! | extended JSON, or the `repr` of its types | `{"$numberInt": "5"}`, `Int64(5)`, `ObjectId('65a1')` | the scalar |
//! | a date in a time | `{"$date": …}`, `"2009-09-13 00:00:00"` | the number of the dump |
//!
//! Text stays text: `[Sealed] tea tin` is not a list. A value that is present and cannot be read is in
//! [`Record::unread`], with its field and an [`UnreadReason`].
//!
//! # Main types
//!
//! * [`find()`] returns [`RawFiles`]: each [`DumpFile`] below a folder with its [`RecordType`], and
//!   the files that are skipped, with a [`SkipReason`]. [`find_all`] takes several [`Source`]s.
//! * A [`Mapping`] names the fields of records that are not those of a dump.
//! * [`Skipped::hint`] has the fix for a file that is not a dump: the command that decompresses,
//!   converts or fetches it.
//! * [`DumpFile::records`] splits a file into a [`LineBatch`] of records after another, and [`DumpFile::parse`] reads
//!   one into a [`Record`].
//! * [`DumpFile::records_in`] reads a range of a file, so that several processes can share a large one.
//! * [`open()`] decompresses any file, [`LineReader`] splits it into lines, and [`parse`] reads a line of a dump.
//! * [`clean::clean`] removes markup, entities and control characters from text, and repairs text
//!   that was encoded twice.
//! * [`DocumentBuilder`] turns a record into the text, categories and brand of a document, and
//!   removes the boilerplate of the shop's pages. [`Removals`] counts what each [`Rule`] removed.
//! * [`python::python_to_json`] converts the Python dicts of the 2014 dump.
//!
//! # Example: all records below a folder
//!
//! ```
//! use std::{path::Path, sync::Arc};
//!
//! use ebert_dumps::find;
//!
//! # let folder = tempfile::tempdir()?;
//! # let corpus = folder.path();
//! # std::fs::write(corpus.join("meta.json"), "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\nhello\n")?;
//! let files = find(corpus, Path::new("output"))?;
//! for file in &files.recognised {
//!     assert_eq!((file.name.as_str(), file.holds.unwrap().to_string()), ("meta.json", "2018 products".to_owned()));
//!     let mut records = file.records(Arc::default())?;
//!     while let Some(batch) = records.next_batch(1 << 20) {
//!         for line in batch.iter() {
//!             match file.parse(line.bytes, |record| record.product_id().map(str::to_owned)) {
//!                 Ok(id) => assert_eq!(id.as_deref(), Some("B0")),
//!                 Err(error) => {
//!                     assert_eq!(line.number, 2);
//!                     assert_eq!(error.to_string(), "found `hello`, expected a JSON object or Python dict");
//!                 }
//!             }
//!         }
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: one record of each generation
//!
//! ```
//! use ebert_dumps::{Generation, Kind, RecordType, parse};
//!
//! // A product of 2014, as a Python dict.
//! parse(br#"{'asin': 'B0', 'title': "Tea's best", 'related': {'also_viewed': ['B1']}}"#, |record| {
//!     assert_eq!(record.record_type(), Some(RecordType { kind: Kind::Product, generation: Generation::Y2014 }));
//!     assert_eq!(record.title.first(), Some("Tea's best"));
//!     assert_eq!(record.associations[0].relation.as_str(), "substitute");
//! })?;
//!
//! // A product of 2018.
//! parse(br#"{"asin": "B0", "title": "Tea", "category": ["Grocery"], "also_buy": ["B1"]}"#, |record| {
//!     assert_eq!(record.record_type().unwrap().generation, Generation::Y2018);
//!     assert_eq!(record.categories().collect::<Vec<_>>(), ["Grocery"]);
//!     assert_eq!(record.associations[0].relation.as_str(), "complement");
//! })?;
//!
//! // A review of 2023.
//! parse(br#"{"parent_asin": "B0", "user_id": "A1", "title": "Good", "text": "Tea.", "rating": 5}"#, |record| {
//!     assert_eq!(record.record_type().unwrap().to_string(), "2023 reviews");
//!     assert_eq!(record.review_pieces().collect::<Vec<_>>(), ["Good", "Tea."]);
//!     assert_eq!(record.rating(), Some(5.0));
//! })?;
//! # Ok::<(), ebert_dumps::MalformedRecord>(())
//! ```
//!
//! # Example: a product that was in a CSV
//!
//! ```
//! use ebert_dumps::{UnreadReason, parse};
//!
//! let line = br#"{"asin": 31852, "title": "Gym ring", "brand": "nan", "category": "['Sports', 'Rings']",
//!     "also_buy": "['B000000001', 'B00", "details": "{'Material': 'Oak', 'UPC': '787461648490'}"}"#;
//! parse(line, |record| {
//!     assert_eq!(record.product_id(), Some("0000031852"));
//!     assert_eq!(record.brand(), None);
//!     assert_eq!(record.categories().collect::<Vec<_>>(), ["Sports", "Rings"]);
//!     assert_eq!(record.detail_texts().collect::<Vec<_>>(), [("Material", "Oak")]);
//!     assert_eq!((record.unread[0].field, record.unread[0].reason), ("also_buy", UnreadReason::MalformedList));
//! })?;
//! # Ok::<(), ebert_dumps::MalformedRecord>(())
//! ```
//!
//! # Example: a table with other fields
//!
//! ```
//! use std::{path::Path, sync::Arc};
//!
//! use ebert_dumps::{Fields, Given, Mapping, ProductFields, Source, find_all};
//!
//! # let folder = tempfile::tempdir()?;
//! # std::fs::write(folder.path().join("shop.csv"), "sku,name,shelf\n7,Tea,Food > Drinks\n")?;
//! let fields: ProductFields =
//!     toml::from_str("id = \"sku\"\ntitle = \"name\"\ncategories = { field = \"shelf\", split = \" > \" }")?;
//! let mapping = Arc::new(Mapping { name: String::new(), fields: Fields::Products(fields) });
//! let given = Some(Given { mapping, delimiter: None, header: true });
//! let files = find_all(&[Source { path: folder.path().join("*.csv"), address: None, given }], Path::new("output"))?;
//! let file = &files.recognised[0];
//! let batch = file.records(Arc::default())?.next_batch(1 << 20).unwrap();
//! for line in batch.iter() {
//!     file.parse(line.bytes, |record| {
//!         assert_eq!((record.product_id(), record.title.first()), (Some("7"), Some("Tea")));
//!         assert_eq!(record.categories().collect::<Vec<_>>(), ["Food", "Drinks"]);
//!     })?;
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Example: clean text
//!
//! ```
//! use ebert_dumps::clean::clean;
//!
//! let mut text = String::new();
//! clean("<b>Salt</b> &amp;amp; pepper<br>See [[ASIN:B000UJGRLW this mill]] &lt;3", &mut text);
//! assert_eq!(text, "Salt & pepper\nSee this mill <3");
//! ```
//!
//! # Example: a document without boilerplate
//!
//! ```
//! use ebert_dumps::{DocumentBuilder, Rule, parse};
//!
//! let mut builder = DocumentBuilder::default();
//! let line = br#"{"asin": "B0", "title": "Skirt", "category": ["Women", "100% Cotton"],
//!     "feature": ["100% Cotton", ".a-section {margin:0}"], "brand": "Visit Amazon's Orla Vendrik Page"}"#;
//! parse(line, |record| {
//!     let product = builder.product(record);
//!     assert_eq!(product.text, "Skirt\n100% Cotton");
//!     assert_eq!(product.categories().collect::<Vec<_>>(), ["Women"]);
//!     assert_eq!(product.brand, Some("Orla Vendrik"));
//!     assert_eq!(product.removed.of(Rule::FeaturesInCategories).pieces, 1);
//! })?;
//!
//! let line = br#"{"asin": "B0", "overall": 5.0, "summary": "Five Stars", "reviewText": "It fits."}"#;
//! parse(line, |record| assert_eq!(builder.review(record).text, "It fits."))?;
//! # Ok::<(), ebert_dumps::MalformedRecord>(())
//! ```
//!
//! # Guarantees
//!
//! * **Bounded memory.** No file is read whole. A line longer than [`MAX_LINE`] (16 MiB) is
//!   reported by its number and never held in memory.
//! * **Damage loses nothing before it.** A corrupt or incomplete file gives all complete lines
//!   before the damage, then [`Damage`]. The same bytes give the same lines, for every size of
//!   batch.
//! * **Linear time.** Parsing and cleaning take time linear in the length of the text, whatever it
//!   holds. No input panics.
//! * **Different names stay different.** A [`RelativePath`] escapes bytes that are not UTF-8 and
//!   control characters.
#![warn(missing_docs)]
#![forbid(unsafe_code)]

/// Raised whenever a raw file gives other records, or a text is cleaned differently.
pub const RULES: u32 = 7;

mod archive;
mod boilerplate;
pub mod clean;
mod document;
mod find;
mod layout;
mod lines;
mod mapping;
mod open;
pub mod python;
mod ranges;
mod record;

pub use boilerplate::{Removals, Removed, Rule};
pub use document::{DocumentBuilder, ProductDocument, ReviewDocument};
pub use find::{
    DumpFile, Encoding, FindError, Format, Given, NotText, Rating, RatingTable, RawFiles, RelativePath, SkipReason,
    Skipped, Source, find, find_all,
};
pub use layout::{BlockNames, Delimited, Layout};
pub use lines::{BYTE_ORDER_MARK, Damage, Line, LineBatch, LineReader, MAX_LINE, RecordReader};
pub use mapping::{FieldNames, Fields, Mapping, ProductFields, ReviewFields};
pub use open::{Compression, OpenFile, open};
pub use record::{
    Association, Generation, Kind, MalformedRecord, Record, RecordType, Strings, UnreadReason, UnreadValue, parse,
};

/// The id of a product without white space, invisible characters and quotes around it, as [`parse`] reads ids.
pub fn bare_product_id(id: &str) -> &str {
    record::bare_product_id(id)
}
