//! Google's Gemini models that paint (`POST BASE/models/MODEL:generateContent`), which follow Imagen.
//!
//! The form of requests and replies is that of the texts of the same API ([`Gemini`](crate::Gemini)), with `imageConfig` as Google's
//! JavaScript library and its schema in other libraries document it (`aspectRatio`, `imageSize`; read on 2026-11-30).
//! `responseModalities`, `inlineData` and the reasons of an end are from memory of Google's API reference. It was tested against a local
//! server that we wrote, not against Google.

use std::borrow::Cow;

use reqwest::Url;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Usage;
use crate::gemini::{Feedback, GeminiSettings, Tokens, endpoint, failure};
use crate::paint::{Paint, Painter, PendingPicture, Quality};
use crate::provider::{Attempt, Failure, FailureKind, Spent};
use crate::server::{Encoded, Endpoint, ErrorAnswer, PictureApi, SettingsError, unknown};

mod component;

/// The proportions that every model paints in.
const RATIOS: [(u32, u32); 8] = [(1, 1), (2, 3), (3, 2), (3, 4), (4, 3), (9, 16), (16, 9), (21, 9)];

/// More tokens than a picture has, with those that a model spends on thinking. The API states no bound.
const MOST_TOKENS: u64 = 16_384;

/// A provider of pictures that uses Google's Gemini API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with a picture | the picture; texts beside it are not read |
/// | 200 with `blockReason`, or ended by `IMAGE_SAFETY`, `SAFETY`, `PROHIBITED_CONTENT` and similar reasons | refused |
/// | 200 with anything else: no picture, no base64, no picture within the limits, a reply that ends early | unknown |
/// | all other answers | as for [`Gemini`](crate::Gemini) |
#[derive(Debug)]
pub struct GeminiImages {
    endpoint: Endpoint,
}

impl GeminiImages {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &GeminiSettings) -> Result<Self, SettingsError> {
        let endpoint = endpoint(&settings.base_url, &settings.api_key)?;
        Ok(Self { endpoint })
    }
}

impl Painter for GeminiImages {
    fn most(&self, request: &Paint) -> Usage {
        Usage {
            prompt_tokens: request.most_prompt_tokens(),
            completion_tokens: MOST_TOKENS,
            pictures: 0,
            video_seconds: 0,
        }
    }

    fn paint<'a>(&'a self, attempt: Attempt<'a, Paint>) -> PendingPicture<'a> {
        Box::pin(self.endpoint.ask_for_picture(self, attempt))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reply<'a> {
    #[serde(borrow, default)]
    candidates: Vec<Candidate<'a>>,
    #[serde(default)]
    prompt_feedback: Option<Feedback>,
    #[serde(default)]
    usage_metadata: Option<Tokens>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Candidate<'a> {
    #[serde(borrow, default)]
    content: Content<'a>,
    #[serde(default)]
    finish_reason: Option<String>,
}

#[derive(Deserialize, Default)]
struct Content<'a> {
    #[serde(borrow, default)]
    parts: Vec<Part<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Part<'a> {
    #[serde(borrow, default)]
    inline_data: Option<Inline<'a>>,
    /// Whether it is a thought: a draft of the picture.
    #[serde(default)]
    thought: bool,
}

#[derive(Deserialize)]
struct Inline<'a> {
    #[serde(borrow)]
    data: Cow<'a, str>,
}

impl PictureApi for GeminiImages {
    fn url(&self, model: &str) -> Url {
        self.endpoint.at(&["models", &format!("{model}:generateContent")])
    }

    fn body(&self, request: &Paint) -> Value {
        let (width, height) = request.nearest(RATIOS);
        let mut image = json!({"aspectRatio": format!("{width}:{height}")});
        // Older models take no size, so it is sent only if more pixels than usual are wanted.
        if request.quality == Quality::High {
            image["imageSize"] = "2K".into();
        }
        json!({
            "contents": [{"role": "user", "parts": [{"text": request.prompt}]}],
            "generationConfig": {"responseModalities": ["IMAGE"], "imageConfig": image},
        })
    }

    fn read(body: &[u8]) -> Result<Encoded<'_>, Failure> {
        let reply: Reply<'_> = serde_json::from_slice(body).map_err(|error| {
            unknown(format!("200, but not a response with candidates: {error}")).spending(Spent::Unknown)
        })?;
        let usage = reply.usage_metadata.map(|tokens| tokens.usage());
        let spent = usage.map_or(Spent::Unknown, Spent::Tokens);
        let refused = |why: String| Failure::new(FailureKind::Refused, why).spending(spent);
        let blocked = reply.prompt_feedback.and_then(|feedback| feedback.block_reason);
        if let Some(reason) = blocked {
            return Err(refused(format!("the prompt is blocked: {reason}")));
        }
        let candidate = reply.candidates.into_iter().next();
        let candidate = candidate.ok_or_else(|| unknown("200, but without a candidate").spending(spent))?;
        let parts = candidate.content.parts.into_iter().filter(|part| !part.thought);
        if let Some(found) = parts.filter_map(|part| part.inline_data).next_back() {
            return Ok(Encoded {
                base64: found.data,
                usage,
            });
        }
        match candidate.finish_reason.as_deref() {
            None | Some("STOP" | "MAX_TOKENS" | "OTHER" | "IMAGE_OTHER" | "NO_IMAGE") => {
                Err(unknown("200, but without a picture").spending(spent))
            }
            Some(reason) => Err(refused(format!("the picture is blocked: {reason}"))),
        }
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        failure(answer)
    }
}
