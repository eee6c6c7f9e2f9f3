//! What an audience feels, and what it must not be shown.

use limbic_domain::{Direction, Draft, Recipient, Slug, Utc};
use limbic_safety::{Holds, Rules, Settings, Verdict, ceiling, gate};

use crate::kit::{cleared, draft, hold, person, rules, suppressed, verdict};

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
