//! Layers of settings. Each layer overrides the earlier ones.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use limbic_component::Kind;
use limbic_domain::Slug;
use toml::{Table, Value};

use super::Settings;
use super::sections::{Entries, Entry, KIND, Sections};
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
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let table: Table =
            toml::from_str(&text).with_context(|| format!("{} is not valid TOML", path.display()))?;
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
            self.set(&path.to_ascii_lowercase().replace("__", "."), value(&text));
            self.sources.push(name);
        }
        Ok(())
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
            let is_top = path == "." || !path.contains('.');
            let sections = registry::sections().map(|(section, _)| section);
            let further: Vec<&str> = sections
                .chain(registry::tables().map(|(table, _)| table))
                .collect();
            let key = if path == "." { "" } else { &path };
            self.error(key, error.inner().message(), if is_top { &further } else { &[] })
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
                let hint = hint.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
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
        let hint = unknown_field(message, further).unwrap_or_default();
        let from = if self.sources.is_empty() {
            String::new()
        } else {
            format!(" (from {})", self.sources.join(", "))
        };
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("{key}: ")
        };
        anyhow!("settings{from}: {key}{message}{hint}")
    }
}

/// Parses a value from the environment or a flag: as TOML if it is valid TOML, otherwise as text.
pub(super) fn value(text: &str) -> Value {
    toml::from_str::<Table>(&format!("v = {text}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
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

/// The hint for serde's "unknown field `x`, expected one of `a`, `b`". The names of components are known at the top level of
/// the file only, where `data_dir` is known too.
fn unknown_field(message: &str, components: &[&str]) -> Option<String> {
    let mut quoted = message
        .strip_prefix("unknown field ")?
        .split('`')
        .skip(1)
        .step_by(2);
    let given = quoted.next()?;
    let mut known: Vec<&str> = quoted.collect();
    if known.contains(&"data_dir") {
        known.extend(components);
    }
    nearest(given, known.into_iter()).map(|name| format!("; did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
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
    fn the_hint_names_a_field_of_the_same_table() {
        let message = "unknown field `topicz`, expected one of `id`, `subjects`";
        assert_eq!(unknown_field(message, &["optimize"]), None);
        let message = "unknown field `optimise`, expected one of `data_dir`, `listen`";
        let hint = unknown_field(message, &["optimize"]);
        assert_eq!(hint.as_deref(), Some("; did you mean `optimize`?"));
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
            ("partitions = \"many\"", "partitions", "invalid type"),
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
            error.contains("campaigns[0]") && error.contains("did you mean `platforms`?"),
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
}
