//! The tables. Every statement may run again.

/// SQLite's.
pub(crate) const SQLITE: &[&str] = &[
    "CREATE TABLE IF NOT EXISTS limbic_view (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        tenant TEXT NOT NULL,
        kind TEXT NOT NULL,
        id TEXT NOT NULL,
        at BIGINT NOT NULL,
        entity TEXT NOT NULL,
        body BLOB NOT NULL,
        UNIQUE (tenant, kind, id))",
    "CREATE INDEX IF NOT EXISTS limbic_view_entity ON limbic_view (tenant, kind, entity, seq)",
    "CREATE INDEX IF NOT EXISTS limbic_view_seq ON limbic_view (tenant, kind, seq)",
    "CREATE TABLE IF NOT EXISTS limbic_view_offsets (
        source TEXT PRIMARY KEY,
        next BIGINT NOT NULL)",
];

/// PostgreSQL's: the same, with row-level security (it binds every role but superusers and those that bypass it).
pub(crate) const POSTGRES: &[&str] = &[
    // Two processes that start at once must not create the same table at once.
    "SELECT pg_advisory_xact_lock(7311001)",
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
    "ALTER TABLE limbic_view ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE limbic_view FORCE ROW LEVEL SECURITY",
    "DROP POLICY IF EXISTS limbic_tenant ON limbic_view",
    "CREATE POLICY limbic_tenant ON limbic_view
        USING (current_setting('limbic.tenant', true) IN (tenant, '*'))
        WITH CHECK (current_setting('limbic.tenant', true) IN (tenant, '*'))",
];

/// Only one writer at a time, so that rows become visible in the order of their numbers.
pub(crate) const POSTGRES_WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(7311002)";
