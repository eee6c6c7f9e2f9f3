//! Writes ads for the campaigns that want a moment, in several tones, within the limits of each ad platform.
//!
//! ```text
//!  moments ──▶ CreativeStage ──▶ drafts          the ads of all campaigns that want the moment,
//!                ▲    │                          keyed tenant/audience
//!  campaigns ────┤    └─ Writer: templates × platforms
//!  reviews ──────┤
//!  texts ────────┤
//!  backgrounds ──┘
//!  (tables)
//! ```
//!
//! * [`Campaigns`] says what each tenant's advertisers want: subjects, direction, ad platforms, and a brief with the
//!   content. The stage reads it from the compacted topic `campaigns`.
//! * [`Settings`] adds templates to the built-in set ([`built_in`]) and limits the number of ads for one platform.
//! * [`Settings::check`] renders *every* brief through *every* template that may use it, before the campaigns are
//!   published. A brief that cannot fit, a missing value or a bidirectional control character is an error
//!   ([`SettingsError`], which lists all problems), and nothing is published.
//! * [`Writer`] holds the compiled templates.
//! * [`CreativeStage`] is the stage around the writer.
//!
//! The crate does not decide which ad runs, and does not check whether an ad is safe: the stages `optimize` and `safety`
//! do.
//!
//! ```
//! use limbic_creative::{Campaigns, Settings};
//! use limbic_domain::{Brief, Campaign, Declaration, Micros, Platform, TenantId};
//!
//! let mut campaign = Campaign {
//!     brands: Vec::new(),
//!     id: "spring".parse()?,
//!     brief: Brief {
//!         product: "Alpine Tea".into(),
//!         promise: "Calms in two minutes".into(),
//!         call_to_action: "Try it today".into(),
//!         link: "https://example.com/spring".into(),
//!         ..Brief::default()
//!     },
//!     subjects: Vec::new(),
//!     direction: None,
//!     platforms: vec![Platform { name: "webhook".parse()?, headline: 40, body: 90 }],
//!     bid: Micros(1_000),
//!     declared: Declaration::default(),
//!     review: None,
//! };
//! let with = |campaign: &Campaign| Campaigns::new().with(TenantId::default(), campaign.clone());
//! assert!(Settings::default().check(&with(&campaign)).is_ok());
//!
//! campaign.platforms[0].headline = 5;
//! let error = Settings::default().check(&with(&campaign)).unwrap_err();
//! assert!(error.to_string().contains("headline of 5"), "{error}");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits of platforms
//!
//! Limits of a campaign are counted in extended grapheme clusters (UAX #29): a family emoji is one. If a template fits completely, it
//! is used. If none does, a body is cut between words, with an ellipsis, as long as three fifths of it remain. A headline
//! is never cut, because half of a product's name is another name. [`Settings::formats`] adds the limits of an ad platform's format,
//! counted by its own rule (`limbic-fit`).
//!
//! # Templates
//!
//! The built-in templates are files, one for each tone: `templates/*.toml`. Each template has a version and declares its factors
//! (tone, appeal, call to action, whether it states an offer); the creative carries them, so that a policy learns the effect of a
//! factor from all ads that share it. Of ads that a reader can hardly tell apart, the first is kept.
//!
//! # Texts by language models
//!
//! [`TextsStage`] orders texts for campaigns that are in use, from a model of the node's gateway ([`TextModel`]). A strategy is a file,
//! `strategies/*.toml`, with a version, instructions and examples. An order has a campaign's brief and the limits of a platform, and
//! nothing of a moment, a post or a person, so few orders serve all moments. A reply is read by the order's JSON Schema, repaired in a
//! fixed order, and checked: platform fit, brand kit, no number and no claim that the brief does not have, the product's name. What
//! passes goes to the topic `texts`, a table of [`CreativeStage`], which puts it beside the texts of templates. A moment never waits for
//! a model: without texts it has those of templates.
//!
//! # Pictures by models that paint
//!
//! If a campaign's brief says what is to be seen behind its texts (`background`), [`TextsStage`] orders a picture for each shape of its cards
//! ([`PictureModel`]). What was painted goes to the topic `backgrounds`, also a table of [`CreativeStage`]: the first ads of a platform then
//! have a second form with the picture, which is another ad, is marked (`ai_generated`), and waits for a person by default. The form
//! without it stays, so a moment never waits for a picture.
//!
//! # Review by people
//!
//! [`ReviewSettings`] say which ads a person must approve. This stage gives an ad the approval that it has ([`Reviews`]), replaces the
//! texts of an ad that a person edited, and leaves out what a person rejected. It does not hold back what waits: the safety gate does,
//! and asks the person, after all other rules have passed.
//!
//! # Laws
//!
//! * A creative's id is a function of tenant, campaign, template, platform and text. A bandit keeps what it learned about
//!   a text, and a changed text is a new creative.
//! * Templates receive the brief and the subject, **never** a person, a post or the strength of a feeling. Undefined
//!   names are errors, and the number of steps is limited. Output is text, so nothing is escaped, and it contains no
//!   control, bidirectional or zero-width character.
//! * An unpleasant emotion never chooses a template. An audience's strongest emotion can, if it is pleasant.
//! * A brand kit only removes ads: tones, banned words, and claims without proof.
//! * The texts of a person pass platform fit and brand kit like those of a template, and are never cut.
//! * An order is sent with one idempotency key, in every process. If it brings no text, it is sent again with another one, at the
//!   earliest after [`GenerateSettings::retry`].
//! * A text of a model is marked (`ai_generated`), and names strategy, prompt and model.
//! * A rejected ad is left out in every mode. A verdict that cannot be read is a rejection.
//! * A draft is not an ad: nothing runs before the safety gate has cleared it.

mod brand;
mod campaigns;
mod component;
mod copy;
mod fields;
mod generate;
mod reviews;
mod settings;
mod similar;
mod stage;
mod template;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod text;
mod texts;
mod writer;

pub use campaigns::Campaigns;
pub use generate::{
    AdIndex, AdIndexes, Embedder, Embedders, GenerateSettings, IndexError, MemoryIndex, ModelReply, NearAd,
    PaintQuality, PaintSettings, PastAd, PictureModel, PictureModels, PictureOrder, PictureReply,
    TEXTS_STAGE, TextModel, TextModels, TextOrder, TextsStage,
};
pub use reviews::{ReviewSettings, Reviews};
pub use settings::{Problem, Settings, SettingsError};
pub use stage::{CreativeStage, STAGE};
pub use template::{Occasion, Template, built_in};
pub use texts::Texts;
pub use writer::Writer;
