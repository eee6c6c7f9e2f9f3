//! The tokens that a model receives for a post.

use std::path::Path;
use std::sync::LazyLock;

use limbic_affect::tokens::{Tokeniser, Tokens};
use proptest::prelude::*;

fn tokeniser() -> &'static Tokeniser {
    static SHARED: LazyLock<Tokeniser> = LazyLock::new(|| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../models/affect-l6/vocab.txt");
        Tokeniser::open(&path).expect("the vocabulary is in the repository")
    });
    &SHARED
}

/// The pieces of a text, without the two special tokens around it.
fn pieces(text: &str) -> Vec<String> {
    let tokeniser = tokeniser();
    let mut room = Tokens::default();
    let ids = tokeniser.tokenise(text, 64, &mut room);
    let piece = |&id: &u32| tokeniser.vocabulary().piece(id).expect("its own id").to_owned();
    let all: Vec<String> = ids.iter().map(piece).collect();
    assert_eq!(all.first().map(String::as_str), Some("[CLS]"));
    assert_eq!(all.last().map(String::as_str), Some("[SEP]"));
    all[1..all.len() - 1].to_vec()
}

fn joined(text: &str) -> String {
    pieces(text).join(" ")
}

#[test]
fn plain_words_have_the_ids_of_the_base_model() {
    let tokeniser = tokeniser();
    let mut room = Tokens::default();
    assert_eq!(
        tokeniser.tokenise("Hello, world!", 64, &mut room),
        [101, 7592, 1010, 2088, 999, 102]
    );
    assert_eq!(joined("unaffable"), "una ##ffa ##ble");
}

#[test]
fn the_parts_of_a_post_become_words() {
    for (post, read) in [
        ("@ada_l look: https://t.co/AbC?x=1 …", "@ user look : http …"),
        (
            "see (www.example.org) or mail a@b.org",
            "see ( http ) or mail a @ b . org",
        ),
        ("#ThrowBackThursday", "# throw back thursday"),
        ("#blessedandgrateful", "# blessed and grateful"),
        ("#NYCMarathon2026 #so_happy", "# nyc marathon 202 ##6 # so happy"),
        ("C# is no tag, #1 is", "c # is no tag , # 1 is"),
        ("salt &amp; pepper &lt;3", "salt & pepper < 3"),
        ("can’t “wait”", "can ' t \" wait \""),
        ("ｋïｌｌ 𝖐𝖎𝖑𝖑", "kill kill"),
        ("", ""),
        (" \u{200b}\u{fe0f} ", ""),
    ] {
        assert_eq!(joined(post), read, "{post:?}");
    }
}

#[test]
fn a_lengthened_word_gets_its_longest_known_spelling() {
    assert_eq!(joined("yesssss"), "yes");
    assert_eq!(joined("goooood"), "good");
    assert_eq!(joined("1000000"), joined("1000000").replace("00 00", "0000"));
    assert_eq!(joined("no!!!!!!!!"), "no ! ! !");
    assert_eq!(joined("😂😂😂😂😂"), "😂 😂 😂");
}

#[test]
fn an_emoji_is_one_token_with_any_modifier() {
    assert_eq!(joined("❤️"), joined("❤"));
    assert_eq!(joined("👩🏽‍⚕️"), "👩 ⚕");
    assert_eq!(joined("🤷🏾‍♀️"), "🤷");
    assert_eq!(joined("🇪🇹🇪🇹"), "flag flag");
    assert_eq!(joined("love😍you"), "love 😍 you");
    assert!(!pieces("😭🥺🙏💔").contains(&"[UNK]".to_owned()));
}

#[test]
fn a_long_text_has_no_more_tokens_than_allowed() {
    let tokeniser = tokeniser();
    let mut room = Tokens::default();
    let long = "word ".repeat(100_000);
    assert_eq!(tokeniser.tokenise(&long, 128, &mut room).len(), 128);
    let endless = "x".repeat(1 << 20);
    assert_eq!(tokeniser.tokenise(&endless, 128, &mut room).len(), 3);
    assert_eq!(tokeniser.tokenise("a b c", 0, &mut room).len(), 2);
}

proptest! {
    #[test]
    fn every_text_has_valid_tokens(text in "\\PC{0,200}|(@|#|http://|&|[a-z]|\\s|😂|\u{200d}|🇪){0,80}") {
        let tokeniser = tokeniser();
        let mut room = Tokens::default();
        let first = tokeniser.tokenise(&text, 48, &mut room).to_vec();
        prop_assert!((2..=48).contains(&first.len()));
        prop_assert!(first.iter().all(|&id| (id as usize) < tokeniser.vocabulary().len()));
        let mut fresh = Tokens::default();
        prop_assert_eq!(&first[..], tokeniser.tokenise(&text, 48, &mut fresh));
    }
}
