//! Raw product and review text to clean text.
//!
//! The dumps hold what web pages held: markup (`<br>`, whole scripts), entities
//! that were escaped once, twice or three times (`&amp;amp;quot;`), control
//! characters and runs of white space. A model must not spend tokens on these,
//! and a phrase must not be missed because a tag stands in it. [`clean`] turns
//! one field into lines of text; [`clean_line`] does the same for a title, on
//! one line.
//!
//! ```
//! # use ebert_dumps::clean::{clean, clean_line};
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
//! People write `<3`, `<john@x.com>` and `<insert name>`, and losing what they
//! wrote is worse than keeping a stray tag. So a `<` opens a tag only when all
//! of this holds: an element name of HTML follows (or `/` and such a name), the
//! name ends there, the tag closes within [`MAX_TAG`] bytes with no `<` outside
//! its quotes, and what stands between looks like attributes (`name=value`, or
//! one of the few that have no value). Comments, `<!doctype …>`, the conditional
//! markers of word processors and `<?xml …>` are markup too. The contents of
//! script and style elements go with them.
//!
//! Reviews have markup of Amazon's own: of `[[ASIN:B000UJGRLW Ribose]]` the name
//! of the product stays, of `[[VIDEOID:…]]` nothing. A title that is the
//! beginning of a page's script, as many are in the 2018 dump, is none:
//! [`is_script`].
//!
//! # When `clean` is idempotent
//!
//! Markup may be escaped, so removing tags and unescaping alternate until
//! nothing changes, and then `clean(clean(x)) == clean(x)`. There are at most
//! [`MAX_ROUNDS`] rounds of unescaping, which keeps the time linear: text that
//! was escaped more often, or tags nested in the middle of tags deeper than
//! that (`<<<<<b>b>b>b>b>`), is left at the level reached, and a second call
//! would go on from there.

use std::borrow::Cow;

use memchr::{memchr, memchr_iter, memchr2, memmem};

/// The most times that a text is unescaped: `&amp;amp;quot;` needs three.
pub const MAX_ROUNDS: usize = 3;

/// The longest tag in bytes, from `<` to `>`. An unclosed `<` must not eat the
/// text behind it; the longest real tags are links with a tracking query.
pub const MAX_TAG: usize = 2_000;

/// Appends the clean text of one field to `out`: lines separated by `\n`, none
/// of them empty, no white space at either end of a line and no two white space
/// characters in a row. Appends nothing when no text is left.
pub fn clean(raw: &str, out: &mut String) {
    clean_field(raw, Breaks::Keep, out);
}

/// As [`clean`], with everything on one line: a line break becomes one space.
pub fn clean_line(raw: &str, out: &mut String) {
    clean_field(raw, Breaks::Join, out);
}

/// What becomes of a line break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Breaks {
    Keep,
    Join,
}

/// Says whether the text has settled, that is, another round would change
/// nothing.
fn clean_field(raw: &str, breaks: Breaks, out: &mut String) -> bool {
    let start = out.len();
    tidy(raw, breaks, out);
    for round in 0..=MAX_ROUNDS {
        let text = &out[start..];
        if memchr2(b'&', b'<', text.as_bytes()).is_none() && memmem::find(text.as_bytes(), b"[[").is_none() {
            return true;
        }
        // Tags before entities: `<a title="5 &gt; &quot;">` is one tag only as
        // long as it is escaped. Escaped tags are met in the next round, for
        // which the last one is there.
        let stripped = strip_references(strip_markup(text));
        let plain = if round < MAX_ROUNDS { unescape(stripped) } else { stripped };
        match plain {
            Cow::Owned(plain) if plain != text => {
                out.truncate(start);
                tidy(&plain, breaks, out);
            }
            // The last round has not unescaped.
            _ => return round < MAX_ROUNDS || unescape(Cow::Borrowed(text)) == text,
        }
    }
    false
}

/// Character references to characters, one level of them.
///
/// By the rule for attributes, a name without its `;` counts only when no
/// letter, digit or `=` follows: the rule for text makes `®ular` of
/// `black&regular` and `©=1` of a link's `&copy=1`.
fn unescape(text: Cow<'_, str>) -> Cow<'_, str> {
    // Most `&` stand for themselves, between spaces; finding this out here is
    // several times faster than a walk of `htmlize` over the text.
    let bytes = text.as_bytes();
    let may_begin = |at: usize| bytes.get(at + 1).is_some_and(|&next| next == b'#' || next.is_ascii_alphanumeric());
    if memchr_iter(b'&', bytes).any(may_begin) { htmlize::unescape_attribute(lower_names(text)) } else { text }
}

/// Names of character references as HTML has them, where a program has put titles in capitals: `12&Quot;`.
fn lower_names(text: Cow<'_, str>) -> Cow<'_, str> {
    const NAMES: [&str; 16] = [
        "nbsp;", "quot;", "apos;", "amp;", "bull;", "middot;", "lsquo;", "rsquo;", "ldquo;", "rdquo;", "ndash;",
        "mdash;", "hellip;", "deg;", "trade;", "copy;",
    ];
    let capital = |at: &usize| {
        let rest = &text.as_bytes()[at + 1..];
        rest.first().is_some_and(u8::is_ascii_uppercase)
            && NAMES.iter().any(|name| {
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

/// Whether a title is the beginning of a page's script: `var aPageStart = (new Date()).getTime(); …`.
pub fn is_script(title: &str) -> bool {
    title.trim_start().starts_with("var aPageStart")
        || memmem::find(title.as_bytes(), b"(new Date()).getTime()").is_some()
}

/// `text` without the markup of products and videos in reviews.
fn strip_references(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    while let Some(skip) = memmem::find(&text.as_bytes()[at..], b"[[") {
        let open = at + skip;
        // Brackets may stand close together: the next reference may begin one byte on.
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

/// What a reference at the beginning of a text leaves behind, and its length.
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

// White space and control characters.

/// What separates the text before from the text to come, once there is some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Break,
}

/// Appends `raw` without control characters, white space collapsed, lines
/// trimmed and empty lines dropped.
fn tidy(raw: &str, breaks: Breaks, out: &mut String) {
    let start = out.len();
    out.reserve(raw.len());
    let mut gap = Gap::None;
    let mut at = 0;
    while at < raw.len() {
        let end = plain_run(raw.as_bytes(), at);
        let (text, next) = if end > at {
            (&raw[at..end], end)
        } else {
            let Some(c) = raw[at..].chars().next() else { break };
            let next = at + c.len_utf8();
            let found = match c {
                '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' if breaks == Breaks::Keep => {
                    Some(Gap::Break)
                }
                c if c.is_whitespace() => Some(Gap::Space),
                c if c.is_control() => Some(Gap::None),
                _ => None,
            };
            if let Some(found) = found {
                gap = gap.max(found);
                at = next;
                continue;
            }
            (&raw[at..next], next)
        };
        if out.len() > start {
            match gap {
                Gap::None => {}
                Gap::Space => out.push(' '),
                Gap::Break => out.push('\n'),
            }
        }
        gap = Gap::None;
        out.push_str(text);
        at = next;
    }
}

/// Bytes that end a plain run: ASCII controls, and the first bytes of every
/// character outside ASCII that is a control character or white space (U+0080
/// to U+00A0 begin with C2, U+1680 with E1, U+2000 to U+205F with E2, U+3000
/// with E3).
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == 0xc2 || (byte >= 0xe1 && byte <= 0xe3)
}

/// End of the run from `start` that can be copied as it is: no special byte, no
/// two spaces in a row, no space at its end or start. Empty where the character
/// at `start` needs a look.
fn plain_run(bytes: &[u8], start: usize) -> usize {
    const STEP: usize = 16;
    if bytes[start] == b' ' {
        return start;
    }
    let mut at = start;
    loop {
        // The last bytes of a text are looked at with zeros after them, which are special.
        let mut last = [0; STEP + 1];
        let window = bytes[at..].first_chunk().unwrap_or_else(|| {
            last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
            &last
        });
        // Written without a branch inside, so that the compiler makes vector
        // instructions of it; nearly all text goes through here.
        let mut stops = [0; STEP];
        for i in 0..STEP {
            stops[i] = u8::from(is_special(window[i]) | ((window[i] == b' ') & (window[i + 1] == b' ')));
        }
        let stops = u128::from_le_bytes(stops);
        if stops != 0 {
            at += stops.trailing_zeros() as usize / 8;
            break;
        }
        at += STEP;
    }
    // What follows the last space decides whether it is a gap.
    if at > start && bytes[at - 1] == b' ' { at - 1 } else { at }
}

// Markup.

/// What an element leaves behind in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trace {
    /// The tag stands inside a word or a line: nothing.
    Nothing,
    /// It separates words, as a table's cells do.
    Space,
    /// It separates lines.
    Break,
    /// Its contents are no text; they go up to the end tag.
    Script,
    /// As `Script`.
    Style,
}

/// What the tags of an HTML element leave behind; `None` for names that are no
/// element's. The list is that of the HTML standard and its obsolete elements,
/// without those that are more often a word in angle brackets.
fn trace_of_element(name: &[u8]) -> Option<Trace> {
    const LONGEST: usize = 10;
    let mut lower = [0; LONGEST];
    let lower = lower.get_mut(..name.len())?;
    lower.copy_from_slice(name);
    lower.make_ascii_lowercase();
    Some(match &*lower {
        b"a" | b"abbr" | b"acronym" | b"b" | b"base" | b"basefont" | b"bdi" | b"bdo" | b"big" | b"blink" | b"cite"
        | b"code" | b"data" | b"del" | b"dfn" | b"em" | b"font" | b"i" | b"ins" | b"kbd" | b"label" | b"link"
        | b"mark" | b"meta" | b"nobr" | b"noscript" | b"q" | b"rb" | b"rp" | b"rt" | b"ruby" | b"s" | b"samp"
        | b"small" | b"span" | b"strike" | b"strong" | b"sub" | b"sup" | b"template" | b"time" | b"tt" | b"u"
        | b"var" | b"wbr" => Trace::Nothing,
        b"applet" | b"area" | b"audio" | b"button" | b"canvas" | b"embed" | b"iframe" | b"img" | b"input" | b"map"
        | b"object" | b"param" | b"picture" | b"select" | b"source" | b"spacer" | b"svg" | b"td" | b"textarea"
        | b"th" | b"track" | b"video" => Trace::Space,
        b"address" | b"article" | b"aside" | b"blockquote" | b"body" | b"br" | b"caption" | b"center" | b"col"
        | b"colgroup" | b"dd" | b"details" | b"dialog" | b"dir" | b"div" | b"dl" | b"dt" | b"fieldset"
        | b"figcaption" | b"figure" | b"footer" | b"form" | b"frame" | b"frameset" | b"h1" | b"h2" | b"h3" | b"h4"
        | b"h5" | b"h6" | b"head" | b"header" | b"hgroup" | b"hr" | b"html" | b"legend" | b"li" | b"main"
        | b"marquee" | b"menu" | b"nav" | b"ol" | b"optgroup" | b"option" | b"p" | b"pre" | b"section" | b"summary"
        | b"table" | b"tbody" | b"tfoot" | b"thead" | b"title" | b"tr" | b"ul" | b"xmp" => Trace::Break,
        b"script" => Trace::Script,
        b"style" => Trace::Style,
        _ => return None,
    })
}

/// Word processors write elements of their own: `<o:p>`, `<st1:place …>`.
fn is_office_element(name: &[u8]) -> bool {
    memchr(b':', name).is_some_and(|colon| {
        matches!(name[..colon].to_ascii_lowercase().as_slice(), b"o" | b"v" | b"w" | b"x" | b"m" | b"st1")
    })
}

/// Attributes that may stand without a value. Other bare words make the tag
/// text: `I <b read this> twice`.
fn is_bare_attribute(name: &[u8]) -> bool {
    const NAMES: [&str; 23] = [
        "allowfullscreen",
        "async",
        "autoplay",
        "border",
        "checked",
        "clear",
        "compact",
        "controls",
        "defer",
        "disabled",
        "hidden",
        "ismap",
        "itemscope",
        "loop",
        "multiple",
        "muted",
        "nohref",
        "noresize",
        "noshade",
        "nowrap",
        "readonly",
        "required",
        "selected",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// `text` without markup; borrowed when it has none.
fn strip_markup(text: &str) -> Cow<'_, str> {
    let mut markup = Markup::new(text);
    let mut out = String::new();
    // Both at character boundaries: markup begins with `<` and ends behind `>`.
    let mut copied = 0;
    let mut at = 0;
    while let Some(skip) = memchr(b'<', &text.as_bytes()[at..]) {
        let open = at + skip;
        let Some((end, trace)) = markup.at(open) else {
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

/// Recognises markup in a text that is walked from its front to its back.
///
/// Three searches have no limit of length: the end of a comment, of a script
/// and of a style element. When one of them finds nothing, a later one for the
/// same end finds nothing either, and is not made: this keeps the time linear.
struct Markup<'t> {
    bytes: &'t [u8],
    comments_end: bool,
    scripts_end: bool,
    styles_end: bool,
}

impl<'t> Markup<'t> {
    fn new(text: &'t str) -> Self {
        Self { bytes: text.as_bytes(), comments_end: true, scripts_end: true, styles_end: true }
    }

    /// The end of the markup whose `<` is at `open`, and what it leaves behind;
    /// `None` when this `<` is text.
    fn at(&mut self, open: usize) -> Option<(usize, Trace)> {
        match self.bytes.get(open + 1)? {
            b'!' => self.declaration(open),
            b'?' => {
                let letter = self.bytes.get(open + 2)?;
                (letter.is_ascii_alphabetic()).then(|| self.close(open)).flatten().map(|end| (end, Trace::Nothing))
            }
            _ => {
                let (end, trace) = self.tag(open)?;
                let start_tag = self.bytes[open + 1] != b'/';
                let contents_end = match trace {
                    Trace::Script if start_tag => self.end_tag(end, b"script"),
                    Trace::Style if start_tag => self.end_tag(end, b"style"),
                    _ => None,
                };
                Some((contents_end.unwrap_or(end), trace))
            }
        }
    }

    /// A comment, a document type or a conditional marker.
    fn declaration(&mut self, open: usize) -> Option<(usize, Trace)> {
        let rest = &self.bytes[open + 2..];
        let end = if rest.starts_with(b"--") {
            if !self.comments_end {
                return None;
            }
            // From the dashes that open it: `<!-->` is a comment as well.
            let found = memmem::find(rest, b"-->");
            self.comments_end = found.is_some();
            open + 2 + found? + b"-->".len()
        } else {
            let known = [&b"doctype"[..], b"[if ", b"[endif]"]
                .iter()
                .any(|word| rest.get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word)));
            known.then(|| self.close(open)).flatten()?
        };
        Some((end, Trace::Nothing))
    }

    /// The window in which the markup opened at `open` must close.
    fn window(&self, open: usize) -> &'t [u8] {
        &self.bytes[open..self.bytes.len().min(open + MAX_TAG)]
    }

    /// End of markup that knows no quotes: behind the next `>`, with no other
    /// `<` before it.
    fn close(&self, open: usize) -> Option<usize> {
        let inside = &self.window(open)[1..];
        let end = memchr2(b'<', b'>', inside)?;
        (inside[end] == b'>').then_some(open + 1 + end + 1)
    }

    /// A start tag or end tag, without contents.
    fn tag(&self, open: usize) -> Option<(usize, Trace)> {
        let window = self.window(open);
        let name_at = if window.get(1) == Some(&b'/') { 2 } else { 1 };
        if !window.get(name_at)?.is_ascii_alphabetic() {
            return None;
        }
        let name_len =
            window[name_at..].iter().position(|&b| !(b.is_ascii_alphanumeric() || matches!(b, b'-' | b':' | b'_')))?;
        let name = &window[name_at..name_at + name_len];
        let (end, attributes) = attributes(window, name_at + name_len)?;
        let trace = trace_of_element(name).or_else(|| is_office_element(name).then_some(Trace::Nothing));
        let trace = match (trace, attributes) {
            (Some(trace), Attributes::None | Attributes::Values | Attributes::QuotedValues) => trace,
            // No element of HTML, yet no person writes this.
            (None, Attributes::QuotedValues) => Trace::Nothing,
            _ => return None,
        };
        Some((open + end, trace))
    }

    /// End of the end tag which closes a script or style element whose contents
    /// begin at `from`.
    fn end_tag(&mut self, from: usize, name: &[u8]) -> Option<usize> {
        let is_script = name == b"script";
        if !(if is_script { self.scripts_end } else { self.styles_end }) {
            return None;
        }
        let bytes = &self.bytes[from..];
        let found = memchr_iter(b'<', bytes).find_map(|at| {
            let rest = bytes[at + 1..].strip_prefix(b"/")?;
            let named = rest.get(..name.len())?.eq_ignore_ascii_case(name);
            named.then(|| self.tag(from + at)).flatten().map(|(end, _)| end)
        });
        if is_script {
            self.scripts_end = found.is_some();
        } else {
            self.styles_end = found.is_some();
        }
        found
    }
}

/// What stands in a tag behind its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attributes {
    /// Nothing, or attributes that need no value.
    None,
    /// At least one `name=value`.
    Values,
    /// At least one `name="value"`.
    QuotedValues,
    /// Words.
    Words,
}

/// Reads `tag` from behind the name to behind the `>`; `None` when it does not
/// close, has a `<` outside quotes, or the name does not end at `from`.
fn attributes(tag: &[u8], from: usize) -> Option<(usize, Attributes)> {
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
        // At least one byte, so that a stray `=` is passed.
        at += 1;
        while !is_space(*tag.get(at)?) && !matches!(tag[at], b'/' | b'>' | b'=' | b'<') {
            at += 1;
        }
        let name = &tag[name_at..at];
        let named = name[0].is_ascii_alphabetic();
        let equals = skip_spaces(at);
        if *tag.get(equals)? != b'=' {
            // Punctuation alone is left over from broken quotes.
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
        // Also a quote that never closes: it ends with its word.
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

#[cfg(test)]
mod tests;
