//! Checks of incoming posts and outcomes.
//!
//! Every rejection names the field and says what was expected. Unknown fields are kept in `meta`: nothing from a source
//! is dropped silently.

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
    /// The problem, and what was expected.
    pub problem: String,
}

impl Problem {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self {
            field,
            problem: problem.into(),
        }
    }
}

/// Checks a post. `now` is the wall clock.
pub fn post(value: Value, settings: &Settings, now: Utc) -> Result<IncomingPost, Problem> {
    let mut fields = Fields::of(value)?;
    fields.use_current_names();
    let network = fields
        .text("network", NAME_LIMIT)?
        .ok_or_else(|| missing("network"))?;
    let network = Slug::new(&network).map_err(|error| Problem::new("network", error.to_string()))?;
    let id = fields.name("id")?.ok_or_else(|| missing("id"))?;
    let author = fields.name("author")?.ok_or_else(|| missing("author"))?;
    let text = fields.text("text", TEXT_LIMIT)?.ok_or_else(|| missing("text"))?;
    let repost_of = fields.name("repost_of")?;
    if text.contains('\0') {
        return Err(Problem::new(
            "text",
            "contains U+0000, which no store can keep: remove it",
        ));
    }
    if !text.chars().any(is_visible) {
        return Err(Problem::new(
            "text",
            "is empty (white space and invisible characters do not count)",
        ));
    }
    let created_at = fields.time("created_at")?.ok_or_else(|| missing("created_at"))?;
    in_range("created_at", created_at, settings, now)?;
    let lang = fields.text("lang", 35)?;
    if let Some(tag) = lang.as_deref().filter(|tag| !is_language_tag(tag)) {
        return Err(Problem::new(
            "lang",
            format!("`{tag}` is not a BCP 47 tag such as `en` or `pt-BR`"),
        ));
    }
    Ok(IncomingPost {
        post: PostRef { network, id },
        author,
        text,
        created_at,
        lang,
        reply_to: fields.name("reply_to")?,
        repost_of,
        url: fields.text("url", 2_048)?,
        subjects: fields.slugs("subjects", 16)?,
        consent: fields.consent()?,
        minor: fields.flag("minor")?.unwrap_or(false),
        meta: fields.rest()?,
    })
}

/// Checks an outcome. `now` is the wall clock.
pub fn outcome(value: Value, settings: &Settings, now: Utc) -> Result<IncomingOutcome, Problem> {
    let mut fields = Fields::of(value)?;
    let decision = fields.name("decision")?.ok_or_else(|| missing("decision"))?;
    let campaign = limbic_domain::Decision::campaign_of(&decision).ok_or_else(|| {
        Problem::new(
            "decision",
            "is not a decision's id: they look like `campaign.` and 32 hexadecimal digits",
        )
    })?;
    let kind = match fields.text("kind", 32)?.ok_or_else(|| missing("kind"))?.as_str() {
        "impression" => OutcomeKind::Impression,
        "click" => OutcomeKind::Click,
        "conversion" => OutcomeKind::Conversion,
        "dismissal" => OutcomeKind::Dismissal,
        other => {
            let known = ["impression", "click", "conversion", "dismissal"];
            return Err(Problem::new("kind", unknown_word(other, &known)));
        }
    };
    let value = fields.number("value")?;
    if let Some(value) = value.filter(|value| *value < 0.0) {
        return Err(Problem::new(
            "value",
            format!("{value} is negative: a conversion's value is 0 or more"),
        ));
    }
    let at = fields.time("at")?.ok_or_else(|| missing("at"))?;
    in_range("at", at, settings, now)?;
    let id = fields.name("id")?.ok_or_else(|| missing("id"))?;
    if let Some(field) = fields.0.keys().next() {
        return Err(Problem::new(
            "outcome",
            format!("has an unknown field `{}`", clip(field)),
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
        return Err(Problem::new(
            field,
            format!(
                "{at} is before {}: is the unit or the year wrong?",
                settings.oldest
            ),
        ));
    }
    let latest = now.plus_millis(settings.max_future.as_millis());
    if at > latest {
        let ahead = at.millis_since(now) / 1_000;
        return Err(Problem::new(
            field,
            format!("{at} is {ahead} s in the future: check the sender's clock"),
        ));
    }
    Ok(())
}

fn missing(field: &'static str) -> Problem {
    Problem::new(field, "is missing")
}

fn unknown_word(given: &str, known: &[&str]) -> String {
    let nearest = known
        .iter()
        .max_by(|a, b| strsim::jaro(a, given).total_cmp(&strsim::jaro(b, given)));
    let nearest = nearest.filter(|word| strsim::jaro(word, given) > 0.7);
    let hint = nearest.map_or(String::new(), |word| format!(", did you mean `{word}`?"));
    format!("`{}` is not one of {}{hint}", clip(given), known.join(", "))
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
                format!("expected an object, found {}", kind_of(&other)),
            )),
        }
    }

    /// Takes a field that exists and is not null.
    fn take(&mut self, field: &'static str) -> Option<Value> {
        self.0.remove(field).filter(|value| !value.is_null())
    }

    fn text(&mut self, field: &'static str, limit: usize) -> Result<Option<String>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::String(text)) if text.len() <= limit => Ok(Some(text)),
            Some(Value::String(text)) => Err(Problem::new(
                field,
                format!("is {} bytes long, the limit is {limit}", text.len()),
            )),
            Some(other) => Err(Problem::new(
                field,
                format!("expected a string, found {}", kind_of(&other)),
            )),
        }
    }

    /// Takes a name: not empty, without control characters.
    fn name(&mut self, field: &'static str) -> Result<Option<String>, Problem> {
        let Some(name) = self.text(field, NAME_LIMIT)? else {
            return Ok(None);
        };
        if name.is_empty() {
            return Err(Problem::new(field, "is empty"));
        }
        if name.chars().any(char::is_control) {
            return Err(Problem::new(field, "contains a control character"));
        }
        Ok(Some(name))
    }

    fn time(&mut self, field: &'static str) -> Result<Option<Utc>, Problem> {
        let Some(text) = self.text(field, 64)? else {
            return Ok(None);
        };
        text.parse()
            .map(Some)
            .map_err(|error: limbic_domain::InvalidTime| Problem::new(field, error.to_string()))
    }

    fn flag(&mut self, field: &'static str) -> Result<Option<bool>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Bool(flag)) => Ok(Some(flag)),
            Some(other) => Err(Problem::new(
                field,
                format!("expected a boolean, found {}", kind_of(&other)),
            )),
        }
    }

    fn number(&mut self, field: &'static str) -> Result<Option<f64>, Problem> {
        match self.take(field) {
            None => Ok(None),
            Some(Value::Number(number)) => number
                .as_f64()
                .filter(|number| number.is_finite())
                .map(Some)
                .ok_or_else(|| Problem::new(field, "is not a finite number")),
            Some(other) => Err(Problem::new(
                field,
                format!("expected a number, found {}", kind_of(&other)),
            )),
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

    fn slugs(&mut self, field: &'static str, most: usize) -> Result<Vec<Slug>, Problem> {
        let items = match self.take(field) {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= most => items,
            Some(Value::Array(items)) => {
                return Err(Problem::new(
                    field,
                    format!("has {} entries, the limit is {most}", items.len()),
                ));
            }
            Some(other) => {
                return Err(Problem::new(
                    field,
                    format!("expected an array, found {}", kind_of(&other)),
                ));
            }
        };
        let slug = |item: &Value| match item {
            Value::String(text) => Slug::new(text).map_err(|error| Problem::new(field, error.to_string())),
            other => Err(Problem::new(
                field,
                format!("expected strings, found {}", kind_of(other)),
            )),
        };
        items.iter().map(slug).collect()
    }

    fn consent(&mut self) -> Result<Option<ConsentState>, Problem> {
        let Some(word) = self.text("consent", 32)? else {
            return Ok(None);
        };
        match word.as_str() {
            "given" => Ok(Some(ConsentState::Given)),
            "denied" => Ok(Some(ConsentState::Denied)),
            "unknown" => Ok(Some(ConsentState::Unknown)),
            other => Err(Problem::new(
                "consent",
                unknown_word(other, &["given", "denied", "unknown"]),
            )),
        }
    }

    /// `meta`, with all fields that no check has taken.
    fn rest(mut self) -> Result<Map<String, Value>, Problem> {
        let mut meta = match self.take("meta") {
            None => Map::new(),
            Some(Value::Object(meta)) => meta,
            Some(other) => {
                return Err(Problem::new(
                    "meta",
                    format!("expected an object, found {}", kind_of(&other)),
                ));
            }
        };
        for (name, value) in self.0 {
            meta.entry(name).or_insert(value);
        }
        let size = serde_json::to_string(&meta).map_or(0, |text| text.len());
        if !meta.is_empty() && size > META_LIMIT {
            return Err(Problem::new(
                "meta",
                format!("is {size} bytes of JSON, the limit is {META_LIMIT}"),
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
            ("network", Value::Null, "missing"),
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
        ] {
            let mut wrong = body.clone();
            wrong[field] = value;
            assert_eq!(
                outcome(wrong, &Settings::default(), now()).unwrap_err().field,
                field
            );
        }
    }
}
