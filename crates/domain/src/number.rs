//! Numbers whose types guarantee their range.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A number was outside the range its type allows.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("{value} is not in [{low}, {high}]")]
pub struct OutOfRange {
    /// What was given.
    pub value: f64,
    /// The smallest value allowed.
    pub low: f64,
    /// The largest value allowed.
    pub high: f64,
}

/// A probability: finite, in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "f64", into = "f64")]
pub struct Probability(f64);

impl Probability {
    /// Certain.
    pub const ONE: Self = Self(1.0);
    /// Impossible.
    pub const ZERO: Self = Self(0.0);

    /// Whether it is impossible.
    pub fn is_zero(&self) -> bool {
        self.0 <= 0.0
    }

    /// Refuses NaN and everything outside `[0, 1]`.
    pub fn new(value: f64) -> Result<Self, OutOfRange> {
        if (0.0..=1.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(OutOfRange {
                value,
                low: 0.0,
                high: 1.0,
            })
        }
    }

    /// The number itself.
    pub const fn get(self) -> f64 {
        self.0
    }
}

impl TryFrom<f64> for Probability {
    type Error = OutOfRange;

    fn try_from(value: f64) -> Result<Self, OutOfRange> {
        Self::new(value)
    }
}

impl From<Probability> for f64 {
    fn from(p: Probability) -> Self {
        p.0
    }
}

/// Money: millionths of the campaign's currency unit.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(transparent)]
pub struct Micros(pub i64);

impl Micros {
    /// The sum, saturating.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probability_is_never_nan_or_outside_its_range() {
        for bad in [f64::NAN, -0.1, 1.000_001, f64::INFINITY] {
            assert!(Probability::new(bad).is_err(), "{bad}");
            assert!(serde_json::from_str::<Probability>(&bad.to_string()).is_err());
        }
        assert!(Probability::new(0.25).is_ok_and(|p| p.get().to_bits() == 0.25f64.to_bits()));
    }
}
