//! Opens the SQLite files of a node.
//!
//! ```text
//!  stage ──▶ open_writer (1 connection) ──┐
//!  stage ──▶ open (4 connections) ────────┴─▶ settings of each connection ──▶ FILE, FILE-wal
//!                                            (write-ahead log, durability, a wait of 10 s)
//! ```
//!
//! The crate does not know tables or statements: they belong to the stage that keeps them. It does not open PostgreSQL.
//!
//! # Example
//!
//! ```
//! use limbic_sqlite::Durability;
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let folder = tempfile::tempdir().unwrap();
//! let pool = limbic_sqlite::open(&folder.path().join("counts.sqlite"), Durability::Process, &[]).await?;
//! sqlx::query("CREATE TABLE counts (name TEXT PRIMARY KEY, count BIGINT NOT NULL)").execute(&pool).await?;
//! let done = sqlx::query("INSERT INTO counts VALUES ('posts', 1)").execute(&pool).await?;
//! assert_eq!(done.rows_affected(), 1);
//! # Ok::<(), sqlx::Error>(())
//! # }).unwrap();
//! ```
//!
//! # Laws
//!
//! * A committed transaction survives the end of the process, even if the process is killed.
//! * With [`Durability::Machine`], a committed transaction also survives a failure of the machine.

use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use sqlx::any::AnyPoolOptions;
use sqlx::{AnyConnection, AnyPool, Row as _};

/// Connections to one file. One writes at a time; the others read.
const CONNECTIONS: u32 = 4;

/// The failures that a committed transaction survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// The end of the process. If the *machine* fails, the last transactions can be lost (`synchronous = NORMAL`).
    Process,
    /// A failure of the machine, too. Each commit waits for the disk (`synchronous = FULL`).
    Machine,
}

/// Opens or creates the file with one connection, for a stage that writes often. SQLite drops the pages that a connection has
/// cached when another connection changes the file. `pragmas` and errors are those of [`open`].
pub async fn open_writer(
    file: &Path,
    durability: Durability,
    pragmas: &'static [&'static str],
) -> Result<AnyPool, sqlx::Error> {
    connect(file, 1, durability, pragmas).await
}

/// Opens or creates the file, in a folder that exists. `pragmas` are further settings of each connection, as SQL. A connection
/// waits up to 10 s for another one that writes, and then fails.
pub async fn open(
    file: &Path,
    durability: Durability,
    pragmas: &'static [&'static str],
) -> Result<AnyPool, sqlx::Error> {
    connect(file, CONNECTIONS, durability, pragmas).await
}

/// Gives up to `pages` unused pages at a time back to the disk, and returns their bytes. The file shrinks when SQLite next
/// moves its write-ahead log to the file. An older file, which [`make_shrinkable`] has not prepared, gives nothing back.
pub async fn give_back(writer: &AnyPool, pages: u32) -> Result<u64, sqlx::Error> {
    let mut connection = writer.acquire().await?;
    let unused = number(&mut connection, "PRAGMA freelist_count").await?;
    if unused == 0 {
        return Ok(0);
    }
    let statement = sqlx::AssertSqlSafe(format!("PRAGMA incremental_vacuum({pages})"));
    sqlx::query(statement).fetch_all(&mut *connection).await?;
    let still_unused = number(&mut connection, "PRAGMA freelist_count").await?;
    let page = number(&mut connection, "PRAGMA page_size").await?;
    Ok((unused - still_unused).max(0).unsigned_abs() * page.unsigned_abs())
}

/// Makes a file able to give space back ([`give_back`]), if it is not yet. That writes the whole file again, and needs as
/// much free space as the file has bytes.
pub async fn make_shrinkable(writer: &AnyPool) -> Result<(), sqlx::Error> {
    const INCREMENTAL: i64 = 2;
    let mut connection = writer.acquire().await?;
    if number(&mut connection, "PRAGMA auto_vacuum").await? == INCREMENTAL {
        return Ok(());
    }
    tracing::info!(
        "an SQLite file is written again, so that it can give space back: this takes some seconds for each gigabyte"
    );
    sqlx::query("PRAGMA auto_vacuum = INCREMENTAL")
        .execute(&mut *connection)
        .await?;
    sqlx::query("VACUUM").execute(&mut *connection).await?;
    Ok(())
}

async fn number(connection: &mut AnyConnection, pragma: &'static str) -> Result<i64, sqlx::Error> {
    Ok(sqlx::query(pragma).fetch_one(connection).await?.get(0))
}

async fn connect(
    file: &Path,
    connections: u32,
    durability: Durability,
    pragmas: &'static [&'static str],
) -> Result<AnyPool, sqlx::Error> {
    sqlx::any::install_default_drivers();
    let synchronous = match durability {
        Durability::Process => "PRAGMA synchronous = NORMAL",
        Durability::Machine => "PRAGMA synchronous = FULL",
    };
    let options = AnyPoolOptions::new()
        .max_connections(connections)
        .after_connect(move |connection, _| {
            Box::pin(async move {
                let own = [
                    // Before anything is written. In an existing file it has no effect until the next `VACUUM`.
                    "PRAGMA auto_vacuum = INCREMENTAL",
                    "PRAGMA journal_mode = WAL",
                    synchronous,
                    "PRAGMA busy_timeout = 10000",
                ];
                for pragma in own.into_iter().chain(pragmas.iter().copied()) {
                    sqlx::query(pragma).execute(&mut *connection).await?;
                }
                Ok(())
            })
        });
    options.connect(&url_of(file)?).await
}

/// The characters of a path that a URL contains as they are.
const AS_THEY_ARE: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// The URL of a file that may not exist yet. Every character that could mean something in a URL is encoded.
fn url_of(file: &Path) -> Result<String, sqlx::Error> {
    let Some(path) = file.to_str() else {
        let what = format!(
            "the path {} is not UTF-8: choose another data folder",
            file.display()
        );
        return Err(sqlx::Error::Configuration(what.into()));
    };
    Ok(format!(
        "sqlite://{}?mode=rwc",
        utf8_percent_encode(path, AS_THEY_ARE)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_may_contain_any_character() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "100%",
            "50%25",
            "why?",
            "#1",
            "a b",
            "Zoë 日本",
            "a&mode=ro",
            "q\"'",
        ] {
            let folder = folder.path().join(name);
            std::fs::create_dir(&folder).unwrap();
            let file = folder.join("x.sqlite");
            runtime.block_on(async {
                let pool = open_writer(&file, Durability::Process, &[]).await.unwrap();
                sqlx::query("CREATE TABLE x (y BIGINT)")
                    .execute(&pool)
                    .await
                    .unwrap();
                pool.close().await;
            });
            assert!(file.is_file(), "{name}");
        }
    }
}
