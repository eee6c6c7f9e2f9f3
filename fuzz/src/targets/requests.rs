//! What a request brings.

use limbic_domain::Utc;
use limbic_ingest::{Settings, incoming};
use serde_json::Value;

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
