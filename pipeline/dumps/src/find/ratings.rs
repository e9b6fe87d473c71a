//! Files of ratings: who rated which product when, without a text.
use super::{
    super::record::{bare_product_id, is_no_id, is_nobody, seconds_of_cell, whole_number},
    fields,
    table::{Holds, Table, cells},
};

/// Where the columns of a table of ratings are: user, product, stars, time, or product before user.
///
/// Such tables exist for every dump. Those of 2014 begin with the user, those of 2018 with the product, and those of
/// 2023 name their columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RatingTable {
    delimiter: &'static str,
    /// Whether the first line has the names of columns.
    has_header: bool,
    reviewer: usize,
    product: usize,
    time: Option<usize>,
    /// Whether products are named by `parent_asin`.
    names_parents: bool,
}

/// A row of a table of ratings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rating {
    /// Who rated. `None` if nobody is known: `NA`, `anonymous`.
    pub reviewer: Option<String>,
    /// What was rated. `None` for `NA`.
    pub product_id: Option<String>,
    /// When, in seconds since 1970.
    pub seconds: Option<i64>,
}

impl RatingTable {
    /// The table with these first lines. `None` if they are not ratings of products.
    pub(super) fn of(lines: &[&str]) -> Option<Self> {
        let Table { delimiter, columns, holds: Holds::Ratings } = Table::of(lines)? else { return None };
        let unnamed =
            Self { delimiter, has_header: false, reviewer: 0, product: 1, time: Some(3), names_parents: false };
        if columns.is_empty() {
            let rows: Vec<Vec<String>> = lines.iter().map(|line| cells(line, delimiter)).collect();
            let ids = |column: usize| rows.iter().filter(|row| row.get(column).is_some_and(|id| is_asin(id))).count();
            let first_is_product = ids(0) > ids(1);
            let (product, reviewer) = if first_is_product { (0, 1) } else { (1, 0) };
            return Some(Self { reviewer, product, ..unnamed });
        }
        let position = |wanted: &str| columns.iter().position(|name| name == wanted);
        let named = |name: Option<&str>| name.and_then(position);
        let parent = position("parent_asin");
        let product = parent.or_else(|| named(fields::product_id(&columns)))?;
        let reviewer = named(fields::reviewer(&columns)).filter(|&reviewer| reviewer != product)?;
        let time = named(fields::time(&columns));
        Some(Self { has_header: true, reviewer, product, time, names_parents: parent.is_some(), ..unnamed })
    }

    /// Whether a line has the names of columns.
    pub fn is_header(&self, line_number: u64) -> bool {
        self.has_header && line_number == 1
    }

    /// Whether the ids may be those of variants.
    pub fn may_be_variants(&self) -> bool {
        !self.names_parents
    }

    /// Reads a line. `None` if it has no such row.
    ///
    /// ```
    /// # let folder = tempfile::tempdir()?;
    /// # std::fs::write(folder.path().join("meta.json"), "{\"asin\": \"B000000001\", \"title\": \"Tea\"}")?;
    /// # std::fs::write(folder.path().join("ratings.csv"), "B000000001,A1,5.0,1472688000")?;
    /// let files = ebert_dumps::find(folder.path(), std::path::Path::new("output"))?;
    /// let table = files.recognised[1].ratings.as_ref().unwrap();
    /// let rating = table.parse(b"B000000001,A2,4.0,1472688001").unwrap();
    /// assert_eq!((rating.product_id.as_deref(), rating.reviewer.as_deref()), (Some("B000000001"), Some("A2")));
    /// assert_eq!(rating.seconds, Some(1_472_688_001));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn parse(&self, line: &[u8]) -> Option<Rating> {
        let mut cells = cells(std::str::from_utf8(line).ok()?, self.delimiter);
        let seconds = self.time.and_then(|time| seconds_of_cell(cells.get(time)?));
        let mut take = |column: usize| cells.get_mut(column).map(std::mem::take).filter(|id| !id.is_empty());
        let (reviewer, product_id) = (take(self.reviewer)?, take(self.product)?);
        let product_id = whole_number(bare_product_id(&product_id));
        Some(Rating {
            reviewer: Some(reviewer).filter(|reviewer| !is_nobody(reviewer)),
            product_id: Some(product_id).filter(|id| !is_no_id(id)).map(str::to_owned),
            seconds,
        })
    }
}

/// Ten capital letters and digits. Ids of users are longer.
fn is_asin(id: &str) -> bool {
    id.len() == 10 && id.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_found_in_each_order() {
        for (text, wanted) in [
            ("A1XYZ12345678,B000000001,5.0,1472688000", Some(("A1XYZ12345678", "B000000001", Some(1_472_688_000)))),
            ("B000000001,A1XYZ12345678,5.0,1472688000", Some(("A1XYZ12345678", "B000000001", Some(1_472_688_000)))),
            ("user_id,parent_asin,rating,timestamp\nU1,P1,5,1588687728923", Some(("U1", "P1", Some(1_588_687_728)))),
            ("asin,reviewerID,overall\nP1,U1,4", Some(("U1", "P1", None))),
            ("asin,reviewerID,overall\n31852.0,U1,4", Some(("U1", "31852", None))),
            ("item_id,user_id,rating\n31852,U1,4", Some(("U1", "31852", None))),
            ("u1\tp1\t5", Some(("u1", "p1", None))),
            ("id,user_id,product_id,rating,created_at\n1,U1,P1,4,1472688000", Some(("U1", "P1", Some(1_472_688_000)))),
            ("user_id,product_id,customer_opinion,rating\nU1,P1,It fits my old kettle well,4", None),
            ("asin,title,rating\nP1,Tea,4", None),
            (
                "user_id,product_id,rating,timestamp\nU1,P1,5,2019-03-01 10:00:00",
                Some(("U1", "P1", Some(1_551_434_400))),
            ),
            ("user_id,product_id,rating,timestamp\nU1,P1,5,20190301", Some(("U1", "P1", Some(1_551_398_400)))),
            ("user_id,product_id,rating,timestamp\nU1,P1,5,17", Some(("U1", "P1", None))),
            ("hello", None),
        ] {
            let lines: Vec<&str> = text.lines().collect();
            let table = RatingTable::of(&lines);
            let found = table.as_ref().and_then(|table| table.parse(lines[lines.len() - 1].as_bytes()));
            let ids = |r: &Rating| Some((r.reviewer.clone()?, r.product_id.clone()?));
            let found = found.as_ref().and_then(|r| Some((ids(r)?, r.seconds)));
            let wanted = wanted.map(|(user, product, time)| ((user.to_owned(), product.to_owned()), time));
            assert_eq!(found, wanted, "{text}");
            let is_header = table.is_some_and(|table| table.is_header(1));
            assert_eq!(is_header, wanted.is_some() && lines.len() > 1, "{text}");
        }
    }

    #[test]
    fn rows_that_lack_an_id_are_not_read() {
        let table = RatingTable::of(&["u1,p1,5,1472688000", "u2,p2,4,1472688000"]).unwrap();
        assert_eq!([&b"u1"[..], b",p1,5", b"u1,,5", b"\xff,p1,5"].map(|line| table.parse(line)), [const { None }; 4]);
        assert!(table.may_be_variants());
        // Ratings of nobody known, and of no product.
        let ids = |line: &[u8]| table.parse(line).map(|rating| (rating.reviewer, rating.product_id));
        let p1 = Some("p1".to_owned());
        for line in [&b"NA,p1,5,1"[..], b"unknown,p1,5,1", b"Anonymous,'p1,5,1"] {
            assert_eq!(ids(line), Some((None, p1.clone())));
        }
        assert_eq!(ids(b"u1,NA,5,1"), Some((Some("u1".to_owned()), None)));
    }
}
