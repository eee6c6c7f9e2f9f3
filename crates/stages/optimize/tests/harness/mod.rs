//! Drives the optimize stage record by record, with its state in memory.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "each test that shares this file uses a part of it"
)]

use bytes::Bytes;
use limbic_domain::{
    AudienceId, Creative, CreativeSet, Decision, Direction, Emotions, Envelope, Micros, MoodSummary, Outcome,
    OutcomeKind, Posterior, Pseudonym, Rendering, Slug, TenantId, Utc, topics,
};
use limbic_optimize::{OptimizeSettings, OptimizeStage};
use limbic_stream::testing::MemoryState;
use limbic_stream::{Batch, DeadLetter, Headers, Outputs, Record, Stage, StateReader};

pub const MINUTE: i64 = 60_000;

/// A broker with default settings accepts 1 MB. No state entry may come near this.
pub const LARGEST: usize = 500_000;

/// A stage, its state and everything it has emitted.
pub struct Harness {
    stage: OptimizeStage,
    pub state: MemoryState,
    pub decisions: Vec<Envelope<Decision>>,
    pub posteriors: Vec<Envelope<Posterior>>,
    pub dead: Vec<DeadLetter>,
    offset: u64,
}

impl Harness {
    pub fn new(settings: OptimizeSettings) -> Self {
        Self {
            stage: OptimizeStage::new(settings).unwrap(),
            state: MemoryState::default(),
            decisions: Vec::new(),
            posteriors: Vec::new(),
            dead: Vec::new(),
            offset: 0,
        }
    }

    fn record(&mut self, topic: &str, value: Vec<u8>) -> Record {
        self.offset += 1;
        Record {
            topic: topic.into(),
            partition: 0,
            offset: self.offset,
            key: Bytes::from_static(b"default/spring"),
            value: value.into(),
            headers: Headers::new(),
            timestamp: Utc::from_millis(0),
        }
    }

    fn commit(&mut self, act: impl FnOnce(&mut OptimizeStage, &mut Outputs<'_>)) {
        let mut out = Outputs::new(&self.state);
        act(&mut self.stage, &mut out);
        let effects = out.into_effects();
        for (key, change) in effects.state.values().flatten() {
            let size = change.as_ref().map_or(0, Bytes::len);
            assert!(size < LARGEST, "{key:?} takes {size} bytes");
        }
        self.state.commit(&effects);
        for (_, record) in &effects.records {
            match &*record.topic {
                topics::DECISIONS => self.decisions.push(Envelope::decode(&record.value).unwrap()),
                _ => self.posteriors.push(Envelope::decode(&record.value).unwrap()),
            }
        }
        self.dead.extend(effects.dead);
    }

    pub fn feed(&mut self, values: Vec<(&str, Vec<u8>)>) {
        let records = values.into_iter().map(|(topic, value)| self.record(topic, value));
        let batch = Batch {
            records: records.collect::<Vec<_>>(),
        };
        self.commit(|stage, out| stage.process(&batch, out).unwrap());
    }

    pub fn watermark(&mut self, at: Utc) {
        self.commit(|stage, out| stage.watermark(0, &TenantId::default(), at, out).unwrap());
    }

    /// The tenants to which the stage gives what an earlier version kept for all.
    pub fn divide_time(&mut self) -> Vec<TenantId> {
        let mut tenants = Vec::new();
        self.commit(|stage, out| tenants = stage.divide_time(0, out).unwrap());
        tenants
    }

    pub fn posterior(&self) -> Option<Bytes> {
        self.saved("policy/default/spring")
    }

    pub fn saved(&self, key: &str) -> Option<Bytes> {
        self.state.get(0, key.as_bytes()).unwrap()
    }

    /// Continues with the same state in a new process, which may have other settings.
    pub fn restart(&mut self, settings: OptimizeSettings) {
        self.stage = OptimizeStage::new(settings).unwrap();
    }
}

pub fn at(minutes: i64) -> Utc {
    Utc::from_millis(minutes * MINUTE)
}

pub fn creatives(moment: &str, minutes: i64) -> Envelope<CreativeSet> {
    let creative = |tone: &str| Creative {
        id: format!("{tone}-1"),
        generator: format!("template/{tone}-1"),
        ai_generated: false,
        generator_version: None,
        approval: None,
        model: None,
        tone: Slug::new(tone).unwrap(),
        factors: limbic_domain::Factors::default(),
        rendering: Rendering {
            platform: Slug::new("webhook").unwrap(),
            headline: tone.into(),
            body: "b".into(),
            link: "https://example.invalid".into(),
        },
        picture: None,
    };
    let person = Pseudonym::new("9f86d081884c7d659a2feaa0c55ad015").unwrap();
    let set = CreativeSet {
        moment: moment.into(),
        campaign: Slug::new("spring").unwrap(),
        bid: Micros(5),
        audience: AudienceId::new("everyone:football").unwrap(),
        direction: Direction::Up,
        mood: MoodSummary {
            valence: 0.6,
            arousal: 0.7,
            emotions: Emotions::default(),
            distress: 0.0,
            offence: 0.0,
            hate: 0.0,
            weight: 30.0,
        },
        people: vec![person],
        in_negative_feeling: Vec::new(),
        creatives: vec![creative("celebrate"), creative("calm"), creative("plain")],
        removals: Vec::new(),
        transparency: None,
        cleared_by: "rules-1".into(),
    };
    Envelope::new(TenantId::default(), format!("set-{moment}"), at(minutes), set)
}

pub fn outcome(decision: &str, kind: OutcomeKind, key: &str, minutes: i64) -> (&'static str, Vec<u8>) {
    let outcome = Outcome::new(decision, kind, key);
    let envelope = Envelope::new(TenantId::default(), key.into(), at(minutes), outcome);
    (topics::OUTCOMES, envelope.encode())
}

/// One impression, and a click in the same minute.
pub fn clicked(decision: &str, key: &str, minutes: i64) -> Vec<(&'static str, Vec<u8>)> {
    let [seen, click] = [("seen", OutcomeKind::Impression), ("click", OutcomeKind::Click)]
        .map(|(name, kind)| outcome(decision, kind, &format!("{key}/{name}"), minutes));
    vec![seen, click]
}

pub fn decided(harness: &mut Harness, moment: &str, minutes: i64) -> String {
    harness.feed(vec![(topics::CREATIVES, creatives(moment, minutes).encode())]);
    harness.decisions.last().unwrap().id.clone()
}
