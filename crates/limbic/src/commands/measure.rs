//! `limbic measure`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_affect::evaluation::{Cell, Draws, MeasuredEngine, Options, Report, Split, TaskReport, evaluate};
use limbic_affect::{LexiconReader, ModelOptions, ModelReader, Vader};

use crate::cli::{Common, MeasureArgs};

/// Published scores on the same posts (from the tables of `TweetEval` and of the papers named here).
const PUBLISHED: [(&str, &str); 3] = [
    (
        "emotion",
        "TimeLMs-2021 80.2, BERTweet 79.3, RoBERTa-base 76.1, SVM 67.6",
    ),
    (
        "sentiment",
        "TimeLMs-2021 73.7, BERTweet 73.4, RoBERTa-base 71.3, SVM 63.9",
    ),
    ("goemotions", "BERT-base 46 of 28 labels (Demszky et al. 2020)"),
];

pub fn run(common: &Common, args: &MeasureArgs) -> anyhow::Result<ExitCode> {
    let engines = engines(common, args)?;
    let options = Options {
        data: data(common)?,
        tasks: args.tasks.clone(),
        split: if args.split == "validation" {
            Split::Validation
        } else {
            Split::Test
        },
        draws: Draws {
            rounds: args.rounds,
            ..Draws::default()
        },
    };
    let bar = if args.json {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(0)
    };
    bar.set_style(
        ProgressStyle::with_template("{bar:36} {pos}/{len}  {msg}  {elapsed}")
            .context("the bar's template")?,
    );
    let report = evaluate(&options, &engines, |step| {
        bar.set_length(step.of as u64);
        bar.set_position(step.done as u64);
        bar.set_message(format!("{} by {}", step.task, step.engine));
    })?;
    bar.finish_and_clear();
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        say!("{}", tables(&report))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The folder of public data sets: `--data`, `$LIMBIC_DATA`, or the default folder of the repository.
fn data(common: &Common) -> anyhow::Result<PathBuf> {
    let given = common
        .data
        .clone()
        .or_else(|| std::env::var_os("LIMBIC_DATA").map(PathBuf::from));
    let folder = given.unwrap_or_else(|| "../shared/data".into());
    if !folder.join("tweeteval").is_dir() {
        bail!(
            "there are no public data sets in {}: give their folder with --data or LIMBIC_DATA",
            folder.display()
        );
    }
    Ok(folder)
}

fn engines(common: &Common, args: &MeasureArgs) -> anyhow::Result<Vec<MeasuredEngine>> {
    // `--data` names the data sets here, not the folder of a log.
    let common = Common {
        data: None,
        ..common.clone()
    };
    let settings = common.settings(&[])?;
    let settings = settings.section::<limbic_affect_stage::AffectStage>();
    let wants = |name: &str| args.engines.is_empty() || args.engines.iter().any(|wanted| wanted == name);
    let mut engines = Vec::new();
    if wants("model") {
        let mut folders = args.models.clone();
        if folders.is_empty() {
            folders.push(settings.model.clone());
        }
        let kernels = if args.kernels.is_empty() {
            vec![settings.kernels.clone()]
        } else {
            args.kernels.clone()
        };
        for folder in &folders {
            for name in &kernels {
                for cascade in [false, true].into_iter().take(1 + usize::from(args.cascade)) {
                    let options = ModelOptions {
                        kernels: name.parse().with_context(|| format!("--kernels {name}"))?,
                        cascade,
                        cache: 0,
                        brands: settings.brands.clone(),
                    };
                    let named = limbic_affect::Settings {
                        model: folder.clone(),
                        ..settings.clone()
                    };
                    let (reader, _) = named.open_model(&options)?;
                    engines.push(MeasuredEngine::Model {
                        name: column(&reader, cascade),
                        reader: Box::new(reader),
                    });
                }
            }
        }
    }
    if wants("lexicon") {
        engines.push(MeasuredEngine::Lexicon(LexiconReader::new()));
    }
    if wants("vader") {
        engines.push(MeasuredEngine::Vader(Vader::new()));
    }
    if wants("majority") {
        engines.push(MeasuredEngine::Majority);
    }
    Ok(engines)
}

/// The model's version and kernels, without the versions of the lexica.
fn column(reader: &ModelReader, cascade: bool) -> String {
    use limbic_affect::AffectEngine as _;
    let version = reader.version().split('/').next().unwrap_or("model").to_owned();
    let cascade = if cascade { " cascade" } else { "" };
    format!("{version} {}{cascade}", reader.kernels())
}

fn tables(report: &Report) -> String {
    let mut out: Vec<String> = report.tasks.iter().map(table).collect();
    if !report.equity.is_empty() {
        out.push(equity(report));
    }
    let Draws { rounds, seed } = report.draws;
    out.push(format!(
        "In hundredths, with 95 % intervals ({rounds} bootstrap draws over posts, seed {seed}). ECE: expected calibration error, 15 bins."
    ));
    out.join("\n")
}

fn table(report: &TaskReport) -> String {
    let mut engines: Vec<&str> = Vec::new();
    for cell in report.measures.iter().flat_map(|measured| &measured.engines) {
        if !engines.contains(&cell.engine.as_str()) {
            engines.push(&cell.engine);
        }
    }
    let mut rows = vec![
        std::iter::once(String::new())
            .chain(engines.iter().map(|e| (*e).to_owned()))
            .collect::<Vec<_>>(),
    ];
    for measured in &report.measures {
        let cell = |engine: &&str| {
            let found = measured.engines.iter().find(|cell| cell.engine == **engine);
            found.map_or_else(|| "–".to_owned(), interval)
        };
        rows.push(
            std::iter::once(measured.measure.clone())
                .chain(engines.iter().map(cell))
                .collect(),
        );
    }
    let calibration = |engine: &&str| report.calibration.iter().find(|one| one.engine == **engine);
    if !report.calibration.is_empty() {
        let cell = |engine: &&str| {
            calibration(engine).map_or_else(|| "–".to_owned(), |one| format!("{:.1}", 100.0 * one.error))
        };
        rows.push(
            std::iter::once("ECE".to_owned())
                .chain(engines.iter().map(cell))
                .collect(),
        );
    }
    if report.calibration.iter().any(|one| one.early > 0.0) {
        let cell = |engine: &&str| {
            calibration(engine).map_or_else(|| "–".to_owned(), |one| format!("{:.1} %", 100.0 * one.early))
        };
        rows.push(
            std::iter::once("left early".to_owned())
                .chain(engines.iter().map(cell))
                .collect(),
        );
    }
    let mut text = format!(
        "{} ({}, {} posts)\n{}",
        report.task,
        report.set,
        report.posts,
        aligned(&rows)
    );
    if let Some((_, published)) = PUBLISHED.iter().find(|(task, _)| *task == report.task) {
        text += &["  as published: ", published, "\n"].concat();
    }
    text
}

fn interval(cell: &Cell) -> String {
    let [value, low, high] = [cell.score.value, cell.score.low, cell.score.high].map(|share| 100.0 * share);
    format!("{value:.1} [{low:.1}, {high:.1}]")
}

fn equity(report: &Report) -> String {
    let head = [
        "score",
        "engine",
        "gender, mean",
        "largest",
        "group, mean",
        "largest",
    ]
    .map(str::to_owned)
    .into();
    let row = |one: &limbic_affect::evaluation::Equity| {
        let number = |share: f64| format!("{share:+.4}");
        vec![
            one.score.clone(),
            one.engine.clone(),
            number(one.gender.mean),
            number(one.gender.largest),
            number(one.group.mean),
            number(one.group.largest),
        ]
    };
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(report.equity.iter().map(row))
        .collect();
    format!(
        "bias (Equity Evaluation Corpus: female less male; African-American less European names)\n{}",
        aligned(&rows)
    )
}

/// Aligns rows in columns: the first column to the left, the others to the right.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                let room = " ".repeat(width - cell.chars().count());
                if column == 0 {
                    format!("  {cell}{room}")
                } else {
                    format!("  {room}{cell}")
                }
            });
        cells.collect::<String>().trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use limbic_affect::evaluation::{Calibration, Measured, Score};

    use super::*;

    #[test]
    fn a_table_has_a_column_for_each_engine_and_a_dash_for_a_missing_result() {
        let score = Score {
            value: 0.795,
            low: 0.77,
            high: 0.8209,
        };
        let cell = |engine: &str| Cell {
            engine: engine.to_owned(),
            score,
        };
        let text = table(&TaskReport {
            task: "emotion".to_owned(),
            set: "TweetEval emotion test".to_owned(),
            posts: 1421,
            measures: vec![
                Measured {
                    measure: "macro-F1".to_owned(),
                    engines: vec![cell("model"), cell("majority")],
                },
                Measured {
                    measure: "other".to_owned(),
                    engines: vec![cell("model")],
                },
            ],
            calibration: vec![Calibration {
                engine: "model".to_owned(),
                error: 0.0213,
                early: 0.0,
            }],
        });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "emotion (TweetEval emotion test, 1421 posts)");
        assert_eq!(lines[1], "                        model           majority");
        assert_eq!(lines[2], "  macro-F1  79.5 [77.0, 82.1]  79.5 [77.0, 82.1]");
        assert_eq!(lines[3], "  other     79.5 [77.0, 82.1]                  –");
        assert_eq!(lines[4], "  ECE                     2.1                  –");
        assert!(lines[5].contains("TimeLMs-2021 80.2"));
    }
}
