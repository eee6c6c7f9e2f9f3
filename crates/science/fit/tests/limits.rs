//! Every text that is made to fit is within the platform's limits, counted by rules that are written a second time here.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

mod kit;

use std::collections::BTreeSet;

use limbic_domain::random::Random;
use limbic_fit::{AdFormat, Refusal, Repair, Unit, format, formats, weighted_length};
use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization as _;

/// How many variants are generated for each format.
const VARIANTS: usize = 100_000;

/// The platform's counting rule, not by the code of the crate.
fn count(unit: Unit, text: &str) -> usize {
    match unit {
        Unit::Bytes => text.chars().map(char::len_utf8).sum(),
        Unit::Utf16 => text
            .chars()
            .map(|c| if u32::from(c) > 0xffff { 2 } else { 1 })
            .sum(),
        Unit::Graphemes => bstr::ByteSlice::graphemes(text.as_bytes()).count(),
        Unit::Width => text
            .chars()
            .map(|c| if is_wide(u32::from(c)) { 2 } else { 1 })
            .sum(),
        Unit::X => on_x(text),
    }
}

/// The blocks of the Unicode Standard whose characters Google Ads and Microsoft Advertising call double-width: Chinese, Japanese
/// and Korean letters and their full-width forms.
fn is_wide(code: u32) -> bool {
    matches!(code, 0x1100..=0x115f | 0x2e80..=0x303e | 0x3041..=0x33ff | 0x3400..=0x4dbf | 0x4e00..=0x9fff
        | 0xa960..=0xa97f | 0xac00..=0xd7a3 | 0xf900..=0xfaff | 0xfe30..=0xfe6f | 0xff01..=0xff60 | 0xffe0..=0xffe6
        | 0x20000..=0x3fffd)
}

/// The weighted length after the published configuration, version 3: links as X shows them, emoji as two, the rest by ranges.
fn on_x(text: &str) -> usize {
    /// The emoji of [`kit::PARTS`], the longest first: a beginning of one is not counted as one.
    const EMOJI: [&str; 11] = ["🏴󠁧󠁢󠁥󠁮󠁧󠁿", "👨‍👩‍👧‍👦", "👍🏽", "🇩🇪", "1️⃣", "❤️", "👍", "☺", "⭐", "⁉", "‼"];
    let mut rest: &str = &text.nfc().collect::<String>();
    let mut total = 0;
    while let Some(first) = rest.chars().next() {
        let link = rest.starts_with("https://") || rest.starts_with("http://");
        let length = if link {
            total += 23;
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || ":/.-".contains(c)))
                .unwrap_or(rest.len())
        } else if let Some(emoji) = EMOJI.iter().find(|emoji| rest.starts_with(**emoji)) {
            total += 2;
            emoji.len()
        } else {
            total += match u32::from(first) {
                0..=4351 | 8192..=8205 | 8208..=8223 | 8242..=8247 => 1,
                _ => 2,
            };
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    total
}

fn assert_within(format: &AdFormat, name: &str, text: &str, from: &str) {
    let field = format.field(name).unwrap();
    for limit in &field.limits {
        let length = count(limit.unit, text);
        assert!(
            length <= limit.max,
            "{}, {name}: {length} {} of {}: {text:?} from {from:?}",
            format.name(),
            limit.unit,
            limit.max
        );
    }
    let forbidden = &field.forbidden;
    assert!(
        !text.chars().any(|c| forbidden.characters.contains(c)),
        "{text:?}"
    );
    let marks = text.matches(['!', '！', '¡']).count();
    assert!(
        forbidden.exclamations.is_none_or(|most| marks <= most),
        "{text:?}"
    );
    if forbidden.emoji {
        let found = ["👍", "👨", "🇩", "⃣", "\u{fe0f}", "☺", "🏴", "⭐"];
        assert!(!found.iter().any(|one| text.contains(one)), "{text:?}");
    }
}

#[test]
fn every_one_of_100_000_variants_of_every_format_is_within_its_limits() {
    std::thread::scope(|scope| {
        for format in formats().iter().filter(|format| !format.text.is_empty()) {
            scope.spawn(|| check_variants(format));
        }
    });
}

fn check_variants(format: &AdFormat) {
    let mut random = Random::for_name(18, &format.name());
    let names: Vec<&str> = format.text.keys().map(String::as_str).collect();
    let (mut fitting, mut shortened, mut refused) = (0, 0, 0);
    for _ in 0..VARIANTS {
        let name = *random.one_of::<&str>(&names);
        let text = kit::text(&mut random);
        match format.fit(name, &text) {
            Ok(fitted) => {
                fitting += 1;
                shortened += usize::from(fitted.repairs.contains(&Repair::Shortened));
                assert_within(format, name, &fitted.text, &text);
            }
            Err(_) => refused += 1,
        }
    }
    // The property is not empty: many texts fit, are shortened, and are refused.
    assert!(fitting > VARIANTS / 10, "{}: {fitting} fit", format.name());
    let cuts = format.text.values().any(|field| field.cut);
    assert!(
        !cuts || shortened > VARIANTS / 1_000,
        "{}: {shortened}",
        format.name()
    );
    assert!(refused > 0, "{}: none is refused", format.name());
}

/// The weights were computed with the crate `twitter-text` 0.3.1, configuration version 3, on 2026-11-30: a second
/// implementation by another author. It needs a C++ compiler and a parser generator, so it is not a dependency.
#[test]
fn the_weighted_length_is_that_of_another_implementation_or_more() {
    let mut equal = 0;
    let lines = include_str!("data/x-weights.tsv").lines().skip(1);
    let cases: Vec<(usize, String)> = lines
        .map(|line| {
            let (weight, text) = line.split_once('\t').unwrap();
            (weight.parse().unwrap(), text.replace("\\n", "\n"))
        })
        .collect();
    for (weight, text) in &cases {
        let ours = weighted_length(text);
        assert!(ours >= *weight, "{ours} < {weight}: {text:?}");
        // What may be a link and is none counts more, as flags and keycaps do, and nothing else.
        let ends = ['.', '。', '…', '!', '?', ','];
        let dotted = |word: &str| word.trim_matches(ends).contains(['.', '。']);
        let doubtful = text.split_whitespace().any(dotted) || text.contains(['🇩', '\u{20e3}', '🏴']);
        assert!(doubtful || ours == *weight, "{ours} > {weight}: {text:?}");
        equal += usize::from(ours == *weight);
    }
    assert!(equal * 3 > cases.len(), "{equal} of {}", cases.len());
}

#[test]
fn the_file_of_limits_is_complete() {
    let names: BTreeSet<String> = formats().iter().map(AdFormat::name).collect();
    assert_eq!(names.len(), formats().len(), "names are unique");
    for format in formats() {
        let name = format.name();
        assert!(format.document.len() > 20, "{name} names its source");
        let day: Vec<usize> = format.read.split('-').map(str::len).collect();
        assert_eq!(day, [4, 2, 2], "{name} was read on {}", format.read);
        assert!(!format.text.is_empty() || !format.images.is_empty(), "{name}");
        for (field, limits) in &format.text {
            assert!(!limits.limits.is_empty(), "{name}, {field}");
            assert!(
                limits.limits.iter().all(|limit| limit.max >= 10),
                "{name}, {field}"
            );
        }
        let sizes: BTreeSet<&str> = format.images.iter().map(|image| image.name.as_str()).collect();
        assert_eq!(sizes.len(), format.images.len(), "{name}");
        for image in &format.images {
            assert!(image.width.min(image.height) >= 50 && image.bytes >= 100_000 && !image.types.is_empty());
        }
    }
}

#[test]
fn an_error_says_what_to_do() {
    let unknown = format("google", "search").unwrap_err().to_string();
    assert!(
        unknown.contains("google/search") && unknown.contains("google-ads/responsive-search"),
        "{unknown}"
    );
    let search = format("google-ads", "responsive-search").unwrap();
    let field = search.fit("title", "x").unwrap_err().to_string();
    assert!(
        field.contains("no field `title`") && field.contains("headline"),
        "{field}"
    );
    let long = search
        .fit("headline", "Acme Boots keep your feet warm in any weather")
        .unwrap_err();
    assert_eq!(
        long.to_string(),
        "the text has 45 columns, the limit is 30: a headline or name is not cut, so write a shorter one"
    );
    assert_eq!(search.fit("body", "👍 ★ •"), Err(Refusal::Empty));
}

#[test]
fn symbols_that_a_platform_forbids_are_removed_before_the_text_is_cut() {
    let search = format("google-ads", "responsive-search").unwrap();
    let fitted = |field, text| search.fit(field, text).unwrap().text;
    assert_eq!(fitted("headline", "Acme  Boots!"), "Acme Boots.");
    assert_eq!(fitted("headline", "👍 Acme ★ Boots ❤️"), "Acme Boots");
    assert_eq!(fitted("body", "Hot! Really hot!"), "Hot! Really hot.");
    let tiktok = format("tiktok", "image").unwrap();
    assert_eq!(
        tiktok.fit("body", "Try #boots {now}").unwrap().text,
        "Try boots now"
    );
    let x = format("x", "post").unwrap();
    assert_eq!(x.fit("body", "Hot! 👍 #boots").unwrap().text, "Hot! 👍 #boots");
}

#[test]
fn a_link_is_not_cut_in_two() {
    let x = format("x", "post").unwrap();
    let text = format!(
        "{} https://example.com/{} and more",
        "word ".repeat(46),
        "a/".repeat(20)
    );
    let fitted = x.fit("body", &text).unwrap().text;
    let link = fitted.contains(&"a/".repeat(19));
    assert!(link || !fitted.contains("https:"), "{fitted}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// For every text, not only for those that people would write: what fits is within the limits, and fits again unchanged.
    #[test]
    fn a_fitted_text_is_within_its_limits_and_fits_again(text in "\\PC{0,400}", which in 0usize..100) {
        let format = &formats()[which % formats().len()];
        for (name, field) in &format.text {
            if let Ok(fitted) = format.fit(name, &text) {
                prop_assert!(field.excess(&fitted.text).is_none());
                let again = format.fit(name, &fitted.text).unwrap();
                prop_assert_eq!(again.text, fitted.text);
            }
        }
    }
}
