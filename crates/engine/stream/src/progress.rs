//! How far a stage has read what the edge accepted, published for other stages: the topic `progress`.
//!
//! A stage notes the acceptance time of the posts that it reads, and publishes the newest one in its tick.

use std::collections::BTreeMap;

use limbic_domain::{Envelope, Progress, Slug, TenantId, Utc, event_id, topics};

use crate::record::header;
use crate::{Cause, Outputs, Record, Result, StateSchema, Table};

/// The newest acceptance time that is not published yet. The prefix is long, so that no key of a stage begins with it.
const UNPUBLISHED: Table<(), Utc> = Table::new("progress to publish", b"~progress");

/// The newest acceptance times among the records of a batch, by partition number.
#[derive(Debug, Default)]
pub struct ReadProgress(BTreeMap<u32, Utc>);

impl ReadProgress {
    /// Notes a record that the stage has read. One without an acceptance time changes nothing.
    pub fn note(&mut self, record: &Record) {
        let accepted = record.headers.text(header::ACCEPTED_AT);
        let Some(accepted) = accepted.and_then(|millis| millis.parse().ok()) else {
            return;
        };
        let newest = self.0.entry(record.partition).or_insert(Utc::MIN);
        *newest = (*newest).max(Utc::from_millis(accepted));
    }

    /// Keeps what was noted until [`publish`] is called.
    pub fn keep(self, out: &mut Outputs<'_>) -> Result<()> {
        for (partition, accepted) in self.0 {
            let known = UNPUBLISHED.get(out, partition, &())?;
            if known.is_none_or(|known| known < accepted) {
                UNPUBLISHED.put(out, partition, &(), &accepted);
            }
        }
        Ok(())
    }
}

/// Adds the table to the schema of a stage that publishes its progress.
pub fn described_in(schema: StateSchema) -> StateSchema {
    schema.table(&UNPUBLISHED)
}

/// The key of a stage's progress in a partition.
pub fn key(stage: &str, partition: u32) -> String {
    format!("{}/{stage}/{partition}", TenantId::default())
}

/// Publishes what was kept since the last call. The stage must declare that it writes [`topics::PROGRESS`].
pub fn publish(stage: &Slug, partitions: &[u32], out: &mut Outputs<'_>) -> Result<()> {
    for &partition in partitions {
        let Some(accepted_until) = UNPUBLISHED.get(out, partition, &())? else {
            continue;
        };
        UNPUBLISHED.remove(out, partition, &());
        let progress = Progress {
            stage: stage.clone(),
            partition,
            accepted_until,
        };
        let causes = [
            stage.as_str(),
            &partition.to_string(),
            &accepted_until.as_millis().to_string(),
        ];
        let id = event_id(topics::PROGRESS, &causes);
        let envelope = Envelope::new(TenantId::default(), id, accepted_until, progress);
        let cause = Cause::of_partition(partition);
        out.emit(
            &cause,
            topics::PROGRESS,
            &key(stage.as_str(), partition),
            &envelope,
        );
    }
    Ok(())
}
