//! Google's Imagen by the Gemini API (`POST BASE/models/MODEL:predict`).
//!
//! The form of requests and replies is that of Google's guide *Generate images using Imagen* (ai.google.dev/gemini-api/docs/imagen) as
//! others have noted it on 2026-05-13, and of the types of Google's Firebase library (`bytesBase64Encoded`, `mimeType`,
//! `raiFilteredReason`); both were read on 2026-11-30. `includeRaiReason`, `sampleImageSize` and what a filtered reply looks like are from
//! memory. It was tested against a local server that we wrote, not against Google.
//!
//! Google has announced the end of the Imagen 4 models in the Gemini API for 2026-08-17, say several reports (read on 2026-11-30). From
//! then on Google's own server answers 404, which blocks the provider. The method remains useful for servers that offer it.

use std::borrow::Cow;

use limbic_domain::{ConnectionUrl, Secret};
use limbic_stream::outbox::excerpt;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Usage;
use crate::gemini::{check_access, endpoint, failure};
use crate::paint::{Paint, Painter, PendingPicture, Quality};
use crate::provider::{Attempt, Failure, FailureKind, Spent};
use crate::server::{Encoded, Endpoint, ErrorAnswer, PictureApi, SettingsError, unknown};

mod component;

/// The proportions that Imagen paints in.
const RATIOS: [(u32, u32); 5] = [(1, 1), (3, 4), (4, 3), (9, 16), (16, 9)];

/// What a picture costs: its tokens do not count.
const ONE: Usage = Usage {
    prompt_tokens: 0,
    completion_tokens: 0,
    pictures: 1,
    video_seconds: 0,
};

/// `kind = "imagen"`: Google's Imagen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ImagenSettings {
    /// The API's base URL. Default `https://generativelanguage.googleapis.com/v1beta`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. Never printed.
    pub api_key: Secret,
    /// Whether people can be on the pictures. Default `dont_allow`.
    pub people: People,
}

/// Whether people can be on a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum People {
    /// Nobody.
    #[default]
    DontAllow,
    /// Adults, but no children.
    AllowAdult,
}

impl Default for ImagenSettings {
    fn default() -> Self {
        Self {
            base_url: "https://generativelanguage.googleapis.com/v1beta".into(),
            api_key: Secret::default(),
            people: People::default(),
        }
    }
}

impl ImagenSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_access(&self.base_url, &self.api_key)
    }
}

/// A provider that uses Imagen.
///
/// | answer of the server | result |
/// |---|---|
/// | 200 with a picture | the picture |
/// | 200 with `raiFilteredReason`, or without predictions | refused |
/// | 200 with anything else: no base64, no picture within the limits, a reply that ends early | unknown |
/// | all other answers | as for [`Gemini`](crate::Gemini) |
#[derive(Debug)]
pub struct Imagen {
    endpoint: Endpoint,
    people: People,
}

impl Imagen {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &ImagenSettings) -> Result<Self, SettingsError> {
        Ok(Self {
            endpoint: endpoint(&settings.base_url, &settings.api_key)?,
            people: settings.people,
        })
    }
}

impl Painter for Imagen {
    fn most(&self, _: &Paint) -> Usage {
        ONE
    }

    fn paint<'a>(&'a self, attempt: Attempt<'a, Paint>) -> PendingPicture<'a> {
        Box::pin(self.endpoint.ask_for_picture(self, attempt))
    }
}

#[derive(Deserialize)]
struct Reply<'a> {
    #[serde(borrow, default)]
    predictions: Vec<Prediction<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prediction<'a> {
    #[serde(borrow, default)]
    bytes_base64_encoded: Option<Cow<'a, str>>,
    #[serde(default)]
    rai_filtered_reason: Option<String>,
}

impl PictureApi for Imagen {
    fn url(&self, model: &str) -> Url {
        self.endpoint.at(&["models", &format!("{model}:predict")])
    }

    fn body(&self, request: &Paint) -> Value {
        let (width, height) = request.nearest(RATIOS);
        let people = match self.people {
            People::DontAllow => "dont_allow",
            People::AllowAdult => "allow_adult",
        };
        let mut parameters = json!({
            "sampleCount": 1, "aspectRatio": format!("{width}:{height}"),
            "personGeneration": people, "includeRaiReason": true,
        });
        // The fast model takes no size, so it is sent only if more pixels than usual are wanted.
        if request.quality == Quality::High {
            parameters["sampleImageSize"] = "2K".into();
        }
        json!({"instances": [{"prompt": request.prompt}], "parameters": parameters})
    }

    fn read(body: &[u8]) -> Result<Encoded<'_>, Failure> {
        let reply: Reply<'_> = serde_json::from_slice(body).map_err(|error| {
            unknown(format!("200, but not a reply with predictions: {error}")).spending(Spent::Unknown)
        })?;
        // It is not known whether a picture that was painted and then filtered is billed.
        let refused = |why: &str| Failure::new(FailureKind::Refused, why).spending(Spent::Unknown);
        let first = reply.predictions.into_iter().next();
        let first = first.ok_or_else(|| refused("200, but every picture was filtered, without a reason"))?;
        if let Some(reason) = first.rai_filtered_reason {
            return Err(refused(&format!(
                "the picture was filtered: {}",
                excerpt(&reason)
            )));
        }
        let base64 = first.bytes_base64_encoded.ok_or_else(|| {
            unknown("200, but a prediction without `bytesBase64Encoded`").spending(Spent::Unknown)
        })?;
        Ok(Encoded {
            base64,
            usage: Some(ONE),
        })
    }

    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure {
        failure(answer)
    }
}
