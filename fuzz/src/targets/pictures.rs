//! What providers of pictures send.

use std::sync::Once;

use limbic_raster::{Raster, RasterLimits};

/// A panic of a decoder makes a file a damaged one, so it is no finding; libFuzzer's hook would end the process for it.
static CAUGHT: Once = Once::new();

/// A file that is decoded has all its pixels, and no more than the limit.
pub fn pictures(bytes: &[u8]) {
    CAUGHT.call_once(|| std::panic::set_hook(Box::new(|_| {})));
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
