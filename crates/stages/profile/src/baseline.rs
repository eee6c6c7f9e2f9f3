//! The usual valence of an audience, by hour of the week.
//!
//! # The model
//!
//! People are happier in the evening than in the morning, and on Fridays than on Mondays. So a post is compared with what is usual
//! in its hour. The means of the 168 hours of a week are estimated together, because few audiences write enough in each:
//!
//! * The mean of an hour of the week is near the mean of its hour of the day ([`DAY_SPREAD`]).
//! * The mean of an hour of the day is near those of the hours before and after it ([`HOUR_SPREAD`]).
//!
//! Both are normal priors, so the estimate is exact and cheap: two passes of a Kalman filter around the clock, once an hour. An hour
//! of the week with few posts falls back on its hour of the day, that one on its neighbours, and in the end on the mean of all. The
//! estimate is fixed when the hour begins. Within the hour, its own posts move it as far as it was uncertain: an estimate that is
//! worth `K` posts counts as `K` posts, and moves by at most two standard deviations. Nothing jumps on the hour: after an hour with
//! posts, the uncertainty grows with the minutes.

use limbic_domain::Utc;
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::arithmetic::{decay, ln};
use crate::detector::{Band, Run};
use crate::settings::ChangeSettings;

/// Standard deviation of the difference between the mean valence of two neighbouring hours of the day. A daily cycle of amplitude
/// 0.2 moves by at most 0.052 in an hour.
const HOUR_SPREAD: f64 = 0.05;
/// Standard deviation of the mean valence of an hour of the week around that of its hour of the day.
const DAY_SPREAD: f64 = 0.05;
/// The least variance of a post's valence that estimates assume.
const LEAST_VARIANCE: f64 = 0.01;
/// How many standard deviations the posts of an hour may move what was expected of it.
const REACH: f64 = 2.0;
/// The least part of the uncertainty that applies: that of the first minute.
const LEAST_PART: f64 = 1.0 / 60.0;
/// Hours of the week are remembered so many times as long as the level.
const HOURS_HALF_LIVES: i64 = 4;
const HOUR: i64 = 3_600_000;
const HOURS_OF_DAY: usize = 24;
const HOURS_OF_WEEK: usize = 168;

/// Decayed sums of values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Level {
    at: Utc,
    /// Sum of the weights.
    weight: f64,
    /// Sum of their squares.
    weight_squares: f64,
    sum: f64,
    squares: f64,
}

impl Level {
    pub(crate) const fn new() -> Self {
        Self {
            at: Utc::MIN,
            weight: 0.0,
            weight_squares: 0.0,
            sum: 0.0,
            squares: 0.0,
        }
    }

    /// The level of the posts of a run, the last of them at `at`.
    pub(crate) const fn of(run: &Run, at: Utc) -> Self {
        Self {
            at,
            weight: run.weight,
            weight_squares: run.weight,
            sum: run.sum,
            squares: run.squares,
        }
    }

    /// Adds the value `x` of a post that counts as `counts` posts.
    pub(crate) fn add(&mut self, x: f64, counts: f64, at: Utc, half_life: i64) {
        if at > self.at {
            let left = decay(at.millis_since(self.at), half_life);
            self.weight *= left;
            self.weight_squares *= left * left;
            self.sum *= left;
            self.squares *= left;
            self.at = at;
        }
        let weight = counts * decay(self.at.millis_since(at), half_life);
        self.weight += weight;
        self.weight_squares += weight * counts.min(weight);
        self.sum += weight * x;
        self.squares += weight * x * x;
    }

    /// The mean; 0 before the first post.
    pub(crate) fn mean(&self) -> f64 {
        if self.weight > 0.0 {
            self.sum / self.weight
        } else {
            0.0
        }
    }

    /// The variance of one post's value.
    fn variance(&self) -> f64 {
        if self.weight > 0.0 {
            (self.squares / self.weight - self.mean() * self.mean()).max(0.0)
        } else {
            0.0
        }
    }

    /// The effective number of posts (Kish's effective sample size).
    pub(crate) fn posts(&self) -> f64 {
        if self.weight_squares > 0.0 {
            self.weight * self.weight / self.weight_squares
        } else {
            0.0
        }
    }

    /// Half the width of the band within which the mean is, if nothing has changed. `None` if there are too few posts.
    ///
    /// It is the tolerance and `sqrt(2 V ln(4 / risk) / n)` of the empirical variance `V`: for a risk of 0.01, 3.46 standard errors,
    /// where 2.58 suffice for a normal mean. The margin is for means of few posts, which are not quite normal. For decayed weights,
    /// the effective number of posts is used.
    pub(crate) fn slack(&self, settings: &ChangeSettings) -> Option<f64> {
        let posts = self.posts();
        if posts < settings.least_posts as f64 {
            return None;
        }
        let variance = self.variance().max(LEAST_VARIANCE) * posts / (posts - 1.0);
        let surprise = ln(4.0 / settings.baseline_risk);
        Some((2.0 * variance * surprise / posts).sqrt() + settings.tolerance)
    }

    /// Adds `by` to every value.
    pub(crate) fn shift(&mut self, by: f64) {
        self.squares += 2.0 * by * self.sum + by * by * self.weight;
        self.sum += by * self.weight;
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

/// Decayed sums of one hour of the week.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Cell {
    weight: f64,
    sum: f64,
}

impl Cell {
    fn shift(&mut self, by: f64) {
        self.sum += by * self.weight;
    }
}

/// A normal belief about a mean. Precision 0 = nothing is known.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Belief {
    mean: f64,
    precision: f64,
}

impl Belief {
    fn and(self, other: Self) -> Self {
        let precision = self.precision + other.precision;
        if precision <= 0.0 {
            return self;
        }
        Self {
            mean: (self.precision * self.mean + other.precision * other.mean) / precision,
            precision,
        }
    }

    /// The same about a mean that differs by a standard deviation of `spread`.
    fn blurred(self, spread: f64) -> Self {
        if self.precision <= 0.0 {
            return self;
        }
        Self {
            precision: 1.0 / (1.0 / self.precision + spread * spread),
            ..self
        }
    }
}

/// The usual valence of an audience.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Baseline {
    /// All posts, whatever their hour.
    all: Level,
    /// The hours of the week that are over, all decayed to the same time. Empty until the first one is over.
    hours: Vec<Cell>,
    /// The hour that it is, in hours since 1970 by the audience's clock.
    hour: i64,
    /// The posts of this hour.
    own: Cell,
    /// What was expected of this hour when it began, worth so many posts.
    expected: Cell,
    /// By how much the posts of this hour may move that by its end.
    reach: f64,
    /// The hour before had posts.
    is_gradual: bool,
    /// The part of the uncertainty that applies at the time of the newest post, in `(0, 1]`.
    part: f64,
}

impl Baseline {
    pub(crate) const fn new() -> Self {
        Self {
            all: Level::new(),
            hours: Vec::new(),
            hour: i64::MIN,
            own: Cell {
                weight: 0.0,
                sum: 0.0,
            },
            expected: Cell {
                weight: 0.0,
                sum: 0.0,
            },
            reach: 0.0,
            is_gradual: false,
            part: 1.0,
        }
    }

    /// Goes on to the hour of `at`: what was usual so far says what is expected of it.
    pub(crate) fn enter(&mut self, at: Utc, settings: &ChangeSettings) {
        let local = at
            .as_millis()
            .saturating_add(settings.utc_offset.as_minutes() * 60_000);
        let hour = local.div_euclid(HOUR);
        if hour >= self.hour {
            self.is_gradual = if hour == self.hour {
                self.is_gradual
            } else {
                hour == self.hour.saturating_add(1) && self.own.weight > 0.0
            };
            self.part = if self.is_gradual {
                (local.rem_euclid(HOUR) as f64 / HOUR as f64).max(LEAST_PART)
            } else {
                1.0
            };
        }
        if hour <= self.hour {
            return;
        }
        self.end_hour(hour, settings);
        self.hour = hour;
        self.own = Cell::default();
        let variance = self.all.variance().max(LEAST_VARIANCE);
        let belief = self.belief(hour.rem_euclid(HOURS_OF_WEEK as i64) as usize, variance);
        let weight = belief.precision * variance;
        self.expected = Cell {
            weight,
            sum: weight * belief.mean,
        };
        self.reach = if belief.precision > 0.0 {
            REACH / belief.precision.sqrt()
        } else {
            0.0
        };
    }

    fn end_hour(&mut self, next: i64, settings: &ChangeSettings) {
        if self.hour == i64::MIN {
            return;
        }
        if self.hours.is_empty() {
            if self.own.weight <= 0.0 {
                return;
            }
            self.hours = vec![Cell::default(); HOURS_OF_WEEK];
        }
        let half_life = settings
            .baseline_half_life
            .as_millis()
            .saturating_mul(HOURS_HALF_LIVES);
        let left = decay((next - self.hour).saturating_mul(HOUR), half_life);
        let cell = &mut self.hours[self.hour.rem_euclid(HOURS_OF_WEEK as i64) as usize];
        cell.weight += self.own.weight;
        cell.sum += self.own.sum;
        for cell in &mut self.hours {
            cell.weight *= left;
            cell.sum *= left;
        }
    }

    /// What the other hours and the earlier weeks say about the mean of an hour of the week.
    fn belief(&self, hour: usize, variance: f64) -> Belief {
        if self.hours.is_empty() {
            return Belief::default();
        }
        let of = |cell: &Cell| {
            if cell.weight > 0.0 {
                Belief {
                    mean: cell.sum / cell.weight,
                    precision: cell.weight / variance,
                }
            } else {
                Belief::default()
            }
        };
        let of_day = |hour_of_day: usize| {
            let days = (hour_of_day..HOURS_OF_WEEK).step_by(HOURS_OF_DAY);
            days.filter(|&other| other != hour)
                .map(|other| of(&self.hours[other]).blurred(DAY_SPREAD))
                .fold(Belief::default(), Belief::and)
        };
        let hour_of_day = hour % HOURS_OF_DAY;
        let from = |steps: std::ops::RangeInclusive<usize>, forward: bool| {
            steps.rev().fold(Belief::default(), |belief, step| {
                let step = if forward { HOURS_OF_DAY - step } else { step };
                let other = (hour_of_day + step) % HOURS_OF_DAY;
                // Today's own cells are not in question here: `hour` is one of `hour_of_day`.
                belief.and(of_day(other)).blurred(HOUR_SPREAD)
            })
        };
        let of_the_day = of_day(hour_of_day)
            .and(from(1..=12, true))
            .and(from(1..=11, false));
        of_the_day.blurred(DAY_SPREAD).and(of(&self.hours[hour]))
    }

    /// Adds a post of the present hour that counts as `counts` posts.
    pub(crate) fn add(&mut self, x: f64, counts: f64, at: Utc, settings: &ChangeSettings) {
        self.all
            .add(x, counts, at, settings.baseline_half_life.as_millis());
        self.own.weight += counts;
        self.own.sum += counts * x;
    }

    /// Takes the posts of a change out of the present hour: they are not usual.
    pub(crate) fn without(&mut self, run: &Run, settings: &ChangeSettings) {
        let began = run
            .since
            .as_millis()
            .saturating_add(settings.utc_offset.as_minutes() * 60_000);
        if began.div_euclid(HOUR) < self.hour {
            self.own = Cell::default();
        } else {
            self.own.weight = (self.own.weight - run.weight).max(0.0);
            self.own.sum -= run.sum;
        }
        if self.own.weight < 1e-9 {
            self.own = Cell::default();
        }
        // Only after a change within the very first posts.
        if self.own.weight + self.expected.weight <= 0.0 {
            self.own = Cell {
                weight: 1.0,
                sum: self.all.mean(),
            };
        }
    }

    /// What was unusual is usual from now on: every hour differs by so much.
    pub(crate) fn shift(&mut self, by: f64) {
        self.all.shift(by);
        for cell in &mut self.hours {
            cell.shift(by);
        }
        self.own.shift(by);
        self.expected.shift(by);
    }

    /// Mean valence in `[-1, 1]` that is usual in the present hour; 0 before the first post.
    pub(crate) fn mean(&self) -> f64 {
        let weight = self.own.weight + self.expected.weight / self.part;
        if weight <= 0.0 {
            return 0.0;
        }
        let mean = (self.own.sum + self.expected.sum / self.part) / weight;
        if self.expected.weight <= 0.0 {
            return mean.clamp(-1.0, 1.0);
        }
        let expected = self.expected.sum / self.expected.weight;
        let reach = self.reach * self.part.sqrt();
        mean.clamp(expected - reach, expected + reach).clamp(-1.0, 1.0)
    }

    /// Half the width of the band; `None` if there are too few posts to compare others with.
    fn slack(&self, settings: &ChangeSettings) -> Option<f64> {
        self.all.slack(settings)
    }

    /// The effective number of posts that tell the level.
    pub(crate) fn posts(&self) -> f64 {
        self.all.posts()
    }

    /// The interval in which the mean is if nothing has changed.
    pub(crate) fn band(&self, settings: &ChangeSettings) -> Option<Band> {
        Some(Band::around(self.mean(), self.slack(settings)?))
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        self.all.write(to);
        to.signed(self.hour);
        for cell in [self.own, self.expected] {
            to.number(cell.weight);
            to.number(cell.sum);
        }
        to.number(self.reach);
        to.flag(self.is_gradual);
        to.number(self.part);
        let known = || {
            self.hours
                .iter()
                .enumerate()
                .filter(|(_, cell)| cell.weight > 0.0)
        };
        to.length(known().count());
        for (hour, cell) in known() {
            to.byte(hour as u8);
            to.number(cell.weight);
            to.number(cell.sum);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut baseline = Self {
            all: Level::read(from)?,
            hour: from.signed()?,
            own: Cell {
                weight: from.number()?,
                sum: from.number()?,
            },
            expected: Cell {
                weight: from.number()?,
                sum: from.number()?,
            },
            reach: from.number()?,
            is_gradual: from.flag()?,
            part: from.number()?,
            hours: Vec::new(),
        };
        for _ in 0..from.length()? {
            baseline.hours.resize(HOURS_OF_WEEK, Cell::default());
            let hour = usize::from(from.byte()?);
            let cell = baseline.hours.get_mut(hour).ok_or(DecodeProblem::Damaged)?;
            cell.weight = from.number()?;
            cell.sum = from.number()?;
        }
        Ok(baseline)
    }

    /// The baseline that the first version of the state had: one mean for all hours. Each hour of the week gets its part of it.
    pub(crate) fn read_without_hours(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let all = Level::read(from)?;
        let part = Cell {
            weight: all.weight / HOURS_OF_WEEK as f64,
            sum: all.sum / HOURS_OF_WEEK as f64,
        };
        let hours = if all.weight > 0.0 {
            vec![part; HOURS_OF_WEEK]
        } else {
            Vec::new()
        };
        Ok(Self {
            all,
            hours,
            ..Self::new()
        })
    }
}

#[cfg(test)]
mod tests;
