//! The view in SQLite, and in PostgreSQL if `LIMBIC_TEST_POSTGRES` is set.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, Utc, topics};
use limbic_stream::testing::{Harness, RecordBuilder, record};
use limbic_stream::{Stage as _, TopicPartition};
use limbic_views::{Kind, Selection, Store, ViewsSettings, ViewsStage};

fn outcome(tenant: &str, n: u64) -> RecordBuilder {
    let data = Outcome::new("acme.x", OutcomeKind::Click, format!("k{n}"));
    let envelope = Envelope::new(
        TenantId::new(tenant).unwrap(),
        format!("o{n}"),
        Utc::from_millis(5),
        data,
    );
    record(topics::OUTCOMES).offset(n).event(&envelope)
}

fn harness(store: &Store, handle: &tokio::runtime::Handle, log: &str) -> Harness<ViewsStage> {
    let (store, handle, log) = (store.clone(), handle.clone(), log.to_owned());
    Harness::new(move || ViewsStage::new(store.clone(), handle.clone(), &log))
        .described_by(ViewsStage::spec(&ViewsSettings::default()))
}

fn over_every_database(promise: impl Fn(&Store, &tokio::runtime::Handle, &str)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    // Each test has a log with its own name, because offsets of one log have no meaning for another.
    let log = folder
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .to_lowercase()
        .replace('.', "x");
    let store = runtime.block_on(Store::sqlite(folder.path())).unwrap();
    promise(&store, runtime.handle(), &log);
    if let Ok(url) = std::env::var("LIMBIC_TEST_POSTGRES") {
        let store = runtime.block_on(Store::postgres(&url)).unwrap();
        promise(&store, runtime.handle(), &log);
    } else {
        eprintln!(
            "\n*** SKIPPED over PostgreSQL: LIMBIC_TEST_POSTGRES is not set (scripts/services up) ***\n"
        );
    }
}

#[test]
fn a_program_that_only_reads_creates_no_table() {
    let Ok(url) = std::env::var("LIMBIC_TEST_POSTGRES") else {
        eprintln!("\n*** SKIPPED: LIMBIC_TEST_POSTGRES is not set (scripts/services up) ***\n");
        return;
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        Store::postgres(&url).await.unwrap();
        assert!(
            Store::postgres_as_it_is(&url)
                .await
                .unwrap()
                .has_tables()
                .await
                .unwrap()
        );
        // A schema in which there is nothing.
        let empty = format!("{url}?options=-c%20search_path%3Dnothing_is_here");
        for _ in 0..2 {
            let store = Store::postgres_as_it_is(&empty).await.unwrap();
            let store = store.sealed_with(None).await.unwrap();
            assert!(!store.has_tables().await.unwrap());
            assert!(store.server().await.unwrap().starts_with("PostgreSQL"));
        }
    });
}

#[test]
fn records_whose_rows_exist_are_skipped_after_a_crash() {
    over_every_database(|store, handle, log| {
        // Each instance is driven once, because the second call of an instance that another has overtaken succeeds.
        let mut stage = harness(store, handle, log).once();
        stage.process([outcome(log, 0), outcome(log, 1)]);
        // The log's commit was lost: another instance receives the same records again, and one more.
        let mut next = harness(store, handle, log).once();
        next.process([outcome(log, 0), outcome(log, 1), outcome(log, 2)]);
        let partition = TopicPartition {
            topic: topics::OUTCOMES.into(),
            partition: 0,
        };
        assert_eq!(next.seeks(), [(partition, 2)]);
        let tenant = TenantId::new(log).unwrap();
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 3);
        // The first instance is now a zombie: its writes are refused, and it reads the current offsets.
        assert!(stage.try_process([outcome(log, 2)]).is_err());
        stage.process([outcome(log, 2)]);
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 3);
    });
}

#[test]
fn pages_have_no_gap_and_no_repeat_and_tenants_are_separate() {
    over_every_database(|store, handle, log| {
        let other = format!("{log}-other");
        let mut records: Vec<RecordBuilder> = (0..25).map(|n| outcome(log, n)).collect();
        records.push(outcome(&other, 25));
        harness(store, handle, log).process(records);
        let tenant = TenantId::new(log).unwrap();
        let mut keys = Vec::new();
        let mut after = None;
        loop {
            let page = handle
                .block_on(store.list(&tenant, Kind::Outcome, Some("acme.x"), after, 10))
                .unwrap();
            keys.extend(
                page.items
                    .iter()
                    .map(|item| item["key"].as_str().unwrap().to_owned()),
            );
            match page.next {
                Some(next) => after = Some(next.parse().unwrap()),
                None => break,
            }
        }
        let expected: Vec<String> = (0..25).map(|n| format!("k{n}")).collect();
        assert_eq!(keys, expected);
        assert!(
            handle
                .block_on(store.by_id(&tenant, Kind::Outcome, "o25"))
                .unwrap()
                .is_none()
        );
        let other = TenantId::new(&other).unwrap();
        let found = handle
            .block_on(store.by_id(&other, Kind::Outcome, "o25"))
            .unwrap()
            .unwrap();
        assert_eq!(
            (found["id"].as_str(), found["at"].as_str()),
            (Some("o25"), Some("1970-01-01T00:00:00.005Z"))
        );
    });
}

#[test]
fn every_page_has_a_position_from_which_later_events_are_read() {
    over_every_database(|store, handle, log| {
        let tenant = TenantId::new(log).unwrap();
        let select = |selection: Selection<'_>| {
            let page = handle
                .block_on(store.select(&tenant, Kind::Outcome, &selection))
                .unwrap();
            let key = |item: &serde_json::Value| item["key"].as_str().unwrap().to_owned();
            let keys: Vec<String> = page.items.iter().map(key).collect();
            (keys, page.next, page.position.parse().unwrap())
        };
        let mut stage = harness(store, handle, log);
        let (keys, next, begin) = select(Selection {
            limit: 2,
            ..Selection::default()
        });
        assert_eq!((keys.len(), next), (0, None), "of an empty list too");
        let polled = |after| {
            select(Selection {
                after: Some(after),
                limit: 2,
                ..Selection::default()
            })
        };
        stage.process([outcome(log, 0), outcome(log, 1), outcome(log, 2)]);
        let (keys, next, position) = polled(begin);
        assert_eq!(
            (keys, next.is_some()),
            (vec!["k0".to_owned(), "k1".to_owned()], true)
        );
        let (keys, next, position) = polled(position);
        assert_eq!((keys, next), (vec!["k2".to_owned()], None));
        let (keys, _, same) = polled(position);
        assert_eq!((keys.len(), same), (0, position));
        stage.process([outcome(log, 3)]);
        assert_eq!(polled(position).0, ["k3"]);
        // From the newest page, a reader goes on to what is written later.
        let (keys, next, position) = select(Selection {
            newest_first: true,
            limit: 2,
            ..Selection::default()
        });
        assert_eq!(
            (keys, next.is_some()),
            (vec!["k3".to_owned(), "k2".to_owned()], true)
        );
        assert!(polled(position).0.is_empty());
        stage.process([outcome(log, 4)]);
        assert_eq!(polled(position).0, ["k4"]);
    });
}

#[test]
fn a_time_selects_events_and_its_pages_have_no_gap() {
    over_every_database(|store, handle, log| {
        let tenant = TenantId::new(log).unwrap();
        let at = |n: u64, millis: i64| {
            let data = Outcome::new("acme.x", OutcomeKind::Click, format!("k{n}"));
            let envelope = Envelope::new(tenant.clone(), format!("o{n}"), Utc::from_millis(millis), data);
            record(topics::OUTCOMES).offset(n).event(&envelope)
        };
        harness(store, handle, log).process((0..40).map(|n| at(n, (n as i64 % 10) * 1_000)));
        let (from, to) = (Some(Utc::from_millis(2_000)), Some(Utc::from_millis(5_000)));
        for newest_first in [false, true] {
            let (mut keys, mut after) = (Vec::new(), None);
            loop {
                let selection = Selection {
                    from,
                    to,
                    after,
                    newest_first,
                    limit: 5,
                    ..Selection::default()
                };
                let page = handle
                    .block_on(store.select(&tenant, Kind::Outcome, &selection))
                    .unwrap();
                keys.extend(
                    page.items
                        .iter()
                        .map(|item| item["key"].as_str().unwrap().to_owned()),
                );
                match page.next {
                    Some(next) => after = Some(next.parse().unwrap()),
                    None => break,
                }
            }
            let mut expected: Vec<String> = (0..40)
                .filter(|n| (2..5).contains(&(n % 10)))
                .map(|n| format!("k{n}"))
                .collect();
            if newest_first {
                expected.reverse();
            }
            assert_eq!(keys, expected);
        }
    });
}

#[test]
fn an_outcome_has_the_row_of_its_latest_statement() {
    over_every_database(|store, handle, log| {
        let said = |offset: u64, key: &str, revision: u64, value: f64| {
            let data = Outcome {
                revision,
                value: Some(value),
                ..Outcome::new("acme.x", OutcomeKind::Conversion, key)
            };
            let tenant = TenantId::new(log).unwrap();
            let envelope = Envelope::new(tenant, key.into(), Utc::from_millis(5), data);
            record(topics::OUTCOMES).offset(offset).event(&envelope)
        };
        let tenant = TenantId::new(log).unwrap();
        let values = || {
            let page = store.list(&tenant, Kind::Outcome, Some("acme.x"), None, 10);
            let items = handle.block_on(page).unwrap().items;
            let value = |item: &serde_json::Value| {
                let key = item["key"].as_str().unwrap().to_owned();
                (key, item["value"].as_f64().unwrap())
            };
            items.iter().map(value).collect::<Vec<_>>()
        };
        let row = |key: &str, value: f64| (key.to_owned(), value);
        let mut stage = harness(store, handle, log);
        stage.process([said(0, "a", 0, 5.0), said(1, "b", 0, 1.0), said(2, "a", 1, 4.0)]);
        assert_eq!(values(), [row("b", 1.0), row("a", 4.0)], "within a batch");
        stage.process([said(3, "b", 2, 0.0), said(4, "c", 0, 2.0)]);
        assert_eq!(
            values(),
            [row("a", 4.0), row("b", 0.0), row("c", 2.0)],
            "in a later batch"
        );
        stage.process([said(5, "b", 1, 9.0), said(6, "b", 2, 0.0), said(7, "c", 0, 3.0)]);
        assert_eq!(
            values(),
            [row("a", 4.0), row("b", 0.0), row("c", 2.0)],
            "earlier and repeated ones"
        );
        let b = handle.block_on(store.by_id(&tenant, Kind::Outcome, "b")).unwrap();
        assert_eq!(b.unwrap()["value"], 0.0);
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 3);
    });
}

#[test]
fn invalid_records_become_dead_letters_and_the_rest_is_written() {
    over_every_database(|store, handle, log| {
        let broken = outcome(log, 1).value(&b"{\"tenant\":\xff"[..]);
        // The harness processes the batch again after the database has committed it. The dead letter must be written
        // again.
        let mut stage = harness(store, handle, log);
        stage.process([outcome(log, 0), broken, outcome(log, 2)]);
        assert_eq!(stage.dead_letters().len(), 1);
        let tenant = TenantId::new(log).unwrap();
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 2);
    });
}

#[test]
fn a_log_that_was_made_again_adds_its_events_to_the_view_and_doubles_none() {
    over_every_database(|store, handle, log| {
        let tenant = TenantId::new(log).unwrap();
        let count = || handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap();
        harness(store, handle, log)
            .once()
            .process([outcome(log, 0), outcome(log, 1)]);
        // An upgrade: the same log has an identity now, and continues.
        let partition = TopicPartition {
            topic: topics::OUTCOMES.into(),
            partition: 0,
        };
        let mut named = harness(store, handle, &format!("{log}@one")).once();
        named.process([outcome(log, 2)]);
        assert_eq!(named.seeks(), [(partition.clone(), 2)]);
        assert_eq!(count(), 3);
        // The log is made again, with other records at the same offsets.
        let mut again = harness(store, handle, &format!("{log}@two")).once();
        again.process([outcome(log, 7).offset(0), outcome(log, 1).offset(1)]);
        assert_eq!(again.seeks(), [(partition.clone(), 0)]);
        assert_eq!(count(), 4);
        // The log is restored from an older backup: it ends before the view's offset.
        again.stage().forget_offsets(&[partition]).unwrap();
        again.process([outcome(log, 8).offset(0)]);
        assert_eq!(count(), 5);
    });
}
