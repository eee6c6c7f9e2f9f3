//! The deliver stage: it sends decided ads to ad platforms and writes what became of them.
//!
//! ```text
//!              one transaction                      one transaction
//!  decisions ──────────────────▶ outbox ──▶ send ──────────────────────▶ outcomes
//!              offset + entry    (state)    │  ▲    outcome, entry removed
//!                                           ▼  │
//!                                     AdPlatform: idempotency key = the decision's id
//! ```
//!
//! * [`DeliverStage`] puts every decision with a choice into its [`Outbox`](limbic_stream::outbox::Outbox), in the transaction
//!   that consumes the decision. Each tick sends what is due.
//! * [`AdPlatform`] is where ads run. The platforms themselves are in the crate `limbic-ad-platforms`.
//! * [`Answer`] is what a platform says, [`triage`] how an HTTP answer becomes one.
//! * [`Settings`] bounds batches, attempts and waits.
//!
//! | the platform says | so |
//! |---|---|
//! | 2xx, 208 Already Reported, 409 Conflict | delivered: the platform knows the key |
//! | 429; 503 with `Retry-After` | the whole platform pauses as long as it asks, within floor and cap; counts as an attempt |
//! | 408, 425, other 5xx, no connection, no answer | again after a back-off that doubles, with jitter from the decision's id |
//! | anything else | refused, with the platform's words |
//!
//! After [`Settings::attempts`] attempts or [`Settings::give_up_after`] a delivery is refused as `gave_up`. When a platform
//! fails several times in a row, its circuit breaker opens. The trouble of one platform does not hold up another.
//!
//! # What it is not
//!
//! It does not choose ads, judge them or cap how often a person sees them: the stages before it do. It is not exactly-once
//! towards a platform that ignores idempotency keys.
//!
//! # Example
//!
//! ```
//! use limbic_deliver::{Answer, triage};
//! use limbic_domain::Utc;
//! use std::time::Duration;
//!
//! let answer = triage(429, Some("30"), "slow down", Utc::from_millis(0));
//! let wait = Some(Duration::from_secs(30));
//! assert_eq!(answer, Answer::RetryAfter { wait, detail: "429: slow down".to_owned() });
//! ```
//!
//! # Laws
//!
//! * A decision is in the outbox until its outcome is written: both in one transaction.
//! * The outcome's id is a function of decision and platform: an answer counts once, however often it is repeated.
//! * A platform learns what it must show, to whom and at what price; never a feeling, a score or why someone was chosen.

mod answer;
mod component;
mod delivery;
mod platform;
mod settings;
mod stage;

pub use answer::{Answer, excerpt, triage};
pub use component::AdPlatforms;
pub use delivery::Delivery;
pub use platform::{AdPlatform, PlatformLimits};
pub use settings::{Settings, SettingsError};
pub use stage::{DeliverStage, STAGE};
