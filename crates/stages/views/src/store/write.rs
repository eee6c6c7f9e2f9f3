//! Writes the view: rows and offsets in one transaction, and what the database refuses.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use limbic_domain::{Outcome, TenantId, Utc};
use sqlx::any::AnyRow;
use sqlx::{Any, Row as _, Transaction};

use super::{NewRow, Replaces, Store, StoreError, database};
use crate::{ids, sqlite};

/// For how many records after it a refused one is remembered: more than one transaction of the log holds.
const REFUSED_FOR: u64 = 1_000_000;
/// Rows in one statement for PostgreSQL. Each has 6 parameters; the limit is 65,535.
const ROWS_AT_ONCE: usize = 200;

impl Store {
    /// Gives the offset of each `old` source to its `new` source, if that has none.
    pub(crate) async fn rename_sources(&self, names: &[(String, String)]) -> Result<(), StoreError> {
        for (old, new) in names {
            let sql = "UPDATE limbic_view_offsets SET source = $1 WHERE source = $2
                 AND NOT EXISTS (SELECT 1 FROM limbic_view_offsets WHERE source = $1)";
            sqlx::query(sql)
                .bind(new)
                .bind(old)
                .execute(&self.writer)
                .await
                .map_err(database("moving an offset"))?;
        }
        Ok(())
    }

    /// Removes the offsets of these sources. Their events stay.
    pub(crate) async fn forget_offsets(&self, sources: &[String]) -> Result<(), StoreError> {
        for source in sources {
            for sql in [
                "DELETE FROM limbic_view_offsets WHERE source = $1",
                "DELETE FROM limbic_view_refused WHERE source = $1",
            ] {
                sqlx::query(sql)
                    .bind(source)
                    .execute(&self.writer)
                    .await
                    .map_err(database("removing an offset"))?;
            }
        }
        Ok(())
    }

    /// The next offset of each source, if there is one.
    pub(crate) async fn offsets(&self, sources: &[String]) -> Result<Vec<Option<u64>>, StoreError> {
        let mut offsets = Vec::with_capacity(sources.len());
        for source in sources {
            let row = sqlx::query("SELECT next FROM limbic_view_offsets WHERE source = $1")
                .bind(source)
                .fetch_optional(&self.writer)
                .await
                .map_err(database("reading an offset"))?;
            offsets.push(row.map(|row| row.get::<i64, _>("next") as u64));
        }
        Ok(offsets)
    }

    /// Writes rows and moves the offsets in one transaction. `moves`: source, its expected offset, its new offset. Rows of
    /// events that are older than the view keeps are not written: returns their number, by kind.
    pub(crate) async fn write(
        &self,
        mut rows: Vec<NewRow>,
        moves: &[(String, Option<u64>, u64)],
    ) -> Result<BTreeMap<&'static str, u64>, StoreError> {
        let mut transaction = self.writing().await?;
        move_offsets(&mut transaction, moves).await?;
        let not_stored = drop_older(&mut transaction, &mut rows).await?;
        self.insert(&mut transaction, rows).await?;
        transaction
            .commit()
            .await
            .map_err(database("committing events"))?;
        Ok(not_stored)
    }

    async fn insert(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: Vec<NewRow>,
    ) -> Result<(), StoreError> {
        let rows = self.remove_replaced(transaction, rows).await?;
        if self.postgres {
            insert_into_postgres(self, transaction, &rows).await
        } else {
            sqlite::write(transaction, rows, self.keys.as_ref()).await
        }
    }

    /// As [`Self::write`], without the rows that the database refuses, which it notes instead. Each row has its source and offset.
    /// It is slower: call it after [`Self::write`] has been refused ([`Self::refuses`]).
    pub(crate) async fn write_accepted(
        &self,
        rows: Vec<(String, u64, NewRow)>,
        moves: &[(String, Option<u64>, u64)],
    ) -> Result<Accepted, StoreError> {
        let mut transaction = self.writing().await?;
        move_offsets(&mut transaction, moves).await?;
        let mut accepted = Accepted::default();
        // The next part is the last one. Parts are written in order, because they are numbered.
        let mut parts = vec![rows];
        while let Some(mut part) = parts.pop() {
            let mut new: Vec<NewRow> = part.iter().map(|(.., row)| row.clone()).collect();
            act(&mut transaction, "SAVEPOINT part").await?;
            let mut outcome = drop_older(&mut transaction, &mut new).await;
            if outcome.is_ok()
                && let Err(error) = self.insert(&mut transaction, new).await
            {
                outcome = Err(error);
            }
            match outcome {
                Ok(not_stored) => {
                    for (kind, events) in not_stored {
                        *accepted.not_stored.entry(kind).or_default() += events;
                    }
                }
                Err(error) if self.refuses(&error) => {
                    act(&mut transaction, "ROLLBACK TO SAVEPOINT part").await?;
                    if part.len() > 1 {
                        let second = part.split_off(part.len() / 2);
                        parts.extend([second, part]);
                    } else {
                        let refused = part.into_iter().map(|(source, offset, _)| Refused {
                            source,
                            offset,
                            reason: error.to_string().replace('\0', ""),
                        });
                        accepted.refused.extend(refused);
                    }
                }
                Err(error) => return Err(error),
            }
            act(&mut transaction, "RELEASE SAVEPOINT part").await?;
        }
        for refused in &accepted.refused {
            refused.note(&mut transaction).await?;
        }
        transaction
            .commit()
            .await
            .map_err(database("committing events"))?;
        Ok(accepted)
    }

    /// The offsets of this source's records that the database refused, with the reasons.
    pub(crate) async fn refused(&self, source: &str) -> Result<BTreeMap<u64, String>, StoreError> {
        let rows = sqlx::query("SELECT record, reason FROM limbic_view_refused WHERE source = $1")
            .bind(source)
            .fetch_all(&self.writer)
            .await
            .map_err(database("reading what was refused"))?;
        let refused = rows
            .iter()
            .map(|row| (row.get::<i64, _>("record") as u64, row.get("reason")));
        Ok(refused.collect())
    }

    /// Whether the database refuses the data itself: the same data would be refused again. Everything else may pass: a connection
    /// that breaks, a full disk, a transaction that meets another one, a missing table or right.
    pub(crate) fn refuses(&self, error: &StoreError) -> bool {
        let StoreError::Database {
            source: sqlx::Error::Database(error),
            ..
        } = error
        else {
            return false;
        };
        let code = error.code().unwrap_or_default();
        if self.postgres {
            // Data exception, violated constraint, program limit (for instance a value that is too large for an index).
            return ["22", "23", "54"].iter().any(|class| code.starts_with(class));
        }
        // SQLITE_TOOBIG, SQLITE_CONSTRAINT, SQLITE_MISMATCH; the upper bits say which constraint.
        let primary = code.parse::<u32>().map(|code| code & 0xff);
        primary.is_ok_and(|code| [18, 19, 20].contains(&code))
    }

    /// Removes the rows whose place `rows` take. Returns the rows to write: without those whose place a later row or a row of the
    /// database has taken already.
    async fn remove_replaced(
        &self,
        transaction: &mut Transaction<'static, Any>,
        rows: Vec<NewRow>,
    ) -> Result<Vec<NewRow>, StoreError> {
        if rows.iter().all(|row| row.replaces == Replaces::Nothing) {
            return Ok(rows);
        }
        let mut left: Vec<NewRow> = Vec::with_capacity(rows.len());
        for row in rows {
            if row.replaces == Replaces::Nothing {
                left.push(row);
                continue;
            }
            let is_same =
                |other: &NewRow| (&other.tenant, other.kind, &other.id) == (&row.tenant, row.kind, &row.id);
            let is_later = |other: &NewRow| match (other.replaces, row.replaces) {
                (Replaces::Revision(other), Replaces::Revision(revision)) => other >= revision,
                _ => false,
            };
            if left.iter().any(|other| is_same(other) && is_later(other)) {
                continue;
            }
            left.retain(|other| !is_same(other));
            if row.replaces == Replaces::Deleted {
                left.retain(|other| {
                    (&other.tenant, other.kind, &other.entity) != (&row.tenant, row.kind, &row.entity)
                });
                let delete = if self.postgres {
                    "DELETE FROM limbic_view WHERE tenant = $1 AND kind = $2 AND entity = $3"
                } else {
                    sqlite::DELETE_POST
                };
                sqlx::query(delete)
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.kind)
                    .bind(row.entity)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("deleting a post"))?;
                continue;
            }
            let (find, delete) = if self.postgres {
                (
                    "SELECT seq, id, at, body FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3",
                    "DELETE FROM limbic_view WHERE tenant = $1 AND kind = $2 AND id = $3",
                )
            } else {
                (sqlite::replaced(row.kind), sqlite::delete_replaced(row.kind))
            };
            let of_row = |sql| {
                let query = sqlx::query(sql)
                    .bind(row.tenant.as_str().to_owned())
                    .bind(row.kind);
                if self.postgres {
                    query.bind(row.id.clone())
                } else {
                    query.bind(ids::pack(&row.id)).bind(row.entity.clone())
                }
            };
            let known = of_row(find)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(database("reading an event"))?;
            if let Some(known) = known {
                if !self.is_replaced(&known, &row)? {
                    continue;
                }
                of_row(delete)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("correcting an event"))?;
            }
            left.push(row);
        }
        Ok(left)
    }

    /// Whether `row` takes the place of the row `known` of the database.
    fn is_replaced(&self, known: &AnyRow, row: &NewRow) -> Result<bool, StoreError> {
        let at = known.get::<i64, _>("at");
        match &row.replaces {
            Replaces::Nothing => Ok(false),
            Replaces::Deleted => Ok(true),
            Replaces::NotNewer => Ok(at <= row.at),
            Replaces::Revision(revision) => {
                let (known, _) = self.item(known)?;
                Ok(known["revision"].as_u64().unwrap_or(0) < *revision)
            }
            Replaces::Before(statement) => {
                let known: Option<Outcome> = serde_json::from_value(self.item(known)?.0).ok();
                let known = known.map(|known| known.statement(Utc::from_millis(at)));
                Ok(known.is_none_or(|known| known.order(statement) == Ordering::Less))
            }
        }
    }
}

/// The result of [`Store::write_accepted`].
#[derive(Debug, Default)]
pub(crate) struct Accepted {
    /// The number of events that are older than the view keeps, by kind.
    pub(crate) not_stored: BTreeMap<&'static str, u64>,
    pub(crate) refused: Vec<Refused>,
}

/// A record that the database refuses.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) source: String,
    pub(crate) offset: u64,
    pub(crate) reason: String,
}

impl Refused {
    /// Notes the refusal, and forgets those whose dead letters are certainly in the log.
    async fn note(&self, transaction: &mut Transaction<'static, Any>) -> Result<(), StoreError> {
        let failed = || database("noting what was refused");
        sqlx::query("INSERT INTO limbic_view_refused (source, record, reason) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
            .bind(self.source.clone())
            .bind(self.offset as i64)
            .bind(self.reason.clone())
            .execute(&mut **transaction)
            .await
            .map_err(failed())?;
        sqlx::query("DELETE FROM limbic_view_refused WHERE source = $1 AND record < $2")
            .bind(self.source.clone())
            .bind(self.offset.saturating_sub(REFUSED_FOR) as i64)
            .execute(&mut **transaction)
            .await
            .map_err(failed())?;
        Ok(())
    }
}

async fn act(transaction: &mut Transaction<'static, Any>, statement: &'static str) -> Result<(), StoreError> {
    let done = sqlx::query(statement).execute(&mut **transaction).await;
    done.map(drop).map_err(database("writing events in parts"))
}

/// Moves each source from its expected offset to its new one.
async fn move_offsets(
    transaction: &mut Transaction<'static, Any>,
    moves: &[(String, Option<u64>, u64)],
) -> Result<(), StoreError> {
    for (source, expected, next) in moves {
        let outcome = match expected {
            Some(expected) => {
                sqlx::query("UPDATE limbic_view_offsets SET next = $1 WHERE source = $2 AND next = $3")
                    .bind(*next as i64)
                    .bind(source.clone())
                    .bind(*expected as i64)
                    .execute(&mut **transaction)
                    .await
                    .map_err(database("moving an offset"))?
            }
            None => sqlx::query(
                "INSERT INTO limbic_view_offsets (source, next) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            )
            .bind(source.clone())
            .bind(*next as i64)
            .execute(&mut **transaction)
            .await
            .map_err(database("moving an offset"))?,
        };
        if outcome.rows_affected() != 1 {
            return Err(StoreError::Overtaken(source.clone()));
        }
    }
    Ok(())
}

/// Removes the rows of events from before the time from which their stream is kept. Returns their number, by kind.
async fn drop_older(
    transaction: &mut Transaction<'static, Any>,
    rows: &mut Vec<NewRow>,
) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let streams: BTreeSet<(TenantId, &'static str)> =
        rows.iter().map(|row| (row.tenant.clone(), row.kind)).collect();
    let mut kept_from: BTreeMap<(TenantId, &'static str), i64> = BTreeMap::new();
    for (tenant, kind) in streams {
        let known =
            sqlx::query("SELECT kept_from FROM limbic_view_retention WHERE tenant = $1 AND kind = $2")
                .bind(tenant.as_str().to_owned())
                .bind(kind)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(database("reading from when events are kept"))?;
        if let Some(known) = known {
            kept_from.insert((tenant, kind), known.get("kept_from"));
        }
    }
    let mut not_stored = BTreeMap::new();
    if kept_from.is_empty() {
        return Ok(not_stored);
    }
    rows.retain(|row| {
        let from = kept_from.get(&(row.tenant.clone(), row.kind));
        let is_kept = from.is_none_or(|from| row.at >= *from);
        if !is_kept {
            *not_stored.entry(row.kind).or_default() += 1;
        }
        is_kept
    });
    Ok(not_stored)
}

async fn insert_into_postgres(
    store: &Store,
    transaction: &mut Transaction<'static, Any>,
    rows: &[NewRow],
) -> Result<(), StoreError> {
    for chunk in rows.chunks(ROWS_AT_ONCE) {
        let mut sql = String::from("INSERT INTO limbic_view (tenant, kind, id, at, entity, body) VALUES ");
        for row in 0..chunk.len() {
            sql.push_str(if row == 0 { "" } else { ", " });
            let p = row * 6;
            let _ = write!(
                sql,
                "(${}, ${}, ${}, ${}, ${}, ${})",
                p + 1,
                p + 2,
                p + 3,
                p + 4,
                p + 5,
                p + 6
            );
        }
        sql.push_str(" ON CONFLICT (tenant, kind, id) DO NOTHING");
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for row in chunk {
            query = query
                .bind(row.tenant.as_str().to_owned())
                .bind(row.kind)
                .bind(row.id.clone())
                .bind(row.at)
                .bind(row.entity.clone())
                .bind(store.sealed(row)?);
        }
        query
            .execute(&mut **transaction)
            .await
            .map_err(database("writing events"))?;
    }
    Ok(())
}
