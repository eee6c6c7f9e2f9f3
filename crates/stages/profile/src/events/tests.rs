//! The tests of [`events`](super).

use super::*;
use crate::waiting::tests::feeling;

const WEEK: i64 = 7 * 86_400_000;

fn post(number: i64, names_event: bool) -> WaitingFeeling {
    let mut post = feeling(number, number * 1_000, 0.0);
    // Each has a text of its own.
    post.valence = number as f64 / 1e6;
    post.sensitive_event = if names_event { 0.9 } else { 0.1 };
    post
}

fn subject() -> Slug {
    Slug::new("football").unwrap()
}

/// Whether it is a hold that is not only a suspicion.
fn is_sure(hold: &Hold) -> bool {
    hold.cause != HoldCause::Suspected
}

/// A subject with 300 posts, so many seconds apart, and then one post that probably names an event and one more.
fn suspicion(apart: i64, second_is_probable: bool) -> (SubjectEvents, Option<Hold>) {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    let mut add = |number: i64, sensitive_event: f64| {
        let mut post = post(number, false);
        post.at = Utc::from_millis(number * apart);
        post.sensitive_event = sensitive_event;
        events.add(&post, &subject(), &settings, WEEK)
    };
    for number in 0..300 {
        assert_eq!(add(number, 0.1), None);
    }
    assert_eq!(add(300, Distress::EVENT_FROM), None, "one person");
    let second = if second_is_probable {
        Distress::EVENT_FROM
    } else {
        0.1
    };
    let hold = add(301, second);
    (events, hold)
}

#[test]
fn two_people_who_probably_name_an_event_hold_the_subject_for_the_time_of_the_next_posts() {
    let settings = EventSettings::default();
    let (mut events, hold) = suspicion(2_000, true);
    let hold = hold.expect("a suspicion");
    assert_eq!((hold.cause, hold.sensitive_events), (HoldCause::Suspected, 2));
    let posts = hold.until.millis_since(events.at()) as f64 / 2_000.0;
    assert!((9.5..10.5).contains(&posts), "{posts}");
    // If more people name it, the hold comes while the suspicion lasts.
    let sure = (302..310)
        .map(|number| {
            let mut post = post(number, true);
            post.at = Utc::from_millis(number * 2_000);
            events.add(&post, &subject(), &settings, WEEK)
        })
        .find(|hold| hold.as_ref().is_some_and(is_sure));
    let sure = sure.flatten().expect("a hold");
    assert!(events.at() < hold.until);
    assert_eq!(sure.until, events.at().plus_millis(86_400_000));
    assert_eq!(suspicion(2_000, false).1, None, "one person");
}

#[test]
fn a_suspicion_ends_after_four_minutes_and_is_not_published_where_a_hold_would_come_as_fast() {
    let (events, hold) = suspicion(3_600_000, true);
    assert_eq!(hold.unwrap().until, events.at().plus_millis(240_000));
    assert_eq!(suspicion(100, true).1, None);
}

#[test]
fn a_few_people_who_name_an_event_hold_the_subject_and_one_person_does_not() {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    for number in 0..500 {
        assert_eq!(
            events.add(&post(number, number % 100 == 0), &subject(), &settings, WEEK),
            None
        );
    }
    let mut alone = events.clone();
    let mut copied = events.clone();
    for number in 500..600 {
        let mut copy = post(number, true);
        copy.valence = 0.5;
        let hold = copied.add(&copy, &subject(), &settings, WEEK);
        assert!(
            !hold.as_ref().is_some_and(is_sure),
            "one text of a hundred people: {hold:?}"
        );
    }
    for number in 500..600 {
        let mut shout = post(7, true);
        shout.at = Utc::from_millis(number * 1_000);
        assert_eq!(alone.add(&shout, &subject(), &settings, WEEK), None);
    }
    // Every second post names it.
    let raised = (500..510)
        .map(|number| events.add(&post(number, number % 2 == 0), &subject(), &settings, WEEK))
        .find(|hold| hold.as_ref().is_some_and(is_sure));
    let hold = raised.flatten().expect("no hold within ten posts");
    assert_eq!(hold.until.millis_since(hold.since) / 3_600_000, 24);
    assert!(
        hold.sensitive_events >= 3 && hold.posts >= hold.sensitive_events,
        "{hold:?}"
    );
}

#[test]
fn a_hold_is_extended_while_people_go_on_and_not_with_every_post() {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    let hour = 3_600;
    let holds: Vec<Hold> = (0..5 * hour)
        .step_by(60)
        .filter_map(|second| events.add(&post(second, true), &subject(), &settings, WEEK))
        .filter(|hold| hold.cause == HoldCause::SensitiveEvents)
        .collect();
    assert_eq!(holds.len(), 5, "about one an hour: {holds:?}");
    assert!(holds.is_sorted_by(|a, b| a.until < b.until));
}

fn foreign(number: i64) -> WaitingFeeling {
    let mut post = post(number, false);
    post.unread = true;
    post
}

#[test]
fn a_crowd_that_turns_to_a_language_that_cannot_be_read_is_held_for_a_shorter_time() {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    let mut foreign_first = events.clone();
    for number in 0..200 {
        // One of fifty is foreign as well.
        let usual = if number % 50 == 0 {
            foreign(number)
        } else {
            post(number, false)
        };
        assert_eq!(events.add(&usual, &subject(), &settings, WEEK), None);
        let new = foreign_first.add(&foreign(number), &subject(), &settings, WEEK);
        assert_eq!(new, None, "what the subject always was is not a turn");
    }
    let mut alone = events.clone();
    for number in 200..300 {
        let mut same = foreign(7);
        same.at = Utc::from_millis(number * 1_000);
        assert_eq!(alone.add(&same, &subject(), &settings, WEEK), None, "one person");
    }
    let raised = (200..210).find_map(|number| {
        let post = if number % 4 == 0 {
            post(number, false)
        } else {
            foreign(number)
        };
        events.add(&post, &subject(), &settings, WEEK)
    });
    let hold = raised.expect("no hold within ten posts");
    assert_eq!(hold.cause, HoldCause::Unread);
    assert!(hold.unread >= 3 && hold.sensitive_events == 0, "{hold:?}");
    assert_eq!(hold.until.millis_since(hold.since) / 3_600_000, 1);
    // An event extends it to the whole time.
    let event = (210..220)
        .map(|number| events.add(&post(number, true), &subject(), &settings, WEEK))
        .find(|hold| hold.as_ref().is_some_and(is_sure));
    let event = event.flatten().expect("no hold because of an event");
    assert_eq!(event.cause, HoldCause::SensitiveEvents);
    assert_eq!(event.until.millis_since(event.since) / 3_600_000, 24);
}

#[test]
fn after_a_release_only_new_posts_hold_again() {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    let add = |events: &mut SubjectEvents, number| {
        let hold = events.add(&post(number, true), &subject(), &settings, WEEK);
        hold.filter(|hold| hold.cause == HoldCause::SensitiveEvents)
    };
    let first = (0..10)
        .find_map(|number| add(&mut events, number))
        .expect("no hold");
    events.release(Utc::from_millis(1));
    let released = events.clone();
    events.release(Utc::from_millis(1));
    assert_eq!(events, released, "the same release counts once");
    let second = (10..20)
        .find_map(|number| add(&mut events, number))
        .expect("no new hold");
    assert!(second.since > first.since.plus_millis(1_000), "{second:?}");
    assert!(second.sensitive_events <= first.sensitive_events);
}

#[test]
fn the_second_version_is_read() {
    let (events, _) = suspicion(2_000, true);
    let mut bytes = events.to_bytes();
    assert_eq!(bytes[0], 3, "the version is the first byte");
    bytes[0] = 2;
    bytes.truncate(bytes.len() - 8);
    let expected = SubjectEvents {
        gap: LONGEST_GAP,
        ..events
    };
    assert_eq!(SubjectEvents::from_bytes(&bytes), Ok(expected));
}

#[test]
fn the_first_version_is_read() {
    struct Before;
    impl StateValue for Before {
        const VERSION: u8 = 1;
        fn encode(&self, to: &mut Encoder) {
            to.time(Utc::from_millis(9));
            for number in [1.5, 2.5, 3.5] {
                to.number(number);
            }
            to.time(Utc::from_millis(5));
            to.unsigned(7);
            to.unsigned(4);
            to.time(Utc::from_millis(90));
            to.length(1);
            to.unsigned(77);
        }
        fn decode(_: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
            Err(DecodeProblem::Damaged)
        }
    }
    let events = SubjectEvents::from_bytes(&Before.to_bytes()).unwrap();
    assert_eq!(
        (events.at, events.until),
        (Utc::from_millis(9), Utc::from_millis(90))
    );
    assert_eq!((events.events.posts, events.events.hits), (7, 4));
    assert_eq!(events.events.times_known(77), 1);
}

#[test]
fn it_survives_being_written() {
    let settings = EventSettings::default();
    let mut events = SubjectEvents::new();
    for number in 0..40 {
        events.add(&post(number, number % 3 == 0), &subject(), &settings, WEEK);
    }
    assert_eq!(SubjectEvents::from_bytes(&events.to_bytes()), Ok(events));
}
