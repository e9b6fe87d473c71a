//! Tables in text: rows of values between delimiters.
use super::{super::layout::values_of_row, fields};

/// Rows that are looked at.
const ROWS: usize = 20;

/// The least and the most columns that a table has. Exports of shops have one for each attribute.
const COLUMNS: std::ops::RangeInclusive<usize> = 2..=10_000;

/// A table, as its first rows tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// What stands between values.
    pub(super) delimiter: &'static str,
    /// The names in the first row; empty if it has values.
    pub(super) columns: Vec<String>,
    /// What the columns hold.
    pub(super) holds: Holds,
}

/// What a table holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holds {
    /// Who rated what, without a text.
    Ratings,
    /// A number from 0 to 1 and a phrase.
    Phrases,
    Other,
}

/// What stands between values, the likeliest first. Hive writes Ctrl-A.
const DELIMITERS: [&str; 6] = ["\t", "::", ",", ";", "|", "\u{1}"];

impl Table {
    /// The table in whole lines of text.
    pub(super) fn of(lines: &[&str]) -> Option<Self> {
        let by_lines = DELIMITERS.into_iter().find_map(|delimiter| {
            Self::with(delimiter, lines.iter().take(ROWS).map(|line| values(line, delimiter)).collect())
        });
        // A value between quotes may hold line breaks.
        by_lines.or_else(|| DELIMITERS.into_iter().find_map(|delimiter| Self::with(delimiter, rows(lines, delimiter))))
    }

    fn with(delimiter: &'static str, rows: Vec<Vec<String>>) -> Option<Self> {
        // Prose has commas, too, with a space behind each.
        let is_prose = rows.iter().any(|row| row.iter().skip(1).any(|value| value.starts_with(' ')));
        let rows: Vec<Vec<String>> = rows.into_iter().map(trimmed).collect();
        let (first, rest) = rows.split_first()?;
        if !COLUMNS.contains(&first.len()) {
            return None;
        }
        let alike = rest.iter().filter(|row| row.len() == first.len()).count();
        // Pandas writes the numbers of rows in a column without a name.
        // Many languages write a decimal comma.
        let is_number = |cell: &String| cell.parse::<f64>().is_ok() || cell.replace(',', ".").parse::<f64>().is_ok();
        let is_header = first.iter().enumerate().all(|(column, cell)| is_name(cell) || column == 0 && cell.is_empty());
        let known = first.iter().filter(|cell| is_name(cell) && fields::is_known(cell)).count();
        let has_header =
            (is_header || known >= 2) && (known > 0 || rest.first().is_some_and(|row| row.iter().any(is_number)));
        // A value may hold a line break, so rows below a header that is known may look broken.
        let is_table = has_header && known >= 2 || alike == rest.len() && (!rest.is_empty() || is_ratings(&rows));
        let is_clear = has_header
            || matches!(delimiter, "\t" | "::" | "\u{1}")
            || is_ratings(&rows)
            || rest.len() >= 3 && !(delimiter == "," && is_prose);
        if !is_table || !is_clear {
            return None;
        }
        let columns = if has_header { first.clone() } else { Vec::new() };
        let has_ratings = columns.iter().any(|name| fields::is_rating(name))
            && fields::renamed(&columns).is_empty()
            && !rest.iter().flatten().any(|cell| is_sentence(cell));
        let holds = if has_ratings || !has_header && is_ratings(&rows) {
            Holds::Ratings
        } else if !has_header && is_phrases(&rows) {
            Holds::Phrases
        } else {
            Holds::Other
        };
        Some(Self { delimiter, columns, holds })
    }
}

/// User, product, stars, and perhaps a time in seconds or milliseconds.
fn is_ratings(rows: &[Vec<String>]) -> bool {
    const LEAST_TIME: u64 = 100_000_000;
    rows.iter().all(|row| match row.as_slice() {
        [user, product, stars, time @ ..] => {
            time.len() < 2
                && ![user, product].iter().any(|id| id.is_empty() || id.contains(' '))
                && stars.parse().is_ok_and(|stars: f32| (0.0..=10.0).contains(&stars))
                && time.iter().all(|time| time.parse().is_ok_and(|time: u64| time >= LEAST_TIME))
        }
        _ => false,
    })
}

/// Whether a value is text, and not an id, a name or a date.
fn is_sentence(cell: &str) -> bool {
    const WORDS: usize = 5;
    cell.split_whitespace().filter(|word| word.contains(char::is_alphabetic)).count() >= WORDS
}

fn is_phrases(rows: &[Vec<String>]) -> bool {
    let is_score = |text: &str| text.parse().is_ok_and(|score: f64| (0.0..=1.0).contains(&score));
    rows.iter().all(|row| row.len() == 2 && is_score(&row[0]) && !is_score(&row[1]))
}

/// Whether a cell of the first row may be the name of a column.
fn is_name(cell: &str) -> bool {
    const LONGEST: usize = 40;
    let plain = |c: char| c.is_alphanumeric() || " _-./:#()".contains(c);
    (1..=LONGEST).contains(&cell.len()) && cell.parse::<f64>().is_err() && cell.chars().all(plain)
}

/// The values of a row, without white space at their ends. A delimiter between double quotes is part of a value.
pub(super) fn cells(row: &str, delimiter: &str) -> Vec<String> {
    trimmed(values(row, delimiter))
}

fn trimmed(values: Vec<String>) -> Vec<String> {
    values.iter().map(|value| value.trim().to_owned()).collect()
}

/// The values of a line. A quote that is not closed is part of a value.
fn values(line: &str, delimiter: &str) -> Vec<String> {
    let line = line.trim_end_matches(['\r', '\n']);
    whole(line, delimiter).unwrap_or_else(|| line.split(delimiter).take(COLUMNS.end() + 1).map(str::to_owned).collect())
}

/// The values of a row. `None` if a quote is open at its end.
fn whole(row: &str, delimiter: &str) -> Option<Vec<String>> {
    match *delimiter.as_bytes() {
        [delimiter] => values_of_row(row, delimiter),
        _ => Some(row.split(delimiter).map(str::to_owned).collect()),
    }
}

/// The values of the first rows, which may have several lines each. The last row may be cut off, and is then left out.
fn rows(lines: &[&str], delimiter: &str) -> Vec<Vec<String>> {
    /// The longest row. It bounds the time.
    const LINES: usize = 100;
    let (mut all, mut rest) = (Vec::new(), lines);
    while !rest.is_empty() && all.len() < ROWS {
        let row = |count: usize| Some((whole(&rest[..count].join("\n"), delimiter)?, count));
        let Some((row, count)) = (1..=rest.len().min(LINES)).find_map(row) else { break };
        all.push(row);
        rest = &rest[count..];
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_told_from_prose() {
        let holds = |text: &str| {
            Table::of(&text.lines().collect::<Vec<_>>())
                .map(|table| (table.delimiter, table.columns.len(), table.holds))
        };
        for (text, wanted) in [
            ("u1,P1,5.0,1400000000\nu2,P2,3.0,1400000001", Some((",", 0, Holds::Ratings))),
            ("A1,B1,4", Some((",", 0, Holds::Ratings))),
            ("1::1193::5::978300760\n1::661::3::978302109", Some(("::", 0, Holds::Ratings))),
            ("196\t242\t3\t881250949\n186\t302\t3\t891717742", Some(("\t", 0, Holds::Ratings))),
            ("userId,movieId,rating,timestamp\n1,1,4.0,964982703", Some((",", 4, Holds::Ratings))),
            ("user_id,parent_asin,rating,timestamp", Some((",", 4, Holds::Ratings))),
            ("movieId,title,genres\n1,\"Toy, a story\",Comedy", Some((",", 3, Holds::Other))),
            ("asin;title;price\nB0;\"Tea\";3", Some((";", 3, Holds::Other))),
            ("sku|name\n1|Tea\n2|Salt", Some(("|", 2, Holds::Other))),
            (",asin,title\n0,B0,Tea\n1,B1,Salt", Some((",", 3, Holds::Other))),
            ("asin,title,price ($),%\nB0,Tea,3,4", Some((",", 4, Holds::Other))),
            ("product_id\treview_body\tstar_rating\nB0\tIt's \"fine\" \t4", Some(("\t", 3, Holds::Other))),
            ("Nummer;Name;Preis\nA1;Kiste;12,50\nA2;Kessel;9,99", Some((";", 3, Holds::Other))),
            // Values with doubled quotes, delimiters and line breaks.
            (
                "asin,titre\nB0,\"Boite \"\"0\"\", grande\"\nB1,\"Boite \"\"1\"\", grande\"",
                Some((",", 2, Holds::Other)),
            ),
            ("id,json\n1,\"{\"\"a\"\":1,\"\"b\"\":2}\"\n2,\"{\"\"a\"\":3,\"\"b\"\":4}\"", Some((",", 2, Holds::Other))),
            (
                "Nummer;Bezeichnung;Gewicht\nA1;\"Kiste,\nsehr \"\"fein\"\"; leicht\";1,5\nA2;\"Kiste;\n\nfein\";2",
                Some((";", 3, Holds::Other)),
            ),
            ("nom,poids\n\"Boite \\\"0\\\" grande, bleue\",3\nBol,4", Some((",", 2, Holds::Other))),
            (
                "\"1\",\"Good, or not\",\"A box, \"\"oak\"\"\"\n\"2\",\"Bad\",\"It is thin, I think.\"\n\
                 \"2\",\"Fine\",\"A lid, a box\"\n\"1\",\"No\",\"Too small, and thin\"",
                Some((",", 0, Holds::Other)),
            ),
            ("asin\u{1}title\nB0\u{1}Tea\nB1\u{1}Salt", Some(("\u{1}", 2, Holds::Other))),
            ("0.97\tabraham lincoln\n0.96\tcracker barrel", Some(("\t", 0, Holds::Phrases))),
            ("Hello, world.\nThis is a text, as people write it, with commas.", None),
            (
                "\"Well,\" she said, \"it is late.\"\n\"No,\" he said, \"it is not.\"\nThey left, slowly.\nAll, then.",
                None,
            ),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(holds(text), wanted, "{text}");
        }
    }
}
