//! What every index of earlier ads keeps. For tests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use limbic_domain::TenantId;

use crate::{AdIndex, PastAd};

fn ad(headline: &str, impressions: u64) -> PastAd {
    PastAd {
        headline: headline.to_owned(),
        impressions,
        clicks: impressions / 10,
    }
}

/// Checks an empty index for vectors of three numbers.
///
/// # Panics
///
/// If the index does not keep its contract.
pub fn conformance(index: &dyn AdIndex) {
    let (acme, best) = (TenantId::new("acme").unwrap(), TenantId::new("best").unwrap());
    let found = |tenant: &TenantId, vector: &[f32], most: usize| -> Vec<(String, u64)> {
        let near = index.near(tenant, vector, most).unwrap();
        near.into_iter()
            .map(|near| (near.ad.headline, near.ad.impressions))
            .collect()
    };
    assert_eq!(
        found(&acme, &[1.0, 0.0, 0.0], 3),
        [],
        "nothing is near to nothing"
    );
    index.put(&acme, &[]).unwrap();

    let ads = [
        (ad("east", 10), vec![1.0, 0.0, 0.0]),
        (ad("north-east", 20), vec![3.0, 3.0, 0.0]),
        (ad("north", 30), vec![0.0, 0.5, 0.0]),
        (ad("west", 40), vec![-1.0, 0.0, 0.0]),
    ];
    index.put(&acme, &ads).unwrap();
    let name =
        |found: Vec<(String, u64)>| -> Vec<String> { found.into_iter().map(|(name, _)| name).collect() };
    assert_eq!(
        name(found(&acme, &[2.0, 0.1, 0.0], 10)),
        ["east", "north-east", "north", "west"],
        "the nearest first, whatever the lengths of the vectors"
    );
    assert_eq!(name(found(&acme, &[2.0, 0.1, 0.0], 2)), ["east", "north-east"]);
    let near = index.near(&acme, &[7.0, 0.0, 0.0], 4).unwrap();
    for (near, similarity) in near.iter().zip([1.0, 0.5_f64.sqrt(), 0.0, -1.0]) {
        assert!(
            (near.similarity - similarity).abs() < 1e-6,
            "{near:?}: {similarity}"
        );
    }

    assert_eq!(
        found(&best, &[1.0, 0.0, 0.0], 3),
        [],
        "another tenant's ads are not found"
    );
    index.put(&best, &[(ad("east", 1), vec![0.0, 0.0, 1.0])]).unwrap();
    assert_eq!(found(&best, &[1.0, 0.0, 0.0], 3), [("east".to_owned(), 1)]);
    assert_eq!(found(&acme, &[1.0, 0.0, 0.0], 1), [("east".to_owned(), 10)]);

    index
        .put(&acme, &[(ad("east", 99), vec![0.0, 0.0, 1.0])])
        .unwrap();
    assert_eq!(
        found(&acme, &[0.0, 0.0, 1.0], 1),
        [("east".to_owned(), 99)],
        "a headline has one vector and the latest numbers"
    );
    assert_eq!(found(&acme, &[1.0, 0.0, 0.0], 10).len(), 4);
    assert_eq!(found(&best, &[0.0, 0.0, 1.0], 1), [("east".to_owned(), 1)]);

    let odd = "Ça va? 🥾 \"quoted\" \\ / {tenant}";
    index.put(&acme, &[(ad(odd, 5), vec![0.0, -1.0, 0.0])]).unwrap();
    assert_eq!(found(&acme, &[0.0, -1.0, 0.0], 1), [(odd.to_owned(), 5)]);
}
