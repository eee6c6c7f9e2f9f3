//! Creatives that become decisions.

use crate::harness::{Harness, creatives};
use limbic_domain::topics;
use limbic_optimize::OptimizeSettings;

#[test]
fn creatives_that_no_gate_has_cleared_are_never_decided_on() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.cleared_by.clear();
    let without = String::from_utf8(set.encode()).unwrap();
    let without = without.replace(r#","cleared_by":"""#, "");
    assert!(!without.contains("cleared_by"));
    harness.feed(vec![
        (topics::CREATIVES, set.encode()),
        (topics::CREATIVES, without.into_bytes()),
        (topics::CREATIVES, b"{".to_vec()),
    ]);
    assert!(harness.decisions.is_empty());
    let reasons: Vec<_> = harness.dead.iter().map(|dead| dead.reason).collect();
    assert_eq!(reasons, ["not_cleared", "malformed", "malformed"]);
}

#[test]
fn nothing_to_choose_or_nobody_to_reach_is_a_stated_decision() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let mut set = creatives("m", 1);
    set.data.creatives.clear();
    harness.feed(vec![(topics::CREATIVES, set.encode())]);
    let mut set = creatives("n", 1);
    set.data.people.clear();
    harness.feed(vec![(topics::CREATIVES, set.encode())]);
    let rules: Vec<_> = harness
        .decisions
        .iter()
        .map(|decision| decision.data.suppressed().unwrap().rule.clone())
        .collect();
    assert_eq!(rules, ["no_eligible_candidate", "no_person_left"]);
}

#[test]
fn the_same_creatives_twice_are_decided_once() {
    let mut harness = Harness::new(OptimizeSettings::default());
    let set = (topics::CREATIVES, creatives("m", 1).encode());
    harness.feed(vec![set.clone(), set.clone()]);
    harness.feed(vec![set]);
    assert_eq!(harness.decisions.len(), 1);
}
