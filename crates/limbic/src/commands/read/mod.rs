//! `limbic read`.

mod lines;
mod show;

use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use limbic_affect::adapters::WithAdapters;
use limbic_affect::{AdapterSet, AffectEngine, Engine, Opened, Vader, explain};
use limbic_domain::Label;
use serde_json::{Value, json};

use crate::cli::{Common, ReadArgs};

/// The engine that reads.
enum Reader {
    /// VADER alone: it gives only sentiment, which is not enough for a stage.
    Vader(Vader),
    /// An engine, and the adapters that it reads each text with.
    Engine(Arc<dyn AffectEngine>, AdapterSet),
}

pub fn run(common: &Common, args: &ReadArgs) -> anyhow::Result<ExitCode> {
    let reader = open(common, args)?;
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    let style = show::Style::new(std::io::stdout().is_terminal());
    if args.text == "-" {
        return lines(args, &reader, &mut out, style);
    }
    let text = args.text.as_str();
    match &reader {
        _ if args.json => writeln!(out, "{}", reader.read(&[text])[0])?,
        Reader::Vader(_) => show::reading(&mut out, &reader.read(&[text])[0], style)?,
        Reader::Engine(engine, adapters) => {
            let engine = WithAdapters {
                engine: engine.as_ref(),
                adapters: *adapters,
            };
            let explained = explain(&engine, text);
            show::reading(&mut out, &json!(explained.reading), style)?;
            show::evidence(&mut out, text, &explained, style)?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn open(common: &Common, args: &ReadArgs) -> anyhow::Result<Reader> {
    let settings = common.settings(&[])?;
    let mut settings = settings.section::<limbic_affect_stage::AffectStage>().clone();
    match args.engine.as_deref() {
        Some("vader") if args.adapter.is_some() => bail!(
            "an adapter needs the model, and --engine vader reads with a list of words: remove --engine or --adapter"
        ),
        Some("vader") => return Ok(Reader::Vader(Vader::new())),
        Some("model") => settings.engine = Engine::Model,
        Some("lexicon") => settings.engine = Engine::Lexicon,
        Some("auto") => settings.engine = Engine::Auto,
        _ => {}
    }
    // For a single text, starting threads would take longer than reading.
    let Opened {
        engine,
        remark,
        adapters,
        ..
    } = if args.text == "-" {
        settings.start()?
    } else {
        settings.open()?
    };
    if let Some(remark) = remark {
        tracing::info!("{remark}");
    }
    let adapters = match &args.adapter {
        None => AdapterSet::NONE,
        Some(name) => adapters.named(name).with_context(|| {
            let known: Vec<&str> = adapters.names().collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            format!("the settings have no adapter `{name}` ({known}): add it to [[affect.adapters]], or name another")
        })?,
    };
    Ok(Reader::Engine(engine, adapters))
}

impl Reader {
    fn read(&self, texts: &[&str]) -> Vec<Value> {
        match self {
            Self::Engine(engine, adapters) => {
                let readings = engine.read_adapted(texts, &vec![*adapters; texts.len()]);
                readings.iter().map(|affect| json!(affect)).collect()
            }
            Self::Vader(vader) => texts.iter().map(|text| sentiment(*vader, text)).collect(),
        }
    }
}

/// VADER's result in the shape of a reading.
fn sentiment(vader: Vader, text: &str) -> Value {
    let scores = vader.score(text);
    let label = match scores.compound {
        c if c >= 0.05 => Label::Positive,
        c if c <= -0.05 => Label::Negative,
        _ => Label::Neutral,
    };
    let shares = json!({"negative": scores.neg, "neutral": scores.neu, "positive": scores.pos});
    json!({
        "sentiment": {"label": label, "scores": shares, "compound": scores.compound},
        "valence": scores.compound,
        "model": Vader::VERSION,
    })
}

/// Reads each line of standard input, in order. A line that is not valid has an error in its place.
fn lines(
    args: &ReadArgs,
    reader: &Reader,
    out: &mut impl std::io::Write,
    style: show::Style,
) -> anyhow::Result<ExitCode> {
    let mut refused = 0_u64;
    let mut total = 0_u64;
    for batch in lines::batches()? {
        let batch = batch.context("cannot read standard input")?;
        let texts: Vec<&str> = batch
            .iter()
            .filter_map(|line| line.as_ref().ok().map(|line| line.text.as_str()))
            .collect();
        let mut readings = reader.read(&texts).into_iter();
        for line in &batch {
            total += 1;
            let answer = match line {
                Ok(line) => {
                    let mut reading = readings.next().unwrap_or_default();
                    if let Some(post) = &line.post {
                        reading["post"] = post.clone();
                    }
                    Ok(reading)
                }
                Err(problem) => {
                    refused += 1;
                    Err(format!("line {total}: {problem}"))
                }
            };
            match answer {
                Ok(reading) if args.json => writeln!(out, "{reading}")?,
                Ok(reading) => {
                    show::reading(out, &reading, style)?;
                    writeln!(out)?;
                }
                Err(error) if args.json => writeln!(out, "{}", json!({"error": error, "line": total}))?,
                Err(error) => writeln!(out, "error      {error}\n")?,
            }
        }
        out.flush()?;
    }
    if refused > 0 {
        tracing::warn!("{refused} of {total} lines were not valid: the output has an error in their place");
    }
    Ok(ExitCode::SUCCESS)
}
