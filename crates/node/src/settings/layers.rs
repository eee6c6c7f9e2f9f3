//! Layers of settings. Each layer overrides the earlier ones.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use anyhow::{Context as _, anyhow, bail};
use limbic_component::Kind;
use limbic_domain::Slug;
use serde_json::Value as Json;
use toml::{Table, Value};

use super::Settings;
use super::problem::{self, Problem};
use super::sections::{Entries, Entry, KIND, Sections};
use crate::reference::{resolve, settings_schema};
use crate::registry;

/// The prefix of settings in the environment. `LIMBIC_API__MAX_BODY` is `api.max_body`.
const PREFIX: &str = "LIMBIC_";

/// Variables with this prefix that are not settings: data sets and servers of tests, and the log filter.
const NOT_SETTINGS: [&str; 6] = [
    "LIMBIC_DATA",
    "LIMBIC_TEST_",
    "LIMBIC_SERVICES_",
    "LIMBIC_LOG_LEVEL",
    "LIMBIC_CONFIG",
    "LIMBIC_KEY",
];

/// The merged layers.
#[derive(Debug, Default)]
pub(super) struct Layers {
    merged: Table,
    /// The source that set each top-level key last, for errors.
    sources: Vec<String>,
}

impl Layers {
    /// Adds a file.
    pub(super) fn file(&mut self, path: &Path) -> anyhow::Result<()> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| anyhow!("{} is not UTF-8 text: save it as UTF-8", path.display()))?;
        let table: Table = toml::from_str(&text).map_err(|error| {
            let problem = problem::syntax(&text, &error);
            anyhow!("{} is not valid TOML: {problem}", path.display())
        })?;
        merge(&mut self.merged, table);
        self.sources.push(path.display().to_string());
        Ok(())
    }

    /// Adds the environment.
    pub(super) fn environment(
        &mut self,
        variables: impl Iterator<Item = (String, String)>,
    ) -> anyhow::Result<()> {
        for (name, text) in variables {
            let Some(path) = name.strip_prefix(PREFIX) else {
                continue;
            };
            // `LIMBIC_DATA_DIR` is a setting. `LIMBIC_DATA` is the folder of the tests' data sets.
            let is_setting = NOT_SETTINGS.iter().all(|other| {
                if other.ends_with('_') {
                    !name.starts_with(other)
                } else {
                    name != *other
                }
            });
            if !is_setting {
                continue;
            }
            if path.is_empty() {
                bail!("{name}: name a setting, for instance LIMBIC_LISTEN or LIMBIC_API__MAX_BODY");
            }
            self.set_text(&path.to_ascii_lowercase().replace("__", "."), &text);
            self.sources.push(name);
        }
        Ok(())
    }

    /// Adds one setting that is given as text, in the environment or on the command line. It takes the type that the setting
    /// wants.
    pub(super) fn set_text(&mut self, key: &str, text: &str) {
        self.set(key, value(wanted(key), text));
    }

    /// Adds one setting.
    pub(super) fn set(&mut self, key: &str, value: Value) {
        let mut nested = value;
        for part in key.rsplit('.') {
            let mut table = Table::new();
            table.insert(part.to_owned(), nested);
            nested = Value::Table(table);
        }
        if let Value::Table(table) = nested {
            merge(&mut self.merged, table);
        }
    }

    /// The final settings. The error for an unknown key suggests the nearest known one.
    pub(super) fn finish(mut self) -> anyhow::Result<Settings> {
        let mut sections = Sections::default();
        for (name, component) in registry::sections() {
            let Some(value) = self.merged.remove(name) else {
                continue;
            };
            let section = component.parse(value).map_err(|error| {
                let key = format!("{name}.{}", error.key);
                self.error(key.trim_end_matches('.'), &error.problem, &[])
            })?;
            sections.0.insert(name, section);
        }
        let mut entries = Entries::default();
        for (table, kind) in registry::tables() {
            if let Some(value) = self.merged.remove(table) {
                let parsed = self.entries(table, kind, value)?;
                entries.0.insert(table, parsed);
            }
        }
        let merged = std::mem::take(&mut self.merged);
        let settings: Result<Settings, _> = serde_path_to_error::deserialize(merged);
        let mut settings = settings.map_err(|error| {
            let path = error.path().to_string();
            let sections = registry::sections().map(|(section, _)| section);
            let further: Vec<&str> = sections
                .chain(registry::tables().map(|(table, _)| table))
                .collect();
            let key = if path == "." { "" } else { &path };
            self.error(key, error.inner().message(), &further)
        })?;
        settings.sections = sections;
        settings.entries = entries;
        Ok(settings)
    }

    /// The entries of a table. Each is a component of this kind; its key `kind` names the component.
    fn entries(&self, table: &str, kind: Kind, value: Value) -> anyhow::Result<BTreeMap<Slug, Entry>> {
        let example = || format!("write [{table}.NAME] with `{KIND} = \"…\"`");
        let Value::Table(values) = value else {
            return Err(self.error(table, &format!("is not a table: {}", example()), &[]));
        };
        let mut entries = BTreeMap::new();
        for (name, value) in values {
            let key = format!("{table}.{name}");
            let name = Slug::new(&name).map_err(|error| self.error(&key, &error.to_string(), &[]))?;
            let Value::Table(mut value) = value else {
                return Err(self.error(&key, &format!("is not a table: {}", example()), &[]));
            };
            let names: Vec<&str> = registry::choices(table).map(|component| component.name).collect();
            let listed = || {
                names
                    .iter()
                    .map(|name| format!("`{name}`"))
                    .collect::<Vec<_>>()
                    .join(", ")
            };
            let Some(Value::String(given)) = value.remove(KIND) else {
                let problem = format!(
                    "has no `{KIND}`: write which {} it is, one of {}",
                    kind.name(),
                    listed()
                );
                return Err(self.error(&key, &problem, &[]));
            };
            let component = registry::choices(table).find(|component| component.name == given);
            let component = component.ok_or_else(|| {
                let hint = nearest(&given, names.iter().copied());
                let hint = hint.map_or_else(|| ".".to_owned(), |near| format!("; did you mean `{near}`?"));
                let problem = format!(
                    "there is no {} `{given}`{hint} Choose one of {}",
                    kind.name(),
                    listed()
                );
                self.error(&format!("{key}.{KIND}"), &problem, &[])
            })?;
            let settings = component.parse(Value::Table(value)).map_err(|error| {
                let key = format!("{key}.{}", error.key);
                self.error(key.trim_end_matches('.'), &error.problem, &[])
            })?;
            entries.insert(name, Entry { component, settings });
        }
        Ok(entries)
    }

    /// The error of one setting. `further` are known keys that the message does not list.
    fn error(&self, key: &str, message: &str, further: &[&str]) -> anyhow::Error {
        let from = if self.sources.is_empty() {
            String::new()
        } else {
            format!(" (from {})", self.sources.join(", "))
        };
        let Problem { key, text } = problem::explain(key, message, further);
        if key.is_empty() {
            return anyhow!("settings{from}: {text}");
        }
        anyhow!("settings{from}: {key}: {text}")
    }
}

/// The type of a setting, as far as it decides how a text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Text,
    ListOfText,
    Other,
}

/// The schema of the settings file.
static SCHEMA: LazyLock<Json> = LazyLock::new(settings_schema);

/// The type that the schema of the settings gives this key.
fn wanted(key: &str) -> Wanted {
    let root = &*SCHEMA;
    let mut reached = vec![root];
    for part in key.split('.') {
        let inside = |schema: &'static Json| {
            let known = schema["properties"].get(part);
            known.or_else(|| schema.get("additionalProperties").filter(|any| any.is_object()))
        };
        reached = forms(root, reached).into_iter().filter_map(inside).collect();
    }
    let reached = forms(root, reached);
    let is = |schema: &Json, kind: &str| match &schema["type"] {
        Json::Array(kinds) => kinds.iter().all(|one| one == kind || one == "null"),
        one => one == kind || (kind == "string" && schema["const"].is_string()),
    };
    let are = |kind: &str, all: &[&Json]| !all.is_empty() && all.iter().all(|schema| is(schema, kind));
    let reached: Vec<&'static Json> = reached
        .into_iter()
        .filter(|schema| schema["type"] != "null")
        .collect();
    if are("string", &reached) {
        return Wanted::Text;
    }
    let items: Vec<&'static Json> = reached.iter().filter_map(|schema| schema.get("items")).collect();
    if are("array", &reached) && are("string", &forms(root, items)) {
        return Wanted::ListOfText;
    }
    Wanted::Other
}

/// The forms that values of these schemas can have: references are followed, and alternatives are listed.
fn forms(root: &'static Json, schemas: Vec<&'static Json>) -> Vec<&'static Json> {
    let mut found = Vec::new();
    for schema in schemas {
        let schema = resolve(root, schema);
        let alternatives = ["oneOf", "anyOf"]
            .iter()
            .filter_map(|kind| schema[kind].as_array());
        let alternatives: Vec<&Json> = alternatives.flatten().collect();
        if alternatives.is_empty() || schema.get("properties").is_some() {
            found.push(schema);
        }
        if !alternatives.is_empty() {
            found.extend(forms(root, alternatives));
        }
    }
    found
}

/// A value from the environment or a flag. Where the setting takes text, it is that text, also if it consists of digits;
/// quotes around it are removed. A list of texts may be written with commas. Everything else is TOML, if it is valid TOML.
fn value(wanted: Wanted, text: &str) -> Value {
    let parsed = || {
        let table = toml::from_str::<Table>(&format!("v = {text}")).ok();
        table.and_then(|mut table| table.remove("v"))
    };
    let as_text = || Value::String(text.to_owned());
    match wanted {
        Wanted::Text => parsed().filter(Value::is_str).unwrap_or_else(as_text),
        Wanted::ListOfText => parsed().filter(Value::is_array).unwrap_or_else(|| {
            let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
            Value::Array(parts.map(|part| Value::String(part.to_owned())).collect())
        }),
        Wanted::Other => parsed().unwrap_or_else(as_text),
    }
}

fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => {
                under.insert(key, value);
            }
        }
    }
}

/// The most similar known name, if one is similar enough.
pub(crate) fn nearest<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|name| (strsim::jaro_winkler(name, given), name))
        .filter(|(likeness, _)| *likeness > 0.75)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests;
