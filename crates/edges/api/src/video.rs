//! Video adverts: a script of scenes by a model that writes, and a clip for each scene by a model that films.

use axum::Json;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::generate::GenerateBody;
use crate::problem::Problem;

/// Seconds after which a client asks again for clips that are not there yet.
const ASK_AGAIN: &str = "10";

/// The video that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VideoBody {
    /// The model that writes the script: the name of a route of the settings, or `PROVIDER/MODEL`.
    pub script: String,
    /// The proportions of the clips. Default `landscape`.
    #[serde(default)]
    pub shape: VideoShape,
}

/// The proportions of clips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum VideoShape {
    /// 16:9.
    #[default]
    Landscape,
    /// 9:16.
    Portrait,
}

/// The state of a video advert: its script, and a clip for each scene. The clips are single files, which nobody has joined or reviewed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GeneratedVideo {
    /// Who wrote the script.
    pub script: VideoScript,
    /// The scenes, in their order.
    pub scenes: Vec<VideoScene>,
    /// Always true.
    pub ai_generated: bool,
    /// What the files are, and what nobody has done with them.
    pub note: &'static str,
    /// What script and clips have cost so far, in millionths of the currency unit. The same request is paid once, so it does not grow when it
    /// is repeated.
    pub cost_micros: i64,
    /// The currency of the costs.
    pub currency: String,
}

/// Where the script comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VideoScript {
    /// The model that wrote it, in the provider's form.
    pub model: String,
    /// The provider: the NAME of `[llm_providers.NAME]`.
    pub provider: String,
    /// The version of the prompt, and the beginning of its BLAKE3 hash.
    pub prompt: PromptVersion,
    /// What it has cost, in millionths of the currency unit.
    pub cost_micros: i64,
}

/// A prompt by its version and its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PromptVersion {
    /// The version of the text around what the request says.
    pub version: u32,
    /// The first 16 hexadecimal digits of the BLAKE3 hash of the prompt.
    pub hash: String,
}

/// A scene of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct VideoScene {
    /// What is to be seen.
    pub seen: String,
    /// The words that belong on the screen. The model that films is told to show no letters: lay the words over the clip.
    pub words: String,
    /// Seconds that the script gives the scene. The clip can be longer, because models offer some durations only.
    pub seconds: u32,
    /// The state of the clip.
    pub state: ClipState,
    /// Why there is no clip, in the states `waiting`, `refused` and `failed`.
    pub problem: Option<String>,
    /// The clip, in the state `finished`.
    pub clip: Option<GeneratedClip>,
}

/// The state of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClipState {
    /// A job for it runs, or begins.
    Working,
    /// It is not on its way now: a limit is reached, or a provider fails. The repeated request tries again.
    Waiting,
    /// It is there.
    Finished,
    /// The provider refused to make it. The same key does not order it again.
    Refused,
    /// Its job failed. The same key does not order it again.
    Failed,
}

/// A clip of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GeneratedClip {
    /// The name of its file in `GET /v1/clips/{file}`.
    pub file: String,
    /// `video/mp4`.
    pub media_type: String,
    /// Duration that the file states, in milliseconds. 0 if it states none.
    pub millis: u64,
    /// The size of the file.
    pub bytes: u64,
    /// How it was made: a concept of the IPTC's vocabulary *Digital Source Type*. The file is as the provider sent it.
    pub digital_source: &'static str,
    /// The model that made it, in the provider's form.
    pub model: String,
    /// The provider: the NAME of `[video_providers.NAME]`.
    pub provider: String,
    /// The prompt of the scene.
    pub prompt: PromptVersion,
    /// What it has cost, in millionths of the currency unit.
    pub cost_micros: i64,
}

/// What every answer says about its clips.
pub const CLIPS_NOTE: &str = "Each clip is a single file as a model made it: nobody has joined, cut or labelled them, and nobody has \
                              reviewed what they show. A person must look at every clip before it is used.";

impl GeneratedVideo {
    /// Whether a repeated request can have more clips.
    pub fn is_open(&self) -> bool {
        let is_open = |scene: &VideoScene| matches!(scene.state, ClipState::Working | ClipState::Waiting);
        self.scenes.iter().any(is_open)
    }

    /// 202 until no more clips come, then 200.
    pub(crate) fn into_response(self) -> Response {
        if self.is_open() {
            let again = [(header::RETRY_AFTER, ASK_AGAIN)];
            return (StatusCode::ACCEPTED, again, Json(self)).into_response();
        }
        Json(self).into_response()
    }
}

/// The idempotency key of a request for a video. It is required: clips take minutes, and the same request with the same key gets them.
pub(crate) fn check_video(key: Option<String>, body: &GenerateBody) -> Result<String, Problem> {
    let others = [
        ("system", body.system.is_some()),
        ("temperature", body.temperature.is_some()),
        ("seed", body.seed.is_some()),
        ("schema", body.schema.is_some()),
        ("stream", body.stream),
        ("picture", body.picture.is_some()),
    ];
    if let Some((field, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
        let detail = "it has no meaning for a video, and `video` asks for one: remove one of them";
        return Err(Problem::bad_request(detail).of_field(field));
    }
    key.ok_or_else(|| {
        let detail = "a video needs a key, because its clips take minutes: send a random UUID, and send the request again with it until the \
                      answer is 200";
        Problem::bad_request(detail).of_field("idempotency-key")
    })
}
