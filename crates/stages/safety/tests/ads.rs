//! Each rule about ads, broken on purpose, with its reason.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::sync::LazyLock;

use limbic_domain::{Declaration, Platform, Region, RegulatedCategory, Slug};
use limbic_safety::{AdText, Rules, Settings, judge_ad};

static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&Settings::default()).unwrap());

/// An ordinary ad.
fn plain() -> AdText {
    AdText {
        headline: Some("What a day for Acme Boots!".to_owned()),
        link: Some("https://example.com/boots".to_owned()),
        platform: Some(Slug::new("file").unwrap()),
        ..AdText::new("Warm feet in any weather. Try a pair.")
    }
}

/// The rule that objects, and its reason.
fn objection(text: &AdText) -> (&'static str, String) {
    objection_of(text, &RULES)
}

fn objection_of(text: &AdText, rules: &Rules) -> (&'static str, String) {
    judge_ad(text, rules).map_or(("", String::new()), |objection| {
        (objection.rule.id, objection.reason)
    })
}

#[test]
fn an_ordinary_ad_is_cleared() {
    assert_eq!(judge_ad(&plain(), &RULES), None);
    let bare = AdText {
        headline: None,
        link: None,
        platform: None,
        ..plain()
    };
    assert_eq!(judge_ad(&bare, &RULES), None);
}

#[test]
fn each_rule_about_ads_gives_its_reason() {
    let with = |change: &dyn Fn(&mut AdText)| {
        let mut text = plain();
        change(&mut text);
        let (rule, reason) = objection(&text);
        format!("{rule}: {reason}")
    };
    let body = |body: &str| with(&|text| body.clone_into(&mut text.body));
    let headline = |line: &str| with(&|text| text.headline = Some(line.to_owned()));
    let link = |link: &str| with(&|text| text.link = Some(link.to_owned()));
    for (said, expected) in [
        (body(" "), "malformed: The body is empty."),
        (headline(""), "malformed: The headline is empty."),
        (
            headline("Bo\u{200b}ots"),
            "malformed: The headline holds the hidden character U+200B.",
        ),
        (
            body(&format!("e{} of it", "\u{301}".repeat(30))),
            "malformed: The body has a character of 31 code points; 16 are the most.",
        ),
        (link("example.com"), "malformed: The link is not a web address."),
        (
            headline(&"w".repeat(301)),
            "over_limit: The headline has 301 graphemes, and file takes 300.",
        ),
        (
            body(&"warm boots ".repeat(500)),
            "over_limit: The body has 5500 graphemes, and file takes 5000.",
        ),
        (
            body("Warm b\u{43e}ots."),
            "unreadable: The ad is in a script that the rules cannot read (`о`, U+043E), so they cannot clear it.",
        ),
        (
            body("Diese Stiefel halten die Füße den ganzen Winter warm und trocken."),
            "unknown_language: The ad reads as language `de`, for which there are no word lists, so the rules cannot clear it.",
        ),
        (
            headline("Feeling sad?"),
            "feeling: It names or works on what a person feels (`sad`).",
        ),
        (
            body("Cheer up with our boots."),
            "feeling: It names or works on what a person feels (`cheer up`).",
        ),
        (
            body("Only losers wear other boots."),
            "shaming: It shames the person it is shown to (`loser`).",
        ),
        (
            body("Boots for diabetics."),
            "sensitive_word: It speaks of health (`diabet*`).",
        ),
        (
            body("Are you in debt? Boots for all."),
            "sensitive_word: It speaks of money trouble (`in debt`).",
        ),
        (
            link("https://example.com/hiv-boots"),
            "sensitive_word: It speaks of health (`hiv`).",
        ),
        (
            body("A loan for your new boots."),
            "undeclared_category: The ad is about credit (`loan`), which its campaign does not declare: set \
             `declared.categories` if it is, or change the words if it is not.",
        ),
        (
            link("https://example.com/casino"),
            "undeclared_category: The ad is about gambling (`casino`), which its campaign does not declare: set \
             `declared.categories` if it is, or change the words if it is not.",
        ),
    ] {
        assert_eq!(said, expected);
    }
}

#[test]
fn a_character_of_sixteen_code_points_is_the_longest() {
    for (marks, rule) in [(15, ""), (16, "malformed")] {
        let text = format!(
            "Try a pair of the{} boots in our shop in the town.",
            "\u{301}".repeat(marks)
        );
        assert_eq!(objection(&AdText::new(text)).0, rule, "{marks} marks");
    }
}

#[test]
fn the_limits_of_the_platform_count() {
    let platform = |headline, body| Platform {
        name: Slug::new("file").unwrap(),
        headline,
        body,
    };
    let text = plain();
    let graphemes = (26, 37);
    for (headline, body, rule) in [
        (graphemes.0, graphemes.1, ""),
        (graphemes.0 - 1, graphemes.1, "over_limit"),
        (graphemes.0, graphemes.1 - 1, "over_limit"),
    ] {
        let rules = Rules::new(&Settings {
            platforms: vec![platform(headline, body)],
            ..Settings::default()
        })
        .unwrap();
        assert_eq!(objection_of(&text, &rules).0, rule, "{headline} {body}");
    }
    let endless = AdText {
        platform: None,
        ..AdText::new("warm boots ".repeat(500))
    };
    let (rule, reason) = objection(&endless);
    assert_eq!(
        (rule, reason.as_str()),
        (
            "over_limit",
            "The body has 5500 graphemes, and any platform takes 5000."
        )
    );
}

#[test]
fn a_declared_category_runs_and_another_one_does_not() {
    let words = [
        (RegulatedCategory::Credit, "A mortgage for the shop in the town."),
        (
            RegulatedCategory::Housing,
            "An apartment in the middle of the town.",
        ),
        (
            RegulatedCategory::Employment,
            "We are now hiring for the shop in the town.",
        ),
        (
            RegulatedCategory::Politics,
            "Sign the petition for the park in the town.",
        ),
        (
            RegulatedCategory::Gambling,
            "Play bingo with all of your friends in the town.",
        ),
        (
            RegulatedCategory::Alcohol,
            "The best craft beer in the middle of the town.",
        ),
        (
            RegulatedCategory::Medicines,
            "Your pharmacy in the middle of the town.",
        ),
    ];
    for (category, body) in words {
        for declared in RegulatedCategory::ALL {
            let text = AdText {
                declared: Declaration {
                    categories: [declared].into(),
                    ..Declaration::default()
                },
                ..AdText::new(body)
            };
            let (rule, reason) = objection(&text);
            let expected = if declared == category {
                ""
            } else {
                "undeclared_category"
            };
            assert_eq!(rule, expected, "{body}: {declared:?}: {reason}");
        }
    }
    let two = AdText {
        declared: Declaration {
            categories: [RegulatedCategory::Credit].into(),
            ..Declaration::default()
        },
        ..AdText::new("A mortgage for the apartment in the town.")
    };
    let (rule, reason) = objection(&two);
    assert!(
        rule == "undeclared_category" && reason.contains("housing"),
        "{rule}: {reason}"
    );
}

#[test]
fn what_a_model_wrote_needs_its_mark_where_a_region_requires_it() {
    let text = |generator: &str, regions: &[Region], ai_generated: bool| AdText {
        generator: Some(generator.to_owned()),
        ai_generated,
        declared: Declaration {
            regions: regions.iter().copied().collect(),
            ..Declaration::default()
        },
        ..plain()
    };
    for (generator, regions, is_marked, rule) in [
        ("template/plain-1", &[][..], false, ""),
        ("llm/some-model", &[], false, "ai_mark"),
        ("llm/some-model", &[], true, ""),
        ("llm/some-model", &[Region::Eu], false, "ai_mark"),
        ("llm/some-model", &[Region::Canada], false, ""),
        ("llm/some-model", &[Region::Canada, Region::Eu], false, "ai_mark"),
        ("", &[], false, "ai_mark"),
        ("templates", &[], false, "ai_mark"),
    ] {
        let (found, reason) = objection(&text(generator, regions, is_marked));
        assert_eq!(found, rule, "{generator} {regions:?} {is_marked}: {reason}");
        if rule == "ai_mark" {
            assert!(
                reason.starts_with(&format!("`{generator}` is not a template"))
                    && reason.contains("Article 50(2) (the European Union) requires."),
                "{reason}"
            );
        }
    }
}

#[test]
fn pressure_is_refused_for_people_who_are_upset_and_for_nobody_else() {
    for body in [
        "Hurry, our boots are here in the town.",
        "Only a few pairs of the boots are left in stock.",
        "Last chance for the boots in our shop in the town.",
        "The sale ends tonight in our shop in the town.",
        "While stocks last, you can have all of the boots.",
    ] {
        let calm = AdText::new(body);
        assert_eq!(objection(&calm).0, "", "{body}");
        let upset = AdText {
            to_upset_people: true,
            ..calm
        };
        let (rule, reason) = objection(&upset);
        assert_eq!(rule, "pressure", "{body}");
        assert!(
            reason.starts_with("It presses to act at once (`") && reason.ends_with("its audience is upset."),
            "{reason}"
        );
    }
    let unhurried = AdText {
        to_upset_people: true,
        ..plain()
    };
    assert_eq!(objection(&unhurried).0, "");
}

/// Every entry of every list is found in an ad, by the rule of its list.
#[test]
fn every_entry_of_every_list_is_found() {
    for list in limbic_safety::WORD_LISTS {
        let (rule, cue) = match list.file {
            "en/feeling.tsv" => ("feeling", ""),
            "en/states.tsv" => ("feeling", "you are "),
            "en/shaming.tsv" => ("shaming", ""),
            "en/sensitive.tsv" => ("sensitive_word", ""),
            "en/pressure.tsv" => ("pressure", ""),
            "en/regulated.tsv" => ("undeclared_category", ""),
            _ => continue,
        };
        for (category, entry) in list.entries().filter(|(_, entry)| !entry.starts_with(['@', '='])) {
            let words = entry.replace(['*', '.'], "");
            let text = AdText {
                to_upset_people: rule == "pressure",
                ..AdText::new(format!(
                    "Here it is for all of us in the town: {cue}{words}, and this is what we have."
                ))
            };
            let (found, reason) = objection(&text);
            // A word may stand in two lists; the rule that comes first speaks.
            assert_ne!(found, "", "{}: {category}: {entry}", list.file);
            assert!(
                !matches!(found, "malformed" | "rule_failed" | "over_limit"),
                "{entry}: {reason}"
            );
        }
    }
}
