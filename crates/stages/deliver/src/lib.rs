//! Decisions out to ad platforms, and their answers back: sent at least once, in effect exactly once.
//!
//! ```text
//!              one transaction                      one transaction
//!  decisions ──────────────────▶ outbox ──▶ send ──────────────────────▶ outcomes
//!              offset + entry    (state)    │  ▲    outcome, entry removed
//!                                           ▼  │
//!                                     AdPlatform: idempotency key = the decision's id
//! ```
//!
//! * [`DeliverStage`] puts every decision with a choice into its outbox, in the transaction that consumes it; each tick
//!   sends what is due. A process killed between sending and committing sends again, with the **same key**: the
//!   platform's idempotency makes the two sendings one effect.
//! * [`AdPlatform`] is where ads run. It blocks: the stage owns its thread. The platforms themselves are in the crate
//!   `limbic-ad-platforms`.
//! * [`Answer`] is what a platform says, [`triage`] how an HTTP answer becomes one.
//! * [`Settings`] bounds batches, attempts and waits.
//!
//! | the platform says | so |
//! |---|---|
//! | 2xx, 208 Already Reported, 409 Conflict | delivered: the key is known to it |
//! | 429; 503 with `Retry-After` | the whole platform rests as long as it asks (seconds or an HTTP date); no attempt is counted |
//! | 408, 425, other 5xx, no connection, no answer | again after a back-off that doubles, with jitter from the decision's id |
//! | anything else | refused for good, with the platform's words |
//!
//! After [`Settings::attempts`] attempts or [`Settings::give_up_after`] it is refused as `gave_up`. When a platform fails
//! several times in a row its circuit opens: it rests, then one delivery probes whether it is back. One platform's trouble
//! never holds up another's deliveries.
//!
//! # Laws
//!
//! * A decision is in the outbox until its outcome is written: both in one transaction.
//! * Its outcome's id is a function of decision and platform: the answer counts once, however often it is repeated.
//! * A platform learns what it must show, to whom and at what price; never a feeling, a score or why someone was chosen.

mod answer;
mod component;
mod delivery;
mod outbox;
mod platform;
mod rest;
mod settings;
mod stage;

pub use answer::{Answer, excerpt, triage};
pub use component::OpenPlatforms;
pub use delivery::Delivery;
pub use platform::AdPlatform;
pub use settings::{Settings, SettingsError};
pub use stage::{DeliverStage, STAGE};
