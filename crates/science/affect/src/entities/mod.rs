//! The entities of a text, found by rules and lists: accounts, hashtags, brands, and capitalised names.
//!
//! * **Mentions** and **hashtags** as social networks link them: `@` or `#` that does not follow a letter or digit. A
//!   handle may be a domain (`@ada.bsky.social`) or have one (`@ada@town.example`). A hashtag has at least one
//!   letter. If it spells a known name (`@AmazonHelp`, `#iphone6`), [`Entity::name`] has it.
//! * **Known names** ([`Names`]: a built-in list of brands, products, organisations and places, and brands from the
//!   settings) are found in any spelling of case. Names that are also words (`Apple`, `Turkey`, `Gap`) need their
//!   capital.
//! * **Other capitalised words** that do not begin a sentence are names: of a person after a title or with a common
//!   given name, of an organisation or a place by their last word (`… University`, `… Street`), otherwise of an
//!   unknown kind. A text in capitals only, or With Every Word Like This, has none.
//!
//! These are rules, not a trained recogniser. Lower-case names outside the lists are not found, and some spans of the
//! kind [`Other`](limbic_domain::EntityKind::Other) are not names. `tests/entities.rs` measures the result on public
//! posts.

mod capitals;
mod names;
mod pieces;

use limbic_domain::{Entity, EntityKind};

pub use names::Names;

pub(crate) use pieces::Pieces;
use pieces::{Piece, PieceKind};

/// Largest number of entities per text. Further ones are dropped.
const MOST: usize = 64;

/// Number of bytes that are examined.
const LOOKED_AT: usize = 16 << 10;

/// The entities of the text, in its order, without overlaps.
pub(crate) fn find(text: &str, names: &Names, room: &mut Pieces) -> Vec<Entity> {
    let text = &text[..text.floor_char_boundary(LOOKED_AT)];
    room.read(text);
    let pieces = room.all();
    let style = capitals::Style::of(text, pieces);
    let mut found = Vec::new();
    let mut at = 0;
    while at < pieces.len() && found.len() < MOST {
        let piece = &pieces[at];
        let span = match piece.kind {
            PieceKind::Mention | PieceKind::Hashtag => Some(tagged(text, piece, names)),
            PieceKind::Word => names
                .longest(text, &pieces[at..], style)
                .map(|known| Span {
                    kind: known.kind,
                    pieces: known.pieces,
                    name: Some(known.name),
                })
                .or_else(|| capitals::span(text, pieces, at, style)),
        };
        let Some(span) = span else {
            at += 1;
            continue;
        };
        let last = &pieces[at + span.pieces - 1];
        let written = &text[piece.start..last.end];
        found.push(Entity {
            kind: span.kind,
            text: written.to_owned(),
            start: piece.start as u32,
            end: last.end as u32,
            name: span.name.filter(|name| *name != written).map(str::to_owned),
        });
        at += span.pieces;
    }
    found
}

/// Consecutive pieces that form a name.
struct Span<'a> {
    kind: EntityKind,
    pieces: usize,
    name: Option<&'a str>,
}

fn tagged<'a>(text: &str, piece: &Piece, names: &'a Names) -> Span<'a> {
    let (kind, is_account) = match piece.kind {
        PieceKind::Mention => (EntityKind::Mention, true),
        _ => (EntityKind::Hashtag, false),
    };
    let sign = text[piece.start..].chars().next().map_or(1, char::len_utf8);
    Span {
        kind,
        pieces: 1,
        name: names.spelled_by(&text[piece.start + sign..piece.end], is_account),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn found(text: &str) -> Vec<(EntityKind, String, Option<String>)> {
        let brands = BTreeMap::from([(
            "Crunch Bowl".to_owned(),
            vec!["crunchy".to_owned(), "!Bowl".to_owned()],
        )]);
        find(text, &Names::with_brands(&brands), &mut Pieces::default())
            .into_iter()
            .map(|entity| {
                assert_eq!(&text[entity.start as usize..entity.end as usize], entity.text);
                (entity.kind, entity.text, entity.name)
            })
            .collect()
    }

    fn kinds(text: &str) -> Vec<(EntityKind, String)> {
        found(text)
            .into_iter()
            .map(|(kind, text, _)| (kind, text))
            .collect()
    }

    fn some(pairs: &[(EntityKind, &str)]) -> Vec<(EntityKind, String)> {
        pairs
            .iter()
            .map(|(kind, text)| (*kind, (*text).to_owned()))
            .collect()
    }

    use EntityKind::{Brand, Hashtag, Mention, Organisation, Other, Person, Place, Product};

    #[test]
    fn mentions_and_hashtags_are_found_as_social_networks_link_them() {
        for (text, expected) in [
            ("thanks @ada_l!", some(&[(Mention, "@ada_l")])),
            (".@ada: hi", some(&[(Mention, "@ada")])),
            ("ask @ada.bsky.social.", some(&[(Mention, "@ada.bsky.social")])),
            ("ask @ada.really", some(&[(Mention, "@ada")])),
            (
                "or @ada@town.example now",
                some(&[(Mention, "@ada@town.example")]),
            ),
            ("mail ada@example.com", some(&[])),
            (
                "#cup #2024 #año_1, a#b ##x",
                some(&[(Hashtag, "#cup"), (Hashtag, "#año_1"), (Hashtag, "#x")]),
            ),
            ("see https://example.com/#part @", some(&[])),
            ("＃東京 ＠ada", some(&[(Hashtag, "＃東京"), (Mention, "＠ada")])),
            ("“@ada: hi”", some(&[(Mention, "@ada")])),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn known_names_are_found_in_any_case_and_common_words_only_with_a_capital() {
        for (text, expected) in [
            ("my iphone died", some(&[(Product, "iphone")])),
            ("my iPhone 7 Plus died", some(&[(Product, "iPhone 7 Plus")])),
            ("got mcdonald's again", some(&[(Brand, "mcdonald's")])),
            (
                "a Coca-Cola, or COCA COLA",
                some(&[(Brand, "Coca-Cola"), (Brand, "COCA COLA")]),
            ),
            (
                "flying from new york to Turkey",
                some(&[(Place, "new york"), (Place, "Turkey")]),
            ),
            ("a turkey and an apple", some(&[])),
            ("I think Apple's new phone is fine", some(&[(Brand, "Apple's")])),
            ("h&m or H&M", some(&[(Brand, "h&m"), (Brand, "H&M")])),
            ("Burger King", some(&[(Brand, "Burger King")])),
            ("a king's burger", some(&[])),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn configured_brands_are_found_in_all_their_forms() {
        for (text, name) in [
            ("I had a crunch bowl", Some("Crunch Bowl")),
            ("so crunchy", Some("Crunch Bowl")),
            ("#crunchbowl", Some("Crunch Bowl")),
            ("ask @CrunchBowlHelp", Some("Crunch Bowl")),
            ("the Bowl", Some("Crunch Bowl")),
            ("Crunch Bowl", None),
        ] {
            assert_eq!(found(text)[0].2.as_deref(), name, "{text}");
        }
        assert_eq!(found("the bowl"), []);
    }

    #[test]
    fn a_tag_that_spells_a_known_name_has_that_name() {
        for (text, name) in [
            ("@AmazonHelp where is it", Some("Amazon")),
            ("@AppleSupport", Some("Apple")),
            ("#iPhone6", Some("iPhone")),
            ("#burgerking", Some("Burger King")),
            ("#apple", None),
            ("#NewYork", Some("New York")),
            ("#metallica", None),
        ] {
            assert_eq!(found(text)[0].2.as_deref(), name, "{text}");
        }
    }

    #[test]
    fn capitalised_words_inside_a_sentence_are_names() {
        for (text, expected) in [
            (
                "we met Ada Lovelace at the station",
                some(&[(Other, "Ada Lovelace")]),
            ),
            ("we met Sarah Quill there", some(&[(Person, "Sarah Quill")])),
            ("thank you Dr Quillfeather", some(&[(Person, "Dr Quillfeather")])),
            ("Michael is late again", some(&[(Person, "Michael")])),
            (
                "she teaches at Bellwether University",
                some(&[(Organisation, "Bellwether University")]),
            ),
            (
                "a flat in Copperfield Street",
                some(&[(Place, "Copperfield Street")]),
            ),
            (
                "reading The Lantern of Ostrow tonight",
                some(&[(Other, "Lantern of Ostrow")]),
            ),
            ("Happy to see you on Monday in March", some(&[])),
            ("The weather is nice. Nobody minds.", some(&[])),
            ("I said NO and I mean NO", some(&[])),
            ("THIS IS SO UNFAIR OMG", some(&[])),
            ("My Heart Will Go On For You", some(&[])),
        ] {
            assert_eq!(kinds(text), expected, "{text}");
        }
    }

    #[test]
    fn hostile_texts_have_a_bounded_number_of_entities() {
        for unit in [
            "@a ",
            "#a ",
            "Xy ab ",
            "@",
            "#",
            "@@#",
            "a@b.c",
            "é@é",
            "U.S",
            "&'-’",
            "\u{301}#\u{301}",
        ] {
            let text = unit.repeat(100_000 / unit.len());
            assert!(found(&text).len() <= MOST, "{unit}");
        }
    }
}
