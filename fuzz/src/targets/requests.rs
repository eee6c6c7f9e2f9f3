//! What a request brings.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use limbic_domain::{ConsentState, Utc};
use limbic_ingest::{Settings, incoming};
use serde_json::{Value, json};

use super::items::{self as division, Indivisible, Items};

/// What the edge reads as JSON is JSON, with the same value.
pub fn json(bytes: &[u8]) {
    if let Ok(value) = incoming::json(bytes) {
        assert_eq!(value, serde_json::from_slice::<Value>(bytes).expect("it is JSON"));
    }
}

/// A body that serde_json reads as an array is divided into the same elements.
pub fn items(bytes: &[u8]) {
    const MOST: usize = 1_000;
    let divided = division::json(bytes, MOST);
    if let Ok(Items::Many(lines)) = division::lines(bytes, MOST) {
        assert!(lines.iter().all(|line| !bytes[line.clone()].contains(&b'\n')));
    }
    let Ok(Value::Array(expected)) = serde_json::from_slice(bytes) else { return };
    if expected.len() > MOST {
        assert!(matches!(divided, Err(Indivisible::TooMany)));
        return;
    }
    let Ok(Items::Many(ranges)) = divided else { panic!("not divided") };
    let read = |range| serde_json::from_slice(&bytes[range]).expect("an element is JSON");
    let found: Vec<Value> = ranges.into_iter().map(read).collect();
    assert_eq!(found, expected);
}

/// A post or an outcome that passes the checks is within the limits.
pub fn posts(bytes: &[u8]) {
    let Ok(value) = incoming::json(bytes) else { return };
    check_item(value);
}

/// A consent string permits nothing to an installation that is no vendor, whatever its bits are. The first byte chooses the form.
pub fn consent(bytes: &[u8]) {
    let Some((form, bits)) = bytes.split_first() else { return };
    let sections = || bits.chunks(40).map(|section| BASE64_URL_SAFE_NO_PAD.encode(section));
    let text = match form % 3 {
        0 => sections().collect::<Vec<_>>().join("."),
        1 => sections().collect::<Vec<_>>().join("~"),
        _ => String::from_utf8_lossy(bits).into_owned(),
    };
    let is_word = text.trim().eq_ignore_ascii_case("given");
    let post = json!({"network": "test", "id": "1", "author": "ann", "text": "goal", "created_at": "2026-11-01T10:00:00Z", "consent": text});
    check_item(post.clone());
    let (settings, now) = (Settings::default(), Utc::from_millis(1_796_000_000_000));
    if let Ok(post) = incoming::post(post.clone(), &settings, now) {
        assert!(post.consent != Some(ConsentState::Given) || is_word);
    }
    let vendor = Settings {
        tcf_vendor: Some(7),
        ..settings
    };
    let _ = incoming::post(post, &vendor, now);
}

/// Checks an item as the edge does.
pub(super) fn check_item(value: Value) {
    let (settings, now) = (Settings::default(), Utc::from_millis(1_796_000_000_000));
    if let Ok(post) = incoming::post(value.clone(), &settings, now) {
        assert!(post.text.len() <= incoming::TEXT_LIMIT && post.author.len() <= incoming::NAME_LIMIT);
        assert!(!post.text.contains('\0') && !post.author.contains('\0') && !post.post.id.contains('\0'));
    }
    if let Ok(outcome) = incoming::outcome(value, &settings, now) {
        assert!(outcome.value.is_none_or(|value| value.abs() <= incoming::VALUE_LIMIT));
    }
}
