//! The tables. Every statement can be repeated.

/// The statements for SQLite.
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

/// The statements for PostgreSQL: the same tables with row-level security, which applies to every role except superusers
/// and roles with BYPASSRLS.
pub(crate) const POSTGRES: &[&str] = &[
    // Two processes that start together must not create the same table at the same time.
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

/// Allows one writer at a time, so that rows become visible in the order of their numbers.
pub(crate) const POSTGRES_WRITE_LOCK: &str = "SELECT pg_advisory_xact_lock(7311002)";
