//! What ad platforms accept, and how a text or an image is made to fit.
//!
//! ```text
//!  limits.toml ──▶ formats() ──▶ AdFormat ──▶ fit(field, text) ──▶ Fitted (text, repairs)  or  Refusal (reason)
//! ```
//!
//! Each [`AdFormat`] of an ad platform states how long each field of a text may be *as that platform counts* ([`Unit`]), which
//! symbols it forbids, and which image sizes it takes. The numbers are data, with source and date: `src/limits.toml`.
//!
//! The crate does not write texts and does not know campaigns. It does not say whether an ad is allowed: that is the safety gate.
//!
//! ```
//! use limbic_fit::{Refusal, format};
//!
//! let x = format("x", "post")?;
//! let long = "Warm feet in any weather. ".repeat(12);
//! let fitted = x.fit("body", &long)?;
//! assert!(fitted.text.ends_with('…'));
//! assert!(x.field("body")?.excess(&fitted.text).is_none());
//!
//! let search = format("google-ads", "responsive-search")?;
//! let error = search.fit("headline", &long).unwrap_err();
//! assert!(matches!(error, Refusal::TooLong { .. }), "half of a headline is another headline");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * A text that [`AdFormat::fit`] returns is within every limit of its field, counted by the platform's rule or by one that never
//!   counts less.
//! * A text that fits is returned as it is, except for white space. The result is a function of format, field and text.
//! * A text is shortened between words, never within a grapheme or a link, and only if three fifths of it remain.

mod field;
mod format;
mod links;
mod unit;
mod weighted;

pub use field::{Excess, Field, Fitted, Forbidden, Limit, Refusal, Repair};
pub use format::{AdFormat, Image, ImageType, UnknownFormat, format, formats};
pub use unit::Unit;
pub use weighted::weighted_length;
