//! The fields of a campaign, checked before any ad is written.

use std::collections::HashSet;

use limbic_domain::{BrandKit, Brief, Campaign};

use crate::brand::{is_colour, objection};
use crate::text::hidden_character;

/// Maximum bytes of a text in a brief.
const LONGEST_VALUE: usize = 2_000;

/// Calls `wrong` with the field and the problem, for each problem of the campaign's fields.
pub(crate) fn check_fields(campaign: &Campaign, wrong: &mut impl FnMut(String, String)) {
    let Brief {
        product,
        promise,
        call_to_action,
        link,
        offer,
        values,
        background,
        brand,
    } = &campaign.brief;
    let required = [
        ("brief.product", product),
        ("brief.promise", promise),
        ("brief.call_to_action", call_to_action),
        ("brief.link", link),
    ];
    for (field, text) in required {
        if text.trim().is_empty() {
            wrong(field.to_owned(), "is empty: write it".to_owned());
        }
        check_text(field, text, wrong);
    }
    if !link.is_empty() && !is_web_address(link) {
        wrong(
            "brief.link".to_owned(),
            "is not a web address such as https://example.com/spring".to_owned(),
        );
    }
    check_text("brief.offer", offer, wrong);
    check_text("brief.background", background, wrong);
    for (name, text) in values {
        check_text(&format!("brief.values.{name}"), text, wrong);
    }
    for (field, text) in required[..3].iter().copied().chain([("brief.offer", offer)]) {
        if let Some(reason) = objection(brand, text) {
            wrong(
                field.to_owned(),
                format!("{reason} Change the text, or brief.brand"),
            );
        }
    }
    check_brand(brand, wrong);
    if campaign.platforms.is_empty() {
        wrong(
            "platforms".to_owned(),
            "is empty: name at least one ad platform".to_owned(),
        );
    }
    let mut names = HashSet::new();
    for platform in &campaign.platforms {
        if !names.insert(&platform.name) {
            wrong(
                "platforms".to_owned(),
                format!("`{}` exists twice", platform.name),
            );
        }
        if platform.headline == 0 || platform.body == 0 {
            wrong(
                format!("platforms.{}", platform.name),
                "a limit of 0 graphemes leaves no space for a text".to_owned(),
            );
        }
    }
}

fn check_brand(brand: &BrandKit, wrong: &mut impl FnMut(String, String)) {
    let claims = brand.claims.iter().flatten();
    let lists = [("banned_words", &brand.banned_words[..])];
    let words = lists
        .iter()
        .flat_map(|(name, list)| list.iter().map(move |text| (*name, text)));
    for (name, text) in words.chain(claims.map(|claim| ("claims", claim))) {
        if !text.chars().any(char::is_alphanumeric) {
            wrong(
                format!("brief.brand.{name}"),
                format!("`{text}` has no letters: write words, or remove it"),
            );
        }
    }
    for colour in brand.colours.iter().filter(|colour| !is_colour(colour)) {
        wrong(
            "brief.brand.colours".to_owned(),
            format!("`{colour}` is not a colour such as #1a2b3c"),
        );
    }
}

fn check_text(field: &str, text: &str, wrong: &mut impl FnMut(String, String)) {
    if let Some(hidden) = hidden_character(text) {
        wrong(
            field.to_owned(),
            format!(
                "contains the hidden character U+{:04X} (a control, bidirectional or invisible one): remove it",
                u32::from(hidden)
            ),
        );
    }
    if text.len() > LONGEST_VALUE {
        wrong(
            field.to_owned(),
            format!("is {} bytes long, the limit is {LONGEST_VALUE}", text.len()),
        );
    }
}

fn is_web_address(link: &str) -> bool {
    let rest = link
        .strip_prefix("https://")
        .or_else(|| link.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or("");
        !host.is_empty()
            && !host.contains('@')
            && !link.chars().any(|c| c.is_whitespace() || "<>\"`\\".contains(c))
    })
}
