//! Files that servers send.

use base64::prelude::{BASE64_STANDARD, Engine as _};

pub(crate) fn base64(file: &[u8]) -> String {
    BASE64_STANDARD.encode(file)
}

/// What a script needs for as long as its server runs.
pub(crate) fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// A picture with noise, so that a part of its file is not the whole.
fn colours(width: u32, height: u32) -> Vec<u8> {
    (0..width * height * 3)
        .map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

pub(crate) fn png(width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(&colours(width, height)).unwrap();
    writer.finish().unwrap();
    file
}

pub(crate) fn jpeg(width: u16, height: u16) -> Vec<u8> {
    let mut file = Vec::new();
    let colours = colours(u32::from(width), u32::from(height));
    jpeg_encoder::Encoder::new(&mut file, 90)
        .encode(&colours, width, height, jpeg_encoder::ColorType::Rgb)
        .unwrap();
    file
}

/// A small JPEG file whose header asks for 60,000 × 60,000 pixels.
pub(crate) fn bomb() -> Vec<u8> {
    let mut file = jpeg(8, 8);
    let frame = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
    for place in [frame + 5, frame + 7] {
        file[place..place + 2].copy_from_slice(&60_000_u16.to_be_bytes());
    }
    file
}
