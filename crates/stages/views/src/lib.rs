//! What happened, to be asked for: a view of every topic in SQLite or PostgreSQL.
//!
//! [`ViewsStage`] writes each event as one row, with the offset it came from in the **same database transaction**: what
//! the database knows already is skipped, so that a kill between the database's commit and the log's loses nothing and
//! doubles nothing. [`Store`] reads it: one event, or pages of them in the order they were written.
//!
//! Invariants: a row belongs to a tenant, and no read goes without one (in PostgreSQL row-level security says so a second
//! time); the order of pages is the order of commits, so a page's cursor never jumps over a row that appears later.

mod component;
mod compression;
mod schema;
mod stage;
mod store;

pub use component::{PostgresView, SqliteView};
pub use compression::BodyError;
pub use stage::ViewsStage;
pub use store::{Cursor, Kind, Page, Store, StoreError};
