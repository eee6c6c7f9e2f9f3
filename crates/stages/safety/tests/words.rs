//! What the gate calls sensitive, shaming, or a feeling.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use limbic_domain::{Draft, Removal, Utc};
use limbic_safety::{Holds, Rules, Settings, Verdict, gate};
use serde_json::json;

fn draft(subject: &str, campaign: &str, headline: &str, body: &str) -> Draft {
    serde_json::from_value(json!({
        "moment": "m", "audience": format!("everyone:{subject}"), "direction": "up",
        "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0, "valence_error": 0.1,
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
        "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0},
        "people": [{"person": "a".repeat(32), "distress": 0.0, "consent": "given", "minor": false}],
        "campaigns": [{"campaign": campaign, "bid": 1, "declared": {"advertiser": "Acme"}, "creatives": [
            {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                {"platform": "file", "headline": headline, "body": body, "link": "https://example.com"}}]}],
    }))
    .unwrap()
}

/// The verdict on the only campaign of a draft.
fn verdict(draft: &Draft, rules: &Rules) -> Verdict {
    gate(draft, Utc::from_millis(0), &Holds::new(), rules).remove(0)
}

fn rules() -> Rules {
    Rules::new(&Settings::default()).unwrap()
}

/// The rule that holds a subject back, if one does.
fn held(rules: &Rules, subject: &str) -> Option<String> {
    match verdict(&draft(subject, "spring", "Acme Boots", "Try a pair."), rules) {
        Verdict::Cleared(_) => None,
        Verdict::Suppressed { suppression, .. } => Some(suppression.rule),
    }
}

/// What was said against an ad, if anything was.
fn against(rules: &Rules, headline: &str, body: &str) -> Option<Removal> {
    match verdict(&draft("football", "spring", headline, body), rules) {
        Verdict::Cleared(_) => None,
        Verdict::Suppressed {
            suppression,
            removals,
        } => {
            assert_eq!(suppression.rule, "no_creative_left");
            Some(removals[0].clone())
        }
    }
}

#[test]
fn a_sensitive_topic_or_campaign_is_never_a_ground() {
    let rules = rules();
    for subject in [
        "cancer",
        "mental-health",
        "mentalhealth",
        "islam",
        "christianity",
        "election-2026",
        "trade-unions",
        "union",
        "lgbtq",
        "gay-rights",
        "immigration",
        "black-lives-matter",
        "terrorism",
        "war-in-ukraine",
        "suicide-prevention",
        "gun-control",
        "weed-dealers",
        "kids-toys",
        "funerals",
        "earthquake",
        "payday-loans",
        "whiskey",
        "ethnicity",
        "self_harm",
        "hiv.aids",
    ] {
        assert_eq!(
            held(&rules, subject).as_deref(),
            Some("sensitive_audience"),
            "{subject}"
        );
        let by_campaign = verdict(&draft("football", subject, "Acme Boots", "Try a pair."), &rules);
        if subject != "union" {
            assert!(
                matches!(by_campaign, Verdict::Suppressed { .. }),
                "campaign {subject}"
            );
        }
    }
}

#[test]
fn ordinary_subjects_are_not_sensitive() {
    let rules = rules();
    for subject in [
        "football",
        "union-berlin",
        "rugby-union",
        "star-wars",
        "boxing",
        "mayweather-mcgregor",
        "coffee",
        "running-shoes",
        "formula-1",
        "video-games",
        "music",
        "cars",
        "travel",
        "cooking",
        "eurovision",
        "premier-league",
        "headphones",
        "warm-coats",
        "essex",
        "sussex-walks",
        "skilled-trades",
        "grape-harvest",
        "jewellery",
        "christmas",
    ] {
        assert_eq!(held(&rules, subject), None, "{subject}");
    }
}

#[test]
fn an_ad_that_names_or_works_on_a_feeling_is_taken_out() {
    let rules = rules();
    for (headline, body) in [
        ("Feeling sad?", "Try our boots."),
        ("Feeling", "sad? Try our boots."),
        ("FEELING  S A D ?", "Try our boots."),
        ("Feeling s4d?", "Try our boots."),
        ("ｆｅｅｌｉｎｇ sád", "Try our boots."),
        ("You're so anxious", "We can help."),
        ("You are happy today", "Celebrate."),
        ("Are you really that lonely?", "Boots."),
        ("Cheer up!", "Boots."),
        ("Rough day?", "Boots."),
        ("We saw your post", "Boots."),
        ("Boots", "Don't be afraid of winter."),
        ("Boots", "Based on what you wrote, boots."),
    ] {
        let removal =
            against(&rules, headline, body).unwrap_or_else(|| panic!("cleared: {headline} / {body}"));
        assert_eq!(removal.rule, "feeling", "{headline} / {body}: {}", removal.reason);
        assert_eq!(removal.removed, ["creative/c"]);
    }
}

#[test]
fn an_ad_that_shames_or_speaks_of_a_sensitive_matter_is_taken_out() {
    let rules = rules();
    for (rule, headline) in [
        ("shaming", "Losers wear other boots"),
        ("shaming", "Get your beach body"),
        ("shaming", "Ugly feet?"),
        ("sensitive_word", "Boots for diabetics"),
        ("sensitive_word", "Muslims love these boots"),
        ("sensitive_word", "To die for? Deadly good boots"),
        ("sensitive_word", "Sexy boots"),
        ("unreadable", "Нет грусти, есть ботинки"),
        ("unreadable", "Boots without p\u{0430}in"),
        ("malformed", "Boots\u{202E}"),
        ("malformed", " "),
    ] {
        let removal =
            against(&rules, headline, "Try a pair.").unwrap_or_else(|| panic!("cleared: {headline}"));
        assert_eq!(removal.rule, rule, "{headline}: {}", removal.reason);
        assert!(removal.reason.ends_with('.'), "{}", removal.reason);
    }
}

/// What the built-in templates of this house make of an ordinary brief.
#[test]
fn ordinary_ads_are_cleared() {
    let rules = rules();
    for (headline, body) in [
        (
            "What a day for Acme Boots!",
            "Warm feet in any weather. Try a pair.",
        ),
        (
            "Here's to this one: Acme Boots",
            "Try a pair. Warm feet in any weather.",
        ),
        ("Say hello to Acme Boots", "Warm feet in any weather. Try a pair."),
        (
            "Acme Boots, whenever it suits",
            "Warm feet. In your own time: Try a pair.",
        ),
        ("Acme Boots, at your own pace", "Warm feet in any weather."),
        ("What Acme Boots is for", "Feel the difference. Download the app."),
        (
            "Our own crème brûlée of the house, in all of the shops 🎉",
            "2 for 1 until Friday, for all of you!",
        ),
        ("Acme Coffee", "You are going to love it. Your download is ready."),
    ] {
        assert_eq!(against(&rules, headline, body), None, "{headline} / {body}");
    }
}

#[test]
fn the_settings_words_count_too() {
    let rules = Rules::new(&Settings {
        sensitive_words: vec!["curling".into(), "ice danc*".into()],
        forbidden_words: vec!["boot".into()],
        ..Settings::default()
    })
    .unwrap();
    assert_eq!(held(&rules, "curling").as_deref(), Some("sensitive_audience"));
    assert_eq!(held(&rules, "ice-dancing").as_deref(), Some("sensitive_audience"));
    assert_eq!(
        against(&rules, "Acme Boots", "Try a pair.").map(|removal| removal.rule),
        Some("forbidden_word".into())
    );
    for bad in ["", "*", "a*", "a*b", "@health", "=x", "—", "ab cd* *"] {
        for settings in [
            Settings {
                sensitive_words: vec![bad.into()],
                ..Settings::default()
            },
            Settings {
                forbidden_words: vec![bad.into()],
                ..Settings::default()
            },
        ] {
            assert!(settings.check().is_err(), "`{bad}`");
        }
    }
}

/// Every node of the IAB Content Taxonomy 3.1 that is sensitive by its own tree is held; ordinary ones are not.
#[test]
fn the_iab_taxonomys_sensitive_nodes_are_held() {
    const SENSITIVE: [&str; 7] = [
        "Sensitive Subjects",
        "Medical Health",
        "Religion & Spirituality",
        "Politics",
        "Crime",
        "Disasters",
        "War and Conflicts",
    ];
    const SENSITIVE_LEAVES: [&str; 7] = [
        "Bereavement",
        "Divorce",
        "Funeral",
        "Celebrity Deaths",
        "Health Insurance",
        "Children's Health",
        "Weight Loss",
    ];
    const ORDINARY: [&str; 9] = [
        "Automotive",
        "Sports",
        "Travel",
        "Style & Fashion",
        "Technology & Computing",
        "Home & Garden",
        "Pets",
        "Fine Art",
        "Careers",
    ];
    /// Names in ordinary trees that are held all the same, because a word in them is too near to a sensitive one.
    const HELD_ALL_THE_SAME: [&str; 5] = [
        "Disabled Sports",
        "Hunting and Shooting",
        "Poker and Professional Gambling",
        "Children's Clothing",
        "Veterinary Medicine",
    ];
    let Some(folder) = limbic_domain::testing::data_dir() else {
        return;
    };
    let table =
        std::fs::read_to_string(folder.join("specs/iab_taxonomies/content_taxonomy_3.1.tsv")).unwrap();
    let rules = rules();
    let (mut sensitive, mut ordinary) = (0, 0);
    let mut wrong = Vec::new();
    for line in table.lines().skip(2) {
        let columns: Vec<_> = line.split('\t').collect();
        let (name, tree) = (columns[2], columns[3]);
        let letters: String = name
            .to_lowercase()
            .replace('\'', "")
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let subject = letters.trim_matches('-').chars().take(64).collect::<String>();
        let is_held = held(&rules, &subject).is_some();
        if SENSITIVE.contains(&tree) || SENSITIVE_LEAVES.contains(&name) {
            sensitive += 1;
            if !is_held {
                wrong.push(format!("not held: {tree} / {name}"));
            }
        } else if ORDINARY.contains(&tree) {
            ordinary += 1;
            if is_held != HELD_ALL_THE_SAME.contains(&name) {
                wrong.push(format!("held {is_held}: {tree} / {name}"));
            }
        }
    }
    assert!(
        sensitive > 60 && ordinary > 200,
        "{sensitive} sensitive, {ordinary} ordinary: is the table whole?"
    );
    assert!(
        wrong.is_empty(),
        "{} of {}:\n{}",
        wrong.len(),
        sensitive + ordinary,
        wrong.join("\n")
    );
}
