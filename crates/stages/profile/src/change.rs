//! The posts since a change began: sums for every possible beginning that the detector keeps.

use std::collections::BTreeMap;

use limbic_domain::{Change, Distress, Emotions, MoodSummary, Utc};
use limbic_stream::{DecodeProblem, Decoder, Encoder};

use crate::hostility::Judged;
use crate::intents::IntentCounts;
use crate::mood::MOST_EMOTIONS;
use crate::settings::AudienceSettings;
use crate::waiting::WaitingFeeling;

/// What is counted of one post.
#[derive(Debug, Clone, Copy)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Counted {
    pub(crate) distressed: bool,
    pub(crate) sensitive_event: bool,
    pub(crate) unread: bool,
    /// Its text nearly repeats another one of the window.
    pub(crate) copied: bool,
    pub(crate) judged: Judged,
}

impl Counted {
    pub(crate) fn of(feeling: &WaitingFeeling, settings: &AudienceSettings, copied: bool) -> Self {
        Self {
            distressed: feeling.distress >= settings.distress_from,
            sensitive_event: feeling.sensitive_event >= Distress::EVENT_FROM,
            unread: feeling.unread,
            copied,
            judged: Judged::of(feeling, settings),
        }
    }
}

/// Most brands that are counted. Further ones are ignored.
const MOST_BRANDS: usize = 8;

/// Sums over the posts since each beginning. At most one for each bet of the detector.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Changes {
    /// The names of all sums' emotions, sorted.
    names: Vec<String>,
    /// In the order of their beginnings.
    sums: Vec<Sums>,
}

#[derive(Debug, Clone, PartialEq, Default)]
struct Sums {
    /// The number, among the detector's posts, of the first one.
    first: u64,
    since: Utc,
    posts: u64,
    distressed: u64,
    sensitive_events: u64,
    unread: u64,
    copied: u64,
    automated: u64,
    /// Posts in which offence or hate is read.
    judged: u64,
    offensive: u64,
    hateful: u64,
    intents: IntentCounts,
    brands: BTreeMap<String, u64>,
    /// Posts that have a valence.
    felt: u64,
    valence: f64,
    squares: f64,
    arousal: f64,
    /// For each name: how many posts have a value for it, and the sum of the values.
    emotions: Vec<(u64, f64)>,
}

impl Sums {
    fn add_brands(&mut self, brands: &[String]) {
        for brand in brands {
            if let Some(count) = self.brands.get_mut(brand) {
                *count += 1;
            } else if self.brands.len() < MOST_BRANDS {
                self.brands.insert(brand.clone(), 1);
            }
        }
    }

    /// What the second version of an audience's state did not count.
    fn read_kinds(&mut self, from: &mut Decoder<'_>) -> Result<(), DecodeProblem> {
        self.judged = from.unsigned()?;
        self.offensive = from.unsigned()?;
        self.hateful = from.unsigned()?;
        self.intents = IntentCounts::read(from)?;
        for _ in 0..from.length()? {
            self.brands.insert(from.text()?.to_owned(), from.unsigned()?);
        }
        Ok(())
    }
}

impl Changes {
    pub(crate) const fn new() -> Self {
        Self {
            names: Vec::new(),
            sums: Vec::new(),
        }
    }

    /// Keeps the sums that begin at one of the posts `firsts` (sorted), begins the one that is missing, and adds the post to all.
    pub(crate) fn add(&mut self, firsts: &[u64], feeling: &WaitingFeeling, counted: Counted) {
        self.sums.retain(|sums| firsts.binary_search(&sums.first).is_ok());
        let newest = firsts.last().copied().unwrap_or(0);
        if self.sums.last().is_none_or(|sums| sums.first < newest) {
            self.sums.push(Sums {
                first: newest,
                since: feeling.at,
                emotions: vec![(0, 0.0); self.names.len()],
                ..Sums::default()
            });
        }
        for sums in &mut self.sums {
            sums.posts += 1;
            sums.distressed += u64::from(counted.distressed);
            sums.sensitive_events += u64::from(counted.sensitive_event);
            sums.unread += u64::from(counted.unread);
            sums.copied += u64::from(counted.copied);
            sums.automated += u64::from(feeling.automated);
            let Judged { offensive, hateful } = counted.judged;
            sums.judged += u64::from(offensive.is_some() || hateful.is_some());
            sums.offensive += u64::from(offensive == Some(true));
            sums.hateful += u64::from(hateful == Some(true));
            sums.intents.add(feeling.intent);
            sums.add_brands(&feeling.brands);
            if !feeling.ironic {
                sums.felt += 1;
                sums.valence += feeling.valence;
                sums.squares += feeling.valence * feeling.valence;
                sums.arousal += feeling.arousal;
            }
        }
        if !feeling.ironic {
            self.add_emotions(&feeling.emotions);
        }
    }

    /// Both lists of names are sorted: one pass.
    fn add_emotions(&mut self, emotions: &Emotions) {
        let mut place = 0;
        for (name, &score) in emotions {
            while self.names.get(place).is_some_and(|known| known < name) {
                place += 1;
            }
            if self.names.get(place) != Some(name) {
                if self.names.len() >= MOST_EMOTIONS {
                    continue;
                }
                self.names.insert(place, name.clone());
                for sums in &mut self.sums {
                    sums.emotions.insert(place, (0, 0.0));
                }
            }
            for sums in &mut self.sums {
                sums.emotions[place].0 += 1;
                sums.emotions[place].1 += score;
            }
        }
    }

    /// The posts since the beginning at post `first`; `None` if the detector does not consider that beginning.
    pub(crate) fn since(&self, first: u64) -> Option<Change> {
        let sums = self.sums.iter().find(|sums| sums.first == first)?;
        let felt = sums.felt as f64;
        let mean = |sum: f64| if sums.felt > 0 { sum / felt } else { 0.0 };
        let valence = mean(sums.valence).clamp(-1.0, 1.0);
        let valence_error = if sums.felt < 2 {
            2.0
        } else {
            let variance = (sums.squares / felt - valence * valence).max(0.0) * felt / (felt - 1.0);
            (variance / felt).sqrt()
        };
        let emotions = self.names.iter().zip(&sums.emotions);
        let emotions = emotions
            .filter(|(_, (counted_in, _))| *counted_in > 0)
            .map(|(name, (counted_in, sum))| (name.clone(), (sum / *counted_in as f64).clamp(0.0, 1.0)));
        Some(Change {
            since: sums.since,
            posts: sums.posts,
            distressed: sums.distressed,
            sensitive_events: sums.sensitive_events,
            unread: sums.unread,
            copied: sums.copied,
            automated: sums.automated,
            judged: sums.judged,
            offensive: sums.offensive,
            hateful: sums.hateful,
            intents: sums.intents.by_kind(),
            brands: sums.brands.clone(),
            mood: MoodSummary {
                valence,
                arousal: mean(sums.arousal).clamp(0.0, 1.0),
                emotions: emotions.collect(),
                distress: sums.distressed as f64 / sums.posts.max(1) as f64,
                offence: sums.offensive as f64 / sums.judged.max(1) as f64,
                hate: sums.hateful as f64 / sums.judged.max(1) as f64,
                weight: felt,
            },
            valence_error,
        })
    }

    pub(crate) fn write(&self, to: &mut Encoder) {
        to.length(self.names.len());
        for name in &self.names {
            to.text(name);
        }
        to.length(self.sums.len());
        for sums in &self.sums {
            to.unsigned(sums.first);
            to.time(sums.since);
            let counts = [
                sums.posts,
                sums.distressed,
                sums.sensitive_events,
                sums.unread,
                sums.copied,
                sums.automated,
                sums.felt,
            ];
            for count in counts {
                to.unsigned(count);
            }
            for count in [sums.judged, sums.offensive, sums.hateful] {
                to.unsigned(count);
            }
            sums.intents.write(to);
            to.length(sums.brands.len());
            for (brand, count) in &sums.brands {
                to.text(brand);
                to.unsigned(*count);
            }
            for sum in [sums.valence, sums.squares, sums.arousal] {
                to.number(sum);
            }
            for (counted_in, sum) in &sums.emotions {
                to.unsigned(*counted_in);
                to.number(*sum);
            }
        }
    }

    /// Passes over the sums of the first version, which belong to a detector that is not kept.
    pub(crate) fn skip_first_version(from: &mut Decoder<'_>) -> Result<(), DecodeProblem> {
        let names = from.length()?;
        for _ in 0..names {
            from.text()?;
        }
        for _ in 0..from.length()? {
            from.unsigned()?;
            from.time()?;
            for _ in 0..5 {
                from.unsigned()?;
            }
            for _ in 0..3 {
                from.number()?;
            }
            for _ in 0..names {
                from.unsigned()?;
                from.number()?;
            }
        }
        Ok(())
    }

    /// The sums of an audience's state, in its version.
    pub(crate) fn read(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let names = from.length()?;
        let names = (0..names).map(|_| Ok(from.text()?.to_owned()));
        let names = names.collect::<Result<Vec<String>, DecodeProblem>>()?;
        let mut changes = Self {
            names,
            sums: Vec::new(),
        };
        for _ in 0..from.length()? {
            let mut sums = Sums {
                first: from.unsigned()?,
                since: from.time()?,
                posts: from.unsigned()?,
                distressed: from.unsigned()?,
                sensitive_events: from.unsigned()?,
                unread: from.unsigned()?,
                copied: from.unsigned()?,
                automated: from.unsigned()?,
                felt: from.unsigned()?,
                emotions: Vec::with_capacity(changes.names.len()),
                ..Sums::default()
            };
            if from.version() >= 3 {
                sums.read_kinds(from)?;
            }
            sums.valence = from.number()?;
            sums.squares = from.number()?;
            sums.arousal = from.number()?;
            for _ in 0..changes.names.len() {
                sums.emotions.push((from.unsigned()?, from.number()?));
            }
            changes.sums.push(sums);
        }
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use limbic_domain::IntentKind;

    use crate::waiting::tests::feeling;

    const PLAIN: Counted = Counted {
        distressed: false,
        sensitive_event: false,
        unread: false,
        copied: false,
        judged: Judged {
            offensive: Some(false),
            hateful: None,
        },
    };

    #[test]
    fn each_beginning_has_the_posts_since_then_and_no_others() {
        let mut changes = Changes::new();
        let grief = Counted {
            distressed: true,
            sensitive_event: true,
            unread: false,
            copied: true,
            judged: Judged {
                offensive: Some(true),
                hateful: Some(true),
            },
        };
        changes.add(&[1], &feeling(1, 1_000, 0.5), PLAIN);
        changes.add(&[1], &feeling(2, 2_000, 0.25), PLAIN);
        changes.add(&[1, 3], &feeling(3, 3_000, -1.0), grief);
        changes.add(&[1, 3], &feeling(4, 4_000, -0.5), grief);
        let all = changes.since(1).unwrap();
        assert_eq!((all.posts, all.distressed, all.sensitive_events), (4, 2, 2));
        assert_eq!((all.copied, all.automated), (2, 0));
        assert_eq!((all.judged, all.offensive, all.hateful), (4, 2, 2));
        assert!((all.mood.offence - 0.5).abs() < 1e-12 && (all.mood.hate - 0.5).abs() < 1e-12);
        assert!((all.mood.valence - -0.1875).abs() < 1e-12);
        let late = changes.since(3).unwrap();
        assert_eq!((late.posts, late.since), (2, Utc::from_millis(3_000)));
        assert!((late.mood.valence - -0.75).abs() < 1e-12 && (late.valence_error - 0.25).abs() < 1e-12);
        assert!((late.mood.distress - 1.0).abs() < 1e-12);
        assert!((late.mood.emotions["joy"] - 0.25).abs() < 1e-12);
        changes.add(&[3], &feeling(5, 5_000, 0.0), PLAIN);
        assert_eq!(changes.since(1), None, "the detector gave that beginning up");
        assert_eq!(changes.since(3).unwrap().posts, 3);
    }

    #[test]
    fn intentions_and_brands_are_counted_and_the_eighth_brand_is_the_last() {
        let mut changes = Changes::new();
        for number in 0..10 {
            let mut post = feeling(number, number, 0.0);
            post.intent = match number {
                0..4 => Some(IntentKind::Question),
                4..8 => Some(IntentKind::Complaint),
                _ => None,
            };
            post.brands = vec!["Acme".to_owned(), format!("brand {number}")];
            changes.add(&[1], &post, PLAIN);
        }
        let change = changes.since(1).unwrap();
        let expected = BTreeMap::from([(IntentKind::Question, 4), (IntentKind::Complaint, 4)]);
        assert_eq!(change.intents, expected);
        assert_eq!(change.intent(), IntentKind::Complaint, "it is listed first");
        assert_eq!((change.brands["Acme"], change.brands.len()), (10, 8));
    }

    #[test]
    fn an_ironic_post_counts_and_has_no_valence() {
        let mut changes = Changes::new();
        let mut ironic = feeling(1, 1_000, 0.9);
        ironic.ironic = true;
        changes.add(&[1], &ironic, PLAIN);
        changes.add(&[1], &feeling(2, 2_000, -0.5), PLAIN);
        let change = changes.since(1).unwrap();
        assert_eq!(
            (change.posts, change.mood.weight.to_bits()),
            (2, 1.0_f64.to_bits())
        );
        assert!((change.mood.valence - -0.5).abs() < 1e-12);
        assert!(
            (change.valence_error - 2.0).abs() < 1e-12,
            "one post says nothing of the error"
        );
    }
}
