//! Colours, and the contrast between them.

use std::fmt;
use std::str::FromStr;

/// A colour in sRGB, without transparency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Colour {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

/// The text is not a colour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a colour: write six hexadecimal digits, as in #1a2b3c")]
pub struct InvalidColour(String);

impl Colour {
    /// Black.
    pub const BLACK: Self = Self::new(0, 0, 0);
    /// White.
    pub const WHITE: Self = Self::new(255, 255, 255);
    /// The least contrast of text: WCAG 2.2, success criterion 1.4.3 (level AA), for text of any size.
    pub const LEAST_CONTRAST: f64 = 4.5;

    /// From its parts.
    pub const fn new(red: u8, green: u8, blue: u8) -> Self {
        Self { red, green, blue }
    }

    /// The relative luminance, from 0 (black) to 1 (white): WCAG 2.2, "relative luminance".
    pub fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.04045 {
                part / 12.92
            } else {
                ((part + 0.055) / 1.055).powf(2.4)
            }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }

    /// The contrast ratio to another colour, from 1 to 21: WCAG 2.2, "contrast ratio".
    pub fn contrast(self, other: Self) -> f64 {
        let (one, other) = (self.luminance(), other.luminance());
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// The colour nearest to this one, on the way to black or to white, whose contrast to `background` is at least `least`. The
    /// colour itself, if it is enough. Black or white has at least 4.58 on every background.
    #[must_use]
    pub fn readable_on(self, background: Self, least: f64) -> Self {
        let towards = |end: Self| {
            let steps = (0..=255_u16).map(|step| self.mixed(end, step));
            steps
                .zip(0_u16..)
                .find(|(colour, _)| colour.contrast(background) >= least)
        };
        let (black, white) = (towards(Self::BLACK), towards(Self::WHITE));
        let nearest = [black, white].into_iter().flatten().min_by_key(|(_, step)| *step);
        nearest.map_or_else(|| background.opposite(), |(colour, _)| colour)
    }

    /// Black or white: the one with more contrast.
    #[must_use]
    pub fn opposite(self) -> Self {
        if self.contrast(Self::BLACK) >= self.contrast(Self::WHITE) {
            Self::BLACK
        } else {
            Self::WHITE
        }
    }

    /// The colour `step` of 255 parts on the way to `end`.
    #[must_use]
    pub fn mixed(self, end: Self, step: u16) -> Self {
        let mix = |from: u8, to: u8| {
            let (from, to, step) = (u32::from(from), u32::from(to), u32::from(step.min(255)));
            ((from * (255 - step) + to * step + 127) / 255) as u8
        };
        Self::new(
            mix(self.red, end.red),
            mix(self.green, end.green),
            mix(self.blue, end.blue),
        )
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl FromStr for Colour {
    type Err = InvalidColour;

    fn from_str(text: &str) -> Result<Self, InvalidColour> {
        let invalid = || InvalidColour(text.chars().take(40).collect());
        let digits = text.trim().strip_prefix('#').ok_or_else(invalid)?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(invalid());
        }
        let number = u32::from_str_radix(digits, 16).map_err(|_| invalid())?;
        let [_, red, green, blue] = number.to_be_bytes();
        Ok(Self::new(red, green, blue))
    }
}
