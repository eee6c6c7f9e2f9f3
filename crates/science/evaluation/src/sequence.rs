//! The guaranteed interval: a confidence sequence that needs no largest weight.
//!
//! With rewards scaled to `[0, 1]`, the lower end bounds the mean of *w r* from below, and the upper end bounds the
//! mean of *w (1 − r)* from below. Both are at least 0, so a large weight can only make them larger. An arm that was
//! never drawn, or could not be drawn, is missing from both sums: the interval is wide there, not wrong
//! (Karampatziakis, Mineiro and Ramdas 2021, "Off-policy confidence sequences"; Waudby-Smith, Wu, Ramdas,
//! Karampatziakis and Mineiro 2022, "Anytime-valid off-policy inference for contextual bandits").
//!
//! For a term ξ ≥ −b and 0 ≤ λ b < 1, `exp(λ ξ − ψ(λ b) ξ² / b²) ≤ 1 + λ ξ` with `ψ(u) = −ln(1 − u) − u` (Fan, Grama
//! and Liu 2015). So the product over the rows of these exponentials of ξ − E ξ is a supermartingale for any fixed λ,
//! and so is a fixed mixture over several λ. By Ville's inequality it ever reaches 1/δ with probability δ at most. The
//! conditional mean of a row may be any function of the rows before it: logging policies that learn, values that
//! drift, and policies that learn along the log are all covered. What is bounded is the mean of these conditional
//! means over the rows.
//!
//! If the log has the propensity of every candidate, each row is centred: with m, a prediction of the value from
//! earlier rows, the term is *w (r − m)* instead of *w r − m*. Its variance does not have the variance of the weights.
//! Where *w m* may exceed the bound of a λ, the control variate is cut at this bound, and the expectation of what was
//! cut is subtracted; this is a sum over the candidates.

use crate::intervals::Interval;

/// Number of rates λ: 2⁻² to 2⁻¹⁶, good for up to about 10⁹ rows.
const RATES: usize = 15;

/// The λ of a place in the mixture.
fn rate(place: usize) -> f64 {
    0.25 * 0.5_f64.powi(place as i32)
}

/// `−ln(1 − u) − u`.
fn psi(u: f64) -> f64 {
    -(-u).ln_1p() - u
}

/// What the log knows about the choice of one row.
pub(super) struct Draw<'a> {
    /// The uncut weight.
    pub(super) weight: f64,
    /// The reward, scaled to `[0, 1]`.
    pub(super) reward: f64,
    /// The policy's probability of each candidate.
    pub(super) probabilities: &'a [f64],
    /// The logged propensity of each candidate; empty if the log does not have them.
    pub(super) propensities: &'a [f32],
    /// The value predicted from earlier rows, in `[0, 1]`.
    pub(super) predicted: f64,
}

/// Sums of one lower bound.
#[derive(Debug, Clone, Copy, Default)]
struct Terms {
    /// Σ ξ and Σ ξ² of the rows whose control variate was cut for this rate.
    cut: [(f64, f64); RATES],
    /// The same for rows that are uncut from this rate on.
    uncut: [(f64, f64); RATES],
    /// Sum of the predictions.
    centre: f64,
}

impl Terms {
    fn add_from(&mut self, place: usize, term: f64) {
        let (sum, square) = &mut self.uncut[place];
        *sum += term;
        *square += term * term;
    }

    fn add_at(&mut self, place: usize, term: f64) {
        let (sum, square) = &mut self.cut[place];
        *sum += term;
        *square += term * term;
    }

    fn absorb(&mut self, other: &Self) {
        for place in 0..RATES {
            for (mine, theirs) in [
                (&mut self.cut[place], other.cut[place]),
                (&mut self.uncut[place], other.uncut[place]),
            ] {
                mine.0 += theirs.0;
                mine.1 += theirs.1;
            }
        }
        self.centre += other.centre;
    }

    /// The lower bound of the sum of the conditional means, which fails with probability `delta` at most.
    fn lower(&self, known: bool, delta: f64) -> f64 {
        let needed = (RATES as f64 / delta).ln();
        let mut running = (0.0, 0.0);
        // (λ, λ Σ ξ − ψ Σ ξ²) for each rate.
        let exponents: Vec<(f64, f64)> = (0..RATES)
            .map(|place| {
                running.0 += self.uncut[place].0;
                running.1 += self.uncut[place].1;
                let (sum, square) = (running.0 + self.cut[place].0, running.1 + self.cut[place].1);
                let rate = rate(place);
                let bound = if known { bound(place) } else { 1.0 };
                (rate, rate * sum - psi(rate * bound) / (bound * bound) * square)
            })
            .collect();
        let evidence = |x: f64| -> f64 {
            let largest = exponents
                .iter()
                .map(|(rate, exponent)| exponent - rate * x)
                .fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = exponents
                .iter()
                .map(|(rate, exponent)| (exponent - rate * x - largest).exp())
                .sum();
            largest + sum.ln()
        };
        // A single rate that has enough evidence alone, and the place where not even the sum of all has.
        let best = |log_term: f64| {
            exponents
                .iter()
                .map(|(rate, exponent)| (exponent - log_term) / rate)
                .fold(f64::NEG_INFINITY, f64::max)
        };
        let (mut low, mut high) = (best(needed), best(needed - (RATES as f64).ln()));
        for _ in 0..80 {
            let middle = 0.5 * (low + high);
            if evidence(middle) >= needed {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.centre + low
    }
}

/// Every term is at least minus this, for the rate at a place. λ times the bound is ¼ for every rate.
fn bound(place: usize) -> f64 {
    0.25 / rate(place)
}

/// The sums of both ends of the interval, of the value and of its difference to the logged value.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sequence {
    rows: f64,
    /// Lower ends: of the value, and of the difference.
    low: [Terms; 2],
    /// Upper ends, as lower ends for 1 − reward.
    high: [Terms; 2],
}

impl Sequence {
    /// Adds a row.
    pub(super) fn add(&mut self, draw: &Draw<'_>) {
        self.rows += 1.0;
        let mut largest = 0.0_f64;
        for (p, q) in draw.probabilities.iter().zip(draw.propensities) {
            if *p > 0.0 {
                largest = largest.max(p / f64::from(*q));
            }
        }
        let sides = [
            (&mut self.low, draw.reward, draw.predicted),
            (&mut self.high, 1.0 - draw.reward, 1.0 - draw.predicted),
        ];
        for ([value, difference], reward, predicted) in sides {
            value.centre += predicted;
            if draw.propensities.is_empty() {
                value.add_from(0, draw.weight * reward - predicted);
                difference.add_from(0, (draw.weight - 1.0) * reward);
                continue;
            }
            let term = draw.weight * (reward - predicted);
            let logged = reward - predicted;
            for place in 0..RATES {
                // The control variate is cut here, so that the term is at least −(cut + 1) = −bound.
                let cut = bound(place) - 1.0;
                if largest * predicted <= cut {
                    value.add_from(place, term);
                    difference.add_from(place, term - logged);
                    break;
                }
                let expected: f64 = draw
                    .probabilities
                    .iter()
                    .zip(draw.propensities)
                    .map(|(p, q)| (p * predicted - cut * f64::from(*q)).max(0.0))
                    .sum();
                let bounded = term + (draw.weight * predicted - cut).max(0.0) - expected;
                value.add_at(place, bounded);
                difference.add_at(place, bounded - logged);
            }
        }
    }

    /// Adds the sums of other rows.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.rows += other.rows;
        let mine = self.low.iter_mut().chain(&mut self.high);
        for (mine, theirs) in mine.zip(other.low.iter().chain(&other.high)) {
            mine.absorb(theirs);
        }
    }

    /// The interval of the value, in `[0, 1]`; `None` if no value agrees with both ends, which only wrong
    /// propensities explain.
    pub(super) fn value(&self, known: bool, confidence: f64) -> Option<Interval> {
        self.interval(0, known, confidence, (0.0, 1.0))
    }

    /// The interval of the difference to the logged value, in `[−1, 1]`.
    pub(super) fn difference(&self, known: bool, confidence: f64) -> Option<Interval> {
        self.interval(1, known, confidence, (-1.0, 1.0))
    }

    fn interval(&self, which: usize, known: bool, confidence: f64, range: (f64, f64)) -> Option<Interval> {
        let delta = (1.0 - confidence) / 2.0;
        let low = self.low[which].lower(known, delta) / self.rows;
        let opposite = self.high[which].lower(known, delta) / self.rows;
        // 1 − (1 − value), and −(−difference).
        let high = if which == 0 { 1.0 - opposite } else { -opposite };
        let (low, high) = (low.max(range.0), high.min(range.1));
        (low <= high).then_some(Interval { low, high })
    }
}

/// Predictions of the value for the rows of a log, each from the rows before its block. Blocks are short at the
/// beginning of the log.
pub(super) struct Predictions {
    by_block: Vec<f64>,
}

/// Rows in the first block; the following blocks double the number of rows up to [`LONGEST`].
const FIRST: usize = 32;
const LONGEST: usize = 4096;

fn block_of(row: usize) -> usize {
    match row {
        0..FIRST => 0,
        FIRST..LONGEST => (row / FIRST).ilog2() as usize + 1,
        _ => (LONGEST / FIRST).ilog2() as usize + row / LONGEST,
    }
}

impl Predictions {
    /// From the weight and the scaled reward of each row.
    pub(super) fn new(rows: impl Iterator<Item = (f64, f64)>) -> Self {
        let mut by_block = Vec::new();
        let (mut earned, mut weights) = (0.5, 1.0);
        for (row, (weight, reward)) in rows.enumerate() {
            if block_of(row) == by_block.len() {
                by_block.push(f64::clamp(earned / weights, 0.0, 1.0));
            }
            earned += weight * reward;
            weights += weight;
        }
        Self { by_block }
    }

    pub(super) fn of(&self, row: usize) -> f64 {
        self.by_block[block_of(row)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbic_bandit::random::Random;

    /// One row with two candidates, one of which is rare.
    fn row(
        random: &mut Random,
        sequence: &mut Sequence,
        known: bool,
        pays: [f64; 2],
        rare: f64,
        predicted: f64,
    ) {
        let propensities = [rare as f32, 1.0 - rare as f32];
        let arm = usize::from(random.unit() >= f64::from(propensities[0]));
        sequence.add(&Draw {
            weight: 0.5 / f64::from(propensities[arm]),
            reward: f64::from(u8::from(random.unit() < pays[arm])),
            probabilities: &[0.5, 0.5],
            propensities: if known { &propensities } else { &[] },
            predicted,
        });
    }

    #[test]
    fn an_arm_that_is_hardly_ever_drawn_makes_the_interval_wide_and_not_wrong() {
        for known in [true, false] {
            let mut wrong = 0;
            for run in 0..400 {
                let mut random = Random::new(run);
                let mut sequence = Sequence::default();
                for _ in 0..500 {
                    row(&mut random, &mut sequence, known, [0.9, 0.1], 0.001, 0.3);
                }
                let value = sequence.value(known, 0.9).unwrap();
                let difference = sequence.difference(known, 0.9).unwrap();
                let logged = 0.001 * 0.9 + 0.999 * 0.1;
                wrong += u32::from(!value.contains(0.5) || !difference.contains(0.5 - logged));
                assert!(value.high - value.low > 0.3, "{value:?}");
            }
            assert!(wrong <= 40, "{wrong} of 400");
        }
    }

    #[test]
    fn candidates_make_the_upper_end_as_sharp_as_the_lower() {
        let width = |known| {
            let mut random = Random::new(1);
            let mut sequence = Sequence::default();
            for _ in 0..20_000 {
                row(&mut random, &mut sequence, known, [0.02, 0.02], 0.2, 0.02);
            }
            let Interval { low, high } = sequence.value(known, 0.95).unwrap();
            assert!(low <= 0.02 && 0.02 <= high, "{low} {high}");
            high - low
        };
        assert!(width(true) < 0.02, "{}", width(true));
        assert!(width(false) > 2.0 * width(true), "{}", width(false));
    }

    #[test]
    fn parts_of_a_log_add_up() {
        let mut random = Random::new(3);
        let (mut whole, mut parts) = (Sequence::default(), [Sequence::default(); 2]);
        for index in 0..100 {
            let mut copy = random.clone();
            row(&mut random, &mut whole, true, [0.5, 0.2], 0.02, 0.4);
            row(&mut copy, &mut parts[index / 50], true, [0.5, 0.2], 0.02, 0.4);
        }
        let [mut joined, second] = parts;
        joined.absorb(&second);
        let (one, two) = (whole.value(true, 0.9).unwrap(), joined.value(true, 0.9).unwrap());
        assert!((one.low - two.low).abs() < 1e-9 && (one.high - two.high).abs() < 1e-9);
    }

    #[test]
    fn a_prediction_uses_only_earlier_blocks() {
        let rewards = |last: f64| (0..5000).map(move |row| (1.0, if row >= 4096 { last } else { 0.25 }));
        let (one, two) = (Predictions::new(rewards(0.0)), Predictions::new(rewards(1.0)));
        for row in [0, 31, 32, 63, 64, 2047, 2048, 4095, 4096, 4999] {
            assert_eq!(one.of(row).to_bits(), two.of(row).to_bits(), "{row}");
        }
        assert!((one.of(0) - 0.5).abs() < 1e-12);
        assert!((one.of(4096) - 0.25).abs() < 1e-3);
    }
}
