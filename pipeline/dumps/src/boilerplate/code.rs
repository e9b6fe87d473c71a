//! Scripts, style sheets and JSON that lost their tags.
//!
//! A script is a run of statements, and a style sheet is a run of rules `selector { declarations }`.
//! Both begin a line. Prose about programs has neither form: its braces hold no declarations, and
//! its lines do not end where a statement ends.
use std::{borrow::Cow, ops::Range, sync::LazyLock};

use aho_corasick::packed;
use memchr::{memchr, memmem};
use serde::Deserialize;

use super::{Removals, Rule};
use crate::clean::{clean, is_element};

/// The longest selector of a style rule, in bytes.
const MAX_SELECTOR: usize = 400;

/// The longest body of a style rule, in bytes.
const MAX_DECLARATIONS: usize = 4_000;

/// The longest statement that does not begin like one of the shop, in bytes.
const MAX_STATEMENT: usize = 4_000;

/// The longest JSON string around a value, in bytes.
const MAX_TAGGED: usize = 16_000;

/// Beginnings of statements that only the shop's pages have. They may stand inside a line, and text
/// may follow on the line.
const OF_THE_SHOP: [&str; 16] = [
    "P.when(",
    "P.register(",
    "P.load.js(",
    "if (typeof P ",
    "if(typeof P ",
    "if (typeof ue",
    "if(typeof ue",
    "if (window.ue",
    "if(window.ue",
    "window.ue",
    "uet(",
    "uex(",
    "amznJQ.",
    "A.declarative(",
    "var aPageStart",
    "var ue_",
];

/// Beginnings of statements of any script, and of those that count visits.
const OF_SCRIPTS: [&str; 29] = [
    "gtag(",
    "ga('",
    "fbq('",
    "_gaq.push(",
    "dataLayer.push(",
    "function(",
    "(function(",
    "!function(",
    "if (typeof ",
    "if(typeof ",
    "if (window.",
    "if(window.",
    "if (document.",
    "if(document.",
    "jQuery(",
    "jQuery.",
    "$('",
    "$(\"",
    "$.ajax(",
    "$.each(",
    "$.getJSON(",
    "setTimeout(",
    "setInterval(",
    "$(document)",
    "$(window)",
    "$(function",
    "try {",
    "try{",
    "//<![CDATA[",
];

/// Beginnings of statements that may stand behind a sentence, if the statements end the line.
const BEHIND_A_SENTENCE: [&str; 9] = [
    "$(document).",
    "$(window).",
    "$(function",
    "$('",
    "$(\"",
    "jQuery(",
    "(function(",
    "document.getElementById(",
    "window.onload",
];

/// Properties of style sheets, up to the first hyphen.
const PROPERTIES: &str = "\
    align animation background border bottom box clear clip color content cursor direction display \
    fill filter flex float font gap grid height justify left letter line list margin max min \
    object opacity order outline overflow padding page pointer position resize right src stroke \
    table text top transform transition user vertical visibility white width word z zoom";

/// Literals of which each script of the shop holds one, and those of others that are known to have no brace. 32 are the
/// most that the vectorized search takes on every machine.
const TRIGGERS: [&str; 28] = [
    "$('#",
    "$('.",
    "$(\"#",
    "$(\".",
    "@charset \"",
    "@import url(",
    "A.declarative(",
    "P.load.js(",
    "P.register(",
    "P.when(",
    "_gaq",
    "amznJQ.",
    "dataLayer",
    "document.write(",
    "fbq('",
    "ga('create'",
    "ga('send'",
    "getElement",
    "getTime()",
    "gtag(",
    "jQuery",
    "typeof P ",
    "typeof ue",
    "uet(",
    "uex(",
    "var aPageStart",
    "var ue_",
    "window.ue",
];

/// A vectorized search for the literals, which nearly all text fails. `None` if the machine has no vector instructions.
static TRIGGER: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| packed::Searcher::new(TRIGGERS));

/// Whether text may hold code.
pub(crate) fn may_hold_code(text: &str) -> bool {
    memchr(b'{', text.as_bytes()).is_some() || TRIGGER.as_ref().is_none_or(|trigger| trigger.find(text).is_some())
}

/// Removes the code of a clean text. Lines that become empty go, too.
pub(crate) fn strip_code<'t>(text: &'t str, removals: &mut Removals) -> Cow<'t, str> {
    let mut scanner = Scanner { text, closes: true };
    let mut found: Vec<Range<usize>> = Vec::new();
    let mut values: Vec<(usize, String)> = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let piece =
            scanner.styles(at).map(|end| (Rule::Styles, at..end)).or_else(|| scanner.scripts(at)).or_else(|| {
                let (range, value) = tagged_value(text, at)?;
                values.push((range.start, value));
                Some((Rule::LanguageTags, range))
            });
        match piece {
            Some((rule, range)) => {
                let value = values.last().filter(|(start, _)| rule == Rule::LanguageTags && *start == range.start);
                let kept = value.map_or(0, |(_, value)| value.len());
                let bytes = range.len().saturating_sub(kept) as u64;
                removals.count(rule, bytes, || text[range.clone()].to_owned());
                at = range.end;
                found.push(range);
                // What follows on the line is text.
                if !text[at..].trim_start_matches(' ').starts_with('\n') {
                    at = next_line(text, at);
                }
            }
            None => at = next_line(text, at),
        }
        while text[at..].starts_with(['\n', ' ']) {
            at += 1;
        }
    }
    if found.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut values = values.into_iter().peekable();
    let mut copied = 0;
    for range in found {
        out.push_str(&text[copied..range.start]);
        if let Some((_, value)) = values.next_if(|(start, _)| *start == range.start) {
            out.push_str(&value);
        }
        copied = range.end;
    }
    out.push_str(&text[copied..]);
    let mut tidy = String::with_capacity(out.len());
    clean(&out, &mut tidy);
    Cow::Owned(tidy)
}

fn next_line(text: &str, at: usize) -> usize {
    memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |skip| at + skip + 1)
}

fn line_end(text: &str, at: usize) -> usize {
    memchr(b'\n', &text.as_bytes()[at..]).map_or(text.len(), |skip| at + skip)
}

struct Scanner<'t> {
    text: &'t str,
    /// Whether an open statement may close on a later line. If one reached the end of the text, a
    /// later one would, too. It is then searched on its line only, which keeps the time linear.
    closes: bool,
}

impl Scanner<'_> {
    /// The end of the style rules from `at`, the beginning of a line.
    fn styles(&self, at: usize) -> Option<usize> {
        self.style_rules(at, Inside::Sheet)
    }

    /// The end of the style rules from `at`.
    fn style_rules(&self, at: usize, inside: Inside) -> Option<usize> {
        std::iter::successors(self.style_rule(at, inside), |&end| self.style_rule(end, inside)).last()
    }

    /// The end of one style rule, with white space and comments before it.
    fn style_rule(&self, at: usize, inside: Inside) -> Option<usize> {
        let rest = &self.text.as_bytes()[at..];
        let mut selector_at = 0;
        loop {
            while rest.get(selector_at).is_some_and(|byte| matches!(byte, b' ' | b'\n')) {
                selector_at += 1;
            }
            if !rest[selector_at..].starts_with(b"/*") || selector_at > MAX_DECLARATIONS {
                break;
            }
            let window = &rest[selector_at..rest.len().min(selector_at + MAX_DECLARATIONS)];
            selector_at += memmem::find(window, b"*/")? + 2;
        }
        let window = &rest[selector_at..rest.len().min(selector_at + MAX_SELECTOR)];
        let statement = [(&b"@import url("[..], b')'), (b"@charset \"", b'"')];
        if let Some((start, close)) = statement.iter().find(|(start, _)| window.starts_with(start)) {
            let behind = start.len() + memchr(*close, &window[start.len()..])? + 1;
            return window[behind..].starts_with(b";").then_some(at + selector_at + behind + 1);
        }
        let open = selector_at + memchr(b'{', window)?;
        let selector = std::str::from_utf8(&rest[selector_at..open]).ok()?.trim();
        let is_known = match inside {
            Inside::Keyframes => selector.split(',').all(|part| is_keyframe(part.trim())),
            Inside::Sheet | Inside::Media => is_selector(selector),
        };
        if !is_known {
            return None;
        }
        let body = &rest[open + 1..rest.len().min(open + 1 + MAX_DECLARATIONS)];
        let group = match selector.strip_prefix('@').filter(|_| inside == Inside::Sheet) {
            Some(rule) if rule.starts_with("media") || rule.starts_with("supports") => Some(Inside::Media),
            Some(rule) if without_vendor(rule).starts_with("keyframes ") => Some(Inside::Keyframes),
            _ => None,
        };
        if let Some(inside) = group {
            // `@media … { rules }`.
            let end = self.style_rules(at + open + 1, inside).unwrap_or(at + open + 1);
            let tail = &self.text[end..];
            return tail.trim_start().starts_with('}').then(|| end + tail.len() - tail.trim_start().len() + 1);
        }
        let close = memchr(b'}', body)?;
        let body = std::str::from_utf8(&body[..close]).ok()?;
        are_declarations(body).then_some(at + open + 1 + close + 1)
    }

    /// A run of statements on the line at `at`, and on the lines after it.
    fn scripts(&mut self, at: usize) -> Option<(Rule, Range<usize>)> {
        let line = &self.text[at..line_end(self.text, at)];
        // The place inside the line where the shop's script begins.
        let behind_a_sentence = |word: &&str| {
            let found = memmem::find(line.as_bytes(), word.as_bytes())?;
            let before = line[..found].trim_end_matches(' ');
            (before.is_empty() || before.len() < found && before.ends_with(['.', '!', '?', ';', '}', ')']))
                .then_some(found)
        };
        let inside = OF_THE_SHOP.iter().filter_map(behind_a_sentence).min();
        let any = || BEHIND_A_SENTENCE.iter().filter_map(behind_a_sentence).min();
        let start = at + inside.or_else(|| begins_script(line).then_some(0)).or_else(any)?;
        let mut end = start;
        let mut is_of_shop = false;
        loop {
            let spaces = self.text[end..].len() - self.text[end..].trim_start().len();
            let from = end + spaces;
            let rest = &self.text[from..];
            let of_shop = OF_THE_SHOP.iter().any(|word| rest.starts_with(word));
            let continues = end > start && continues_script(rest);
            if !(of_shop || begins_script(rest) || continues) {
                break;
            }
            let Some(statement_end) = self.statement(from, of_shop) else { break };
            is_of_shop |= of_shop;
            end = statement_end;
        }
        let rest_of_line = self.text[end..line_end(self.text, end)].trim();
        (end > start && (is_of_shop || rest_of_line.is_empty())).then_some((Rule::Scripts, start..end))
    }

    /// The end of the statement at `from`: behind its `;` or its last `}`.
    fn statement(&mut self, from: usize, of_shop: bool) -> Option<usize> {
        let mut limit = if self.closes { self.text.len() } else { line_end(self.text, from) };
        if !of_shop && limit > from + MAX_STATEMENT {
            limit = line_end(self.text, from).min(from + MAX_STATEMENT).max(from);
            while !self.text.is_char_boundary(limit) {
                limit -= 1;
            }
        }
        let bytes = &self.text.as_bytes()[..limit];
        let mut depth = 0_usize;
        let mut at = from;
        // Behind the last bracket that closed all others, and a space: text may follow there.
        let mut closed = None;
        while at < limit {
            match bytes[at] {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' => {
                    depth = depth.saturating_sub(1);
                    let rest = &self.text[at + 1..limit];
                    let words = rest.strip_prefix(' ').is_some_and(|rest| rest.starts_with(char::is_alphabetic));
                    if depth == 0 && words {
                        closed = Some(at + 1);
                    }
                }
                b'}' => {
                    depth = depth.saturating_sub(1);
                    let rest = self.text[at + 1..limit].trim_start();
                    let goes_on = [";", ")", "(", "else", "catch", "finally", "."].iter().any(|w| rest.starts_with(w));
                    if depth == 0 && !goes_on {
                        return Some(at + 1);
                    }
                }
                b';' if depth == 0 => return Some(at + 1),
                b'\n' if depth == 0 && at > from => {
                    return bytes[at - 1].eq(&b')').then_some(at);
                }
                quote @ (b'"' | b'\'') => {
                    // An apostrophe does not close on its line.
                    let line = line_end(&self.text[..limit], at + 1);
                    if let Some(length) = memchr(quote, &bytes[at + 1..line]) {
                        at += 1 + length;
                    }
                }
                _ => {}
            }
            at += 1;
        }
        if depth > 0 {
            self.closes = false;
        }
        // A script that the page cut off.
        let line = line_end(self.text, from);
        if of_shop {
            // A statement without its semicolon ends at its last bracket.
            return Some(closed.filter(|_| depth == 0).unwrap_or(line));
        }
        (depth == 0 && self.text[from..line].ends_with(')')).then_some(line)
    }
}

/// What style rules stand in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Sheet,
    /// `@media` or another condition.
    Media,
    Keyframes,
}

/// Whether a statement of any script begins the text.
fn begins_script(text: &str) -> bool {
    OF_SCRIPTS.iter().any(|word| text.starts_with(word))
        || text.strip_prefix("var ").is_some_and(|rest| name(rest).is_some_and(is_assignment))
        || text.strip_prefix("function ").is_some_and(|rest| name(rest).is_some_and(|rest| rest.starts_with('(')))
        || ["window.", "document."].iter().any(|object| {
            text.strip_prefix(object)
                .and_then(name)
                .is_some_and(|rest| rest.starts_with(['(', '.', '[']) || is_assignment(rest))
        })
}

/// Whether the text may be a statement behind another one.
fn continues_script(text: &str) -> bool {
    let text = ["let ", "const ", "var "].iter().find_map(|word| text.strip_prefix(word)).unwrap_or(text);
    text.starts_with(['}', ';', ')'])
        || text.starts_with("//")
        || name(text).is_some_and(|rest| {
            is_assignment(rest) || rest.starts_with('(') || rest.starts_with('.') && name(&rest[1..]).is_some()
        }) && text[..line_end(text, 0)].trim_end().ends_with([';', '}'])
}

fn is_assignment(rest: &str) -> bool {
    rest.trim_start_matches(' ').strip_prefix('=').is_some_and(|rest| !rest.starts_with('='))
}

/// The text behind the name of a variable.
fn name(text: &str) -> Option<&str> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '$';
    text.starts_with(is_first).then(|| text.trim_start_matches(|c| is_first(c) || c.is_ascii_digit()))
}

/// Whether the text before a `{` selects elements: `.a-section, h1 a:hover`.
fn is_selector(selector: &str) -> bool {
    if let Some(rule) = selector.strip_prefix('@') {
        let known = ["media", "supports", "font-face", "page", "keyframes "];
        return known.iter().any(|known| without_vendor(rule).starts_with(known));
    }
    let is_part = |part: &str| {
        let part = part.trim();
        let is_plain = |c: char| c.is_ascii_alphanumeric() || " \n.#-_:()[]=\"'~^$*>+%".contains(c);
        let mut words = part.split([' ', '\n', '>', '+', '~']).filter(|word| !word.is_empty());
        let is_simple = |word: &str| {
            let tail = word.trim_start_matches(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
            let element = &word[..word.len() - tail.len()];
            let is_named = !element.is_empty() && is_element(element.as_bytes());
            let marks = tail.starts_with(['.', '#', ':', '[', '*'])
                && tail[1..].starts_with(|c: char| c.is_ascii_alphabetic() || "_-:".contains(c));
            is_named && (tail.is_empty() || marks) || element.is_empty() && (marks || tail == "*")
        };
        part.chars().all(is_plain) && !part.is_empty() && words.all(is_simple)
    };
    !selector.is_empty() && selector.split(',').all(is_part)
}

/// Whether the text before a `{` is a moment of an animation: `from`, `50%`.
fn is_keyframe(selector: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    matches!(selector, "from" | "to") || selector.strip_suffix('%').is_some_and(is_part)
}

/// A name without the browser that it is for: `-webkit-keyframes`.
fn without_vendor(name: &str) -> &str {
    ["-webkit-", "-moz-", "-ms-", "-o-"].iter().find_map(|vendor| name.strip_prefix(vendor)).unwrap_or(name)
}

/// Whether the text inside braces is declarations of a style sheet: `margin:0; color:red`.
fn are_declarations(body: &str) -> bool {
    let mut declarations = body.split(';').map(str::trim).filter(|text| !text.is_empty()).peekable();
    declarations.peek().is_some()
        && declarations.all(|declaration| {
            let Some((property, value)) = declaration.split_once(':') else { return false };
            // Variables of the sheet, and what Word writes.
            let is_of_any_name = property.starts_with("--") || property.starts_with("mso-");
            let property = property.trim_start_matches(['*', '_', '-']).trim_end();
            let property = ["webkit-", "moz-", "ms-", "o-"]
                .iter()
                .find_map(|vendor| property.strip_prefix(vendor))
                .unwrap_or(property);
            let head = property.split('-').next().unwrap_or_default();
            let is_name = property.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
            let is_known = || PROPERTIES.split(' ').any(|known| known == head);
            !value.trim().is_empty() && is_name && (is_of_any_name || is_known())
        })
}

/// A value of the shop's catalog, with the language it is in.
#[derive(Deserialize)]
struct TaggedValue {
    #[serde(rename = "language_tag")]
    _language: String,
    value: String,
}

/// The JSON object at the beginning of the line at `at`, and the value in it.
fn tagged_value(text: &str, at: usize) -> Option<(Range<usize>, String)> {
    let open = text[at..].starts_with('{').then_some(at)?;
    let end = line_end(text, at).min(open + MAX_TAGGED);
    let line = text.get(open..end)?;
    memmem::find(line.as_bytes(), b"\"language_tag\"")?;
    let mut values = serde_json::Deserializer::from_str(line).into_iter::<TaggedValue>();
    let value = values.next()?.ok()?.value;
    Some((open..open + values.byte_offset(), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(text: &str) -> String {
        strip_code(text, &mut Removals::default()).into_owned()
    }

    #[test]
    fn code_goes() {
        for (text, wanted) in [
            (".a-section {margin:0}", ""),
            ("Boots\n.x{color:#83C22D;margin:0px;font-size:12px}.y{color:#A56EBA}\nSize", "Boots\nSize"),
            (".no a:hover {\ntext-decoration: none;\n}\nSoap", "Soap"),
            ("/* a fix */\nh1, #id > .b { float: left; }\nSoap", "Soap"),
            ("@media (max-width: 3px) { .a { margin: 0 } }\nSoap", "Soap"),
            (".a-box-inner{background-color:#fff}#aBox .selected{background-color:#fffbf3}\nSoap", "Soap"),
            ("*{-webkit-box-sizing:border-box} Soap", "Soap"),
            (":root { --x: 1px; --main-color: red }\nSoap", "Soap"),
            ("@import url('x.css'); @charset \"utf-8\";\n.a {margin:0}\nSoap", "Soap"),
            ("@keyframes a { from {top:0} 50%, 60.5% {top:3px} to {top:1px} }\nSoap", "Soap"),
            ("@-webkit-keyframes spin { 100% { -webkit-transform: none; } }\nSoap", "Soap"),
            (
                "/* Style Definitions */ table.MsoNormalTable {mso-style-name:\"Table Normal\"; mso-tstyle-rowband-size:0; \
                 font-size:10.0pt;}\nSoap",
                "Soap",
            ),
            ("var ue_t0=ue_t0||+new Date();\nSoap", "Soap"),
            ("window.ue_ihb = (window.ue_ihb || 0) + 1;\nSoap", "Soap"),
            ("if(window.ue) ue.count('x', 1);\nSoap", "Soap"),
            ("P.register('x');\nSoap", "Soap"),
            (
                "window.dataLayer = window.dataLayer || [];\nfunction gtag(){dataLayer.push(arguments);}\ngtag('js', new Date());\nSoap",
                "Soap",
            ),
            ("gtag('config', 'UA-1');\nSoap", "Soap"),
            ("ga('create', 'UA-1', 'auto'); ga('send', 'pageview');\nSoap", "Soap"),
            ("var _gaq = _gaq || []; _gaq.push(['_setAccount', 'UA-1']);\nSoap", "Soap"),
            ("fbq('init', '1');\nSoap", "Soap"),
            ("amznJQ.available('jQuery');\nSoap", "Soap"),
            ("var aPageStart = (new Date()).getTime();", ""),
            ("var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();\nSoap", "Soap"),
            ("P.when('A').execute(function(A){ A.on('x', function(){}); });\nSoap", "Soap"),
            ("P.when('A', 'ready').execute(function(A) {\nA.on('x');\n});\nSoap", "Soap"),
            ("if (typeof uet === 'function') { uet('cf'); }\nSoap", "Soap"),
            (
                "Wetness indicator. if(typeof P !== 'undefined' && typeof P.when !== 'undefined') \
                 { P.when('fix').execute(function(d){d.fix(); }); }",
                "Wetness indicator.",
            ),
            ("P.when('A').execute(function(A){ A.on('x'\nSoap", "A.on('x'\nSoap".split_once('\n').unwrap().1),
            ("window.x = (new Date()).getTime();\nSoap", "Soap"),
            ("function go(a) {\nreturn a;\n}\nSoap", "Soap"),
            ("(function(f) { f(); }(window));\nSoap", "Soap"),
            ("$(document).ready(function(){ $('#a').hide(); });\nSoap", "Soap"),
            ("Soft cotton. $(document).ready(function(){ $('#a').hide(); });\nSoap", "Soft cotton.\nSoap"),
            ("Soft cotton! jQuery('.a').on('click', function() { go(); });", "Soft cotton!"),
            ("$('.a').hide();\nSoap", "Soap"),
            ("jQuery.noConflict();\nSoap", "Soap"),
            ("document.getElementById('a').innerHTML = 'b';\nSoap", "Soap"),
            ("Soap.\n(function($) { $('.a').hide(); })(jQuery);", "Soap."),
            ("setTimeout(function() { go(); }, 100);\nSoap", "Soap"),
            ("$.ajax({ url: '/a' });\nSoap", "Soap"),
            ("{ \"language_tag\": \"en_US\", \"value\": \"Undyed linen.\" }", "Undyed linen."),
            ("{ \"language_tag\": \"en_US\", \"value\": \"a\\nb\", \"marketplace_id\": \"A\" }\nSoap", "a\nb\nSoap"),
        ] {
            assert_eq!(stripped(text), wanted, "{text}");
        }
    }

    #[test]
    fn text_about_code_stays() {
        for text in [
            "Learn CSS: margin {and padding} explained",
            "A book on var and let, function by function.",
            "{Material} 100% Natural Cotton",
            "{Set of 2} Custom Magnet",
            "Shirt {color: blue}",
            "a soft shirt {color: blue}",
            ".925 silver {polished: yes}",
            "h1 {ours}",
            "window. The frame is wood;",
            "function (auto) works well;",
            "try {this} tea",
            "$(USD) 5;",
            "var x is a variable;",
            "If (typeof is new to you) read chapter 2;",
            "if (typeof x is new to you) read chapter 2",
            "document.ready() is explained",
            "Set the \"language_tag\" in the menu.",
            "{ \"language_tag\": \"en_US\" }",
            "{ \"language_tag\": \"en_US\", \"value\": \"x",
            "I said uet( once",
            "jQuery in Action explains $('#id') and {braces}.",
            "First things first. $(document).ready() runs your function when the page is there.",
            "jQuery. The book that {everyone} reads.",
            "jQuery (third edition) is {new}",
            "$.50 off {each}",
            "@import Foundation; is how {modules} are read",
            "@keyframes {animation} for beginners",
            "@keyframes a { from the start } explained",
            "Explains @import url(…) and {cascades}.",
            "@import url(x.css) and @charset; both {load}",
            "from {top: 0} to {top: 1px}",
            ":root {vegetables: carrots}",
            "ga('create') is how {pages} are counted",
            "Learn gtag() and the {data layer}.",
            "Word {mso: 2007}",
            "The window.dataLayer of a page",
            "{}",
            "",
        ] {
            assert_eq!(stripped(text), text);
        }
    }

    #[test]
    fn scripts_without_a_brace_are_looked_at() {
        let is_seen = |start: &str| TRIGGERS.iter().any(|trigger| start.contains(trigger));
        assert_eq!(OF_THE_SHOP.iter().find(|start| !is_seen(start)), None);
        for text in [
            "window.dataLayer = window.dataLayer || [];",
            "gtag('config', 'UA-1');",
            "ga('create', 'UA-1', 'auto'); ga('send', 'pageview');",
            "var _gaq = _gaq || [];",
            "fbq('init', '1');",
            "@import url(x.css);",
        ] {
            assert!(may_hold_code(text), "{text}");
            assert_eq!(stripped(text), "");
        }
        assert!(TRIGGERS.len() <= 32);
    }

    #[test]
    fn removals_are_counted_without_the_value() {
        let mut removals = Removals::logging();
        strip_code("{ \"language_tag\": \"en_US\", \"value\": \"Linen\" }\n.a {margin:0}", &mut removals);
        assert_eq!(removals.of(Rule::LanguageTags).bytes, 40);
        assert_eq!(removals.of(Rule::Styles).pieces, 1);
        assert_eq!(removals.log()[1].1, ".a {margin:0}");
    }
}
