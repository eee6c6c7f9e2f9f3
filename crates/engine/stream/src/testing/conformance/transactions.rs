//! All or nothing.

use crate::{Committed, Polled};

use super::Backend;
use super::client::{Client, all_of, limits, new_record_in, numbered, read_up_to, sorted, values};

pub fn outputs_and_offsets_become_visible_together(backend: &mut dyn Backend) {
    let topics = backend.topics(&["in", "out"], 1);
    let log = backend.log();
    let group = "g";
    let written = numbered("", 25);
    log.publish(
        written
            .iter()
            .map(|value| new_record_in(&topics[0], 0, value))
            .collect(),
    )
    .unwrap();
    let mut client = Client::join(&log, group, "a", &topics[..1]);
    let records = client.take(25);
    client.pass(&records[..10], &topics[1]).unwrap();
    assert_eq!(values(&all_of(&log, &topics[1])), written[..10]);
    let progress = log.progress(group, &topics[..1]).unwrap().remove(0);
    assert_eq!(progress.committed.next, records[9].offset + 1);
    assert!(progress.end > records[24].offset);
    client.consumer.close().unwrap();
    let mut client = Client::join(&log, group, "a", &topics[..1]);
    assert_eq!(values(&client.take(15)), written[10..]);
}

pub fn aborted_records_are_never_visible(backend: &mut dyn Backend) {
    let topics = backend.topics(&["in", "out"], 1);
    let log = backend.log();
    let mut reader = Client::join(&log, "reader", "a", &topics[1..]);
    let mut client = Client::join(&log, "g", "a", &topics[..1]);
    client.hold(1);
    let mut transaction = client.consumer.begin().unwrap();
    transaction
        .append(new_record_in(&topics[1], 0, "aborted"))
        .unwrap();
    transaction.abort().unwrap();
    let mut transaction = client.consumer.begin().unwrap();
    transaction
        .append(new_record_in(&topics[1], 0, "dropped"))
        .unwrap();
    drop(transaction);
    let mut transaction = client.consumer.begin().unwrap();
    transaction
        .append(new_record_in(&topics[1], 0, "committed"))
        .unwrap();
    transaction.commit().unwrap();
    assert_eq!(values(&reader.take(1)), ["committed"]);
    assert!(matches!(reader.poll(&limits()).unwrap(), Polled::Idle));
    assert_eq!(values(&all_of(&log, &topics[1])), ["committed"]);
}

pub fn after_an_abort_the_same_records_are_read_again(backend: &mut dyn Backend) {
    let topics = backend.topics(&["in", "out"], 2);
    let log = backend.log();
    let written = numbered("", 60);
    for (i, values) in written.chunks(30).enumerate() {
        log.publish(
            values
                .iter()
                .map(|value| new_record_in(&topics[0], i as u32, value))
                .collect(),
        )
        .unwrap();
    }
    let mut client = Client::join(&log, "g", "a", &topics[..1]);
    let first = client.take(60);
    let done: Vec<_> = first
        .iter()
        .filter(|record| record.partition == 0)
        .cloned()
        .collect();
    client.pass(&done[..12], &topics[1]).unwrap();
    let mut transaction = client.consumer.begin().unwrap();
    for committed in read_up_to(&first) {
        transaction.commit_offset(committed).unwrap();
    }
    transaction.abort().unwrap();
    client.consumer.rewind().unwrap();
    let again = client.take(48);
    assert_eq!(sorted(&again), written[12..]);
    client.pass(&again, &topics[1]).unwrap();
    assert_eq!(sorted(&all_of(&log, &topics[1])), written);
}

pub fn the_metadata_of_an_offset_is_returned_unchanged(backend: &mut dyn Backend) {
    let topic = backend.topics(&["in"], 1).remove(0);
    let log = backend.log();
    let group = "g";
    log.publish(vec![new_record_in(&topic, 0, "one")]).unwrap();
    let own = std::slice::from_ref(&topic);
    let mut client = Client::join(&log, group, "a", own);
    let record = client.take(1).remove(0);
    let partition = client.held[0].clone();
    assert_eq!(client.consumer.committed(&partition).unwrap(), None);
    let committed = Committed {
        partition: partition.clone(),
        next: record.offset + 1,
        metadata: "é".repeat(2_000),
    };
    let mut transaction = client.consumer.begin().unwrap();
    transaction.commit_offset(committed.clone()).unwrap();
    transaction.commit().unwrap();
    assert_eq!(client.consumer.committed(&partition).unwrap().unwrap(), committed);
    client.consumer.close().unwrap();
    let mut client = Client::join(&backend.other(), group, "b", own);
    client.hold(1);
    assert_eq!(client.consumer.committed(&partition).unwrap().unwrap(), committed);
    assert_eq!(log.progress(group, own).unwrap()[0].committed, committed);
}

pub fn a_transaction_may_span_every_partition(backend: &mut dyn Backend) {
    let topics = backend.topics(&["in", "out", "more"], 5);
    let log = backend.log();
    let written = numbered("", 200);
    let records = written
        .iter()
        .enumerate()
        .map(|(i, value)| new_record_in(&topics[0], i as u32 % 5, value));
    log.publish(records.collect()).unwrap();
    let mut client = Client::join(&log, "g", "a", &topics[..1]);
    let records = client.take(200);
    let mut transaction = client.consumer.begin().unwrap();
    for (i, record) in records.iter().enumerate() {
        let value = String::from_utf8(record.value.to_vec()).unwrap();
        for topic in &topics[1..] {
            transaction
                .append(new_record_in(topic, i as u32 % 5, &value))
                .unwrap();
        }
    }
    for committed in read_up_to(&records) {
        transaction.commit_offset(committed).unwrap();
    }
    transaction.commit().unwrap();
    for topic in &topics[1..] {
        assert_eq!(sorted(&all_of(&log, topic)), written);
    }
}
