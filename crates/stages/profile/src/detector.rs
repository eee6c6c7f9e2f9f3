//! The change test: an e-detector for a shift of the mean of a bounded stream.
//!
//! # The test
//!
//! Valence `x` is in `[-1, 1]`. *Nothing changed* means that its mean, given all that came before, stays within a band
//! `[low, high]` around the audience's baseline; the band may move, as long as it was fixed before the post was seen. For a
//! stake `0 < s < 1`, betting that the mean is above the band multiplies a capital by
//!
//! ```text
//! 1 + s (x - high) / (1 + high)
//! ```
//!
//! which is never negative and on average at most 1 while nothing changed: an e-value (Waudby-Smith and Ramdas,
//! "Estimating means of bounded random variables by betting", JRSS B 2024). Starting one such capital of 1 at every post
//! and adding them all up gives the Shiryaev-Roberts e-detector of Shin, Ramdas and Rinaldo ("E-detectors: a nonparametric
//! framework for sequential change detection", New England Journal of Statistics in Data Science 2023, section 2), with the
//! recursion `m <- (m + 1) * factor`. For every stopping time `T`, `E[m at T] <= E[T]`; so stopping once `m >= 1 / alpha`
//! gives `E[T] >= 1 / alpha`: false alarms are on average at least `1 / alpha` posts apart, for *any* distribution and any
//! dependence between posts. A mean of e-detectors is one again: five stakes (small shifts want small ones) and both
//! directions are mixed with equal weights.
//!
//! # Budgets
//!
//! The capital that starts at a post need not be 1. If a post starts the capital `c`, the recursion is `m <- (m + c) * factor`, and
//! `E[m at T]` is at most the expected sum of the capitals started until `T`. Stopping once `m >= 1` then raises on average at
//! most one false alarm for each capital of 1 that was started. So a budget of alarms *in time* is kept by starting capital in
//! proportion to the time that has passed ([`crate::ChangeTest`]), whatever the number of posts.
//!
//! # Whose posts count
//!
//! A stake may depend on anything that was known before the post's valence was. One person and one text count once in a run: if
//! the author or the text was already seen since the likeliest beginning of a change, the stake is 0 and the capital stays what it
//! was.
//!
//! No logarithm, no exponential: the same bits on every machine.

use limbic_domain::{Direction, Utc};
use limbic_stream::{DecodeProblem, Decoder, Encoder};

/// Shares of the capital that are bet, geometrically spread: a stake near `shift * (1 + high) / variance` is best.
pub(crate) const STAKES: [f64; 5] = [0.06, 0.125, 0.25, 0.5, 0.9];

/// No capital grows beyond this. While a mean stays away from what was usual, every post multiplies what was bet on that, and nobody
/// asks for the result: after some thousand posts it would be infinite.
const MOST_CAPITAL: f64 = 1e300;

/// Where the mean may be while nothing changed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    /// The least.
    pub low: f64,
    /// The greatest.
    pub high: f64,
}

impl Band {
    pub(crate) const fn around(mean: f64, slack: f64) -> Self {
        Self {
            low: mean - slack,
            high: mean + slack,
        }
    }
}

/// Plain sums over a run of posts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Run {
    /// Time of its first post.
    pub(crate) since: Utc,
    /// Its first post's number among the posts of the detector, from 1.
    pub(crate) first: u64,
    /// How many posts, as far as they count.
    pub(crate) weight: f64,
    /// Sum of their values.
    pub(crate) sum: f64,
    /// Sum of their squares.
    pub(crate) squares: f64,
}

impl Run {
    const EMPTY: Self = Self {
        since: Utc::MIN,
        first: 0,
        weight: 0.0,
        sum: 0.0,
        squares: 0.0,
    };
}

/// One stake in one direction.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Bet {
    /// The sum of the capitals started at every post.
    detector: f64,
    /// The largest of those capitals, and the posts since it was started: the likeliest beginning of a change
    /// (the recursion of Page's CUSUM).
    best: f64,
    run: Run,
}

impl Bet {
    const NEW: Self = Self {
        detector: 0.0,
        best: 1.0,
        run: Run::EMPTY,
    };

    /// `edge` is what a stake of 1 wins, `capital` is what starts here.
    fn step(&mut self, stake: f64, edge: f64, capital: f64, post: &Observed) {
        if self.best <= 1.0 {
            self.best = 1.0;
            self.run = Run {
                since: post.at,
                first: post.number,
                ..Run::EMPTY
            };
        }
        let counts = if post.seen >= self.run.first {
            0.0
        } else {
            post.counts
        };
        let factor = 1.0 + stake * counts * edge;
        self.detector = ((self.detector + capital) * factor).min(MOST_CAPITAL);
        self.best = (self.best * factor).min(MOST_CAPITAL);
        self.run.weight += counts;
        self.run.sum += counts * post.x;
        self.run.squares += counts * post.x * post.x;
    }
}

/// A post as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observed {
    /// Its value.
    pub(crate) x: f64,
    pub(crate) at: Utc,
    /// Its number, from 1.
    pub(crate) number: u64,
    /// The number of the newest earlier post of the same person or the same text; 0 if there is none.
    pub(crate) seen: u64,
    /// As how many posts it counts if it is the first of its person and its text, in `[0, 1]`.
    pub(crate) counts: f64,
    /// The capital that starts here for a change upwards.
    pub(crate) capital_up: f64,
    /// And downwards.
    pub(crate) capital_down: f64,
}

/// What the posts say about a change.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The e-detector's value, to be compared with `1 / alpha`.
    pub statistic: f64,
    /// The likelier direction.
    pub direction: Direction,
    /// When a change in that direction most likely began: the time of its first post.
    pub since: Utc,
}

/// A two-sided e-detector for the mean of a stream in `[-1, 1]`.
///
/// ```
/// use limbic_domain::{Direction, Utc};
/// use limbic_profile::{Band, Detector};
///
/// let band = Band { low: -0.05, high: 0.05 };
/// let mut detector = Detector::new();
/// let mut verdict = detector.step(0.0, Utc::from_millis(0), band);
/// while verdict.statistic < 1e4 {
///     verdict = detector.step(0.9, Utc::from_millis(1), band);
/// }
/// assert_eq!(verdict.direction, Direction::Up);
/// assert_eq!(verdict.since, Utc::from_millis(1));
/// assert!(detector.posts() < 25);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Detector {
    posts: u64,
    up: [Bet; STAKES.len()],
    down: [Bet; STAKES.len()],
}

impl Default for Detector {
    fn default() -> Self {
        Self::new()
    }
}

impl Detector {
    /// Before the first post.
    pub const fn new() -> Self {
        Self {
            posts: 0,
            up: [Bet::NEW; STAKES.len()],
            down: [Bet::NEW; STAKES.len()],
        }
    }

    /// How many posts it looked at.
    pub const fn posts(&self) -> u64 {
        self.posts
    }

    /// Looks at a post of valence `x` in `[-1, 1]`, and starts a capital of 1. The band must not depend on this post or a later
    /// one.
    pub fn step(&mut self, x: f64, at: Utc, band: Band) -> Verdict {
        let number = self.posts + 1;
        self.observe(
            &Observed {
                x,
                at,
                number,
                seen: 0,
                counts: 1.0,
                capital_up: 1.0,
                capital_down: 1.0,
            },
            band,
        )
    }

    pub(crate) fn observe(&mut self, post: &Observed, band: Band) -> Verdict {
        self.posts += 1;
        // A band that reaches past the end of the scale leaves nothing to win in that direction.
        let (low, high) = (band.low.clamp(-1.0, 1.0), band.high.clamp(-1.0, 1.0));
        let above = (post.x - high) / (1.0 + high).max(1e-9);
        let below = (low - post.x) / (1.0 - low).max(1e-9);
        for (place, stake) in STAKES.into_iter().enumerate() {
            self.up[place].step(stake, above, post.capital_up, post);
            self.down[place].step(stake, below, post.capital_down, post);
        }
        self.verdict()
    }

    pub(crate) fn verdict(&self) -> Verdict {
        let total = |bets: &[Bet]| bets.iter().map(|bet| bet.detector).sum::<f64>();
        let (up, down) = (total(&self.up), total(&self.down));
        let direction = if up >= down {
            Direction::Up
        } else {
            Direction::Down
        };
        Verdict {
            statistic: (up + down) / (2 * STAKES.len()) as f64,
            direction,
            since: self.run(direction).since,
        }
    }

    /// The evidence for one direction alone.
    pub(crate) fn evidence(&self, direction: Direction) -> f64 {
        self.bets(direction).iter().map(|bet| bet.detector).sum::<f64>() / (2 * STAKES.len()) as f64
    }

    /// Forgets what speaks for one direction.
    pub(crate) fn forget(&mut self, direction: Direction) {
        match direction {
            Direction::Up => self.up = Self::new().up,
            Direction::Down => self.down = Self::new().down,
        }
    }

    const fn bets(&self, direction: Direction) -> &[Bet; STAKES.len()] {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// The numbers of the posts at which a change in `direction` may have begun. One can occur several times.
    pub(crate) fn firsts(&self, direction: Direction) -> [u64; STAKES.len()] {
        self.bets(direction).map(|bet| bet.run.first)
    }

    /// The posts since a change in `direction` most likely began.
    pub(crate) fn run(&self, direction: Direction) -> Run {
        let bets = self.bets(direction);
        let mut likeliest = &bets[0];
        for bet in bets {
            if bet.best > likeliest.best {
                likeliest = bet;
            }
        }
        likeliest.run
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.unsigned(self.posts);
        for bet in self.up.iter().chain(&self.down) {
            to.number(bet.detector);
            to.number(bet.best);
            to.time(bet.run.since);
            to.unsigned(bet.run.first);
            to.number(bet.run.weight);
            to.number(bet.run.sum);
            to.number(bet.run.squares);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut detector = Self::new();
        detector.posts = from.unsigned()?;
        for bet in detector.up.iter_mut().chain(&mut detector.down) {
            *bet = Bet {
                detector: from.number()?.min(MOST_CAPITAL),
                best: from.number()?.min(MOST_CAPITAL),
                run: Run {
                    since: from.time()?,
                    first: from.unsigned()?,
                    weight: from.number()?,
                    sum: from.number()?,
                    squares: from.number()?,
                },
            };
        }
        Ok(detector)
    }

    /// Passes over a detector of the first version, whose capitals have another unit.
    pub(crate) fn skip_first_version(from: &mut Decoder<'_>) -> Result<(), DecodeProblem> {
        from.unsigned()?;
        for _ in 0..2 * STAKES.len() {
            from.number()?;
            from.number()?;
            from.time()?;
            from.unsigned()?;
            from.unsigned()?;
            from.number()?;
            from.number()?;
        }
        Ok(())
    }
}
