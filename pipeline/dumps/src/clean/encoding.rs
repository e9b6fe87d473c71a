//! UTF-8 that was decoded as Windows-1252 or Latin-1, such as `Itâ€™s` for `It’s`.
//!
//! A character past ASCII then stands as two to four characters: the first is the lead byte of
//! UTF-8, the others are continuation bytes. Nearly all such sequences are damage, but not all: in
//! `“MAÇÃ”`, two of the characters are correct. A sequence is repaired only if it cannot be correct:
//!
//! | first character | repaired |
//! |---|---|
//! | `Â`, `Ã` | after a lower-case letter, and elsewhere unless the second may end a word here |
//! | `Ä`, `Å` | after a lower-case letter, or at the start of a word that continues in lower case |
//! | `â` | unless the second and third may end a word here |
//! | `ï` | if it is U+FEFF, U+FFFD, a variation selector or a full-width form |
//! | `ð` | if it is U+1F000 or later, such as an emoji |
//! | others | in a row of three or more sequences, as in Greek, Cyrillic or Chinese text |
//!
//! Text that was damaged twice is repaired twice.
use std::borrow::Cow;

use memchr::memchr;

/// Repairs the sequences that are certain. Other text is returned as it is.
pub(super) fn repair_encoding(text: &str) -> Cow<'_, str> {
    let Some(mut repaired) = repair_once(text) else { return Cow::Borrowed(text) };
    // A sequence of the next level is at least twice as long, so the rounds are few.
    while let Some(again) = repair_once(&repaired) {
        repaired = again;
    }
    Cow::Owned(repaired)
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
        let Some(sequence) = Sequence::at_start_of(&text[at..]) else {
            // The last byte of `”` is not a character of Windows-1252, so many programs drop it.
            if is_quote_open && text[at..].starts_with("â€") {
                is_quote_open = false;
                out.push_str(&text[copied..at]);
                out.push('”');
                at += "â€".len();
                copied = at;
            } else {
                at += 2;
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
        match c {
            'Â' | 'Ã' => Self::Lead,
            c if c.is_lowercase() => Self::Lower,
            c if c.is_alphabetic() => Self::Letter,
            '"' | '\'' | '“' | '‘' | '«' | '‹' | '„' | '‚' | '(' | '[' | '{' => Self::Opening,
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
                'Ä' | 'Å' => match before {
                    Before::Lower | Before::Repaired => true,
                    Before::Letter => false,
                    // `Å og` with a no-break space is correct.
                    _ => goes_on_lower && !is_quote(second) && second != '\u{a0}',
                },
                'â' => {
                    let may_be_correct = matches!(before, Before::Lower | Before::Letter | Before::Opening);
                    !(may_be_correct && may_end_word(second) && may_end_word(third))
                }
                'ï' => matches!(decoded, '\u{feff}' | '\u{fffd}' | '\u{fe0e}' | '\u{fe0f}' | '\u{ff00}'..='\u{ff5e}'),
                'ð' => decoded >= '\u{1f000}',
                _ => row >= 3,
            };
        // In a long row, all sequences are damage.
        if !is_certain && (before == Before::Lead || row < 3) {
            return None;
        }
        // A control character in a row is a byte of the level below.
        printable(decoded).or_else(|| (row >= 2).then_some(decoded))
    }
}

/// The character, or what Windows-1252 has at the place of a control character. Its letters there
/// are left alone: they come from other code pages.
fn printable(c: char) -> Option<char> {
    Some(match c {
        '\u{80}' => '€',
        '\u{82}' => '‚',
        '\u{84}' => '„',
        '\u{85}' => '…',
        '\u{91}' => '‘',
        '\u{92}' => '’',
        '\u{93}' => '“',
        '\u{94}' => '”',
        '\u{95}' => '•',
        '\u{96}' => '–',
        '\u{97}' => '—',
        '\u{99}' => '™',
        '\u{80}'..='\u{9f}' => return None,
        c => c,
    })
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

/// The byte from 0x80 to 0xbf that Windows-1252 or Latin-1 decodes as `c`.
const fn continuation_byte(c: char) -> Option<u8> {
    Some(match c {
        '\u{80}'..='\u{bf}' => c as u8,
        '€' => 0x80,
        '‚' => 0x82,
        'ƒ' => 0x83,
        '„' => 0x84,
        '…' => 0x85,
        '†' => 0x86,
        '‡' => 0x87,
        'ˆ' => 0x88,
        '‰' => 0x89,
        'Š' => 0x8a,
        '‹' => 0x8b,
        'Œ' => 0x8c,
        'Ž' => 0x8e,
        '‘' => 0x91,
        '’' => 0x92,
        '“' => 0x93,
        '”' => 0x94,
        '•' => 0x95,
        '–' => 0x96,
        '—' => 0x97,
        '˜' => 0x98,
        '™' => 0x99,
        'š' => 0x9a,
        '›' => 0x9b,
        'œ' => 0x9c,
        'ž' => 0x9e,
        'Ÿ' => 0x9f,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The text that a program sees which decodes UTF-8 as Windows-1252.
    fn damaged(text: &str) -> String {
        let of_byte = |byte: u8| {
            let code_page = (0x80..=0x9f).contains(&byte).then(|| {
                ('\u{152}'..='\u{2122}')
                    .find(|c| !('\u{80}'..='\u{bf}').contains(c) && continuation_byte(*c) == Some(byte))
            });
            code_page.flatten().unwrap_or(char::from(byte))
        };
        text.bytes().map(of_byte).collect()
    }

    fn damaged_as_latin_1(text: &str) -> String {
        text.bytes().map(char::from).collect()
    }

    #[test]
    fn letters_before_a_no_break_space_stay() {
        for text in ["Å\u{a0}lese er gøy", "fra A til Å\u{a0}og", "Ä\u{a0}och Ö"] {
            assert_eq!(repair_encoding(text), text);
        }
    }

    #[test]
    fn damage_is_repaired() {
        for text in [
            "It’s a café mug",
            "“good dog”! They’re — truly – crème brûlée… jalapeño, naïve, décor",
            "£5, 45°, 1½ cups, ±2, Duraclad®, BRAND® NAME, ©2014, Exo-Guard™, 5 µm, «oui»",
            "tête-à-tête, à la carte, voilà",
            "Öl, Ärmel, über, München, JÓZEF, José, São Paulo, LLADRÓ",
            "4×4in, 35 ℃, ● dot, ★★★, ✔ done, → next, € 5, 5 €",
            "cœur, œuvre, Kościuszko",
            "😀 fun ❤️ 🎁🎁",
            "Привет, мир",
            "漢字かな",
            "（Support Passive PoE）",
            "a\u{a0}b \u{a0} BRAND\u{a0}c",
        ] {
            for level in [damaged(text), damaged_as_latin_1(text)] {
                assert_eq!(repair_encoding(&level), text, "{level}");
                // Damaged once more.
                assert_eq!(repair_encoding(&damaged(&level)), text, "{}", damaged(&level));
            }
        }
    }

    #[test]
    fn correct_text_stays() {
        for text in [
            "",
            "plain",
            "SÃO PAULO printed on it, Ã la carte",
            "MAÇÃ® and MAÇÃ™, “MAÇÃ”, «IRMÃ», MAÇÃ’s, “IRMÃ”… ‘LÃ’ MANHÃ… CORAÇÃO",
            "the letters “Ã”, «Â», (Ã…) and ‘Â’, as in ROMÂNIA or CHÂTEAU",
            "“café”… ‘fiancé’… voilà»… “déjà” – à… pâ”… É”, CAFÉ™",
            "Ångström, “Å”, Ä…, ÅÄÖ",
            "Été à Noël, façade — naïve… «garçon»",
            "¿Qué? ¡Olé! 5° ½ ® ™ é® É™ ñ… ü”",
        ] {
            assert!(matches!(repair_encoding(text), Cow::Borrowed(_)), "{text} -> {}", repair_encoding(text));
        }
    }

    #[test]
    fn single_cases() {
        for (damaged, wanted) in [
            // The last byte of `”` is lost.
            ("â€œAsian-Cajunâ€ rice", "“Asian-Cajun” rice"),
            ("a lone â€ stays", "a lone â€ stays"),
            // Windows-1252 that was taken for Latin-1 first.
            ("OÂ\u{92}Neill Â\u{93}must haveÂ\u{94}", "O’Neill “must have”"),
            ("OÂ’Neill", "O’Neill"),
            // Not certain: another code page, or a part is lost.
            ("protÂ\u{8e}gÂ\u{8e}e", "protÂ\u{8e}gÂ\u{8e}e"),
            ("MayÔ¨Çower", "MayÔ¨Çower"),
            ("phoneï¾’s", "phoneï¾’s"),
            ("oliveÃâ‚¬â„s", "oliveÃâ‚¬â„s"),
            // Correct characters next to damage.
            ("Barronï¿½s “café” dÃ©cor", "Barron\u{fffd}s “café” décor"),
        ] {
            assert_eq!(repair_encoding(damaged), wanted);
        }
    }

    #[test]
    fn clean_repairs_text_around_its_other_steps() {
        for (raw, wanted) in [
            ("It&acirc;&#128;&#153;s chipped", "It’s chipped"),
            ("It&amp;acirc;&amp;#128;&amp;#153;s chipped", "It’s chipped"),
            ("donâ\u{80}\u{99}t <b>cafÃ©</b>", "don’t café"),
            ("tÃªte-Ã\u{a0}-tÃªte", "tête-à-tête"),
            ("18.9â\u{80}\u{9d} (H)", "18.9” (H)"),
            ("caf&Atilde;&copy;", "café"),
            ("cafÃ\u{1}©", "café"),
            ("Ã&nbsp; la carte", "à la carte"),
            ("SÃO PAULO printed on it, Ã la carte", "SÃO PAULO printed on it, Ã la carte"),
        ] {
            let mut text = String::new();
            crate::clean::clean(raw, &mut text);
            assert_eq!(text, wanted);
        }
    }

    proptest! {
        #[test]
        fn clean_text_stays(raw in "[ÂÃâ€™”“œ©\u{80}-\u{bf}É&;<a-c]{0,40}") {
            let mut text = String::new();
            crate::clean::clean(&raw, &mut text);
            let mut again = String::new();
            crate::clean::clean(&text, &mut again);
            prop_assert_eq!(again, text);
        }

        #[test]
        fn repaired_text_stays(text in prop_oneof![
            any::<String>(),
            "[ÂÃâ€™”“œ©ð\u{80}-\u{bf}É a-c]{0,40}",
            "[éàâêîôûçñü’“”… a-z]{0,30}".prop_map(|text| damaged(&damaged(&text))),
        ]) {
            let repaired = repair_encoding(&text);
            prop_assert_eq!(&repair_encoding(&repaired), &repaired);
        }

        #[test]
        fn lower_case_words_are_repaired(text in "[a-z][éàâêîôûçñü]?[a-z’–—]{0,4}( [a-zéèü]{1,6}){0,5}") {
            let damaged = damaged(&text);
            prop_assert_eq!(&*repair_encoding(&damaged), &text);
            prop_assert_eq!(&*repair_encoding(&text), &text);
        }

        #[test]
        fn ascii_stays(text in "[ -~]{0,60}") {
            prop_assert!(matches!(repair_encoding(&text), Cow::Borrowed(_)));
        }
    }

    #[test]
    fn time_is_near_linear() {
        for piece in ["Ã", "Ã©", "Ãƒ", "â€", "â€œ", "Ð¿", "ï¿½", "é", "é”…", "Ãƒâ€šÃ‚Â°", "ðŸ˜€"]
        {
            let text = piece.repeat((1 << 20) / piece.len());
            let start = std::time::Instant::now();
            let _ = repair_encoding(&text);
            assert!(start.elapsed().as_secs() < 10, "{piece}: {:?}", start.elapsed());
        }
    }
}
