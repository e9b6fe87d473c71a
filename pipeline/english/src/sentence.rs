//! From text to sentences of Penn Treebank tokens, as byte ranges.
//!
//! The rules are those of the Penn Treebank's tokenizer, as far as they matter to tags. Punctuation
//! is split off. A contraction is two tokens (`do` `n't`, `it` `'s`). Numbers and hyphenated words
//! are one token. A line break ends a sentence.

/// A token: a byte range of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Token {
    /// The token's part of its text.
    pub fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

/// Cuts texts into sentences and tokens. It holds a buffer: reuse it.
#[derive(Debug, Default)]
pub struct Sentences {
    tokens: Vec<Token>,
}

/// The most tokens of a sentence; longer ones, such as lists, are cut.
const MOST_TOKENS: usize = 160;

/// Words that include the period after them.
const ABBREVIATIONS: [&str; 34] = [
    "mr", "mrs", "ms", "dr", "st", "jr", "sr", "inc", "co", "corp", "ltd", "vs", "no", "oz", "lb", "lbs", "ft",
    "approx", "etc", "vol", "ed", "eds", "fig", "dept", "est", "gen", "prof", "rev", "sen", "gov", "ave", "e.g", "i.e",
    "a.k.a",
];

impl Sentences {
    /// Calls `visit` with the tokens of each sentence.
    ///
    /// # Panics
    /// If the text has 4 GiB or more: ranges have 32 bits.
    pub fn each(&mut self, text: &str, mut visit: impl FnMut(&[Token])) {
        assert!(u32::try_from(text.len()).is_ok(), "a text has less than 4 GiB");
        let mut base = 0;
        for line in text.split_inclusive('\n') {
            self.tokens.clear();
            let mut at = 0;
            while let Some((start, end)) = next_piece(line, at) {
                at = end;
                let first = self.tokens.len();
                self.split(line, start, end);
                let ends = self.tokens[first..].iter().rev().find_map(|token| match token.of(line) {
                    token if token == "…" || token.bytes().all(|b| matches!(b, b'.' | b'!' | b'?')) => Some(true),
                    ")" | "]" | "\"" | "'" | "”" | "’" => None,
                    _ => Some(false),
                });
                let next = line[end..].trim_start().chars().next();
                if (ends == Some(true) && next.is_some_and(|c| !c.is_lowercase())) || self.tokens.len() >= MOST_TOKENS {
                    self.emit(base, &mut visit);
                }
            }
            self.emit(base, &mut visit);
            base += line.len() as u32;
        }
    }

    /// Passes on the tokens of a line so far, which starts at `base`.
    fn emit(&mut self, base: u32, visit: &mut impl FnMut(&[Token])) {
        if !self.tokens.is_empty() {
            self.tokens.iter_mut().for_each(|t| (t.start, t.end) = (t.start + base, t.end + base));
            for sentence in self.tokens.chunks(MOST_TOKENS) {
                visit(sentence);
            }
            self.tokens.clear();
        }
    }

    fn push(&mut self, start: usize, end: usize) {
        if start < end {
            self.tokens.push(Token { start: start as u32, end: end as u32 });
        }
    }

    /// Splits a piece into tokens.
    fn split(&mut self, line: &str, mut start: usize, mut end: usize) {
        let text = &line[start..end];
        if text.bytes().all(|b| b.is_ascii_alphabetic()) {
            return self.word(line, start, end);
        }
        // From the front.
        while let Some(c) = line[start..end].chars().next().filter(|&c| opens(c)) {
            let length = sign_length(&line[start..end], c);
            if length == end - start {
                return self.push(start, end);
            }
            self.push(start, start + length);
            start += length;
        }
        // From the back; these tokens follow those inside.
        let mut back = Vec::new();
        while let Some(c) = line[start..end].chars().next_back() {
            let rest = &line[start..end];
            let length = if c == '.' {
                let dots = rest.bytes().rev().take_while(|b| *b == b'.').count();
                if dots == 1 && is_abbreviation(&rest[..rest.len() - 1]) {
                    break;
                }
                dots
            } else if closes(c) && !(c == '\'' && rest.len() == 1) {
                let run = || rest.chars().rev().take_while(|&other| other == c).count();
                if is_repeatable(c) { run() * c.len_utf8() } else { c.len_utf8() }
            } else {
                break;
            };
            if length == rest.len() {
                break;
            }
            back.push((end - length, end));
            end -= length;
        }
        // Inside.
        let mut from = start;
        let mut at = start;
        while let Some(c) = line[at..end].chars().next() {
            let next = at + c.len_utf8();
            let before = line[from..at].chars().next_back();
            let after = line[next..end].chars().next();
            let digits = before.is_some_and(|c| c.is_ascii_digit()) && after.is_some_and(|c| c.is_ascii_digit());
            let split = match c {
                '(' | ')' | '[' | ']' | '{' | '}' | '"' | '“' | '”' | '!' | '?' | ';' | '…' | '—' | '–' | '™' | '®'
                | '©' | '*' | '|' => true,
                ',' | ':' => !digits,
                '.' => line[at..end].starts_with(".."),
                '-' => line[at..end].starts_with("--"),
                '$' | '£' | '€' => after.is_some_and(|c| c.is_ascii_digit()),
                _ => {
                    !c.is_alphanumeric()
                        && !c.is_ascii()
                        && !matches!(c, '’' | '‘' | '\u{ad}' | '\u{200d}' | '\u{fe0f}')
                        && is_symbol(c)
                }
            };
            if split {
                self.word(line, from, at);
                let length = sign_length(&line[at..end], c);
                self.push(at, at + length);
                from = at + length;
                at = from;
            } else {
                at = next;
            }
        }
        self.word(line, from, end);
        for (start, end) in back.into_iter().rev() {
            self.push(start, end);
        }
    }

    /// Pushes a word; its contraction is a token of its own.
    fn word(&mut self, line: &str, start: usize, end: usize) {
        let word = &line[start..end];
        let lower = |n: usize| word.get(word.len() - n..).map(str::to_ascii_lowercase);
        if word.len() == 6 && word.eq_ignore_ascii_case("cannot") {
            self.push(start, start + 3);
            return self.push(start + 3, end);
        }
        if word.bytes().any(|b| b == b'\'' || b == 0xe2) {
            for length in [3, 5, 2, 4] {
                // As in `do|n't`, `we|'re`, `it|'s`, with straight and curly apostrophes.
                let Some(tail) = (word.len() > length).then(|| lower(length)).flatten() else { continue };
                let plain = tail.replace('’', "'");
                if ["n't", "'re", "'ve", "'ll", "'s", "'d", "'m"].contains(&plain.as_str()) {
                    self.push(start, end - length);
                    return self.push(end - length, end);
                }
            }
        }
        self.push(start, end);
    }
}

/// The next piece of a line: a run of characters other than white space. It ends early where a
/// sentence ends without a space after it.
fn next_piece(line: &str, at: usize) -> Option<(usize, usize)> {
    let start = at + line[at..].find(|c: char| !c.is_whitespace())?;
    let end = line[start..].char_indices().find_map(|(i, c)| match c {
        '.' => sentence_end(&line[start..], i),
        c => c.is_whitespace().then_some(i),
    });
    Some((start, end.map_or(line.len(), |end| start + end)))
}

/// The end of a sentence whose period has no space after it, as in `waistband.The` and
/// `thriller."--A`. Two small ASCII letters precede such a period. A capital follows, or a closing
/// quotation mark and anything but a space. Addresses, abbreviations and versions differ.
fn sentence_end(text: &str, period: usize) -> Option<usize> {
    let after = period + 1;
    let before = text.as_bytes()[..period].iter().rev().take(2).filter(|b| b.is_ascii_lowercase());
    let mut rest = text[after..].chars();
    match rest.next()? {
        _ if before.count() < 2 => None,
        c if c.is_uppercase() => Some(after),
        quote @ ('"' | '”') if rest.next().is_some_and(|c| !c.is_whitespace()) => Some(after + quote.len_utf8()),
        _ => None,
    }
}

/// Signs that form one token if repeated: `...`, `--`, `!!!`.
fn is_repeatable(c: char) -> bool {
    matches!(c, '.' | '-' | '!' | '?' | '*' | '=' | '_' | '~')
}

/// Bytes of the token that the sign `c` starts, at the start of a text.
fn sign_length(text: &str, c: char) -> usize {
    if is_repeatable(c) { text.chars().take_while(|&other| other == c).count() * c.len_utf8() } else { c.len_utf8() }
}

/// Whether a sign at the start of a piece is split off.
fn opens(c: char) -> bool {
    matches!(
        c,
        '(' | '['
            | '{'
            | '"'
            | '\''
            | '`'
            | '“'
            | '‘'
            | '$'
            | '£'
            | '€'
            | '#'
            | '*'
            | '-'
            | '~'
            | '='
            | '_'
            | '<'
            | '>'
            | '|'
            | '/'
            | '\\'
            | '.'
            | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | ')'
            | ']'
            | '}'
            | '”'
            | '’'
            | '&'
            | '%'
            | '+'
            | '•'
            | '–'
            | '—'
            | '…'
            | '@'
    ) || is_symbol(c)
}

/// Whether a sign at the end of a piece is split off.
fn closes(c: char) -> bool {
    matches!(
        c,
        ')' | ']'
            | '}'
            | '"'
            | '\''
            | '”'
            | '’'
            | ','
            | ';'
            | ':'
            | '!'
            | '?'
            | '%'
            | '…'
            | '*'
            | '~'
            | '>'
            | '|'
            | '™'
            | '®'
            | '©'
            | '-'
            | '–'
            | '—'
            | '/'
    )
}

/// Emoji and other signs, each of which is a token.
fn is_symbol(c: char) -> bool {
    matches!(c, '\u{2010}'..='\u{2bff}' | '\u{3000}'..='\u{303f}' | '\u{fe30}'..='\u{fe4f}' | '\u{ff01}'..='\u{ff0f}' | '\u{1f000}'..='\u{1faff}' | '¡'..='¿' | '×' | '÷')
        && !c.is_alphanumeric()
}

/// Whether a word includes the period after it: `Mr`, `U.S`, a single capital.
fn is_abbreviation(word: &str) -> bool {
    let initials = word.split('.').all(|part| part.len() == 1 && part.as_bytes()[0].is_ascii_alphabetic());
    let single = word.len() == 1 && !word.as_bytes()[0].is_ascii_uppercase();
    (initials && !single) || ABBREVIATIONS.iter().any(|a| word.eq_ignore_ascii_case(a))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tokens(text: &str) -> Vec<Vec<&str>> {
        let mut all = Vec::new();
        Sentences::default().each(text, |s| all.push(s.iter().map(|t| t.of(text)).collect()));
        all
    }

    #[test]
    fn tokens_follow_the_penn_treebank() {
        for (text, wanted) in [
            ("It's a kettle, isn't it?", vec!["It 's a kettle , is n't it ?"]),
            ("I don’t know. You cannot!", vec!["I do n’t know .", "You can not !"]),
            (
                "Mr. Smith of U.S. Steel paid $1,299.50 (10%) for it.",
                vec!["Mr. Smith of U.S. Steel paid $ 1,299.50 ( 10 % ) for it ."],
            ),
            ("A state-of-the-art wi-fi router--cheap...", vec!["A state-of-the-art wi-fi router -- cheap ..."]),
            ("\"Great\" it said. then more", vec!["\" Great \" it said . then more"]),
            ("One line\nanother line", vec!["One line", "another line"]),
            ("18/8 steel, 5:30 pm, and/or", vec!["18/8 steel , 5:30 pm , and/or"]),
            ("love it!!! 😀😀 ok", vec!["love it !!!", "😀 😀 ok"]),
            ("a waistband.The straps", vec!["a waistband .", "The straps"]),
            ("\"a thriller.\"--Readers", vec!["\" a thriller . \"", "-- Readers"]),
            ("see amazon.com, U.S.A and v2.0.Beta", vec!["see amazon.com , U.S.A and v2.0.Beta"]),
            ("the Smiths' dog", vec!["the Smiths ' dog"]),
            ("", vec![]),
        ] {
            let found: Vec<String> = tokens(text).iter().map(|s| s.join(" ")).collect();
            assert_eq!(found, wanted, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_character_but_white_space_is_in_one_token(text in "(\\PC|[ \n.,'’\"()$%-]|[a-zA-Z]{1,6}|n't|[0-9]){0,60}") {
            let mut at = 0;
            Sentences::default().each(&text, |sentence| {
                assert!(!sentence.is_empty() && sentence.len() <= MOST_TOKENS);
                for token in sentence {
                    assert!(token.start < token.end && token.start as usize >= at);
                    assert!(text[at..token.start as usize].chars().all(char::is_whitespace));
                    at = token.end as usize;
                }
            });
            prop_assert!(text[at..].chars().all(char::is_whitespace));
        }
    }
}
