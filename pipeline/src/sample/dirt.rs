//! What a dump does to clean text: markup, entities escaped twice, hyphens, symbols and stray tags.
use schemas::Draws;

/// Pairs that people write with and without a hyphen.
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

/// `text` with some of its compounds hyphenated, all of a kind alike.
pub fn hyphenate(text: &str, draws: &mut Draws) -> String {
    let mut out = text.to_owned();
    for compound in COMPOUNDS {
        if draws.below(3) == 0 {
            out = out.replace(compound, &compound.replace(' ', "-"));
        }
    }
    out
}

/// One line as a dump has it.
pub fn line(text: &str, draws: &mut Draws) -> String {
    let mut out = hyphenate(text, draws);
    let twice = draws.below(6) == 0;
    if draws.below(3) == 0 {
        out = out.replace('&', if twice { "&amp;amp;" } else { "&amp;" });
    }
    match draws.below(12) {
        0 => out = out.replace('\'', "&#39;"),
        1 => out = out.replace('\'', "’"),
        2 if twice => out = out.replace('"', "&amp;quot;"),
        3 => out = out.replace(" inch ", "&quot; "),
        4 if twice => out = out.replace(" inch ", "&amp;quot; "),
        5 => out = out.replace(" - ", " — "),
        6 => out = format!("✔ {out}"),
        7 => out = out.replacen(' ', "&nbsp;", 1),
        9 if twice => out = format!("&amp;quot;{out}&amp;quot;"),
        9 => out = format!("&quot;{out}&quot;"),
        8 => out = out.replace(", ", ",  "),
        _ => {}
    }
    out
}

/// The paragraphs of a description, as one or more strings with markup.
pub fn description(paragraphs: &[String], draws: &mut Draws) -> Vec<String> {
    let mut lines: Vec<String> = paragraphs.iter().map(|paragraph| line(paragraph, draws)).collect();
    if lines.is_empty() {
        return lines;
    }
    if draws.below(5) == 0 {
        lines[0] = bold(&lines[0]);
    }
    if draws.below(9) == 0 {
        let quoted = lines[0].replacen(". ", ".” ", 1);
        lines[0] = if quoted == lines[0] { quoted } else { format!("“{quoted}") };
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

/// The first sentence in bold.
fn bold(text: &str) -> String {
    match text.split_once(". ") {
        Some((first, rest)) => format!("<b>{first}.</b> {rest}"),
        None => format!("<b>{text}</b>"),
    }
}
