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
mod tests;
