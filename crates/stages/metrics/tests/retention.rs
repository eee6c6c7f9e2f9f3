//! Old points leave the embedded series.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use limbic_domain::{HumanDuration, TenantId, Utc};
use limbic_metrics::{
    Embedded, KeepPoints, MetricsSettings, MetricsStage, Point, Series, SeriesMeters, SeriesReader,
    SeriesStore, Values,
};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Outputs, Stage as _};
use tokio::runtime::Runtime;

const MINUTE: i64 = 60_000;
/// A clock that is ahead of every point.
const LATE: Utc = Utc::from_millis(1_000_000 * MINUTE);

/// Series that keep the emotions of subjects for an hour.
struct Scene {
    runtime: Runtime,
    store: Arc<dyn SeriesStore>,
    settings: MetricsSettings,
    registry: prometheus::Registry,
    meters: SeriesMeters,
}

impl Scene {
    fn open(folder: &Path) -> Self {
        let runtime = Runtime::new().unwrap();
        let store = runtime.block_on(Embedded::open(folder)).unwrap();
        let registry = prometheus::Registry::new();
        Self {
            runtime,
            store: Arc::new(store),
            settings: MetricsSettings {
                keep: KeepPoints {
                    emotion: HumanDuration::from_hours(1),
                    ..KeepPoints::default()
                },
                ..MetricsSettings::default()
            },
            meters: SeriesMeters::register(&registry).unwrap(),
            registry,
        }
    }

    /// A new instance, as after a restart.
    fn stage(&self) -> MetricsStage {
        let handle = self.runtime.handle().clone();
        let stage = MetricsStage::new(Arc::clone(&self.store), handle, &self.settings).unwrap();
        stage.metered(self.meters.clone())
    }

    /// Writes a point with the count 1 at each of these minutes.
    fn write(&self, measurement: &str, minutes: std::ops::Range<i64>) {
        let series = Arc::new(Series {
            tenant: TenantId::default(),
            measurement: measurement.to_owned(),
            tags: BTreeMap::from([("window".to_owned(), "60s".to_owned())]),
        });
        let points: Vec<Point> = minutes
            .map(|minute| Point {
                series: Arc::clone(&series),
                fields: vec![("count".into(), 1.0), ("a field with a long name".into(), 1.0)],
                at: Utc::from_millis(minute * MINUTE),
            })
            .collect();
        self.runtime.block_on(self.store.write(&points)).unwrap();
    }

    fn ask(&self, measurement: &str, minutes: std::ops::Range<i64>) -> Values {
        let reader = SeriesReader::new(Arc::clone(&self.store), &self.settings);
        let (from, to) = (minutes.start * MINUTE, minutes.end * MINUTE);
        let (tenant, tags) = (TenantId::default(), BTreeMap::new());
        let answer = reader.query(
            &tenant,
            measurement,
            &tags,
            "count",
            Utc::from_millis(from),
            Utc::from_millis(to),
            60,
        );
        self.runtime.block_on(answer).unwrap()
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

fn tick(stage: &mut MetricsStage, now: Utc) {
    let nothing = MemoryState::default();
    stage.tick(&[0], now, &mut Outputs::new(&nothing)).unwrap();
}

#[test]
fn a_point_is_deleted_when_both_the_points_and_the_clock_say_that_it_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::open(folder.path());
    for measurement in ["emotion", "emotion_all"] {
        scene.write(measurement, 0..300);
    }
    tick(&mut scene.stage(), Utc::from_millis(30 * MINUTE));
    let all = scene.ask("emotion", 0..300);
    assert_eq!((all.items.len(), all.deleted_before), (300, None));

    tick(&mut scene.stage(), LATE);
    let rest = scene.ask("emotion", 0..300);
    let before = Utc::from_millis(239 * MINUTE);
    assert_eq!((rest.items.len(), rest.deleted_before), (61, Some(before)));
    assert_eq!(rest.items[0].at, before);
    assert_eq!(scene.ask("emotion", 239..300).deleted_before, None);
    let other = scene.ask("emotion_all", 0..300);
    assert_eq!((other.items.len(), other.deleted_before), (300, None));
    assert!((scene.metered("limbic_series_deleted_total") - 239.0).abs() < 0.1);
}

#[test]
fn what_was_deleted_does_not_come_back_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::open(folder.path());
    scene.write("emotion", 0..300);
    tick(&mut scene.stage(), LATE);
    scene.write("emotion", 200..300);
    assert_eq!(scene.ask("emotion", 0..300).items.len(), 61);
    scene.runtime.block_on(scene.store.close()).unwrap();

    let scene = Scene::open(folder.path());
    scene.write("emotion", 200..300);
    let rest = scene.ask("emotion", 0..300);
    assert_eq!(rest.items.len(), 61);
    assert_eq!(rest.deleted_before, Some(Utc::from_millis(239 * MINUTE)));
}

#[test]
fn a_tick_deletes_a_bounded_number_of_points_and_the_file_shrinks() {
    let folder = tempfile::tempdir().unwrap();
    let size = || folder.path().join("series.sqlite").metadata().unwrap().len();
    let scene = Scene::open(folder.path());
    scene.write("emotion", 0..9_900);
    scene.runtime.block_on(scene.store.close()).unwrap();
    let before = size();

    let scene = Scene::open(folder.path());
    let mut stage = scene.stage();
    tick(&mut stage, LATE);
    assert_eq!(scene.ask("emotion", 0..9_900).items.len(), 1_900);
    tick(&mut stage, LATE);
    assert_eq!(scene.ask("emotion", 0..9_900).items.len(), 61);
    scene.runtime.block_on(scene.store.close()).unwrap();
    assert!(size() * 4 < before, "{before} bytes before, {} after", size());
    assert!(scene.metered("limbic_series_freed_bytes_total") > 0.0);
}

#[test]
fn settings_that_would_delete_at_once_are_refused() {
    let keep = KeepPoints {
        moments: HumanDuration::from_mins(5),
        ..KeepPoints::default()
    };
    let settings = MetricsSettings {
        keep,
        ..MetricsSettings::default()
    };
    let refused = settings.check().unwrap_err().to_string();
    assert!(
        refused.contains("metrics.keep.moments = 5m") && refused.contains("1h"),
        "{refused}"
    );
    let settings = MetricsSettings {
        windows: vec![HumanDuration::from_days(7)],
        keep: KeepPoints {
            moments: HumanDuration::from_days(3),
            ..KeepPoints::default()
        },
        ..MetricsSettings::default()
    };
    let refused = settings.check().unwrap_err().to_string();
    assert!(refused.contains("7d"), "{refused}");
}
