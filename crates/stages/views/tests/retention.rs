//! Old events leave the view, in SQLite, and in PostgreSQL if `LIMBIC_TEST_POSTGRES` is set.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use limbic_domain::{Envelope, HumanDuration, Outcome, OutcomeKind, TenantId, Utc, topics};
use limbic_stream::testing::{Harness, RecordBuilder, record};
use limbic_views::{KeepEvents, Kind, Store, ViewMeters, ViewsSettings, ViewsStage};
use tokio::runtime::{Handle, Runtime};

const MINUTE: i64 = 60_000;
/// A clock that is ahead of every event.
const LATE: Utc = Utc::from_millis(1_000_000 * MINUTE);

/// A view that keeps outcomes for an hour, with a tenant and a log of this test.
struct Scene<'a> {
    store: &'a Store,
    handle: &'a Handle,
    tenant: TenantId,
    meters: ViewMeters,
    registry: prometheus::Registry,
    offset: u64,
}

impl<'a> Scene<'a> {
    fn new(store: &'a Store, handle: &'a Handle, name: &str) -> Self {
        let registry = prometheus::Registry::new();
        Self {
            store,
            handle,
            tenant: TenantId::new(name).unwrap(),
            meters: ViewMeters::register(&registry).unwrap(),
            registry,
            offset: 0,
        }
    }

    /// A new instance of the stage, as after a restart.
    fn stage(&self) -> Harness<ViewsStage> {
        let settings = ViewsSettings {
            keep: KeepEvents {
                outcomes: HumanDuration::from_hours(1),
                ..KeepEvents::default()
            },
        };
        settings.check().unwrap();
        let spec = ViewsStage::spec(&settings);
        let (store, handle, meters) = (self.store.clone(), self.handle.clone(), self.meters.clone());
        let log = self.tenant.to_string();
        let harness = Harness::new(move || {
            let stage = ViewsStage::new(store.clone(), handle.clone(), &log);
            stage.keeping(settings.keep.clone(), meters.clone())
        });
        let mut harness = harness.described_by(spec).once();
        harness.assign(topics::OUTCOMES, 0);
        harness
    }

    /// The outcome `number`, at a number of minutes, as the next record of the log.
    fn outcome(&mut self, number: i64, minutes: i64) -> RecordBuilder {
        let data = Outcome {
            detail: Some("a text that makes the row larger, so that the file has many pages ".repeat(4)),
            ..Outcome::new("acme.x", OutcomeKind::Click, format!("k{number}"))
        };
        let at = Utc::from_millis(minutes * MINUTE);
        let envelope = Envelope::new(self.tenant.clone(), format!("o{number}"), at, data);
        self.offset += 1;
        record(topics::OUTCOMES).offset(self.offset - 1).event(&envelope)
    }

    /// Outcomes of these numbers, each in the minute of its number.
    fn outcomes(&mut self, numbers: std::ops::Range<i64>) -> Vec<RecordBuilder> {
        numbers.map(|number| self.outcome(number, number)).collect()
    }

    fn count(&self) -> u64 {
        let count = self.store.count(&self.tenant, Kind::Outcome);
        self.handle.block_on(count).unwrap()
    }

    fn has(&self, number: i64) -> bool {
        let id = format!("o{number}");
        let found = self.store.by_id(&self.tenant, Kind::Outcome, &id);
        self.handle.block_on(found).unwrap().is_some()
    }

    fn metered(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        family.map_or(0.0, |family| {
            let metrics = family.get_metric().iter();
            metrics.map(|metric| metric.get_counter().get_value()).sum()
        })
    }
}

fn over_every_database(promise: impl Fn(&mut Scene<'_>)) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = folder
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .to_lowercase();
    let name = name.replace('.', "x");
    let store = runtime.block_on(Store::sqlite(folder.path())).unwrap();
    promise(&mut Scene::new(&store, runtime.handle(), &name));
    if let Ok(url) = std::env::var("LIMBIC_TEST_POSTGRES") {
        // A database of its own, because the stage deletes the old events of all tenants.
        let database = format!("limbic_retention_{}", name.replace('-', "_"));
        runtime.block_on(execute(&url, format!("CREATE DATABASE {database}")));
        let (server, _) = url.rsplit_once('/').unwrap();
        let store = runtime
            .block_on(Store::postgres(&format!("{server}/{database}")))
            .unwrap();
        promise(&mut Scene::new(&store, runtime.handle(), &name));
        runtime.block_on(store.close());
        runtime.block_on(execute(&url, format!("DROP DATABASE {database}")));
    } else {
        eprintln!(
            "\n*** SKIPPED over PostgreSQL: LIMBIC_TEST_POSTGRES is not set (scripts/services up) ***\n"
        );
    }
}

async fn execute(url: &str, statement: String) {
    let pool = sqlx::AnyPool::connect(url).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(statement))
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

#[test]
fn an_event_is_deleted_when_both_the_events_and_the_clock_say_that_it_is_old() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let events = scene.outcomes(0..150);
        stage.process(events);
        // The clock says that all events are new.
        stage.tick(Utc::from_millis(30 * MINUTE));
        assert_eq!(scene.count(), 150);
        assert!(
            scene
                .handle
                .block_on(scene.store.deleted(&scene.tenant, Kind::Outcome))
                .unwrap()
                .is_none()
        );

        // The clock says that all events are old. The median of the newest 101 events is in minute 99.
        let mut stage = scene.stage();
        stage.tick(LATE);
        assert_eq!(scene.count(), 111);
        assert!(!scene.has(38) && scene.has(39));
        assert!((scene.metered("limbic_view_deleted_total") - 39.0).abs() < 0.1);
    });
}

#[test]
fn events_with_a_wrong_time_delete_nothing() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let mut events = scene.outcomes(0..110);
        events.extend((0..40).map(|n| scene.outcome(1_000 + n, 900_000)));
        stage.process(events);
        stage.tick(LATE);
        // 61 of the newest 101 events are right: their time is in minute 59 at least.
        assert_eq!(scene.count(), 150 - (99 - 60));
    });
}

#[test]
fn pages_that_would_begin_among_deleted_events_say_so() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let events = scene.outcomes(0..150);
        stage.process(events);
        let page = |after: Option<String>| {
            let after = after.map(|cursor| cursor.parse().unwrap());
            let page = scene.store.list(&scene.tenant, Kind::Outcome, None, after, 10);
            scene.handle.block_on(page).unwrap()
        };
        let before = page(None);
        assert_eq!(before.deleted_before, None);
        stage.tick(LATE);
        let first = page(None);
        assert_eq!(first.items[0]["id"], "o39");
        assert_eq!(first.deleted_before, Some(Utc::from_millis(39 * MINUTE)));
        assert_eq!(
            page(before.next).deleted_before,
            first.deleted_before,
            "an old cursor"
        );
        assert_eq!(page(first.next).deleted_before, None);
    });
}

#[test]
fn what_was_deleted_does_not_come_back() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let events = scene.outcomes(0..150);
        stage.process(events);
        stage.tick(LATE);
        // The same events come once more, in later records of the log, to an instance that knows nothing.
        let mut stage = scene.stage();
        let again = scene.outcomes(0..150);
        stage.process(again);
        assert_eq!(scene.count(), 111);
        assert!(!scene.has(0));
        assert!((scene.metered("limbic_view_not_stored_total") - 39.0).abs() < 0.1);
        // The same tenant's events of other kinds have their own time, and another tenant's too.
        let other = TenantId::new(&format!("{}-other", scene.tenant)).unwrap();
        let deleted = |tenant, kind| scene.handle.block_on(scene.store.deleted(tenant, kind)).unwrap();
        assert!(deleted(&scene.tenant, Kind::Post).is_none() && deleted(&other, Kind::Outcome).is_none());
        assert_eq!(deleted(&scene.tenant, Kind::Outcome).unwrap().events, 39);
    });
}

#[test]
fn a_tick_deletes_a_bounded_number_of_events_and_the_next_instance_goes_on() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let events = scene.outcomes(0..6_000);
        stage.process(events);
        stage.tick(LATE);
        assert_eq!(scene.count(), 2_000);
        let mut stage = scene.stage();
        stage.tick(LATE);
        assert_eq!(scene.count(), 6_000 - (5_949 - 60));
    });
}

#[test]
fn the_sweep_finds_an_event_that_came_late() {
    over_every_database(|scene| {
        let mut stage = scene.stage();
        let mut events: Vec<RecordBuilder> = (0..1_100).map(|n| scene.outcome(n, 600)).collect();
        events.push(scene.outcome(5_000, 570));
        events.extend((2_000..2_101).map(|n| scene.outcome(n, 645)));
        stage.process(events);
        assert!(scene.has(5_000));
        for _ in 0..70 {
            stage.tick(LATE);
        }
        assert!(!scene.has(5_000));
        assert_eq!(scene.count(), 1_201);
    });
}

#[test]
fn sqlite_gives_the_space_of_deleted_events_back() {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let size = || folder.path().join("view.sqlite").metadata().unwrap().len();
    let sizes = [false, true].map(|is_deleting| {
        let store = runtime.block_on(Store::sqlite(folder.path())).unwrap();
        let mut scene = Scene::new(&store, runtime.handle(), "default");
        let mut stage = scene.stage();
        if is_deleting {
            stage.tick(LATE);
            stage.tick(LATE);
        } else {
            let events = scene.outcomes(0..6_000);
            stage.process(events);
        }
        let freed = scene.metered("limbic_view_freed_bytes_total");
        runtime.block_on(store.close());
        (size(), freed)
    });
    let [(before, _), (after, freed)] = sizes;
    assert!(after * 4 < before, "{before} bytes before, {after} after");
    assert!((before as f64 - after as f64 - freed).abs() < 0.1, "{sizes:?}");
}
