//! Both stages, connected as in the runtime, in memory, in an order that depends on a seed.
#![allow(dead_code, reason = "each test uses its part")]

use std::collections::{BTreeMap, VecDeque};

use limbic_domain::{
    Affect, ConsentState, Distress, Emotions, Envelope, Label, Moment, PostRef, Probability, Pseudonym,
    Reading, Sentiment, Slug, TenantId, Utc, event_id, topics,
};
use limbic_profile::{MomentStage, ProfileStage, Settings};
use limbic_stream::testing::MemoryState;
use limbic_stream::{
    Batch, DeadLetter, Effects, Headers, NewRecord, Outputs, Record, Stage, header, partition_of,
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Runs `work` over `memory` and commits it.
pub(crate) fn commit(memory: &mut MemoryState, work: impl FnOnce(&mut Outputs<'_>)) -> Effects {
    let mut out = Outputs::new(memory);
    work(&mut out);
    let effects = out.into_effects();
    memory.commit(&effects);
    effects
}

pub(crate) fn record(topic: &str, partition: u32, offset: u64, new: NewRecord) -> Record {
    Record {
        topic: topic.into(),
        partition,
        offset,
        key: new.key,
        value: new.value,
        headers: new.headers,
        timestamp: new.timestamp,
    }
}

/// A reading as a new record.
pub(crate) fn write(reading: &Envelope<Reading>) -> NewRecord {
    NewRecord {
        topic: topics::READINGS.into(),
        partition: None,
        key: format!("{}/{}", reading.tenant, reading.data.author).into(),
        value: reading.encode().into(),
        headers: Headers::new().with(header::TRACE_PARENT, reading.data.post.id.clone()),
        timestamp: reading.at,
    }
}

/// A reading of the post `id` by `author`.
pub(crate) fn reading(author: &str, id: &str, at: Utc, valence: f64, about: &[&str]) -> Envelope<Reading> {
    let network = Slug::new("bluesky").unwrap();
    let post = PostRef {
        network: network.clone(),
        id: id.to_owned(),
    };
    let tenant = TenantId::default();
    let envelope_id = event_id("reading", &[tenant.as_str(), &post.to_string()]);
    let affect = Affect {
        sentiment: Sentiment {
            label: Label::Neutral,
            scores: BTreeMap::new(),
            compound: valence,
        },
        emotions: Emotions::from([
            ("joy".to_owned(), valence.max(0.0)),
            ("anger".to_owned(), (-valence).max(0.0)),
        ]),
        valence,
        arousal: valence.abs(),
        distress: Distress {
            score: Probability::new(if valence < -0.8 { 0.7 } else { 0.0 }).unwrap(),
            cues: Vec::new(),
            sensitive_event: Probability::ZERO,
            unread: false,
        },
        language: "und".to_owned(),
        model: "test-1".to_owned(),
        ..Affect::default()
    };
    let data = Reading {
        post,
        author: Pseudonym::of(&[7; 32], &network, author),
        affect,
        subjects: about.iter().map(|subject| Slug::new(subject).unwrap()).collect(),
        consent: ConsentState::NotRequired,
        minor: false,
        revision: 0,
    };
    Envelope::new(tenant, envelope_id, at, data)
}

enum Sent {
    Feeling(Record),
    Mark { source: usize, at: Utc },
}

/// The results of a run.
#[derive(Debug, PartialEq)]
pub(crate) struct Outcome {
    /// By id, each with the trace that it continues.
    pub(crate) moments: BTreeMap<String, (Envelope<Moment>, String)>,
    pub(crate) late: u64,
    pub(crate) dead: Vec<DeadLetter>,
}

/// Both stages over `partitions` partitions.
pub(crate) struct Pipeline {
    settings: Settings,
    profile: ProfileStage,
    moments: MomentStage,
    profile_state: MemoryState,
    moment_state: MemoryState,
    readings: Vec<VecDeque<Record>>,
    newest: Vec<Utc>,
    feelings: Vec<VecDeque<Sent>>,
    marks: Vec<Vec<Utc>>,
    offset: u64,
    pub(crate) outcome: Outcome,
}

impl Pipeline {
    pub(crate) fn new(settings: &Settings, partitions: u32, written: Vec<NewRecord>) -> Self {
        let count = partitions as usize;
        let mut readings = vec![VecDeque::new(); count];
        for (offset, new) in written.into_iter().enumerate() {
            let partition = partition_of(&new.key, partitions);
            readings[partition as usize].push_back(record(topics::READINGS, partition, offset as u64, new));
        }
        Self {
            settings: settings.clone(),
            profile: ProfileStage::new(settings).unwrap(),
            moments: MomentStage::new(settings).unwrap(),
            profile_state: MemoryState::default(),
            moment_state: MemoryState::default(),
            readings,
            newest: vec![Utc::MIN; count],
            feelings: (0..count).map(|_| VecDeque::new()).collect(),
            marks: vec![vec![Utc::MIN; count]; count],
            offset: 0,
            outcome: Outcome {
                moments: BTreeMap::new(),
                late: 0,
                dead: Vec::new(),
            },
        }
    }

    /// Processes everything that was written. The seed decides which stage continues with which partition, how large its
    /// batch is, and whether its transaction is lost and repeated.
    pub(crate) fn run(mut self, seed: u64) -> Self {
        let mut chance = ChaCha8Rng::seed_from_u64(seed);
        let count = self.readings.len();
        while self.readings.iter().any(|waiting| !waiting.is_empty()) {
            let partition = chance.random_range(0..count);
            let size = 1 << chance.random_range(0..11);
            let lost = chance.random_bool(0.1);
            if chance.random_bool(0.6) {
                self.profile(partition, size, lost);
            } else {
                self.feel(partition, size, lost);
            }
        }
        // Every sender declares that nothing follows within a day after the last record.
        let end = self.newest.iter().max().unwrap().plus_millis(86_400_000);
        for source in 0..count {
            self.mark(source, end);
        }
        while self.feelings.iter().any(|sent| !sent.is_empty()) {
            let partition = chance.random_range(0..count);
            self.feel(
                partition,
                1 << chance.random_range(0..11),
                chance.random_bool(0.1),
            );
        }
        self
    }

    /// The state that the stage `moments` still has.
    pub(crate) fn kept_of_moments(&self) -> &MemoryState {
        &self.moment_state
    }

    fn profile(&mut self, partition: usize, size: usize, lost: bool) {
        let waiting = &self.readings[partition];
        let records: Vec<Record> = waiting.iter().take(size).cloned().collect();
        let Some(newest) = records.iter().map(|record| record.timestamp).max() else {
            return;
        };
        let newest = newest.max(self.newest[partition]);
        let watermark = newest.plus_millis(-self.settings.person.disorder.as_millis());
        let taken = records.len();
        let mut out = Outputs::new(&self.profile_state);
        self.profile.process(&Batch { records }, &mut out).unwrap();
        self.profile
            .watermark(partition as u32, &TenantId::default(), watermark, &mut out)
            .unwrap();
        let effects = out.into_effects();
        if lost {
            return;
        }
        self.profile_state.commit(&effects);
        self.readings[partition].drain(..taken);
        self.newest[partition] = newest;
        let count = self.feelings.len() as u32;
        for (source, new) in effects.records {
            assert_eq!(source as usize, partition);
            let to = partition_of(&new.key, count);
            self.offset += 1;
            let feeling = record(topics::FEELINGS, to, self.offset, new);
            self.feelings[to as usize].push_back(Sent::Feeling(feeling));
        }
        self.outcome.dead.extend(effects.dead);
        self.mark(partition, watermark);
    }

    fn mark(&mut self, source: usize, at: Utc) {
        for sent in &mut self.feelings {
            sent.push_back(Sent::Mark { source, at });
        }
    }

    fn feel(&mut self, partition: usize, size: usize, lost: bool) {
        let mut marks = self.marks[partition].clone();
        let mut records = Vec::new();
        let taken = self.feelings[partition].len().min(size);
        for sent in self.feelings[partition].iter().take(taken) {
            match sent {
                Sent::Feeling(record) => records.push(record.clone()),
                Sent::Mark { source, at } => marks[*source] = (*at).max(marks[*source]),
            }
        }
        let watermark = marks.iter().min().copied().unwrap();
        let mut out = Outputs::new(&self.moment_state);
        self.moments.process(&Batch { records }, &mut out).unwrap();
        self.moments
            .watermark(partition as u32, &TenantId::default(), watermark, &mut out)
            .unwrap();
        let effects = out.into_effects();
        if lost {
            return;
        }
        self.moment_state.commit(&effects);
        self.feelings[partition].drain(..taken);
        self.marks[partition] = marks;
        for (_, new) in effects.records {
            let moment = Envelope::<Moment>::decode(&new.value).unwrap();
            let trace = new.headers.text(header::TRACE_PARENT).unwrap().to_owned();
            let again = self.outcome.moments.insert(moment.id.clone(), (moment, trace));
            assert_eq!(again, None, "a moment came twice");
        }
        self.outcome.dead.extend(effects.dead);
        let late = MomentStage::LATE.get(&self.moment_state, partition as u32, &());
        self.outcome.late = self.outcome.late.max(late.unwrap().unwrap_or(0));
    }
}
