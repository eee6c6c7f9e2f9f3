//! Earlier ads that did well, for the prompt of a new order: near to the brief by embedding, weighted by what was measured and by how
//! sure that is.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use limbic_domain::{Brief, CampaignStatus, CreativeStatus, TenantId};
use limbic_stream::Reference;

use super::TextOrder;
use super::index::{AdIndex, IndexError, MemoryIndex, NearAd, PastAd};

/// Embeds texts: near texts have vectors in near directions.
pub trait Embedder: Send + Sync {
    /// The vector of each text, all of one length. `None` for a text that the model cannot read. A function of the texts.
    fn embed(&self, texts: &[&str]) -> Vec<Option<Vec<f32>>>;
}

/// The embedder of a node. `None` = it has none, and no earlier ads are looked for.
pub type Embedders = Option<Arc<dyn Embedder>>;

/// Most ads of a tenant that an order brings to the index: those with the most impressions.
const NEWS: usize = 200;

/// Most ads that the index is asked for.
const CANDIDATES: usize = 200;

/// What the tenant's click rate counts before an ad has impressions of its own, in impressions.
const PRIOR: f64 = 200.0;

/// The lower end of the rate's one-sided 90 % interval, in standard deviations.
const SURE: f64 = 1.281_551_6;

/// Finds earlier ads for orders.
pub(super) struct Retrieval {
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) index: Arc<dyn AdIndex>,
    /// Most headlines for an order.
    pub(super) most: usize,
}

/// The retrieval of a stage, which is set up after its outbox.
pub(super) type SharedRetrieval = Arc<OnceLock<Retrieval>>;

impl Retrieval {
    /// With the index of the process, unless there is another one.
    pub(super) fn new(embedder: Arc<dyn Embedder>, index: Option<Arc<dyn AdIndex>>, most: usize) -> Self {
        Self {
            embedder,
            index: index.unwrap_or_else(|| Arc::new(MemoryIndex::default())),
            most,
        }
    }

    /// The headlines of earlier ads for an order, the best first. Without an answer of the index there are none: an order does not wait
    /// for it.
    pub(super) fn headlines(&self, order: &TextOrder) -> Vec<String> {
        self.find(order).unwrap_or_else(|error| {
            tracing::warn!(tenant = %order.tenant, %error, "earlier ads were not looked for");
            Vec::new()
        })
    }

    fn find(&self, order: &TextOrder) -> Result<Vec<String>, IndexError> {
        let brief = wanted(&order.campaign.brief);
        let texts: Vec<&str> = std::iter::once(brief.as_str())
            .chain(order.past.iter().map(|ad| ad.headline.as_str()))
            .collect();
        let mut vectors = self.embedder.embed(&texts).into_iter();
        let Some(Some(wanted)) = vectors.next() else {
            return Ok(Vec::new());
        };
        let news = order.past.iter().zip(vectors);
        let news: Vec<(PastAd, Vec<f32>)> = news
            .filter_map(|(ad, vector)| Some((ad.clone(), vector?)))
            .collect();
        self.index.put(&order.tenant, &news)?;
        let near = self.index.near(&order.tenant, &wanted, CANDIDATES)?;
        Ok(best(&near, self.most))
    }
}

/// What an ad is looked for by.
fn wanted(brief: &Brief) -> String {
    format!("{}. {}. {}", brief.product, brief.promise, brief.call_to_action)
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
                impressions: 0,
                clicks: 0,
            });
            ad.impressions += impressions;
            // Clicks can be stated without their impressions.
            ad.clicks += clicks.min(impressions);
        }
    }
    let mut ads: Vec<PastAd> = by_headline.into_values().collect();
    ads.sort_by(|one, other| {
        let order = other.impressions.cmp(&one.impressions);
        order.then_with(|| one.headline.cmp(&other.headline))
    });
    ads.truncate(NEWS);
    ads
}

/// The headlines of at most `most` ads that did better than the tenant's ads do, the best first: by the lower end of their
/// click rate, which few impressions make low, and by similarity to the brief. The least similar ad counts two thirds of the
/// most similar one.
fn best(near: &[NearAd], most: usize) -> Vec<String> {
    let impressions: f64 = near.iter().map(|near| near.ad.impressions as f64).sum();
    let clicks: f64 = near.iter().map(|near| near.ad.clicks as f64).sum();
    if impressions == 0.0 || clicks == 0.0 || most == 0 {
        return Vec::new();
    }
    let usual = clicks / impressions;
    let better: Vec<(&NearAd, f64)> = near
        .iter()
        .filter_map(|near| {
            let lower = lower_rate(&near.ad, usual);
            (mean_rate(&near.ad, usual) > usual && lower > 0.0).then_some((near, lower))
        })
        .collect();
    // All texts of a language are near to each other, so similarity counts between the least and the most similar ad.
    let similarities = better.iter().map(|(near, _)| near.similarity);
    let least = similarities.clone().fold(f64::INFINITY, f64::min);
    let widest = similarities.fold(f64::NEG_INFINITY, f64::max) - least;
    let mut scored: Vec<(f64, &str)> = better
        .iter()
        .map(|(near, lower)| {
            let relative = if widest > 0.0 {
                (near.similarity - least) / widest
            } else {
                1.0
            };
            (lower * (2.0 + relative) / 3.0, near.ad.headline.as_str())
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
    usual.mul_add(PRIOR, ad.clicks as f64) / (PRIOR + ad.impressions as f64)
}

/// The lower end of the rate, by the normal approximation of that distribution.
fn lower_rate(ad: &PastAd, usual: f64) -> f64 {
    let mean = mean_rate(ad, usual);
    let weight = PRIOR + ad.impressions as f64;
    let deviation = (mean * (1.0 - mean) / (weight + 1.0)).sqrt();
    SURE.mul_add(-deviation, mean)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{GenerateSettings, Strategies};
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

    fn ad(headline: &str, impressions: u64, clicks: u64) -> PastAd {
        PastAd {
            headline: headline.into(),
            impressions,
            clicks,
        }
    }

    /// The headlines that an order of this brief gets, with an index that is new.
    fn found(ads: &[PastAd], brief: &Brief, most: usize) -> Vec<String> {
        let campaign = serde_json::from_value(serde_json::json!({
            "id": "spring", "brief": brief, "direction": "up", "platforms": [{"name": "file", "headline": 40, "body": 90}]
        }));
        let settings = GenerateSettings {
            model: "ads".into(),
            ..GenerateSettings::default()
        };
        let mut orders = Strategies::built_in().orders(&TenantId::default(), &campaign.unwrap(), &settings);
        let order = TextOrder {
            past: ads.to_vec(),
            ..orders.remove(0)
        };
        Retrieval::new(Arc::new(Letters), None, most).headlines(&order)
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
            ad("warm boots", 10_000, 300),
            ad("xxyyzz", 10_000, 300),
            ad("warm feet in boots", 10_000, 100),
            ad("a pair of boots", 10_000, 400),
        ];
        assert_eq!(found(&ads, &brief(), 2), ["a pair of boots", "warm boots"]);
        assert_eq!(found(&ads, &brief(), 0), [] as [String; 0]);
    }

    #[test]
    fn luck_with_few_impressions_counts_less_than_a_rate_that_is_sure() {
        let ads = [
            ad("boots for warm feet", 3, 3),
            ad("boots for warm feet too", 50_000, 2_000),
            ad("unread", 50_000, 500),
        ];
        let best = found(&ads, &brief(), 1);
        assert_eq!(best, ["boots for warm feet too"]);
    }

    #[test]
    fn without_clicks_or_without_a_readable_text_there_is_nothing_to_learn_from() {
        let none = [] as [String; 0];
        assert_eq!(found(&[], &brief(), 3), none);
        assert_eq!(found(&[ad("boots", 100, 0)], &brief(), 3), none);
        let ads = [ad("boots?", 100, 90), ad("cold", 1_000, 1)];
        assert_eq!(found(&ads, &brief(), 3), none);
        let unreadable = Brief {
            product: "?".into(),
            ..brief()
        };
        assert_eq!(found(&[ad("boots", 100, 90)], &unreadable, 3), none);
    }

    proptest! {
        #[test]
        fn more_clicks_never_lower_a_rate_and_more_of_the_same_make_it_surer(
            impressions in 1u64..100_000, share in 0.0f64..1.0, more in 2u64..10
        ) {
            let usual = 0.02;
            let at = |clicks: u64| lower_rate(&ad("a", impressions, clicks), usual);
            let clicks = (impressions as f64 * share) as u64;
            prop_assert!(at(clicks) <= at((clicks * more).min(impressions)) + 1e-12);
            let rate = at(clicks);
            prop_assert!((0.0..=1.0).contains(&mean_rate(&ad("a", impressions, clicks), usual)));
            if clicks as f64 > usual * impressions as f64 {
                let surer = lower_rate(&ad("a", impressions * more, clicks * more), usual);
                prop_assert!(surer >= rate - 1e-12);
            }
        }
    }
}
