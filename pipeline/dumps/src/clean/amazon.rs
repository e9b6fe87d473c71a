//! Amazon's own markup in reviews, and scripts in titles.
use std::borrow::Cow;

use memchr::memmem;

use super::MAX_TAG;

/// Whether a title is the beginning of a page's script, such as
/// `var aPageStart = (new Date()).getTime(); …`.
pub fn is_script(title: &str) -> bool {
    title.trim_start().starts_with("var aPageStart")
        || memmem::find(title.as_bytes(), b"(new Date()).getTime()").is_some()
}

/// Removes references to products and videos: `[[ASIN:B000UJGRLW Ribose]]` becomes `Ribose`.
pub(super) fn strip_references(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(skip) = memmem::find(&text.as_bytes()[at..], b"[[") {
        let open = at + skip;
        // In `[[[ASIN:…` the reference begins one byte after the first `[[`.
        at = open + 1;
        if let Some((name, length)) = reference(&text[open..]) {
            out.push_str(&text[copied..open]);
            out.push_str(name);
            (copied, at) = (open + length, open + length);
        }
    }
    if copied == 0 {
        return text;
    }
    out.push_str(&text[copied..]);
    Cow::Owned(out)
}

/// The text that the reference at the start of `text` leaves behind, and the reference's length.
fn reference(text: &str) -> Option<(&str, usize)> {
    let text_of_link = text.strip_prefix("[[ASIN:");
    let rest = text_of_link.or_else(|| text.strip_prefix("[[VIDEOID:"))?;
    let id = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
    let inside = memmem::find(&rest.as_bytes()[..rest.len().min(MAX_TAG)], b"]]")?;
    let name = rest.get(id..inside)?;
    let end = text.len() - rest.len() + inside + b"]]".len();
    let is_name = name.is_empty() || name.starts_with(char::is_whitespace);
    (id > 0 && is_name && !name.contains("[[")).then_some((if text_of_link.is_some() { name.trim() } else { " " }, end))
}
