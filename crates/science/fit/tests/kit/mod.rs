//! Texts as advertisers, models and mistakes write them: words of many scripts, emoji, links, symbols, and stray white space.

use limbic_domain::random::Random;

/// What texts are put together from.
pub(crate) const PARTS: [&str; 86] = [
    "Warm",
    "feet",
    "in",
    "any",
    "weather",
    "Try",
    "a",
    "pair",
    "tonight",
    "for",
    "everyone",
    "who",
    "stayed",
    "Popcorn",
    "that",
    "is",
    "hot",
    "when",
    "the",
    "second",
    "half",
    "begins",
    "don't",
    "well-made",
    "24/7",
    "3.5",
    "50%",
    "€9.99",
    "Straße",
    "über",
    "naïve",
    "cafe\u{301}",
    "année",
    "¿Listo?",
    "¡Vamos!",
    "ação",
    "São",
    "привет",
    "мир",
    "Ελλάδα",
    "مرحبا",
    "بالعالم",
    "שלום",
    "नमस्ते",
    "दुनिया",
    "สวัสดีชาวโลก",
    "東京",
    "大阪で会いましょう",
    "こんにちは、世界！",
    "カフェ",
    "한국어",
    "안녕하세요",
    "中文广告",
    "今天就来试试。",
    "👍",
    "👍🏽",
    "👨‍👩‍👧‍👦",
    "🇩🇪",
    "1️⃣",
    "❤️",
    "☺",
    "🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "⭐",
    "★",
    "•",
    "#sale",
    "@brand",
    "{offer}",
    "<b>",
    "!",
    "!!",
    "¡",
    "!?",
    ",",
    ".",
    "…",
    "—",
    "(",
    ")",
    "https://example.com/spring",
    "https://shop.example.com/a/very/long/path/to/a/pair-of-boots",
    "http://example.org",
    "example.com",
    "a.b",
    "https://exämple.de/ü?q=1&r=(2)",
    "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen",
];

/// What stands between the parts.
const GAPS: [&str; 8] = [" ", " ", " ", " ", " ", "  ", "", "\u{a0}\n"];

/// A text of 0 to 90 parts; short ones are more frequent.
pub(crate) fn text(random: &mut Random) -> String {
    let most = *random.one_of(&[3, 8, 20, 40, 90]);
    let mut text = String::new();
    for _ in 0..random.below(most + 1) {
        text.push_str(random.one_of::<&str>(&PARTS));
        text.push_str(random.one_of::<&str>(&GAPS));
    }
    text
}
