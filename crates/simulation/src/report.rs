//! The report page of a simulation: one static HTML file without external resources.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use limbic_bandit::simulator::{PolicyResult, RunSummary};
use limbic_domain::Utc;
use limbic_views::Kind;
use serde_json::Value;

use crate::driver::{Counts, Driver};
use crate::grammar::SUBJECTS;
use crate::truth::{Detection, Estimate, Timing};

/// The data of a report.
pub struct Report {
    /// Rows of posts in the view: the record with `id` and `at`, oldest first.
    pub posts: Vec<Value>,
    /// Rows of readings.
    pub readings: Vec<Value>,
    /// Rows of moments.
    pub moments: Vec<Value>,
    /// Rows of decisions, with and without an ad.
    pub decisions: Vec<Value>,
    /// Number of ads that the ad platform accepted.
    pub delivered: usize,
    /// Number of ads that were clicked.
    pub clicks: usize,
    /// Number of records in the topic `feelings`.
    pub feelings: u64,
    /// The tone of each creative, by id.
    pub tones: BTreeMap<String, String>,
    /// Number of people who expressed distress.
    pub in_distress: usize,
    /// The time of the last post, in simulated time.
    pub until: Utc,
    /// The moments and ads beside the simulation's own events. Absent if they were not compared.
    pub truth: Option<(Detection, Timing)>,
    /// The result of every policy on the same decisions. Empty if policies were not compared.
    pub policies: Vec<PolicyResult>,
}

impl Report {
    /// Collects the data from a driver after its run. `until` is the time of the last post.
    pub fn of(driver: &Driver, counts: &Counts, until: Utc) -> anyhow::Result<Self> {
        Ok(Self {
            posts: driver.all(Kind::Post)?,
            readings: driver.all(Kind::Reading)?,
            moments: driver.all(Kind::Moment)?,
            decisions: driver.all(Kind::Decision)?,
            delivered: driver.impressions.len(),
            clicks: driver.impressions.iter().filter(|one| one.clicked).count(),
            feelings: counts["profile"].produced.get("feelings").copied().unwrap_or(0),
            tones: driver.tones().clone(),
            in_distress: driver.in_distress(),
            until,
            truth: None,
            policies: Vec::new(),
        })
    }

    /// Number of decisions without an ad, by safety rule.
    pub fn suppressed(&self) -> BTreeMap<String, u64> {
        let rules = self
            .decisions
            .iter()
            .filter_map(|one| one["result"]["suppressed"]["rule"].as_str());
        count(rules)
    }

    /// Number of people whom a rule removed from decisions, by rule. A person counts once for each decision.
    pub fn removed(&self) -> BTreeMap<String, u64> {
        let removals = self.decisions.iter().flat_map(|one| list(&one["removals"]));
        count(removals.flat_map(|removal| {
            let rule = removal["rule"].as_str();
            people_in(removal).filter_map(move |_| rule)
        }))
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The people that a removal names.
fn people_in(removal: &Value) -> impl Iterator<Item = &str> {
    let removed = list(&removal["removed"]).filter_map(Value::as_str);
    removed.filter(|what| what.starts_with("person/"))
}

fn count<'a>(names: impl Iterator<Item = &'a str>) -> BTreeMap<String, u64> {
    names.fold(BTreeMap::new(), |mut counts, name| {
        *counts.entry(name.to_owned()).or_default() += 1;
        counts
    })
}

/// The time of day of a row of the view, for example `13:05`.
pub fn clock(event: &Value) -> String {
    let at = event["at"].as_str().unwrap_or_default();
    at.get(11..16).unwrap_or(at).to_owned()
}

const STYLE: &str = "
:root{--paper:#fbfaf7;--card:#fff;--ink:#1d1c1a;--soft:#6d6a64;--line:#e6e2da;--up:#1f8a5b;--down:#c2503a;--mood:#4a63c8;--stop:#a9781a}
@media(prefers-color-scheme:dark){:root{--paper:#151517;--card:#1e1e21;--ink:#eceae6;--soft:#9b978f;--line:#323237;--up:#5ccb98;--down:#f08a73;--mood:#93a6ff;--stop:#e0b45c}}
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}
main{max-width:1080px;margin:0 auto;padding:48px 24px 80px}h1{font-size:34px;letter-spacing:-.02em;margin:0 0 4px}
h2{font-size:20px;margin:48px 0 12px}p{color:var(--soft);margin:0 0 16px;max-width:70ch}
.counts{display:grid;grid-template-columns:repeat(auto-fit,minmax(220px,1fr));gap:12px;margin-top:28px}
.count,.card{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:14px 16px}
.count b{display:block;font-size:28px;letter-spacing:-.02em;font-variant-numeric:tabular-nums}.count span,small{color:var(--soft);font-size:13px}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(310px,1fr));gap:14px}
.card h3{font-size:17px;margin:6px 0 2px}.card p{margin:0 0 10px;color:var(--ink)}
.mood{margin-bottom:14px}.mood svg{display:block;width:100%;height:auto}
.bar{display:grid;grid-template-columns:84px 1fr 44px;gap:8px;align-items:center;font-size:13px;color:var(--soft)}
.bar i{display:block;height:6px;border-radius:3px;background:var(--line)}.bar i u{display:block;height:6px;border-radius:3px;background:var(--soft)}
.bar.on{color:var(--ink);font-weight:600}.bar.on u{background:var(--mood)}
.none{border-left:4px solid var(--stop)}.up{color:var(--up)}.down{color:var(--down)}
table{border-collapse:collapse;width:100%;font-size:14px}td,th{text-align:left;padding:7px 10px;border-bottom:1px solid var(--line);vertical-align:top}th{color:var(--soft);font-weight:500}
tr.stick td{color:var(--soft)}td.n,th.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}svg text{fill:var(--soft);font:12px system-ui,sans-serif}";

/// Renders the report as HTML.
pub fn page(report: &Report) -> String {
    let mut html = String::with_capacity(256 * 1024);
    html.push_str("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">");
    let _ = write!(
        html,
        "<title>Limbic: simulation report</title><style>{STYLE}</style><main>"
    );
    let from = report.readings.iter().filter_map(time).min().unwrap_or_default();
    let hours = (report.until.as_millis() - from).max(0) as f64 / 3_600_000.0;
    let _ = write!(
        html,
        "<h1>{hours:.1} simulated hours</h1><p>One process read these posts, updated the audiences, decided and delivered. All people and posts are simulated.</p>"
    );
    counts(&mut html, report);
    html.push_str("<h2>Mood of each audience</h2><p>Mean valence of the posts, from unpleasant (−1) to pleasant (+1). A triangle is a moment: the audience's mood changed by more than chance explains.</p>");
    for subject in SUBJECTS {
        mood(&mut html, report, subject);
    }
    if let Some((detection, timing)) = &report.truth {
        truth(&mut html, detection, timing);
    }
    if !report.policies.is_empty() {
        policies(&mut html, &report.policies);
    }
    removed(&mut html, report);
    decisions(&mut html, report);
    html.push_str("</main></html>\n");
    html
}

fn counts(html: &mut String, report: &Report) {
    html.push_str("<div class=\"counts\">");
    for (count, name) in [
        (report.posts.len() as u64, "posts"),
        (report.readings.len() as u64, "readings"),
        (report.feelings, "feelings"),
        (report.moments.len() as u64, "moments"),
        (report.decisions.len() as u64, "decisions"),
        (report.suppressed().values().sum(), "without an ad"),
        (report.delivered as u64, "ads delivered"),
        (
            report.clicks as u64,
            if report.clicks == 1 { "click" } else { "clicks" },
        ),
    ] {
        let _ = write!(
            html,
            "<div class=\"count\"><b>{count}</b><span>{name}</span></div>"
        );
    }
    html.push_str("</div>");
}

/// Milliseconds between two points of a curve.
const STEP: i64 = 120_000;
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 150.0;
/// Height of the time axis below the chart.
const AXIS: f64 = 20.0;
const MINUTE: i64 = 60_000;

/// Round times between two instants in milliseconds, about ten at most.
fn ticks(from: i64, until: i64) -> impl Iterator<Item = i64> {
    let every = [5, 10, 15, 30, 60, 120, 180, 360, 720, 1440]
        .map(|minutes| minutes * MINUTE)
        .into_iter()
        .find(|every| (until - from) / every <= 10)
        .unwrap_or((until - from).max(1));
    (from.div_euclid(every) + 1..)
        .map(move |number| number * every)
        .take_while(move |at| *at <= until)
}

fn time(event: &Value) -> Option<i64> {
    let at: Utc = event["at"].as_str()?.parse().ok()?;
    Some(at.as_millis())
}

fn mood(html: &mut String, report: &Report, subject: &str) {
    let is_about = |reading: &&Value| {
        reading["subjects"]
            .as_array()
            .is_some_and(|subjects| subjects.iter().any(|one| one == subject))
    };
    let mut steps: BTreeMap<i64, (f64, f64)> = BTreeMap::new();
    for reading in report.readings.iter().filter(is_about) {
        if let (Some(at), Some(valence)) = (time(reading), reading["valence"].as_f64()) {
            let step = steps.entry(at / STEP).or_default();
            step.0 += valence;
            step.1 += 1.0;
        }
    }
    let from = report.readings.iter().filter_map(time).min().unwrap_or_default();
    let span = (report.until.as_millis() - from).max(1) as f64;
    let x = |at: i64| 40.0 + (at - from) as f64 / span * (WIDTH - 56.0);
    let y = |valence: f64| HEIGHT / 2.0 - valence.clamp(-1.0, 1.0) * (HEIGHT / 2.0 - 12.0);
    // An exponentially decaying mean, so that a step with few posts does not make the curve jump.
    let (mut sum, mut weight) = (0.0, 0.0);
    let mut line = String::new();
    for (step, (of_step, posts)) in &steps {
        sum = sum * 0.5 + of_step;
        weight = weight * 0.5 + posts;
        let _ = write!(
            line,
            "{:.1},{:.1} ",
            x((step * STEP + STEP / 2).max(from)),
            y(sum / weight)
        );
    }
    let (zero, right) = (y(0.0), WIDTH - 16.0);
    let _ = write!(
        html,
        "<div class=\"card mood\"><b>{subject}</b><svg viewBox=\"0 0 {WIDTH} {}\" role=\"img\" aria-label=\"Mood of {subject}\">\
         <text x=\"6\" y=\"{:.1}\">+1</text><text x=\"6\" y=\"{:.1}\">0</text><text x=\"6\" y=\"{:.1}\">−1</text>\
         <line x1=\"40\" x2=\"{right}\" y1=\"{zero}\" y2=\"{zero}\" stroke=\"var(--line)\"/>\
         <polyline points=\"{line}\" fill=\"none\" stroke=\"var(--mood)\" stroke-width=\"2.5\" stroke-linejoin=\"round\"/>",
        HEIGHT + AXIS,
        y(1.0) + 4.0,
        zero + 4.0,
        y(-1.0) + 4.0
    );
    for at in ticks(from, report.until.as_millis()) {
        let (x, when) = (x(at), Utc::from_millis(at).to_string());
        let _ = write!(
            html,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{zero}\" y2=\"{:.1}\" stroke=\"var(--line)\"/>\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            zero + 4.0,
            HEIGHT + AXIS - 6.0,
            when.get(11..16).unwrap_or_default()
        );
    }
    let audience = format!("everyone:{subject}");
    for moment in report.moments.iter().filter(|one| one["audience"] == *audience) {
        let Some(at) = time(moment) else { continue };
        let is_up = moment["direction"] == "up";
        let x = x(at);
        // Rises are marked at the top of the chart, falls at the bottom.
        let (colour, tip, base) = if is_up {
            ("up", 4.0, 17.0)
        } else {
            ("down", HEIGHT - 4.0, HEIGHT - 17.0)
        };
        let _ = write!(
            html,
            "<line x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"8\" y2=\"{:.1}\" stroke=\"var(--{colour})\" stroke-dasharray=\"2 4\"/>\
             <path d=\"M{:.1} {:.1}L{:.1} {:.1}L{x:.1} {:.1}Z\" fill=\"var(--{colour})\"><title>{}: {} to {:+.2}</title></path>",
            HEIGHT - 8.0,
            x - 7.0,
            base,
            x + 7.0,
            base,
            tip,
            clock(moment),
            if is_up { "up" } else { "down" },
            moment["change"]["mood"]["valence"].as_f64().unwrap_or(0.0),
        );
    }
    html.push_str("</svg></div>");
}

/// The moments beside the events that only the simulation knows, and the ads beside the same ads at any time.
fn truth(html: &mut String, detection: &Detection, timing: &Timing) {
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    let interval = |estimate: &Estimate, show: fn(f64) -> String| {
        format!("{} to {}", show(estimate.low), show(estimate.high))
    };
    let Detection {
        events,
        found,
        recall,
        median_delay_seconds: delay,
        returned,
        false_moments,
        opposite,
    } = detection;
    let clicks = |clicks: f64| format!("{clicks:.3}");
    let mut rows = vec![
        (
            "Events found",
            format!("{found} of {events}"),
            format!(
                "{}, 95 % interval {}",
                percent(recall.value),
                interval(recall, |share| { format!("{:.0} %", 100.0 * share) })
            ),
        ),
        (
            "Delay",
            delay.map_or_else(|| "–".to_owned(), |delay| format!("{delay:.0} s")),
            "median, from the start of an event to its moment".to_owned(),
        ),
        (
            "Ends that were called a return",
            returned.to_string(),
            "of the events found".to_owned(),
        ),
        (
            "Moments without an event",
            false_moments.to_string(),
            format!("{opposite} of them a way back taken for something new"),
        ),
        (
            "Clicks per ad at a moment",
            clicks(timing.at_moments),
            format!("{} ads of {} moments", timing.ads, timing.moments),
        ),
        (
            "Clicks of the same ads at any time",
            clicks(timing.at_any_time),
            String::new(),
        ),
    ];
    if let Some(difference) = &timing.difference {
        let show = |clicks: f64| format!("{clicks:+.3}");
        rows.push((
            "Difference",
            show(difference.value),
            format!("95 % interval {}", interval(difference, show)),
        ));
    }
    html.push_str("<h2>Moments and events</h2><p>The simulation knows which events moved people. The table compares the moments with them.</p><div class=\"card\"><table>");
    for (name, value, detail) in rows {
        let _ = write!(
            html,
            "<tr><td>{name}</td><td class=\"n\">{value}</td><td>{detail}</td></tr>"
        );
    }
    html.push_str("</table></div>");
}

fn removed(html: &mut String, report: &Report) {
    let _ = write!(
        html,
        "<h2>What the safety gate removed</h2><p>{} people expressed distress. A person counts once for each decision from which they were removed.</p>\
         <div class=\"card\"><table><tr><th>Rule</th><th>Removed</th><th class=\"n\">Times</th></tr>",
        report.in_distress
    );
    let rows = report.removed().into_iter().map(|row| ("a person", row));
    for (what, (rule, count)) in rows.chain(report.suppressed().into_iter().map(|row| ("the whole ad", row)))
    {
        let _ = write!(
            html,
            "<tr><td>{}</td><td>{what}</td><td class=\"n\">{count}</td></tr>",
            escape(&rule)
        );
    }
    html.push_str("</table></div>");
}

/// Width of the drawing of an interval, in pixels.
const SPAN: f64 = 150.0;

fn policies(html: &mut String, results: &[PolicyResult]) {
    html.push_str("<h2>Every policy on the same decisions</h2><p>Each run draws the simulation's decisions again, and each policy learns only from its own clicks. The table shows the mean over the runs. The small print and the line show the range of the middle 95 of 100 runs. Regret is the oracle's advantage in clicks per hundred ads.</p>\
         <div class=\"card\"><table><tr><th>Policy</th><th class=\"n\">Clicks per ad</th><th class=\"n\">Regret</th><th colspan=\"2\">Over random</th><th colspan=\"2\">Over the best fixed creative</th></tr>");
    for one in results {
        let is_yardstick = one.name.starts_with('(');
        let _ = write!(
            html,
            "<tr{}><td>{}</td><td class=\"n\">{:.3}</td><td class=\"n\">{:.1}<br><small>{:.1} to {:.1}</small></td>",
            if is_yardstick { " class=\"stick\"" } else { "" },
            escape(&one.name),
            one.clicks.mean,
            one.regret.mean,
            one.regret.low,
            one.regret.high,
        );
        uplift(html, one.over_random, results.iter().map(|one| one.over_random));
        uplift(html, one.over_fixed, results.iter().map(|one| one.over_fixed));
        html.push_str("</tr>");
    }
    html.push_str("</table></div>");
}

/// An uplift as text, and as a line on the scale of its column, with a mark at zero.
fn uplift(html: &mut String, own: RunSummary, column: impl Iterator<Item = RunSummary>) {
    let (low, high) = column.fold((0.0_f64, 0.0_f64), |(low, high), one| {
        (low.min(one.low), high.max(one.high))
    });
    let x = |value: f64| 6.0 + (value - low) / (high - low).max(1e-9) * (SPAN - 12.0);
    let _ = write!(
        html,
        "<td class=\"n\">{:+.0} %<br><small>{:+.0} to {:+.0}</small></td>\
         <td><svg width=\"{SPAN}\" height=\"22\" role=\"img\" aria-label=\"{:+.0} to {:+.0} percent\">\
         <line x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"2\" y2=\"20\" stroke=\"var(--soft)\" stroke-dasharray=\"2 2\"/>\
         <line x1=\"{:.1}\" x2=\"{:.1}\" y1=\"11\" y2=\"11\" stroke=\"var(--mood)\" stroke-width=\"2\"/>\
         <circle cx=\"{:.1}\" cy=\"11\" r=\"4\" fill=\"var(--mood)\"/></svg></td>",
        100.0 * own.mean,
        100.0 * own.low,
        100.0 * own.high,
        100.0 * own.low,
        100.0 * own.high,
        x(own.low),
        x(own.high),
        x(own.mean),
        zero = x(0.0),
    );
}

fn decisions(html: &mut String, report: &Report) {
    let by_id: BTreeMap<&str, &Value> = report
        .moments
        .iter()
        .filter_map(|moment| Some((moment["id"].as_str()?, moment)))
        .collect();
    html.push_str("<h2>Decisions</h2><p>Each decision shows its candidates with their probabilities, or the reason why there was no ad.</p><div class=\"cards\">");
    for decision in &report.decisions {
        let text = |value: &Value| escape(value.as_str().unwrap_or_default());
        let moment = decision["moment"].as_str().and_then(|id| by_id.get(id));
        let direction = moment
            .and_then(|moment| moment["direction"].as_str())
            .unwrap_or("");
        let choice = &decision["result"]["chosen"];
        let _ = write!(
            html,
            "<div class=\"card{}\"><small>{} · {} · <span class=\"{direction}\">{} {direction}</span></small>",
            if choice.is_null() { " none" } else { "" },
            clock(decision),
            text(&decision["campaign"]),
            text(&decision["audience"]),
        );
        if choice.is_null() {
            let no_ad = &decision["result"]["suppressed"];
            let _ = write!(
                html,
                "<h3>No ad</h3><p>{}</p><small>{}</small></div>",
                text(&no_ad["reason"]),
                text(&no_ad["rule"])
            );
            continue;
        }
        let creative = &choice["creative"];
        let _ = write!(
            html,
            "<h3>{}</h3><p>{}</p>",
            text(&creative["rendering"]["headline"]),
            text(&creative["rendering"]["body"])
        );
        for (place, candidate) in choice["candidates"].as_array().into_iter().flatten().enumerate() {
            let is_chosen = choice["position"].as_u64() == Some(place as u64);
            let probability = candidate["propensity"].as_f64().unwrap_or(0.0);
            let tone = candidate["creative"].as_str().and_then(|id| report.tones.get(id));
            let _ = write!(
                html,
                "<div class=\"bar{}\"><span>{}</span><i><u style=\"width:{:.0}%\"></u></i><span>{probability:.2}</span></div>",
                if is_chosen { " on" } else { "" },
                tone.map_or_else(String::new, |tone| escape(tone)),
                probability * 100.0,
            );
        }
        let people = choice["people"].as_array().map_or(0, Vec::len);
        let removed = list(&decision["removals"]).flat_map(people_in).count();
        let _ = write!(
            html,
            "<small>may reach {people} people; {removed} people removed</small></div>"
        );
    }
    html.push_str("</div>");
}

/// Escapes text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_axis_has_round_times_and_not_too_many() {
        let clock = |at: i64| (at / MINUTE / 60, at / MINUTE % 60);
        let from = 13 * 60 * MINUTE + 7 * MINUTE;
        let an_hour: Vec<_> = ticks(from, from + 60 * MINUTE).map(clock).collect();
        assert_eq!(an_hour.first(), Some(&(13, 10)));
        assert_eq!(an_hour.last(), Some(&(14, 0)));
        for minutes in [1, 59, 600, 1_000_000] {
            assert!(ticks(from, from + minutes * MINUTE).count() <= 11, "{minutes}");
        }
        assert_eq!(ticks(from, from).count(), 0);
    }

    #[test]
    fn what_a_record_says_cannot_become_markup() {
        let decision = json!({"id": "c.1", "at": "2025-05-10T10:00:00Z", "campaign": "c", "audience": "everyone:football",
            "moment": "m", "result": {"suppressed": {"rule": "distress", "reason": "<script>alert(1)</script>"}}});
        let report = Report {
            posts: Vec::new(),
            readings: Vec::new(),
            moments: Vec::new(),
            decisions: vec![decision],
            delivered: 0,
            clicks: 0,
            feelings: 0,
            tones: BTreeMap::new(),
            in_distress: 0,
            until: Utc::default(),
            truth: None,
            policies: Vec::new(),
        };
        let html = page(&report);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;") && !html.contains("Moments and events"));

        let share = |value| Estimate {
            value,
            low: value - 0.1,
            high: value + 0.1,
        };
        let detection = Detection {
            events: 20,
            found: 16,
            recall: share(0.8),
            median_delay_seconds: Some(115.0),
            returned: 10,
            false_moments: 1,
            opposite: 0,
        };
        let timing = Timing {
            ads: 13,
            moments: 10,
            at_moments: 0.315,
            at_any_time: 0.077,
            difference: Some(share(0.238)),
        };
        let html = page(&Report {
            truth: Some((detection, timing)),
            ..report
        });
        for part in [
            "16 of 20",
            "80 %, 95 % interval 70 % to 90 %",
            "115 s",
            "+0.138 to +0.338",
        ] {
            assert!(html.contains(part), "{part}: {html}");
        }
    }
}
