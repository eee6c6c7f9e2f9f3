//! The tests of [`stage`](super).

use limbic_stream::testing::MemoryState;

use super::*;
use crate::Embedded;
use crate::names::name;
use crate::point::Query;
use crate::sums::Fields;

#[test]
fn only_readings_hold_windows_open() {
    let inputs = MetricsStage::spec(&MetricsSettings::default()).inputs;
    let holding = inputs
        .iter()
        .filter(|input| matches!(input.time, EventTime::Records { .. }));
    assert_eq!(
        holding.map(|input| &*input.topic).collect::<Vec<_>>(),
        [topics::READINGS]
    );
}

/// The same state as programs wrote it that had one event time for all tenants.
fn former(state: &MemoryState) -> MemoryState {
    let mut former = MemoryState::default();
    for (partition, key, value) in state.entries() {
        let place = key.iter().position(|byte| *byte == 0).unwrap() + 1;
        let (name, rest) = key.split_at(place);
        let key = match rest[0] {
            b'u' => {
                let timer = &rest[rest.iter().position(|byte| *byte == 0).unwrap() + 1..];
                [name, b"t", timer].concat()
            }
            b'v' => [name, b"w"].concat(),
            b'p' => [name, b"o"].concat(),
            _ => key.to_vec(),
        };
        former.put(partition, key, value.clone());
    }
    former
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_sums_of_all_readings_go_on_where_an_older_program_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let store = Arc::new(Embedded::open(folder.path()).await.unwrap());
    let settings = MetricsSettings::default();
    let handle = Handle::current();
    let mut stage = MetricsStage::new(store.clone(), handle, &settings).unwrap();

    // An older program had windows of their own for all readings, in a group `all`.
    let mut committed = MemoryState::default();
    let mut out = Outputs::new(&committed);
    let of_all = stage.kept.iter().filter_map(|kept| kept.of_all.as_ref());
    let of_subjects = stage.kept.iter().filter(|kept| kept.of_all.is_some());
    for (windows, group) in of_all
        .map(|windows| (windows, "all"))
        .chain(of_subjects.map(|kept| (&kept.windows, "tea")))
    {
        let entry = Entry {
            groups: vec![name(group)],
            fields: Fields::new([(name("count"), 2.0)]),
            most: 9,
        };
        windows
            .add(
                &mut out,
                0,
                &TenantId::default(),
                b"default",
                Utc::from_millis(1_000),
                &entry,
            )
            .unwrap();
    }
    let effects = out.into_effects();
    committed.commit(&effects);
    let mut committed = former(&committed);

    let (stage, committed) = tokio::task::spawn_blocking(move || {
        let mut out = Outputs::new(&committed);
        let tenant = TenantId::default();
        assert_eq!(
            stage.divide_time(0, &mut out).unwrap(),
            std::slice::from_ref(&tenant)
        );
        let watermark = Utc::from_millis(100_000);
        stage.watermark(0, &tenant, watermark, &mut out).unwrap();
        let effects = out.into_effects();
        committed.commit(&effects);
        (stage, committed)
    })
    .await
    .unwrap();
    for (measurement, window) in [("emotion", "10s"), ("emotion_all", "10s"), ("emotion_all", "60s")] {
        let query = Query {
            tenant: TenantId::default(),
            measurement: measurement.to_owned(),
            tags: BTreeMap::from([("window".to_owned(), window.to_owned())]),
            fields: vec!["count".to_owned()],
            from: Utc::from_millis(0),
            to: Utc::from_millis(60_000),
            step: 60_000,
        };
        let sums = store.sums(&query).await.unwrap();
        let count = BTreeMap::from([("count".to_owned(), 2.0)]);
        assert_eq!(sums, BTreeMap::from([(0, count)]), "{measurement} {window}");
    }
    drop(stage);
    assert_eq!(
        committed
            .keys()
            .filter(|key| key.starts_with(b"emotion_all"))
            .count(),
        0
    );
}
