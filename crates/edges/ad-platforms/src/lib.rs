//! Ad platforms: destinations that show decided ads.
//!
//! Each platform is one folder with its settings, its entry for the registry ([`limbic_component::Component`]) and its
//! implementation of [`AdPlatform`], the trait that the deliver stage calls. The node opens one for each `[ad_platforms.NAME]` of
//! the settings file.
//!
//! ```text
//!  DeliverStage ──▶ outbox ──▶ AdPlatform::deliver ──▶ webhook: POST, signed  │ file: one JSON line
//!                      ▲              │
//!                      └─── Answer ◀──┘
//! ```
//!
//! * [`WebhookPlatform`] posts JSON to a URL, signed according to [Standard Webhooks](https://www.standardwebhooks.com).
//! * [`FilePlatform`] appends JSON Lines to a file and never writes a decision twice.
//!
//! Both send people as the tenant's pseudonyms, or, with `send = "context"`, the subject, the feeling and the time without people.
//! [`customer_list`] hashes a tenant's own list of contacts as platforms match them.
//!
//! # What it is not
//!
//! A platform does not retry, pause or count attempts: the outbox of the deliver stage does. Outcomes such as clicks do
//! not come back through it: they are sent to `POST /v1/outcomes`.
//!
//! # Laws
//!
//! * A delivery that is sent twice has one effect: the webhook sends the decision's id as idempotency key, and the file
//!   records its decisions.
//! * `deliver` returns within the platform's deadline, also if the platform hangs.
//! * No error, log line or answer contains a secret, a header value or a URL.
//!
//! # Example
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use limbic_ad_platforms::{AdPlatform, FilePlatform};
//! use limbic_deliver::{Answer, Delivery};
//! use limbic_domain::Utc;
//!
//! let delivery: Delivery = serde_json::from_str(r#"{
//!     "type": "ad.decided", "timestamp": "2026-11-29T12:00:00Z", "decision": "spring.1", "tenant": "default",
//!     "campaign": "spring", "audience": "everyone:football", "people": [], "price": 250000,
//!     "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering": {
//!         "platform": "file", "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}
//! }"#)?;
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("ads.jsonl");
//! let file = FilePlatform::open(&path)?;
//! for _ in 0..2 {
//!     assert_eq!(file.deliver(&[&delivery], Utc::from_millis(0)), [Answer::Applied(())]);
//! }
//! assert_eq!(std::fs::read_to_string(&path)?.lines().count(), 1);
//! # Ok(())
//! # }
//! ```

pub mod customer_list;
pub mod file;
#[cfg(feature = "testing")]
pub mod testing;
pub mod webhook;

pub use file::{FileError, FilePlatform, FileSettings};
pub use limbic_deliver::AdPlatform;
pub use webhook::{Conflict, InvalidSecret, InvalidWebhook, SigningKey, WebhookPlatform, WebhookSettings};
