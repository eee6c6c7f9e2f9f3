//! The tables. Every statement can be repeated.

/// The version of SQLite's tables, in `PRAGMA user_version`. Version 1 has the number 0: one table `limbic_view` with the tenant,
/// the kind and the id of each event as text, and three indexes. Opening the file brings it to this version.
pub(crate) const SQLITE_VERSION: i64 = 2;

/// The statements for SQLite.
///
/// A *stream* is a tenant's events of one kind; the rows of a stream are together, in the order of their numbers. Posts and
/// readings have a separate table: there are many of them, and an entity has few of them. `id` and
/// `hash` are explained in [`ids`](crate::ids). The view `limbic_view` is for people, and keeps older programs from the file.
pub(crate) const SQLITE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS limbic_streams (
        stream INTEGER PRIMARY KEY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        last INTEGER NOT NULL,
        UNIQUE (tenant, kind))",
    "CREATE TABLE IF NOT EXISTS limbic_posts (
        stream INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash INTEGER,
        at INTEGER NOT NULL,
        entity TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (stream, seq)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX IF NOT EXISTS limbic_posts_entity ON limbic_posts (stream, entity, id)",
    "CREATE INDEX IF NOT EXISTS limbic_posts_hash ON limbic_posts (hash) WHERE hash IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS limbic_events (
        stream INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        id BLOB NOT NULL,
        hash INTEGER,
        at INTEGER NOT NULL,
        entity TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (stream, seq)) WITHOUT ROWID",
    "CREATE UNIQUE INDEX IF NOT EXISTS limbic_events_id ON limbic_events (stream, id)",
    "CREATE INDEX IF NOT EXISTS limbic_events_entity ON limbic_events (stream, entity, seq)",
    "CREATE VIEW IF NOT EXISTS limbic_view AS
        SELECT tenant, kind, seq, id, at, entity, body FROM limbic_streams JOIN
        (SELECT * FROM limbic_posts UNION ALL SELECT * FROM limbic_events) USING (stream)",
    SQLITE_OFFSETS,
    RETENTION,
    REFUSED,
];

/// The next offset of each source, in every version of SQLite's tables.
pub(crate) const SQLITE_OFFSETS: &str = "CREATE TABLE IF NOT EXISTS limbic_view_offsets (
        source TEXT PRIMARY KEY,
        next BIGINT NOT NULL)";

/// From when each stream is kept, the highest number of a deleted row, and how many were deleted.
const RETENTION: &str = "CREATE TABLE IF NOT EXISTS limbic_view_retention (
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        kept_from BIGINT NOT NULL,
        last BIGINT NOT NULL,
        deleted BIGINT NOT NULL,
        PRIMARY KEY (tenant, kind))";

/// The records that the database refused, by source and offset: their dead letters are in the log.
const REFUSED: &str = "CREATE TABLE IF NOT EXISTS limbic_view_refused (
        source TEXT NOT NULL,
        record BIGINT NOT NULL,
        reason TEXT NOT NULL,
        PRIMARY KEY (source, record))";

/// The statements for PostgreSQL: the same tables with row-level security, which applies to every role except superusers
/// and roles with BYPASSRLS.
pub(crate) const POSTGRES: &[&str] = &[
    // Two processes that start together must not create the same table at the same time.
    "SELECT pg_advisory_xact_lock(7311001)",
    // A process that writes locks the same tables in another order.
    POSTGRES_WRITE_LOCK,
    "CREATE TABLE IF NOT EXISTS limbic_view (
        seq BIGSERIAL PRIMARY KEY,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at BIGINT NOT NULL,
        entity TEXT NOT NULL,
        body TEXT NOT NULL,
        UNIQUE (tenant, kind, id))",
    "CREATE INDEX IF NOT EXISTS limbic_view_entity ON limbic_view (tenant, kind, entity, seq)",
    "CREATE INDEX IF NOT EXISTS limbic_view_seq ON limbic_view (tenant, kind, seq)",
    "CREATE TABLE IF NOT EXISTS limbic_view_offsets (
        source TEXT PRIMARY KEY,
        next BIGINT NOT NULL)",
    RETENTION,
    REFUSED,
    "ALTER TABLE limbic_view ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE limbic_view FORCE ROW LEVEL SECURITY",
    "DROP POLICY IF EXISTS limbic_tenant ON limbic_view",
    "CREATE POLICY limbic_tenant ON limbic_view
        USING (current_setting('limbic.tenant', true) IN (tenant, '*'))
        WITH CHECK (current_setting('limbic.tenant', true) IN (tenant, '*'))",
    "ALTER TABLE limbic_view_retention ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE limbic_view_retention FORCE ROW LEVEL SECURITY",
    "DROP POLICY IF EXISTS limbic_tenant ON limbic_view_retention",
    "CREATE POLICY limbic_tenant ON limbic_view_retention
        USING (current_setting('limbic.tenant', true) IN (tenant, '*'))
        WITH CHECK (current_setting('limbic.tenant', true) IN (tenant, '*'))",
];

/// Allows one writer at a time, so that rows become visible in the order of their numbers.
pub(crate) const POSTGRES_WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(7311002)";
