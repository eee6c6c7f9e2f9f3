//! `limbic evaluate`.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_evaluation::{
    Estimator, EvaluationOptions, EvaluationPolicy, LogFormat, MissingPropensity, Progress, RewardModel,
    evaluate, svg,
};

use limbic_domain::TenantId;

use super::check_writable;
use super::export::{Selection, export};
use crate::cli::{Common, EvaluateArgs};
use crate::temporary::TemporaryFolder;

/// The events that an evaluation reads.
const EVENTS: [&str; 2] = ["decisions", "outcomes"];

pub fn run(common: &Common, args: &EvaluateArgs) -> anyhow::Result<ExitCode> {
    for file in [&args.save, &args.svg].into_iter().flatten() {
        check_writable(file)?;
    }
    let asked = Asked::of(args)?;
    match common.log.as_deref() {
        Some(path) if !path.starts_with("kafka://") && path != "embedded" => {
            evaluate_file(args, asked, Path::new(path))
        }
        _ => {
            ensure!(
                args.format == "limbic",
                "--log PATH is missing: name the file or folder of the {} log",
                args.format
            );
            // The evaluation reads a file several times, so the events are written to one first.
            let folder = TemporaryFolder::new("limbic-evaluation-")?;
            let file = folder.path().join("events.jsonl");
            let settings = common.settings(&[])?;
            let selection = Selection {
                tenant: args.tenant.as_deref().map(TenantId::new).transpose()?,
                ..Selection::default()
            };
            let log = limbic_node::connect(&settings)?;
            let mut writer = BufWriter::new(File::create(&file)?);
            let exported = export(&log, &EVENTS.into(), &selection, &mut writer);
            log.close()?;
            ensure!(
                exported? > 0,
                "there are no decisions in {}: name a log with --log or a data folder with --data",
                settings.data_dir.display()
            );
            writer.flush()?;
            drop(writer);
            evaluate_file(args, asked, &file)
        }
    }
}

/// What the arguments ask for. It is read before the log, whose export can take long.
struct Asked {
    format: LogFormat,
    policy: EvaluationPolicy,
    estimators: Vec<Estimator>,
}

impl Asked {
    fn of(args: &EvaluateArgs) -> anyhow::Result<Self> {
        let format: LogFormat = args.format.parse().map_err(|error| anyhow::anyhow!("{error}"))?;
        let policy = match (&args.saved, &args.probabilities, &args.policy) {
            (Some(path), ..) => EvaluationPolicy::Saved { path: path.clone() },
            (_, Some(path), _) => EvaluationPolicy::Supplied { path: path.clone() },
            (.., Some(name)) => EvaluationPolicy::named(name, args.prior.as_deref())?,
            (None, None, None) => anyhow::bail!("no policy: give --policy, --saved or --probabilities"),
        };
        let estimators = args.estimators.iter().map(|name| {
            let estimator = name.parse::<Estimator>();
            estimator.map_err(|error| anyhow::anyhow!("{error}"))
        });
        Ok(Self {
            format,
            policy,
            estimators: estimators.collect::<anyhow::Result<_>>()?,
        })
    }
}

fn evaluate_file(args: &EvaluateArgs, asked: Asked, log: &Path) -> anyhow::Result<ExitCode> {
    let mut options = EvaluationOptions::new(log, asked.format, asked.policy);
    options.estimators = asked.estimators;
    options.campaign.clone_from(&args.campaign);
    options.max_weight = args.max_weight;
    options.save.clone_from(&args.save);
    if args.model == "additive" {
        options.reward_model = RewardModel::Additive;
    }
    if let Some(range) = args.reward_range {
        options.reward_range = range;
    }
    if args.estimate_propensities {
        options.missing_propensity = MissingPropensity::Estimate;
    }
    if args.reward == "conversion" {
        options.rewards.click = 0.0;
        options.rewards.conversion = 1.0;
    }
    options.attribution_window_millis = args.within.map(|hours| i64::from(hours) * 3_600_000);
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{msg:<12} {bar:40} {bytes}/{total_bytes}")
            .context("the bar's template")?,
    );
    let report = evaluate(&options, |progress| match progress {
        Progress::Reading { bytes, of } => {
            bar.set_message("reading");
            bar.set_length(of);
            bar.set_position(bytes);
        }
        Progress::Weighing => bar.set_message("weighing"),
        Progress::Fitting => bar.set_message("fitting"),
        Progress::Estimating => bar.set_message("estimating"),
    })?;
    bar.finish_and_clear();
    if let Some(path) = &args.svg {
        std::fs::write(path, svg(&report)).with_context(|| format!("cannot write {}", path.display()))?;
    }
    if args.json {
        say!("{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        say!("{}", report.to_string().trim_end())?;
    }
    Ok(ExitCode::SUCCESS)
}
