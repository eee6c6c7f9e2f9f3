//! `limbic demo`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use limbic_domain::Utc;
use serde_json::Value;

use crate::cli::{Common, DemoArgs};
use limbic_simulation::driver::{Counts, Driver};
use limbic_simulation::report::{self, Report};
use limbic_simulation::setup;

/// The posts are compiled in, so the binary needs no other file.
const SAMPLE: &str = include_str!("../../../../samples/simulated-posts.jsonl");
/// The seed of the clicks. `samples/README.md` states the seed of the posts.
const SEED: u64 = 1;
/// Number of posts in one round.
const ROUND: usize = 100;
/// Maximum number of characters of a text in a line.
const WIDTH: usize = 64;

pub fn run(common: &Common, args: &DemoArgs) -> anyhow::Result<ExitCode> {
    // The demo has its own folder inside the data folder. It is emptied at each start.
    let folder = common
        .data
        .clone()
        .unwrap_or_else(|| ".limbic".into())
        .join("demo");
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| {
            format!(
                "cannot empty {}: is another demo running there?",
                folder.display()
            )
        })?;
    }
    let settings = setup::settings(&folder)?;
    let listen = args
        .stay
        .then(|| args.listen.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned()));
    let mut driver = Driver::open(&settings, listen, SEED)?;
    let worked = show(&mut driver, &folder).and_then(|()| if args.stay { stay(&driver) } else { Ok(()) });
    driver.node.close()?;
    worked.map(|()| ExitCode::SUCCESS)
}

fn show(driver: &mut Driver, folder: &Path) -> anyhow::Result<()> {
    let posts: Vec<Value> = SAMPLE
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the sample posts")?;
    say!(
        "{} simulated posts about football, music, weather and the market.",
        posts.len()
    )?;
    say!("Every stage runs in this process.\n")?;
    let started = Instant::now();
    let (counts, latest) = replay(driver, &posts)?;
    driver.check(&counts)?;
    let report = Report::of(driver, &counts, latest)?;
    table(&report)?;
    examples(&report)?;
    let page = folder.join("report.html");
    std::fs::write(&page, report::page(&report))
        .with_context(|| format!("cannot write {}", page.display()))?;
    say!("\nResults")?;
    say!("  {:<42} this result as a page", page.display())?;
    say!(
        "  {:<42} the ads, one per line",
        folder.join(setup::DELIVERIES).display()
    )?;
    say!(
        "  {:<42} all records, as SQL tables",
        folder.join("view.sqlite").display()
    )?;
    say!(
        "\nThe demo is more sensitive than the defaults, so that a few hours of posts show several moments:"
    )?;
    say!("  {}", setup::DIFFERENCES)?;
    say!("Done in {:.1} s.", started.elapsed().as_secs_f64())?;
    Ok(())
}

fn replay(driver: &mut Driver, posts: &[Value]) -> anyhow::Result<(Counts, Utc)> {
    let bar = ProgressBar::new(posts.len() as u64);
    bar.set_style(ProgressStyle::with_template(
        "  {bar:36} {pos:>5}/{len} posts   {msg}",
    )?);
    let mut latest = Utc::default();
    for (number, round) in posts.chunks(ROUND).enumerate() {
        for post in round {
            latest = latest.max(post["created_at"].as_str().unwrap_or_default().parse()?);
        }
        driver.send(round.to_vec())?;
        bar.inc(round.len() as u64);
        let counts = driver.counts()?;
        let moments = counts["moments"].produced.get("moments").copied().unwrap_or(0);
        let line = format!("{moments} moments, {} ads", driver.impressions.len());
        if bar.is_hidden() && number % 5 == 4 {
            say!("  {:>5}/{} posts   {line}", bar.position(), posts.len())?;
        }
        bar.set_message(line);
    }
    let counts = driver.finish(latest)?;
    bar.finish_and_clear();
    Ok((counts, latest))
}

fn table(report: &Report) -> anyhow::Result<()> {
    let row = |name: &str, value: u64, what: &str| say!("  {name:<14}{value:>7}   {what}");
    say!("")?;
    row("posts", report.posts.len() as u64, "accepted, each once")?;
    row(
        "readings",
        report.readings.len() as u64,
        "sentiment and emotion of each post",
    )?;
    row(
        "feelings",
        report.feelings,
        "effect of each reading on an audience",
    )?;
    row(
        "moments",
        report.moments.len() as u64,
        "changes of mood by more than chance explains",
    )?;
    let suppressed = report.suppressed();
    row(
        "decisions",
        report.decisions.len() as u64,
        "an ad with its propensity, or none with a reason",
    )?;
    for (rule, count) in suppressed {
        row("  no ad", count, &rule)?;
    }
    row(
        "delivered",
        report.delivered as u64,
        "ads written to the platform's file",
    )?;
    row(
        "clicked",
        report.clicks as u64,
        "outcomes that taught the next choice",
    )?;
    say!("\n  People removed by the safety gate, by rule")?;
    for (rule, count) in report.removed() {
        row("", count, &rule)?;
    }
    Ok(())
}

fn examples(report: &Report) -> anyhow::Result<()> {
    let texts: BTreeMap<&str, &str> = report
        .posts
        .iter()
        .filter_map(|post| Some((post["id"].as_str()?, post["text"].as_str()?)))
        .collect();
    say!("\nReadings")?;
    let step = (report.readings.len() / 5).max(1);
    for reading in report.readings.iter().step_by(step).take(5) {
        let text = reading["post"]["id"]
            .as_str()
            .and_then(|id| texts.get(id))
            .unwrap_or(&"");
        say!(
            "  {:>+5.2}  {:<9} {}",
            reading["valence"].as_f64().unwrap_or(0.0),
            reading["sentiment"]["label"].as_str().unwrap_or(""),
            clip(text)
        )?;
    }
    say!("\nMoments")?;
    for moment in report.moments.iter().take(5) {
        say!(
            "  {}  {:<20} {:<6} {:>+5.2} -> {:>+5.2}   {} posts, {} of them copies, after {} calm ones",
            report::clock(moment),
            moment["audience"].as_str().unwrap_or(""),
            match moment["kind"].as_str() {
                Some("return") => "back",
                _ => moment["direction"].as_str().unwrap_or(""),
            },
            moment["baseline"].as_f64().unwrap_or(0.0),
            moment["change"]["mood"]["valence"].as_f64().unwrap_or(0.0),
            moment["change"]["posts"].as_u64().unwrap_or(0),
            moment["change"]["copied"].as_u64().unwrap_or(0),
            moment["evidence"]["posts"]
                .as_u64()
                .unwrap_or(0)
                .saturating_sub(moment["change"]["posts"].as_u64().unwrap_or(0)),
        )?;
    }
    say!("\nDecisions")?;
    for decision in report.decisions.iter().take(6) {
        let what = match decision["result"]["chosen"]["creative"]["rendering"]["headline"].as_str() {
            Some(headline) => format!(
                "\"{headline}\" ({}, p = {:.2})",
                decision["result"]["chosen"]["creative"]["tone"]
                    .as_str()
                    .unwrap_or(""),
                decision["result"]["chosen"]["propensity"].as_f64().unwrap_or(0.0)
            ),
            None => format!(
                "no ad: {}",
                decision["result"]["suppressed"]["reason"].as_str().unwrap_or("")
            ),
        };
        say!(
            "  {}  {:<14} {what}",
            report::clock(decision),
            decision["campaign"].as_str().unwrap_or("")
        )?;
    }
    Ok(())
}

fn clip(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

fn stay(driver: &Driver) -> anyhow::Result<()> {
    if let Some(address) = driver.node.address {
        say!("\nThe page is open at http://{address}/ until Ctrl-C.")?;
    }
    driver
        .node
        .handle()
        .block_on(tokio::signal::ctrl_c())
        .context("cannot listen for Ctrl-C")
}
