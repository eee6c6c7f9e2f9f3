//! Language models: providers that generate text from a request.
//!
//! ```text
//!  stage ──▶ Outbox<Generate> ──▶ Provider::generate ──HTTP──▶ model
//!                 ▲                      │
//!                 └── Answer<Generated> ◀┘
//! ```
//!
//! * [`Generate`] is a request, in the form in which the outbox of a stage stores it. [`Generated`] is the result.
//! * [`Provider`] is a connection to a model. [`Providing`] makes it a destination of an
//!   [`Outbox`](limbic_stream::outbox::Outbox), which is responsible for retries, limits and the circuit breaker.
//! * [`OpenAiCompatible`] uses `OpenAI`'s *chat completions* API, on the hosted server or a local one
//!   (`http://127.0.0.1:11434/v1`).
//!
//! # What it is not
//!
//! No stage of a node uses a provider yet. `examples/llm-provider` shows a stage that does.
//!
//! A provider does not retry, cache or check the text: the outbox retries, and the safety gate checks. Streaming, tool
//! calls and images are not supported: [`Generate`] cannot request them, and a reply that consists of them is rejected.
//!
//! # Laws
//!
//! * Every attempt of a request has the same idempotency key.
//! * An answer is [`Applied`](limbic_stream::outbox::Answer::Applied) only if it contains text. A refusal by the model is
//!   `Rejected`. A reply that the API does not document is `Unknown`, and the request is repeated.
//! * No error, log line or debug output contains the API key.
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use limbic_domain::Utc;
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
//!
//! let request = Generate {
//!     model: "parrot".into(),
//!     system: None,
//!     prompt: "Hello!".into(),
//!     max_tokens: 16,
//!     temperature: 0.0,
//!     seed: None,
//! };
//! let call = Call {
//!     key: "moment-1".into(),
//!     request: Arc::new(request),
//!     attempt: 1,
//!     now: Utc::from_millis(0),
//!     deadline: Duration::from_secs(10),
//! };
//! assert!(matches!(Parrot.generate(&call), Answer::Applied(reply) if reply.text == "Hello!"));
//! ```

mod openai;

use limbic_stream::outbox::{Answer, Call, Request, Sender};
use serde::{Deserialize, Serialize};

pub use openai::{OpenAiCompatible, OpenAiSettings, SettingsError};

/// A request to a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// The model's name, in the provider's form.
    pub model: String,
    /// Instructions for the model (the system message).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<String>,
    /// The prompt.
    pub prompt: String,
    /// Maximum number of tokens of the reply.
    pub max_tokens: u32,
    /// Randomness, from 0 (the most likely words) to 2.
    pub temperature: f64,
    /// If the provider supports it, the same seed and request give the same reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<i64>,
}

impl Request for Generate {
    const VERSION: u32 = 1;
    type Reply = Generated;
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
    /// Tokens of the prompt. 0 if the provider does not report them.
    pub prompt_tokens: u64,
    /// Tokens of the reply. 0 if the provider does not report them.
    pub completion_tokens: u64,
}

impl Generated {
    /// A complete text without further information.
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

/// A connection to a language model. It blocks, and is called from several threads.
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
