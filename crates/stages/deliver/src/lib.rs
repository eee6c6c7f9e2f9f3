//! The deliver stage: sends decided ads to ad platforms and writes the outcomes.
//!
//! ```text
//!              one transaction                      one transaction
//!  decisions ──────────────────▶ outbox ──▶ send ──────────────────────▶ outcomes
//!              offset + entry    (state)    │  ▲    outcome, entry removed
//!                                           ▼  │
//!                                     AdPlatform: idempotency key = the decision's id
//! ```
//! * [`DeliverStage`] puts every decision with an ad into its [`Outbox`](limbic_stream::outbox::Outbox), in the
//!   transaction that consumes the decision. Each tick sends the deliveries that are due.
//! * [`AdPlatform`] is a platform that shows ads. The platforms themselves are in the crate `limbic-ad-platforms`.
//! * **Second look**: before each attempt, an ad is withdrawn if its audience's subject, or one of its campaign's brands, is on
//!   [hold](limbic_domain::Hold) by now. A new
//!   delivery waits for [`Settings::second_look`], so that a hold that is on its way arrives first. An ad that a platform has is
//!   paused ([`Pause`], [`AdPlatform::pause`]).
//! * **Unread posts**: while posts that the edge accepted wait unread for longer than [`Settings::max_unread`], ads wait. After
//!   [`Settings::unread_wait`] they are withdrawn.
//! * **Pictures**: the picture of an ad that has one is drawn before its first attempt ([`Pictures`]); the platform learns where it is, its
//!   hash and what is on it ([`DrawnPicture`]).
//! * [`Answer`] is the platform's answer. [`triage`] converts an HTTP answer to it.
//! * The state of deliveries (waiting, delivered, refused, the platform's last problem) goes to the topic `status`, for people.
//! * [`Settings`] limits batches, attempts and waits.
//!
//! | answer of the platform | effect |
//! |---|---|
//! | 2xx, 208 Already Reported | delivered: the platform knows the key |
//! | 401 to 405, 407, 410, 451 | the account or the address is wrong: the platform pauses, the ad waits, and the log says what to do; does not count as an attempt |
//! | 409 Conflict (a call with the same key is still running), 429; 503 with `Retry-After` | the whole platform pauses for the time that it asks for, within a minimum and a maximum; counts as an attempt |
//! | 408, 425, other 5xx, no connection, no answer | another attempt after a back-off that doubles, with jitter from the decision's id |
//! | anything else | refused, with the platform's message |
//!
//! After [`Settings::attempts`] attempts or [`Settings::give_up_after`] a delivery is refused as `gave_up`. If a platform
//! fails several times in a row, its circuit breaker opens. A platform that fails does not delay the others.
//!
//! # What it is not
//!
//! It does not choose ads, check them or limit how often a person sees them: the stages before it do. It is not
//! exactly-once for a platform that ignores idempotency keys.
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
//! * A decision stays in the outbox until its outcome is written. Both happen in one transaction.
//! * No attempt is made for an ad whose subject is on hold. One that had an attempt before is paused as well.
//! * No attempt is made while the progress of `ingest` and `profile` says that posts wait unread.
//! * The outcome's id is a function of decision and platform, so a repeated answer counts once.
//! * A platform learns which ad it must show, to whom and at what price. It never learns a feeling of a person, a score or the
//!   reason for the choice. A platform that addresses contexts ([`Addressing::Context`]) gets no people; it learns the subject, and
//!   the direction and the strongest emotion of an audience as a whole.

mod answer;
mod backlog;
mod campaigns;
mod component;
mod delivery;
mod order;
mod pause;
mod picture;
mod platform;
mod running;
mod settings;
mod stage;
mod standing;

pub use answer::{Answer, triage};
pub use campaigns::DeliverMeters;
pub use component::{AdPlatforms, DeliveryPictures};
pub use delivery::{Addressing, Delivery, DeliveryBody, DeliveryContext};
pub use pause::Pause;
pub use picture::{DrawnPicture, NoPicture, Pictures};
pub use platform::{AdPlatform, PlatformLimits};
pub use settings::{Settings, SettingsError};
pub use stage::{DeliverStage, STAGE};
