//! Tables in text: rows of values between delimiters.
use super::fields;

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

impl Table {
    /// The table in whole lines of text.
    pub(super) fn of(lines: &[&str]) -> Option<Self> {
        ["\t", "::", ",", ";", "|"].into_iter().find_map(|delimiter| Self::with(delimiter, lines))
    }

    fn with(delimiter: &'static str, lines: &[&str]) -> Option<Self> {
        let rows: Vec<Vec<String>> = lines.iter().take(ROWS).map(|line| cells(line, delimiter)).collect();
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
        // Prose has commas, too.
        let is_prose = || lines.iter().take(ROWS).any(|line| line.contains(", "));
        let is_clear = has_header
            || delimiter == "\t"
            || delimiter == "::"
            || is_ratings(&rows)
            || rest.len() >= 3 && !(delimiter == "," && is_prose());
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

/// The values of a line. A delimiter between double quotes is part of a value.
pub(super) fn cells(line: &str, delimiter: &str) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut rest = line.trim_end_matches(['\r', '\n']);
    while let Some(c) = rest.chars().next() {
        let last = cells.last_mut().expect("there is always one");
        if c == '"' && (quoted || last.is_empty()) {
            quoted = !quoted;
        } else if !quoted && rest.starts_with(delimiter) {
            if cells.len() > *COLUMNS.end() {
                break;
            }
            cells.push(String::new());
            rest = &rest[delimiter.len()..];
            continue;
        } else {
            last.push(c);
        }
        rest = &rest[c.len_utf8()..];
    }
    cells.iter().map(|cell| cell.trim().to_owned()).collect()
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
            ("0.97\tabraham lincoln\n0.96\tcracker barrel", Some(("\t", 0, Holds::Phrases))),
            ("Hello, world.\nThis is a text, as people write it, with commas.", None),
            ("hello", None),
            ("", None),
        ] {
            assert_eq!(holds(text), wanted, "{text}");
        }
    }
}
