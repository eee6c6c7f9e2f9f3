//! The mapping of columns to fields of a post.

use std::collections::BTreeMap;

use limbic_domain::Utc;
use serde_json::{Map, Value};

use crate::incoming::FORMER_NAMES;

/// The fields that a mapping can fill.
const FIELDS: [&str; 12] = [
    "network",
    "id",
    "author",
    "text",
    "created_at",
    "lang",
    "reply_to",
    "repost_of",
    "url",
    "consent",
    "minor",
    "subjects",
];

/// The source of a field.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Source {
    /// A column, by name, or by number from 0 if the file has no header.
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
                    .into_iter()
                    .max_by(|a, b| strsim::jaro(a, field).total_cmp(&strsim::jaro(b, field)))
                    .unwrap_or("text"),
            })?;
            mapping.insert(*known, source);
        }
        Ok(Self(mapping))
    }

    /// Builds a post from `row`, in the form that a connector would send.
    pub(super) fn apply(&self, row: Map<String, Value>) -> Value {
        let mut rest = row;
        for (former, current) in FORMER_NAMES {
            if !self.0.contains_key(current)
                && !rest.contains_key(current)
                && let Some(value) = rest.remove(former)
            {
                rest.insert(current.to_owned(), value);
            }
        }
        let mut post = Map::new();
        for field in FIELDS {
            let value = match self.0.get(field) {
                Some(Source::Constant(value)) => Some(Value::String(value.clone())),
                Some(Source::Column(column)) => rest.get(column).cloned(),
                None => rest.get(field).cloned(),
            };
            let Some(value) = value else { continue };
            post.insert(field.to_owned(), coerce(field, value));
        }
        for field in FIELDS {
            let taken = match self.0.get(field) {
                Some(Source::Column(column)) => column.as_str(),
                Some(Source::Constant(_)) => continue,
                None => field,
            };
            rest.remove(taken);
        }
        if let Some(Value::Object(meta)) = rest.remove("meta") {
            rest.extend(meta);
        }
        if !rest.is_empty() {
            post.insert("meta".to_owned(), Value::Object(rest));
        }
        Value::Object(post)
    }
}

fn current_name(field: &str) -> &str {
    let known = FORMER_NAMES.iter().find(|(former, _)| *former == field);
    known.map_or(field, |(_, current)| current)
}

/// Converts common variants: numbers for ids, dates in many forms, "true" for true.
fn coerce(field: &str, value: Value) -> Value {
    match (field, value) {
        ("created_at", Value::String(text)) => {
            time(&text).map_or(Value::String(text), |at| at.to_string().into())
        }
        ("created_at", Value::Number(number)) => number
            .as_f64()
            .and_then(|seconds| time(&format!("{seconds}")))
            .map_or(Value::Number(number), |at| at.to_string().into()),
        ("id" | "author" | "reply_to" | "repost_of", Value::Number(number)) => number.to_string().into(),
        ("lang" | "reply_to" | "repost_of" | "url" | "consent", Value::String(text)) if text.is_empty() => {
            Value::Null
        }
        ("minor", Value::String(text)) => match text.to_ascii_lowercase().as_str() {
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
    }
}

/// Parses a date in one of the forms that are common in files of posts. Without an offset it is UTC.
fn time(text: &str) -> Option<Utc> {
    if let Ok(at) = text.parse::<Utc>() {
        return Some(at);
    }
    if let Ok(number) = text.parse::<f64>() {
        // Numbers below 1e11 are seconds (until the year 5138), larger ones are milliseconds.
        let millis = if number.abs() < 1e11 { number * 1e3 } else { number };
        return number.is_finite().then(|| Utc::from_millis(millis as i64));
    }
    let zoned = [
        "%a %b %d %H:%M:%S %z %Y",
        "%Y-%m-%d %H:%M:%S%z",
        "%a, %d %b %Y %H:%M:%S %z",
    ];
    for form in zoned {
        if let Ok(at) = jiff::Timestamp::strptime(form, text) {
            return Some(Utc::from_millis(at.as_millisecond()));
        }
    }
    let civil = [
        "%Y-%m-%d %H:%M:%S",
        "%Y-%m-%dT%H:%M:%S",
        "%Y-%m-%d %H:%M",
        "%m/%d/%y %H:%M",
        "%m/%d/%Y %H:%M:%S",
        "%Y-%m-%d",
    ];
    for form in civil {
        let at = jiff::civil::DateTime::strptime(form, text)
            .or_else(|_| jiff::civil::Date::strptime(form, text).map(|date| date.at(0, 0, 0, 0)));
        if let Some(at) = at.ok().and_then(|at| at.to_zoned(jiff::tz::TimeZone::UTC).ok()) {
            return Some(Utc::from_millis(at.timestamp().as_millisecond()));
        }
    }
    None
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
        assert_eq!(
            mapping.apply(row),
            json!({"network": "twitter", "id": "1", "author": "7", "text": "hi",
                   "created_at": "2017-08-27T00:05:34.000Z", "meta": {"likes": "3"}})
        );
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

    #[test]
    fn dates_in_common_formats_are_parsed() {
        for (text, expected) in [
            ("2017-08-27 00:05:34", "2017-08-27T00:05:34.000Z"),
            ("10/16/17 22:59", "2017-10-16T22:59:00.000Z"),
            ("Wed Oct 27 16:00:05 +0000 2010", "2010-10-27T16:00:05.000Z"),
            ("1503792334", "2017-08-27T00:05:34.000Z"),
            ("1503792334000", "2017-08-27T00:05:34.000Z"),
            ("2017-08-27", "2017-08-27T00:00:00.000Z"),
        ] {
            assert_eq!(
                time(text).map(|at| at.to_string()).as_deref(),
                Some(expected),
                "{text}"
            );
        }
        assert_eq!(time("soon"), None);
    }
}
