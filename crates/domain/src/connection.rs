//! What a node remembers of a connector.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Record, Slug};

/// How far a connector has read its source. Written after the posts before it are durable. The key in the topic is
/// `TENANT/NAME/position`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorPosition {
    /// The name of the connector in the settings.
    pub connector: Slug,
    /// The position, in a form that only the connector understands.
    pub cursor: String,
}

impl Record for ConnectorPosition {
    const TYPE: &'static str = "connector_position";
    const VERSION: u32 = 1;
}

/// Whether a person has paused a connector. The key in the topic is `TENANT/NAME/pause`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorPause {
    /// The name of the connector in the settings.
    pub connector: Slug,
    /// Whether it is paused.
    pub paused: bool,
    /// Who said so: the API key, as in [`Release::by`](crate::Release::by).
    pub by: String,
}

impl Record for ConnectorPause {
    const TYPE: &'static str = "connector_pause";
    const VERSION: u32 = 1;
}
