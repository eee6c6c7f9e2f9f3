//! Renders cards in ten languages and six sizes into one picture: `cargo run -p limbic-render --example contact-sheet OUT.jpg`.
//!
//! Each language has one row. The cards are drawn in their real sizes and shown smaller.

use std::error::Error;
use std::path::PathBuf;

use limbic_fit::{ImageType, format};
use limbic_render::{Card, Colour, Colours, Fonts, Mark, Picture};

/// Language, brand, headline, body, button.
const TEXTS: [[&str; 5]; 10] = [
    [
        "en",
        "Puddle Boots",
        "Warm feet in any weather",
        "Light, dry and made for long walks.",
        "Try a pair",
    ],
    [
        "de",
        "Pfützenstiefel",
        "Warme Füße bei jedem Wetter",
        "Leicht, trocken und für lange Wege gemacht.",
        "Jetzt anprobieren",
    ],
    [
        "es",
        "Botas Charco",
        "Pies calientes con cualquier tiempo",
        "Ligeras, secas y hechas para caminar mucho.",
        "Pruébalas",
    ],
    [
        "ru",
        "Сапоги «Лужа»",
        "Тёплые ноги в любую погоду",
        "Лёгкие, сухие, для долгих прогулок.",
        "Примерить",
    ],
    [
        "el",
        "Μπότες Λακκούβα",
        "Ζεστά πόδια με κάθε καιρό",
        "Ελαφριές, στεγνές, για μεγάλους περιπάτους.",
        "Δοκιμάστε τες",
    ],
    [
        "ar",
        "أحذية بركة",
        "أقدام دافئة في كل طقس!",
        "خفيفة وجافة ومصممة للمشي الطويل.",
        "جرّبها الآن",
    ],
    [
        "he",
        "מגפי שלולית",
        "רגליים חמות בכל מזג אוויר!",
        "קלים, יבשים ומתאימים להליכה ארוכה.",
        "לנסות זוג",
    ],
    [
        "hi",
        "पडल बूट्स",
        "हर मौसम में गर्म पैर",
        "हल्के, सूखे और लंबी सैर के लिए बने।",
        "आज़माकर देखें",
    ],
    [
        "ja",
        "みずたまりブーツ",
        "どんな天気でも足が温かい",
        "軽くて濡れない、長い散歩のための一足。☔",
        "試してみる",
    ],
    [
        "ko",
        "웅덩이 부츠",
        "어떤 날씨에도 따뜻한 발",
        "가볍고 젖지 않는, 긴 산책을 위한 신발. 🥾",
        "신어 보기",
    ],
];

/// Platform, format and image of the limits file.
const SIZES: [[&str; 3]; 6] = [
    ["x", "post", "landscape"],
    ["meta", "feed-image", "square"],
    ["meta", "story-image", "story"],
    ["google-ads", "uploaded-display", "rectangle"],
    ["google-ads", "uploaded-display", "skyscraper"],
    ["google-ads", "uploaded-display", "leaderboard"],
];

/// Background, text, accent of each row.
const COLOURS: [[&str; 3]; 5] = [
    ["#162b3e", "#ffffff", "#ffb42e"],
    ["#f4efe6", "#2b2118", "#b23a1e"],
    ["#0f3d2e", "#f2f7ef", "#ffd65a"],
    ["#fdf2f4", "#4a1226", "#a31545"],
    ["#e8f1fb", "#0d2a4a", "#0b5cad"],
];

/// The height of a row, and the space between cards, in pixels.
const ROW: u32 = 172;
const GAP: u32 = 10;

/// The largest file, in bytes: the sheet is part of the documentation.
const LARGEST: usize = 400_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let out = arguments
        .next()
        .ok_or("name the file to write, as in contact-sheet OUT.jpg [FONTS]")?;
    let fonts = Fonts::load(arguments.next().as_deref())?;
    let mut rows = Vec::new();
    for (row, [language, brand, headline, body, button]) in TEXTS.iter().enumerate() {
        let [background, text, accent] = COLOURS[row % COLOURS.len()];
        let card = Card {
            backdrop: None,
            headline: (*headline).to_owned(),
            body: (*body).to_owned(),
            button: (*button).to_owned(),
            brand: (*brand).to_owned(),
            language: (*language).to_owned(),
            mark: Mark::default(),
            colours: Colours {
                background: background.parse()?,
                text: text.parse()?,
                accent: accent.parse()?,
                correct: true,
            },
        };
        let mut pictures = Vec::new();
        for [platform, of, name] in SIZES {
            let format = format(platform, of)?;
            let image = format.images.iter().find(|image| image.name == name);
            let image = image.ok_or("the limits file has no such image")?;
            let picture = card.render(&fonts, image.width, image.height)?;
            for kind in [ImageType::Png, ImageType::Jpeg] {
                picture.encode(kind, Some(image.bytes))?;
            }
            pictures.push(smaller(&picture));
        }
        rows.push(pictures);
    }
    let sheet = sheet(&rows);
    let kind = match out.extension().and_then(|extension| extension.to_str()) {
        Some("jpg" | "jpeg") => ImageType::Jpeg,
        Some("webp") => ImageType::Webp,
        _ => ImageType::Png,
    };
    std::fs::write(&out, sheet.encode(kind, Some(LARGEST))?)?;
    Ok(())
}

/// The picture as it is shown: no higher than a row, and strips no wider than twice the row.
fn smaller(picture: &Picture) -> Picture {
    let by_height = f64::from(ROW) / f64::from(picture.height);
    let by_width = f64::from(ROW) * 1.9 / f64::from(picture.width);
    let scale = by_height.min(by_width).min(1.0);
    let side = |pixels: u32| ((f64::from(pixels) * scale).round() as u32).max(1);
    let (width, height) = (side(picture.width), side(picture.height));
    let mut rgb = Vec::with_capacity((width * height * 3) as usize);
    for y in 0..height {
        for x in 0..width {
            let from = |at: u32| (f64::from(at) / scale) as u32;
            let (left, right) = (from(x), from(x + 1).clamp(from(x) + 1, picture.width));
            let (top, bottom) = (from(y), from(y + 1).clamp(from(y) + 1, picture.height));
            for part in 0..3 {
                let rows = (top..bottom).flat_map(|row| (left..right).map(move |column| (row, column)));
                let values = rows.map(|(row, column)| {
                    u32::from(picture.rgb[((row * picture.width + column) * 3 + part) as usize])
                });
                let (sum, count) = values.fold((0, 0), |(sum, count), value| (sum + value, count + 1));
                rgb.push((sum / count.max(1)) as u8);
            }
        }
    }
    Picture {
        width,
        height,
        rgb,
        notes: Vec::new(),
        mark: Mark::default(),
    }
}

/// All pictures on one ground.
fn sheet(rows: &[Vec<Picture>]) -> Picture {
    let ground = Colour::new(0xdd, 0xdd, 0xdd);
    let widths = rows
        .iter()
        .map(|row| row.iter().map(|one| one.width + GAP).sum::<u32>());
    let width = widths.max().unwrap_or(0) + GAP;
    let height = rows.len() as u32 * (ROW + GAP) + GAP;
    let pixel = [ground.red, ground.green, ground.blue];
    let mut rgb: Vec<u8> = pixel
        .iter()
        .copied()
        .cycle()
        .take((width * height * 3) as usize)
        .collect();
    for (number, row) in rows.iter().enumerate() {
        let mut left = GAP;
        let top = GAP + number as u32 * (ROW + GAP);
        for picture in row {
            let line = (picture.width * 3) as usize;
            let below = (ROW - picture.height) / 2;
            for (y, pixels) in picture.rgb.chunks_exact(line).enumerate() {
                let at = (((top + below + y as u32) * width + left) * 3) as usize;
                rgb[at..at + line].copy_from_slice(pixels);
            }
            left += picture.width + GAP;
        }
    }
    Picture {
        width,
        height,
        rgb,
        notes: Vec::new(),
        mark: Mark::default(),
    }
}
