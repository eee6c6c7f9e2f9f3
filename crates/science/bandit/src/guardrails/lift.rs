//! What ads add, measured on people.
//!
//! People are assigned once, by a hash, to those whom ads may reach and those who are held out. So a **person** is the unit of
//! the comparison: a person who buys often, or who is in many audiences, counts once. A person enters at the first contact, a
//! real one or a *ghost* one (what would have been a contact if the person were not held out). What the person is worth in a fixed
//! time after that is one number, cut to a stated largest value. The same person's value *before* the contact is a covariate
//! (CUPED, Deng et al. 2013): it cannot depend on the ads, and what it predicts need not be explained by chance.
//!
//! The interval holds at all times together. It is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and
//! Ramdas (2024, "Time-uniform central limit theory and asymptotic confidence sequences", Theorem 2.2) for the mean of independent
//! people in the order of their entry. To be valid with few people too, each group's variance has one more observation at half
//! the largest value away from the mean.

use serde::{Deserialize, Serialize};

use crate::exact;

/// What a person was worth.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct PersonValue {
    /// In the measured time after the first contact, not negative.
    #[serde(with = "exact")]
    pub after: f64,
    /// Before the first contact, not negative.
    #[serde(with = "exact")]
    pub before: f64,
}

/// Sums over the people of one group. Values are cut and divided by the largest value, so they are in `[0, 1]`.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Sums {
    people: u64,
    /// How many people had more than the largest value.
    cut: u64,
    #[serde(with = "exact")]
    after: f64,
    #[serde(with = "exact")]
    after_squared: f64,
    #[serde(with = "exact")]
    before: f64,
    #[serde(with = "exact")]
    before_squared: f64,
    #[serde(with = "exact")]
    product: f64,
}

impl Sums {
    /// Adds a person, or takes one back with `sign` −1.
    fn add(&mut self, value: PersonValue, most: f64, sign: i8) {
        let (before, after) = ((value.before / most).min(1.0), (value.after / most).min(1.0));
        let is_cut = u64::from(value.after > most);
        if sign > 0 {
            self.people += 1;
            self.cut += is_cut;
        } else {
            self.people = self.people.saturating_sub(1);
            self.cut = self.cut.saturating_sub(is_cut);
        }
        let sign = f64::from(sign);
        self.after += sign * after;
        self.after_squared += sign * after * after;
        self.before += sign * before;
        self.before_squared += sign * before * before;
        self.product += sign * after * before;
    }

    fn count(&self) -> f64 {
        self.people.max(1) as f64
    }

    /// Sums of squared deviations: of the values after, of those before, and of their product.
    fn deviations(&self) -> (f64, f64, f64) {
        let n = self.count();
        let of = |squares: f64, a: f64, b: f64| squares - a * b / n;
        (
            of(self.after_squared, self.after, self.after).max(0.0),
            of(self.before_squared, self.before, self.before).max(0.0),
            of(self.product, self.after, self.before),
        )
    }
}

/// Fewest people of each group for an interval. With fewer, the interval is as wide as values can be.
const FEWEST: u64 = 20;
/// The number of people at which the interval is narrowest in comparison with one for a fixed number.
const NARROWEST_AT: f64 = 2_000.0;

/// What ads add per person: the difference between people whom ads may reach and people held out.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LiftEstimate {
    /// Version of the format. Version 1 compared moments; it has no groups and is read as an empty estimate.
    #[serde(default)]
    format: u8,
    #[serde(default)]
    groups: Groups,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct Groups {
    held_out: Sums,
    reachable: Sums,
}

/// The groups of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// People whom ads may reach.
    Reachable,
    /// People whom no ad reaches.
    HeldOut,
}

impl LiftEstimate {
    /// The newest format. A newer one was written by a later version of the program.
    pub const FORMAT: u8 = 2;

    /// The format in which the estimate was stored; 0 for version 1 and for a new one.
    pub const fn format(&self) -> u8 {
        self.format
    }

    /// Prepares an estimate of an older format for use. Version 1 counted moments and not people, so it cannot be continued.
    #[must_use]
    pub fn migrated(self) -> Self {
        if self.format == Self::FORMAT {
            return self;
        }
        Self {
            format: Self::FORMAT,
            ..Self::default()
        }
    }

    /// Adds a person whose measured time is over. Values above `most` are cut to it.
    pub fn add(&mut self, group: Group, value: PersonValue, most: f64) {
        self.group(group).add(value, most, 1);
    }

    /// Replaces the value of a person who was added before.
    pub fn correct(&mut self, group: Group, before: PersonValue, now: PersonValue, most: f64) {
        let sums = self.group(group);
        sums.add(before, most, -1);
        sums.add(now, most, 1);
    }

    fn group(&mut self, group: Group) -> &mut Sums {
        match group {
            Group::Reachable => &mut self.groups.reachable,
            Group::HeldOut => &mut self.groups.held_out,
        }
    }

    /// Number of people measured: whom ads may reach, and held out.
    pub const fn people(&self) -> (u64, u64) {
        (self.groups.reachable.people, self.groups.held_out.people)
    }

    /// Number of people whose value was cut.
    pub const fn cut(&self) -> u64 {
        self.groups.reachable.cut + self.groups.held_out.cut
    }

    /// Mean value of a person whom ads may reach, and of a person held out. `most` is the largest value.
    pub fn means(&self, most: f64) -> (f64, f64) {
        let mean = |sums: &Sums| most * sums.after / sums.count();
        (mean(&self.groups.reachable), mean(&self.groups.held_out))
    }

    /// How much of the variance earlier behaviour explains, in `[0, 1]`.
    pub fn explained(&self) -> f64 {
        let Groups { reachable, held_out } = &self.groups;
        let (reachable, held_out) = (reachable.deviations(), held_out.deviations());
        let [after, before, product] = [
            reachable.0 + held_out.0,
            reachable.1 + held_out.1,
            reachable.2 + held_out.2,
        ];
        if after * before > 0.0 {
            (product * product / (after * before)).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }

    /// The estimate of what ads add per person, and an interval that is valid at all times with probability `1 - alpha`.
    pub fn difference(&self, most: f64, alpha: f64) -> Difference {
        let whole = Difference {
            adds: 0.0,
            at_least: -most,
            at_most: most,
        };
        let Groups { reachable, held_out } = &self.groups;
        if reachable.people < FEWEST || held_out.people < FEWEST {
            return whole;
        }
        let (with, without) = (reachable.deviations(), held_out.deviations());
        // Earlier behaviour cannot differ because of ads. The same slope for both groups keeps the estimate unbiased.
        let slope = if with.1 + without.1 > 0.0 {
            (with.2 + without.2) / (with.1 + without.1)
        } else {
            0.0
        };
        let mean = |sums: &Sums| (sums.after - slope * sums.before) / sums.count();
        let adds = mean(reachable) - mean(held_out);
        let variance = |(after, before, product): (f64, f64, f64), n: f64| {
            let rest = (after - 2.0 * slope * product + slope * slope * before).max(0.0);
            (rest + 0.25) / (n * n)
        };
        let n = reachable.count() + held_out.count();
        let error = (variance(with, reachable.count()) + variance(without, held_out.count())).sqrt();
        let wide = error * width(n, alpha);
        Difference {
            adds: adds * most,
            at_least: ((adds - wide) * most).max(-most),
            at_most: ((adds + wide) * most).min(most),
        }
    }
}

/// What ads add per person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Difference {
    /// The estimate.
    pub adds: f64,
    /// Lower end of the interval.
    pub at_least: f64,
    /// Upper end of the interval.
    pub at_most: f64,
}

/// Half the length of the interval after `n` people, in standard errors.
fn width(n: f64, alpha: f64) -> f64 {
    let level = -2.0 * libm::log(alpha);
    let rho = (level + libm::log(level) + 1.0) / NARROWEST_AT;
    let scaled = n * rho + 1.0;
    (2.0 * scaled / (n * rho) * libm::log(scaled.sqrt() / alpha)).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;

    /// What a person buys without ads: `(before, after)`.
    type Buys = fn(&mut Random) -> (f64, f64);

    fn rare(random: &mut Random) -> (f64, f64) {
        let mut buys = || f64::from(u8::from(random.unit() < 0.02));
        (buys(), buys())
    }

    /// One in twenty buys some thirty times as often as the others.
    fn heavy(random: &mut Random) -> (f64, f64) {
        let rate = if random.unit() < 0.05 { 0.6 } else { 0.02 };
        let mut buys = || (0..10).map(|_| f64::from(u8::from(random.unit() < rate))).sum();
        (buys(), buys())
    }

    /// Values with a tail of infinite variance, cut at 10.
    fn long_tail(random: &mut Random) -> (f64, f64) {
        let person = random.unit();
        let mut buys = || {
            if random.unit() < 0.1 + 0.2 * person {
                (1.0 / random.unit().max(1e-9)).powf(0.7)
            } else {
                0.0
            }
        };
        (buys(), buys())
    }

    struct Runs {
        /// How many runs excluded the truth at any time.
        wrong: usize,
        /// How many runs found that ads add something.
        found: usize,
    }

    /// Runs of `people` people each, of whom `share` are held out; ads add `adds`.
    fn run(buys: Buys, share: f64, adds: f64, people: u64, runs: u64) -> Runs {
        let mut counts = Runs { wrong: 0, found: 0 };
        for seed in 0..runs {
            let mut random = Random::new(seed);
            let mut lift = LiftEstimate::default().migrated();
            let mut is_wrong = false;
            for _ in 0..people {
                let (before, mut after) = buys(&mut random);
                let group = if random.unit() < share {
                    Group::HeldOut
                } else {
                    after += adds;
                    Group::Reachable
                };
                lift.add(group, PersonValue { after, before }, 10.0);
                let found = lift.difference(10.0, 0.05);
                is_wrong |= found.at_least > adds || found.at_most < adds;
            }
            counts.wrong += usize::from(is_wrong);
            counts.found += usize::from(lift.difference(10.0, 0.05).at_least > 0.0);
        }
        counts
    }

    #[test]
    fn a_true_zero_is_rarely_excluded_at_any_time_however_people_buy() {
        for (name, buys) in [
            ("rare", rare as Buys),
            ("heavy", heavy as Buys),
            ("long tail", long_tail as Buys),
        ] {
            for share in [0.05, 0.5] {
                let runs = run(buys, share, 0.0, 1_500, 100);
                // 5 % of 100, and four standard deviations.
                assert!(runs.wrong <= 13, "{name} {share}: {}", runs.wrong);
            }
        }
    }

    #[test]
    fn what_ads_add_is_found() {
        let runs = run(heavy, 0.3, 0.5, 3_000, 20);
        assert!(
            runs.found >= 19 && runs.wrong <= 4,
            "{} {}",
            runs.found,
            runs.wrong
        );
    }

    #[test]
    fn earlier_behaviour_narrows_the_interval_and_a_correction_is_as_if_known_at_once() {
        let (mut with, mut without) = (LiftEstimate::default(), LiftEstimate::default());
        let mut random = Random::new(3);
        for person in 0..4_000 {
            let (before, after) = heavy(&mut random);
            let group = if person % 3 == 0 {
                Group::HeldOut
            } else {
                Group::Reachable
            };
            let first = PersonValue { after: 9.0, before };
            with.add(group, first, 10.0);
            with.correct(group, first, PersonValue { after, before }, 10.0);
            without.add(group, PersonValue { after, before: 0.0 }, 10.0);
        }
        let length = |lift: &LiftEstimate| {
            let found = lift.difference(10.0, 0.05);
            found.at_most - found.at_least
        };
        assert!(with.explained() > 0.5 && without.explained() < 1e-9);
        assert!(
            length(&with) < 0.8 * length(&without),
            "{} {}",
            length(&with),
            length(&without)
        );
        assert_eq!(with.people(), without.people());
        let (a, b) = (with.means(10.0), without.means(10.0));
        assert!((a.0 - b.0).abs() < 1e-9 && (a.1 - b.1).abs() < 1e-9);
    }

    #[test]
    fn an_estimate_of_version_1_starts_again_and_few_people_say_nothing() {
        let text = r#"{"sides":[{"count":3},{"count":3}],"reached":1,"held_out":0}"#;
        let read: LiftEstimate = serde_json::from_str(text).unwrap();
        assert_eq!(read.format(), 0);
        let mut lift = read.migrated();
        assert_eq!(lift.format(), LiftEstimate::FORMAT);
        assert_eq!(lift.clone().migrated(), lift);
        lift.add(Group::HeldOut, PersonValue::default(), 2.0);
        let found = lift.difference(2.0, 0.05);
        assert!((found.at_least + 2.0).abs() < 1e-12 && (found.at_most - 2.0).abs() < 1e-12);
    }
}
