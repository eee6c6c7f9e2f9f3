//! Whether more of a subject's posts are of some kind than usual.
//!
//! For shares that the posts may have by now, a post multiplies a capital by the ratio of its chance under that share to its chance
//! under the usual one: an e-value. One capital starts at every post and all are added up, so alarms without a rise are on average
//! at least `1 / alpha` posts apart (as in the [detector of changes](crate::Detector)).

use limbic_domain::Utc;
use limbic_stream::{DecodeProblem, Decoder, Encoder};

/// How many possible shares are bet on.
pub(crate) const BETS: usize = 2;
/// Most hashes of people and texts that are remembered.
const MOST_KNOWN: usize = 128;
/// The capital since the likeliest beginning is kept below this, so that it ends soon after the rise.
const MOST_CAPITAL: f64 = 1e12;

/// The state of a test, since the likeliest beginning of a rise.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Rise {
    detectors: [f64; BETS],
    /// The capital that started at the likeliest beginning.
    best: f64,
    /// The first post since then.
    pub(crate) since: Utc,
    /// The posts since then.
    pub(crate) posts: u64,
    /// How many of them are of the kind.
    pub(crate) hits: u64,
    /// Who wrote them, and their texts, as hashes.
    known: Vec<u64>,
}

impl Rise {
    pub(crate) const fn new() -> Self {
        Self {
            detectors: [0.0; BETS],
            best: 1.0,
            since: Utc::MIN,
            posts: 0,
            hits: 0,
            known: Vec::new(),
        }
    }

    /// A post comes: if nothing has risen, everything begins with it.
    pub(crate) fn begin(&mut self, at: Utc) {
        if self.best > 1.0 {
            return;
        }
        self.best = 1.0;
        self.since = at;
        self.posts = 0;
        self.hits = 0;
        self.known.clear();
    }

    /// How often this hash was remembered.
    pub(crate) fn times_known(&self, hash: u64) -> usize {
        self.known.iter().filter(|known| **known == hash).count()
    }

    pub(crate) fn remember(&mut self, hash: u64) {
        if self.known.len() < MOST_KNOWN {
            self.known.push(hash);
        }
    }

    /// Counts a post that multiplies each bet's capital by its factor; whether that is an alarm. After an alarm the capital is 0.
    pub(crate) fn count(&mut self, is_hit: bool, factors: [f64; BETS], alpha: f64) -> bool {
        self.posts += 1;
        self.hits += u64::from(is_hit);
        self.best = (self.best * factors[0]).min(MOST_CAPITAL);
        for (detector, factor) in self.detectors.iter_mut().zip(factors) {
            *detector = (*detector + 1.0) * factor;
        }
        let is_alarm = self.detectors.iter().sum::<f64>() / BETS as f64 >= 1.0 / alpha;
        if is_alarm {
            self.detectors = [0.0; BETS];
        }
        is_alarm
    }

    /// The evidence for a rise, as a part of what raises an alarm.
    pub(crate) fn evidence(&self, alpha: f64) -> f64 {
        self.detectors.iter().sum::<f64>() / BETS as f64 * alpha
    }

    pub(crate) fn size_hint(&self) -> usize {
        48 + 10 * self.known.len()
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        for detector in self.detectors {
            to.number(detector);
        }
        to.number(self.best);
        to.time(self.since);
        to.unsigned(self.posts);
        to.unsigned(self.hits);
        to.length(self.known.len());
        for &hash in &self.known {
            to.unsigned(hash);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut rise = Self::read_counts(from)?;
        rise.known = read_known(from)?;
        Ok(rise)
    }

    /// Everything but the hashes: the first version had something else between.
    pub(crate) fn read_counts(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(Self {
            detectors: [from.number()?, from.number()?],
            best: from.number()?.min(MOST_CAPITAL),
            since: from.time()?,
            posts: from.unsigned()?,
            hits: from.unsigned()?,
            known: Vec::new(),
        })
    }

    pub(crate) fn with_known(mut self, known: Vec<u64>) -> Self {
        self.known = known;
        self
    }
}

/// A list of hashes.
pub(crate) fn read_known(from: &mut Decoder<'_>) -> Result<Vec<u64>, DecodeProblem> {
    (0..from.length()?).map(|_| from.unsigned()).collect()
}
