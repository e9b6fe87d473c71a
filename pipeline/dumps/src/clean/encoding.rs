//! Text that was decoded with another code page than it was written in, such as `Itâ€™s` for `It’s`.
//!
//! # UTF-8 as Windows-1252 or Latin-1
//!
//! A character past ASCII then stands as two to four characters: the first is the lead byte of
//! UTF-8, the others are continuation bytes. Nearly all such sequences are damage, but not all: in
//! `“MAÇÃ”`, two of the characters are correct. A sequence is repaired only if it cannot be correct:
//!
//! | first character | repaired |
//! |---|---|
//! | `Â`, `Ã` | after a lower-case letter, and elsewhere unless the second may end a word here |
//! | `Ä`, `Å`, `Æ` | after a lower-case letter, or at the start of a word that continues in lower case |
//! | `È` | likewise, if it is a letter of Romanian |
//! | `á` before `º` or `»` | unless the third may follow a closing quote here: a letter of Vietnamese |
//! | `â` | unless the second and third may end a word here |
//! | `ï` | if it is U+FEFF, U+FFFD, a variation selector or a full-width form |
//! | `ð` | if it is U+1F000 or later, such as an emoji |
//! | others | in a row of three or more sequences, as in Greek, Cyrillic or Chinese text |
//! | all but `ï`, `ð` | with a control character, unless it may be punctuation of Windows-1252 behind a word |
//!
//! Text that was damaged twice is repaired twice. A no-break space may have become a plain one since: `10Â cm`.
//!
//! # Windows-1252 as Latin-1
//!
//! The control characters U+0080 to U+009F that remain are characters of Windows-1252: `don\u{92}t` is `don’t`.
//!
//! # UTF-8 as Mac Roman
//!
//! Quotes and dashes such as `‚Äô`, and `√©` behind a letter.
use std::borrow::Cow;

use memchr::memchr;

/// Repairs the sequences that are certain. Other text is returned as it is, without control characters past ASCII.
pub(super) fn repair_encoding(text: &str) -> Cow<'_, str> {
    let mut repaired = Cow::Borrowed(text);
    // A sequence of the next level is at least twice as long, so the rounds are few.
    while let Some(again) = repair_once(&repaired).or_else(|| without_controls(&repaired)) {
        repaired = Cow::Owned(again);
    }
    repaired
}

/// Repairs one level. `None` if nothing is certain.
fn repair_once(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    // Sequences from `at` that are known to stand in one row, and the length of that row.
    let (mut in_row, mut row) = (0_usize, 0_usize);
    // Whether a repaired `“` waits for its `”`.
    let mut is_quote_open = false;
    // Nearly all text has none of the leads, which all begin with this byte.
    while let Some(found) = memchr(0xc3, &text.as_bytes()[at..]) {
        at += found;
        if found > 0 {
            in_row = 0;
        }
        if let Some((punctuation, length)) = of_mac_roman(&text[copied..], at - copied) {
            out.push_str(&text[copied..at - LOW_QUOTE.len_utf8()]);
            out.push(punctuation);
            at += length;
            copied = at;
            in_row = 0;
            continue;
        }
        let Some(sequence) = Sequence::at_start_of(&text[at..]) else {
            if let Some((quote, length)) = cut_quote(text, at, is_quote_open) {
                is_quote_open &= quote != '”';
                out.push_str(&text[copied..at]);
                out.push(quote);
                at += length;
                copied = at;
            } else {
                let before = if copied == at && at > 0 { &*out } else { &text[..at] };
                let rest = &text[at..];
                at += 2;
                if let Some(repaired) = before_space(before, rest) {
                    let lead = at - 2;
                    out.push_str(&text[copied..lead]);
                    out.push_str(repaired);
                    copied = at;
                }
            }
            in_row = 0;
            continue;
        };
        if in_row == 0 {
            row = row_length(&text[at..]);
            in_row = row;
        }
        in_row -= 1;
        let before = match (copied == at, out.chars().next_back()) {
            (true, Some(_)) => Before::Repaired,
            _ => text[..at].chars().next_back().map_or(Before::Other, Before::of),
        };
        let end = at + sequence.len;
        if let Some(repaired) = sequence.certain(before, text[end..].chars().next(), row) {
            is_quote_open = repaired == '“' || is_quote_open && repaired != '”';
            out.push_str(&text[copied..at]);
            out.push(repaired);
            copied = end;
        }
        at = end;
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// What the lead of a sequence stands for whose no-break space became a plain one, as in `10Â cm` and `voilÃ  le`. No
/// word continues with these letters in upper case and ends there.
fn before_space(before: &str, rest: &str) -> Option<&'static str> {
    let mut chars = rest.chars();
    let lead = chars.next()?;
    if chars.next()? != ' ' {
        return None;
    }
    let last = before.chars().next_back()?;
    match lead {
        'Ã' => last.is_lowercase().then_some("à"),
        'Â' => {
            let is_end = |c: char| matches!(c, '.' | ',' | '!' | '?' | ')' | ':' | ';');
            // Behind a letter and a comma, it may be the next letter of a list.
            let word = before.trim_end_matches(is_end);
            let mut letters = word.chars().rev();
            let is_word = letters.next()?.is_lowercase() && letters.next().is_some_and(char::is_alphabetic);
            let is_behind = last.is_lowercase() || last.is_ascii_digit() || is_end(last) && is_word;
            is_behind.then_some("")
        }
        _ => None,
    }
}

/// The quote whose last character is lost at `at`, and the length of what is left of it.
fn cut_quote(text: &str, at: usize, is_quote_open: bool) -> Option<(char, usize)> {
    const LEFT: &str = "â€";
    let after = text[at..].strip_prefix(LEFT)?;
    // The last byte of `”` is not a character of Windows-1252. Programs replace it or drop it.
    if after.starts_with('\u{fffd}') {
        return Some(('”', LEFT.len() + '\u{fffd}'.len_utf8()));
    }
    // That of `’` is `™`, which some shops remove from all text. In other words it may be a hyphen.
    let is_ending = |ending: &&str| {
        after.strip_prefix(*ending).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphabetic() && c != 'â'))
    };
    let is_apostrophe =
        text[..at].ends_with(char::is_alphabetic) && ["s", "t", "d", "m", "re", "ve", "ll"].iter().any(is_ending);
    let quote = if is_apostrophe { '’' } else { '”' };
    (is_apostrophe || is_quote_open).then_some((quote, LEFT.len()))
}

/// The first of the characters of punctuation that Mac Roman decoded.
const LOW_QUOTE: char = '‚';

/// The punctuation that Mac Roman decoded and whose second character is at `at`, and the length from there.
fn of_mac_roman(text: &str, at: usize) -> Option<(char, usize)> {
    let mut chars = text[at..].chars();
    if chars.next() != Some('Ä') || !text[..at].ends_with(LOW_QUOTE) {
        return None;
    }
    let third = chars.next()?;
    let punctuation = match third {
        'ò' => '‘',
        'ô' => '’',
        'ú' => '“',
        'ù' => '”',
        'ì' => '–',
        'î' => '—',
        '¶' => '…',
        '¢' => '•',
        _ => return None,
    };
    Some((punctuation, 'Ä'.len_utf8() + third.len_utf8()))
}

/// The longest run of control characters that is looked past.
const MOST_CONTROLS: usize = 8;

/// Replaces control characters past ASCII, and `√©` behind a letter. `None` if there are none.
fn without_controls(text: &str) -> Option<String> {
    let mut out = String::new();
    let (mut copied, mut at) = (0, 0);
    // The first byte of these characters, which few others have.
    while let Some(found) = memchr(0xc2, &text.as_bytes()[at..]) {
        let start = at + found;
        let Some(c) = text[start..].chars().next() else { break };
        at = start + c.len_utf8();
        let root = text[copied..start].strip_suffix('√').filter(|before| before.ends_with(char::is_lowercase));
        if let Some(before) = root.filter(|_| c == '©') {
            out.push_str(before);
            out.push('é');
            copied = at;
        } else if let Some((punctuation, length)) = without_lead(c, &text[at..]) {
            out.push_str(&text[copied..start]);
            out.push(punctuation);
            at += length;
            copied = at;
        } else if is_control(c) {
            out.push_str(&text[copied..start]);
            let next = text[at..].chars().take(MOST_CONTROLS).find(|&c| !is_control(c));
            out.extend(of_control(c, out.chars().next_back(), next));
            copied = at;
        }
    }
    if copied == 0 {
        return None;
    }
    out.push_str(&text[copied..]);
    Some(out)
}

/// The punctuation whose first character is lost, before `second` and the text behind it, and the length of the last
/// character. Only characters that mean nothing else behind `€`.
fn without_lead(second: char, text: &str) -> Option<(char, usize)> {
    let third = text.chars().next().filter(|_| second == '\u{80}')?;
    let punctuation = match third {
        '\u{98}' => '‘',
        '\u{99}' => '’',
        '\u{9c}' => '“',
        '\u{9d}' => '”',
        '¢' => '•',
        '¦' => '…',
        _ => return None,
    };
    Some((punctuation, third.len_utf8()))
}

const fn is_control(c: char) -> bool {
    matches!(c, '\u{80}'..='\u{9f}')
}

/// What a control character past ASCII stands for between the characters around it.
fn of_control(control: char, before: Option<char>, after: Option<char>) -> Option<char> {
    let is_after = |of: fn(char) -> bool| before.is_some_and(of);
    let shown = windows_1252(control);
    let is_possible = match shown {
        // No word continues with an upper-case letter, and a low quote opens one.
        'Š' | 'Œ' | 'Ž' | 'Ÿ' => !is_after(char::is_lowercase),
        '‚' | '„' => !is_after(char::is_alphanumeric),
        shown => shown != control,
    };
    match control {
        _ if is_possible => Some(shown),
        // `é` of DOS and of the Macintosh, and `è` of the latter.
        '\u{82}' | '\u{8e}' if is_after(char::is_lowercase) => Some('é'),
        '\u{8f}' if is_after(char::is_lowercase) => Some('è'),
        // Words must not grow together.
        _ => (is_after(char::is_alphanumeric) && after.is_some_and(char::is_alphanumeric)).then_some(' '),
    }
}

/// How many sequences stand at the start of `text` in a row.
fn row_length(mut text: &str) -> usize {
    let mut row = 0;
    while let Some(sequence) = Sequence::at_start_of(text) {
        text = &text[sequence.len..];
        row += 1;
    }
    row
}

/// The character before a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Lower,
    /// An upper-case letter, or one without case.
    Letter,
    /// A quote or a bracket that opens.
    Opening,
    /// The repaired character of a sequence.
    Repaired,
    /// `Â` or `Ã`, the rest of a sequence that was damaged once more.
    Lead,
    /// None, white space, a digit or punctuation.
    Other,
}

impl Before {
    fn of(c: char) -> Self {
        match windows_1252(c) {
            'Â' | 'Ã' => Self::Lead,
            c if c.is_lowercase() => Self::Lower,
            c if c.is_alphabetic() => Self::Letter,
            '"' | '\'' | '“' | '‘' | '’' | '«' | '‹' | '„' | '‚' | '(' | '[' | '{' => Self::Opening,
            _ => Self::Other,
        }
    }
}

/// A sequence of characters that stand for the bytes of one character.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    lead: char,
    /// The characters after the lead. Unused ones are NUL.
    rest: [char; 3],
    decoded: char,
    /// Bytes of the whole sequence in the text.
    len: usize,
}

impl Sequence {
    fn at_start_of(text: &str) -> Option<Self> {
        let mut chars = text.chars();
        let lead = chars.next()?;
        let lead_byte = u8::try_from(u32::from(lead)).ok()?;
        let count = match lead_byte {
            0xc2..=0xdf => 1,
            0xe0..=0xef => 2,
            0xf0..=0xf4 => 3,
            _ => return None,
        };
        let mut bytes = [lead_byte, 0, 0, 0];
        let mut rest = ['\0'; 3];
        for at in 0..count {
            rest[at] = chars.next()?;
            bytes[at + 1] = continuation_byte(rest[at])?;
        }
        let decoded = std::str::from_utf8(&bytes[..=count]).ok()?.chars().next()?;
        Some(Self { lead, rest, decoded, len: text.len() - chars.as_str().len() })
    }

    /// The repaired character, if the sequence cannot be correct text between the characters around
    /// it, in a row of so many sequences.
    fn certain(&self, before: Before, after: Option<char>, row: usize) -> Option<char> {
        let Self { lead, rest: [second, third, _], decoded, .. } = *self;
        let goes_on = after.is_some_and(char::is_alphabetic);
        let goes_on_lower = after.is_some_and(char::is_lowercase);
        let is_certain = before != Before::Lead
            && match lead {
                'Â' if second as u32 == 0xa0 => before != Before::Opening,
                'Â' => match before {
                    // No word ends in `Â`, so `BRANDÂ®` is damage. It may be spoken of in quotes.
                    Before::Letter => !is_quote(second) || goes_on,
                    Before::Opening => !may_end_word(second) || goes_on,
                    _ => true,
                },
                'Ã' => match before {
                    Before::Lower | Before::Repaired => true,
                    Before::Letter => !may_end_word(second) || goes_on_lower && !is_quote(second),
                    Before::Opening => !may_end_word(second) || goes_on,
                    _ => !is_quote(second) || goes_on,
                },
                'Ä' | 'Å' | 'Æ' | 'È' => match before {
                    // `cioÈ…` and `È “` are Italian, and these are the letters of Romanian.
                    _ if lead == 'È' && !matches!(windows_1252(second), '™' | '›' | '˜' | 'š') => false,
                    Before::Lower | Before::Repaired => true,
                    _ if is_control(second) => goes_on || !self.may_end_word_before(before),
                    Before::Letter => false,
                    // `Å og` with a no-break space is correct. `Å›wiat` has no quote: one would not open there.
                    _ => {
                        goes_on_lower
                            && (!is_quote(second) || second == '›')
                            && !matches!(second, '\u{a0}' | '–' | '—' | '·' | '²' | '³')
                    }
                },
                // `«allá»—dijo` is correct.
                'á' if matches!(second, 'º' | '»') => {
                    second == 'º' || !follows_quotation(windows_1252(third), after)
                }
                'â' => {
                    let may_be_correct = matches!(before, Before::Lower | Before::Letter | Before::Opening);
                    !(may_be_correct && may_end_word(second) && may_end_word(third))
                }
                'ï' => matches!(decoded, '\u{feff}' | '\u{fffd}' | '\u{fe0e}' | '\u{fe0f}' | '\u{ff00}'..='\u{ff5e}'),
                'ð' => decoded >= '\u{1f000}',
                _ => row >= 3 || self.has_control() && !self.may_end_word_before(before),
            };
        // In a long row, all sequences are damage.
        (is_certain || before != Before::Lead && row >= 3).then_some(decoded)
    }

    fn has_control(&self) -> bool {
        self.rest.into_iter().any(is_control)
    }

    /// Whether the lead may end a word, and the characters behind it be punctuation, as in `“CAFÉ”` and `fiancé”—`.
    fn may_end_word_before(&self, before: Before) -> bool {
        let is_in_word = match before {
            Before::Lower => self.lead.is_lowercase(),
            Before::Letter | Before::Opening => true,
            Before::Repaired | Before::Lead | Before::Other => false,
        };
        let rest = || self.rest.into_iter().filter(|&c| c != '\0').map(windows_1252);
        let is_opening = |c: char| matches!(c, '“' | '‘');
        // A word of one letter, as in `qual è…”`.
        let is_word = before == Before::Other && rest().all(|c| ends_quotation(c) || is_opening(c));
        is_word || is_in_word && rest().all(|c| may_end_word(c) || is_opening(c))
    }
}

/// Quotes and apostrophes that may follow a letter.
const fn is_quote(c: char) -> bool {
    matches!(c, '”' | '’' | '»' | '›')
}

/// Whether correct text may have this character after the last letter of a word.
const fn may_end_word(c: char) -> bool {
    is_quote(c)
        || matches!(
            c,
            '\u{a0}'
                | '™'
                | '®'
                | '©'
                | '…'
                | '–'
                | '—'
                | '·'
                | '•'
                | '†'
                | '‡'
                | '¹'
                | '²'
                | '³'
                | '´'
                | 'ª'
                | 'º'
                | '°'
        )
}

/// Whether correct text may have this character behind a quotation that `»` closes.
const fn ends_quotation(c: char) -> bool {
    is_quote(c) || matches!(c, '\u{a0}' | '…' | '–' | '—')
}

/// Whether correct text may have this character behind `»` and before another.
fn follows_quotation(c: char, after: Option<char>) -> bool {
    match c {
        '”' | '’' | '»' | '…' | '–' | '—' | '¡' | '¿' | '\u{a0}' => true,
        '«' => after.is_some_and(char::is_uppercase),
        '›' | '®' | '™' | '©' | '·' | '•' | '¹' | '²' | '³' | '°' => {
            !after.is_some_and(char::is_alphabetic)
        }
        _ => false,
    }
}

/// The characters of Windows-1252 at the places of the control characters from U+0080. NUL where it has none.
const WINDOWS_1252: [char; 32] = [
    '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', //
    '\0', '‘', '’', '“', '”', '•', '–', '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
];

/// What Windows-1252 has at the place of a control character past ASCII. Other characters stay.
fn windows_1252(c: char) -> char {
    let place = u32::from(c).checked_sub(0x80).and_then(|place| WINDOWS_1252.get(place as usize));
    place.copied().filter(|&shown| shown != '\0').unwrap_or(c)
}

/// The byte from 0x80 to 0xbf that Windows-1252 or Latin-1 decodes as `c`.
fn continuation_byte(c: char) -> Option<u8> {
    match c {
        '\0' => None,
        '\u{80}'..='\u{bf}' => Some(c as u8),
        c => WINDOWS_1252.iter().position(|&shown| shown == c).map(|place| 0x80 + place as u8),
    }
}

#[cfg(test)]
mod tests;
