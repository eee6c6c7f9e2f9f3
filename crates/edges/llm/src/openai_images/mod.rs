//! `OpenAI`'s Images API (`POST BASE/images/generations`) with its GPT image models.
//!
//! The form of requests and replies is that of `OpenAI`'s API reference, *Create image*, and of the types that its Python library
//! generates from its `OpenAPI` document (both read on 2026-11-30). The codes of refusals (`moderation_blocked`, with the stage of the
//! moderation) are from reports of users, the headers of throttled requests and the numbers of tokens from memory. It was tested against
//! a local server that we wrote, not against `OpenAI`.
//!
//! `gpt-image-1` was shut down on 2026-10-23, says `OpenAI`'s page of that model (read on 2026-11-30). Its successors have the same API.

use std::borrow::Cow;

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::AUTHORIZATION;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Usage;
use crate::openai::failure;
use crate::paint::{Paint, Painter, PendingPicture, Quality};
use crate::provider::{Attempt, Failure, Spent};
use crate::server::{
    Encoded, Endpoint, ErrorAnswer, PictureApi, SettingsError, base_url, key_header, unknown,
};

mod component;

/// The sizes that every GPT image model has.
const SIZES: [(u32, u32); 3] = [(1024, 1024), (1536, 1024), (1024, 1536)];

/// More tokens than a picture of a model has whose tokens are not known here.
const MOST_TOKENS: u64 = 16_384;

/// `kind = "openai"`: a server with `OpenAI`'s Images API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OpenAiImagesSettings {
    /// The API's base URL. Default `https://api.openai.com/v1`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Empty = requests have no key. Never printed.
    pub api_key: Secret,
    /// The type of file that is asked for. Default `jpeg`, which is the smallest.
    pub output_format: OutputFormat,
}

/// A type of file that a model writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutputFormat {
    /// JPEG.
    #[default]
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

impl OutputFormat {
    const fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::Webp => "webp",
        }
    }
}

impl Default for OpenAiImagesSettings {
    fn default() -> Self {
        Self {
            base_url: "https://api.openai.com/v1".into(),
            api_key: Secret::default(),
            output_format: OutputFormat::default(),
        }
    }
}

impl OpenAiImagesSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        base_url(&self.base_url)?;
        key_header(AUTHORIZATION, "Bearer ", &self.api_key)?;
        Ok(())
    }
}

/// A provider that uses `OpenAI`'s Images API.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with a picture | the picture |
/// | 200 with anything else: no picture, no base64, no picture within the limits, a reply that ends early | unknown |
/// | an error `moderation_blocked` or `content_policy_violation` | refused, with the server's message |
/// | all other errors | as for [`OpenAiCompatible`](crate::OpenAiCompatible) |
#[derive(Debug)]
pub struct OpenAiImages {
    endpoint: Endpoint,
    output_format: OutputFormat,
}

impl OpenAiImages {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &OpenAiImagesSettings) -> Result<Self, SettingsError> {
        let headers = key_header(AUTHORIZATION, "Bearer ", &settings.api_key)?;
        Ok(Self {
            endpoint: Endpoint::new(&settings.base_url, headers, &settings.api_key)?,
            output_format: settings.output_format,
        })
    }
}

impl Painter for OpenAiImages {
    fn most(&self, request: &Paint) -> Usage {
        Usage {
            prompt_tokens: request.most_prompt_tokens(),
            completion_tokens: tokens_of(request),
            pictures: 0,
            video_seconds: 0,
        }
    }

    fn paint<'a>(&'a self, attempt: Attempt<'a, Paint>) -> PendingPicture<'a> {
        Box::pin(self.endpoint.ask_for_picture(self, attempt))
    }
}

/// The tokens of a picture: for `gpt-image-1` those of `OpenAI`'s guide to image generation, for other models more than they have.
fn tokens_of(request: &Paint) -> u64 {
    if request.model != "gpt-image-1" {
        return MOST_TOKENS;
    }
    match (request.quality, request.nearest(SIZES)) {
        (Quality::Low, (1024, 1024)) => 272,
        (Quality::Low, _) => 408,
        (Quality::Medium, (1024, 1024)) => 1_056,
        (Quality::Medium, _) => 1_584,
        (Quality::High, (1024, 1024)) => 4_160,
        (Quality::High, _) => 6_240,
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    data: Vec<Item<'a>>,
    #[serde(default)]
    usage: Option<Tokens>,
}

#[derive(Deserialize)]
struct Item<'a> {
    #[serde(borrow, default)]
    b64_json: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
struct Tokens {
    #[serde(default)]
    input_tokens: u64,
    #[serde(default)]
    output_tokens: u64,
}

impl PictureApi for OpenAiImages {
    fn url(&self, _: &str) -> Url {
        self.endpoint.at(&["images", "generations"])
    }

    fn body(&self, request: &Paint) -> Value {
        let (width, height) = request.nearest(SIZES);
        let quality = match request.quality {
            Quality::Low => "low",
            Quality::Medium => "medium",
            Quality::High => "high",
        };
        json!({
            "model": request.model, "prompt": request.prompt, "n": 1,
            "size": format!("{width}x{height}"), "quality": quality,
            "background": "opaque", "output_format": self.output_format.name(),
        })
    }

    fn read(body: &[u8]) -> Result<Encoded<'_>, Failure> {
        let reply: Reply<'_> = serde_json::from_slice(body).map_err(|error| {
            unknown(format!("200, but not a reply with pictures: {error}")).spending(Spent::Unknown)
        })?;
        let usage = reply.usage.map(|tokens| Usage {
            prompt_tokens: tokens.input_tokens,
            completion_tokens: tokens.output_tokens,
            pictures: 0,
            video_seconds: 0,
        });
        let picture = reply.data.into_iter().find_map(|item| item.b64_json);
        let base64 = picture.ok_or_else(|| {
            let spent = usage.map_or(Spent::Unknown, Spent::Tokens);
            unknown("200, but without `b64_json`: is the model a GPT image model?").spending(spent)
        })?;
        Ok(Encoded { base64, usage })
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        failure(answer)
    }
}
