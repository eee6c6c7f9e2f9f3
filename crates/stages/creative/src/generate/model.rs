//! Orders of texts, and who fills them.

use std::sync::Arc;
use std::time::Duration;

use limbic_domain::{Campaign, Direction, GeneratorVersion, Platform, Slug, TenantId};
use limbic_stream::outbox::{Answer, Call, Request, Sender};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::index::PastAd;
use super::past::SharedRetrieval;

/// An order of texts, with everything that is needed to send it and to check the reply.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TextOrder {
    /// The id: a function of tenant, campaign, platform, strategy, model and prompt.
    pub id: String,
    /// Who pays.
    pub tenant: TenantId,
    /// The campaign, as it was when the order was made.
    pub campaign: Campaign,
    /// The ad platform whose limits the prompt names.
    pub platform: Platform,
    /// The direction of the moments that the texts are for.
    pub direction: Option<Direction>,
    /// The strategy.
    pub strategy: Slug,
    /// The tones that a text may have.
    pub tones: Vec<Slug>,
    /// What a text may appeal to.
    pub appeals: Vec<Slug>,
    /// The strategy's version, and the hash of the prompt.
    pub prompt_version: GeneratorVersion,
    /// The model: a route of the gateway, or `PROVIDER/MODEL`.
    pub model: String,
    /// Instructions for the model.
    pub system: String,
    /// The prompt.
    pub prompt: String,
    /// The JSON Schema of the reply.
    pub schema: Value,
    /// Maximum number of tokens of the reply.
    pub max_tokens: u32,
    /// How many times it was sent before, because no texts came.
    pub round: u32,
    /// The tenant's ads that have run, for the index of earlier ads.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub past: Vec<PastAd>,
}

impl TextOrder {
    /// With headlines of earlier ads in the prompt. The id stays: other results of other ads are no reason for a new order.
    #[must_use]
    fn with_headlines(mut self, headlines: &[String]) -> Self {
        if headlines.is_empty() {
            return self;
        }
        let lines: Vec<String> = headlines.iter().map(|line| json!(line).to_string()).collect();
        self.prompt.push_str(
            "\nHeadlines of this advertiser that did well before. Learn from their manner; what they say need not be true of this product: ",
        );
        self.prompt.push_str(&lines.join(", "));
        self.prompt_version.hash = prompt_hash(&self.system, &self.prompt, &self.schema);
        self
    }

    /// The idempotency key: a function of order and round, in at most 200 visible ASCII characters.
    pub fn key(&self) -> String {
        format!("texts-{}-{}", self.id, self.round)
    }
}

/// The first 16 hexadecimal digits of the hash of what a model is asked.
pub(super) fn prompt_hash(system: &str, prompt: &str, schema: &Value) -> String {
    let hash = blake3::hash(format!("{system}\n{prompt}\n{schema}").as_bytes());
    hash.to_hex()[..16].to_owned()
}

impl Request for TextOrder {
    const VERSION: u32 = 1;
    /// With the hash of what was asked.
    type Reply = (ModelReply, String);
}

/// The reply of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelReply {
    /// The text: a JSON document of the order's schema, if the model has done as it was told.
    pub text: String,
    /// The model that wrote it, as `PROVIDER/MODEL`.
    pub model: String,
}

/// Fills orders: the node's gateway to language models.
pub trait TextModel: Send + Sync {
    /// Sends an order, and blocks until the reply or the deadline. An order that is sent again with the same key gets the reply of the
    /// first one, and is paid once, as far as the gateway can know.
    fn write(&self, key: &str, order: &TextOrder, deadline: Duration) -> Answer<ModelReply>;
}

/// The language models of a node. `None` = it has none.
pub type TextModels = Option<Arc<dyn TextModel>>;

/// The language models as the destination of an outbox.
pub(super) struct Destination {
    pub(super) model: Arc<dyn TextModel>,
    pub(super) retrieval: SharedRetrieval,
}

impl Destination {
    fn ask(&self, call: &Call<TextOrder>) -> Answer<(ModelReply, String)> {
        let headlines = self
            .retrieval
            .get()
            .map_or_else(Vec::new, |retrieval| retrieval.headlines(&call.request));
        let order = TextOrder::clone(&call.request).with_headlines(&headlines);
        let asked = order.prompt_version.hash.clone();
        match self.model.write(&call.key, &order, call.deadline) {
            Answer::Applied(reply) => Answer::Applied((reply, asked)),
            Answer::RetryAfter { wait, detail } => Answer::RetryAfter { wait, detail },
            Answer::Blocked { detail } => Answer::Blocked { detail },
            Answer::Rejected { detail } => Answer::Rejected { detail },
            Answer::Unknown { detail } => Answer::Unknown { detail },
        }
    }
}

impl Sender<TextOrder> for Destination {
    fn send(&self, calls: &[Call<TextOrder>]) -> Vec<Answer<(ModelReply, String)>> {
        calls.iter().map(|call| self.ask(call)).collect()
    }
}
