//! Language models: providers that generate text from a request.
//!
//! ```text
//!  stage ──▶ Outbox<Generate> ──▶ Provider::generate ──HTTP──▶ model
//!                 ▲                      │
//!                 └── Answer<Generated> ◀┘
//! ```
//!
//! * [`Generate`] is a request, as the outbox of a stage stores it. [`Generated`] is the text that came back.
//! * [`Provider`] is one way to a model. [`Providing`] makes it a destination of an
//!   [`Outbox`](limbic_stream::outbox::Outbox), which owns retries, limits and the circuit breaker.
//! * [`OpenAiCompatible`] speaks to every server with `OpenAI`'s *chat completions* API: the hosted one, or a local one
//!   (`http://127.0.0.1:11434/v1`).
//!
//! # What it is not
//!
//! No stage of a node asks a provider yet: `examples/llm-provider` shows a stage that does.
//!
//! A provider does not retry, cache, or judge what the model wrote: the outbox retries, and the safety gate judges. Streaming,
//! tool calls and images are not built: [`Generate`] cannot ask for them, and a reply that consists of them is rejected.
//!
//! # Laws
//!
//! * Every attempt of a request carries the same idempotency key.
//! * An answer is [`Applied`](limbic_stream::outbox::Answer::Applied) only if it holds text. A refusal of the model is
//!   `Rejected`; a reply that is not what the API documents is `Unknown`, and is asked for again.
//! * The API key appears in no error, log or debug output.
//!
//! # Example
//!
//! ```
//! use limbic_llm::{Generate, Generated, Provider};
//! use limbic_stream::outbox::{Answer, Call};
//!
//! /// A model that repeats its prompt.
//! struct Parrot;
//!
//! impl Provider for Parrot {
//!     fn generate(&self, call: &Call<Generate>) -> Answer<Generated> {
//!         Answer::Applied(Generated::text(call.request.prompt.clone()))
//!     }
//! }
//! ```

mod openai;

use limbic_stream::outbox::{Answer, Call, Request, Sender};
use serde::{Deserialize, Serialize};

pub use openai::{OpenAiCompatible, OpenAiSettings, SettingsError};

/// What a model is to write.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The model's name, as the provider knows it.
    pub model: String,
    /// How the model is to behave (the system message).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// What it is asked.
    pub prompt: String,
    /// Most tokens of the reply.
    pub max_tokens: u32,
    /// 0 = the likeliest words, 2 = the most random ones.
    pub temperature: f64,
    /// Where the provider supports it: the same seed and request give the same reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

impl Request for Generate {
    const VERSION: u32 = 1;
    type Reply = Generated;
}

/// What a model wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Generated {
    /// The text, never empty.
    pub text: String,
    /// The model that wrote it, as the provider names it; empty if it does not say.
    pub model: String,
    /// Whether the text ends because [`Generate::max_tokens`] was reached.
    pub is_cut_off: bool,
    /// Tokens read; 0 if the provider does not say.
    pub prompt_tokens: u64,
    /// Tokens written; 0 if the provider does not say.
    pub completion_tokens: u64,
}

impl Generated {
    /// A whole text, with nothing known about its making.
    pub fn text(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            model: String::new(),
            is_cut_off: false,
            prompt_tokens: 0,
            completion_tokens: 0,
        }
    }
}

/// A way to a language model. It blocks; it is called from several threads at once.
pub trait Provider: Send + Sync + 'static {
    /// Makes one attempt, within the call's deadline.
    fn generate(&self, call: &Call<Generate>) -> Answer<Generated>;
}

/// A provider as a destination of an outbox.
#[derive(Debug, Clone)]
pub struct Providing<P>(pub P);

impl<P: Provider> Sender<Generate> for Providing<P> {
    fn send(&self, calls: &[Call<Generate>]) -> Vec<Answer<Generated>> {
        calls.iter().map(|call| self.0.generate(call)).collect()
    }
}
