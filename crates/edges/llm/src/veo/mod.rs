//! Google's Veo by the Gemini API: `POST BASE/models/MODEL:predictLongRunning` begins an operation, `GET BASE/OPERATION` asks for its state,
//! and the finished clip is at an address that the operation names.
//!
//! The form of requests and replies is that of Google's guide *Generate videos with Veo* (ai.google.dev/gemini-api/docs/veo, before
//! `…/docs/video`) as others have noted it on 2026-09-27 and later: methods, `generateVideoResponse.generatedSamples[].video.uri`, the key in
//! the header of the download, redirects, ten seconds between two questions, 4, 6 or 8 seconds, 8 seconds for 1080p, and that only a clip that
//! was made is billed. The fields of a filtered clip (`raiMediaFilteredCount`, `raiMediaFilteredReasons`) are those of Google's libraries. In
//! one point the guide is wrong, according to several reports of 2026: `durationSeconds` must be a number, and the guide shows a text. All were
//! read on 2026-12-01. It was tested against a local server that we wrote, not against Google.
//!
//! Google has shut down the Veo models of the Gemini API on 2026-10-22, says a report (docs.apiyi.com, read on 2026-12-01); Google's own server
//! then answers 404, which blocks the provider. The method remains useful for servers that offer it.

mod component;
mod download;

use std::time::Duration;

use limbic_domain::{ConnectionUrl, HumanDuration, Secret};
use limbic_stream::outbox::excerpt;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Usage;
use crate::film::{Film, FilmJob, Filmed, Filmer, PendingJob, PendingState, Polled, Shape};
use crate::gemini::{check_access, endpoint, failure};
use crate::mp4::Mp4;
use crate::provider::{Attempt, Failure, FailureKind, Spent};
use crate::server::{Endpoint, ErrorAnswer, SettingsError, unknown};
use download::Downloads;

/// The durations that the API has, in seconds.
const SECONDS: [u32; 3] = [4, 6, 8];

/// Maximum characters of the name of an operation.
const NAME: usize = 512;

/// `kind = "veo"`: Google's Veo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct VeoSettings {
    /// The API's base URL. Default `https://generativelanguage.googleapis.com/v1beta`. Only its scheme and host are printed.
    pub base_url: ConnectionUrl,
    /// The API key. It is sent to the host of `base_url` only. Never printed.
    pub api_key: Secret,
    /// Further hosts from which clips are downloaded, each as `HOST` or `HOST:PORT`, without the key. A clip anywhere else is not
    /// downloaded.
    pub download_hosts: Vec<String>,
    /// How long to wait between two questions about a job. At least 1ms; default 10s, as the samples of Google's guide.
    pub poll_every: HumanDuration,
    /// Pixels. Default `720p`. Clips of `1080p` have 8 seconds.
    pub resolution: Resolution,
    /// Whether people can be in the clips. Absent (default) = the API decides. Google's guide allows only `allow_all` for clips from a text
    /// with Veo 3.1, and other values with Veo 2 or in some regions. The prompts of this program ask for no people, whatever it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<PeopleInClips>,
}

/// The pixels of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub enum Resolution {
    /// 1280 × 720.
    #[default]
    #[serde(rename = "720p")]
    P720,
    /// 1920 × 1080.
    #[serde(rename = "1080p")]
    P1080,
}

/// Whether people can be in a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PeopleInClips {
    /// Nobody.
    DontAllow,
    /// Adults, but no children.
    AllowAdult,
    /// Everybody.
    AllowAll,
}

impl Default for VeoSettings {
    fn default() -> Self {
        Self {
            base_url: "https://generativelanguage.googleapis.com/v1beta".into(),
            api_key: Secret::default(),
            download_hosts: Vec::new(),
            poll_every: HumanDuration::from_secs(10),
            resolution: Resolution::default(),
            people: None,
        }
    }
}

impl VeoSettings {
    /// Returns an error if no request can be sent with these settings. Sends nothing.
    pub fn check(&self) -> Result<(), SettingsError> {
        check_access(&self.base_url, &self.api_key)?;
        if self.poll_every.is_zero() {
            return Err(SettingsError::Pace);
        }
        Downloads::check(&self.download_hosts)
    }
}

/// A provider of clips that uses Veo.
///
/// | answer of the server | result |
/// |---|---|
/// | to the start: 200 with a name | the job |
/// | to the start: 200 with anything else | unknown: a job without a name can run |
/// | to a question: 200 without `done` | pending |
/// | 200 with `error` of the code 3 (invalid argument), or with `raiMediaFilteredCount` and no clip | ended: refused, and not billed |
/// | 200 with another `error` | ended: failed, and not billed |
/// | 404 | ended: the provider has forgotten the job, and what it has cost is not known |
/// | 200 with a clip at a host that is not in the settings | blocked, and nothing is asked there |
/// | 200 with a clip of which no whole MP4 file arrives | unknown, and billed |
/// | all other answers | as for [`Gemini`](crate::Gemini) |
#[derive(Debug)]
pub struct Veo {
    endpoint: Endpoint,
    downloads: Downloads,
    pace: Duration,
    resolution: Resolution,
    people: Option<PeopleInClips>,
}

impl Veo {
    /// A provider. Opens no connection yet.
    pub fn new(settings: &VeoSettings) -> Result<Self, SettingsError> {
        settings.check()?;
        Ok(Self {
            endpoint: endpoint(&settings.base_url, &settings.api_key)?,
            downloads: Downloads::new(&settings.base_url, &settings.download_hosts)?,
            pace: settings.poll_every.get(),
            resolution: settings.resolution,
            people: settings.people,
        })
    }

    /// The duration that is ordered: the next longer one of the API, or its longest.
    fn seconds(&self, request: &Film) -> u32 {
        let longest = SECONDS[SECONDS.len() - 1];
        if self.resolution == Resolution::P1080 {
            return longest;
        }
        let fits = SECONDS.into_iter().find(|offered| *offered >= request.seconds);
        fits.unwrap_or(longest)
    }

    fn body(&self, request: &Film) -> Value {
        let shape = match request.shape {
            Shape::Landscape => "16:9",
            Shape::Portrait => "9:16",
        };
        let resolution = match self.resolution {
            Resolution::P720 => "720p",
            Resolution::P1080 => "1080p",
        };
        let mut parameters = json!({
            "aspectRatio": shape, "resolution": resolution, "durationSeconds": self.seconds(request),
        });
        if let Some(people) = self.people {
            parameters["personGeneration"] = match people {
                PeopleInClips::DontAllow => "dont_allow",
                PeopleInClips::AllowAdult => "allow_adult",
                PeopleInClips::AllowAll => "allow_all",
            }
            .into();
        }
        json!({"instances": [{"prompt": request.prompt}], "parameters": parameters})
    }

    async fn begin(&self, attempt: Attempt<'_, Film>) -> Result<String, Failure> {
        let request = attempt.request;
        let url = self
            .endpoint
            .at(&["models", &format!("{}:predictLongRunning", request.model)]);
        let body = self.body(request);
        let reply = self.endpoint.document(url, Some(&body), attempt, failure).await?;
        // The server has taken the request, so a job can run whose name is not known.
        let nameless = |failure: Failure| failure.spending(Spent::Unknown);
        let started: Started = read(&reply, "the name of an operation").map_err(nameless)?;
        if path(&started.name).is_none() {
            let name = excerpt(&started.name);
            return Err(nameless(unknown(format!(
                "200, but `{name}` is not the name of an operation"
            ))));
        }
        Ok(started.name)
    }

    async fn state(&self, attempt: Attempt<'_, FilmJob>) -> Result<Polled, Failure> {
        let job = attempt.request;
        let segments = path(&job.name).ok_or_else(|| unknown("the stored name of the job is damaged"))?;
        let reply = self
            .endpoint
            .document(self.endpoint.at(&segments), None, attempt, forgotten_or_failure);
        let reply = match reply.await {
            Err(Asked::Forgotten(failure)) => return Ok(Polled::Ended(failure)),
            Err(Asked::Failed(failure)) => return Err(failure),
            Ok(reply) => reply,
        };
        let operation: Operation = read(&reply, "an operation")?;
        if !operation.done {
            return Ok(Polled::Pending);
        }
        match operation.result() {
            Ok(uri) => self.receive(&uri, attempt).await.map(Polled::Finished),
            Err(failure) => Ok(Polled::Ended(failure)),
        }
    }

    /// Downloads a clip. It is made, so it is billed, whatever arrives.
    async fn receive(&self, uri: &str, attempt: Attempt<'_, FilmJob>) -> Result<Filmed, Failure> {
        let job = attempt.request;
        let usage = usage(job.seconds);
        let spent = Spent::Tokens(usage);
        let file = self.downloads.get(uri, &self.endpoint, attempt).await;
        let file = file.map_err(|failure| failure.spending(spent))?;
        let about = Mp4::check(&file)
            .map_err(|error| unknown(format!("the clip was downloaded, but {error}")).spending(spent))?;
        Ok(Filmed {
            file,
            about,
            model: job.model.clone(),
            usage: Some(usage),
        })
    }
}

impl Filmer for Veo {
    fn most(&self, request: &Film) -> Usage {
        usage(u64::from(self.seconds(request)))
    }

    fn pace(&self) -> Duration {
        self.pace
    }

    fn start<'a>(&'a self, attempt: Attempt<'a, Film>) -> PendingJob<'a> {
        Box::pin(async move {
            let started = self.begin(attempt).await;
            started.map_err(|failure| self.endpoint.without_key_in(failure))
        })
    }

    fn poll<'a>(&'a self, attempt: Attempt<'a, FilmJob>) -> PendingState<'a> {
        Box::pin(async move {
            match self.state(attempt).await {
                Ok(Polled::Ended(failure)) => Ok(Polled::Ended(self.endpoint.without_key_in(failure))),
                Ok(state) => Ok(state),
                Err(failure) => Err(self.endpoint.without_key_in(failure)),
            }
        })
    }
}

/// A clip of this duration.
fn usage(video_seconds: u64) -> Usage {
    Usage {
        video_seconds,
        ..Usage::default()
    }
}

#[derive(Deserialize)]
struct Started {
    name: String,
}

#[derive(Deserialize)]
struct Operation {
    #[serde(default)]
    done: bool,
    #[serde(default)]
    error: Option<Status>,
    #[serde(default)]
    response: Response,
}

/// `google.rpc.Status`.
#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: i32,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Response {
    #[serde(default)]
    generate_video_response: Videos,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct Videos {
    #[serde(default)]
    generated_samples: Vec<Sample>,
    #[serde(default)]
    rai_media_filtered_count: u32,
    #[serde(default)]
    rai_media_filtered_reasons: Vec<String>,
}

#[derive(Deserialize)]
struct Sample {
    #[serde(default)]
    video: Option<Video>,
}

#[derive(Deserialize)]
struct Video {
    #[serde(default)]
    uri: String,
}

impl Operation {
    /// The address of the clip of an operation that is done, or why it has none.
    fn result(self) -> Result<String, Failure> {
        /// `google.rpc.Code.INVALID_ARGUMENT`: the request is to blame.
        const INVALID_ARGUMENT: i32 = 3;
        if let Some(Status { code, message }) = self.error {
            let kind = if code == INVALID_ARGUMENT {
                FailureKind::Refused
            } else {
                FailureKind::Unknown
            };
            let detail = format!("the job failed with code {code}: {}", excerpt(&message));
            return Err(Failure::new(kind, detail));
        }
        let videos = self.response.generate_video_response;
        let clips = videos
            .generated_samples
            .into_iter()
            .filter_map(|sample| sample.video);
        if let Some(clip) = clips.into_iter().find(|clip| !clip.uri.is_empty()) {
            return Ok(clip.uri);
        }
        let reasons = videos.rai_media_filtered_reasons;
        if videos.rai_media_filtered_count > 0 || !reasons.is_empty() {
            let why = if reasons.is_empty() {
                "no reason was given".to_owned()
            } else {
                excerpt(&reasons.join("; "))
            };
            return Err(Failure::new(
                FailureKind::Refused,
                format!("the clip was filtered: {why}"),
            ));
        }
        Err(unknown("the job is done, but without a clip").spending(Spent::Unknown))
    }
}

/// Why a question has no answer.
enum Asked {
    Forgotten(Failure),
    Failed(Failure),
}

impl From<Failure> for Asked {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

fn forgotten_or_failure(answer: &ErrorAnswer<'_>) -> Asked {
    let failure = failure(answer);
    if answer.status != 404 {
        return Asked::Failed(failure);
    }
    let detail = format!("the provider has forgotten the job ({})", failure.detail);
    Asked::Forgotten(unknown(detail).spending(Spent::Unknown))
}

/// The name of an operation as segments of a path below the base URL. `None` if it is not one: it must not lead elsewhere.
fn path(name: &str) -> Option<Vec<&str>> {
    let is_segment = |segment: &&str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        !segment.is_empty() && segment.bytes().all(is_plain) && !segment.bytes().all(|byte| byte == b'.')
    };
    let segments: Vec<&str> = name.split('/').collect();
    (name.len() <= NAME && segments.iter().all(is_segment)).then_some(segments)
}

/// A JSON document with status 200.
fn read<'a, T: Deserialize<'a>>(body: &'a [u8], what: &str) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| unknown(format!("200, but not {what}: {error}")))
}

/// An address in words, without its query, which can have a key.
fn shown(url: &Url) -> String {
    let host = url.host_str().unwrap_or("no host");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}
