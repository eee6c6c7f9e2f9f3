//! Decides when the mean of a stream has changed, and when it is back.

use limbic_domain::{AudiencePhase, Direction, MomentKind, Utc};
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::baseline::{Baseline, Level};
use crate::detector::{Band, Detector, Observed, STAKES};
use crate::settings::ChangeSettings;

/// A change that the test has found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// Whether the mean left what was usual, or came back to it.
    pub kind: MomentKind,
    /// Which way it went.
    pub direction: Direction,
    /// Mean valence before it, in `[-1, 1]`.
    pub before: f64,
    /// The evidence, of which 1 was enough.
    pub statistic: f64,
    /// How many posts the test has looked at since the last change.
    pub posts: u64,
    /// When the change most likely began: the time of its first post.
    pub since: Utc,
    /// The number of that post.
    pub(crate) first: u64,
}

/// A post as the test sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// Valence in `[-1, 1]`.
    pub valence: f64,
    /// Time of the post. A time before that of the newest post is allowed.
    pub at: Utc,
    /// The value of [`ChangeTest::number`] after the newest earlier post of the same person or with the same text; 0 if there is
    /// none within the window.
    pub seen: u64,
    /// As how many posts it counts, in `[0, 1]`, if it is the first of its person and its text.
    pub counts: f64,
    /// Whether it counts in the baseline: not if the same person or the same text counted there within the window.
    pub is_usual: bool,
}

/// A test for changes of the mean of a stream of posts: an e-detector against a baseline by hour of the week.
///
/// While nothing has changed, every post starts capital in proportion to the time since the last one, at most
/// [`ChangeSettings::alpha`]. So false alarms are on average at most [`ChangeSettings::false_moments`] a day for all audiences of a
/// tenant together, and at least `1 / alpha` posts apart.
///
/// After a change the old baseline is kept. Two detectors then share the capital. One compares the posts with the new level: it finds a
/// further change in the same direction, and when the mean comes back, that is a *return*. (No ad is made for a return, so it is not
/// paid for from the budget: one that is none is at least `1 / alpha` posts away.) The other compares the posts with the old baseline,
/// in the opposite direction alone: only it can find an opposite change. If the mean has not come back within [`ChangeSettings::remembered`], the new level is
/// the usual one.
///
/// ```
/// use limbic_domain::{Direction, MomentKind, Utc};
/// use limbic_profile::{ChangeSettings, ChangeTest, Observation};
///
/// let settings = ChangeSettings::default();
/// let mut test = ChangeTest::new();
/// // A post every ten seconds. The mean is 0.5 for three hours, and 0 before and after.
/// let found: Vec<_> = (0..8_000_i64).filter_map(|post| {
///     let mean = if (5_000..6_080).contains(&post) { 0.5 } else { 0.0 };
///     let valence = mean + if post % 2 == 0 { 0.4 } else { -0.4 };
///     let at = Utc::from_millis(post * 10_000);
///     test.step(&Observation { valence, at, seen: 0, counts: 1.0, is_usual: true }, &settings)
/// }).map(|found| (found.kind, found.direction)).collect();
/// assert_eq!(found, [(MomentKind::Change, Direction::Up), (MomentKind::Return, Direction::Down)]);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ChangeTest {
    baseline: Baseline,
    /// Compares posts with the present level.
    detector: Detector,
    /// The level since the last change, if that is not the usual one yet.
    away: Option<Away>,
    /// No change is looked for before this time.
    quiet_until: Utc,
    /// The time of the newest post.
    at: Utc,
    /// How many posts were compared with something, ever.
    number: u64,
}

/// Away from what is usual.
#[derive(Debug, Clone, PartialEq)]
struct Away {
    since: Utc,
    direction: Direction,
    /// By how much posts differ from the baseline.
    level: Level,
    /// Compares posts with the old baseline. Only its evidence against [`Away::direction`] counts.
    usual: Detector,
}

impl Away {
    /// The interval in which the mean is if it is still the new one. Towards what is usual it ends at half the difference at the
    /// latest; in the other direction it is open while too few posts tell the new level.
    fn band(&self, usual: f64, settings: &ChangeSettings) -> Band {
        let difference = self.level.mean();
        let level = usual + difference;
        let slack = self.level.slack(settings);
        let onward = slack.unwrap_or(2.0);
        let back = onward.min(difference.abs() / 2.0);
        match self.direction {
            Direction::Up => Band {
                low: level - back,
                high: level + onward,
            },
            Direction::Down => Band {
                low: level - onward,
                high: level + back,
            },
        }
    }
}

impl Default for ChangeTest {
    fn default() -> Self {
        Self::new()
    }
}

impl ChangeTest {
    /// Before the first post.
    pub const fn new() -> Self {
        Self {
            baseline: Baseline::new(),
            detector: Detector::new(),
            away: None,
            quiet_until: Utc::MIN,
            at: Utc::MIN,
            number: 0,
        }
    }

    /// How many posts were compared with something, ever.
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// The mean valence that is usual in the present hour, in `[-1, 1]`.
    pub fn baseline(&self) -> f64 {
        self.baseline.mean()
    }

    /// Whether the level is another than the usual one since the last change.
    pub const fn is_away(&self) -> bool {
        self.away.is_some()
    }

    /// Whether a post at `at` is compared with something: there are enough earlier posts, and no change was found just before.
    pub(crate) fn is_watching(&self, at: Utc, settings: &ChangeSettings) -> bool {
        at >= self.quiet_until && self.baseline.band(settings).is_some()
    }

    /// What it does with a post at `at`.
    pub(crate) fn phase(&self, at: Utc, settings: &ChangeSettings) -> AudiencePhase {
        if self.baseline.band(settings).is_none() {
            // Decayed weights leave a little less than a whole number.
            let posts = self.baseline.posts().round() as u64;
            return AudiencePhase::Learning {
                posts: posts.min(settings.least_posts.saturating_sub(1)),
                needed: settings.least_posts,
            };
        }
        if at < self.quiet_until {
            return AudiencePhase::Quiet {
                until: self.quiet_until,
            };
        }
        self.away
            .as_ref()
            .map_or(AudiencePhase::Watching, |away| AudiencePhase::Changed {
                since: away.since,
            })
    }

    /// The evidence for a change, of which 1 is enough, and its direction. After a change, the evidence for an opposite change
    /// counts too, but not that for a return.
    pub(crate) fn evidence(&self) -> (f64, Direction) {
        let Some(away) = &self.away else {
            let verdict = self.detector.verdict();
            return (verdict.statistic, verdict.direction);
        };
        let (onward, back) = (away.direction, opposite(away.direction));
        let (further, opposed) = (self.detector.evidence(onward), away.usual.evidence(back));
        if further >= opposed {
            (further, onward)
        } else {
            (opposed, back)
        }
    }

    /// How many posts the evidence is from.
    pub(crate) const fn compared(&self) -> u64 {
        self.detector.posts()
    }

    /// Looks at a post.
    pub fn step(&mut self, post: &Observation, settings: &ChangeSettings) -> Option<Found> {
        self.look(post, settings, |_| ())
    }

    /// Looks at a post. If it is compared with something, `compared` gets the numbers of the posts at which a change may have begun
    /// (sorted, with repetitions), this post included, before any change is found.
    pub(crate) fn look(
        &mut self,
        post: &Observation,
        settings: &ChangeSettings,
        compared: impl FnOnce(&[u64]),
    ) -> Option<Found> {
        self.settle(post.at, settings);
        self.baseline.enter(post.at, settings);
        let capital = self.capital(post.at, settings);
        self.at = self.at.max(post.at);
        let found = if post.at < self.quiet_until {
            None
        } else {
            self.compare(post, capital, settings, compared)
        };
        if found.is_none() {
            // Only now: what a post is compared with must not know it.
            self.learn(post, settings);
        }
        found
    }

    /// The part of the budget that has become due since the last post.
    fn capital(&self, at: Utc, settings: &ChangeSettings) -> f64 {
        if self.at == Utc::MIN {
            return 0.0;
        }
        let days = at.millis_since(self.at).max(0) as f64 / 86_400_000.0;
        let due = days * settings.false_moments / f64::from(settings.audiences);
        let due = due.min(settings.alpha);
        if self.away.is_some() { due / 2.0 } else { due }
    }

    fn compare(
        &mut self,
        post: &Observation,
        capital: f64,
        settings: &ChangeSettings,
        compared: impl FnOnce(&[u64]),
    ) -> Option<Found> {
        let usual = self.baseline.band(settings)?;
        let mean = self.baseline.mean();
        self.number += 1;
        let mut observed = Observed {
            x: post.valence,
            at: post.at,
            number: self.number,
            seen: post.seen,
            counts: post.counts,
            capital_up: capital,
            capital_down: capital,
        };
        let Some(away) = &mut self.away else {
            let verdict = self.detector.observe(&observed, usual);
            compared(&self.firsts());
            if verdict.statistic < 1.0 {
                return None;
            }
            return Some(self.change(verdict.direction, mean, post.at, settings));
        };
        away.usual.observe(&observed, usual);
        let (onward, back) = (away.direction, opposite(away.direction));
        match back {
            Direction::Up => observed.capital_up = settings.alpha,
            Direction::Down => observed.capital_down = settings.alpha,
        }
        self.detector.observe(&observed, away.band(mean, settings));
        compared(&self.firsts());
        let Some(away) = &mut self.away else { return None };
        if away.usual.evidence(back) >= 1.0 {
            self.detector = std::mem::take(&mut away.usual);
            return Some(self.change(back, mean, post.at, settings));
        }
        let before = (mean + away.level.mean()).clamp(-1.0, 1.0);
        if self.detector.evidence(onward) >= 1.0 {
            return Some(self.change(onward, before, post.at, settings));
        }
        if self.detector.evidence(back) < 1.0 {
            return None;
        }
        self.go_back(back, before, post.at)
    }

    /// The posts are nearer to what is usual again.
    fn go_back(&mut self, back: Direction, before: f64, at: Utc) -> Option<Found> {
        let mean = self.baseline.mean();
        let run = self.detector.run(back);
        let found = self.found(MomentKind::Return, back, before);
        let away = self.away.as_mut()?;
        let difference = away.level.mean();
        let now = run.sum / run.weight.max(1e-9) - mean;
        // Of what is left of the difference, in its direction.
        let left = if difference >= 0.0 { now } else { -now };
        if left > difference.abs() / 2.0 {
            // It fades, and is not back.
            away.level = Level::of(&run, at);
            away.level.shift(-mean);
            self.detector = Detector::new();
            return None;
        }
        let mut usual = std::mem::take(&mut away.usual);
        usual.forget(away.direction);
        self.detector = usual;
        self.away = None;
        Some(found)
    }

    fn change(&mut self, direction: Direction, before: f64, at: Utc, settings: &ChangeSettings) -> Found {
        let found = self.found(MomentKind::Change, direction, before);
        self.leave(direction, at, settings);
        found
    }

    /// What the detector has found.
    fn found(&self, kind: MomentKind, direction: Direction, before: f64) -> Found {
        let run = self.detector.run(direction);
        Found {
            kind,
            direction,
            before,
            statistic: self.detector.verdict().statistic,
            posts: self.detector.posts(),
            since: run.since,
            first: run.first,
        }
    }

    /// The level is another one since the change that the detector has found.
    fn leave(&mut self, direction: Direction, at: Utc, settings: &ChangeSettings) {
        let run = self.detector.run(direction);
        if self.away.is_none() {
            self.baseline.without(&run, settings);
        }
        let mut level = Level::of(&run, at);
        level.shift(-self.baseline.mean());
        self.away = Some(Away {
            since: at,
            direction,
            level,
            usual: Detector::new(),
        });
        self.detector = Detector::new();
        self.quiet_until = at.plus_millis(settings.cooldown.as_millis());
    }

    /// Takes the new level for the usual one after a while.
    fn settle(&mut self, at: Utc, settings: &ChangeSettings) {
        let Some(away) = &self.away else { return };
        if at.millis_since(away.since) < settings.remembered.as_millis() {
            return;
        }
        self.baseline.shift(away.level.mean());
        self.away = None;
    }

    fn learn(&mut self, post: &Observation, settings: &ChangeSettings) {
        if !post.is_usual || post.counts <= 0.0 {
            return;
        }
        match &mut self.away {
            None => self.baseline.add(post.valence, post.counts, post.at, settings),
            Some(away) => away.level.add(
                post.valence - self.baseline.mean(),
                post.counts,
                post.at,
                settings.baseline_half_life.as_millis(),
            ),
        }
    }

    /// The numbers of the posts at which a change may have begun, sorted. One can occur several times.
    pub(crate) fn firsts(&self) -> [u64; FIRSTS] {
        let mut firsts = [0; FIRSTS];
        let up = self.detector.firsts(Direction::Up);
        let down = self.detector.firsts(Direction::Down);
        let usual = match &self.away {
            Some(away) => away.usual.firsts(opposite(away.direction)),
            None => up,
        };
        let all = up.into_iter().chain(down).chain(usual);
        for (first, number) in firsts.iter_mut().zip(all) {
            *first = number;
        }
        firsts.sort_unstable();
        firsts
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        self.baseline.write(to);
        self.detector.write(to);
        to.time(self.quiet_until);
        to.time(self.at);
        to.unsigned(self.number);
        to.flag(self.away.is_some());
        if let Some(away) = &self.away {
            to.time(away.since);
            to.flag(away.direction == Direction::Up);
            away.level.write(to);
            away.usual.write(to);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut test = Self {
            baseline: Baseline::read(from)?,
            detector: Detector::read(from)?,
            away: None,
            quiet_until: from.time()?,
            at: from.time()?,
            number: from.unsigned()?,
        };
        if from.flag()? {
            test.away = Some(Away {
                since: from.time()?,
                direction: if from.flag()? {
                    Direction::Up
                } else {
                    Direction::Down
                },
                level: Level::read(from)?,
                usual: Detector::read(from)?,
            });
        }
        Ok(test)
    }

    /// A test with the baseline of the first version of the state, and nothing found yet.
    pub(crate) fn of(baseline: Baseline) -> Self {
        Self {
            baseline,
            ..Self::new()
        }
    }

    pub(crate) const fn set_quiet_until(&mut self, at: Utc) {
        self.quiet_until = at;
    }
}

/// Most beginnings that [`ChangeTest::firsts`] names.
pub(crate) const FIRSTS: usize = 3 * STAKES.len();

const fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Up => Direction::Down,
        Direction::Down => Direction::Up,
    }
}
