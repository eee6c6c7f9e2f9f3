//! What is wrong with a field, and what to do about it.

use std::fmt::Display;

use serde_json::Value;

use super::biometric::Trait;

/// Why an incoming item is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Problem {
    /// The field's name in the JSON object.
    pub field: &'static str,
    /// The problem, and after a colon what to do.
    pub problem: String,
    /// What was measured of a person, if the item is refused for that.
    pub biometric: Option<Trait>,
}

impl Problem {
    pub(super) fn new(field: &'static str, wrong: impl Display, to_do: impl Display) -> Self {
        Self {
            field,
            problem: format!("{wrong}: {to_do}"),
            biometric: None,
        }
    }

    /// An item that could not be read at all.
    pub(crate) const fn of_body(problem: String) -> Self {
        Self {
            field: "body",
            problem,
            biometric: None,
        }
    }
}

/// A field as a message speaks of it.
#[derive(Clone, Copy)]
pub(super) struct Field {
    pub(super) name: &'static str,
    /// What it holds.
    what: &'static str,
    /// A value that it can have, as JSON.
    pub(super) example: &'static str,
}

const fn field(name: &'static str, what: &'static str, example: &'static str) -> Field {
    Field { name, what, example }
}

impl Field {
    pub(super) fn problem(self, wrong: impl Display) -> Problem {
        let Self { name, what, example } = self;
        Problem::new(name, wrong, format_args!("give {what}, for instance {example}"))
    }

    pub(super) fn wrong_type(self, expected: &str, found: &Value) -> Problem {
        self.problem(format_args!("expected {expected}, found {}", kind_of(found)))
    }
}

pub(super) const NETWORK: Field = field("network", "the social network", "\"bluesky\"");
pub(super) const POST_ID: Field = field("id", "the network's id of the post", "\"3kq2vq7z5\"");
pub(super) const AUTHOR: Field = field("author", "the author's name on the social network", "\"ada\"");
pub(super) const TEXT: Field = field("text", "the text of the post", "\"What a goal!\"");
pub(super) const CREATED_AT: Field = field(
    "created_at",
    "the time of writing in RFC 3339",
    "\"2026-11-29T12:00:00Z\"",
);
pub(super) const POST_REVISION: Field = field(
    "revision",
    "the network's number of this version of the post, 0 for the first one",
    "1",
);
pub(super) const DELETED_AT: Field = field(
    "deleted_at",
    "the time of the deletion in RFC 3339",
    "\"2026-11-29T12:00:00Z\"",
);
pub(super) const LANG: Field = field("lang", "a BCP 47 tag of the language", "\"pt-BR\"");
pub(super) const REPLY_TO: Field = field(
    "reply_to",
    "the network's id of the post that it answers",
    "\"3kq2vq7z4\"",
);
pub(super) const REPOST_OF: Field = field(
    "repost_of",
    "the network's id of the post that it repeats",
    "\"3kq2vq7z4\"",
);
pub(super) const URL: Field = field(
    "url",
    "the web address of the post",
    "\"https://example.com/3kq2vq7z5\"",
);
pub(super) const SUBJECTS: Field = field("subjects", "the subjects of the post", "[\"football\"]");
pub(super) const CONSENT: Field = field(
    "consent",
    "given, denied, unknown, or a consent string of TCF 2, GPP or US Privacy",
    "\"unknown\"",
);
pub(super) const GPC: Field = field(
    "gpc",
    "whether the person's browser sends the Global Privacy Control",
    "true",
);
pub(super) const MINOR: Field = field("minor", "whether the author is a minor", "false");
pub(super) const META: Field = field("meta", "further fields", "{\"likes\": 3}");
pub(super) const DECISION: Field = field(
    "decision",
    "the decision's id: the campaign, a full stop and 32 hexadecimal digits",
    "\"spring.9f86d081884c7d659a2feaa0c55ad015\"",
);
pub(super) const KIND: Field = field("kind", "impression, click, conversion or dismissal", "\"click\"");
pub(super) const VALUE: Field = field("value", "the worth of a conversion, 0 or more", "12.5");
pub(super) const AT: Field = field(
    "at",
    "the time of the event in RFC 3339",
    "\"2026-11-29T12:00:00Z\"",
);
pub(super) const OUTCOME_ID: Field = field(
    "id",
    "a key that stays the same when the outcome is sent again",
    "\"click-81\"",
);
pub(super) const COUNT: Field = field("count", "how many events it reports, 1 or more", "120");
pub(super) const PERSON: Field = field(
    "person",
    "the pseudonym of the person, as the delivery named it",
    "\"9f86d081884c7d659a2feaa0c55ad015\"",
);
pub(super) const WITHDRAWN: Field = field("withdrawn", "whether the outcome is taken back", "true");
pub(super) const REVISION: Field = field(
    "revision",
    "the number of this statement, higher than that of the statement it corrects",
    "1",
);
pub(super) const STATED_AT: Field = field(
    "stated_at",
    "when this was stated, as RFC 3339",
    "\"2026-11-29T12:00:00Z\"",
);

pub(super) fn unknown_word(field: Field, given: &str, known: &[&str]) -> Problem {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro(a, given).total_cmp(&strsim::jaro(b, given)));
    let nearest = nearest.filter(|word| strsim::jaro(word, given) > 0.7);
    let hint = nearest.map_or(String::new(), |word| format!(", did you mean `{word}`?"));
    let given = clip(given);
    field.problem(format_args!("`{given}` is not one of {}{hint}", known.join(", ")))
}

pub(super) fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
