//! The pictures of ads.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Creative, GeneratorVersion, Slug};

/// The picture that an ad is shown with: a card that says what the ad says. It is drawn when the ad is delivered, over a picture of a model if
/// there is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Picture {
    /// The image of an ad platform's format, as `PLATFORM/FORMAT/IMAGE` of the file of limits, for instance `x/post/landscape`.
    pub image: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The name of the brand on the card. Empty = none.
    pub brand: String,
    /// What the button of the card asks for. Empty = no button.
    pub button: String,
    /// Background, text and accent as `#rrggbb`. Missing ones are chosen by the renderer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub colours: Vec<String>,
    /// The picture behind the texts, if a model painted one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
}

/// A picture that a model painted, behind the texts of a card.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Background {
    /// The name of its file: the SHA-256 hash of the bytes, and an ending. It is in the folder `pictures/painted` of the node that
    /// ordered it.
    pub file: String,
    /// The model that painted it, as `PROVIDER/MODEL`.
    pub model: String,
    /// The prompt strategy.
    pub strategy: Slug,
    /// The strategy's version, and the hash of the prompt that was sent.
    pub prompt: GeneratorVersion,
}

impl Creative {
    /// What the ad's picture says, for people who do not see it. `None` if it has no picture.
    pub fn alt_text(&self) -> Option<String> {
        let picture = self.picture.as_ref()?;
        let parts = [
            &picture.brand,
            &self.rendering.headline,
            &self.rendering.body,
            &picture.button,
        ];
        let sentences = parts
            .into_iter()
            .map(|part| part.trim())
            .filter(|part| !part.is_empty());
        let sentences = sentences.map(|part| {
            let is_ended = part.ends_with(['.', '!', '?', '…', '。', '！', '？']);
            if is_ended {
                part.to_owned()
            } else {
                format!("{part}.")
            }
        });
        Some(sentences.collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alternative_text_says_what_the_picture_says() {
        let mut creative: Creative = serde_json::from_value(serde_json::json!({
            "id": "c", "generator": "template/plain-1", "tone": "plain",
            "rendering": {"platform": "file", "headline": "Warm feet!", "body": "Light and dry", "link": "https://example.com"}
        }))
        .unwrap();
        assert_eq!(creative.alt_text(), None);
        creative.picture = Some(Picture {
            image: "x/post/landscape".into(),
            width: 1200,
            height: 628,
            brand: "Acme Boots".into(),
            button: String::new(),
            colours: Vec::new(),
            background: None,
        });
        let alt = creative.alt_text().unwrap();
        assert_eq!(alt, "Acme Boots. Warm feet! Light and dry.");
    }
}
