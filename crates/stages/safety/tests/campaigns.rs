//! Each rule about a whole campaign and about people, broken on purpose, with its reason.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use limbic_domain::{
    Declaration, Direction, Draft, Hold, HoldCause, PostRef, Region, RegulatedCategory, Slug, Transparency,
    Utc,
};
use limbic_safety::{Holds, Rules, Settings, Verdict, gate};
use serde_json::json;

fn draft() -> Draft {
    serde_json::from_value(json!({
        "moment": "m", "audience": "everyone:football", "direction": "up",
        "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0, "valence_error": 0.1,
            "judged": 30,
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
        "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0},
        "people": [{"person": "a".repeat(32), "distress": 0.0, "consent": "given", "minor": false}],
        "campaigns": [{"campaign": "spring", "bid": 1, "declared": {"advertiser": "Acme"}, "creatives": [
            {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                {"platform": "file", "headline": "Acme Boots", "body": "Hurry, try a pair of them in the town.", "link": "https://example.com"}}]}],
    }))
    .unwrap()
}

/// Made once: the word lists take a while without optimisation.
static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&Settings::default()).unwrap());

fn verdict(draft: &Draft, holds: &Holds) -> Verdict {
    gate(draft, Utc::from_millis(0), holds, &RULES).remove(0)
}

/// The suppression as `rule: reason`; empty if the campaign is cleared.
fn said(draft: &Draft) -> String {
    match verdict(draft, &Holds::new()) {
        Verdict::Cleared(_) => String::new(),
        Verdict::Suppressed { suppression, .. } => format!("{}: {}", suppression.rule, suppression.reason),
    }
}

/// The rule that suppresses the draft after a change; empty if none does.
fn after(change: impl Fn(&mut Draft)) -> String {
    let mut draft = draft();
    change(&mut draft);
    said(&draft)
}

#[test]
fn an_ordinary_campaign_is_cleared() {
    assert_eq!(said(&draft()), "");
}

#[test]
fn each_rule_about_a_campaign_gives_its_reason() {
    let since = "since 2026-01-01T00:00:00.000Z";
    for (said, expected) in [
        (
            after(|draft| draft.change.sensitive_events = 9),
            format!("sensitive_event: 9 of 30 posts {since} were read as reports of a death, a disaster or violence. At 15 % no ad runs."),
        ),
        (
            after(|draft| draft.change.sensitive_events = 3),
            format!(
                "sensitive_event: 3 of 30 posts {since} were read as reports of a death, a disaster or violence. There are too few posts \
                 to show that the share is below 15 %, from which on no ad runs."
            ),
        ),
        (
            after(|draft| draft.change.unread = 15),
            format!("unread_audience: 15 of 30 posts {since} are in languages in which distress cannot be read; at 50 % no ad runs."),
        ),
        (
            after(|draft| draft.change.unread = 31),
            "sensitive_event: 0 of 0 posts since 2026-01-01T00:00:00.000Z were read as reports of a death, a disaster or violence. At 15 % \
             no ad runs."
                .to_owned(),
        ),
        (
            after(|draft| draft.change.distressed = 6),
            format!("audience_distress: 6 of 30 posts {since} show distress. At 15 % no ad runs."),
        ),
        (
            after(|draft| draft.change.distressed = 3),
            format!(
                "audience_distress: 3 of 30 posts {since} show distress. There are too few posts to show that the share is below 15 %, from which on no \
                 ad runs."
            ),
        ),
        (
            after(|draft| {
                draft.direction = Direction::Down;
                draft.mood.emotions.insert("Grief".into(), 0.31);
            }),
            "audience_feeling: This audience feels grief (31 %) and its mood is falling; at 30 % no ad runs.".to_owned(),
        ),
        (
            after(|draft| {
                draft.mood.emotions.insert("fear".into(), 0.5);
            }),
            "audience_feeling: This audience feels fear (50 %); at 50 % no ad runs.".to_owned(),
        ),
        (
            after(|draft| draft.change.hateful = 5),
            format!(
                "audience_hate: 5 of 30 posts {since} were read as attacks on people because of a group that they belong to; at 15 % no ad \
                 runs."
            ),
        ),
        (
            after(|draft| draft.mood.offence = 0.4),
            "audience_offence: 40 % of the posts that this audience wrote lately were read as offensive; at 40 % no ad runs.".to_owned(),
        ),
        (
            after(|draft| {
                draft.campaigns[0].own_brand = true;
                draft.mood.valence = -0.25;
            }),
            "complaint: The audience's subject `football` is the campaign's own brand, and the audience is not pleased with it: its mean \
             valence is -0.25."
                .to_owned(),
        ),
        (
            after(|draft| {
                draft.campaigns[0].own_brand = true;
                draft.mood.emotions.insert("Disgust".into(), 0.2);
            }),
            "complaint: The audience's subject `football` is the campaign's own brand, and the audience is not pleased with it: it feels \
             Disgust (20 %)."
                .to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].campaign = Slug::new("funeral-plans").unwrap()),
            "sensitive_audience: The campaign `funeral-plans` touches grief and crisis (`funeral`), which is never a ground for advertising."
                .to_owned(),
        ),
        (
            after(|draft| draft.audience = "debtors:football".parse().unwrap()),
            "sensitive_audience: The audience `debtors-football` touches money trouble (`debtor`), which is never a ground for advertising."
                .to_owned(),
        ),
        (
            after(|draft| draft.audience = "everyone:union".parse().unwrap()),
            "sensitive_audience: The subject `union` touches union membership (`union`), which is never a ground for advertising.".to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].brands = vec![Slug::new("cancer-care").unwrap()]),
            "sensitive_audience: The brand `cancer-care` touches health (`cancer`), which is never a ground for advertising.".to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].campaign = Slug::new("mortgage-spring").unwrap()),
            "undeclared_campaign: The campaign `mortgage-spring` is about credit (`mortgage`), which it does not declare: set \
             `declared.categories` if it is, or change the words if it is not."
                .to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].declared = Declaration::default()),
            "transparency: The campaign does not say who advertises, which Regulation (EU) 2022/2065 (Digital Services Act), Article 26(1) \
             (the European Union) requires: set `declared.advertiser` in the campaign's settings."
                .to_owned(),
        ),
        (
            after(|draft| draft.people.clear()),
            "no_person_left: The moment has no person whom an ad could reach.".to_owned(),
        ),
        (
            after(|draft| draft.people[0].minor = true),
            "no_person_left: The only person it could reach had to be removed.".to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].creatives.clear()),
            "no_creative_left: There was no ad to choose from.".to_owned(),
        ),
        (
            after(|draft| draft.campaigns[0].creatives[0].rendering.body.clear()),
            "no_creative_left: The only ad had to be removed.".to_owned(),
        ),
    ] {
        assert_eq!(said, expected);
    }
}

#[test]
fn each_rule_about_people_gives_its_reason() {
    let reason = |field: &str, value: serde_json::Value| {
        let mut draft = serde_json::to_value(draft()).unwrap();
        draft["people"][0][field] = value;
        let draft: Draft = serde_json::from_value(draft).unwrap();
        let Verdict::Suppressed { removals, .. } = verdict(&draft, &Holds::new()) else {
            panic!("cleared");
        };
        assert_eq!(removals.len(), 1);
        assert_eq!(removals[0].removed, [format!("person/{}", "a".repeat(32))]);
        format!("{}: {}", removals[0].rule, removals[0].reason)
    };
    assert_eq!(
        reason("minor", json!(true)),
        "minor: A source or a text of theirs says or suspects that this person is a minor."
    );
    assert_eq!(
        reason("distress", json!(0.4)),
        "distress: What this person wrote lately may show distress; at 40 % or more no ad is shown."
    );
    assert_eq!(
        reason("consent", json!("denied")),
        "consent: This person refused ads based on what they write."
    );
    assert_eq!(
        reason("consent", json!("unknown")),
        "consent: The source requires this person's consent, and none is known."
    );
}

#[test]
fn several_people_and_ads_are_counted_in_the_reason() {
    let mut many = draft();
    many.people[0].minor = true;
    many.people.push(many.people[0].clone());
    assert_eq!(
        said(&many),
        "no_person_left: All 2 people it could reach had to be removed."
    );
    let mut few = draft();
    few.campaigns[0].creatives[0].rendering.body = "Feeling sad?".into();
    let twice = few.campaigns[0].creatives[0].clone();
    few.campaigns[0].creatives.push(twice);
    let Verdict::Suppressed {
        suppression,
        removals,
    } = verdict(&few, &Holds::new())
    else {
        panic!("cleared");
    };
    assert_eq!(suppression.reason, "All 2 ads had to be removed.");
    assert_eq!(removals[1].rule, "malformed");
    assert_eq!(removals[1].reason, "Another ad of this draft has the same id.");
    let rules = Rules::new(&Settings {
        fewest_people: 3,
        ..Settings::default()
    })
    .unwrap();
    let Verdict::Suppressed { suppression, .. } =
        gate(&draft(), Utc::from_millis(0), &Holds::new(), &rules).remove(0)
    else {
        panic!("cleared");
    };
    assert_eq!(
        suppression.reason,
        "Only 1 of 1 people are left, and the settings require 3."
    );
}

#[test]
fn a_hold_says_what_it_saw() {
    let hold = Hold {
        subject: Slug::new("acme").unwrap(),
        since: Utc::from_millis(0),
        until: Utc::from_millis(1_000),
        posts: 9,
        sensitive_events: 5,
        unread: 0,
        trigger: PostRef {
            network: Slug::new("bluesky").unwrap(),
            id: "1".into(),
        },
        cause: HoldCause::default(),
        released: None,
    };
    let mut holds = Holds::new();
    holds.insert("acme".to_owned(), hold.clone());
    let mut branded = draft();
    assert!(matches!(verdict(&branded, &holds), Verdict::Cleared(_)));
    branded.campaigns[0].brands = vec![hold.subject.clone()];
    let Verdict::Suppressed { suppression, .. } = verdict(&branded, &holds) else {
        panic!("cleared");
    };
    assert_eq!(
        (suppression.rule.as_str(), suppression.reason),
        ("hold", hold.reason())
    );
}

/// Where the ads run decides what they need.
#[test]
fn an_advertiser_is_needed_where_a_region_requires_it() {
    let requiring: BTreeSet<Region> = [Region::Eu, Region::Uk, Region::Brazil].into();
    for region in Region::ALL {
        for advertiser in [None, Some(String::new()), Some("  ".to_owned())] {
            let found = after(|draft| {
                draft.campaigns[0].declared = Declaration {
                    advertiser: advertiser.clone(),
                    regions: [region].into(),
                    ..Declaration::default()
                };
            });
            let is_needed = requiring.contains(&region);
            assert_eq!(
                found.starts_with("transparency: "),
                is_needed,
                "{region:?}: {found}"
            );
            assert_eq!(found.is_empty(), !is_needed, "{region:?}: {found}");
        }
    }
}

#[test]
fn political_ads_do_not_run_where_a_region_refuses_them() {
    let declaring = |category, regions: &[Region]| {
        after(|draft| {
            draft.campaigns[0].declared.categories = [category].into();
            draft.campaigns[0].declared.regions = regions.iter().copied().collect();
        })
    };
    let refused = "refused_category: The campaign is about politics, which may not be advertised by what people write in the European Union \
                   (Regulation (EU) 2024/900, Article 18: targeting needs an explicit consent for political advertising alone, and none is \
                   recorded).";
    assert_eq!(declaring(RegulatedCategory::Politics, &[Region::Eu]), refused);
    assert_eq!(
        declaring(RegulatedCategory::Politics, &[]),
        refused,
        "everywhere is there, too"
    );
    assert_eq!(declaring(RegulatedCategory::Politics, &[Region::Canada]), "");
    assert_eq!(declaring(RegulatedCategory::Credit, &[Region::Eu]), "");
}

#[test]
fn the_record_says_who_pays_and_why_the_ad_is_shown() {
    let record = |change: &dyn Fn(&mut Draft)| -> Option<Transparency> {
        let mut draft = draft();
        change(&mut draft);
        match verdict(&draft, &Holds::new()) {
            Verdict::Cleared(set) => set.transparency,
            Verdict::Suppressed { suppression, .. } => panic!("{suppression:?}"),
        }
    };
    let same = record(&|_| {}).unwrap();
    assert_eq!(
        (same.advertiser.as_str(), same.payer.as_str(), same.emotion_used),
        ("Acme", "Acme", true)
    );
    let other = record(&|draft| draft.campaigns[0].declared.payer = Some(" Acme Holding ".into())).unwrap();
    assert_eq!(
        (other.advertiser.as_str(), other.payer.as_str()),
        ("Acme", "Acme Holding")
    );
    let falls = record(&|draft| {
        draft.direction = Direction::Down;
        draft.campaigns[0].creatives[0].rendering.body = "Try a pair of them in the town.".into();
    })
    .unwrap();
    assert!(
        falls.parameters[1].contains("has become less pleasant since"),
        "{falls:?}"
    );
    let anonymous = record(&|draft| {
        draft.campaigns[0].declared = Declaration {
            regions: [Region::Canada].into(),
            ..Declaration::default()
        };
    });
    assert_eq!(anonymous, None);
}

/// The ad of [`draft`] presses ("Hurry").
#[test]
fn pressure_is_refused_from_the_stated_arousal_or_feeling_on() {
    let is_refused = |change: &dyn Fn(&mut Draft)| {
        let mut draft = draft();
        change(&mut draft);
        match verdict(&draft, &Holds::new()) {
            Verdict::Cleared(_) => false,
            Verdict::Suppressed {
                suppression,
                removals,
            } => {
                assert_eq!(suppression.rule, "no_creative_left");
                assert_eq!(removals[0].rule, "pressure");
                true
            }
        }
    };
    let mood = |valence: f64, arousal: f64| {
        move |draft: &mut Draft| {
            draft.mood.valence = valence;
            draft.mood.arousal = arousal;
        }
    };
    assert!(!is_refused(&mood(0.0, 0.9)));
    assert!(!is_refused(&mood(-0.1, 0.29)));
    assert!(is_refused(&mood(-0.1, 0.3)));
    assert!(is_refused(&mood(f64::NAN, 0.3)));
    assert!(is_refused(&mood(-0.1, f64::NAN)));
    assert!(is_refused(&|draft| {
        draft.change.mood.valence = -0.1;
        draft.change.mood.arousal = 0.3;
    }));
    for (feeling, strength, refused) in [
        ("anger", 0.2, true),
        ("Anger", 0.2, true),
        ("fear", 0.2, true),
        ("anger", 0.19, false),
        ("joy", 0.9, false),
    ] {
        let felt = |draft: &mut Draft| {
            draft.change.mood.emotions.insert(feeling.to_owned(), strength);
        };
        assert_eq!(is_refused(&felt), refused, "{feeling} {strength}");
    }
}
