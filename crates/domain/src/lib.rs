//! The words everyone in the house uses, and nothing that does I/O.
//!
//! A [`Post`] is read into a [`Reading`]; readings become [`Feeling`]s of a person towards an audience;
//! an audience whose feeling has moved is a [`Moment`]; a moment and a [`Campaign`] make a [`CreativeSet`];
//! one of its creatives (or none) is chosen in a [`Decision`]; what came of it is an [`Outcome`].
//!
//! Every one of them travels as JSON in an [`Envelope`] that names its type and version, belongs to a
//! [`TenantId`], carries the event's own time ([`Utc`]) and an id that is a *function of its causes*
//! ([`event_id`]): reading the same post twice gives the same reading id, so that every effect
//! downstream can be made idempotent.
//!
//! Types carry the rules: a [`Probability`] is in `[0, 1]`, a [`Pseudonym`] is never a person's name,
//! money is [`Micros`]. What cannot be built wrong need not be checked twice.

mod campaign;
mod creative;
mod decision;
mod envelope;
mod fault;
mod feeling;
mod ids;
mod moment;
mod number;
mod outcome;
mod post;
mod posterior;
pub mod random;
mod reading;
pub mod testing;
mod time;
pub mod topics;
mod units;

pub use campaign::{Brief, Campaign, Platform};
pub use creative::{CampaignDraft, Creative, CreativeSet, Draft, Removal, Rendering};
pub use decision::{
    Candidate, ChallengerMode, ChampionChallenger, Chosen, Decision, DecisionResult, HeldOut, Lift,
    PolicyRole, PolicyVersion, Suppressed, SuppressedBy, Suppression,
};
pub use envelope::{DecodeError, Envelope, Record};
pub use fault::{Fault, Retry};
pub use feeling::{ConsentState, Feeling, PersonState};
pub use ids::{AudienceId, InvalidId, PostRef, Pseudonym, Slug, TenantId, event_id};
pub use moment::{Direction, Evidence, Moment, MoodSummary, Recipient};
pub use number::{Micros, OutOfRange, Probability};
pub use outcome::{Outcome, OutcomeKind};
pub use post::Post;
pub use posterior::Posterior;
pub use reading::{
    Affect, Distress, Emotions, Entity, EntityKind, Intent, IntentKind, Label, ModelVersion, Reading,
    Sentiment,
};
pub use time::{InvalidTime, Utc};
pub use units::{
    ByteSize, ConnectionUrl, HumanDuration, InvalidByteSize, InvalidDuration, InvalidOffset, Secret,
    UtcOffset,
};
