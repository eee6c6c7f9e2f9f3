//! Pictures of ads, drawn when the ads are delivered.

use limbic_domain::Creative;
use serde::{Deserialize, Serialize};

use crate::Answer;

/// The drawn picture of an ad, as a platform learns of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrawnPicture {
    /// Where the platform can fetch the file. Absent unless `deliver.pictures_url` is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The name of the file among the node's pictures, and in `GET /v1/pictures/{file}`.
    pub file: String,
    /// The SHA-256 hash of the file, in hexadecimal.
    pub sha256: String,
    /// `image/png`, `image/jpeg` or `image/webp`.
    #[serde(rename = "type")]
    pub media_type: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// The size of the file.
    pub bytes: u64,
    /// What is on the picture, for people who do not see it.
    pub alt: String,
    /// How the picture was made: a concept of the IPTC's vocabulary *Digital Source Type*. The file says the same.
    pub source: String,
}

/// Why an ad has no picture.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoPicture {
    /// Its card cannot be drawn, now or later.
    #[error("{0}")]
    Never(String),
    /// This machine cannot draw it as it is set up.
    #[error("{0}")]
    NotNow(String),
}

impl From<NoPicture> for Answer {
    fn from(why: NoPicture) -> Self {
        match why {
            NoPicture::Never(why) => Self::Rejected {
                detail: format!("picture: {why}"),
            },
            NoPicture::NotNow(why) => Self::Blocked {
                detail: format!("picture: {why}"),
            },
        }
    }
}

/// Draws the pictures of ads. Its method blocks; the outbox calls it on its own threads, several at the same time.
pub trait Pictures: Send + Sync + 'static {
    /// The picture of an ad that has one. The same ad has the same file at each call, so that each attempt sends the same.
    fn draw(&self, ad: &Creative) -> Result<DrawnPicture, NoPicture>;
}

/// A program that was built without pictures.
impl Pictures for () {
    fn draw(&self, _: &Creative) -> Result<DrawnPicture, NoPicture> {
        Err(NoPicture::NotNow(
            "this program was built without pictures: build it with `--features render`, or remove `creative.pictures`".to_owned(),
        ))
    }
}
