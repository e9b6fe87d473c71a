//! The items of the lists `features` and `description`.
//!
//! # When items are joined
//!
//! The 2023 dump has the text nodes of a page as items, so an italic title splits a sentence into
//! three items. A *split list* has an item that can only be a piece. Such pieces are punctuation, an
//! article or a conjunction alone, a beginning such as `, author of`, a heading of the page such as
//! `About the Author`, and an edition note. Two neighbors are joined if neither is a heading and one
//! of these holds:
//!
//! 1. The second begins with closing punctuation: `, author of`. No space is put in.
//! 2. In a split list, the second begins in lower case.
//! 3. In a split list, the first ends with an open end: an article, a preposition, a comma, a dash,
//!    an opening quote.
//! 4. In a split list, the first is a long piece without its end, the second is a short name, and the third
//!    continues by 1 or 2.
//! 5. In a split list, the first is an article alone: `The`.
//! 6. In a description that is not split, the second begins in lower case and ends like a sentence,
//!    and the first does neither.
//!
//! Features are joined only in split lists: `Soft cotton` and `easy to wash` are two features.
use std::ops::Range;

use memchr::{memchr, memchr_iter, memmem, memrchr};

use super::{
    Removals, Rule,
    code::{may_hold_code, strip_code},
    lines::{MAX_EDITION, may_hold_lines, strip_lines},
};

/// The field that an item is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Field {
    Features,
    Description,
}

/// An item in the text of a product: one or more lines.
#[derive(Clone, Debug)]
struct Item {
    field: Field,
    range: Range<usize>,
}

impl Item {
    fn of<'t>(&self, text: &'t str) -> &'t str {
        &text[self.range.clone()]
    }
}

/// The items of a product's text, each on lines of its own.
#[derive(Debug, Default)]
pub(crate) struct Items {
    items: Vec<Item>,
    kept: Vec<Item>,
    joins: Vec<Join>,
    rewritten: String,
}

/// How an item is joined to the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    /// On a line of its own.
    Line,
    Space,
    Nothing,
}

/// Whether an item may hold boilerplate. Nearly all items do not.
fn may_hold_boilerplate(item: &str) -> bool {
    may_hold_code(item) || may_hold_lines(item)
}

/// Headings of the page in descriptions. A heading is on a line of its own.
const HEADINGS: [&str; 26] = [
    "About the Author",
    "About the Authors",
    "About the Artist",
    "Amazon.com",
    "Amazon.com Review",
    "Amazon.co.uk Review",
    "Book Description",
    "Chapter One",
    "Description",
    "Features",
    "From AudioFile",
    "From Booklist",
    "From Kirkus Reviews",
    "From Library Journal",
    "From Publishers Weekly",
    "From School Library Journal",
    "From The Washington Post",
    "From the Author",
    "From the Back Cover",
    "From the Inside Flap",
    "From the Manufacturer",
    "From the Publisher",
    "Product Description",
    "Product description",
    "Review",
    "Specifications",
];

/// Headings that only a page with text by several sources has.
const HEADINGS_OF_BOOKS: [&str; 8] = [
    "About the Author",
    "About the Authors",
    "From the Author",
    "From the Back Cover",
    "From the Inside Flap",
    "From Publishers Weekly",
    "From Booklist",
    "Review",
];

/// Sources behind a `From` on its own.
const SOURCES: [&str; 9] = [
    "Booklist",
    "AudioFile",
    "Kirkus Reviews",
    "Library Journal",
    "Publishers Weekly",
    "School Library Journal",
    "The New Yorker",
    "The Washington Post",
    "Bookmarks Magazine",
];

/// Items that are pieces of a sentence: a conjunction, a preposition, punctuation.
const PIECES: [&str; 24] = [
    "and",
    "or",
    "by",
    "of",
    "in",
    "is",
    "the",
    "to",
    "for",
    "with",
    ", and",
    ", by",
    "and the",
    "author of",
    "is the author of",
    "bestselling author of",
    ",",
    ".",
    ";",
    "\"",
    "“",
    "”",
    "(",
    ").",
];

/// Articles that stand alone before a name in italics. `A` may be a letter, a vitamin or a kind of plug.
const ARTICLES: [&str; 2] = ["The", "An"];

/// Words that end no sentence.
const OPEN_WORDS: [&str; 28] = [
    "a",
    "an",
    "and",
    "as",
    "at",
    "author",
    "but",
    "by",
    "called",
    "for",
    "from",
    "her",
    "his",
    "in",
    "including",
    "into",
    "is",
    "its",
    "of",
    "or",
    "our",
    "the",
    "their",
    "to",
    "was",
    "with",
    "your",
    "&",
];

impl Items {
    pub(crate) fn clear(&mut self) {
        self.items.clear();
    }

    /// Adds an item, which must stand behind the ones before it.
    pub(crate) fn push(&mut self, field: Field, range: Range<usize>) {
        self.items.push(Item { field, range });
    }

    /// The texts of the items of a field.
    pub(crate) fn texts<'t>(&'t self, field: Field, text: &'t str) -> impl Iterator<Item = &'t str> {
        self.items.iter().filter(move |item| item.field == field).map(|item| item.of(text))
    }

    /// Removes from the text what is not by the maker, and joins the pieces of sentences.
    pub(crate) fn strip(&mut self, text: &mut String, removals: &mut Removals) {
        let Some(first) = self.items.first() else { return };
        let start = first.range.start;
        let may_hold_boilerplate = |item: &Item| may_hold_boilerplate(item.of(text));
        let has_notes = self.items.iter().any(may_hold_boilerplate) && self.strip_items(text, start, removals);
        self.decide_joins(text, has_notes);
        if self.joins.iter().any(|join| *join != Join::Line) {
            self.join(text, start, removals);
        }
        // The title may end the text now.
        let end = text.trim_end_matches('\n').len();
        text.truncate(end);
    }

    /// Rewrites the items without boilerplate. Returns whether there was an edition note.
    fn strip_items(&mut self, text: &mut String, start: usize, removals: &mut Removals) -> bool {
        let Self { items, kept, rewritten, .. } = self;
        kept.clear();
        rewritten.clear();
        rewritten.push_str(&text[..start]);
        let mut has_notes = false;
        let mut after_returns = false;
        let mut at = 0;
        while at < items.len() {
            let item = &items[at];
            at += 1;
            let item_text = item.of(text);
            let begin = rewritten.len();
            if !may_hold_boilerplate(item_text) && !after_returns {
                rewritten.push_str(item_text);
                kept.push(Item { field: item.field, range: begin..rewritten.len() });
                rewritten.push('\n');
                continue;
            }
            let code_free = if may_hold_code(item_text) { strip_code(item_text, removals) } else { item_text.into() };
            let mut rest = &*code_free;
            let mut parts = String::new();
            // Edition notes, which may continue in the next items.
            while let Some(note) = edition_note(rest) {
                let following = if note.is_complete {
                    0
                } else {
                    let next = |offset: usize| items.get(at + offset).map(|item| item.of(text)).unwrap_or_default();
                    match [1, 2]
                        .into_iter()
                        .find(|&count| is_end_of_edition(next(count - 1)) && (count == 1 || is_edition(next(0))))
                    {
                        Some(count) => count,
                        None => break,
                    }
                };
                has_notes = true;
                let mut logged = rest[note.range.clone()].to_owned();
                for item in &items[at..at + following] {
                    logged.push(' ');
                    logged.push_str(item.of(text));
                }
                at += following;
                removals.remove(Rule::EditionNotes, logged.trim());
                let before = rest[..note.range.start].trim_end();
                parts.push_str(before);
                if !before.is_empty() {
                    parts.push('\n');
                }
                rest = rest[note.range.end..].trim_start();
            }
            parts.push_str(rest);
            let whole = parts.trim_end();
            let before = removals.of(Rule::ViewLarger).pieces;
            strip_lines(whole, rewritten, &mut after_returns, removals);
            if removals.of(Rule::ViewLarger).pieces > before && items.get(at).is_some_and(|next| next.of(text) == ".") {
                at += 1;
            }
            if rewritten.len() > begin {
                kept.push(Item { field: item.field, range: begin..rewritten.len() });
                rewritten.push('\n');
            }
        }
        std::mem::swap(text, rewritten);
        std::mem::swap(items, kept);
        has_notes
    }

    /// Decides how each item is joined to the one before it.
    fn decide_joins(&mut self, text: &str, has_notes: bool) {
        let Self { items, joins, .. } = self;
        joins.clear();
        joins.resize(items.len(), Join::Line);
        let mut from = 0;
        while from < items.len() {
            let field = items[from].field;
            let to = from + items[from..].iter().take_while(|item| item.field == field).count();
            if to - from > 1 {
                let list = List {
                    texts: &|at: usize| items[at].of(text),
                    field,
                    is_split: has_notes && field == Field::Description
                        || items[from..to].iter().any(|item| shows_split(item.of(text)))
                        || items[from..to].windows(2).any(|pair| is_article(pair[0].of(text), pair[1].of(text))),
                };
                list.decide(from..to, joins);
            }
            from = to;
        }
    }

    fn join(&mut self, text: &mut String, start: usize, removals: &mut Removals) {
        let Self { items, joins, rewritten, .. } = self;
        rewritten.clear();
        rewritten.push_str(&text[..start]);
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                match joins[at] {
                    Join::Line => rewritten.push('\n'),
                    Join::Space => rewritten.push(' '),
                    Join::Nothing => {}
                }
                if joins[at] != Join::Line {
                    let before = items[at - 1].of(text);
                    removals.count(Rule::JoinedListItems, 0, || format!("{} | {}", tail(before), item.of(text)));
                }
            }
            rewritten.push_str(item.of(text));
        }
        std::mem::swap(text, rewritten);
    }
}

/// The last characters of a text, for a log.
fn tail(text: &str) -> &str {
    let at = text.char_indices().rev().nth(50).map_or(0, |(at, _)| at);
    &text[at..]
}

/// A list of items that is decided about.
struct List<'t> {
    texts: &'t dyn Fn(usize) -> &'t str,
    field: Field,
    is_split: bool,
}

impl List<'_> {
    fn decide(&self, range: Range<usize>, joins: &mut [Join]) {
        if self.field == Field::Features && !self.is_split {
            return;
        }
        let last_line = |at: usize| {
            let text = (self.texts)(at);
            memrchr(b'\n', text.as_bytes()).map_or(text, |line| &text[line + 1..])
        };
        let first_line = |at: usize| {
            let text = (self.texts)(at);
            memchr(b'\n', text.as_bytes()).map_or(text, |line| &text[..line])
        };
        if !self.is_split {
            for (at, join) in joins.iter_mut().enumerate().take(range.end).skip(range.start + 1) {
                // Nearly all items begin with a capital or a digit.
                let text = (self.texts)(at);
                if is_lower(text) || is_closing(text) {
                    let (before, text) = (last_line(at - 1), first_line(at));
                    if !is_heading(before) {
                        *join = Self::join_rarely(before, text);
                    }
                }
            }
            return;
        }
        // Whether the line so far is one that nothing is joined to, and whether it has an open `"`.
        let mut is_closed = is_heading(last_line(range.start));
        let mut open_quote = has_open_quote(last_line(range.start));
        let mut is_joined = false;
        for (at, join_of_item) in joins.iter_mut().enumerate().take(range.end).skip(range.start + 1) {
            let (before, text) = (last_line(at - 1), first_line(at));
            let is_source = before == "From" && SOURCES.contains(&text);
            let join = if is_source {
                Join::Space
            } else if is_closed || is_heading(text) {
                Join::Line
            } else {
                let next = (at + 1 < range.end).then(|| first_line(at + 1)).filter(|next| !is_heading(next));
                if is_article((self.texts)(at - 1), text) {
                    Join::Space
                } else {
                    Self::join(before, text, next, open_quote, is_joined)
                }
            };
            *join_of_item = join;
            let is_one_line = !(self.texts)(at).contains('\n');
            let quotes = has_open_quote(last_line(at));
            if join == Join::Line || !is_one_line {
                open_quote = quotes;
                is_closed = is_heading(last_line(at));
            } else {
                open_quote ^= quotes;
                is_closed = is_source;
            }
            is_joined = join != Join::Line && is_one_line;
        }
    }

    /// As [`List::join`], in a description without the signs of split sentences.
    fn join_rarely(before: &str, text: &str) -> Join {
        if is_closing(text) {
            return if ends_sentence(before) && text.starts_with(['?', '!', ':']) { Join::Line } else { Join::Nothing };
        }
        let is_end = ends_sentence(text) && text.contains(' ');
        let is_start = !is_lower(before) && !ends_sentence(before) && before.ends_with(char::is_alphanumeric);
        if is_end && is_start && !is_bullet(before) { Join::Space } else { Join::Line }
    }

    fn join(before: &str, text: &str, next: Option<&str>, open_quote: bool, is_joined: bool) -> Join {
        // `? NO-SLIP GRIP` is an item whose bullet was lost.
        if is_closing(text) && !(ends_sentence(before) && text.starts_with(['?', '!', ':'])) {
            return Join::Nothing;
        }
        if text.starts_with('"') && open_quote && text[1..].chars().next().is_none_or(|c| !c.is_alphanumeric()) {
            return Join::Nothing;
        }
        if before.ends_with(['“', '(', '[', '‘'])
            || before == "\"" && open_quote
            || before.ends_with(" \"") && open_quote
        {
            return Join::Nothing;
        }
        // `ii` alone, behind a sentence, is a heading.
        let is_continued = is_lower(text) && (text.contains(' ') || !ends_sentence(before));
        if is_continued || is_open(before) {
            return Join::Space;
        }
        // `… cohost of` is handled above. Here: `co-authored Ann’s`, `Around Beauty`, `and more.`
        let is_long = is_joined || before.split(' ').nth(5).is_some();
        let is_name = text.starts_with(char::is_uppercase) && text.split(' ').nth(10).is_none() && !ends_sentence(text);
        // `Color`, `: red` is a pair of its own.
        let continues = next.is_some_and(|next| is_closing(next) && !next.starts_with(':') || is_lower(next));
        let is_unfinished =
            before.ends_with(|c: char| c.is_alphanumeric() || c == '’') && !before.starts_with(['-', '—', '―', '–']);
        if is_long && is_name && continues && is_unfinished { Join::Space } else { Join::Line }
    }
}

/// The longest of [`PIECES`] and [`HEADINGS_OF_BOOKS`] in bytes. Most items are longer.
const MAX_SIGN: usize = 22;

/// Whether an item can only be a piece of a sentence, or a heading of a page of a book.
fn shows_split(item: &str) -> bool {
    item.len() <= MAX_SIGN && (PIECES.contains(&item) || HEADINGS_OF_BOOKS.contains(&item))
        || is_closing(item) && item.len() > 1 && !item.starts_with(':')
}

/// Whether an item is the article of the next one.
fn is_article(item: &str, next: &str) -> bool {
    ARTICLES.contains(&item) && next.starts_with(char::is_alphanumeric)
}

fn is_heading(line: &str) -> bool {
    HEADINGS.contains(&line) || line.ends_with(':') && line.split(' ').nth(6).is_none()
}

/// Whether a line begins with punctuation that closes or continues what stands before it.
fn is_closing(line: &str) -> bool {
    let mut chars = line.chars();
    let Some(first) = chars.next() else { return false };
    let second = chars.next();
    match first {
        // `.925 silver`, `:-)` and `!important` are words.
        ',' | '.' | ';' | '?' | '!' | ':' => second.is_none_or(|c| c == ' ' || "\"”’)'".contains(c)),
        ')' | ']' => true,
        // Some people open a quotation with it.
        '”' => second.is_none_or(|c| !c.is_alphanumeric()),
        '’' | '\'' => second == Some('s') && chars.next().is_none_or(|c| c == ' '),
        _ => false,
    }
}

/// Whether a line begins with a word in lower case. `iPad` is a name.
fn is_lower(line: &str) -> bool {
    let mut chars = line.chars();
    chars.next().is_some_and(char::is_lowercase) && !chars.next().is_some_and(char::is_uppercase)
}

fn is_bullet(line: &str) -> bool {
    line.starts_with(|c: char| !c.is_alphabetic() && !"\"“'‘(".contains(c))
}

fn ends_sentence(line: &str) -> bool {
    line.trim_end_matches(['"', '”', '’', '\'', ')']).ends_with(['.', '!', '?', '…'])
}

/// Whether a line continues in the next one: `is the author of`.
fn is_open(line: &str) -> bool {
    if line.ends_with([',', '—', '―']) || line.ends_with("--") {
        return true;
    }
    let mut words = line.rsplit(' ');
    let last = words.next().unwrap_or_default();
    // `Width: 5 in`.
    let mut is_unit = || words.next().is_some_and(|word| word.ends_with(|c: char| c.is_ascii_digit()));
    OPEN_WORDS.contains(&last) && !(matches!(last, "in" | "a") && is_unit())
}

fn has_open_quote(line: &str) -> bool {
    memchr_iter(b'"', line.as_bytes()).count() % 2 == 1
}

/// An edition note in an item.
struct Note {
    range: Range<usize>,
    /// Whether it ends in the item.
    is_complete: bool,
}

/// The first edition note of a text.
fn edition_note(text: &str) -> Option<Note> {
    const WORDS: &str = "This text refers to ";
    const WORDS_AT_END: &str = "This text refers to";
    let finder = memmem::find_iter(text.as_bytes(), WORDS_AT_END);
    for at in finder {
        let before = text[..at].trim_end_matches(' ');
        let bare = before.trim_end_matches(['-', '–', '—', '―', '(', ' ']);
        if !(bare.len() < before.len() || bare.is_empty() || bare.ends_with('\n')) {
            continue;
        }
        let rest = &text[at..];
        let Some(edition) = rest.strip_prefix(WORDS).or_else(|| rest.strip_prefix(WORDS_AT_END)) else { continue };
        let edition_at = text.len() - edition.len();
        let mut window = edition.len().min(MAX_EDITION);
        while !edition.is_char_boundary(window) {
            window -= 1;
        }
        if let Some(length) = memmem::find(&edition.as_bytes()[..window], b"edition")
            // `kindle_edition edition.`
            .map(|first| {
                let again = &edition[first + "edition".len()..];
                let bytes = again.len().min(" edition".len());
                if again.get(..bytes) == Some(" edition") || again.get(..bytes) == Some("\nedition") {
                    first + "edition edition".len()
                } else {
                    first + "edition".len()
                }
            })
            .filter(|length| is_edition(&edition[..*length]))
        {
            let mut end = edition_at + length;
            for tail in [" of this title", " of the title"] {
                if text[end..].starts_with(tail) {
                    end += tail.len();
                }
            }
            // `This text refers to the Hardcover edition, which is bigger.` is a sentence.
            if !(end == text.len() || text[end..].starts_with(['.', ')', '\n'])) {
                continue;
            }
            if text[end..].starts_with('.') {
                end += 1;
            }
            if text[end..].starts_with(')') {
                end += 1;
            }
            return Some(Note { range: bare.len()..end, is_complete: true });
        }
        if edition.is_empty() || is_edition(edition) {
            return Some(Note { range: bare.len()..text.len(), is_complete: false });
        }
    }
    // `From the Hardcover edition.` on the last line.
    let line_at = text.rfind('\n').map_or(0, |at| at + 1);
    let bound = text[line_at..].strip_prefix("From the ")?.strip_suffix(" edition.")?;
    let is_bound = ["Hardcover", "Paperback", "Cassette", "CD", "Disc", "Binding", "eBook", "Audio"]
        .iter()
        .any(|word| bound.ends_with(word));
    (is_bound && bound.split(' ').nth(4).is_none()).then_some(Note { range: line_at..text.len(), is_complete: true })
}

/// Whether the words name an edition: `an alternate`, `kindle_edition`.
fn is_edition(words: &str) -> bool {
    words.len() <= MAX_EDITION
        && words.split([' ', '\n']).nth(8).is_none()
        && words.chars().all(|c| c.is_alphanumeric() || " \n_-/".contains(c))
}

/// Whether an item is the end of an edition note.
fn is_end_of_edition(item: &str) -> bool {
    matches!(item, "edition." | "edition" | "edition of this title." | "edition of this title" | "edition.)")
}

#[cfg(test)]
mod tests;
