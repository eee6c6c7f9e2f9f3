//! The index in a Qdrant server keeps the contract of indexes. Without `LIMBIC_TEST_QDRANT` the server is a local one that behaves as
//! the API reference of Qdrant 1.19 says.

#![expect(
    clippy::unwrap_used,
    reason = "what a test sets up is right, or the test fails"
)]

mod server;

use limbic_creative::{AdIndex, MemoryIndex, PastAd, testing};
use limbic_domain::{ConnectionUrl, Secret, TenantId};
use limbic_qdrant::QdrantIndex;
use tokio::runtime::Runtime;

fn index(runtime: &Runtime, url: &str, key: &str) -> QdrantIndex {
    QdrantIndex::new(
        &ConnectionUrl::new(url),
        &Secret::new(key),
        runtime.handle().clone(),
    )
    .unwrap()
}

fn ad(headline: &str) -> PastAd {
    PastAd {
        headline: headline.into(),
        impressions: 10,
        clicks: 1,
    }
}

#[test]
fn both_indexes_keep_the_contract() {
    let runtime = Runtime::new().unwrap();
    let (url, key) = match std::env::var("LIMBIC_TEST_QDRANT") {
        Ok(url) => (url, String::new()),
        Err(_) => (runtime.block_on(server::start("key")), "key".to_owned()),
    };
    testing::conformance(&index(&runtime, &url, &key));
    testing::conformance(&MemoryIndex::default());
}

#[test]
fn vectors_of_another_model_are_apart() {
    let runtime = Runtime::new().unwrap();
    let url = runtime.block_on(server::start(""));
    let index = index(&runtime, &url, "");
    let tenant = TenantId::default();
    index.put(&tenant, &[(ad("two"), vec![1.0, 0.0])]).unwrap();
    index
        .put(
            &tenant,
            &[(ad("three"), vec![1.0, 0.0, 0.0]), (ad("none"), vec![0.0; 3])],
        )
        .unwrap();
    let found = |vector: &[f32]| -> Vec<String> {
        let near = index.near(&tenant, vector, 9).unwrap();
        near.into_iter().map(|near| near.ad.headline).collect()
    };
    assert_eq!(found(&[1.0, 0.0]), ["two"]);
    assert_eq!(
        found(&[1.0, 0.0, 0.0]),
        ["three"],
        "a vector without a direction is not stored"
    );
    assert_eq!(found(&[1.0]), [] as [&str; 0]);
    assert_eq!(index.version().unwrap(), "1.19.0");
}

#[test]
fn two_nodes_that_start_at_once_create_one_collection() {
    let runtime = Runtime::new().unwrap();
    let url = runtime.block_on(server::start(""));
    let tenant = TenantId::default();
    let nodes = [index(&runtime, &url, ""), index(&runtime, &url, "")];
    std::thread::scope(|scope| {
        for (node, index) in nodes.iter().enumerate() {
            let tenant = &tenant;
            scope.spawn(move || {
                for number in 0..20 {
                    let ads = [(ad(&format!("{}", number % 7)), vec![1.0, node as f32])];
                    index.put(tenant, &ads).unwrap();
                }
            });
        }
    });
    assert_eq!(nodes[0].near(&tenant, &[1.0, 0.0], 99).unwrap().len(), 7);
}

#[test]
fn errors_say_what_to_do_and_show_no_secret() {
    let runtime = Runtime::new().unwrap();
    let url = runtime.block_on(server::start("right"));
    let wrong = index(&runtime, &url, "hunter2");
    let error = wrong
        .near(&TenantId::default(), &[1.0], 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("401") && error.contains("creative.generate.index_key"),
        "{error}"
    );
    assert!(!error.contains("hunter2"), "{error}");
    let nobody = index(&runtime, "http://127.0.0.1:1/path/hunter2", "");
    let error = nobody
        .near(&TenantId::default(), &[1.0], 1)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("creative.generate.index`") && !error.contains("hunter2"),
        "{error}"
    );
    // A server that is something else.
    let right = index(&runtime, &format!("{url}/elsewhere"), "right");
    let error = right
        .put(&TenantId::default(), &[(ad("a"), vec![1.0])])
        .unwrap_err()
        .to_string();
    assert!(error.contains("404"), "{error}");
}
