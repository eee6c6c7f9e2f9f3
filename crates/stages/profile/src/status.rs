//! The state of audiences for people: counted with each post, and published in ticks.
//!
//! An audience whose state has changed is noted in [`CHANGED`]. A tick publishes up to [`AT_ONCE`] of them, so that the number of
//! records does not depend on the number of posts.

use bytes::Bytes;
use limbic_domain::{
    AudienceStatus, Direction, Envelope, LastMoment, Moment, MomentKind, Utc, event_id, topics,
};
use limbic_stream::{
    Cause, DecodeProblem, Decoder, Encoder, Outputs, StageError, StateKey as _, StateSchema, StateValue,
    Table,
};

use crate::arithmetic::decay;
use crate::audience::{self, AUDIENCES, AudienceKey};
use crate::settings::Settings;
use crate::waiting::WaitingFeeling;

/// The prefix of [`SHOWN`].
const PREFIX: &[u8] = b"s";
/// What is counted for each audience.
const SHOWN: Table<AudienceKey, Shown> = Table::new("counts of audiences", PREFIX);
/// The keys of the audiences whose state is not published yet.
const CHANGED: Table<Bytes, ()> = Table::new("audiences to publish", b"u");
/// Most audiences of a partition that one tick publishes.
const AT_ONCE: usize = 500;

/// What is counted for an audience beside its test.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shown {
    /// Posts since `since`.
    pub(crate) posts: u64,
    /// The time of the first one.
    pub(crate) since: Utc,
    pub(crate) last_moment: Option<LastMoment>,
    pub(crate) repeats: Repeats,
}

/// Recent posts, copies among them, and posts by programs, with weights that halve.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Repeats {
    at: Utc,
    posts: f64,
    copied: f64,
    automated: f64,
}

impl Repeats {
    const fn new(at: Utc) -> Self {
        Self {
            at,
            posts: 0.0,
            copied: 0.0,
            automated: 0.0,
        }
    }

    /// Counts a post. Weights halve in `half_life` milliseconds. A post that is older than the newest one counts like it.
    pub(crate) fn count(&mut self, feeling: &WaitingFeeling, is_copy: bool, half_life: i64) {
        let remaining = decay(feeling.at.millis_since(self.at).max(0), half_life);
        self.at = self.at.max(feeling.at);
        let counts = |is: bool| f64::from(u8::from(is));
        self.posts = self.posts * remaining + 1.0;
        self.copied = self.copied * remaining + counts(is_copy);
        self.automated = self.automated * remaining + counts(feeling.automated);
    }

    pub(crate) fn copied(&self) -> f64 {
        self.share(self.copied)
    }

    pub(crate) fn automated(&self) -> f64 {
        self.share(self.automated)
    }

    fn share(&self, part: f64) -> f64 {
        if self.posts > 0.0 {
            (part / self.posts).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

impl Shown {
    /// The counts of the feeling's audience, or new ones if there are none.
    pub(crate) fn read(feeling: &WaitingFeeling, out: &Outputs<'_>) -> Result<Self, StageError> {
        let key = (&feeling.tenant, &feeling.audience);
        let known = SHOWN.get(out, feeling.cause.partition, &key)?;
        Ok(known.unwrap_or_else(|| Self::from(feeling.at)))
    }

    /// No posts yet; the first one comes at `since`.
    pub(crate) const fn from(since: Utc) -> Self {
        Self {
            posts: 0,
            since,
            last_moment: None,
            repeats: Repeats::new(since),
        }
    }

    pub(crate) fn note(&mut self, id: &str, at: Utc, moment: &Moment) {
        self.last_moment = Some(LastMoment {
            id: id.to_owned(),
            at,
            kind: moment.kind,
            direction: moment.direction,
            before: moment.baseline,
            after: moment.change.mood.valence,
            posts: moment.change.posts,
        });
    }

    /// Writes the counts of the audience with this key in [`AUDIENCES`], and notes that they are to be published.
    pub(crate) fn keep(&self, out: &mut Outputs<'_>, partition: u32, key: &[u8]) {
        SHOWN.put_at(out, partition, counts_of(key), self);
        CHANGED.put(out, partition, &whose(key), &());
    }
}

/// The key without the prefix of [`AUDIENCES`]: `TENANT/AUDIENCE`.
fn whose(key: &[u8]) -> &[u8] {
    key.strip_prefix(audience::PREFIX).unwrap_or(key)
}

/// The key in [`SHOWN`] of the audience with this key in [`AUDIENCES`].
fn counts_of(key: &[u8]) -> Vec<u8> {
    [PREFIX, whose(key)].concat()
}

/// Removes what is counted for an entry of the state that is removed, if it is an audience.
pub(crate) fn forget(out: &mut Outputs<'_>, partition: u32, entry: &[u8]) {
    if entry.starts_with(audience::PREFIX) {
        out.remove(partition, counts_of(entry));
        CHANGED.remove(out, partition, &whose(entry));
    }
}

/// Publishes audiences whose state has changed. Those that are left over come in the next tick.
pub(crate) fn publish(out: &mut Outputs<'_>, partition: u32, settings: &Settings) -> Result<(), StageError> {
    for (key, ()) in CHANGED.scan(out, partition, b"", AT_ONCE)? {
        CHANGED.remove(out, partition, &&key[..]);
        let Some(AudienceKey { tenant, audience }) = AudienceKey::from_key(&key) else {
            continue;
        };
        let place = (&tenant, &audience);
        let (Some(state), Some(shown)) = (
            AUDIENCES.get(out, partition, &place)?,
            SHOWN.get(out, partition, &place)?,
        ) else {
            continue;
        };
        let status = state.status(&audience, &shown, settings);
        let key = AudienceStatus::key(&tenant, &audience);
        let posts = shown.posts.to_string();
        let id = event_id("status", &[&key, &state.at().to_string(), &posts]);
        let envelope = Envelope::new(tenant.clone(), id, state.at(), status);
        out.emit(&Cause::of_partition(partition), topics::STATUS, &key, &envelope);
    }
    Ok(())
}

impl StateValue for Shown {
    const VERSION: u8 = 2;

    fn encode(&self, to: &mut Encoder) {
        to.unsigned(self.posts);
        to.time(self.since);
        to.flag(self.last_moment.is_some());
        if let Some(moment) = &self.last_moment {
            to.text(&moment.id);
            to.time(moment.at);
            to.flag(moment.kind == MomentKind::Return);
            to.flag(moment.direction == Direction::Down);
            to.number(moment.before);
            to.number(moment.after);
            to.unsigned(moment.posts);
        }
        to.time(self.repeats.at);
        to.number(self.repeats.posts);
        to.number(self.repeats.copied);
        to.number(self.repeats.automated);
    }

    /// Version 1 counted no copies and no programs.
    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        let posts = from.unsigned()?;
        let since = from.time()?;
        let mut shown = Self {
            posts,
            ..Self::from(since)
        };
        if from.flag()? {
            let id = from.text()?.to_owned();
            let at = from.time()?;
            let is_return = from.flag()?;
            let is_down = from.flag()?;
            shown.last_moment = Some(LastMoment {
                id,
                at,
                kind: if is_return {
                    MomentKind::Return
                } else {
                    MomentKind::Change
                },
                direction: if is_down { Direction::Down } else { Direction::Up },
                before: from.number()?,
                after: from.number()?,
                posts: from.unsigned()?,
            });
        }
        if from.version() > 1 {
            shown.repeats = Repeats {
                at: from.time()?,
                posts: from.number()?,
                copied: from.number()?,
                automated: from.number()?,
            };
        }
        Ok(shown)
    }
}

/// Adds the tables to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&SHOWN).table(&CHANGED)
}

#[cfg(test)]
mod tests {
    use limbic_domain::AudiencePhase;

    use super::*;
    use crate::waiting::tests::feeling;

    #[test]
    fn the_counts_survive_being_written() {
        let mut shown = Shown::from(Utc::from_millis(5));
        assert_eq!(Shown::from_bytes(&shown.to_bytes()), Ok(shown.clone()));
        shown.posts = 700;
        shown.last_moment = Some(LastMoment {
            id: "m".into(),
            at: Utc::from_millis(9),
            kind: MomentKind::Return,
            direction: Direction::Down,
            before: 0.25,
            after: -0.5,
            posts: 12,
        });
        let without_repeats = shown.clone();
        shown.repeats.count(&feeling(1, 7_200_000, 0.0), true, 3_600_000);
        let bytes = shown.to_bytes();
        assert_eq!(Shown::from_bytes(&bytes), Ok(shown));
        // The first version ends before the repeats: a time and three numbers of 8 bytes.
        let mut first = without_repeats.to_bytes();
        first.truncate(first.len() - 32);
        first[0] = 1;
        assert_eq!(Shown::from_bytes(&first), Ok(without_repeats));
    }

    #[test]
    fn the_shares_of_copies_and_of_programs_follow_the_recent_posts() {
        let hour = 3_600_000;
        let mut repeats = Repeats::new(Utc::from_millis(0));
        assert_eq!((repeats.copied(), repeats.automated()), (0.0, 0.0));
        for number in 0..100 {
            repeats.count(&feeling(number, number, 0.0), false, hour);
        }
        for number in 0..100 {
            let mut post = feeling(number, 2 * hour + number, 0.0);
            post.automated = number % 2 == 0;
            repeats.count(&post, true, hour);
        }
        // What came two hours before has a quarter of its weight.
        assert!((repeats.copied() - 100.0 / 125.0).abs() < 1e-3, "{repeats:?}");
        assert!((repeats.automated() - 50.0 / 125.0).abs() < 1e-3, "{repeats:?}");
    }

    #[test]
    fn a_status_says_how_many_posts_are_missing_and_then_how_much_evidence_there_is() {
        let settings = Settings::default();
        let mut state = crate::Audience::new();
        let mut shown = Shown::from(Utc::from_millis(0));
        let audience = feeling(0, 0, 0.0).audience;
        let mut statuses = Vec::new();
        for post in 0..400_i64 {
            let at = post * 60_000;
            let level = if post < 380 { 0.0 } else { 0.9 };
            let wobble = if post % 2 == 0 { 0.05 } else { -0.05 };
            let moment = state.add(&feeling(post, at, level + wobble), &settings);
            shown.posts += 1;
            if let Some(moment) = moment {
                shown.note("m", Utc::from_millis(at), &moment);
            }
            statuses.push(state.status(&audience, &shown, &settings));
        }
        let AudiencePhase::Learning { posts, needed } = statuses[49].phase else {
            panic!("{:?}", statuses[49])
        };
        assert_eq!((posts, needed, statuses[49].posts), (50, 100, 50));
        assert_eq!(statuses[49].evidence.to_bits(), 0.0_f64.to_bits());
        assert_eq!(statuses[379].phase, AudiencePhase::Watching);
        assert!(statuses[379].evidence < 0.1, "{:?}", statuses[379]);
        let found = statuses.iter().position(|status| status.last_moment.is_some());
        let found = found.expect("a change from 0 to 0.9 is found within 20 posts");
        assert!(statuses[found - 1].evidence > statuses[380].evidence);
        assert_eq!(statuses[found - 1].direction, Direction::Up);
        let moment = statuses[found].last_moment.clone().unwrap();
        assert!(moment.before < 0.2 && moment.after > 0.8, "{moment:?}");
        assert!(matches!(statuses[found].phase, AudiencePhase::Quiet { .. }));
    }
}
