//! The mapping of columns to fields of a post.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::times::Times;
use crate::incoming::{Biometric, FORMER_NAMES, POST_FIELDS};

/// The fields that a mapping can fill: all but the last one, `meta`, which takes what is left.
const FIELDS: &[&str] = POST_FIELDS.split_at(POST_FIELDS.len() - 1).0;

/// The fields without which a post is not one.
const REQUIRED: [&str; 5] = ["network", "id", "author", "text", "created_at"];

/// The largest whole number up to which a floating-point number has every digit.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The source of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A column by name or by number from 0, or a value inside a JSON object by its JSON Pointer (RFC 6901), for instance
    /// `/user/name`.
    Column(String),
    /// A constant, the same for every row.
    Constant(String),
}

/// Maps columns to fields. A field without a mapping is taken from the column of the same name, if it exists.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mapping(BTreeMap<&'static str, Source>);

/// A mapping that is not valid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// Not `field=COLUMN` or `field:=VALUE`.
    #[error(
        "`{0}` is not FIELD=COLUMN (or FIELD:=VALUE for a constant), for instance text=body,network:=twitter"
    )]
    Form(String),
    /// No such field.
    #[error("no field `{given}` in a post, did you mean `{nearest}`? Fields: {}", FIELDS.join(", "))]
    Field {
        /// What was given.
        given: String,
        /// The nearest field.
        nearest: &'static str,
    },
    /// No such column.
    #[error("no column `{given}` for {field}; columns: {columns}")]
    Column {
        /// The field.
        field: &'static str,
        /// What was given.
        given: String,
        /// The columns that there are.
        columns: String,
    },
    /// A field that a post needs has no column.
    #[error(
        "no column for {fields}: give --map FIELD=COLUMN, or FIELD:=VALUE for every row; columns: {columns}. If the first row is a \
         post, give --no-header and the numbers of the columns"
    )]
    Missing {
        /// The fields.
        fields: String,
        /// The columns that there are.
        columns: String,
    },
}

impl Mapping {
    /// Reads `field=COLUMN,field:=VALUE,…`.
    pub fn parse(text: &str) -> Result<Self, MappingError> {
        let mut mapping = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let (field, source) = if let Some((field, value)) = part.split_once(":=") {
                (field, Source::Constant(value.to_owned()))
            } else if let Some((field, column)) = part.split_once('=') {
                (field, Source::Column(column.to_owned()))
            } else {
                return Err(MappingError::Form(part.to_owned()));
            };
            let field = current_name(field.trim());
            let known = FIELDS.iter().find(|known| **known == field);
            let known = known.ok_or_else(|| MappingError::Field {
                given: field.to_owned(),
                nearest: FIELDS
                    .iter()
                    .copied()
                    .max_by(|a, b| strsim::jaro(a, field).total_cmp(&strsim::jaro(b, field)))
                    .unwrap_or("text"),
            })?;
            mapping.insert(*known, source);
        }
        Ok(Self(mapping))
    }

    /// Whether columns are mapped, and all of them by number: then the file has no header.
    pub(super) fn has_numbers_only(&self) -> bool {
        let mut columns = self.columns().peekable();
        columns.peek().is_some() && columns.all(|(_, column)| column.parse::<usize>().is_ok())
    }

    fn columns(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().filter_map(|(field, source)| match source {
            Source::Column(column) => Some((*field, column.as_str())),
            Source::Constant(_) => None,
        })
    }

    /// The columns whose values decide about a post: those of the mapping, and those with the name of a field.
    pub(super) fn needed_columns(&self) -> BTreeSet<String> {
        let mapped = self.columns().map(|(_, column)| match column.strip_prefix('/') {
            Some(pointer) => pointer.split('/').next().unwrap_or_default().to_owned(),
            None => column.to_owned(),
        });
        let named = FIELDS.iter().map(|field| (*field).to_owned());
        mapped.chain(named).collect()
    }

    /// Replaces numbers of columns by their names, and checks that every mapped column and every required field is there.
    pub(super) fn fit(&mut self, names: &[String]) -> Result<(), MappingError> {
        let shown = || {
            let names: Vec<String> = names.iter().take(40).map(|name| shorten(name)).collect();
            names.join(", ")
        };
        for (field, source) in &mut self.0 {
            let Source::Column(column) = source else { continue };
            if names.contains(column) {
                continue;
            }
            let by_number = column.parse::<usize>().ok().and_then(|number| names.get(number));
            *column = by_number.cloned().ok_or_else(|| MappingError::Column {
                field,
                given: column.clone(),
                columns: shown(),
            })?;
        }
        let is_there = |field: &&str| {
            self.0.contains_key(field) || names.iter().any(|name| current_name(name) == *field)
        };
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|field| !is_there(field)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(MappingError::Missing {
            fields: missing.join(", "),
            columns: shown(),
        })
    }

    /// Builds a post from `row`, in the form that a connector would send. Fails if a value lost its meaning on its way.
    pub(super) fn apply(&self, row: Map<String, Value>, times: &Times) -> Result<Value, String> {
        let mut rest = row;
        for (former, current) in FORMER_NAMES {
            if !self.0.contains_key(current)
                && !rest.contains_key(current)
                && let Some(value) = rest.remove(former)
            {
                rest.insert(current.to_owned(), value);
            }
        }
        let row = Value::Object(rest);
        let mut post = Map::new();
        let mut taken = Vec::new();
        for &field in FIELDS {
            let value = match self.0.get(field) {
                Some(Source::Constant(value)) => Some(Value::String(value.clone())),
                Some(Source::Column(pointer)) if pointer.starts_with('/') => {
                    let column = pointer.split('/').nth(1).unwrap_or_default();
                    // What is beside the value is left out, unless the edge must refuse it.
                    let has_features = |value: &Value| Biometric::of_field(column, value).is_some();
                    if !row.get(column).is_some_and(has_features) {
                        taken.push(column);
                    }
                    row.pointer(pointer).cloned()
                }
                Some(Source::Column(column)) => {
                    taken.push(column);
                    row.get(column).cloned()
                }
                None => {
                    taken.push(field);
                    row.get(field).cloned()
                }
            };
            let Some(value) = value else { continue };
            let value = coerce(field, value, times).map_err(|problem| format!("{field}: {problem}"))?;
            post.insert(field.to_owned(), value);
        }
        let Value::Object(mut rest) = row else {
            return Ok(Value::Object(post));
        };
        for name in taken {
            rest.remove(name);
        }
        match rest.remove("meta") {
            Some(Value::Object(meta)) => rest.extend(meta),
            Some(Value::String(text)) if !text.is_empty() => {
                // A table has an object as its text.
                let meta = serde_json::from_str(&text)
                    .unwrap_or_else(|_| Map::from_iter([("meta".to_owned(), text.into())]));
                rest.extend(meta);
            }
            Some(Value::Null | Value::String(_)) | None => {}
            Some(other) => {
                rest.insert("meta".to_owned(), other);
            }
        }
        if !rest.is_empty() {
            post.insert("meta".to_owned(), Value::Object(rest));
        }
        Ok(Value::Object(post))
    }
}

/// A name of a file as a message shows it.
fn shorten(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(40).collect()
}

fn current_name(field: &str) -> &str {
    let known = FORMER_NAMES.iter().find(|(former, _)| *former == field);
    known.map_or(field, |(_, current)| current)
}

/// Converts common variants: numbers for ids, dates in many forms, "true" for true.
fn coerce(field: &str, value: Value, times: &Times) -> Result<Value, String> {
    Ok(match (field, value) {
        ("created_at", Value::String(text)) => times.read(&text)?.to_string().into(),
        ("created_at", Value::Number(number)) => times.read(&number.to_string())?.to_string().into(),
        ("id" | "author" | "reply_to" | "repost_of", Value::Number(number)) => {
            let text = number.to_string();
            if text.contains(['e', 'E']) {
                return Err(lost_digits(&text));
            }
            digits(&text)?.unwrap_or(text).into()
        }
        ("lang" | "reply_to" | "repost_of" | "url" | "consent", Value::String(text)) if text.is_empty() => {
            Value::Null
        }
        ("id" | "reply_to" | "repost_of", Value::String(text)) => {
            digits(&text)?.map_or(Value::String(text), Value::String)
        }
        ("minor" | "gpc", Value::String(text)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" => true.into(),
            "" | "false" | "0" | "no" => false.into(),
            _ => Value::String(text),
        },
        ("subjects", Value::String(text)) => text
            .split([' ', ';'])
            .filter(|subject| !subject.is_empty())
            .map(Value::from)
            .collect::<Vec<_>>()
            .into(),
        (_, value) => value,
    })
}

fn lost_digits(id: &str) -> String {
    format!(
        "{id} is an id that went through a floating-point number and lost digits: write the column as text"
    )
}

/// The digits of an id that a program wrote as a floating-point number (`81.0`). `None` if `text` is not such a number. Fails if it has
/// an exponent or is so large that digits are lost: then several ids are written alike.
fn digits(text: &str) -> Result<Option<String>, String> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let is_number = unsigned.starts_with(|c: char| c.is_ascii_digit())
        && unsigned
            .bytes()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-'));
    let Some(number) = is_number.then(|| text.parse::<f64>().ok()).flatten() else {
        return Ok(None);
    };
    // A plus sign, because ids on the base of 36 can be like `7e5`.
    if text.contains("e+") || text.contains("E+") {
        return Err(lost_digits(text));
    }
    let Some((whole, fraction)) = text.split_once('.') else {
        return Ok(None);
    };
    if fraction.bytes().any(|byte| byte != b'0') {
        return Ok(None);
    }
    if number.abs() > EXACT {
        return Err(lost_digits(text));
    }
    Ok(Some(whole.to_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn mapped_columns_become_fields_and_the_others_are_kept() {
        let mapping = Mapping::parse("text=body, author=user,network:=twitter").unwrap();
        let row =
            json!({"body": "hi", "user": 7, "id": "1", "created_at": "2017-08-27 00:05:34", "likes": "3"});
        let Value::Object(row) = row else { unreachable!() };
        let times = Times::new(Some("UTC"), None).unwrap();
        assert_eq!(
            mapping.apply(row, &times).unwrap(),
            json!({"network": "twitter", "id": "1", "author": "7", "text": "hi",
                   "created_at": "2017-08-27T00:05:34.000Z", "meta": {"likes": "3"}})
        );
    }

    #[test]
    fn a_column_named_meta_is_kept() {
        for (meta, expected) in [
            (json!("{\"a\": 1}"), json!({"a": 1})),
            (json!({"a": 1}), json!({"a": 1})),
            (json!("x"), json!({"meta": "x"})),
            (json!(7), json!({"meta": 7})),
        ] {
            let row = Map::from_iter([("meta".to_owned(), meta)]);
            let post = Mapping::default().apply(row, &Times::default()).unwrap();
            assert_eq!(post["meta"], expected);
        }
    }

    #[test]
    fn an_unknown_field_is_refused_with_the_nearest_name() {
        let error = Mapping::parse("txt=body").unwrap_err();
        assert!(
            matches!(error, MappingError::Field { nearest: "text", .. }),
            "{error}"
        );
        assert!(matches!(Mapping::parse("text"), Err(MappingError::Form(_))));
    }
}
