//! The usual valence of an audience: a slow mean with a confidence interval.

use limbic_domain::Utc;
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::arithmetic::{decay, ln};
use crate::detector::{Band, Run};
use crate::settings::ChangeSettings;

/// Decayed sums of valence.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Baseline {
    at: Utc,
    /// Sum of the weights.
    weight: f64,
    /// Sum of their squares.
    weight_squares: f64,
    sum: f64,
    squares: f64,
}

impl Baseline {
    pub(crate) const fn new() -> Self {
        Self {
            at: Utc::MIN,
            weight: 0.0,
            weight_squares: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }

    /// The level after a change: the posts since it began, the last of them at `at`.
    pub(crate) const fn of(run: &Run, at: Utc) -> Self {
        Self {
            at,
            weight: run.posts as f64,
            weight_squares: run.posts as f64,
            sum: run.sum,
            squares: run.squares,
        }
    }

    pub(crate) fn add(&mut self, x: f64, at: Utc, settings: &ChangeSettings) {
        let half_life = settings.baseline_half_life.as_millis();
        if at > self.at {
            let left = decay(at.millis_since(self.at), half_life);
            self.weight *= left;
            self.weight_squares *= left * left;
            self.sum *= left;
            self.squares *= left;
            self.at = at;
        }
        let weight = decay(self.at.millis_since(at), half_life);
        self.weight += weight;
        self.weight_squares += weight * weight;
        self.sum += weight * x;
        self.squares += weight * x * x;
    }

    /// Mean valence in `[-1, 1]`; 0 before the first post.
    pub(crate) fn mean(&self) -> f64 {
        if self.weight > 0.0 {
            (self.sum / self.weight).clamp(-1.0, 1.0)
        } else {
            0.0
        }
    }

    /// The effective number of posts (Kish's effective sample size).
    fn posts(&self) -> f64 {
        if self.weight_squares > 0.0 {
            self.weight * self.weight / self.weight_squares
        } else {
            0.0
        }
    }

    /// The interval that contains the mean if nothing has changed. `None` if there are too few posts.
    ///
    /// It is the baseline's mean plus or minus the tolerance and the radius of the empirical Bernstein bound (Maurer and
    /// Pontil, "Empirical Bernstein bounds and sample variance penalization", COLT 2009, theorem 4, two-sided, for a
    /// range of 2). The bound is exact for a given number of independent posts with equal weights. For decayed weights,
    /// the effective number is used instead.
    pub(crate) fn band(&self, settings: &ChangeSettings) -> Option<Band> {
        let posts = self.posts();
        if posts < settings.least_posts as f64 {
            return None;
        }
        let mean = self.mean();
        let variance = (self.squares / self.weight - mean * mean).max(0.0) * posts / (posts - 1.0);
        let surprise = ln(4.0 / settings.baseline_risk);
        let radius = (2.0 * variance * surprise / posts).sqrt() + 14.0 * surprise / (3.0 * (posts - 1.0));
        let slack = radius + settings.tolerance;
        Some(Band {
            low: mean - slack,
            high: mean + slack,
        })
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.time(self.at);
        for number in [self.weight, self.weight_squares, self.sum, self.squares] {
            to.number(number);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(Self {
            at: from.time()?,
            weight: from.number()?,
            weight_squares: from.number()?,
            sum: from.number()?,
            squares: from.number()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_band_narrows_as_posts_come_and_holds_the_mean() {
        let settings = ChangeSettings::default();
        let mut baseline = Baseline::new();
        let mut widths = Vec::new();
        for post in 0..2_000 {
            assert_eq!(baseline.band(&settings).is_some(), post >= 100);
            baseline.add(
                if post % 2 == 0 { 0.5 } else { -0.5 },
                Utc::from_millis(0),
                &settings,
            );
            if let Some(band) = baseline.band(&settings) {
                assert!(band.low < 0.0 && band.high > 0.0);
                widths.push(band.high - band.low);
            }
        }
        assert!(widths.first().unwrap() > &0.5);
        assert!(widths.last().unwrap() < &0.15);
    }

    #[test]
    fn old_posts_count_for_less() {
        let settings = ChangeSettings {
            baseline_half_life: limbic_domain::HumanDuration::from_secs(1),
            ..ChangeSettings::default()
        };
        let mut baseline = Baseline::new();
        for post in 0..10_000 {
            baseline.add(0.1, Utc::from_millis(post * 1_000), &settings);
        }
        assert!(baseline.posts() < 4.0);
        assert_eq!(baseline.band(&settings), None);
    }
}
