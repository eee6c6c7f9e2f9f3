//! The promises of the deliver stage, with the platforms of this crate.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use limbic_ad_platforms::testing::{Behaviour, Chaos, PlatformServer, ServerOptions};
use limbic_ad_platforms::{
    Conflict, FilePlatform, FileSettings, SigningKey, WebhookPlatform, WebhookSettings,
};
use limbic_component::Component as _;
use limbic_deliver::{AdPlatform, Answer, DeliverStage, Delivery, Pause, Settings};
use limbic_domain::{
    Campaign, Decision, DecisionResult, Envelope, Hold, HoldCause, HumanDuration, Outcome, OutcomeKind,
    PostRef, Progress, Pseudonym, Release, Secret, Slug, Suppressed, SuppressedBy, TenantId, Utc, Withdrawal,
    event_id, topics,
};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, Effects, Headers, NewRecord, Outputs, Record, References, Stage, header};
use serde_json::json;
use tokio::runtime::Runtime;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// One member: its committed state, the holds that it knows, and what it wrote.
struct Member {
    state: MemoryState,
    references: References,
    outcomes: Vec<NewRecord>,
    dead: Vec<(u64, &'static str)>,
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
    fn hold(&mut self) {
        self.hold_on("football", None);
    }

    fn hold_on(&mut self, subject: &str, released: Option<Release>) {
        self.hold_because(HoldCause::SensitiveEvents, subject, released);
    }

    fn hold_because(&mut self, cause: HoldCause, subject: &str, released: Option<Release>) {
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

    fn run(&self, work: impl FnOnce(&mut Outputs<'_>)) -> Effects {
        let mut out = Outputs::with_references(&self.state, &self.references);
        work(&mut out);
        out.into_effects()
    }

    fn commit(&mut self, effects: Effects) {
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

    fn process(&mut self, stage: &mut DeliverStage, values: Vec<Vec<u8>>) {
        let records = values
            .into_iter()
            .zip(0..)
            .map(|(value, offset)| record(offset, value))
            .collect();
        let effects = self.run(|out| stage.process(&Batch { records }, out).unwrap());
        self.commit(effects);
    }

    fn tick(&mut self, stage: &mut DeliverStage, now: i64) {
        let effects = self.tick_without_commit(stage, now);
        self.commit(effects);
    }

    /// What happens when the process is killed before its transaction commits.
    fn tick_without_commit(&self, stage: &mut DeliverStage, now: i64) -> Effects {
        self.run(|out| stage.tick(&[0, 1, 2], Utc::from_millis(now), out).unwrap())
    }

    fn outcomes(&self) -> Vec<Envelope<Outcome>> {
        self.outcomes
            .iter()
            .map(|record| Envelope::decode(&record.value).unwrap())
            .collect()
    }

    fn kinds(&self) -> Vec<OutcomeKind> {
        self.outcomes()
            .into_iter()
            .map(|outcome| outcome.data.kind)
            .collect()
    }

    fn pending(&self) -> usize {
        // The counts of a destination stay in the state.
        let entries = self.state.keys().filter(|key| key.starts_with(b"outbox/e/"));
        entries.count()
    }
}

/// The holds, and the campaign of the tests, whose brand is `acme`.
fn references<const N: usize>(holds: [(String, Vec<u8>); N]) -> References {
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
fn progress(accepted: i64, read: i64) -> References {
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

fn record(offset: u64, value: Vec<u8>) -> Record {
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

fn slug(text: &str) -> Slug {
    Slug::new(text).unwrap()
}

fn decision(n: usize, platform: &str) -> Envelope<Decision> {
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

fn delivery(n: usize) -> Delivery {
    Delivery::of(decision(n, "file")).unwrap()
}

/// What a test may change before the scene is set up.
struct Setup {
    server: ServerOptions,
    deliver: Settings,
    webhook: WebhookSettings,
    file: Option<FileSettings>,
}

/// A running platform with a stage that sends to it.
struct Scene {
    server: PlatformServer,
    runtime: Runtime,
    settings: Settings,
    webhook: WebhookSettings,
    file: Option<FileSettings>,
}

impl Scene {
    fn new(change: impl FnOnce(&mut Setup)) -> Self {
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

    fn stage(&self) -> DeliverStage {
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
    fn with_one(&self) -> (DeliverStage, Member) {
        let (mut stage, mut member) = (self.stage(), Member::default());
        member.process(&mut stage, vec![decision(1, "webhook").encode()]);
        (stage, member)
    }
}

#[test]
fn a_decision_is_delivered_and_its_outcome_written_in_one_transaction() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    assert_eq!(
        (member.pending(), scene.server.received().len()),
        (1, 0),
        "nothing is sent before it is in the outbox"
    );
    member.tick(&mut stage, 60_000);
    assert_eq!(member.pending(), 0);

    let id = decision(1, "webhook").id;
    let outcome = &member.outcomes()[0];
    assert_eq!(
        (outcome.data.kind, outcome.data.decision.as_str()),
        (OutcomeKind::Delivered, id.as_str())
    );
    assert_eq!(outcome.data.key, "deliver/webhook");
    assert_eq!(outcome.id, event_id("outcome", &[&id, "deliver/webhook"]));
    assert_eq!(
        (outcome.at, outcome.tenant.as_str()),
        (Utc::from_millis(60_000), "mine")
    );
    let written = &member.outcomes[0];
    assert_eq!(
        (&*written.topic, &written.key[..]),
        (topics::OUTCOMES, &b"mine/spring"[..])
    );
    assert_eq!(
        written.headers.text(header::TRACE_PARENT),
        Some("00-1-2-01"),
        "the outcome continues the trace"
    );

    let received = &scene.server.received()[0];
    assert_eq!(received.headers["idempotency-key"], id);
    assert_eq!(received.headers["webhook-timestamp"], "60");
    assert!(!received.headers["webhook-id"].contains('.'));
    let body: serde_json::Value = serde_json::from_slice(&received.body).unwrap();
    let fields: BTreeSet<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    let told = [
        "audience",
        "campaign",
        "creative",
        "decision",
        "people",
        "price",
        "tenant",
        "timestamp",
        "type",
    ];
    assert_eq!(fields, told.into(), "no feeling, no score, no propensity");
    member.tick(&mut stage, 61_000);
    assert_eq!(
        (scene.server.received().len(), member.outcomes.len()),
        (1, 1),
        "it is sent only once"
    );
}

#[test]
fn an_ad_to_somebody_who_took_a_post_back_after_the_decision_is_withdrawn() {
    let withdrawal = |person: &str| {
        let tenant = TenantId::new("mine").unwrap();
        let person: Pseudonym = person.parse().unwrap();
        let deleted_at = Utc::from_millis(2_000);
        let key = Withdrawal::key(&tenant, &person);
        let data = Withdrawal { person, deleted_at };
        let envelope = Envelope::new(tenant, "w".into(), deleted_at, data);
        references([]).with(topics::WITHDRAWALS, [(key, envelope.encode())])
    };
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.references = withdrawal(&"a".repeat(32));
    member.tick(&mut stage, 60_000);
    assert_eq!((scene.server.received().len(), member.pending()), (0, 0));
    let outcome = &member.outcomes()[0].data;
    assert_eq!(outcome.kind, OutcomeKind::Withdrawn);
    let detail = outcome.detail.as_deref().unwrap();
    assert!(detail.contains("deleted a post"), "{detail}");

    let (mut stage, mut member) = scene.with_one();
    member.references = withdrawal(&"b".repeat(32));
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered], "it was somebody else");
}

#[test]
fn an_ad_whose_subject_is_put_on_hold_after_the_decision_is_withdrawn() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.hold();
    member.tick(&mut stage, 60_000);
    assert_eq!(
        (scene.server.received().len(), member.pending()),
        (0, 0),
        "it was never sent"
    );
    let outcome = &member.outcomes()[0];
    assert_eq!(
        (outcome.data.kind, outcome.data.key.as_str()),
        (OutcomeKind::Withdrawn, "deliver/webhook")
    );
    assert!(
        outcome
            .data
            .detail
            .as_ref()
            .unwrap()
            .contains("5 were read as reports of a death"),
        "{outcome:?}"
    );
    // What is decided later for the same subject is not sent either, until the hold is over.
    let mut after = decision(2, "webhook");
    after.at = Utc::from_millis(86_401_000);
    member.process(&mut stage, vec![decision(3, "webhook").encode(), after.encode()]);
    member.tick(&mut stage, 61_000);
    assert_eq!(
        member.kinds(),
        [
            OutcomeKind::Withdrawn,
            OutcomeKind::Withdrawn,
            OutcomeKind::Delivered
        ]
    );
}

#[test]
fn a_delivered_ad_is_paused_once_when_its_subject_is_put_on_hold() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    member.tick(&mut stage, 61_000);
    member.hold();
    // The first tick finds the hold; a process that is killed there asks again.
    let lost = member.tick_without_commit(&mut stage, 62_000);
    drop((stage, lost));
    let mut stage = scene.stage();
    for now in [62_000, 62_100, 62_200] {
        member.tick(&mut stage, now);
    }
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Paused]);
    let id = decision(1, "webhook").id;
    let paused = &member.outcomes()[1];
    assert_eq!(
        (paused.data.decision.as_str(), paused.data.key.as_str()),
        (id.as_str(), "pause/webhook")
    );
    let received = scene.server.received();
    let [_, pause] = &received[..] else {
        panic!("one delivery and one pause: {}", received.len());
    };
    assert_eq!(pause.headers["idempotency-key"], format!("{id}.pause"));
    let body: serde_json::Value = serde_json::from_slice(&pause.body).unwrap();
    assert_eq!(
        (&body["type"], &body["decision"]),
        (&json!("ad.paused"), &json!(id))
    );
    assert!(body.get("people").is_none(), "a pause names no person");
}

#[test]
fn a_suspicion_withdraws_an_ad_that_waits_and_leaves_those_that_run() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    member.hold_because(HoldCause::Suspected, "football", None);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    for now in [61_000, 61_100, 61_200] {
        member.tick(&mut stage, now);
    }
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Withdrawn]);
}

#[test]
fn a_hold_on_a_brand_of_the_campaign_withdraws_and_pauses_once() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 60_000);
    member.hold_on("acme", None);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    for tick in 1..4 {
        member.tick(&mut stage, 60_000 + tick);
    }
    assert_eq!(
        member.kinds(),
        [
            OutcomeKind::Delivered,
            OutcomeKind::Withdrawn,
            OutcomeKind::Paused
        ]
    );
    // Nothing is left of the ad that a hold on its audience's subject could pause again.
    member.hold();
    member.tick(&mut stage, 61_000);
    member.tick(&mut stage, 61_001);
    assert_eq!(member.kinds().len(), 3);
    let running = member.state.keys().filter(|key| key.starts_with(b"running/"));
    assert_eq!(running.count(), 0);
}

#[test]
fn a_released_hold_stops_nothing() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    let release = Release {
        at: Utc::from_millis(2_000),
        by: "anonymous".into(),
        reason: None,
    };
    member.hold_on("football", Some(release));
    member.tick(&mut stage, 60_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
}

#[test]
fn an_ad_whose_run_has_ended_is_not_paused() {
    let scene = Scene::new(|setup| setup.deliver.runs_for = HumanDuration::from_mins(1));
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    member.tick(&mut stage, 60_000);
    member.hold();
    member.tick(&mut stage, 60_100);
    member.tick(&mut stage, 60_200);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.received().len(), 1);
}

#[test]
fn an_ad_withdrawn_after_an_attempt_with_a_lost_answer_is_also_paused() {
    let scene = Scene::new(|_| {});
    scene.server.script([Behaviour::LoseAnswer]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!((member.pending(), scene.server.effects().len()), (1, 1));
    member.hold();
    member.tick(&mut stage, 2_000);
    member.tick(&mut stage, 2_100);
    assert_eq!(member.kinds(), [OutcomeKind::Withdrawn, OutcomeKind::Paused]);
    let keys: Vec<_> = scene
        .server
        .received()
        .into_iter()
        .map(|received| received.key)
        .collect();
    let id = decision(1, "webhook").id;
    assert_eq!(keys, [id.clone(), format!("{id}.pause")]);
}

#[test]
fn a_new_delivery_waits_for_the_second_look_and_does_not_block_others() {
    let scene = Scene::new(|setup| {
        setup.deliver.second_look = HumanDuration::from_secs(2);
        setup.deliver.batch = 1;
    });
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 10_000);
    member.tick(&mut stage, 11_000);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    member.tick(&mut stage, 11_900);
    assert_eq!(scene.server.received().len(), 0, "both wait");
    member.tick(&mut stage, 12_000);
    assert_eq!(
        scene.server.received().len(),
        1,
        "the first one waited long enough"
    );
    member.tick(&mut stage, 13_900);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Delivered]);
}

#[test]
fn an_ad_waits_while_accepted_posts_are_unread_and_is_withdrawn_if_that_lasts() {
    let scene = Scene::new(|setup| {
        setup.deliver.max_unread = HumanDuration::from_secs(10);
        setup.deliver.unread_wait = HumanDuration::from_mins(1);
    });
    let (mut stage, mut member) = scene.with_one();
    member.references = progress(100_000, 80_000);
    for now in [100_000, 110_000, 159_000] {
        member.tick(&mut stage, now);
        assert_eq!((scene.server.received().len(), member.pending()), (0, 1));
    }
    // The posts are read, and none of them stops the ad. A restart changes nothing.
    let mut read = scene.stage();
    let mut others = Member {
        state: member.state.clone(),
        ..Member::default()
    };
    others.references = progress(170_000, 165_000);
    others.tick(&mut read, 160_500);
    assert_eq!(others.kinds(), [OutcomeKind::Delivered]);
    // They are not read in time.
    member.tick(&mut stage, 160_500);
    assert_eq!(member.pending(), 0);
    let outcome = &member.outcomes()[0];
    assert_eq!(outcome.data.kind, OutcomeKind::Withdrawn);
    let detail = outcome.data.detail.as_deref().unwrap();
    assert!(
        detail.contains("partition 1") && detail.contains("60 s"),
        "{detail}"
    );
    assert_eq!(scene.server.received().len(), 1);
}

#[test]
fn a_file_records_each_pause_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let pause = Pause::new(
        &delivery(1).decision,
        Utc::from_millis(1),
        &TenantId::new("mine").unwrap(),
        &slug("spring"),
        "Why.".to_owned(),
    );
    for _ in 0..2 {
        // Opened again, the file knows what it holds.
        let platform = FilePlatform::open(&path).unwrap();
        platform.deliver(&[&delivery(1)], Utc::from_millis(2));
        assert_eq!(
            platform.pause(&[&pause, &pause], Utc::from_millis(3)),
            vec![Answer::Applied(()); 2]
        );
    }
    let text = std::fs::read_to_string(&path).unwrap();
    let kinds: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["type"].to_string())
        .collect();
    assert_eq!(kinds, ["\"ad.decided\"", "\"ad.paused\""]);
}

#[test]
fn after_a_kill_before_the_commit_the_same_key_is_sent_again_and_has_one_effect() {
    for conflict in [false, true] {
        let scene = Scene::new(|setup| {
            setup.server.conflict = conflict;
            setup.webhook.conflict = Conflict::Delivered;
        });
        let (mut stage, mut member) = scene.with_one();
        let lost = member.tick_without_commit(&mut stage, 1_000);
        let outcomes = lost
            .records
            .iter()
            .filter(|(_, record)| &*record.topic == topics::OUTCOMES);
        assert_eq!(outcomes.count(), 1, "it was sent and answered");
        drop((stage, lost));

        let mut successor = scene.stage();
        member.tick(&mut successor, 2_000);
        let keys: Vec<_> = scene
            .server
            .received()
            .into_iter()
            .map(|received| received.key)
            .collect();
        assert_eq!(keys, [decision(1, "webhook").id, decision(1, "webhook").id]);
        assert_eq!(scene.server.effects().len(), 1);
        assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
        assert_eq!(member.pending(), 0);
    }
}

#[test]
fn a_delivery_whose_answer_is_lost_is_sent_again() {
    let scene = Scene::new(|_| {});
    scene.server.script([Behaviour::LoseAnswer, Behaviour::Reset]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!(
        (
            member.pending(),
            member.outcomes.len(),
            scene.server.effects().len()
        ),
        (1, 0, 1)
    );
    member.tick(&mut stage, 499);
    assert_eq!(scene.server.received().len(), 1, "not before its back-off");
    member.tick(&mut stage, 1_000);
    assert_eq!(
        (scene.server.received().len(), member.pending()),
        (2, 1),
        "reset this time"
    );
    member.tick(&mut stage, 1_000 + 2_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.effects().len(), 1);
}

#[test]
fn a_delivery_without_an_answer_in_time_is_sent_again() {
    let scene = Scene::new(|setup| setup.webhook.timeout = HumanDuration::from_millis(200));
    scene.server.script([Behaviour::Hang]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    assert_eq!((member.pending(), member.outcomes.len()), (1, 0));
    member.tick(&mut stage, 1_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered]);
    assert_eq!(scene.server.effects().len(), 1);
}

#[test]
fn a_rejection_is_final_and_keeps_the_platforms_message() {
    let scene = Scene::new(|_| {});
    scene
        .server
        .script([Behaviour::refuse("headline not allowed here")]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    let outcome = &member.outcomes()[0].data;
    assert_eq!(
        (outcome.kind, outcome.detail.as_deref()),
        (OutcomeKind::Refused, Some("422: headline not allowed here"))
    );
    assert_eq!(member.pending(), 0);
}

#[test]
fn a_wrong_secret_is_refused_and_never_shown() {
    let scene = Scene::new(|setup| {
        setup.webhook.secret = Some(Secret::new(format!("whsec_{}", "QUJD".repeat(8))));
        setup.webhook.headers = [("authorization".to_owned(), Secret::new("Bearer hidden"))].into();
    });
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    // The account is wrong, not the ad: it waits until somebody corrects the secret, or until it is too old.
    assert_eq!((member.pending(), member.outcomes.len()), (1, 0));
    // A longer step would be taken for a clock that jumps.
    for minutes in (0..=25 * 60).step_by(4) {
        member.tick(&mut stage, minutes * 60_000);
    }
    let detail = member.outcomes()[0].data.detail.clone().unwrap();
    assert!(detail.ends_with("401: no valid signature"), "{detail}");
    assert_eq!(
        scene.server.received()[0].headers["authorization"],
        "Bearer hidden"
    );
    let shown = format!(
        "{:?} {}",
        scene.webhook,
        serde_json::to_string(&scene.webhook).unwrap()
    );
    assert!(!shown.contains("QUJD") && !shown.contains("hidden"), "{shown}");
}

#[test]
fn a_throttle_pauses_the_whole_platform_as_long_as_it_asks_and_counts_as_an_attempt() {
    let scene = Scene::new(|setup| setup.deliver.attempts = 3);
    scene.server.script([
        Behaviour::throttle("30"),
        Behaviour::throttle("Thu, 01 Jan 1970 00:01:10 GMT"),
    ]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 1_000);
    member.process(&mut stage, vec![decision(2, "webhook").encode()]);
    member.tick(&mut stage, 30_999);
    assert_eq!(scene.server.received().len(), 1, "the other waits too");
    member.tick(&mut stage, 31_000);
    assert!(member.outcomes.len() <= 1 && scene.server.received().len() <= 3);
    member.tick(&mut stage, 69_999);
    assert!(scene.server.received().len() <= 3, "until the date it named");
    member.tick(&mut stage, 70_000);
    assert_eq!(member.kinds(), [OutcomeKind::Delivered, OutcomeKind::Delivered]);
}

#[test]
fn a_delivery_to_a_failing_platform_ends_with_a_reason() {
    let scene = Scene::new(|setup| {
        setup.deliver.attempts = 3;
        setup.deliver.circuit_failures = 100;
    });
    scene.server.script([
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::status(408),
    ]);
    let (mut stage, mut member) = scene.with_one();
    for now in [0, 10_000, 20_000, 30_000] {
        member.tick(&mut stage, now);
    }
    assert_eq!(scene.server.received().len(), 3);
    let outcome = &member.outcomes()[0].data;
    assert_eq!(outcome.kind, OutcomeKind::Refused);
    assert_eq!(
        outcome.detail.as_deref(),
        Some("gave_up: 3 attempts failed within 20 s; last: 408")
    );
    assert_eq!(member.pending(), 0);
}

#[test]
fn endless_throttling_ends_after_the_time_limit() {
    let scene = Scene::new(|setup| setup.deliver.give_up_after = HumanDuration::from_secs(100));
    scene
        .server
        .script([Behaviour::throttle("60"), Behaviour::throttle("60")]);
    let (mut stage, mut member) = scene.with_one();
    member.tick(&mut stage, 0);
    member.tick(&mut stage, 60_000);
    let detail = member.outcomes()[0].data.detail.clone().unwrap();
    assert!(
        detail.starts_with("gave_up: 2 attempts failed within 60 s; last: 429"),
        "{detail}"
    );
}

#[test]
fn a_circuit_breaker_opens_probes_and_closes_without_delaying_other_platforms() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let scene = Scene::new(|setup| {
        setup.deliver.circuit_failures = 3;
        setup.deliver.circuit_rest = HumanDuration::from_secs(50);
        setup.webhook.concurrency = 1;
        setup.file = Some(FileSettings {
            path: path.clone(),
            ..FileSettings::default()
        });
    });
    scene.server.script(vec![Behaviour::status(500); 4]);
    let (mut stage, mut member) = (scene.stage(), Member::default());
    let values = (0..10).map(|n| decision(n, if n == 9 { "file" } else { "webhook" }).encode());
    member.process(&mut stage, values.collect());
    member.tick(&mut stage, 0);
    assert_eq!(scene.server.received().len(), 3, "then the circuit opened");
    assert_eq!(
        member.kinds(),
        [OutcomeKind::Delivered],
        "the file platform is not affected"
    );
    member.tick(&mut stage, 49_999);
    assert_eq!(scene.server.received().len(), 3);
    member.tick(&mut stage, 50_000);
    assert_eq!(scene.server.received().len(), 4, "one probe, which failed");
    for _ in 0..10 {
        // A slow machine may need more than one tick.
        member.tick(&mut stage, 100_000);
    }
    assert_eq!(member.kinds(), vec![OutcomeKind::Delivered; 10]);
    assert_eq!(scene.server.effects().len(), 9);
}

#[test]
fn with_random_failures_and_kills_every_decision_has_one_outcome_and_one_effect() {
    const DECISIONS: usize = 60;
    let scene = Scene::new(|setup| {
        setup.server.chaos = Chaos {
            seed: 7,
            refuse: 50,
            throttle: 100,
            fail: 100,
            lose_answer: 150,
            reset: 100,
        };
        setup.deliver.attempts = 1_000;
        setup.deliver.circuit_rest = HumanDuration::from_millis(1);
        setup.deliver.backoff = HumanDuration::from_millis(1);
    });
    let mut member = Member::default();
    let mut stage = scene.stage();
    member.process(
        &mut stage,
        (0..DECISIONS).map(|n| decision(n, "webhook").encode()).collect(),
    );
    for round in 0..2_000_i64 {
        if member.pending() == 0 {
            break;
        }
        let now = round * 1_000_000;
        if round % 3 == 1 {
            let _lost = member.tick_without_commit(&mut stage, now);
            stage = scene.stage();
        } else {
            member.tick(&mut stage, now);
        }
    }
    assert_eq!(member.pending(), 0);
    let outcomes = member.outcomes();
    let ids: BTreeSet<_> = outcomes
        .iter()
        .map(|outcome| outcome.data.decision.clone())
        .collect();
    assert_eq!(
        (ids.len(), outcomes.len()),
        (DECISIONS, DECISIONS),
        "one outcome each"
    );
    let delivered: BTreeSet<_> = outcomes
        .iter()
        .filter(|outcome| outcome.data.kind == OutcomeKind::Delivered)
        .map(|outcome| outcome.data.decision.clone())
        .collect();
    let effects = scene.server.effects();
    assert_eq!(
        effects
            .iter()
            .map(|(key, _)| key.clone())
            .collect::<BTreeSet<_>>(),
        delivered
    );
    assert_eq!(effects.len(), delivered.len(), "one effect each");
    assert!(
        scene.server.received().len() > DECISIONS && delivered.len() < DECISIONS,
        "some attempts failed"
    );
}

#[test]
fn a_decision_that_no_platform_can_deliver_is_a_dead_letter() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = (scene.stage(), Member::default());
    let mut suppressed = decision(1, "webhook");
    suppressed.data.result = DecisionResult::Suppressed(Suppressed {
        rule: "r".into(),
        reason: "R.".into(),
        by: SuppressedBy::SafetyGate("gate-1".into()),
    });
    // Neither chosen nor suppressed, because it claims to be both.
    let contradiction = String::from_utf8(decision(2, "webhook").encode()).unwrap();
    let contradiction = contradiction.replace(
        r#""result":{"#,
        r#""result":{"suppressed":{"rule":"r","reason":"R.","by":{"safety_gate":"gate-1"}},"#,
    );
    let mut nobody = decision(3, "webhook");
    let DecisionResult::Chosen(chosen) = &mut nobody.data.result else {
        panic!("{nobody:?}");
    };
    chosen.people.clear();
    let mut wrong_id = decision(4, "webhook");
    wrong_id.id = "x".into();
    let mut truncated = decision(5, "webhook").encode();
    truncated.truncate(40);
    let values = vec![
        suppressed.encode(),
        contradiction.into_bytes(),
        nobody.encode(),
        wrong_id.encode(),
        truncated,
        decision(6, "elsewhere").encode(),
        b"\xff".to_vec(),
        decision(7, "webhook").encode(),
        decision(7, "webhook").encode(),
    ];
    member.process(&mut stage, values);
    let expected = [
        (1, "malformed"),
        (2, "nobody"),
        (3, "malformed"),
        (4, "malformed"),
        (5, "unknown_platform"),
        (6, "malformed"),
    ];
    assert_eq!(
        member.dead, expected,
        "a suppression is not a dead letter: there is nothing to deliver"
    );
    member.tick(&mut stage, 0);
    assert_eq!(
        scene.server.effects().len(),
        1,
        "only the valid decision is delivered"
    );
}

#[test]
fn an_outbox_entry_of_a_later_version_stops_the_stage_and_is_kept() {
    let scene = Scene::new(|_| {});
    let (mut stage, mut member) = scene.with_one();
    let entries: Vec<_> = member
        .state
        .entries()
        .map(|(partition, key, value)| (partition, key.clone(), value.clone()))
        .collect();
    for (partition, key, value) in entries {
        if key.starts_with(b"outbox/e/") {
            let value = String::from_utf8(value.to_vec()).unwrap();
            member
                .state
                .put(partition, key, value.replace("{\"v\":1", "{\"v\":2"));
        }
    }
    let mut out = Outputs::with_references(&member.state, &member.references);
    let error = stage.tick(&[0, 1, 2], Utc::from_millis(0), &mut out).unwrap_err();
    assert!(error.message.contains("upgrade"), "{error}");
}

#[test]
fn webhook_settings_are_read_from_toml_and_invalid_ones_are_refused() {
    let checks = |text: &str| {
        let webhook = toml::from_str::<WebhookSettings>(text).map_err(|error| error.to_string())?;
        WebhookPlatform::check(&webhook).map_err(|error| error.to_string())
    };
    let good = format!(
        "url = \"https://example.com/ads\"\nsecret = \"{SECRET}\"\nconcurrency = 4\nheaders.authorization = \"Bearer x\"\n"
    );
    assert_eq!(checks(&good), Ok(()));
    let with = |rest: &str| format!("url = \"https://example.com\"\n{rest}");
    for (bad, said) in [
        ("url = \"\"".to_owned(), "url: is empty"),
        ("url = \"nonsense\"".to_owned(), "not a URL"),
        ("url = \"ftp://example.com\"".to_owned(), "use https"),
        ("url = \"https://u:p@example.com\"".to_owned(), "password"),
        (with("secret = \"short\""), "whsec_"),
        (with("headers.webhook-id = \"x\""), "headers.webhook-id"),
        (with("timeout = \"0s\""), "timeout = 0s"),
        (with("path = \"x\""), "unknown field"),
    ] {
        let error = checks(&bad).unwrap_err();
        assert!(error.contains(said), "`{said}` is not in: {error}");
        assert!(!error.contains("short\""), "{error}");
    }
}

/// Sends deliveries by number.
fn deliver(file: &FilePlatform, numbers: &[usize], now: Utc) -> Vec<Answer> {
    let deliveries: Vec<_> = numbers.iter().map(|&n| delivery(n)).collect();
    file.deliver(&deliveries.iter().collect::<Vec<_>>(), now)
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_file_contains_each_decision_once_after_repeated_sends_and_reopening() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("made/on/the/way/ads.jsonl");
    let now = Utc::from_millis(1_000);
    let file = FilePlatform::open(&path).unwrap();
    let answers = deliver(&file, &[1, 2, 1], now);
    assert_eq!(answers, vec![Answer::Applied(()); 3]);
    let other = FilePlatform::open(&path).unwrap();
    assert_eq!(deliver(&other, &[2, 3], now), vec![Answer::Applied(()); 2]);
    assert_eq!(
        deliver(&file, &[3, 4], now),
        vec![Answer::Applied(()); 2],
        "it sees the lines that another process added"
    );
    let decisions: Vec<_> = lines(&path).iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, [1, 2, 3, 4].map(|n| json!(delivery(n).decision)));
    assert_eq!(lines(&path)[0]["delivered_at"], "1970-01-01T00:00:01.000Z");
}

#[test]
fn a_file_opens_while_another_process_writes_it_and_is_read_before_the_first_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let now = Utc::default();
    deliver(&FilePlatform::open(&path).unwrap(), &[1], now);
    let elsewhere = std::fs::File::open(&path).unwrap();
    elsewhere.lock().unwrap();
    let file = FilePlatform::open(&path).unwrap();
    let answers = deliver(&file, &[1, 2], now);
    assert!(
        answers
            .iter()
            .all(|answer| matches!(answer, Answer::RetryAfter { .. })),
        "{answers:?}"
    );
    elsewhere.unlock().unwrap();
    assert_eq!(deliver(&file, &[1, 2], now), vec![Answer::Applied(()); 2]);
    let decisions: Vec<_> = lines(&path).iter().map(|line| line["decision"].clone()).collect();
    assert_eq!(decisions, [1, 2].map(|n| json!(delivery(n).decision)));
}

#[test]
fn a_torn_last_line_is_cut_off_and_written_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    deliver(&FilePlatform::open(&path).unwrap(), &[1, 2], Utc::default());
    let whole = std::fs::read(&path).unwrap();
    let first = whole.iter().position(|&byte| byte == b'\n').unwrap() + 1;
    for torn in [first + 1, first + 20, whole.len() - 1] {
        std::fs::write(&path, &whole[..torn]).unwrap();
        let file = FilePlatform::open(&path).unwrap();
        assert_eq!(
            std::fs::metadata(&path).unwrap().len(),
            first as u64,
            "torn at {torn}"
        );
        assert_eq!(
            deliver(&file, &[1, 2], Utc::default()),
            vec![Answer::Applied(()); 2]
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn a_damaged_file_and_a_locked_file_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ads.jsonl");
    let file = FilePlatform::open(&path).unwrap();
    let holder = std::fs::File::open(&path).unwrap();
    holder.lock().unwrap();
    let answer = deliver(&file, &[1], Utc::default());
    assert!(
        matches!(&answer[..], [Answer::RetryAfter { wait: Some(_), .. }]),
        "{answer:?}"
    );
    holder.unlock().unwrap();
    assert_eq!(deliver(&file, &[1], Utc::default()), [Answer::Applied(())]);

    std::fs::write(&path, "{\"decision\":\"x\"}\nnot json\n").unwrap();
    let error = FilePlatform::open(&path).unwrap_err().to_string();
    assert!(
        error.contains("byte 17") && error.contains("move the file aside"),
        "{error}"
    );
    std::fs::write(&path, "").unwrap();
    assert_eq!(
        deliver(&file, &[1], Utc::default()),
        [Answer::Applied(())],
        "an emptied file is read from its start"
    );
    assert_eq!(lines(&path).len(), 1);
}
