//! Python numbers to JSON numbers.
use std::{borrow::Cow, fmt::Write as _};

use super::{PythonLiteralError, Reader};

impl Reader<'_> {
    pub(super) fn number(&mut self) -> Result<(), PythonLiteralError> {
        let start = self.at;
        let negative = self.eat(b'-');
        if !negative {
            self.eat(b'+');
        }
        let digits_at = self.at;
        if matches!(self.peek(), Some(b'i' | b'n' | b'I' | b'N')) {
            let words = ["inf", "nan", "Infinity", "NaN"];
            let word_ends = |at: usize| !self.line.as_bytes().get(at).is_some_and(|b| b.is_ascii_alphanumeric());
            let word = words.iter().find(|w| self.line[digits_at..].starts_with(**w) && word_ends(digits_at + w.len()));
            let Some(word) = word else { return Err(self.unexpected("a number")) };
            self.at += word.len();
            self.out.push_str("null");
            return Ok(());
        }
        let bytes = self.line.as_bytes();
        let based =
            matches!(bytes.get(digits_at..digits_at + 2), Some([b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B']));
        while let Some(byte) = self.peek() {
            // A sign belongs to the number only after the `e` of an exponent.
            let exponent_sign = matches!(byte, b'+' | b'-') && matches!(bytes[self.at - 1], b'e' | b'E') && !based;
            if !(byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_') || exponent_sign) {
                break;
            }
            self.at += 1;
        }
        let digits = &self.line[digits_at..self.at];
        let written = if based { integer_with_base(digits, negative) } else { decimal(digits, negative) };
        match written {
            Some(json) => {
                self.out.push_str(&json);
                Ok(())
            }
            None => Err(PythonLiteralError::Number { at: start, number: self.quote(start, self.at) }),
        }
    }
}

/// JSON text of `0x1f`, `0o17` or `0b11`, with or without underscores and `L`.
fn integer_with_base(digits: &str, negative: bool) -> Option<String> {
    let radix = match digits.as_bytes().get(1)? {
        b'x' | b'X' => 16,
        b'o' | b'O' => 8,
        _ => 2,
    };
    let body = digits.get(2..)?;
    let body = body.strip_suffix(['L', 'l']).unwrap_or(body);
    // Python allows one underscore after the base: `0x_ff`.
    let body = without_underscores(body.strip_prefix('_').unwrap_or(body), |b| b.is_ascii_hexdigit())?;
    let value = u128::from_str_radix(&body, radix).ok()?;
    let sign = if negative && value > 0 { "-" } else { "" };
    Some(format!("{sign}{value}"))
}

/// JSON text of an integer or a floating-point number without its sign.
fn decimal(digits: &str, negative: bool) -> Option<String> {
    let sign = if negative { "-" } else { "" };
    let (mantissa, exponent) = match digits.find(['e', 'E']) {
        Some(at) => (&digits[..at], Some(&digits[at + 1..])),
        None => (digits, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_integer = fraction.is_none() && exponent.is_none();
    let whole = if is_integer { whole.strip_suffix(['L', 'l']).unwrap_or(whole) } else { whole };
    if whole.is_empty() && fraction.is_none_or(str::is_empty) {
        return None;
    }
    let part = |digits| {
        if str::is_empty(digits) { Some(Cow::Borrowed("")) } else { without_underscores(digits, u8::is_ascii_digit) }
    };
    let whole = part(whole)?;
    let significant = whole.trim_start_matches('0');
    if is_integer && whole.len() > 1 && significant.len() < whole.len() && !significant.is_empty() {
        return None;
    }
    let significant = if significant.is_empty() { "0" } else { significant };
    // JSON's `-0` is a floating-point number; Python's is the integer 0.
    let sign = if is_integer && significant == "0" { "" } else { sign };
    let mut json = format!("{sign}{significant}");
    if let Some(fraction) = fraction {
        let fraction = part(fraction)?;
        json.push('.');
        json.push_str(if fraction.is_empty() { "0" } else { &fraction });
    }
    if let Some(exponent) = exponent {
        let (minus, exponent) = match exponent.as_bytes().first()? {
            b'-' => ("-", &exponent[1..]),
            b'+' => ("", &exponent[1..]),
            _ => ("", exponent),
        };
        json.push('e');
        json.push_str(minus);
        json.push_str(&without_underscores(exponent, u8::is_ascii_digit)?);
    }
    // JSON parsers differ on numbers past the range of a double and on very long ones. Short
    // numbers, such as prices, keep their digits.
    if exponent.is_some() || json.len() > 20 {
        let value: f64 = json.parse().ok()?;
        if !value.is_finite() {
            return Some("null".to_owned());
        }
        if !(is_integer && json.len() <= 40) {
            json.clear();
            // `{:?}` is the shortest text that reads as the same double.
            let _ = write!(json, "{value:?}");
        }
    }
    Some(json)
}

/// Removes the underscores that Python allows between two digits. `None` if `digits` is empty or
/// has anything else in it.
fn without_underscores(digits: &str, is_digit: fn(&u8) -> bool) -> Option<Cow<'_, str>> {
    let mut after_digit = false;
    let mut found_underscore = false;
    for byte in digits.as_bytes() {
        if *byte == b'_' && after_digit {
            (after_digit, found_underscore) = (false, true);
        } else if is_digit(byte) {
            after_digit = true;
        } else {
            return None;
        }
    }
    // Also false for the empty string.
    after_digit.then(|| if found_underscore { Cow::Owned(digits.replace('_', "")) } else { Cow::Borrowed(digits) })
}
