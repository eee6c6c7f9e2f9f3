//! `OpenAI`'s Images API. A local server that behaves as `OpenAI`'s API reference says. No recording of the real one was compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{
    FailureKind, OpenAiImages as Real, OpenAiImagesSettings, OutputFormat, Paint, Painter, Quality,
    SettingsError, Spent, Usage,
};
use serde_json::{Value, json};

use super::{base64, leaked, png, whole_or_half};
use crate::openai::OpenAi;
use crate::server::{Act, End, Fault, Form, PictureForm, Server, painting};

pub(crate) struct OpenAiImages;

/// What the moderation answers.
pub(crate) fn blocked(stage: &str) -> String {
    let message = "Your request was rejected by the safety system. safety_violations=[violence].";
    json!({"error": {"message": message, "type": "image_generation_user_error", "param": null, "code": "moderation_blocked",
        "moderation_details": {"moderation_stage": stage, "categories": ["violence"]}}})
    .to_string()
}

impl Form for OpenAiImages {
    type Provider = dyn Painter;
    const PATH: &'static str = "/v1/images/generations";
    const BASE: &'static str = "/v1";
    const KEY: (&'static str, &'static str) = ("authorization", "Bearer sk-hidden");
    const CONTENT_TYPE: &'static str = "application/json";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Painter>, SettingsError> {
        Ok(Arc::new(Real::new(&OpenAiImagesSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
            output_format: OutputFormat::Png,
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let document = json!({
            "created": 1_764_460_800, "background": "opaque", "output_format": "png", "quality": "high", "size": "1536x1024",
            "data": [{"b64_json": pieces.concat()}],
            "usage": {"input_tokens": 19, "input_tokens_details": {"image_tokens": 0, "text_tokens": 19},
                "output_tokens": 1_568, "total_tokens": 1_587},
        })
        .to_string();
        whole_or_half(&document, end)
    }

    fn failed() -> String {
        OpenAi::failed()
    }

    fn error(fault: Fault) -> (u16, Vec<(&'static str, &'static str)>, String) {
        OpenAi::error(fault)
    }

    fn body() -> Value {
        json!({
            "model": "small", "prompt": "A loaf of bread on a table.", "n": 1, "size": "1536x1024", "quality": "high",
            "background": "opaque", "output_format": "png",
        })
    }
}

impl PictureForm for OpenAiImages {
    const USAGE: Usage = Usage {
        prompt_tokens: 19,
        completion_tokens: 1_568,
        pictures: 0,
        video_seconds: 0,
    };

    fn refusal() -> Act {
        Act::Answer(400, leaked(blocked("input")))
    }
}

#[test]
fn a_picture_that_was_painted_and_then_blocked_has_an_unknown_cost() {
    let server = Server::<OpenAiImages>::start();
    for (stage, spent) in [("input", Spent::Nothing), ("output", Spent::Unknown)] {
        let failure = server
            .painted(Act::Answer(400, leaked(blocked(stage))))
            .unwrap_err();
        assert_eq!(
            (failure.kind, failure.spent),
            (FailureKind::Refused, spent),
            "{failure}"
        );
        assert!(failure.detail.contains("violence"), "{failure}");
    }
}

#[test]
fn the_cost_of_a_reply_without_usage_is_unknown() {
    let server = Server::<OpenAiImages>::start();
    let reply = json!({"data": [{"b64_json": base64(&png(3, 2))}]}).to_string();
    let painted = server.painted(Act::Raw(leaked(reply))).unwrap();
    assert_eq!(painted.usage, None);
}

#[test]
fn the_size_is_the_nearest_one_and_the_tokens_of_a_hold_are_those_of_the_guide() {
    let server = Server::<OpenAiImages>::start();
    let painter = server.provider();
    let most = |model: &str, width, height, quality| {
        let request = Paint {
            model: model.to_owned(),
            width,
            height,
            quality,
            ..painting()
        };
        painter.most(&request).completion_tokens
    };
    assert_eq!(most("gpt-image-1", 1080, 1080, Quality::Low), 272);
    assert_eq!(most("gpt-image-1", 1080, 1920, Quality::Medium), 1_584);
    assert_eq!(most("gpt-image-1", 1200, 628, Quality::High), 6_240);
    assert_eq!(most("another", 1200, 628, Quality::Low), 16_384);
    assert!(painter.most(&painting()).prompt_tokens >= painting().prompt.len() as u64);
}
