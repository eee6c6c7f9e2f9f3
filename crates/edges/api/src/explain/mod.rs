//! Explains in plain sentences why an audience got an ad, or none.
//!
//! Everything is read: the state of audiences, decisions, outcomes and ad platforms from the view, campaigns and holds from the
//! log's tables. The API and `limbic explain` give the same answers.

mod audience;
mod decision;
mod post;
mod words;

use std::sync::Arc;

use limbic_domain::{Campaign, Decision, Envelope, Hold, TenantId, topics};
use limbic_stream::Log;
use limbic_stream::reference::read_table;
use limbic_views::{Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub(crate) use audience::audience_view;
pub use audience::{AudienceView, WantedBy};
pub use decision::DeliveryView;
pub use decision::{PlatformView, PlatformViews, platform_views};
pub(crate) use words::interval;

/// What an explanation could not read.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// The view.
    #[error(transparent)]
    View(#[from] StoreError),
    /// A table of the log.
    #[error("the topic `{topic}` cannot be read: {problem}")]
    Table {
        /// The topic.
        topic: &'static str,
        /// The reason.
        problem: String,
    },
    /// The text names nothing that can be explained.
    #[error(
        "`{0}` is neither an audience (SEGMENT:SUBJECT, for instance everyone:football), nor a post (NETWORK/ID), nor the id of a \
         decision (CAMPAIGN.HASH): `limbic explain` without an argument lists the audiences"
    )]
    NotNamed(String),
    /// There is no such thing.
    #[error("{0}")]
    NotFound(String),
}

/// An answer to "why?".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    /// What was asked for.
    pub of: String,
    /// `audience`, `post` or `decision`.
    pub kind: String,
    /// The answer, one idea a sentence.
    pub sentences: Vec<String>,
    /// What the sentences are made of.
    pub facts: Value,
}

/// The tables of the log that explanations need, of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    /// The campaigns, by their names.
    pub campaigns: Vec<Campaign>,
    /// The holds, those that are over too.
    pub holds: Vec<Hold>,
}

impl Tables {
    /// Reads the tables. Blocks.
    pub fn read(log: &Arc<dyn Log>, tenant: &TenantId) -> Result<Self, ExplainError> {
        Ok(Self {
            campaigns: of_tenant::<Campaign>(log, topics::CAMPAIGNS, tenant)?,
            holds: of_tenant::<Hold>(log, topics::HOLDS, tenant)?,
        })
    }

    pub(crate) fn hold_on(&self, subject: &str) -> Option<&Hold> {
        self.holds.iter().find(|hold| hold.subject.as_str() == subject)
    }
}

/// The records of a tenant in a compacted topic, in the order of their keys. What this program cannot read is left out.
fn of_tenant<T: limbic_domain::Record>(
    log: &Arc<dyn Log>,
    topic: &'static str,
    tenant: &TenantId,
) -> Result<Vec<T>, ExplainError> {
    let table = read_table(log, topic).map_err(|error| ExplainError::Table {
        topic,
        problem: error.to_string(),
    })?;
    let all = table
        .values()
        .filter_map(|value| Envelope::<T>::decode(value).ok());
    Ok(all
        .filter(|envelope| envelope.tenant == *tenant)
        .map(|envelope| envelope.data)
        .collect())
}

/// Explains an audience, a post or a decision, whichever `of` names.
pub async fn explain(
    store: &Store,
    tables: &Tables,
    tenant: &TenantId,
    of: &str,
) -> Result<Explanation, ExplainError> {
    if Decision::campaign_of(of).is_some() {
        return decision::explain(store, tenant, of).await;
    }
    if let Some((network, id)) = of.split_once('/') {
        return post::explain(store, tables, tenant, (network, id)).await;
    }
    match of.parse() {
        Ok(audience) => audience::explain(store, tables, tenant, &audience).await,
        Err(_) => Err(ExplainError::NotNamed(of.chars().take(80).collect())),
    }
}
