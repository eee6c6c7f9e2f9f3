//! Floating-point numbers that survive a snapshot to the last bit.
//!
//! JSON readers may be off by one unit in the last place; a posterior that comes back almost equal would make replay
//! draw differently. Numbers of a snapshot are therefore written as their IEEE 754 bits.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// For `#[serde(with = "exact")]` on an `f64`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    value.to_bits().serialize(serializer)
}

/// See [`serialize`].
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    u64::deserialize(deserializer).map(f64::from_bits)
}
