//! Subscriptions at the hub: asked for, verified, renewed, denied, and ended.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use limbic_stream::Backoff;
use reqwest::header::LOCATION;
use reqwest::{Client, Url};

use super::{Early, Mode, Notice, Push};
use crate::http::{Http, answered, may_follow, refused};
use crate::{ConnectorError, Page};

/// The source, for people.
const NAME: &str = "the hub of YouTube";
/// The most bytes of an answer.
const LONGEST_ANSWER: usize = 64 << 10;
/// How long the hub may take to ask whether a subscription was meant.
const VERIFIES_WITHIN: Duration = Duration::from_mins(10);
/// The shortest time between two requests for one channel, whatever the hub states.
const LEAST: Duration = Duration::from_mins(1);
/// The most channels that were in the settings and are ended at a time.
const MOST_ENDED: usize = 100;
/// The waits after the hub has not done what it was asked for. The recommendation states none: these are our own choice.
const AGAIN: Backoff = Backoff::new(Duration::from_mins(1), Duration::from_hours(6));

/// The subscriptions of a connector.
pub(in crate::youtube) struct Subscriptions {
    push: Arc<Push>,
    http: Http,
    of: BTreeMap<String, Subscription>,
}

struct Subscription {
    mode: Mode,
    state: State,
    /// Requests since one was verified.
    attempt: u32,
}

#[derive(Clone, Copy)]
enum State {
    /// The hub is asked at this time.
    Due(Instant),
    /// The hub was asked at this time, and has not verified it.
    Asked(Instant),
    /// It is renewed at this time.
    Held(Instant),
    Denied,
}

impl Subscription {
    /// When something must be done.
    fn due_at(&self) -> Option<Instant> {
        match self.state {
            State::Due(at) | State::Held(at) => Some(at),
            State::Asked(at) => Some(at + VERIFIES_WITHIN),
            State::Denied => None,
        }
    }

    /// Asks again later.
    fn put_off(&mut self, now: Instant, at_least: Duration) {
        let wait = AGAIN.wait(self.attempt).max(at_least);
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Due(now + wait);
    }
}

impl Subscriptions {
    /// Subscribes to the channels of the settings from `now` on.
    pub(in crate::youtube) fn new(push: Arc<Push>, now: Instant) -> Self {
        let wanted = push.channels.iter().map(|channel| {
            let subscription = Subscription {
                mode: Mode::Subscribe,
                state: State::Due(now),
                attempt: 0,
            };
            (channel.clone(), subscription)
        });
        Self {
            of: wanted.collect(),
            http: Http::new(NAME),
            push,
        }
    }

    /// Whether the hub reaches this connector. Without an address of the API, as in `limbic connect test`, it is asked for nothing.
    fn is_reached(&self) -> bool {
        Arc::strong_count(&self.push) > 1
    }

    /// When the next step is due.
    pub(in crate::youtube) fn due_at(&self, now: Instant) -> Option<Instant> {
        if !self.is_reached() {
            return None;
        }
        if self.push.has_notices() {
            return Some(now);
        }
        self.of.values().filter_map(Subscription::due_at).min()
    }

    /// Takes what the hub has said, and sends at most one request. A failure stops nothing: it is counted, and the hub is asked later.
    pub(in crate::youtube) fn step(&mut self, early: &mut Early, now: Instant, page: &mut Page) {
        let (notices, dropped) = {
            let mut inbox = self.push.inbox.lock();
            (
                std::mem::take(&mut inbox.notices),
                std::mem::take(&mut inbox.dropped),
            )
        };
        for (reason, events) in dropped {
            *page.dropped.entry(reason).or_default() += events;
        }
        for notice in notices {
            self.take(notice, early, now, page);
        }
        let due = self
            .of
            .iter()
            .find(|(_, subscription)| subscription.due_at().is_some_and(|at| at <= now))
            .map(|(channel, _)| channel.clone());
        if let Some(channel) = due {
            self.act(&channel, now, page);
        }
    }

    fn take(&mut self, notice: Notice, early: &mut Early, now: Instant, page: &mut Page) {
        match notice {
            Notice::Video { channel, video } => {
                if !early.add(video, channel, now) {
                    page.drop_one("a new video while too many others are asked about");
                }
            }
            Notice::Unwanted { channel } => {
                if self.of.len() < self.push.channels.len() + MOST_ENDED {
                    self.of.entry(channel).or_insert(Subscription {
                        mode: Mode::Unsubscribe,
                        state: State::Due(now),
                        attempt: 0,
                    });
                }
            }
            Notice::Verified {
                channel,
                mode: Mode::Unsubscribe,
                ..
            } => {
                self.push.inbox.lock().asked.remove(&channel);
                self.of.remove(&channel);
            }
            Notice::Verified { channel, lease, .. } => {
                if let Some(subscription) = self.of.get_mut(&channel) {
                    // The lease began after the request was sent.
                    let begin = match subscription.state {
                        State::Asked(at) => at,
                        _ => now,
                    };
                    let lease =
                        Duration::from_secs(lease.unwrap_or(self.push.lease).min(2 * self.push.lease));
                    subscription.state = State::Held(begin + (lease * 3 / 4).max(LEAST));
                    subscription.attempt = 0;
                }
            }
            Notice::Denied { channel, reason } => {
                page.drop_one("a subscription that the hub denied");
                tracing::warn!(channel, reason, "the hub of YouTube does not push this channel");
                if let Some(subscription) = self.of.get_mut(&channel) {
                    subscription.state = State::Denied;
                }
                self.push.inbox.lock().asked.remove(&channel);
            }
        }
    }

    /// Does what is due for a channel.
    fn act(&mut self, channel: &str, now: Instant, page: &mut Page) {
        let Some(subscription) = self.of.get_mut(channel) else {
            return;
        };
        if matches!(subscription.state, State::Asked(_)) {
            page.drop_one("a subscription that the hub did not verify");
            tracing::warn!(
                channel,
                "the hub of YouTube did not ask whether a subscription was meant: check that it reaches push.callback"
            );
            if subscription.mode == Mode::Unsubscribe {
                // If the channel is pushed again, it is ended again.
                self.of.remove(channel);
            } else {
                subscription.put_off(now, Duration::ZERO);
            }
            return;
        }
        let mode = subscription.mode;
        // The hub can ask whether it was meant before it answers.
        self.push.inbox.lock().asked.insert(channel.to_owned(), mode);
        subscription.state = State::Asked(now);
        let asked = ask(&mut self.http, &self.push, channel, mode);
        if let Err(error) = asked {
            page.drop_one("a subscription that the hub did not take");
            tracing::warn!(channel, %error, "the hub of YouTube did not take a subscription");
            let wait = match error {
                ConnectorError::Unavailable { retry_after, .. } => retry_after.unwrap_or_default(),
                _ => Duration::ZERO,
            };
            subscription.put_off(now, wait);
        }
    }
}

/// Sends a request, and follows the hub to another one once.
fn ask(http: &mut Http, push: &Push, channel: &str, mode: Mode) -> Result<(), ConnectorError> {
    let mut form = push.callback.clone();
    form.query_pairs_mut()
        .clear()
        .append_pair("hub.mode", mode.name())
        .append_pair("hub.topic", &Push::topic(channel))
        .append_pair("hub.callback", push.callback(channel).as_str())
        .append_pair("hub.lease_seconds", &push.lease.to_string())
        .append_pair("hub.secret", push.key(channel).reveal());
    let body = form.query().unwrap_or_default().to_owned();
    let send = |to: &Url| {
        let (to, body) = (to.clone(), body.clone());
        move |client: &Client| {
            client
                .post(to)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(body)
        }
    };
    let mut answer = http.ask(LONGEST_ANSWER, send(&push.hub))?;
    if matches!(answer.status, 307 | 308) {
        let named = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok());
        let named = named.and_then(|place| push.hub.join(place).ok());
        let named = named
            .filter(|named| may_follow(named, &push.hub))
            .ok_or_else(|| {
                let detail = "it names another hub that is not encrypted, or is inside this network";
                refused(NAME, detail.to_owned())
            })?;
        answer = http.ask(LONGEST_ANSWER, send(&named))?;
    }
    if (200..300).contains(&answer.status) {
        return Ok(());
    }
    Err(answered(NAME, answer.status, &answer.headers, &answer.body))
}
