//! An edit of the campaigns in the settings file takes effect without a restart, on both logs.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::time::{Duration, Instant};

use limbic_domain::{AudienceId, Direction, Draft, Envelope, Slug, TenantId, Utc, event_id, testing, topics};
use limbic_node::settings::Overrides;
use limbic_node::{Node, Options, Settings};
use limbic_stream::{BatchLimits, Consumer, Headers, Log, NewRecord, Polled, Record, Subscription, header};

/// How long a test waits for a draft before it gives up.
const PATIENCE: Duration = Duration::from_mins(2);

fn campaign(id: &str) -> String {
    format!(
        "[[campaigns]]\nid = '{id}'\nbid = 1000\nplatforms = [{{ name = 'file', headline = 60, body = 180 }}]\n[campaigns.brief]\n\
         product = 'Boots'\npromise = 'They keep dry'\ncall_to_action = 'Try them'\nlink = 'https://example.com'\n"
    )
}

/// The ad platform that the campaigns name.
const PLATFORM: &str = "[ad_platforms.file]\nkind = 'file'\npath = 'ads.jsonl'\n";

fn moment(number: usize) -> NewRecord {
    let slug = |text| Slug::new(text).unwrap();
    let audience = AudienceId::of(&slug("everyone"), &slug("football"));
    let data = testing::moment(audience, Direction::Up, Vec::new());
    let at = Utc::from_millis(7_000);
    let id = event_id("moment", &[&number.to_string()]);
    NewRecord {
        topic: topics::MOMENTS.into(),
        partition: None,
        key: "default/everyone:football".into(),
        value: Envelope::new(TenantId::default(), id, at, data).encode().into(),
        headers: Headers::new(),
        timestamp: at,
    }
}

/// The drafts that have arrived, each with the name of its campaign.
fn drafts(consumer: &mut dyn Consumer) -> Vec<(String, Record)> {
    let limits = BatchLimits {
        linger: Duration::from_millis(100),
        ..BatchLimits::default()
    };
    match consumer.poll(&limits).unwrap() {
        Polled::Records(records) => {
            let campaigns = |record: Record| {
                let draft = Envelope::<Draft>::decode(&record.value).unwrap();
                let campaigns = draft.data.campaigns.into_iter();
                let named = campaigns.map(move |one| (one.campaign.to_string(), record.clone()));
                named.collect::<Vec<_>>()
            };
            records.into_iter().flat_map(campaigns).collect()
        }
        Polled::Assigned(_) | Polled::Revoked(_) | Polled::Idle => Vec::new(),
    }
}

/// Publishes moments until a draft for `campaign` arrives.
fn until(log: &dyn Log, consumer: &mut dyn Consumer, number: &mut usize, campaign: &str) -> Record {
    let start = Instant::now();
    while start.elapsed() < PATIENCE {
        *number += 1;
        log.publish(vec![moment(*number)]).unwrap();
        let found = drafts(consumer).into_iter().find(|(of, _)| of == campaign);
        if let Some((_, record)) = found {
            return record;
        }
    }
    panic!("no draft names the campaign `{campaign}`");
}

fn an_edit_takes_effect(folder: &Path, log: &str) {
    let file = folder.join("limbic.toml");
    std::fs::write(&file, format!("{log}\n{}{PLATFORM}", campaign("spring"))).unwrap();
    let overrides = Overrides {
        config: Some(file.clone()),
        data: Some(folder.join("data")),
        ..Overrides::default()
    };
    let settings = Settings::load(&overrides, &[]).unwrap();
    let options = Options {
        stages: vec!["creative".into()],
        listen: None,
    };
    let mut node = Node::open(&settings, &options).unwrap();
    node.watch_settings(&settings, file.clone(), move || Settings::load(&overrides, &[]))
        .unwrap();
    let subscription = Subscription {
        group: "watching".into(),
        instance: "a".into(),
        topics: vec![topics::DRAFTS.into()],
        stateful: false,
    };
    let mut consumer = node.log.subscribe(subscription).unwrap();
    let mut number = 0;
    let before = until(&*node.log, &mut *consumer, &mut number, "spring");
    std::fs::write(&file, format!("{log}\n{}{PLATFORM}", campaign("summer"))).unwrap();
    let after = until(&*node.log, &mut *consumer, &mut number, "summer");
    let version = |record: &Record| record.headers.text(header::REFERENCES).unwrap().to_owned();
    assert!(version(&before).contains(",campaigns@"));
    assert_ne!(version(&before), version(&after));
    consumer.close().unwrap();
    assert!(node.close().unwrap());
}

#[test]
fn an_edit_takes_effect_without_a_restart_on_the_embedded_log() {
    let folder = tempfile::tempdir().unwrap();
    an_edit_takes_effect(folder.path(), "partitions = 2");
}

#[test]
fn an_edit_takes_effect_without_a_restart_on_kafka() {
    let Ok(servers) = std::env::var("LIMBIC_TEST_KAFKA") else {
        eprintln!(
            "\n*** SKIPPED: no Kafka (scripts/services up kafka; eval \"$(scripts/services env)\") ***\n"
        );
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let prefix = format!("campaigns-{}-{}", std::process::id(), Utc::now().as_millis());
    let log = format!(
        "partitions = 2\nlog = 'kafka://{servers}'\n[stream]\nsingle_node = true\n[kafka]\nprefix = '{prefix}'\n[tenants.default]\n\
         pseudonym_secret = 'a secret of a test, long enough for it'"
    );
    an_edit_takes_effect(folder.path(), &log);
}
