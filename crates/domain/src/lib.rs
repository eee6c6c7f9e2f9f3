//! The records, ids and units that every other crate uses. Nothing here does I/O.
//!
//! ```text
//!  Post ──▶ Reading ──▶ Feeling ──▶ Moment ──▶ Draft ──▶ CreativeSet ──▶ Decision ──▶ Outcome
//!  text     its affect  of a person a change   ads of    ads that the    the ad that  delivery,
//!                       towards an  of an      campaigns safety gate     the policy   click,
//!                       audience    audience             cleared         chose        conversion
//! ```
//!
//! * Records are JSON in an [`Envelope`], which has the type, its version, the [`TenantId`], an id and the event time
//!   ([`Utc`]).
//! * Ids are *functions of their causes* ([`event_id`]). Reading the same post twice gives the same id, so repeated
//!   effects can be recognised.
//! * Types guarantee the rules: a [`Probability`] is in `[0, 1]`, a [`Pseudonym`] is never a person's name, money is
//!   [`Micros`].
//! * [`HumanDuration`], [`ByteSize`], [`UtcOffset`] and [`Secret`] are types of settings, which are written with units.
//! * [`random`] is the only random generator of the project.
//!
//! It is not the place for rules of a single stage, and it does not read or write a log: that is `limbic-stream`.
//!
//! ```
//! use limbic_domain::{Envelope, TenantId, Utc};
//! use limbic_domain::{Outcome, OutcomeKind, event_id};
//!
//! let at: Utc = "2026-11-21T09:00:00Z".parse()?;
//! let decision = "spring.0123456789abcdef0123456789abcdef".to_owned();
//! let id = event_id("outcome", &[&decision, "click-1"]);
//! let outcome = Outcome::new(decision, OutcomeKind::Click, "click-1");
//! let bytes = Envelope::new(TenantId::default(), id.clone(), at, outcome).encode();
//!
//! let again = Envelope::<Outcome>::decode(&bytes)?;
//! assert_eq!((again.id, again.at), (id, at));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * A record of an earlier version can be read by every later version. JSON Schemas in `schemas/` are compared in a
//!   test.
//! * The same causes give the same id on every machine and in every version.
//! * A seed gives the same random numbers on every machine and in every version.
//! * A secret is never printed.

mod backgrounds;
mod campaign;
mod connection;
mod creative;
mod decision;
mod declaration;
mod deletion;
mod envelope;
mod fault;
mod feeling;
mod fingerprint;
mod hold;
mod ids;
mod moment;
mod number;
mod outcome;
mod picture;
mod post;
mod posterior;
mod progress;
pub mod random;
mod reading;
mod review;
mod status;
pub mod testing;
mod texts;
mod time;
pub mod topics;
mod units;
mod withdrawal;

pub use backgrounds::{PaintedBackground, background_id};
pub use campaign::{BrandKit, Brief, Campaign, Platform};
pub use connection::{ConnectorPause, ConnectorPosition};
pub use creative::{
    CallToAction, CampaignDraft, Creative, CreativeSet, Draft, Factors, GeneratorVersion, Removal, Rendering,
    TextLength,
};
pub use decision::{
    Candidate, ChallengerMode, ChampionChallenger, Chosen, Decision, DecisionResult, HeldOut, Lift,
    PolicyRole, PolicyVersion, Suppressed, SuppressedBy, Suppression,
};
pub use declaration::{Declaration, Region, RegulatedCategory, Transparency};
pub use deletion::Deletion;
pub use envelope::{DecodeError, Envelope, Record};
pub use fault::{Fault, Retry};
pub use feeling::{ConsentState, Feeling, PersonState};
pub use fingerprint::{InvalidFingerprint, TextFingerprint};
pub use hold::{Hold, HoldCause, Release};
pub use ids::{AudienceId, InvalidId, PostRef, Pseudonym, Slug, TenantId, event_id};
pub use moment::{Change, Direction, Evidence, Moment, MomentKind, MoodSummary, Recipient};
pub use number::{Micros, OutOfRange, Probability};
pub use outcome::{Outcome, OutcomeKind, Replaced, Statement};
pub use picture::{Background, Picture};
pub use post::Post;
pub use posterior::Posterior;
pub use progress::Progress;
pub use reading::{
    Affect, Distress, Emotions, Entity, EntityKind, Intent, IntentKind, Label, ModelVersion, Reading,
    Sentiment,
};
pub use review::{
    Approval, ApprovalRule, EarlierVerdict, ReviewMode, ReviewRequest, ReviewVerdict, Verdict, text_id,
};
pub use status::{
    AudiencePhase, AudienceStatus, CampaignStatus, CreativeStatus, LastMoment, PlatformProblem,
    PlatformStatus, SharePeriod,
};
pub use texts::{WrittenText, WrittenTexts, brief_id};
pub use time::{InvalidTime, Utc};
pub use units::{
    ByteSize, CalendarDay, ConnectionUrl, HumanDuration, InvalidByteSize, InvalidDuration, InvalidOffset,
    InvalidTimeZone, Secret, TimeZone, UtcOffset,
};
pub use withdrawal::Withdrawal;
