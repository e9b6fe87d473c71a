//! Character references to characters.
use std::borrow::Cow;

use memchr::memchr_iter;

/// References that the dumps hold in title case, such as `12&Quot;`.
const TITLE_CASE: [&str; 16] = [
    "nbsp;", "quot;", "apos;", "amp;", "bull;", "middot;", "lsquo;", "rsquo;", "ldquo;", "rdquo;", "ndash;", "mdash;",
    "hellip;", "deg;", "trade;", "copy;",
];

/// Resolves one level of character references.
///
/// By the HTML rule for attributes, a name without its `;` counts only when no letter, digit or `=`
/// follows. The rule for text would turn `black&regular` into `black®ular`, and `&copy=1` of a
/// link into `©=1`.
pub(crate) fn unescape(text: Cow<'_, str>) -> Cow<'_, str> {
    // Most `&` stand between spaces. This test is several times faster than `htmlize`.
    let bytes = text.as_bytes();
    let may_begin = |at: usize| bytes.get(at + 1).is_some_and(|&next| next == b'#' || next.is_ascii_alphanumeric());
    if memchr_iter(b'&', bytes).any(may_begin) { htmlize::unescape_attribute(lower_names(text)) } else { text }
}

/// Writes names in title case as HTML has them: `12&Quot;` becomes `12&quot;`.
fn lower_names(text: Cow<'_, str>) -> Cow<'_, str> {
    let capital = |at: &usize| {
        let rest = &text.as_bytes()[at + 1..];
        rest.first().is_some_and(u8::is_ascii_uppercase)
            && TITLE_CASE.iter().any(|name| {
                let rest = rest.get(..name.len());
                rest.is_some_and(|found| {
                    found[1..] == name.as_bytes()[1..] && found.eq_ignore_ascii_case(name.as_bytes())
                })
            })
    };
    let capitals: Vec<usize> = memchr_iter(b'&', text.as_bytes()).filter(capital).collect();
    if capitals.is_empty() {
        return text;
    }
    let mut lower = text.into_owned();
    for at in capitals {
        lower[at + 1..at + 2].make_ascii_lowercase();
    }
    Cow::Owned(lower)
}
