//! What the hub of YouTube pushes, by `WebSub`: a channel has a new video, or a video has another title or description.
//!
//! What a hub does is written from the W3C Recommendation "`WebSub`" of 2018-01-23, and what YouTube pushes from its documentation
//! ("Subscribe to Push Notifications", read 2026-11-30), and both are tested against a local hub that we wrote:
//!
//! * A subscription is a form with `hub.mode`, `hub.topic`, `hub.callback`, `hub.lease_seconds` and `hub.secret`. The hub answers 202, and
//!   asks the callback whether that was meant (`hub.challenge`), or says that it is not possible (`hub.mode=denied`).
//! * A subscription ends with its lease, which the hub states. It is asked for again before.
//! * A push has the changed entries as Atom, and an HMAC of the body with the secret. It is repeated until it is answered with 2xx.
//!
//! From memory: the hub of YouTube signs with SHA-1, and a lease has at most ten days.
//!
//! A push is a hint, and nothing else. It brings no post and moves no mark, so a push that is lost, forged or repeated loses and doubles
//! nothing: the turns of the connector find the same comments later. Each channel has a callback of its own that nobody can guess, and a
//! secret of its own. Both are made from the secret of the settings, which is never sent.

mod early;
mod hub;
mod notification;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use limbic_component::Error;
use limbic_domain::{ConnectionUrl, HumanDuration, Secret, Utc};
use limbic_http::{is_same_secret, is_signed_by_hub, sign_in_hex};
use parking_lot::Mutex;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::http::checked_url;
use crate::receiver::{Hook, HookError, Received, Receiver, challenge_of, header, parameter};

pub(super) use early::Early;
pub(super) use hub::Subscriptions;

/// The oldest change that is asked about early. What is older, the turns have found.
const NEWEST_WITHIN: i64 = 86_400_000;
/// How many notifications are remembered, so that a repeated one is known.
const REMEMBERED: usize = 1_000;
/// How many notices wait for the connector. It takes them within seconds, unless it waits after a failure.
const MOST_NOTICES: usize = 1_000;

/// Push notifications of new videos.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct YouTubePushSettings {
    /// The address at which the hub reaches this connector: `https://YOUR-HOST/v1/hooks/NAME`, with the name of the connector.
    pub callback: ConnectionUrl,
    /// A secret of your own, for signatures: make one with `limbic secret`. At least 16 characters. Never printed, and never sent.
    pub secret: Secret,
    /// The hub. Default `https://pubsubhubbub.appspot.com/subscribe`, which is that of YouTube.
    pub hub: ConnectionUrl,
    /// How long a subscription lasts, if the hub agrees. It is renewed after three quarters of it. 10m to 10d; default 5d.
    pub lease: HumanDuration,
}

impl Default for YouTubePushSettings {
    fn default() -> Self {
        Self {
            callback: ConnectionUrl::new(""),
            secret: Secret::new(""),
            hub: ConnectionUrl::new("https://pubsubhubbub.appspot.com/subscribe"),
            lease: HumanDuration::from_secs(5 * 86_400),
        }
    }
}

/// What can be asked of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Subscribe,
    Unsubscribe,
}

impl Mode {
    const fn name(self) -> &'static str {
        match self {
            Self::Subscribe => "subscribe",
            Self::Unsubscribe => "unsubscribe",
        }
    }
}

/// What the hub has said, for the connector.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Notice {
    /// The hub has asked whether this was meant, and was told so. The lease is in seconds.
    Verified {
        channel: String,
        mode: Mode,
        lease: Option<u64>,
    },
    /// The hub does not subscribe.
    Denied { channel: String, reason: String },
    /// A video that is new, or was changed.
    Video { channel: String, video: String },
    /// The hub pushes a channel that is not in the settings any more.
    Unwanted { channel: String },
}

/// What the connector and the address of the API share.
pub(super) struct Push {
    callback: Url,
    hub: Url,
    lease: u64,
    secret: Secret,
    channels: BTreeSet<String>,
    inbox: Mutex<Inbox>,
}

#[derive(Default)]
struct Inbox {
    /// What the hub was asked for, by channel.
    asked: BTreeMap<String, Mode>,
    notices: Vec<Notice>,
    /// Videos and the times of their changes.
    known: VecDeque<(String, i64)>,
    /// What was left out, by reason.
    dropped: BTreeMap<&'static str, u64>,
}

impl Push {
    /// Checks the settings, and builds what they say.
    pub(super) fn new(settings: &YouTubePushSettings, channels: &[String]) -> Result<Self, Error> {
        let callback = checked_url("push.callback", &settings.callback)?;
        let is_hook = callback.path().contains("/v1/hooks/") && callback.query().is_none();
        if !is_hook {
            return Err(format!(
                "push.callback: {} is not the address of a connector: give https://YOUR-HOST/v1/hooks/NAME",
                settings.callback
            )
            .into());
        }
        if settings.secret.reveal().len() < 16 {
            return Err("push.secret: has fewer than 16 characters: make one with `limbic secret`".into());
        }
        if channels.is_empty() {
            return Err(
                "push: the hub tells of channels, and `channels` is empty: name channels, or remove push"
                    .into(),
            );
        }
        let lease = settings.lease.get().as_secs();
        if !(600..=864_000).contains(&lease) {
            return Err(format!("push.lease = {}: must be from 10m to 10d", settings.lease).into());
        }
        Ok(Self {
            callback,
            hub: checked_url("push.hub", &settings.hub)?,
            lease,
            secret: settings.secret.clone(),
            channels: channels.iter().cloned().collect(),
            inbox: Mutex::default(),
        })
    }

    /// What the hub calls a channel.
    fn topic(channel: &str) -> String {
        format!("https://www.youtube.com/xml/feeds/videos.xml?channel_id={channel}")
    }

    /// The end of the callback of a channel.
    fn token(&self, channel: &str) -> Secret {
        Secret::new(sign_in_hex(
            &self.secret,
            format!("callback {channel}").as_bytes(),
        ))
    }

    /// The key of the signatures of a channel.
    fn key(&self, channel: &str) -> Secret {
        Secret::new(sign_in_hex(
            &self.secret,
            format!("signature {channel}").as_bytes(),
        ))
    }

    /// The callback of a channel.
    fn callback(&self, channel: &str) -> Url {
        let mut url = self.callback.clone();
        url.query_pairs_mut()
            .append_pair("channel", channel)
            .append_pair("token", self.token(channel).reveal());
        url
    }

    /// Whether there is something for the connector to do or to count.
    fn has_notices(&self) -> bool {
        let inbox = self.inbox.lock();
        !inbox.notices.is_empty() || !inbox.dropped.is_empty()
    }

    /// The question of a hub whether something was meant.
    fn verify(&self, channel: &str, mode: Mode, query: &str) -> Result<Received, HookError> {
        let not_wanted = HookError::NotWanted("this was not asked for");
        let answer = challenge_of(query)?;
        let mut inbox = self.inbox.lock();
        if inbox.asked.get(channel) != Some(&mode) {
            return Err(not_wanted);
        }
        let lease = parameter(query, "hub.lease_seconds").and_then(|text| text.parse().ok());
        inbox.notice(Notice::Verified {
            channel: channel.to_owned(),
            mode,
            lease,
        });
        Ok(Received {
            answer,
            wakes: true,
            ..Received::default()
        })
    }

    fn asked(&self, channel: &str, query: &str) -> Result<Received, HookError> {
        let topic = parameter(query, "hub.topic").unwrap_or_default();
        if topic != Self::topic(channel) {
            return Err(HookError::NotWanted("the topic is not that of this address"));
        }
        match parameter(query, "hub.mode").as_deref() {
            Some("subscribe") => self.verify(channel, Mode::Subscribe, query),
            Some("unsubscribe") => self.verify(channel, Mode::Unsubscribe, query),
            Some("denied") => {
                let reason = parameter(query, "hub.reason").unwrap_or_default();
                let reason = reason.chars().filter(|c| !c.is_control()).take(200).collect();
                self.inbox.lock().notice(Notice::Denied {
                    channel: channel.to_owned(),
                    reason,
                });
                Ok(Received {
                    wakes: true,
                    ..Received::default()
                })
            }
            _ => Err(HookError::NotUnderstood(
                "hub.mode is not subscribe, unsubscribe or denied",
            )),
        }
    }

    fn pushed(&self, channel: &str, hook: &Hook<'_>, now: Utc) -> Result<Received, HookError> {
        let signature = header(hook.headers, "x-hub-signature");
        let signature = signature.ok_or(HookError::NotProven("the header x-hub-signature is missing"))?;
        if !is_signed_by_hub(&self.key(channel), signature, hook.body) {
            return Err(HookError::NotProven("the signature does not fit"));
        }
        let mut inbox = self.inbox.lock();
        if self.channels.contains(channel) {
            let changes = notification::read(hook.body)
                .map_err(|()| HookError::NotUnderstood("the body is not a feed of videos"))?;
            if changes.is_empty() {
                inbox.drop_one("a notification without a video");
            }
            for change in changes {
                let at = change.at.unwrap_or(now);
                if now.millis_since(at) > NEWEST_WITHIN {
                    inbox.drop_one("an old notification");
                } else if inbox.is_new(&change.video, at.as_millis()) {
                    inbox.notice(Notice::Video {
                        channel: channel.to_owned(),
                        video: change.video,
                    });
                } else {
                    inbox.drop_one("a notification that is known");
                }
            }
        } else {
            inbox.drop_one("a notification of a channel that is not in the settings");
            inbox.notice(Notice::Unwanted {
                channel: channel.to_owned(),
            });
        }
        Ok(Received {
            wakes: !inbox.notices.is_empty(),
            ..Received::default()
        })
    }
}

impl Inbox {
    fn notice(&mut self, notice: Notice) {
        if self.notices.len() >= MOST_NOTICES {
            return self.drop_one("a notification while too many others wait");
        }
        self.notices.push(notice);
    }

    fn drop_one(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    fn is_new(&mut self, video: &str, at: i64) -> bool {
        let is_same = |known: &(String, i64)| known.0 == video && known.1 == at;
        if self.known.iter().any(is_same) {
            return false;
        }
        if self.known.len() >= REMEMBERED {
            self.known.pop_front();
        }
        self.known.push_back((video.to_owned(), at));
        true
    }
}

impl Receiver for Push {
    fn receive(&self, hook: &Hook<'_>, now: Utc) -> Result<Received, HookError> {
        let channel = parameter(hook.query, "channel").unwrap_or_default();
        let token = parameter(hook.query, "token").unwrap_or_default();
        let received = if is_same_secret(&self.token(&channel), &token) {
            if hook.is_post {
                self.pushed(&channel, hook, now)
            } else {
                self.asked(&channel, hook.query)
            }
        } else {
            Err(HookError::NotProven(
                "the address is not the one that was given to the hub",
            ))
        };
        if received.is_err() {
            self.inbox
                .lock()
                .drop_one("a request to the callback that was refused");
        }
        received
    }
}
