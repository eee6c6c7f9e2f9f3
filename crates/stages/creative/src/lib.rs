//! From a moment and a campaign to ads in several tones, each within what its platform takes.
//!
//! ```text
//!  moments ──▶ CreativeStage ──▶ drafts          one draft per moment and campaign that wants it,
//!                ▲    │                          keyed tenant/campaign, its id a function of both
//!  campaigns ────┘    └─ Writer: templates × platforms
//!  (a table)
//! ```
//!
//! * [`Campaigns`], read from the compacted topic `campaigns`, says what each tenant's advertisers want: which subjects, which direction, which platforms, and a
//!   brief with the words.
//! * [`Settings`] adds templates to the built-in set ([`built_in`]) and bounds how many ads one platform gets.
//! * [`Settings::check`] renders *every* brief through *every* template that may be used on it before the campaigns are
//!   published, so that a brief that cannot fit, a missing value or a bidi control in a product name is an error
//!   ([`SettingsError`], all problems at once) and changes nothing.
//! * [`Writer`] is the templates, compiled.
//! * [`CreativeStage`] is the stage around it.
//!
//! # What fits
//!
//! Limits are counted in extended grapheme clusters (UAX #29): a family emoji is one. A template that fits whole is
//! always preferred; only where none does is a body cut, between words, with an ellipsis, and only when three fifths
//! of it remain. A headline is never cut: half a product's name is another name.
//!
//! # Laws
//!
//! * A creative's id is a function of tenant, campaign, template, platform and the copy itself: what a bandit learnt
//!   about a copy stays with it, and a changed copy is a new creative.
//! * Templates see the brief and the subject, **never** a person, a post or a feeling's strength. Undefined names are
//!   errors, loops are bounded by fuel, nothing is escaped (the output is text, not markup), and what comes out holds
//!   no control, bidi or zero-width character.
//! * A draft is not an ad: nothing runs before the safety gate has cleared it.

mod campaigns;
mod component;
mod settings;
mod stage;
mod template;
mod text;
mod writer;

pub use campaigns::Campaigns;
pub use settings::{Problem, Settings, SettingsError};
pub use stage::{CreativeStage, STAGE};
pub use template::{Template, built_in};
pub use writer::Writer;
