//! The promises of the lexicon reader for every text, and how well it distinguishes emotions.

use limbic_affect::{AffectEngine, LexiconReader, Vader};
use limbic_domain::{Affect, Label};
use proptest::prelude::*;

fn read(text: &str) -> Affect {
    LexiconReader::new().read(&[text]).remove(0)
}

fn check_bounds(text: &str, affect: &Affect) {
    let unit = 0.0..=1.0;
    assert!((-1.0..=1.0).contains(&affect.sentiment.compound), "{text:?}");
    assert!((-1.0..=1.0).contains(&affect.valence), "{text:?}");
    assert!(unit.contains(&affect.arousal), "{text:?}");
    assert!(
        affect.emotions.values().all(|score| unit.contains(score)),
        "{text:?}"
    );
    let total: f64 = affect.sentiment.scores.values().sum();
    assert!(total == 0.0 || (total - 1.0).abs() < 0.002, "{text:?}: {total}");
    assert!(!affect.language.is_empty());
    assert_eq!(affect.model, LexiconReader::VERSION);
}

#[test]
fn unusual_texts_have_a_reading() {
    let long = "so happy but so sad 😭 kill it!! ".repeat(3_000);
    let one_word = "a".repeat(100_000);
    let marks = "!?".repeat(50_000);
    let zalgo = format!("h{}i", "\u{336}".repeat(10_000));
    for text in [
        "",
        " ",
        "x",
        "😀",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "\0\u{1}\u{7f}\u{9f}",
        "\u{202e}\u{200b}\u{200d}\u{feff}\u{2066}",
        "\u{fffd}\u{10ffff}\u{e000}",
        "Привет hello 你好 नमस्ते مرحبا",
        "'''\"\"\"---___###@@@",
        "@ # http:// www. $ * 1!",
        "ﷺ ﷽ ㌖ ǅ İ ß ﬃ",
        &long,
        &one_word,
        &marks,
        &zalgo,
    ] {
        check_bounds(text, &read(text));
    }
}

#[test]
fn plain_feelings_have_the_expected_sentiment_and_emotion() {
    let happy = read("I am SO happy, this is the best day ever!!! 😍");
    let calm = read("this is a nice day");
    let flat = read("the meeting is at ten");
    let furious = read("I am furious, this is an outrage, I hate it!!!");
    let sad = read("feeling sad and lonely, I cry all day");
    assert_eq!(happy.sentiment.label, Label::Positive);
    assert_eq!(flat.sentiment.label, Label::Neutral);
    assert_eq!(furious.sentiment.label, Label::Negative);
    assert!(happy.arousal > calm.arousal && calm.arousal > flat.arousal);
    assert!(furious.arousal > sad.arousal);
    let strongest = |affect: &Affect| {
        let (name, _) = affect.emotions.iter().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        name.clone()
    };
    assert_eq!(strongest(&happy), "joy");
    assert_eq!(strongest(&furious), "anger");
    assert_eq!(strongest(&sad), "sadness");
    assert_eq!(strongest(&read("so scared and worried")), "fear");
    assert_eq!(strongest(&read("that is disgusting, gross")), "disgust");
    assert!(read("not happy at all").emotions["joy"] < 0.1);
}

#[test]
fn in_another_language_only_emotions_with_a_cue_are_reported() {
    let german = read("Der Zug ist schon wieder zu spät und ich bin nicht froh 😡");
    assert_eq!(german.language, "de");
    assert!(german.emotions.contains_key("anger"));
    assert!(!german.emotions.contains_key("trust"));
    assert_eq!(read("The train is late and I am tired").emotions.len(), 8);
}

#[test]
fn a_text_in_another_language_has_no_sentiment() {
    // "die" and "war" are English words with a valence, and no lexicon here knows "großartig".
    for text in [
        "Das Essen war großartig, die Bedienung auch",
        "großartig",
        "jeg er så træt af at vente på bussen",
        "estoy harta de esperar el autobús, me quiero morir",
        "火车又晚点了 love",
    ] {
        let reading = read(text);
        assert!(reading.unknown_language, "{text}: {}", reading.language);
        assert_eq!(
            (reading.sentiment.compound, reading.valence, reading.arousal),
            (0.0, 0.0, 0.0),
            "{text}"
        );
        assert!(reading.sentiment.scores.is_empty() && reading.sentiment.label == Label::Neutral);
    }
    assert!(
        !read("estoy harta de esperar, me quiero morir")
            .distress
            .cues
            .is_empty()
    );
    assert!(!read("The food was great").unknown_language && !read("😂😂").unknown_language);
}

#[test]
fn a_text_has_one_reading_however_it_is_encoded() {
    for (plain, encoded) in [
        ("It isn't good", "It isn\u{2019}t good"),
        ("It isn't good", "It isn&#39;t good"),
        (
            "I don't like it, \"great\" as it is",
            "I don&#x2019;t like it, &quot;great&quot; as it is",
        ),
        ("love it ❤ so much", "love it ❤\u{fe0f} so much"),
        ("not so happy", "not\u{a0}so\u{2003}happy"),
        ("sad day", "s\u{200b}ad day"),
    ] {
        let (plain, encoded) = (read(plain), read(encoded));
        assert_eq!(plain, encoded);
    }
}

#[test]
fn a_batch_does_not_change_a_reading() {
    let texts = [
        "great 😂",
        "",
        "my dog died",
        "NOT good",
        "今日は",
        "sooo excited!!!",
    ];
    let together = LexiconReader::new().read(&texts);
    let alone: Vec<Affect> = texts.iter().map(|text| read(text)).collect();
    assert_eq!(together, alone);
}

proptest! {
    #[test]
    fn every_text_has_a_reading(text in any::<String>()) {
        check_bounds(&text, &read(&text));
    }

    #[test]
    fn every_text_of_words_with_a_meaning_has_a_reading(
        words in proptest::collection::vec(
            prop_oneof![
                Just("good"), Just("BAD"), Just("not"), Just("never"), Just("so"), Just("this"), Just("but"),
                Just("kind"), Just("of"), Just("least"), Just("no"), Just("kill"), Just("myself"), Just("😂"),
                Just("to"), Just("die"), Just("for"), Just("don't"), Just("!!!"), Just("?"), Just("VERY"),
                Just("\u{200b}"), Just("k!ll"), Just("sooo"), Just("passed"), Just("away"), Just("@x"), Just("К"),
            ],
            0..40,
        ),
        glue in prop_oneof![Just(" "), Just(""), Just("\u{a0}"), Just(". ")],
    ) {
        let text = words.join(glue);
        check_bounds(&text, &read(&text));
        let reading = read(&text);
        // VADER reads the text in its one spelling: here, without the invisible character and with plain spaces.
        let plain = text.replace('\u{200b}', "").replace('\u{a0}', " ");
        let alone = if reading.unknown_language { 0.0 } else { Vader::new().score(&plain).compound };
        prop_assert_eq!(reading.sentiment.compound.to_bits(), alone.to_bits());
    }
}

#[test]
fn emotions_are_distinguished_at_the_stated_rate() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let texts = std::fs::read_to_string(data.join("tweeteval/emotion/train_text.txt")).unwrap();
    let labels = std::fs::read_to_string(data.join("tweeteval/emotion/train_labels.txt")).unwrap();
    let (mut right, mut silent, mut total) = (0, 0, 0);
    for (text, label) in texts.lines().zip(labels.lines()) {
        let emotions = read(text).emotions;
        let score = |name: &str| emotions.get(name).copied().unwrap_or(0.0);
        let classes = [
            score("anger"),
            score("joy"),
            f64::max(score("trust"), score("anticipation")),
            score("sadness"),
        ];
        total += 1;
        let best = classes.iter().copied().fold(0.0, f64::max);
        if best == 0.0 {
            silent += 1;
            continue;
        }
        let read = classes.iter().position(|c| *c >= best).unwrap();
        right += u32::from(label.trim() == read.to_string());
    }
    let accuracy = f64::from(right) / f64::from(total - silent);
    eprintln!(
        "emotion train: {total} texts, {silent} without a cue, of the others {:.1} % right",
        100.0 * accuracy
    );
    assert!(accuracy > 0.65, "{accuracy}");
}
