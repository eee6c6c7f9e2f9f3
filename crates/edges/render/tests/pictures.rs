//! Pictures are legible, within their limits, and the same each time. The tests need the Debian packages fonts-noto-core,
//! fonts-noto-cjk and fonts-noto-color-emoji, as rendering does.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use limbic_fit::{ImageType, formats};
use limbic_render::{Card, Colour, Colours, Fonts, Picture, RenderError};
use proptest::prelude::*;

fn fonts() -> Fonts {
    Fonts::load(None).unwrap()
}

fn card(headline: &str) -> Card {
    Card {
        headline: headline.into(),
        body: "Light, dry and made for long walks.".into(),
        button: "Try a pair".into(),
        brand: "Puddle Boots".into(),
        ..Card::default()
    }
}

/// How many pixels have exactly this colour.
fn count(picture: &Picture, colour: Colour) -> usize {
    let wanted = [colour.red, colour.green, colour.blue];
    picture
        .rgb
        .chunks_exact(3)
        .filter(|pixel| *pixel == wanted)
        .count()
}

#[test]
fn every_image_size_of_every_platform_is_rendered_within_its_file_size() {
    let fonts = fonts();
    let mut rendered = std::collections::BTreeSet::new();
    for image in formats().iter().flat_map(|format| &format.images) {
        if !rendered.insert((image.width, image.height, image.bytes)) {
            continue;
        }
        let picture = card("Warm feet in any weather")
            .render(&fonts, image.width, image.height)
            .unwrap();
        assert_eq!(picture.rgb.len(), (image.width * image.height * 3) as usize);
        for kind in &image.types {
            let file = picture.encode(*kind, Some(image.bytes)).unwrap();
            let magic: &[u8] = match kind {
                ImageType::Png => b"\x89PNG",
                ImageType::Jpeg => b"\xff\xd8\xff",
                ImageType::Webp => b"RIFF",
            };
            assert!(file.starts_with(magic));
        }
    }
    assert!(rendered.len() > 15, "{rendered:?}");
}

#[test]
fn a_png_has_the_size_and_the_pixels_of_the_picture() {
    let picture = card("Warm feet").render(&fonts(), 300, 250).unwrap();
    let file = picture.encode(ImageType::Png, None).unwrap();
    let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!((info.width, info.height), (300, 250));
    assert_eq!(pixels, picture.rgb);
}

#[test]
fn a_file_that_is_too_large_is_refused_and_jpeg_lowers_its_quality() {
    let picture = card("Warm feet in any weather")
        .render(&fonts(), 1200, 628)
        .unwrap();
    let best = picture.encode(ImageType::Jpeg, None).unwrap().len();
    let less = picture.encode(ImageType::Jpeg, Some(best - 1)).unwrap().len();
    assert!(less < best);
    let error = picture
        .encode(ImageType::Png, Some(1_000))
        .unwrap_err()
        .to_string();
    assert!(error.contains("1000") && error.contains("use JPEG"), "{error}");
}

#[test]
fn every_script_has_glyphs() {
    let fonts = fonts();
    assert_eq!(
        fonts.missing(),
        [],
        "install the Debian packages that are named here"
    );
    for text in [
        "Füße größer",
        "Тёплые ноги",
        "Ζεστά πόδια",
        "أقدام دافئة",
        "רגליים חמות",
        "हर मौसम",
        "প্রতিটি ঋতু",
        "ਹਰ ਮੌਸਮ",
        "எந்த வானிலை",
        "สวัสดี",
        "温かい足",
        "温暖的脚",
        "따뜻한 발",
        "თბილი",
        "ջերմ",
        "ሞቅ",
        "🥾☔👨‍👩‍👧",
        "1️⃣ ❤️ 🇩🇪",
    ] {
        let picture = card(text).render(&fonts, 1200, 628).unwrap();
        let empty = Card {
            headline: "·".into(),
            ..card(text)
        }
        .render(&fonts, 1200, 628)
        .unwrap();
        assert_ne!(picture.rgb, empty.rgb, "{text}");
    }
}

#[test]
fn a_character_without_a_glyph_is_an_error_that_names_it() {
    let error = card("Runes \u{16a0} and \u{13000}")
        .render(&fonts(), 1200, 628)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("U+") && error.contains("Debian package"),
        "{error}"
    );
}

#[test]
fn a_folder_without_fonts_is_an_error_that_says_what_to_install() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let error = Fonts::load(Some(&folder)).unwrap_err().to_string();
    assert!(
        error.contains("apt-get install fonts-noto-core") && error.contains("src"),
        "{error}"
    );
}

#[test]
fn what_does_not_fit_is_refused_or_left_out_with_a_note() {
    let fonts = fonts();
    let long = card(&"Warm feet in any weather, on every street. ".repeat(30)).render(&fonts, 300, 250);
    assert!(matches!(
        long,
        Err(RenderError::DoesNotFit { part: "headline", .. })
    ));
    let mut card = card("Warm feet");
    card.body = "Light and dry. ".repeat(60);
    let picture = card.render(&fonts, 300, 250).unwrap();
    assert_eq!(
        picture.notes,
        ["The body does not fit 300×250 pixels in a legible size: it is left out."]
    );
    assert!(matches!(
        card.render(&fonts, 10, 10),
        Err(RenderError::Size { .. })
    ));
    card.headline = " \n".into();
    assert!(matches!(card.render(&fonts, 300, 250), Err(RenderError::Empty)));
}

#[test]
fn markup_in_a_text_is_text() {
    let hostile =
        "</text><rect width=\"9999\" height=\"9999\" fill=\"#ff00ff\"/> & <image href=\"/etc/passwd\"/>";
    let picture = card(hostile).render(&fonts(), 1200, 628).unwrap();
    assert_eq!(count(&picture, Colour::new(255, 0, 255)), 0);
}

#[test]
fn colours_that_are_hard_to_read_are_corrected_or_refused() {
    let grey = Colour::new(0x80, 0x80, 0x80);
    let mut card = card("Warm feet");
    card.colours = Colours {
        background: grey,
        text: Colour::new(0x90, 0x90, 0x90),
        ..Colours::default()
    };
    let picture = card.render(&fonts(), 1200, 628).unwrap();
    assert!(
        picture
            .notes
            .iter()
            .any(|note| note.contains("#909090 is hard to read on #808080")),
        "{:?}",
        picture.notes
    );
    card.colours.correct = false;
    let error = card.render(&fonts(), 1200, 628).unwrap_err().to_string();
    assert!(error.contains("#909090") && error.contains("4.5"), "{error}");
}

#[test]
fn the_same_card_gives_the_same_pixels() {
    let one = card("Warm feet 🥾").render(&fonts(), 728, 90).unwrap();
    assert_eq!(one, card("Warm feet 🥾").render(&fonts(), 728, 90).unwrap());
}

/// Values of WCAG's own examples and of its definition: black on white is 21, and #767676 is the lightest grey that passes on white.
#[test]
fn contrast_is_that_of_wcag() {
    let ratio = |colour: &str| colour.parse::<Colour>().unwrap().contrast(Colour::WHITE);
    assert!((ratio("#000000") - 21.0).abs() < 1e-9);
    assert!((ratio("#ffffff") - 1.0).abs() < 1e-9);
    assert!(ratio("#767676") >= 4.5 && ratio("#777777") < 4.5);
    assert!((ratio("#ff0000") - 3.998).abs() < 1e-3, "{}", ratio("#ff0000"));
}

proptest! {
    #[test]
    fn a_corrected_colour_is_readable_on_every_ground(text in any::<[u8; 3]>(), ground in any::<[u8; 3]>()) {
        let [text, ground] = [text, ground].map(|[red, green, blue]| Colour::new(red, green, blue));
        let corrected = text.readable_on(ground, Colour::LEAST_CONTRAST);
        prop_assert!(corrected.contrast(ground) >= Colour::LEAST_CONTRAST);
        let enough = text.contrast(ground) >= Colour::LEAST_CONTRAST;
        prop_assert_eq!(enough, corrected == text);
        prop_assert_eq!(text.to_string().parse::<Colour>().unwrap(), text);
    }
}
