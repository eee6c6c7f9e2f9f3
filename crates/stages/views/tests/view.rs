//! The view over SQLite always, over PostgreSQL where `LIMBIC_TEST_POSTGRES` names one.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use bytes::Bytes;
use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, Utc, topics};
use limbic_stream::{Batch, Headers, Outputs, Record, Result, Stage, StateReader, TopicPartition};
use limbic_views::{Kind, Store, ViewsStage};

struct NoState;

impl StateReader for NoState {
    fn get(&self, _: u32, _: &[u8]) -> Result<Option<Bytes>> {
        Ok(None)
    }

    fn scan(&self, _: u32, _: &[u8], _: &[u8], _: usize) -> Result<Vec<(Bytes, Bytes)>> {
        Ok(Vec::new())
    }
}

fn outcome(tenant: &str, n: u64) -> Record {
    let data = Outcome {
        decision: "acme.x".into(),
        kind: OutcomeKind::Click,
        value: None,
        key: format!("k{n}"),
        detail: None,
    };
    let envelope = Envelope::new(
        TenantId::new(tenant).unwrap(),
        format!("o{n}"),
        Utc::from_millis(5),
        data,
    );
    Record {
        topic: topics::OUTCOMES.into(),
        partition: 0,
        offset: n,
        key: Bytes::new(),
        value: envelope.encode().into(),
        headers: Headers::new(),
        timestamp: Utc::from_millis(5),
    }
}

fn partition() -> TopicPartition {
    TopicPartition {
        topic: topics::OUTCOMES.into(),
        partition: 0,
    }
}

fn process(stage: &mut ViewsStage, records: Vec<Record>) -> (Result<(), String>, usize) {
    let mut out = Outputs::new(&NoState);
    let done = stage
        .process(&Batch { records }, &mut out)
        .map_err(|error| error.to_string());
    (done, out.into_effects().dead.len())
}

fn over_every_database(promise: impl Fn(&Store, &tokio::runtime::Handle, &str)) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let folder = tempfile::tempdir().unwrap();
    // A log of its own name per test: offsets of one mean nothing to another.
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
fn what_the_database_knows_is_skipped_after_a_crash() {
    over_every_database(|store, handle, log| {
        let mut stage = ViewsStage::new(store.clone(), handle.clone(), log);
        stage.assigned(&[partition()]).unwrap();
        process(&mut stage, vec![outcome(log, 0), outcome(log, 1)])
            .0
            .unwrap();
        // The log's commit was lost: another instance is shown the same records again, and one more.
        let mut next = ViewsStage::new(store.clone(), handle.clone(), log);
        assert_eq!(next.assigned(&[partition()]).unwrap(), [(partition(), 2)]);
        process(&mut next, vec![outcome(log, 0), outcome(log, 1), outcome(log, 2)])
            .0
            .unwrap();
        let tenant = TenantId::new(log).unwrap();
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 3);
        // The first one is a zombie now: what it writes is refused, and it learns where things stand.
        assert!(process(&mut stage, vec![outcome(log, 2)]).0.is_err());
        process(&mut stage, vec![outcome(log, 2)]).0.unwrap();
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 3);
    });
}

#[test]
fn pages_follow_each_other_without_gap_or_repeat_and_tenants_do_not_mix() {
    over_every_database(|store, handle, log| {
        let mut stage = ViewsStage::new(store.clone(), handle.clone(), log);
        stage.assigned(&[partition()]).unwrap();
        let other = format!("{log}-other");
        let mut records: Vec<Record> = (0..25).map(|n| outcome(log, n)).collect();
        records.push(outcome(&other, 25));
        process(&mut stage, records).0.unwrap();
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
fn garbage_goes_to_the_dead_letters_and_the_rest_is_written() {
    over_every_database(|store, handle, log| {
        let mut stage = ViewsStage::new(store.clone(), handle.clone(), log);
        stage.assigned(&[partition()]).unwrap();
        let mut broken = outcome(log, 1);
        broken.value = Bytes::from_static(b"{\"tenant\":\xff");
        let (done, dead) = process(&mut stage, vec![outcome(log, 0), broken, outcome(log, 2)]);
        done.unwrap();
        assert_eq!(dead, 1);
        let tenant = TenantId::new(log).unwrap();
        assert_eq!(handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap(), 2);
    });
}
