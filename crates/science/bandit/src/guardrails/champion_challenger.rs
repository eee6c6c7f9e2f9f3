//! The champion/challenger test: compares two policies while one of them is in use.
//!
//! Both policies learn from the same outcomes. In *shadow* mode the champion makes all decisions. In *live* mode, a
//! random share `s` of decisions is assigned to the challenger. The probabilities `p` and `q` with which the two
//! would make a decision are known, so it is made with `m = (1 − s) p + s q` (in shadow mode `s = 0`). Then `r (p −
//! q) / m` is in expectation the champion's lead in reward, for decisions of either policy. The test keeps a lower bound of
//! its mean that is valid at all times (the predictable plug-in empirical-Bernstein confidence sequence of
//! Waudby-Smith and Ramdas 2024, Theorem 2), so it can be read after every outcome. If the champion is better by more
//! than a tolerance, the challenger is rolled back.
//!
//! Weights `q / m` are cut at the engine's maximum weight `W`. A cut makes the challenger look worse than it is. The
//! largest effect of the cut is known when the decision is made, `Σ (q − W m)⁺` over all arms, and is credited to the
//! challenger in full. A cut therefore never causes a rollback. It only makes the test longer.

use limbic_domain::{ChallengerMode, PolicyRole};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::ratio_alarm::RatioAlarm;
use crate::exact;
use crate::policy::{PolicyConfig, PolicyError, within};
use crate::random::{Random, derive};

/// A policy that is tested against the one in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Challenger {
    /// The challenger's policy. It has the same bounds as the champion.
    pub policy: PolicyConfig,
    /// Settings of the test.
    #[serde(default, alias = "contest")]
    pub test: ChampionChallengerConfig,
}

/// Settings of a [`ChampionChallengerTest`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ChampionChallengerConfig {
    /// Whether the challenger is in shadow mode, where it makes no decisions.
    pub shadow: bool,
    /// The challenger's share of decisions in live mode, in `[0.001, 0.999]`.
    pub share: f64,
    /// Probability of ever rolling back a challenger that is within the tolerance, in `(0, 0.5]`.
    pub alpha: f64,
    /// How much worse the challenger may be, as a fraction of the largest reward, in `[0, 1]`.
    pub tolerance: f64,
    /// Probability of ever raising the ratio alarm if the shares are right, in `(0, 0.5]`.
    pub ratio_alpha: f64,
}

impl Default for ChampionChallengerConfig {
    fn default() -> Self {
        Self {
            shadow: true,
            share: 0.1,
            alpha: 0.05,
            tolerance: 0.0,
            ratio_alpha: 0.001,
        }
    }
}

impl ChampionChallengerConfig {
    fn check(&self) -> Result<(), PolicyError> {
        let small = 1e-12..=0.5;
        within(
            "challenger.test.share",
            self.share,
            0.001..=0.999,
            "must be in [0.001, 0.999]",
        )?;
        within(
            "challenger.test.alpha",
            self.alpha,
            small.clone(),
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.test.ratio_alpha",
            self.ratio_alpha,
            small,
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.test.tolerance",
            self.tolerance,
            0.0..=1.0,
            "must be in [0, 1]",
        )
    }
}

/// Largest reward and largest weight in a test.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Largest reward of one decision, positive.
    pub reward: f64,
    /// Importance weights are cut to this.
    pub weight: f64,
}

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

/// A decision of a test, kept until its outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Observation {
    /// Id of the test.
    test: u64,
    by: PolicyRole,
    /// The probability with which the champion would have made the same choice.
    #[serde(with = "exact")]
    champion: f64,
    /// The probability with which the challenger would have made the same choice.
    #[serde(with = "exact")]
    challenger: f64,
    /// The largest expected effect of the cut of weights on the challenger, as a fraction of the largest reward.
    #[serde(with = "exact")]
    lost: f64,
}

/// The state of a test.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChampionChallengerState {
    id: u64,
    mode: ChallengerMode,
    judged: u64,
    /// Lower bound of the champion's lead.
    champion: LowerBound,
    /// Lower bound of the challenger's lead.
    challenger: LowerBound,
    ratio: RatioAlarm,
}

/// The event that an observation caused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TestEvent {
    /// No event.
    None,
    /// The challenger is significantly worse and was rolled back.
    RolledBack,
    /// The ratio alarm was raised.
    RatioAlarm,
    /// The challenger is significantly better.
    ChallengerLeads,
}

/// A test of two policies.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionChallengerTest {
    config: ChampionChallengerConfig,
    limits: Limits,
    state: ChampionChallengerState,
}

impl ChampionChallengerTest {
    /// Starts the test `id`. Returns an error for the first setting that is outside its range.
    pub fn new(config: ChampionChallengerConfig, limits: Limits, id: u64) -> Result<Self, PolicyError> {
        config.check()?;
        let (mode, limits) = if config.shadow {
            (ChallengerMode::Shadow, limits)
        } else {
            // In live mode the mixture bounds the weights.
            let weight = limits.weight.min(1.0 / config.share);
            (ChallengerMode::Live, Limits { weight, ..limits })
        };
        Ok(Self {
            state: ChampionChallengerState {
                id,
                mode,
                judged: 0,
                champion: LowerBound::default(),
                challenger: LowerBound::default(),
                ratio: RatioAlarm::new(&[1.0 - config.share, config.share])?,
            },
            config,
            limits,
        })
    }

    /// The state; [`Self::resume`] restores it to the bit.
    pub const fn state(&self) -> &ChampionChallengerState {
        &self.state
    }

    /// Continues from a stored state. The state of a test with another id is ignored.
    pub fn resume(&mut self, state: ChampionChallengerState) {
        if state.id == self.state.id {
            self.state = state;
        }
    }

    /// How the challenger takes part.
    pub const fn mode(&self) -> ChallengerMode {
        self.state.mode
    }

    /// The policy that makes the decision with this seed.
    pub fn assign(&self, seed: u64) -> PolicyRole {
        let is_live = self.state.mode == ChallengerMode::Live;
        if is_live && Random::new(derive(seed, 7)).unit() < self.config.share {
            PolicyRole::Challenger
        } else {
            PolicyRole::Champion
        }
    }

    /// Describes a decision for `choice`, made by `by`. `champion` and `challenger` are the probabilities of the same
    /// arms.
    pub fn observation(
        &self,
        by: PolicyRole,
        champion: &[f64],
        challenger: &[f64],
        choice: usize,
    ) -> Observation {
        let pairs = champion.iter().zip(challenger);
        let beyond = pairs.map(|(&p, &q)| (q - self.limits.weight * self.mixed(p, q)).max(0.0));
        Observation {
            test: self.state.id,
            by,
            champion: champion[choice],
            challenger: challenger[choice],
            lost: beyond.fold(0.0, |sum, part| sum + part).min(1.0),
        }
    }

    /// The probability of a choice to which the champion gives `p` and the challenger `q`.
    fn mixed(&self, p: f64, q: f64) -> f64 {
        if self.config.shadow {
            p
        } else {
            (1.0 - self.config.share) * p + self.config.share * q
        }
    }

    /// Adds the reward of a decision. Decisions of another test, and decisions after a rollback, are ignored.
    pub fn observe(&mut self, observation: &Observation, reward: f64) -> TestEvent {
        if observation.test != self.state.id || self.state.mode == ChallengerMode::RolledBack {
            return TestEvent::None;
        }
        let before = (self.ratio_alarm(), self.challenger_leads_by() > 0.0);
        let reward = (reward / self.limits.reward).clamp(0.0, 1.0);
        let mixed = self.mixed(observation.champion, observation.challenger);
        let champion = observation.champion / mixed;
        let challenger = (observation.challenger / mixed).min(self.limits.weight);
        let lead = reward * (champion - challenger);
        let (low, high) = self.range();
        let scaled = |lead: f64| (lead - low) / (high - low);
        let alpha = self.config.alpha;
        self.state
            .champion
            .observe(scaled(lead - observation.lost), alpha);
        // In the other direction, the cut only makes the bound lower.
        self.state.challenger.observe(1.0 - scaled(lead), alpha);
        self.state.judged += 1;
        if self.state.mode == ChallengerMode::Live {
            self.state.ratio.observe(
                usize::from(observation.by == PolicyRole::Challenger),
                self.config.ratio_alpha,
            );
        }
        if self.champion_leads_by() > self.config.tolerance * self.limits.reward {
            self.state.mode = ChallengerMode::RolledBack;
            return TestEvent::RolledBack;
        }
        match (before, (self.ratio_alarm(), self.challenger_leads_by() > 0.0)) {
            ((false, _), (true, _)) => TestEvent::RatioAlarm,
            ((_, false), (false, true)) => TestEvent::ChallengerLeads,
            _ => TestEvent::None,
        }
    }

    /// Smallest and largest value of the champion's lead, with the credit for cuts.
    fn range(&self) -> (f64, f64) {
        let champion = if self.config.shadow {
            1.0
        } else {
            1.0 / (1.0 - self.config.share)
        };
        (-self.limits.weight - 1.0, champion)
    }

    /// Number of observed decisions.
    pub const fn judged(&self) -> u64 {
        self.state.judged
    }

    /// Lower bound of the champion's lead in reward per decision. Negative: the champion is not significantly better.
    pub fn champion_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.champion.at_least(self.config.alpha);
        (low + (high - low) * bound) * self.limits.reward
    }

    /// Lower bound of the challenger's lead. Above 0, the challenger is significantly better.
    pub fn challenger_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.challenger.at_least(self.config.alpha);
        (-high + (high - low) * bound) * self.limits.reward
    }

    /// Whether the shares of the observed decisions differ significantly from the assigned shares.
    pub fn ratio_alarm(&self) -> bool {
        self.state.ratio.alarmed(self.config.ratio_alpha)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::choose;

    const LIMITS: Limits = Limits {
        reward: 1.0,
        weight: 20.0,
    };

    fn live(share: f64) -> ChampionChallengerConfig {
        ChampionChallengerConfig {
            shadow: false,
            share,
            ..ChampionChallengerConfig::default()
        }
    }

    fn clicks(random: &mut Random, rate: f64) -> f64 {
        f64::from(u8::from(random.unit() < rate))
    }

    /// Runs a test of two fixed policies over the same arms.
    fn play(
        config: ChampionChallengerConfig,
        (champion, challenger): (&[f64], &[f64]),
        rates: &[f64],
        rounds: u64,
        seed: u64,
    ) -> ChampionChallengerTest {
        let mut test = ChampionChallengerTest::new(config, LIMITS, 1).unwrap();
        let mut random = Random::new(seed);
        for round in 0..rounds {
            let by = test.assign(derive(seed, round));
            let chosen_from = match by {
                PolicyRole::Champion => champion,
                PolicyRole::Challenger => challenger,
            };
            let choice = choose(chosen_from, random.unit()).unwrap();
            let observation = test.observation(by, champion, challenger, choice);
            test.observe(&observation, clicks(&mut random, rates[choice]));
        }
        test
    }

    fn rolled_back(test: &ChampionChallengerTest) -> bool {
        test.mode() == ChallengerMode::RolledBack
    }

    #[test]
    fn the_settings_of_the_test_are_read_under_their_former_name_too() {
        let of = |name: &str| {
            let text = format!(r#"{{"policy": {{"name": "uniform"}}, "{name}": {{"share": 0.25}}}}"#);
            serde_json::from_str::<Challenger>(&text).unwrap()
        };
        assert_eq!(of("contest"), of("test"));
        assert!((of("test").test.share - 0.25).abs() < f64::EPSILON);
    }

    #[test]
    fn a_surely_worse_challenger_is_rolled_back_live_and_in_shadow() {
        let (good, bad) = ([0.8, 0.2], [0.2, 0.8]);
        for config in [live(0.5), live(0.2), ChampionChallengerConfig::default()] {
            let back = (0..40)
                .filter(|&seed| rolled_back(&play(config, (&good, &bad), &[0.3, 0.1], 6000, seed)))
                .count();
            assert!(back >= 38, "{config:?}: {back}");
        }
    }

    #[test]
    fn a_better_challenger_is_said_to_be_and_never_rolled_back() {
        let (good, bad) = ([0.8, 0.2], [0.2, 0.8]);
        for config in [live(0.3), ChampionChallengerConfig::default()] {
            let test = play(config, (&bad, &good), &[0.3, 0.1], 8000, 5);
            assert!(test.challenger_leads_by() > 0.0, "{config:?}");
            assert!(test.champion_leads_by() < 0.0 && !rolled_back(&test));
        }
    }

    #[test]
    fn an_equal_challenger_is_rarely_rolled_back_however_often_one_looks() {
        // Different choices with the same value.
        for config in [live(0.2), ChampionChallengerConfig::default()] {
            let back = (0..200)
                .filter(|&seed| {
                    let policies: (&[f64], &[f64]) = (&[0.5, 0.5], &[0.1, 0.9]);
                    rolled_back(&play(config, policies, &[0.2, 0.2], 2000, seed))
                })
                .count();
            // 5 % of 200, and four standard deviations.
            assert!(back <= 22, "{config:?}: {back}");
        }
    }

    #[test]
    fn a_cut_never_rolls_back_a_challenger_that_is_as_good() {
        // The challenger prefers an arm to which the champion gives a probability of 0.01: most of its weight is cut.
        let policies: (&[f64], &[f64]) = (&[0.99, 0.01], &[0.01, 0.99]);
        for seed in 0..20 {
            let test = play(
                ChampionChallengerConfig::default(),
                policies,
                &[0.4, 0.4],
                3000,
                seed,
            );
            assert!(!rolled_back(&test), "{seed}: {}", test.champion_leads_by());
        }
    }

    #[test]
    fn a_bound_covers_at_all_moments_together() {
        let missed = (0..300)
            .filter(|&seed| {
                let mut random = Random::new(seed);
                let mut bound = LowerBound::default();
                (0..2000).any(|_| {
                    bound.observe(clicks(&mut random, 0.1), 0.05);
                    bound.at_least(0.05) > 0.1
                })
            })
            .count();
        assert!(missed <= 30, "{missed}");
    }

    #[test]
    fn a_shadow_decides_nothing_and_a_live_challenger_its_share() {
        let shadow = ChampionChallengerTest::new(ChampionChallengerConfig::default(), LIMITS, 1).unwrap();
        assert!((0..100).all(|seed| shadow.assign(seed) == PolicyRole::Champion));
        let test = ChampionChallengerTest::new(live(0.2), LIMITS, 1).unwrap();
        let share = (0..10_000)
            .filter(|&seed| test.assign(seed) == PolicyRole::Challenger)
            .count();
        assert!((1840..2160).contains(&share), "{share}");
    }

    #[test]
    fn outcomes_that_are_lost_for_one_side_raise_the_alarm() {
        let mut test = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
        let equal = [0.5, 0.5];
        let mut random = Random::new(3);
        let mut turns = Vec::new();
        for seed in 0..4000 {
            let by = test.assign(seed);
            // A third of the challenger's outcomes never arrives.
            if by == PolicyRole::Champion || random.below(3) > 0 {
                let observation = test.observation(by, &equal, &equal, 0);
                turns.push(test.observe(&observation, 0.0));
            }
        }
        assert!(test.ratio_alarm());
        assert_eq!(
            turns
                .iter()
                .filter(|&&turn| turn == TestEvent::RatioAlarm)
                .count(),
            1
        );
        assert!(!rolled_back(&test), "two that are alike have no loser");
    }

    #[test]
    fn a_state_resumes_its_own_test_to_the_bit_and_no_other() {
        let test = play(live(0.3), (&[0.6, 0.4], &[0.3, 0.7]), &[0.3, 0.2], 100, 9);
        let saved = serde_json::to_string(test.state()).unwrap();
        let state: ChampionChallengerState = serde_json::from_str(&saved).unwrap();
        let mut again = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
        again.resume(state.clone());
        assert_eq!(again, test);
        let fresh = ChampionChallengerTest::new(live(0.3), LIMITS, 2).unwrap();
        let mut other = fresh.clone();
        other.resume(state);
        assert_eq!(other, fresh);
        let stray = test.observation(PolicyRole::Champion, &[1.0], &[1.0], 0);
        assert_eq!(other.observe(&stray, 1.0), TestEvent::None);
        assert_eq!(other, fresh);
    }

    #[test]
    fn settings_outside_their_ranges_are_refused() {
        for (share, alpha) in [(0.0, 0.05), (1.0, 0.05), (f64::NAN, 0.05), (0.5, 0.0)] {
            let config = ChampionChallengerConfig {
                share,
                alpha,
                ..ChampionChallengerConfig::default()
            };
            assert!(ChampionChallengerTest::new(config, LIMITS, 1).is_err());
        }
    }
}
