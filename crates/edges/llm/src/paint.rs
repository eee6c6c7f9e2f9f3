//! Requests for pictures, and the contract of a provider that paints them.

use std::pin::Pin;

use limbic_fit::ImageType;
use serde::{Deserialize, Serialize};

use crate::Usage;
use crate::provider::{Attempt, Failure};

/// A request for a picture.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paint {
    /// The model's name: in the provider's form, or the name of a route if a gateway is asked.
    pub model: String,
    /// What is to be seen.
    pub prompt: String,
    /// Pixels of the place that the picture is for. A provider paints in the nearest proportions that its API has, so the result has
    /// another size.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// How much work the model does.
    #[serde(default)]
    pub quality: Quality,
}

/// How much work a model does for a picture. More costs more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Quality {
    /// Little.
    Low,
    /// As is usual.
    #[default]
    Medium,
    /// Much, in more pixels if the provider has a choice.
    High,
}

impl Paint {
    /// An upper bound of the tokens of the prompt, because a token has at least one byte.
    pub fn most_prompt_tokens(&self) -> u64 {
        const MARKS: usize = 64;
        (self.prompt.len() + MARKS) as u64
    }

    /// The one of these proportions (width and height) that is nearest to that of the request. The first one, if it has none.
    pub(crate) fn nearest<const N: usize>(&self, offered: [(u32, u32); N]) -> (u32, u32) {
        let wanted = proportion((self.width.max(1), self.height.max(1)));
        let distance = |one: &(u32, u32)| (proportion(*one) - wanted).abs();
        let nearest = offered
            .into_iter()
            .min_by(|one, other| distance(one).total_cmp(&distance(other)));
        nearest.unwrap_or((1, 1))
    }
}

/// The proportion of two sides on a scale on which twice as wide and twice as high are equally far from a square.
fn proportion((width, height): (u32, u32)) -> f64 {
    (f64::from(width) / f64::from(height)).ln()
}

/// A picture that a model painted. Its bytes are a whole picture of this type and size, within [`limbic_raster::RasterLimits`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Painted {
    /// The file.
    pub file: Vec<u8>,
    /// Its type, by its bytes.
    pub kind: ImageType,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The model that painted it, in the provider's form.
    pub model: String,
    /// What it used. `None` if the provider does not report it.
    pub usage: Option<Usage>,
}

/// The result of an attempt, when it is there.
pub type PendingPicture<'a> = Pin<Box<dyn Future<Output = Result<Painted, Failure>> + Send + 'a>>;

/// A connection to a model that paints.
pub trait Painter: Send + Sync + 'static {
    /// The most that an attempt at this request can use.
    fn most(&self, request: &Paint) -> Usage;

    /// Makes one attempt within its deadline, on a tokio runtime. Dropping the future ends the attempt.
    fn paint<'a>(&'a self, attempt: Attempt<'a, Paint>) -> PendingPicture<'a>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_proportions_are_chosen() {
        let nearest = |width, height| {
            let request = Paint {
                model: String::new(),
                prompt: String::new(),
                width,
                height,
                quality: Quality::Low,
            };
            request.nearest([(1, 1), (3, 2), (2, 3)])
        };
        for (place, expected) in [
            ((1080, 1080), (1, 1)),
            ((1200, 628), (3, 2)),
            ((728, 90), (3, 2)),
            ((1080, 1920), (2, 3)),
            ((1000, 900), (1, 1)),
            ((0, 0), (1, 1)),
        ] {
            assert_eq!(nearest(place.0, place.1), expected, "{place:?}");
        }
    }
}
