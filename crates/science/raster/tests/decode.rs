//! What is decoded, and what is refused.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use image_webp::{ColorType as WebpColour, WebPEncoder};
use jpeg_encoder::{ColorType as JpegColour, Encoder as JpegEncoder};
use limbic_fit::ImageType;
use limbic_raster::{NotAPicture, Raster, RasterLimits, kind_of};
use proptest::prelude::*;

const WIDTH: u32 = 37;
const HEIGHT: u32 = 21;

fn colours() -> Vec<u8> {
    let pixels = (0..HEIGHT).flat_map(|y| (0..WIDTH).map(move |x| (x, y)));
    pixels
        .flat_map(|(x, y)| [(x * 6) as u8, (y * 11) as u8, 40])
        .collect()
}

fn png(width: u32, height: u32, colour: png::ColorType, samples: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(samples).unwrap();
    writer.finish().unwrap();
    bytes
}

fn jpeg() -> Vec<u8> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new(&mut bytes, 95);
    encoder
        .encode(&colours(), WIDTH as u16, HEIGHT as u16, JpegColour::Rgb)
        .unwrap();
    bytes
}

fn webp() -> Vec<u8> {
    let mut bytes = Vec::new();
    WebPEncoder::new(&mut bytes)
        .encode(&colours(), WIDTH, HEIGHT, WebpColour::Rgb8)
        .unwrap();
    bytes
}

fn files() -> [(ImageType, Vec<u8>); 3] {
    let png = png(WIDTH, HEIGHT, png::ColorType::Rgb, &colours());
    [
        (ImageType::Png, png),
        (ImageType::Jpeg, jpeg()),
        (ImageType::Webp, webp()),
    ]
}

/// Fuzzing found it: for these sampling factors, the decoder's code for processors with AVX2 panics.
#[test]
fn a_file_at_which_the_decoder_panics_is_damaged() {
    match Raster::decode(include_bytes!("data/sampling.jpg"), &RasterLimits::default()) {
        // Another processor.
        Ok(raster) => assert_eq!(raster.rgb.len() as u32, raster.width * raster.height * 3),
        Err(error) => assert!(
            matches!(error, NotAPicture::Damaged { kind: "JPEG", .. }),
            "{error}"
        ),
    }
}

#[test]
fn a_picture_is_decoded_by_its_bytes() {
    for (kind, file) in files() {
        assert_eq!(kind_of(&file), Some(kind));
        let raster = Raster::decode(&file, &RasterLimits::default()).unwrap();
        assert_eq!((raster.kind, raster.width, raster.height), (kind, WIDTH, HEIGHT));
        let most = if kind == ImageType::Jpeg { 12 } else { 0 };
        let difference = raster.rgb.iter().zip(colours()).map(|(a, b)| a.abs_diff(b));
        assert!(difference.max().unwrap() <= most, "{kind:?}");
    }
}

#[test]
fn what_is_transparent_lies_on_white() {
    let file = png(2, 1, png::ColorType::Rgba, &[10, 20, 30, 255, 10, 20, 30, 0]);
    let raster = Raster::decode(&file, &RasterLimits::default()).unwrap();
    assert_eq!(raster.rgb, [10, 20, 30, 255, 255, 255]);
    let file = png(1, 1, png::ColorType::GrayscaleAlpha, &[0, 127]);
    let raster = Raster::decode(&file, &RasterLimits::default()).unwrap();
    assert_eq!(raster.rgb, [128, 128, 128]);
}

#[test]
fn a_file_that_ends_early_is_no_picture() {
    for (kind, file) in files() {
        for share in [2, 4, 8] {
            let cut = &file[..file.len() - file.len() / share];
            let error = Raster::decode(cut, &RasterLimits::default()).unwrap_err();
            assert!(matches!(error, NotAPicture::Damaged { .. }), "{kind:?}: {error}");
        }
    }
}

#[test]
fn a_file_of_too_many_bytes_or_pixels_is_refused() {
    for (kind, file) in files() {
        let limits = RasterLimits {
            bytes: file.len() - 1,
            ..RasterLimits::default()
        };
        let error = Raster::decode(&file, &limits).unwrap_err();
        assert!(
            matches!(error, NotAPicture::TooManyBytes { .. }),
            "{kind:?}: {error}"
        );
        let limits = RasterLimits {
            pixels: (WIDTH * HEIGHT) as usize - 1,
            ..RasterLimits::default()
        };
        let error = Raster::decode(&file, &limits).unwrap_err();
        let expected = NotAPicture::TooManyPixels {
            width: WIDTH,
            height: HEIGHT,
            limit: limits.pixels,
        };
        assert_eq!(error, expected, "{kind:?}");
    }
}

/// A file of some bytes whose header asks for 60,000 × 60,000 pixels.
fn bomb(kind: ImageType) -> Vec<u8> {
    let (_, mut file) = files().into_iter().find(|(of, _)| *of == kind).unwrap();
    let side = 60_000_u16;
    match kind {
        ImageType::Png => {
            for place in [16, 20] {
                file[place..place + 4].copy_from_slice(&u32::from(side).to_be_bytes());
            }
            let sum = crc(&file[12..29]);
            file[29..33].copy_from_slice(&sum.to_be_bytes());
        }
        ImageType::Jpeg => {
            let frame = file.windows(2).position(|two| two == [0xff, 0xc0]).unwrap();
            for place in [frame + 5, frame + 7] {
                file[place..place + 2].copy_from_slice(&side.to_be_bytes());
            }
        }
        // The decoder reads no larger sides than 16,383.
        ImageType::Webp => {
            let header = file.windows(4).position(|four| four == b"VP8L").unwrap() + 9;
            file[header..header + 4].copy_from_slice(&0x0fff_bffe_u32.to_le_bytes());
        }
    }
    file
}

/// The checksum of a chunk of a PNG file (ISO 15948, annex D).
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0_u32, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            if sum & 1 == 1 {
                (sum >> 1) ^ 0xedb8_8320
            } else {
                sum >> 1
            }
        })
    })
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    for kind in [ImageType::Png, ImageType::Jpeg, ImageType::Webp] {
        let file = bomb(kind);
        assert!(file.len() < 10_000);
        let error = Raster::decode(&file, &RasterLimits::default()).unwrap_err();
        let is_refused = match &error {
            NotAPicture::TooManyPixels { .. } => true,
            // The decoder has a limit of its own for a side.
            NotAPicture::Damaged { problem, .. } => {
                problem.contains("dimensions") || problem.contains("width")
            }
            _ => false,
        };
        assert!(is_refused, "{kind:?}: {error}");
    }
}

#[test]
fn a_small_canvas_around_a_large_picture_is_refused() {
    let large = bomb(ImageType::Webp);
    // An extended file of 1 × 1 pixels: flags, reserved bytes, and width and height less one.
    let mut chunks = b"WEBPVP8X\x0a\0\0\0".to_vec();
    chunks.extend([0; 10]);
    chunks.extend(&large[12..]);
    let mut file = b"RIFF".to_vec();
    file.extend((chunks.len() as u32).to_le_bytes());
    file.extend(chunks);
    let error = Raster::decode(&file, &RasterLimits::default()).unwrap_err();
    assert!(matches!(error, NotAPicture::TooManyPixels { .. }), "{error}");
}

#[test]
fn other_bytes_are_no_picture() {
    for bytes in [
        &b""[..],
        b"GIF89a",
        b"<svg/>",
        b"RIFF____WAVE",
        b"\x89PNG",
        b"\xff\xd8",
    ] {
        let error = Raster::decode(bytes, &RasterLimits::default()).unwrap_err();
        assert_eq!(error, NotAPicture::UnknownType);
    }
}

proptest! {
    #[test]
    fn a_damaged_file_never_panics_and_a_result_has_all_its_pixels(
        which in 0_usize..3,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
    ) {
        let (_, mut file) = files()[which].clone();
        for (place, byte) in changes {
            let place = place.index(file.len());
            file[place] = byte;
        }
        let end = length.index(file.len() * 2).min(file.len());
        let limits = RasterLimits { pixels: 1 << 16, ..RasterLimits::default() };
        if let Ok(raster) = Raster::decode(&file[..end], &limits) {
            prop_assert_eq!(raster.rgb.len(), raster.width as usize * raster.height as usize * 3);
        }
    }
}
