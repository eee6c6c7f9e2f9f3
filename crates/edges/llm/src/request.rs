//! Requests and results.

use limbic_stream::outbox::Request;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A request to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The model's name: in the provider's form, or the name of a route if a gateway is asked.
    pub model: String,
    /// Instructions for the model (the system message).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// Maximum number of tokens of the reply.
    pub max_tokens: u32,
    /// Randomness, from 0 (the most likely words) to 2. A provider with a smaller range uses its highest value instead of a
    /// higher one. `None` = the provider's default; some models accept nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// If the provider supports it, the same seed and request give the same reply. Anthropic has no seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
    /// A JSON Schema for the reply. The provider is asked for a text that is a JSON document of this schema. The text is not
    /// checked here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<Value>,
}

impl Generate {
    /// An upper bound of the tokens of the prompt, because a token has at least one byte. The constant covers the marks that
    /// providers put around messages.
    pub fn most_prompt_tokens(&self) -> u64 {
        const MARKS: usize = 64;
        let system = self.system.as_ref().map_or(0, String::len);
        let schema = self.schema.as_ref().map_or(0, |schema| schema.to_string().len());
        (self.prompt.len() + system + schema + MARKS) as u64
    }
}

impl Request for Generate {
    const VERSION: u32 = 2;
    type Reply = Generated;

    /// Version 1 had no schema, and always a temperature.
    fn migrate(version: u32, stored: Value) -> Result<Self, String> {
        match version {
            1 => serde_json::from_value(stored).map_err(|error| error.to_string()),
            other => Err(format!("version {other} cannot be read, only versions 1 and 2")),
        }
    }
}

/// What a request has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the reply, with those that a model spends on thinking. Some models count a picture in tokens too.
    pub completion_tokens: u64,
    /// Pictures, of providers that count them instead of their tokens.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pictures: u64,
    /// Seconds of video, of providers that make clips.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub video_seconds: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl Usage {
    /// All tokens.
    pub const fn total(self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}

/// The result of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, never empty.
    pub text: String,
    /// The model that wrote it, in the provider's form. Empty if unknown.
    pub model: String,
    /// Whether [`Generate::max_tokens`] ended the text.
    pub is_cut_off: bool,
    /// The tokens. `None` if the provider does not report them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl Generated {
    /// A complete text without further information.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            model: String::new(),
            is_cut_off: false,
            usage: None,
        }
    }
}
