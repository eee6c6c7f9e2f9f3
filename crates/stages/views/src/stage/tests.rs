//! The tests of [`stage`](super).

use limbic_domain::{Envelope, OutcomeKind};
use limbic_stream::testing::{Harness, RecordBuilder, record};

use super::*;
use crate::Kind;

fn outcome(tenant: &str, n: u64, decision: &str) -> RecordBuilder {
    let data = Outcome::new(decision, OutcomeKind::Click, format!("k{n}"));
    let tenant = TenantId::new(tenant).unwrap();
    let envelope = Envelope::new(tenant, format!("o{n}"), Utc::from_millis(5), data);
    record(topics::OUTCOMES).offset(n).event(&envelope)
}

fn harness(store: &Store, handle: &Handle, log: &str) -> Harness<ViewsStage> {
    let (store, handle, log) = (store.clone(), handle.clone(), log.to_owned());
    Harness::new(move || ViewsStage::new(store.clone(), handle.clone(), &log))
        .described_by(ViewsStage::spec(&ViewsSettings::default()))
}

/// `bad` names a decision that the database refuses.
fn what_the_database_refuses_is_told(store: &Store, handle: &Handle, bad: &str) {
    // A log and a tenant of its own, also in a database that other tests use.
    let log = format!("refused{}", std::process::id());
    let malformed = outcome(&log, 5, "acme.x").value(&b"{"[..]);
    let records = || {
        [
            outcome(&log, 0, "acme.x"),
            outcome(&log, 1, bad),
            outcome(&log, 2, "acme.x"),
            outcome(&log, 3, "acme.x"),
            outcome(&log, 4, bad),
            malformed.clone(),
        ]
    };
    let told = |stage: &Harness<ViewsStage>| -> Vec<(u64, &'static str)> {
        let letters = stage.dead_letters().iter();
        letters
            .map(|letter| (letter.record.offset, letter.reason))
            .collect()
    };
    let expected = [(1, REFUSED), (4, REFUSED), (5, "malformed")];
    // The harness repeats the call: the database then has the rows, and the letters are the same.
    let mut stage = harness(store, handle, &log);
    stage.process(records());
    assert_eq!(told(&stage), expected);
    let tenant = TenantId::new(&log).unwrap();
    let count = || handle.block_on(store.count(&tenant, Kind::Outcome)).unwrap();
    assert_eq!(count(), 3);
    // The log's commit was lost: another instance receives the records again, and the letters are not lost.
    let mut next = harness(store, handle, &log).once();
    next.process(records());
    assert_eq!(told(&next), expected);
    next.process([outcome(&log, 6, "acme.x")]);
    assert_eq!(count(), 4);
}

/// A post with the id `p1`, or a reading of it, in the version `revision`.
fn version(topic: &'static str, offset: u64, revision: u64, text: &str) -> RecordBuilder {
    let data = match topic {
        topics::POSTS => {
            serde_json::json!({"network": "bluesky", "id": "1", "text": text, "revision": revision})
        }
        _ => {
            serde_json::json!({"post": {"network": "bluesky", "id": "1"}, "text": text, "revision": revision})
        }
    };
    let envelope = serde_json::json!({
        "type": "post", "v": 1, "tenant": "default", "id": "p1", "at": "2026-11-30T00:00:00Z", "data": data,
    });
    record(topic).offset(offset).value(envelope.to_string())
}

fn deletion(topic: &'static str, offset: u64, id: Option<&str>) -> RecordBuilder {
    let network = limbic_domain::Slug::new("bluesky").unwrap();
    let data = Deletion {
        author: limbic_domain::Pseudonym::of(&[1; 32], &network, "ada"),
        network,
        id: id.map(str::to_owned),
        deleted_at: Utc::from_millis(5),
    };
    let envelope = Envelope::new(
        TenantId::default(),
        format!("d{offset}"),
        Utc::from_millis(5),
        data,
    );
    record(topic).offset(offset).event(&envelope)
}

#[test]
fn the_latest_version_of_a_post_is_kept_and_a_deleted_post_has_no_row_in_any_batch() {
    let runtime = runtime();
    let handle = runtime.handle();
    for together in [true, false] {
        for (topic, kind) in [(topics::POSTS, Kind::Post), (topics::READINGS, Kind::Reading)] {
            let folder = tempfile::tempdir().unwrap();
            let store = handle.block_on(Store::sqlite(folder.path())).unwrap();
            let mut stage = harness(&store, handle, "log");
            let texts = || -> Vec<String> {
                let tenant = TenantId::default();
                let page = store.list(&tenant, kind, None, None, 10);
                let items = handle.block_on(page).unwrap().items;
                items
                    .iter()
                    .map(|item| item["text"].as_str().unwrap().to_owned())
                    .collect()
            };
            let mut process = |records: Vec<RecordBuilder>| {
                if together {
                    stage.process(records);
                } else {
                    for record in records {
                        stage.process([record]);
                    }
                }
                assert!(stage.dead_letters().is_empty());
            };
            process(vec![
                version(topic, 0, 0, "first"),
                version(topic, 1, 7, "third"),
                version(topic, 2, 3, "second"),
                deletion(topic, 3, Some("2")),
                deletion(topic, 4, None),
            ]);
            assert_eq!(texts(), ["third"], "{topic} {together}");
            process(vec![deletion(topic, 5, Some("1"))]);
            assert_eq!(texts(), [""; 0], "{topic} {together}");
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(1).enable_all().build().unwrap()
}

async fn execute(store: &Store, statement: &'static str) {
    sqlx::query(statement).execute(&store.writer).await.unwrap();
}

#[test]
fn a_record_that_the_database_refuses_becomes_a_dead_letter_and_the_rest_is_written() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(Store::sqlite(folder.path())).unwrap();
    let rule = "CREATE TRIGGER rule BEFORE INSERT ON limbic_events WHEN NEW.entity = 'acme.bad'
            BEGIN SELECT RAISE(ABORT, 'not this one'); END";
    runtime.block_on(execute(&store, rule));
    what_the_database_refuses_is_told(&store, runtime.handle(), "acme.bad");
    let Ok(url) = std::env::var("LIMBIC_TEST_POSTGRES") else {
        eprintln!("\n*** SKIPPED over PostgreSQL: LIMBIC_TEST_POSTGRES is not set ***\n");
        return;
    };
    let store = runtime.block_on(Store::postgres(&url)).unwrap();
    // PostgreSQL has no text with this character.
    what_the_database_refuses_is_told(&store, runtime.handle(), "acme.\0bad");
}

#[test]
fn an_error_that_is_not_about_the_record_is_tried_again() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(Store::sqlite(folder.path())).unwrap();
    let mut stage = harness(&store, runtime.handle(), "log").once();
    runtime.block_on(execute(&store, "ALTER TABLE limbic_events RENAME TO away"));
    assert!(stage.try_process([outcome("log", 0, "acme.x")]).is_err());
    assert!(stage.dead_letters().is_empty());
    runtime.block_on(execute(&store, "ALTER TABLE away RENAME TO limbic_events"));
    stage.process([outcome("log", 0, "acme.x")]);
    let tenant = TenantId::new("log").unwrap();
    let count = runtime.block_on(store.count(&tenant, Kind::Outcome)).unwrap();
    assert_eq!(count, 1);
}
