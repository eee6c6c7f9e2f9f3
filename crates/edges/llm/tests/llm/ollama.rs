//! An Ollama server. A local server that behaves as we remember Ollama's API. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{Ollama as Real, OllamaSettings, Provider, SettingsError};
use serde_json::{Value, json};

use crate::server::{End, Fault, Form, schema};

pub(crate) struct Ollama;

fn line(text: &str) -> Value {
    json!({"model": "small-1", "created_at": "2026-10-29T19:01:00.097767Z",
        "message": {"role": "assistant", "content": text}, "done": false})
}

impl Form for Ollama {
    type Provider = dyn Provider;
    const PATH: &'static str = "/api/chat";
    const BASE: &'static str = "/";
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer sk-hidden");
    const CONTENT_TYPE: &'static str = "application/x-ndjson";
    const CAN_REFUSE: bool = false;

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Provider>, SettingsError> {
        Ok(Arc::new(Real::new(&OllamaSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let mut lines: Vec<String> = pieces.iter().map(|piece| format!("{}\n", line(piece))).collect();
        let reason = match end {
            None => return lines,
            Some(End::Length) => "length",
            Some(End::Complete | End::Refused) => "stop",
        };
        let mut last = line("");
        last["done"] = true.into();
        last["done_reason"] = reason.into();
        last["total_duration"] = 5_191_566_416_u64.into();
        last["prompt_eval_count"] = 19.into();
        last["eval_count"] = 10.into();
        // The line end of the last line can be missing.
        lines.push(last.to_string());
        lines
    }

    fn failed() -> String {
        format!(
            "{}\n",
            json!({"error": "an error was encountered while running the model"})
        )
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        let error = |text: &str| json!({"error": text}).to_string();
        match fault {
            Fault::Throttled => (429, vec![("retry-after", "20")], error("too many requests")),
            Fault::Exhausted => (402, vec![], error("payment required")),
            Fault::WrongKey => (401, vec![], error("unauthorized")),
            Fault::Invalid => (400, vec![], error("model is required")),
            Fault::NoModel => (404, vec![], error("model 'small' not found")),
            Fault::Server => (
                503,
                vec![],
                error("server busy, please try again. maximum pending requests exceeded"),
            ),
        }
    }

    fn body() -> Value {
        json!({
            "model": "small", "stream": true, "format": schema(),
            "options": {"num_predict": 40, "temperature": 1.75, "seed": 7},
            "messages": [
                {"role": "system", "content": "You write one line."},
                {"role": "user", "content": "An ad for bread."},
            ],
        })
    }
}
