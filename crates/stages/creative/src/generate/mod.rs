//! Texts by language models, and pictures by models that paint: ordered for a campaign, checked, and kept for the moments to come.
//!
//! ```text
//!                 one transaction                    one transaction
//!  decisions ──▶ TextsStage ──▶ outbox ──▶ TextModel ──────────────▶ texts ───────▶ (tables) CreativeStage
//!  campaigns ──────┘ ▲    └───▶ outbox ──▶ PictureModel ───────────▶ backgrounds ──▶
//!  texts, status, ───┘                      the node's gateway
//!  backgrounds (tables)
//! ```

mod background;
mod component;
mod index;
mod model;
mod past;
mod reply;
mod stage;
mod strategy;

pub use background::{PaintQuality, PaintSettings, PictureModel, PictureModels, PictureOrder, PictureReply};
pub use index::{AdIndex, AdIndexes, IndexError, MemoryIndex, NearAd, PastAd};
pub use model::{ModelReply, TextModel, TextModels, TextOrder};
pub use past::{Embedder, Embedders};
pub use stage::{TEXTS_STAGE, TextsStage};
pub(crate) use strategy::Strategies;

use limbic_domain::{ConnectionUrl, HumanDuration, Secret};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Texts by language models: `[creative.generate]`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GenerateSettings {
    /// The model that writes texts: the name of a route of `[llm]`, or `PROVIDER/MODEL`. Empty (default) = no language model is asked.
    /// The budgets of `[llm]` hold.
    pub model: String,
    /// How many texts are ordered at a time, for one campaign, ad platform and strategy. 1 to 10; default 4.
    pub texts: usize,
    /// How many headlines of the tenant's earlier ads that did well a prompt names, as far as there are some: those that are near to the
    /// brief by the model of `[affect]`, weighted by their click rate and by how sure it is. 0 = none are looked for. At most 20; default
    /// 3.
    pub past: usize,
    /// Where the vectors of earlier ads are: `embedded` (default) = in the process, or `http://HOST:PORT` of a Qdrant server, which keeps
    /// them over restarts and for all nodes.
    pub index: ConnectionUrl,
    /// The API key of the Qdrant server. Empty = none.
    pub index_key: Secret,
    /// After how long texts are ordered again if none came, or none passed the checks. At least 1min; default 6h.
    pub retry: HumanDuration,
    /// Maximum duration of one call. At least 1s; default 60s.
    pub deadline: HumanDuration,
}

impl Default for GenerateSettings {
    fn default() -> Self {
        Self {
            model: String::new(),
            texts: 4,
            past: 3,
            index: ConnectionUrl::new(ConnectionUrl::EMBEDDED),
            index_key: Secret::default(),
            retry: HumanDuration::from_hours(6),
            deadline: HumanDuration::from_secs(60),
        }
    }
}

impl GenerateSettings {
    /// The settings that are outside their ranges, each with its range.
    pub(crate) fn problems(&self) -> impl Iterator<Item = (&'static str, String)> {
        let index = &self.index;
        let checks = [
            (
                index.is_embedded() || matches!(index.scheme(), "http" | "https"),
                "index",
                format!("{index}: write `embedded`, or http://HOST:PORT of a Qdrant server"),
            ),
            (
                (1..=10).contains(&self.texts),
                "texts",
                format!("{}: choose 1 to 10", self.texts),
            ),
            (self.past <= 20, "past", format!("{}: choose 0 to 20", self.past)),
            (
                self.retry >= HumanDuration::from_mins(1),
                "retry",
                format!("{}: must be at least 1min", self.retry),
            ),
            (
                self.deadline >= HumanDuration::from_secs(1),
                "deadline",
                format!("{}: must be at least 1s", self.deadline),
            ),
        ];
        checks
            .into_iter()
            .filter_map(|(holds, name, problem)| (!holds).then_some((name, problem)))
    }
}
