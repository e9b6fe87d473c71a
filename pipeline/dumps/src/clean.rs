//! Raw product and review text to clean text.
//!
//! The dumps hold text from web pages: markup (`<br>`, whole scripts), entities that were escaped
//! up to three times (`&amp;amp;quot;`), control characters and runs of white space. [`clean`]
//! turns one field into lines of text. [`clean_line`] does the same on one line, for titles.
//!
//! ```
//! use ebert_dumps::clean::{clean, clean_line};
//!
//! let mut text = String::new();
//! clean("<p>Tom &amp;amp; Jerry&#39;s</p>\n\n5 &lt; 6,   <3", &mut text);
//! assert_eq!(text, "Tom & Jerry's\n5 < 6, <3");
//!
//! let mut title = String::new();
//! clean_line("Blue<br>Soap", &mut title);
//! assert_eq!(title, "Blue Soap");
//! ```
//!
//! # What counts as markup
//!
//! People write `<3`, `<john@x.com>` and `<insert name>`. Losing text is worse than keeping a
//! stray tag, so a `<` opens a tag only when all of this holds:
//!
//! * The name of an HTML element follows, or `/` and such a name, and the name ends there.
//! * The tag closes within [`MAX_TAG`] bytes, with no `<` outside its quotes. The bytes of a picture in a value do not
//!   count.
//! * The rest looks like attributes: `name=value`, or one of the few that have no value.
//!
//! Comments, `<!doctype …>`, the conditional markers of word processors, `<?xml …>`, and the brackets
//! of `<![CDATA[…]]>` are markup, too. Script and style elements are removed with their contents.
//!
//! Reviews have markup of Amazon's own. `[[ASIN:B000UJGRLW Ribose]]` becomes the name of the
//! product, `[[VIDEOID:…]]` becomes nothing. Many titles of the 2018 dump are the beginning of a
//! page's script instead of a title; [`is_script`] recognizes them.
//!
//! # Text in the wrong encoding
//!
//! UTF-8 that some program decoded as Windows-1252, such as `Itâ€™s`, is repaired where it cannot be
//! correct text. Correct text such as `SÃO PAULO` or `“MAÇÃ”` stays. A control character past ASCII
//! becomes the character of Windows-1252 that it stands for: `don\u{92}t` is `don’t`.
//!
//! # When `clean` is idempotent
//!
//! Markup may be escaped, so [`clean`] alternates between removing tags and unescaping until
//! nothing changes. Then `clean(clean(x)) == clean(x)`. At most [`MAX_ROUNDS`] rounds of
//! unescaping keep the time linear. Text that was escaped more often is left at the level reached,
//! and so are tags nested deeper inside tags (`<<<<<b>b>b>b>b>`). A second call would clean them
//! further.

use std::borrow::Cow;

use memchr::{memchr, memchr2, memchr2_iter, memmem};

mod amazon;
mod attributes;
mod elements;
mod encoding;
mod entities;
mod markup;
#[cfg(test)]
mod tests;
mod white_space;

pub use amazon::is_script;
pub(crate) use elements::is_element;
pub(crate) use entities::unescape;

use amazon::strip_references;
use encoding::repair_encoding;
use markup::strip_markup;
use white_space::{Breaks, tidy};

/// The largest number of times that a text is unescaped: `&amp;amp;quot;` needs three.
pub const MAX_ROUNDS: usize = 3;

/// The longest tag in bytes, from `<` to `>`. An unclosed `<` must not remove the text behind it.
/// The longest real tags are links with a tracking query.
pub const MAX_TAG: usize = 2_000;

/// Appends the clean text of one field to `out`.
///
/// Lines are separated by `\n` and not empty. A line has no white space at its ends and no two
/// white space characters in a row. Appends nothing if no text is left.
pub fn clean(raw: &str, out: &mut String) {
    clean_field(raw, Breaks::Keep, out);
}

/// As [`clean`], but on one line: a line break becomes one space.
pub fn clean_line(raw: &str, out: &mut String) {
    clean_field(raw, Breaks::Join, out);
}

/// As [`clean_line`], for names. A name that is a picture is the text in place of the picture:
/// `main_cat` of the 2018 dump may be `<img src="…" alt="AMAZON FASHION"/>`. Invisible characters
/// around a name are removed.
pub(crate) fn clean_name(raw: &str, out: &mut String) {
    let start = out.len();
    clean_line(raw, out);
    if out.len() == start && memchr2(b'<', b'&', raw.as_bytes()).is_some() {
        let plain = unescape(Cow::Borrowed(raw));
        clean_line(text_of_image(&plain).unwrap_or_default(), out);
    }
    let name = without_invisible(&out[start..]);
    if name.len() < out.len() - start {
        let name = name.to_owned();
        out.truncate(start);
        out.push_str(&name);
    }
}

/// A text without white space and invisible characters around it: marks of direction, zero-width spaces.
pub(crate) fn without_invisible(text: &str) -> &str {
    text.trim_matches(|c: char| is_mark(c) || c.is_whitespace())
}

/// Whether a character is invisible and has no width.
pub(crate) fn is_mark(c: char) -> bool {
    let is_direction = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    is_direction || matches!(c, '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// The text in place of the first picture: the value of `alt`.
fn text_of_image(markup: &str) -> Option<&str> {
    let lower = markup.to_ascii_lowercase();
    let tag = lower.find("<img")?;
    let value = tag
        + lower[tag..]
            .match_indices("alt=")
            .find(|(at, _)| {
                lower[tag..tag + at].ends_with(|c: char| c.is_ascii_whitespace() || matches!(c, '"' | '\''))
            })?
            .0
        + "alt=".len();
    let quote = markup[value..].chars().next().filter(|c| matches!(c, '"' | '\''))?;
    markup[value + 1..].split_once(quote).map(|(text, _)| text)
}

/// The text of a JSON string that was written as a string once more: `Caf\u00e9` with a backslash. It has such an
/// escape in a word, and all its backslashes and quotes are those of JSON. `"caf\u00e9"` in a text about programs
/// stays.
fn without_escapes(text: &str) -> Option<String> {
    let is_in_word = |at: usize| text[..at].ends_with(char::is_alphanumeric);
    let mut escapes = memmem::find_iter(text.as_bytes(), b"\\u");
    if !escapes.any(is_in_word) {
        return None;
    }
    let plain: Option<String> = serde_json::from_str(&format!("\"{text}\"")).ok();
    // These are in paths, and in no text.
    plain.filter(|plain| !plain.contains(['\u{8}', '\u{c}']))
}

/// Repairs the encoding, and writes line breaks that stand as characters: Excel's `_x000D_`, and `\r\n` or `\n` as some
/// shop systems and public data sets have it. A `\n` in a path or in a program stays ([`broken_lines`]).
fn repair(text: &str) -> Cow<'_, str> {
    const BREAKS: [&str; 2] = ["_x000D_", "\\r\\n"];
    let repaired = match without_escapes(text) {
        Some(plain) => Cow::Owned(repair_encoding(&plain).into_owned()),
        None => repair_encoding(text),
    };
    let repaired = match without_pictures(&repaired) {
        Some(without) => Cow::Owned(without),
        None => repaired,
    };
    let begins = |at: usize| BREAKS.iter().any(|spelled| repaired[at..].starts_with(spelled));
    let repaired = if memchr2_iter(b'_', b'\\', repaired.as_bytes()).any(begins) {
        Cow::Owned(BREAKS.iter().fold(repaired.into_owned(), |text, spelled| text.replace(spelled, "\n")))
    } else {
        repaired
    };
    match broken_lines(&repaired) {
        Some(broken) => Cow::Owned(broken),
        None => repaired,
    }
}

/// The text without pictures that stand in it as characters, outside of tags: `data:image/png;base64,…`, also in
/// Markdown: `![A cup](data:image/png;base64,…)`.
fn without_pictures(text: &str) -> Option<String> {
    const LEAST: usize = 64;
    // Nearly no text has one.
    memchr(b';', text.as_bytes())?;
    memmem::find(text.as_bytes(), b";base64,")?;
    let mut without = String::new();
    let mut done = 0;
    for at in memmem::find_iter(text.as_bytes(), ";base64,") {
        let Some(start) = text[done..at].rfind("data:").map(|start| done + start) else { continue };
        let is_type = |b: u8| b.is_ascii_alphanumeric() || b"/+-.;=".contains(&b);
        let data = at + ";base64,".len();
        let is_data = |b: &u8| b.is_ascii_alphanumeric() || b"+/=".contains(b);
        let end = data + text.as_bytes()[data..].iter().take_while(|b| is_data(b)).count();
        // A value of a tag goes with the tag.
        let is_value = text[..start].ends_with(['"', '\'', '=']) && text[..start].contains('<');
        if is_value || end < data + LEAST || !text[start + "data:".len()..at].bytes().all(is_type) {
            continue;
        }
        let markdown = text[done..start].strip_suffix("](").and_then(|before| before.rfind("!["));
        let (start, end) = match markdown.filter(|_| text[end..].starts_with(')')) {
            Some(image) => (done + image, end + 1),
            None => (start, end),
        };
        without.push_str(&text[done..start]);
        done = end;
    }
    without.push_str(&text[done..]);
    (done > 0).then_some(without)
}

/// The text with line breaks in place of `\n`, if it has such: two in a row, or one between the end of a sentence or
/// tag and the beginning of another.
fn broken_lines(text: &str) -> Option<String> {
    const SPELLED: &str = "\\n";
    let ends = |before: &str| {
        before.is_empty()
            || before.ends_with(|c: char| c.is_whitespace() || ">.!?;,)".contains(c)) && !before.ends_with("\\")
    };
    let begins = |behind: &str| {
        let is_first = |c: char| c.is_whitespace() || c.is_uppercase() || c.is_ascii_digit() || "<-*•".contains(c);
        behind.is_empty() || behind.starts_with(is_first)
    };
    memchr(b'\\', text.as_bytes())?;
    let mut broken = String::new();
    let mut done = 0;
    while let Some(at) = memmem::find(&text.as_bytes()[done..], SPELLED.as_bytes()).map(|at| done + at) {
        let several = text[at..].len() - text[at..].trim_start_matches(SPELLED).len();
        let (before, behind) = (&text[..at], &text[at + several..]);
        let is_break = !before.ends_with('\\') && (several > SPELLED.len() || ends(before) && begins(behind));
        broken.push_str(&text[done..at]);
        broken.push_str(if is_break { "\n" } else { &text[at..at + several] });
        done = at + several;
    }
    broken.push_str(&text[done..]);
    (broken.len() < text.len()).then_some(broken)
}

/// Returns whether the text has settled, so that another round would change nothing.
fn clean_field(raw: &str, breaks: Breaks, out: &mut String) -> bool {
    let start = out.len();
    // Before control characters and spaces go, which may be bytes of a character.
    tidy(&repair(raw), breaks, out);
    for round in 0..=MAX_ROUNDS {
        let text = &out[start..];
        if memchr2(b'&', b'<', text.as_bytes()).is_none() && memmem::find(text.as_bytes(), b"[[").is_none() {
            match repair(text) {
                // Removing a control character may have joined the parts of a sequence.
                Cow::Owned(repaired) => {
                    out.truncate(start);
                    tidy(&repaired, breaks, out);
                    continue;
                }
                Cow::Borrowed(_) => return true,
            }
        }
        // Tags before entities: `<a title="5 &gt; &quot;">` is one tag only while it is escaped.
        // The next round finds escaped tags; therefore the last round does not unescape.
        let stripped = strip_references(strip_markup(text));
        let plain = if round < MAX_ROUNDS { unescape(stripped) } else { stripped };
        let plain = match repair(&plain) {
            Cow::Owned(repaired) => Cow::Owned(repaired),
            Cow::Borrowed(_) => plain,
        };
        match plain {
            Cow::Owned(plain) if plain != text => {
                out.truncate(start);
                tidy(&plain, breaks, out);
            }
            _ => return round < MAX_ROUNDS || unescape(Cow::Borrowed(text)) == text,
        }
    }
    false
}
