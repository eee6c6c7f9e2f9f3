//! PNG files.

use std::io::Cursor;

use limbic_fit::ImageType;
use png::{Decoder, Limits as PngLimits, Transformations};

use crate::{NotAPicture, Raster, RasterLimits, check_size, damaged, on_white};

/// Bytes for everything besides pixels: chunks with texts and profiles can be compressed a thousandfold.
const REST: usize = 4 << 20;

pub(crate) fn decode(file: &[u8], limits: &RasterLimits) -> Result<Raster, NotAPicture> {
    let failed = |error: png::DecodingError| damaged("PNG", &error);
    let bytes = limits.pixels.saturating_mul(8).saturating_add(REST);
    let mut decoder = Decoder::new_with_limits(Cursor::new(file), PngLimits { bytes });
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    // Palettes, and samples of less or more than eight bits, become bytes.
    decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
    let header = decoder.read_header_info().map_err(failed)?;
    let (width, height) = (header.width, header.height);
    check_size(width, height, limits)?;
    let mut reader = decoder.read_info().map_err(failed)?;
    let size = reader
        .output_buffer_size()
        .ok_or_else(|| damaged("PNG", &"its size is not possible"))?;
    let mut samples = vec![0; size];
    let frame = reader.next_frame(&mut samples).map_err(failed)?;
    if (frame.width, frame.height) != (width, height) {
        return Err(damaged("PNG", &"its first frame does not cover it"));
    }
    samples.truncate(frame.buffer_size());
    // A file without its end is cut off.
    reader.finish().map_err(failed)?;
    Ok(Raster {
        kind: ImageType::Png,
        width,
        height,
        rgb: on_white(&samples, frame.color_type.samples()),
    })
}
