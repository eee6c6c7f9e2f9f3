//! Detects a sample-ratio mismatch: arms that are not assigned in the intended shares.
//!
//! The test is a sequential multinomial test (Lindon and Malek 2022, "Anytime-valid inference for multinomial count
//! data"). The Bayes factor of "other shares" (a Dirichlet distribution around the intended ones) against "these
//! shares" is a martingale if the shares are right. The probability that it ever exceeds 1/α is therefore at most α,
//! however often it is read.

use serde::{Deserialize, Serialize};

use crate::{PolicyError, exact};

/// The state of the test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RatioAlarm {
    /// The intended shares, as the bits of `f64`s.
    shares: Vec<u64>,
    counts: Vec<u64>,
    total: u64,
    /// The expected counts, as the bits of `f64`s; empty as long as every assignment had the intended shares.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    expected: Vec<u64>,
    /// Logarithm of the Bayes factor.
    #[serde(with = "exact")]
    log_factor: f64,
    /// The largest value of the logarithm so far.
    #[serde(with = "exact")]
    highest: f64,
}

/// Concentration of the alternative's Dirichlet distribution around the intended shares, in pseudo-observations.
const CONCENTRATION: f64 = 100.0;

impl RatioAlarm {
    /// Starts a test for these shares. Returns an error unless they are positive and sum to 1.
    pub fn new(shares: &[f64]) -> Result<Self, PolicyError> {
        for &share in shares {
            crate::policy::within("shares", share, f64::MIN_POSITIVE..=1.0, "each must be positive")?;
        }
        let total: f64 = shares.iter().sum();
        crate::policy::within("shares", total, 1.0 - 1e-9..=1.0 + 1e-9, "they must sum to 1")?;
        Ok(Self {
            shares: shares.iter().map(|share| share.to_bits()).collect(),
            counts: vec![0; shares.len()],
            total: 0,
            expected: Vec::new(),
            log_factor: 0.0,
            highest: 0.0,
        })
    }

    /// Adds an assignment to `arm`. Returns whether the alarm is on at level `alpha`; once on, it stays on.
    ///
    /// An index beyond the shares is a mismatch and turns the alarm on.
    pub fn observe(&mut self, arm: usize, alpha: f64) -> bool {
        if !self.expected.is_empty() {
            let shares: Vec<f64> = self.shares.iter().map(|&share| f64::from_bits(share)).collect();
            return self.observe_with(arm, &shares, alpha);
        }
        if let (Some(count), Some(&share)) = (self.counts.get_mut(arm), self.shares.get(arm)) {
            let share = f64::from_bits(share);
            let predicted = (CONCENTRATION * share + *count as f64) / (CONCENTRATION + self.total as f64);
            self.log_factor += libm::log(predicted / share);
            *count += 1;
            self.total += 1;
        } else {
            self.log_factor = f64::INFINITY;
        }
        self.highest = self.highest.max(self.log_factor);
        self.alarmed(alpha)
    }

    /// Adds an assignment to `arm` that was drawn with `shares`, which may change from one to the next. They are positive and sum to
    /// 1. As [`Self::observe`] otherwise.
    pub fn observe_with(&mut self, arm: usize, shares: &[f64], alpha: f64) -> bool {
        if arm >= self.counts.len() || shares.len() != self.counts.len() {
            self.log_factor = f64::INFINITY;
            self.highest = f64::INFINITY;
            return true;
        }
        if self.expected.is_empty() {
            let total = self.total as f64;
            let expected = self.shares.iter().map(|&share| f64::from_bits(share) * total);
            self.expected = expected.map(f64::to_bits).collect();
        }
        // The alternative: the real share of an arm is its share times how often it came, compared with how often it should have.
        let arms = self.shares.iter().zip(&self.counts).zip(&self.expected);
        let weights: Vec<f64> = arms
            .zip(shares)
            .map(|(((&intended, &count), &expected), share)| {
                let prior = CONCENTRATION * f64::from_bits(intended);
                share * (prior + count as f64) / (prior + f64::from_bits(expected))
            })
            .collect();
        let predicted = weights[arm] / weights.iter().sum::<f64>();
        self.log_factor += libm::log(predicted / shares[arm]);
        self.counts[arm] += 1;
        self.total += 1;
        for (expected, share) in self.expected.iter_mut().zip(shares) {
            *expected = (f64::from_bits(*expected) + share).to_bits();
        }
        self.highest = self.highest.max(self.log_factor);
        self.alarmed(alpha)
    }

    /// Whether the alarm is on at level `alpha`.
    pub fn alarmed(&self, alpha: f64) -> bool {
        self.highest >= -libm::log(alpha)
    }

    /// A p-value that is valid however often it is read.
    pub fn p_value(&self) -> f64 {
        libm::exp(-self.highest).min(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Random, choose};

    fn alarms(shares: &[f64], real: &[f64], looks: usize) -> usize {
        (0..400)
            .filter(|&seed| {
                let mut alarm = RatioAlarm::new(shares).unwrap();
                let mut random = Random::new(seed);
                (0..looks).any(|_| alarm.observe(choose(real, random.unit()).unwrap(), 0.05))
            })
            .count()
    }

    #[test]
    fn right_shares_rarely_alarm_however_often_one_looks() {
        let shares = [0.5, 0.3, 0.2];
        // At most 5 % of 400, and four standard deviations of a binomial.
        assert!(alarms(&shares, &shares, 3000) <= 37);
    }

    #[test]
    fn shares_that_change_rarely_alarm_if_right_and_do_if_wrong() {
        let alarms = |factor: f64| {
            let alarmed = |seed: &u64| {
                let mut alarm = RatioAlarm::new(&[0.5, 0.5]).unwrap();
                let mut random = Random::new(*seed);
                (0..4_000).any(|look| {
                    let share = 0.1 + 0.4 * f64::from(look) / 4_000.0;
                    let arm = usize::from(random.unit() < share * factor);
                    alarm.observe_with(arm, &[1.0 - share, share], 0.05)
                })
            };
            (0..200).filter(alarmed).count()
        };
        assert!(alarms(1.0) <= 22, "{}", alarms(1.0));
        assert!(alarms(0.7) > 190, "{}", alarms(0.7));
    }

    #[test]
    fn wrong_shares_alarm() {
        assert!(alarms(&[0.5, 0.5], &[0.56, 0.44], 5000) > 390);
    }

    #[test]
    fn shares_that_are_none_are_refused_and_unknown_arms_alarm() {
        assert!(RatioAlarm::new(&[0.5, 0.6]).is_err());
        assert!(RatioAlarm::new(&[1.0, 0.0]).is_err());
        let mut alarm = RatioAlarm::new(&[0.5, 0.5]).unwrap();
        assert!(alarm.observe(2, 0.001) && alarm.p_value() < 1e-300);
    }
}
