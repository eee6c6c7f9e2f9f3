//! What the gate promises.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use limbic_domain::{
    Approval, ApprovalRule, ConsentState, CreativeSet, Decision, Direction, Draft, Envelope, Hold, HoldCause,
    Platform, PostRef, Pseudonym, Recipient, Removal, ReviewMode, ReviewRequest, Slug, SuppressedBy,
    Suppression, TenantId, Transparency, Utc, Withdrawal, topics,
};
use limbic_safety::{Holds, Rules, SafetyStage, Settings, SettingsError, Verdict, ceiling, gate};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Effects, References};
use proptest::prelude::*;
use serde_json::json;

fn person(n: usize) -> Recipient {
    Recipient {
        person: Pseudonym::new(&format!("{n:032x}")).unwrap(),
        distress: 0.0,
        consent: ConsentState::Given,
        minor: false,
        valence: 0.0,
    }
}

fn draft() -> Draft {
    let creative = |id: &str, headline: &str| {
        json!({"id": id, "generator": "template/plain-1", "tone": "plain", "rendering":
            {"platform": "file", "headline": headline, "body": "Try a pair.", "link": "https://example.com/boots"}})
    };
    serde_json::from_value(json!({
        "moment": "m1", "audience": "everyone:football", "direction": "up",
        "change": {"since": "2026-01-01T00:00:00Z", "posts": 30, "distressed": 0, "sensitive_events": 0, "unread": 0, "valence_error": 0.1,
            "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {}, "distress": 0.0, "weight": 30.0}},
        "mood": {"valence": 0.5, "arousal": 0.5, "emotions": {"joy": 0.7, "fear": 0.1}, "distress": 0.02, "weight": 30.0},
        "people": [person(1), person(2), person(3)],
        "campaigns": [{"campaign": "spring", "bid": 1, "declared": {"advertiser": "Acme"},
            "creatives": [creative("c1", "Acme Boots"), creative("c2", "Acme Boots!")]}],
    }))
    .unwrap()
}

/// Made once: the word lists take a while without optimisation.
fn rules() -> Rules {
    static RULES: LazyLock<Rules> = LazyLock::new(|| Rules::new(&Settings::default()).unwrap());
    RULES.clone()
}

/// The verdicts without any hold.
fn judge(draft: &Draft) -> Vec<Verdict> {
    gate(draft, Utc::from_millis(0), &Holds::new(), &rules())
}

/// The verdict on the only campaign of a draft.
fn verdict(draft: &Draft, rules: &Rules) -> Verdict {
    let mut verdicts = gate(draft, Utc::from_millis(0), &Holds::new(), rules);
    assert_eq!(verdicts.len(), 1);
    verdicts.remove(0)
}

fn cleared(draft: &Draft, rules: &Rules) -> CreativeSet {
    match verdict(draft, rules) {
        Verdict::Cleared(set) => *set,
        Verdict::Suppressed {
            suppression,
            removals,
        } => panic!("suppressed: {suppression:?}, {removals:?}"),
    }
}

fn suppressed(draft: &Draft, rules: &Rules) -> (Suppression, Vec<Removal>) {
    match verdict(draft, rules) {
        Verdict::Suppressed {
            suppression,
            removals,
        } => (suppression, removals),
        Verdict::Cleared(set) => panic!("cleared: {set:?}"),
    }
}

#[test]
fn people_in_a_negative_feeling_are_marked_for_stricter_caps() {
    let mut draft = draft();
    draft.people.push(person(4));
    for (person, valence) in draft.people.iter_mut().zip([0.0, -0.01, f64::NAN, 1.0]) {
        person.valence = valence;
    }
    // The same person once more, in a better mood: the worst that is known counts. And one who is removed.
    draft.people.push(Recipient {
        valence: 0.9,
        ..person(2)
    });
    draft.people.push(Recipient {
        valence: -0.9,
        minor: true,
        ..person(5)
    });
    let set = cleared(&draft, &rules());
    assert_eq!(set.people, [1, 2, 3, 4].map(|n| person(n).person));
    assert_eq!(set.in_negative_feeling, [2, 3].map(|n| person(n).person));
}

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
fn an_audience_in_distress_gets_no_ad() {
    let mut at_the_limit = draft();
    at_the_limit.mood.distress = 0.15;
    let (suppression, _) = suppressed(&at_the_limit, &rules());
    assert_eq!(suppression.rule, "audience_distress");
    assert_eq!(
        suppression.reason,
        "15 % of what this audience wrote lately shows distress; at 15 % no ad runs."
    );
    at_the_limit.mood.distress = 0.149;
    cleared(&at_the_limit, &rules());
}

#[test]
fn fear_and_grief_are_no_occasion() {
    for (direction, emotion, strength, is_held) in [
        (Direction::Down, "fear", 0.30, true),
        (Direction::Down, "fear", 0.29, false),
        (Direction::Down, "Grief", 0.30, true),
        (Direction::Up, "fear", 0.49, false),
        (Direction::Up, "fear", 0.50, true),
        (Direction::Up, "despair", 0.50, true),
        (Direction::Down, "sadness", 0.59, false),
        (Direction::Down, "sadness", 0.60, true),
        (Direction::Up, "sadness", 0.90, false),
        (Direction::Down, "joy", 1.0, false),
    ] {
        let mut felt = draft();
        felt.direction = direction;
        felt.mood.emotions = [(emotion.to_owned(), strength)].into();
        match verdict(&felt, &rules()) {
            Verdict::Cleared(_) => assert!(!is_held, "{direction:?} {emotion} {strength}"),
            Verdict::Suppressed { suppression, .. } => {
                assert!(is_held, "{direction:?} {emotion} {strength}");
                assert_eq!(suppression.rule, "audience_feeling");
            }
        }
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

fn process(values: Vec<Vec<u8>>) -> Effects {
    process_with(References::new().with::<&str, &str>(topics::HOLDS, []), values)
}

fn process_with(references: References, values: Vec<Vec<u8>>) -> Effects {
    let records = values.into_iter().map(|value| {
        record(topics::DRAFTS)
            .partition(1)
            .key("mine/everyone:football")
            .at(Utc::from_millis(5))
            .value(value)
    });
    let mut harness = Harness::new(|| SafetyStage::new(rules())).described_by(SafetyStage::spec());
    let references = if references.get(topics::WITHDRAWALS).is_some() {
        references
    } else {
        references.with::<&str, &str>(topics::WITHDRAWALS, [])
    };
    harness.set_references(references);
    harness.process(records)
}

fn enveloped(draft: Draft) -> Vec<u8> {
    Envelope::new(
        TenantId::new("mine").unwrap(),
        "d".into(),
        Utc::from_millis(5),
        draft,
    )
    .encode()
}

#[test]
fn the_stage_writes_cleared_creatives_and_decisions_about_what_it_suppresses() {
    let mut grieving = draft();
    grieving.mood.distress = 0.9;
    let effects = process(vec![
        enveloped(draft()),
        enveloped(grieving),
        b"{\"type\":\"draft\"".to_vec(),
    ]);
    let written: Vec<_> = effects
        .records
        .iter()
        .map(|(partition, record)| (*partition, &*record.topic, &record.key[..]))
        .collect();
    assert_eq!(
        written,
        [
            (1, topics::CREATIVES, &b"mine/spring"[..]),
            (1, topics::DECISIONS, &b"mine/spring"[..])
        ]
    );

    let set = Envelope::<CreativeSet>::decode(&effects.records[0].1.value).unwrap();
    assert_eq!(set.data.cleared_by, rules().version());
    let decision = Envelope::<Decision>::decode(&effects.records[1].1.value).unwrap();
    assert_eq!(decision.id, Decision::id_of(&Slug::new("spring").unwrap(), "m1"));
    assert_eq!(decision.at, Utc::from_millis(5));
    let suppressed = decision.data.suppressed().unwrap();
    assert_eq!(suppressed.rule, "audience_distress");
    assert_eq!(
        suppressed.by,
        SuppressedBy::SafetyGate(rules().version().to_owned())
    );

    assert_eq!(effects.dead.len(), 1);
    assert_eq!(
        (effects.dead[0].record.offset, effects.dead[0].reason),
        (2, "malformed")
    );
}

fn any_recipient() -> impl Strategy<Value = Recipient> {
    let consent = prop_oneof![
        Just(ConsentState::NotRequired),
        Just(ConsentState::Given),
        Just(ConsentState::Denied),
        Just(ConsentState::Unknown)
    ];
    (0usize..6, 0.0f64..1.0, consent, prop::bool::weighted(0.2)).prop_map(|(n, distress, consent, minor)| {
        Recipient {
            distress,
            consent,
            minor,
            ..person(n)
        }
    })
}

fn any_draft() -> impl Strategy<Value = Draft> {
    let headline = prop_oneof![
        Just("Acme Boots".to_owned()),
        Just("Feeling sad?".to_owned()),
        Just("Losers!".to_owned()),
        "\\PC{0,30}"
    ];
    (
        prop::collection::vec(any_recipient(), 0..8),
        prop::collection::vec(headline, 0..4),
        0.0f64..0.3,
        prop::collection::btree_map("(fear|sadness|joy|grief)", 0.0f64..0.7, 0..3),
        any::<bool>(),
        "(football|cancer|coffee|islam)",
    )
        .prop_map(|(people, headlines, distress, emotions, falls, subject)| {
            let mut set = draft();
            let template = set.campaigns[0].creatives[0].clone();
            set.campaigns[0].creatives = headlines
                .into_iter()
                .enumerate()
                .map(|(n, headline)| {
                    let mut creative = template.clone();
                    creative.id = format!("c{n}");
                    creative.rendering.headline = headline;
                    creative
                })
                .collect();
            set.people = people;
            set.mood.distress = distress;
            set.mood.emotions = emotions;
            set.direction = if falls { Direction::Down } else { Direction::Up };
            set.audience = format!("everyone:{subject}").parse().unwrap();
            set
        })
}

/// Who and what may run: nothing, or the people and ads of the cleared set.
fn allowed(verdict: &Verdict) -> (BTreeSet<Pseudonym>, BTreeSet<String>) {
    match verdict {
        Verdict::Suppressed { .. } => Default::default(),
        Verdict::Cleared(set) => (
            set.people.iter().cloned().collect(),
            set.creatives.iter().map(|creative| creative.id.clone()).collect(),
        ),
    }
}

fn hold(subject: &str) -> Hold {
    Hold {
        subject: Slug::new(subject).unwrap(),
        since: Utc::from_millis(0),
        until: Utc::from_millis(86_400_000),
        posts: 9,
        sensitive_events: 5,
        unread: 0,
        trigger: PostRef {
            network: Slug::new("bluesky").unwrap(),
            id: "1".into(),
        },
        cause: HoldCause::default(),
        released: None,
    }
}

#[test]
fn a_cheerful_state_does_not_hide_the_posts_since_the_change() {
    let limit = Settings::default().audience_distress;
    // As it was: 14 posts of grief, and the decayed state still cheerful.
    let mut tragedy = draft();
    tragedy.change.posts = 14;
    tragedy.change.distressed = 9;
    assert!(tragedy.mood.distress < limit && tragedy.mood.valence > 0.0);
    let (suppression, _) = suppressed(&tragedy, &rules());
    assert_eq!(suppression.rule, "audience_distress");
    assert!(
        suppression.reason.contains("9 of 14 posts"),
        "{}",
        suppression.reason
    );
    // The worse of the two counts in the other direction too.
    let mut calmer = draft();
    calmer.mood.distress = 0.3;
    assert_eq!(suppressed(&calmer, &rules()).0.rule, "audience_distress");
    // So do emotions.
    let mut afraid = draft();
    afraid.change.mood.emotions.insert("fear".into(), 0.6);
    assert_eq!(suppressed(&afraid, &rules()).0.rule, "audience_feeling");
}

#[test]
fn hateful_and_offensive_audiences_get_no_ad_from_the_stated_share_on() {
    let Settings { offence, hate, .. } = Settings::default();
    let with = |judged: u64, offensive: u64, hateful: u64| {
        let mut draft = draft();
        draft.change.judged = judged;
        draft.change.offensive = offensive;
        draft.change.hateful = hateful;
        draft
    };
    let least = |limit: f64| (limit * 30.0).ceil() as u64;
    cleared(&with(30, least(offence) - 1, least(hate) - 1), &rules());
    cleared(&with(0, 0, 0), &rules());
    for (draft, rule, part) in [
        (
            with(30, least(offence), 0),
            "audience_offence",
            "of 30 posts since",
        ),
        (with(30, 0, least(hate)), "audience_hate", "of 30 posts since"),
        // Posts in which it is not read do not thin it.
        (with(4, 0, 1), "audience_hate", "1 of 4 posts since"),
    ] {
        let (suppression, _) = suppressed(&draft, &rules());
        assert_eq!(suppression.rule, rule);
        assert!(suppression.reason.contains(part), "{}", suppression.reason);
    }
    let mut lately = draft();
    lately.mood.hate = hate;
    assert_eq!(suppressed(&lately, &rules()).0.rule, "audience_hate");
    lately.mood.hate = 0.0;
    lately.mood.offence = offence;
    let (suppression, _) = suppressed(&lately, &rules());
    assert_eq!(suppression.rule, "audience_offence");
    assert!(
        suppression.reason.contains("wrote lately were read as offensive"),
        "{}",
        suppression.reason
    );
    for unreadable in [f64::NAN, -0.1, 1.1] {
        let mut draft = draft();
        draft.mood.hate = unreadable;
        assert_eq!(suppressed(&draft, &rules()).0.rule, "rule_failed", "{unreadable}");
    }
    assert_eq!(suppressed(&with(3, 0, 4), &rules()).0.rule, "rule_failed");
    let stricter = Rules::new(&Settings {
        hate: 0.01,
        ..Settings::default()
    })
    .unwrap();
    assert_eq!(suppressed(&with(30, 0, 1), &stricter).0.rule, "audience_hate");
    let more_lenient = Settings {
        hate: ceiling::HATE + 0.01,
        ..Settings::default()
    };
    let refused = Rules::new(&more_lenient).unwrap_err().to_string();
    assert!(refused.contains("safety.hate"), "{refused}");
}

#[test]
fn posts_that_name_an_event_suppress_and_so_do_too_few_posts_to_exclude_it() {
    for (posts, events, clears) in [
        (30, 0, true),
        (30, 2, true),
        (30, 3, false),
        (12, 0, true),
        (9, 0, false),
        (12, 1, false),
    ] {
        let mut draft = draft();
        draft.change.posts = posts;
        draft.change.sensitive_events = events;
        match verdict(&draft, &rules()) {
            Verdict::Cleared(_) => assert!(clears, "{events} of {posts} cleared"),
            Verdict::Suppressed { suppression, .. } => {
                assert!(!clears, "{events} of {posts}: {suppression:?}");
                assert_eq!(suppression.rule, "sensitive_event");
            }
        }
    }
}

#[test]
fn an_audience_that_cannot_be_read_gets_no_ad() {
    let mut foreign = draft();
    foreign.change.posts = 40;
    foreign.change.unread = 20;
    assert_eq!(suppressed(&foreign, &rules()).0.rule, "unread_audience");
    foreign.change.unread = 19;
    cleared(&foreign, &rules());
}

#[test]
fn the_policy_sees_what_the_audience_feels_now() {
    let mut draft = draft();
    draft.change.mood.valence = 0.75;
    assert_eq!(cleared(&draft, &rules()).mood, draft.change.mood);
}

#[test]
fn who_complains_about_a_brand_is_not_shown_its_ad() {
    let mut pleased = draft();
    pleased.campaigns[0].own_brand = true;
    cleared(&pleased, &rules());
    let mut falls = pleased.clone();
    falls.direction = Direction::Down;
    let mut unhappy = pleased.clone();
    unhappy.change.mood.valence = -0.1;
    let mut was_unhappy = pleased.clone();
    was_unhappy.mood.valence = -0.4;
    let mut angry = pleased;
    angry.change.mood.emotions.insert("annoyance".into(), 0.25);
    for complains in [falls, unhappy, was_unhappy, angry] {
        let (suppression, _) = suppressed(&complains, &rules());
        assert_eq!(suppression.rule, "complaint");
        let mut another = complains.clone();
        another.campaigns[0].own_brand = false;
        cleared(&another, &rules());
    }
}

#[test]
fn a_hold_stops_the_subject_in_every_audience_and_the_brand_everywhere() {
    let at = Utc::from_millis(5);
    let judge = |draft: &Draft, subject: &str, at: Utc| {
        let hold = hold(subject);
        let mut holds = Holds::new();
        holds.insert(hold.subject.to_string(), hold);
        gate(draft, at, &holds, &rules()).remove(0)
    };
    let mut fans = draft();
    fans.audience = "fans:football".parse().unwrap();
    let mut branded = draft();
    branded.campaigns[0].brands = vec![Slug::new("acme-air").unwrap()];
    for (draft, subject) in [
        (&draft(), "football"),
        (&fans, "football"),
        (&branded, "acme-air"),
    ] {
        let Verdict::Suppressed { suppression, .. } = judge(draft, subject, at) else {
            panic!("{subject} is on hold");
        };
        assert_eq!(suppression.rule, "hold");
        assert!(
            suppression.reason.contains("5 were read as reports of a death"),
            "{}",
            suppression.reason
        );
        let later = Utc::from_millis(86_400_000);
        assert!(
            matches!(judge(draft, subject, later), Verdict::Cleared(_)),
            "the cool-down is over"
        );
    }
    assert!(matches!(judge(&draft(), "tennis", at), Verdict::Cleared(_)));
}

#[test]
fn the_stage_reads_the_holds_of_the_draft_s_tenant_and_clears_nothing_it_cannot_read() {
    let envelope = |tenant: &str| {
        let tenant = TenantId::new(tenant).unwrap();
        Envelope::new(tenant, "h".into(), Utc::from_millis(1), hold("football")).encode()
    };
    let rule = |key: &'static str, value: Vec<u8>| {
        let references = References::new().with(topics::HOLDS, [(key, value)]);
        let effects = process_with(references, vec![enveloped(draft())]);
        match effects.dead.first() {
            Some(letter) => letter.reason.to_owned(),
            None if *effects.records[0].1.topic == *topics::CREATIVES => "cleared".to_owned(),
            None => {
                let decision = Envelope::<Decision>::decode(&effects.records[0].1.value).unwrap();
                decision.data.suppressed().unwrap().rule.clone()
            }
        }
    };
    assert_eq!(rule("mine/football", envelope("mine")), "hold");
    assert_eq!(rule("other/football", envelope("other")), "cleared");
    assert_eq!(rule("mine/football", b"{}".to_vec()), "hold_unreadable");
}

#[test]
fn a_person_who_took_a_post_back_is_left_out_and_what_cannot_be_read_clears_nothing() {
    let draft = draft();
    let person = draft.people[0].person.clone();
    let process = |key: String, value: Vec<u8>| {
        let references = References::new()
            .with::<&str, &str>(topics::HOLDS, [])
            .with(topics::WITHDRAWALS, [(key, value)]);
        process_with(references, vec![enveloped(draft.clone())])
    };
    let written = |tenant: &str| {
        let tenant = TenantId::new(tenant).unwrap();
        let deleted_at = Utc::from_millis(1);
        let key = Withdrawal::key(&tenant, &person);
        let withdrawal = Withdrawal {
            person: person.clone(),
            deleted_at,
        };
        (
            key,
            Envelope::new(tenant, "w".into(), deleted_at, withdrawal).encode(),
        )
    };
    let cleared = |effects: &Effects| {
        let record = &effects.records[0].1;
        assert_eq!(&*record.topic, topics::CREATIVES);
        Envelope::<CreativeSet>::decode(&record.value).unwrap().data
    };
    let (key, value) = written("mine");
    let set = cleared(&process(key.clone(), value));
    assert!(!set.people.contains(&person) && set.people.len() == draft.people.len() - 1);
    assert!(
        set.removals.iter().any(|removal| removal.rule == "withdrawn"),
        "{:?}",
        set.removals
    );
    let (of_another, value) = written("other");
    assert!(cleared(&process(of_another, value)).people.contains(&person));
    let unreadable = process(key, b"{}".to_vec());
    assert_eq!(unreadable.dead[0].reason, "hold_unreadable");
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

/// A draft of which every ad waits for a person.
fn unreviewed() -> Draft {
    let mut draft = draft();
    draft.campaigns[0].review = ReviewMode::All;
    draft
}

fn approved(draft: &mut Draft, ad: usize) {
    draft.campaigns[0].creatives[ad].approval = Some(Approval {
        rule: ApprovalRule::Person,
        by: Some("key:0011aabb".into()),
        at: Some(Utc::from_millis(3)),
        edited_from: None,
    });
}

#[test]
fn an_ad_that_nobody_approved_does_not_run() {
    let Verdict::Suppressed {
        suppression,
        removals,
    } = verdict(&unreviewed(), &rules())
    else {
        panic!("an ad runs that nobody approved");
    };
    assert_eq!(suppression.rule, "no_creative_left");
    assert_eq!(removals[0].rule, "awaits_review");
    assert_eq!(removals[0].removed, ["creative/c1", "creative/c2"]);
    let mut one = unreviewed();
    approved(&mut one, 1);
    let Verdict::Cleared(set) = verdict(&one, &rules()) else {
        panic!("an approved ad does not run");
    };
    assert_eq!(set.creatives.len(), 1);
    assert_eq!(set.creatives[0].id, "c2");
    assert!(
        set.creatives[0].approval.is_some(),
        "a decision says who approved its ad"
    );
}

#[test]
fn only_texts_of_a_model_wait_if_the_mode_says_so() {
    let mut draft = draft();
    draft.campaigns[0].review = ReviewMode::AiTexts;
    draft.campaigns[0].creatives[0].ai_generated = true;
    let Verdict::Cleared(set) = verdict(&draft, &rules()) else {
        panic!("nothing runs");
    };
    let ids: Vec<&str> = set.creatives.iter().map(|ad| ad.id.as_str()).collect();
    assert_eq!(ids, ["c2"]);
}

#[test]
fn an_approval_outweighs_no_other_rule() {
    let mut draft = unreviewed();
    approved(&mut draft, 0);
    draft.campaigns[0].creatives[0].rendering.headline = "Feeling sad?".into();
    let Verdict::Suppressed { removals, .. } = verdict(&draft, &rules()) else {
        panic!("an approved ad about feelings runs");
    };
    assert!(removals.iter().any(|removal| removal.rule == "feeling"));
}

/// The table of reviews after these effects.
fn reviews(effects: &Effects) -> Vec<(String, Vec<u8>)> {
    let written = effects.records.iter().map(|(_, record)| record);
    written
        .filter(|record| &*record.topic == topics::REVIEWS)
        .map(|record| {
            (
                String::from_utf8(record.key.to_vec()).unwrap(),
                record.value.to_vec(),
            )
        })
        .collect()
}

fn with_reviews(reviews: Vec<(String, Vec<u8>)>) -> References {
    References::new()
        .with::<&str, &str>(topics::HOLDS, [])
        .with(topics::REVIEWS, reviews)
}

#[test]
fn a_person_is_asked_once_about_each_ad_that_only_waits_for_them() {
    let mut draft = unreviewed();
    draft.campaigns[0].creatives[1].rendering.headline = "Feeling sad?".into();
    let first = process_with(with_reviews(Vec::new()), vec![enveloped(draft.clone())]);
    let asked = reviews(&first);
    let [(key, value)] = &asked[..] else {
        panic!("one of the two ads only waits: {asked:?}");
    };
    assert_eq!(key, "mine/spring/c1/request");
    let request = Envelope::<ReviewRequest>::decode(value).unwrap();
    assert_eq!(request.data.creative.id, "c1");
    assert_eq!(
        (request.data.moment.as_str(), request.at),
        ("m1", Utc::from_millis(5))
    );
    let again = process_with(with_reviews(asked), vec![enveloped(draft.clone())]);
    assert_eq!(reviews(&again), [], "the request is known");
    // Another instance, or the same one after a kill, has not seen the request: it writes the same one.
    let repeated = process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
    assert_eq!(reviews(&repeated), reviews(&first));
}

#[test]
fn a_suppressed_campaign_asks_nobody() {
    let mut draft = unreviewed();
    draft.mood.distress = 0.9;
    let effects = process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
    assert_eq!(reviews(&effects), []);
}

/// Counts warnings of the log.
#[derive(Default)]
struct Warnings(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl tracing::Subscriber for Warnings {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::WARN
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn the_log_warns_of_ads_about_which_nobody_is_asked_and_of_no_others() {
    let model = draft().campaigns[0].creatives[0].clone();
    let warnings = |ads: usize| {
        let mut draft = unreviewed();
        draft.campaigns[0].creatives = (0..ads)
            .map(|number| limbic_domain::Creative {
                id: format!("n{number:03}"),
                ..model.clone()
            })
            .collect();
        let counted = Warnings::default();
        let count = std::sync::Arc::clone(&counted.0);
        tracing::subscriber::with_default(counted, || {
            process_with(with_reviews(Vec::new()), vec![enveloped(draft)]);
        });
        count.load(std::sync::atomic::Ordering::Relaxed) > 0
    };
    assert!(!warnings(1));
    assert!(!warnings(500), "so many may wait");
    assert!(warnings(501));
}

#[test]
fn the_ads_that_wait_are_bounded() {
    let mut draft = unreviewed();
    let model = draft.campaigns[0].creatives[0].clone();
    draft.campaigns[0].creatives = (0..502)
        .map(|number| limbic_domain::Creative {
            id: format!("n{number:03}"),
            ..model.clone()
        })
        .collect();
    let first = process_with(with_reviews(Vec::new()), vec![enveloped(draft.clone())]);
    let mut table = reviews(&first);
    assert_eq!(table.len(), 500);
    let full = process_with(with_reviews(table.clone()), vec![enveloped(draft.clone())]);
    assert_eq!(reviews(&full), []);
    table.push(("mine/spring/n000/verdict".to_owned(), b"{}".to_vec()));
    let freed = process_with(with_reviews(table), vec![enveloped(draft)]);
    let asked: Vec<String> = reviews(&freed).into_iter().map(|(key, _)| key).collect();
    assert_eq!(
        asked,
        ["mine/spring/n500/request"],
        "a verdict makes room for one more"
    );
}

#[test]
fn what_is_on_the_picture_is_judged_too() {
    let with = |brand: &str, button: &str| {
        let mut draft = draft();
        draft.campaigns[0].creatives.truncate(1);
        draft.campaigns[0].creatives[0].picture = Some(limbic_domain::Picture {
            image: "x/post/landscape".into(),
            width: 1200,
            height: 628,
            brand: brand.into(),
            button: button.into(),
            colours: Vec::new(),
            background: None,
        });
        draft
    };
    let set = cleared(&with("Acme Boots", "Try a pair"), &rules());
    assert!(set.creatives[0].picture.is_some());
    cleared(&with("", ""), &rules());
    for (brand, button, rule) in [
        ("Acme Cancer Care", "Try a pair", "sensitive_word"),
        ("Acme Boots", "Take out a loan", "undeclared_category"),
        ("Acme Boots", "Bo\u{200b}ots", "malformed"),
        ("Ботинки", "Try a pair", "unreadable"),
        (
            "Acme Boots",
            "Probieren Sie die Stiefel jetzt an",
            "unknown_language",
        ),
    ] {
        let (suppression, removals) = suppressed(&with(brand, button), &rules());
        assert_eq!(suppression.rule, "no_creative_left");
        assert_eq!(removals[0].rule, rule, "{brand} {button}");
    }
}

#[test]
fn a_card_over_a_picture_of_a_model_needs_the_mark_and_then_a_person() {
    let with = |is_marked: bool, approval: serde_json::Value| {
        let mut draft = draft();
        draft.campaigns[0].creatives.truncate(1);
        draft.campaigns[0].review = ReviewMode::AiTexts;
        let ad = &mut draft.campaigns[0].creatives[0];
        ad.ai_generated = is_marked;
        ad.approval = serde_json::from_value(approval).unwrap();
        let picture = serde_json::json!({
            "image": "x/post/landscape", "width": 1200, "height": 628, "brand": "Acme Boots", "button": "Try a pair",
            "background": {"file": "ab.png", "model": "own/small-1", "strategy": "backdrop", "prompt": {"version": 1, "hash": "00"}},
        });
        ad.picture = serde_json::from_value(picture).unwrap();
        draft
    };
    let approved = serde_json::json!({"rule": "person", "by": "key-1", "at": "2026-11-30T12:00:00Z"});
    for (draft, rule) in [
        (with(false, approved.clone()), "ai_mark"),
        (with(true, serde_json::Value::Null), "awaits_review"),
    ] {
        let (suppression, removals) = suppressed(&draft, &rules());
        assert_eq!(suppression.rule, "no_creative_left");
        assert_eq!(removals[0].rule, rule);
    }
    let set = cleared(&with(true, approved), &rules());
    assert!(set.creatives[0].picture.as_ref().unwrap().background.is_some());
}
