//! Pictures that a model painted for the cards of a campaign.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Background, Brief, Record, Slug, TenantId, event_id};

/// What a model painted for a campaign, in the shape of one image of an ad platform's format.
///
/// The envelope's `at` is the time of the decision that caused the order. The key in the topic is `TENANT/CAMPAIGN/ORDER`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PaintedBackground {
    /// The campaign.
    pub campaign: Slug,
    /// The image that it is for, as [`Picture::image`](crate::Picture::image).
    pub image: String,
    /// The [`background_id`] of the brief. A picture of another brief is not used.
    pub brief: String,
    /// How many times a picture was ordered before, because none came.
    #[serde(default)]
    pub round: u32,
    /// The picture. Absent if none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub background: Option<Background>,
    /// Why none came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

impl Record for PaintedBackground {
    const TYPE: &'static str = "painted_background";
    const VERSION: u32 = 1;
}

impl PaintedBackground {
    /// The key of an order's picture in the topic.
    pub fn key(tenant: &TenantId, campaign: &Slug, order: &str) -> String {
        format!("{tenant}/{campaign}/{order}")
    }
}

/// The id of what a background depends on: product, promise, what is to be seen, and the colours.
pub fn background_id(brief: &Brief) -> String {
    let mut causes = vec![&*brief.product, &*brief.promise, &*brief.background];
    causes.extend(brief.brand.colours.iter().map(String::as_str));
    event_id("background", &causes)
}
