//! Times, from numbers, strings and dates.
use std::borrow::Cow;

use super::{
    dates::{milliseconds_of_date, milliseconds_of_digits},
    unread::{Unread, UnreadReason},
    values::Value,
};

/// The unit of a field that holds a time, as a number since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
}

/// The first second of 1990. No review is older, so a smaller number is something else.
const LEAST_SECONDS: i64 = 631_152_000;

/// The time as the dump's decimal number. A date is converted to the unit of the field.
pub(super) fn time<'a>(value: Value<'a>, unit: Unit, unread: &mut Unread<'_>) -> Option<Cow<'a, str>> {
    let of_date = |milliseconds: i64| {
        let time = if unit == Unit::Seconds { milliseconds.div_euclid(1_000) } else { milliseconds };
        Cow::Owned(time.to_string())
    };
    // Display writes 1472688000.0 as 1472688000.
    let of_number = |number: f64, text: Cow<'a, str>, unread: &mut Unread<'_>| {
        if let Some(milliseconds) = milliseconds_of_digits(number) {
            return Some(of_date(milliseconds));
        }
        if seconds_of(number).is_some_and(|seconds| seconds >= LEAST_SECONDS) {
            return Some(text);
        }
        unread.add(UnreadReason::NotATime);
        None
    };
    let reason = match value {
        Value::Integer(number) => return of_number(number as f64, Cow::Owned(number.to_string()), unread),
        Value::Float(number) if !number.is_finite() => return None,
        Value::Float(number) => return of_number(number, Cow::Owned(number.to_string()), unread),
        Value::Date(milliseconds) => return Some(of_date(milliseconds)),
        Value::Text(text) => {
            let trimmed = text.trim();
            // R writes `NA`.
            if matches!(trimmed, "" | "NA") {
                return None;
            }
            if let Ok(number) = trimmed.parse::<i64>() {
                let kept = if trimmed.len() == text.len() { text } else { Cow::Owned(trimmed.to_owned()) };
                return of_number(number as f64, kept, unread);
            }
            if let Some(number) = trimmed.parse::<f64>().ok().filter(|number| number.is_finite()) {
                return of_number(number, Cow::Owned(number.to_string()), unread);
            }
            if let Some(milliseconds) = milliseconds_of_date(trimmed) {
                return Some(of_date(milliseconds));
            }
            match Value::parse_literal(&text) {
                Some(inner) => return time(inner, unit, unread),
                None => UnreadReason::Text,
            }
        }
        Value::Null => return None,
        Value::List(items) => return items.into_iter().find_map(|item| time(item, unit, unread)),
        Value::Bool(_) => UnreadReason::Boolean,
        Value::Map(_) => UnreadReason::Map,
    };
    unread.add(reason);
    None
}

/// A number of any unit in seconds since 1970.
pub(super) fn seconds_of(time: f64) -> Option<i64> {
    let seconds = match time.abs() {
        // Later than the year 5138 in each unit.
        nano if nano > 1e17 => time / 1e9,
        micro if micro > 1e14 => time / 1e6,
        milli if milli > 1e11 => time / 1e3,
        _ => time,
    };
    seconds.is_finite().then(|| seconds.floor() as i64)
}
