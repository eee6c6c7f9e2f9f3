//! Draws the report as SVG: each estimate with its intervals, and the mean reward of the log.

use std::fmt::Write;

use crate::report::{EvaluationReport, counted};

const WIDTH: f64 = 960.0;
const LEFT: f64 = 130.0;
const RIGHT: f64 = 930.0;
const TOP: f64 = 96.0;
const ROW: f64 = 46.0;

/// Method, label, colour, stroke width, and distance from the centre of the row.
const METHODS: [(&str, &str, &str, f64, f64); 2] = [
    ("asymptotic", "asymptotic", "#1f5fa8", 6.0, 0.0),
    ("confidence_sequence", "guaranteed", "#5b8c5a", 2.5, 12.0),
];

/// The scale from values to pixels.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// A scale that is wide enough for every estimate and asymptotic interval. A much wider guaranteed interval ends
    /// at the edge with an arrow.
    fn of(report: &EvaluationReport) -> Self {
        let mut values = vec![report.logged_value];
        for estimate in &report.estimates {
            values.extend(estimate.value);
            if let Some(interval) = estimate.intervals.get("asymptotic") {
                values.extend([interval.low, interval.high]);
            }
        }
        let low = values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let margin = (0.12 * (high - low)).max(1e-9 + 1e-3 * high.abs());
        let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
        Self {
            low: (low - margin).max(floor),
            high: high + margin,
        }
    }

    fn pixel(&self, value: f64) -> f64 {
        LEFT + (value - self.low) / (self.high - self.low) * (RIGHT - LEFT)
    }

    /// Round values for the axis.
    fn ticks(&self) -> Vec<f64> {
        let rough = (self.high - self.low) / 6.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|&step| step >= rough)
            .unwrap_or(rough);
        let first = (self.low / step).ceil() as i64;
        let last = (self.high / step).floor() as i64;
        (first..=last).map(|k| k as f64 * step).collect()
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn line(out: &mut String, from: (f64, f64), to: (f64, f64), style: &str) {
    let _ = writeln!(
        out,
        r#"<line x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}" {style}/>"#,
        from.0, from.1, to.0, to.1
    );
}

fn text(out: &mut String, at: (f64, f64), style: &str, words: &str) {
    let _ = writeln!(
        out,
        r#"<text x="{:.1}" y="{:.1}" {style}>{}</text>"#,
        at.0,
        at.1,
        escape(words)
    );
}

/// Breaks text into lines of at most `width` characters.
fn wrap(words: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in words.split_whitespace() {
        let full = lines
            .last()
            .is_some_and(|line| !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width);
        if full {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

/// Draws the report as an SVG document.
pub fn svg(report: &EvaluationReport) -> String {
    let scale = Scale::of(report);
    let bottom = TOP + ROW * report.estimates.len() as f64;
    let warnings: Vec<String> = report
        .warnings
        .iter()
        .flat_map(|warning| wrap(&format!("! {warning}"), 125))
        .collect();
    let height = bottom + 92.0 + 18.0 * warnings.len() as f64;
    let mut out = String::new();
    let _ = writeln!(
        out,
        r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="13" fill="#222">"##
    );
    let _ = writeln!(out, r##"<rect width="{WIDTH}" height="{height}" fill="#fff"/>"##);
    text(
        &mut out,
        (24.0, 32.0),
        r#"font-size="18" font-weight="bold""#,
        &format!("Value of policy {}", report.policy),
    );
    let facts = format!(
        "{}, {}; effective sample {:.0}; largest weight {:.2}; intervals {}%",
        counted(report.rows, "row"),
        counted(report.clicks, "click"),
        report.effective_sample_size,
        report.max_weight,
        100.0 * report.confidence
    );
    text(&mut out, (24.0, 54.0), r##"fill="#555""##, &facts);
    legend(&mut out);

    for tick in scale.ticks() {
        let x = scale.pixel(tick);
        line(&mut out, (x, TOP), (x, bottom), r##"stroke="#e4e4e4""##);
        let label = format!("{tick:.6}");
        let label = label.trim_end_matches('0').trim_end_matches('.');
        text(
            &mut out,
            (x, bottom + 20.0),
            r##"text-anchor="middle" fill="#555""##,
            if label.is_empty() { "0" } else { label },
        );
    }
    let logged = scale.pixel(report.logged_value);
    line(
        &mut out,
        (logged, TOP - 4.0),
        (logged, bottom + 30.0),
        r##"stroke="#a33" stroke-dasharray="5 4""##,
    );
    text(
        &mut out,
        (logged, bottom + 46.0),
        r##"text-anchor="middle" fill="#a33""##,
        &format!("logging policy: {:.6}", report.logged_value),
    );
    for (index, estimate) in report.estimates.iter().enumerate() {
        let y = TOP + ROW * (index as f64 + 0.5) - 5.0;
        text(
            &mut out,
            (LEFT - 14.0, y + 4.0),
            r#"text-anchor="end" font-weight="bold""#,
            estimate.estimator.name(),
        );
        for (method, _, colour, width, offset) in METHODS {
            if let Some(interval) = estimate.intervals.get(method) {
                let ends = (scale.pixel(interval.low), scale.pixel(interval.high));
                bar(&mut out, ends, y + offset, colour, width);
            }
        }
        match estimate.value {
            Some(value) => {
                let x = scale.pixel(value);
                let _ = writeln!(
                    out,
                    r##"<circle cx="{x:.1}" cy="{y:.1}" r="5" fill="#fff" stroke="#111" stroke-width="2"/>"##
                );
                text(
                    &mut out,
                    (x, y - 9.0),
                    // With a white outline, because a line can pass behind the text.
                    r##"text-anchor="middle" font-size="11" stroke="#fff" stroke-width="3" paint-order="stroke""##,
                    &format!("{value:.6}"),
                );
            }
            None => text(&mut out, (LEFT + 10.0, y + 4.0), r##"fill="#777""##, "no value"),
        }
    }
    for (index, warning) in warnings.iter().enumerate() {
        let y = bottom + 74.0 + 18.0 * index as f64;
        text(&mut out, (24.0, y), r##"fill="#a33""##, warning);
    }
    out.push_str("</svg>\n");
    out
}

fn legend(out: &mut String) {
    let mut x = LEFT;
    for (_, label, colour, width, _) in METHODS {
        let style = format!(r#"stroke="{colour}" stroke-width="{width}""#);
        line(out, (x, 74.0), (x + 26.0, 74.0), &style);
        text(out, (x + 33.0, 78.0), r##"fill="#555""##, label);
        x += 50.0 + 7.2 * label.len() as f64;
    }
}

/// Draws an interval, with an arrow where it continues beyond the picture.
fn bar(out: &mut String, (from, to): (f64, f64), y: f64, colour: &str, width: f64) {
    let (begin, end) = (from.clamp(LEFT, RIGHT), to.clamp(LEFT, RIGHT));
    let style = format!(r#"stroke="{colour}" stroke-width="{width}" stroke-opacity="0.85""#);
    line(out, (begin, y), (end, y), &style);
    for (cut, tip, base) in [
        (from < LEFT - 0.5, LEFT, LEFT + 8.0),
        (to > RIGHT + 0.5, RIGHT, RIGHT - 8.0),
    ] {
        if cut {
            let _ = writeln!(
                out,
                r#"<path d="M {tip:.1} {y:.1} L {base:.1} {:.1} L {base:.1} {:.1} Z" fill="{colour}"/>"#,
                y - 5.0,
                y + 5.0
            );
        }
    }
}
