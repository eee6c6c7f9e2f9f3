//! JPEG files.

use limbic_fit::ImageType;
use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;
use zune_jpeg::JpegDecoder;
use zune_jpeg::errors::DecodeErrors;

use crate::{NotAPicture, Raster, RasterLimits, SIDE, check_size, damaged};

/// Most scans of a progressive file. Encoders write about ten.
const SCANS: usize = 64;

pub(crate) fn decode(file: &[u8], limits: &RasterLimits) -> Result<Raster, NotAPicture> {
    let failed = |error: DecodeErrors| damaged("JPEG", &error);
    let options = DecoderOptions::default()
        .set_max_width(SIDE as usize)
        .set_max_height(SIDE as usize)
        .jpeg_set_max_scans(SCANS)
        // A file that ends early would be a picture with grey at its end.
        .set_strict_mode(true)
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(failed)?;
    let info = decoder
        .info()
        .ok_or_else(|| damaged("JPEG", &"it has no header"))?;
    let (width, height) = (u32::from(info.width), u32::from(info.height));
    check_size(width, height, limits)?;
    let rgb = decoder.decode().map_err(failed)?;
    if rgb.len() != width as usize * height as usize * 3 {
        return Err(damaged("JPEG", &"its colours are of a kind that is not read"));
    }
    Ok(Raster {
        kind: ImageType::Jpeg,
        width,
        height,
        rgb,
    })
}
