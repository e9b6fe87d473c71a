//! English surface rules: articles, plurals, capital letters, spaces.

/// Finishes a sentence: one space between words and none before a stop, "an" before a vowel sound,
/// and a capital letter after each full stop.
pub(crate) fn finish(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let mut out = String::with_capacity(text.len() + 8);
    let mut starts_sentence = true;
    for (i, word) in words.iter().enumerate() {
        let is_stop = matches!(*word, "." | "," | ";" | "!" | "?" | ":");
        if i > 0 && !is_stop {
            out.push(' ');
        }
        let word = match (*word, words.get(i + 1)) {
            ("a", Some(next)) if has_vowel_sound(next) => "an",
            ("A", Some(next)) if has_vowel_sound(next) => "An",
            ("an", Some(next)) if !has_vowel_sound(next) => "a",
            _ => word,
        };
        if starts_sentence {
            out.push_str(&capitalize(word))
        } else {
            out.push_str(word)
        }
        starts_sentence = word.ends_with(['.', '!', '?']) && !word.ends_with("...");
    }
    out
}

fn capitalize(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

/// Whether "an" stands before `word`. The exceptions are those that the catalog needs.
fn has_vowel_sound(word: &str) -> bool {
    let word = word.to_lowercase();
    let vowel = ["hour", "honest", "8", "11 ", "18", "led", "lcd", "rgb"];
    let consonant = ["use", "usb", "uni", "one", "once", "eu", "us "];
    vowel.iter().any(|start| word.starts_with(start))
        || (word.starts_with(['a', 'e', 'i', 'o', 'u']) && !consonant.iter().any(|start| word.starts_with(start)))
}

/// The plural of a noun, by its ending.
pub(crate) fn plural(noun: &str) -> String {
    if let Some(start) = noun.strip_suffix("knife") {
        return format!("{start}knives");
    }
    match noun.as_bytes() {
        [.., b's' | b'x'] | [.., b'c' | b's', b'h'] => format!("{noun}es"),
        [.., before, b'y'] if !b"aeiou".contains(before) => format!("{}ies", &noun[..noun.len() - 1]),
        _ => format!("{noun}s"),
    }
}

/// Whether a noun phrase is plural: "conical steel burrs", but not "a glass" or "portion control".
pub(crate) fn is_plural(phrase: &str) -> bool {
    let main = phrase.split(" of ").next().unwrap_or(phrase);
    let main = main.split(" for ").next().unwrap_or(main);
    !phrase.starts_with("a ") && main.ends_with('s') && !main.ends_with("ss")
}

pub(crate) fn without_article(phrase: &str) -> &str {
    ["a ", "an ", "the "].iter().find_map(|article| phrase.strip_prefix(article)).unwrap_or(phrase)
}

/// Capitalizes every word except the small ones.
pub(crate) fn title_case(text: &str) -> String {
    let small = ["a", "an", "and", "for", "by", "in", "of", "or", "the", "to", "with", "x", "oz", "lb", "mm", "ft"];
    let initials = ["usb", "led", "lcd", "rgb", "tpu", "dpi", "spf", "bpa", "gb", "tpe"];
    let words: Vec<String> = text
        .split(' ')
        .enumerate()
        .map(|(i, word)| match word {
            _ if initials.contains(&word) => word.to_uppercase(),
            _ if i > 0 && small.contains(&word) => word.to_owned(),
            _ => capitalize(word),
        })
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_finished() {
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
        for (phrase, wanted) in [
            ("conical steel burrs", true),
            ("a set of knives", false),
            ("a glass", false),
            ("portion control", false),
            ("straps for the trunk", true),
        ] {
            assert_eq!(is_plural(phrase), wanted, "{phrase}");
        }
    }

    #[test]
    fn titles_have_capitals() {
        assert_eq!(title_case("chef's knife with a guard"), "Chef's Knife with a Guard");
    }
}
