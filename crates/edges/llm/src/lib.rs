//! Models: providers that write a text, paint a picture or make a clip from a request.
//!
//! ```text
//!  stage ──▶ Outbox<Generate> ──▶ Providing ──▶ Provider::generate ──HTTP──▶ model
//!                 ▲                                    │ pieces of text, then the result
//!                 └────────── Answer<Generated> ◀──────┘
//! ```
//!
//! * [`Generate`] is a request, in the form in which the outbox of a stage stores it. [`Generated`] is the result.
//! * [`Provider`] is a connection to a model. It streams. [`Providing`] makes it a destination of an
//!   [`Outbox`](limbic_stream::outbox::Outbox), which is responsible for retries, limits and the circuit breaker.
//! * [`gateway`] puts all providers behind one function, with routes, prices, budgets of tenants, failover and a cache. The API of a node
//!   asks it, and it can be the destination of an outbox too.
//!
//! | provider | API | structured output |
//! |---|---|---|
//! | [`OpenAiCompatible`] | `OpenAI`'s chat completions, on the hosted server or another one (`http://127.0.0.1:8000/v1`) | `response_format` |
//! | [`Anthropic`] | Messages | `output_config.format` |
//! | [`Gemini`] | `generateContent` | `responseJsonSchema` |
//! | [`Mistral`] | chat completions | `response_format` |
//! | [`Ollama`] | chat | `format` |
//!
//! A [`Painter`] is the same for pictures: [`Paint`] is the request, and [`Painted`] the result, whose bytes are decoded within limits before
//! they count as a picture.
//!
//! | provider of pictures | API | state on 2026-11-30 |
//! |---|---|---|
//! | [`OpenAiImages`] | `OpenAI`'s Images API | `gpt-image-1` has ended, its successors have the same API |
//! | [`GeminiImages`] | `generateContent` with `responseModalities` | Google's present models |
//! | [`Imagen`] | `predict` of the Gemini API | ended at Google, according to reports |
//!
//! A [`Filmer`] makes clips, as jobs: it begins one for a [`Film`], and is asked for its state until the clip is there ([`Filmed`]).
//!
//! | provider of clips | API | state on 2026-12-01 |
//! |---|---|---|
//! | [`Veo`] | `predictLongRunning` of the Gemini API | ended at Google, according to a report |
//!
//! # What it is not
//!
//! It knows nothing of ads. The stage `texts` of `limbic-creative` orders texts, and the node passes the orders to the gateway.
//!
//! A provider does not retry, cache or check the text: the outbox retries, and the safety gate checks. Tool calls are not supported, nor are
//! pictures in prompts: [`Generate`] and [`Paint`] cannot have them, and a reply that consists of tool calls is rejected. Nor do requests for clips have
//! pictures.
//!
//! # Laws
//!
//! * A provider sends the idempotency key of its [`Attempt`], and the caller gives every attempt of a request the same one. The gateway
//!   derives it from the tenant, the caller's key, the provider and the model, so two tenants never share one. Whether a server honours
//!   the key is not known.
//! * A result contains text. A refusal that the provider names as one is [`FailureKind::Refused`]. A reply that has another form than the one
//!   known here, or that ends before its end, is [`FailureKind::Unknown`].
//! * The pieces that a provider passes on are the text of its result, divided.
//! * No error, log line or debug output contains the API key, also if the server repeats it.
//!
//! # Example
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//!
//! use limbic_domain::Utc;
//! use limbic_llm::{Attempt, Generate, Generated, OnText, Pending, Provider};
//!
//! /// A model that repeats its prompt.
//! struct Parrot;
//!
//! impl Provider for Parrot {
//!     fn generate<'a>(&'a self, attempt: Attempt<'a>, on_text: &'a mut OnText<'_>) -> Pending<'a> {
//!         Box::pin(async move {
//!             on_text(&attempt.request.prompt);
//!             Ok(Generated::text(attempt.request.prompt.clone()))
//!         })
//!     }
//! }
//!
//! let request = Generate {
//!     model: "parrot".into(),
//!     system: None,
//!     prompt: "Hello!".into(),
//!     max_tokens: 16,
//!     temperature: None,
//!     seed: None,
//!     schema: None,
//! };
//! let attempt = Attempt {
//!     key: "moment-1",
//!     request: &request,
//!     now: Utc::from_millis(0),
//!     deadline: Duration::from_secs(10),
//! };
//! let runtime = tokio::runtime::Runtime::new().unwrap();
//! let mut pieces = String::new();
//! let reply = runtime.block_on(Parrot.generate(attempt, &mut |piece| pieces.push_str(piece)));
//! assert_eq!(reply.unwrap().text, pieces);
//! ```

mod anthropic;
mod film;
pub mod gateway;
mod gemini;
mod gemini_images;
mod imagen;
mod mistral;
mod mp4;
mod ollama;
mod openai;
mod openai_images;
mod paint;
mod provider;
mod request;
mod server;
mod veo;

pub use anthropic::{Anthropic, AnthropicSettings};
pub use film::{Film, FilmJob, Filmed, Filmer, PendingJob, PendingState, Polled, Shape};
pub use gemini::{Gemini, GeminiSettings};
pub use gemini_images::GeminiImages;
pub use imagen::{Imagen, ImagenSettings, People};
pub use mistral::{Mistral, MistralSettings};
pub use mp4::{Mp4, NotMp4};
pub use ollama::{Ollama, OllamaSettings};
pub use openai::{LimitField, OpenAiCompatible, OpenAiSettings};
pub use openai_images::{OpenAiImages, OpenAiImagesSettings, OutputFormat};
pub use paint::{Paint, Painted, Painter, PendingPicture, Quality};
pub use provider::{Attempt, Failure, FailureKind, OnText, Pending, Provider, Providing, Spent};
pub use request::{Generate, Generated, Usage};
pub use server::SettingsError;
pub use veo::{PeopleInClips, Resolution, Veo, VeoSettings};
