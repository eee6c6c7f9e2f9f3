//! `limbic simulate`.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_bandit::simulator::{MeanOfRuns, PolicyResult, RunSummary};
use limbic_ingest::replay::Pace;
use limbic_views::Kind;
use serde::Serialize;
use serde_json::{Value, json};

use super::check_writable;
use crate::cli::{Common, SimulateArgs};
use crate::temporary::TemporaryFolder;
use limbic_node::Settings;
use limbic_simulation::driver::{self, Driver, Impression};
use limbic_simulation::report::{self, Report};
use limbic_simulation::truth::{self, Detection, Timing};
use limbic_simulation::{Population, policies, setup};

/// Number of posts in one round. After each round the simulated people see and click the new ads.
const ROUND: usize = 130;

/// Result of a simulation.
#[derive(Debug, Serialize)]
struct Result {
    seed: u64,
    people: u32,
    posts: u64,
    events: usize,
    readings: u64,
    /// Share of posts whose reading has the sentiment that the grammar intended.
    agreement: f64,
    /// People in distress.
    in_distress: usize,
    moments: u64,
    /// The moments beside the simulation's events.
    detection: Detection,
    /// The ads at moments beside the same ads at any time.
    timing: Timing,
    decisions: u64,
    suppressed: u64,
    delivered: u64,
    clicks: u64,
    first_fifth: Fifth,
    last_fifth: Fifth,
    /// Expected clicks of always choosing the best tone, minus the expected clicks of the actual choices.
    regret: f64,
    /// The same for uniformly random choices in the same decisions.
    regret_of_uniform: f64,
    /// Number of runs in which every policy replayed the decisions.
    runs: u64,
    /// Number of replayed decisions.
    situations: usize,
    /// The result of every policy, best first.
    policies: Vec<PolicyResult>,
    /// How the default policy learns, beside two others.
    learning: Vec<policies::Learning>,
    seconds: f64,
}

/// Clicks per delivered decision, in one fifth of the decisions.
#[derive(Debug, Serialize)]
struct Fifth {
    decisions: usize,
    /// The actual clicks.
    clicks: f64,
    /// The expected clicks of the actual choices.
    expected: f64,
    /// The expected clicks of uniformly random choices.
    uniform: f64,
    /// The expected clicks of the best tone.
    best: f64,
}

impl Fifth {
    fn of(shown: &[Impression]) -> Self {
        let mean = |value: &dyn Fn(&Impression) -> f64| {
            shown.iter().map(value).fold(0.0, |sum, one| sum + one) / shown.len().max(1) as f64
        };
        Self {
            decisions: shown.len(),
            clicks: mean(&|one| f64::from(u8::from(one.clicked))),
            expected: mean(&|one| one.click_probability),
            uniform: mean(&|one| one.uniform),
            best: mean(&|one| one.best),
        }
    }
}

pub fn run(common: &Common, args: &SimulateArgs) -> anyhow::Result<ExitCode> {
    let pace: Pace = args.speed.parse()?;
    for file in [&args.page, &args.write].into_iter().flatten() {
        check_writable(file)?;
    }
    let population = Population::new(args.seed, args.people, args.posts);
    if let Some(file) = &args.write {
        std::fs::write(file, population.to_json_lines())
            .with_context(|| format!("cannot write {}", file.display()))?;
        if !args.json {
            say!(
                "{} posts of seed {} in {}",
                population.posts.len(),
                args.seed,
                file.display()
            )?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    // Without --data, the folder is temporary.
    let temporary = match &common.data {
        Some(_) => None,
        None => Some(TemporaryFolder::new("limbic-simulation-")?),
    };
    let is_ours = temporary.is_some();
    let folder = match (&common.data, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, temporary) => temporary
            .as_ref()
            .map(|made| made.path().to_owned())
            .unwrap_or_default(),
    };
    ensure!(
        !folder.join("view.sqlite").exists(),
        "{} already holds a view: name an empty folder with --data",
        folder.display()
    );
    let result = simulate(&folder, &population, pace, args)?;
    drop(temporary);
    if args.json {
        say!("{}", serde_json::to_string(&result)?)?;
    } else {
        show(&result)?;
        if let Some(page) = &args.page {
            say!("\nThe report page is {}", page.display())?;
        }
        if !is_ours {
            say!(
                "\nThe log, the view and the deliveries are in {}",
                folder.display()
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn simulate(
    folder: &std::path::Path,
    population: &Population,
    pace: Pace,
    args: &SimulateArgs,
) -> anyhow::Result<Result> {
    let settings = setup::settings(folder)?;
    let mut driver = Driver::open(&settings, None, args.seed)?;
    let bar = if args.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(population.posts.len() as u64)
    };
    bar.set_style(ProgressStyle::with_template(
        "{bar:36} {pos:>7}/{len} posts  {msg}  {elapsed} ({eta} left)",
    )?);
    let started = Instant::now();
    let worked = (|| {
        let origin = population.posts.first().map(|post| post.at).unwrap_or_default();
        let mut latest = origin;
        for round in population.posts.chunks(ROUND) {
            if let Some(last) = round.last() {
                latest = last.at;
                let due = pace.due(origin, Some(latest));
                while let left = due.saturating_sub(started.elapsed())
                    && left > Duration::ZERO
                {
                    std::thread::park_timeout(left);
                }
            }
            driver.send(
                round
                    .iter()
                    .map(limbic_simulation::SimulatedPost::to_json)
                    .collect(),
            )?;
            bar.inc(round.len() as u64);
            let clicks = driver.impressions.iter().filter(|one| one.clicked).count();
            bar.set_message(format!("{} ads, {clicks} clicks", driver.impressions.len()));
        }
        let counts = driver.finish(latest)?;
        driver.check(&counts)?;
        bar.set_message("every policy on the same decisions");
        let mut result = result(&driver, &counts, population, args, &settings)?;
        if let Some(page) = &args.page {
            let mut report = Report::of(&driver, &counts, latest)?;
            report.policies.clone_from(&result.policies);
            report.truth = Some((result.detection.clone(), result.timing.clone()));
            std::fs::write(page, report::page(&report))
                .with_context(|| format!("cannot write {}", page.display()))?;
        }
        result.seconds = started.elapsed().as_secs_f64();
        Ok(result)
    })();
    bar.finish_and_clear();
    driver.node.close()?;
    worked
}

fn result(
    driver: &Driver,
    counts: &driver::Counts,
    population: &Population,
    args: &SimulateArgs,
    settings: &Settings,
) -> anyhow::Result<Result> {
    let intended: BTreeMap<&str, Value> = population
        .posts
        .iter()
        .map(|post| (post.id.as_str(), json!(post.label)))
        .collect();
    let readings = driver.all(Kind::Reading)?;
    let agree = readings
        .iter()
        .filter(|reading| {
            let label = reading["post"]["id"].as_str().and_then(|id| intended.get(id));
            label == Some(&reading["sentiment"]["label"])
        })
        .count();
    let decisions = driver.all(Kind::Decision)?;
    let suppressed = decisions
        .iter()
        .filter(|one| one["result"]["chosen"].is_null())
        .count();
    let mut shown = driver.impressions.clone();
    shown.sort_by(|a, b| (a.at, &a.decision).cmp(&(b.at, &b.decision)));
    let fifth = shown.len() / 5;
    let situations = policies::situations(driver, settings)?;
    Ok(Result {
        seed: args.seed,
        people: args.people,
        posts: driver.accepted,
        events: population.events.len(),
        readings: counts["affect"].produced.get("readings").copied().unwrap_or(0),
        agreement: agree as f64 / readings.len().max(1) as f64,
        in_distress: driver.in_distress(),
        moments: counts["moments"].produced.get("moments").copied().unwrap_or(0),
        detection: truth::detection(&population.events, &driver.moments()?),
        timing: truth::timing(population, &shown),
        decisions: decisions.len() as u64,
        suppressed: suppressed as u64,
        delivered: shown.len() as u64,
        clicks: shown.iter().filter(|one| one.clicked).count() as u64,
        first_fifth: Fifth::of(&shown[..fifth]),
        last_fifth: Fifth::of(&shown[shown.len() - fifth..]),
        regret: shown
            .iter()
            .fold(0.0, |sum, one| sum + one.best - one.click_probability),
        regret_of_uniform: shown.iter().fold(0.0, |sum, one| sum + one.best - one.uniform),
        runs: args.runs,
        situations: situations.len(),
        policies: if args.runs == 0 {
            Vec::new()
        } else {
            policies::results(&situations, settings, args.seed, args.runs)?
        },
        learning: if args.runs == 0 {
            Vec::new()
        } else {
            policies::learning(&situations, settings, args.seed, args.runs)?
        },
        seconds: 0.0,
    })
}

fn show(result: &Result) -> anyhow::Result<()> {
    let row = |name: &str, value: String| say!("  {name:<34}{value:>12}");
    say!("A simulation with {} people, seed {}", result.people, result.seed)?;
    say!("({})\n", setup::DIFFERENCES)?;
    row("posts", result.posts.to_string())?;
    row("events that moved people", result.events.to_string())?;
    row("readings", result.readings.to_string())?;
    row(
        "  with the known sentiment",
        format!("{:.1} %", result.agreement * 100.0),
    )?;
    row("moments", result.moments.to_string())?;
    show_detection(&result.detection)?;
    row("decisions", result.decisions.to_string())?;
    row("  that chose no ad", result.suppressed.to_string())?;
    row("ads delivered and seen", result.delivered.to_string())?;
    row("  clicked", result.clicks.to_string())?;
    row("people in distress", result.in_distress.to_string())?;
    say!(
        "\n  clicks per ad         {:>10} {:>10} {:>10} {:>10} {:>10}",
        "ads",
        "clicked",
        "expected",
        "uniform",
        "best tone"
    )?;
    for (name, fifth) in [
        ("first fifth", &result.first_fifth),
        ("last fifth", &result.last_fifth),
    ] {
        say!(
            "    {name:<18}{:>12} {:>10.3} {:>10.3} {:>10.3} {:>10.3}",
            fifth.decisions,
            fifth.clicks,
            fifth.expected,
            fifth.uniform,
            fifth.best
        )?;
    }
    say!(
        "\n  clicks lost against the best tone: {:.1}; by a uniform choice: {:.1}",
        result.regret,
        result.regret_of_uniform
    )?;
    show_timing(&result.timing)?;
    show_policies(result)?;
    show_learning(result)?;
    say!(
        "\n  checked: accepted = posts = readings, no dead letters, no ad reached a person in distress; {:.1} s",
        result.seconds
    )?;
    Ok(())
}

/// The moments beside the events.
fn show_detection(detection: &Detection) -> anyhow::Result<()> {
    let row = |name: &str, value: String| say!("  {name:<34}{value:>12}");
    let percent = |share: f64| format!("{:.0} %", 100.0 * share);
    row(
        "  events found",
        format!("{} of {}", detection.found, detection.events),
    )?;
    let recall = detection.recall;
    row(
        "    share (95 % interval)",
        format!(
            "{} ({} to {})",
            percent(recall.value),
            percent(recall.low),
            percent(recall.high)
        ),
    )?;
    if let Some(delay) = detection.median_delay_seconds {
        row("    median delay", format!("{delay:.0} s"))?;
    }
    row("    and their end, as a return", detection.returned.to_string())?;
    row("  moments without an event", detection.false_moments.to_string())?;
    row(
        "    a way back taken for a change",
        detection.opposite.to_string(),
    )?;
    Ok(())
}

/// An ad at a moment beside the same ad at any time.
fn show_timing(timing: &Timing) -> anyhow::Result<()> {
    say!(
        "\n  An ad at a moment: {:.3} clicks expected; the same ad at any time: {:.3}, by how people feel then.",
        timing.at_moments,
        timing.at_any_time
    )?;
    match timing.difference {
        Some(difference) => say!(
            "  Difference {:+.3} (95 % interval {:+.3} to {:+.3}; {} ads of {} moments)",
            difference.value,
            difference.low,
            difference.high,
            timing.ads,
            timing.moments
        ),
        None => say!("  Too few moments with an ad for an interval: run more posts."),
    }?;
    Ok(())
}

/// A table of every policy.
fn show_policies(result: &Result) -> anyhow::Result<()> {
    if result.policies.is_empty() {
        return Ok(());
    }
    say!(
        "\n  Every policy on these {} decisions, with new draws in each of {} runs: the mean, and in brackets\n  the range of the \
         middle 95 of 100 runs. Regret: the oracle's advantage in clicks per hundred ads.\n",
        result.situations,
        result.runs
    )?;
    say!(
        "  {:<35} {:>8} {:>20} {:>22} {:>22}",
        "",
        "clicks",
        "regret",
        "over random",
        "over the best fixed"
    )?;
    for one in &result.policies {
        let percent = |spread: RunSummary| {
            format!(
                "{:+.0} % ({:+.0} to {:+.0})",
                100.0 * spread.mean,
                100.0 * spread.low,
                100.0 * spread.high
            )
        };
        let regret = one.regret;
        say!(
            "  {:<35} {:>8.3} {:>20} {:>22} {:>22}",
            one.name,
            one.clicks.mean,
            format!("{:.1} ({:.1} to {:.1})", regret.mean, regret.low, regret.high),
            percent(one.over_random),
            percent(one.over_fixed)
        )?;
    }
    if result
        .policies
        .iter()
        .any(|one| !one.name.starts_with('(') && one.over_fixed.mean < 0.0)
    {
        say!(
            "\n  The best fixed creative of each campaign is known only afterwards. A policy that is below it has paid more for\n  \
             learning than its choices by feeling have earned so far: more decisions for each campaign change that."
        )?;
    }
    Ok(())
}

/// How the default policy learns.
fn show_learning(result: &Result) -> anyhow::Result<()> {
    if result.learning.iter().all(|one| one.curves.is_empty()) {
        return Ok(());
    }
    say!(
        "\n  Learning: clicks gained over a random choice in the first decisions, and over the policy that is blind to\n  \
         feelings in all of them; the mean of the runs with its 95 % interval. The decisions repeat after {}.\n",
        result.situations
    )?;
    let marks = policies::MARKS.map(|mark| format!("{mark:>15}"));
    for one in &result.learning {
        say!("  {:<36}{} {:>15}", one.clicks, marks.join(" "), "over blind")?;
        for curve in &one.curves {
            let percent = |gain: MeanOfRuns| {
                let half = 50.0 * (gain.high - gain.low);
                format!("{:>15}", format!("{:+.1} ± {half:.1} %", 100.0 * gain.mean))
            };
            let gains: Vec<String> = curve
                .points
                .iter()
                .map(|point| percent(point.over_random))
                .collect();
            let over = curve
                .points
                .last()
                .map_or_else(String::new, |point| percent(point.over_first));
            say!("    {:<34}{} {over}", curve.name, gains.join(" "))?;
        }
    }
    Ok(())
}
