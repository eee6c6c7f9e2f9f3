//! The fields of an incoming object, checked as they are taken out.

use limbic_domain::{ConsentState, Slug, Utc};
use serde_json::{Map, Value};

use super::biometric::Biometric;
use super::problem::{CONSENT, Field, GPC, META, Problem, clip, kind_of, unknown_word};
use super::{FORMER_NAMES, META_LIMIT, NAME_LIMIT, POST_FIELDS};
use crate::consent::{self, Fault, Stated};

/// The fields of an object. Each check takes its field out.
pub(super) struct Fields(pub(super) Map<String, Value>);

impl Fields {
    pub(super) fn of(value: Value) -> Result<Self, Problem> {
        match value {
            Value::Object(fields) => Ok(Self(fields)),
            other => Err(Problem::new(
                "body",
                format_args!("expected an object, found {}", kind_of(&other)),
                "send one object or an array of objects",
            )),
        }
    }

    /// A field that must be there.
    pub(super) fn required<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&mut Self, Field) -> Result<Option<T>, Problem>,
    ) -> Result<T, Problem> {
        read(self, field)?.ok_or_else(|| field.problem("is missing"))
    }

    /// Takes a field that exists and is not null.
    pub(super) fn take(&mut self, field: Field) -> Option<Value> {
        self.0.remove(field.name).filter(|value| !value.is_null())
    }

    pub(super) fn text(&mut self, field: Field) -> Result<Option<String>, Problem> {
        self.text_within(field, NAME_LIMIT)
    }

    pub(super) fn text_within(&mut self, field: Field, limit: usize) -> Result<Option<String>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= limit => Ok(Some(text)),
            Some(Value::String(text)) => Err(Problem::new(
                field.name,
                format_args!("is {} bytes long, the limit is {limit}", text.len()),
                "shorten it",
            )),
            Some(other) => Err(field.wrong_type("a string", &other)),
        }
    }

    /// Takes a name: not empty, without control characters.
    pub(super) fn name(&mut self, field: Field) -> Result<Option<String>, Problem> {
        let Some(name) = self.text(field)? else {
            return Ok(None);
        };
        if name.is_empty() {
            return Err(field.problem("is empty"));
        }
        if name.chars().any(char::is_control) {
            return Err(Problem::new(
                field.name,
                "contains a control character",
                "remove it",
            ));
        }
        Ok(Some(name))
    }

    pub(super) fn time(&mut self, field: Field) -> Result<Option<Utc>, Problem> {
        let Some(text) = self.text_within(field, 64)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error: limbic_domain::InvalidTime| field.problem(error))
    }

    pub(super) fn flag(&mut self, field: Field) -> Result<Option<bool>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(field.wrong_type("a boolean", &other)),
        }
    }

    /// Takes a whole number from `least` to 2^53, the largest that every JSON reader keeps exactly.
    pub(super) fn whole(&mut self, field: Field, least: u64) -> Result<Option<u64>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_u64()
                .filter(|number| (least..=1 << 53).contains(number))
                .map(Some)
                .ok_or_else(|| {
                    field.problem(format_args!(
                        "{number} is not a whole number from {least} to 2^53"
                    ))
                }),
            Some(other) => Err(field.wrong_type("a whole number", &other)),
        }
    }

    pub(super) fn number(&mut self, field: Field) -> Result<Option<f64>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Some)
                .ok_or_else(|| field.problem("is not a finite number")),
            Some(other) => Err(field.wrong_type("a number", &other)),
        }
    }

    /// Renames fields with a former name, unless the current name exists too.
    pub(super) fn use_current_names(&mut self) {
        for (former, current) in FORMER_NAMES {
            if !self.0.contains_key(current)
                && let Some(value) = self.0.remove(former)
            {
                self.0.insert(current.to_owned(), value);
            }
        }
    }

    pub(super) fn slugs(&mut self, field: Field, most: usize) -> Result<Vec<Slug>, Problem> {
        let items = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(Value::Array(items)) => {
                return Err(Problem::new(
                    field.name,
                    format_args!("has {} entries, the limit is {most}", items.len()),
                    "leave some of them out",
                ));
            }
            Some(other) => return Err(field.wrong_type("an array", &other)),
        };
        let slug = |item: &Value| match item {
            Value::String(text) => Slug::new(text).map_err(|error| field.problem(error)),
            other => Err(field.wrong_type("strings", other)),
        };
        items.iter().map(slug).collect()
    }

    /// What `consent` and `gpc` state; the stricter one counts. `vendor` is [`crate::Settings::tcf_vendor`].
    pub(super) fn consent(&mut self, vendor: Option<u16>) -> Result<Stated, Problem> {
        let mut stated = match self.text_within(CONSENT, LONGEST_CONSENT)? {
            None => Stated::default(),
            Some(text) => consent::read(&text, vendor).map_err(|fault| match fault {
                Fault::NoStatement => unknown_word(CONSENT, &text, &["given", "denied", "unknown"]),
                fault => CONSENT.problem(format_args!("is a consent string that cannot be read: {fault}")),
            })?,
        };
        if self.flag(GPC)? == Some(true) {
            stated.consent = Some(ConsentState::Denied);
        }
        Ok(stated)
    }

    /// The fields of `meta` that `keeps` accepts, and the names of the others. No other field of the post may be left: it would be
    /// lost, and its name may be misspelt.
    pub(super) fn meta(
        mut self,
        keeps: impl Fn(&str) -> bool,
    ) -> Result<(Map<String, Value>, Vec<String>), Problem> {
        let mut meta = match self.take(META) {
            None => Map::new(),
            Some(Value::Object(meta)) => meta,
            Some(other) => return Err(META.wrong_type("an object", &other)),
        };
        self.nothing_left("post", POST_FIELDS)?;
        // Before anything is left out: who sends it must know, whether it would be kept or not.
        if let Some(found) = Biometric::of_fields(&meta) {
            return Err(found.problem(META.name));
        }
        let mut dropped = Vec::new();
        meta.retain(|name, _| {
            let is_kept = keeps(name);
            if !is_kept {
                dropped.push(name.clone());
            }
            is_kept
        });
        let size = serde_json::to_string(&meta).map_or(0, |text| text.len());
        if !meta.is_empty() && size > META_LIMIT {
            return Err(Problem::new(
                "meta",
                format_args!("is {size} bytes of JSON, the limit is {META_LIMIT}"),
                "leave fields out",
            ));
        }
        Ok((meta, dropped))
    }

    /// An error for a field that no check has taken. `what` is the object, `known` are its fields.
    pub(super) fn nothing_left(&self, what: &'static str, known: &[&str]) -> Result<(), Problem> {
        let Some(field) = self.0.keys().next() else {
            return Ok(());
        };
        if let Some(found) = Biometric::of_fields(&self.0) {
            return Err(found.problem(what));
        }
        let nearest = known
            .iter()
            .max_by(|a, b| strsim::jaro(a, field).total_cmp(&strsim::jaro(b, field)));
        let nearest = nearest.filter(|known| strsim::jaro(known, field) > 0.8);
        let hint = nearest.map_or(String::new(), |known| format!(", did you mean `{known}`?"));
        let place = if known.contains(&META.name) {
            ", or put it in `meta`"
        } else {
            ""
        };
        Err(Problem::new(
            what,
            format_args!("has an unknown field `{}`{hint}", clip(field)),
            format_args!("remove it{place}; the fields are {}", known.join(", ")),
        ))
    }
}

/// Most bytes of a `consent`. A string of TCF that names each of some thousand vendors takes less than a quarter of it.
const LONGEST_CONSENT: usize = 8_192;
