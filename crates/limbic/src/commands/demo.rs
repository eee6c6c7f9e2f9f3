//! `limbic demo`.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use limbic_bandit::simulator::SimulatedDecision;
use limbic_domain::{Brief, Campaign, Declaration, Micros, Platform, Slug, TenantId, Utc};
use limbic_node::Settings;
use limbic_node::settings::TenantCampaign;
use serde_json::Value;

use crate::cli::{Common, DemoArgs};
use limbic_simulation::driver::{Counts, Driver};
use limbic_simulation::report::{self, Report};
use limbic_simulation::{policies, setup};

/// The posts are compiled in, so the binary needs no other file.
const SAMPLE: &str = include_str!("../../../../samples/simulated-posts.jsonl");
/// The seed of the clicks. `samples/README.md` states the seed of the posts.
const SEED: u64 = 1;
/// How often each policy decides again.
const RUNS: u64 = 100;
/// Characters of the longest bar.
const PICTURE: f64 = 40.0;
/// Decisions that are shown.
const SHOWN: usize = 8;
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
    let mut settings = setup::settings(&folder)?;
    settings.campaigns = campaigns()?;
    let listen = args
        .stay
        .then(|| args.listen.clone().unwrap_or_else(|| "127.0.0.1:0".to_owned()));
    let mut driver = Driver::open(&settings, listen, SEED)?;
    let worked =
        show(&mut driver, &settings, &folder).and_then(|()| if args.stay { stay(&driver) } else { Ok(()) });
    driver.node.close()?;
    worked.map(|()| ExitCode::SUCCESS)
}

/// One campaign for each subject that the sample posts are about.
fn campaigns() -> anyhow::Result<Vec<TenantCampaign>> {
    let campaign = |[id, subject, product, promise, call]: [&str; 5]| -> anyhow::Result<TenantCampaign> {
        Ok(TenantCampaign {
            tenant: TenantId::default(),
            campaign: Campaign {
                id: Slug::new(id)?,
                brief: Brief {
                    product: product.to_owned(),
                    promise: promise.to_owned(),
                    call_to_action: call.to_owned(),
                    link: format!("https://{id}.example/"),
                    ..Brief::default()
                },
                subjects: vec![Slug::new(subject)?],
                brands: Vec::new(),
                direction: None,
                platforms: vec![Platform {
                    name: Slug::new("file")?,
                    headline: 60,
                    body: 180,
                }],
                bid: Micros(200_000),
                review: None,
                declared: Declaration {
                    advertiser: Some(product.to_owned()),
                    ..Declaration::default()
                },
            },
        })
    };
    [
        [
            "terrace-scarves",
            "football",
            "Terrace Scarves",
            "Warm until the final whistle.",
            "Pick your colours",
        ],
        [
            "groove-corner",
            "music",
            "Groove Corner",
            "Tonight's songs, on vinyl by morning.",
            "Hear them first",
        ],
        [
            "puddle-boots",
            "weather",
            "Puddle Boots",
            "Dry feet on every street.",
            "Find your size",
        ],
        [
            "corner-bakery",
            "market",
            "Corner Bakery",
            "Bread that is warm when you come home.",
            "Reserve a loaf",
        ],
    ]
    .into_iter()
    .map(campaign)
    .collect()
}

fn show(driver: &mut Driver, settings: &Settings, folder: &Path) -> anyhow::Result<()> {
    let posts: Vec<Value> = SAMPLE
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()
        .context("the sample posts")?;
    let times = posts
        .iter()
        .filter_map(|post| post["created_at"].as_str()?.parse::<Utc>().ok());
    let (first, last) = (
        times.clone().min().unwrap_or_default(),
        times.max().unwrap_or_default(),
    );
    say!(
        "{} simulated posts of {:.1} hours, about football, music, weather and the market.",
        posts.len(),
        last.millis_since(first) as f64 / 3_600_000.0
    )?;
    say!("Every stage runs in this process.\n")?;
    let started = Instant::now();
    let (counts, latest) = replay(driver, &posts)?;
    driver.check(&counts)?;
    let mut report = Report::of(driver, &counts, latest)?;
    let situations = policies::situations(driver, settings)?;
    report.policies = policies::results(&situations, settings, SEED, RUNS)?;
    table(&report)?;
    examples(&report)?;
    earned(&situations, settings)?;
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
    say!("\nDecisions, in the order of time")?;
    let mut decisions: Vec<&Value> = report.decisions.iter().collect();
    decisions.sort_by_key(|decision| decision["at"].as_str());
    for decision in decisions.into_iter().take(SHOWN) {
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

/// What the loop earns beside chance: a sentence and a picture.
fn earned(situations: &[SimulatedDecision], settings: &Settings) -> anyhow::Result<()> {
    let learning = policies::learning(situations, settings, SEED, RUNS)?;
    let curves = learning
        .first()
        .map(|one| one.curves.as_slice())
        .unwrap_or_default();
    let Some(curve) = curves.iter().find(|curve| curve.name.ends_with("(default)")) else {
        return Ok(());
    };
    let Some(last) = curve.points.last() else {
        return Ok(());
    };
    say!(
        "\nThe {} decisions of these hours, repeated, with new draws and clicks: in its first {} decisions, the loop earns {:+.0} %\n\
         clicks beside a choice by chance (95 % interval {:+.0} to {:+.0}). Every policy: `limbic simulate`.\n",
        situations.len(),
        last.decisions,
        100.0 * last.over_random.mean,
        100.0 * last.over_random.low,
        100.0 * last.over_random.high
    )?;
    let largest = curve.points.iter().map(|point| point.over_random.mean);
    let largest = largest.fold(1e-9, f64::max);
    for point in &curve.points {
        let gain = point.over_random.mean;
        let length = (PICTURE * gain.max(0.0) / largest).round();
        say!(
            "  first {:>5} decisions  {:>+4.0} %  {}",
            point.decisions,
            100.0 * gain,
            "█".repeat(length as usize)
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
