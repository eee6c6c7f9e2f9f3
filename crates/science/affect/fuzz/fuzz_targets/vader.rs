//! Scores are within their ranges, and a reused scratch gives the same scores as a new one.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use limbic_affect::{VaderScratch, Vader};

thread_local! {
    static ROOM: RefCell<VaderScratch> = RefCell::default();
}

fuzz_target!(|text: &str| {
    let vader = Vader::new();
    let scores = ROOM.with_borrow_mut(|room| vader.score_in(text, room));
    assert_eq!(vader.score(text), scores);
    assert!((-1.0..=1.0).contains(&scores.compound));
    for share in [scores.neg, scores.neu, scores.pos] {
        assert!((0.0..=1.0).contains(&share), "{scores:?}");
    }
    let sum = scores.neg + scores.neu + scores.pos;
    assert!(sum == 0.0 || (sum - 1.0).abs() < 0.0021, "{scores:?}");
});
