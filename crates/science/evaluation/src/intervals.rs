//! Intervals of an estimate.
//!
//! * `confidence_sequence`: see [`sequence`](crate::sequence). Guaranteed for every number of rows.
//! * `asymptotic`: the estimate is a function of means over the rows, so its error is nearly the mean of one term per
//!   row (the delta method). The interval is a quantile of Student's distribution times the standard error, with as
//!   many degrees of freedom as the estimated variance has (Satterthwaite 1946). It is valid if no few rows decide:
//!   [`Linear::lyapunov`] measures that, and above [`LYAPUNOV`] the interval is not given.

use serde::{Deserialize, Serialize};

/// An interval of the value, at the report's confidence.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end; not below `low`.
    pub high: f64,
}

impl Interval {
    /// Whether the value lies in the interval.
    pub fn contains(self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The interval after `value · factor + shift`, for a factor above 0.
    #[must_use]
    pub(super) fn scaled(self, factor: f64, shift: f64) -> Self {
        Self {
            low: self.low * factor + shift,
            high: self.high * factor + shift,
        }
    }

    /// The interval, longer by `by` at both ends.
    #[must_use]
    pub(super) fn widened(self, by: f64) -> Self {
        Self {
            low: self.low - by,
            high: self.high + by,
        }
    }
}

/// Largest number of units of which the asymptotic interval is computed. A longer log is cut into this many blocks of
/// consecutive rows, so that what neighbouring rows share enters the error.
pub(super) const BLOCKS: usize = 10_000;

/// The largest Lyapunov ratio with an asymptotic interval. The ratio is 1/√n if n equal draws decide, so 0.2 is 25 draws.
pub(super) const LYAPUNOV: f64 = 0.2;

/// Up to this ratio (100 draws), the asymptotic interval has its plain length.
const PLAIN: f64 = 0.1;

/// Factor on the length of an interval: 1 up to [`PLAIN`], 2 at [`LYAPUNOV`]. Whether an interval is given depends on the
/// draws that it is computed from. Near the limit, it is given when more rewards were drawn than usual, and at its plain
/// length it would then be wrong more often than it promises.
pub(super) fn stretch(lyapunov: f64) -> f64 {
    1.0 + (lyapunov - PLAIN).max(0.0) / (LYAPUNOV - PLAIN)
}

/// Power sums of the terms whose mean is the error of an estimate.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Linear {
    units: f64,
    square: f64,
    cube: f64,
    fourth: f64,
}

impl Linear {
    /// From one term per unit. Their sum is 0 up to rounding.
    pub(super) fn of(terms: impl Iterator<Item = f64>) -> Self {
        let mut sums = Self::default();
        for term in terms {
            let square = term * term;
            sums.units += 1.0;
            sums.square += square;
            sums.cube += square * term.abs();
            sums.fourth += square * square;
        }
        sums
    }

    /// Σ |term|³ / (Σ term²)^1.5; 0 if all terms are 0.
    pub(super) fn lyapunov(&self) -> f64 {
        if self.square > 0.0 {
            self.cube / self.square.powf(1.5)
        } else {
            0.0
        }
    }

    /// Half of the interval's length, for an estimate that is the sum of the terms divided by `rows`. `None` for fewer
    /// than two units, or if no term differs from 0: then the log says nothing about the error.
    pub(super) fn half_width(&self, rows: f64, confidence: f64) -> Option<f64> {
        if self.units < 2.0 || self.square <= 0.0 {
            return None;
        }
        let variance = self.square * self.units / (self.units - 1.0);
        let excess = self.fourth - self.square * self.square / self.units;
        let freedom = if excess > 0.0 {
            (2.0 * self.square * self.square / excess).clamp(3.0, self.units - 1.0)
        } else {
            self.units - 1.0
        };
        Some(student_quantile(0.5 + confidence / 2.0, freedom) * variance.sqrt() / rows)
    }
}

/// The quantile of the normal distribution, for `p` in [0.5, 1).
fn normal_quantile(p: f64) -> f64 {
    let (mut low, mut high) = (0.0, 40.0);
    for _ in 0..100 {
        let middle = 0.5 * (low + high);
        if 0.5 * libm::erfc(middle / std::f64::consts::SQRT_2) > 1.0 - p {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// The quantile of Student's distribution, for `p` in [0.5, 1) and `freedom` of at least 3: the expansion by powers of
/// 1/freedom (Abramowitz and Stegun 1964, 26.7.5). Its error is below 0.004 for `p` = 0.975 and 3 degrees, and falls
/// with the fifth power of the degrees.
fn student_quantile(p: f64, freedom: f64) -> f64 {
    let z = normal_quantile(p);
    let z2 = z * z;
    let terms = [
        (z2 + 1.0) / 4.0,
        ((5.0 * z2 + 16.0) * z2 + 3.0) / 96.0,
        (((3.0 * z2 + 19.0) * z2 + 17.0) * z2 - 15.0) / 384.0,
        ((((79.0 * z2 + 776.0) * z2 + 1482.0) * z2 - 1920.0) * z2 - 945.0) / 92_160.0,
    ];
    let mut factor = 1.0;
    let mut power = 1.0;
    for term in terms {
        power /= freedom;
        factor += term * power;
    }
    z * factor
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        assert!((normal_quantile(0.975) - 1.959_963_985).abs() < 1e-8);
        assert!(normal_quantile(0.5).abs() < 1e-9);
        for (p, freedom, expected) in [
            (0.975, 3.0, 3.182_446),
            (0.975, 5.0, 2.570_582),
            (0.975, 10.0, 2.228_139),
            (0.95, 30.0, 1.697_261),
            (0.995, 20.0, 2.845_340),
        ] {
            let found = student_quantile(p, freedom);
            let tolerance = 1.0 / f64::powi(freedom, 4);
            assert!((found - expected).abs() < tolerance, "{p} {freedom}: {found}");
        }
    }

    #[test]
    fn a_few_draws_that_decide_are_noticed() {
        // A hundred terms of one size among ten thousand zeros.
        let terms = |deciding: usize| (0..10_000).map(move |i| f64::from(u8::from(i < deciding)));
        assert!((Linear::of(terms(100)).lyapunov() - 0.1).abs() < 1e-12);
        assert!(Linear::of(terms(10)).lyapunov() > LYAPUNOV);
        let few = Linear::of(terms(10)).half_width(10_000.0, 0.95).unwrap();
        assert!(few > 1.96 * 10.0_f64.sqrt() / 10_000.0);
        assert_eq!(Linear::of(terms(0)).half_width(10_000.0, 0.95), None);
    }
}
