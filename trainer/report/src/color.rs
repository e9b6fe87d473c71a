//! Colors of models: the same on every page, in light and in dark.
use std::fmt::Write as _;

/// Colors that differ for most eyes (Okabe and Ito 2008), and some more: on light paper, and
/// lighter ones for dark paper.
const PALETTE: [(&str, &str); 10] = [
    ("#0072b2", "#4ba9e2"),
    ("#d55e00", "#f28b4b"),
    ("#009e73", "#2fc598"),
    ("#cc79a7", "#e3a0c4"),
    ("#e69f00", "#f3bd45"),
    ("#56b4e9", "#94d4f7"),
    ("#7a5195", "#b995d6"),
    ("#000000", "#e8e8e8"),
    ("#8c6d31", "#cda95f"),
    ("#9b1c31", "#f58a99"),
];

/// The rows of the paper's Table 2, which have the same color on every page. The untrained model,
/// which the others are compared with, is black. `start` stands for it in
/// claims.
const ROWS: [(&str, usize); 9] = [
    ("bert-raw", 7),
    ("start", 7),
    ("bert", 0),
    ("bert-np", 4),
    ("spanbert", 3),
    ("e-bert-dp", 6),
    ("e-bert-ahm", 2),
    ("e-bert", 1),
    ("e-bert-products", 5),
];

/// A color of the palette.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Color(usize);

impl Color {
    /// A second line of one model, which is not another model.
    pub const NEUTRAL: Self = Self(usize::MAX);

    /// By number. Beyond the palette, colors repeat.
    pub fn of_model(number: usize) -> Self {
        Self(number % PALETTE.len())
    }

    /// Colors of the models of a page, by their names. A row of Table 2 (in upper or lower case)
    /// has its own one, also with the number of a replicate, as in `e-bert-2`. Other models get
    /// what is left, in their order.
    pub fn of_names<'n>(names: impl IntoIterator<Item = &'n str>) -> Vec<Self> {
        let names: Vec<String> = names.into_iter().map(str::to_lowercase).collect();
        let row = |name: &str| ROWS.iter().find(|(row, _)| *row == name).map(|(_, color)| *color);
        let mut colors: Vec<Option<usize>> = names.iter().map(|name| row(name)).collect();
        let is_free = |colors: &[Option<usize>], color: usize| !colors.contains(&Some(color));
        for (at, name) in names.iter().enumerate() {
            let base = name.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches(['-', '_', ' ']);
            if let Some(color) = row(base).filter(|&color| colors[at].is_none() && is_free(&colors, color)) {
                colors[at] = Some(color);
            }
        }
        let mut repeated = 0..;
        for at in 0..names.len() {
            if colors[at].is_none() {
                let free = (0..PALETTE.len()).find(|&color| is_free(&colors, color));
                colors[at] = free.or_else(|| repeated.next()).map(|color| color % PALETTE.len());
            }
        }
        colors.into_iter().flatten().map(Self).collect()
    }

    /// The class that [`style`] gives the color.
    pub fn class(self) -> String {
        if self == Self::NEUTRAL { "neutral".to_owned() } else { format!("c{}", self.0) }
    }

    /// Attributes of an element of SVG, whose children may use `currentColor`. A program without
    /// style sheets draws the light color.
    pub fn attributes(self) -> String {
        format!("class=\"{}\" color=\"{}\"", self.class(), PALETTE.get(self.0).map_or("#777777", |color| color.0))
    }
}

/// Rules for the classes of all colors, and for `paper`, `ink`, `faint` and `grid` of figures.
pub fn style() -> String {
    let rules = |of: fn(&(&'static str, &'static str)) -> &'static str, neutral, paper, ink, faint, grid| {
        let mut rules = String::new();
        for (number, color) in PALETTE.iter().enumerate() {
            let _ = write!(rules, ".c{number}{{color:{}}}", of(color));
        }
        rules
            + &format!(
                ".neutral{{color:{neutral}}}svg .paper{{fill:{paper}}}svg .ink{{fill:{ink}}}svg .faint{{fill:{faint}}}svg .grid{{stroke:{grid}}}"
            )
    };
    format!(
        "{}@media (prefers-color-scheme:dark){{{}}}",
        rules(|color| color.0, "#777777", "#ffffff", "#333333", "#666666", "#e3e3e3"),
        rules(|color| color.1, "#999999", "#15181e", "#d8dce3", "#9aa3b0", "#343a45")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance of `#rrggbb` (WCAG 2).
    fn luminance(color: &str) -> f64 {
        let channel = |at: usize| {
            let value = f64::from(u8::from_str_radix(&color[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.03928 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * channel(1) + 0.7152 * channel(3) + 0.0722 * channel(5)
    }

    #[test]
    fn colors_are_seen_on_their_paper() {
        let contrast = |a: &str, b: &str| {
            let (a, b) = (luminance(a), luminance(b));
            (a.max(b) + 0.05) / (a.min(b) + 0.05)
        };
        for (light, dark) in PALETTE {
            assert!(contrast(light, "#ffffff") > 2.2, "{light}");
            assert!(contrast(dark, "#15181e") > 4.5, "{dark}");
        }
    }

    #[test]
    fn a_model_has_its_color_on_every_page() {
        let of = |names: &[&str]| Color::of_names(names.iter().copied());
        let all = of(&["BERT-Raw", "BERT", "BERT-NP", "SpanBERT", "E-BERT-DP", "E-BERT-AHM", "E-BERT"]);
        for (at, name) in
            ["bert-raw", "bert", "bert-np", "spanbert", "e-bert-dp", "e-bert-ahm", "e-bert"].iter().enumerate()
        {
            // Alone, and after another one.
            assert_eq!(of(&[name]), [all[at]], "{name}");
            assert_eq!(of(&["mine", name])[1], all[at], "{name}");
        }
        assert!((0..all.len()).all(|at| !all[..at].contains(&all[at])));
        // Replicates differ on one page; alone, each has the color of its recipe.
        assert_eq!(of(&["e-bert-2"]), [all[6]]);
        let replicates = of(&["e-bert-1", "e-bert-2", "mine"]);
        assert!(replicates[0] == all[6] && replicates[1] != all[6] && replicates[2] != replicates[1]);
        // The arms of docs/results/claims.md differ.
        let arms =
            ["start", "bert", "bert-np", "spanbert", "e-bert-dp", "e-bert-ahm", "mixed", "e-bert-products", "e-bert"];
        let colors = of(&arms);
        assert!((0..arms.len()).all(|at| !colors[..at].contains(&colors[at])), "{colors:?}");
        // There are more models than colors.
        assert_eq!(Color::of_names((0..20).map(|_| "mine")).len(), 20);
    }

    #[test]
    fn style_has_each_color_in_light_and_dark() {
        let style = style();
        let (light, dark) = style.split_once("@media (prefers-color-scheme:dark)").unwrap();
        for number in 0..PALETTE.len() {
            let rule = format!(".{}{{", Color::of_model(number).class());
            assert!(light.contains(&rule) && dark.contains(&rule));
        }
    }
}
