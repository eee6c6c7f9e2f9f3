//! The reference of all settings, from the registry: the JSON Schema of the settings file, and a page.

use std::fmt::Write as _;

use limbic_component::{Need, Registration};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema as _, SchemaGenerator};
use serde_json::{Map, Value, json};

use crate::registry::{COMPONENTS, choices, sections, tables, usage};
use crate::settings::{KIND, Settings};

/// The JSON Schema (2020-12) of the whole settings file.
pub fn settings_schema() -> Value {
    let mut generator = SchemaSettings::draft2020_12().into_generator();
    let mut root = Settings::json_schema(&mut generator).to_value();
    let mut properties = Map::new();
    for (section, component) in sections() {
        let schema = component.schema(&mut generator).to_value();
        properties.insert(section.to_owned(), schema);
    }
    for (table, kind) in tables() {
        let choices = choices(table).map(|component| entry_schema(component, &mut generator));
        let schema = json!({
            "description": usage(kind).text(),
            "type": "object",
            "additionalProperties": {"oneOf": choices.collect::<Value>()},
        });
        properties.insert(table.to_owned(), schema);
    }
    if let Some(known) = root.get_mut("properties").and_then(Value::as_object_mut) {
        known.append(&mut properties);
    }
    root["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    root["title"] = json!("Settings of Limbic");
    root["$defs"] = Value::Object(generator.take_definitions(true));
    root
}

/// The schema of an entry: the settings of the component, and the key that names it.
fn entry_schema(component: &Registration, generator: &mut SchemaGenerator) -> Value {
    let mut schema = component.schema(generator).to_value();
    if !schema["properties"].is_object() {
        schema["properties"] = json!({});
    }
    schema["properties"][KIND] = json!({"const": component.name});
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let required: Vec<Value> = required.into_iter().chain([json!(KIND)]).collect();
    schema["required"] = Value::Array(required);
    schema
}

/// The components as data: what `limbic components --json` prints.
pub fn components_json() -> Value {
    COMPONENTS
        .iter()
        .map(|component| {
            json!({
                "kind": component.kind, "name": component.name, "summary": component.summary,
                "section": component.place.section(), "settings": component.place.to_string(),
                "needs": component.needs, "usage": usage(component.kind).text(),
            })
        })
        .collect()
}

/// The reference page: the components, and every setting with its default. `docs/settings.md` is this text.
pub fn settings_page() -> String {
    let mut page = String::from(
        "# Settings\n\n<!-- Written by `limbic components --markdown > docs/settings.md`: change the code, not this page. -->\n\n\
         Write a setting in the settings file (`config/limbic.toml`, or `--config FILE`), in the environment\n\
         (`LIMBIC_API__MAX_BODY=4MiB` for `api.max_body`) or on the command line (`--set api.max_body=4MiB`). The\n\
         command line overrides the environment, the environment overrides the file. Unknown keys are errors. Durations\n\
         (`100ms`, `30s`, `5min`, `1h`, `7d`) and sizes (`512KiB`, `64MiB`) carry their unit.\n\n\
         `limbic config show` prints the values in force, `limbic components --schema` the JSON Schema of the file.\n\n\
         ## Components\n",
    );
    list(&mut page);
    let schema = settings_schema();
    let names: Vec<&str> = sections().map(|(section, _)| section).collect();
    let tables: Vec<&str> = tables().map(|(table, _)| table).collect();
    let properties = schema["properties"].as_object();
    let (own, of_components): (Vec<_>, Vec<_>) = properties
        .into_iter()
        .flatten()
        .filter(|(name, _)| !tables.contains(&name.as_str()))
        .partition(|(name, _)| !names.contains(&name.as_str()));
    page.push_str("\n## The node\n");
    table(&mut page, &schema, &own, "");
    for (name, section) in of_components {
        let _ = write!(page, "\n## `[{name}]`\n\n{}\n", one_line(section));
        settings_of(&mut page, &schema, section, &format!("{name}."));
    }
    for table in tables {
        let entries = schema["properties"][table]["additionalProperties"]["oneOf"].as_array();
        for (component, entry) in choices(table).zip(entries.into_iter().flatten()) {
            let _ = write!(
                page,
                "\n## `[{table}.NAME]`: {}\n\n{}\n",
                component.name,
                one_line(entry)
            );
            settings_of(&mut page, &schema, entry, &format!("{table}.NAME."));
        }
    }
    page
}

/// The components, kind by kind, and what uses them.
fn list(page: &mut String) {
    let mut kind = None;
    for component in &COMPONENTS {
        if kind != Some(component.kind) {
            kind = Some(component.kind);
            let _ = write!(
                page,
                "\n**Kind: {}.** {}\n\n| component | what it does | settings | needs |\n|---|---|---|---|\n",
                component.kind.name(),
                usage(component.kind).text()
            );
        }
        let needs: Vec<&str> = component.needs.iter().copied().map(Need::name).collect();
        let needs = if needs.is_empty() {
            "nothing".to_owned()
        } else {
            needs.join(", ")
        };
        let _ = writeln!(
            page,
            "| `{}` | {} | `{}` | {} |",
            component.name, component.summary, component.place, needs
        );
    }
}

/// The rows of a component's settings. The kind of an entry is in its heading.
fn settings_of(page: &mut String, root: &Value, schema: &Value, prefix: &str) {
    let properties = schema["properties"].as_object().into_iter().flatten();
    let properties: Vec<_> = properties.filter(|(name, _)| *name != KIND).collect();
    if properties.is_empty() {
        page.push_str("\nIt has no settings.\n");
    } else {
        table(page, root, &properties, prefix);
    }
}

fn table(page: &mut String, root: &Value, properties: &[(&String, &Value)], prefix: &str) {
    page.push_str("\n| setting | default | meaning |\n|---|---|---|\n");
    for (name, property) in properties {
        rows(
            page,
            root,
            &format!("{prefix}{name}"),
            property,
            property.get("default"),
            0,
        );
    }
}

/// The rows of one setting: itself, or what is inside of it.
fn rows(page: &mut String, root: &Value, key: &str, property: &Value, default: Option<&Value>, depth: usize) {
    let resolved = resolve(root, property);
    let description = one_line(if property.get("description").is_some() {
        property
    } else {
        resolved
    });
    let inside = |value: &Value| -> Vec<(String, Value)> {
        let object = value["properties"].as_object();
        object
            .into_iter()
            .flatten()
            .map(|(name, inner)| (name.clone(), inner.clone()))
            .collect()
    };
    let items = resolve(root, &resolved["items"]);
    let values = resolve(root, &resolved["additionalProperties"]);
    let nested = [
        (String::new(), inside(resolved)),
        ("[]".to_owned(), inside(items)),
        (".NAME".to_owned(), inside(values)),
    ];
    let nested = nested.into_iter().find(|(_, properties)| !properties.is_empty());
    let variants = variants(root, resolved);
    let shown = match default {
        None | Some(Value::Null | Value::Object(_)) => String::new(),
        Some(Value::Array(values)) if values.is_empty() => String::new(),
        Some(value) => format!("`{}`", value.to_string().replace('|', "\\|")),
    };
    let is_plain_table = matches!(&nested, Some((suffix, _)) if suffix.is_empty());
    if !is_plain_table {
        let choice = if variants.is_empty() {
            String::new()
        } else {
            format!(" One of {}.", variants.join(", "))
        };
        let _ = writeln!(page, "| `{key}` | {shown} | {description}{choice} |");
    }
    let Some((suffix, properties)) = nested.filter(|_| depth < 6) else {
        return;
    };
    for (name, inner) in properties {
        let own = default
            .filter(|_| suffix.is_empty())
            .and_then(|values| values.get(&name));
        let own = own.or_else(|| inner.get("default")).cloned();
        rows(
            page,
            root,
            &format!("{key}{suffix}.{name}"),
            &inner,
            own.as_ref(),
            depth + 1,
        );
    }
}

/// The names of an enumeration's values.
fn variants(root: &Value, schema: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map(|text| format!("`{text}`"));
    if let Some(values) = schema["enum"].as_array() {
        return values.iter().filter_map(text).collect();
    }
    let choices = schema["oneOf"].as_array().into_iter().flatten();
    let tag = |choice: &Value| {
        let choice = resolve(root, choice);
        text(&choice["const"]).or_else(|| {
            let properties = choice["properties"].as_object()?;
            properties.values().find_map(|property| text(&property["const"]))
        })
    };
    choices.filter_map(tag).collect()
}

/// Follows a reference. An optional value has the schema of its value.
pub(crate) fn resolve<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    let target = schema["$ref"]
        .as_str()
        .and_then(|reference| root.pointer(reference.strip_prefix('#')?));
    let optional = schema["anyOf"].as_array().and_then(|choices| {
        let mut present = choices.iter().filter(|choice| choice["type"] != "null");
        let first = present.next()?;
        present.next().is_none().then_some(first)
    });
    match (target, optional) {
        (Some(target), _) => resolve(root, target),
        (None, Some(optional)) => resolve(root, optional),
        (None, None) => schema,
    }
}

/// A description as one line of a table, without links into the code.
fn one_line(schema: &Value) -> String {
    let text = schema["description"].as_str().unwrap_or_default();
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.replace('|', "\\|").replace("[`", "`").replace("`]", "`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_the_settings_is_current() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
        let written = std::fs::read_to_string(path).unwrap_or_default();
        assert!(
            written == settings_page(),
            "docs/settings.md does not match the code: run `limbic components --markdown > docs/settings.md`"
        );
    }

    #[test]
    fn every_setting_has_a_description() {
        for row in settings_page().lines().filter(|line| line.starts_with("| `")) {
            let meaning = row
                .trim_end_matches('|')
                .rsplit('|')
                .next()
                .unwrap_or_default()
                .trim();
            assert!(!meaning.is_empty(), "{row}");
            for of_the_code in ["::", "..=", "usize", "Option<"] {
                assert!(!meaning.contains(of_the_code), "{row}");
            }
        }
    }

    #[test]
    fn every_reference_of_the_schema_has_a_target() {
        let schema = settings_schema();
        for piece in schema.to_string().split("\"#/$defs/").skip(1) {
            let name = piece.split('"').next().unwrap();
            assert!(schema["$defs"].get(name).is_some(), "{name}");
        }
    }
}
