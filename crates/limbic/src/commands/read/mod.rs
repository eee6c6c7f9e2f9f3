//! `limbic read`.

use std::io::{BufRead as _, Write as _};
use std::process::ExitCode;

use anyhow::Context as _;
use limbic_affect::{AffectEngine, LexiconReader, Vader};
use limbic_domain::Affect;
use serde_json::{Value, json};

use crate::cli::ReadArgs;

/// Lines read at once.
const LINES: usize = 512;

pub fn run(args: &ReadArgs) -> anyhow::Result<ExitCode> {
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    if args.text != "-" {
        let reading = &read(args, &[args.text.as_str()])[0];
        write(args, &mut out, reading)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut lines = std::io::stdin().lock().split(b'\n');
    loop {
        let batch: Vec<String> = lines
            .by_ref()
            .take(LINES)
            .map(|line| line.map(|bytes| text_of(&bytes)))
            .collect::<Result<_, _>>()
            .context("cannot read standard input")?;
        if batch.is_empty() {
            break;
        }
        let texts: Vec<&str> = batch.iter().map(String::as_str).collect();
        for reading in read(args, &texts) {
            write(args, &mut out, &reading)?;
        }
        out.flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A reading, as it was asked for.
fn write(args: &ReadArgs, out: &mut impl std::io::Write, reading: &Value) -> std::io::Result<()> {
    if args.json {
        writeln!(out, "{reading}")
    } else {
        show(out, reading)
    }
}

/// A line is a text, or an object with one.
fn text_of(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    let object = text
        .trim_start()
        .starts_with('{')
        .then(|| serde_json::from_str::<Value>(&text).ok())
        .flatten();
    match object.as_ref().and_then(|object| object.get("text")?.as_str()) {
        Some(inner) => inner.to_owned(),
        None => text.into_owned(),
    }
}

fn read(args: &ReadArgs, texts: &[&str]) -> Vec<Value> {
    if args.engine == "vader" {
        let vader = Vader::new();
        return texts
            .iter()
            .map(|text| {
                let scores = vader.score(text);
                let label = match scores.compound {
                    c if c >= 0.05 => "positive",
                    c if c <= -0.05 => "negative",
                    _ => "neutral",
                };
                let shares = json!({"negative": scores.neg, "neutral": scores.neu, "positive": scores.pos});
                let sentiment = json!({"label": label, "scores": shares, "compound": scores.compound});
                json!({"sentiment": sentiment, "model": "vader-3.3.2"})
            })
            .collect();
    }
    LexiconReader::new()
        .read(texts)
        .iter()
        .map(|affect: &Affect| json!(affect))
        .collect()
}

/// A reading for a person.
fn show(out: &mut impl std::io::Write, reading: &Value) -> std::io::Result<()> {
    let sentiment = &reading["sentiment"];
    let label = sentiment["label"].as_str().unwrap_or("");
    writeln!(
        out,
        "sentiment  {label} ({:+.4})",
        sentiment["compound"].as_f64().unwrap_or(0.0)
    )?;
    if let Some(valence) = reading["valence"].as_f64() {
        writeln!(
            out,
            "valence    {valence:+.2}   arousal {:.2}",
            reading["arousal"].as_f64().unwrap_or(0.0)
        )?;
    }
    let mut emotions: Vec<(&String, f64)> = reading["emotions"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, score)| Some((name, score.as_f64()?)))
        .filter(|(_, score)| *score >= 0.05)
        .collect();
    emotions.sort_by(|a, b| b.1.total_cmp(&a.1));
    for (name, score) in emotions {
        writeln!(
            out,
            "  {name:<13}{:<20} {score:.2}",
            "█".repeat((score * 20.0).round() as usize)
        )?;
    }
    let cues: Vec<&str> = reading["distress"]["cues"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if !cues.is_empty() {
        let score = reading["distress"]["score"].as_f64().unwrap_or(0.0);
        writeln!(
            out,
            "distress   {} ({score:.2}): no ad would be shown",
            cues.join(", ")
        )?;
    }
    writeln!(out, "model      {}", reading["model"].as_str().unwrap_or(""))
}
