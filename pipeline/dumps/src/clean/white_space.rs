//! Control characters are removed and white space is collapsed.

/// How a line break is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Breaks {
    Keep,
    Join,
}

/// The separator between the text so far and the text to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Gap {
    None,
    Space,
    Break,
}

/// Appends `raw` without control characters and empty lines, with lines trimmed and white space
/// collapsed.
pub(super) fn tidy(raw: &str, breaks: Breaks, out: &mut String) {
    let start = out.len();
    // A byte order mark at the start is that of a file.
    let raw = raw.trim_start_matches(|c: char| c == '\u{feff}' || c.is_whitespace() || c.is_control());
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
                '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{2028}' | '\u{2029}' if breaks == Breaks::Keep => Some(Gap::Break),
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

/// Bytes that end a plain run: ASCII control characters, and the first byte of every other white
/// space character. U+00A0 begins with C2, U+1680 with E1, U+2000 to U+205F with E2, and U+3000
/// with E3. There are no other control characters: repairing the encoding replaces them.
const fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f || byte == 0xc2 || (byte >= 0xe1 && byte <= 0xe3)
}

/// The end of the run from `start` that can be copied unchanged. It has no special byte, no two
/// spaces in a row, and no space at its start or end. The run is empty if the character at `start` is special.
fn plain_run(bytes: &[u8], start: usize) -> usize {
    const STEP: usize = 16;
    if bytes[start] == b' ' {
        return start;
    }
    let mut at = start;
    loop {
        // The last bytes of a text are padded with zeros, which are special.
        let mut last = [0; STEP + 1];
        let window = bytes[at..].first_chunk().unwrap_or_else(|| {
            last[..bytes.len() - at].copy_from_slice(&bytes[at..]);
            &last
        });
        // Without a branch inside, so the compiler emits vector instructions. Nearly all text
        // passes here.
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
    // The text after the last space decides whether the space is a gap.
    if at > start && bytes[at - 1] == b' ' { at - 1 } else { at }
}
