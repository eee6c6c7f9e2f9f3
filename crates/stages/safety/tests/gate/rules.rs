//! Drafts, people and ads, one rule after the other.

use std::collections::BTreeSet;

use limbic_domain::{
    ConsentState, CreativeSet, Draft, Platform, Pseudonym, Recipient, Removal, Slug, Transparency,
};
use limbic_safety::{Rules, Settings, SettingsError, Verdict, ceiling};
use proptest::prelude::*;

use crate::kit::{allowed, any_draft, cleared, draft, judge, person, rules, suppressed, verdict};

#[test]
fn what_is_in_order_is_cleared_by_a_version() {
    let (draft, set) = (draft(), cleared(&draft(), &rules()));
    let campaign = &draft.campaigns[0];
    let expected = CreativeSet {
        moment: draft.moment.clone(),
        campaign: campaign.campaign.clone(),
        bid: campaign.bid,
        audience: draft.audience.clone(),
        direction: draft.direction,
        mood: draft.change.mood.clone(),
        people: draft.people.iter().map(|one| one.person.clone()).collect(),
        in_negative_feeling: Vec::new(),
        creatives: campaign.creatives.clone(),
        removals: Vec::new(),
        transparency: Some(Transparency {
            advertiser: "Acme".to_owned(),
            payer: "Acme".to_owned(),
            parameters: vec![
                "The ad is for people who lately wrote in public about `football` (the audience `everyone:football`).".to_owned(),
                "It is shown now because what this audience writes has become more pleasant since 2026-01-01T00:00:00.000Z."
                    .to_owned(),
            ],
            emotion_used: true,
        }),
        cleared_by: rules().version().to_owned(),
    };
    assert_eq!(set, expected);
}

#[test]
fn each_campaign_of_a_draft_has_its_own_verdict() {
    let mut draft = draft();
    draft.people[0].minor = true;
    for (name, headline) in [("funeral-plans", "Acme Boots"), ("autumn", "Feeling sad?")] {
        let mut campaign = draft.campaigns[0].clone();
        campaign.campaign = Slug::new(name).unwrap();
        for creative in &mut campaign.creatives {
            creative.rendering.headline = headline.to_owned();
        }
        draft.campaigns.push(campaign);
    }
    let verdicts = judge(&draft);
    let [Verdict::Cleared(set), second, third] = &verdicts[..] else {
        panic!("{verdicts:?}");
    };
    assert_eq!(set.campaign.as_str(), "spring");
    assert_eq!(set.people, [person(2).person, person(3).person]);
    for (verdict, expected) in [(second, "sensitive_audience"), (third, "no_creative_left")] {
        let Verdict::Suppressed { suppression, .. } = verdict else {
            panic!("{verdict:?}");
        };
        assert_eq!(suppression.rule, expected);
    }
    // A campaign is judged in company as it is alone.
    for (n, verdict) in verdicts.iter().enumerate() {
        let mut alone = draft.clone();
        alone.campaigns = vec![draft.campaigns[n].clone()];
        assert_eq!(&judge(&alone)[0], verdict);
    }
}

#[test]
fn a_number_that_is_none_holds_everything_back() {
    for bad in [f64::NAN, f64::INFINITY, -0.5, 2.0] {
        let mut unreadable = draft();
        unreadable.mood.distress = bad;
        assert_eq!(suppressed(&unreadable, &rules()).0.rule, "rule_failed", "{bad}");
        let mut unreadable = draft();
        unreadable.mood.emotions.insert("fear".into(), bad);
        assert_eq!(suppressed(&unreadable, &rules()).0.rule, "rule_failed", "{bad}");
        let mut person_unreadable = draft();
        person_unreadable.people[0].distress = bad;
        assert_eq!(cleared(&person_unreadable, &rules()).people.len(), 2, "{bad}");
    }
}

#[test]
fn a_person_is_taken_out_for_the_gravest_reason() {
    type Change = fn(&mut Recipient);
    let mut people = vec![person(0)];
    let reasons: [(&str, Change); 5] = [
        ("minor", |recipient| recipient.minor = true),
        ("distress", |recipient| recipient.distress = 0.4),
        ("consent", |recipient| recipient.consent = ConsentState::Denied),
        ("consent", |recipient| recipient.consent = ConsentState::Unknown),
        ("minor", |recipient| {
            recipient.minor = true;
            recipient.distress = 1.0;
            recipient.consent = ConsentState::Denied;
        }),
    ];
    for (n, (_, change)) in reasons.iter().enumerate() {
        let mut recipient = person(n + 1);
        change(&mut recipient);
        people.push(recipient);
    }
    let mut free = person(9);
    free.consent = ConsentState::NotRequired;
    people.push(free);
    let set = cleared(&Draft { people, ..draft() }, &rules());
    assert_eq!(set.people, [person(0).person, person(9).person]);
    let said = set
        .removals
        .iter()
        .flat_map(|removal| {
            removal
                .removed
                .iter()
                .map(|what| (removal.rule.as_str(), what.clone()))
        })
        .collect::<BTreeSet<_>>();
    let expected = reasons
        .iter()
        .enumerate()
        .map(|(n, (rule, _))| (*rule, format!("person/{}", person(n + 1).person)))
        .collect::<BTreeSet<_>>();
    assert_eq!(said, expected);
    assert_eq!(set.removals.len(), 4, "the two minors share a reason");
    assert!(
        set.removals
            .iter()
            .all(|removal| removal.reason.ends_with('.') && removal.reason.len() > 20)
    );
}

#[test]
fn who_is_named_twice_is_judged_by_the_worst() {
    let mut worse = person(1);
    worse.minor = true;
    let set = cleared(
        &Draft {
            people: vec![person(1), person(2), worse, person(2)],
            ..draft()
        },
        &rules(),
    );
    assert_eq!(set.people, [person(2).person]);
    assert_eq!(set.removals.len(), 1);
}

#[test]
fn with_nobody_left_nothing_runs() {
    let mut alone = draft();
    alone.people.truncate(1);
    alone.people[0].consent = ConsentState::Unknown;
    let (suppression, removals) = suppressed(&alone, &rules());
    assert_eq!(suppression.rule, "no_person_left");
    assert_eq!((removals.len(), removals[0].rule.as_str()), (1, "consent"));
    alone.people.clear();
    assert_eq!(suppressed(&alone, &rules()).0.rule, "no_person_left");
}

#[test]
fn a_list_of_people_is_bounded_below_and_above() {
    let settings = Settings {
        people: 3,
        fewest_people: 2,
        ..Settings::default()
    };
    let rules = Rules::new(&settings).unwrap();
    let many = Draft {
        people: (0..5).map(person).collect(),
        ..draft()
    };
    let set = cleared(&many, &rules);
    assert_eq!(
        set.people,
        [person(0), person(1), person(2)].map(|one| one.person),
        "those who posted last come first"
    );
    let [removal] = &set.removals[..] else {
        panic!("{:?}", set.removals);
    };
    assert_eq!(
        (removal.rule.as_str(), removal.removed.len()),
        ("people_limit", 2)
    );
    let one = Draft {
        people: vec![person(0)],
        ..draft()
    };
    assert_eq!(suppressed(&one, &rules).0.rule, "too_few_people");
}

#[test]
fn an_ad_over_its_platforms_limits_is_taken_out() {
    let platform = |headline| Platform {
        name: Slug::new("file").unwrap(),
        headline,
        body: 11,
    };
    let settings = Settings {
        platforms: vec![platform(40), platform(10)],
        ..Settings::default()
    };
    let set = cleared(&draft(), &Rules::new(&settings).unwrap());
    let left: Vec<_> = set
        .creatives
        .iter()
        .map(|creative| creative.id.as_str())
        .collect();
    assert_eq!(left, ["c1"], "the strictest of two counts");
    assert_eq!(set.removals[0].rule, "over_limit");
    let mut endless = draft();
    endless.campaigns[0].creatives[0].rendering.body = "word ".repeat(1_001);
    endless.campaigns[0].creatives[1].rendering.headline = "w".repeat(301);
    assert_eq!(
        suppressed(&endless, &rules()).0.rule,
        "no_creative_left",
        "without settings the ceiling holds"
    );
}

#[test]
fn what_was_removed_before_the_gate_is_still_named() {
    let mut draft = draft();
    let render = vec![Removal {
        rule: "render".into(),
        removed: vec!["template/x".into()],
        reason: "It failed.".into(),
    }];
    draft.campaigns[0].removals.clone_from(&render);
    assert_eq!(cleared(&draft, &rules()).removals, render);
    draft.campaigns[0].creatives.clear();
    let (suppression, removals) = suppressed(&draft, &rules());
    assert_eq!(
        (suppression.rule.as_str(), removals),
        ("no_creative_left", render)
    );
}

#[test]
fn settings_can_only_make_it_stricter() {
    type Change = fn(&mut Settings, f64);
    let limits: [(f64, Change); 5] = [
        (ceiling::AUDIENCE_DISTRESS, |settings, value| {
            settings.audience_distress = value;
        }),
        (ceiling::PERSON_DISTRESS, |settings, value| {
            settings.person_distress = value;
        }),
        (ceiling::ANY_DREAD, |settings, value| settings.any_dread = value),
        (ceiling::DOWN_DREAD, |settings, value| settings.down_dread = value),
        (ceiling::DOWN_SADNESS, |settings, value| {
            settings.down_sadness = value;
        }),
    ];
    for (most, change) in limits {
        for (value, passes) in [
            (most, true),
            (most / 2.0, true),
            (most + 0.001, false),
            (1.0, false),
            (0.0, false),
            (-1.0, false),
            (f64::NAN, false),
            (f64::INFINITY, false),
        ] {
            let mut settings = Settings::default();
            change(&mut settings, value);
            assert_eq!(settings.check().is_ok(), passes, "{value} of {most}");
        }
    }
    for (people, fewest_people) in [(257, 1), (0, 1), (10, 0), (10, 11)] {
        let settings = Settings {
            people,
            fewest_people,
            ..Settings::default()
        };
        assert!(
            matches!(settings.check(), Err(SettingsError::Count { .. })),
            "{people} {fewest_people}"
        );
    }
    let error = toml::from_str::<Settings>("audience_distress = 0.9")
        .unwrap()
        .check()
        .unwrap_err();
    assert!(error.to_string().contains("never more lenient"), "{error}");
    for unknown in [
        "enabled = false",
        "off = true",
        "skip = [\"minor\"]",
        "rules = []",
    ] {
        assert!(toml::from_str::<Settings>(unknown).is_err(), "{unknown}");
    }
}

#[test]
fn the_version_changes_with_the_rules() {
    let stricter = Settings {
        person_distress: 0.2,
        ..Settings::default()
    };
    assert_eq!(rules().version(), rules().version());
    assert_ne!(rules().version(), Rules::new(&stricter).unwrap().version());
    assert!(rules().version().starts_with("gate-4/"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whatever_comes_the_laws_hold(set in any_draft()) {
        let verdict = verdict(&set, &rules());
        let again = judge(&set);
        prop_assert_eq!(again.as_slice(), std::slice::from_ref(&verdict), "a function of its arguments");
        let (people, ads) = allowed(&verdict);
        let removals = match &verdict {
            Verdict::Cleared(cleared) => {
                prop_assert_eq!(&cleared.cleared_by, &rules().version().to_owned());
                prop_assert!(!cleared.people.is_empty() && !cleared.creatives.is_empty());
                prop_assert_eq!(cleared.people.len(), people.len(), "nobody twice");
                for person in &cleared.people {
                    for known in set.people.iter().filter(|known| known.person == *person) {
                        prop_assert!(!known.minor && known.consent.permits() && known.distress < ceiling::PERSON_DISTRESS);
                    }
                }
                prop_assert!(cleared.mood.distress < ceiling::AUDIENCE_DISTRESS);
                prop_assert!(!matches!(set.audience.subject(), "cancer" | "islam"));
                &cleared.removals
            }
            Verdict::Suppressed { suppression, removals } => {
                prop_assert!(suppression.reason.ends_with('.'));
                removals
            }
        };
        for removal in removals {
            prop_assert!(removal.reason.ends_with('.'));
            prop_assert!(!removal.removed.is_empty());
            for removed in &removal.removed {
                match removed.split_once('/') {
                    Some(("person", who)) => prop_assert!(!people.contains(&Pseudonym::new(who).unwrap())),
                    Some(("creative", which)) => prop_assert!(!ads.contains(which)),
                    other => prop_assert!(false, "{other:?}"),
                }
            }
        }
    }

    /// More distress, in the audience or in anyone, never clears more.
    #[test]
    fn more_distress_never_clears_more(set in any_draft(), audience in 0.0f64..0.5, persons in prop::collection::vec(0.0f64..1.0, 8)) {
        let mut worse = set.clone();
        worse.mood.distress += audience;
        worse.change.distressed += (audience * 20.0) as u64;
        worse.change.judged = worse.change.judged.max(1);
        worse.change.hateful = (worse.change.hateful + (audience * 10.0) as u64).min(worse.change.judged);
        worse.mood.offence = (worse.mood.offence + audience).min(1.0);
        worse.change.sensitive_events += (audience * 10.0) as u64;
        for (recipient, more) in worse.people.iter_mut().zip(persons) {
            recipient.distress = (recipient.distress + more).min(1.0);
        }
        let (people, ads) = allowed(&verdict(&set, &rules()));
        let (people_worse, ads_worse) = allowed(&verdict(&worse, &rules()));
        prop_assert!(people_worse.is_subset(&people));
        prop_assert!(ads_worse.is_subset(&ads));
    }

    /// Stricter settings never clear more than more lenient ones.
    #[test]
    fn stricter_settings_never_clear_more(set in any_draft(), share in 0.01f64..0.25, person in 0.01f64..0.5, dread in 0.01f64..0.3) {
        let lenient = Rules::new(&Settings {
            audience_distress: ceiling::AUDIENCE_DISTRESS,
            person_distress: ceiling::PERSON_DISTRESS,
            ..Settings::default()
        }).unwrap();
        let strict = Rules::new(&Settings {
            audience_distress: share,
            person_distress: person,
            down_dread: dread,
            any_dread: dread,
            ..Settings::default()
        }).unwrap();
        let (people, ads) = allowed(&verdict(&set, &lenient));
        let (people_strict, ads_strict) = allowed(&verdict(&set, &strict));
        prop_assert!(people_strict.is_subset(&people));
        prop_assert!(ads_strict.is_subset(&ads));
    }
}
