//! Floating-point numbers that survive a snapshot to the bit.
//!
//! Some JSON parsers are off by one unit in the last place. A replay would then draw from a slightly different
//! posterior. Snapshots therefore contain IEEE 754 bits instead of decimal numbers.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Used by `#[serde(with = "exact")]` on an `f64`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_bits().serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    u64::deserialize(deserializer).map(f64::from_bits)
}
