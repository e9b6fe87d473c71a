//! Line charts as SVG.
use std::fmt::Write as _;

use crate::color::Color;

/// A line of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// What the legend calls it.
    pub name: String,
    /// Its color.
    pub color: Color,
    /// Whether it is dashed.
    pub dashed: bool,
    /// (step, value), by step.
    pub points: Vec<(f64, f64)>,
}

/// The most points of a line. Where there are more, adjacent ones are averaged.
const MOST_POINTS: usize = 300;
const WIDTH: f64 = 560.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 76.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 44.0;

/// Lines on one scale hide each other if the highest value of one is this many times that of
/// another.
const HIDES: f64 = 10.0;

/// The vertical axis.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    is_log: bool,
    low: f64,
    high: f64,
    ticks: Vec<f64>,
}

impl Axis {
    /// For lines with at least one point. Logarithmic if one line would hide another, and no value
    /// is below 0.
    fn of(lines: &[(&Series, Vec<(f64, f64)>)]) -> Option<Self> {
        let values = || lines.iter().flat_map(|(_, points)| points.iter().map(|p| p.1));
        let (low, high) = values().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), v| (l.min(v), h.max(v)));
        if !low.is_finite() {
            return None;
        }
        let highest = lines.iter().filter(|(_, points)| !points.is_empty());
        let highest = highest.map(|(_, points)| points.iter().fold(0.0f64, |h, p| h.max(p.1)));
        let least = highest.filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
        if low >= 0.0 && high > HIDES * least {
            let low = values().filter(|&value| value > 0.0).fold(f64::INFINITY, f64::min);
            let ticks = log_ticks(low, high);
            return Some(Self { is_log: true, low: ticks[0], high: ticks[ticks.len() - 1], ticks });
        }
        let ticks = ticks(low, high);
        let (low, high) = (ticks[0].min(low), ticks[ticks.len() - 1].max(high));
        Some(Self { is_log: false, low, high, ticks })
    }

    /// The vertical position of a value. On a log scale, 0 is at the bottom.
    fn at(&self, value: f64) -> f64 {
        let part = if self.is_log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low).max(f64::MIN_POSITIVE)
        };
        HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * part
    }
}

/// A figure of these lines over steps; `None` where no line has a point.
pub fn chart(title: &str, unit: &str, series: &[Series]) -> Option<String> {
    let lines: Vec<(&Series, Vec<(f64, f64)>)> = series.iter().map(|s| (s, thinned(&s.points))).collect();
    let axis = Axis::of(&lines)?;
    let last = lines.iter().flat_map(|(_, points)| points).map(|p| p.0).fold(f64::NEG_INFINITY, f64::max);
    let x = |step: f64| LEFT + (WIDTH - LEFT - RIGHT) * step / last.max(1.0);
    let mut svg = format!(
        "<figure><figcaption>{}</figcaption>\n<svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\">\n",
        escape(title)
    );
    for &tick in &axis.ticks {
        let (at, text) = (axis.at(tick), number(tick));
        let _ = writeln!(
            svg,
            "<path class=\"grid\" d=\"M{LEFT} {at:.1}H{}\"/><text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0
        );
    }
    for tick in self::ticks(0.0, last.max(1.0)).into_iter().filter(|&tick| tick <= last.max(1.0)) {
        // At the right end, a label is kept within the figure.
        let anchor = if x(tick) > WIDTH - RIGHT - 16.0 { "end" } else { "middle" };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{}</text>",
            if anchor == "end" { WIDTH - 2.0 } else { x(tick) },
            HEIGHT - BOTTOM + 17.0,
            number(tick)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">steps</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 8.0
    );
    let middle = (TOP + HEIGHT - BOTTOM) / 2.0;
    let label = match (unit, axis.is_log) {
        (unit, false) => unit.to_owned(),
        ("", true) => "log scale".to_owned(),
        (unit, true) => format!("{unit}, log scale"),
    };
    let _ = writeln!(
        svg,
        "<text x=\"14\" y=\"{middle}\" text-anchor=\"middle\" transform=\"rotate(-90 14 {middle})\">{}</text>",
        escape(&label)
    );
    for (series, points) in &lines {
        let (color, dash) = (series.color.attributes(), if series.dashed { " stroke-dasharray=\"5 3\"" } else { "" });
        if let [(step, value)] = points[..] {
            let _ = writeln!(
                svg,
                "<g {color}><circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"currentColor\"/></g>",
                x(step),
                axis.at(value)
            );
        }
        let path: Vec<String> =
            points.iter().map(|&(step, value)| format!("{:.1} {:.1}", x(step), axis.at(value))).collect();
        if path.len() > 1 {
            let name = escape(&series.name);
            let _ = writeln!(
                svg,
                "<g {color}><path class=\"line\"{dash} d=\"M{}\"><title>{name}</title></path></g>",
                path.join("L")
            );
        }
    }
    svg += "</svg>\n<p class=\"legend\">";
    for (series, _) in lines.iter().filter(|(_, points)| !points.is_empty()) {
        let style = if series.dashed { "dashed" } else { "solid" };
        let _ = write!(
            svg,
            "<span><i class=\"{}\" style=\"border-top:2px {style}\"></i>{}</span> ",
            series.color.class(),
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

/// Powers of ten from at most `low` to at least `high`, both above 0. Where there are few, also 2
/// and 5 times them. Where there are many, every second or third one, and so on.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let last = last.max(first + 1);
    if last - first <= 2 {
        let between = (first..last).flat_map(|power| [1.0, 2.0, 5.0].map(|m| m * 10f64.powi(power)));
        return between.chain([10f64.powi(last)]).collect();
    }
    let every = ((last - first + 5) / 6) as usize;
    let count = (last - first) as usize;
    // The last one may be higher, so that the distance of all is the same.
    (0..=count.div_ceil(every)).map(|i| 10f64.powi(first + (i * every) as i32)).collect()
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
            chart(
                "nothing",
                "",
                &[Series { name: "a".into(), color: Color::of_model(0), dashed: false, points: Vec::new() }]
            ),
            None
        );
    }

    fn line(name: &str, points: &[(f64, f64)]) -> Series {
        Series { name: name.into(), color: Color::of_model(0), dashed: false, points: points.to_vec() }
    }

    #[test]
    fn a_line_that_hides_another_has_a_log_scale() {
        let is_log = |lines: &[Series]| chart("loss", "nats", lines).unwrap().contains("nats, log scale");
        let small = line("small", &[(0.0, 0.5), (1.0, 0.0), (2.0, 0.3)]);
        let large = line("large", &[(0.0, 900.0), (1.0, 1500.0)]);
        assert!(is_log(&[small.clone(), large.clone()]));
        // One line hides no other, and neither do similar ones. Negative values have no logarithm.
        assert!(!is_log(std::slice::from_ref(&large)) && !is_log(&[small.clone(), line("b", &[(0.0, 2.0)])]));
        assert!(!is_log(&[line("below", &[(0.0, -1.0), (1.0, 0.1)]), large]));
        // A line that is 0 everywhere is at the bottom of either scale.
        assert!(!is_log(&[small, line("zero", &[(0.0, 0.0), (1.0, 0.0)])]));
    }

    #[test]
    fn log_ticks_reach_both_ends() {
        assert_eq!(log_ticks(0.3, 40.0), [0.1, 1.0, 10.0, 100.0]);
        assert_eq!(log_ticks(2.0, 30.0), [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]);
        for (low, high) in [(1e-9, 1e9), (1.0, 1.0), (0.3, 1500.0), (1e-3, 7.0)] {
            let ticks = log_ticks(low, high);
            assert!(ticks[0] <= low && ticks[ticks.len() - 1] >= high && (2..=8).contains(&ticks.len()), "{ticks:?}");
        }
    }

    #[test]
    fn all_of_a_chart_is_within_its_frame() {
        let svg = chart("speed", "tokens/s", &[line("a", &[(0.0, 1.0), (250_000.0, 2e6)])]).unwrap();
        for x in svg.split(" x=\"").skip(1).map(|rest| rest.split('"').next().unwrap().parse::<f64>().unwrap()) {
            assert!((0.0..=WIDTH).contains(&x), "{svg}");
        }
    }
}
