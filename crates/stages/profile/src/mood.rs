//! Exponentially decayed means of affect, by event time.

use limbic_domain::{Emotions, Utc};
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::arithmetic::decay;

/// The affect of a post, as it is added to a mean.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Felt<'a> {
    pub(crate) valence: f64,
    pub(crate) arousal: f64,
    pub(crate) emotions: &'a Emotions,
    pub(crate) distressed: bool,
}

/// Maximum number of emotion names in a mood. Further names are ignored; a reading does not have more either.
pub(crate) const MOST_EMOTIONS: usize = 64;

/// An emotion whose weight has decayed below this is removed.
const FORGOTTEN: f64 = 1e-12;

/// Decayed sums: a post of age `t` has the weight `2^(-t / half-life)`.
///
/// The newest post has the weight 1 at its own time. So `weight >= 1` after the first post, and no mean divides by zero.
/// An older post is added with the weight that it would have by then. So the sums do not depend on the order of arrival,
/// except for rounding.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Mood {
    at: Utc,
    weight: f64,
    /// The part of the weight that has a valence: not posts that are meant ironically.
    felt: f64,
    valence: f64,
    arousal: f64,
    distressed: f64,
    /// Name, weight and sum of each emotion, sorted by name. Each has its own weight, because an emotion that an engine
    /// cannot detect is missing, not zero.
    emotions: Vec<(String, f64, f64)>,
}

impl Mood {
    pub(crate) const fn new() -> Self {
        Self {
            at: Utc::MIN,
            weight: 0.0,
            felt: 0.0,
            valence: 0.0,
            arousal: 0.0,
            distressed: 0.0,
            emotions: Vec::new(),
        }
    }

    /// The time of the newest post.
    pub(crate) const fn at(&self) -> Utc {
        self.at
    }

    /// Adds a post. Of one that is meant ironically, only its distress counts.
    pub(crate) fn add(&mut self, at: Utc, half_life: i64, felt: &Felt<'_>, ironic: bool) {
        if at > self.at {
            self.fade(decay(at.millis_since(self.at), half_life));
            self.at = at;
        }
        let weight = decay(self.at.millis_since(at), half_life);
        self.weight += weight;
        if felt.distressed {
            self.distressed += weight;
        }
        if ironic {
            return;
        }
        self.felt += weight;
        self.valence += weight * felt.valence;
        self.arousal += weight * felt.arousal;
        for (name, &score) in felt.emotions {
            match self
                .emotions
                .binary_search_by(|(known, ..)| known.as_str().cmp(name))
            {
                Ok(place) => {
                    self.emotions[place].1 += weight;
                    self.emotions[place].2 += weight * score;
                }
                Err(place) if self.emotions.len() < MOST_EMOTIONS => {
                    self.emotions
                        .insert(place, (name.clone(), weight, weight * score));
                }
                Err(_) => {}
            }
        }
    }

    fn fade(&mut self, left: f64) {
        self.weight *= left;
        self.felt *= left;
        self.valence *= left;
        self.arousal *= left;
        self.distressed *= left;
        for (_, weight, sum) in &mut self.emotions {
            *weight *= left;
            *sum *= left;
        }
        self.emotions.retain(|(_, weight, _)| *weight > FORGOTTEN);
    }

    /// Mean valence in `[-1, 1]`; 0 before the first post.
    pub(crate) fn valence(&self) -> f64 {
        mean(self.valence, self.felt).clamp(-1.0, 1.0)
    }

    /// Mean arousal in `[0, 1]`.
    pub(crate) fn arousal(&self) -> f64 {
        mean(self.arousal, self.felt).clamp(0.0, 1.0)
    }

    /// Share of posts in distress, in `[0, 1]`.
    pub(crate) fn distressed(&self) -> f64 {
        mean(self.distressed, self.weight).clamp(0.0, 1.0)
    }

    /// Mean of each emotion over the posts whose readings contain it.
    pub(crate) fn emotions(&self) -> Emotions {
        self.emotions
            .iter()
            .filter(|(_, weight, _)| *weight > FORGOTTEN)
            .map(|(name, weight, sum)| (name.clone(), (sum / weight).clamp(0.0, 1.0)))
            .collect()
    }

    /// Decayed number of posts.
    pub(crate) const fn weight(&self) -> f64 {
        self.weight
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.time(self.at);
        for number in [
            self.weight,
            self.felt,
            self.valence,
            self.arousal,
            self.distressed,
        ] {
            to.number(number);
        }
        to.length(self.emotions.len());
        for (name, weight, sum) in &self.emotions {
            to.text(name);
            to.number(*weight);
            to.number(*sum);
        }
    }

    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let mut mood = Self {
            at: from.time()?,
            weight: from.number()?,
            felt: from.number()?,
            valence: from.number()?,
            arousal: from.number()?,
            distressed: from.number()?,
            emotions: Vec::new(),
        };
        let names = from.length()?;
        mood.emotions.reserve_exact(names);
        for _ in 0..names {
            mood.emotions
                .push((from.text()?.to_owned(), from.number()?, from.number()?));
        }
        Ok(mood)
    }
}

fn mean(sum: f64, weight: f64) -> f64 {
    if weight > 0.0 { sum / weight } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn felt(valence: f64, emotions: &Emotions) -> Felt<'_> {
        Felt {
            valence,
            arousal: 0.5,
            emotions,
            distressed: false,
        }
    }

    #[test]
    fn a_post_one_half_life_old_weighs_half() {
        let none = Emotions::new();
        let mut mood = Mood::new();
        mood.add(Utc::from_millis(0), 1_000, &felt(1.0, &none), false);
        mood.add(Utc::from_millis(1_000), 1_000, &felt(-1.0, &none), false);
        assert!((mood.valence() - (0.5 - 1.0) / 1.5).abs() < 1e-15);
    }

    #[test]
    fn a_post_that_comes_out_of_order_weighs_the_same() {
        let none = Emotions::new();
        let (mut forward, mut backward) = (Mood::new(), Mood::new());
        let posts = [(0, 1.0), (700, -0.25), (5_000, 0.5)];
        for (at, valence) in posts {
            forward.add(Utc::from_millis(at), 1_000, &felt(valence, &none), false);
        }
        for (at, valence) in posts.into_iter().rev() {
            backward.add(Utc::from_millis(at), 1_000, &felt(valence, &none), false);
        }
        assert!((forward.valence() - backward.valence()).abs() < 1e-15);
        assert!((forward.weight() - backward.weight()).abs() < 1e-15);
    }

    #[test]
    fn an_emotion_that_is_not_told_is_no_zero() {
        let joy = Emotions::from([("joy".to_owned(), 0.8)]);
        let none = Emotions::new();
        let mut mood = Mood::new();
        mood.add(Utc::from_millis(0), 1_000, &felt(0.0, &joy), false);
        mood.add(Utc::from_millis(1_000), 1_000, &felt(0.0, &none), false);
        assert!((mood.emotions()["joy"] - 0.8).abs() < 1e-15);
        mood.add(Utc::from_millis(100_000), 1_000, &felt(0.0, &none), false);
        assert!(mood.emotions().is_empty(), "forgotten after a hundred half-lives");
    }
}
