//! A body that serde_json reads as an array is divided into the same elements.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;

#[path = "../../../../edges/api/src/items.rs"]
#[allow(dead_code)]
mod items;

fuzz_target!(|bytes: &[u8]| {
    let divided = items::json(bytes, 1_000);
    let _ = items::lines(bytes, 1_000);
    let Ok(Value::Array(expected)) = serde_json::from_slice(bytes) else { return };
    if expected.len() > 1_000 {
        assert!(matches!(divided, Err(items::Indivisible::TooMany)));
        return;
    }
    let Ok(items::Items::Many(ranges)) = divided else { panic!("not divided") };
    let found: Vec<Value> = ranges.into_iter().map(|range| serde_json::from_slice(&bytes[range]).unwrap()).collect();
    assert_eq!(found, expected);
});
