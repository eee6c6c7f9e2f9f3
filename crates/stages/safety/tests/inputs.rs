//! P10: of a person, the program reads what they write, and nothing else.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::BTreeSet;

use limbic_domain::{Post, Reading};
use schemars::JsonSchema;

fn fields<T: JsonSchema>() -> BTreeSet<String> {
    let schema = serde_json::to_value(schemars::schema_for!(T)).unwrap();
    schema["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect()
}

/// A new field is listed here after somebody has looked at it: it must not hold an image, a voice, a face or another biometric sign.
#[test]
fn a_post_and_its_reading_have_no_field_for_anything_but_text() {
    let post = [
        "author",
        "consent",
        "created_at",
        "id",
        "lang",
        "meta",
        "minor",
        "network",
        "reply_to",
        "repost_of",
        "revision",
        "subjects",
        "text",
        "url",
    ];
    assert_eq!(fields::<Post>(), post.map(str::to_owned).into());
    let reading = [
        "arousal",
        "author",
        "consent",
        "distress",
        "emotions",
        "entities",
        "fingerprint",
        "hate",
        "intensity",
        "intent",
        "irony",
        "language",
        "minor",
        "model",
        "offence",
        "out_of_domain",
        "post",
        "revision",
        "sentiment",
        "subjects",
        "unknown_language",
        "valence",
    ];
    assert_eq!(fields::<Reading>(), reading.map(str::to_owned).into());
}
