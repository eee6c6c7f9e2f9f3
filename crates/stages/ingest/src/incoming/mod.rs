//! Checks of incoming posts and outcomes.
//!
//! Every rejection names the field, the problem, and what to do. An unknown field is refused, in posts and in outcomes: it may be a
//! name written wrongly. Further fields of a post are in its `meta`, of which the settings say what is kept
//! ([`Settings::keep_fields`]). An item with a feature of a voice, a face or typing is refused ([`Biometric`]).

mod biometric;
mod fields;
mod json;
mod problem;
/// Refuses a `meta` with more than [`META_DEPTH`] levels.
fn not_too_deep(meta: Map<String, Value>) -> Result<Map<String, Value>, Problem> {
    fn is_within(value: &Value, levels: usize) -> bool {
        match value {
            Value::Object(_) | Value::Array(_) if levels == 0 => false,
            Value::Object(fields) => fields.values().all(|inner| is_within(inner, levels - 1)),
            Value::Array(items) => items.iter().all(|inner| is_within(inner, levels - 1)),
            _ => true,
        }
    }
    if meta.values().all(|value| is_within(value, META_DEPTH - 1)) {
        return Ok(meta);
    }
    Err(Problem::new(
        "meta",
        format_args!("has more than {META_DEPTH} levels of objects and arrays"),
        "leave the inner ones out",
    ))
}

#[cfg(test)]
mod tests;

use limbic_domain::{ConsentState, OutcomeKind, PostRef, Pseudonym, Slug, Utc};
use serde_json::{Map, Value};

use crate::Settings;
pub use biometric::{Biometric, Trait};
use fields::Fields;
pub use json::{DEPTH_LIMIT, ITEM_LIMIT, VALUES_LIMIT, json};
pub use problem::Problem;
use problem::{
    AT, AUTHOR, COUNT, CREATED_AT, DECISION, DELETED_AT, KIND, LANG, MINOR, NETWORK, OUTCOME_ID, PERSON,
    POST_ID, POST_REVISION, REPLY_TO, REPOST_OF, REVISION, STATED_AT, SUBJECTS, TEXT, URL, VALUE, WITHDRAWN,
    unknown_word,
};

/// Maximum bytes of a text, in UTF-8.
pub const TEXT_LIMIT: usize = 64 * 1024;
/// Maximum bytes of an id, author, url and similar fields.
pub const NAME_LIMIT: usize = 512;
/// Maximum bytes of `meta`, as JSON.
pub const META_LIMIT: usize = 16 * 1024;
/// Maximum value of an outcome, in units of its currency. So no sum of outcomes can overflow.
pub const VALUE_LIMIT: f64 = 1e12;

/// Maximum depth of objects and arrays in `meta`. Every reader of a record stays far below its own limit.
pub const META_DEPTH: usize = 16;

/// Former names of a post's fields, which are still accepted: `(former, current)`.
pub const FORMER_NAMES: [(&str, &str); 2] = [("platform", "network"), ("topics", "subjects")];

/// The fields of a post.
pub(crate) const POST_FIELDS: &[&str] = &[
    "network",
    "id",
    "author",
    "text",
    "created_at",
    "lang",
    "reply_to",
    "repost_of",
    "url",
    "subjects",
    "consent",
    "gpc",
    "minor",
    "revision",
    "meta",
];
/// The fields of an outcome.
const OUTCOME_FIELDS: &[&str] = &[
    "decision",
    "kind",
    "value",
    "at",
    "id",
    "count",
    "person",
    "withdrawn",
    "revision",
    "stated_at",
];

/// A checked post, as a connector sends it.
#[derive(Debug, Clone, PartialEq)]
pub struct IncomingPost {
    /// The post's id on its social network.
    pub post: PostRef,
    /// The author's name on the social network. It does not leave the edge.
    pub author: String,
    /// The text, at most [`TEXT_LIMIT`] bytes and with a visible character.
    pub text: String,
    /// When it was written.
    pub created_at: Utc,
    /// BCP 47 tag.
    pub lang: Option<String>,
    /// The network's id of the post that this one replies to.
    pub reply_to: Option<String>,
    /// The network's id of the post that this one repeats.
    pub repost_of: Option<String>,
    /// The web address of the post, if the settings keep it.
    pub url: Option<String>,
    /// Subjects that the source names.
    pub subjects: Vec<Slug>,
    /// Consent, if the source states it.
    pub consent: Option<ConsentState>,
    /// Whether the source states that the author is a minor, in the field `minor` or in a consent string.
    pub minor: bool,
    /// The network's number of this version: 0 for the first one.
    pub revision: u64,
    /// Further fields that the settings keep.
    pub meta: Map<String, Value>,
    /// The names of the fields of `meta` that the settings do not keep, and `url` if they do not keep that.
    pub dropped: Vec<String>,
}

/// A checked deletion: of a post, or of everything of an author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncomingDeletion {
    /// The social network.
    pub network: Slug,
    /// The network's id of the post. `None` = everything of the author.
    pub id: Option<String>,
    /// The author's name on the social network. It does not leave the edge.
    pub author: String,
    /// When the network deleted it.
    pub deleted_at: Utc,
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
    /// The value of the conversions, all together.
    pub value: Option<f64>,
    /// How many events it reports, at least 1.
    pub count: u64,
    /// The person, as the delivery named them.
    pub person: Option<Pseudonym>,
    /// When the event happened.
    pub at: Utc,
    /// Whether the sender takes the outcome back.
    pub withdrawn: bool,
    /// The sender's number of this statement.
    pub revision: u64,
    /// When the sender stated this, if it says so.
    pub stated_at: Option<Utc>,
    /// The idempotency key.
    pub id: String,
}

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
    let keeps = |field: &str| settings.keeps(&network, field);
    let url = fields.text_within(URL, 2_048)?;
    let is_without_url = url.is_some() && !keeps("url");
    let url = url.filter(|_| !is_without_url);
    let (reply_to, subjects) = (fields.name(REPLY_TO)?, fields.slugs(SUBJECTS, 16)?);
    let stated = fields.consent(settings.tcf_vendor)?;
    let minor = fields.flag(MINOR)?.unwrap_or(false) || stated.minor;
    let revision = fields.whole(POST_REVISION, 0)?.unwrap_or(0);
    let (meta, mut dropped) = fields.meta(keeps)?;
    let meta = not_too_deep(meta)?;
    if is_without_url {
        dropped.push("url".to_owned());
    }
    Ok(IncomingPost {
        post: PostRef { network, id },
        author,
        text,
        created_at,
        lang,
        reply_to,
        repost_of,
        url,
        subjects,
        consent: stated.consent,
        minor,
        revision,
        meta,
        dropped,
    })
}

/// Checks a deletion. `now` is the wall clock.
pub fn deletion(value: Value, settings: &Settings, now: Utc) -> Result<IncomingDeletion, Problem> {
    let mut fields = Fields::of(value)?;
    let network = fields.required(NETWORK, Fields::text)?;
    let network = Slug::new(&network).map_err(|error| NETWORK.problem(error))?;
    let id = fields.name(POST_ID)?;
    let author = fields.required(AUTHOR, Fields::name)?;
    let deleted_at = fields.required(DELETED_AT, Fields::time)?;
    in_range("deleted_at", deleted_at, settings, now)?;
    fields.nothing_left("deletion", &["network", "id", "author", "deleted_at"])?;
    Ok(IncomingDeletion {
        network,
        id,
        author,
        deleted_at,
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
    if let Some(value) = value.filter(|value| *value > VALUE_LIMIT) {
        return Err(VALUE.problem(format_args!("{value:e} is more than {VALUE_LIMIT:e}")));
    }
    let at = fields.required(AT, Fields::time)?;
    in_range("at", at, settings, now)?;
    let id = fields.required(OUTCOME_ID, Fields::name)?;
    let count = fields.whole(COUNT, 1)?.unwrap_or(1);
    let person = fields.text_within(PERSON, 64)?;
    let person = person
        .map(|person| Pseudonym::new(&person).map_err(|error| PERSON.problem(error)))
        .transpose()?;
    let withdrawn = fields.flag(WITHDRAWN)?.unwrap_or(false);
    let revision = fields.whole(REVISION, 0)?.unwrap_or(0);
    let stated_at = fields.time(STATED_AT)?;
    if let Some(stated_at) = stated_at {
        in_range("stated_at", stated_at, settings, now)?;
    }
    fields.nothing_left("outcome", OUTCOME_FIELDS)?;
    Ok(IncomingOutcome {
        decision,
        campaign,
        kind,
        value,
        count,
        person,
        at,
        withdrawn,
        revision,
        stated_at,
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
