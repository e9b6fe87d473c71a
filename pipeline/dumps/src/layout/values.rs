//! JSON values of any form: over several lines, several on a line, in arrays, inside other objects.
use std::io::{self, BufRead, BufReader, Read};

use super::{Found, Records};
use crate::{
    lines::{BYTE_ORDER_MARK, MAX_LINE},
    open::peek,
};

/// Bytes of one read from the stream.
const READ: usize = 1 << 17;

/// Characters of a piece that is not a record, for a message.
const MOST_SHOWN: usize = 24;

/// The objects at a path, one after another.
///
/// An array is transparent: its objects stand where it stands. So the path is empty for values one after another and
/// for those of an array, and `["products"]` for `{"products": [{…}, {…}]}`.
pub(super) struct Values {
    stream: BufReader<Box<dyn Read + Send>>,
    path: Vec<Vec<u8>>,
    /// Number of the last record.
    number: u64,
    /// The containers around the position, outside records.
    open: Vec<Open>,
}

/// A container that is not a record.
enum Open {
    Array,
    Object {
        /// The field whose value comes next or is being read. `None` before a name.
        key: Option<Vec<u8>>,
        /// Whether the next string is a name.
        before_key: bool,
    },
}

impl Values {
    pub(super) fn new(stream: Box<dyn Read + Send>, path: &[String]) -> Self {
        let path = path.iter().map(|part| part.as_bytes().to_vec()).collect();
        Self { stream: BufReader::with_capacity(READ, stream), path, number: 0, open: Vec::new() }
    }

    /// The byte at the position. `None` at the end of the stream.
    fn peek(&mut self) -> io::Result<Option<u8>> {
        Ok(peek(&mut self.stream)?.first().copied())
    }

    /// Moves over a byte.
    fn skip(&mut self) {
        self.stream.consume(1);
    }

    /// Whether an object that begins here is a record.
    fn is_at_path(&self) -> bool {
        let keys = self.open.iter().filter_map(|open| match open {
            Open::Array => None,
            Open::Object { key, .. } => Some(key.as_deref().unwrap_or_default()),
        });
        keys.eq(self.path.iter().map(Vec::as_slice))
    }

    /// Reads a string whose opening quote is at the position. Keeps at most `most` bytes of it, without quotes.
    fn string(&mut self, most: usize) -> io::Result<Vec<u8>> {
        let Some(quote) = self.peek()? else { return Ok(Vec::new()) };
        self.skip();
        let (mut text, mut escaped) = (Vec::new(), false);
        while let Some(byte) = self.peek()? {
            self.skip();
            if !escaped && byte == quote {
                break;
            }
            escaped = !escaped && byte == b'\\';
            if text.len() < most {
                text.push(byte);
            }
        }
        Ok(text)
    }

    /// Reads what is neither white space nor a bracket nor a comma, up to the next of these.
    fn scalar(&mut self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(byte) = self.peek()? {
            if b"{}[],:\"'".contains(&byte) || byte.is_ascii_whitespace() {
                break;
            }
            self.skip();
            if text.len() < MOST_SHOWN {
                text.push(byte);
            }
        }
        Ok(text)
    }

    /// Appends the object at the position. Returns whether it is too long, and then keeps nothing.
    fn object(&mut self, into: &mut Vec<u8>) -> io::Result<bool> {
        let start = into.len();
        let (mut depth, mut quote, mut escaped, mut too_long) = (0_usize, None, false, false);
        loop {
            let bytes = peek(&mut self.stream)?;
            if bytes.is_empty() {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends inside a record"));
            }
            let mut ended = None;
            for (at, &byte) in bytes.iter().enumerate() {
                match (quote, byte) {
                    (Some(_), _) if escaped => escaped = false,
                    (Some(_), b'\\') => escaped = true,
                    (Some(opened), byte) if byte == opened => quote = None,
                    (None, b'"' | b'\'') => quote = Some(byte),
                    (None, b'{' | b'[') => depth += 1,
                    (None, b'}' | b']') => {
                        depth -= 1;
                        if depth == 0 {
                            ended = Some(at + 1);
                            break;
                        }
                    }
                    _ => {}
                }
            }
            let taken = ended.unwrap_or(bytes.len());
            too_long |= into.len() - start + taken > MAX_LINE;
            if too_long {
                into.truncate(start);
            } else {
                into.extend_from_slice(&bytes[..taken]);
            }
            self.stream.consume(taken);
            if ended.is_some() {
                return Ok(too_long);
            }
        }
    }

    /// The next record, or what stands in place of one.
    fn advance(&mut self, into: &mut Vec<u8>) -> io::Result<Option<Found>> {
        while let Some(byte) = self.peek()? {
            match byte {
                b'{' if self.is_at_path() => {
                    let too_long = self.object(into)?;
                    return Ok(Some(if too_long { Found::TooLong } else { Found::Record }));
                }
                b'{' => {
                    self.skip();
                    self.open.push(Open::Object { key: None, before_key: true });
                }
                b'[' => {
                    self.skip();
                    self.open.push(Open::Array);
                }
                b'}' | b']' => {
                    self.skip();
                    if self.open.pop().is_none() {
                        return Ok(Some(unexpected(&[byte])));
                    }
                }
                b',' => {
                    self.skip();
                    if let Some(Open::Object { key, before_key }) = self.open.last_mut() {
                        (*key, *before_key) = (None, true);
                    }
                }
                b':' => self.skip(),
                b'"' | b'\'' => {
                    const LONGEST_KEY: usize = 1 << 10;
                    let text = self.string(LONGEST_KEY)?;
                    if let Some(Open::Object { key, before_key: before_key @ true }) = self.open.last_mut() {
                        (*key, *before_key) = (Some(text), false);
                    } else if self.is_at_path() {
                        return Ok(Some(unexpected(&[b"\"", &text[..], b"\""].concat())));
                    }
                }
                byte if byte.is_ascii_whitespace() => self.skip(),
                _ if BYTE_ORDER_MARK.contains(&byte) => self.skip(),
                _ => {
                    let text = self.scalar()?;
                    if self.is_at_path() && text != b"null" {
                        return Ok(Some(unexpected(&text)));
                    }
                }
            }
        }
        match self.open.pop() {
            None => Ok(None),
            Some(open) => {
                self.open.clear();
                let close = if matches!(open, Open::Array) { ']' } else { '}' };
                let message = format!("the file ends before the closing `{close}`");
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, message))
            }
        }
    }
}

/// What stands where a record is expected.
fn unexpected(text: &[u8]) -> Found {
    let shown: String = String::from_utf8_lossy(text).chars().take(MOST_SHOWN).collect();
    Found::Malformed(format!("found `{shown}`, expected an object"))
}

impl Records for Values {
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>> {
        match self.advance(into) {
            Ok(found) => found.map(|found| {
                self.number += 1;
                Ok((self.number, found))
            }),
            Err(error) => Some(Err(error)),
        }
    }
}
