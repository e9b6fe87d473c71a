//! Line charts as SVG.
use std::fmt::Write as _;

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Number of its color.
    pub colour: usize,
    /// Whether it is dashed.
    pub dashed: bool,
    /// (step, value), by step.
    pub points: Vec<(f64, f64)>,
}

/// Colors that differ for most eyes (Okabe and Ito 2008), and black.
const COLOURS: [&str; 8] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a5195", "#000000"];

/// A color by number.
pub fn colour(number: usize) -> &'static str {
    COLOURS[number % COLOURS.len()]
}

/// The most points of a line. Where there are more, adjacent ones are averaged.
const MOST_POINTS: usize = 300;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 62.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 40.0;

/// A figure of these lines over steps; `None` where no line has a point.
pub fn chart(title: &str, unit: &str, series: &[Series]) -> Option<String> {
    let lines: Vec<(&Series, Vec<(f64, f64)>)> = series.iter().map(|s| (s, thinned(&s.points))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let last = all().map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
    let (low, high) = all().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), p| (l.min(p.1), h.max(p.1)));
    if !low.is_finite() {
        return None;
    }
    let ticks = ticks(low, high);
    let (bottom, top) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last.max(1.0);
    let y = |value: f64| {
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - bottom) / (top - bottom).max(f64::MIN_POSITIVE)
    };
    let mut svg = format!(
        "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n",
        escape(title)
    );
    for &tick in &ticks {
        let (at, text) = (y(tick), number(tick));
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for tick in self::ticks(0.0, last.max(1.0)).into_iter().filter(|&tick| tick <= last.max(1.0)) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(tick),
            HEIGHT - BOTTOM + 16.0,
            number(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">steps</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 6.0
    );
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let _ = writeln!(
        svg,
        "<text x=\"12\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 12 {middle})\">{}</text>",
        escape(unit)
    );
    for (series, points) in &lines {
        let (color, dash) = (colour(series.colour), if series.dashed { " stroke-dasharray=\"5 3\"" } else { "" });
        if let [(step, value)] = points[..] {
            let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{color}\"/>", x(step), y(value));
        }
        let path: Vec<String> = points.iter().map(|&(step, value)| format!("{:.1} {:.1}", x(step), y(value))).collect();
        if path.len() > 1 {
            let name = escape(&series.name);
            let _ = writeln!(
                svg,
                "<path class=\"line\" stroke=\"{color}\"{dash} d=\"M{}\"><title>{name}</title></path>",
                path.join("L")
            );
        }
    }
    svg += "</svg>\n<p class=\"legend\">";
    for (series, _) in lines.iter().filter(|(_, points)| !points.is_empty()) {
        let style = if series.dashed { "dashed" } else { "solid" };
        let _ = write!(
            svg,
            "<span><i style=\"border-top:2px {style} {}\"></i>{}</span> ",
            colour(series.colour),
            escape(&series.name)
        );
    }
    svg += "</p></figure>\n";
    Some(svg)
}

/// As many points as a reader can distinguish: means of adjacent ones.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let finite: Vec<(f64, f64)> = points.iter().copied().filter(|p| p.1.is_finite()).collect();
    let together = finite.len().div_ceil(MOST_POINTS).max(1);
    let mean = |some: &[(f64, f64)]| {
        let sum = some.iter().fold((0.0, 0.0), |sum, p| (sum.0 + p.0, sum.1 + p.1));
        (sum.0 / some.len() as f64, sum.1 / some.len() as f64)
    };
    finite.chunks(together).map(mean).collect()
}

/// Round numbers from at most `low` to at least `high`, some five of them.
pub fn ticks(low: f64, high: f64) -> Vec<f64> {
    let span = if high > low { high - low } else { high.abs().max(1.0) };
    let rough = span / 4.0;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0].into_iter().map(|m| m * power).find(|step| *step >= rough).unwrap_or(power);
    let (first, last) = ((low / step).floor(), (high / step).ceil().max((low / step).floor() + 1.0));
    (0..=(last - first) as i64).map(|i| (first + i as f64) * step).collect()
}

/// A number of an axis.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size >= 1e6 {
        format!("{} M", trim(format!("{:.2}", value / 1e6)))
    } else if size >= 1e4 {
        format!("{} K", trim(format!("{:.1}", value / 1e3)))
    } else if size < 1e-3 {
        format!("{value:.1e}")
    } else {
        trim(format!("{value:.3}"))
    }
}

fn trim(text: String) -> String {
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A text within HTML or SVG.
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_both_ends() {
        assert_eq!(ticks(0.0, 1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(ticks(5.83, 8.73), [5.0, 6.0, 7.0, 8.0, 9.0]);
        for (low, high) in [(0.0, 0.0), (-3.0, -3.0), (1e-9, 2e-9), (0.0, 2233.0), (-1.0, 4e7)] {
            let ticks = ticks(low, high);
            assert!(ticks[0] <= low && ticks[ticks.len() - 1] >= high && (2..=7).contains(&ticks.len()), "{ticks:?}");
        }
        assert_eq!(
            [0.0, 1e-5, 0.25, 1500.0, 20_000.0, 2.5e6].map(number),
            ["0", "1.0e-5", "0.25", "1500", "20 K", "2.5 M"]
        );
    }

    #[test]
    fn long_lines_are_thinned_and_gaps_left_out() {
        let points: Vec<(f64, f64)> =
            (0..1000).map(|i| (f64::from(i), if i == 500 { f64::NAN } else { 2.0 })).collect();
        let thin = thinned(&points);
        assert!(thin.len() <= MOST_POINTS && thin.iter().all(|p| p.1 == 2.0));
        assert_eq!(thinned(&points[..3]), points[..3]);
        assert_eq!(
            chart("nothing", "", &[Series { name: "a".into(), colour: 0, dashed: false, points: Vec::new() }]),
            None
        );
    }
}
