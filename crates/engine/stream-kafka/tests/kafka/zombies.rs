//! Members that return after another one has taken over.

use std::time::Duration;

use limbic_stream::{Log, Polled};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

use crate::cluster::{
    address, join, limits, log, options, pass_on, poll_until, record, subscription, take, values,
};

#[test]
fn an_instance_cannot_commit_after_another_process_has_taken_its_name() {
    let Some(address) = address() else { return };
    let options = options();
    let first_log = log(&address, &options, 1);
    first_log
        .publish((0..10).map(|n| record("in", "k", n)).collect())
        .unwrap();
    let mut zombie = first_log.subscribe(subscription("a")).unwrap();
    let in_hand = take(&mut *zombie, 10);
    let mut transaction = zombie.begin().unwrap();
    transaction.append(record("out", "k", "never")).unwrap();

    // Another process, with its own log, takes the name.
    let second_log = KafkaLog::connect(&address, options).unwrap();
    let mut heir = second_log.subscribe(subscription("a")).unwrap();
    assert!(transaction.commit().unwrap_err().is_fenced());
    assert!(pass_on(&mut *zombie, &in_hand).unwrap_err().is_fenced());
    assert!(zombie.poll(&limits()).unwrap_err().is_fenced());
    drop(zombie);

    let records = take(&mut *heir, 10);
    assert_eq!(records, in_hand);
    pass_on(&mut *heir, &records).unwrap();
    heir.close().unwrap();
    assert_eq!(
        values(&second_log, "out", 1),
        (0..10).map(|n| n.to_string()).collect::<Vec<_>>()
    );
}

#[test]
fn a_worker_that_does_not_poll_cannot_commit_even_without_offsets() {
    let Some(address) = address() else { return };
    let options = KafkaOptions {
        max_poll_interval: Duration::from_secs(1),
        ..options()
    };
    let sleepy_log = log(&address, &options, 2);
    sleepy_log
        .publish((0..10).map(|n| record("in", &format!("k{n}"), n)).collect())
        .unwrap();
    let mut sleeper = sleepy_log.subscribe(subscription("a")).unwrap();
    let in_hand = take(&mut *sleeper, 10);
    // A tick: records and state, without an offset.
    let mut transaction = sleeper.begin().unwrap();
    transaction.append(record("out", "k", "never")).unwrap();
    transaction
        .put_state(0, "count".into(), Some("1000".into()))
        .unwrap();

    let other_log = KafkaLog::connect(&address, options).unwrap();
    let mut heir = other_log.subscribe(subscription("b")).unwrap();
    join(&mut *heir, 2);
    assert!(transaction.commit().unwrap_err().is_fenced());
    assert!(pass_on(&mut *sleeper, &in_hand).unwrap_err().is_fenced());

    let records = take(&mut *heir, 10);
    pass_on(&mut *heir, &records).unwrap();
    let counted: u64 = [0, 1]
        .iter()
        .filter_map(|number| heir.state().get(*number, b"count").unwrap())
        .map(|count| std::str::from_utf8(&count).unwrap().parse::<u64>().unwrap())
        .sum();
    assert_eq!(counted, 10);
    assert_eq!(values(&other_log, "out", 2).len(), 10);
}

#[test]
fn a_new_member_of_the_same_name_in_one_process_takes_over_at_once() {
    let Some(address) = address() else { return };
    let log = log(&address, &options(), 2);
    let mut before = log.subscribe(subscription("a")).unwrap();
    join(&mut *before, 2);
    let mut after = log.subscribe(subscription("a")).unwrap();
    join(&mut *after, 2);
    assert!(before.poll(&limits()).unwrap_err().is_fenced());
    poll_until(&mut *after, |polled| matches!(polled, Polled::Idle));
}
