//! The views stage: writes every topic to the view.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use limbic_domain::{Outcome, Statement, TenantId, Utc, topics};
use limbic_stream::{Batch, EventTime, Outputs, Record, Stage, StageError, StageSpec, TopicPartition};
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::runtime::Handle;

use crate::store::{NewRow, Store, StoreError};

/// Writes posts, readings, moments, creatives, decisions and outcomes to the view.
pub struct ViewsStage {
    store: Store,
    handle: Handle,
    /// The next offset of each source in the database, as far as this instance knows.
    offsets: HashMap<TopicPartition, Option<u64>>,
    /// The name of the log. Offsets of another log have no meaning here.
    log: Arc<str>,
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
    tenant: TenantId,
    id: String,
    at: Utc,
    #[serde(borrow)]
    data: &'a RawValue,
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
}

#[derive(Deserialize)]
struct PostEntity {
    network: String,
    id: String,
}

impl ViewsStage {
    /// A stage that writes to `store`. Database calls run on `handle`. `log` is the name of the log that it reads.
    pub fn new(store: Store, handle: Handle, log: &str) -> Self {
        Self {
            store,
            handle,
            offsets: HashMap::new(),
            log: log.into(),
        }
    }

    /// The stage's topics and requirements, for the runtime.
    pub fn spec() -> StageSpec {
        let mut spec = StageSpec::new("views");
        for topic in [
            topics::POSTS,
            topics::READINGS,
            topics::MOMENTS,
            topics::CREATIVES,
            topics::DECISIONS,
            topics::OUTCOMES,
        ] {
            spec = spec.reads(topic, EventTime::Ignored);
        }
        spec
    }

    fn source(&self, partition: &TopicPartition) -> String {
        format!("{}/{partition}", self.log)
    }
}

/// The row for `record`, or why there is none.
fn row(record: &Record) -> Result<NewRow, String> {
    let head: Head<'_> = serde_json::from_slice(&record.value).map_err(|error| error.to_string())?;
    let about: About = serde_json::from_str(head.data.get()).map_err(|error| error.to_string())?;
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
        other => return Err(format!("topic `{other}` is not part of the view")),
    };
    let correction = match &*record.topic {
        topics::OUTCOMES => correction(&head)?,
        _ => None,
    };
    Ok(NewRow {
        correction,
        tenant: head.tenant.to_string(),
        kind,
        id: head.id,
        at: head.at.as_millis(),
        entity: entity.ok_or("no field names its entity (post, audience, campaign or decision)")?,
        body: head.data.get().to_owned(),
    })
}

/// The statement of an outcome that corrects an earlier one.
fn correction(head: &Head<'_>) -> Result<Option<Statement>, String> {
    let outcome: Outcome = serde_json::from_str(head.data.get()).map_err(|error| error.to_string())?;
    Ok(outcome.is_correction().then(|| outcome.statement(head.at)))
}

impl Stage for ViewsStage {
    fn process(&mut self, batch: &Batch, out: &mut Outputs<'_>) -> Result<(), StageError> {
        let mut moves: BTreeMap<TopicPartition, u64> = BTreeMap::new();
        let mut rows = Vec::with_capacity(batch.records.len());
        for record in &batch.records {
            let partition = TopicPartition {
                topic: record.topic.clone(),
                partition: record.partition,
            };
            let written = self.offsets.get(&partition).copied().flatten();
            let is_in_database = written.is_some_and(|next| record.offset < next);
            match row(record) {
                // The log may have lost a commit whose rows the database has. Dead letters exist only in the log, so they
                // are written again.
                Err(problem) => out.dead(record, "malformed", problem),
                Ok(_) if is_in_database => {}
                Ok(row) => rows.push(row),
            }
            if !is_in_database {
                moves.insert(partition, record.offset + 1);
            }
        }
        if moves.is_empty() {
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
        match self.handle.block_on(self.store.write(&rows, &of_database)) {
            Ok(()) => {
                self.offsets
                    .extend(moves.into_iter().map(|(partition, next)| (partition, Some(next))));
                Ok(())
            }
            // Only the database knows whether the rows were written. The runtime asks for its offsets before the next attempt.
            Err(error) => Err(unavailable(&error)),
        }
    }

    fn assigned(&mut self, partitions: &[TopicPartition]) -> Result<Vec<(TopicPartition, u64)>, StageError> {
        let sources: Vec<String> = partitions
            .iter()
            .map(|partition| self.source(partition))
            .collect();
        let offsets = self
            .handle
            .block_on(self.store.offsets(&sources))
            .map_err(|error| unavailable(&error))?;
        self.offsets
            .extend(partitions.iter().cloned().zip(offsets.iter().copied()));
        // If the database has no offset for a partition (it is new, or was emptied), start at the earliest record.
        Ok(partitions
            .iter()
            .cloned()
            .zip(offsets.into_iter().map(Option::unwrap_or_default))
            .collect())
    }

    fn revoked(&mut self, partitions: &[TopicPartition]) {
        for partition in partitions {
            self.offsets.remove(partition);
        }
    }
}

fn unavailable(error: &StoreError) -> StageError {
    StageError::unavailable("view_unavailable", error.to_string())
}
