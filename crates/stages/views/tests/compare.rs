//! The view is compared with the log: an example of each damage.

use std::sync::Arc;

use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, Utc, topics};
use limbic_stream::testing::{Harness, record};
use limbic_stream::{Headers, Log, NewRecord, TopicPartition, TopicSpec};
use limbic_stream_embedded::{EmbeddedLog, EmbeddedOptions};
use limbic_views::{Store, ViewsSettings, ViewsStage, compare};

const NAME: &str = "log@one";

fn outcome(n: u64) -> Vec<u8> {
    let data = Outcome::new("acme.x", OutcomeKind::Click, format!("k{n}"));
    Envelope::new(TenantId::default(), format!("o{n}"), Utc::from_millis(5), data).encode()
}

#[test]
fn each_difference_between_view_and_log_is_named() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (folder, view) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let log: Arc<dyn Log> = Arc::new(EmbeddedLog::open(folder.path(), EmbeddedOptions::default()).unwrap());
    let topic = topics::OUTCOMES;
    log.ensure_topics(&[TopicSpec::new(topic, 1)]).unwrap();
    let store = runtime.block_on(Store::sqlite(view.path())).unwrap();
    let feed = |numbers: std::ops::Range<u64>| {
        let (store, handle) = (store.clone(), runtime.handle().clone());
        let mut stage = Harness::new(move || ViewsStage::new(store.clone(), handle.clone(), NAME))
            .described_by(ViewsStage::spec(&ViewsSettings::default()))
            .once();
        stage.process(numbers.map(|n| record(topic).offset(n).value(outcome(n))));
    };
    let publish = |numbers: std::ops::Range<u64>| {
        let records = numbers.map(|n| NewRecord {
            topic: topic.into(),
            partition: Some(0),
            key: "default/acme".into(),
            value: outcome(n).into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(5),
        });
        log.publish(records.collect()).unwrap();
    };
    let compared = || {
        let verdicts = compare(&store, &*log, NAME, runtime.handle()).unwrap();
        let of_topic = verdicts
            .into_iter()
            .find(|verdict| verdict.what == "view of outcomes");
        of_topic.unwrap().result
    };
    publish(0..3);
    feed(0..3);
    assert_eq!(compared().unwrap(), "3 events, as in the log");
    publish(3..5);
    assert!(compared().unwrap().contains("not counted"), "the view is behind");
    feed(3..5);
    assert_eq!(compared().unwrap(), "5 events, as in the log");
    // Somebody has removed a row.
    let file = view.path().join("view.sqlite");
    let remove = |statement: &'static str| {
        runtime.block_on(async {
            let pool = limbic_sqlite::open_writer(&file, limbic_sqlite::Durability::Process, &[]);
            let pool = pool.await.unwrap();
            sqlx::query(statement).execute(&pool).await.unwrap();
            pool.close().await;
        });
    };
    remove("DELETE FROM limbic_events WHERE seq = 2");
    assert!(
        compared().unwrap_err().contains("of 5 events"),
        "{:?}",
        compared()
    );
    // The log was restored from an older backup.
    feed(5..9);
    let ahead = compared().unwrap_err();
    assert!(
        ahead.contains("up to offset 9") && ahead.contains("ends at 5"),
        "{ahead}"
    );
    // The view was restored, and the log has deleted what it had not read.
    let transient = TopicSpec::new(topics::POSTS, 1);
    log.ensure_topics(&[transient]).unwrap();
    let partition = TopicPartition {
        topic: topic.into(),
        partition: 0,
    };
    assert_eq!(
        log.read(&partition, 0, 10).unwrap().len(),
        5,
        "nothing was written"
    );
    log.close().unwrap();
}
