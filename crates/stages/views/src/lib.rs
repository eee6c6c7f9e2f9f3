//! Stores each event as a row that the API can read, in SQLite or PostgreSQL.
//!
//! ```text
//!  posts, readings, moments, ──▶ ViewsStage ──rows + offsets──▶ Store ◀──by_id, list── API
//!  creatives, decisions,                      (one transaction) (SQLite, PostgreSQL)
//!  outcomes, status
//! ```
//!
//! * [`ViewsStage`] writes each event as one row, and the offset that it came from in the **same database transaction**.
//!   If the process stops between the database's commit and the log's commit, the stage reads the same records again and
//!   skips those whose rows exist.
//! * [`Store`] reads one event, or pages of events in the order in which they were written.
//!
//! The crate does not compute: aggregates over time are in `limbic-metrics`. Its tables can be dropped. The stage then
//! writes them again from the records that the log still has.
//!
//! ```
//! use limbic_domain::TenantId;
//! use limbic_views::{Kind, Store};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
//! let folder = tempfile::tempdir()?;
//! let store = Store::sqlite(folder.path()).await?;
//! let page = store.list(&TenantId::default(), Kind::Moment, None, None, 10).await?;
//! assert!(page.items.is_empty() && page.next.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Laws
//!
//! * Every row belongs to a tenant, and every read names one. In PostgreSQL, row-level security enforces this too.
//! * An event has one row, also if its record was read several times.
//! * The latest status of an audience, a campaign or an ad platform has one row. Each change moves it to the end of its list.
//! * An outcome has the row of its latest statement. A correction moves it to the end of its lists, so that a reader who follows
//!   the pages sees it.
//! * A post that was edited has the row of its latest version, and so has its reading. A post that was deleted on its network has
//!   no row, and its readings have none; its place in the list stays empty.
//! * An event is deleted when it is older than [`KeepEvents`] says, both by the newest events of its kind and tenant and by
//!   the node's clock. What is deleted does not come back, and pages say that it is deleted.
//! * Pages are in the order of commits, so a cursor never skips a row that becomes visible later. Every page, an empty one too, has a
//!   position from which what is written later is read.

mod compare;
mod component;
mod compression;
mod ids;
mod meters;
mod page;
mod retention;
mod schema;
mod settings;
mod sqlite;
mod stage;
mod store;

pub use compare::{CompareError, compare};
pub use component::{PostgresView, SqliteView};
pub use compression::BodyError;
pub use meters::ViewMeters;
pub use page::{Cursor, Page, Selection};
pub use retention::Deleted;
pub use settings::{InvalidViewsSetting, KeepEvents, ViewsSettings};
pub use stage::ViewsStage;
pub use store::{Kind, Store, StoreError};
