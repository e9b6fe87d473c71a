//! Figures of a grid as SVG files that stand alone: intervals of differences, and learning curves.
use std::fmt::Write as _;

use ebert_report::{
    chart::{Series, escape, number, ticks},
    color::{Color, style},
};

use crate::shortened;

/// A difference with its interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Interval {
    /// The row.
    pub name: String,
    /// Its color.
    pub color: Color,
    /// The difference.
    pub value: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

const WIDTH: f64 = 720.0;
const NAMES: f64 = 130.0;
/// The most characters of a name that are drawn. The rest is in its tooltip.
const LONGEST: usize = 40;
/// The width of most characters of a name, in pixels, with a margin.
const CHARACTER: f64 = 7.5;
const ROW: f64 = 22.0;
const HEAD: f64 = 30.0;
const FOOT: f64 = 26.0;

/// The start of a figure of this height, on paper of its own, so that it can be read on any page.
fn start(height: f64, label: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" \
         aria-label=\"{}\" font-family=\"system-ui,sans-serif\" font-size=\"12\">\n\
         <style>{}</style>\n<rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n<g class=\"ink\" fill=\"#333\">\n",
        escape(label),
        style()
    )
}

/// Panels of differences, one below another; each has a scale of its own. In points.
pub fn intervals(label: &str, panels: &[(String, Vec<Interval>)]) -> String {
    let height_of = |rows: usize| HEAD + ROW * rows as f64 + FOOT;
    let height = panels.iter().map(|(_, rows)| height_of(rows.len())).sum::<f64>().max(1.0);
    let longest =
        panels.iter().flat_map(|(_, rows)| rows).map(|row| shortened(&row.name, LONGEST).chars().count()).max();
    let names = NAMES.max(CHARACTER * longest.unwrap_or(0) as f64 + 24.0);
    let mut svg = start(height, label);
    let mut top = 0.0;
    for (title, rows) in panels {
        let (low, high) = rows.iter().fold((0.0f64, 0.0f64), |(l, h), row| (l.min(row.low), h.max(row.high)));
        let ticks = ticks(low, high);
        let (first, last) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
        let x = |value: f64| names + (WIDTH - names - 20.0) * (value - first) / (last - first).max(f64::MIN_POSITIVE);
        let bottom = top + HEAD + ROW * rows.len() as f64;
        let _ = writeln!(svg, "<text x=\"10\" y=\"{:.1}\" font-weight=\"600\">{}</text>", top + 20.0, escape(title));
        for &tick in &ticks {
            let (at, shade) =
                (x(tick), if tick == 0.0 { "stroke=\"#777\"" } else { "class=\"grid\" stroke=\"#e3e3e3\"" });
            let _ = writeln!(
                svg,
                "<path {shade} d=\"M{at:.1} {:.1}V{bottom:.1}\"/><text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"faint\" fill=\"#666\">{}</text>",
                top + HEAD - 4.0,
                bottom + 15.0,
                number(tick)
            );
        }
        for (at, row) in rows.iter().enumerate() {
            let (y, color) = (top + HEAD + ROW * (at as f64 + 0.5), row.color.attributes());
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text><g {color}><path stroke=\"currentColor\" stroke-width=\"2\" d=\"M{:.1} {y:.1}H{:.1}\"/><circle cx=\"{:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"currentColor\"><title>{}: {:+.2}, 95% from {:+.2} to {:+.2}</title></circle></g>",
                names - 12.0,
                y + 4.0,
                escape(&shortened(&row.name, LONGEST)),
                x(row.low),
                x(row.high),
                x(row.value),
                escape(&row.name),
                row.value,
                row.low,
                row.high
            );
        }
        top = bottom + FOOT;
    }
    svg + "</g>\n</svg>\n"
}

/// Panels of lines over numbers of examples on a log scale, two in a row, with one legend.
pub fn curves(label: &str, panels: &[(String, Vec<Series>)]) -> String {
    const HIGH: f64 = 210.0;
    const LEFT: f64 = 42.0;
    const WIDE: f64 = WIDTH / 2.0;
    let rows = panels.len().div_ceil(2) as f64;
    let mut names: Vec<(&str, Color)> = Vec::new();
    for line in panels.iter().flat_map(|(_, lines)| lines) {
        if !names.iter().any(|(name, _)| *name == line.name) {
            names.push((&line.name, line.color));
        }
    }
    let legend = 20.0 * names.len().div_ceil(4) as f64 + 8.0;
    let mut svg = start(HIGH * rows + legend, label);
    for (at, (title, lines)) in panels.iter().enumerate() {
        let (left, top) = (WIDE * (at % 2) as f64 + LEFT, HIGH * (at / 2) as f64 + HEAD);
        let (right, bottom) = (left + WIDE - LEFT - 16.0, top + HIGH - HEAD - FOOT);
        let all = || lines.iter().flat_map(|line| &line.points);
        let range = |of: fn(&(f64, f64)) -> f64| {
            all().map(of).fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)))
        };
        let ((fewest, most), (low, high)) = (range(|p| p.0.ln()), range(|p| p.1));
        let _ =
            writeln!(svg, "<text x=\"{left:.1}\" y=\"{:.1}\" font-weight=\"600\">{}</text>", top - 10.0, escape(title));
        if !low.is_finite() {
            continue;
        }
        let ticks = ticks(low, high);
        let (floor, ceiling) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
        let x =
            |examples: f64| left + (right - left) * (examples.ln() - fewest) / (most - fewest).max(f64::MIN_POSITIVE);
        let y = |score: f64| bottom - (bottom - top) * (score - floor) / (ceiling - floor).max(f64::MIN_POSITIVE);
        for &tick in &ticks {
            let at = y(tick);
            let _ = writeln!(
                svg,
                "<path class=\"grid\" stroke=\"#e3e3e3\" d=\"M{left:.1} {at:.1}H{right:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" class=\"faint\" fill=\"#666\">{}</text>",
                left - 5.0,
                at + 4.0,
                number(tick)
            );
        }
        let mut counts: Vec<f64> = all().map(|point| point.0).collect();
        counts.sort_unstable_by(f64::total_cmp);
        counts.dedup();
        for count in counts {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" class=\"faint\" fill=\"#666\">{}</text>",
                x(count),
                bottom + 16.0,
                number(count)
            );
        }
        for line in lines.iter().filter(|line| !line.points.is_empty()) {
            let path: Vec<String> =
                line.points.iter().map(|&(n, score)| format!("{:.1} {:.1}", x(n), y(score))).collect();
            let _ = writeln!(
                svg,
                "<g {}><path fill=\"none\" stroke=\"currentColor\" stroke-width=\"1.8\" d=\"M{}\"><title>{}</title></path></g>",
                line.color.attributes(),
                path.join("L"),
                escape(&line.name)
            );
        }
    }
    for (at, (name, color)) in names.into_iter().enumerate() {
        let (x, y) = (10.0 + 178.0 * (at % 4) as f64, HIGH * rows + 20.0 * (at / 4) as f64 + 12.0);
        let _ = writeln!(
            svg,
            "<g {}><path stroke=\"currentColor\" stroke-width=\"3\" d=\"M{x} {y}h18\"/></g><text x=\"{}\" y=\"{}\">{}</text>",
            color.attributes(),
            x + 24.0,
            y + 4.0,
            escape(&shortened(name, 20))
        );
    }
    svg + "</g>\n</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_stand_alone_and_place_what_they_are_given() {
        let row = |name: &str, value| Interval {
            name: name.into(),
            color: Color::of_model(1),
            value,
            low: value - 1.0,
            high: value + 1.0,
        };
        let svg = intervals("differences", &[("<F1>".into(), vec![row("bert", 2.0), row("e-bert", -3.0)])]);
        assert!(svg.starts_with("<svg xmlns=") && svg.ends_with("</svg>\n") && svg.contains("&lt;F1&gt;"), "{svg}");
        assert!(svg.contains("bert: +2.00, 95% from +1.00 to +3.00"), "{svg}");
        assert!(svg.contains("@media (prefers-color-scheme:dark)"), "{svg}");
        // A long name has room, to the left of the scale.
        let long = intervals("differences", &[("F1".into(), vec![row(&"m".repeat(50), 2.0)])]);
        let end = |svg: &str| -> f64 {
            let (before, _) = svg.split_once("\" y=\"45.0\" text-anchor=\"end\"").unwrap();
            before.rsplit_once('"').unwrap().1.parse().unwrap()
        };
        assert!(end(&long) >= CHARACTER * LONGEST as f64 && long.contains(&format!("{}…<", "m".repeat(LONGEST - 1))));
        let centre = |svg: &str, at: usize| -> f64 {
            let text = svg.split("<circle cx=\"").nth(at + 1).unwrap();
            text[..text.find('"').unwrap()].parse().unwrap()
        };
        assert!(centre(&svg, 0) > centre(&svg, 1));

        let line = |name: &str, points: &[(f64, f64)]| Series {
            dashed: false,
            name: name.into(),
            color: Color::of_model(0),
            points: points.to_vec(),
        };
        let panels = [
            ("ae".into(), vec![line("bert", &[(64.0, 20.0), (256.0, 40.0), (1024.0, 50.0)]), line("e-bert", &[])]),
            ("empty".into(), vec![]),
        ];
        let svg = curves("curves", &panels);
        // Equal factors are equal steps.
        let path = svg.split("d=\"M").find(|part| part.contains('L')).unwrap();
        let x: Vec<f64> = path.split('L').map(|p| p.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(((x[1] - x[0]) - (x[2] - x[1])).abs() < 0.2, "{x:?}");
        assert_eq!(svg.matches("e-bert").count(), 1);
    }
}
