//! Pages of events.

use std::str::FromStr;

use futures_util::TryStreamExt as _;
use futures_util::stream::BoxStream;
use limbic_domain::{TenantId, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::Row as _;
use sqlx::any::AnyRow;

use crate::sqlite;
use crate::store::{Kind, Store, StoreError, database};

/// The end of a page. Opaque to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Cursor(i64);

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "c{:x}", self.0)
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self, StoreError> {
        let number = text
            .strip_prefix('c')
            .and_then(|hex| i64::from_str_radix(hex, 16).ok());
        number
            .filter(|n| *n >= 0)
            .map(Self)
            .ok_or_else(|| StoreError::BadCursor(text.chars().take(40).collect()))
    }
}

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Page {
    /// The events, in the order that the caller asks for.
    pub items: Vec<Value>,
    /// Pass it as `after` to read the next page. `None` at the current end.
    pub next: Option<String>,
    /// Pass it as `after`, with the oldest events first, to read what is written later than this page. Always there, on the last page
    /// and on an empty one too.
    #[serde(default)]
    pub position: String,
    /// Events from before this time are deleted because of their age, and this page would have begun among them. `None` =
    /// no event is missing here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted_before: Option<Utc>,
}

/// Which events a page has.
#[derive(Debug, Clone, Copy, Default)]
pub struct Selection<'a> {
    /// Only of this entity: a post's `network/id`, an audience, a campaign, a decision. `None` = of all.
    pub entity: Option<&'a str>,
    /// The end of the page before. `None` = from the beginning, or from the end if `newest_first`.
    pub after: Option<Cursor>,
    /// Whether the last written events come first.
    pub newest_first: bool,
    /// Only events at this time or later.
    pub from: Option<Utc>,
    /// Only events before this time.
    pub to: Option<Utc>,
    /// The most events, 1 to 1,000. A page also ends at about 4 MiB, and after 20,000 events that a time leaves out.
    pub limit: u32,
}

/// A page ends after the event with which it reaches this size, even if it has fewer events than the caller asks for.
const PAGE_BYTES: usize = 4 << 20;
/// The most rows that a page with a time looks at.
const MOST_LOOKED_AT: usize = 20_000;

/// After so many rows other tasks have their turn: rows are decrypted and parsed on the thread on which small requests wait.
const ROWS_AT_A_TIME: usize = 16;

/// A part of the rows of a query.
#[derive(Default)]
struct Part {
    items: Vec<Value>,
    /// The last row that was looked at, if there are more.
    next: Option<Cursor>,
    /// The highest row that was looked at.
    highest: Option<Cursor>,
}

impl Selection<'_> {
    const fn has_time(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }

    fn includes(&self, at: Utc) -> bool {
        self.from.is_none_or(|from| at >= from) && self.to.is_none_or(|to| at < to)
    }
}

impl Store {
    /// Events of one entity (a post's `network/id`, an audience, a campaign, a decision), or of all entities, after
    /// `after`, the oldest first, at most `limit` and about 4 MiB.
    pub async fn list(
        &self,
        tenant: &TenantId,
        kind: Kind,
        entity: Option<&str>,
        after: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let selection = Selection {
            entity,
            after,
            limit,
            ..Selection::default()
        };
        self.select(tenant, kind, &selection).await
    }

    /// The newest events of one entity, or of all entities, newest first: those before `before`. [`Page::next`] is the end of the
    /// page, to be passed as `before`.
    pub async fn newest(
        &self,
        tenant: &TenantId,
        kind: Kind,
        entity: Option<&str>,
        before: Option<Cursor>,
        limit: u32,
    ) -> Result<Page, StoreError> {
        let selection = Selection {
            entity,
            after: before,
            newest_first: true,
            limit,
            ..Selection::default()
        };
        self.select(tenant, kind, &selection).await
    }

    /// The events that `selection` describes.
    pub async fn select(
        &self,
        tenant: &TenantId,
        kind: Kind,
        selection: &Selection<'_>,
    ) -> Result<Page, StoreError> {
        let limit = selection.limit.clamp(1, 1_000) as usize;
        let beginning = if selection.newest_first { i64::MAX } else { 0 };
        let after = selection.after.map_or(beginning, |after| after.0);
        let mut transaction = self.reading(tenant).await?;
        let sql = self.page_statement(kind, selection);
        let mut query = sqlx::query(sql)
            .bind(tenant.as_str())
            .bind(kind.as_str())
            .bind(after);
        if let Some(entity) = selection.entity {
            query = query.bind(entity);
        }
        let rows = if selection.has_time() {
            MOST_LOOKED_AT
        } else {
            limit
        };
        let query = query.bind(rows as i64 + 1);
        let part = self
            .part(query.fetch(&mut *transaction), selection, limit)
            .await?;
        let deleted = self.deleted_in(&mut transaction, tenant, kind).await?;
        // Of the newest first, older events are missing if this is the last page.
        let is_among_deleted = |last: i64| {
            if selection.newest_first {
                part.next.is_none()
            } else {
                after < last
            }
        };
        let position = match (part.highest, selection.after) {
            (Some(highest), Some(after)) if !selection.newest_first => highest.max(after),
            (Some(highest), _) => highest,
            (None, after) => after.unwrap_or_default(),
        };
        Ok(Page {
            deleted_before: deleted
                .filter(|deleted| is_among_deleted(deleted.last))
                .map(|deleted| deleted.before),
            position: position.to_string(),
            next: part.next.map(|cursor| cursor.to_string()),
            items: part.items,
        })
    }

    fn page_statement(&self, kind: Kind, selection: &Selection<'_>) -> &'static str {
        let is_of_entity = selection.entity.is_some();
        match (self.postgres, selection.newest_first, is_of_entity) {
            (false, false, _) => sqlite::page(kind, is_of_entity),
            (false, true, _) => sqlite::page_of_newest(kind, is_of_entity),
            (true, false, true) => {
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq > $3 AND entity = $4 ORDER BY seq LIMIT $5"
            }
            (true, false, false) => {
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq > $3 ORDER BY seq LIMIT $4"
            }
            (true, true, true) => {
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq < $3 AND entity = $4 ORDER BY seq DESC LIMIT $5"
            }
            (true, true, false) => {
                "SELECT seq, id, at, body FROM limbic_view
                 WHERE tenant = $1 AND kind = $2 AND seq < $3 ORDER BY seq DESC LIMIT $4"
            }
        }
    }

    /// Reads rows until there are `limit` of them, until they have [`PAGE_BYTES`], or until [`MOST_LOOKED_AT`] were looked at.
    async fn part(
        &self,
        mut rows: BoxStream<'_, Result<AnyRow, sqlx::Error>>,
        selection: &Selection<'_>,
        limit: usize,
    ) -> Result<Part, StoreError> {
        let mut part = Part::default();
        let (mut last, mut bytes, mut looked_at) = (None, 0, 0);
        while let Some(row) = rows.try_next().await.map_err(database("reading a page"))? {
            if part.items.len() == limit || bytes >= PAGE_BYTES || looked_at == MOST_LOOKED_AT {
                part.next = last;
                break;
            }
            looked_at += 1;
            if looked_at.is_multiple_of(ROWS_AT_A_TIME) {
                tokio::task::yield_now().await;
            }
            last = Some(Cursor(row.get::<i64, _>("seq")));
            part.highest = part.highest.max(last);
            if !selection.includes(Utc::from_millis(row.get("at"))) {
                continue;
            }
            let (item, length) = self.item(&row)?;
            bytes += length;
            part.items.push(item);
        }
        Ok(part)
    }
}
