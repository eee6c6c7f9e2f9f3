//! What each region requires: data, with sources and dates.

use std::sync::LazyLock;

use limbic_domain::{Region, RegulatedCategory};
use serde::Deserialize;

const DATA: &str = include_str!("../data/regions.toml");

/// What one region requires and refuses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegionPack {
    /// The region.
    pub region: Region,
    /// Its name in a sentence.
    pub name: String,
    /// The rules that its law asks for.
    pub requires: Vec<Required>,
    /// The regulated categories whose ads do not run there.
    #[serde(default)]
    pub refuses: Vec<Refused>,
}

/// A rule that a law asks for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Required {
    /// The rule's id.
    pub rule: String,
    /// The law or code, with its article.
    pub source: String,
    /// The day from which it applies, `YYYY-MM-DD`.
    pub since: String,
}

/// A category whose ads may not be chosen by what people write.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refused {
    /// The category.
    pub category: RegulatedCategory,
    /// The law or code, with its article.
    pub source: String,
    /// The day from which it applies, `YYYY-MM-DD`.
    pub since: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Packs {
    region: Vec<RegionPack>,
}

/// The pack of every region, in the order of the file.
pub static REGIONS: LazyLock<Vec<RegionPack>> = LazyLock::new(|| {
    let packs: Packs = toml::from_str(DATA).expect("a test reads the packs of regions");
    packs.region
});

/// The packs in one text, for the version of the rules.
pub(crate) const fn canonical() -> &'static str {
    DATA
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use limbic_domain::Utc;

    use super::*;
    use crate::rule;

    #[test]
    fn every_region_has_one_pack_with_sources_and_dates() {
        let regions: Vec<Region> = REGIONS.iter().map(|pack| pack.region).collect();
        assert_eq!(regions, Region::ALL);
        for pack in REGIONS.iter() {
            let dated = pack.requires.iter().map(|one| (&one.source, &one.since));
            let dated = dated.chain(pack.refuses.iter().map(|one| (&one.source, &one.since)));
            for (source, since) in dated {
                assert!(source.len() > 10, "{}: {source}", pack.name);
                assert!(
                    format!("{since}T00:00:00Z").parse::<Utc>().is_ok(),
                    "{}: {since}",
                    pack.name
                );
            }
            let rules: BTreeSet<&str> = pack.requires.iter().map(|one| one.rule.as_str()).collect();
            assert_eq!(
                rules.len(),
                pack.requires.len(),
                "{}: a rule is required twice",
                pack.name
            );
            for id in rules {
                assert!(
                    rule(id).is_some(),
                    "{} requires `{id}`, which is no rule",
                    pack.name
                );
            }
        }
    }

    #[test]
    fn the_version_of_the_rules_depends_on_every_region() {
        for pack in REGIONS.iter() {
            let sources = pack.requires.iter().map(|required| &required.source);
            for text in sources.chain([&pack.name]) {
                assert!(canonical().contains(text.as_str()), "{text}");
            }
        }
    }

    #[test]
    fn the_rules_that_depend_on_a_region_are_required_somewhere() {
        for id in ["transparency", "ai_mark"] {
            let mut all = REGIONS.iter().flat_map(|pack| &pack.requires);
            assert!(all.any(|required| required.rule == id), "{id}");
        }
    }
}
