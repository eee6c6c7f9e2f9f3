//! What an advertiser declares about a campaign, and what an ad says about itself.

use std::collections::BTreeSet;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A place whose law has rules of its own for advertising.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Region {
    /// The European Union and the European Economic Area.
    Eu,
    /// The United Kingdom.
    Uk,
    /// The United States: federal law, which holds in every state.
    Us,
    /// The state of California.
    UsCalifornia,
    /// The state of Colorado.
    UsColorado,
    /// The state of New York.
    UsNewYork,
    /// The state of Washington.
    UsWashington,
    /// Brazil.
    Brazil,
    /// Canada.
    Canada,
}

impl Region {
    /// Every region.
    pub const ALL: [Self; 9] = [
        Self::Eu,
        Self::Uk,
        Self::Us,
        Self::UsCalifornia,
        Self::UsColorado,
        Self::UsNewYork,
        Self::UsWashington,
        Self::Brazil,
        Self::Canada,
    ];
}

/// A kind of offer whose advertising the law restricts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RegulatedCategory {
    /// Loans, credit cards, insurance.
    Credit,
    /// Sale or rent of homes.
    Housing,
    /// Jobs and training for jobs.
    Employment,
    /// Parties, candidates, elections, political issues.
    Politics,
    /// Bets, casinos, lotteries.
    Gambling,
    /// Alcoholic drinks.
    Alcohol,
    /// Medicines, supplements, treatments.
    Medicines,
}

impl RegulatedCategory {
    /// Every category.
    pub const ALL: [Self; 7] = [
        Self::Credit,
        Self::Housing,
        Self::Employment,
        Self::Politics,
        Self::Gambling,
        Self::Alcohol,
        Self::Medicines,
    ];

    /// The name, as in settings and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Credit => "credit",
            Self::Housing => "housing",
            Self::Employment => "employment",
            Self::Politics => "politics",
            Self::Gambling => "gambling",
            Self::Alcohol => "alcohol",
            Self::Medicines => "medicines",
        }
    }
}

/// What the advertiser declares about a campaign. The safety gate compares it with the ads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Declaration {
    /// The person or company on whose behalf the ads are shown. Without it, no ad runs in a region that requires it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advertiser: Option<String>,
    /// The person or company that pays. Absent = the advertiser.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payer: Option<String>,
    /// The regions in which the ads run: `eu`, `uk`, `us`, `us_california`, `us_colorado`, `us_new_york`, `us_washington`, `brazil`,
    /// `canada`. Empty = in every region, so the requirements of all of them apply.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub regions: BTreeSet<Region>,
    /// The regulated categories of the offer: `credit`, `housing`, `employment`, `politics`, `gambling`, `alcohol`, `medicines`. An ad of a
    /// category that is not declared is removed.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub categories: BTreeSet<RegulatedCategory>,
}

impl Declaration {
    /// Whether nothing is declared.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The regions whose requirements apply: the declared ones, or all. Federal law of the United States applies in its states.
    pub fn regions(&self) -> BTreeSet<Region> {
        if self.regions.is_empty() {
            return Region::ALL.into_iter().collect();
        }
        let mut regions = self.regions.clone();
        let is_state = |region: &Region| {
            matches!(
                region,
                Region::UsCalifornia | Region::UsColorado | Region::UsNewYork | Region::UsWashington
            )
        };
        if regions.iter().any(is_state) {
            regions.insert(Region::Us);
        }
        regions
    }
}

/// Who is behind an ad and why it is shown: for the person who sees it.
///
/// The fields are those of Article 26(1) of Regulation (EU) 2022/2065 (Digital Services Act), and whether emotions were used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Transparency {
    /// On whose behalf the ad is shown.
    pub advertiser: String,
    /// Who pays for it.
    pub payer: String,
    /// The main parameters by which its audience was chosen, one sentence each.
    pub parameters: Vec<String>,
    /// Whether emotions that were read from posts are among these parameters.
    pub emotion_used: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_campaign_without_regions_runs_in_all_of_them() {
        assert_eq!(Declaration::default().regions().len(), Region::ALL.len());
    }

    #[test]
    fn federal_law_applies_in_each_state() {
        for (declared, expected) in [
            (Region::Eu, vec![Region::Eu]),
            (Region::UsCalifornia, vec![Region::Us, Region::UsCalifornia]),
            (Region::UsColorado, vec![Region::Us, Region::UsColorado]),
            (Region::UsNewYork, vec![Region::Us, Region::UsNewYork]),
            (Region::UsWashington, vec![Region::Us, Region::UsWashington]),
        ] {
            let declaration = Declaration {
                regions: [declared].into(),
                ..Declaration::default()
            };
            assert_eq!(declaration.regions(), expected.into_iter().collect());
        }
    }

    #[test]
    fn a_region_or_category_that_does_not_exist_is_refused() {
        for wrong in [
            r#"{"regions": ["atlantis"]}"#,
            r#"{"categories": ["weapons"]}"#,
            r#"{"advertizer": "Acme"}"#,
        ] {
            assert!(serde_json::from_str::<Declaration>(wrong).is_err(), "{wrong}");
        }
        for category in RegulatedCategory::ALL {
            assert_eq!(
                serde_json::to_value(category).expect("a name"),
                serde_json::json!(category.name())
            );
        }
    }
}
