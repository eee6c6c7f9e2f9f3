//! Checks of incoming posts and outcomes.
//!
//! Every rejection names the field, the problem, and what to do. Unknown fields are kept in `meta`: nothing from a source
//! is dropped silently.

use std::fmt::Display;

use limbic_domain::{ConsentState, OutcomeKind, PostRef, Slug, Utc};
use serde_json::{Map, Value};

use crate::Settings;

/// Maximum bytes of a text, in UTF-8.
pub const TEXT_LIMIT: usize = 64 * 1024;
/// Maximum bytes of an id, author, url and similar fields.
pub const NAME_LIMIT: usize = 512;
/// Maximum bytes of `meta`, as JSON.
pub const META_LIMIT: usize = 16 * 1024;

/// Former names of a post's fields, which are still accepted: `(former, current)`.
pub const FORMER_NAMES: [(&str, &str); 2] = [("platform", "network"), ("topics", "subjects")];

/// A checked post, as a connector sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingPost {
    /// The post's id on its social network.
    pub post: PostRef,
    /// The author's name on the social network. It does not leave the edge.
    pub author: String,
    /// The text.
    pub text: String,
    /// When it was written.
    pub created_at: Utc,
    /// BCP 47 tag.
    pub lang: Option<String>,
    /// The network's id of the post that this one replies to.
    pub reply_to: Option<String>,
    /// The network's id of the post that this one repeats.
    pub repost_of: Option<String>,
    /// The web address of the post.
    pub url: Option<String>,
    /// Subjects that the source names.
    pub subjects: Vec<Slug>,
    /// Consent, if the source states it.
    pub consent: Option<ConsentState>,
    /// Whether the source states that the author is a minor.
    pub minor: bool,
    /// All other fields.
    pub meta: Map<String, Value>,
}

/// A checked outcome, as an ad platform sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingOutcome {
    /// The decision's id.
    pub decision: String,
    /// The campaign that the id names.
    pub campaign: Slug,
    /// The kind of the event.
    pub kind: OutcomeKind,
    /// The value of a conversion.
    pub value: Option<f64>,
    /// When the event happened.
    pub at: Utc,
    /// The idempotency key.
    pub id: String,
}

/// Why an incoming item is rejected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct Problem {
    /// The field.
    pub field: &'static str,
    /// The problem, and after a colon what to do.
    pub problem: String,
}

impl Problem {
    fn new(field: &'static str, wrong: impl Display, to_do: impl Display) -> Self {
        Self {
            field,
            problem: format!("{wrong}: {to_do}"),
        }
    }
}

/// A field as a message speaks of it.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    /// What it holds.
    what: &'static str,
    /// A value that it can have, as JSON.
    example: &'static str,
}

const fn field(name: &'static str, what: &'static str, example: &'static str) -> Field {
    Field { name, what, example }
}

impl Field {
    fn problem(self, wrong: impl Display) -> Problem {
        let Self { name, what, example } = self;
        Problem::new(name, wrong, format_args!("give {what}, for instance {example}"))
    }

    fn wrong_type(self, expected: &str, found: &Value) -> Problem {
        self.problem(format_args!("expected {expected}, found {}", kind_of(found)))
    }
}

const NETWORK: Field = field("network", "the social network", "\"bluesky\"");
const POST_ID: Field = field("id", "the network's id of the post", "\"3kq2vq7z5\"");
const AUTHOR: Field = field("author", "who wrote it, as the network names them", "\"ada\"");
const TEXT: Field = field("text", "what was written", "\"What a goal!\"");
const CREATED_AT: Field = field(
    "created_at",
    "when it was written, as RFC 3339",
    "\"2026-11-29T12:00:00Z\"",
);
const LANG: Field = field("lang", "a BCP 47 tag of the language", "\"pt-BR\"");
const REPLY_TO: Field = field(
    "reply_to",
    "the network's id of the post that it answers",
    "\"3kq2vq7z4\"",
);
const REPOST_OF: Field = field(
    "repost_of",
    "the network's id of the post that it repeats",
    "\"3kq2vq7z4\"",
);
const URL: Field = field(
    "url",
    "where the post can be seen",
    "\"https://example.com/3kq2vq7z5\"",
);
const SUBJECTS: Field = field("subjects", "what the post is about", "[\"football\"]");
const CONSENT: Field = field("consent", "given, denied or unknown", "\"unknown\"");
const MINOR: Field = field("minor", "whether the author is a minor", "false");
const META: Field = field("meta", "further fields", "{\"likes\": 3}");
const DECISION: Field = field(
    "decision",
    "the decision's id: the campaign, a full stop and 32 hexadecimal digits",
    "\"spring.9f86d081884c7d659a2feaa0c55ad015\"",
);
const KIND: Field = field("kind", "impression, click, conversion or dismissal", "\"click\"");
const VALUE: Field = field("value", "the worth of a conversion, 0 or more", "12.5");
const AT: Field = field("at", "when it happened, as RFC 3339", "\"2026-11-29T12:00:00Z\"");
const OUTCOME_ID: Field = field(
    "id",
    "a key that stays the same when the outcome is sent again",
    "\"click-81\"",
);

/// Checks a post. `now` is the wall clock.
pub fn post(value: Value, settings: &Settings, now: Utc) -> Result<IncomingPost, Problem> {
    let mut fields = Fields::of(value)?;
    fields.use_current_names();
    let network = fields.required(NETWORK, Fields::text)?;
    let network = Slug::new(&network).map_err(|error| NETWORK.problem(error))?;
    let id = fields.required(POST_ID, Fields::name)?;
    let author = fields.required(AUTHOR, Fields::name)?;
    let text = fields.required(TEXT, |fields, field| fields.text_within(field, TEXT_LIMIT))?;
    let repost_of = fields.name(REPOST_OF)?;
    if text.contains('\0') {
        return Err(Problem::new(
            "text",
            "contains U+0000, which no store can keep",
            "remove it",
        ));
    }
    if !text.chars().any(is_visible) {
        return Err(TEXT.problem("is empty (white space and invisible characters do not count)"));
    }
    let created_at = fields.required(CREATED_AT, Fields::time)?;
    in_range("created_at", created_at, settings, now)?;
    let lang = fields.text_within(LANG, 35)?;
    if let Some(tag) = lang.as_deref().filter(|tag| !is_language_tag(tag)) {
        return Err(LANG.problem(format_args!("`{tag}` is not a BCP 47 tag")));
    }
    Ok(IncomingPost {
        post: PostRef { network, id },
        author,
        text,
        created_at,
        lang,
        reply_to: fields.name(REPLY_TO)?,
        repost_of,
        url: fields.text_within(URL, 2_048)?,
        subjects: fields.slugs(SUBJECTS, 16)?,
        consent: fields.consent()?,
        minor: fields.flag(MINOR)?.unwrap_or(false),
        meta: fields.rest()?,
    })
}

/// Checks an outcome. `now` is the wall clock.
pub fn outcome(value: Value, settings: &Settings, now: Utc) -> Result<IncomingOutcome, Problem> {
    let mut fields = Fields::of(value)?;
    let decision = fields.required(DECISION, Fields::name)?;
    let campaign = limbic_domain::Decision::campaign_of(&decision);
    let campaign = campaign.ok_or_else(|| DECISION.problem("is not a decision's id"))?;
    let kind = fields.required(KIND, |fields, field| fields.text_within(field, 32))?;
    let kind = match kind.as_str() {
        "impression" => OutcomeKind::Impression,
        "click" => OutcomeKind::Click,
        "conversion" => OutcomeKind::Conversion,
        "dismissal" => OutcomeKind::Dismissal,
        other => {
            let known = ["impression", "click", "conversion", "dismissal"];
            return Err(unknown_word(KIND, other, &known));
        }
    };
    let value = fields.number(VALUE)?;
    if let Some(value) = value.filter(|value| *value < 0.0) {
        return Err(VALUE.problem(format_args!("{value} is negative")));
    }
    let at = fields.required(AT, Fields::time)?;
    in_range("at", at, settings, now)?;
    let id = fields.required(OUTCOME_ID, Fields::name)?;
    if let Some(field) = fields.0.keys().next() {
        return Err(Problem::new(
            "outcome",
            format_args!("has an unknown field `{}`", clip(field)),
            "remove it; an outcome has decision, kind, value, at and id",
        ));
    }
    Ok(IncomingOutcome {
        decision,
        campaign,
        kind,
        value,
        at,
        id,
    })
}

/// Checks a source's promise that it will not send a post written before `at`. A promise far in the future would make
/// every later post late, because event time never goes back.
pub fn heartbeat(at: Utc, settings: &Settings, now: Utc) -> Result<(), Problem> {
    in_range("at", at, settings, now)
}

/// Whether a person sees something: not white space, a control, a zero-width character or a direction mark.
fn is_visible(c: char) -> bool {
    !(c.is_whitespace()
        || c.is_control()
        || matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{2800}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{e0000}'..='\u{e0fff}'))
}

fn is_language_tag(tag: &str) -> bool {
    let mut parts = tag.split('-');
    let primary = parts.next().unwrap_or("");
    (2..=8).contains(&primary.len())
        && primary.bytes().all(|b| b.is_ascii_alphabetic())
        && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn in_range(field: &'static str, at: Utc, settings: &Settings, now: Utc) -> Result<(), Problem> {
    if at < settings.oldest {
        let oldest = settings.oldest;
        return Err(Problem::new(
            field,
            format_args!("{at} is before {oldest}"),
            "check the unit and the year",
        ));
    }
    let latest = now.plus_millis(settings.max_future.as_millis());
    if at > latest {
        let ahead = at.millis_since(now) / 1_000;
        return Err(Problem::new(
            field,
            format_args!("{at} is {ahead} s in the future"),
            "check the sender's clock",
        ));
    }
    Ok(())
}

fn unknown_word(field: Field, given: &str, known: &[&str]) -> Problem {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro(a, given).total_cmp(&strsim::jaro(b, given)));
    let nearest = nearest.filter(|word| strsim::jaro(word, given) > 0.7);
    let hint = nearest.map_or(String::new(), |word| format!(", did you mean `{word}`?"));
    let given = clip(given);
    field.problem(format_args!("`{given}` is not one of {}{hint}", known.join(", ")))
}

fn clip(text: &str) -> String {
    text.chars().take(40).collect()
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// The fields of an object. Each check takes its field out.
struct Fields(Map<String, Value>);

impl Fields {
    fn of(value: Value) -> Result<Self, Problem> {
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
    fn required<T>(
        &mut self,
        field: Field,
        read: impl FnOnce(&mut Self, Field) -> Result<Option<T>, Problem>,
    ) -> Result<T, Problem> {
        read(self, field)?.ok_or_else(|| field.problem("is missing"))
    }

    /// Takes a field that exists and is not null.
    fn take(&mut self, field: Field) -> Option<Value> {
        self.0.remove(field.name).filter(|value| !value.is_null())
    }

    fn text(&mut self, field: Field) -> Result<Option<String>, Problem> {
        self.text_within(field, NAME_LIMIT)
    }

    fn text_within(&mut self, field: Field, limit: usize) -> Result<Option<String>, Problem> {
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
    fn name(&mut self, field: Field) -> Result<Option<String>, Problem> {
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

    fn time(&mut self, field: Field) -> Result<Option<Utc>, Problem> {
        let Some(text) = self.text_within(field, 64)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error: limbic_domain::InvalidTime| field.problem(error))
    }

    fn flag(&mut self, field: Field) -> Result<Option<bool>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(field.wrong_type("a boolean", &other)),
        }
    }

    fn number(&mut self, field: Field) -> Result<Option<f64>, Problem> {
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
    fn use_current_names(&mut self) {
        for (former, current) in FORMER_NAMES {
            if !self.0.contains_key(current)
                && let Some(value) = self.0.remove(former)
            {
                self.0.insert(current.to_owned(), value);
            }
        }
    }

    fn slugs(&mut self, field: Field, most: usize) -> Result<Vec<Slug>, Problem> {
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

    fn consent(&mut self) -> Result<Option<ConsentState>, Problem> {
        let Some(word) = self.text_within(CONSENT, 32)? else {
            return Ok(None);
        };
        match word.as_str() {
            "given" => Ok(Some(ConsentState::Given)),
            "denied" => Ok(Some(ConsentState::Denied)),
            "unknown" => Ok(Some(ConsentState::Unknown)),
            other => Err(unknown_word(CONSENT, other, &["given", "denied", "unknown"])),
        }
    }

    /// `meta`, with all fields that no check has taken.
    fn rest(mut self) -> Result<Map<String, Value>, Problem> {
        let mut meta = match self.take(META) {
            None => Map::new(),
            Some(Value::Object(meta)) => meta,
            Some(other) => return Err(META.wrong_type("an object", &other)),
        };
        for (name, value) in self.0 {
            meta.entry(name).or_insert(value);
        }
        let size = serde_json::to_string(&meta).map_or(0, |text| text.len());
        if !meta.is_empty() && size > META_LIMIT {
            return Err(Problem::new(
                "meta",
                format_args!("is {size} bytes of JSON, the limit is {META_LIMIT}"),
                "leave fields out",
            ));
        }
        Ok(meta)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn now() -> Utc {
        "2026-11-21T09:00:00Z".parse().unwrap()
    }

    fn good() -> Value {
        json!({"network": "bluesky", "id": "3k", "author": "ada", "text": "What a goal!",
               "created_at": "2026-11-21T08:59:00Z"})
    }

    fn with(field: &str, value: Value) -> Result<IncomingPost, Problem> {
        let mut body = good();
        body[field] = value;
        post(body, &Settings::default(), now())
    }

    fn says_what_to_do(problem: &Problem) {
        let verbs = ["give", "remove", "shorten", "leave", "check", "send"];
        let is_said = verbs
            .iter()
            .any(|verb| problem.problem.contains(&format!(": {verb} ")))
            || problem.problem.ends_with(": shorten it")
            || problem.problem.ends_with(": remove it");
        assert!(is_said, "{problem}");
    }

    #[test]
    fn the_example_of_every_field_is_a_value_that_it_can_have() {
        let examples = |fields: &[Field]| -> Value {
            let fields = fields.iter().map(|field| {
                let example = serde_json::from_str(field.example).unwrap();
                (field.name.to_owned(), example)
            });
            Value::Object(fields.collect())
        };
        let now = "2026-11-29T12:00:00Z".parse().unwrap();
        let of_post = [
            NETWORK, POST_ID, AUTHOR, TEXT, CREATED_AT, LANG, REPLY_TO, REPOST_OF, URL, SUBJECTS, CONSENT,
            MINOR, META,
        ];
        post(examples(&of_post), &Settings::default(), now).unwrap();
        let of_outcome = [DECISION, KIND, VALUE, AT, OUTCOME_ID];
        outcome(examples(&of_outcome), &Settings::default(), now).unwrap();
    }

    #[test]
    fn former_field_names_are_accepted() {
        let value = json!({"platform": "bluesky", "topics": ["football"], "id": "3k", "author": "ada", "text": "What a goal!",
            "created_at": "2026-03-01T10:00:00Z"});
        let now = "2026-03-02T00:00:00Z".parse().unwrap();
        let post = post(value, &Settings::default(), now).unwrap();
        assert_eq!(post.post.network.as_str(), "bluesky");
        assert_eq!(post.subjects, [Slug::new("football").unwrap()]);
        assert!(post.meta.is_empty());
    }

    #[test]
    fn every_wrong_field_is_named() {
        for (field, value, hint) in [
            ("network", json!("Blue Sky"), "a-z"),
            (
                "network",
                Value::Null,
                "is missing: give the social network, for instance \"bluesky\"",
            ),
            (
                "id",
                Value::Null,
                "is missing: give the network's id of the post, for instance \"",
            ),
            ("author", Value::Null, "is missing: give who wrote it"),
            ("text", Value::Null, "is missing: give what was written"),
            (
                "created_at",
                Value::Null,
                "is missing: give when it was written, as RFC 3339, for instance \"2026-11-29T12:00:00Z\"",
            ),
            ("id", json!(123), "expected a string, found a number"),
            ("id", json!(""), "empty"),
            ("id", json!("a\nb"), "control"),
            ("author", json!("x".repeat(513)), "512"),
            ("text", json!(""), "empty"),
            ("text", json!(" \u{200b}\u{202e}\u{feff} "), "empty"),
            ("text", json!("a\0b"), "U+0000"),
            ("text", json!("x".repeat(1_000_000)), "1000000 bytes"),
            ("text", json!(["a"]), "found an array"),
            ("created_at", json!("yesterday"), "RFC 3339"),
            ("created_at", json!("1970-01-01T00:00:00Z"), "before"),
            ("created_at", json!("2027-01-01T00:00:00Z"), "in the future"),
            ("created_at", json!(1_700_000_000), "expected a string"),
            ("lang", json!("english language"), "BCP 47"),
            ("consent", json!("yes"), "not one of"),
            ("consent", json!("gven"), "did you mean `given`"),
            ("minor", json!("no"), "boolean"),
            ("subjects", json!("football"), "expected an array"),
            ("subjects", json!(["Foot Ball"]), "a-z"),
            ("meta", json!("x"), "expected an object"),
            ("meta", json!({"x": "y".repeat(20_000)}), "limit"),
        ] {
            let problem = with(field, value.clone()).expect_err(&format!("{field}: {value}"));
            assert_eq!(problem.field, field, "{problem}");
            assert!(
                problem.problem.contains(hint),
                "{problem} should mention `{hint}`"
            );
            says_what_to_do(&problem);
        }
        assert_eq!(
            post(json!([1]), &Settings::default(), now()).unwrap_err().field,
            "body"
        );
    }

    #[test]
    fn emoji_bidi_and_unknown_fields_are_taken_as_they_came() {
        assert_eq!(with("text", json!("😂😂")).unwrap().text, "😂😂");
        let text = "\u{202e}shalom\u{202c} שלום\u{200d}";
        assert_eq!(with("text", json!(text)).unwrap().text, text);
        assert_eq!(with("likes", json!(3)).unwrap().meta["likes"], json!(3));
    }

    #[test]
    fn nobody_can_promise_the_far_future() {
        let settings = Settings::default();
        assert!(heartbeat(now(), &settings, now()).is_ok());
        let problem = heartbeat(now().plus_millis(86_400_000), &settings, now()).unwrap_err();
        assert!(
            problem.field == "at" && problem.problem.contains("in the future"),
            "{problem}"
        );
    }

    #[test]
    fn an_outcome_names_its_decision_and_kind() {
        let id = limbic_domain::Decision::id_of(&Slug::new("acme").unwrap(), "m");
        let body = json!({"decision": id, "kind": "click", "at": "2026-11-21T08:00:00Z", "id": "k"});
        assert!(outcome(body.clone(), &Settings::default(), now()).is_ok());
        for (field, value) in [
            ("decision", json!("nope")),
            ("kind", json!("clik")),
            ("kind", json!("delivered")),
            ("value", json!(-1)),
            ("value", json!("1")),
            ("at", json!("soon")),
            ("id", json!("")),
            ("decision", Value::Null),
            ("kind", Value::Null),
            ("at", Value::Null),
            ("id", Value::Null),
        ] {
            let mut wrong = body.clone();
            wrong[field] = value;
            let problem = outcome(wrong, &Settings::default(), now()).unwrap_err();
            assert_eq!(problem.field, field);
            says_what_to_do(&problem);
        }
        let mut wrong = body;
        wrong["likes"] = json!(3);
        says_what_to_do(&outcome(wrong, &Settings::default(), now()).unwrap_err());
    }
}
