//! `limbic explain`.

use std::process::ExitCode;

use limbic_ingest::SourceStatus;
use serde_json::{Value, json};

use super::ask::Source;
use crate::cli::{Common, ExplainArgs};
use crate::printable;

pub fn run(common: &Common, args: &ExplainArgs) -> anyhow::Result<ExitCode> {
    let source = Source::open(common, &args.ask)?;
    match &args.of {
        Some(of) => {
            let explanation = source.explain(of)?;
            if args.ask.json {
                say!("{}", serde_json::to_string_pretty(&explanation)?)?;
            } else {
                for sentence in &explanation.sentences {
                    say!("{sentence}")?;
                }
            }
        }
        None => overview(&source, args.ask.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The audiences, the one that changed last first, and the ad platforms that accept nothing.
fn overview(source: &Source, as_json: bool) -> anyhow::Result<()> {
    let mut audiences = source.audiences()?;
    audiences.reverse();
    let platforms = source.platforms()?;
    let sources = source.sources();
    if as_json {
        say!(
            "{}",
            json!({"audiences": audiences, "platforms": platforms, "sources": sources})
        )?;
        return Ok(());
    }
    if audiences.is_empty() {
        say!("no post counted for an audience yet: send posts with POST /v1/posts or `limbic replay`")?;
    } else {
        say!(
            "{:<32} {:>9} {:>8} {:>7} {:<22} last moment",
            "audience",
            "posts",
            "usual",
            "now",
            "evidence"
        )?;
    }
    for audience in &audiences {
        let text = |pointer: &str| audience.pointer(pointer).and_then(Value::as_str).unwrap_or("–");
        let number = |pointer: &str| audience.pointer(pointer).and_then(Value::as_f64).unwrap_or(0.0);
        say!(
            "{:<32} {:>9} {:>+8.2} {:>+7.2} {:<22} {}",
            text("/audience"),
            number("/posts"),
            number("/baseline"),
            number("/mood/valence"),
            evidence(audience),
            text("/last_moment/at")
        )?;
    }
    for source in &sources {
        say!("{}", printable::line(&of_source(source), 400))?;
        if let Some(sentence) = source.of_dropped() {
            say!("{}", printable::line(&sentence, 400))?;
        }
    }
    for platform in &platforms {
        let name = platform["platform"].as_str().unwrap_or("?");
        if let Some(detail) = platform["problem"]["detail"].as_str() {
            let waiting = &platform["waiting"];
            say!("ad platform `{name}`: {waiting} deliveries wait; it answers: {detail}")?;
        }
        if platform["dead"].as_u64().is_some_and(|dead| dead > 0) {
            say!(
                "ad platform `{name}`: {} dead letters (`limbic dead list decisions`)",
                platform["dead"]
            )?;
        }
    }
    if !audiences.is_empty() {
        say!("`limbic explain AUDIENCE` says why there was an ad, or none")?;
    }
    Ok(())
}

/// What the node did with the posts of a social network.
fn of_source(source: &SourceStatus) -> String {
    let SourceStatus {
        network,
        accepted,
        duplicates,
        rejected,
        last_rejection,
        biometric,
        ..
    } = source;
    let why = last_rejection.as_ref().map_or_else(String::new, |last| {
        format!(", the last because of `{}`: {}", last.field, last.problem)
    });
    let features: Vec<String> = biometric
        .iter()
        .map(|(of, count)| format!("{count} {of}"))
        .collect();
    let features = match features[..] {
        [] => String::new(),
        _ => format!("; of them with features of a body: {}", features.join(", ")),
    };
    format!(
        "posts of `{network}` since the node started: {accepted} accepted, {duplicates} duplicates, {rejected} rejected{why}{features}"
    )
}

/// How far an audience is from a moment.
fn evidence(audience: &Value) -> String {
    if let Some(learning) = audience.pointer("/phase/learning") {
        return format!("learning {} of {}", learning["posts"], learning["needed"]);
    }
    if audience.pointer("/phase/quiet").is_some() {
        return "after a moment".to_owned();
    }
    let evidence = audience["evidence"].as_f64().unwrap_or(0.0);
    format!("{:.3} % of a moment", 100.0 * evidence)
}
