//! The tests of [`audience`](super).

use super::*;
use limbic_domain::{Direction, TextFingerprint};

use crate::waiting::tests::feeling;

#[test]
fn it_survives_being_written_and_torn_bytes_are_told() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    for post in 0..500 {
        audience.add(
            &feeling(post, post * 997, if post % 3 == 0 { 0.7 } else { -0.2 }),
            &settings,
        );
    }
    let bytes = audience.to_bytes();
    assert_eq!(Audience::from_bytes(&bytes), Ok(audience));
    for length in (0..bytes.len()).step_by(37) {
        assert!(Audience::from_bytes(&bytes[..length]).is_err(), "{length}");
    }
}

/// Bets on a change that has long been found win with every post. They once became infinite, and then the state could not be read.
#[test]
fn it_can_be_read_however_long_a_mood_stays_changed() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    let (mut changes, mut at) = (0, 0);
    for post in 0..12_000_i64 {
        let mood = if post < 2_000 { 0.0 } else { 0.9 };
        // Later, all posts come at one instant: then no new capital starts.
        at += if post < 6_000 { 2_000 } else { 0 };
        let noise = if post % 2 == 0 { 0.1 } else { -0.1 };
        let found = audience.add(&feeling(post, at, mood + noise), &settings);
        changes += usize::from(found.is_some());
        if post % 500 == 0 {
            assert_eq!(
                Audience::from_bytes(&audience.to_bytes()),
                Ok(audience.clone()),
                "post {post}"
            );
        }
    }
    assert!(changes > 0, "the mood did not change");
}

#[test]
fn a_moment_names_those_who_spoke_last_newest_first_and_once() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    for post in 0..600 {
        audience.add(&feeling(post, post * 1_000, 0.0), &settings);
    }
    let spoken: Vec<_> = audience.reach(Utc::from_millis(599_000), &settings);
    assert_eq!(spoken.len(), 256);
    assert_eq!(spoken[0].person, feeling(599, 0, 0.0).person);
    audience.add(&feeling(400, 599_500, 0.0), &settings);
    let spoken = audience.reach(Utc::from_millis(599_500), &settings);
    assert_eq!(spoken[0].person, feeling(400, 0, 0.0).person);
    let again = spoken
        .iter()
        .filter(|target| target.person == spoken[0].person)
        .count();
    assert_eq!((spoken.len(), again), (256, 1));
    let a_day_later = Utc::from_millis(599_000 + 86_400_000);
    assert_eq!(
        audience.reach(a_day_later, &settings).len(),
        2,
        "the others are out of reach"
    );
}

#[test]
fn a_late_post_only_makes_us_more_careful() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    let mut late = feeling(1, 1_000, 0.0);
    late.person_distress = 0.9;
    late.consent = ConsentState::Denied;
    late.person_valence = -0.001;
    audience.add(&feeling(1, 5_000, 0.0), &settings);
    audience.add(&late, &settings);
    let target = &audience.reach(Utc::from_millis(5_000), &settings)[0];
    assert_eq!(target.consent, ConsentState::Denied);
    assert!(target.distress > 0.89);
    assert!(target.valence < 0.0, "{}", target.valence);
}

#[test]
fn what_is_said_elsewhere_protects_here_and_counts_for_nothing() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    audience.add(&feeling(1, 1_000, 0.5), &settings);
    let mood = audience.mood();
    let mut elsewhere = feeling(1, 2_000, -1.0);
    elsewhere.person_distress = 0.9;
    elsewhere.consent = ConsentState::Denied;
    elsewhere.minor = true;
    audience.protect(&elsewhere);
    audience.protect(&feeling(2, 2_000, -1.0));
    let reached = audience.reach(Utc::from_millis(2_000), &settings);
    assert_eq!(reached.len(), 1, "who never spoke here is not known here");
    assert!(reached[0].distress > 0.89 && reached[0].minor && reached[0].consent == ConsentState::Denied);
    assert_eq!(audience.mood(), mood);
}

#[test]
fn after_a_move_the_usual_level_is_kept() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    let mut moments = Vec::new();
    for post in 0..4_000_i64 {
        let level = if post < 2_000 { -0.2 } else { 0.3 };
        let wobble = if post % 2 == 0 { 0.4 } else { -0.4 };
        moments.extend(audience.add(&feeling(post, post * 1_000, level + wobble), &settings));
    }
    assert_eq!(moments.len(), 1, "{moments:?}");
    let moment = &moments[0];
    assert_eq!(moment.direction, Direction::Up);
    let delay = moment.trigger.id.parse::<i64>().unwrap() - 2_000;
    assert!((0..150).contains(&delay), "found after {delay} posts");
    let began = moment.change.since.as_millis() / 1_000;
    assert!((1_980..2_020).contains(&began), "{began}");
    assert!((moment.baseline + 0.2).abs() < 0.05, "{}", moment.baseline);
    assert!(
        (audience.baseline() + 0.2).abs() < 0.05,
        "{}",
        audience.baseline()
    );
}

/// A calm audience of many people, one post every ten seconds for ten hours: the last post's number.
fn calm(audience: &mut Audience, settings: &Settings) -> i64 {
    for post in 0..3_600_i64 {
        let wobble = if post % 2 == 0 { 0.3 } else { -0.3 };
        let found = audience.add(&feeling(post, post * 10_000, wobble), settings);
        assert_eq!(found, None);
    }
    3_600
}

#[test]
fn copies_of_one_text_and_posts_of_one_person_raise_nothing_and_as_many_others_do() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    let first = calm(&mut audience, &settings);
    let raised = |of: &dyn Fn(i64) -> WaitingFeeling, posts: i64| {
        let mut audience = audience.clone();
        (0..posts).any(|post| audience.add(&of(post), &settings).is_some())
    };
    let cheer = |post: i64| feeling(first + post, (first + post) * 10_000, 0.9);
    assert!(raised(&cheer, 40), "40 people with texts of their own");
    let copy = |post: i64| {
        let mut copy = cheer(post);
        // Copies differ in a bit or two.
        copy.fingerprint = Some(TextFingerprint::from_bits(
            0x0123_4567_89ab_cdef ^ (1 << (post % 3)),
        ));
        copy
    };
    assert!(!raised(&copy, 100), "100 copies of one text by 100 accounts");
    let shout = |post: i64| {
        let mut shout = feeling(first, (first + post) * 10_000, 0.9);
        shout.fingerprint = Some(TextFingerprint::from_bits(
            (post as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        ));
        shout
    };
    assert!(!raised(&shout, 100), "100 posts by one person");
    let program = |post: i64| {
        let mut program = cheer(post);
        program.automated = true;
        program
    };
    assert!(!raised(&program, 40), "40 accounts that post like programs");
    let mixed = |post: i64| if post % 2 == 0 { cheer(post) } else { copy(post) };
    let mut audience = audience.clone();
    let moment = (0..120)
        .find_map(|post| audience.add(&mixed(post), &settings))
        .unwrap();
    let share = moment.change.copied as f64 / moment.change.posts as f64;
    assert!(
        (0.35..0.6).contains(&share),
        "the moment says how many are copies: {share}"
    );
}

/// The state that the program wrote before it knew hours, copies and returns.
#[test]
fn the_first_versions_state_goes_on_with_its_baseline() {
    struct Old;
    impl StateValue for Old {
        const VERSION: u8 = 1;

        fn encode(&self, to: &mut Encoder) {
            Mood::new().write(to);
            // The baseline: 1,000 posts of a mean of 0.25.
            to.time(Utc::from_millis(0));
            for number in [1_000.0, 1_000.0, 250.0, 100.0] {
                to.number(number);
            }
            to.unsigned(7);
            for _ in 0..10 {
                to.number(3.0);
                to.number(2.0);
                to.time(Utc::from_millis(0));
                to.unsigned(5);
                to.unsigned(3);
                to.number(0.5);
                to.number(0.25);
            }
            to.length(1);
            to.text("joy");
            to.length(1);
            to.unsigned(5);
            to.time(Utc::from_millis(0));
            for count in [3, 0, 0, 0, 3] {
                to.unsigned(count);
            }
            for sum in [0.5, 0.25, 1.0] {
                to.number(sum);
            }
            to.unsigned(3);
            to.number(0.75);
            to.time(Utc::from_millis(50));
            to.length(1);
            to.pseudonym(&feeling(9, 0, 0.0).person);
            to.time(Utc::from_millis(40));
            to.number(0.1);
            to.consent(ConsentState::Given);
            to.flag(false);
        }

        fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
            Ok(Self)
        }
    }
    let mut audience = Audience::from_bytes(&Old.to_bytes()).unwrap();
    assert_eq!(audience.people[0].person, feeling(9, 0, 0.0).person);
    let settings = Settings::default();
    assert_eq!(audience.add(&feeling(10, 1_000, 0.25), &settings), None);
    assert!(
        (audience.baseline() - 0.25).abs() < 1e-9,
        "{}",
        audience.baseline()
    );
    assert_eq!(Audience::from_bytes(&audience.to_bytes()), Ok(audience));
}

/// The state that the program wrote before it knew offence, hate, intentions and brands.
#[test]
fn the_second_versions_state_goes_on_with_its_posts() {
    struct Old;
    impl StateValue for Old {
        const VERSION: u8 = 2;

        fn encode(&self, to: &mut Encoder) {
            Mood::new().write(to);
            ChangeTest::new().write(to);
            to.length(1);
            to.text("joy");
            to.length(1);
            to.unsigned(5);
            to.time(Utc::from_millis(40));
            for count in [3, 1, 2, 0, 1, 0, 3] {
                to.unsigned(count);
            }
            for sum in [0.75, 0.25, 1.5] {
                to.number(sum);
            }
            to.unsigned(3);
            to.number(0.75);
            Texts::new().write(to);
            to.length(1);
            to.pseudonym(&feeling(9, 0, 0.0).person);
            to.time(Utc::from_millis(40));
            to.number(0.1);
            to.consent(ConsentState::Given);
            to.flag(false);
            to.unsigned(4);
            to.time(Utc::from_millis(30));
        }

        fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
            Ok(Self)
        }
    }
    let audience = Audience::from_bytes(&Old.to_bytes()).unwrap();
    let change = audience.changes.since(5).unwrap();
    let counts = (change.posts, change.distressed, change.sensitive_events);
    assert_eq!(counts, (3, 1, 2));
    assert_eq!((change.judged, change.offensive, change.hateful), (0, 0, 0));
    assert!((change.mood.valence - 0.25).abs() < 1e-12, "{change:?}");
    assert_eq!(audience.people[0].number, 4);
    assert!(
        audience.people[0].valence.abs() < 1e-12,
        "no version before the fourth knew it"
    );
    assert_eq!(Audience::from_bytes(&audience.to_bytes()), Ok(audience));
}

#[test]
fn a_moment_and_the_state_say_how_much_is_offensive_or_hateful() {
    let settings = Settings::default();
    let mut audience = Audience::new();
    let first = calm(&mut audience, &settings);
    let hostile = |post: i64| {
        let mut hostile = feeling(first + post, (first + post) * 10_000, -0.9);
        hostile.offence = Some(0.9);
        hostile.hate = (post % 2 == 0).then_some(0.8);
        hostile
    };
    let moment = (0..60).find_map(|post| audience.add(&hostile(post), &settings));
    let moment = moment.expect("60 people with another mood are noticed");
    let change = &moment.change;
    assert!(change.offensive >= 5 && change.hateful >= 2, "{change:?}");
    assert!(
        change.mood.offence > 0.7 && moment.mood.offence > 0.1,
        "{moment:?}"
    );
    let status = Shown::from(Utc::from_millis(0));
    let audience_id = "everyone:football".parse().unwrap();
    let status = audience.status(&audience_id, &status, &settings);
    assert!(status.mood.hate > 0.05 && status.mood.offence > status.mood.hate);
}

/// The whole procedure, its baselines learnt from the stream itself: what [`crate::Detector`] promises for a mean within
/// the band holds over all posts, moments and new baselines of streams in which nothing changes.
#[test]
fn false_alarms_are_as_rare_as_promised_with_a_baseline_that_was_learnt() {
    use rand::{Rng, SeedableRng};
    let mut settings = Settings::default();
    settings.audience.people = 1;
    settings.change.alpha = 1e-2;
    // The budget in time allows more.
    settings.change.false_moments = 10_000.0;
    settings.change.audiences = 1;
    settings.change.tolerance = 0.0;
    settings.change.cooldown = limbic_domain::HumanDuration::ZERO;
    let mut chance = rand_chacha::ChaCha8Rng::seed_from_u64(4);
    let (mut posts, mut moments) = (0_u64, 0_u64);
    for audience_number in 0..30 {
        let mean = f64::from(audience_number) / 40.0 - 0.375;
        let mut audience = Audience::new();
        for post in 0..4_000 {
            let x = if chance.random_bool(f64::midpoint(mean, 1.0)) {
                1.0
            } else {
                -1.0
            };
            moments += u64::from(audience.add(&feeling(post, post * 1_000, x), &settings).is_some());
            posts += 1;
        }
    }
    println!("{moments} false alarms in {posts} posts at alpha 1e-2");
    assert!(moments * 100 <= posts);
}
