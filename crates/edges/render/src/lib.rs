//! Cards and banners from texts: SVG templates, text that is fitted and shaped, contrast that is checked, and files in the sizes of
//! ad platforms.
//!
//! ```text
//!  Card (texts, colours) ──▶ layout for the size ──▶ lines that fit ──▶ SVG ──▶ Picture ──▶ PNG, JPEG, WebP
//!            Fonts ──────────────────────────────────┘
//! ```
//!
//! * [`Card`] is what the picture says. [`Card::render`] chooses a layout by the proportions, finds the largest font sizes at which the
//!   lines fit, and corrects colours that are hard to read.
//! * [`Backdrop`] is a picture behind the texts, for instance of a model. It is covered with the card's background colour as far as the
//!   texts need it.
//! * [`Fonts`] are the open fonts of the Noto family that the system has installed (SIL Open Font License 1.1), with a fallback for
//!   Arabic, Hebrew, Indic scripts, Thai, Chinese, Japanese, Korean and emoji. Other fonts of the machine are not used, so they change
//!   no picture.
//! * [`Picture::encode`] writes PNG, JPEG or WebP within the size that a platform allows, with a [`Mark`] that says how the picture was
//!   made and what is on it.
//! * [`Gallery`] is a folder of drawn pictures, each under the hash of its file.
//!
//! The crate does not write texts, and loads nothing from the network: a text cannot name a file or a link of the SVG.
//!
//! ```no_run
//! use limbic_fit::ImageType;
//! use limbic_render::{Card, Fonts};
//!
//! let fonts = Fonts::load(None)?;
//! let card = Card {
//!     headline: "Warm feet in any weather".into(),
//!     button: "Try a pair".into(),
//!     brand: "Acme Boots".into(),
//!     ..Card::default()
//! };
//! let picture = card.render(&fonts, 1200, 628)?;
//! std::fs::write("card.png", picture.encode(ImageType::Png, Some(5_000_000))?)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * The picture is a function of card, size, fonts, and the bytes of its backdrop.
//! * Every text has a contrast of at least 4.5 to everything behind it (WCAG 2.2, level AA).
//! * No line leaves its area, and no text is smaller than 10 pixels. The headline is whole or the card is refused; what else does not
//!   fit is left out, and the picture says so.

mod backdrop;
mod card;
mod colour;
mod encode;
mod error;
mod fonts;
mod gallery;
mod layout;
mod mark;
mod text;

pub use backdrop::Backdrop;
pub use card::{Card, Colours, Picture};
pub use colour::{Colour, InvalidColour};
pub use error::RenderError;
pub use fonts::Fonts;
pub use gallery::{Drawn, Gallery, GalleryError};
pub use mark::{DigitalSource, Mark};
