//! Champion and challenger.
//!
//! Two policies learn from the same outcomes. In *shadow* the champion decides alone; *live*, the challenger decides a
//! share `s`, by lot. Of each decision it is known with what probabilities `p` and `q` the two would have made it, so it
//! was made with `m = (1 − s) p + s q` (in shadow `s = 0`), and `r (p − q) / m` is in expectation what the champion earns
//! more, whoever decided. A lower bound of its mean that holds at every moment at once (the predictable plug-in
//! empirical-Bernstein confidence sequence of Waudby-Smith and Ramdas 2024, Theorem 2) makes it harmless to look after
//! every outcome: when the champion is better for sure, by more than a tolerance, the challenger is rolled back.
//!
//! Weights `q / m` are cut where the engine cuts its weights. A cut makes the challenger look worse than it is; what it
//! can have taken away is known when the decision is made, `Σ (q − W m)⁺` over all arms, and is granted to the challenger
//! in full. So a cut never rolls back a challenger, it only makes the contest longer.

use limbic_domain::{ChallengerMode, PolicyRole};
use serde::{Deserialize, Serialize};

use super::ratio_alarm::RatioAlarm;
use crate::exact;
use crate::policy::{PolicyConfig, PolicyError, within};
use crate::random::{Random, derive};

/// A policy that would like to be in force, and how it is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Challenger {
    /// How it chooses, within the same bounds as the champion.
    pub policy: PolicyConfig,
    /// The contest.
    #[serde(default)]
    pub contest: ChampionChallengerConfig,
}

/// Settings of a [`ChampionChallengerTest`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChampionChallengerConfig {
    /// Whether the challenger only watches.
    pub shadow: bool,
    /// The challenger's share of decisions when it is live, in `(0, 1)`.
    pub share: f64,
    /// Probability of ever rolling back a challenger that is within the tolerance.
    pub alpha: f64,
    /// By how much of the largest reward the challenger may be worse.
    pub tolerance: f64,
    /// Probability of ever raising the ratio alarm when shares are right.
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
            "challenger.contest.share",
            self.share,
            0.001..=0.999,
            "must be in [0.001, 0.999]",
        )?;
        within(
            "challenger.contest.alpha",
            self.alpha,
            small.clone(),
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.contest.ratio_alpha",
            self.ratio_alpha,
            small,
            "must be in (0, 0.5]",
        )?;
        within(
            "challenger.contest.tolerance",
            self.tolerance,
            0.0..=1.0,
            "must be in [0, 1]",
        )
    }
}

/// What bounds the numbers of a contest.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// The largest reward.
    pub reward: f64,
    /// Where weights are cut.
    pub weight: f64,
}

/// A one-sided confidence sequence for the mean of numbers in `[0, 1]`: a lower bound at every moment at once.
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
    price: f64,
}

impl LowerBound {
    /// One more number; what lies outside `[0, 1]` is cut.
    pub fn observe(&mut self, value: f64, alpha: f64) {
        let value = value.clamp(0.0, 1.0);
        let before = self.count as f64;
        let mean = (0.5 + self.sum) / (before + 1.0);
        let variance = (0.25 + self.squares) / (before + 1.0);
        let count = before + 1.0;
        let ideal = -2.0 * libm::log(alpha) / (variance * count * libm::log(1.0 + count));
        let bet = ideal.sqrt().min(0.5);
        self.price += (value - mean) * (value - mean) * (-libm::log(1.0 - bet) - bet);
        self.bets += bet;
        self.weighted += bet * value;
        self.count += 1;
        self.sum += value;
        let now = (0.5 + self.sum) / (count + 1.0);
        self.squares += (value - now) * (value - now);
    }

    /// The mean is, at all moments together, at least this with probability `1 − alpha`.
    pub fn at_least(&self, alpha: f64) -> f64 {
        if self.count == 0 {
            return 0.0;
        }
        ((self.weighted - self.price + libm::log(alpha)) / self.bets).max(0.0)
    }

    /// How many numbers there were.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Their mean; 0 of none.
    pub fn mean(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.sum / self.count as f64
        }
    }
}

/// A decision in a contest, kept until its outcome is known.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// Which contest.
    contest: u64,
    by: PolicyRole,
    /// The probability with which the champion would have chosen as was chosen.
    #[serde(with = "exact")]
    champion: f64,
    /// The same of the challenger.
    #[serde(with = "exact")]
    challenger: f64,
    /// What the cut of weights can take from the challenger, in expectation, as a part of the largest reward.
    #[serde(with = "exact")]
    lost: f64,
}

/// All that a contest has learnt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChampionChallengerState {
    id: u64,
    mode: ChallengerMode,
    judged: u64,
    /// Of the champion's lead.
    champion: LowerBound,
    /// Of the challenger's.
    challenger: LowerBound,
    ratio: RatioAlarm,
}

/// What a judged decision changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    None,
    /// The challenger is rolled back.
    RolledBack,
    /// The ratio alarm is on.
    Alarm,
    /// The challenger is better for sure.
    ChallengerLeads,
}

/// A contest of two policies.
#[derive(Debug, Clone, PartialEq)]
pub struct ChampionChallengerTest {
    config: ChampionChallengerConfig,
    limits: Limits,
    state: ChampionChallengerState,
}

impl ChampionChallengerTest {
    /// The contest `id`, not begun. Refuses settings outside their ranges.
    pub fn new(config: ChampionChallengerConfig, limits: Limits, id: u64) -> Result<Self, PolicyError> {
        config.check()?;
        let (mode, limits) = if config.shadow {
            (ChallengerMode::Shadow, limits)
        } else {
            // The mixture bounds them already.
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

    /// What was learnt so far.
    pub const fn state(&self) -> &ChampionChallengerState {
        &self.state
    }

    /// Goes on where a contest of the same id was; another's state is no use.
    pub fn resume(&mut self, state: ChampionChallengerState) {
        if state.id == self.state.id {
            self.state = state;
        }
    }

    /// How the challenger takes part.
    pub const fn mode(&self) -> ChallengerMode {
        self.state.mode
    }

    /// Who makes the decision of this seed.
    pub fn decides(&self, seed: u64) -> PolicyRole {
        let is_live = self.state.mode == ChallengerMode::Live;
        if is_live && Random::new(derive(seed, 7)).unit() < self.config.share {
            PolicyRole::Challenger
        } else {
            PolicyRole::Champion
        }
    }

    /// A decision for `choice`, made by `by`, with the probabilities that the two gave to the same arms.
    pub fn trial(&self, by: PolicyRole, champion: &[f64], challenger: &[f64], choice: usize) -> Trial {
        let pairs = champion.iter().zip(challenger);
        let beyond = pairs.map(|(&p, &q)| (q - self.limits.weight * self.mixed(p, q)).max(0.0));
        Trial {
            contest: self.state.id,
            by,
            champion: champion[choice],
            challenger: challenger[choice],
            lost: beyond.fold(0.0, |sum, part| sum + part).min(1.0),
        }
    }

    /// The probability with which the two together choose what they choose with `p` and `q`.
    fn mixed(&self, p: f64, q: f64) -> f64 {
        if self.config.shadow {
            p
        } else {
            (1.0 - self.config.share) * p + self.config.share * q
        }
    }

    /// What came of a decision. Decisions of another contest, and those that come to light after a roll-back, count for
    /// nothing.
    pub fn judge(&mut self, trial: &Trial, reward: f64) -> Turn {
        if trial.contest != self.state.id || self.state.mode == ChallengerMode::RolledBack {
            return Turn::None;
        }
        let before = (self.ratio_alarm(), self.challenger_leads_by() > 0.0);
        let reward = (reward / self.limits.reward).clamp(0.0, 1.0);
        let mixed = self.mixed(trial.champion, trial.challenger);
        let champion = trial.champion / mixed;
        let challenger = (trial.challenger / mixed).min(self.limits.weight);
        let lead = reward * (champion - challenger);
        let (low, high) = self.range();
        let scaled = |lead: f64| (lead - low) / (high - low);
        let alpha = self.config.alpha;
        self.state.champion.observe(scaled(lead - trial.lost), alpha);
        // The other way round, the cut only makes the bound lower.
        self.state.challenger.observe(1.0 - scaled(lead), alpha);
        self.state.judged += 1;
        if self.state.mode == ChallengerMode::Live {
            self.state.ratio.observe(
                usize::from(trial.by == PolicyRole::Challenger),
                self.config.ratio_alpha,
            );
        }
        if self.champion_leads_by() > self.config.tolerance * self.limits.reward {
            self.state.mode = ChallengerMode::RolledBack;
            return Turn::RolledBack;
        }
        match (before, (self.ratio_alarm(), self.challenger_leads_by() > 0.0)) {
            ((false, _), (true, _)) => Turn::Alarm,
            ((_, false), (false, true)) => Turn::ChallengerLeads,
            _ => Turn::None,
        }
    }

    /// The least and the largest that a lead of the champion's can be, with what is granted for cuts.
    fn range(&self) -> (f64, f64) {
        let champion = if self.config.shadow {
            1.0
        } else {
            1.0 / (1.0 - self.config.share)
        };
        (-self.limits.weight - 1.0, champion)
    }

    /// Decisions judged so far.
    pub const fn judged(&self) -> u64 {
        self.state.judged
    }

    /// How much more reward a decision the champion earns, for sure (negative: not surely more).
    pub fn champion_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.champion.at_least(self.config.alpha);
        (low + (high - low) * bound) * self.limits.reward
    }

    /// The same of the challenger: above 0 it deserves to be the champion.
    pub fn challenger_leads_by(&self) -> f64 {
        let (low, high) = self.range();
        let bound = self.state.challenger.at_least(self.config.alpha);
        (-high + (high - low) * bound) * self.limits.reward
    }

    /// Whether the judged decisions are divided otherwise than they were drawn.
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

    /// Plays two policies over the same arms; answers the contest, and whether the champion was ever said to be better.
    fn play(
        config: ChampionChallengerConfig,
        (champion, challenger): (&[f64], &[f64]),
        rates: &[f64],
        rounds: u64,
        seed: u64,
    ) -> ChampionChallengerTest {
        let mut contest = ChampionChallengerTest::new(config, LIMITS, 1).unwrap();
        let mut random = Random::new(seed);
        for round in 0..rounds {
            let by = contest.decides(derive(seed, round));
            let chosen_from = match by {
                PolicyRole::Champion => champion,
                PolicyRole::Challenger => challenger,
            };
            let choice = choose(chosen_from, random.unit()).unwrap();
            let trial = contest.trial(by, champion, challenger, choice);
            contest.judge(&trial, clicks(&mut random, rates[choice]));
        }
        contest
    }

    fn rolled_back(contest: &ChampionChallengerTest) -> bool {
        contest.mode() == ChallengerMode::RolledBack
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
            let contest = play(config, (&bad, &good), &[0.3, 0.1], 8000, 5);
            assert!(contest.challenger_leads_by() > 0.0, "{config:?}");
            assert!(contest.champion_leads_by() < 0.0 && !rolled_back(&contest));
        }
    }

    #[test]
    fn an_equal_challenger_is_rarely_rolled_back_however_often_one_looks() {
        // Other choices, the same value.
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
        // The challenger wants what the champion gives a chance of 1 in 100: most of its weight is cut.
        let policies: (&[f64], &[f64]) = (&[0.99, 0.01], &[0.01, 0.99]);
        for seed in 0..20 {
            let contest = play(
                ChampionChallengerConfig::default(),
                policies,
                &[0.4, 0.4],
                3000,
                seed,
            );
            assert!(!rolled_back(&contest), "{seed}: {}", contest.champion_leads_by());
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
        assert!((0..100).all(|seed| shadow.decides(seed) == PolicyRole::Champion));
        let contest = ChampionChallengerTest::new(live(0.2), LIMITS, 1).unwrap();
        let share = (0..10_000)
            .filter(|&seed| contest.decides(seed) == PolicyRole::Challenger)
            .count();
        assert!((1840..2160).contains(&share), "{share}");
    }

    #[test]
    fn outcomes_that_are_lost_for_one_side_raise_the_alarm() {
        let mut contest = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
        let equal = [0.5, 0.5];
        let mut random = Random::new(3);
        let mut turns = Vec::new();
        for seed in 0..4000 {
            let by = contest.decides(seed);
            // A third of the challenger's outcomes never arrives.
            if by == PolicyRole::Champion || random.below(3) > 0 {
                let trial = contest.trial(by, &equal, &equal, 0);
                turns.push(contest.judge(&trial, 0.0));
            }
        }
        assert!(contest.ratio_alarm());
        assert_eq!(turns.iter().filter(|&&turn| turn == Turn::Alarm).count(), 1);
        assert!(!rolled_back(&contest), "two that are alike have no loser");
    }

    #[test]
    fn a_state_resumes_its_own_contest_to_the_bit_and_no_other() {
        let contest = play(live(0.3), (&[0.6, 0.4], &[0.3, 0.7]), &[0.3, 0.2], 100, 9);
        let text = serde_json::to_string(contest.state()).unwrap();
        let state: ChampionChallengerState = serde_json::from_str(&text).unwrap();
        let mut again = ChampionChallengerTest::new(live(0.3), LIMITS, 1).unwrap();
        again.resume(state.clone());
        assert_eq!(again, contest);
        let fresh = ChampionChallengerTest::new(live(0.3), LIMITS, 2).unwrap();
        let mut other = fresh.clone();
        other.resume(state);
        assert_eq!(other, fresh);
        let stray = contest.trial(PolicyRole::Champion, &[1.0], &[1.0], 0);
        assert_eq!(other.judge(&stray, 1.0), Turn::None);
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
