//! A hub that behaves as the W3C Recommendation "`WebSub`" of 2018-01-23 says, and the address that it reaches.
//!
//! From the recommendation: the form of a request, 202 before anything is verified, the question with a challenge, denials, leases that
//! end, a new state only after it was verified, the signature, the two `Link` headers, and repetition of what was not answered with 2xx.
//! From the documentation of YouTube ("Subscribe to Push Notifications", read 2026-11-30): the topic and the Atom of a push. From memory:
//! it signs with SHA-1.

use std::collections::BTreeMap;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use limbic_connectors::{Hook, HookError, Receiver};
use limbic_domain::Utc;
use openssl::hash::MessageDigest;
use openssl::pkey::PKey;
use openssl::sign::Signer;
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName};

use super::feed::{Feed, Listening, Served};
use super::http::{self, Request};
use crate::suite::Fault;

pub(crate) struct Hub {
    pub(crate) listening: Listening,
    pub(crate) shared: Arc<Shared>,
}

/// What somebody has asked for.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) mode: String,
    pub(crate) topic: String,
    pub(crate) callback: String,
    pub(crate) secret: String,
    pub(crate) lease: i64,
}

#[derive(Default)]
pub(crate) struct Shared {
    feed: Arc<Feed>,
    /// All requests so far.
    pub(crate) asked: Mutex<Vec<Asked>>,
    /// Requests that are not verified yet.
    waiting: Mutex<Vec<Asked>>,
    /// Active subscriptions with the times of their ends, by topic and callback.
    active: Mutex<BTreeMap<(String, String), (Asked, i64)>>,
    /// The clock of the hub, in seconds.
    clock: Mutex<i64>,
    /// The lease that the hub gives, if not the one that it was asked for.
    pub(crate) own_lease: Mutex<Option<i64>>,
    /// Whether a request is verified before it is answered.
    pub(crate) is_eager: AtomicBool,
    /// Where requests are sent instead.
    pub(crate) moved_to: Mutex<Option<String>>,
    /// Deliveries that were not answered with 2xx: the callback, the signature and the body.
    undelivered: Mutex<Vec<(String, String, String)>>,
}

impl Hub {
    pub(crate) fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let listening = Listening::start(Arc::clone(&shared.feed), move |stream| serve(&of_thread, &stream));
        Self { listening, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/subscribe", self.listening.address)
    }

    pub(crate) fn plan(&self, fault: Fault) {
        self.shared.feed.plan(fault);
    }

    /// Asks the callbacks whether the requests that wait were meant. Returns the answers' statuses.
    pub(crate) fn verify(&self) -> Vec<u16> {
        let waiting = std::mem::take(&mut *self.shared.waiting.lock());
        waiting
            .into_iter()
            .map(|asked| self.shared.verify(asked))
            .collect()
    }

    /// Says that what was asked for last is not possible.
    pub(crate) fn deny(&self, reason: &str) -> u16 {
        let asked = self.shared.asked.lock().last().cloned().unwrap();
        self.shared
            .waiting
            .lock()
            .retain(|waiting| waiting.topic != asked.topic);
        self.shared
            .active
            .lock()
            .retain(|(topic, _), _| *topic != asked.topic);
        let more = [
            ("hub.mode", "denied"),
            ("hub.topic", &*asked.topic),
            ("hub.reason", reason),
        ];
        http::send("GET", &with(&asked.callback, &more), &[], b"")
            .unwrap()
            .0
    }

    /// The number of subscriptions whose lease has not ended.
    pub(crate) fn active(&self) -> usize {
        let now = *self.shared.clock.lock();
        self.shared
            .active
            .lock()
            .values()
            .filter(|(_, ends)| *ends > now)
            .count()
    }

    /// Lets time pass.
    pub(crate) fn pass(&self, seconds: i64) {
        *self.shared.clock.lock() += seconds;
    }

    /// Pushes a feed to everybody whose lease has not ended. Returns the answers' statuses.
    pub(crate) fn publish(&self, body: &str) -> Vec<u16> {
        let now = *self.shared.clock.lock();
        let active: Vec<Asked> = (self.shared.active.lock().values())
            .filter(|(_, ends)| *ends > now)
            .map(|(asked, _)| asked.clone())
            .collect();
        let deliveries = active.into_iter().map(|asked| {
            let signature = sha1_signature(&asked.secret, body);
            self.shared.deliver(&asked.callback, &signature, body)
        });
        deliveries.collect()
    }

    /// Delivers again what was not answered with 2xx.
    pub(crate) fn deliver_again(&self) -> Vec<u16> {
        let again = std::mem::take(&mut *self.shared.undelivered.lock());
        let deliveries = again.iter();
        deliveries
            .map(|(callback, signature, body)| self.shared.deliver(callback, signature, body))
            .collect()
    }
}

/// `sha1=` and the HMAC of a body.
pub(crate) fn sha1_signature(secret: &str, body: &str) -> String {
    let key = PKey::hmac(secret.as_bytes()).unwrap();
    let mut signer = Signer::new(MessageDigest::sha1(), &key).unwrap();
    let mac = signer.sign_oneshot_to_vec(body.as_bytes()).unwrap();
    mac.iter()
        .fold("sha1=".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

/// The Atom of a push about a video of a channel.
pub(crate) fn pushed(channel: &str, video: &str, at: Utc) -> String {
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<feed xmlns:yt="http://www.youtube.com/xml/schemas/2015" xmlns="http://www.w3.org/2005/Atom">
<link rel="hub" href="https://pubsubhubbub.appspot.com"/>
<link rel="self" href="https://www.youtube.com/xml/feeds/videos.xml?channel_id={channel}"/>
<title>YouTube video feed</title><updated>{at}</updated>
<entry><id>yt:video:{video}</id><yt:videoId>{video}</yt:videoId><yt:channelId>{channel}</yt:channelId><title>The goals</title>
<link rel="alternate" href="https://www.youtube.com/watch?v={video}"/>
<author><name>A channel</name><uri>https://www.youtube.com/channel/{channel}</uri></author>
<published>{at}</published><updated>{at}</updated></entry></feed>"#
    )
}

/// A callback with more parameters, which are added at the end.
fn with(callback: &str, more: &[(&str, &str)]) -> String {
    let mut url: reqwest::Url = callback.parse().unwrap();
    url.query_pairs_mut().extend_pairs(more);
    url.to_string()
}

impl Shared {
    fn verify(&self, asked: Asked) -> u16 {
        let challenge = format!("challenge-{}", self.asked.lock().len());
        let lease = self.own_lease.lock().unwrap_or(asked.lease);
        let seconds = lease.to_string();
        let mut more = vec![
            ("hub.mode", &*asked.mode),
            ("hub.topic", &*asked.topic),
            ("hub.challenge", &*challenge),
        ];
        if asked.mode == "subscribe" {
            more.push(("hub.lease_seconds", &*seconds));
        }
        let (status, body) = http::send("GET", &with(&asked.callback, &more), &[], b"").unwrap();
        if (200..300).contains(&status) && body == challenge.as_bytes() {
            let key = (asked.topic.clone(), asked.callback.clone());
            let ends = *self.clock.lock() + lease;
            let mut active = self.active.lock();
            if asked.mode == "subscribe" {
                active.insert(key, (asked, ends));
            } else {
                active.remove(&key);
            }
        }
        status
    }

    fn deliver(&self, callback: &str, signature: &str, body: &str) -> u16 {
        let headers = [
            ("content-type", "application/atom+xml".to_owned()),
            ("link", "<https://pubsubhubbub.appspot.com>; rel=hub".to_owned()),
            ("x-hub-signature", signature.to_owned()),
        ];
        let (status, _) = http::send("POST", callback, &headers, body.as_bytes()).unwrap();
        if !(200..300).contains(&status) {
            let again = (callback.to_owned(), signature.to_owned(), body.to_owned());
            self.undelivered.lock().push(again);
        }
        status
    }
}

fn serve(shared: &Shared, stream: &TcpStream) -> Served {
    let request = http::read(stream)?;
    if let Some(Fault::Status(status, wait)) = shared.feed.fault() {
        let wait: Vec<_> = wait
            .map(|wait| ("retry-after", wait.to_string()))
            .into_iter()
            .collect();
        return http::answer(stream, status, &wait, b"not now");
    }
    assert_eq!((&*request.method, &*request.path), ("POST", "/subscribe"));
    assert_eq!(
        request.header("content-type"),
        Some("application/x-www-form-urlencoded")
    );
    if let Some(place) = shared.moved_to.lock().clone() {
        return http::answer(stream, 307, &[("location", place)], b"");
    }
    let asked = Asked {
        mode: request.field("hub.mode").unwrap(),
        topic: request.field("hub.topic").unwrap(),
        callback: request.field("hub.callback").unwrap(),
        secret: request.field("hub.secret").unwrap(),
        lease: request.field("hub.lease_seconds").unwrap().parse()?,
    };
    assert!(matches!(&*asked.mode, "subscribe" | "unsubscribe"));
    assert!(asked.secret.len() < 200 && asked.lease > 0);
    shared.asked.lock().push(asked.clone());
    if shared.is_eager.load(Ordering::SeqCst) {
        shared.verify(asked);
    } else {
        shared.waiting.lock().push(asked);
    }
    http::answer(stream, 202, &[], b"")
}

/// The address of the API that passes requests to a receiver.
pub(crate) struct Callback {
    listening: Listening,
    receiver: Arc<Mutex<Option<Arc<dyn Receiver>>>>,
}

impl Callback {
    pub(crate) fn start() -> Self {
        let receiver: Arc<Mutex<Option<Arc<dyn Receiver>>>> = Arc::default();
        let of_thread = Arc::clone(&receiver);
        let listening = Listening::start(Arc::default(), move |stream| {
            let request = http::read(&stream)?;
            let receiver = of_thread.lock().clone().unwrap();
            pass_on(&*receiver, &stream, &request)
        });
        Self { listening, receiver }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/hooks/youtube", self.listening.address)
    }

    pub(crate) fn set(&self, receiver: Arc<dyn Receiver>) {
        *self.receiver.lock() = Some(receiver);
    }
}

fn pass_on(receiver: &dyn Receiver, stream: &TcpStream, request: &Request) -> Served {
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.insert(HeaderName::from_bytes(name.as_bytes())?, value.parse()?);
    }
    let hook = Hook {
        is_post: request.method == "POST",
        query: &request.query,
        headers: &headers,
        body: &request.body,
    };
    match receiver.receive(&hook, Utc::now()) {
        Ok(done) => http::answer(stream, 200, &[], done.answer.as_bytes()),
        Err(HookError::NotProven(_)) => http::answer(stream, 401, &[], b""),
        Err(HookError::NotUnderstood(_)) => http::answer(stream, 400, &[], b""),
        Err(HookError::NotWanted(_)) => http::answer(stream, 404, &[], b""),
    }
}
