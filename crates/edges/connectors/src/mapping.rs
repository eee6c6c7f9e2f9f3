//! From JSON of another program to posts and deletions, by expressions of `JMESPath` (jmespath.org).

use std::collections::BTreeMap;

use jmespath::Expression;
use limbic_domain::{Slug, Utc};
use limbic_ingest::incoming::Biometric;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Item;
use crate::html::plain;
use crate::text::visible;

/// The fields that an expression can give. Consent is not among them: what a person agreed to is stated by `POST /v1/posts`.
const FIELDS: [&str; 11] = [
    "id",
    "author",
    "text",
    "created_at",
    "lang",
    "reply_to",
    "repost_of",
    "url",
    "revision",
    "meta",
    "deleted_at",
];
/// Those that every post needs.
const REQUIRED: [&str; 4] = ["id", "author", "text", "created_at"];

/// How a message becomes posts: `[connectors.NAME.map]`. Every expression is `JMESPath`, for instance `data.user.id` or
/// `join('/', [site, id])`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct JsonMappingSettings {
    /// The name of the social network in posts. Default `other`.
    #[schemars(with = "String")]
    pub network: Slug,
    /// The items of a message: an expression that gives an array or one object. Empty (default) = the message is an item, or an array of
    /// items.
    pub items: String,
    /// Whether an item is a deletion: an expression that is then true. Empty (default) = no item is.
    pub deleted: String,
    /// Whether the text is HTML. Default `false`.
    pub html: bool,
    /// The expression of each field: `id`, `author`, `text`, `created_at` are needed; `lang`, `reply_to`, `repost_of`, `url`, `revision`,
    /// `meta` and `deleted_at` are possible. A number as a time counts seconds, milliseconds or microseconds since 1970.
    pub fields: BTreeMap<String, String>,
}

impl Default for JsonMappingSettings {
    fn default() -> Self {
        Self {
            network: Slug::new("other").expect("it is a slug"),
            items: String::new(),
            deleted: String::new(),
            html: false,
            fields: BTreeMap::new(),
        }
    }
}

/// Why a mapping cannot work. The message names the setting and the correction.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJsonMapping {
    /// An expression is not `JMESPath`.
    #[error("map.{setting}: `{expression}` is not an expression of JMESPath: {problem}")]
    Expression {
        /// The setting.
        setting: String,
        /// The expression.
        expression: String,
        /// What is wrong with it, and where.
        problem: String,
    },
    /// No such field.
    #[error("map.fields.{field}: there is no such field: choose from {known}", known = FIELDS.join(", "))]
    UnknownField {
        /// The name.
        field: String,
    },
    /// A field that every post needs has no expression.
    #[error("map.fields: `{0}` is missing: give an expression, for instance {0} = \"data.{0}\"")]
    Missing(&'static str),
}

/// Makes posts and deletions of messages.
pub struct JsonMapping {
    network: Slug,
    items: Option<Expression<'static>>,
    deleted: Option<Expression<'static>>,
    is_html: bool,
    fields: Vec<(&'static str, Expression<'static>)>,
}

fn compile(setting: &str, expression: &str) -> Result<Expression<'static>, InvalidJsonMapping> {
    jmespath::compile(expression).map_err(|error| InvalidJsonMapping::Expression {
        setting: setting.to_owned(),
        expression: expression.to_owned(),
        problem: error.to_string().replace('\n', " "),
    })
}

impl JsonMapping {
    /// Reads the expressions.
    pub fn new(settings: &JsonMappingSettings) -> Result<Self, InvalidJsonMapping> {
        let optional = |setting: &str, expression: &str| match expression.trim() {
            "" => Ok(None),
            expression => compile(setting, expression).map(Some),
        };
        let mut fields = Vec::with_capacity(settings.fields.len());
        for (field, expression) in &settings.fields {
            let known = FIELDS.into_iter().find(|known| known == field);
            let known = known.ok_or_else(|| InvalidJsonMapping::UnknownField { field: field.clone() })?;
            fields.push((known, compile(&format!("fields.{field}"), expression)?));
        }
        let is_there = |field: &&str| settings.fields.contains_key(*field);
        if let Some(missing) = REQUIRED.iter().find(|field| !is_there(field)) {
            return Err(InvalidJsonMapping::Missing(missing));
        }
        Ok(Self {
            network: settings.network.clone(),
            items: optional("items", &settings.items)?,
            deleted: optional("deleted", &settings.deleted)?,
            is_html: settings.html,
            fields,
        })
    }

    /// The items of a message. What cannot be read is an item too.
    pub fn items(&self, message: &[u8]) -> Vec<Item> {
        match serde_json::from_slice(message) {
            Ok(message) => self.items_of(message),
            Err(error) => vec![Item::Unreadable(format!("a message is not JSON: {error}"))],
        }
    }

    /// The items of a message that is JSON.
    pub(crate) fn items_of(&self, message: Value) -> Vec<Item> {
        let found = match &self.items {
            None => Ok(message),
            Some(items) => search(items, &message),
        };
        match found {
            Ok(Value::Array(items)) => items.iter().map(|item| self.item(item)).collect(),
            // The expression finds nothing: the message is of another kind.
            Ok(Value::Null) => Vec::new(),
            Ok(item @ Value::Object(_)) => vec![self.item(&item)],
            Ok(other) => vec![Item::Unreadable(format!(
                "map.items gives {}, not an object or an array: correct the expression",
                kind(&other)
            ))],
            Err(problem) => vec![Item::Unreadable(format!("map.items: {problem}"))],
        }
    }

    fn item(&self, item: &Value) -> Item {
        self.read(item).unwrap_or_else(Item::Unreadable)
    }

    fn read(&self, item: &Value) -> Result<Item, String> {
        let is_deleted = match &self.deleted {
            None => false,
            Some(deleted) => {
                let said = search(deleted, item).map_err(|problem| format!("map.deleted: {problem}"))?;
                !matches!(said, Value::Null | Value::Bool(false))
            }
        };
        let mut fields = Map::new();
        fields.insert("network".to_owned(), self.network.as_str().into());
        for (field, expression) in &self.fields {
            let is_of_deletion = matches!(*field, "id" | "author" | "deleted_at");
            if is_deleted != is_of_deletion && !matches!(*field, "id" | "author") {
                continue;
            }
            let found =
                search(expression, item).map_err(|problem| format!("map.fields.{field}: {problem}"))?;
            if let Some(value) = self.value(field, found)? {
                fields.insert((*field).to_owned(), value);
            }
        }
        if !is_deleted {
            keep_features(item, &mut fields);
            return Ok(Item::Post(fields.into()));
        }
        // Not every source says when.
        let now = || Utc::now().to_string().into();
        fields.entry("deleted_at").or_insert_with(now);
        Ok(Item::Deletion(fields.into()))
    }

    /// The value of a field, in the form that the edge reads. Absent if it is null.
    fn value(&self, field: &str, found: Value) -> Result<Option<Value>, String> {
        let value = match (field, found) {
            (_, Value::Null) => return Ok(None),
            ("created_at" | "deleted_at", Value::Number(number)) => time(&number)?.to_string().into(),
            ("text", Value::String(text)) => {
                let text = if self.is_html { plain(&text).text } else { text };
                visible(&text).into_owned().into()
            }
            ("revision", value @ Value::Number(_)) | ("meta", value @ Value::Object(_)) => value,
            // Ids are often numbers. A number of JSON keeps its digits here, unless it is a fraction.
            ("id" | "author" | "reply_to" | "repost_of", Value::Number(number)) if !number.is_f64() => {
                number.to_string().into()
            }
            ("revision" | "meta", other) => {
                return Err(format!(
                    "map.fields.{field} gives {}: correct the expression",
                    kind(&other)
                ));
            }
            (_, value @ Value::String(_)) => value,
            (_, other) => {
                return Err(format!(
                    "map.fields.{field} gives {}, not a text: correct the expression, for instance with to_string()",
                    kind(&other)
                ));
            }
        };
        Ok(Some(value))
    }
}

/// A mapping leaves out what it does not name. It does not leave out that an item has features of a voice, a face or typing: the edge
/// refuses the post for it, and counts it.
fn keep_features(item: &Value, fields: &mut Map<String, Value>) {
    let Some(item) = item.as_object() else { return };
    let mut features = item
        .iter()
        .filter(|(name, value)| Biometric::of_field(name, value).is_some())
        .peekable();
    if features.peek().is_none() {
        return;
    }
    let meta = fields.entry("meta").or_insert_with(|| Value::Object(Map::new()));
    if let Value::Object(meta) = meta {
        meta.extend(features.map(|(name, value)| (name.clone(), value.clone())));
    }
}

fn search(expression: &Expression<'_>, value: &Value) -> Result<Value, String> {
    let found = expression
        .search(value)
        .map_err(|error| error.to_string().replace('\n', " "))?;
    serde_json::to_value(&*found).map_err(|error| error.to_string())
}

/// Seconds, milliseconds or microseconds since 1970: the ranges do not overlap between the years 1973 and 5138.
fn time(number: &serde_json::Number) -> Result<Utc, String> {
    let count = number.as_f64().filter(|count| *count >= 1e8 && *count < 1e17);
    let count = count.ok_or_else(|| {
        format!("{number} is not a time since 1970 in seconds, milliseconds or microseconds: give a text in RFC 3339")
    })?;
    let millis = match count {
        seconds if seconds < 1e11 => seconds * 1e3,
        millis if millis < 1e14 => millis,
        micros => micros / 1e3,
    };
    Ok(Utc::from_millis(millis as i64))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "nothing",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn settings(change: impl FnOnce(&mut JsonMappingSettings)) -> JsonMappingSettings {
        let fields = [
            ("id", "id"),
            ("author", "user.id"),
            ("text", "body"),
            ("created_at", "at"),
        ];
        let mut settings = JsonMappingSettings {
            fields: fields
                .map(|(field, path)| (field.to_owned(), path.to_owned()))
                .into(),
            ..JsonMappingSettings::default()
        };
        change(&mut settings);
        settings
    }

    fn items(change: impl FnOnce(&mut JsonMappingSettings), message: &Value) -> Vec<Item> {
        let mapping = JsonMapping::new(&settings(change)).unwrap();
        mapping.items(message.to_string().as_bytes())
    }

    #[test]
    fn fields_come_from_where_the_expressions_say() {
        let message = json!({"posts": [
            {"id": 9_007_199_254_740_993_u64, "user": {"id": "ann"}, "body": "<p>a &lt;3</p>", "at": 1_780_000_000, "tags": ["x", "y"]},
            {"id": "2", "user": {"id": 7}, "body": "gone", "at": "2026-05-28T20:26:40Z", "state": "removed"},
        ]});
        let found = items(
            |settings| {
                settings.items = "posts[]".to_owned();
                settings.deleted = "state == 'removed'".to_owned();
                settings.html = true;
                settings
                    .fields
                    .insert("meta".to_owned(), "{tags: tags}".to_owned());
            },
            &message,
        );
        assert_eq!(
            found[0],
            Item::Post(
                json!({"network": "other", "id": "9007199254740993", "author": "ann", "text": "a <3",
                "created_at": "2026-05-28T20:26:40.000Z", "meta": {"tags": ["x", "y"]}})
            )
        );
        let Item::Deletion(deletion) = &found[1] else {
            panic!("{found:?}")
        };
        assert_eq!((&deletion["id"], &deletion["author"]), (&json!("2"), &json!("7")));
        assert!(
            deletion["deleted_at"].is_string() && deletion.get("text").is_none(),
            "{deletion}"
        );
    }

    #[test]
    fn features_of_a_voice_reach_the_edge_although_no_expression_names_them() {
        let message = json!({"id": "1", "user": {"id": "ann"}, "body": "a", "at": 1_780_000_000,
            "likes": 3, "media": [{"voice": {"pitch": 120}}]});
        let ingest = limbic_ingest::Settings::default();
        let now = Utc::from_millis(1_780_000_001_000);
        let refused = |items: Vec<Item>| match &items[..] {
            [Item::Post(post)] => limbic_ingest::incoming::post(post.clone(), &ingest, now).err(),
            other => panic!("{other:?}"),
        };
        let problem = refused(items(|_| {}, &message)).unwrap();
        assert!(problem.biometric.is_some(), "{problem}");
        assert!(problem.problem.contains("`media.voice.pitch`"), "{problem}");
        let also_meta = |settings: &mut JsonMappingSettings| {
            settings
                .fields
                .insert("meta".to_owned(), "{likes: likes}".to_owned());
        };
        assert!(refused(items(also_meta, &message)).unwrap().biometric.is_some());
        // The expression for the items can leave them out.
        let without = |settings: &mut JsonMappingSettings| {
            settings.items = "{id: id, user: user, body: body, at: at}".to_owned();
        };
        assert_eq!(refused(items(without, &message)), None);
    }

    #[test]
    fn a_message_of_another_kind_has_no_items_and_one_that_does_not_fit_says_where() {
        assert_eq!(
            items(
                |settings| settings.items = "posts".to_owned(),
                &json!({"ping": 1})
            ),
            []
        );
        let unreadable =
            |change: fn(&mut JsonMappingSettings), message: &Value| match &items(change, message)[..] {
                [Item::Unreadable(problem)] => problem.clone(),
                other => panic!("{other:?}"),
            };
        let problem = unreadable(|_| {}, &json!({"id": 1.5, "body": "x"}));
        assert!(problem.contains("map.fields.id"), "{problem}");
        let problem = unreadable(|settings| settings.items = "n".to_owned(), &json!({"n": 3}));
        assert!(problem.contains("map.items gives a number"), "{problem}");
        let problem = unreadable(|_| {}, &json!({"at": 12}));
        assert!(problem.contains("RFC 3339"), "{problem}");
        let mapping = JsonMapping::new(&settings(|_| {})).unwrap();
        assert!(
            matches!(&mapping.items(b"{")[..], [Item::Unreadable(problem)] if problem.contains("not JSON"))
        );
    }

    #[test]
    fn a_mapping_that_cannot_work_is_refused_with_what_to_do() {
        let problem = |change: fn(&mut JsonMappingSettings)| match JsonMapping::new(&settings(change)) {
            Ok(_) => panic!("it is accepted"),
            Err(error) => error.to_string(),
        };
        let said = problem(|settings| settings.items = "posts[".to_owned());
        assert!(said.contains("map.items: `posts[`"), "{said}");
        let said = problem(|settings| drop(settings.fields.remove("text")));
        assert!(said.contains("text = \"data.text\""), "{said}");
        let said = problem(|settings| drop(settings.fields.insert("consent".to_owned(), "x".to_owned())));
        assert!(said.contains("choose from id"), "{said}");
    }

    #[test]
    fn times_in_three_units_are_one_time() {
        for number in [
            json!(1_780_000_000),
            json!(1_780_000_000_000_u64),
            json!(1_780_000_000_000_000_u64),
        ] {
            let number = number.as_number().unwrap();
            assert_eq!(time(number).unwrap().to_string(), "2026-05-28T20:26:40.000Z");
        }
        assert!(time(&5.into()).is_err());
    }

    /// The examples of the `JMESPath` tutorial and specification (jmespath.org, read 2026-11-30), in other words.
    #[test]
    fn the_language_is_that_of_its_specification() {
        let data = json!({
            "people": [{"name": "ann", "age": 30, "state": "up"}, {"name": "bob", "age": 20, "state": "down"}, {"name": "eve", "age": 25}],
            "ops": {"a": {"n": 1}, "b": {"n": 2}, "c": {"other": 3}}, "a": {"b": {"c": [{"d": [0, [1, 2]]}]}},
        });
        for (expression, expected) in [
            ("a.b.c[0].d[1][0]", json!(1)),
            ("people[*].name", json!(["ann", "bob", "eve"])),
            ("people[-1].name", json!("eve")),
            ("people[:2].age", json!([30, 20])),
            ("people[?state=='up'].name", json!(["ann"])),
            ("people[?age > `22`].name | [0]", json!("ann")),
            (
                "people[].[name, state]",
                json!([["ann", "up"], ["bob", "down"], ["eve", null]]),
            ),
            // An index after a projection is taken of each of its elements, and these are objects.
            ("people[].{n: name}[0]", json!([])),
            ("ops.*.n", json!([1, 2])),
            ("length(people)", json!(3)),
            ("sort_by(people, &age)[0].name", json!("bob")),
            ("missing || people[0].name", json!("ann")),
            ("join(', ', people[].name)", json!("ann, bob, eve")),
            ("to_string(people[0].age)", json!("30")),
            ("missing.b.c", json!(null)),
            ("contains(people[0].name, 'nn')", json!(true)),
            ("max_by(people, &age).name", json!("ann")),
        ] {
            let compiled = compile("x", expression).unwrap();
            let found = search(&compiled, &data).unwrap();
            let is_same = match (&found, &expected) {
                (Value::Number(found), Value::Number(expected)) => found.as_f64() == expected.as_f64(),
                (found, expected) => found == expected,
            };
            assert!(is_same, "{expression}: {found} instead of {expected}");
        }
        for wrong in ["a.", "[", "people[?", "a b", "&"] {
            assert!(compile("x", wrong).is_err() || wrong == "&", "{wrong}");
        }
        assert!(search(&compile("x", "length(`1`)").unwrap(), &data).is_err());
    }
}
