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
mod tests {
    use std::{io::Read as _, path::PathBuf};

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn literals_become_json() {
        let cases: &[(&str, &str, &str)] = &[
            (
                "the dump's line",
                r#"{'asin': '0061', 'title': "It's", 'price': 11.89, 'categories': [['Books']]}"#,
                r#"{"asin":"0061","title":"It's","price":11.89,"categories":[["Books"]]}"#,
            ),
            ("JSON", r#"{"a": [1, -2.5, true, false, null, "x\u00e9\/"]}"#, r#"{"a":[1,-2.5,true,false,null,"xé/"]}"#),
            (
                "constants",
                "[None, True, False, nan, inf, -inf, NaN, Infinity, -Infinity, -nan]",
                "[null,true,false,null,null,null,null,null,null,null]",
            ),
            ("empty containers", "[{}, [], (), '']", r#"[{},[],[],""]"#),
            ("trailing commas", "{'a': [1, 2,], 'b': (1,),}", r#"{"a":[1,2],"b":[1]}"#),
            (
                "tuples and parentheses",
                "[(1, 2), (1,), (1), ((1)), ('a' 'b'), (([],),)]",
                r#"[[1,2],[1],1,1,"ab",[[[]]]]"#,
            ),
            ("white space", " \t{\n'a'\r:\x0c1 } \n", r#"{"a":1}"#),
            ("byte order mark", "\u{feff}[1]", "[1]"),
            (
                "integers",
                "[0, 00, -0, 10L, 1_000, 0x1f, 0XFFl, 0o17, 0b11, 0x_f, -0x1F, +7]",
                "[0,0,0,10,1000,31,255,15,3,15,-31,7]",
            ),
            ("floats", "[1., .5, -1.5, 01.50, 1_0.2_5, -0.0]", "[1.0,0.5,-1.5,1.50,10.25,-0.0]"),
            (
                "exponents",
                "[1e5, 1E-7, 1.5e+300, 1e999, -1e999, 1e-999, 0e999]",
                "[100000.0,1e-7,1.5e300,null,null,0.0,0.0]",
            ),
            ("a long integer", "123456789012345678901234567890", "123456789012345678901234567890"),
            (
                "keys",
                "{1: 1, 2.50: 2, None: 3, True: 4, (1, 'a'): 5, u'b': 6, 0x10: 7, (): 8}",
                r#"{"1":1,"2.50":2,"null":3,"true":4,"[1,\"a\"]":5,"b":6,"16":7,"[]":8}"#,
            ),
            (
                "escapes",
                r#"'\n\t\\\'\"\a\b\f\v\r\0\101\x41\u00e9\U0001f600'"#,
                r#""\n\t\\'\"\u0007\u0008\u000c\u000b\r\u0000AAé😀""#,
            ),
            ("octal takes three digits", r"'\1234\08'", r#""S4\u00008""#),
            ("unknown escapes stay", r"'\d\/\é\:'", r#""\\d\\/\\é\\:""#),
            ("a slash of JSON", r#""a\/b""#, r#""a/b""#),
            ("a backslash at the line's end", "'a\\\nb\\\r\nc'", r#""abc""#),
            (
                "surrogates",
                r"['\ud83d\ude00', '\ud83d', '\ude00x', '\ud83d\ud83d\ude00', '\ud83d-\ude00', '\U0000d83d']",
                "[\"😀\",\"\u{fffd}\",\"\u{fffd}x\",\"\u{fffd}😀\",\"\u{fffd}-\u{fffd}\",\"\u{fffd}\"]",
            ),
            (
                "prefixes",
                r#"[u'a', U"a", r'\n', R'\'', b'a', ur'a', bR'\x', rb'a']"#,
                r#"["a","a","\\n","\\'","a","a","\\x","a"]"#,
            ),
            (
                "bytes",
                r"[b'caf\xc3\xa9', b'\xff\303\251x', b'\u00e9\N']",
                "[\"café\",\"\u{fffd}éx\",\"\\\\u00e9\\\\N\"]",
            ),
            ("triple quotes", r#"['''a'b''c''', """a"b""", '''''', "" ]"#, r#"["a'b''c","a\"b","",""]"#),
            ("a raw triple quote", r"r'''a\'''b'''", r#""a\\'''b""#),
            ("strings in a row", "['a' \"b\" u'c', 'd''e']", r#"["abc","de"]"#),
            ("raw control characters", "\"a\tb\nc\u{1}\u{7f}\"", "\"a\\tb\\nc\\u0001\u{7f}\""),
            ("text past ASCII", "'héé 漢字 😀'", "\"héé 漢字 😀\""),
        ];
        for (name, line, wanted) in cases {
            let json = python_to_json(line).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(json, *wanted, "{name}");
            serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{name}: {json}: {error}"));
        }
    }

    #[test]
    fn errors_say_what_stands_where() {
        let cases: &[(&str, &str)] = &[
            ("", "found the end at byte 0, wanted a value"),
            ("  ]", "found `]` at byte 2, wanted a value"),
            ("{'a' 1}", "found `1` at byte 5, wanted `:`"),
            ("{'a': 1 'b': 2}", "found `'` at byte 8, wanted `,` or `}`"),
            ("{'a': 1", "found the end at byte 7, wanted `,` or `}`"),
            ("{1, 2}", "found `,` at byte 2, wanted `:`"),
            ("[1 2]", "found `2` at byte 3, wanted `,` or `]`"),
            ("[,]", "found `,` at byte 1, wanted a value"),
            ("(1 2)", "found `2` at byte 3, wanted `,` or `)`"),
            ("{} x", "found `x` at byte 3, wanted the end"),
            ("[\u{1}]", "found `\\u{1}` at byte 1, wanted a value"),
            ("[é]", "found `é` at byte 1, wanted a value"),
            ("[Nope_1]", "found the name `Nope_1` at byte 1, wanted a value"),
            ("f'a'", "found the name `f` at byte 0, wanted a value"),
            ("[1, 2j]", "found `2j` at byte 4, wanted a number"),
            ("007", "found `007` at byte 0, wanted a number"),
            ("[1__0]", "found `1__0` at byte 1, wanted a number"),
            ("1.2.3", "found `1.2.3` at byte 0, wanted a number"),
            ("1e", "found `1e` at byte 0, wanted a number"),
            ("1.5L", "found `1.5L` at byte 0, wanted a number"),
            ("--1", "found `-` at byte 0, wanted a number"),
            ("0x", "found `0x` at byte 0, wanted a number"),
            ("-x", "found `-x` at byte 0, wanted a number"),
            ("-index", "found `i` at byte 1, wanted a number"),
            ("['abc]", "found a string at byte 1 that does not end"),
            ("'''abc''", "found a string at byte 0 that does not end"),
            ("'abc\\", "found a string at byte 0 that does not end"),
            ("r'abc\\", "found a string at byte 0 that does not end"),
            ("'\\x4'", "found the escape `\\x4'` at byte 1, which is no character"),
            ("'\\u12é4'", "found the escape `\\u12é4'` at byte 1, which is no character"),
            ("'\\U00110000'", "found the escape `\\U00110000` at byte 1, which is no character"),
            ("'\\N{BEE}'", "found the escape `\\N{BEE}'` at byte 1, which is no character"),
            ("{[1]: 2}", "found a dict or a list as a key at byte 1, wanted a string, a number or a tuple"),
            ("{(1, {}): 2}", "found a dict or a list as a key at byte 5, wanted a string, a number or a tuple"),
        ];
        for (line, wanted) in cases {
            assert_eq!(python_to_json(line).map_err(|error| error.to_string()), Err((*wanted).to_owned()), "{line}");
        }
    }

    #[test]
    fn depth_is_limited_where_serde_json_limits_it() {
        for (open, close) in [("[", "]"), ("(", ",)"), ("{'a':", "}")] {
            let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let json = python_to_json(&nested(MAX_DEPTH)).unwrap();
            assert!(serde_json::from_str::<Value>(&json).is_ok(), "{open}");
            let at = MAX_DEPTH * open.len();
            assert_eq!(python_to_json(&nested(MAX_DEPTH + 1)), Err(PythonLiteralError::TooDeep { at }), "{open}");
            assert!(python_to_json(&open.repeat(1_000_000)).is_err());
        }
    }

    #[test]
    fn time_is_linear() {
        let megabyte = 1 << 20;
        let lines = [
            format!("'{}'", "\\".repeat(megabyte)),
            format!("[{}]", "'a' ".repeat(megabyte / 4)),
            format!("{}'{}'{}", "(".repeat(MAX_DEPTH), "x".repeat(megabyte), ")".repeat(MAX_DEPTH)),
            format!("[{}]", "u'\\ud83d', ".repeat(megabyte / 11)),
            "9".repeat(megabyte),
            format!("0.{}1e5", "0".repeat(megabyte)),
            format!("'''{}", "''\\''".repeat(megabyte / 5)),
            " ".repeat(megabyte),
        ];
        for line in &lines {
            let start = std::time::Instant::now();
            let _ = python_to_json(line);
            // Tens of milliseconds in a debug build; minutes if quadratic.
            assert!(start.elapsed().as_secs() < 10, "{:?}", line.get(..20));
        }
    }

    /// Python's `repr` of a JSON value.
    fn repr(value: &Value, out: &mut String) {
        match value {
            Value::Null => out.push_str("None"),
            Value::Bool(true) => out.push_str("True"),
            Value::Bool(false) => out.push_str("False"),
            Value::Number(number) => out.push_str(&number.to_string()),
            Value::String(text) => {
                let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
                out.push(quote);
                for c in text.chars() {
                    match c {
                        '\\' => out.push_str("\\\\"),
                        '\n' => out.push_str("\\n"),
                        '\r' => out.push_str("\\r"),
                        '\t' => out.push_str("\\t"),
                        c if c == quote => out.extend(['\\', c]),
                        c if c < ' ' || ('\u{7f}'..'\u{a0}').contains(&c) => {
                            let _ = write!(out, "\\x{:02x}", u32::from(c));
                        }
                        // Python 2 escapes these, Python 3 does not.
                        '\u{100}'..='\u{ffff}' => {
                            let _ = write!(out, "\\u{:04x}", u32::from(c));
                        }
                        c => out.push(c),
                    }
                }
                out.push(quote);
            }
            Value::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    repr(item, out);
                }
                out.push(']');
            }
            Value::Object(fields) => {
                out.push('{');
                for (i, (key, field)) in fields.iter().enumerate() {
                    out.push_str(if i > 0 { ", " } else { "" });
                    repr(&Value::String(key.clone()), out);
                    out.push_str(": ");
                    repr(field, out);
                }
                out.push('}');
            }
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let awkward = vec!['\'', '"', '\\', 'n', '/', 'u', '\n', '\0', 'é', '漢', '😀'];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            prop::collection::vec(prop::sample::select(awkward), 0..8)
                .prop_map(|chars| Value::from(String::from_iter(chars))),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        })
    }

    const PIECES: [&str; 46] = [
        "{", "}", "[", "]", "(", ")", ",", ":", "'", "\"", "'''", "\\", "\\x4", "\\ud83d", "\\ude00", "\\u00", "\\N{",
        "0", "1", "9", "x", "e", "E", "-", "+", ".", "_", "L", "1e308", "0x", "None", "true", "nan", "-inf", "u'",
        "b'", "r\"", "é", "漢", "\n", " ", "\u{1}", "'a'", "[1, 2]", "{'a': 1}", "(1,)",
    ];

    proptest! {
        #[test]
        fn repr_and_json_both_read_as_the_value(value in any_json()) {
            let json = value.to_string();
            // What the parser makes of the digits of a double is its own affair:
            // wanted is what it reads from the JSON text.
            let wanted: Value = serde_json::from_str(&json).unwrap();
            let mut python = String::new();
            repr(&value, &mut python);
            for line in [python, json] {
                let found = python_to_json(&line).unwrap();
                prop_assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), wanted.clone(), "{}", line);
            }
        }

        #[test]
        fn output_always_parses(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)) {
            let line = pieces.concat();
            for line in [line.clone(), format!("[{line}]"), format!("'{line}'"), format!("{{'a': {line}}}")] {
                if let Ok(json) = python_to_json(&line) {
                    prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} -> {}", line, json);
                }
            }
        }

        #[test]
        fn any_number_parses(number in "[-+]?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][-+]?[0-9]{1,4})?") {
            if let Ok(json) = python_to_json(&number) {
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} -> {}", number, json);
            }
        }
    }

    #[test]
    fn lines_of_the_2014_dump() {
        let shared = std::env::var_os("EBERT_SHARED")
            .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
        let path = shared.join("data/amazon/2014/meta_sample_python_dicts.json.gz");
        let Ok(file) = std::fs::File::open(&path) else {
            println!("skipped: no file `{}`; EBERT_SHARED names the folder with the real data", path.display());
            return;
        };
        let mut text = String::new();
        flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
        let known = ["asin", "title", "description", "brand", "price", "categories", "related", "imUrl", "salesRank"];
        let mut lines = 0;
        for line in text.lines() {
            let json = python_to_json(line).unwrap();
            let value: Value = serde_json::from_str(&json).unwrap();
            let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
            // The line's own text has each key as `'asin': `.
            let mut wanted: Vec<&str> = known.into_iter().filter(|key| line.contains(&format!("'{key}': "))).collect();
            found.sort_unstable();
            wanted.sort_unstable();
            assert_eq!(found, wanted, "{line}");
            assert_eq!(value["asin"].as_str().map(str::len), Some(10), "{line}");
            lines += 1;
        }
        assert!(lines > 0);
    }
}
