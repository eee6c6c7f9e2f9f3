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
mod tests {
    use limbic_domain::TenantId;
    use limbic_metrics::Influx;

    use super::*;

    fn of(text: &str, environment: &[(&str, &str)]) -> anyhow::Result<Settings> {
        let mut layers = Layers::default();
        merge(&mut layers.merged, toml::from_str(text).unwrap());
        layers.environment(
            environment
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )?;
        layers.finish()
    }

    #[test]
    fn a_text_takes_the_type_that_its_setting_wants() {
        let settings = of(
            "[ad_platforms.ads]\nkind = \"webhook\"\nurl = \"https://example.com\"",
            &[
                (
                    "LIMBIC_TENANTS__ACME__PSEUDONYM_SECRET",
                    "12345678901234567890123456789012",
                ),
                ("LIMBIC_TENANTS__ACME__API_KEYS", "1234,true"),
                ("LIMBIC_INFLUXDB__TOKEN", "2026-11-30"),
                ("LIMBIC_INFLUXDB__ORG", "\"1e3\""),
                ("LIMBIC_AD_PLATFORMS__ADS__SECRET", "42"),
                ("LIMBIC_AD_PLATFORMS__ADS__HEADERS__AUTHORIZATION", "7"),
                ("LIMBIC_STAGES", "[\"affect\"]"),
                ("LIMBIC_LISTEN", "8080"),
                ("LIMBIC_DATA_DIR", "2026"),
            ],
        )
        .unwrap();
        let tenant = &settings.tenants[&TenantId::new("acme").unwrap()];
        assert_eq!(
            tenant.pseudonym_secret.reveal(),
            "12345678901234567890123456789012"
        );
        let keys: Vec<&str> = tenant
            .api_keys
            .iter()
            .map(limbic_domain::Secret::reveal)
            .collect();
        assert_eq!(keys, ["1234", "true"]);
        let influx = settings.section::<Influx>();
        assert_eq!(
            (influx.token.reveal(), influx.org.as_str()),
            ("2026-11-30", "1e3")
        );
        assert_eq!(
            (settings.stages.join(","), settings.listen.as_str()),
            ("affect".to_owned(), "8080")
        );
        assert_eq!(settings.data_dir, Path::new("2026"));
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let settings = of(
            "partitions = 2\n[api]\nwriters = 3",
            &[
                ("LIMBIC_API__MAX_BODY", "77KiB"),
                ("LIMBIC_PARTITIONS", "5"),
                ("LIMBIC_LISTEN", "127.0.0.1:1"),
                ("LIMBIC_DATA", "/elsewhere"),
                ("LIMBIC_TEST_KAFKA", "x"),
                ("HOME", "x"),
            ],
        )
        .unwrap();
        assert_eq!(
            (
                settings.partitions,
                settings.api.max_body.get(),
                settings.api.writers
            ),
            (5, 77 << 10, 3)
        );
        assert_eq!(settings.listen, "127.0.0.1:1");
        assert_eq!(settings.data_dir, Path::new(".limbic"));
    }

    #[test]
    fn an_invalid_value_is_reported_with_its_key() {
        for (text, key, problem) in [
            (
                "[profile.person]\nhalf_life = 30",
                "profile.person.half_life",
                "has no unit",
            ),
            ("[api]\nmax_body = \"64\"", "api.max_body", "has no unit"),
            (
                "partitions = \"many\"",
                "partitions",
                "is text; expected a whole number",
            ),
        ] {
            let error = of(text, &[]).unwrap_err().to_string();
            assert!(error.contains(key) && error.contains(problem), "{error}");
        }
    }

    #[test]
    fn an_unknown_key_of_a_campaign_is_refused() {
        let text = "[[campaigns]]\nid = \"a\"\nplatfroms = []\nplatforms = []\n[campaigns.brief]\nproduct = \"\"\n\
                    promise = \"\"\ncall_to_action = \"\"\nlink = \"\"";
        let error = of(text, &[]).unwrap_err().to_string();
        assert!(
            error.contains("campaigns[0].platfroms: ") && error.contains("did you mean `platforms`?"),
            "{error}"
        );
        let settings = of(&text.replace("platfroms = []", "tenant = \"acme\""), &[]).unwrap();
        assert_eq!(settings.campaigns[0].tenant.as_str(), "acme");
        assert_eq!(settings.campaigns[0].campaign.id.as_str(), "a");
    }

    #[test]
    fn an_entry_is_the_component_that_its_kind_names() {
        let text = "[ad_platforms.ads]\nkind = \"webhook\"\nurl = \"https://example.com\"\n\
                    [connectors.tail]\nkind = \"json_lines\"\npath = \"posts.jsonl\"";
        let settings = of(text, &[("LIMBIC_AD_PLATFORMS__ADS__BURST", "7")]).unwrap();
        let listed = settings.entries.all();
        let listed: Vec<String> = listed
            .map(|(table, name, entry)| format!("{table}.{name} {:?}", entry.component))
            .collect();
        assert_eq!(
            listed,
            [
                "ad_platforms.ads ad platform webhook",
                "connectors.tail connector json_lines"
            ]
        );
        let shown = settings.to_table().unwrap();
        let shown = &shown["ad_platforms"]["ads"];
        assert_eq!(shown["kind"].as_str(), Some("webhook"));
        assert_eq!(shown["burst"].as_integer(), Some(7));
    }

    #[test]
    fn an_entry_without_a_known_kind_is_refused_with_the_known_kinds() {
        for (text, said) in [
            (
                "[ad_platforms.ads]\nurl = \"x\"",
                "has no `kind`: write which ad platform it is, one of `webhook`, `file`",
            ),
            (
                "[ad_platforms.ads]\nkind = \"webhok\"",
                "ad_platforms.ads.kind: there is no ad platform `webhok`; did you mean `webhook`?",
            ),
            ("[ad_platforms]\nads = 1", "ad_platforms.ads: is not a table"),
            ("ad_platforms = 1", "ad_platforms: is not a table"),
            (
                "[ad_platforms.\"not a name\"]\nkind = \"file\"",
                "ad_platforms.not a name: ",
            ),
            ("[llm_providers.local]\nkind = \"openai\"", "base_url"),
        ] {
            let error = of(text, &[]).unwrap_err().to_string();
            assert!(error.contains(said), "`{said}` is not in: {error}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_name() {
        for (text, hint) in [
            ("partition = 3", "`partitions`"),
            ("[profil.person]", "`profile`"),
            ("[api]\nmax_bod = \"3B\"", "`max_body`"),
            ("[profile.person]\nhalflife = \"1s\"", "`half_life`"),
            ("[[optimize.caps]]\ntimes = 1\nwindows = \"1d\"", "`window`"),
            (
                "[ad_platforms.ads]\nkind = \"file\"\npaht = \"x\"\npath = \"x\"",
                "`path`",
            ),
        ] {
            let error = of(text, &[]).unwrap_err().to_string();
            assert!(error.contains("did you mean") && error.contains(hint), "{error}");
        }
        assert!(
            of("", &[("LIMBIC_LISTN", "x")])
                .unwrap_err()
                .to_string()
                .contains("`listen`")
        );
    }

    /// Documents with an unknown key, one for each table that the schema describes.
    fn with_an_unknown_key(schema: &'static Json) -> Vec<Json> {
        let root: &'static Json = &SCHEMA;
        let mut documents = Vec::new();
        for form in forms(root, vec![schema]) {
            let properties = || form["properties"].as_object().into_iter().flatten();
            // What tells the forms of a table apart.
            let tags = properties().filter_map(|(name, inner)| Some((name, inner.get("const")?)));
            let tags: serde_json::Map<String, Json> =
                tags.map(|(name, tag)| (name.clone(), tag.clone())).collect();
            if form.get("properties").is_some() {
                let mut table = tags.clone();
                table.insert("unbekannt".to_owned(), 1.into());
                documents.push(table.into());
            }
            for (name, inner) in properties() {
                for document in with_an_unknown_key(inner) {
                    let mut table = tags.clone();
                    table.insert(name.clone(), document);
                    documents.push(table.into());
                }
            }
            if form["additionalProperties"].is_object() {
                let inside = with_an_unknown_key(&form["additionalProperties"]).into_iter();
                documents.extend(inside.map(|document| serde_json::json!({"x": document})));
            }
            if form["items"].is_object() {
                let inside = with_an_unknown_key(&form["items"]).into_iter();
                documents.extend(inside.map(|document| serde_json::json!([document])));
            }
        }
        documents
    }

    #[test]
    fn every_table_refuses_an_unknown_key_and_names_its_path() {
        let documents = with_an_unknown_key(&SCHEMA);
        assert!(documents.len() > 40, "{}", documents.len());
        for document in documents {
            let text = toml::to_string(&document).unwrap();
            let error = of(&text, &[]).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("accepted: {text}"));
            assert!(error.contains("unbekannt: is not a setting"), "{error}: {text}");
        }
    }
}
