//! What a dump does to clean text: markup, entities escaped twice, hyphens, symbols and stray tags.
use schemas::Draws;

/// Words that people write with and without a hyphen.
const COMPOUNDS: [&str; 26] = [
    "stainless steel",
    "wi fi",
    "non stick",
    "non slip",
    "heavy duty",
    "high quality",
    "leak proof",
    "built in",
    "double wall",
    "easy to use",
    "over ear",
    "fast charging",
    "sulfate free",
    "fragrance free",
    "grain free",
    "dry erase",
    "pre seasoned",
    "long lasting",
    "battery free",
    "cross cut",
    "quick dry",
    "water resistant",
    "gluten free",
    "low carb",
    "plug and play",
    "e mail",
];

/// Hyphenates one in three compounds, at every place in `text`.
pub(crate) fn hyphenate(text: &str, draws: &mut Draws) -> String {
    let mut out = text.to_owned();
    for compound in COMPOUNDS {
        if draws.below(3) == 0 {
            out = out.replace(compound, &compound.replace(' ', "-"));
        }
    }
    out
}

/// Adds the noise of a title, a bullet point or a paragraph.
pub(crate) fn line(text: &str, draws: &mut Draws) -> String {
    let mut out = hyphenate(text, draws);
    let escaped_twice = draws.below(6) == 0;
    if draws.below(3) == 0 {
        out = out.replace('&', if escaped_twice { "&amp;amp;" } else { "&amp;" });
    }
    match draws.below(12) {
        0 => out.replace('\'', "&#39;"),
        1 => out.replace('\'', "’"),
        2 if escaped_twice => out.replace('"', "&amp;quot;"),
        3 => out.replace(" inch ", "&quot; "),
        4 if escaped_twice => out.replace(" inch ", "&amp;quot; "),
        5 => out.replace(" - ", " — "),
        6 => format!("✔ {out}"),
        7 => out.replacen(' ', "&nbsp;", 1),
        8 => out.replace(", ", ",  "),
        9 if escaped_twice => format!("&amp;quot;{out}&amp;quot;"),
        9 => format!("&quot;{out}&quot;"),
        _ => out,
    }
}

/// Joins the paragraphs of a description into one or more strings with markup.
pub(crate) fn description(paragraphs: &[String], draws: &mut Draws) -> Vec<String> {
    let mut lines: Vec<String> = paragraphs.iter().map(|paragraph| line(paragraph, draws)).collect();
    if lines.is_empty() {
        return lines;
    }
    if draws.below(5) == 0 {
        lines[0] = bold_first_sentence(&lines[0]);
    }
    if draws.below(9) == 0 {
        lines[0] = quote_first_sentence(&lines[0]);
    }
    match draws.below(10) {
        0 | 1 => vec![lines.join("<br>")],
        2 => vec![lines.join("<br /><br />")],
        3 => vec![format!("<p>{}</p>", lines.join("</p><p>"))],
        4 => vec![format!("<ul><li>{}</li></ul>", lines.join("</li><li>"))],
        5 => vec![format!("<div class=\"aplus\"> {}", lines.join("<br/>&nbsp;"))],
        6 => vec![lines.join(" &lt;br&gt; ")],
        7 => vec![format!("{}</i>", lines.join("\n"))],
        _ => lines,
    }
}

fn bold_first_sentence(text: &str) -> String {
    match text.split_once(". ") {
        Some((first, rest)) => format!("<b>{first}.</b> {rest}"),
        None => format!("<b>{text}</b>"),
    }
}

fn quote_first_sentence(text: &str) -> String {
    match text.split_once(". ") {
        Some((first, rest)) => format!("“{first}.” {rest}"),
        None => text.to_owned(),
    }
}

/// Types up to one in four texts in haste: lower case, no apostrophes, swapped letters, shouting.
pub(crate) fn carelessly(text: String, draws: &mut Draws) -> String {
    match draws.below(28) {
        0 => text.to_lowercase(),
        1 => text.replace('\'', ""),
        2 => text.replace(". ", "! "),
        3 if text.len() < 80 => text.to_uppercase(),
        4 => text.replacen(" the ", " teh ", 1),
        5 | 6 => {
            let mut letters: Vec<char> = text.chars().collect();
            for _ in 0..1 + letters.len() / 150 {
                let at = draws.below(letters.len().max(2) as u64 - 1) as usize;
                let is_letter = |at: usize| letters.get(at).is_some_and(char::is_ascii_lowercase);
                if is_letter(at) && is_letter(at + 1) {
                    letters.swap(at, at + 1);
                }
            }
            letters.into_iter().collect()
        }
        _ => text,
    }
}
