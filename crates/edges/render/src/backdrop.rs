//! A picture behind the texts of a card, and how much it is covered so that they can be read.

use std::fs::File;
use std::io::Read as _;
use std::path::PathBuf;

use limbic_raster::{Raster, RasterLimits};
use resvg::tiny_skia::{Color, FilterQuality, IntSize, Paint, Pixmap, PixmapPaint, Rect, Transform};

use crate::{Colour, RenderError};

/// A file with a picture: PNG, JPEG or WebP, within the limits of [`limbic_raster::RasterLimits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backdrop {
    /// What names the picture, for instance its hash: two pictures with one name are taken for one.
    pub name: String,
    /// Where its file is.
    pub path: PathBuf,
}

/// A part of a picture, in pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Region {
    pub(crate) x: f32,
    pub(crate) y: f32,
    pub(crate) width: f32,
    pub(crate) height: f32,
}

impl Backdrop {
    /// The picture in this size: its middle, scaled so that it covers everything.
    pub(crate) fn ground(&self, width: u32, height: u32) -> Result<Pixmap, RenderError> {
        let failed = |reason: String| RenderError::Backdrop {
            path: self.path.clone(),
            reason,
        };
        let limits = RasterLimits::default();
        let mut file = Vec::new();
        File::open(&self.path)
            .and_then(|opened| opened.take(limits.bytes as u64 + 1).read_to_end(&mut file))
            .map_err(|error| failed(error.to_string()))?;
        let raster = Raster::decode(&file, &limits).map_err(|error| failed(error.to_string()))?;
        drop(file);
        let no_pixels = || failed("it has no pixels".to_owned());
        let size = IntSize::from_wh(raster.width, raster.height).ok_or_else(no_pixels)?;
        let opaque = raster
            .rgb
            .chunks_exact(3)
            .flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]);
        let painted = Pixmap::from_vec(opaque.collect(), size).ok_or_else(no_pixels)?;
        let mut ground = Pixmap::new(width, height).ok_or_else(no_pixels)?;
        let (wide, high) = (
            width as f32 / raster.width as f32,
            height as f32 / raster.height as f32,
        );
        // A little more than covers it: an edge that is half transparent would be dark.
        let scale = wide.max(high) * 1.002;
        let left = (width as f32 - raster.width as f32 * scale) / 2.0;
        let top = (height as f32 - raster.height as f32 * scale) / 2.0;
        let paint = PixmapPaint {
            quality: FilterQuality::Bicubic,
            ..PixmapPaint::default()
        };
        let place = Transform::from_row(scale, 0.0, 0.0, scale, left, top);
        ground.draw_pixmap(0, 0, painted.as_ref(), &paint, place, None);
        Ok(ground)
    }
}

/// Of how many parts of 255 of `veil` must lie on the picture so that `text` has a contrast of at least `least` to every pixel of these
/// regions.
pub(crate) fn least_veil(ground: &Pixmap, regions: &[Region], text: Colour, veil: Colour, least: f64) -> u8 {
    let (width, height) = (ground.width(), ground.height());
    let mut colours = std::collections::HashSet::new();
    for region in regions {
        let from = |start: f32| start.floor().max(0.0) as u32;
        let (left, top) = (from(region.x), from(region.y));
        let right = (from(region.x + region.width) + 1).min(width);
        let bottom = (from(region.y + region.height) + 1).min(height);
        for y in top..bottom {
            for x in left..right {
                if let Some(pixel) = ground.pixel(x, y) {
                    colours.insert((pixel.red(), pixel.green(), pixel.blue()));
                }
            }
        }
    }
    let is_legible = |part: u8| {
        colours.iter().all(|&(red, green, blue)| {
            let covered = Colour::new(red, green, blue).mixed(veil, u16::from(part));
            // Drawing rounds each part of a colour, so the next one on each side must do too.
            covered.contrast(text) >= least + ROUNDING
        })
    };
    // More of the veil is never less legible, because the veil is legible alone.
    let (mut low, mut high) = (0_u8, u8::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if is_legible(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    high
}

/// More contrast than the rounding of one step of a colour takes away.
const ROUNDING: f64 = 0.15;

/// Covers the whole picture with this many parts of 255 of a colour.
pub(crate) fn cover(ground: &mut Pixmap, veil: Colour, part: u8) {
    let Some(all) = Rect::from_xywh(0.0, 0.0, ground.width() as f32, ground.height() as f32) else {
        return;
    };
    let mut paint = Paint::default();
    paint.set_color(Color::from_rgba8(veil.red, veil.green, veil.blue, part));
    paint.anti_alias = false;
    ground.fill_rect(all, &paint, Transform::identity(), None);
}
