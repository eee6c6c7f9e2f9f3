//! Keeps the state of people and of audiences, and reports when an audience's mood has changed.
//!
//! ```text
//!  readings ──▶ profile ──feelings──▶ moments ──moments──▶
//!  by author     Person    by audience  Audience   by audience
//! ```
//!
//! There are two stages, because the authors of an audience are spread over all partitions of `readings`:
//!
//! * [`ProfileStage`] keeps a [`Person`] for each author: decayed means of valence, arousal and emotions, the decayed maximum of
//!   distress, the last statement about consent, and whether the person may be a minor. It sends a feeling to each audience that
//!   the post counts for.
//! * [`MomentStage`] keeps an [`Audience`]: its mood, its slow baseline, the people who spoke last, and a sequential test
//!   ([`Detector`]) with a stated rate of false alarms. A change becomes a moment.
//!
//! The crate does not read texts (the stage `affect` does), and does not decide who may see an ad (the stage `safety` does).
//!
//! ```
//! use limbic_domain::{Direction, Utc};
//! use limbic_profile::{Band, Detector};
//!
//! // The audience's valence was around 0. Then its people are happy.
//! let baseline = Band { low: -0.05, high: 0.05 };
//! let mut detector = Detector::new();
//! let verdicts = (0..30).map(|post| detector.step(0.9, Utc::from_millis(post), baseline));
//! // On average, false alarms are at least 10,000 posts apart.
//! let alarm = verdicts.into_iter().find(|verdict| verdict.statistic >= 10_000.0);
//! assert_eq!(alarm.map(|verdict| verdict.direction), Some(Direction::Up));
//! ```
//!
//! # Laws
//!
//! * The moments are a function of the feelings and their event times. The interleaving of partitions and the ends of
//!   batches do not matter: people see their posts in the order of the partition, audiences in the order of time and id.
//! * The same input gives the same bits on every machine: nothing depends on the order of a hash map or on the platform's
//!   `exp`.
//! * State is bounded: 64 emotions and 256 people for an audience, 64 emotions for a person, expiry by event time. The number of
//!   feelings that wait for the watermark is bounded only by the time between the fastest and the slowest sender.
//! * Time alone never removes a refusal of consent or the suspicion that a person is a minor.
//!
//! A record that cannot be processed goes to the dead letters with one of the reasons `malformed`, `wrong_type`, `too_new`,
//! `out_of_range`.

mod arithmetic;
mod audience;
mod baseline;
mod change;
mod change_test;
mod check;
mod component;
mod detector;
mod events;
mod expiry;
mod hostility;
mod intents;
mod meters;
mod moments;
mod mood;
mod person;
mod profile;
mod rise;
mod settings;
mod status;
mod texts;
mod waiting;
mod withdrawals;

pub use audience::{AUDIENCES, Audience, AudienceKey};
pub use change_test::{ChangeTest, Found, Observation};
pub use detector::{Band, Detector, Verdict};
pub use meters::MomentMeters;
pub use moments::MomentStage;
pub use person::{PEOPLE, Person, PersonKey};
pub use profile::ProfileStage;
pub use settings::{
    AudienceSettings, ChangeSettings, EventSettings, InvalidSetting, PersonSettings, Segment, Settings,
};
