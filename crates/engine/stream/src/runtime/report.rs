//! The numbers of a batch for the metrics, reported after the commit.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use limbic_domain::Utc;

use super::meters::StageMeters;
use super::work::Work;
use crate::NewRecord;
use crate::record::header;

/// The numbers of one batch, kept until its transaction has committed.
pub(super) struct BatchReport {
    started: Instant,
    records: usize,
    consumed: BTreeMap<Arc<str>, u64>,
    produced: BTreeMap<Arc<str>, u64>,
    /// When the edge accepted the posts that caused the written records, in milliseconds, and how many records.
    accepted: Vec<(i64, u64)>,
    dead: Vec<&'static str>,
}

impl BatchReport {
    pub(super) fn of(work: &Work) -> Self {
        let written = work.effects.records.iter().map(|(_, record)| record);
        // Records of one request mostly follow each other.
        let same_time = |(_, one): &(u32, NewRecord), (_, next): &(u32, NewRecord)| {
            one.headers.get(header::ACCEPTED_AT) == next.headers.get(header::ACCEPTED_AT)
        };
        let accepted = work.effects.records.chunk_by(same_time).filter_map(|run| {
            let at = run[0].1.headers.text(header::ACCEPTED_AT)?.parse().ok()?;
            Some((at, run.len() as u64))
        });
        Self {
            started: work.started,
            records: work.data.len(),
            consumed: by_topic(work.data.iter().map(|record| &record.topic)),
            produced: by_topic(written.map(|record| &record.topic)),
            accepted: accepted.collect(),
            dead: work.effects.dead.iter().map(|letter| letter.reason).collect(),
        }
    }

    /// Reports the numbers of a committed batch.
    pub(super) fn report(&self, stage: &str, meters: &StageMeters) {
        for (topic, n) in &self.consumed {
            meters.records_in.with_label_values(&[stage, topic]).inc_by(*n);
        }
        for (topic, n) in &self.produced {
            meters.records_out.with_label_values(&[stage, topic]).inc_by(*n);
        }
        for reason in &self.dead {
            meters.dead.with_label_values(&[stage, *reason]).inc();
        }
        let end_to_end = meters.end_to_end_seconds.with_label_values(&[stage]).local();
        let now = Utc::now();
        for (accepted, records) in &self.accepted {
            let seconds = now.millis_since(Utc::from_millis(*accepted)).max(0) as f64 / 1e3;
            for _ in 0..*records {
                end_to_end.observe(seconds);
            }
        }
        end_to_end.flush();
        if self.records > 0 {
            let (records, seconds) = (&meters.batch_records, &meters.batch_seconds);
            records.with_label_values(&[stage]).observe(self.records as f64);
            let took = self.started.elapsed().as_secs_f64();
            seconds.with_label_values(&[stage]).observe(took);
        }
    }
}

fn by_topic<'a>(topics: impl Iterator<Item = &'a Arc<str>>) -> BTreeMap<Arc<str>, u64> {
    let mut counts: BTreeMap<Arc<str>, u64> = BTreeMap::new();
    // Records of one topic mostly follow each other.
    let mut run: Option<(&Arc<str>, u64)> = None;
    for topic in topics {
        run = Some(match run {
            Some((same, n)) if same == topic => (same, n + 1),
            other => {
                if let Some((before, n)) = other {
                    *counts.entry(Arc::clone(before)).or_default() += n;
                }
                (topic, 1)
            }
        });
    }
    if let Some((last, n)) = run {
        *counts.entry(Arc::clone(last)).or_default() += n;
    }
    counts
}
