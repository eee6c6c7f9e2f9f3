//! Every provider with a local server that behaves as we remember its API, with and without failures; and the gateway in front of such
//! servers.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

mod anthropic;
mod clips;
mod gateway;
mod gemini;
mod mistral;
mod ollama;
mod openai;
mod outbox;
mod pictures;
mod server;
mod suite;

suite::conformance!(openai_conforms, crate::openai::OpenAi);
suite::conformance!(mistral_conforms, crate::mistral::Mistral);
suite::conformance!(anthropic_conforms, crate::anthropic::Anthropic);
suite::conformance!(gemini_conforms, crate::gemini::Gemini);
suite::conformance!(ollama_conforms, crate::ollama::Ollama);
