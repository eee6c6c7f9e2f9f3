//! Readings of posts become states of people and of audiences, and an audience that has moved becomes a moment.
//!
//! ```text
//!  readings ──▶ profile ──feelings──▶ moments ──moments──▶
//!  by author     Person    by audience  Audience   by audience
//! ```
//!
//! Two stages, because an audience's authors are spread over every partition of `readings`:
//!
//! * [`ProfileStage`] keeps a [`Person`] per author: decayed means of valence, arousal and emotions, the decayed maximum of
//!   distress, consent as last stated, whether they may be a minor. It tells each audience the post counts for.
//! * [`MomentStage`] keeps an [`Audience`] each: its mood, its slow baseline, who spoke last, and a sequential test
//!   ([`Detector`]) with a stated rate of false alarms.
//!
//! # Invariants
//!
//! * What comes out is a function of the feelings and their event times, never of how partitions interleave or
//!   batches are cut: people see their posts in the order of their partition, audiences in the order of time and id.
//! * The same input gives the same bits, on every machine: no hash order, no platform's `exp`.
//! * State is bounded: 64 emotions and 256 people an audience, 64 emotions a person, expiry by event time. What waits for the
//!   watermark is bounded only by how far apart the senders are.
//! * A no to consent and the suspicion of a minor are never forgotten by time.
//!
//! What is wrong with a record sends it to the dead letters with one of these reasons: `malformed`, `wrong_type`, `too_new`,
//! `out_of_range`.

mod arithmetic;
mod audience;
mod baseline;
mod check;
mod codec;
mod detector;
mod expiry;
mod heard;
mod moments;
mod mood;
mod person;
mod profile;
mod settings;

pub use audience::Audience;
pub use codec::StateError;
pub use detector::{Band, Detector, Verdict};
pub use moments::MomentStage;
pub use person::Person;
pub use profile::ProfileStage;
pub use settings::{AudienceSettings, ChangeSettings, InvalidSetting, PersonSettings, Segment, Settings};
