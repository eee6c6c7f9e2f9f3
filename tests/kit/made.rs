//! JSON answers of a node, and the comparison of results of nodes.

use std::collections::{BTreeMap, BTreeSet};

use limbic_domain::Decision;
use serde::Deserialize as _;
use serde_json::Value;

/// Lists by name. Each has its items as text, without order.
pub(crate) type Made = BTreeMap<&'static str, BTreeSet<String>>;

/// The value at a JSON pointer (RFC 6901), for instance `/topics/posts/records`. Panics if it is absent, because a test
/// that reads a wrong field must not pass.
pub(crate) fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value
        .pointer(pointer)
        .unwrap_or_else(|| panic!("there is no {pointer} in {value}"))
}

/// The integer at a JSON pointer.
pub(crate) fn count(value: &Value, pointer: &str) -> u64 {
    let found = at(value, pointer);
    found
        .as_u64()
        .unwrap_or_else(|| panic!("{pointer} is {found}, not a count"))
}

/// The array at a JSON pointer.
pub(crate) fn items<'a>(value: &'a Value, pointer: &str) -> &'a [Value] {
    let found = at(value, pointer);
    found
        .as_array()
        .unwrap_or_else(|| panic!("{pointer} is {found}, not an array"))
}

/// Whether a decision in a node's answer chose an ad.
pub(crate) fn is_chosen(decision: &Value) -> bool {
    Decision::deserialize(decision).unwrap().chosen().is_some()
}

/// Panics with the first differences, unless both are equal.
pub(crate) fn assert_same(left: &Made, right: &Made, what: &str) {
    assert!(left.keys().eq(right.keys()), "{what}: different lists");
    for (list, left) in left {
        let right = &right[list];
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
            let only: Vec<&String> = a.difference(b).collect();
            format!("{} of {}, first {:?}", only.len(), a.len(), only.first())
        };
        assert!(
            left == right,
            "{what}: {list} differ\n  only on the left: {}\n  only on the right: {}",
            only(left, right),
            only(right, left)
        );
    }
}
