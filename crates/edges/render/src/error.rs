//! Why a picture cannot be rendered, and what to do.

use std::path::PathBuf;

use crate::Colour;

/// Why a picture cannot be rendered, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// The base font is not there.
    #[error(
        "the font {family} was not found in {searched}: install the Debian package {package} (apt-get install {package}), or name \
         the folder that has it"
    )]
    NoFont {
        /// The family.
        family: &'static str,
        /// The Debian package that has it.
        package: &'static str,
        /// The folders that were searched.
        searched: String,
    },
    /// No font has a character.
    #[error(
        "no font in {searched} has the character `{character}` (U+{:04X}): install the Debian package {package}, or remove the \
         character",
        u32::from(*character)
    )]
    NoGlyph {
        /// The character.
        character: char,
        /// The Debian package that most likely has it.
        package: &'static str,
        /// The folders that were searched.
        searched: String,
    },
    /// A text does not fit the picture.
    #[error(
        "the {part} does not fit {width}×{height} pixels at the smallest legible size of {smallest} pixels: shorten it, or choose \
         a larger picture"
    )]
    DoesNotFit {
        /// `headline`, `brand` or `button`.
        part: &'static str,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The smallest font size, in pixels.
        smallest: u32,
    },
    /// The picture behind the texts cannot be used.
    #[error("{path}: {reason}: it is the picture behind the texts; paint another one, or copy the file from the node that has it", path = path.display())]
    Backdrop {
        /// Its file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The headline has no words.
    #[error("the headline is empty: write it")]
    Empty,
    /// The contrast is too low, and correction was not wanted.
    #[error(
        "the contrast between {text} and {background} is {contrast:.1}, and WCAG 2.2 asks for at least 4.5: choose other colours, \
         or let them be corrected"
    )]
    Contrast {
        /// The colour of the text.
        text: Colour,
        /// The colour behind it.
        background: Colour,
        /// Their contrast ratio.
        contrast: f64,
    },
    /// The size is not usable.
    #[error("{width}×{height} pixels cannot be rendered: each side must have {least} to {most} pixels")]
    Size {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The least pixels of a side.
        least: u32,
        /// The most pixels of a side.
        most: u32,
    },
    /// The file is larger than the platform allows.
    #[error("the picture takes {bytes} bytes as {kind}, the limit is {limit}: use JPEG, or a smaller size")]
    TooLarge {
        /// The size of the file.
        bytes: usize,
        /// `PNG`, `JPEG` or `WebP`.
        kind: &'static str,
        /// The largest file.
        limit: usize,
    },
    /// The file cannot be encoded.
    #[error("the picture cannot be written as {kind}: {reason}")]
    Encode {
        /// `PNG`, `JPEG` or `WebP`.
        kind: &'static str,
        /// The encoder's message.
        reason: String,
    },
    /// The SVG of the template is not valid. It is a mistake of this program.
    #[error("the template of the picture is not valid: {0}; report it with the text that was rendered")]
    Template(String),
}
