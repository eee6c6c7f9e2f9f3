//! Campaigns: what an advertiser wants to say, to which audiences, and where.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Declaration, Direction, Micros, Record, ReviewMode, Slug};

/// An ad platform and its limits. Lengths are in graphemes (extended grapheme clusters, UAX #29).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Platform {
    /// The platform's name, for instance `webhook` or `file`.
    pub name: Slug,
    /// Maximum graphemes of a headline.
    pub headline: usize,
    /// Maximum graphemes of a body.
    pub body: usize,
}

/// The content of a campaign's ads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Brief {
    /// The name of the product or service, as ads print it.
    pub product: String,
    /// One sentence about its benefit.
    pub promise: String,
    /// What the ad asks the person to do ("Try it today").
    pub call_to_action: String,
    /// The web address that a click opens.
    pub link: String,
    /// What the product costs less or comes with ("10 % off until Sunday"). Empty = no offer.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub offer: String,
    /// Further values that templates may use.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, String>,
    /// What a model paints behind the texts of the campaign's cards ("a kitchen table in the morning light"). Empty = no picture is
    /// ordered.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub background: String,
    /// What the advertiser's ads may say, and how they look.
    #[serde(default, skip_serializing_if = "BrandKit::is_empty")]
    pub brand: BrandKit,
}

/// What an advertiser's ads may say, and how they look.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BrandKit {
    /// The tones that the ads may have, for instance `calm`. Empty = every tone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tones: Vec<Slug>,
    /// Words and phrases that no ad may contain. Whole words are compared, without regard to case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub banned_words: Vec<String>,
    /// The claims that the advertiser can prove, word for word ("the fastest delivery in town"). If it is present, an ad that
    /// claims anything else to be the best, the first, proven or free is removed. Absent = claims are not checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<Vec<String>>,
    /// The colours of rendered ads, as `#rrggbb`: background, text, accent. Missing ones are chosen by the renderer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub colours: Vec<String>,
}

impl BrandKit {
    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A campaign.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// The campaign's name, unique within its tenant.
    pub id: Slug,
    /// The content of its ads.
    pub brief: Brief,
    /// The subjects of the audiences that it wants. Empty = every subject.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Slug>,
    /// Subjects that are the advertiser's own brand or product. An audience that complains about one of them is not shown the
    /// campaign. A subject whose words are all in the product's name, or equal to the campaign's name, counts without being listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub brands: Vec<Slug>,
    /// The direction of the moments that it wants. Absent = both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub direction: Option<Direction>,
    /// The ad platforms that it runs on.
    pub platforms: Vec<Platform>,
    /// The maximum price of one delivery, in millionths of the currency unit.
    #[serde(default)]
    pub bid: Micros,
    /// What the advertiser declares: who advertises and pays, in which regions, and which regulated categories the offer is of.
    #[serde(default, skip_serializing_if = "Declaration::is_empty")]
    pub declared: Declaration,
    /// Which of its ads wait for a person: `none`, `ai_texts`, `new_texts` or `all`. The stricter one of this and of `creative.review.mode`
    /// counts. Absent = as `creative.review.mode` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewMode>,
}

impl Campaign {
    /// Whether `subject` is the campaign's own brand or product: see [`Campaign::brands`].
    pub fn is_own_brand(&self, subject: &str) -> bool {
        fn words(text: &str) -> impl Iterator<Item = String> {
            text.split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .map(str::to_lowercase)
        }
        if subject == self.id.as_str() || self.brands.iter().any(|brand| brand.as_str() == subject) {
            return true;
        }
        let product: Vec<String> = words(&self.brief.product).collect();
        let mut of_subject = words(subject).peekable();
        of_subject.peek().is_some() && of_subject.all(|word| product.contains(&word))
    }
}

/// The envelope's `at` is when the campaign was published.
impl Record for Campaign {
    const TYPE: &'static str = "campaign";
    const VERSION: u32 = 1;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_that_names_the_product_is_the_own_brand() {
        let mut campaign: Campaign = serde_json::from_value(serde_json::json!({
            "id": "spring", "platforms": [],
            "brief": {"product": "Lumen Desk-Lamp", "promise": "", "call_to_action": "", "link": ""}
        }))
        .unwrap();
        for own in ["spring", "lumen", "desk-lamp", "lumen_lamp"] {
            assert!(campaign.is_own_brand(own), "{own}");
        }
        for other in ["football", "lamps", "lumen-watch", "all"] {
            assert!(!campaign.is_own_brand(other), "{other}");
        }
        campaign.brands.push(Slug::new("bright-home").unwrap());
        assert!(campaign.is_own_brand("bright-home"));
    }
}
