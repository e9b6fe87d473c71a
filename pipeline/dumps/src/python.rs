//! Python literals to JSON.
//!
//! The 2014 dump was written with Python's `repr`, one dict literal a line:
//! `{'asin': '0061', 'title': "It's"}`. [`python_to_json`] turns such a line
//! into the JSON that the rest of the reader knows. It reads JSON as well, with
//! what strict parsers refuse (`NaN`, a trailing comma, a raw tab in a string),
//! so it is also the second chance of a JSON line.
//!
//! ```
//! # use ebert_dumps::python::python_to_json;
//! let json = python_to_json(r#"{'asin': '0061', 'title': "It's", 'price': None, 'tags': ('a', u'b',)}"#)?;
//! assert_eq!(json, r#"{"asin":"0061","title":"It's","price":null,"tags":["a","b"]}"#);
//! # Ok::<(), ebert_dumps::python::PythonLiteralError>(())
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

use std::fmt;

mod numbers;
mod strings;

use strings::push_json_string;

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

#[cfg(test)]
mod repr;
#[cfg(test)]
mod tests;
