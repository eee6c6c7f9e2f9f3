//! A view whose bodies are sealed with data keys, in SQLite, and in PostgreSQL if `LIMBIC_TEST_POSTGRES` is set.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use limbic_data_key::DataKeys;
use limbic_domain::{Secret, TenantId, topics};
use limbic_stream::testing::{Harness, RecordBuilder, record};
use limbic_views::{Kind, Store, StoreError, ViewsSettings, ViewsStage};
use serde_json::json;
use tokio::runtime::{Handle, Runtime};

const OLD: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const NEW: &str = "f0e1d2c3b4a5968778695a4b3c2d1e0fffeeddccbbaa99887766554433221100";
/// Part of every text and author of these tests.
const PERSONAL: &str = "quetzalcoatl";

fn keys(secrets: &[&str]) -> Option<DataKeys> {
    let secrets: Vec<Secret> = secrets.iter().copied().map(Secret::new).collect();
    DataKeys::new(&secrets).unwrap()
}

fn post(number: u64) -> RecordBuilder {
    let envelope = json!({
        "type": "post", "v": 1, "tenant": "acme", "id": format!("post-{number}"), "at": "2026-03-01T10:00:00.000Z",
        "data": {
            "network": "test", "id": format!("{number}"), "author": "0123456789abcdef0123456789abcdef",
            "text": format!("{PERSONAL} {number}"), "created_at": "2026-03-01T10:00:00.000Z", "subjects": [],
            "consent": "given", "minor": false
        }
    });
    record(topics::POSTS)
        .offset(number)
        .value(envelope.to_string().into_bytes())
}

fn write(store: &Store, handle: &Handle, records: impl IntoIterator<Item = RecordBuilder>) {
    let (store, handle) = (store.clone(), handle.clone());
    let stage = move || ViewsStage::new(store.clone(), handle.clone(), "log");
    let mut harness = Harness::new(stage).described_by(ViewsStage::spec(&ViewsSettings::default()));
    harness.process(records);
    assert!(harness.dead_letters().is_empty(), "{:?}", harness.dead_letters());
}

fn text_of(store: &Store, handle: &Handle, number: u64) -> Result<String, StoreError> {
    let tenant = TenantId::new("acme").unwrap();
    let found = handle.block_on(store.by_id(&tenant, Kind::Post, &format!("post-{number}")))?;
    Ok(found.unwrap()["text"].as_str().unwrap().to_owned())
}

/// Runs the promise over a view that `open` opens again and again.
fn is_sealed(open: &dyn Fn() -> Store, handle: &Handle, raw: &dyn Fn(&Store) -> Vec<u8>) {
    let with = |secrets: &[&str]| handle.block_on(open().sealed_with(keys(secrets)));
    let has_text = |bytes: &[u8]| {
        bytes
            .windows(PERSONAL.len())
            .any(|part| part == PERSONAL.as_bytes())
    };
    // Without keys nothing changes.
    let plain = with(&[]).unwrap();
    write(&plain, handle, [post(0)]);
    // From now on rows are sealed, and the old one is still read.
    let old = with(&[OLD]).unwrap();
    write(&old, handle, [post(1)]);
    for number in [0, 1] {
        assert_eq!(
            text_of(&old, handle, number).unwrap(),
            format!("{PERSONAL} {number}")
        );
    }
    let bytes = raw(&old);
    assert!(
        !bytes.is_empty() && !has_text(&bytes),
        "the text of a sealed row is readable"
    );
    // Another key, or none, does not open it, and this is said when the view is opened.
    for secrets in [&[NEW][..], &[]] {
        let error = with(secrets).unwrap_err().to_string();
        assert!(error.contains("data_keys"), "{error}");
    }
    // A row that is there stays as it is when its key is missing.
    let error = text_of(&plain, handle, 1).unwrap_err().to_string();
    assert!(error.contains("data_keys"), "{error}");
    // The new key seals, and the old one still opens.
    let both = with(&[NEW, OLD]).unwrap();
    write(&both, handle, [post(2)]);
    for number in [0, 1, 2] {
        assert_eq!(
            text_of(&both, handle, number).unwrap(),
            format!("{PERSONAL} {number}")
        );
    }
    let only_new = with(&[NEW]).unwrap();
    assert!(text_of(&only_new, handle, 2).is_ok());
    assert!(text_of(&only_new, handle, 1).is_err());
}

fn runtime() -> Runtime {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    runtime.unwrap()
}

/// The stored body of the second post.
fn body(handle: &Handle, url: &str, sql: &'static str) -> Vec<u8> {
    use sqlx::Row as _;
    sqlx::any::install_default_drivers();
    handle.block_on(async {
        let pool = sqlx::AnyPool::connect(url).await.unwrap();
        let row = sqlx::query(sql).fetch_one(&pool).await.unwrap();
        let body = row.get::<Vec<u8>, _>("body");
        pool.close().await;
        body
    })
}

#[test]
fn bodies_in_sqlite_are_sealed_with_the_newest_key_and_opened_with_theirs() {
    let runtime = runtime();
    let folder = tempfile::tempdir().unwrap();
    let open = || runtime.block_on(Store::sqlite(folder.path())).unwrap();
    let url = |folder: &Path| format!("sqlite://{}", folder.join("view.sqlite").display());
    is_sealed(&open, runtime.handle(), &|_| {
        let sql = "SELECT body FROM limbic_posts ORDER BY seq DESC LIMIT 1";
        body(runtime.handle(), &url(folder.path()), sql)
    });
}

#[test]
fn bodies_in_postgresql_are_sealed_with_the_newest_key_and_opened_with_theirs() {
    let Ok(url) = std::env::var("LIMBIC_TEST_POSTGRES") else {
        eprintln!("\n*** SKIPPED: LIMBIC_TEST_POSTGRES is not set (scripts/services up) ***\n");
        return;
    };
    let runtime = runtime();
    // A schema of its own: other tests open the newest row of theirs without a key.
    sqlx::any::install_default_drivers();
    runtime.block_on(async {
        let pool = sqlx::AnyPool::connect(&url).await.unwrap();
        for sql in [
            "DROP SCHEMA IF EXISTS limbic_sealed CASCADE",
            "CREATE SCHEMA limbic_sealed",
        ] {
            sqlx::query(sql).execute(&pool).await.unwrap();
        }
        pool.close().await;
    });
    let mark = if url.contains('?') { '&' } else { '?' };
    let url = format!("{url}{mark}options=-c%20search_path%3Dlimbic_sealed");
    let open = || runtime.block_on(Store::postgres(&url)).unwrap();
    is_sealed(&open, runtime.handle(), &|_| {
        let sql = "SELECT convert_to(body, 'UTF8') AS body FROM limbic_view ORDER BY seq DESC LIMIT 1";
        // Row-level security shows no row without a tenant.
        body(runtime.handle(), &format!("{url}%20-c%20limbic.tenant%3D*"), sql)
    });
}
