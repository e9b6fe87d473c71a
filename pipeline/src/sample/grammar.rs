//! The template language of the sample, and the finish that turns an expansion into a sentence.
//!
//! `[a|b|c]` draws one alternative, `{slot}` asks the caller; both nest, and what a slot gives is expanded too.
use schemas::Draws;

/// Words behind the slots of a template.
pub trait Slots {
    /// The text of `slot`, which may itself hold slots and brackets.
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String;
}

/// Expands `template` and finishes it as a sentence: see [`finish`].
pub fn sentence(template: &str, slots: &mut dyn Slots, draws: &mut Draws) -> String {
    finish(&expand(template, slots, draws))
}

/// Expands `template` without touching case or spacing.
pub fn expand(template: &str, slots: &mut dyn Slots, draws: &mut Draws) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(at) = rest.find(['[', '{']) {
        out.push_str(&rest[..at]);
        let Some(length) = closing(&rest[at..]) else {
            rest = &rest[at..];
            break;
        };
        let inside = &rest[at + 1..at + length];
        if rest[at..].starts_with('[') {
            let alternatives = alternatives(inside);
            let drawn = alternatives[draws.below(alternatives.len() as u64) as usize];
            out.push_str(&expand(drawn, slots, draws));
        } else {
            let filled = slots.fill(inside, draws);
            out.push_str(&expand(&filled, slots, draws));
        }
        rest = &rest[at + length + 1..];
    }
    out.push_str(rest);
    out
}

/// The offset of the bracket that closes the one `text` starts with.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// `text` split at the bars outside of inner brackets; never empty.
fn alternatives(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut from) = (Vec::new(), 0usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => {
                parts.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[from..]);
    parts
}

/// One space between words, none before a stop, "an" before a vowel, a capital after each full stop.
pub fn finish(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut starts = true;
    for (i, word) in words.iter().enumerate() {
        let stop = matches!(*word, "." | "," | ";" | "!" | "?" | ":");
        if i > 0 && !stop {
            out.push(' ');
        }
        let word = match (*word, words.get(i + 1)) {
            ("a", Some(next)) if vowel_sound(next) => "an",
            ("A", Some(next)) if vowel_sound(next) => "An",
            ("an", Some(next)) if !vowel_sound(next) => "a",
            _ => word,
        };
        if starts {
            out.push_str(&capital(word))
        } else {
            out.push_str(word)
        }
        starts = word.ends_with(['.', '!', '?']) && !word.ends_with("...");
    }
    out
}

/// `word` with its first letter in upper case.
pub fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// Whether "an" stands before `word`; part of what English speakers hear in numbers and initials is listed.
fn vowel_sound(word: &str) -> bool {
    let word = word.to_lowercase();
    let silent = ["hour", "honest", "8", "11 ", "18", "led", "lcd", "rgb"];
    let consonant = ["use", "usb", "uni", "one", "once", "eu", "us "];
    silent.iter().any(|start| word.starts_with(start))
        || (word.starts_with(['a', 'e', 'i', 'o', 'u']) && !consonant.iter().any(|start| word.starts_with(start)))
}

/// The plural of an English noun, by its ending.
pub fn plural(noun: &str) -> String {
    if noun.ends_with("knife") {
        return format!("{}knives", noun.trim_end_matches("knife"));
    }
    match noun.as_bytes() {
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{noun}es"),
        [.., before, b'y'] if !b"aeiou".contains(before) => format!("{}ies", &noun[..noun.len() - 1]),
        _ => format!("{noun}s"),
    }
}

/// `phrase` without a leading article.
pub fn bare(phrase: &str) -> &str {
    ["a ", "an ", "the "].iter().find_map(|article| phrase.strip_prefix(article)).unwrap_or(phrase)
}

/// Title case: every word but the small ones.
pub fn title_case(text: &str) -> String {
    let small = ["a", "an", "and", "for", "by", "in", "of", "or", "the", "to", "with", "x", "oz", "lb", "mm", "ft"];
    let initials = ["usb", "led", "lcd", "rgb", "tpu", "dpi", "spf", "bpa", "gb", "tpe"];
    let words: Vec<String> = text
        .split(' ')
        .enumerate()
        .map(|(i, word)| match word {
            _ if initials.contains(&word) => word.to_uppercase(),
            _ if i > 0 && small.contains(&word) => word.to_owned(),
            _ => capital(word),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;
    impl Slots for Fixed {
        fn fill(&mut self, slot: &str, _: &mut Draws) -> String {
            format!("<{slot}>")
        }
    }

    #[test]
    fn brackets_and_slots_nest() {
        let mut draws = Draws::new(0, "test", b"");
        assert_eq!(expand("x [{a}|{a}] y", &mut Fixed, &mut draws), "x <a> y");
        assert_eq!(expand("[[q|q] w|q w].", &mut Fixed, &mut draws), "q w.");
        assert_eq!(expand("open [ bracket", &mut Fixed, &mut draws), "open [ bracket");
    }

    #[test]
    fn a_sentence_is_finished() {
        for (raw, wanted) in [
            ("it is a  electric kettle . nice.", "It is an electric kettle. Nice."),
            ("a usb port and a 8 oz cup", "A usb port and an 8 oz cup"),
            ("an conical burr", "A conical burr"),
        ] {
            assert_eq!(finish(raw), wanted);
        }
    }

    #[test]
    fn nouns_have_plurals() {
        for (one, many) in
            [("press", "presses"), ("battery", "batteries"), ("toy", "toys"), ("chef's knife", "chef's knives")]
        {
            assert_eq!(plural(one), many);
        }
        assert_eq!(title_case("chef's knife with a guard"), "Chef's Knife with a Guard");
    }
}
