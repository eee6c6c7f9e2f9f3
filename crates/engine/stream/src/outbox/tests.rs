//! Tests of the laws of the outbox.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, unbounded};
use limbic_domain::Utc;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::*;
use crate::testing::{Harness, MemoryState, record};
use crate::{Batch, Outputs, Stage, StageError, StateReader, TopicPartition};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    item: String,
    count: u32,
}

impl Request for Order {
    const VERSION: u32 = 2;
    type Reply = String;

    /// Version 1 was the item alone.
    fn migrate(version: u32, stored: serde_json::Value) -> Result<Self, String> {
        match (version, stored.as_str()) {
            (1, Some(item)) => Ok(Self {
                item: item.to_owned(),
                count: 1,
            }),
            _ => Err(format!("version {version}: not an item")),
        }
    }
}

type Script = dyn Fn(&Call<Order>) -> Answer<String> + Send + Sync;

/// A destination that answers by a script and records every call.
#[derive(Clone)]
struct Scripted {
    calls: Arc<Mutex<Vec<(String, u32)>>>,
    script: Arc<Script>,
}

impl Scripted {
    fn new(script: impl Fn(&Call<Order>) -> Answer<String> + Send + Sync + 'static) -> Self {
        Self {
            calls: Arc::default(),
            script: Arc::new(script),
        }
    }

    fn applies() -> Self {
        Self::new(|call| Answer::Applied(call.request.item.clone()))
    }

    fn calls(&self) -> Vec<(String, u32)> {
        self.calls.lock().clone()
    }

    fn keys(&self) -> Vec<String> {
        self.calls().into_iter().map(|(key, _)| key).collect()
    }
}

impl Sender<Order> for Scripted {
    fn send(&self, calls: &[Call<Order>]) -> Vec<Answer<String>> {
        let mut noted = self.calls.lock();
        noted.extend(calls.iter().map(|call| (call.key.to_string(), call.attempt)));
        drop(noted);
        calls.iter().map(|call| (self.script)(call)).collect()
    }
}

/// A destination that answers nothing until its channel is closed.
struct Hanging(Receiver<()>);

impl Sender<Order> for Hanging {
    fn send(&self, _: &[Call<Order>]) -> Vec<Answer<String>> {
        let _ = self.0.recv();
        Vec::new()
    }
}

/// Records `DESTINATION` with key `KEY` become requests; each result is a record of topic `results`.
struct Ordering {
    outbox: Outbox<Order>,
    is_ordered: bool,
}

impl Stage for Ordering {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
            let (key, destination) = (text(&record.key), text(&record.value));
            let order = Order {
                item: key.clone(),
                count: 1,
            };
            let new = Enqueue {
                destination: &destination,
                key: &key,
                order: self.is_ordered.then(|| &key[..1]),
                at: record.timestamp,
            };
            match self.outbox.enqueue(out, &record.cause(), &new, &order)? {
                Enqueued::Accepted | Enqueued::AlreadyWaiting => {}
                refused => out.dead(record, "refused", format!("{refused:?}")),
            }
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], now: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        self.outbox.drive(partitions, now, out, |out, finished| {
            let value = format!(
                "{} x{} after {}: {:?}",
                finished.key, finished.request.count, finished.attempts, finished.conclusion
            );
            out.emit_bytes(&finished.cause, "results", finished.key, finished.at, value);
        })
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        self.outbox.revoked(partitions);
    }
}

/// The wait of a tick for answers. It is so long that every answer arrives within it.
const PATIENCE: Duration = Duration::from_mins(1);

fn limits() -> Limits {
    Limits {
        breaker_failures: 1_000,
        ..Limits::default()
    }
}

fn harness(limits: &Limits, sender: &Scripted) -> Harness<Ordering> {
    let (limits, sender) = (limits.clone(), sender.clone());
    Harness::new(move || Ordering {
        outbox: Outbox::new("test")
            .destination("shop", limits.clone(), sender.clone())
            .answer_wait(PATIENCE),
        is_ordered: false,
    })
    .once()
}

fn order(key: &str) -> crate::testing::RecordBuilder {
    record("orders").key(key.to_owned()).value("shop")
}

fn at(millis: i64) -> Utc {
    Utc::from_millis(millis)
}

fn results(harness: &Harness<Ordering>) -> Vec<String> {
    let values = harness.outputs().iter().map(|(_, record)| &record.value);
    values
        .map(|value| String::from_utf8(value.to_vec()).unwrap())
        .collect()
}

/// Entries in the state, counters left out.
fn entries(harness: &Harness<Ordering>) -> usize {
    let keys = harness.state().keys();
    keys.filter(|key| !key.starts_with(b"test/c/") && key[..] != b"test/t"[..])
        .count()
}

#[test]
fn a_request_is_sent_only_after_its_commit_and_has_one_result() {
    let sender = Scripted::applies();
    let mut stage = harness(&limits(), &sender);
    stage.process([order("a"), order("b"), order("a")]);
    assert!(sender.calls().is_empty());
    stage.tick(at(0));
    let mut calls = sender.calls();
    calls.sort();
    assert_eq!(
        calls,
        [("a".to_owned(), 1), ("b".to_owned(), 1)],
        "one request a key"
    );
    let mut results = results(&stage);
    results.sort();
    assert_eq!(
        results,
        ["a x1 after 1: Applied(\"a\")", "b x1 after 1: Applied(\"b\")"]
    );
    assert_eq!(entries(&stage), 0);
    stage.tick(at(1));
    assert_eq!((sender.calls().len(), stage.outputs().len()), (2, 2));
}

#[test]
fn after_an_abort_the_answer_is_kept_and_after_a_kill_the_same_key_is_sent_again() {
    let sender = Scripted::applies();
    let mut stage = harness(&limits(), &sender);
    stage.process([order("a")]);
    let lost = stage.tick_aborted(at(0)).unwrap();
    assert_eq!((lost.records.len(), sender.calls().len()), (1, 1));
    let lost = stage.tick_aborted(at(1)).unwrap();
    assert_eq!(
        (lost.records.len(), sender.calls().len()),
        (1, 1),
        "the same result without another call"
    );
    stage.restart();
    stage.tick(at(2));
    assert_eq!(sender.keys(), ["a", "a"]);
    assert_eq!(stage.outputs().len(), 1);
    assert_eq!(entries(&stage), 0);
}

#[test]
fn requests_move_with_their_partition() {
    let sender = Scripted::applies();
    let mut stage = harness(&limits(), &sender);
    stage.process([order("a")]);
    let _lost = stage.tick_aborted(at(0)).unwrap();
    stage.move_partition(0);
    stage.tick(at(1));
    assert_eq!(sender.keys(), ["a", "a"]);
    assert_eq!((stage.outputs().len(), entries(&stage)), (1, 0));
}

#[test]
fn a_hanging_destination_does_not_delay_the_others() {
    let sender = Scripted::applies();
    let (release, hangs) = unbounded();
    let healthy = sender.clone();
    let mut stage = Harness::new(move || Ordering {
        outbox: Outbox::new("test")
            .destination("hangs", limits(), Hanging(hangs.clone()))
            .destination("shop", limits(), healthy.clone())
            .answer_wait(Duration::from_millis(1)),
        is_ordered: false,
    })
    .once();
    stage.process((0..40).map(|n| record("orders").key(format!("h{n}")).value("hangs")));
    stage.process((0..40).map(|n| order(&format!("s{n}"))));
    while stage.outputs().len() < 40 {
        stage.tick(at(0));
    }
    assert!(results(&stage).iter().all(|result| result.starts_with('s')));
    drop(release);
}

#[test]
fn a_call_without_an_answer_ends_at_its_deadline_and_its_thread_stays_busy() {
    let (release, hangs) = unbounded();
    let limits = Limits {
        deadline: Duration::from_millis(5),
        attempts: 1,
        concurrency: 1,
        ..limits()
    };
    let mut stage = Harness::new(move || Ordering {
        outbox: Outbox::new("test")
            .destination("hangs", limits.clone(), Hanging(hangs.clone()))
            .answer_wait(PATIENCE),
        is_ordered: false,
    })
    .once();
    let hanging = |key: &str| record("orders").key(key.to_owned()).value("hangs");
    stage.process([hanging("a"), hanging("b")]);
    stage.tick(at(0));
    assert_eq!(
        results(&stage).len(),
        1,
        "the thread is still busy with the first"
    );
    assert!(
        results(&stage)[0].contains("no answer within the deadline"),
        "{:?}",
        results(&stage)
    );
    drop(release);
    while results(&stage).len() < 2 {
        stage.tick(at(1));
    }
}

#[test]
fn requests_of_one_order_key_are_sent_one_after_the_other() {
    let sender = Scripted::new(|call| match (&*call.key, call.attempt) {
        ("a1", 1 | 2) => Answer::Unknown {
            detail: "later".to_owned(),
        },
        ("a2", _) => Answer::Rejected {
            detail: "never".to_owned(),
        },
        _ => Answer::Applied(String::new()),
    });
    let script = sender.clone();
    let mut stage = Harness::new(move || Ordering {
        outbox: Outbox::new("test")
            .destination("shop", limits(), script.clone())
            .answer_wait(PATIENCE),
        is_ordered: true,
    })
    .once();
    stage.process(["a1", "a2", "b1", "a3"].map(order));
    for now in 0..10 {
        stage.tick(at(now * 1_000_000));
        stage.restart();
    }
    let (of_a, of_b): (Vec<_>, Vec<_>) = sender.keys().into_iter().partition(|key| key.starts_with('a'));
    assert_eq!(of_a, ["a1", "a1", "a1", "a2", "a3"]);
    assert_eq!(of_b, ["b1"]);
    assert_eq!((stage.outputs().len(), entries(&stage)), (4, 0));
}

#[test]
fn a_requested_wait_is_bounded_and_counts_as_an_attempt() {
    let waits = [Some(0), Some(1_000_000_000), None];
    let sender = Scripted::new(move |call| Answer::RetryAfter {
        wait: waits[call.attempt as usize - 1].map(Duration::from_secs),
        detail: "busy".to_owned(),
    });
    let limits = Limits {
        attempts: 3,
        retry_after: (Duration::from_secs(2), Duration::from_mins(1)),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process([order("a")]);
    stage.tick(at(0));
    stage.tick(at(1_999));
    assert_eq!(sender.calls().len(), 1, "before the minimum wait");
    stage.process([order("b")]);
    stage.tick(at(2_000));
    assert_eq!(sender.calls().len(), 3, "the pause is over for both");
    stage.tick(at(61_999));
    assert_eq!(
        sender.calls().len(),
        3,
        "before the maximum wait, for the whole destination"
    );
    stage.tick(at(62_000));
    assert!(results(&stage)[0].starts_with("a x1 after 3: GaveUp { after: 62s, detail: \"busy\" }"));
}

#[test]
fn a_wall_clock_that_jumps_neither_sends_nor_gives_up_nor_stops_anything() {
    const REQUESTS: usize = 20;
    for (days, restarts) in [(60, false), (-60, false), (-60, true)] {
        let sender = Scripted::new(|call| match call.attempt {
            1 => Answer::Unknown {
                detail: "500".to_owned(),
            },
            _ => Answer::Applied(String::new()),
        });
        let limits = Limits {
            backoff_first: Duration::from_mins(2),
            backoff_longest: Duration::from_mins(2),
            give_up_after: Duration::from_hours(1),
            breaker_failures: REQUESTS as u32,
            breaker_pause: Duration::from_secs(30),
            ..limits()
        };
        let mut stage = harness(&limits, &sender);
        let names: Vec<String> = (0..REQUESTS).map(|n| format!("r{n:02}")).collect();
        stage.process(names.iter().map(|name| order(name)));
        for second in 0..5 {
            stage.tick(at(second * 1_000));
        }
        assert_eq!(sender.calls().len(), REQUESTS);
        let jumped = |second: i64| at(days * 86_400_000 + second * 1_000);
        for second in 5..55 {
            if restarts && second == 30 {
                stage.restart();
            }
            stage.tick(jumped(second));
        }
        assert_eq!(
            sender.calls().len(),
            REQUESTS,
            "sent before the back-off of a minute at least: {days} days"
        );
        assert!(results(&stage).is_empty(), "given up: {days} days");
        for second in 55..300 {
            stage.tick(jumped(second));
        }
        let results = results(&stage);
        assert_eq!(results.len(), REQUESTS, "stopped: {days} days");
        assert!(
            results.iter().all(|result| result.contains("after 2: Applied")),
            "{results:?}"
        );
        assert_eq!(entries(&stage), 0);
    }
}

#[test]
fn a_destination_that_asks_for_no_wait_gets_the_usual_back_off() {
    let sender = Scripted::new(|_| Answer::RetryAfter {
        wait: Some(Duration::ZERO),
        detail: "now".to_owned(),
    });
    let limits = Limits {
        attempts: 4,
        retry_after: (Duration::from_millis(1), Duration::from_mins(1)),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process([order("a")]);
    for millis in 0..2_000 {
        stage.tick(at(millis));
    }
    // The first back-off is at least 0.5 s, the second at least 1 s.
    assert!((2..=3).contains(&sender.calls().len()), "{:?}", sender.calls());
    for second in 2..30 {
        stage.tick(at(second * 1_000));
    }
    assert!(
        results(&stage)[0].starts_with("a x1 after 4: GaveUp"),
        "{:?}",
        results(&stage)
    );
}

#[test]
fn a_problem_of_the_account_pauses_the_destination_and_refuses_nothing() {
    let is_paid = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let paid = Arc::clone(&is_paid);
    let sender = Scripted::new(move |_| {
        if paid.load(std::sync::atomic::Ordering::SeqCst) {
            Answer::Applied("ok".to_owned())
        } else {
            Answer::Blocked {
                detail: "402".to_owned(),
            }
        }
    });
    let limits = Limits {
        attempts: 2,
        breaker_pause: Duration::from_secs(15),
        backoff_longest: Duration::from_secs(20),
        give_up_after: Duration::from_hours(24),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process(["a", "b", "c"].map(order));
    for second in 0..3_600 {
        stage.tick(at(second * 1_000));
    }
    // One probe for each pause, whatever waits; many more than the attempts of a request.
    let calls = sender.calls().len();
    assert!((150..=250).contains(&calls), "{calls}");
    assert!(results(&stage).is_empty() && entries(&stage) > 0);
    is_paid.store(true, std::sync::atomic::Ordering::SeqCst);
    for second in 3_600..3_700 {
        stage.tick(at(second * 1_000));
    }
    assert_eq!((results(&stage).len(), entries(&stage)), (3, 0));
}

#[test]
fn failures_are_retried_with_a_back_off_until_the_attempts_are_used_up() {
    let sender = Scripted::new(|call| match call.attempt {
        1 => panic!("a bug of the sender"),
        _ => Answer::Unknown {
            detail: "500".to_owned(),
        },
    });
    let limits = Limits {
        attempts: 3,
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process([order("a")]);
    stage.tick(at(0));
    stage.tick(at(499));
    assert_eq!(sender.calls().len(), 1, "not before half of the first back-off");
    stage.tick(at(1_000));
    stage.tick(at(3_000));
    assert_eq!(
        results(&stage),
        ["a x1 after 3: GaveUp { after: 3s, detail: \"500\" }"]
    );
    assert_eq!(entries(&stage), 0);
}

#[test]
fn a_request_that_waits_too_long_is_given_up() {
    let sender = Scripted::new(|_| Answer::RetryAfter {
        wait: Some(Duration::from_mins(1)),
        detail: "busy".to_owned(),
    });
    let limits = Limits {
        give_up_after: Duration::from_secs(100),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process([order("a")]);
    stage.tick(at(0));
    stage.tick(at(60_000));
    assert_eq!(
        results(&stage),
        ["a x1 after 2: GaveUp { after: 60s, detail: \"busy\" }"]
    );
}

#[test]
fn a_token_bucket_bounds_calls_per_second() {
    let sender = Scripted::applies();
    let limits = Limits {
        rate: Some(Rate {
            per_second: 2.0,
            burst: 3,
        }),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process((0..10).map(|n| order(&format!("{n}"))));
    let sent = |stage: &mut Harness<Ordering>, now| {
        stage.tick(at(now));
        sender.calls().len()
    };
    let counts = [0, 0, 499, 500, 1_000, 301_000].map(|now| sent(&mut stage, now));
    assert_eq!(counts, [3, 3, 3, 4, 5, 8]);
}

#[test]
fn the_breaker_stops_calls_to_a_failing_destination_and_probes_with_one_call() {
    let sender = Scripted::new(|_| Answer::Unknown {
        detail: "down".to_owned(),
    });
    let limits = Limits {
        concurrency: 1,
        breaker_failures: 3,
        breaker_pause: Duration::from_secs(50),
        ..limits()
    };
    let mut stage = harness(&limits, &sender);
    stage.process((0..10).map(|n| order(&format!("{n}"))));
    stage.tick(at(0));
    assert_eq!(sender.calls().len(), 3, "then the breaker opened");
    stage.tick(at(49_999));
    assert_eq!(sender.calls().len(), 3);
    stage.tick(at(50_000));
    assert_eq!(sender.calls().len(), 4, "one probe");
}

#[test]
fn a_full_queue_and_an_unknown_destination_are_reported_and_change_nothing() {
    let limits = Limits {
        waiting: 2,
        ..limits()
    };
    let mut stage = harness(&limits, &Scripted::applies());
    stage.process(["a", "b", "c"].map(order));
    stage.process([record("orders").key("d").value("elsewhere")]);
    let reasons: Vec<_> = stage
        .dead_letters()
        .iter()
        .map(|dead| dead.detail.clone())
        .collect();
    assert_eq!(reasons, ["Full", "UnknownDestination"]);
    stage.tick(at(0));
    stage.process([order("c")]);
    stage.tick(at(1));
    assert_eq!(results(&stage).len(), 3, "there is room again");
}

/// The state of a stage with one request, with a piece of text replaced in its entry.
fn rewritten(from: &str, to: &str) -> MemoryState {
    let mut before = harness(&limits(), &Scripted::applies());
    before.process([order("a")]);
    let mut state = MemoryState::default();
    for (partition, key, value) in before.state().entries() {
        let text = String::from_utf8(value.to_vec()).unwrap();
        let is_entry = key.starts_with(b"test/e/");
        assert!(!is_entry || text.contains(from), "{text}");
        let value = if is_entry { text.replace(from, to) } else { text };
        state.put(partition, key.clone(), value);
    }
    state
}

#[test]
fn a_request_of_an_older_version_is_migrated() {
    let old = rewritten(
        r#""request_version":2,"request":{"item":"a","count":1}"#,
        r#""request_version":1,"request":"pear""#,
    );
    assert!(old.get(0, b"test/e/shop/a").unwrap().is_some());
    let sender = Scripted::applies();
    let mut stage = harness(&limits(), &sender).over(old);
    stage.assign("orders", 0);
    stage.tick(at(0));
    assert_eq!(results(&stage), ["a x1 after 1: Applied(\"pear\")"]);
}

#[test]
fn an_entry_of_a_later_version_stops_the_stage_and_is_kept() {
    for (from, to) in [
        (r#"{"v":1"#, r#"{"v":2"#),
        (r#""request_version":2"#, r#""request_version":3"#),
        (r#""request":{"item""#, r#""request":{"thing""#),
    ] {
        let sender = Scripted::applies();
        let mut stage = harness(&limits(), &sender).over(rewritten(from, to));
        stage.assign("orders", 0);
        let error = stage.tick_aborted(at(0)).unwrap_err();
        assert!(error.message.contains("upgrade"), "{error}");
        assert!(sender.calls().is_empty());
    }
}

#[test]
fn metrics_show_each_destination() {
    let registry = prometheus::Registry::new();
    let meters = OutboxMeters::register(&registry).unwrap();
    let sender = Scripted::new(|call| match &*call.key {
        "bad" => Answer::Rejected {
            detail: String::new(),
        },
        "late" => Answer::Unknown {
            detail: String::new(),
        },
        _ => Answer::Applied(String::new()),
    });
    let shown = meters.clone();
    let mut stage = Harness::new(move || Ordering {
        outbox: Outbox::new("test")
            .destination(
                "shop",
                Limits {
                    breaker_failures: 1,
                    concurrency: 1,
                    ..Limits::default()
                },
                sender.clone(),
            )
            .metered(shown.clone())
            .answer_wait(PATIENCE),
        is_ordered: false,
    })
    .once();
    // One thread, in the order of event time.
    let keys = ["good", "bad", "late", "never"];
    stage.process((0..).zip(keys).map(|(n, key)| order(key).at(at(n))));
    stage.tick(at(0));
    let found: BTreeMap<String, f64> = registry
        .gather()
        .iter()
        .flat_map(|family| family.get_metric().iter().map(move |metric| (family, metric)))
        .map(|(family, metric)| {
            let answer = metric.get_label().iter().find(|label| label.name() == "answer");
            let name = family.name().trim_start_matches("limbic_outbox_");
            let value = metric.get_counter().get_value() + metric.get_gauge().get_value();
            (
                format!("{name} {}", answer.map_or("", |label| label.value())),
                value,
            )
        })
        .collect();
    let expected = [
        ("answers_total applied", 1.0),
        ("answers_total rejected", 1.0),
        ("answers_total retried", 1.0),
        ("breaker ", 2.0),
        ("in_flight ", 0.0),
        ("waiting ", 2.0),
    ];
    assert_eq!(
        found,
        expected.map(|(name, value)| (name.to_owned(), value)).into()
    );
}

#[test]
fn retry_after_is_seconds_or_a_date() {
    let now: Utc = "1994-11-06T08:49:07Z".parse().unwrap();
    let seconds = |value| retry_after(value, now).map(|wait| wait.as_secs());
    assert_eq!(seconds("7"), Some(7));
    assert_eq!(seconds(" 120 "), Some(120));
    for date in [
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    ] {
        assert_eq!(seconds(date), Some(30), "{date}");
    }
    assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0), "long past");
    assert_eq!(seconds("99999999999999999999999"), Some(u64::MAX));
    for neither in ["", "-1", "soon", "1.5"] {
        assert_eq!(seconds(neither), None, "{neither}");
    }
}
