//! Every item has an answer, and what is wrong is one of its fields.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbic_domain::Utc;
use limbic_ingest::{Settings, incoming};

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = incoming::json(bytes) else { return };
    let (settings, now) = (Settings::default(), Utc::from_millis(1_796_000_000_000));
    if let Ok(post) = incoming::post(value.clone(), &settings, now) {
        assert!(post.text.len() <= incoming::TEXT_LIMIT && post.author.len() <= incoming::NAME_LIMIT);
    }
    if let Ok(outcome) = incoming::outcome(value, &settings, now) {
        assert!(outcome.value.is_none_or(|value| (0.0..=incoming::VALUE_LIMIT).contains(&value)));
    }
});
