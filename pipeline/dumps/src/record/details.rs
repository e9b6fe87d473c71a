//! The value of `details`: attributes of a product by name.
//!
//! The 2018 dump holds a map. The 2023 dump holds a map as JSON in a string. Its values are
//! strings, a list in a few fields, and a map of sales ranks by category.
use std::borrow::Cow;

use super::{
    ids::malformed,
    texts::{Strings, TextShape, named_entry, strings},
    unread::{Unread, UnreadReason},
    values::{Bracket, MAX_LAYERS, Value, is_missing},
};

/// Attributes of a product: the keys, and the strings of each.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Details<'a> {
    pub(super) keys: Vec<Cow<'a, str>>,
    /// As many as `keys`.
    pub(super) values: Vec<Strings<'a>>,
}

/// Fields of an attribute that has its name and its value apart.
pub(crate) const ATTRIBUTE_NAMES: [&str; 4] = ["key", "name", "label", "attribute"];
pub(crate) const ATTRIBUTE_VALUES: [&str; 4] = ["value", "values", "options", "value_name"];

impl<'a> Details<'a> {
    pub(super) fn from_value(value: Value<'a>, unread: &mut Unread<'_>) -> Self {
        let mut details = Self::default();
        // Of its values alone, a map that is not typed may have the name of a type: a size.
        let value = if value.is_typed_map() { value.without_type() } else { value };
        details.add(value, unread, MAX_LAYERS);
        details
    }

    fn add(&mut self, value: Value<'a>, unread: &mut Unread<'_>, layers: u8) {
        match value {
            Value::Null => {}
            Value::Map(entries) => entries.into_iter().for_each(|(key, value)| self.push(key, value, unread)),
            Value::List(items) => items.into_iter().for_each(|item| self.add_item(item, unread)),
            Value::Text(text) if text.trim().is_empty() || is_missing(&text) => {}
            Value::Text(text) => match (Bracket::at_start_of(&text), Value::parse_literal(&text)) {
                (_, Some(value)) if layers > 0 => self.add(value, unread, layers - 1),
                (None | Some(Bracket::Call), _) => {
                    text.split([';', '\n']).map(str::trim).filter(|item| !item.is_empty()).for_each(|item| {
                        self.add_item(Value::Text(item.to_owned().into()), unread);
                    })
                }
                (bracket, _) => unread.add(malformed(bracket).unwrap_or(UnreadReason::Text)),
            },
            Value::Bool(_) => unread.add(UnreadReason::Boolean),
            Value::Integer(_) | Value::Float(_) | Value::Date(_) => unread.add(UnreadReason::Number),
        }
    }

    /// Adds `{"name": "Color", "value": "Red"}`, `{"Color": "Red"}` or `["Color", "Red"]`.
    fn add_item(&mut self, item: Value<'a>, unread: &mut Unread<'_>) {
        match item {
            Value::Null => {}
            Value::Map(mut entries) => {
                let position =
                    |names: &[&str]| names.iter().find_map(|name| entries.iter().position(|(key, _)| key == name));
                match (position(&ATTRIBUTE_NAMES), position(&ATTRIBUTE_VALUES)) {
                    (Some(key_at), Some(value_at)) => {
                        let value = std::mem::replace(&mut entries[value_at].1, Value::Null);
                        match entries.swap_remove(key_at).1 {
                            Value::Text(key) => self.push(key, value, unread),
                            _ => unread.add(UnreadReason::Map),
                        }
                    }
                    _ => entries.into_iter().for_each(|(key, value)| self.push(key, value, unread)),
                }
            }
            Value::List(items) => match <[Value<'_>; 2]>::try_from(items) {
                Ok([Value::Text(key), value]) => self.push(key, value, unread),
                _ => unread.add(UnreadReason::List),
            },
            // `Color: Red`.
            Value::Text(text) => match text.split_once(": ") {
                Some((key, value)) => {
                    let (key, value) = (key.trim().to_owned().into(), value.trim().to_owned().into());
                    self.push(key, Value::Text(value), unread);
                }
                None => unread.add(UnreadReason::Text),
            },
            Value::Bool(_) => unread.add(UnreadReason::Boolean),
            Value::Integer(_) | Value::Float(_) | Value::Date(_) => unread.add(UnreadReason::Number),
        }
    }

    fn push(&mut self, key: Cow<'a, str>, value: Value<'a>, unread: &mut Unread<'_>) {
        self.keys.push(key);
        self.values.push(strings_of(value, unread));
    }
}

/// The values that belong in the text of the product. Values of keys that name ids, dates or ranks
/// are left out. So are ids, dates and ranks among the rest.
pub(super) fn texts<'r>(
    details: impl Iterator<Item = (&'r str, &'r Strings<'r>)>,
) -> impl Iterator<Item = (&'r str, &'r str)> {
    details.flat_map(|(key, values)| {
        let names = Names::of(key);
        let of_key = values.iter().filter(move |value| match names {
            Names::Text => true,
            // `Rank: Colonel` and `ID Card Holder: Leather` are text.
            Names::IdOrDatePerhaps => !value.contains(|c: char| c.is_ascii_digit()),
            Names::IdOrDate => false,
        });
        of_key.filter_map(text_of).map(move |text| (key, text))
    })
}

/// The strings of one value. Booleans are left out: they say nothing without their key.
fn strings_of<'a>(value: Value<'a>, unread: &mut Unread<'_>) -> Strings<'a> {
    match value {
        Value::Bool(_) => Strings::default(),
        Value::Map(entries) if named_entry(&entries).is_none() => {
            let kept = entries.into_iter().filter(|(key, _)| Names::of(key) == Names::Text);
            Strings(kept.flat_map(|(_, value)| strings_of(value, unread).0).collect())
        }
        value => strings(value, TextShape::Many, unread),
    }
}

/// What a key names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    Text,
    /// An id, a date or a sales rank.
    IdOrDate,
    /// The same, if the value has a digit.
    IdOrDatePerhaps,
}

/// Words of keys whose values are ids.
const IDS: [&str; 16] = [
    "asin",
    "asins",
    "isbn",
    "upc",
    "ean",
    "gtin",
    "mpn",
    "sku",
    "unspsc",
    "barcode",
    "identifier",
    "identifiers",
    "udi",
    "ndc",
    "issn",
    "isrc",
];

/// Words of keys whose values are ids, dates or sales ranks (which name categories), if they have a digit.
const PERHAPS: [&str; 15] = [
    "id",
    "ids",
    "oem",
    "jan",
    "date",
    "dates",
    "released",
    // Of a model.
    "year",
    "rank",
    "ranks",
    "ranking",
    "rankings",
    "salesrank",
    "rang",
    "available",
];

impl Names {
    fn of(key: &str) -> Self {
        let is_in = |word: &str, known: &[&str]| known.iter().any(|known| word.eq_ignore_ascii_case(known));
        let is_isbn = |word: &str| word.len() >= 4 && word.as_bytes()[..4].eq_ignore_ascii_case(b"isbn");
        let (mut count, mut last, mut perhaps) = (0, "", false);
        for word in key.split(|c: char| !c.is_alphanumeric() && c != '#').filter(|word| !word.is_empty()) {
            let sells = count == 0 && is_in(word, &["bestsellers", "bestseller"]);
            if sells || is_isbn(word) || is_in(word, &IDS) {
                return Self::IdOrDate;
            }
            perhaps |= is_in(word, &PERHAPS);
            (count, last) = (count + 1, word);
        }
        // `Item model number` and `Part No.`, but not `Number of Pieces`.
        if count > 1 && is_in(last, &["number", "numbers", "no", "nr", "#"]) {
            Self::IdOrDate
        } else if perhaps {
            Self::IdOrDatePerhaps
        } else {
            Self::Text
        }
    }
}

/// The text of a value, without a date in parentheses at its end, as in `Quay; 2nd edition (January
/// 4, 2017)`. An id, a date or a sales rank has none.
fn text_of(value: &str) -> Option<&str> {
    let text = without_date(value.trim());
    (!text.is_empty() && !is_id(text) && !is_rank(text)).then_some(text)
}

/// A text without its date. The date is all of the text, or its end: in parentheses, or after a dash
/// or a comma, as in `Paperback – Large Print, August 25, 2020`.
pub(super) fn without_date(text: &str) -> &str {
    let trimmed = text.trim();
    if is_date(trimmed) {
        return "";
    }
    if let Some((before, inside)) = trimmed.strip_suffix(')').and_then(|text| text.rsplit_once('('))
        && is_date(inside)
    {
        return before.trim_end();
    }
    // A date has at most two spaces and one comma.
    let dash_or_comma = |c| matches!(c, ',' | '–' | '—' | '-');
    for (at, mark) in trimmed.rmatch_indices(dash_or_comma).take(3) {
        if is_date(&trimmed[at + mark.len()..]) && (mark == "," || trimmed[..at].ends_with(' ')) {
            return trimmed[..at].trim_end_matches(|c: char| c.is_whitespace() || dash_or_comma(c));
        }
    }
    text
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// Whether a text is a date: `January 4, 2017`, `4 Jan. 2017`, `January 2017`, `2017-01-04`,
/// `1/4/2017`. A year alone is a number.
fn is_date(text: &str) -> bool {
    let text = text.trim();
    if text.len() > 30 || !text.ends_with(|c: char| c.is_ascii_digit()) && !text.ends_with('.') {
        return super::dates::milliseconds_of_date(text).is_some();
    }
    let is_digits = |word: &str, lens: std::ops::RangeInclusive<usize>| {
        lens.contains(&word.len()) && word.bytes().all(|b| b.is_ascii_digit())
    };
    let mut words = [""; 4];
    let mut count = 0;
    for word in text.split([' ', ',', '.', '/', '-']).filter(|word| !word.is_empty()) {
        if count == words.len() {
            return super::dates::milliseconds_of_date(text).is_some();
        }
        words[count] = word;
        count += 1;
    }
    let is_month = |word: &str| {
        (3..=9).contains(&word.len())
            && word.bytes().all(|b| b.is_ascii_alphabetic())
            && MONTHS.iter().any(|month| word.as_bytes()[..3].eq_ignore_ascii_case(month.as_bytes()))
    };
    match &words[..count] {
        [a, b, c] if is_digits(c, 4..=4) => {
            is_month(a) && is_digits(b, 1..=2)
                || is_month(b) && is_digits(a, 1..=2)
                || is_digits(a, 1..=2) && is_digits(b, 1..=2) && text.contains(['/', '-', '.'])
        }
        [a, b, c] if is_digits(a, 4..=4) => is_digits(b, 1..=2) && is_digits(c, 1..=2),
        [a, b] => is_month(a) && is_digits(b, 4..=4),
        _ => super::dates::milliseconds_of_date(text).is_some(),
    }
}

/// Whether a text is an id: an ASIN, or digits such as those of an ISBN or UPC, with hyphens.
fn is_id(text: &str) -> bool {
    let is_asin = |word: &str| {
        word.len() == 10 && word.starts_with("B0") && word.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
    };
    let is_code = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        // The last digit of an ISBN-10 may be an X.
        let word = word.strip_suffix(['X', 'x']).unwrap_or(word);
        let of_isbn = digits + usize::from(word.len() < text.len()) >= 10;
        of_isbn && word.bytes().all(|b| b.is_ascii_digit() || b == b'-')
    };
    text.split([' ', ',']).filter(|word| !word.is_empty()).all(|word| is_asin(word) || is_code(word))
}

/// Whether a text is a sales rank: `#1,786 in Gift Cards (See Top 100)`. `#4 in the series` is none.
fn is_rank(text: &str) -> bool {
    let (text, marked) = match text.strip_prefix('#') {
        Some(text) => (text, true),
        None => (text, false),
    };
    let rest = text.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ',' | '.'));
    let has_number = rest.len() < text.len();
    let Some(category) = rest.strip_prefix(" in ").filter(|_| has_number) else { return false };
    marked && !category.starts_with(char::is_lowercase) || rest.ends_with('(') || rest.contains("See Top")
}
