//! What the gateway is asked for: a text, a picture or a clip.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::filmed::OpenJob;
use super::{FilmedFile, GatewayError, PaintedFile};
use crate::provider::Provider;
use crate::{Film, Filmer, Generate, Generated, Paint, Painter, Usage};

/// A provider of texts, of pictures or of clips.
#[derive(Clone)]
pub enum Maker {
    /// It writes texts.
    Texts(Arc<dyn Provider>),
    /// It paints pictures.
    Pictures(Arc<dyn Painter>),
    /// It makes clips.
    Clips(Arc<dyn Filmer>),
}

impl From<Arc<dyn Provider>> for Maker {
    fn from(provider: Arc<dyn Provider>) -> Self {
        Self::Texts(provider)
    }
}

impl From<Arc<dyn Painter>> for Maker {
    fn from(painter: Arc<dyn Painter>) -> Self {
        Self::Pictures(painter)
    }
}

impl From<Arc<dyn Filmer>> for Maker {
    fn from(filmer: Arc<dyn Filmer>) -> Self {
        Self::Clips(filmer)
    }
}

impl Maker {
    /// What it makes.
    pub const fn makes(&self) -> &'static str {
        match self {
            Self::Texts(_) => "texts",
            Self::Pictures(_) => "pictures",
            Self::Clips(_) => "clips",
        }
    }
}

/// A request for a text, a picture or a clip.
#[derive(Debug, Clone)]
pub(super) enum Work {
    Text(Generate),
    Picture(Paint),
    Clip(Film),
}

impl Work {
    pub(super) fn model(&self) -> &str {
        match self {
            Self::Text(generate) => &generate.model,
            Self::Picture(paint) => &paint.model,
            Self::Clip(film) => &film.model,
        }
    }

    /// The same request to a model, in the provider's form.
    pub(super) fn to_model(&self, model: &str) -> Self {
        let mut work = self.clone();
        match &mut work {
            Self::Text(generate) => model.clone_into(&mut generate.model),
            Self::Picture(paint) => model.clone_into(&mut paint.model),
            Self::Clip(film) => model.clone_into(&mut film.model),
        }
        work
    }

    pub(super) const fn asks_for(&self) -> &'static str {
        match self {
            Self::Text(_) => "texts",
            Self::Picture(_) => "pictures",
            Self::Clip(_) => "clips",
        }
    }

    /// The most that an attempt at this provider can use. `None` if the provider makes something else.
    pub(super) fn most(&self, maker: &Maker) -> Option<Usage> {
        match (self, maker) {
            (Self::Text(generate), Maker::Texts(_)) => Some(Usage {
                prompt_tokens: generate.most_prompt_tokens(),
                completion_tokens: u64::from(generate.max_tokens),
                pictures: 0,
                video_seconds: 0,
            }),
            (Self::Picture(paint), Maker::Pictures(painter)) => Some(painter.most(paint)),
            (Self::Clip(film), Maker::Clips(filmer)) => Some(filmer.most(film)),
            _ => None,
        }
    }

    /// Returns an error if no provider could answer.
    pub(super) fn check(&self) -> Result<(), GatewayError> {
        let invalid = |field, problem: &str| {
            Err(GatewayError::Invalid {
                field,
                problem: problem.to_owned(),
            })
        };
        let prompt = match self {
            Self::Text(generate) => &generate.prompt,
            Self::Picture(paint) => &paint.prompt,
            Self::Clip(film) => &film.prompt,
        };
        if prompt.trim().is_empty() {
            return invalid("prompt", "it is empty: write what the model should do");
        }
        match self {
            Self::Text(generate) => {
                if generate.max_tokens == 0 {
                    return invalid("max_tokens", "0 leaves no room for a text: give for instance 200");
                }
                let temperature = generate.temperature;
                if temperature.is_some_and(|temperature| !(0.0..=2.0).contains(&temperature)) {
                    return invalid("temperature", "it is not between 0 and 2");
                }
            }
            Self::Clip(film) => {
                if film.seconds == 0 {
                    return invalid("seconds", "0 seconds are no clip: give for instance 8");
                }
            }
            Self::Picture(paint) => {
                if paint.width == 0 || paint.height == 0 {
                    return invalid("picture", "a side has 0 pixels: give for instance 1200 and 628");
                }
            }
        }
        Ok(())
    }
}

/// What a provider has made, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Made {
    /// It has a field `file`, which texts do not have, and `width`, which clips do not have.
    Picture(PaintedFile),
    /// It has the fields `file` and `millis`.
    Clip(FilmedFile),
    Text(Generated),
    /// The start of a clip. It is never a result.
    #[serde(skip)]
    Job(OpenJob),
}

impl Made {
    pub(super) const fn usage(&self) -> Option<Usage> {
        match self {
            Self::Picture(painted) => painted.usage,
            Self::Clip(filmed) => filmed.usage,
            Self::Job(_) => None,
            Self::Text(generated) => generated.usage,
        }
    }

    /// The bytes of its texts.
    pub(super) fn size(&self) -> usize {
        match self {
            Self::Picture(painted) => painted.file.len() + painted.model.len(),
            Self::Clip(filmed) => filmed.file.len() + filmed.model.len(),
            Self::Job(job) => job.job.name.len() + job.job.model.len(),
            Self::Text(generated) => generated.text.len() + generated.model.len(),
        }
    }
}
