//! Python literals to JSON.
//!
//! The 2014 dump was written with Python's `repr`, one dict literal a line:
//! `{'asin': '0061', 'title': "It's"}`. [`python_to_json`] turns such a line
//! into the JSON that the rest of the reader knows. It reads JSON as well, with
//! what strict parsers refuse (`NaN`, a trailing comma, a raw tab in a string),
//! so it is also the second chance of a JSON line.
//!
//! ```
//! # use pipeline::source::python::python_to_json;
//! let json = python_to_json(r#"{'asin': '0061', 'title': "It's", 'price': None, 'tags': ('a', u'b',)}"#)?;
//! assert_eq!(json, r#"{"asin":"0061","title":"It's","price":null,"tags":["a","b"]}"#);
//! # Ok::<(), pipeline::source::python::PythonLiteralError>(())
//! ```
//!
//! Where the two languages differ:
//!
//! | found | becomes |
//! |---|---|
//! | tuple | array |
//! | `None`, `nan`, `inf`, `NaN`, `Infinity`, a number past the range of a double | `null` |
//! | key that is no string | its JSON text as a string: `{1: 2}` is `{"1":2}` |
//! | bytes, `b'caf\xc3\xa9'` | a string, read as UTF-8; U+FFFD for bytes that are none |
//! | half of a surrogate pair | U+FFFD; two halves in a row are joined, as in JSON |
//! | `\/` | `/` between double quotes, as in JSON; both characters between single quotes, as in Python |
//! | other unknown escapes, `\d` | both characters, as in Python |
//!
//! Sets, complex numbers, `\N{…}`, and integers with a leading zero (octal in
//! Python 2, refused by Python 3) are errors. The specification is
//! <https://docs.python.org/3/reference/lexical_analysis.html#literals>.

use std::{borrow::Cow, fmt, fmt::Write as _};

use memchr::memchr2;

/// How deep lists, tuples and dicts may stand in each other. `serde_json`
/// refuses to read what is deeper.
pub const MAX_DEPTH: usize = 127;

/// Why a line is no Python literal. Positions are bytes from the start of the
/// line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PythonLiteralError {
    /// Something else stands where the grammar wants `wanted`.
    #[error("found {found} at byte {at}, wanted {wanted}")]
    Unexpected {
        /// Where it stands.
        at: usize,
        /// What stands there.
        found: Found,
        /// What may stand there.
        wanted: &'static str,
    },
    /// A word that is no constant, `true` or `None` for example.
    #[error("found the name `{name}` at byte {at}, wanted a value")]
    Name {
        /// Where it begins.
        at: usize,
        /// Its first characters.
        name: String,
    },
    /// A number that neither language has, or an integer with a base that does
    /// not fit 128 bits.
    #[error("found `{number}` at byte {at}, wanted a number")]
    Number {
        /// Where it begins.
        at: usize,
        /// Its first characters.
        number: String,
    },
    /// A string without its closing quote.
    #[error("found a string at byte {at} that does not end")]
    OpenString {
        /// Where its prefix or its opening quote stands.
        at: usize,
    },
    /// An escape that is cut short, out of range, or `\N{…}`.
    #[error("found the escape `{escape}` at byte {at}, which is no character")]
    Escape {
        /// Where its backslash stands.
        at: usize,
        /// Its first characters.
        escape: String,
    },
    /// A key of a dict that Python could not hash.
    #[error("found a dict or a list as a key at byte {at}, wanted a string, a number or a tuple")]
    Key {
        /// Where it begins.
        at: usize,
    },
    /// Lists, tuples and dicts within each other, deeper than [`MAX_DEPTH`].
    #[error("found values nested deeper than {MAX_DEPTH} at byte {at}")]
    TooDeep {
        /// Where the first that is too deep opens.
        at: usize,
    },
}

/// What stands where something else was wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The line ends.
    End,
    /// This character.
    Char(char),
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::End => f.write_str("the end"),
            Self::Char(c) if c.is_control() => write!(f, "`{}`", c.escape_default()),
            Self::Char(c) => write!(f, "`{c}`"),
        }
    }
}

/// The JSON text of the one literal in `line`; white space and a byte order
/// mark may stand around it. Time is linear in the line.
///
/// # Errors
/// When the line is neither a Python literal nor JSON; see
/// [`PythonLiteralError`].
pub fn python_to_json(line: &str) -> Result<String, PythonLiteralError> {
    let mut reader =
        Reader { line, at: 0, depth: 0, in_key: false, out: String::with_capacity(line.len()), text: String::new() };
    reader.eat_str("\u{feff}");
    reader.value()?;
    reader.skip_space();
    if reader.at < line.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(reader.out)
}

/// The most characters of a name or a number that an error quotes.
const QUOTED_CHARS: usize = 40;

struct Reader<'l> {
    line: &'l str,
    at: usize,
    depth: usize,
    in_key: bool,
    out: String,
    /// The string being read, without its escapes; kept for its allocation.
    text: String,
}

impl<'l> Reader<'l> {
    fn peek(&self) -> Option<u8> {
        self.line.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn eat_str(&mut self, text: &str) -> bool {
        let found = self.line.as_bytes()[self.at..].starts_with(text.as_bytes());
        if found {
            self.at += text.len();
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r' | b'\x0c')) {
            self.at += 1;
        }
    }

    fn unexpected(&self, wanted: &'static str) -> PythonLiteralError {
        let found = self.line[self.at..].chars().next().map_or(Found::End, Found::Char);
        PythonLiteralError::Unexpected { at: self.at, found, wanted }
    }

    /// What an error quotes of the line.
    fn quote(&self, from: usize, to: usize) -> String {
        self.line[from..to].chars().take(QUOTED_CHARS).collect()
    }

    fn value(&mut self) -> Result<(), PythonLiteralError> {
        self.skip_space();
        let at = self.at;
        match self.peek() {
            Some(b'{' | b'[') if self.in_key => Err(PythonLiteralError::Key { at }),
            Some(b'{') => self.nested(Self::dict),
            Some(b'[') => self.nested(Self::list),
            Some(b'(') => self.nested(Self::tuple),
            Some(b'+' | b'-' | b'.' | b'0'..=b'9') => self.number(),
            Some(byte) if byte.is_ascii_alphabetic() || matches!(byte, b'\'' | b'"' | b'_') => {
                if self.string_opens().is_some() { self.strings() } else { self.constant() }
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Passes the opening bracket, and reads what it opens.
    fn nested(&mut self, read: fn(&mut Self) -> Result<(), PythonLiteralError>) -> Result<(), PythonLiteralError> {
        if self.depth == MAX_DEPTH {
            return Err(PythonLiteralError::TooDeep { at: self.at });
        }
        self.depth += 1;
        self.at += 1;
        read(self)?;
        self.depth -= 1;
        Ok(())
    }

    fn dict(&mut self) -> Result<(), PythonLiteralError> {
        self.out.push('{');
        self.skip_space();
        while !self.eat(b'}') {
            self.key()?;
            self.skip_space();
            if !self.eat(b':') {
                return Err(self.unexpected("`:`"));
            }
            self.out.push(':');
            self.value()?;
            self.skip_space();
            if self.eat(b',') {
                self.skip_space();
                if self.peek() != Some(b'}') {
                    self.out.push(',');
                }
            } else if self.peek() != Some(b'}') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
        self.out.push('}');
        Ok(())
    }

    /// A key is a value whose JSON text is made a string where it is none.
    fn key(&mut self) -> Result<(), PythonLiteralError> {
        let start = self.out.len();
        self.in_key = true;
        self.value()?;
        self.in_key = false;
        if !self.out[start..].starts_with('"') {
            let text = self.out.split_off(start);
            push_json_string(&text, &mut self.out);
        }
        Ok(())
    }

    fn list(&mut self) -> Result<(), PythonLiteralError> {
        self.out.push('[');
        self.items(b']', "`,` or `]`")?;
        self.out.push(']');
        Ok(())
    }

    /// A tuple, or a value in parentheses.
    fn tuple(&mut self) -> Result<(), PythonLiteralError> {
        let start = self.out.len();
        self.out.push('[');
        let items = self.items(b')', "`,` or `)`")?;
        if items == Items::OneAlone {
            // Moves the value; at most once for each level, so still linear.
            self.out.remove(start);
        } else {
            self.out.push(']');
        }
        Ok(())
    }

    fn items(&mut self, close: u8, wanted: &'static str) -> Result<Items, PythonLiteralError> {
        let mut items = Items::Any;
        self.skip_space();
        while !self.eat(close) {
            self.value()?;
            self.skip_space();
            if self.eat(b',') {
                self.skip_space();
                if self.peek() != Some(close) {
                    self.out.push(',');
                }
                items = Items::Separated;
            } else if self.peek() != Some(close) {
                return Err(self.unexpected(wanted));
            } else if items == Items::Any {
                items = Items::OneAlone;
            }
        }
        Ok(items)
    }

    fn constant(&mut self) -> Result<(), PythonLiteralError> {
        let start = self.at;
        let rest = &self.line.as_bytes()[start..];
        let len = rest.iter().position(|b| !(b.is_ascii_alphanumeric() || *b == b'_')).unwrap_or(rest.len());
        let json = match &rest[..len] {
            b"None" | b"null" | b"nan" | b"NaN" | b"inf" | b"Infinity" => "null",
            b"True" | b"true" => "true",
            b"False" | b"false" => "false",
            _ => return Err(PythonLiteralError::Name { at: start, name: self.quote(start, start + len) }),
        };
        self.at += len;
        self.out.push_str(json);
        Ok(())
    }

    // Numbers.

    fn number(&mut self) -> Result<(), PythonLiteralError> {
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
            // A sign belongs to the number only behind the `e` of an exponent.
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

    // Strings.

    /// The prefix and quotes of a string, when one opens here.
    fn string_opens(&self) -> Option<Opening> {
        let rest = &self.line.as_bytes()[self.at..];
        let prefix = rest.iter().take(3).position(|b| matches!(b, b'\'' | b'"'))?;
        let (mut raw, mut bytes) = (false, false);
        for letter in &rest[..prefix] {
            match letter {
                b'u' | b'U' => {}
                b'r' | b'R' => raw = true,
                b'b' | b'B' => bytes = true,
                _ => return None,
            }
        }
        let quote = rest[prefix];
        let triple = rest[prefix..].starts_with(&[quote; 3]);
        Some(Opening { at: self.at, len: prefix + if triple { 3 } else { 1 }, quote, triple, raw, bytes })
    }

    /// One string, or several in a row, which Python joins.
    fn strings(&mut self) -> Result<(), PythonLiteralError> {
        self.text.clear();
        let mut end = self.at;
        while let Some(opening) = self.string_opens() {
            self.string(opening)?;
            end = self.at;
            self.skip_space();
        }
        self.at = end;
        push_json_string(&self.text, &mut self.out);
        Ok(())
    }

    /// Appends what a string holds to `self.text`.
    fn string(&mut self, opening: Opening) -> Result<(), PythonLiteralError> {
        let Opening { at: start, quote, .. } = opening;
        self.at += opening.len;
        // The first half of a surrogate pair, until its second is met.
        let mut high = None;
        // Bytes past ASCII of a `b'…'`, until a character is met.
        let mut bytes = Vec::new();
        loop {
            let rest = &self.line[self.at..];
            let Some(len) = memchr2(quote, b'\\', rest.as_bytes()) else {
                return Err(PythonLiteralError::OpenString { at: start });
            };
            if len > 0 {
                self.end_pending(&mut high, &mut bytes);
                self.text.push_str(&rest[..len]);
                self.at += len;
            }
            let rest = &rest[len..];
            if !rest.starts_with('\\') {
                if opening.triple && !rest.as_bytes().starts_with(&[quote; 3]) {
                    self.end_pending(&mut high, &mut bytes);
                    self.text.push(char::from(quote));
                    self.at += 1;
                    continue;
                }
                self.end_pending(&mut high, &mut bytes);
                self.at += if opening.triple { 3 } else { 1 };
                return Ok(());
            }
            if opening.raw {
                // The backslash stays, and so does a quote behind it.
                let Some(next) = rest[1..].chars().next() else {
                    return Err(PythonLiteralError::OpenString { at: start });
                };
                self.text.push('\\');
                self.text.push(next);
                self.at += 1 + next.len_utf8();
                continue;
            }
            match self.escape(opening)? {
                Escape::Text(c) => {
                    self.end_pending(&mut high, &mut bytes);
                    self.text.push(c);
                }
                Escape::Kept => {
                    self.end_pending(&mut high, &mut bytes);
                    self.text.push('\\');
                }
                Escape::Nothing => {}
                Escape::Byte(byte) => {
                    bytes.push(byte);
                }
                Escape::Surrogate(unit) => match (high, unit) {
                    (Some(first), 0xdc00..) => {
                        high = None;
                        let pair = char::decode_utf16([first, unit]).next();
                        self.text.push(pair.and_then(Result::ok).unwrap_or(char::REPLACEMENT_CHARACTER));
                    }
                    (_, 0xdc00..) => self.text.push(char::REPLACEMENT_CHARACTER),
                    (_, _) => {
                        self.end_pending(&mut high, &mut bytes);
                        high = Some(unit);
                    }
                },
            }
        }
    }

    /// Writes what waited for more: half a surrogate pair, or bytes.
    fn end_pending(&mut self, high: &mut Option<u16>, bytes: &mut Vec<u8>) {
        if high.take().is_some() {
            self.text.push(char::REPLACEMENT_CHARACTER);
        }
        if !bytes.is_empty() {
            self.text.push_str(&String::from_utf8_lossy(bytes));
            bytes.clear();
        }
    }

    /// Reads the escape whose backslash is next.
    fn escape(&mut self, opening: Opening) -> Result<Escape, PythonLiteralError> {
        let start = self.at;
        let Some(&kind) = self.line.as_bytes().get(start + 1) else {
            return Err(PythonLiteralError::OpenString { at: opening.at });
        };
        self.at += 2;
        Ok(match kind {
            b'n' => Escape::Text('\n'),
            b't' => Escape::Text('\t'),
            b'r' => Escape::Text('\r'),
            b'a' => Escape::Text('\u{7}'),
            b'b' => Escape::Text('\u{8}'),
            b'f' => Escape::Text('\u{c}'),
            b'v' => Escape::Text('\u{b}'),
            b'\\' | b'\'' | b'"' => Escape::Text(char::from(kind)),
            b'/' if opening.quote == b'"' => Escape::Text('/'),
            b'\n' => Escape::Nothing,
            b'\r' => {
                self.eat(b'\n');
                Escape::Nothing
            }
            b'0'..=b'7' => {
                let digits = &self.line.as_bytes()[start + 1..];
                let len = digits.iter().take(3).take_while(|b| matches!(b, b'0'..=b'7')).count();
                let code = digits[..len].iter().fold(0, |code, digit| code * 8 + u32::from(digit - b'0'));
                self.at = start + 1 + len;
                // `\400` to `\777` of bytes lose their ninth bit, as in Python.
                if opening.bytes { Escape::Byte(code as u8) } else { self.character(code, start)? }
            }
            b'x' => {
                let code = self.hex(2, start)?;
                if opening.bytes { Escape::Byte(code as u8) } else { self.character(code, start)? }
            }
            b'u' if !opening.bytes => {
                let code = self.hex(4, start)?;
                self.character(code, start)?
            }
            b'U' if !opening.bytes => {
                let code = self.hex(8, start)?;
                self.character(code, start)?
            }
            b'N' if !opening.bytes => return Err(self.bad_escape(start)),
            _ => {
                // The character behind the backslash is read as any other.
                self.at = start + 1;
                Escape::Kept
            }
        })
    }

    fn hex(&mut self, len: usize, start: usize) -> Result<u32, PythonLiteralError> {
        let digits = self.line.get(self.at..self.at + len).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()));
        let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let Some(code) = code else { return Err(self.bad_escape(start)) };
        self.at += len;
        Ok(code)
    }

    fn character(&self, code: u32, start: usize) -> Result<Escape, PythonLiteralError> {
        match (char::from_u32(code), u16::try_from(code)) {
            (Some(c), _) => Ok(Escape::Text(c)),
            (None, Ok(unit)) => Ok(Escape::Surrogate(unit)),
            (None, Err(_)) => Err(self.bad_escape(start)),
        }
    }

    fn bad_escape(&self, start: usize) -> PythonLiteralError {
        // The longest escape, `\UXXXXXXXX`, has ten characters.
        PythonLiteralError::Escape { at: start, escape: self.line[start..].chars().take(10).collect() }
    }
}

/// What stands between two brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Items {
    /// Any number of values.
    Any,
    /// One value and no comma.
    OneAlone,
    /// Values with a comma.
    Separated,
}

/// How a string opens.
#[derive(Clone, Copy, Debug)]
struct Opening {
    /// Where its prefix or its quotes begin.
    at: usize,
    /// Bytes of prefix and quotes.
    len: usize,
    quote: u8,
    triple: bool,
    raw: bool,
    bytes: bool,
}

/// What an escape stands for.
#[derive(Clone, Copy, Debug)]
enum Escape {
    Text(char),
    /// Half of a surrogate pair.
    Surrogate(u16),
    /// A byte of a bytes literal.
    Byte(u8),
    /// A line that goes on behind its end.
    Nothing,
    /// No escape: the backslash is text.
    Kept,
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
    // Python allows one underscore behind the base: `0x_ff`.
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
    // Parsers of JSON disagree over numbers past the range of a double, and over
    // very long ones. The digits of a price stay as they are.
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

/// `digits` without the underscores that Python allows between two digits;
/// `None` when anything else stands in it, or nothing.
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

/// Appends `text` as a JSON string.
fn push_json_string(text: &str, out: &mut String) {
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(&text[copied..at]);
        copied = at + 1;
        if short.is_empty() {
            let _ = write!(out, "\\u{byte:04x}");
        } else {
            out.push_str(short);
        }
    }
    out.push_str(&text[copied..]);
    out.push('"');
}

#[cfg(test)]
mod tests;
