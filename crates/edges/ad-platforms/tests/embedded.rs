//! The deliver stage as it runs: on the embedded log, under the runtime, through a restart.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use limbic_ad_platforms::testing::{Chaos, PlatformServer, ServerOptions};
use limbic_ad_platforms::{AdPlatform, WebhookPlatform, WebhookSettings};
use limbic_deliver::{Answer, DeliverStage, Delivery, Pause, PlatformLimits, STAGE, Settings};
use limbic_domain::{Decision, Envelope, HumanDuration, Outcome, OutcomeKind, Slug, TenantId, Utc, topics};
use limbic_stream::runtime::{Health, RunOptions, StageHandle, StageMeters, spawn};
use limbic_stream::{BatchLimits, Headers, Log, NewRecord, Polled, Subscription, TopicPartition, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use serde_json::json;
use tokio::runtime::Runtime;

const PARTITIONS: u32 = 3;
const DECISIONS: usize = 40;

fn open(folder: &Path) -> Arc<dyn Log> {
    let log = EmbeddedLog::open(folder, EmbeddedOptions::default()).unwrap();
    let names = [
        topics::DECISIONS.to_owned(),
        topics::OUTCOMES.to_owned(),
        topics::dead(topics::DECISIONS),
    ];
    let specs = names.map(|name| TopicSpec::new(name, PARTITIONS));
    let tables = [
        topics::HOLDS,
        topics::CAMPAIGNS,
        topics::PROGRESS,
        topics::STATUS,
        topics::WITHDRAWALS,
    ];
    let tables = tables.map(|name| TopicSpec::new(name, PARTITIONS).compacted());
    log.ensure_topics(&specs).unwrap();
    log.ensure_topics(&tables).unwrap();
    Arc::new(log)
}

fn decision(n: usize) -> NewRecord {
    decision_for(n, "webhook")
}

fn decision_for(n: usize, platform: &str) -> NewRecord {
    let campaign = format!("campaign-{}", n % 7);
    let data: Decision = serde_json::from_value(json!({
        "moment": format!("m{n}"), "campaign": campaign, "audience": "everyone:football",
        "result": {"chosen": {
            "candidates": [{"creative": "c", "propensity": 1.0}],
            "propensity": 1.0, "position": 0, "price": 1, "people": ["a".repeat(32)], "seed": 7,
            "policy": {"name": "uniform", "version": 1, "hash": "0123456789abcdef"},
            "creative": {"id": "c", "generator": "template/plain-1", "tone": "plain", "rendering":
                {"platform": platform, "headline": "Acme Boots", "body": "Try a pair.", "link": "https://example.com"}}}},
    }))
    .unwrap();
    let id = Decision::id_of(&data.campaign, &data.moment);
    let envelope = Envelope::new(TenantId::default(), id, Utc::from_millis(1), data);
    raw(&format!("default/{campaign}"), envelope.encode())
}

fn raw(key: &str, value: Vec<u8>) -> NewRecord {
    NewRecord {
        topic: topics::DECISIONS.into(),
        partition: None,
        key: key.to_owned().into(),
        value: value.into(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(1),
    }
}

fn start(
    log: &Arc<dyn Log>,
    settings: &Settings,
    webhook: &WebhookSettings,
    runtime: &Runtime,
) -> StageHandle {
    let webhook = WebhookPlatform::new(webhook, runtime.handle().clone()).unwrap();
    let webhook: Box<dyn AdPlatform> = Box::new(webhook);
    start_with(
        log,
        settings,
        [(Slug::new("webhook").unwrap(), webhook)].into(),
        "0",
    )
}

fn start_with(
    log: &Arc<dyn Log>,
    settings: &Settings,
    platforms: BTreeMap<Slug, Box<dyn AdPlatform>>,
    instance: &str,
) -> StageHandle {
    let stage = DeliverStage::new(settings, platforms).unwrap();
    let meters = StageMeters::register(&prometheus::Registry::new()).unwrap();
    let spec = DeliverStage::spec(settings);
    let options = RunOptions {
        instance: instance.into(),
        ..RunOptions::default()
    };
    spawn(log.clone(), Box::new(stage), spec, options, &meters).unwrap()
}

fn stop(mut stage: StageHandle) {
    stage.stop();
    assert!(
        stage.join_by(Instant::now() + Duration::from_mins(1)),
        "the stage stops before the deadline"
    );
}

/// Waits until `topic` holds `count` records.
fn wait_for(log: &Arc<dyn Log>, topic: &str, count: usize) {
    let subscription = Subscription {
        group: format!("watch-{count}").into(),
        instance: "0".into(),
        topics: vec![topic.into()],
        stateful: false,
    };
    let mut watcher = log.subscribe(subscription).unwrap();
    let mut seen = 0;
    let mut idle = 0;
    while seen < count {
        match watcher.poll(&BatchLimits::default()).unwrap() {
            Polled::Records(records) => seen += records.len(),
            Polled::Idle => idle += 1,
            _ => {}
        }
        assert!(idle < 1_000, "{seen} of {count} records in {topic}");
    }
    watcher.close().unwrap();
}

/// Waits until `is_so`.
fn wait_until(log: &Arc<dyn Log>, what: &str, is_so: impl Fn() -> bool) {
    let subscription = Subscription {
        group: what.into(),
        instance: "0".into(),
        topics: vec![topics::dead(topics::DECISIONS).into()],
        stateful: false,
    };
    let mut watcher = log.subscribe(subscription).unwrap();
    for _ in 0..1_000 {
        if is_so() {
            return watcher.close().unwrap();
        }
        watcher.poll(&BatchLimits::default()).unwrap();
    }
    panic!("not so: {what}");
}

fn read(log: &Arc<dyn Log>, topic: &str) -> Vec<Vec<u8>> {
    let partitions = (0..PARTITIONS).map(|partition| TopicPartition {
        topic: topic.into(),
        partition,
    });
    partitions
        .flat_map(|partition| log.read(&partition, 0, 10_000).unwrap())
        .map(|record| record.value.to_vec())
        .collect()
}

#[test]
fn despite_a_restart_and_platform_failures_every_decision_has_one_outcome_and_one_effect() {
    let folder = tempfile::tempdir().unwrap();
    let runtime = Runtime::new().unwrap();
    let options = ServerOptions {
        chaos: Chaos {
            seed: 3,
            refuse: 50,
            throttle: 50,
            fail: 50,
            lose_answer: 100,
            reset: 50,
        },
        ..ServerOptions::default()
    };
    let server = PlatformServer::start(runtime.handle(), options).unwrap();
    let webhook = WebhookSettings::to(server.url());
    let settings = Settings {
        tick: HumanDuration::from_millis(5),
        backoff: HumanDuration::from_millis(1),
        min_retry_after: HumanDuration::ZERO,
        circuit_rest: HumanDuration::from_millis(1),
        batch: 8,
        ..Settings::default()
    };

    let log = open(folder.path());
    let mut records: Vec<_> = (0..DECISIONS).map(decision).collect();
    records.insert(
        5,
        raw("default/campaign-1", b"{\"type\":\"decision\",\"v\":1,".to_vec()),
    );
    log.publish(records).unwrap();
    let first = start(&log, &settings, &webhook, &runtime);
    wait_for(&log, topics::OUTCOMES, 5);
    stop(first);
    log.close().unwrap();
    drop(log);

    let log = open(folder.path());
    let second = start(&log, &settings, &webhook, &runtime);
    wait_for(&log, topics::OUTCOMES, DECISIONS);
    stop(second);

    let outcomes: Vec<Envelope<Outcome>> = read(&log, topics::OUTCOMES)
        .iter()
        .map(|value| Envelope::decode(value).unwrap())
        .collect();
    let decided: BTreeSet<_> = outcomes.iter().map(|outcome| &outcome.data.decision).collect();
    assert_eq!((outcomes.len(), decided.len()), (DECISIONS, DECISIONS));
    let delivered = outcomes
        .iter()
        .filter(|outcome| outcome.data.kind == OutcomeKind::Delivered);
    let delivered: BTreeSet<_> = delivered.map(|outcome| outcome.data.decision.clone()).collect();
    let effects = server.effects();
    let in_effect: BTreeSet<_> = effects.iter().map(|(key, _)| key.clone()).collect();
    assert_eq!(in_effect, delivered);
    assert_eq!(effects.len(), delivered.len());
    assert!(delivered.len() < DECISIONS, "some were refused");
    assert_eq!(
        read(&log, &topics::dead(topics::DECISIONS)).len(),
        1,
        "the malformed one"
    );
    assert_eq!(
        log.progress(STAGE, &[topics::DECISIONS.into()])
            .unwrap()
            .iter()
            .map(|group| group.end - group.committed.next)
            .sum::<u64>(),
        0
    );
    log.close().unwrap();
}

/// A platform that answers nothing until it is released, or one that always answers.
#[derive(Default)]
struct Gate {
    is_open: Mutex<bool>,
    opened: Condvar,
    effects: Mutex<BTreeSet<String>>,
}

impl Gate {
    fn open(&self) {
        *self.is_open.lock().unwrap() = true;
        self.opened.notify_all();
    }

    fn effects(&self) -> BTreeSet<String> {
        self.effects.lock().unwrap().clone()
    }
}

impl AdPlatform for Gate {
    fn limits(&self) -> PlatformLimits {
        PlatformLimits {
            concurrency: 2,
            // Longer than the test: only an opened gate ends a call.
            deadline: Duration::from_hours(1),
            ..PlatformLimits::default()
        }
    }

    fn deliver(&self, deliveries: &[&Delivery], _: Utc) -> Vec<Answer> {
        let is_open = self.is_open.lock().unwrap();
        drop(self.opened.wait_while(is_open, |is_open| !*is_open).unwrap());
        let mut effects = self.effects.lock().unwrap();
        effects.extend(deliveries.iter().map(|delivery| delivery.decision.clone()));
        deliveries.iter().map(|_| Answer::Applied(())).collect()
    }

    fn pause(&self, pauses: &[&Pause], _: Utc) -> Vec<Answer> {
        pauses.iter().map(|_| Answer::Applied(())).collect()
    }
}

#[test]
fn platforms_that_hang_delay_neither_a_healthy_one_nor_a_rebalance() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    let settings = Settings {
        tick: HumanDuration::from_millis(5),
        second_look: HumanDuration::ZERO,
        answer_wait: HumanDuration::from_millis(10),
        ..Settings::default()
    };
    let names = ["healthy", "hanging", "dead-1", "dead-2", "dead-3"];
    let gates: BTreeMap<Slug, Arc<Gate>> = names
        .iter()
        .map(|name| (Slug::new(name).unwrap(), Arc::<Gate>::default()))
        .collect();
    let healthy = &gates[&Slug::new("healthy").unwrap()];
    healthy.open();
    let platforms = || {
        let boxed = |gate: &Arc<Gate>| -> Box<dyn AdPlatform> { Box::new(gate.clone()) };
        gates
            .iter()
            .map(|(name, gate)| (name.clone(), boxed(gate)))
            .collect()
    };
    // One of each in turn, so that each healthy one has hanging ones before it.
    let publish = |numbers: std::ops::Range<usize>| {
        let decisions = numbers.map(|n| decision_for(n, names[names.len() - 1 - n % names.len()]));
        log.publish(decisions.collect()).unwrap();
    };

    publish(0..DECISIONS);
    let first = start_with(&log, &settings, platforms(), "0");
    wait_for(&log, topics::OUTCOMES, DECISIONS / names.len());
    assert_eq!(healthy.effects().len(), DECISIONS / names.len());
    // The calls of the others have not ended, and the member still takes part in its group.
    let second = start_with(&log, &settings, platforms(), "1");
    let holds = |stage: &StageHandle| stage.status().partitions.len();
    wait_until(&log, "the second member holds its share", || {
        holds(&second) > 0 && holds(&first) + holds(&second) == PARTITIONS as usize
    });
    assert_eq!(first.status().health, Health::Running);
    publish(DECISIONS..2 * DECISIONS);
    wait_for(&log, topics::OUTCOMES, 2 * DECISIONS / names.len());
    for (name, gate) in &gates {
        let expected = if name.as_str() == "healthy" {
            2 * DECISIONS / names.len()
        } else {
            0
        };
        assert_eq!(gate.effects().len(), expected, "{name}");
    }

    for gate in gates.values() {
        gate.open();
    }
    wait_for(&log, topics::OUTCOMES, 2 * DECISIONS);
    stop(first);
    stop(second);
    let outcomes = read(&log, topics::OUTCOMES);
    let decided: BTreeSet<String> = outcomes
        .iter()
        .map(|value| Envelope::<Outcome>::decode(value).unwrap().data.decision)
        .collect();
    assert_eq!((outcomes.len(), decided.len()), (2 * DECISIONS, 2 * DECISIONS));
    let effects: BTreeSet<String> = gates.values().flat_map(|gate| gate.effects()).collect();
    assert_eq!(effects, decided);
    log.close().unwrap();
}
