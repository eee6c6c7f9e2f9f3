//! The tests of [`sqlite`](super).

use serde_json::json;

use super::*;
use crate::Store;

/// The tables of version 1.
const VERSION_1: [&str; 4] = [
        "CREATE TABLE limbic_view (seq INTEGER PRIMARY KEY AUTOINCREMENT, tenant TEXT NOT NULL, kind TEXT NOT NULL,
            id TEXT NOT NULL, at BIGINT NOT NULL, entity TEXT NOT NULL, body BLOB NOT NULL, UNIQUE (tenant, kind, id))",
        "CREATE INDEX limbic_view_entity ON limbic_view (tenant, kind, entity, seq)",
        "CREATE INDEX limbic_view_seq ON limbic_view (tenant, kind, seq)",
        "CREATE TABLE limbic_view_offsets (source TEXT PRIMARY KEY, next BIGINT NOT NULL)",
    ];

fn row(kind: &'static str, id: &str, entity: &str) -> NewRow {
    NewRow {
        tenant: TenantId::default(),
        kind,
        id: id.into(),
        at: 5,
        entity: entity.into(),
        body: json!({"of": id}).to_string(),
        replaces: crate::store::Replaces::Nothing,
    }
}

async fn database_of_version_1(folder: &Path, rows: &[NewRow]) {
    let file = folder.join("view.sqlite");
    let pool = limbic_sqlite::open(&file, Durability::Process, &[])
        .await
        .unwrap();
    for statement in VERSION_1 {
        sqlx::query(statement).execute(&pool).await.unwrap();
    }
    let mut writer = BodyWriter::new(None);
    for row in rows {
        sqlx::query("INSERT INTO limbic_view (tenant, kind, id, at, entity, body) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(row.tenant.as_str())
            .bind(row.kind)
            .bind(row.id.clone())
            .bind(row.at)
            .bind(row.entity.clone())
            .bind(writer.store(&row.id, &row.body).unwrap())
            .execute(&pool)
            .await
            .unwrap();
    }
    sqlx::query("INSERT INTO limbic_view_offsets VALUES ('log/posts/0', 3)")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

#[tokio::test]
async fn a_view_of_an_older_version_keeps_its_rows_numbers_and_offsets() {
    let folder = tempfile::tempdir().unwrap();
    let hash = limbic_domain::event_id("post", &["1"]);
    // More than are copied at once.
    let readings =
        (0..ROWS_MIGRATED_AT_ONCE + 7).map(|n| row("reading", &format!("r{n}"), &format!("t/{n}")));
    let rows: Vec<NewRow> = [row("post", &hash, "t/1"), row("outcome", "o1", "acme.x")]
        .into_iter()
        .chain(readings)
        .collect();
    database_of_version_1(folder.path(), &rows).await;

    let (tenant, other) = (TenantId::default(), TenantId::new("other").unwrap());
    for opened in 0..2 {
        let store = Store::sqlite(folder.path()).await.unwrap();
        let found = store.by_id(&tenant, Kind::Post, &hash).await.unwrap().unwrap();
        assert_eq!(
            found,
            json!({"of": hash, "id": hash, "at": "1970-01-01T00:00:00.005Z"})
        );
        assert!(store.by_id(&other, Kind::Post, &hash).await.unwrap().is_none());
        let count = store.count(&tenant, Kind::Reading).await.unwrap();
        assert_eq!(
            count,
            ROWS_MIGRATED_AT_ONCE as u64 + 7,
            "opened {opened} times before"
        );
        // The third row of the old table had the number 3.
        let after = "c3".parse().unwrap();
        let page = store
            .list(&tenant, Kind::Reading, None, Some(after), 1)
            .await
            .unwrap();
        assert_eq!(
            (page.items[0]["id"].as_str(), page.next.as_deref()),
            (Some("r1"), Some("c4"))
        );
        let sources = ["log/posts/0".to_owned()];
        assert_eq!(store.offsets(&sources).await.unwrap(), [Some(3)]);
        store.close().await;
    }

    let store = Store::sqlite(folder.path()).await.unwrap();
    let again = [row("post", &hash, "t/1"), row("post", "p2", "t/2")];
    store
        .write(again.to_vec(), &[("log/posts/0".to_owned(), Some(3), 5)])
        .await
        .unwrap();
    let page = store.list(&tenant, Kind::Post, None, None, 9).await.unwrap();
    let ids: Vec<_> = page
        .items
        .iter()
        .map(|item| item["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [&*hash, "p2"], "the row that was there is not written again");
}

#[tokio::test]
async fn a_view_of_a_later_version_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(folder.path()).await.unwrap();
    store.close().await;
    let file = folder.path().join("view.sqlite");
    let later = ["PRAGMA user_version = 3"].as_slice();
    let pool = limbic_sqlite::open(&file, Durability::Process, later)
        .await
        .unwrap();
    pool.close().await;
    let refused = Store::sqlite(folder.path()).await.unwrap_err();
    assert!(
        matches!(refused, StoreError::TooNew { found: 3, known: 2 }),
        "{refused}"
    );
}

#[tokio::test]
async fn reads_use_an_index_and_sort_at_most_the_rows_of_a_post() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::sqlite(folder.path()).await.unwrap();
    for (query, index, is_sorted) in [
        (by_id(Kind::Post), "limbic_posts_hash", false),
        (by_id(Kind::Decision), "limbic_events_id", false),
        (page(Kind::Reading, false), "PRIMARY KEY", false),
        (page(Kind::Reading, true), "limbic_posts_entity", true),
        (page(Kind::Decision, false), "PRIMARY KEY", false),
        (page(Kind::Decision, true), "limbic_events_entity", false),
        (page_of_newest(Kind::Reading, false), "PRIMARY KEY", false),
        (page_of_newest(Kind::Reading, true), "limbic_posts_entity", true),
        (page_of_newest(Kind::Decision, false), "PRIMARY KEY", false),
        (
            page_of_newest(Kind::Decision, true),
            "limbic_events_entity",
            false,
        ),
        (count(Kind::Post), "(stream=?)", false),
    ] {
        let sql = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let rows = sqlx::query(sql).fetch_all(store.readers()).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{query}: {plan:?}");
        assert!(
            plan.iter().all(|step| !step.starts_with("SCAN")),
            "{query}: {plan:?}"
        );
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        assert_eq!(sorts, is_sorted, "{query}: {plan:?}");
    }
}
