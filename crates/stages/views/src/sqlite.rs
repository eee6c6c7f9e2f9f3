//! The embedded view: a SQLite file.

use std::collections::BTreeMap;
use std::path::Path;

use limbic_data_key::DataKeys;
use limbic_domain::TenantId;
use limbic_sqlite::Durability;
use sqlx::{Any, AnyPool, Row as _, Transaction};

use crate::compression::BodyWriter;
use crate::store::{Kind, NewRow, StoreError, database};
use crate::{ids, schema};

/// Rows in one statement, the largest first: SQLite compiles a statement for each number of rows, and sqlx keeps them.
const ROWS_AT_ONCE: [usize; 5] = [200, 64, 16, 4, 1];
/// Maximum number of rows that are converted to a new version in one step.
const ROWS_MIGRATED_AT_ONCE: i64 = 1_000;

/// Opens or creates the file in `folder`: connections to read with, and one to write with. The connection that writes has most
/// of the memory: a page that another connection has changed must be read again.
pub(crate) async fn open(folder: &Path) -> Result<(AnyPool, AnyPool), StoreError> {
    let file = folder.join("view.sqlite");
    let failed = || database("opening the view");
    // If the machine fails, the last transactions can be lost. The offset is lost with them, so the stage reads the same records
    // from the log again.
    let writer = limbic_sqlite::open_writer(&file, Durability::Process, &["PRAGMA cache_size = -8000"]);
    let writer = writer.await.map_err(failed())?;
    create(&writer).await?;
    let readers = limbic_sqlite::open(&file, Durability::Process, &["PRAGMA cache_size = -2000"]);
    Ok((readers.await.map_err(failed())?, writer))
}

/// Creates the tables, or converts those of an older version.
async fn create(writer: &AnyPool) -> Result<(), StoreError> {
    let failed = || database("creating the tables");
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await.map_err(failed())?;
    let version = sqlx::query("PRAGMA user_version")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed())?
        .get::<i64, _>(0);
    if version > schema::SQLITE_VERSION {
        return Err(StoreError::TooNew {
            found: version,
            known: schema::SQLITE_VERSION,
        });
    }
    let old = sqlx::query("SELECT 1 AS one FROM sqlite_master WHERE type = 'table' AND name = 'limbic_view'")
        .fetch_optional(&mut *transaction)
        .await
        .map_err(failed())?;
    if old.is_some() {
        execute(
            &mut transaction,
            "ALTER TABLE limbic_view RENAME TO limbic_view_1",
        )
        .await?;
    }
    for statement in schema::SQLITE {
        execute(&mut transaction, statement).await?;
    }
    if old.is_some() {
        tracing::info!(
            "converting the view to a new format: this takes some seconds for each million events"
        );
        copy_version_1(&mut transaction).await?;
        execute(&mut transaction, "DROP TABLE limbic_view_1").await?;
    }
    execute(&mut transaction, "PRAGMA user_version = 2").await?;
    transaction.commit().await.map_err(failed())
}

async fn execute(
    transaction: &mut Transaction<'static, Any>,
    statement: &'static str,
) -> Result<(), StoreError> {
    let done = sqlx::query(statement).execute(&mut **transaction).await;
    done.map(drop).map_err(database("creating the tables"))
}

/// Copies the rows of `limbic_view_1`. Their numbers stay, so cursors stay valid.
async fn copy_version_1(transaction: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
    let failed = || database("converting the view to a new format");
    execute(
        transaction,
        "INSERT INTO limbic_streams (tenant, kind, last) SELECT tenant, kind, MAX(seq) FROM limbic_view_1 GROUP BY tenant, kind",
    )
    .await?;
    let mut last = i64::MIN;
    loop {
        let rows = sqlx::query(
            "SELECT stream, kind, seq, id, at, entity, body FROM limbic_view_1 JOIN limbic_streams USING (tenant, kind)
             WHERE seq > ? ORDER BY seq LIMIT ?",
        )
        .bind(last)
        .bind(ROWS_MIGRATED_AT_ONCE)
        .fetch_all(&mut **transaction)
        .await
        .map_err(failed())?;
        let Some(end) = rows.last() else {
            return Ok(());
        };
        last = end.get("seq");
        let rows: Vec<Stored> = rows
            .iter()
            .map(|row| Stored {
                table: table(row.get("kind")),
                stream: row.get("stream"),
                seq: row.get("seq"),
                id: ids::pack(row.get("id")),
                hash: ids::hash(row.get("kind"), row.get("id")),
                at: row.get("at"),
                entity: row.get("entity"),
                body: row.get("body"),
            })
            .collect();
        insert(transaction, rows).await?;
    }
}

/// The table of a kind.
pub(crate) fn table(kind: &str) -> &'static str {
    if [Kind::Post.as_str(), Kind::Reading.as_str()].contains(&kind) {
        "limbic_posts"
    } else {
        "limbic_events"
    }
}

/// A row as it is stored.
struct Stored {
    table: &'static str,
    stream: i64,
    seq: i64,
    id: Vec<u8>,
    hash: Option<i64>,
    at: i64,
    entity: String,
    body: Vec<u8>,
}

/// Appends rows to their streams. An event that has a row keeps it.
pub(crate) async fn write(
    transaction: &mut Transaction<'static, Any>,
    rows: Vec<NewRow>,
    keys: Option<&DataKeys>,
) -> Result<(), StoreError> {
    let mut streams: BTreeMap<(TenantId, &str), Stream> = BTreeMap::new();
    for row in &rows {
        let key = (row.tenant.clone(), row.kind);
        streams.entry(key).or_default().rows += 1;
    }
    for ((tenant, kind), stream) in &mut streams {
        let row = sqlx::query(
            "INSERT INTO limbic_streams (tenant, kind, last) VALUES (?, ?, ?)
             ON CONFLICT (tenant, kind) DO UPDATE SET last = last + excluded.last RETURNING stream, last",
        )
        .bind(tenant.as_str().to_owned())
        .bind((*kind).to_owned())
        .bind(stream.rows)
        .fetch_one(&mut **transaction)
        .await
        .map_err(database("numbering events"))?;
        stream.number = row.get("stream");
        stream.next = row.get::<i64, _>("last") - stream.rows + 1;
    }
    let mut writer = BodyWriter::new(keys);
    let mut stored = Vec::with_capacity(rows.len());
    for row in rows {
        let (id, hash) = (ids::pack(&row.id), ids::hash(row.kind, &row.id));
        let stream = streams.entry((row.tenant, row.kind)).or_default();
        let body = writer.store(&row.id, &row.body)?;
        stored.push(Stored {
            table: table(row.kind),
            stream: stream.number,
            seq: stream.next,
            id,
            hash,
            at: row.at,
            entity: row.entity,
            body,
        });
        stream.next += 1;
    }
    insert(transaction, stored).await
}

/// A stream that a transaction writes to.
#[derive(Default)]
struct Stream {
    number: i64,
    /// Number of rows that are written to it.
    rows: i64,
    /// The number of its next row.
    next: i64,
}

async fn insert(transaction: &mut Transaction<'static, Any>, rows: Vec<Stored>) -> Result<(), StoreError> {
    let (posts, events): (Vec<Stored>, Vec<Stored>) =
        rows.into_iter().partition(|row| row.table == "limbic_posts");
    for (table, rows) in [("limbic_posts", posts), ("limbic_events", events)] {
        let mut rows = rows.into_iter();
        while rows.len() > 0 {
            let count = ROWS_AT_ONCE.into_iter().find(|count| *count <= rows.len());
            let count = count.expect("a statement of one row fits");
            let mut statement = sqlx::query(sqlx::AssertSqlSafe(insertion(table, count)));
            for row in rows.by_ref().take(count) {
                statement = statement
                    .bind(row.stream)
                    .bind(row.seq)
                    .bind(row.id)
                    .bind(row.hash)
                    .bind(row.at)
                    .bind(row.entity)
                    .bind(row.body);
            }
            statement
                .execute(&mut **transaction)
                .await
                .map_err(database("writing events"))?;
        }
    }
    Ok(())
}

/// A statement that inserts `rows` rows.
fn insertion(table: &str, rows: usize) -> String {
    // For a statement that may abort, SQLite keeps a copy of every changed page, to restore it. OR FAIL saves this: a failure
    // ends the whole transaction anyway. Numbered parameters are slow: SQLite searches its list of parameters for each one.
    let values = vec!["(?, ?, ?, ?, ?, ?, ?)"; rows].join(", ");
    format!(
        "INSERT OR FAIL INTO {table} (stream, seq, id, hash, at, entity, body) VALUES {values} ON CONFLICT DO NOTHING"
    )
}

/// The statement that reads one event: `$1` to `$3` are tenant, kind and id, `$4` the hash if the kind has one.
pub(crate) fn by_id(kind: Kind) -> &'static str {
    match kind {
        Kind::Post => {
            "SELECT seq, id, at, body FROM limbic_posts JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND hash = $4"
        }
        Kind::Reading => {
            "SELECT seq, id, at, body FROM limbic_posts JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND id = $3"
        }
        _ => {
            "SELECT seq, id, at, body FROM limbic_events JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND id = $3"
        }
    }
}

/// The statement that reads one of the newest posts or readings.
pub(crate) const NEWEST_OF_LAST_STREAM: &str =
    "SELECT seq, id, at, body FROM limbic_posts ORDER BY stream DESC, seq DESC LIMIT 1";

/// The statement that finds the row that a new one may replace: `$1` to `$4` are tenant, kind, id and entity.
pub(crate) fn replaced(kind: &str) -> &'static str {
    match table(kind) {
        "limbic_posts" => {
            "SELECT seq, id, at, body FROM limbic_posts JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND entity = $4"
        }
        _ => {
            "SELECT seq, id, at, body FROM limbic_events JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND id = $3 AND entity = $4"
        }
    }
}

/// The statement that deletes that row.
pub(crate) fn delete_replaced(kind: &str) -> &'static str {
    match table(kind) {
        "limbic_posts" => {
            "DELETE FROM limbic_posts
             WHERE stream = (SELECT stream FROM limbic_streams WHERE tenant = $1 AND kind = $2) AND id = $3 AND entity = $4"
        }
        _ => {
            "DELETE FROM limbic_events
             WHERE stream = (SELECT stream FROM limbic_streams WHERE tenant = $1 AND kind = $2) AND id = $3 AND entity = $4"
        }
    }
}

/// The statement that deletes a post, or its readings: `$1` to `$3` are tenant, kind and entity.
pub(crate) const DELETE_POST: &str = "DELETE FROM limbic_posts
     WHERE stream = (SELECT stream FROM limbic_streams WHERE tenant = $1 AND kind = $2) AND entity = $3";

/// The statement that reads a page: `$1` to `$3` are the tenant, the kind and the last number of the previous page. If the page
/// is of one entity, `$4` is the entity. The last parameter is the maximum number of rows.
pub(crate) fn page(kind: Kind, is_of_entity: bool) -> &'static str {
    match (table(kind.as_str()), is_of_entity) {
        ("limbic_posts", false) => {
            "SELECT seq, id, at, body FROM limbic_posts JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq > $3 ORDER BY seq LIMIT $4"
        }
        // SQLite would choose the index of numbers, because it cannot know that most entities have few rows. Rows of a post
        // are sorted.
        ("limbic_posts", true) => {
            "SELECT seq, id, at, body FROM limbic_posts INDEXED BY limbic_posts_entity
             JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq > $3 AND entity = $4 ORDER BY seq LIMIT $5"
        }
        (_, false) => {
            "SELECT seq, id, at, body FROM limbic_events JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq > $3 ORDER BY seq LIMIT $4"
        }
        (_, true) => {
            "SELECT seq, id, at, body FROM limbic_events INDEXED BY limbic_events_entity
             JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq > $3 AND entity = $4 ORDER BY seq LIMIT $5"
        }
    }
}

/// The statement that reads a page of the newest events, newest first. The parameters are those of [`page`], with the number of the
/// row before which the page begins.
pub(crate) fn page_of_newest(kind: Kind, is_of_entity: bool) -> &'static str {
    match (table(kind.as_str()), is_of_entity) {
        ("limbic_posts", false) => {
            "SELECT seq, id, at, body FROM limbic_posts JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4"
        }
        ("limbic_posts", true) => {
            "SELECT seq, id, at, body FROM limbic_posts INDEXED BY limbic_posts_entity
             JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq < $3 AND entity = $4 ORDER BY seq DESC LIMIT $5"
        }
        (_, false) => {
            "SELECT seq, id, at, body FROM limbic_events JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4"
        }
        (_, true) => {
            "SELECT seq, id, at, body FROM limbic_events INDEXED BY limbic_events_entity
             JOIN limbic_streams USING (stream)
             WHERE tenant = $1 AND kind = $2 AND seq < $3 AND entity = $4 ORDER BY seq DESC LIMIT $5"
        }
    }
}

/// The statement that counts the events of a kind: `$1` and `$2` are tenant and kind.
pub(crate) fn count(kind: Kind) -> &'static str {
    match table(kind.as_str()) {
        "limbic_posts" => {
            "SELECT COUNT(*) AS n FROM limbic_posts JOIN limbic_streams USING (stream) WHERE tenant = $1 AND kind = $2"
        }
        _ => {
            "SELECT COUNT(*) AS n FROM limbic_events JOIN limbic_streams USING (stream) WHERE tenant = $1 AND kind = $2"
        }
    }
}

#[cfg(test)]
mod tests;
