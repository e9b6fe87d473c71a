//! Finds markup in text that people wrote.
//!
//! A parser of HTML would take `<3` and `<insert name>` for tags. This grammar is stricter, so that
//! text stays text:
//!
//! ```text
//! markup      = comment | declaration | instruction | cdata | element | tag
//! comment     = "<!--" … "-->"                                  (also "<!-->" and "<!--->")
//! declaration = "<!" ("doctype" | "[if " | "[endif]") … ">"     (no "<" or ">" inside)
//! instruction = "<?" letter … ">"                               (no "<" or ">" inside)
//! cdata       = "<![CDATA[" … "]]>"                             (the brackets alone)
//! element     = start tag of script or style … its end tag
//! tag         = "<" ["/"] name attributes ">"                   (at most MAX_TAG bytes, data: aside)
//! name        = letter { letter | digit | "-" | ":" | "_" }
//! ```
//!
//! `attributes` is in [`super::attributes`]. A tag also needs a known name, or attributes with
//! quoted values.
use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memmem};

use super::{
    MAX_TAG,
    attributes::{Attributes, attributes},
    elements::{Trace, is_office_element, trace_of_element},
};

/// Removes the markup of `text`.
pub(super) fn strip_markup(text: &str) -> Cow<'_, str> {
    match without_cdata(text) {
        Some(plain) => Cow::Owned(strip_tags(&plain).into_owned()),
        None => strip_tags(text),
    }
}

/// Removes all markup but the brackets of character data.
fn strip_tags(text: &str) -> Cow<'_, str> {
    let mut scanner = Scanner::new(text);
    let mut out = String::new();
    // Both are character boundaries: markup begins with `<` and ends behind `>`.
    let mut copied = 0;
    let mut at = 0;
    while let Some(skip) = memchr(b'<', &text.as_bytes()[at..]) {
        let open = at + skip;
        let Some(Markup { end, trace }) = scanner.markup(open) else {
            at = open + 1;
            continue;
        };
        out.push_str(&text[copied..open]);
        match trace {
            Trace::Space => out.push(' '),
            Trace::Break => out.push('\n'),
            Trace::Nothing | Trace::Script | Trace::Style => {}
        }
        copied = end;
        at = end;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The text without the brackets around sections of character data, `<![CDATA[…]]>`. `None` if there are none.
fn without_cdata(text: &str) -> Option<String> {
    const OPEN: &str = "<![CDATA[";
    const CLOSE: &str = "]]>";
    let mut out = String::new();
    let mut rest = text;
    while let Some(open) = memmem::find(rest.as_bytes(), OPEN.as_bytes()) {
        let inside = &rest[open + OPEN.len()..];
        let Some(close) = memmem::find(inside.as_bytes(), CLOSE.as_bytes()) else { break };
        out.push_str(&rest[..open]);
        out.push_str(&inside[..close]);
        rest = &inside[close + CLOSE.len()..];
    }
    if rest.len() == text.len() {
        return None;
    }
    out.push_str(rest);
    Some(out)
}

/// A piece of markup.
struct Markup {
    /// Where the text resumes.
    end: usize,
    trace: Trace,
}

/// Recognizes markup from the front of a text to its back.
///
/// Three searches have no limit: for the end of a comment, of a script and of a style element. If
/// one of them finds nothing, a later search for the same end would find nothing either. It is
/// skipped, which keeps the time linear.
struct Scanner<'t> {
    bytes: &'t [u8],
    comments_end: bool,
    scripts_end: bool,
    styles_end: bool,
}

impl<'t> Scanner<'t> {
    fn new(text: &'t str) -> Self {
        Self { bytes: text.as_bytes(), comments_end: true, scripts_end: true, styles_end: true }
    }

    /// The markup whose `<` is at `open`. `None` if this `<` is text.
    fn markup(&mut self, open: usize) -> Option<Markup> {
        match self.bytes.get(open + 1)? {
            b'!' => self.declaration(open),
            b'?' => {
                let letter = self.bytes.get(open + 2)?;
                (letter.is_ascii_alphabetic())
                    .then(|| self.close(open))
                    .flatten()
                    .map(|end| Markup { end, trace: Trace::Nothing })
            }
            _ => {
                let Markup { end, trace } = self.tag(open)?;
                let start_tag = self.bytes[open + 1] != b'/';
                let contents_end = match trace {
                    Trace::Script if start_tag => self.end_tag(end, b"script"),
                    Trace::Style if start_tag => self.end_tag(end, b"style"),
                    _ => None,
                };
                Some(Markup { end: contents_end.unwrap_or(end), trace })
            }
        }
    }

    /// A comment, a document type or a conditional marker.
    fn declaration(&mut self, open: usize) -> Option<Markup> {
        let rest = &self.bytes[open + 2..];
        let end = if rest.starts_with(b"--") {
            if !self.comments_end {
                return None;
            }
            // The opening dashes may close the comment: `<!-->`.
            let found = memmem::find(rest, b"-->");
            self.comments_end = found.is_some();
            open + 2 + found? + b"-->".len()
        } else {
            let known = [&b"doctype"[..], b"[if ", b"[endif]"]
                .iter()
                .any(|word| rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)));
            known.then(|| self.close(open)).flatten()?
        };
        Some(Markup { end, trace: Trace::Nothing })
    }

    /// The window in which the markup opened at `open` must close.
    fn window(&self, open: usize) -> &'t [u8] {
        &self.bytes[open..self.bytes.len().min(open + MAX_TAG)]
    }

    /// The window of a tag that has the bytes of a picture in a value, such as `src="data:image/png;base64,…"`. They do
    /// not count.
    fn window_with_data(&self, open: usize) -> Option<&'t [u8]> {
        let (mut from, mut end) = (open, self.window(open).len() + open);
        let mut has_data = false;
        while let Some(at) = memmem::find(&self.bytes[from..end], b"data:").map(|at| from + at) {
            let quote = self.bytes[at - 1];
            from = at + b"data:".len();
            if matches!(quote, b'"' | b'\'') {
                let is_end = |byte: &u8| *byte == quote || *byte == b'<' || byte.is_ascii_whitespace();
                from += self.bytes[from..].iter().position(is_end).filter(|len| self.bytes[from + len] == quote)?;
                end = self.bytes.len().min(from + MAX_TAG);
                has_data = true;
            }
        }
        has_data.then(|| &self.bytes[open..end])
    }

    /// The end of markup without quotes: behind the next `>`, with no `<` before it.
    fn close(&self, open: usize) -> Option<usize> {
        let inside = &self.window(open)[1..];
        let end = memchr2(b'<', b'>', inside)?;
        (inside[end] == b'>').then_some(open + 1 + end + 1)
    }

    /// A start or end tag, without the element's contents.
    fn tag(&self, open: usize) -> Option<Markup> {
        let window = self.window(open);
        let name_at = if window.get(1) == Some(&b'/') { 2 } else { 1 };
        if !window.get(name_at)?.is_ascii_alphabetic() {
            return None;
        }
        let name_len =
            window[name_at..].iter().position(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'_')))?;
        let name = &window[name_at..name_at + name_len];
        let (end, attributes) = attributes(window, name_at + name_len)
            .or_else(|| attributes(self.window_with_data(open)?, name_at + name_len))?;
        let trace = trace_of_element(name).or_else(|| is_office_element(name).then_some(Trace::Nothing));
        let trace = match (trace, attributes) {
            (Some(trace), Attributes::None | Attributes::Values | Attributes::QuotedValues) => trace,
            // Not an element of HTML, but no person writes this.
            (None, Attributes::QuotedValues) => Trace::Nothing,
            _ => return None,
        };
        Some(Markup { end: open + end, trace })
    }

    /// The end of the end tag that closes a script or style element with contents from `from`.
    fn end_tag(&mut self, from: usize, name: &[u8]) -> Option<usize> {
        let is_script = name == b"script";
        if !(if is_script { self.scripts_end } else { self.styles_end }) {
            return None;
        }
        let bytes = &self.bytes[from..];
        let found = memchr_iter(b'<', bytes).find_map(|at| {
            let rest = bytes[at + 1..].strip_prefix(b"/")?;
            let named = rest.get(..name.len())?.eq_ignore_ascii_case(name);
            named.then(|| self.tag(from + at)).flatten().map(|tag| tag.end)
        });
        if is_script {
            self.scripts_end = found.is_some();
        } else {
            self.styles_end = found.is_some();
        }
        found
    }
}
