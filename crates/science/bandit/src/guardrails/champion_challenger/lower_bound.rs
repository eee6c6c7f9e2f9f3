//! A lower bound of a mean that is valid at all times.

use serde::{Deserialize, Serialize};

use crate::exact;

/// A one-sided confidence sequence for the mean of numbers in `[0, 1]`: a lower bound that is valid at all times.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LowerBound {
    count: u64,
    #[serde(with = "exact")]
    sum: f64,
    #[serde(with = "exact")]
    squares: f64,
    #[serde(with = "exact")]
    bets: f64,
    #[serde(with = "exact")]
    weighted: f64,
    #[serde(with = "exact")]
    variance_penalty: f64,
}

impl LowerBound {
    /// Adds a number; values outside `[0, 1]` are cut.
    pub fn observe(&mut self, value: f64, alpha: f64) {
        let value = value.clamp(0.0, 1.0);
        let before = self.count as f64;
        let mean = (0.5 + self.sum) / (before + 1.0);
        let variance = (0.25 + self.squares) / (before + 1.0);
        let count = before + 1.0;
        let ideal = -2.0 * libm::log(alpha) / (variance * count * libm::log(1.0 + count));
        let bet = ideal.sqrt().min(0.5);
        self.variance_penalty += (value - mean) * (value - mean) * (-libm::log(1.0 - bet) - bet);
        self.bets += bet;
        self.weighted += bet * value;
        self.count += 1;
        self.sum += value;
        let now = (0.5 + self.sum) / (count + 1.0);
        self.squares += (value - now) * (value - now);
    }

    /// The lower bound of the mean. With probability `1 − alpha` it is correct at all times together.
    pub fn at_least(&self, alpha: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        ((self.weighted - self.variance_penalty + libm::log(alpha)) / self.bets).max(0.0)
    }

    /// How many numbers were added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Mean of the numbers; 0 if there are none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }
}
