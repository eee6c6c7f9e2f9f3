//! Requests for clips, and the contract of a provider that makes them as jobs.
//!
//! ```text
//!  Film ──start──▶ name of the job ──poll──▶ Pending, again and again ──▶ Finished (a file) or Ended (a reason)
//! ```

use std::pin::Pin;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::Usage;
use crate::mp4::Mp4;
use crate::provider::{Attempt, Failure};

/// A request for a clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Film {
    /// The model's name: in the provider's form, or the name of a route if a gateway is asked.
    pub model: String,
    /// What is to be seen and heard.
    pub prompt: String,
    /// Seconds. A provider makes the next longer duration that its API has, or its longest one.
    pub seconds: u32,
    /// Proportions.
    #[serde(default)]
    pub shape: Shape,
}

/// The proportions of a clip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// 16:9.
    #[default]
    Landscape,
    /// 9:16.
    Portrait,
}

/// A job that a provider has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilmJob {
    /// The provider's name of the job.
    pub name: String,
    /// The model, in the provider's form.
    pub model: String,
    /// Seconds of the clip that was ordered.
    pub seconds: u64,
}

/// A clip that a model made. Its bytes are a whole MP4 file, as far as [`Mp4::check`] looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filmed {
    /// The file.
    pub file: Vec<u8>,
    /// What the file says about itself.
    pub about: Mp4,
    /// The model that made it, in the provider's form.
    pub model: String,
    /// What it used. `None` if the provider does not report it.
    pub usage: Option<Usage>,
}

/// The state of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Polled {
    /// The provider works on it.
    Pending,
    /// The clip is there.
    Finished(Filmed),
    /// The job has ended without a clip: refused, failed, or not known to the provider. Another question does not help.
    Ended(Failure),
}

/// The name of a job, when it is there.
pub type PendingJob<'a> = Pin<Box<dyn Future<Output = Result<String, Failure>> + Send + 'a>>;

/// The state of a job, when it is there. A failure is that of the question: the job can go on, so it is asked again. If such a failure has
/// spent something that is known, the clip is made, and its bytes did not arrive.
pub type PendingState<'a> = Pin<Box<dyn Future<Output = Result<Polled, Failure>> + Send + 'a>>;

/// A connection to a model that makes clips.
pub trait Filmer: Send + Sync + 'static {
    /// The most that a job for this request can use.
    fn most(&self, request: &Film) -> Usage;

    /// How long the provider wants between two questions about a job.
    fn pace(&self) -> Duration;

    /// Begins a job, within the deadline of the attempt, on a tokio runtime. If the future is dropped, it is not known whether the job has
    /// begun.
    fn start<'a>(&'a self, attempt: Attempt<'a, Film>) -> PendingJob<'a>;

    /// Asks once for the state of a job, and receives the clip if it is there, within the deadline of the attempt.
    fn poll<'a>(&'a self, attempt: Attempt<'a, FilmJob>) -> PendingState<'a>;
}
