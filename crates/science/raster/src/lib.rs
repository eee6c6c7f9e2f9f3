//! Files of pictures from elsewhere, decoded within limits.
//!
//! A picture that another program made can be anything: a text, a cut file, or a few kilobytes that ask for gigabytes of memory (a
//! picture bomb). [`Raster::decode`] looks at the bytes, not at what their sender says about them:
//!
//! ```text
//!  bytes ──▶ at most RasterLimits::bytes ──▶ type by signature ──▶ size by header, at most RasterLimits::pixels ──▶ decoder ──▶ Raster
//! ```
//!
//! ```
//! use limbic_raster::{NotAPicture, RasterLimits, Raster};
//!
//! let error = Raster::decode(b"<svg/>", &RasterLimits::default()).unwrap_err();
//! assert_eq!(error, NotAPicture::UnknownType);
//! ```
//!
//! # Laws
//!
//! * No memory for pixels is reserved before the size in the header is within the limits.
//! * A result is a whole picture: a file that ends early is an error.
//! * No file makes the program panic, whatever a decoder does.
//!
//! # What it is not
//!
//! It reads PNG, JPEG and WebP, and writes nothing. Of an animated PNG it reads the first frame; an animated WebP is refused. It ignores colour profiles and the
//! orientation of a camera.

mod jpeg;
mod png;
mod webp;

use std::panic::{AssertUnwindSafe, catch_unwind};

use limbic_fit::ImageType;

/// What a file may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RasterLimits {
    /// Maximum bytes of the file.
    pub bytes: usize,
    /// Maximum pixels, width times height. The decoder needs some 4 to 12 bytes for each.
    pub pixels: usize,
}

impl Default for RasterLimits {
    /// 16 MiB and 2^23 pixels, which is enough for 3840 × 2160.
    fn default() -> Self {
        Self {
            bytes: 16 << 20,
            pixels: 1 << 23,
        }
    }
}

/// The longest side of a picture, whatever its other side is.
const SIDE: u32 = 16_384;

/// A decoded picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raster {
    /// The type of the file.
    pub kind: ImageType,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Red, green and blue of each pixel, row by row. What was transparent lies on white.
    pub rgb: Vec<u8>,
}

/// Why bytes are not a picture, or not one that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAPicture {
    /// The file is too large.
    #[error("the file has {bytes} bytes, and at most {limit} are accepted")]
    TooManyBytes {
        /// The bytes of the file.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// The picture is too large.
    #[error("the picture has {width} × {height} pixels, and at most {limit} pixels are accepted")]
    TooManyPixels {
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
        /// The limit.
        limit: usize,
    },
    /// The bytes are of another type.
    #[error("the bytes are not a picture of the types PNG, JPEG or WebP")]
    UnknownType,
    /// The file is cut off or damaged.
    #[error("the {kind} file is damaged: {problem}")]
    Damaged {
        /// `PNG`, `JPEG` or `WebP`.
        kind: &'static str,
        /// The decoder's message.
        problem: String,
    },
}

impl Raster {
    /// Decodes a file. Its type is found by its first bytes.
    pub fn decode(file: &[u8], limits: &RasterLimits) -> Result<Self, NotAPicture> {
        if file.len() > limits.bytes {
            return Err(NotAPicture::TooManyBytes {
                bytes: file.len(),
                limit: limits.bytes,
            });
        }
        let kind = kind_of(file).ok_or(NotAPicture::UnknownType)?;
        let decode = match kind {
            ImageType::Png => png::decode,
            ImageType::Jpeg => jpeg::decode,
            ImageType::Webp => webp::decode,
        };
        guarded(kind, || decode(file, limits))
    }
}

/// What a decoder returns. If it panics, the file is damaged: the decoders are other people's code, and the files are strangers'.
fn guarded(
    kind: ImageType,
    decode: impl FnOnce() -> Result<Raster, NotAPicture>,
) -> Result<Raster, NotAPicture> {
    let name = match kind {
        ImageType::Png => "PNG",
        ImageType::Jpeg => "JPEG",
        ImageType::Webp => "WebP",
    };
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|_| Err(damaged(name, &"its decoder failed")))
}

/// The type of a file by its first bytes.
pub fn kind_of(file: &[u8]) -> Option<ImageType> {
    if file.starts_with(b"\x89PNG\r\n\x1a\n") {
        return Some(ImageType::Png);
    }
    if file.starts_with(b"\xff\xd8\xff") {
        return Some(ImageType::Jpeg);
    }
    let is_webp = file.starts_with(b"RIFF") && file.get(8..12) == Some(b"WEBP");
    is_webp.then_some(ImageType::Webp)
}

/// Returns an error if the size in a header is not within the limits.
fn check_size(width: u32, height: u32, limits: &RasterLimits) -> Result<(), NotAPicture> {
    let pixels = u64::from(width) * u64::from(height);
    if pixels > limits.pixels as u64 || width > SIDE || height > SIDE {
        return Err(NotAPicture::TooManyPixels {
            width,
            height,
            limit: limits.pixels,
        });
    }
    Ok(())
}

fn damaged(kind: &'static str, problem: &dyn std::fmt::Display) -> NotAPicture {
    NotAPicture::Damaged {
        kind,
        problem: problem.to_string(),
    }
}

/// The colours of pixels on white, from samples of this many channels: grey, grey and alpha, RGB, or RGB and alpha.
fn on_white(samples: &[u8], channels: usize) -> Vec<u8> {
    let blend = |colour: u8, alpha: u8| {
        let (colour, alpha) = (u32::from(colour), u32::from(alpha));
        ((colour * alpha + 255 * (255 - alpha) + 127) / 255) as u8
    };
    let pixels = samples.chunks_exact(channels);
    match channels {
        1 => pixels.flat_map(|pixel| [pixel[0]; 3]).collect(),
        2 => pixels.flat_map(|pixel| [blend(pixel[0], pixel[1]); 3]).collect(),
        4 => pixels
            .flat_map(|pixel| [0, 1, 2].map(|channel| blend(pixel[channel], pixel[3])))
            .collect(),
        _ => samples.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decoder_that_panics_means_a_damaged_file() {
        let failed = guarded(ImageType::Webp, || panic!("as a decoder might"));
        assert_eq!(failed, Err(damaged("WebP", &"its decoder failed")));
    }
}
