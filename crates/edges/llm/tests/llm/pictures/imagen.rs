//! Google's Imagen by the Gemini API. A local server that behaves as Google's guide and libraries say. No recording of the real one was
//! compared.

use std::sync::Arc;

use limbic_domain::Secret;
use limbic_llm::{
    FailureKind, Imagen as Real, ImagenSettings, Paint, Painter, People, Quality, SettingsError, Usage,
};
use serde_json::{Value, json};

use super::{base64, leaked, png, whole_or_half};
use crate::gemini::Gemini;
use crate::server::{Act, End, Fault, Form, PictureForm, Server, painting};

pub(crate) struct Imagen;

impl Form for Imagen {
    type Provider = dyn Painter;
    const PATH: &'static str = "/v1beta/models/small:predict";
    const BASE: &'static str = "/v1beta";
    const KEY: (&'static str, &'static str) = ("x-goog-api-key", "sk-hidden");
    const CONTENT_TYPE: &'static str = "application/json; charset=UTF-8";

    fn provider(base: &str, key: &str) -> Result<Arc<dyn Painter>, SettingsError> {
        Ok(Arc::new(Real::new(&ImagenSettings {
            base_url: base.into(),
            api_key: Secret::new(key),
            people: People::DontAllow,
        })?))
    }

    fn events(pieces: &[&str], end: Option<End>) -> Vec<String> {
        let document =
            json!({"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": pieces.concat()}]})
                .to_string();
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
            "instances": [{"prompt": "A loaf of bread on a table."}],
            "parameters": {"sampleCount": 1, "aspectRatio": "16:9", "personGeneration": "dont_allow", "includeRaiReason": true,
                "sampleImageSize": "2K"},
        })
    }
}

impl PictureForm for Imagen {
    const USAGE: Usage = Usage {
        prompt_tokens: 0,
        completion_tokens: 0,
        pictures: 1,
        video_seconds: 0,
    };

    fn refusal() -> Act {
        let reason = "Unable to show generated images, because of the policy on violence.";
        Act::Raw(leaked(
            json!({"predictions": [{"raiFilteredReason": reason}]}).to_string(),
        ))
    }
}

#[test]
fn a_reply_without_predictions_is_a_refusal() {
    let server = Server::<Imagen>::start();
    for body in ["{}", "{\"predictions\": []}"] {
        let failure = server.painted(Act::Raw(body)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::Refused, "{failure}");
    }
}

#[test]
fn the_size_is_sent_only_for_many_pixels_and_people_only_if_they_are_allowed() {
    let server = Server::<Imagen>::start();
    let settings = ImagenSettings {
        base_url: server.base.as_str().into(),
        api_key: Secret::new("sk-hidden"),
        people: People::AllowAdult,
    };
    let request = Paint {
        quality: Quality::Low,
        width: 1080,
        height: 1920,
        ..painting()
    };
    server.will(Act::Text(vec![leaked(base64(&png(9, 16)))], End::Complete));
    server
        .paint_this(&Real::new(&settings).unwrap(), &request)
        .unwrap();
    let parameters = &server.requests()[0].1["parameters"];
    assert_eq!(parameters["aspectRatio"], "9:16");
    assert_eq!(parameters["personGeneration"], "allow_adult");
    assert_eq!(parameters.get("sampleImageSize"), None);
}

#[test]
fn a_key_is_needed() {
    let error = ImagenSettings::default().check().unwrap_err();
    assert!(error.to_string().contains("api_key: it is empty"), "{error}");
}
