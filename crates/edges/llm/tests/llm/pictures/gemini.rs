//! Google's Gemini models that paint. A local server that behaves as we remember Google's API. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{FailureKind, GeminiImages as Real, GeminiSettings, Painter, SettingsError, Spent, Usage};
use serde_json::{Value, json};

use super::{base64, jpeg, leaked, png, whole_or_half};
use crate::gemini::Gemini;
use crate::server::{Act, End, Fault, Form, PictureForm, Server};

pub(crate) struct GeminiImages;

fn reply(parts: &Value, finish: &str) -> String {
    json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "finishReason": finish, "index": 0}],
        "usageMetadata": {"promptTokenCount": 19, "candidatesTokenCount": 1_120, "thoughtsTokenCount": 30, "totalTokenCount": 1_169},
        "modelVersion": "small-1",
    })
    .to_string()
}

fn inline(base64: &str) -> Value {
    json!({"inlineData": {"mimeType": "image/png", "data": base64}})
}

impl Form for GeminiImages {
    type Provider = dyn Painter;
    const PATH: &'static str = "/v1beta/models/small:generateContent";
    const BASE: &'static str = "/v1beta";
    const KEY: (&'static str, &'static str) = ("x-goog-api-key", "sk-hidden");
    const CONTENT_TYPE: &'static str = "application/json; charset=UTF-8";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Painter>, SettingsError> {
        Ok(Arc::new(Real::new(&GeminiSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let document = reply(&json!([inline(&pieces.concat())]), "STOP");
        whole_or_half(&document, end)
    }

    fn failed() -> String {
        Gemini::failed()
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        Gemini::error(fault)
    }

    fn body() -> Value {
        json!({
            "contents": [{"role": "user", "parts": [{"text": "A loaf of bread on a table."}]}],
            "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": {"aspectRatio": "16:9", "imageSize": "2K"}},
        })
    }
}

impl PictureForm for GeminiImages {
    const USAGE: Usage = Usage {
        prompt_tokens: 19,
        completion_tokens: 1_150,
        pictures: 0,
        video_seconds: 0,
    };

    fn refusal() -> Act {
        Act::Raw("{\"promptFeedback\": {\"blockReason\": \"violence\"}}")
    }
}

#[test]
fn a_blocked_picture_is_a_refusal_with_its_tokens_and_a_missing_one_is_unknown() {
    let server = Server::<GeminiImages>::start();
    let words = json!([{"text": "I cannot paint this."}]);
    for (finish, kind) in [
        ("IMAGE_SAFETY", FailureKind::Refused),
        ("PROHIBITED_CONTENT", FailureKind::Refused),
        ("IMAGE_RECITATION", FailureKind::Refused),
        ("STOP", FailureKind::Unknown),
        ("NO_IMAGE", FailureKind::Unknown),
    ] {
        let failure = server
            .painted(Act::Raw(leaked(reply(&words, finish))))
            .unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (kind, Spent::Tokens(GeminiImages::USAGE)),
            "{finish}: {failure}"
        );
    }
}

#[test]
fn a_draft_of_the_picture_is_not_the_picture() {
    let server = Server::<GeminiImages>::start();
    let mut draft = inline(&base64(&jpeg(8, 8)));
    draft["thought"] = true.into();
    let parts = json!([draft, {"text": "Here it is."}, inline(&base64(&png(30, 20)))]);
    let painted = server.painted(Act::Raw(leaked(reply(&parts, "STOP")))).unwrap();
    assert_eq!((painted.width, painted.height), (30, 20));
}
