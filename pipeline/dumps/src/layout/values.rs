//! JSON values of any form: over several lines, several on a line, in arrays, inside other objects.
use std::io::{self, BufRead, BufReader, Read};

use memchr::memmem;

use super::{Found, Records};
use crate::{
    lines::{BYTE_ORDER_MARK, MAX_LINE},
    open::peek,
    record::is_of_reviews,
};

/// Bytes of one read from the stream.
const READ: usize = 1 << 17;

/// Fields of the id of a product.
const IDS: [&[u8]; 2] = [b"asin", b"parent_asin"];

/// Characters of a piece that is not a record, for a message.
const MOST_SHOWN: usize = 24;

/// The objects at a path, one after another.
///
/// An array is transparent: its objects stand where it stands. So the path is empty for values one after another and
/// for those of an array, and `["products"]` for `{"products": [{…}, {…}]}`.
pub(super) struct Values {
    stream: BufReader<Box<dyn Read + Send>>,
    path: Vec<Vec<u8>>,
    /// Whether the records are reviews inside an object. They get the id of its product if they have none.
    are_of_product: bool,
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
        /// The id of the product, as it is written, if the object has had one so far, or a member `product` has.
        product: Option<Vec<u8>>,
    },
}

impl Values {
    pub(super) fn new(stream: Box<dyn Read + Send>, path: &[String]) -> Self {
        let are_of_product = path.iter().any(|part| is_of_reviews(part));
        let path = path.iter().map(|part| part.as_bytes().to_vec()).collect();
        Self { are_of_product, stream: BufReader::with_capacity(READ, stream), path, number: 0, open: Vec::new() }
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

    /// Takes note of the id of a product, if it is the value of this field.
    fn note_product(&mut self, field: &[u8], id: &[u8]) {
        if let Some(Open::Object { key: Some(key), product, .. }) = self.open.last_mut()
            && key == field
        {
            product.get_or_insert_with(|| id.to_vec());
        }
    }

    /// Gives the record that begins there the id of the product around it, if it has none.
    fn add_product(&self, into: &mut Vec<u8>, start: usize) {
        let record = &into[start..];
        let names = IDS.iter().flat_map(|id| [&b"\""[..], b"'"].map(|quote| [quote, *id, quote].concat()));
        let is_empty = record.iter().skip(1).find(|byte| !byte.is_ascii_whitespace()).is_none_or(|byte| *byte == b'}');
        if !self.are_of_product || is_empty || names.into_iter().any(|name| memmem::find(record, &name).is_some()) {
            return;
        }
        let around = self.open.iter().rev().find_map(|open| match open {
            Open::Object { product: Some(product), .. } => Some(product),
            _ => None,
        });
        if let Some(id) = around {
            drop(into.splice(start + 1..start + 1, [&b"\"asin\": "[..], id, b", "].concat()));
        }
    }

    /// The next record, or what stands in place of one.
    fn advance(&mut self, into: &mut Vec<u8>) -> io::Result<Option<Found>> {
        while let Some(byte) = self.peek()? {
            match byte {
                b'{' if self.is_at_path() => {
                    let start = into.len();
                    let too_long = self.object(into)?;
                    self.add_product(into, start);
                    return Ok(Some(if too_long { Found::TooLong } else { Found::Record }));
                }
                b'{' => {
                    self.skip();
                    self.open.push(Open::Object { key: None, before_key: true, product: None });
                }
                b'[' => {
                    self.skip();
                    self.open.push(Open::Array);
                }
                b'}' | b']' => {
                    self.skip();
                    match self.open.pop() {
                        None => return Ok(Some(unexpected(&[byte]))),
                        Some(Open::Object { product: Some(product), .. }) => self.note_product(b"product", &product),
                        Some(_) => {}
                    }
                }
                b',' => {
                    self.skip();
                    if let Some(Open::Object { key, before_key, .. }) = self.open.last_mut() {
                        (*key, *before_key) = (None, true);
                    }
                }
                b':' => self.skip(),
                b'"' | b'\'' => {
                    const LONGEST_KEY: usize = 1 << 10;
                    let text = self.string(LONGEST_KEY)?;
                    if let Some(Open::Object { key, before_key: before_key @ true, .. }) = self.open.last_mut() {
                        (*key, *before_key) = (Some(text), false);
                        continue;
                    }
                    IDS.iter().for_each(|id| self.note_product(id, &[&b"\""[..], &text, b"\""].concat()));
                    if self.is_at_path() {
                        return Ok(Some(unexpected(&[b"\"", &text[..], b"\""].concat())));
                    }
                }
                byte if byte.is_ascii_whitespace() => self.skip(),
                _ if BYTE_ORDER_MARK.contains(&byte) => self.skip(),
                _ => {
                    let text = self.scalar()?;
                    IDS.iter().filter(|_| text != b"null").for_each(|id| self.note_product(id, &text));
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
