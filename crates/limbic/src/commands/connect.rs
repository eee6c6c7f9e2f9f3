//! `limbic connect`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use limbic_component::{Kind, Registration, Resources};
use limbic_connectors::{Item, Source as Connection, Terms};
use limbic_domain::Slug;
use limbic_node::Settings;
use limbic_node::registry::COMPONENTS;
use serde_json::Value;

use super::ask::Source;
use crate::cli::{AskArgs, Common, ConnectCommand};

/// The most events of one page of a test.
const PAGE: usize = 500;

pub fn run(common: &Common, command: &ConnectCommand) -> anyhow::Result<ExitCode> {
    match command {
        ConnectCommand::List { ask } => list(common, ask)?,
        ConnectCommand::Add {
            kind,
            name,
            want,
            with,
        } => add(common, kind, name.as_deref(), want, with)?,
        ConnectCommand::Test { name, seconds } => return test(common, name, *seconds),
        ConnectCommand::Pause { name, ask } => change(common, ask, name, "pause")?,
        ConnectCommand::Resume { name, ask } => change(common, ask, name, "resume")?,
        ConnectCommand::Terms { kind, json } => terms(kind.as_deref(), *json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common, ask: &AskArgs) -> anyhow::Result<()> {
    let connectors = Source::running_node(common, ask)?.connectors()?;
    if ask.json {
        return Ok(say!("{}", serde_json::to_string_pretty(&connectors)?)?);
    }
    if connectors.is_empty() {
        return Ok(say!(
            "this node runs no connector: `limbic connect add bluesky` writes one into the settings file"
        )?);
    }
    say!(
        "{:<16} {:<12} {:<9} {:>10} {:>10} {:>9} {:>9}  last event of the source",
        "name",
        "kind",
        "state",
        "accepted",
        "duplicates",
        "rejected",
        "lag"
    )?;
    for one in &connectors {
        show(one)?;
    }
    Ok(())
}

fn show(one: &Value) -> anyhow::Result<()> {
    let text = |field: &str| one[field].as_str().unwrap_or("-").to_owned();
    let lag = one["lag_seconds"]
        .as_f64()
        .map_or("-".to_owned(), |lag| format!("{lag:.1} s"));
    say!(
        "{:<16} {:<12} {:<9} {:>10} {:>10} {:>9} {:>9}  {}",
        text("name"),
        text("kind"),
        text("phase"),
        one["accepted"],
        one["duplicates"],
        one["rejected"],
        lag,
        text("clock")
    )?;
    let dropped = one["dropped"].as_object().into_iter().flatten();
    let dropped: Vec<String> = dropped
        .map(|(reason, events)| format!("{events} {reason}"))
        .collect();
    if !dropped.is_empty() {
        say!("  left out: {}", dropped.join(", "))?;
    }
    if let Some(problem) = one["problem"].as_str() {
        say!("  {problem}")?;
    }
    Ok(())
}

fn change(common: &Common, ask: &AskArgs, name: &str, action: &str) -> anyhow::Result<()> {
    let view = Source::running_node(common, ask)?.change_connector(name, action)?;
    if ask.json {
        return Ok(say!("{}", serde_json::to_string_pretty(&view)?)?);
    }
    // A position can name everything that a source has now.
    let position = view["cursor"].as_str().unwrap_or("none yet");
    let position = match position.char_indices().nth(80) {
        Some((end, _)) => format!("{}…", &position[..end]),
        None => position.to_owned(),
    };
    if action == "pause" {
        say!("{name} is paused, after a restart too; it has read up to the position {position}")?;
    } else {
        say!("{name} continues at the position {position}")?;
    }
    Ok(())
}

/// The connectors of the registry.
fn kinds() -> impl Iterator<Item = &'static Registration> {
    COMPONENTS
        .iter()
        .filter(|component| component.kind == Kind::Connector)
}

fn kind_of(name: &str) -> anyhow::Result<&'static Registration> {
    kinds().find(|component| component.name == name).ok_or_else(|| {
        let names: Vec<&str> = kinds().map(|component| component.name).collect();
        anyhow!(
            "there is no connector `{name}`: the connectors are {}",
            names.join(", ")
        )
    })
}

/// Writes an entry into the settings file.
fn add(
    common: &Common,
    kind: &str,
    name: Option<&str>,
    want: &[String],
    with: &[String],
) -> anyhow::Result<()> {
    let component = kind_of(kind)?;
    let name = Slug::new(name.unwrap_or(kind))?;
    let file = common
        .overrides()
        .file()
        .unwrap_or_else(|| PathBuf::from("config/limbic.toml"));
    let mut entry = format!("\n[connectors.{}]\nkind = \"{kind}\"\n", quoted(name.as_str()));
    if !want.is_empty() {
        let words = toml::Value::Array(want.iter().map(|word| word.as_str().into()).collect());
        let _ = writeln!(entry, "want = {words}");
    }
    for setting in with {
        let (key, value) = setting
            .split_once('=')
            .with_context(|| format!("--with {setting}: write KEY=VALUE, for instance --with rewind=10s"))?;
        // As in `--set`: a value that is not TOML is a text.
        let value = match toml::from_str::<toml::Table>(&format!("value = {value}")) {
            Ok(mut table) => table.remove("value").unwrap_or_else(|| value.into()),
            Err(_) => value.into(),
        };
        let _ = writeln!(entry, "{key} = {value}");
    }
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", file.display())),
    };
    let both = format!("{}{entry}", with_line_end(&text));
    check(common, &name, component, &both)?;
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    }
    replace(&file, &both)?;
    say!("{}: added{entry}", file.display())?;
    if let Some(terms) = component.terms {
        let terms = Terms::parse(terms)?;
        say!("the terms of {}: {}", terms.source, terms.notes.trim())?;
    }
    say!(
        "\n`limbic connect test {name}` reads from it and stores nothing; `limbic run` runs it. A node that runs already must be restarted."
    )?;
    Ok(())
}

fn quoted(name: &str) -> String {
    let is_bare = name
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if is_bare {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}

fn with_line_end(text: &str) -> String {
    match text {
        "" => String::new(),
        text if text.ends_with('\n') => text.to_owned(),
        text => format!("{text}\n"),
    }
}

/// Checks the settings that the file would have.
fn check(common: &Common, name: &Slug, component: &Registration, text: &str) -> anyhow::Result<()> {
    let trial = tempfile::Builder::new().suffix(".toml").tempfile()?;
    std::fs::write(trial.path(), text)?;
    let mut common = common.clone();
    common.config = Some(trial.path().to_owned());
    let settings = common.settings(&[]).map_err(|error| {
        let shown = trial.path().display().to_string();
        anyhow!(
            "{}",
            format!("{error:#}").replace(&shown, "the settings with the new connector")
        )
    })?;
    let entry = entry_of(&settings, name.as_str())?;
    component
        .check(&entry.settings)
        .map_err(anyhow::Error::from_boxed)
        .with_context(|| format!("connectors.{name}"))
}

/// Writes the file in one step.
fn replace(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let failed = || format!("cannot write {}", file.display());
    let new = tempfile::NamedTempFile::new_in(folder).with_context(failed)?;
    std::fs::write(new.path(), text).with_context(failed)?;
    if let Ok(known) = std::fs::metadata(file) {
        std::fs::set_permissions(new.path(), known.permissions()).with_context(failed)?;
    }
    new.persist(file).with_context(failed)?;
    Ok(())
}

fn entry_of<'a>(settings: &'a Settings, name: &str) -> anyhow::Result<&'a limbic_node::settings::Entry> {
    let mut entries = settings.entries.of("connectors");
    let found = entries.find(|(known, _)| known.as_str() == name);
    found.map(|(_, entry)| entry).ok_or_else(|| {
        let names: Vec<&str> = settings
            .entries
            .of("connectors")
            .map(|(name, _)| name.as_str())
            .collect();
        match names[..] {
            [] => anyhow!("the settings have no connector: `limbic connect add bluesky` writes one into the settings file"),
            _ => anyhow!("the settings have no connector `{name}`: they have {}", names.join(", ")),
        }
    })
}

/// Reads from a source for some time, and stores nothing.
fn test(common: &Common, name: &str, seconds: u64) -> anyhow::Result<ExitCode> {
    let settings = common.settings(&[])?;
    let entry = entry_of(&settings, name)?;
    let built = entry.component.build(&entry.settings, &Resources::new("test"));
    let Connection {
        mut connector,
        is_pulled,
        ..
    } = built
        .map_err(anyhow::Error::from_boxed)
        .with_context(|| format!("connectors.{name}"))?;
    if !is_pulled {
        say!(
            "{name}: its settings are valid. This source sends by itself: have it send to https://YOUR-HOST/v1/hooks/{name} of a node \
             that runs; `limbic connect list` then shows what has arrived"
        )?;
        return Ok(ExitCode::SUCCESS);
    }
    connector.set_time(Instant::now());
    let missing = connector.check_access()?;
    if !missing.is_empty() {
        for one in missing {
            say!("{name}: {one}")?;
        }
        return Ok(ExitCode::FAILURE);
    }
    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut cursor, mut dropped, mut example) = (None, 0, None);
    let (mut posts, mut deletions, mut unreadable) = (0_u64, 0_u64, 0_u64);
    while Instant::now() < end {
        connector.set_time(Instant::now());
        let page = match connector.pull(cursor.as_ref(), PAGE) {
            Ok(page) => page,
            Err(error) => bail!("{error}"),
        };
        for item in page.items {
            match item {
                Item::Post(post) => {
                    posts += 1;
                    example.get_or_insert(post);
                }
                Item::Deletion(_) => deletions += 1,
                Item::Unreadable(problem) => {
                    unreadable += 1;
                    if unreadable == 1 {
                        say!("not readable: {problem}")?;
                    }
                }
            }
        }
        dropped += page.dropped.values().sum::<u64>();
        let is_idle = page.next == cursor && !page.has_more;
        cursor = page.next;
        if is_idle {
            let left = end.saturating_duration_since(Instant::now());
            std::thread::park_timeout(connector.wait_when_idle().min(left));
        }
    }
    say!(
        "{name}: in {seconds} s {posts} posts and edits, {deletions} deletions, {unreadable} not readable, {dropped} left out; nothing was stored"
    )?;
    if let Some(post) = example {
        let text: String = post["text"]
            .as_str()
            .unwrap_or_default()
            .chars()
            .take(100)
            .collect();
        say!("the first post: {text}")?;
    }
    Ok(if posts + deletions + dropped > 0 {
        ExitCode::SUCCESS
    } else {
        say!("the source has brought nothing: check its settings, or test it for longer with --seconds")?;
        ExitCode::FAILURE
    })
}

fn terms(kind: Option<&str>, json: bool) -> anyhow::Result<()> {
    let wanted: Vec<&Registration> = match kind {
        Some(kind) => vec![kind_of(kind)?],
        None => kinds().collect(),
    };
    let mut all = serde_json::Map::new();
    for component in wanted {
        let terms = Terms::parse(component.terms.context("a connector has terms")?)?;
        if json {
            all.insert(component.name.to_owned(), serde_json::to_value(&terms)?);
        } else {
            say!("{}\n{}", component.name, toml::to_string_pretty(&terms)?)?;
        }
    }
    if json {
        say!("{}", serde_json::to_string_pretty(&all)?)?;
    }
    Ok(())
}
