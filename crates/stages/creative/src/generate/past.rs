//! Earlier ads that did well, for the prompt of a new order: near to the brief by embedding, weighted by what was measured and by how
//! sure that is.

use std::collections::HashMap;
use std::sync::Arc;

use limbic_domain::{Brief, CampaignStatus, CreativeStatus, TenantId};
use limbic_stream::Reference;

/// Embeds texts: near texts have vectors in near directions.
pub trait Embedder: Send + Sync {
    /// The vector of each text, all of one length. `None` for a text that the model cannot read. A function of the texts.
    fn embed(&self, texts: &[&str]) -> Vec<Option<Vec<f32>>>;
}

/// The embedder of a node. `None` = it has none, and no earlier ads are looked for.
pub type Embedders = Option<Arc<dyn Embedder>>;

/// Most ads of a tenant that are compared: those with the most impressions.
const MOST: usize = 2_000;

/// What the tenant's click rate counts before an ad has impressions of its own, in impressions.
const PRIOR: f64 = 200.0;

/// The lower end of the rate's one-sided 90 % interval, in standard deviations.
const SURE: f64 = 1.281_551_6;

/// An ad that has run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PastAd {
    headline: String,
    impressions: f64,
    clicks: f64,
}

/// The ads of a tenant that have impressions, from the table of the topic `status`. The same headline in several ads counts as one.
pub(super) fn ads_of(table: Reference<'_>, tenant: &TenantId) -> Vec<PastAd> {
    let mut by_headline: HashMap<String, PastAd> = HashMap::new();
    let statuses = table.scan::<CampaignStatus>(&format!("{tenant}/campaign/"));
    for (_, status) in statuses {
        // What cannot be read is not looked for.
        let Ok(status) = status else { continue };
        for CreativeStatus {
            headline,
            impressions,
            clicks,
            ..
        } in status.data.creatives
        {
            if impressions == 0 {
                continue;
            }
            let ad = by_headline.entry(headline.clone()).or_insert(PastAd {
                headline,
                impressions: 0.0,
                clicks: 0.0,
            });
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of impressions are far below 2^52"
            )]
            {
                ad.impressions += impressions as f64;
                // Clicks can be stated without their impressions.
                ad.clicks += clicks.min(impressions) as f64;
            }
        }
    }
    let mut ads: Vec<PastAd> = by_headline.into_values().collect();
    ads.sort_by(|one, other| {
        let order = other.impressions.total_cmp(&one.impressions);
        order.then_with(|| one.headline.cmp(&other.headline))
    });
    ads.truncate(MOST);
    ads
}

/// The headlines of at most `most` ads that did better than the tenant's ads do, the best first: by the lower end of their
/// click rate, which few impressions make low, and by similarity to the brief. The least similar ad counts two thirds of the
/// most similar one.
pub(super) fn best(ads: &[PastAd], brief: &Brief, embedder: &dyn Embedder, most: usize) -> Vec<String> {
    let (impressions, clicks) = ads.iter().fold((0.0, 0.0), |(impressions, clicks), ad| {
        (impressions + ad.impressions, clicks + ad.clicks)
    });
    if impressions == 0.0 || clicks == 0.0 || most == 0 {
        return Vec::new();
    }
    let usual = clicks / impressions;
    let better: Vec<(&PastAd, f64)> = ads
        .iter()
        .filter_map(|ad| {
            let lower = lower_rate(ad, usual);
            (mean_rate(ad, usual) > usual && lower > 0.0).then_some((ad, lower))
        })
        .collect();
    let wanted = format!("{}. {}. {}", brief.product, brief.promise, brief.call_to_action);
    let texts: Vec<&str> = std::iter::once(wanted.as_str())
        .chain(better.iter().map(|(ad, _)| ad.headline.as_str()))
        .collect();
    let mut vectors = embedder.embed(&texts).into_iter();
    let Some(Some(wanted)) = vectors.next() else {
        return Vec::new();
    };
    let compared: Vec<(f64, f64, &str)> = better
        .iter()
        .zip(vectors)
        .filter_map(|((ad, lower), vector)| Some((cosine(&wanted, &vector?)?, *lower, ad.headline.as_str())))
        .collect();
    // All texts of a language are near to each other, so similarity counts between the least and the most similar ad.
    let similarities = compared.iter().map(|(similarity, ..)| *similarity);
    let least = similarities.clone().fold(f64::INFINITY, f64::min);
    let widest = similarities.fold(f64::NEG_INFINITY, f64::max) - least;
    let mut scored: Vec<(f64, &str)> = compared
        .iter()
        .map(|(similarity, lower, headline)| {
            let relative = if widest > 0.0 {
                (similarity - least) / widest
            } else {
                1.0
            };
            (lower * (2.0 + relative) / 3.0, *headline)
        })
        .collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0).then_with(|| one.1.cmp(other.1)));
    scored.truncate(most);
    scored
        .into_iter()
        .map(|(_, headline)| headline.to_owned())
        .collect()
}

/// The mean of the posterior of an ad's click rate: a beta distribution that begins at the tenant's rate with the weight [`PRIOR`].
fn mean_rate(ad: &PastAd, usual: f64) -> f64 {
    usual.mul_add(PRIOR, ad.clicks) / (PRIOR + ad.impressions)
}

/// The lower end of the rate, by the normal approximation of that distribution.
fn lower_rate(ad: &PastAd, usual: f64) -> f64 {
    let mean = mean_rate(ad, usual);
    let weight = PRIOR + ad.impressions;
    let deviation = (mean * (1.0 - mean) / (weight + 1.0)).sqrt();
    SURE.mul_add(-deviation, mean)
}

/// The cosine of the angle between two vectors. `None` if they have another length, or no direction.
fn cosine(one: &[f32], other: &[f32]) -> Option<f64> {
    if one.len() != other.len() {
        return None;
    }
    let dot =
        |a: &[f32], b: &[f32]| -> f64 { a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum() };
    let cosine = dot(one, other) / (dot(one, one) * dot(other, other)).sqrt();
    cosine.is_finite().then_some(cosine)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts letters: texts with the same letters are near.
    struct Letters;

    impl Embedder for Letters {
        fn embed(&self, texts: &[&str]) -> Vec<Option<Vec<f32>>> {
            let letters = |text: &&str| {
                let mut counts = vec![0.0; 26];
                for letter in text.bytes().filter(u8::is_ascii_lowercase) {
                    counts[usize::from(letter - b'a')] += 1.0;
                }
                (!text.contains('?')).then_some(counts)
            };
            texts.iter().map(letters).collect()
        }
    }

    fn ad(headline: &str, impressions: f64, clicks: f64) -> PastAd {
        PastAd {
            headline: headline.into(),
            impressions,
            clicks,
        }
    }

    fn brief() -> Brief {
        Brief {
            product: "boots".into(),
            promise: "warm feet".into(),
            call_to_action: "try a pair".into(),
            ..Brief::default()
        }
    }

    #[test]
    fn an_ad_that_is_near_and_did_well_comes_first() {
        let ads = [
            ad("warm boots", 10_000.0, 300.0),
            ad("xxyyzz", 10_000.0, 300.0),
            ad("warm feet in boots", 10_000.0, 100.0),
            ad("a pair of boots", 10_000.0, 400.0),
        ];
        assert_eq!(
            best(&ads, &brief(), &Letters, 2),
            ["a pair of boots", "warm boots"]
        );
        assert_eq!(best(&ads, &brief(), &Letters, 0), [] as [String; 0]);
    }

    #[test]
    fn luck_with_few_impressions_counts_less_than_a_rate_that_is_sure() {
        let ads = [
            ad("boots for warm feet", 3.0, 3.0),
            ad("boots for warm feet too", 50_000.0, 2_000.0),
            ad("unread", 50_000.0, 500.0),
        ];
        let best = best(&ads, &brief(), &Letters, 1);
        assert_eq!(best, ["boots for warm feet too"]);
    }

    #[test]
    fn without_clicks_or_without_a_readable_text_there_is_nothing_to_learn_from() {
        let none = [] as [String; 0];
        assert_eq!(best(&[], &brief(), &Letters, 3), none);
        assert_eq!(best(&[ad("boots", 100.0, 0.0)], &brief(), &Letters, 3), none);
        let ads = [ad("boots?", 100.0, 90.0), ad("cold", 1_000.0, 1.0)];
        assert_eq!(best(&ads, &brief(), &Letters, 3), none);
        let unreadable = Brief {
            product: "?".into(),
            ..brief()
        };
        assert_eq!(best(&[ad("boots", 100.0, 90.0)], &unreadable, &Letters, 3), none);
    }

    proptest! {
        #[test]
        fn more_clicks_never_lower_a_rate_and_more_of_the_same_make_it_surer(
            impressions in 1u32..100_000, share in 0.0f64..1.0, more in 1.01f64..10.0
        ) {
            let impressions = f64::from(impressions);
            let usual = 0.02;
            let at = |clicks: f64| lower_rate(&ad("a", impressions, clicks), usual);
            let clicks = impressions * share;
            prop_assert!(at(clicks) <= at((clicks * more).min(impressions)) + 1e-12);
            let rate = lower_rate(&ad("a", impressions, clicks), usual);
            prop_assert!((0.0..=1.0).contains(&mean_rate(&ad("a", impressions, clicks), usual)));
            if share > usual {
                let surer = lower_rate(&ad("a", impressions * more, clicks * more), usual);
                prop_assert!(surer >= rate - 1e-12);
            }
        }
    }
}
