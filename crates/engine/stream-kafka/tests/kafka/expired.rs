//! The cluster forgets the offsets of a group, as it does when the group had no members for some days.

use std::collections::BTreeMap;

use limbic_stream::{Error, Log, Subscription};
use limbic_stream_kafka::KafkaOptions;
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::cluster::{
    PATIENCE, address, limits, log, offsets, options, pass_on, record, sorted, subscription, take, values,
};

fn client(address: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", address.trim_start_matches("kafka://"));
    config
}

/// Deletes a group with its offsets. A group that still has members is not deleted, so it is tried until the brokers have noticed
/// that the last one has left.
fn forget_group(address: &str, options: &KafkaOptions, group: &str) {
    let admin: AdminClient<DefaultClientContext> = client(address).create().unwrap();
    let name = format!("{}.{group}", options.prefix);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    loop {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = runtime.block_on(admin.delete_groups(&[&name], &options)).unwrap();
        match &deleted[0] {
            Ok(_) => return,
            Err((_, code)) => assert!(std::time::Instant::now() < deadline, "{name}: {code}"),
        }
    }
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[test]
fn a_group_whose_offsets_the_cluster_has_forgotten_continues_where_it_was() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 1);
    log.publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 10);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();
    forget_group(&address, &options, "stage");

    log.publish((10..15).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 5);
    // The group has them again, with their metadata, before anything is committed.
    let progress = log.progress("stage", &["in".into()]).unwrap();
    assert_eq!(
        (
            progress[0].committed.next,
            progress[0].committed.metadata.as_str()
        ),
        (10, "up to 10")
    );
    pass_on(&mut *consumer, &records).unwrap();
    assert_eq!(
        consumer.state().get(0, b"count").unwrap().as_deref(),
        Some(&b"15"[..])
    );
    consumer.close().unwrap();
    assert_eq!(sorted(values(&log, "out", 1)), numbers(0..15));
}

#[test]
fn a_group_without_state_continues_too() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 1);
    let stateless = || Subscription {
        stateful: false,
        ..subscription("a")
    };
    for run in 0..3 {
        let from = run * 10;
        log.publish((from..from + 10).map(|n| record("in", "k", n)).collect())
            .unwrap();
        let mut consumer = log.subscribe(stateless()).unwrap();
        let records = take(&mut *consumer, 10);
        let mut transaction = consumer.begin().unwrap();
        for read in &records {
            let value = std::str::from_utf8(&read.value).unwrap();
            transaction.append(record("out", "k", value)).unwrap();
        }
        for committed in offsets(&records) {
            transaction.commit_offset(committed).unwrap();
        }
        transaction.commit().unwrap();
        consumer.close().unwrap();
        forget_group(&address, &options, "stage");
    }
    assert_eq!(sorted(values(&log, "out", 1)), numbers(0..30));
}

#[test]
fn state_of_an_older_program_without_offsets_is_refused_with_what_to_do() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 1);
    // The changelog is made, and has state, but no offsets.
    log.subscribe(subscription("a")).unwrap().close().unwrap();
    let producer: BaseProducer = client(&address).create().unwrap();
    let changelog = format!("{}.stage.state", options.prefix);
    let state = BaseRecord::to(&changelog).partition(0).key("count").payload("10");
    producer.send(state).unwrap();
    producer.flush(PATIENCE).unwrap();

    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let deadline = std::time::Instant::now() + PATIENCE;
    let error = loop {
        match consumer.poll(&limits()) {
            Ok(polled) => assert!(std::time::Instant::now() < deadline, "{polled:?}"),
            Err(error) => break error,
        }
    };
    let Error::Settings(text) = &error else {
        panic!("{error}")
    };
    assert!(
        text.contains("--reset-offsets") && text.contains(&changelog),
        "{text}"
    );
    consumer.close().unwrap();
}

#[test]
fn state_of_a_topic_that_was_made_again_is_refused() {
    let Some(address) = address() else { return };
    let options = options();
    let log = log(&address, &options, 1);
    log.publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 10);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();
    forget_group(&address, &options, "stage");
    let admin: AdminClient<DefaultClientContext> = client(&address).create().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let topic = format!("{}.in", options.prefix);
    let deletion = AdminOptions::new().operation_timeout(Some(PATIENCE));
    runtime
        .block_on(admin.delete_topics(&[&topic], &deletion))
        .unwrap()
        .remove(0)
        .unwrap();
    drop(log);
    let log = crate::cluster::log(&address, &options, 1);
    log.publish(vec![record("in", "k", 0)]).unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let mut found: BTreeMap<&str, String> = BTreeMap::new();
    let deadline = std::time::Instant::now() + PATIENCE;
    while found.is_empty() {
        assert!(std::time::Instant::now() < deadline, "the state is accepted");
        if let Err(error) = consumer.poll(&limits()) {
            found.insert("error", error.to_string());
        }
    }
    assert!(found["error"].contains("made again"), "{found:?}");
    consumer.close().unwrap();
}
