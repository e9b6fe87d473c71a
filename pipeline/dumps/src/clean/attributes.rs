//! Reads the attributes of a tag.
//!
//! ```text
//! attributes = { space | "/" | attribute }
//! attribute  = word [ { space } "=" { space } value ]
//! value      = '"' … '"' | "'" … "'" | { any but space, ">" and "<" }
//! ```
//!
//! Web pages have stray quotes and `=`, which are skipped.
use memchr::memchr;

use super::elements::is_bare_attribute;

/// The contents of a tag behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attributes {
    /// No attribute, or attributes that need no value.
    None,
    /// At least one `name=value`.
    Values,
    /// At least one `name="value"`.
    QuotedValues,
    /// Words that are not attributes.
    Words,
}

/// Reads `tag` from the end of its name to behind its `>`, and returns the position there. `None`
/// if the tag does not close, has a `<` outside quotes, or its name does not end at `from`.
pub(super) fn attributes(tag: &[u8], from: usize) -> Option<(usize, Attributes)> {
    let is_space = |b: u8| b == b' ' || b == b'\n';
    let skip_spaces = |mut at: usize| {
        while tag.get(at).is_some_and(|&b| is_space(b)) {
            at += 1;
        }
        at
    };
    if !(is_space(*tag.get(from)?) || matches!(tag[from], b'/' | b'>')) {
        return None;
    }
    let mut at = from;
    let (mut values, mut quoted, mut words) = (false, false, false);
    loop {
        at = skip_spaces(at);
        match tag.get(at)? {
            b'>' => break,
            b'<' => return None,
            b'/' => {
                at += 1;
                continue;
            }
            _ => {}
        }
        let name_at = at;
        // At least one byte, so a stray `=` is skipped.
        at += 1;
        while !is_space(*tag.get(at)?) && !matches!(tag[at], b'/' | b'>' | b'=' | b'<') {
            at += 1;
        }
        let name = &tag[name_at..at];
        let named = name[0].is_ascii_alphabetic();
        let equals = skip_spaces(at);
        if *tag.get(equals)? != b'=' {
            // Punctuation alone is what broken quotes leave.
            words |= name.iter().any(u8::is_ascii_alphanumeric) && !is_bare_attribute(name);
            continue;
        }
        at = skip_spaces(equals + 1);
        let quote = *tag.get(at)?;
        values |= named;
        if matches!(quote, b'"' | b'\'')
            && let Some(len) = memchr(quote, &tag[at + 1..])
        {
            quoted |= named;
            at += 1 + len + 1;
            continue;
        }
        // A quote that never closes ends with its word, too.
        while !is_space(*tag.get(at)?) && tag[at] != b'>' {
            if tag[at] == b'<' {
                return None;
            }
            at += 1;
        }
    }
    let kind = match (quoted, values, words) {
        (true, _, _) => Attributes::QuotedValues,
        (_, true, _) => Attributes::Values,
        (_, _, true) => Attributes::Words,
        _ => Attributes::None,
    };
    Some((at + 1, kind))
}
