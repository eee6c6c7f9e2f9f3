//! Each network: a server with posts, and the connector that reads it.

use std::time::{Duration, UNIX_EPOCH};

use limbic_component::{Component, Resources};
use limbic_connectors::{
    Bluesky, BlueskySettings, Connector, Feed, FeedSettings, LinkedIn, LinkedInSettings, Mastodon,
    MastodonSettings, MetaGraph, MetaGraphSettings, Reddit, RedditSettings, X, XMode, XSettings, YouTube,
    YouTubeSettings,
};
use limbic_domain::{ConnectionUrl, Secret, Utc};
use serde_json::json;

use crate::servers::graph::{self, GraphServer, PAGE};
use crate::servers::jetstream::Jetstream;
use crate::servers::linkedin::{self, LinkedInServer, ORGANIZATION};
use crate::servers::mastodon::Instance;
use crate::servers::news::News;
use crate::servers::reddit::RedditServer;
use crate::servers::x::{self, XServer};
use crate::servers::youtube::{self, CHANNEL, YouTubeServer};

/// A network that is measured.
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) serve: fn() -> Box<dyn Publish>,
    pub(crate) connector: fn(&str) -> Box<dyn Connector>,
    /// Posts that one turn can read.
    pub(crate) round: u32,
    /// Whether the first connection begins at the present.
    pub(crate) begins_at_present: bool,
    /// Posts of a simulated day: for a stream those of a large network, for a source that is asked, a turn every few minutes.
    pub(crate) posts_of_a_day: u32,
}

/// Comments of a post on LinkedIn.
const ROUND_OF_LINKEDIN: u32 = 90;

/// A server that posts can be published on.
pub(crate) trait Publish {
    fn url(&self) -> String;
    fn post(&mut self, n: u32);
}

pub(crate) const KINDS: &[Kind] = &[
    Kind {
        name: "bluesky",
        serve: || Box::new((Jetstream::start(), Utc::now().as_millis() * 1_000)),
        connector: |url| {
            built::<Bluesky>(&BlueskySettings {
                urls: vec![ConnectionUrl::new(url)],
                ..BlueskySettings::default()
            })
        },
        round: 2_000,
        begins_at_present: true,
        posts_of_a_day: 1_000_000,
    },
    Kind {
        name: "mastodon",
        serve: || {
            Box::new(OfMastodon(
                Instance::start(),
                (Utc::now().as_millis() as u64) << 16,
            ))
        },
        connector: |url| {
            built::<Mastodon>(&MastodonSettings {
                url: ConnectionUrl::new(url),
                ..MastodonSettings::default()
            })
        },
        round: 1_000,
        begins_at_present: true,
        posts_of_a_day: 200_000,
    },
    Kind {
        name: "x-stream",
        serve: || Box::new(OfX(XServer::start(), 0)),
        connector: |url| built::<X>(&of_x(url, XMode::Stream)),
        round: 2_000,
        begins_at_present: true,
        posts_of_a_day: 200_000,
    },
    Kind {
        name: "x-search",
        serve: || Box::new(OfX(XServer::start(), 0)),
        connector: |url| built::<X>(&of_x(url, XMode::Search)),
        round: 900,
        begins_at_present: true,
        posts_of_a_day: 20_000,
    },
    Kind {
        name: "reddit",
        serve: || Box::new(RedditServer::start()),
        connector: |url| {
            built::<Reddit>(&RedditSettings {
                subreddits: vec!["football".to_owned(), "tennis".to_owned()],
                client_id: "app".to_owned(),
                client_secret: Secret::new("secret"),
                user_agent: "linux:limbic:test (by /u/ann)".to_owned(),
                url: ConnectionUrl::new(url),
                token_url: ConnectionUrl::new(format!("{url}/api/v1/access_token")),
                comments: false,
                ..RedditSettings::default()
            })
        },
        round: 90,
        begins_at_present: false,
        posts_of_a_day: 9_000,
    },
    Kind {
        name: "youtube",
        serve: || Box::new(YouTubeServer::start()),
        connector: |url| {
            built::<YouTube>(&YouTubeSettings {
                key: Secret::new(youtube::KEY),
                channels: vec![CHANNEL.to_owned()],
                units_per_day: 1_000_000,
                url: ConnectionUrl::new(url),
                ..YouTubeSettings::default()
            })
        },
        round: 90,
        begins_at_present: false,
        posts_of_a_day: 9_000,
    },
    Kind {
        name: "linkedin",
        serve: || Box::new(OfLinkedIn(LinkedInServer::start())),
        connector: |url| {
            built::<LinkedIn>(&LinkedInSettings {
                token: Secret::new(linkedin::TOKEN),
                organizations: vec![ORGANIZATION.to_owned()],
                posts: false,
                requests_per_day: 1_000_000,
                url: ConnectionUrl::new(url),
                ..LinkedInSettings::default()
            })
        },
        round: ROUND_OF_LINKEDIN,
        begins_at_present: false,
        posts_of_a_day: 9_000,
    },
    Kind {
        name: "graph",
        serve: || Box::new(OfGraph::start()),
        connector: |url| {
            built::<MetaGraph>(&MetaGraphSettings {
                token: Secret::new(graph::TOKEN),
                pages: vec![PAGE.to_owned()],
                requests_per_day: 1_000_000,
                url: ConnectionUrl::new(url),
                ..MetaGraphSettings::default()
            })
        },
        round: 90,
        begins_at_present: false,
        posts_of_a_day: 9_000,
    },
    Kind {
        name: "feed",
        serve: || Box::new(OfFeed(News::start(), 1_790_000_000)),
        connector: |url| {
            built::<Feed>(&FeedSettings {
                url: ConnectionUrl::new(url),
                ..FeedSettings::default()
            })
        },
        round: 50,
        begins_at_present: false,
        posts_of_a_day: 9_000,
    },
];

fn built<C: Component<Product = limbic_connectors::Source>>(settings: &C::Settings) -> Box<dyn Connector> {
    C::build(settings, &Resources::new("bench")).unwrap().connector
}

/// A text of 120 to 280 characters.
fn text(n: u32) -> String {
    let words = [
        "goal",
        "what a match",
        "ça va",
        "最高",
        "the keeper was hurt",
        "😀 lovely",
        "see you at the next one",
    ];
    let mut text = format!("{n}");
    let most = 120 + (n as usize * 37) % 160;
    for place in n as usize.. {
        let word = words[place % words.len()];
        if text.chars().count() + word.chars().count() >= most {
            return text;
        }
        text.push(' ');
        text.push_str(word);
    }
    text
}

impl Publish for (Jetstream, i64) {
    fn url(&self) -> String {
        self.0.url()
    }

    fn post(&mut self, n: u32) {
        self.1 += 250;
        let event = json!({"did": format!("did:plc:{:024}", n % 5_003), "time_us": self.1, "kind": "commit", "commit": {
            "rev": "3mmoojp7vgo2g", "operation": "create", "collection": "app.bsky.feed.post", "rkey": format!("3m{n:011}"),
            "record": {"$type": "app.bsky.feed.post", "createdAt": "2026-05-25T14:23:28.757Z", "langs": ["en"], "text": text(n)}}});
        self.0.publish(self.1, event.to_string());
    }
}

struct OfMastodon(Instance, u64);

impl Publish for OfMastodon {
    fn url(&self) -> String {
        self.0.url()
    }

    fn post(&mut self, n: u32) {
        self.1 += 1 << 16;
        let id = self.1;
        let status = json!({
            "id": id.to_string(), "uri": format!("https://one.example/users/Ann/statuses/{id}"), "url": format!("https://one.example/@Ann/{id}"),
            "created_at": Utc::from_millis((id >> 16) as i64), "edited_at": null, "visibility": "public", "language": "en",
            "in_reply_to_id": null, "spoiler_text": "", "reblog": null, "content": format!("<p>{}</p>", text(n)),
            "account": {"id": "7", "acct": "Ann", "url": "https://one.example/@Ann", "bot": false, "noindex": false},
            "media_attachments": [], "mentions": [], "tags": [], "card": null, "poll": null});
        self.0.write(id, status, "update");
    }
}

fn of_x(url: &str, mode: XMode) -> XSettings {
    XSettings {
        token: Secret::new(x::TOKEN),
        rules: vec!["goal lang:en".to_owned()],
        mode,
        budget_per_day: 1e6,
        url: ConnectionUrl::new(url),
        ..XSettings::default()
    }
}

struct OfX(XServer, u64);

impl Publish for OfX {
    fn url(&self) -> String {
        self.0.url()
    }

    fn post(&mut self, n: u32) {
        self.1 = x::id_of(Utc::now()).max(self.1 + 1);
        let id = self.1.to_string();
        let post = json!({"id": id, "author_id": (n % 5_003).to_string(), "text": text(n), "edit_history_tweet_ids": [id], "lang": "en",
            "created_at": Utc::now()});
        self.0.write(self.1, post, "limbic");
    }
}

fn base36(mut number: u64) -> String {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(b"0123456789abcdefghijklmnopqrstuvwxyz"[(number % 36) as usize]);
        number /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

impl Publish for RedditServer {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn post(&mut self, n: u32) {
        let number = 1_000_000 + u64::from(n);
        let data = json!({"name": format!("t3_{}", base36(number)), "author": "ann", "subreddit": "football", "edited": false,
            "created_utc": Utc::now().as_millis() / 1_000 - 60, "title": "Match", "selftext": text(n)});
        self.shared
            .things
            .lock()
            .insert(number, json!({"kind": "t3", "data": data}));
    }
}

impl Publish for YouTubeServer {
    fn url(&self) -> String {
        Self::url(self)
    }

    fn post(&mut self, n: u32) {
        let now = Utc::now();
        let number = 1_000_000 + u64::from(n);
        let comment = json!({"id": format!("Ug{number:010}"), "snippet": {"authorChannelId": {"value": "UCann"}, "textDisplay": text(n),
            "publishedAt": now, "updatedAt": now}});
        self.shared.threads.lock().insert(number, (comment, Vec::new()));
    }
}

/// 90 comments under each post. A turn reads the comments of the newest posts again, because LinkedIn states no order of comments.
struct OfLinkedIn(LinkedInServer);

impl Publish for OfLinkedIn {
    fn url(&self) -> String {
        self.0.url()
    }

    fn post(&mut self, n: u32) {
        let at = Utc::now().as_millis();
        let urn = format!("urn:li:share:{}", n / ROUND_OF_LINKEDIN);
        if n.is_multiple_of(ROUND_OF_LINKEDIN) {
            self.0.shared.posts.lock().push(json!({
                "id": urn, "author": format!("urn:li:organization:{ORGANIZATION}"), "commentary": "Our ad", "visibility": "PUBLIC",
                "lifecycleState": "PUBLISHED", "lifecycleStateInfo": {"isEditedByAuthor": false},
                "createdAt": at, "publishedAt": at, "lastModifiedAt": at + 500}));
        }
        let number = 7_000_000_000 + u64::from(n);
        let comment = json!({"id": number.to_string(), "object": "urn:li:activity:9", "actor": "urn:li:person:ann",
            "message": {"text": text(n), "attributes": []}, "created": {"time": at}, "lastModified": {"time": at}});
        self.0
            .shared
            .comments
            .lock()
            .entry(urn)
            .or_default()
            .insert(number, comment);
    }
}

struct OfGraph(GraphServer);

impl OfGraph {
    fn start() -> Self {
        let server = GraphServer::start();
        let post = json!({"id": format!("{PAGE}_5"), "created_time": Utc::now(), "message": "Our ad", "from": {"id": PAGE}});
        server.write(&format!("{PAGE}/feed"), 1, post);
        Self(server)
    }
}

impl Publish for OfGraph {
    fn url(&self) -> String {
        self.0.url()
    }

    fn post(&mut self, n: u32) {
        let number = 1_000 + u64::from(n);
        let comment = json!({"id": format!("5_{number}"), "created_time": Utc::now(), "message": text(n), "from": {"id": "77"}});
        self.0.write(&format!("{PAGE}_5/comments"), number, comment);
    }
}

struct OfFeed(News, u64);

impl Publish for OfFeed {
    fn url(&self) -> String {
        self.0.url("/feed")
    }

    fn post(&mut self, n: u32) {
        self.1 += 1;
        let at = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(self.1));
        self.0.change(|entries| {
            entries.push((format!("guid-{n}"), format!("Title {n}"), text(n), at));
            // A feed shows its newest entries.
            let surplus = entries.len().saturating_sub(50);
            entries.drain(..surplus);
        });
    }
}
