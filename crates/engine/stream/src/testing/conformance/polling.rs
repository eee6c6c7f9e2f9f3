//! The results of polls.

use std::time::Duration;

use crate::{BatchLimits, Polled};

use super::Backend;
use super::client::{Client, limits, new_record_in, numbered, values};

fn filled(backend: &mut dyn Backend, count: usize) -> (std::sync::Arc<str>, Client) {
    let topic = backend.topics(&["polled"], 1).remove(0);
    let records = numbered("", count);
    let records = records.iter().map(|value| new_record_in(&topic, 0, value));
    backend.log().publish(records.collect()).unwrap();
    let group = "reader";
    let mut client = Client::join(&backend.log(), group, "a", std::slice::from_ref(&topic));
    // No record is read before the partition is assigned.
    for _ in 0..600 {
        if matches!(client.poll(&limits()).unwrap(), Polled::Assigned(_)) {
            return (topic, client);
        }
    }
    panic!("the partition was not assigned");
}

pub fn a_batch_ends_at_the_first_limit_that_it_reaches(backend: &mut dyn Backend) {
    let (_, mut client) = filled(backend, 100);
    let few = BatchLimits {
        records: 7,
        ..limits()
    };
    let small = BatchLimits {
        bytes: 3 * (5 + "key".len()),
        ..limits()
    };
    let mut read = Vec::new();
    while read.len() < 100 {
        for (limits, most) in [(&few, 7), (&small, 3)] {
            if let Polled::Records(records) = client.poll(limits).unwrap() {
                assert!((1..=most).contains(&records.len()), "{}", records.len());
                read.extend(records);
            }
        }
    }
    assert_eq!(values(&read), numbered("", 100));
}

pub fn a_record_larger_than_the_limit_comes_alone(backend: &mut dyn Backend) {
    let (_, mut client) = filled(backend, 3);
    let tiny = BatchLimits { bytes: 1, ..limits() };
    let mut read = Vec::new();
    while read.len() < 3 {
        if let Polled::Records(records) = client.poll(&tiny).unwrap() {
            assert_eq!(records.len(), 1);
            read.extend(records);
        }
    }
    assert_eq!(values(&read), numbered("", 3));
}

pub fn a_poll_without_records_is_idle(backend: &mut dyn Backend) {
    let (_, mut client) = filled(backend, 1);
    client.take(1);
    let hasty = BatchLimits {
        linger: Duration::ZERO,
        ..limits()
    };
    for limits in [hasty, limits()] {
        assert!(matches!(client.poll(&limits).unwrap(), Polled::Idle));
    }
}

pub fn a_waiting_poll_wakes_when_something_is_committed(backend: &mut dyn Backend) {
    let (topic, mut client) = filled(backend, 1);
    client.take(1);
    let patient = BatchLimits {
        linger: Duration::from_mins(1),
        ..limits()
    };
    let log = backend.log();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| client.poll(&patient).unwrap());
        log.publish(vec![new_record_in(&topic, 0, "wake")]).unwrap();
        let Polled::Records(records) = waiting.join().unwrap() else {
            panic!("the poll did not wake");
        };
        assert_eq!(values(&records), ["wake"]);
    });
}

pub fn reading_continues_at_another_offset_after_a_seek(backend: &mut dyn Backend) {
    let (_, mut client) = filled(backend, 20);
    let all = client.take(20);
    let partition = client.held[0].clone();
    client.consumer.seek(&partition, all[12].offset).unwrap();
    assert_eq!(values(&client.take(8)), values(&all[12..]));
    client.consumer.seek(&partition, 0).unwrap();
    assert_eq!(values(&client.take(20)), values(&all));
}

pub fn positions_show_how_many_records_are_unread(backend: &mut dyn Backend) {
    let (_, mut client) = filled(backend, 10);
    client.take(10);
    let [(partition, next, end)] = &client.consumer.positions().unwrap()[..] else {
        panic!("one partition is held");
    };
    assert_eq!(*partition, client.held[0]);
    assert_eq!(next, end);
    client.consumer.rewind().unwrap();
    let (_, next, end) = client.consumer.positions().unwrap().remove(0);
    assert!(next < end);
}
