//! WebP files.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};
use limbic_fit::ImageType;

use crate::{NotAPicture, Raster, RasterLimits, check_size, damaged, on_white};

pub(crate) fn decode(file: &[u8], limits: &RasterLimits) -> Result<Raster, NotAPicture> {
    let failed = |error: DecodingError| damaged("WebP", &error);
    // The decoder reserves memory for a picture before it compares its size with that of the canvas.
    for (width, height) in inner_sizes(file) {
        check_size(width, height, limits)?;
    }
    let mut decoder = WebPDecoder::new(Cursor::new(file)).map_err(failed)?;
    decoder.set_memory_limit(limits.pixels.saturating_mul(8));
    let (width, height) = decoder.dimensions();
    check_size(width, height, limits)?;
    if decoder.is_animated() {
        return Err(damaged("WebP", &"it is an animation"));
    }
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let size = decoder
        .output_buffer_size()
        .ok_or_else(|| damaged("WebP", &"its size is not possible"))?;
    let mut samples = vec![0; size];
    decoder.read_image(&mut samples).map_err(failed)?;
    Ok(Raster {
        kind: ImageType::Webp,
        width,
        height,
        rgb: on_white(&samples, channels),
    })
}

/// The sizes of the pictures in a file, as their own headers state them (RFC 6386, section 9.1; RFC 9649, section 3.4).
fn inner_sizes(file: &[u8]) -> Vec<(u32, u32)> {
    let mut sizes = Vec::new();
    let mut rest = file.get(12..).unwrap_or_default();
    while let Some((header, after)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        match (&header[..4], after) {
            (b"VP8 ", [_, _, _, _, _, _, w, wide, h, high, ..]) => {
                let side = |low: u8, high: u8| u32::from(u16::from_le_bytes([low, high]) & 0x3fff);
                sizes.push((side(*w, *wide), side(*h, *high)));
            }
            (b"VP8L", [_, a, b, c, d, ..]) => {
                let bits = u32::from_le_bytes([*a, *b, *c, *d]);
                sizes.push(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1));
            }
            _ => {}
        }
        // Chunks have an even length.
        let end = length.saturating_add(length % 2).min(after.len());
        rest = &after[end..];
    }
    sizes
}
