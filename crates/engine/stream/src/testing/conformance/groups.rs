//! Members of a group share its work.

use std::sync::Arc;

use crate::{GroupProgress, Log, Polled, Record};

use super::Backend;
use super::client::{Client, all_of, limits, new_record_in, numbered, read_up_to, sorted, values};

/// Writes `each` records to every partition of `topic`.
fn fill(log: &Arc<dyn Log>, topic: &Arc<str>, partitions: u32, each: usize) -> Vec<String> {
    let mut all = Vec::new();
    for partition in 0..partitions {
        let values = numbered(&format!("{partition}-"), each);
        log.publish(
            values
                .iter()
                .map(|value| new_record_in(topic, partition, value))
                .collect(),
        )
        .unwrap();
        all.extend(values);
    }
    all
}

/// Polls both members in turn until `done`. Records go to `read`.
fn alternate(
    members: &mut [&mut Client],
    mut read: impl FnMut(&mut Client, Vec<Record>),
    done: impl Fn(&[&mut Client]) -> bool,
) {
    for _ in 0..1_200 {
        for member in members.iter_mut() {
            if let Polled::Records(records) = member.poll(&limits()).unwrap() {
                read(member, records);
            }
        }
        if done(members) {
            return;
        }
    }
    let held: Vec<_> = members.iter().map(|member| &member.held).collect();
    panic!("the assignments of the group did not settle; held: {held:?}");
}

pub fn a_member_reads_everything_in_order(backend: &mut dyn Backend) {
    let topic = backend.topics(&["all"], 3).remove(0);
    let log = backend.log();
    let written = fill(&log, &topic, 3, 250);
    let mut client = Client::join(&log, "g", "a", std::slice::from_ref(&topic));
    let read = client.take(750);
    assert_eq!(sorted(&read), written);
    for partition in 0..3 {
        let own: Vec<_> = read
            .iter()
            .filter(|record| record.partition == partition)
            .collect();
        assert!(own.is_sorted_by_key(|record| record.offset));
    }
}

pub fn two_instances_share_the_work_and_take_over(backend: &mut dyn Backend) {
    let topics = backend.topics(&["shared", "shared-out"], 4);
    let (topic, output) = (&topics[0], &topics[1]);
    let log = backend.log();
    let group = "g";
    let own = std::slice::from_ref(topic);
    let mut a = Client::join(&log, group, "a", own);
    a.hold(4);
    let mut b = Client::join(&backend.other(), group, "b", own);
    alternate(
        &mut [&mut a, &mut b],
        |_, _| {},
        |m| m[0].held.len() == 2 && m[1].held.len() == 2,
    );
    assert!(a.held.iter().all(|partition| !b.held.contains(partition)));
    let mut written = fill(&log, topic, 4, 50);
    let mut counts = [0, 0];
    for (member, count) in [&mut a, &mut b].into_iter().zip(&mut counts) {
        while *count < 100 {
            let records = member.take(1);
            *count += records.len();
            member.pass(&records, output).unwrap();
        }
    }
    assert_eq!(counts, [100, 100]);
    a.consumer.close().unwrap();
    b.hold(4);
    for partition in 0..4 {
        let value = format!("late {partition}");
        log.publish(vec![new_record_in(topic, partition, &value)])
            .unwrap();
        written.push(value);
    }
    let records = b.take(4);
    b.pass(&records, output).unwrap();
    written.sort();
    assert_eq!(sorted(&all_of(&log, output)), written);
}

pub fn every_topic_of_a_number_goes_to_the_same_member(backend: &mut dyn Backend) {
    let topics = backend.topics(&["left", "right"], 3);
    let group = "g";
    let mut a = Client::join(&backend.log(), group, "a", &topics);
    let mut b = Client::join(&backend.other(), group, "b", &topics);
    alternate(
        &mut [&mut a, &mut b],
        |_, _| {},
        |m| m.iter().all(|member| !member.held.is_empty()) && m[0].held.len() + m[1].held.len() == 6,
    );
    for member in [&a, &b] {
        let numbers = |topic: &Arc<str>| -> Vec<u32> {
            let own = member.held.iter().filter(|held| held.topic == *topic);
            own.map(|held| held.partition).collect()
        };
        assert_eq!(numbers(&topics[0]), numbers(&topics[1]));
    }
}

pub fn a_rebalance_in_mid_batch_neither_loses_nor_doubles(backend: &mut dyn Backend) {
    let topics = backend.topics(&["moving", "moving-out"], 2);
    let (topic, output) = (&topics[0], &topics[1]);
    let log = backend.log();
    let written = fill(&log, topic, 2, 40);
    let group = "g";
    let own = std::slice::from_ref(topic);
    let mut a = Client::join(&log, group, "a", own);
    let in_hand = a.take(80);
    let mut b = Client::join(&backend.other(), group, "b", own);
    // When half of its partitions are revoked, everything that `a` has not committed is fenced.
    let mut passed_by_b = 0;
    alternate(
        &mut [&mut a, &mut b],
        |member, records| {
            passed_by_b += records.len();
            member.pass(&records, output).unwrap();
        },
        |m| m[0].held.len() == 1 && m[1].held.len() == 1,
    );
    let error = a.pass(&in_hand, output).unwrap_err();
    assert!(error.is_fenced(), "{error}");
    while passed_by_b < 40 {
        let records = b.take(1);
        passed_by_b += records.len();
        b.pass(&records, output).unwrap();
    }
    assert_eq!(passed_by_b, 40);
    // `a` still has to process the half that stayed.
    a.consumer.rewind().unwrap();
    let mut rest = Vec::new();
    while rest.len() < 40 {
        let records = a.take(1);
        a.pass(&records, output).unwrap();
        rest.extend(records);
    }
    assert_eq!(sorted(&all_of(&log, output)), written);
}

pub fn a_revived_zombie_is_fenced(backend: &mut dyn Backend) {
    let topics = backend.topics(&["undead", "undead-out"], 1);
    let (topic, output) = (&topics[0], &topics[1]);
    let log = backend.log();
    let written = fill(&log, topic, 1, 10);
    let group = "g";
    let own = std::slice::from_ref(topic);
    let mut zombie = Client::join(&log, group, "a", own);
    let in_hand = zombie.take(10);
    let mut living = Client::join(&backend.other(), group, "a", own);
    // The first commit fences the other member, even before partitions are assigned.
    let mut transaction = living.consumer.begin().unwrap();
    transaction.append(new_record_in(output, 0, "alive")).unwrap();
    transaction.commit().unwrap();
    let error = zombie.pass(&in_hand, output).unwrap_err();
    assert!(error.is_fenced(), "{error}");
    drop(zombie);
    let records = living.take(10);
    living.pass(&records, output).unwrap();
    assert_eq!(
        values(&all_of(&log, output)),
        [vec!["alive".into()], written].concat()
    );
    let progress = log.progress(group, own).unwrap().remove(0);
    assert_eq!(progress.committed.next, read_up_to(&records)[0].next);
}

pub fn the_progress_of_a_group_can_be_read_without_joining_it(backend: &mut dyn Backend) {
    let topics = backend.topics(&["asked", "asked-out"], 2);
    let log = backend.log();
    fill(&log, &topics[0], 2, 20);
    // Another process, which holds no partitions.
    let observer = backend.other();
    let ask = || {
        let progress = observer.progress("g", &topics[..1]).unwrap();
        assert_eq!(progress.len(), 2, "{progress:?}");
        let of = |progress: &GroupProgress| (progress.committed.next, progress.end - progress.committed.next);
        progress.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(ask(), [(0, 20), (0, 20)], "nothing is committed yet");
    let mut client = Client::join(&log, "g", "a", &topics[..1]);
    let records = client.take(40);
    assert_eq!(
        ask(),
        [(0, 20), (0, 20)],
        "records that are read but not committed count as unread"
    );
    let first: Vec<_> = records
        .into_iter()
        .filter(|record| record.partition == 1)
        .collect();
    client.pass(&first, &topics[1]).unwrap();
    assert_eq!(
        ask(),
        [(0, 20), (20, 0)],
        "nothing was committed in one partition"
    );
}

pub fn groups_read_independently_of_each_other(backend: &mut dyn Backend) {
    let topics = backend.topics(&["wide", "wide-out"], 2);
    let log = backend.log();
    let written = fill(&log, &topics[0], 2, 20);
    for group in ["first", "second"] {
        let mut client = Client::join(&log, group, "a", &topics[..1]);
        let records = client.take(40);
        assert_eq!(sorted(&records), written);
        client.pass(&records, &topics[1]).unwrap();
    }
    assert_eq!(all_of(&log, &topics[1]).len(), 80);
}
