//! From `intake` to `posts` and `outcomes`, each thing once.

use bytes::Bytes;
use limbic_domain::{Utc, topics};
use limbic_stream::{Batch, EventTime, Forward, Outputs, Record, Stage, StageError, StageSpec};

use crate::Settings;
use crate::edge::header;

/// How many forgotten ids are removed in one tick and partition.
const FORGET_AT_ONCE: usize = 2_000;

/// Removes duplicates on the way from `intake` to `posts` and `outcomes`.
///
/// State, per partition number: `s` + generation (4 bytes, big-endian) + id (16 bytes) → nothing. A generation is
/// [`Settings::remember`] long; ids of the current and the one before are known, older ones are forgotten.
#[derive(Debug)]
pub struct IngestStage {
    generation_millis: i64,
    /// What the newest record seen says of the time, for forgetting.
    newest: i64,
}

impl IngestStage {
    /// The stage under `settings`.
    pub fn new(settings: &Settings) -> Self {
        Self {
            generation_millis: settings.remember.as_millis().max(1_000),
            newest: 0,
        }
    }

    /// What the runtime must know.
    pub fn spec() -> StageSpec {
        StageSpec::new("ingest")
            .reads(topics::INTAKE, EventTime::Ignored)
            .writes(topics::POSTS, Forward::Aligned)
            .writes(topics::OUTCOMES, Forward::Nothing)
            .stateful()
            .ticks(std::time::Duration::from_secs(1))
    }

    /// The state key under which an id accepted at `accepted_at` is remembered.
    fn key(generation: i64, id: &[u8]) -> Bytes {
        let mut key = Vec::with_capacity(21);
        key.push(b's');
        key.extend_from_slice(&(generation as u32).to_be_bytes());
        key.extend_from_slice(id);
        key.into()
    }

    fn generation(&self, accepted_at: i64) -> i64 {
        accepted_at.div_euclid(self.generation_millis)
    }

    /// The keys under which an id may be remembered at `accepted_at`: what [`crate::Edge`] looks up in the embedded log.
    pub(crate) fn keys_at(settings: &Settings, accepted_at: Utc, id: &[u8]) -> [Bytes; 2] {
        let stage = Self::new(settings);
        let generation = stage.generation(accepted_at.as_millis());
        [Self::key(generation, id), Self::key(generation - 1, id)]
    }

    fn route(&mut self, record: &Record, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let to = record.headers.text(header::TO);
        let Some(to) = to.filter(|to| [topics::POSTS, topics::OUTCOMES].contains(to)) else {
            out.dead(
                record,
                "unroutable",
                format!("header {} names no topic the edge writes to", header::TO),
            );
            return Ok(());
        };
        let Some(id) = record.headers.get(header::ID).filter(|id| id.len() == 16) else {
            out.dead(
                record,
                "unroutable",
                format!("header {} is not 16 bytes", header::ID),
            );
            return Ok(());
        };
        let accepted = record
            .headers
            .text(limbic_stream::header::ACCEPTED_AT)
            .and_then(|text| text.parse().ok());
        let Some(accepted_at) = accepted else {
            out.dead(record, "unroutable", "no acceptance time");
            return Ok(());
        };
        self.newest = self.newest.max(accepted_at);
        let generation = self.generation(accepted_at);
        let current = Self::key(generation, id);
        let known = out.get(record.partition, &current)?.is_some()
            || out
                .get(record.partition, &Self::key(generation - 1, id))?
                .is_some()
            || out
                .get(record.partition, &Self::key(generation + 1, id))?
                .is_some();
        if known {
            tracing::debug!(offset = record.offset, "duplicate");
            return Ok(());
        }
        out.put(record.partition, current, Bytes::new());
        let key = std::str::from_utf8(&record.key)
            .map_err(|_| StageError::poison("unroutable", "the key is not UTF-8"))?;
        out.emit_bytes(&record.cause(), to, key, record.timestamp, record.value.clone());
        Ok(())
    }
}

impl Stage for IngestStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        for record in &batch.records {
            self.route(record, out)?;
        }
        Ok(())
    }

    fn tick(&mut self, partitions: &[u32], _: Utc, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let oldest_kept = self.generation(self.newest) - 1;
        for partition in partitions {
            for (key, _) in out.scan(*partition, b"s", b"s", FORGET_AT_ONCE)? {
                let generation = key
                    .get(1..5)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map(u32::from_be_bytes);
                if generation.is_none_or(|generation| i64::from(generation) >= oldest_kept) {
                    break;
                }
                out.remove(*partition, key);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use limbic_stream::{Headers, Result, StateReader};

    use super::*;

    struct Nothing;

    impl StateReader for Nothing {
        fn get(&self, _: u32, _: &[u8]) -> Result<Option<Bytes>> {
            Ok(None)
        }

        fn scan(&self, _: u32, _: &[u8], _: &[u8], _: usize) -> Result<Vec<(Bytes, Bytes)>> {
            Ok(Vec::new())
        }
    }

    fn record(id: u8, to: &'static str, accepted_at: i64) -> Record {
        Record {
            topic: topics::INTAKE.into(),
            partition: 0,
            offset: 0,
            key: Bytes::from_static(b"default/x"),
            value: Bytes::from_static(b"{}"),
            headers: Headers::new()
                .with(header::TO, to)
                .with(header::ID, vec![id; 16])
                .with(limbic_stream::header::ACCEPTED_AT, accepted_at.to_string()),
            timestamp: Utc::from_millis(1),
        }
    }

    fn run(stage: &mut IngestStage, records: Vec<Record>) -> limbic_stream::Effects {
        let mut out = Outputs::new(&Nothing);
        stage.process(&Batch { records }, &mut out).unwrap();
        stage.tick(&[0], Utc::MIN, &mut out).unwrap();
        out.into_effects()
    }

    #[test]
    fn a_post_is_passed_on_once_and_garbage_dies() {
        let mut stage = IngestStage::new(&Settings::default());
        let records = vec![
            record(1, "posts", 0),
            record(1, "posts", 5),
            record(2, "outcomes", 5),
            record(3, "moments", 5),
        ];
        let effects = run(&mut stage, records);
        let to: Vec<&str> = effects.records.iter().map(|(_, record)| &*record.topic).collect();
        assert_eq!(to, ["posts", "outcomes"]);
        assert_eq!(effects.dead.len(), 1);
    }

    #[test]
    fn an_id_is_remembered_over_the_turn_of_a_generation_and_forgotten_after() {
        let settings = Settings::default();
        let length = settings.remember.as_millis();
        let mut stage = IngestStage::new(&settings);
        let effects = run(
            &mut stage,
            vec![record(1, "posts", length - 1), record(1, "posts", length + 1)],
        );
        assert_eq!(effects.records.len(), 1, "known over the turn");

        let effects = run(
            &mut stage,
            vec![record(1, "posts", length - 1), record(2, "posts", 3 * length)],
        );
        let left: Vec<_> = effects.state[&0].values().map(Option::is_some).collect();
        assert_eq!(left, [false, true], "the old generation is forgotten");
    }
}
