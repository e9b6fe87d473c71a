//! What the figures of `ebert report` share: a frame that clips nothing, colors for light and dark
//! paper, and where the data come from.
use std::fmt::Write as _;

/// Rules for a viewer with style sheets. Others use the attributes, which are those of light paper.
const STYLE: &str = "@media (prefers-color-scheme:dark){.paper{fill:#15181e}.ink{fill:#d8dce3}.faint{fill:#9aa3b0}}";

/// The most characters of a name that are drawn. The rest is in its tooltip.
const LONGEST: usize = 40;
/// The margin between texts and the border.
const MARGIN: usize = 12;

/// An upper bound of the width of a text, in pixels at 12 pixels per line.
pub(super) fn width(text: &str) -> usize {
    text.chars()
        .map(|c| {
            if c.is_ascii_uppercase() || "mwMW%&@".contains(c) {
                10
            } else if c.is_ascii() {
                7
            } else {
                13
            }
        })
        .sum()
}

/// The width of the widest name as [`name`] draws it.
pub(super) fn widest<'n>(names: impl Iterator<Item = &'n str>) -> usize {
    names.map(|name| width(&short(name))).max().unwrap_or(0)
}

fn short(name: &str) -> String {
    if name.chars().count() <= LONGEST {
        name.to_owned()
    } else {
        name.chars().take(LONGEST - 1).chain(['…']).collect()
    }
}

/// The content of a text element: a name, cut if it is long, with all of it as its tooltip.
pub(super) fn name(text: &str) -> String {
    format!("{}<title>{}</title>", escaped(&short(text)), escaped(text))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// The color of a cell for a ratio from 0 to 1, from white to a dark blue, and of the text in it.
pub(super) fn heat(part: f64) -> (String, &'static str) {
    let mix = |from: f64, to: f64| (from + (to - from) * part).round() as u8;
    let fill = format!("#{:02x}{:02x}{:02x}", mix(247.0, 8.0), mix(251.0, 48.0), mix(255.0, 107.0));
    (fill, if part > 0.5 { "white" } else { "black" })
}

/// A cell of a heat map with its percentage, in a frame of that width and height.
pub(super) fn cell(svg: &mut String, (x, y): (usize, usize), (wide, high): (usize, usize), part: f64) {
    let (fill, ink) = heat(part);
    let _ = writeln!(
        svg,
        "<rect x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{high}\" fill=\"{fill}\" stroke=\"white\"/>\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\" style=\"fill:{ink}\">{:.0}%</text>",
        x + wide / 2,
        y + high / 2 + 4,
        100.0 * part
    );
}

/// A figure with a title and a line about its data around a body of that width and height, which
/// starts at the top left corner.
pub(super) fn framed(title: &str, origin: &str, (wide, high): (usize, usize), body: &str) -> String {
    const HEAD: usize = 40;
    const FOOT: usize = 34;
    // The title is larger than other text.
    let wide = wide.max(width(title) * 7 / 6).max(width(origin)) + 2 * MARGIN;
    let (title, high) = (escaped(title), high + HEAD + FOOT);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {wide} {high}\" width=\"{wide}\" height=\"{high}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"white\"/>\n<g class=\"ink\">\n\
         <text x=\"{MARGIN}\" y=\"24\" font-size=\"14\">{title}</text>\n\
         <g transform=\"translate({MARGIN} {HEAD})\">\n{body}</g>\n\
         <text class=\"faint\" x=\"{MARGIN}\" y=\"{}\" fill=\"#666\">{}</text>\n</g>\n</svg>\n",
        high - 12,
        escaped(origin)
    )
}

/// The folder and the manifest that a figure was drawn from, and the program's version.
pub(super) fn origin(folder: &std::path::Path, blake3: &str) -> String {
    let parts: Vec<_> = folder.components().map(|part| part.as_os_str().to_string_lossy()).collect();
    let last = parts[parts.len().saturating_sub(2)..].join("/");
    format!("data: {last} ({}), ebert {}", blake3.chars().take(12).collect::<String>(), env!("CARGO_PKG_VERSION"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_as_wide_as_its_widest_part() {
        let viewed =
            |svg: &str| -> usize { svg.split('"').nth(3).unwrap().split(' ').nth(2).unwrap().parse().unwrap() };
        for (title, origin, body) in
            [("a <title>".repeat(20), "o".into(), 10), ("t".into(), "o".repeat(90), 10), ("t".into(), "o".into(), 900)]
        {
            let svg = framed(&title, &origin, (body, 50), "");
            assert!(viewed(&svg) >= width(&title).max(width(&origin)).max(body) + 2 * MARGIN, "{svg}");
            assert!(!svg.contains("<title><") && svg.contains("(prefers-color-scheme:dark)"), "{svg}");
        }
    }

    #[test]
    fn long_names_are_cut_and_whole_in_the_tooltip() {
        let long = "Arts & Crafts ".repeat(5);
        let text = name(&long);
        assert!(text.contains("…<title>Arts &amp; Crafts") && text.ends_with("Crafts </title>"), "{text}");
        assert_eq!(name("Tea"), "Tea<title>Tea</title>");
        assert_eq!(widest(["Tea", &long].into_iter()), width(&short(&long)));
    }

    #[test]
    fn the_origin_has_no_folders_of_a_machine() {
        let text = origin(std::path::Path::new("/home/me/my-shop/shards"), &"ab".repeat(32));
        assert_eq!(text, format!("data: my-shop/shards (abababababab), ebert {}", env!("CARGO_PKG_VERSION")));
    }
}
