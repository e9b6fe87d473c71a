//! Python literals to JSON.
//!
//! The 2014 dump was written with Python's `repr`, one dict literal per line:
//! `{'asin': '0061', 'title': "It's"}`. [`python_to_json`] turns such a line into JSON. It also
//! reads JSON that strict parsers refuse: `NaN`, a trailing comma, a raw tab in a string.
//!
//! ```
//! use ebert_dumps::python::python_to_json;
//!
//! let json = python_to_json(r#"{'asin': '0061', 'title': "It's", 'price': None, 'tags': ('a', u'b',)}"#)?;
//! assert_eq!(json, r#"{"asin":"0061","title":"It's","price":null,"tags":["a","b"]}"#);
//! # Ok::<(), ebert_dumps::python::PythonLiteralError>(())
//! ```
//!
//! Where the two languages differ:
//!
//! | Python | JSON |
//! |---|---|
//! | tuple | array |
//! | `None`, `nan`, `inf`, `NaN`, `Infinity`, a number past the range of a double | `null` |
//! | key that is not a string | its JSON text as a string: `{1: 2}` becomes `{"1":2}` |
//! | bytes, `b'caf\xc3\xa9'` | a string, read as UTF-8, with U+FFFD for invalid bytes |
//! | half of a surrogate pair | U+FFFD; two halves in a row are joined, as in JSON |
//! | `\/` | `/` between double quotes, as in JSON; both characters between single quotes, as in Python |
//! | other unknown escapes, `\d` | both characters, as in Python |
//!
//! Values that `repr` prints as the call of a constructor are read, too:
//!
//! | Python | JSON |
//! |---|---|
//! | `ObjectId('65a1')`, `array(['a'], dtype=object)`, `Timestamp('2014-07-03')` | the first argument |
//! | `Int64(5)`, `NumberLong("5")`, `Decimal128('5')` | the number |
//! | `datetime.datetime(2014, 7, 3, 9, 30)` | `"2014-07-03T09:30:00.000000"` |
//! | `<NA>`, `NaT`, `np.nan` | `null` |
//!
//! Other names and calls, sets, complex numbers, `\N{…}`, and integers with a leading zero (octal in Python 2, refused
//! by Python 3) are errors. The specification is <https://docs.python.org/3/reference/lexical_analysis.html#literals>.

mod calls;
mod numbers;
mod strings;

use strings::push_json_string;

/// The deepest nesting of lists, tuples, dicts and calls. `serde_json` has the same limit.
pub const MAX_DEPTH: usize = 127;

/// A line that is not a Python literal. `at` is a position in bytes from the start of the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PythonLiteralError {
    /// Another character than the grammar allows, or the end of the line.
    #[error("found {} at byte {at}, expected {wanted}", quoted(*found))]
    Unexpected {
        /// The position of the character.
        at: usize,
        /// `None` at the end of the line.
        found: Option<char>,
        /// What the grammar allows.
        wanted: &'static str,
    },
    /// A word that is not a constant such as `true` or `None`.
    #[error("found the name `{name}` at byte {at}, expected a value")]
    Name {
        /// The position of its first character.
        at: usize,
        /// Its first characters.
        name: String,
    },
    /// Not a number of either language, or an integer with a base that does not fit 128 bits.
    #[error("found `{number}` at byte {at}, expected a number")]
    Number {
        /// The position of its sign or first digit.
        at: usize,
        /// Its first characters.
        number: String,
    },
    /// A string without its closing quote.
    #[error("found a string at byte {at} that does not end")]
    OpenString {
        /// The position of its prefix or opening quote.
        at: usize,
    },
    /// An escape that is cut short, out of range, or `\N{…}`.
    #[error("found the escape `{escape}` at byte {at}, which is not a character")]
    Escape {
        /// The position of its backslash.
        at: usize,
        /// Its first characters.
        escape: String,
    },
    /// A key of a dict that Python could not hash.
    #[error("found a dict or a list as a key at byte {at}, expected a string, a number or a tuple")]
    Key {
        /// The position of its opening bracket.
        at: usize,
    },
    /// Lists, tuples, dicts and calls nested deeper than [`MAX_DEPTH`].
    #[error("found values nested deeper than {MAX_DEPTH} at byte {at}")]
    TooDeep {
        /// The position of the first bracket, or name of a call, that is too deep.
        at: usize,
    },
}

impl PythonLiteralError {
    /// The position in bytes from the start of the line.
    pub fn at(&self) -> usize {
        match self {
            Self::Unexpected { at, .. }
            | Self::Name { at, .. }
            | Self::Number { at, .. }
            | Self::OpenString { at }
            | Self::Escape { at, .. }
            | Self::Key { at }
            | Self::TooDeep { at } => *at,
        }
    }
}

/// A character for a message; `None` is the end of the line.
fn quoted(found: Option<char>) -> String {
    match found {
        None => "the end".to_owned(),
        Some(c) if c.is_control() => format!("`{}`", c.escape_default()),
        Some(c) => format!("`{c}`"),
    }
}

/// Reads JSON, or else Python literals.
///
/// # Errors
/// If it is neither. The error is the one of JSON.
pub(crate) fn json_or_python<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, serde_json::Error> {
    serde_json::from_str(text)
        .or_else(|error| python_to_json(text).ok().and_then(|json| serde_json::from_str(&json).ok()).ok_or(error))
}

/// Converts the literal in `line` to JSON. White space and a byte order mark may stand around it.
/// Time is linear in the length of the line.
///
/// # Errors
/// If the line is neither a Python literal nor JSON.
pub fn python_to_json(line: &str) -> Result<String, PythonLiteralError> {
    convert(line, false)
}

/// As [`python_to_json`], for the value of a field. The items of a list may stand without commas,
/// as numpy prints them: `['Kitchen' 'Mugs']` has two. A set, `{'Kitchen', 'Mugs'}`, is a list.
pub(crate) fn value_to_json(value: &str) -> Result<String, PythonLiteralError> {
    convert(value, true)
}

fn convert(line: &str, of_field: bool) -> Result<String, PythonLiteralError> {
    let out = String::with_capacity(line.len());
    let mut reader = Reader { line, at: 0, depth: 0, in_key: false, of_field, out, text: String::new() };
    reader.eat_str("\u{feff}");
    reader.value()?;
    reader.skip_space();
    if reader.at < line.len() {
        return Err(reader.unexpected("the end"));
    }
    Ok(reader.out)
}

/// The largest number of characters of a name or a number that an error quotes.
const QUOTED_CHARS: usize = 40;

struct Reader<'l> {
    line: &'l str,
    at: usize,
    depth: usize,
    in_key: bool,
    /// Whether this is the value of a field: the items of a list may stand without commas, and
    /// there are sets.
    of_field: bool,
    out: String,
    /// Buffer for the string being read, without its escapes.
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
        let found = self.line[self.at..].chars().next();
        PythonLiteralError::Unexpected { at: self.at, found, wanted }
    }

    /// A part of the line, for an error.
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
            Some(b'<') if self.eat_str("<NA>") => {
                self.out.push_str("null");
                Ok(())
            }
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Skips the opening bracket and reads what follows with `read`.
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
        let (at, start) = (self.at, self.out.len());
        self.out.push('{');
        self.skip_space();
        while !self.eat(b'}') {
            let is_first = self.out.len() == start + 1;
            self.key()?;
            self.skip_space();
            if self.of_field && is_first && matches!(self.peek(), Some(b',' | b'}')) {
                // A set. Its first item is read again, as a value instead of a key.
                self.at = at;
                self.out.truncate(start);
                self.out.push('[');
                self.items(b'}', "`,` or `}`")?;
                self.out.push(']');
                return Ok(());
            }
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

    /// A key is a value. If its JSON text is not a string, it becomes one.
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
            // Moves the value, at most once per level, so the time stays linear.
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
            } else if self.of_field && self.peek().is_some_and(|b| b != close) && self.is_after_space() {
                self.out.push(',');
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
        // The shell of MongoDB prints `new Date(…)`.
        if self.eat_str("new ") {
            self.skip_space();
        }
        let start = self.at;
        self.at += self.name_len();
        let json = match &self.line[start..self.at] {
            "None" | "null" | "nan" | "NaN" | "inf" | "Infinity" | "NaT" | "np.nan" | "numpy.nan" => "null",
            "True" | "true" => "true",
            "False" | "false" => "false",
            _ => return self.call(start),
        };
        self.out.push_str(json);
        Ok(())
    }

    fn is_after_space(&self) -> bool {
        self.line.as_bytes()[..self.at].last().is_some_and(u8::is_ascii_whitespace)
    }
}

/// The items between two brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Items {
    /// No value so far.
    Any,
    /// One value and no comma.
    OneAlone,
    /// Values with a comma.
    Separated,
}

#[cfg(test)]
pub(crate) mod repr;
#[cfg(test)]
mod tests;
