//! Blocks of `name: value` lines with blank lines between them, as SNAP publishes reviews and products.
use std::io::{self, Read};

use super::{Found, Records, write_string};
use crate::lines::{LineBatch, LineReader, MAX_LINE};

/// Bytes of one batch of lines.
const BATCH: usize = 1 << 18;

/// How lines of blocks are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockNames {
    /// `review/score: 5.0`.
    Reviews,
    /// `ASIN: 0827229534`, and indented lines.
    Products,
}

impl BlockNames {
    /// The field of a dump that a line holds, and its value. `None` for a line that continues the one before it.
    pub(crate) fn split(self, line: &str) -> Option<(Option<&'static str>, &str)> {
        let (name, value) = line.split_once(':')?;
        let name = match self {
            Self::Reviews => {
                let (thing, name) = name.split_once('/')?;
                if ![thing, name].iter().all(|word| is_word(word)) {
                    return None;
                }
                name
            }
            Self::Products => name,
        };
        let field = match (self, name) {
            (Self::Reviews, "productId" | "beerId" | "wineId") => Some("asin"),
            (Self::Reviews, "userId") => Some("reviewerID"),
            (Self::Reviews, "score" | "overall") => Some("overall"),
            (Self::Reviews, "time") => Some("unixReviewTime"),
            (Self::Reviews, "summary") => Some("summary"),
            (Self::Reviews, "text") => Some("reviewText"),
            (Self::Products, "ASIN") => Some("asin"),
            (Self::Products, "title") => Some("title"),
            (Self::Products, "group") => Some("category"),
            (Self::Products, "similar") => Some("also_view"),
            _ => None,
        };
        Some((field, value.trim()))
    }
}

fn is_word(word: &str) -> bool {
    !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The blocks of a file as JSON objects with the fields of the 2014 dump.
pub(super) struct Blocks {
    lines: LineReader,
    names: BlockNames,
    batch: LineBatch,
    /// Lines of the batch that were taken.
    taken: usize,
    damage: Option<io::Error>,
    ended: bool,
    /// Number of the last line that was taken.
    last_line: u64,
}

/// A block.
#[derive(Default)]
struct Block {
    line: u64,
    fields: Vec<(&'static str, String)>,
    /// Whether the last line is a field that is kept.
    continues: bool,
    bytes: usize,
    /// The first line that is not UTF-8, with its error.
    malformed: Option<String>,
}

impl Blocks {
    pub(super) fn new(stream: Box<dyn Read + Send>, names: BlockNames) -> Self {
        let lines = LineReader::new(stream);
        Self { lines, names, batch: LineBatch::default(), taken: 0, damage: None, ended: false, last_line: 0 }
    }

    /// Makes the next line that is not blank the current one. Returns whether there is one.
    fn fill(&mut self) -> bool {
        while self.taken == self.batch.len() {
            if self.ended {
                return false;
            }
            match self.lines.next_batch(BATCH) {
                Some(mut batch) => {
                    self.damage = batch.damage.take().map(|damage| damage.error);
                    (self.batch, self.taken) = (batch, 0);
                }
                None => self.ended = true,
            }
        }
        true
    }

    fn block(&mut self) -> Option<Block> {
        let mut block = Block::default();
        while self.fill() {
            let line = self.batch.get(self.taken);
            // Blank lines are counted and not given. So are those that are too long.
            let is_too_long = |number: u64| self.batch.too_long.contains(&number);
            if block.line > 0 && line.number > self.last_line + 1 {
                if !(self.last_line + 1..line.number).any(is_too_long) {
                    return Some(block);
                }
                block.bytes += MAX_LINE;
            }
            // Some copies have no blank lines.
            if self.names == BlockNames::Reviews && block.names_product() && begins_record(line.bytes) {
                return Some(block);
            }
            if block.line == 0 {
                block.line = line.number;
            }
            self.last_line = line.number;
            self.taken += 1;
            block.bytes += line.bytes.len();
            match std::str::from_utf8(line.bytes) {
                Ok(text) => block.add(self.names, text),
                Err(error) => {
                    let why = format!("line {}: invalid UTF-8 after byte {}", line.number, error.valid_up_to());
                    block.malformed.get_or_insert(why);
                }
            }
        }
        (block.line > 0).then_some(block)
    }
}

/// Whether a line names the product of a review, as the first line of each does.
fn begins_record(line: &[u8]) -> bool {
    let line = std::str::from_utf8(line).ok();
    line.and_then(|line| BlockNames::Reviews.split(line)).is_some_and(|(field, _)| field == Some("asin"))
}

impl Block {
    fn names_product(&self) -> bool {
        self.fields.iter().any(|(field, _)| *field == "asin")
    }

    fn add(&mut self, names: BlockNames, line: &str) {
        match names.split(line) {
            Some((None, _)) => self.continues = false,
            Some((Some(field), value)) => {
                self.continues = true;
                // Some data sets name a reviewer or a score twice; the first is the one of the review.
                if self.fields.iter().any(|(known, _)| *known == field) {
                    self.continues = false;
                } else if self.bytes <= MAX_LINE {
                    self.fields.push((field, value.to_owned()));
                }
            }
            None if names == BlockNames::Reviews && self.continues && self.bytes <= MAX_LINE => {
                if let Some((_, text)) = self.fields.last_mut() {
                    text.push('\n');
                    text.push_str(line);
                }
            }
            None => {}
        }
    }

    fn write(&self, into: &mut Vec<u8>) {
        into.push(b'{');
        for (number, (field, value)) in self.fields.iter().filter(|(_, value)| !value.is_empty()).enumerate() {
            if number > 0 {
                into.push(b',');
            }
            write_string(field.as_bytes(), into);
            into.push(b':');
            if *field == "also_view" {
                // Their number comes first.
                into.push(b'[');
                for (number, id) in value.split_ascii_whitespace().skip(1).enumerate() {
                    if number > 0 {
                        into.push(b',');
                    }
                    write_string(id.as_bytes(), into);
                }
                into.push(b']');
            } else {
                write_string(value.as_bytes(), into);
            }
        }
        into.push(b'}');
    }
}

impl Records for Blocks {
    fn next(&mut self, into: &mut Vec<u8>) -> Option<io::Result<(u64, Found)>> {
        loop {
            let Some(block) = self.block() else { return self.damage.take().map(Err) };
            if let Some(why) = block.malformed {
                return Some(Ok((block.line, Found::Malformed(why))));
            }
            if block.bytes > MAX_LINE {
                return Some(Ok((block.line, Found::TooLong)));
            }
            // Such as the head of a file.
            if block.fields.is_empty() || self.names == BlockNames::Products && block.fields.len() < 2 {
                continue;
            }
            block.write(into);
            return Some(Ok((block.line, Found::Record)));
        }
    }
}
