//! Push notifications of YouTube, by a local hub.
#![expect(clippy::unwrap_used, reason = "tests")]
#![allow(clippy::print_stdout, reason = "of the suite")]

mod servers;
#[expect(dead_code, reason = "the promises of all connectors are checked elsewhere")]
mod suite;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use limbic_component::{Component, Resources};
use limbic_connectors::{Connector, Cursor, Page, Receiver, YouTube, YouTubePushSettings, YouTubeSettings};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::json;

use servers::http;
use servers::hub::{Callback, Hub, pushed, sha1_signature};
use servers::youtube::{CHANNEL, KEY, QUIET, YouTubeServer};
use suite::{Fault, key};

const SECRET: &str = "a secret of the settings";
const DAY: u64 = 86_400;

/// A node's connector, its address, and a clock that the test moves.
struct Local {
    youtube: YouTubeServer,
    hub: Hub,
    callback: Callback,
    connector: Box<dyn Connector>,
    receiver: Arc<dyn Receiver>,
    cursor: Option<Cursor>,
    now: Instant,
    settings: YouTubeSettings,
}

impl Local {
    /// The connector, after its first turn and its first request to the hub.
    fn start(change: fn(&mut YouTubeSettings)) -> Self {
        let (youtube, hub, callback) = (YouTubeServer::start(), Hub::start(), Callback::start());
        let mut settings = YouTubeSettings {
            key: Secret::new(KEY),
            channels: vec![CHANNEL.to_owned()],
            interval: "6h".parse().unwrap(),
            remember: 5_000,
            url: ConnectionUrl::new(youtube.url()),
            push: Some(YouTubePushSettings {
                callback: ConnectionUrl::new(callback.url()),
                secret: Secret::new(SECRET),
                hub: ConnectionUrl::new(hub.url()),
                ..YouTubePushSettings::default()
            }),
            ..YouTubeSettings::default()
        };
        change(&mut settings);
        let (connector, receiver) = build(&settings);
        callback.set(Arc::clone(&receiver));
        let mut local = Self {
            youtube,
            hub,
            callback,
            connector,
            receiver,
            cursor: None,
            now: Instant::now() + Duration::from_secs(1),
            settings,
        };
        local.comment("old", "a-video");
        assert_eq!(local.pull().0.len(), 1);
        local.idle();
        local
    }

    fn subscribed() -> Self {
        let mut local = Self::start(|_| {});
        assert_eq!(local.hub.verify(), [200]);
        local.idle();
        local
    }

    fn comment(&self, id: &str, video: &str) {
        let now = Utc::now();
        let comment = json!({"id": id, "snippet": {"authorChannelId": {"value": "UCann"}, "textDisplay": "what a goal", "videoId": video,
            "publishedAt": now, "updatedAt": now}});
        let mut threads = self.youtube.shared.threads.lock();
        let number = threads.len() as u64;
        threads.insert(number, (comment, Vec::new()));
    }

    fn page(&mut self) -> Page {
        self.connector.set_time(self.now);
        let page = self.connector.pull(self.cursor.as_ref(), 100).unwrap();
        self.cursor.clone_from(&page.next);
        page
    }

    /// The keys of the posts of a pull, and what it left out.
    fn pull(&mut self) -> (Vec<String>, Vec<&'static str>) {
        let page = self.page();
        (
            page.items.iter().map(key).collect(),
            page.dropped.into_keys().collect(),
        )
    }

    /// Pulls until the connector waits. Returns the posts, what was left out, and the wait.
    fn idle(&mut self) -> (Vec<String>, Vec<&'static str>, Duration) {
        let (mut posts, mut dropped) = (Vec::new(), Vec::new());
        for _ in 0..50 {
            let before = self.cursor.clone();
            let (new, left_out) = self.pull();
            let is_idle = new.is_empty() && self.cursor == before;
            posts.extend(new);
            dropped.extend(left_out);
            let wait = self.connector.wait_when_idle();
            if is_idle && !wait.is_zero() {
                return (posts, dropped, wait);
            }
        }
        panic!("it does not come to rest");
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.hub.pass(time.as_secs() as i64);
    }

    fn asked(&self) -> Vec<String> {
        let asked = self.hub.shared.asked.lock();
        asked.iter().map(|asked| asked.mode.clone()).collect()
    }

    fn turns(&self) -> usize {
        self.youtube.shared.listings.load(Ordering::SeqCst)
    }

    fn push(&self, video: &str) -> Vec<u16> {
        self.hub.publish(&pushed(CHANNEL, video, Utc::now()))
    }
}

fn build(settings: &YouTubeSettings) -> (Box<dyn Connector>, Arc<dyn Receiver>) {
    let source = YouTube::build(settings, &Resources::new("test")).unwrap();
    assert!(source.is_pulled);
    (source.connector, source.receiver.unwrap())
}

fn comment_key(id: &str) -> String {
    format!("youtube {id} v0")
}

#[test]
fn a_new_video_is_asked_about_at_once_and_again_until_the_turns_find_its_comments_once() {
    let mut local = Local::subscribed();
    let turns = local.turns();
    let at_rest = local.cursor.clone();
    assert_eq!(local.push("a-new-video"), [200]);
    let (posts, _, wait) = local.idle();
    assert_eq!(
        (posts.len(), local.cursor.clone()),
        (0, at_rest.clone()),
        "nobody has written anything"
    );
    assert_eq!(wait, Duration::from_secs(30));
    local.comment("first", "a-new-video");
    local.comment("elsewhere", "a-video");
    local.pass(wait);
    let (posts, _, wait) = local.idle();
    assert_eq!(posts, [comment_key("first")], "only the threads of the new video");
    assert_ne!(local.cursor, at_rest, "each page has a cursor of its own");
    assert_eq!((local.turns(), wait), (turns, Duration::from_mins(1)));
    // What the early question has read is known, and what others have written is not skipped.
    local.pass(Duration::from_hours(7));
    let mut posts = local.idle().0;
    posts.extend(local.idle().0);
    assert_eq!(posts, [comment_key("elsewhere")]);
    assert_eq!(local.turns(), turns + 1);
}

#[test]
fn a_restart_continues_at_a_cursor_that_no_early_question_has_moved_too_far() {
    let mut local = Local::subscribed();
    local.comment("elsewhere", "a-video");
    local.comment("first", "a-new-video");
    local.push("a-new-video");
    assert_eq!(local.idle().0, [comment_key("first")]);
    let (connector, receiver) = build(&local.settings);
    local.callback.set(Arc::clone(&receiver));
    (local.connector, local.receiver) = (connector, receiver);
    let posts = local.idle().0;
    assert!(posts.contains(&comment_key("elsewhere")), "{posts:?}");
    // The new process subscribes again, with the same callback: the hub has one subscription.
    assert_eq!(local.asked(), ["subscribe", "subscribe"]);
    assert_eq!((local.hub.verify(), local.hub.active()), (vec![200], 1));
}

#[test]
fn a_lease_is_renewed_before_it_ends_and_its_length_is_that_of_the_hub() {
    let mut local = Local::start(|_| {});
    *local.hub.shared.own_lease.lock() = Some(DAY as i64);
    assert_eq!(local.hub.active(), 0, "nothing before the hub has asked");
    local.hub.verify();
    let begin = local.now;
    for _ in 0..40 {
        let wait = local.idle().2;
        local.pass(wait);
        local.hub.verify();
        assert_eq!(local.hub.active(), 1, "after {:?}", local.now - begin);
    }
    let days = (local.now - begin).as_secs() / DAY;
    let asked = local.asked().len() as u64;
    assert!(
        days > 5 && asked > days && asked < 2 * days + 3,
        "{asked} in {days} days"
    );
}

#[test]
fn a_lease_that_runs_out_loses_nothing_and_is_asked_for_again() {
    let mut local = Local::subscribed();
    // The hub is away when the lease must be renewed.
    for _ in 0..12 {
        local.hub.plan(Fault::Status(503, None));
    }
    let mut failed = 0;
    while local.hub.active() == 1 {
        let (_, dropped, wait) = local.idle();
        failed += dropped
            .iter()
            .filter(|reason| reason.contains("did not take"))
            .count();
        local.pass(wait);
    }
    assert!(failed > 3, "{failed}");
    assert_eq!(
        local.push("a-new-video"),
        Vec::<u16>::new(),
        "the hub pushes no more"
    );
    local.comment("first", "a-new-video");
    local.pass(Duration::from_hours(7));
    assert_eq!(local.idle().0, [comment_key("first")], "the turns go on");
    for _ in 0..12 {
        let wait = local.idle().2;
        local.pass(wait);
    }
    assert!(local.hub.verify().iter().all(|status| *status == 200));
    assert_eq!(local.hub.active(), 1);
}

#[test]
fn a_subscription_that_the_hub_does_not_verify_is_asked_for_again_later_and_later() {
    let mut local = Local::start(|_| {});
    let mut asked = Vec::new();
    let begin = local.now;
    while asked.len() < 5 {
        if local.asked().len() > asked.len() + 1 {
            asked.push(local.now - begin);
        }
        let wait = local.idle().2;
        local.pass(wait.min(Duration::from_mins(5)));
    }
    let apart: Vec<u64> = asked
        .windows(2)
        .map(|pair| pair[1].saturating_sub(pair[0]).as_secs())
        .collect();
    assert!(
        asked[0] >= Duration::from_mins(10) && apart.is_sorted(),
        "{asked:?}"
    );
}

#[test]
fn a_denied_subscription_is_not_asked_for_again_and_the_turns_go_on() {
    let mut local = Local::subscribed();
    assert_eq!(local.hub.deny("the channel is not public"), 200);
    let (_, dropped, wait) = local.idle();
    assert_eq!(dropped, ["a subscription that the hub denied"]);
    assert!(wait > Duration::from_hours(5), "{wait:?}");
    local.pass(Duration::from_hours(24 * 20));
    local.comment("later", "a-video");
    assert_eq!(local.idle().0, [comment_key("later")]);
    assert_eq!(local.asked(), ["subscribe"]);
}

#[test]
fn a_wrong_signature_a_wrong_address_and_a_repeated_push_ask_for_nothing() {
    let mut local = Local::subscribed();
    let asked = local.hub.shared.asked.lock().last().cloned().unwrap();
    let body = pushed(CHANNEL, "a-new-video", Utc::now());
    let requests = || local.youtube.shared.requests.lock().len();
    let before = requests();
    let send = |callback: &str, headers: &[(&str, String)]| {
        http::send("POST", callback, headers, body.as_bytes()).unwrap().0
    };
    let signed = |secret: &str| [("x-hub-signature", sha1_signature(secret, &body))];
    let another = asked.callback.replace(CHANNEL, "UCanother");
    for (callback, headers) in [
        (&asked.callback, &signed("another secret")[..]),
        (&asked.callback, &signed(SECRET)[..]),
        (&asked.callback, &[][..]),
        (&another, &signed(&asked.secret)[..]),
    ] {
        assert_eq!(send(callback, headers), 401, "{callback} {headers:?}");
    }
    assert!(
        !asked.callback.contains(SECRET) && asked.secret != SECRET,
        "the secret of the settings is never sent"
    );
    let guessed = asked.callback.split("&token").next().unwrap();
    for mode in ["denied", "unsubscribe", "subscribe"] {
        let forged = format!(
            "{guessed}&token=0&hub.mode={mode}&hub.topic={}&hub.challenge=1",
            asked.topic
        );
        assert_eq!(http::send("GET", &forged, &[], b"").unwrap().0, 401, "{mode}");
    }
    let (_, dropped, _) = local.idle();
    assert_eq!(dropped, ["a request to the callback that was refused"]);
    assert_eq!(local.youtube.shared.requests.lock().len(), before);
    // The right one, three times: it is asked about once.
    for _ in 0..3 {
        assert_eq!(send(&asked.callback, &signed(&asked.secret)), 200);
    }
    let (_, dropped, _) = local.idle();
    assert_eq!(dropped, ["a notification that is known"]);
    assert_eq!(local.youtube.shared.requests.lock().len(), before + 1);
    // A recording of an old one.
    let old = pushed(CHANNEL, "an-old-video", Utc::now().plus_millis(-2 * 86_400_000));
    assert_eq!(local.hub.publish(&old), [200]);
    assert_eq!(local.idle().1, ["an old notification"]);
    assert_eq!(local.youtube.shared.requests.lock().len(), before + 1);
}

#[test]
fn what_was_not_asked_for_is_not_verified() {
    let local = Local::start(|_| {});
    let asked = local.hub.shared.asked.lock().last().cloned().unwrap();
    let ask = |mode: &str, topic: &str, more: &str| {
        let address = format!("{}&hub.mode={mode}&hub.topic={topic}{more}", asked.callback);
        http::send("GET", &address, &[], b"").unwrap().0
    };
    let challenge = "&hub.challenge=1&hub.lease_seconds=10";
    assert_eq!(ask("unsubscribe", &asked.topic, challenge), 404);
    assert_eq!(
        ask("subscribe", &asked.topic.replace(CHANNEL, "UCanother"), challenge),
        404
    );
    assert_eq!(ask("subscribe", &asked.topic, ""), 400);
    assert_eq!(
        ask("subscribe", &asked.topic, "&hub.challenge=%3Cscript%3E%20x"),
        400
    );
    assert_eq!(ask("publish", &asked.topic, challenge), 400);
    assert_eq!(local.hub.verify(), [200]);
}

#[test]
fn a_channel_that_is_not_in_the_settings_any_more_is_ended_at_the_hub() {
    let mut local = Local::subscribed();
    local.settings.channels = vec!["UCanother".to_owned()];
    let (connector, receiver) = build(&local.settings);
    local.callback.set(Arc::clone(&receiver));
    (local.connector, local.receiver) = (connector, receiver);
    assert_eq!(local.push("a-new-video"), [200]);
    let dropped = local.idle().1;
    assert!(
        dropped.contains(&"a notification of a channel that is not in the settings"),
        "{dropped:?}"
    );
    let mut asked = local.asked();
    asked.sort();
    assert_eq!(asked, ["subscribe", "subscribe", "unsubscribe"]);
    assert_eq!((local.hub.verify(), local.hub.active()), (vec![200, 200], 1));
    let left = local
        .hub
        .shared
        .asked
        .lock()
        .iter()
        .filter(|asked| asked.topic.contains("UCanother"))
        .count();
    assert_eq!(
        (left, local.push("a-new-video")),
        (1, vec![200]),
        "only the wanted channel is pushed"
    );
}

#[test]
fn a_hub_that_verifies_before_it_answers_and_one_that_has_moved_are_understood() {
    let other = Hub::start();
    let mut local = Local::start(|_| {});
    *local.hub.shared.moved_to.lock() = Some(other.url());
    other.shared.is_eager.store(true, Ordering::SeqCst);
    let (connector, receiver) = build(&local.settings);
    local.callback.set(Arc::clone(&receiver));
    (local.connector, local.receiver) = (connector, receiver);
    local.idle();
    assert_eq!((other.active(), other.shared.asked.lock().len()), (1, 1));
    assert!(local.idle().2 > Duration::from_hours(5), "it is verified");
}

#[test]
fn a_push_that_was_not_taken_is_taken_when_it_comes_again() {
    let mut local = Local::subscribed();
    // A node with another secret refuses it.
    let mut settings = local.settings.clone();
    settings.push.as_mut().unwrap().secret = Secret::new("another secret of settings");
    local.callback.set(build(&settings).1);
    assert_eq!(local.push("a-new-video"), [401]);
    local.callback.set(Arc::clone(&local.receiver));
    local.comment("first", "a-new-video");
    assert_eq!(local.hub.deliver_again(), [200]);
    assert_eq!(local.idle().0, [comment_key("first")]);
}

#[test]
fn early_questions_leave_the_units_that_the_turns_of_the_day_need() {
    let mut local = Local::start(|settings| settings.units_per_day = 12);
    local.hub.verify();
    local.idle();
    let before = local.youtube.shared.requests.lock().len();
    let mut left_out = 0;
    for n in 0..40 {
        assert_eq!(local.push(&format!("new-video-{n}")), [200]);
        let (_, dropped, _) = local.idle();
        left_out += dropped
            .iter()
            .filter(|reason| reason.contains("the day's units"))
            .count();
    }
    let spent = local.youtube.shared.requests.lock().len() - before;
    assert!(spent < 12 && left_out > 20, "{spent} units, {left_out} left out");
}

#[test]
fn a_video_without_comments_is_forgotten_and_a_push_without_a_video_is_counted() {
    let mut local = Local::subscribed();
    assert_eq!(local.push(QUIET), [200]);
    let (_, dropped, wait) = local.idle();
    assert_eq!(dropped, ["a place whose comments are disabled"]);
    assert!(wait > Duration::from_mins(10), "{wait:?}");
    let gone = pushed(CHANNEL, "x", Utc::now());
    let gone = gone.split("<entry>").next().unwrap().to_owned() + "</feed>";
    assert_eq!(local.hub.publish(&gone), [200]);
    assert_eq!(local.idle().1, ["a notification without a video"]);
    assert_eq!(local.hub.publish("not a feed"), [400]);
}

#[test]
fn settings_that_cannot_work_are_refused_with_what_to_do() {
    let refused = |change: fn(&mut YouTubeSettings)| {
        let mut settings = YouTubeSettings {
            key: Secret::new(KEY),
            channels: vec![CHANNEL.to_owned()],
            push: Some(YouTubePushSettings {
                callback: ConnectionUrl::new("https://limbic.example/v1/hooks/youtube"),
                secret: Secret::new(SECRET),
                ..YouTubePushSettings::default()
            }),
            ..YouTubeSettings::default()
        };
        assert!(YouTube::check(&settings).is_ok());
        change(&mut settings);
        YouTube::check(&settings).unwrap_err().to_string()
    };
    assert!(
        refused(|s| s.push.as_mut().unwrap().callback = "https://limbic.example".into())
            .contains("/v1/hooks/NAME")
    );
    assert!(
        refused(|s| s.push.as_mut().unwrap().callback = "http://limbic.example/v1/hooks/y".into())
            .contains("not encrypted")
    );
    assert!(refused(|s| s.push.as_mut().unwrap().secret = Secret::new("short")).contains("16 characters"));
    assert!(refused(|s| s.push.as_mut().unwrap().lease = "1m".parse().unwrap()).contains("from 10m to 10d"));
    assert!(
        refused(|s| (s.channels, s.videos) = (Vec::new(), vec!["a-video".to_owned()]))
            .contains("name channels")
    );
}

#[test]
fn without_an_address_that_receives_nothing_is_asked_of_the_hub() {
    let mut local = Local::start(|_| {});
    let source = YouTube::build(&local.settings, &Resources::new("test")).unwrap();
    local.connector = source.connector;
    drop(source.receiver);
    let asked = local.asked().len();
    local.idle();
    assert_eq!(local.asked().len(), asked);
}
