//! How much of what an audience wrote lately is offensive or hateful.

use limbic_domain::Utc;
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::arithmetic::decay;
use crate::settings::AudienceSettings;
use crate::waiting::WaitingFeeling;

/// What is said of one post. `None` = it is not read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Judged {
    pub(crate) offensive: Option<bool>,
    pub(crate) hateful: Option<bool>,
}

impl Judged {
    pub(crate) fn of(feeling: &WaitingFeeling, settings: &AudienceSettings) -> Self {
        Self {
            offensive: feeling.offence.map(|offence| offence >= settings.offence_from),
            hateful: feeling.hate.map(|hate| hate >= settings.hate_from),
        }
    }
}

/// Decayed shares: a post of age `t` has the weight `2^(-t / half-life)`, as in [`crate::mood::Mood`].
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Hostility {
    at: Utc,
    offence: Share,
    hate: Share,
}

#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Share {
    /// Of the posts in which it is read.
    weight: f64,
    /// Of those that are such.
    hits: f64,
}

impl Share {
    fn add(&mut self, is_hit: Option<bool>, weight: f64) {
        if let Some(is_hit) = is_hit {
            self.weight += weight;
            self.hits += if is_hit { weight } else { 0.0 };
        }
    }

    fn fade(&mut self, left: f64) {
        self.weight *= left;
        self.hits *= left;
    }

    fn get(self) -> f64 {
        if self.weight > 0.0 {
            (self.hits / self.weight).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

impl Hostility {
    pub(crate) const fn new() -> Self {
        let none = Share {
            weight: 0.0,
            hits: 0.0,
        };
        Self {
            at: Utc::MIN,
            offence: none,
            hate: none,
        }
    }

    pub(crate) fn add(&mut self, at: Utc, half_life: i64, judged: Judged) {
        if at > self.at {
            let left = decay(at.millis_since(self.at), half_life);
            self.offence.fade(left);
            self.hate.fade(left);
            self.at = at;
        }
        let weight = decay(self.at.millis_since(at), half_life);
        self.offence.add(judged.offensive, weight);
        self.hate.add(judged.hateful, weight);
    }

    /// Share of offensive posts in `[0, 1]`.
    pub(crate) fn offence(&self) -> f64 {
        self.offence.get()
    }

    /// Share of hateful posts in `[0, 1]`.
    pub(crate) fn hate(&self) -> f64 {
        self.hate.get()
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.time(self.at);
        for share in [self.offence, self.hate] {
            to.number(share.weight);
            to.number(share.hits);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let at = from.time()?;
        let mut share = || {
            Ok(Share {
                weight: from.number()?,
                hits: from.number()?,
            })
        };
        Ok(Self {
            at,
            offence: share()?,
            hate: share()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_post_in_which_it_is_not_read_does_not_count_and_an_old_one_counts_less() {
        let mut hostility = Hostility::new();
        let post = |offensive, hateful| Judged { offensive, hateful };
        let at = Utc::from_millis;
        assert_eq!((hostility.offence(), hostility.hate()), (0.0, 0.0));
        hostility.add(at(0), 1_000, post(Some(true), Some(false)));
        hostility.add(at(1_000), 1_000, post(None, Some(true)));
        assert!((hostility.offence() - 1.0).abs() < 1e-12);
        assert!(
            (hostility.hate() - 2.0 / 3.0).abs() < 1e-12,
            "{}",
            hostility.hate()
        );
        // A late post has the weight that it would have by now.
        hostility.add(at(0), 1_000, post(Some(false), Some(false)));
        assert!((hostility.offence() - 0.5).abs() < 1e-12);
        assert!((hostility.hate() - 0.5).abs() < 1e-12);
    }
}
