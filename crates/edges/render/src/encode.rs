//! Files of pictures.

use image_webp::{ColorType as WebpColour, WebPEncoder};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use limbic_fit::ImageType;

use crate::{Picture, RenderError};

/// The qualities of JPEG that are tried, the best first.
const QUALITIES: [u8; 6] = [92, 85, 78, 70, 60, 50];

impl Picture {
    /// The picture as a file of at most `most` bytes. JPEG lowers its quality as far as necessary, down to 50. PNG and WebP are
    /// lossless.
    ///
    /// Fails if the file would be larger.
    pub fn encode(&self, kind: ImageType, most: Option<usize>) -> Result<Vec<u8>, RenderError> {
        let limit = most.unwrap_or(usize::MAX);
        let (name, bytes) = match kind {
            ImageType::Png => ("PNG", self.png()?),
            ImageType::Webp => ("WebP", self.webp()?),
            ImageType::Jpeg => {
                let mut bytes = Vec::new();
                for quality in QUALITIES {
                    bytes = self.jpeg(quality)?;
                    if bytes.len() <= limit {
                        break;
                    }
                }
                ("JPEG", bytes)
            }
        };
        if bytes.len() > limit {
            return Err(RenderError::TooLarge {
                bytes: bytes.len(),
                kind: name,
                limit,
            });
        }
        Ok(bytes)
    }

    fn png(&self) -> Result<Vec<u8>, RenderError> {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, self.width, self.height);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        let failed = |error: png::EncodingError| refused("PNG", &error);
        let keyword = "XML:com.adobe.xmp".to_owned();
        encoder.add_itxt_chunk(keyword, self.mark.xmp()).map_err(failed)?;
        let mut writer = encoder.write_header().map_err(failed)?;
        writer.write_image_data(&self.rgb).map_err(failed)?;
        writer.finish().map_err(failed)?;
        Ok(bytes)
    }

    fn jpeg(&self, quality: u8) -> Result<Vec<u8>, RenderError> {
        let mut bytes = Vec::new();
        let mut encoder = Encoder::new(&mut bytes, quality);
        // Coloured text on a coloured ground is blurred by subsampled colours.
        encoder.set_sampling_factor(SamplingFactor::F_1_1);
        encoder.set_optimized_huffman_tables(true);
        let segment = [b"http://ns.adobe.com/xap/1.0/\0", self.mark.xmp().as_bytes()].concat();
        let added = encoder.add_app_segment(1, segment);
        added.map_err(|error| refused("JPEG", &error))?;
        let (width, height) = (self.width as u16, self.height as u16);
        let written = encoder.encode(&self.rgb, width, height, ColorType::Rgb);
        written.map_err(|error| refused("JPEG", &error))?;
        Ok(bytes)
    }

    fn webp(&self) -> Result<Vec<u8>, RenderError> {
        let mut bytes = Vec::new();
        let mut encoder = WebPEncoder::new(&mut bytes);
        encoder.set_xmp_metadata(self.mark.xmp().into_bytes());
        let written = encoder.encode(&self.rgb, self.width, self.height, WebpColour::Rgb8);
        written.map_err(|error| refused("WebP", &error))?;
        Ok(bytes)
    }
}

fn refused(kind: &'static str, reason: &dyn std::fmt::Display) -> RenderError {
    RenderError::Encode {
        kind,
        reason: reason.to_string(),
    }
}
