//! Cards over pictures: every text can be read, whatever the picture is.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use limbic_render::{Backdrop, Card, Colour, Colours, Fonts, RenderError};
use proptest::prelude::*;

fn fonts() -> &'static Fonts {
    static FONTS: std::sync::LazyLock<Fonts> = std::sync::LazyLock::new(|| Fonts::load(None).unwrap());
    &FONTS
}

fn png(path: &Path, width: u32, height: u32, rgb: &[u8]) {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(rgb).unwrap();
    writer.finish().unwrap();
    std::fs::write(path, file).unwrap();
}

/// A picture in tiles of these colours.
fn tiled(path: &Path, tiles: &[[u8; 3]]) {
    let (width, height) = (96, 64);
    let tile = |x: u32, y: u32| tiles[((x / 12 + y / 8 * 3) as usize) % tiles.len()];
    let rgb: Vec<u8> = (0..height)
        .flat_map(|y| (0..width).flat_map(move |x| tile(x, y)))
        .collect();
    png(path, width, height, &rgb);
}

fn card(path: &Path, colours: Colours) -> Card {
    Card {
        headline: "Warm feet in any weather".into(),
        body: "Light and dry.".into(),
        brand: "Acme Boots".into(),
        colours,
        backdrop: Some(Backdrop {
            name: path.display().to_string(),
            path: path.to_owned(),
        }),
        ..Card::default()
    }
}

fn pixel(rgb: &[u8], at: usize) -> Colour {
    Colour::new(rgb[at * 3], rgb[at * 3 + 1], rgb[at * 3 + 2])
}

/// The lowest contrast between the text's colour and the pixels right beside its letters: of each pixel that has the text's colour, to
/// those two pixels away which letters do not touch.
fn lowest_contrast(card: &Card, width: u32, height: u32) -> f64 {
    let written = card.render(fonts(), width, height).unwrap();
    let text = card
        .colours
        .text
        .readable_on(card.colours.background, Colour::LEAST_CONTRAST);
    let (w, h) = (width as usize, height as usize);
    let is_text = |at: usize| pixel(&written.rgb, at) == text;
    let mut lowest = f64::MAX;
    for y in 4..h - 4 {
        for x in 4..w - 4 {
            if !is_text(y * w + x) {
                continue;
            }
            for (dx, dy) in [(-4_i32, 0), (4, 0), (0, -4), (0, 4)] {
                let at = ((y as i32 + dy) as usize) * w + (x as i32 + dx) as usize;
                // A pixel is ground if its neighbours are alike: letters have soft edges.
                let around = [at - 1, at + 1, at - w, at + w];
                let one = pixel(&written.rgb, at);
                let is_even = around.iter().all(|other| pixel(&written.rgb, *other) == one);
                if is_even && one != text {
                    lowest = lowest.min(one.contrast(text));
                }
            }
        }
    }
    lowest
}

#[test]
fn a_picture_that_is_quiet_and_dark_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dark.png");
    tiled(&path, &[[12, 20, 30]]);
    let picture = card(&path, Colours::default())
        .render(fonts(), 1200, 628)
        .unwrap();
    assert!(picture.notes.is_empty(), "{:?}", picture.notes);
    // The corner on the lower right has no text.
    let corner = pixel(&picture.rgb, 1200 * 620 + 1190);
    assert_eq!(corner, Colour::new(12, 20, 30));
}

#[test]
fn a_bright_picture_is_covered_as_far_as_the_texts_need_and_not_further() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bright.png");
    tiled(&path, &[[250, 250, 250], [240, 200, 40]]);
    let card = card(&path, Colours::default());
    let picture = card.render(fonts(), 1200, 628).unwrap();
    assert!(picture.notes[0].contains("lie on it"), "{:?}", picture.notes);
    let lowest = lowest_contrast(&card, 1200, 628);
    assert!((4.5..5.2).contains(&lowest), "{lowest}");
}

#[test]
fn a_picture_fills_every_shape_from_its_middle() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("dark.png");
    tiled(&path, &[[12, 20, 30]]);
    for (width, height) in [(1200, 628), (628, 1200), (300, 250), (728, 90)] {
        let picture = card(&path, Colours::default())
            .render(fonts(), width, height)
            .unwrap();
        let last = (width * height) as usize - 1;
        for at in [0, width as usize - 1, last - width as usize + 1, last] {
            assert_eq!(
                pixel(&picture.rgb, at),
                Colour::new(12, 20, 30),
                "{width}×{height}"
            );
        }
    }
}

#[test]
fn a_file_that_is_no_picture_names_itself() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.png");
    let card = card(&path, Colours::default());
    for bytes in [None, Some(&b"<svg/>"[..])] {
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).unwrap();
        }
        let error = card.render(fonts(), 300, 250).unwrap_err();
        assert!(matches!(error, RenderError::Backdrop { .. }), "{error}");
        assert!(error.to_string().contains("other.png"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn every_text_has_its_contrast_on_the_pixels_of_any_picture(
        tiles in prop::collection::vec(any::<[u8; 3]>(), 1..6),
        background in any::<[u8; 3]>(),
        text in any::<[u8; 3]>(),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("any.png");
        tiled(&path, &tiles);
        let colour = |[red, green, blue]: [u8; 3]| Colour::new(red, green, blue);
        let colours = Colours { background: colour(background), text: colour(text), ..Colours::default() };
        let lowest = lowest_contrast(&card(&path, colours), 600, 314);
        prop_assert!(lowest >= 4.4, "{lowest}");
    }
}
