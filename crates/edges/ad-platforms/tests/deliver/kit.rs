//! The scene of the tests of delivery: a stage, a platform that answers as it is told, and time.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use limbic_ad_platforms::testing::{PlatformServer, ServerOptions};
use limbic_ad_platforms::{FilePlatform, FileSettings, SigningKey, WebhookPlatform, WebhookSettings};
use limbic_deliver::{AdPlatform, Answer, DeliverStage, Delivery, Settings};
use limbic_domain::{
    Campaign, Decision, Envelope, Hold, HoldCause, HumanDuration, Outcome, OutcomeKind, PostRef, Progress,
    Release, Secret, Slug, TenantId, Utc, topics,
};
use limbic_stream::Stage as _;
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, Effects, Headers, NewRecord, Outputs, Record, References, header};
use serde_json::json;
use tokio::runtime::Runtime;

pub(crate) const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One member: its committed state, the holds that it knows, and what it wrote.
pub(crate) struct Member {
    pub(crate) state: MemoryState,
    pub(crate) references: References,
    pub(crate) outcomes: Vec<NewRecord>,
    pub(crate) dead: Vec<(u64, &'static str)>,
}

impl Default for Member {
    fn default() -> Self {
        Self {
            state: MemoryState::default(),
            references: references([]),
            outcomes: Vec::new(),
            dead: Vec::new(),
        }
    }
}

impl Member {
    /// From now on, `football` is on hold.
    pub(crate) fn hold(&mut self) {
        self.hold_on("football", None);
    }

    pub(crate) fn hold_on(&mut self, subject: &str, released: Option<Release>) {
        self.hold_because(HoldCause::SensitiveEvents, subject, released);
    }

    pub(crate) fn hold_because(&mut self, cause: HoldCause, subject: &str, released: Option<Release>) {
        let hold = Hold {
            subject: slug(subject),
            since: Utc::from_millis(1_000),
            until: Utc::from_millis(86_401_000),
            posts: 9,
            sensitive_events: 5,
            unread: 0,
            trigger: PostRef {
                network: slug("bluesky"),
                id: "1".into(),
            },
            cause,
            released,
        };
        let tenant = TenantId::new("mine").unwrap();
        let key = Hold::key(&tenant, subject);
        let value = Envelope::new(tenant, "h".into(), Utc::from_millis(1_000), hold).encode();
        self.references = references([(key, value)]);
    }

    pub(crate) fn run(&self, work: impl FnOnce(&mut Outputs<'_>)) -> Effects {
        let mut out = Outputs::with_references(&self.state, &self.references);
        work(&mut out);
        out.into_effects()
    }

    pub(crate) fn commit(&mut self, effects: Effects) {
        self.state.commit(&effects);
        // The stage also publishes what people ask it, to the topic `status`.
        let outcomes = effects
            .records
            .into_iter()
            .map(|(_, record)| record)
            .filter(|record| &*record.topic == topics::OUTCOMES);
        self.outcomes.extend(outcomes);
        self.dead.extend(
            effects
                .dead
                .into_iter()
                .map(|dead| (dead.record.offset, dead.reason)),
        );
    }

    pub(crate) fn process(&mut self, stage: &mut DeliverStage, values: Vec<Vec<u8>>) {
        let records = values
            .into_iter()
            .zip(0..)
            .map(|(value, offset)| record(offset, value))
            .collect();
        let effects = self.run(|out| stage.process(&Batch { records }, out).unwrap());
        self.commit(effects);
    }

    pub(crate) fn tick(&mut self, stage: &mut DeliverStage, now: i64) {
        let effects = self.tick_without_commit(stage, now);
        self.commit(effects);
    }

    /// What happens when the process is killed before its transaction commits.
    pub(crate) fn tick_without_commit(&self, stage: &mut DeliverStage, now: i64) -> Effects {
        self.run(|out| stage.tick(&[0, 1, 2], Utc::from_millis(now), out).unwrap())
    }

    pub(crate) fn outcomes(&self) -> Vec<Envelope<Outcome>> {
        self.outcomes
            .iter()
            .map(|record| Envelope::decode(&record.value).unwrap())
            .collect()
    }

    pub(crate) fn kinds(&self) -> Vec<OutcomeKind> {
        self.outcomes()
            .into_iter()
            .map(|outcome| outcome.data.kind)
            .collect()
    }

    pub(crate) fn pending(&self) -> usize {
        // The counts of a destination stay in the state.
        let entries = self.state.keys().filter(|key| key.starts_with(b"outbox/e/"));
        entries.count()
    }
}

/// The holds, and the campaign of the tests, whose brand is `acme`.
pub(crate) fn references<const N: usize>(holds: [(String, Vec<u8>); N]) -> References {
    let campaign: Campaign = serde_json::from_value(json!({
        "id": "spring", "brands": ["acme"], "platforms": [],
        "brief": {"product": "Boots", "promise": "", "call_to_action": "", "link": ""},
    }))
    .unwrap();
    let tenant = TenantId::new("mine").unwrap();
    let campaign = Envelope::new(tenant, "c".into(), Utc::from_millis(0), campaign);
    References::new()
        .with(topics::HOLDS, holds)
        .with(topics::CAMPAIGNS, [("mine/spring", campaign.encode())])
        .with::<&str, &[u8]>(topics::PROGRESS, [])
        .with::<&str, &[u8]>(topics::WITHDRAWALS, [])
}

/// The tables, with posts accepted and read until these times.
pub(crate) fn progress(accepted: i64, read: i64) -> References {
    let records = [("ingest", accepted), ("profile", read)].map(|(stage, millis)| {
        let accepted_until = Utc::from_millis(millis);
        let progress = Progress {
            stage: slug(stage),
            partition: 1,
            accepted_until,
        };
        let envelope = Envelope::new(TenantId::default(), stage.into(), accepted_until, progress);
        (limbic_stream::progress::key(stage, 1), envelope.encode())
    });
    references([]).with(topics::PROGRESS, records)
}

pub(crate) fn record(offset: u64, value: Vec<u8>) -> Record {
    Record {
        topic: topics::DECISIONS.into(),
        partition: (offset % 3) as u32,
        offset,
        key: Bytes::from_static(b"mine/spring"),
        value: value.into(),
        headers: Headers::new().with(header::TRACE_PARENT, &b"00-1-2-01"[..]),
        timestamp: Utc::from_millis(5),
    }
}

pub(crate) fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

pub(crate) fn decision(n: usize, platform: &str) -> Envelope<Decision> {
    let data: Decision = serde_json::from_value(json!({
        "moment": format!("m{n}"), "campaign": "spring", "audience": "everyone:football",
        "context": {"valence": 0.5},
        "result": {"chosen": {
            "candidates": [{"creative": "c", "propensity": 1.0}],
            "propensity": 1.0, "position": 0, "price": 250_000, "people": ["a".repeat(32)], "seed": 7,
            "policy": {"name": "uniform", "version": 1, "hash": "0123456789abcdef"},
            "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                {"platform": platform, "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}}},
    }))
    .unwrap();
    let id = Decision::id_of(&data.campaign, &data.moment);
    Envelope::new(
        TenantId::new("mine").unwrap(),
        id,
        Utc::from_millis(i64::try_from(n).unwrap()),
        data,
    )
}

pub(crate) fn delivery(n: usize) -> Delivery {
    Delivery::of(decision(n, "file")).unwrap()
}

/// What a test may change before the scene is set up.
pub(crate) struct Setup {
    pub(crate) server: ServerOptions,
    pub(crate) deliver: Settings,
    pub(crate) webhook: WebhookSettings,
    pub(crate) file: Option<FileSettings>,
}

/// A running platform with a stage that sends to it.
pub(crate) struct Scene {
    pub(crate) server: PlatformServer,
    pub(crate) runtime: Runtime,
    pub(crate) settings: Settings,
    pub(crate) webhook: WebhookSettings,
    pub(crate) file: Option<FileSettings>,
}

impl Scene {
    pub(crate) fn new(change: impl FnOnce(&mut Setup)) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut setup = Setup {
            server: ServerOptions {
                key: Some(SigningKey::new(&Secret::new(SECRET)).unwrap()),
                ..ServerOptions::default()
            },
            deliver: Settings {
                // A tick waits for every answer.
                answer_wait: HumanDuration::from_mins(1),
                second_look: HumanDuration::ZERO,
                ..Settings::default()
            },
            webhook: WebhookSettings {
                secret: Some(Secret::new(SECRET)),
                ..WebhookSettings::to("http://replaced")
            },
            file: None,
        };
        change(&mut setup);
        let server = PlatformServer::start(runtime.handle(), setup.server).unwrap();
        setup.webhook.url = server.url().into();
        Self {
            server,
            runtime,
            settings: setup.deliver,
            webhook: setup.webhook,
            file: setup.file,
        }
    }

    pub(crate) fn stage(&self) -> DeliverStage {
        let webhook = WebhookPlatform::new(&self.webhook, self.runtime.handle().clone()).unwrap();
        let mut platforms: BTreeMap<Slug, Box<dyn AdPlatform>> = BTreeMap::new();
        platforms.insert(slug("webhook"), Box::new(webhook));
        if let Some(file) = &self.file {
            let file = FilePlatform::open(&file.path).unwrap();
            platforms.insert(slug("file"), Box::new(file));
        }
        DeliverStage::new(&self.settings, platforms).unwrap()
    }

    /// A stage with one decision in its outbox.
    pub(crate) fn with_one(&self) -> (DeliverStage, Member) {
        let (mut stage, mut member) = (self.stage(), Member::default());
        member.process(&mut stage, vec![decision(1, "webhook").encode()]);
        (stage, member)
    }
}

/// Sends deliveries by number.
pub(crate) fn deliver(file: &FilePlatform, numbers: &[usize], now: Utc) -> Vec<Answer> {
    let deliveries: Vec<_> = numbers.iter().map(|&n| delivery(n)).collect();
    file.deliver(&deliveries.iter().collect::<Vec<_>>(), now)
}

pub(crate) fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}
