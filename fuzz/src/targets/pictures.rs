//! What providers of pictures send.

use limbic_raster::{Raster, RasterLimits};

/// A file that is decoded has all its pixels, and no more than the limit.
pub fn pictures(bytes: &[u8]) {
    let limits = RasterLimits {
        bytes: 1 << 16,
        pixels: 1 << 14,
    };
    if let Ok(raster) = Raster::decode(bytes, &limits) {
        let pixels = raster.width as usize * raster.height as usize;
        assert!(pixels <= limits.pixels && bytes.len() <= limits.bytes);
        assert_eq!(raster.rgb.len(), pixels * 3);
    }
}
