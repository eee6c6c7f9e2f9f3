//! Compares the view with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use limbic_domain::{Deletion, Envelope, TenantId, topics};
use limbic_stream::verify::Verdict;
use limbic_stream::{Log, TopicPartition};
use serde::Deserialize;
use sqlx::Row as _;
use tokio::runtime::Handle;

use crate::store::{Store, StoreError, database};
use crate::{Kind, ViewsSettings, ViewsStage};

/// Records that are read at a time.
const READ: usize = 10_000;

/// Why a comparison could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The view cannot be read.
    #[error(transparent)]
    View(#[from] StoreError),
    /// The log cannot be read.
    #[error(transparent)]
    Log(#[from] limbic_stream::Error),
}

/// The start of an envelope.
#[derive(Deserialize)]
struct Head {
    tenant: TenantId,
    id: String,
}

/// Compares the offsets of the view, and its numbers of events, with the log. `name` is the log's name with its identity, as the
/// stage has it. Reads both, and writes nothing. The topics of events are read completely if the view should have all their events.
pub fn compare(
    store: &Store,
    log: &dyn Log,
    name: &str,
    handle: &Handle,
) -> Result<Vec<Verdict>, CompareError> {
    let offsets = handle.block_on(store.all_offsets())?;
    let mut verdicts = Vec::new();
    let inputs = ViewsStage::spec(&ViewsSettings::default()).inputs;
    let known = log.topics()?;
    let known: BTreeMap<Arc<str>, Vec<(u64, u64)>> = known
        .into_iter()
        .map(|topic| (topic.name, topic.offsets))
        .collect();
    let mut sources = 0;
    for input in inputs {
        let Some(partitions) = known.get(&input.topic) else {
            continue;
        };
        let mut has_all = true;
        let mut problem = None;
        for (number, (earliest, end)) in partitions.iter().enumerate() {
            let partition = TopicPartition {
                topic: Arc::clone(&input.topic),
                partition: number as u32,
            };
            let next = offsets.get(&format!("{name}/{partition}")).copied();
            sources += u64::from(next.is_some());
            let next = next.unwrap_or(0);
            has_all &= *earliest == 0 && next == *end;
            if next > *end {
                problem = Some(format!(
                    "the view has read {partition} up to offset {next}, but the log ends at {end}: the log was restored from an older \
                     backup. `limbic run` reads the log from its beginning, and recognises what the view has"
                ));
            } else if next < *earliest {
                let missing = earliest - next;
                problem = Some(format!(
                    "{missing} records of {partition} were deleted before the view read them: it was restored from an older backup, or \
                     was away for too long. Restore a newer backup of the view"
                ));
            }
        }
        let result = match problem {
            Some(problem) => Err(problem),
            None if has_all => count(store, log, &input.topic, partitions.len(), handle)?,
            None => Ok(
                "offsets fit; the events are not counted, because the view or the log does not have all"
                    .to_owned(),
            ),
        };
        verdicts.push(Verdict {
            what: format!("view of {}", input.topic),
            result,
        });
    }
    let others = offsets.len() as u64 - sources;
    if others > 0 {
        verdicts.push(Verdict {
            what: "view of other logs".to_owned(),
            result: Ok(format!("{others} offsets; their events stay in the view")),
        });
    }
    Ok(verdicts)
}

/// Compares the number of events of each tenant with the log, which has all of them.
fn count(
    store: &Store,
    log: &dyn Log,
    topic: &Arc<str>,
    partitions: usize,
    handle: &Handle,
) -> Result<Result<String, String>, CompareError> {
    let kind = match &**topic {
        topics::POSTS => Kind::Post,
        topics::READINGS => Kind::Reading,
        topics::MOMENTS => Kind::Moment,
        topics::CREATIVES => Kind::CreativeSet,
        topics::DECISIONS => Kind::Decision,
        topics::OUTCOMES => Kind::Outcome,
        _ => return Ok(Ok("offsets fit; only the latest of each key is kept".to_owned())),
    };
    if handle.block_on(store.is_incomplete(kind))? {
        return Ok(Ok(
            "offsets fit; the events are not counted, because the view has deleted or refused some"
                .to_owned(),
        ));
    }
    let mut ids: BTreeMap<TenantId, BTreeSet<String>> = BTreeMap::new();
    for number in 0..partitions {
        let partition = TopicPartition {
            topic: Arc::clone(topic),
            partition: number as u32,
        };
        let mut next = 0;
        loop {
            let records = log.read(&partition, next, READ)?;
            let Some(last) = records.last() else {
                break;
            };
            next = last.offset + 1;
            for record in &records {
                if Envelope::<Deletion>::is_type_of(&record.value) {
                    return Ok(Ok(
                        "offsets fit; the events are not counted, because posts were deleted on their networks".to_owned(),
                    ));
                }
                // What cannot be read is a dead letter.
                if let Ok(head) = serde_json::from_slice::<Head>(&record.value) {
                    ids.entry(head.tenant).or_default().insert(head.id);
                }
            }
        }
    }
    let mut all = 0;
    for (tenant, ids) in &ids {
        let found = handle.block_on(store.count(tenant, kind))?;
        let expected = ids.len() as u64;
        all += expected;
        // Events of an earlier log stay in the view.
        if found < expected {
            return Ok(Err(format!(
                "of {expected} events of tenant {tenant} in the log, the view has {found}: restore the view from a backup, or remove it \
                 and let `limbic run` write it again"
            )));
        }
    }
    Ok(Ok(format!("{all} events, as in the log")))
}

impl Store {
    async fn all_offsets(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows = sqlx::query("SELECT source, next FROM limbic_view_offsets")
            .fetch_all(&self.pool)
            .await
            .map_err(database("reading the offsets"))?;
        let offsets = rows
            .iter()
            .map(|row| (row.get("source"), row.get::<i64, _>("next") as u64));
        Ok(offsets.collect())
    }

    /// Whether the view has deleted events of this kind because of their age, or has refused any event.
    async fn is_incomplete(&self, kind: Kind) -> Result<bool, StoreError> {
        let failed = || database("reading what is missing");
        let mut transaction = self.reading_as("*").await?;
        let deleted = sqlx::query("SELECT 1 AS one FROM limbic_view_retention WHERE kind = $1 LIMIT 1")
            .bind(kind.as_str())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed())?;
        let refused = sqlx::query("SELECT 1 AS one FROM limbic_view_refused LIMIT 1")
            .fetch_optional(&mut *transaction)
            .await
            .map_err(failed())?;
        Ok(deleted.is_some() || refused.is_some())
    }
}
