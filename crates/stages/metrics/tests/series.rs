//! Time series in SQLite, and in InfluxDB if `LIMBIC_TEST_INFLUX_URL` is set.
#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use limbic_domain::{
    Affect, ConnectionUrl, ConsentState, Decision, Distress, Envelope, HumanDuration, Label, Outcome,
    OutcomeKind, PostRef, Probability, Pseudonym, Reading, Replaced, Sentiment, Slug, TenantId, Utc, topics,
};
use limbic_metrics::{
    Embedded, Influx, InfluxOptions, MetricsSettings, MetricsStage, SeriesError, SeriesReader, SeriesStore,
    compare,
};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, Headers, Outputs, Record, Stage};
use tokio::runtime::{Handle, Runtime};

/// One store, with a tenant for this test.
struct World {
    store: Arc<dyn SeriesStore>,
    handle: Handle,
    tenant: TenantId,
    settings: MetricsSettings,
    committed: RefCell<MemoryState>,
}

impl World {
    fn stage(&self) -> MetricsStage {
        MetricsStage::new(Arc::clone(&self.store), self.handle.clone(), &self.settings).unwrap()
    }

    /// Processes a batch and the watermark after it. Returns the number of dead letters.
    fn step(&self, records: Vec<Record>, watermarks: &[(u32, i64)], commits: bool) -> usize {
        let mut stage = self.stage();
        let committed = self.committed.borrow().clone();
        let mut out = Outputs::new(&committed);
        stage.process(&Batch { records }, &mut out).unwrap();
        for (partition, at) in watermarks {
            stage
                .watermark(*partition, &self.tenant, Utc::from_millis(*at), &mut out)
                .unwrap();
        }
        let effects = out.into_effects();
        let dead = effects.dead.len();
        if commits {
            self.committed.borrow_mut().commit(&effects);
        }
        dead
    }

    fn ask(&self, measurement: &str, tag: Option<(&str, &str)>, field: &str, step: u32) -> Vec<(i64, f64)> {
        let tags = tag
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into_iter()
            .collect();
        let reader = SeriesReader::new(Arc::clone(&self.store), &self.settings);
        let (from, to) = (Utc::from_millis(T), Utc::from_millis(T + 180_000));
        let values = self
            .handle
            .block_on(reader.query(&self.tenant, measurement, &tags, field, from, to, step))
            .unwrap();
        values
            .items
            .into_iter()
            .map(|value| (value.at.as_millis() - T, value.value))
            .collect()
    }

    fn record<D: limbic_domain::Record>(&self, topic: &str, partition: u32, at: i64, data: D) -> Record {
        let at = Utc::from_millis(T + at);
        Record {
            topic: topic.into(),
            partition,
            offset: 0,
            key: Bytes::new(),
            value: Envelope::new(self.tenant.clone(), "id".into(), at, data)
                .encode()
                .into(),
            headers: Headers::new(),
            timestamp: at,
        }
    }

    fn reading(&self, partition: u32, at: i64, topic: &str, valence: f64) -> Record {
        let affect = Affect {
            sentiment: Sentiment {
                label: Label::Neutral,
                scores: BTreeMap::new(),
                compound: valence,
            },
            emotions: BTreeMap::from([("joy".to_owned(), 0.5)]),
            valence,
            arousal: 0.25,
            distress: Distress {
                score: Probability::ZERO,
                cues: Vec::new(),
                sensitive_event: Probability::ZERO,
                unread: false,
            },
            language: "en".into(),
            model: "test".into(),
            ..Affect::default()
        };
        let data = Reading {
            post: PostRef {
                network: Slug::new("p").unwrap(),
                id: "1".into(),
            },
            author: Pseudonym::new(&"a".repeat(32)).unwrap(),
            affect,
            subjects: vec![Slug::new(topic).unwrap()],
            consent: ConsentState::Given,
            minor: false,
            revision: 0,
        };
        self.record(topics::READINGS, partition, at, data)
    }

    fn outcome(&self, at: i64, kind: OutcomeKind, value: Option<f64>) -> Record {
        let decision = Decision::id_of(&Slug::new("acme").unwrap(), "m");
        let data = Outcome {
            value,
            ..Outcome::new(decision, kind, "k")
        };
        self.record(topics::OUTCOMES, 0, at, data)
    }
}

/// A full minute in 2026.
const T: i64 = 1_767_225_600_000;

fn over_every_store(settings: &MetricsSettings, promise: impl Fn(&World)) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let name = folder
        .path()
        .file_name()
        .unwrap()
        .to_string_lossy()
        .to_lowercase();
    let world = |store: Arc<dyn SeriesStore>| World {
        store,
        handle: runtime.handle().clone(),
        tenant: TenantId::new(&format!("t{}", name.replace('.', "x"))).unwrap(),
        settings: settings.clone(),
        committed: RefCell::default(),
    };
    let embedded = runtime.block_on(Embedded::open(folder.path())).unwrap();
    promise(&world(Arc::new(embedded)));
    let variable = |name: &str| std::env::var(format!("LIMBIC_TEST_INFLUX_{name}"));
    if let Ok(url) = variable("URL") {
        let options = InfluxOptions {
            url: ConnectionUrl::new(url),
            org: variable("ORG").unwrap(),
            bucket: variable("BUCKET").unwrap(),
            token: variable("TOKEN").unwrap(),
        };
        promise(&world(Arc::new(Influx::new(options).unwrap())));
    } else {
        eprintln!(
            "\n*** SKIPPED over InfluxDB: LIMBIC_TEST_INFLUX_URL is not set (scripts/services up) ***\n"
        );
    }
}

#[test]
fn the_latest_statement_of_an_outcome_counts_and_what_slid_out_is_not_added() {
    let settings = MetricsSettings {
        lateness_of_effects: HumanDuration::from_mins(10),
        ..MetricsSettings::default()
    };
    over_every_store(&settings, |world| {
        let decision = Decision::id_of(&Slug::new("acme").unwrap(), "m");
        let said = |at: i64, value: f64, replaces: Option<(f64, i64)>, withdrawn: bool| {
            let data = Outcome {
                value: Some(value),
                count: 2,
                withdrawn,
                revision: u64::from(replaces.is_some() || withdrawn),
                replaces: replaces.map(|(value, at)| Replaced {
                    kind: OutcomeKind::Conversion,
                    value: Some(value),
                    count: 2,
                    at: Utc::from_millis(T + at),
                }),
                ..Outcome::new(decision.as_str(), OutcomeKind::Conversion, "k")
            };
            world.record(topics::OUTCOMES, 0, at, data)
        };
        let minutes = |minutes: i64| minutes * 60_000;
        let asked = |field| world.ask("outcomes", Some(("campaign", "acme")), field, 60);
        let first = vec![said(1_000, 5.0, None, false), said(2_000, 1.0, None, false)];
        world.step(first, &[(0, T + minutes(2))], true);
        assert_eq!(asked("value"), [(0, 6.0)]);
        // A conversion of 5 becomes 3, and one of 1 is taken back.
        let later = vec![
            said(1_000, 3.0, Some((5.0, 1_000)), false),
            said(2_000, 1.0, Some((1.0, 2_000)), true),
        ];
        world.step(later, &[(0, T + minutes(3))], true);
        assert_eq!(asked("value"), [(0, 3.0)]);
        assert_eq!(asked("conversions"), [(0, 2.0)]);
        // Half an hour later the window is gone. A correction of it changes nothing.
        let much_later = vec![said(minutes(30), 7.0, None, false)];
        world.step(much_later, &[(0, T + minutes(32))], true);
        world.step(vec![said(1_000, 0.0, Some((3.0, 1_000)), false)], &[], true);
        assert_eq!(asked("value"), [(0, 3.0)]);
        // What it corrects is not known any more: it is not added to the window of its own time either.
        world.step(vec![said(minutes(31), 9.0, None, true)], &[], true);
        let reader = SeriesReader::new(Arc::clone(&world.store), &world.settings);
        let tags = [("campaign".to_owned(), "acme".to_owned())].into();
        let (from, to) = (T + minutes(30), T + minutes(33));
        let (from, to) = (Utc::from_millis(from), Utc::from_millis(to));
        let query = reader.query(&world.tenant, "outcomes", &tags, "value", from, to, 60);
        let values = world.handle.block_on(query).unwrap();
        assert_eq!(
            values.items.iter().map(|value| value.value).collect::<Vec<_>>(),
            [7.0]
        );
    });
}

/// While a stage catches up, decisions of one partition are hours apart in event time.
#[test]
fn an_outcome_that_is_hours_behind_another_one_is_counted() {
    over_every_store(&MetricsSettings::default(), |world| {
        let hours = |hours: i64| hours * 3_600_000;
        let click = |at| world.outcome(at, OutcomeKind::Click, None);
        world.step(vec![click(hours(9))], &[(0, T + hours(10))], true);
        world.step(vec![click(1_000)], &[], true);
        world.step(vec![], &[(0, T + hours(11))], true);
        let asked = world.ask("outcomes", Some(("campaign", "acme")), "clicks", 60);
        assert_eq!(asked, [(0, 1.0)]);
    });
}

#[test]
fn partitions_add_up_and_means_are_of_records_not_of_windows() {
    over_every_store(&MetricsSettings::default(), |world| {
        let records = vec![
            world.reading(0, 1_000, "tea", 0.5),
            world.reading(0, 2_000, "tea", 0.5),
            world.reading(1, 3_000, "tea", -0.4),
            world.reading(1, 12_000, "rain", -1.0),
        ];
        world.step(records, &[(0, T + 120_000), (1, T + 120_000)], true);
        assert_eq!(
            world.ask("emotion", Some(("subject", "tea")), "count", 10),
            [(0, 3.0)]
        );
        let valence = world.ask("emotion", Some(("subject", "tea")), "valence", 10);
        assert!((valence[0].1 - 0.2).abs() < 1e-9, "{valence:?}");
        assert_eq!(
            world.ask("emotion_all", None, "count", 10),
            [(0, 3.0), (10_000, 1.0)]
        );
        assert_eq!(world.ask("emotion_all", None, "count", 60), [(0, 4.0)]);
        assert_eq!(world.ask("emotion_all", None, "emotion.joy", 60), [(0, 0.5)]);
        assert_eq!(
            world.ask("emotion", Some(("subject", "none-such")), "count", 10),
            []
        );
    });
}

#[test]
fn a_replay_doubles_nothing_and_a_correction_replaces_the_point() {
    over_every_store(&MetricsSettings::default(), |world| {
        let batch = || {
            vec![
                world.reading(0, 1_000, "tea", 0.5),
                world.reading(0, 2_000, "tea", 0.5),
            ]
        };
        // The points are written, but the log's commit was lost: the same records are processed again.
        world.step(batch(), &[(0, T + 20_000)], false);
        world.step(batch(), &[(0, T + 20_000)], true);
        assert_eq!(world.ask("emotion", None, "count", 10), [(0, 2.0)]);
        // The record is late and no watermark advances, so the correction does not wait for one.
        world.step(vec![world.reading(0, 3_000, "tea", -1.0)], &[], true);
        assert_eq!(world.ask("emotion", None, "count", 10), [(0, 3.0)]);
        assert_eq!(world.ask("emotion", None, "valence", 10), [(0, 0.0)]);
    });
}

#[test]
fn what_older_series_lack_of_the_windows_in_the_state_is_named() {
    let settings = MetricsSettings::default();
    over_every_store(&settings, |world| {
        let folder = tempfile::tempdir().unwrap();
        let older = World {
            store: Arc::new(world.handle.block_on(Embedded::open(folder.path())).unwrap()),
            handle: world.handle.clone(),
            tenant: world.tenant.clone(),
            settings: world.settings.clone(),
            committed: RefCell::default(),
        };
        let compared = |store: &World| {
            let state = world.committed.borrow();
            compare(&*store.store, &*state, &world.settings, 2, &world.handle)
                .unwrap()
                .result
        };
        for world in [world, &older] {
            let readings = [(0, 1_000, "tea"), (1, 2_000, "tea"), (1, 3_000, "rain")];
            let readings =
                readings.map(|(partition, at, subject)| world.reading(partition, at, subject, 0.5));
            world.step(readings.to_vec(), &[(0, T + 120_000), (1, T + 120_000)], true);
        }
        for store in [world, &older] {
            let found = compared(store).unwrap();
            assert!(found.contains("windows") && !found.starts_with("0 "), "{found}");
        }
        // What comes after the backup: a late record of a window that it has, and one window more.
        world.step(
            vec![world.reading(1, 4_000, "tea", 0.5)],
            &[(1, T + 120_000)],
            true,
        );
        compared(world).unwrap();
        let problem = compared(&older).unwrap_err();
        assert!(
            problem.contains("2 records instead of 3") || problem.contains("1 records instead of 2"),
            "{problem}"
        );
        let outcome = world.outcome(5_000, OutcomeKind::Click, None);
        world.step(vec![outcome], &[(0, T + 120_000)], true);
        compared(world).unwrap();
        let problem = compared(&older).unwrap_err();
        assert!(
            problem.contains("older backup") && problem.contains("in partition"),
            "{problem}"
        );
    });
}

#[test]
fn rare_records_count_although_readings_are_hours_ahead() {
    over_every_store(&MetricsSettings::default(), |world| {
        // A fast replay: hours of readings are processed before the first outcome arrives.
        let hours = 6 * 3_600_000;
        world.step(vec![world.reading(0, hours, "tea", 0.5)], &[(0, T + hours)], true);
        let click = |at| world.outcome(at, OutcomeKind::Click, None);
        world.step(vec![click(1_000), click(31_000)], &[(0, T + hours)], true);
        world.step(vec![click(2_000)], &[], true);
        assert_eq!(
            world.ask("outcomes", None, "clicks", 10),
            [(0, 2.0), (30_000, 1.0)]
        );
    });
}

#[test]
fn outcomes_count_for_the_campaign_that_their_decision_names() {
    over_every_store(&MetricsSettings::default(), |world| {
        let mut broken = world.outcome(1_000, OutcomeKind::Click, None);
        broken.value = Bytes::from_static(b"{\xff");
        let records = vec![
            world.outcome(1_000, OutcomeKind::Click, None),
            broken,
            world.outcome(2_000, OutcomeKind::Conversion, Some(12.5)),
        ];
        assert_eq!(world.step(records, &[(0, T + 20_000)], true), 1);
        let campaign = Some(("campaign", "acme"));
        assert_eq!(world.ask("outcomes", campaign, "clicks", 10), [(0, 1.0)]);
        assert_eq!(world.ask("outcomes", campaign, "value", 10), [(0, 12.5)]);
        assert_eq!(world.ask("outcomes", campaign, "impressions", 10), []);
    });
}

#[test]
fn too_many_subjects_are_counted_together() {
    let settings = MetricsSettings {
        most_groups: 2,
        ..MetricsSettings::default()
    };
    over_every_store(&settings, |world| {
        let records = ["a", "b", "c", "d", "a"].map(|topic| world.reading(0, 1_000, topic, 0.0));
        world.step(records.into(), &[(0, T + 20_000)], true);
        assert_eq!(
            world.ask("emotion", Some(("subject", "a")), "count", 10),
            [(0, 2.0)]
        );
        assert_eq!(
            world.ask("emotion", Some(("subject", "other")), "count", 10),
            [(0, 2.0)]
        );
        assert_eq!(
            world.ask("emotion", Some(("subject", "other")), "folded", 10),
            [(0, 2.0)]
        );
        assert_eq!(world.ask("emotion", Some(("subject", "c")), "count", 10), []);
    });
}

#[test]
fn an_invalid_query_is_refused_with_a_correction() {
    over_every_store(&MetricsSettings::default(), |world| {
        let reader = SeriesReader::new(Arc::clone(&world.store), &world.settings);
        let ask = |measurement: &str, to: i64, step: u32| {
            let (from, to) = (Utc::from_millis(T), Utc::from_millis(to));
            let tags = BTreeMap::new();
            let answer = reader.query(&world.tenant, measurement, &tags, "count", from, to, step);
            world.handle.block_on(answer)
        };
        for (measurement, to, step) in [
            ("emotion", T + 1, 7),
            ("emotion", T, 10),
            ("x", T + 1, 10),
            ("emotion", T + 1, 0),
        ] {
            assert!(
                matches!(ask(measurement, to, step), Err(SeriesError::BadQuery(_))),
                "{measurement} {step}"
            );
        }
    });
}

#[test]
fn quotes_and_spaces_in_a_tag_are_escaped() {
    over_every_store(&MetricsSettings::default(), |world| {
        let series = limbic_metrics::Series {
            tenant: world.tenant.clone(),
            measurement: "emotion".into(),
            tags: BTreeMap::from([
                ("subject".to_owned(), "a\"b, c=${d}".to_owned()),
                ("window".to_owned(), "10s".to_owned()),
            ]),
        };
        let point = limbic_metrics::Point {
            series: Arc::new(series),
            fields: vec![("count".into(), 7.0)],
            at: Utc::from_millis(T),
        };
        world.handle.block_on(world.store.write(&[point])).unwrap();
        assert_eq!(
            world.ask("emotion", Some(("subject", "a\"b, c=${d}")), "count", 10),
            [(0, 7.0)]
        );
        assert_eq!(
            world.ask("emotion", Some(("subject", "\" or true or \"")), "count", 10),
            []
        );
    });
}

#[test]
fn influxdb_says_what_the_retention_of_its_bucket_deletes() {
    let variable = |name: &str| std::env::var(format!("LIMBIC_TEST_INFLUX_{name}"));
    let Ok(url) = variable("URL") else {
        eprintln!("\n*** SKIPPED: LIMBIC_TEST_INFLUX_URL is not set (scripts/services up) ***\n");
        return;
    };
    let (org, token) = (variable("ORG").unwrap(), variable("TOKEN").unwrap());
    let runtime = Runtime::new().unwrap();
    let client = reqwest::Client::new();
    let authorization = format!("Token {token}");
    let call = |request: reqwest::RequestBuilder| {
        let answer = runtime.block_on(request.header("Authorization", &authorization).send());
        let answer = answer.unwrap().error_for_status().unwrap();
        let text = runtime.block_on(answer.text()).unwrap();
        serde_json::from_str::<serde_json::Value>(&text).unwrap_or_default()
    };
    let orgs = call(client.get(format!("{url}/api/v2/orgs?org={org}")));
    let bucket = format!("retention-{}", std::process::id());
    let wanted = serde_json::json!({"orgID": orgs["orgs"][0]["id"], "name": bucket,
        "retentionRules": [{"type": "expire", "everySeconds": 7_200}]});
    let created = call(
        client
            .post(format!("{url}/api/v2/buckets"))
            .body(wanted.to_string()),
    );

    let store = Influx::new(InfluxOptions {
        url: ConnectionUrl::new(url.clone()),
        org,
        bucket,
        token: token.clone(),
    });
    let store = store.unwrap();
    let keep = runtime.block_on(store.own_retention()).unwrap();
    assert_eq!(keep, Some(HumanDuration::from_hours(2)));
    let tenant = TenantId::default();
    let before = runtime
        .block_on(store.deleted_before(&tenant, "emotion"))
        .unwrap();
    assert!(before.is_some_and(|before| before < Utc::now()));
    call(client.delete(format!(
        "{url}/api/v2/buckets/{}",
        created["id"].as_str().unwrap()
    )));
}
