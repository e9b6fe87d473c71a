//! The stars of a review, from numbers and from words.
use super::{
    unread::{Unread, UnreadReason},
    values::Value,
};

/// What stands behind the number of stars, in the languages of the shop's sites.
const OF_FIVE: [&str; 9] = [
    "out of 5 stars",
    "von 5 Sternen",
    "sur 5 étoiles",
    "de 5 estrellas",
    "su 5 stelle",
    "de 5 estrelas",
    "van 5 sterren",
    "av 5 stjärnor",
    "z 5 gwiazdek",
];

/// The number at the start of a text such as `4,0 von 5 Sternen Guter Kessel`, and the text behind the stars.
pub(crate) fn of_five(text: &str) -> Option<(&str, &str)> {
    let (number, rest) = text.split_once(' ')?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','));
    let rest = OF_FIVE.iter().find_map(|words| rest.strip_prefix(words))?;
    (is_number && (rest.is_empty() || rest.starts_with(char::is_whitespace))).then_some((number, rest))
}

/// The stars of a review. A number that is not finite is missing.
pub(super) fn rating(value: Value<'_>, unread: &mut Unread<'_>) -> Option<f32> {
    let finite = |number: f32| number.is_finite().then_some(number);
    let reason = match value {
        Value::Integer(number) => return finite(number as f32),
        Value::Float(number) => return finite(number as f32),
        // R writes `NA`.
        Value::Text(text) if matches!(text.trim(), "" | "NA") => return None,
        Value::Text(text) => match (number(text.trim()), Value::parse_literal(&text)) {
            (Some(number), _) => return finite(number),
            (None, Some(inner)) => return rating(inner, unread),
            (None, None) => UnreadReason::Text,
        },
        Value::Null => return None,
        Value::List(items) => return items.into_iter().find_map(|item| rating(item, unread)),
        Value::Bool(_) => UnreadReason::Boolean,
        Value::Date(_) | Value::Map(_) => UnreadReason::Map,
    };
    unread.add(reason);
    None
}

/// What may stand behind the number alone.
const AFTER_NUMBER: [&str; 6] = [" stars", " Stars", " star", " Star", "/5", " out of 5"];

/// The number of a text: `4.5`, `4,5`, `4.5 out of 5 stars`, `4/5`, `4 stars`.
fn number(text: &str) -> Option<f32> {
    let number = match of_five(text) {
        Some((number, "")) => number,
        _ => AFTER_NUMBER.iter().find_map(|end| text.strip_suffix(end)).unwrap_or(text),
    };
    number.parse().ok().or_else(|| {
        let (whole, part) = number.split_once(',')?;
        let are_digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        (are_digits(whole) && are_digits(part)).then(|| format!("{whole}.{part}").parse().ok())?
    })
}
