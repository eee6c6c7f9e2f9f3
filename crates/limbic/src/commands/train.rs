//! `limbic train`.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressStyle};
use limbic_affect::ModelOptions;
use limbic_affect::adapters::{Adapter, LabelledPost, Step, Trained, train};
use limbic_affect::evaluation::Draws;
use limbic_domain::{Label, Slug};
use limbic_ingest::replay::{ReadOptions, Records};
use serde_json::{Map, Value, json};

use super::check_writable;
use super::replay::shape_options;
use crate::cli::{Common, TrainAdapterArgs, TrainCommand};

/// Unknown labels that a message lists.
const LISTED: usize = 8;

pub fn run(common: &Common, command: &TrainCommand) -> anyhow::Result<ExitCode> {
    match command {
        TrainCommand::Adapter(args) => adapter(common, args),
    }
}

fn adapter(common: &Common, args: &TrainAdapterArgs) -> anyhow::Result<ExitCode> {
    let Some(data) = &common.data else {
        bail!("no labelled posts: give their file with --data, for instance --data labelled.csv");
    };
    let name = name(args, data)?;
    let posts = read(data, args)?;
    let files = Files::new(&args.out, &name)?;
    // `--data` names the posts here, not the folder of a log.
    let common = Common {
        data: None,
        ..common.clone()
    };
    let settings = common.settings(&[])?;
    let settings = settings.section::<limbic_affect_stage::AffectStage>();
    let options = ModelOptions {
        kernels: settings
            .kernels
            .parse()
            .with_context(|| format!("affect.kernels = {}", settings.kernels))?,
        cache: 0,
        ..ModelOptions::default()
    };
    let (reader, _) = settings.open_model(&options)?;
    let bar = bar(args.json, posts.len())?;
    let trained = train(&reader, &name, &posts, Draws::default(), |step| match step {
        Step::Read(posts) => bar.set_position(posts as u64),
        Step::Fitted { done, of } => {
            bar.set_message("fits");
            bar.set_length(of as u64);
            bar.set_position(done as u64);
        }
    });
    bar.finish_and_clear();
    let Trained { report, adapter } = trained.with_context(|| data.display().to_string())?;
    if args.json {
        let version = adapter.as_ref().map(Adapter::version);
        say!("{}", json!({"adapter": version, "report": report}))?;
    } else {
        say!(
            "{name} ({} posts) beside the general model {}\n{}{}",
            report.posts,
            reader.model_version(),
            report.table(),
            report.method()
        )?;
        for sentence in report.forgotten() {
            say!("{sentence}")?;
        }
    }
    let Some(adapter) = adapter else {
        bail!(
            "the adapter was not written, because it does not surely read these posts better than the general model (the interval of the \
             first gain is not above 0): label more posts, or let the general model read them"
        );
    };
    let source = data.file_name().map_or_else(
        || data.display().to_string(),
        |name| name.to_string_lossy().into_owned(),
    );
    let card = report.card(&name, adapter.version(), reader.model_version(), &source);
    write(&files.card, &card)?;
    write(&files.adapter, &adapter.to_text())?;
    if !args.json {
        say!(
            "\nwritten: {} ({}) and its card {}\nto use it, name its posts in the settings, then run `limbic check`:\n\n  \
             [[affect.adapters]]\n  file = {:?}\n  subjects = [\"{name}\"]    # or networks = [\"x\"], languages = [\"en\"]",
            files.adapter.display(),
            adapter.version(),
            files.card.display(),
            files.adapter.display().to_string()
        )?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The adapter's name: as given, or that of the file.
fn name(args: &TrainAdapterArgs, data: &Path) -> anyhow::Result<Slug> {
    if let Some(name) = &args.name {
        return Slug::new(name).with_context(|| format!("--for {name}"));
    }
    let stem = data
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy()
        .to_lowercase();
    Slug::new(&stem)
        .with_context(|| format!("the file's name `{stem}` cannot be the adapter's: give a name with --for"))
}

/// Where the results go.
struct Files {
    adapter: PathBuf,
    card: PathBuf,
}

impl Files {
    /// Creates the folder. Fails if a result could not be written.
    fn new(folder: &Path, name: &Slug) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| {
            format!(
                "the folder {} cannot be created: give another with --out",
                folder.display()
            )
        })?;
        let files = Self {
            adapter: folder.join(format!("{name}.{}", Adapter::EXTENSION)),
            card: folder.join(format!("{name}.md")),
        };
        check_writable(&files.adapter)?;
        check_writable(&files.card)?;
        Ok(files)
    }
}

/// Writes a file as a whole: one that was there before is replaced at once.
fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        let everyone = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        file.as_file().set_permissions(everyone)?;
        file.persist(path)?;
        Ok(())
    };
    written().with_context(|| format!("{} cannot be written", path.display()))
}

fn bar(is_hidden: bool, posts: usize) -> anyhow::Result<ProgressBar> {
    let bar = if is_hidden {
        ProgressBar::hidden()
    } else {
        ProgressBar::new(posts as u64)
    };
    bar.set_style(
        ProgressStyle::with_template("{bar:36} {pos}/{len} {msg}  {elapsed}")
            .context("the bar's template")?,
    );
    bar.set_message("posts read");
    Ok(bar)
}

/// What a label of the file means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Label(Label),
    Skip,
}

impl Meaning {
    fn of(word: &str) -> Option<Self> {
        Some(match word.trim().to_lowercase().as_str() {
            "negative" | "neg" => Self::Label(Label::Negative),
            "neutral" | "neu" => Self::Label(Label::Neutral),
            "positive" | "pos" => Self::Label(Label::Positive),
            "skip" => Self::Skip,
            _ => return None,
        })
    }
}

/// The meanings that `--labels` states, by label in small letters.
fn meanings(args: &TrainAdapterArgs) -> anyhow::Result<BTreeMap<String, Meaning>> {
    let pairs = args.labels.iter().filter(|pair| !pair.trim().is_empty());
    pairs
        .map(|pair| {
            let meaning = pair.split_once('=').and_then(|(label, meaning)| {
                Some((label.trim().to_lowercase(), Meaning::of(meaning)?))
            });
            meaning.with_context(|| {
                format!("--labels: `{pair}` is not LABEL=MEANING: the meaning is negative, neutral, positive or skip")
            })
        })
        .collect()
}

/// The labelled posts of the file. Rows without text or label are counted and left out.
fn read(data: &Path, args: &TrainAdapterArgs) -> anyhow::Result<Vec<LabelledPost>> {
    let options: ReadOptions = shape_options(&args.shape)?;
    let meanings = meanings(args)?;
    if data.is_dir() {
        bail!("{} is a folder: name a file of labelled posts", data.display());
    }
    let records = Records::open(data, &options)?;
    let columns = records.columns().map(<[String]>::to_vec);
    let column = |given: Option<&str>, usual: &[&str], option: &str| match &columns {
        Some(names) => find(names, given, usual).with_context(|| {
            format!(
                "{}: give the column with {option}; columns: {}",
                data.display(),
                names.join(", ")
            )
        }),
        None => Ok(given.unwrap_or(usual[0]).to_owned()),
    };
    let text = column(args.text.as_deref(), &["text"], "--text")?;
    let label = column(args.label.as_deref(), &["label", "sentiment"], "--label")?;
    let mut posts = Vec::new();
    let mut unknown: BTreeMap<String, u64> = BTreeMap::new();
    let mut unusable: (u64, Option<String>) = (0, None);
    let mut skipped = 0_u64;
    for record in records {
        let record = record.with_context(|| format!("cannot read {}", data.display()))?;
        let row = record
            .fields
            .and_then(|fields| Ok((field(&fields, &text)?, field(&fields, &label)?)));
        let (text, label) = match row {
            Ok(row) => row,
            Err(problem) => {
                unusable.0 += 1;
                unusable
                    .1
                    .get_or_insert(format!("line {}: {problem}", record.line));
                continue;
            }
        };
        let stated = meanings.get(&label.trim().to_lowercase()).copied();
        // `skip` has a meaning only on the right of `--labels`.
        let known = Meaning::of(&label).filter(|meaning| *meaning != Meaning::Skip);
        match stated.or(known) {
            Some(Meaning::Label(label)) => posts.push(LabelledPost { text, label }),
            Some(Meaning::Skip) => skipped += 1,
            None => *unknown.entry(label).or_default() += 1,
        }
    }
    if !unknown.is_empty() {
        bail!("{}: {}", data.display(), of_unknown(&unknown));
    }
    if let (count, Some(first)) = unusable {
        if posts.is_empty() {
            bail!("{}: no row can be used; {first}", data.display());
        }
        tracing::warn!("{count} rows are left out, the first because of {first}");
    }
    if skipped > 0 {
        tracing::info!("{skipped} rows are skipped by --labels");
    }
    Ok(posts)
}

/// The column that is given, or the first usual one, in any case.
fn find(names: &[String], given: Option<&str>, usual: &[&str]) -> Option<String> {
    let in_any_case = |wanted: &str| {
        names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(wanted))
            .cloned()
    };
    match given {
        Some(given) => names
            .iter()
            .find(|name| *name == given)
            .cloned()
            .or_else(|| in_any_case(given)),
        None => usual.iter().find_map(|name| in_any_case(name)),
    }
}

fn field(fields: &Map<String, Value>, name: &str) -> Result<String, String> {
    let text = match fields.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Null) | None => String::new(),
        Some(_) => return Err(format!("`{name}` is not a text")),
    };
    if text.trim().is_empty() {
        return Err(format!("`{name}` is empty or missing"));
    }
    Ok(text)
}

fn of_unknown(unknown: &BTreeMap<String, u64>) -> String {
    let mut most: Vec<(&String, &u64)> = unknown.iter().collect();
    most.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let listed = most.iter().take(LISTED).map(|(label, count)| {
        let label: String = label.chars().take(40).collect();
        format!("`{label}` ({count} rows)")
    });
    let listed = listed.collect::<Vec<_>>().join(", ");
    let more = match most.len().saturating_sub(LISTED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    format!(
        "labels that are not known: {listed}{more}. Say what they mean, for instance --labels good=positive,other=skip, or name the column \
         of the labels with --label"
    )
}
