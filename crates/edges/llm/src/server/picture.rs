//! Replies with a picture.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use limbic_raster::{Raster, RasterLimits};
use reqwest::Url;
use serde_json::Value;

use super::{Endpoint, ErrorAnswer, unknown, whole};
use crate::provider::{Attempt, Failure, Spent};
use crate::{Paint, Painted, Usage};

/// Maximum bytes of a reply: the largest picture in base64, and what is around it.
const REPLY_BYTES: usize = 24 << 20;

/// The form of one provider's API for pictures.
pub(crate) trait PictureApi: Send + Sync {
    /// The URL of a request to `model`.
    fn url(&self, model: &str) -> Url;

    /// The body of the request.
    fn body(&self, request: &Paint) -> Value;

    /// Finds the picture in a reply with status 200.
    fn read(body: &[u8]) -> Result<Encoded<'_>, Failure>;

    /// What a status other than 200 means.
    fn failure(&self, answer: &ErrorAnswer<'_>) -> Failure;
}

/// A picture as a reply has it. What the provider says about its type does not count.
pub(crate) struct Encoded<'a> {
    pub(crate) base64: Cow<'a, str>,
    /// What it cost, if the provider reports it.
    pub(crate) usage: Option<Usage>,
}

impl Endpoint {
    /// Makes one attempt at a picture. A failure does not contain the key, also if the server repeats it.
    pub(crate) async fn ask_for_picture<A: PictureApi>(
        &self,
        api: &A,
        attempt: Attempt<'_, Paint>,
    ) -> Result<Painted, Failure> {
        let result = self.picture(api, attempt).await;
        result.map_err(|failure| self.without_key_in(failure))
    }

    async fn picture<A: PictureApi>(&self, api: &A, attempt: Attempt<'_, Paint>) -> Result<Painted, Failure> {
        let url = api.url(&attempt.request.model);
        let body = api.body(attempt.request);
        let response = self
            .post(url, &body, attempt, |answer| api.failure(answer))
            .await?;
        let body = whole(response, REPLY_BYTES).await;
        let body = body.map_err(|failure| failure.spending(Spent::Unknown))?;
        let model = attempt.request.model.clone();
        // Decoding computes, so it runs outside the async threads.
        let painted = tokio::task::spawn_blocking(move || {
            let is_document = body.trim_ascii_start().starts_with(b"{");
            if !is_document {
                return Err(unknown("200, but not a JSON document").spending(Spent::Unknown));
            }
            painted(&A::read(&body)?, model)
        });
        painted.await.unwrap_or_else(|_| {
            Err(unknown("200, but its picture cannot be decoded").spending(Spent::Unknown))
        })
    }
}

/// The picture, if the bytes are one within the limits.
fn painted(encoded: &Encoded<'_>, model: String) -> Result<Painted, Failure> {
    let spent = encoded.usage.map_or(Spent::Unknown, Spent::Tokens);
    let failed = |problem: &dyn std::fmt::Display| unknown(format!("200, but {problem}")).spending(spent);
    let file = BASE64_STANDARD
        .decode(encoded.base64.as_bytes())
        .map_err(|error| failed(&format_args!("its picture is not valid base64: {error}")))?;
    let raster = Raster::decode(&file, &RasterLimits::default()).map_err(|error| failed(&error))?;
    Ok(Painted {
        kind: raster.kind,
        width: raster.width,
        height: raster.height,
        file,
        model,
        usage: encoded.usage,
    })
}
