//! A record that is not valid goes to the dead-letter topic unchanged, and the stream continues.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod kit;

use bytes::Bytes;
use kit::{commit, reading, record, write};
use limbic_domain::{
    Affect, ConsentState, Deletion, Distress, Entity, EntityKind, Envelope, Feeling, Intent, IntentKind,
    Probability, Reading, Slug, TenantId, Utc, Withdrawal, topics,
};
use limbic_profile::{AUDIENCES, InvalidSetting, MomentStage, PEOPLE, ProfileStage, Segment, Settings};
use limbic_stream::testing::{Harness, MemoryState};
use limbic_stream::{Batch, Effects, NewRecord, Record, Stage};

const DAY: i64 = 86_400_000;

fn at(millis: i64) -> Utc {
    Utc::from_millis(1_700_000_000_000 + millis)
}

fn plain(id: &str) -> Envelope<Reading> {
    reading("ada", id, at(0), 0.5, &["tea"])
}

fn as_record(topic: &str, value: impl Into<Bytes>) -> Record {
    let mut written = write(&plain("1"));
    written.value = value.into();
    record(topic, 0, 7, written)
}

/// Processes the records as one batch of partition 0.
fn profile(memory: &mut MemoryState, records: Vec<Record>) -> Effects {
    let mut stage = ProfileStage::new(&Settings::default()).unwrap();
    commit(memory, |out| stage.process(&Batch { records }, out).unwrap())
}

fn profile_one(memory: &mut MemoryState, reading: &Envelope<Reading>) -> Envelope<Feeling> {
    let effects = profile(memory, vec![record(topics::READINGS, 0, 0, write(reading))]);
    Envelope::decode(&effects.records[0].1.value).unwrap()
}

fn feeling() -> Envelope<Feeling> {
    profile_one(&mut MemoryState::default(), &plain("1"))
}

/// Values that no engine writes, with the reason for which each is refused.
fn broken(good: &serde_json::Value, kind: &'static str) -> Vec<(Vec<u8>, &'static str)> {
    let with = |pointer: &str, value: serde_json::Value| {
        let mut broken = good.clone();
        *broken.pointer_mut(pointer).unwrap() = value;
        serde_json::to_vec(&broken).unwrap()
    };
    let bytes = serde_json::to_vec(good).unwrap();
    vec![
        (Vec::new(), "malformed"),
        (bytes[..bytes.len() / 2].to_vec(), "malformed"),
        (b"\xff\xfe{}".to_vec(), "malformed"),
        (with("/at", "yesterday".into()), "malformed"),
        (with("/tenant", "../etc".into()), "malformed"),
        (with("/data/valence", "high".into()), "malformed"),
        (with("/type", "outcome".into()), "wrong_type"),
        (with("/v", 99.into()), "too_new"),
        (with("/data/valence", 1.5.into()), "out_of_range"),
        (with("/data/valence", 1e308.into()), "out_of_range"),
        (with("/data/arousal", (-0.1).into()), "out_of_range"),
        (
            with("/data/emotions", serde_json::json!({"joy": 7})),
            "out_of_range",
        ),
        (
            with("/data/emotions", serde_json::json!({"x".repeat(1_000_000): 0.5})),
            "out_of_range",
        ),
        (with("/data/post/id", "x".repeat(513).into()), "out_of_range"),
        (with("/data/post/id", "".into()), "out_of_range"),
        (with("/id", "x".repeat(65).into()), "out_of_range"),
        (with("/type", format!("{kind}s").into()), "wrong_type"),
    ]
}

fn check_dead(stage: &mut dyn Stage, topic: &str, good: &serde_json::Value, kind: &'static str) {
    let broken = broken(good, kind);
    let mut records = Vec::new();
    for (value, _) in &broken {
        records.push(as_record(topic, value.clone()));
        records.push(as_record(topic, serde_json::to_vec(good).unwrap()));
    }
    let mut memory = MemoryState::default();
    let effects = commit(&mut memory, |out| stage.process(&Batch { records }, out).unwrap());
    assert_eq!(effects.dead.len(), broken.len());
    for (dead, (value, reason)) in effects.dead.iter().zip(&broken) {
        let shown = String::from_utf8_lossy(value)
            .chars()
            .take(200)
            .collect::<String>();
        assert_eq!(dead.reason, *reason, "{}: {shown}", dead.detail);
        assert_eq!(dead.record.value, value, "untouched");
        assert!(dead.detail.len() < 400, "{}", dead.detail);
    }
    assert!(!memory.is_empty(), "the good ones were done");
}

#[test]
fn a_broken_reading_goes_to_the_dead_letters_and_the_stream_goes_on() {
    let good = serde_json::to_value(plain("1")).unwrap();
    let mut stage = ProfileStage::new(&Settings::default()).unwrap();
    check_dead(&mut stage, topics::READINGS, &good, "reading");
}

#[test]
fn a_broken_feeling_goes_to_the_dead_letters_and_the_stream_goes_on() {
    let good = serde_json::to_value(feeling()).unwrap();
    let mut stage = MomentStage::new(&Settings::default()).unwrap();
    check_dead(&mut stage, topics::FEELINGS, &good, "feeling");
}

#[test]
fn a_reading_of_too_many_subjects_is_refused() {
    let mut flood = plain("1");
    flood.data.subjects = (0..17).map(|n| Slug::new(&format!("t{n}")).unwrap()).collect();
    let effects = profile(
        &mut MemoryState::default(),
        vec![record(topics::READINGS, 0, 0, write(&flood))],
    );
    assert_eq!(effects.dead[0].reason, "out_of_range");
    assert!(effects.records.is_empty() && effects.state.is_empty());
}

#[test]
fn ancient_and_future_dates_keep_every_number_finite() {
    let mut memory = MemoryState::default();
    let dates = [
        "-009999-01-02T01:59:59Z",
        "9999-12-30T22:00:00Z",
        "1970-01-01T00:00:00Z",
        "2026-11-21T09:00:00Z",
    ];
    for (place, date) in dates.iter().enumerate() {
        let mut odd = plain(&place.to_string());
        odd.at = date.parse().unwrap();
        let felt = profile_one(&mut memory, &odd);
        assert!((felt.data.person.valence - 0.5).abs() < 1e-9, "{date}");
        assert!(Envelope::<Feeling>::decode(&felt.encode()).is_ok());
    }
    let mut moments = MomentStage::new(&Settings::default()).unwrap();
    let mut kept = MemoryState::default();
    for date in dates {
        let mut odd = feeling();
        odd.at = date.parse().unwrap();
        let records = vec![as_record(topics::FEELINGS, odd.encode())];
        commit(&mut kept, |out| moments.process(&Batch { records }, out).unwrap());
    }
    commit(&mut kept, |out| {
        moments.watermark(0, &TenantId::default(), Utc::MAX, out).unwrap();
    });
    assert_eq!(kept.keys().filter(|key| key[0] == b'f').count(), 0);
}

#[test]
fn damaged_state_is_our_fault_and_not_the_records() {
    let mut harness = Harness::new(|| ProfileStage::new(&Settings::default()).unwrap());
    harness.process([record(topics::READINGS, 0, 0, write(&plain("1")))]);
    let person = harness.state().keys().find(|key| key[0] == b'p').unwrap().clone();
    harness.state_mut().put(0, person, &[1, 2, 3][..]);
    let error = harness
        .try_process([record(topics::READINGS, 0, 1, write(&plain("2")))])
        .unwrap_err();
    assert_eq!(error.fault, limbic_domain::Fault::Internal);
}

#[test]
fn distress_weighs_for_days_and_fades_by_half_lives() {
    let mut memory = MemoryState::default();
    let mut cry = plain("1");
    cry.data.affect.distress = Distress {
        score: Probability::new(0.8).unwrap(),
        cues: vec!["grief".into()],
        sensitive_event: Probability::ZERO,
        unread: false,
    };
    assert!((profile_one(&mut memory, &cry).data.person.distress - 0.8).abs() < 1e-12);
    let mut later = plain("2");
    later.at = at(3 * DAY);
    assert!((profile_one(&mut memory, &later).data.person.distress - 0.4).abs() < 1e-12);
    // A late cue has the decayed value that it would have by now.
    let mut late = cry.clone();
    late.at = at(-3 * DAY);
    assert!((profile_one(&mut memory, &late).data.person.distress - 0.4).abs() < 1e-12);
}

#[test]
fn an_edit_and_a_deleted_post_change_no_mood_and_an_account_that_is_gone_is_forgotten() {
    let deletion = |id: Option<&str>| {
        let author = plain("1").data.author;
        let network = Slug::new("bluesky").unwrap();
        let data = Deletion {
            network,
            id: id.map(str::to_owned),
            author,
            deleted_at: at(1),
        };
        Envelope::new(TenantId::default(), "d".to_owned(), at(1), data)
    };
    let deleted = |id| {
        let envelope = deletion(id);
        let mut new = write(&plain("1"));
        new.value = envelope.encode().into();
        new
    };
    let mut harness = Harness::new(|| ProfileStage::new(&Settings::default()).unwrap());
    harness.process([record(topics::READINGS, 0, 0, write(&plain("1")))]);
    let known = |harness: &Harness<ProfileStage>| {
        let person = harness.state().keys().find(|key| key[0] == b'p')?;
        limbic_stream::StateReader::get(harness.state(), 0, person).unwrap()
    };
    let before = known(&harness);
    assert!(before.is_some());
    let mut edit = plain("1");
    edit.data.revision = 2;
    edit.data.affect.valence = -1.0;
    let feelings = |harness: &Harness<ProfileStage>| harness.events::<Feeling>(topics::FEELINGS).len();
    let written = feelings(&harness);
    harness.process([
        record(topics::READINGS, 0, 1, write(&edit)),
        record(topics::READINGS, 0, 2, deleted(Some("1"))),
    ]);
    assert_eq!((known(&harness), feelings(&harness)), (before, written));
    // In the same batch as a post, and alone.
    harness.process([
        record(topics::READINGS, 0, 3, write(&plain("3"))),
        record(topics::READINGS, 0, 4, deleted(None)),
    ]);
    assert_eq!(known(&harness), None);
    assert!(harness.dead_letters().is_empty());
    // Somebody who may be a minor stays known as such: the account may come back.
    let mut minor = plain("5");
    minor.data.minor = true;
    harness.process([record(topics::READINGS, 0, 5, write(&minor))]);
    harness.process([record(topics::READINGS, 0, 6, deleted(None))]);
    assert!(known(&harness).is_some());
}

fn deletion(author: &str, millis: i64) -> Record {
    let of = reading(author, "1", at(0), 0.5, &["tea"]);
    let data = Deletion {
        network: Slug::new("bluesky").unwrap(),
        id: Some("1".to_owned()),
        author: of.data.author.clone(),
        deleted_at: at(millis),
    };
    let mut new = write(&of);
    let envelope = Envelope::new(TenantId::default(), "d".to_owned(), at(millis), data);
    new.value = envelope.encode().into();
    record(topics::READINGS, 0, 9, new)
}

/// The keys in the topic of withdrawals, as a table of it would have them.
fn withdrawn(harness: &Harness<ProfileStage>) -> Vec<String> {
    let mut table = std::collections::BTreeMap::new();
    for (_, new) in harness.outputs() {
        if &*new.topic == topics::WITHDRAWALS {
            let key = String::from_utf8(new.key.to_vec()).unwrap();
            if new.value.is_empty() {
                assert!(table.remove(&key).is_some(), "{key} is removed once");
            } else {
                let withdrawal = Envelope::<Withdrawal>::decode(&new.value).unwrap();
                assert_eq!(Withdrawal::key(&withdrawal.tenant, &withdrawal.data.person), key);
                table.insert(key, withdrawal);
            }
        }
    }
    table.into_keys().collect()
}

#[test]
fn who_deletes_a_post_is_withdrawn_for_an_hour_after_the_last_deletion() {
    const HOUR: i64 = Withdrawal::LASTS_MILLIS;
    let mut harness = Harness::new(|| ProfileStage::new(&Settings::default()).unwrap());
    harness.process([deletion("ada", 0)]);
    assert_eq!(withdrawn(&harness), [""; 0], "nobody knows her");
    harness.process([
        record(topics::READINGS, 0, 0, write(&plain("1"))),
        deletion("ada", 1),
        deletion("ada", 1),
    ]);
    let key = Withdrawal::key(&TenantId::default(), &plain("1").data.author);
    assert_eq!(withdrawn(&harness), [key.as_str()]);
    harness.watermark(0, at(HOUR));
    assert_eq!(withdrawn(&harness), [key.as_str()]);
    harness.process([deletion("ada", 30 * 60_000)]);
    harness.watermark(0, at(HOUR + 1));
    assert_eq!(withdrawn(&harness), [key.as_str()], "she deleted another one");
    harness.restart();
    harness.watermark(0, at(HOUR + 30 * 60_000));
    assert_eq!(withdrawn(&harness), [""; 0]);
    assert!(
        harness.state().keys().all(|key| !matches!(key[0], b'w' | b'v')),
        "nothing is left"
    );
}

/// The audiences that the feelings of a batch go to, and whether they only protect there.
fn written(memory: &mut MemoryState, reading: &Envelope<Reading>) -> Vec<(String, bool)> {
    let effects = profile(memory, vec![record(topics::READINGS, 0, 0, write(reading))]);
    let written = effects.records.iter().map(|(_, new)| {
        let feeling = Envelope::<Feeling>::decode(&new.value).unwrap().data;
        (feeling.audience.to_string(), feeling.protects)
    });
    written.collect()
}

#[test]
fn a_protection_is_written_to_all_recent_audiences() {
    let here = |audience: &str| (audience.to_owned(), false);
    let elsewhere = |audience: &str| (audience.to_owned(), true);
    let mut memory = MemoryState::default();
    assert_eq!(
        written(&mut memory, &reading("ada", "1", at(0), 0.5, &["music"])),
        [here("everyone:music")]
    );
    assert_eq!(
        written(&mut memory, &reading("ada", "2", at(1), 0.5, &["tea"])),
        [here("everyone:tea")]
    );
    let mut cry = reading("ada", "3", at(2), -0.5, &["rain"]);
    cry.data.affect.distress = Distress {
        score: Probability::new(0.8).unwrap(),
        cues: vec!["grief".into()],
        sensitive_event: Probability::ZERO,
        unread: false,
    };
    let expected = [
        here("everyone:rain"),
        elsewhere("everyone:music"),
        elsewhere("everyone:tea"),
    ];
    assert_eq!(written(&mut memory, &cry), expected);

    let mut no = reading("bea", "4", at(3), 0.5, &["tea"]);
    no.data.consent = ConsentState::Given;
    written(&mut memory, &no);
    no.data.consent = ConsentState::Denied;
    (no.at, no.data.subjects) = (at(4), vec![Slug::new("music").unwrap()]);
    assert_eq!(
        written(&mut memory, &no),
        [here("everyone:music"), elsewhere("everyone:tea")]
    );
    // An audience whose moments cannot reach the person any more does not receive the protection.
    no.at = at(30 * DAY);
    no.data.minor = true;
    no.data.subjects = vec![Slug::new("rain").unwrap()];
    assert_eq!(written(&mut memory, &no), [here("everyone:rain")]);
}

#[test]
fn a_no_and_a_minor_outlive_the_expiry_and_nothing_else_does() {
    let mut memory = MemoryState::default();
    let mut no = plain("1");
    no.data.consent = ConsentState::Denied;
    profile_one(&mut memory, &no);
    let mut plain_person = reading("bob", "2", at(0), 0.5, &[]);
    plain_person.data.consent = ConsentState::Given;
    profile_one(&mut memory, &plain_person);
    let mut stage = ProfileStage::new(&Settings::default()).unwrap();
    commit(&mut memory, |out| {
        stage
            .watermark(0, &TenantId::default(), at(90 * DAY), out)
            .unwrap();
    });
    assert_eq!(memory.keys().filter(|key| key[0] == b'p').count(), 2, "not yet");
    commit(&mut memory, |out| {
        stage
            .watermark(0, &TenantId::default(), at(92 * DAY), out)
            .unwrap();
    });
    let kept: Vec<_> = memory.keys().filter(|key| key[0] == b'p').collect();
    let ada = PEOPLE.key(&(&TenantId::default(), &no.data.author));
    assert_eq!(kept, [&Bytes::from(ada)]);
    assert_eq!(memory.keys().filter(|key| key[0] == b'y').count(), 0);

    let mut back = plain("3");
    back.at = at(100 * DAY);
    let felt = profile_one(&mut memory, &back).data.person;
    assert_eq!((felt.consent, felt.posts), (ConsentState::Denied, 1));
}

#[test]
fn an_idle_audience_is_dropped() {
    let mut memory = MemoryState::default();
    let mut stage = MomentStage::new(&Settings::default()).unwrap();
    let records = vec![as_record(topics::FEELINGS, feeling().encode())];
    commit(&mut memory, |out| stage.process(&Batch { records }, out).unwrap());
    commit(&mut memory, |out| {
        stage.watermark(0, &TenantId::default(), at(1), out).unwrap();
    });
    let tea = "everyone:tea".parse().unwrap();
    let key = (&TenantId::default(), &tea);
    let audience = AUDIENCES.get(&memory, 0, &key).unwrap().unwrap();
    assert!((audience.mood().valence - 0.5).abs() < 1e-12);
    commit(&mut memory, |out| {
        stage
            .watermark(0, &TenantId::default(), at(32 * DAY), out)
            .unwrap();
    });
    assert_eq!(AUDIENCES.get(&memory, 0, &key).unwrap(), None);
    assert_eq!(memory.len(), 1, "only the watermark is left");
}

#[test]
fn a_late_feeling_counts_at_once_and_is_counted() {
    let mut memory = MemoryState::default();
    let mut stage = MomentStage::new(&Settings::default()).unwrap();
    commit(&mut memory, |out| {
        stage.watermark(0, &TenantId::default(), at(1), out).unwrap();
    });
    let late = |memory: &MemoryState| MomentStage::LATE.get(memory, 0, &()).unwrap().unwrap_or(0);
    assert_eq!(late(&memory), 0);
    // Another instance takes over. The state alone shows that a record is late.
    let mut stage_again = MomentStage::new(&Settings::default()).unwrap();
    let records = vec![as_record(topics::FEELINGS, feeling().encode())];
    commit(&mut memory, |out| {
        stage_again.process(&Batch { records }, out).unwrap();
    });
    assert_eq!(late(&memory), 1);
    let tea = "everyone:tea".parse().unwrap();
    assert!(
        AUDIENCES
            .contains(&memory, 0, &(&TenantId::default(), &tea))
            .unwrap()
    );
    // A watermark that goes back is ignored.
    commit(&mut memory, |out| {
        stage_again
            .watermark(0, &TenantId::default(), at(0), out)
            .unwrap();
    });
    let records = vec![as_record(topics::FEELINGS, feeling().encode())];
    commit(&mut memory, |out| {
        stage_again.process(&Batch { records }, out).unwrap();
    });
    assert_eq!(late(&memory), 2);
}

#[test]
fn a_post_counts_for_its_topics_and_for_the_segments_it_fits() {
    let mut settings = Settings::default();
    let segment = |name: &str, languages: &[&str], least_posts| Segment {
        name: Slug::new(name).unwrap(),
        networks: Vec::new(),
        languages: languages.iter().map(|&tag| tag.to_owned()).collect(),
        intents: Vec::new(),
        entities: Vec::new(),
        least_posts,
    };
    let asking = Segment {
        intents: vec![IntentKind::Question],
        ..segment("asking", &[], 0)
    };
    let about = |name: &str, entity: &str| Segment {
        entities: vec![entity.to_owned()],
        ..segment(name, &[], 0)
    };
    settings.segments = vec![
        segment("english", &["en"], 0),
        segment("regulars", &[], 2),
        asking,
        about("acme", "ACME"),
        about("tagged", "teatime"),
        about("ada", "ada"),
    ];
    let mut stage = ProfileStage::new(&settings).unwrap();
    let mut memory = MemoryState::default();
    let mut post = reading("ada", "1", at(0), 0.5, &["tea", "rain", "tea"]);
    post.data.affect.language = "en-GB".into();
    let mut silent = reading("ada", "2", at(1), 0.5, &[]);
    silent.data.affect.intent = Some(Intent {
        kind: IntentKind::Question,
        score: Probability::ONE,
    });
    let entity = |kind, text: &str, name: Option<&str>| Entity {
        kind,
        text: text.to_owned(),
        start: 0,
        end: 1,
        name: name.map(ToOwned::to_owned),
    };
    silent.data.affect.entities = vec![
        entity(EntityKind::Brand, "acmes", Some("Acme")),
        entity(EntityKind::Hashtag, "#TeaTime", None),
        // A segment never selects who names a person.
        entity(EntityKind::Person, "Ada", None),
        entity(EntityKind::Mention, "ada", None),
    ];
    let records = [&post, &silent].map(|reading| record(topics::READINGS, 0, 0, write(reading)));
    let effects = commit(&mut memory, |out| {
        stage
            .process(
                &Batch {
                    records: records.to_vec(),
                },
                out,
            )
            .unwrap();
    });
    let keys: Vec<&[u8]> = effects
        .records
        .iter()
        .map(|(_, new): &(u32, NewRecord)| &new.key[..])
        .collect();
    let expected: [&[u8]; 9] = [
        b"default/everyone:rain",
        b"default/everyone:tea",
        b"default/english:rain",
        b"default/english:tea",
        b"default/everyone:all",
        b"default/regulars:all",
        b"default/asking:all",
        b"default/acme:all",
        b"default/tagged:all",
    ];
    assert_eq!(keys, expected);
    let last = Envelope::<Feeling>::decode(&effects.records[8].1.value).unwrap();
    assert_eq!(last.data.brands, ["Acme"]);
    assert_eq!(last.data.intent, Some(IntentKind::Question));
}

#[test]
fn settings_that_cannot_work_build_no_stage() {
    let mut settings = Settings::default();
    settings.change.alpha = 0.0;
    let wrong = InvalidSetting {
        setting: "change.alpha",
        rule: "must be more than 0 and at most 0.5",
    };
    assert_eq!(ProfileStage::new(&settings).unwrap_err(), wrong);
    assert_eq!(MomentStage::new(&settings).unwrap_err(), wrong);
}

#[test]
fn a_post_that_is_not_read_or_far_from_what_was_learnt_counts_and_leaves_the_mood_as_it_was() {
    for is_far in [false, true] {
        let mut memory = MemoryState::default();
        let before = profile_one(&mut memory, &plain("1"));
        let mut unread = reading("ada", "2", at(60_000), -1.0, &["tea"]);
        if is_far {
            unread.data.affect.out_of_domain = Probability::new(Affect::FAR).ok();
        } else {
            unread.data.affect.unknown_language = true;
        }
        let after = profile_one(&mut memory, &unread);
        assert_eq!(after.data.person.posts, 2);
        assert!((after.data.person.valence - before.data.person.valence).abs() < 1e-12);
        assert!(after.data.ironic, "the audience leaves it out too");
        // Distress is read in more languages than sentiment, and in texts of every kind.
        assert!(after.data.distress > 0.0 && after.data.person.distress > 0.0);
    }
}
