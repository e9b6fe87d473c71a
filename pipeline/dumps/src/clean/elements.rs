//! The elements and attributes of HTML, and what their tags become.
use std::sync::LazyLock;

use memchr::memchr;

// The elements of the HTML standard and its obsolete ones, without those that are more often a
// word in angle brackets.

/// Elements that stand inside a word or a line. Their tags become nothing.
const INLINE: &str = "\
    a abbr acronym b base basefont bdi bdo big blink cite code data del dfn em font i ins kbd \
    label link mark meta nobr noscript q rb rp rt ruby s samp small span strike strong sub sup \
    template time tt u var wbr";

/// Elements that separate words, such as the cells of a table. Their tags become a space.
const SPACED: &str = "\
    applet area audio button canvas embed iframe img input map object param picture select \
    source spacer svg td textarea th track video";

/// Elements that separate lines. Their tags become a line break.
const BLOCK: &str = "\
    address article aside blockquote body br caption center col colgroup dd details dialog dir \
    div dl dt fieldset figcaption figure footer form frame frameset h1 h2 h3 h4 h5 h6 head \
    header hgroup hr html legend li main marquee menu nav ol optgroup option p pre section \
    summary table tbody tfoot thead title tr ul xmp";

/// Namespaces of the elements that word processors write: `<o:p>`, `<st1:place …>`.
const OFFICE: [&str; 6] = ["o", "v", "w", "x", "m", "st1"];

/// Attributes that may stand without a value. Other words without a value make the tag text:
/// `I <b read this> twice`.
const BARE_ATTRIBUTES: &str = "\
    allowfullscreen async autofocus autoplay border checked clear compact contenteditable \
    controls defer disabled draggable formnovalidate hidden inert ismap itemscope loop \
    multiple muted nohref nomodule noresize noshade novalidate nowrap open playsinline readonly \
    required scoped selected v-cloak v-else v-once v-pre x-cloak";

/// Beginnings of attributes that may stand without a value: those of pages, and those that
/// frameworks write. `_ngcontent-c1` is one of Angular, `data-v-7ba5bd90` one of Vue.
const BARE_PREFIXES: [&str; 6] = ["data-v-", "data-react", "aria-", "ng-", "_ngcontent-", "_nghost-"];

/// What a tag becomes in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trace {
    Nothing,
    Space,
    Break,
    /// Nothing, and the contents up to the end tag are removed.
    Script,
    /// As `Script`.
    Style,
}

/// The names of elements by their first letter. Faster than a hash table for names this short.
static TRACES: LazyLock<[Vec<(&str, Trace)>; 26]> = LazyLock::new(|| {
    let mut traces = [const { Vec::new() }; 26];
    for (names, trace) in [
        (INLINE, Trace::Nothing),
        (SPACED, Trace::Space),
        (BLOCK, Trace::Break),
        ("script", Trace::Script),
        ("style", Trace::Style),
    ] {
        names.split(' ').for_each(|name| traces[usize::from(name.as_bytes()[0] - b'a')].push((name, trace)));
    }
    traces
});

/// What the tags of an element of HTML become. `None` for other names.
pub(super) fn trace_of_element(name: &[u8]) -> Option<Trace> {
    let initial = name.first()?.to_ascii_lowercase().checked_sub(b'a')?;
    let known = TRACES.get(usize::from(initial))?;
    known.iter().find(|(known, _)| name.eq_ignore_ascii_case(known.as_bytes())).map(|(_, trace)| *trace)
}

/// Whether this is the name of an element of HTML.
pub(crate) fn is_element(name: &[u8]) -> bool {
    trace_of_element(name).is_some()
}

pub(super) fn is_office_element(name: &[u8]) -> bool {
    memchr(b':', name)
        .is_some_and(|colon| OFFICE.iter().any(|prefix| name[..colon].eq_ignore_ascii_case(prefix.as_bytes())))
}

pub(super) fn is_bare_attribute(name: &[u8]) -> bool {
    let is_prefix = |prefix: &str| {
        let (start, rest) = name.split_at(prefix.len().min(name.len()));
        start.eq_ignore_ascii_case(prefix.as_bytes()) && !rest.is_empty()
    };
    BARE_ATTRIBUTES.split(' ').any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        || BARE_PREFIXES.into_iter().any(is_prefix)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_found_in_any_case() {
        for (name, trace) in [
            ("a", Some(Trace::Nothing)),
            ("wbr", Some(Trace::Nothing)),
            ("TD", Some(Trace::Space)),
            ("Br", Some(Trace::Break)),
            ("blockquote", Some(Trace::Break)),
            ("SCRIPT", Some(Trace::Script)),
            ("us", None),
            ("", None),
            ("{b", None),
            ("3d", None),
            ("figcaptions", None),
        ] {
            assert_eq!(trace_of_element(name.as_bytes()), trace, "{name}");
        }
        assert!(is_office_element(b"ST1:place") && !is_office_element(b"http:x") && !is_office_element(b"o"));
        for (name, wanted) in [
            ("NoWrap", true),
            ("allowfullscreen", true),
            ("data-v-7ba5bd90", true),
            ("_ngcontent-ng-c17", true),
            ("aria-hidden", true),
            ("read", false),
            ("data-v-", false),
            ("data-driven", false),
            ("id", false),
            ("v-neck", false),
            ("re-read", false),
            ("", false),
        ] {
            assert_eq!(is_bare_attribute(name.as_bytes()), wanted, "{name}");
        }
    }

    #[test]
    fn no_name_is_listed_twice() {
        let names: Vec<&str> = TRACES.iter().flatten().map(|(name, _)| *name).collect();
        let distinct: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len());
        assert!(names.len() > 100);
        assert!(names.iter().all(|name| name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())));
    }
}
