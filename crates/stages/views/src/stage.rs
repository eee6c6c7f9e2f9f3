//! The views stage: writes every topic to the view.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{Deletion, Outcome, Record as _, Statement, TenantId, Utc, topics};
use limbic_stream::{
    Batch, BatchLimits, EventTime, Outputs, Record, Stage, StageError, StageSpec, TopicPartition,
};
use serde::Deserialize;
use sonic_rs::LazyValue;
use tokio::runtime::Handle;

use crate::meters::ViewMeters;
use crate::retention::Retention;
use crate::settings::{KeepEvents, ViewsSettings};
use crate::store::{Accepted, Kind, NewRow, Replaces, Store, StoreError};

/// Most records in a batch. Each is in memory as a record, as a row, and as the parameters of a statement.
const BATCH: usize = 2_000;
/// The reason of the dead letter of a record that the database refuses.
const REFUSED: &str = "refused_by_database";
/// How often old events are deleted.
const TICK: Duration = Duration::from_secs(1);

/// Writes posts, readings, moments, creatives, decisions, outcomes and the latest status of each audience, campaign and ad platform
/// to the view.
pub struct ViewsStage {
    store: Store,
    handle: Handle,
    /// The next offset of each source in the database, as far as this instance knows.
    offsets: HashMap<TopicPartition, Option<u64>>,
    /// The records that the database has refused, with the reasons. Their dead letters may still be missing in the log.
    refused: HashMap<TopicPartition, BTreeMap<u64, String>>,
    /// The name of the log. Offsets of another log have no meaning here.
    log: Arc<str>,
    retention: Retention,
}

impl std::fmt::Debug for ViewsStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ViewsStage")
            .field("log", &self.log)
            .finish_non_exhaustive()
    }
}

/// The part of an envelope that all kinds have in common.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type")]
    kind: Option<String>,
    tenant: TenantId,
    id: String,
    at: Utc,
    #[serde(borrow)]
    data: LazyValue<'a>,
}

/// The fields that name the entity of an event.
#[derive(Deserialize)]
struct About {
    network: Option<String>,
    id: Option<String>,
    post: Option<PostEntity>,
    audience: Option<String>,
    campaign: Option<String>,
    decision: Option<String>,
    platform: Option<String>,
    partition: Option<u32>,
    revision: Option<u64>,
}

#[derive(Deserialize)]
struct PostEntity {
    network: String,
    id: String,
}

impl ViewsStage {
    /// A stage that writes to `store`. Database calls run on `handle`. `log` is the name of the log that it reads.
    pub fn new(store: Store, handle: Handle, log: &str) -> Self {
        let everything = KeepEvents::default();
        Self {
            store,
            handle,
            offsets: HashMap::new(),
            refused: HashMap::new(),
            log: log.into(),
            retention: Retention::new(everything, ViewMeters::unregistered()),
        }
    }

    /// Deletes events that are older than `keep`, and counts them in `meters`.
    #[must_use]
    pub fn keeping(mut self, keep: KeepEvents, meters: ViewMeters) -> Self {
        self.retention = Retention::new(keep, meters);
        self
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec(settings: &ViewsSettings) -> StageSpec {
        let mut spec = StageSpec::new("views").batches(BatchLimits {
            records: BATCH,
            ..BatchLimits::default()
        });
        if settings.keep.is_limited() {
            spec = spec.ticks(TICK);
        }
        for topic in [
            topics::POSTS,
            topics::READINGS,
            topics::MOMENTS,
            topics::CREATIVES,
            topics::DECISIONS,
            topics::OUTCOMES,
            topics::STATUS,
        ] {
            spec = spec.reads(topic, EventTime::Ignored);
        }
        spec
    }

    /// The rows of a batch that the database does not have, with their sources and offsets.
    fn rows_of(&self, batch: &Batch) -> Vec<(String, u64, NewRow)> {
        let new = batch.records.iter().filter_map(|record| {
            let partition = partition_of(record);
            let written = self.offsets.get(&partition).copied().flatten();
            if written.is_some_and(|next| record.offset < next) {
                return None;
            }
            Some((self.source(&partition), record.offset, row(record).ok()??))
        });
        new.collect()
    }

    /// Why the database has refused a record, if it has.
    fn refusal(&self, partition: &TopicPartition, offset: u64) -> Option<&str> {
        let refused = self.refused.get(partition)?;
        refused.get(&offset).map(String::as_str)
    }

    fn source(&self, partition: &TopicPartition) -> String {
        format!("{}/{partition}", self.log)
    }
}

/// The row for `record`, if it has one; or why it cannot be read.
fn row(record: &Record) -> Result<Option<NewRow>, String> {
    let text = std::str::from_utf8(&record.value).map_err(|error| error.to_string())?;
    // sonic-rs skips what is not needed; serde_json says what is wrong.
    let unreadable = |_: sonic_rs::Error| match serde_json::from_str::<serde_json::Value>(text) {
        Err(error) => error.to_string(),
        Ok(_) => "it is not an envelope with tenant, id, at and data".to_owned(),
    };
    let head: Head<'_> = sonic_rs::from_str(text).map_err(unreadable)?;
    let about: About = sonic_rs::from_str(head.data.as_raw_str()).map_err(unreadable)?;
    let is_of_posts = matches!(&*record.topic, topics::POSTS | topics::READINGS);
    if is_of_posts && head.kind.as_deref() == Some(Deletion::TYPE) {
        return Ok(of_deletion(&record.topic, head, about));
    }
    let of_post = |network: Option<String>, id: Option<String>| Some(format!("{}/{}", network?, id?));
    let (kind, entity) = match &*record.topic {
        topics::POSTS => ("post", of_post(about.network, about.id)),
        topics::READINGS => (
            "reading",
            about.post.map(|post| format!("{}/{}", post.network, post.id)),
        ),
        topics::MOMENTS => ("moment", about.audience),
        topics::CREATIVES => ("creative_set", about.campaign),
        topics::DECISIONS => ("decision", about.campaign),
        topics::OUTCOMES => ("outcome", about.decision),
        topics::STATUS => return of_status(head, about).map(Some),
        other => return Err(format!("topic `{other}` is not part of the view")),
    };
    let replaces = match (&*record.topic, about.revision) {
        (topics::OUTCOMES, _) => correction(&head)?.map_or(Replaces::Nothing, Replaces::Before),
        (topics::POSTS | topics::READINGS, Some(revision)) if revision > 0 => Replaces::Revision(revision),
        _ => Replaces::Nothing,
    };
    Ok(Some(NewRow {
        replaces,
        tenant: head.tenant,
        kind,
        id: head.id,
        at: head.at.as_millis(),
        entity: entity.ok_or("no field names its entity (post, audience, campaign or decision)")?,
        body: head.data.as_raw_str().to_owned(),
    }))
}

/// What deletes the rows of a deleted post, or of its readings. The posts of an author whose account is gone are not found: the view
/// has no index of authors.
fn of_deletion(topic: &str, head: Head<'_>, about: About) -> Option<NewRow> {
    let kind = if topic == topics::POSTS {
        Kind::Post
    } else {
        Kind::Reading
    };
    Some(NewRow {
        replaces: Replaces::Deleted,
        tenant: head.tenant,
        kind: kind.as_str(),
        id: head.id,
        at: head.at.as_millis(),
        entity: format!("{}/{}", about.network?, about.id?),
        body: String::new(),
    })
}

/// The row of a status. Its id is what it is about, so that a later status takes its place.
fn of_status(head: Head<'_>, about: About) -> Result<NewRow, String> {
    let kind = head.kind.unwrap_or_default();
    let kind = Kind::STATUS.into_iter().find(|known| known.as_str() == kind);
    let kind = kind.ok_or("this program does not know this type of status")?;
    let entity = match kind {
        Kind::AudienceStatus => about.audience,
        Kind::CampaignStatus => about.campaign,
        _ => about.platform,
    };
    let entity = entity.ok_or("no field names what the status is about (audience, campaign or platform)")?;
    let id = match about.partition {
        Some(partition) => format!("{entity}/{partition}"),
        None => entity.clone(),
    };
    Ok(NewRow {
        replaces: Replaces::NotNewer,
        tenant: head.tenant,
        kind: kind.as_str(),
        id,
        at: head.at.as_millis(),
        entity,
        body: head.data.as_raw_str().to_owned(),
    })
}

/// The statement of an outcome that corrects an earlier one.
fn correction(head: &Head<'_>) -> Result<Option<Statement>, String> {
    let outcome: Outcome = serde_json::from_str(head.data.as_raw_str()).map_err(|error| error.to_string())?;
    Ok(outcome.is_correction().then(|| outcome.statement(head.at)))
}

impl Stage for ViewsStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut moves: BTreeMap<TopicPartition, u64> = BTreeMap::new();
        let mut rows = Vec::with_capacity(batch.records.len());
        // By the record's place in the batch, so that a repetition gives the same order.
        let mut letters: BTreeMap<usize, (&'static str, String)> = BTreeMap::new();
        for (place, record) in batch.records.iter().enumerate() {
            let partition = partition_of(record);
            let written = self.offsets.get(&partition).copied().flatten();
            let is_in_database = written.is_some_and(|next| record.offset < next);
            match row(record) {
                // The log may have lost a commit whose rows the database has. Dead letters exist only in the log, so they
                // are written again.
                Err(problem) => {
                    letters.insert(place, ("malformed", problem));
                }
                Ok(_) if is_in_database => {
                    if let Some(reason) = self.refusal(&partition, record.offset) {
                        letters.insert(place, (REFUSED, reason.to_owned()));
                    }
                }
                Ok(row) => rows.extend(row),
            }
            if !is_in_database {
                moves.insert(partition, record.offset + 1);
            }
        }
        if moves.is_empty() {
            write_letters(batch, letters, out);
            return Ok(());
        }
        let moves: Vec<(TopicPartition, u64)> = moves.into_iter().collect();
        let of_database: Vec<(String, Option<u64>, u64)> = moves
            .iter()
            .map(|(partition, next)| {
                (
                    self.source(partition),
                    self.offsets.get(partition).copied().flatten(),
                    *next,
                )
            })
            .collect();
        let written = self.handle.block_on(async {
            match self.store.write(rows, &of_database).await {
                Err(error) if self.store.refuses(&error) => {
                    let rows = self.rows_of(batch);
                    self.store.write_accepted(rows, &of_database).await
                }
                written => written.map(|not_stored| Accepted {
                    not_stored,
                    refused: Vec::new(),
                }),
            }
        });
        // Only the database knows whether the rows were written. The runtime asks for its offsets before the next attempt.
        let written = written.map_err(|error| unavailable(&error))?;
        for (kind, events) in written.not_stored {
            let meters = self.retention.meters();
            meters.not_stored.with_label_values(&[kind]).inc_by(events);
        }
        self.offsets
            .extend(moves.into_iter().map(|(partition, next)| (partition, Some(next))));
        for refused in written.refused {
            let place = batch.records.iter().position(|record| {
                record.offset == refused.offset && self.source(&partition_of(record)) == refused.source
            });
            let place = place.expect("the store names records of the batch");
            letters.insert(place, (REFUSED, refused.reason.clone()));
            self.refused
                .entry(partition_of(&batch.records[place]))
                .or_default()
                .insert(refused.offset, refused.reason);
        }
        write_letters(batch, letters, out);
        Ok(())
    }

    fn tick(&mut self, _: &[u32], now: Utc, _: &mut Outputs<'_>) -> Result<(), StageError> {
        if let Err(error) = self.handle.block_on(self.retention.tick(&self.store, now)) {
            // New events matter more. The next round deletes what this one did not.
            tracing::warn!(%error, "old events were not deleted from the view: the next attempt follows");
        }
        Ok(())
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        let sources: Vec<String> = partitions
            .iter()
            .map(|partition| self.source(partition))
            .collect();
        // Before logs had an identity, a source was named after the settings alone.
        let unnamed = self.log.rsplit_once('@').map(|(name, _)| name).into_iter();
        let former: Vec<(String, String)> = unnamed
            .flat_map(|name| {
                partitions
                    .iter()
                    .map(move |partition| format!("{name}/{partition}"))
            })
            .zip(sources.iter().cloned())
            .collect();
        let known = self.handle.block_on(async {
            self.store.rename_sources(&former).await?;
            let mut refused = Vec::with_capacity(sources.len());
            for source in &sources {
                refused.push(self.store.refused(source).await?);
            }
            Ok((self.store.offsets(&sources).await?, refused))
        });
        let (offsets, refused) = known.map_err(|error: StoreError| unavailable(&error))?;
        self.refused.extend(partitions.iter().cloned().zip(refused));
        self.offsets
            .extend(partitions.iter().cloned().zip(offsets.iter().copied()));
        // If the database has no offset for a partition (it is new, or was emptied), start at the earliest record.
        Ok(partitions
            .iter()
            .cloned()
            .zip(offsets.into_iter().map(Option::unwrap_or_default))
            .collect())
    }

    /// What the log has again is recognised by the ids of its events.
    fn forget_offsets(&mut self, partitions: &[TopicPartition]) -> Result<(), StageError> {
        let sources: Vec<String> = partitions
            .iter()
            .map(|partition| self.source(partition))
            .collect();
        self.handle
            .block_on(self.store.forget_offsets(&sources))
            .map_err(|error| unavailable(&error))?;
        self.offsets
            .extend(partitions.iter().map(|partition| (partition.clone(), None)));
        for partition in partitions {
            self.refused.remove(partition);
        }
        Ok(())
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.offsets.remove(partition);
            self.refused.remove(partition);
        }
    }
}

fn write_letters(batch: &Batch, letters: BTreeMap<usize, (&'static str, String)>, out: &mut Outputs<'_>) {
    for (place, (reason, detail)) in letters {
        let record = &batch.records[place];
        if &*record.topic == topics::STATUS {
            // A compacted topic has no dead letters. The next status takes the place of this one.
            tracing::warn!(
                offset = record.offset,
                reason,
                detail,
                "a status cannot be stored and is skipped"
            );
            continue;
        }
        out.dead(record, reason, detail);
    }
}

fn partition_of(record: &Record) -> TopicPartition {
    TopicPartition {
        topic: record.topic.clone(),
        partition: record.partition,
    }
}

fn unavailable(error: &StoreError) -> StageError {
    StageError::unavailable("view_unavailable", error.to_string())
}

#[cfg(test)]
mod tests;
