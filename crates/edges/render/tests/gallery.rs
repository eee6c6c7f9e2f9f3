//! A gallery draws a card once, within the platform's limits, and its files say how they were made.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::io::Cursor;
use std::time::{Duration, SystemTime};

use limbic_fit::{Image, ImageType};
use limbic_render::{Card, DigitalSource, Fonts, Gallery, GalleryError, Mark};
use sha2::{Digest as _, Sha256};

const DAY: Duration = Duration::from_hours(24);

fn card(headline: &str) -> Card {
    Card {
        headline: headline.into(),
        body: "Light & dry".into(),
        button: "Try a pair".into(),
        brand: "Puddle Boots".into(),
        mark: Mark {
            source: DigitalSource::CompositeWithTrainedAlgorithmicMedia,
            alt: "Puddle Boots. Light & dry.".into(),
        },
        ..Card::default()
    }
}

fn landscape(bytes: usize) -> Image {
    Image {
        name: "landscape".into(),
        width: 1200,
        height: 628,
        bytes,
        types: vec![ImageType::Png, ImageType::Jpeg],
    }
}

/// The names of the pictures in a folder.
fn files(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().map(Result::unwrap);
    let files = entries.filter(|entry| entry.metadata().unwrap().is_file());
    let mut names: Vec<String> = files
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_card_is_drawn_once_under_the_hash_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let gallery = || Gallery::new(folder.path().join("pictures"), 30 * DAY);
    let drawn = gallery()
        .draw(&card("Warm feet"), &landscape(3_000_000), now)
        .unwrap();
    let path = folder.path().join("pictures").join(&drawn.file);
    let bytes = std::fs::read(&path).unwrap();
    let said: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&drawn.sha256[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    assert_eq!(said, Sha256::digest(&bytes).to_vec());
    assert_eq!(drawn.sha256, drawn.sha256.to_lowercase());
    assert_eq!(drawn.file, format!("{}.png", drawn.sha256));
    assert_eq!(
        (drawn.bytes, drawn.media_type.as_str()),
        (bytes.len() as u64, "image/png")
    );
    // What is in the folder is used as it is, also by another process with other fonts.
    let marked = vec![0; bytes.len()];
    std::fs::write(&path, &marked).unwrap();
    assert_eq!(
        gallery()
            .draw(&card("Warm feet"), &landscape(3_000_000), now)
            .unwrap(),
        drawn
    );
    assert_eq!(std::fs::read(&path).unwrap(), marked);
    // A file that is not whole is drawn again, to the same bytes.
    std::fs::write(&path, &bytes[..99]).unwrap();
    assert_eq!(
        gallery()
            .draw(&card("Warm feet"), &landscape(3_000_000), now)
            .unwrap(),
        drawn
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    for other in [
        card("Dry feet"),
        Card {
            language: "ja".into(),
            ..card("Warm feet")
        },
        Card {
            mark: Mark::default(),
            ..card("Warm feet")
        },
    ] {
        gallery().draw(&other, &landscape(3_000_000), now).unwrap();
    }
    assert_eq!(
        files(&folder.path().join("pictures/cards")).len(),
        4,
        "each card has an entry of its own"
    );
}

#[test]
fn the_first_type_within_the_limit_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new(folder.path().to_owned(), DAY);
    let now = SystemTime::UNIX_EPOCH + 20_000 * DAY;
    let png = gallery
        .draw(&card("Warm feet"), &landscape(3_000_000), now)
        .unwrap();
    assert_eq!(png.media_type, "image/png");
    let least = usize::try_from(png.bytes).unwrap() - 1;
    let jpeg_alone = Image {
        types: vec![ImageType::Jpeg],
        ..landscape(3_000_000)
    };
    let jpeg = gallery.draw(&card("Warm feet"), &jpeg_alone, now).unwrap();
    if usize::try_from(jpeg.bytes).unwrap() <= least {
        let smaller = gallery.draw(&card("Warm feet"), &landscape(least), now).unwrap();
        assert_eq!(smaller.media_type, "image/jpeg");
    }
    let error = gallery
        .draw(&card("Warm feet"), &landscape(500), now)
        .unwrap_err();
    assert!(
        error.to_string().contains("the limit is 500") && !error.is_of_the_machine(),
        "{error}"
    );
}

#[test]
fn what_nobody_asked_for_in_a_long_time_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let gallery = Gallery::new(folder.path().to_owned(), 30 * DAY);
    let day = |day: u32| SystemTime::UNIX_EPOCH + (20_000 + day) * DAY;
    let first = gallery
        .draw(&card("Warm feet"), &landscape(3_000_000), day(0))
        .unwrap();
    let second = gallery
        .draw(&card("Dry feet"), &landscape(3_000_000), day(0))
        .unwrap();
    gallery
        .draw(&card("Warm feet"), &landscape(3_000_000), day(20))
        .unwrap();
    assert_eq!(files(folder.path()).len(), 2);
    gallery
        .draw(&card("Warm feet"), &landscape(3_000_000), day(40))
        .unwrap();
    assert_eq!(files(folder.path()), [first.file]);
    assert_eq!(files(&folder.path().join("cards")).len(), 1);
    let again = gallery
        .draw(&card("Dry feet"), &landscape(3_000_000), day(41))
        .unwrap();
    assert_eq!(again, second);
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a-file");
    std::fs::write(&file, "x").unwrap();
    let gallery = Gallery::new(file, DAY);
    let error = gallery
        .draw(&card("Warm feet"), &landscape(3_000_000), SystemTime::UNIX_EPOCH)
        .unwrap_err();
    assert!(matches!(error, GalleryError::File(_)) && error.is_of_the_machine());
    assert!(error.to_string().contains("a-file"), "{error}");
}

/// Each type of file carries the same packet, where readers of XMP look for it.
#[test]
fn every_file_says_how_it_was_made_and_what_is_on_it() {
    let picture = card("Warm feet")
        .render(&Fonts::load(None).unwrap(), 300, 250)
        .unwrap();
    let packet = |kind: ImageType| -> String {
        let file = picture.encode(kind, None).unwrap();
        match kind {
            ImageType::Png => {
                let reader = png::Decoder::new(Cursor::new(file)).read_info().unwrap();
                let texts = &reader.info().utf8_text;
                let text = texts
                    .iter()
                    .find(|text| text.keyword == "XML:com.adobe.xmp")
                    .unwrap();
                assert!(!text.compressed);
                text.get_text().unwrap()
            }
            ImageType::Jpeg => {
                let start = b"http://ns.adobe.com/xap/1.0/\0";
                let at = file
                    .windows(start.len())
                    .position(|window| window == start)
                    .unwrap();
                let [marker @ .., high, low] = &file[..at] else {
                    panic!("no segment")
                };
                assert_eq!(marker[marker.len() - 2..], [0xff, 0xe1]);
                let length = usize::from(u16::from_be_bytes([*high, *low]));
                let packet = &file[at + start.len()..at - 2 + length];
                String::from_utf8(packet.to_vec()).unwrap()
            }
            ImageType::Webp => {
                let mut decoder = image_webp::WebPDecoder::new(Cursor::new(file)).unwrap();
                String::from_utf8(decoder.xmp_metadata().unwrap().unwrap()).unwrap()
            }
        }
    };
    let png = packet(ImageType::Png);
    assert!(
        png.contains("digitalsourcetype/compositeWithTrainedAlgorithmicMedia\""),
        "{png}"
    );
    assert!(png.contains(">Puddle Boots. Light &amp; dry.</rdf:li>"), "{png}");
    assert_eq!(packet(ImageType::Jpeg), png);
    assert_eq!(packet(ImageType::Webp), png);
}
