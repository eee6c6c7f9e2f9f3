//! What the edge reads as JSON is JSON, with the same value, within the limits.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbic_ingest::incoming;
use serde_json::Value;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(value) = incoming::json(bytes) {
        assert_eq!(value, serde_json::from_slice::<Value>(bytes).unwrap());
    }
});
