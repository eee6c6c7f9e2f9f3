//! Hashed sparse features in namespaces, and the arms that carry them.
//!
//! A feature is a 32-bit hash and a value. Its namespace decides in which interactions it takes part: `feeling ×
//! tone` multiplies every feature of the one with every feature of the other. The order of insertion does not matter.

use serde::{Deserialize, Serialize};

use crate::random;

/// The hash that identifies a feature, and its value.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Feature(pub u32, pub f32);

/// Largest absolute value of a feature. A product of eight such values is still finite in `f32`.
pub const LARGEST: f64 = 30_000.0;

/// The features of a context or an arm.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Features {
    /// Hash of each namespace's name, ascending, and the end of its features in `features`.
    namespaces: Vec<(u32, u32)>,
    /// Sorted by namespace, then by hash.
    features: Vec<Feature>,
}

/// The hash of a namespace's name.
pub const fn namespace(name: &str) -> u32 {
    (random::hash(name.as_bytes()) >> 32) as u32
}

/// Prepares the left operand of [`join`]. The combination is not symmetric, so the caller fixes the order.
pub(crate) const fn scramble(left: u32) -> u32 {
    left.wrapping_mul(0x9e37_79b1).rotate_left(13)
}

/// The hash of an interaction: the result of [`scramble`] for the left feature, and the hash of the right one.
pub(crate) const fn join(ready: u32, right: u32) -> u32 {
    (ready ^ right).wrapping_mul(0x85eb_ca6b)
}

impl Features {
    /// A set without features.
    pub const fn new() -> Self {
        Self {
            namespaces: Vec::new(),
            features: Vec::new(),
        }
    }

    /// Adds the categorical feature `value` in the namespace `space`, with the numeric value 1.
    #[must_use]
    pub fn with(self, space: &str, value: &str) -> Self {
        let hash = join(scramble(namespace(space)), namespace(value));
        self.insert(namespace(space), Feature(hash, 1.0))
    }

    /// Adds the numeric feature `name` in the namespace `space`. NaN becomes 0, and values beyond ±[`LARGEST`] are
    /// cut. Choose units in which most values are about 1.
    #[must_use]
    pub fn with_number(self, space: &str, name: &str, value: f64) -> Self {
        let value = if value.is_nan() {
            0.0
        } else {
            value.clamp(-LARGEST, LARGEST) as f32
        };
        let hash = join(scramble(namespace(space)), namespace(name).rotate_left(7));
        self.insert(namespace(space), Feature(hash, value))
    }

    fn insert(mut self, name: u32, feature: Feature) -> Self {
        let at = match self.namespaces.binary_search_by_key(&name, |space| space.0) {
            Ok(at) => at,
            Err(at) => {
                let start = self.start(at);
                self.namespaces.insert(at, (name, start as u32));
                at
            }
        };
        let (start, end) = (self.start(at), self.namespaces[at].1 as usize);
        match self.features[start..end].binary_search_by_key(&feature.0, |known| known.0) {
            Ok(known) => self.features[start + known].1 = feature.1,
            Err(new) => {
                self.features.insert(start + new, feature);
                for space in &mut self.namespaces[at..] {
                    space.1 += 1;
                }
            }
        }
        self
    }

    fn start(&self, namespace: usize) -> usize {
        namespace
            .checked_sub(1)
            .map_or(0, |before| self.namespaces[before].1 as usize)
    }

    /// The features of the namespace whose [`namespace`] hash is `name`; empty if the namespace is unknown.
    pub fn in_namespace(&self, name: u32) -> &[Feature] {
        // They are few: looking at each is faster than a search.
        let mut start = 0;
        for &(known, end) in &self.namespaces {
            if known == name {
                return &self.features[start..end as usize];
            }
            start = end as usize;
        }
        &[]
    }

    /// All features, in an order that does not depend on the order of insertion.
    pub fn as_slice(&self) -> &[Feature] {
        &self.features
    }

    /// Number of features.
    pub const fn len(&self) -> usize {
        self.features.len()
    }

    /// Whether the set has no features.
    pub const fn is_empty(&self) -> bool {
        self.features.is_empty()
    }
}

/// One of the alternatives of a choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Arm {
    /// Identifies the arm: what is learned about it is stored under this id.
    pub id: String,
    /// The group of similar arms (for a creative, its tone). A new arm starts from the statistics of its family.
    pub family: String,
    /// The features of the arm, with its id (namespace `arm`) and its family (namespace `family`).
    pub features: Features,
}

impl Arm {
    /// Builds an arm and adds its id and its family to its features.
    pub fn new(id: impl Into<String>, family: impl Into<String>, features: Features) -> Self {
        let (id, family) = (id.into(), family.into());
        let features = features.with("arm", &id).with("family", &family);
        Self { id, family, features }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_insertion_does_not_matter() {
        let one = Features::new()
            .with("user", "tom")
            .with("time", "noon")
            .with_number("mood", "valence", 0.3);
        let two = Features::new()
            .with_number("mood", "valence", 0.3)
            .with("time", "noon")
            .with("user", "tom");
        assert_eq!(one, two);
        assert_eq!(one.len(), 3);
        assert_eq!(one.in_namespace(namespace("mood")).len(), 1);
        assert!(one.in_namespace(namespace("absent")).is_empty());
    }

    #[test]
    fn features_survive_a_snapshot_to_the_bit() {
        let features = Features::new()
            .with_number("m", "x", 0.1)
            .with_number("m", "y", 1.0 / 3.0);
        let text = serde_json::to_string(&features).unwrap();
        assert_eq!(serde_json::from_str::<Features>(&text).unwrap(), features);
    }
}
