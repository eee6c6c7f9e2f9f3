//! Indexes of earlier ads: which of a tenant's ads are near to a text.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use limbic_domain::TenantId;
use serde::{Deserialize, Serialize};

/// Most ads of a tenant that the index of the process keeps: those with the most impressions.
const MOST: usize = 2_000;

/// An ad that has run, with what was measured. Its headline names it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastAd {
    /// The headline.
    pub headline: String,
    /// How often it was shown, in all ads that have this headline.
    pub impressions: u64,
    /// How often it was clicked, at most [`PastAd::impressions`].
    pub clicks: u64,
}

/// An ad that an index has found.
#[derive(Debug, Clone, PartialEq)]
pub struct NearAd {
    /// The ad, as it was put into the index last.
    pub ad: PastAd,
    /// The cosine of the angle between its vector and the one that was looked for.
    pub similarity: f64,
}

/// Why an index does not answer, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct IndexError(pub String);

/// Keeps ads with their vectors, and finds near ones. Its methods block; they are called on the threads of an outbox.
///
/// All vectors of an index have one length. `testing::conformance` (feature `testing`) is what each index keeps.
pub trait AdIndex: Send + Sync {
    /// Adds ads of a tenant, each with its vector. An ad with a known headline replaces the one before.
    fn put(&self, tenant: &TenantId, ads: &[(PastAd, Vec<f32>)]) -> Result<(), IndexError>;

    /// At most `most` ads of the tenant, the nearest first.
    fn near(&self, tenant: &TenantId, vector: &[f32], most: usize) -> Result<Vec<NearAd>, IndexError>;
}

/// The index of a node. `None` = the one of the process.
pub type AdIndexes = Option<Arc<dyn AdIndex>>;

type OfTenant = HashMap<String, (PastAd, Vec<f32>)>;

/// An index in the process. It is empty after a start, and keeps 2,000 ads of each tenant.
#[derive(Debug, Default)]
pub struct MemoryIndex {
    ads: Mutex<HashMap<TenantId, OfTenant>>,
}

impl AdIndex for MemoryIndex {
    fn put(&self, tenant: &TenantId, ads: &[(PastAd, Vec<f32>)]) -> Result<(), IndexError> {
        let mut all = self.ads.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = all.entry(tenant.clone()).or_default();
        for (ad, vector) in ads {
            of_tenant.insert(ad.headline.clone(), (ad.clone(), vector.clone()));
        }
        if of_tenant.len() > MOST {
            let mut impressions: Vec<u64> = of_tenant.values().map(|(ad, _)| ad.impressions).collect();
            impressions.sort_unstable_by(|one, other| other.cmp(one));
            let least = impressions[MOST - 1];
            of_tenant.retain(|_, (ad, _)| ad.impressions >= least);
        }
        Ok(())
    }

    fn near(&self, tenant: &TenantId, vector: &[f32], most: usize) -> Result<Vec<NearAd>, IndexError> {
        let all = self.ads.lock().unwrap_or_else(PoisonError::into_inner);
        let of_tenant = all.get(tenant).into_iter().flat_map(HashMap::values);
        let mut near: Vec<NearAd> = of_tenant
            .filter_map(|(ad, of_ad)| {
                let similarity = cosine(vector, of_ad)?;
                Some(NearAd {
                    ad: ad.clone(),
                    similarity,
                })
            })
            .collect();
        near.sort_by(nearest_first);
        near.truncate(most);
        Ok(near)
    }
}

/// The order of what an index finds: by similarity, then by headline.
fn nearest_first(one: &NearAd, other: &NearAd) -> Ordering {
    let order = other.similarity.total_cmp(&one.similarity);
    order.then_with(|| one.ad.headline.cmp(&other.ad.headline))
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
    use super::*;

    #[test]
    fn the_index_of_the_process_keeps_the_contract() {
        crate::testing::conformance(&MemoryIndex::default());
    }

    #[test]
    fn the_index_of_the_process_is_bounded_and_keeps_what_was_shown_most() {
        let index = MemoryIndex::default();
        let tenant = TenantId::default();
        let ads = |numbers: std::ops::Range<u64>| -> Vec<(PastAd, Vec<f32>)> {
            let ad = |number: u64| PastAd {
                headline: format!("n{number}"),
                impressions: number,
                clicks: 0,
            };
            numbers
                .map(|number| (ad(number), vec![1.0, number as f32]))
                .collect()
        };
        index.put(&tenant, &ads(1..1_500)).unwrap();
        index.put(&tenant, &ads(1_500..2_501)).unwrap();
        let near = index.near(&tenant, &[1.0, 1.0], 10_000).unwrap();
        assert_eq!(near.len(), 2_000);
        assert!(near.iter().all(|near| near.ad.impressions > 500));
    }

    #[test]
    fn a_vector_of_another_length_or_without_a_direction_is_near_to_nothing() {
        let index = MemoryIndex::default();
        let tenant = TenantId::default();
        let ad = |headline: &str| PastAd {
            headline: headline.into(),
            impressions: 1,
            clicks: 0,
        };
        index
            .put(&tenant, &[(ad("a"), vec![1.0]), (ad("b"), vec![0.0, 0.0])])
            .unwrap();
        assert_eq!(index.near(&tenant, &[1.0, 1.0], 9).unwrap(), []);
    }
}
