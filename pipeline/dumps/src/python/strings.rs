//! Python strings to JSON strings: prefixes, quotes, escapes, adjacent strings.
use std::fmt::Write as _;

use memchr::memchr2;

use super::{PythonLiteralError, Reader};

impl Reader<'_> {
    /// The prefix and quotes of a string that opens here.
    pub(super) fn string_opens(&self) -> Option<Opening> {
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

    /// One string, or several in a row, which Python joins and numpy does not.
    pub(super) fn strings(&mut self) -> Result<(), PythonLiteralError> {
        self.text.clear();
        let mut end = self.at;
        while let Some(opening) = self.string_opens() {
            self.string(opening)?;
            end = self.at;
            if self.of_field {
                break;
            }
            self.skip_space();
        }
        self.at = end;
        push_json_string(&self.text, &mut self.out);
        Ok(())
    }

    /// Appends the contents of a string to `self.text`.
    fn string(&mut self, opening: Opening) -> Result<(), PythonLiteralError> {
        let Opening { at: start, quote, .. } = opening;
        self.at += opening.len;
        // The first half of a surrogate pair that waits for its second.
        let mut high = None;
        // Bytes of a `b'…'` that wait for the rest of a character.
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
                // The backslash stays, and so does a quote after it.
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

    /// Writes a waiting half of a surrogate pair, or waiting bytes.
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
                // The next character is read like any other.
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
        let escape = self.line[start..].chars().take(10).map(|c| if c.is_control() { '?' } else { c }).collect();
        PythonLiteralError::Escape { at: start, escape }
    }
}

/// How a string opens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// The position of its prefix or quotes.
    at: usize,
    /// Bytes of prefix and quotes.
    len: usize,
    quote: u8,
    triple: bool,
    raw: bool,
    bytes: bool,
}

/// The value of an escape.
#[derive(Clone, Copy, Debug)]
enum Escape {
    Text(char),
    /// Half of a surrogate pair.
    Surrogate(u16),
    /// A byte of a bytes literal.
    Byte(u8),
    /// A line continuation.
    Nothing,
    /// Not an escape: the backslash is text.
    Kept,
}

/// Appends `text` as a JSON string.
pub(super) fn push_json_string(text: &str, out: &mut String) {
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
