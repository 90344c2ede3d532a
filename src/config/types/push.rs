//! `directory.invalidation` and `revocations`, resolved: who says what has changed.

use std::time::Duration;

use super::{KeyPath, Secret};
use crate::ids::TenantId;

/// `directory.invalidation`; nothing named is no push.
#[derive(Debug, Clone, Default)]
pub struct Invalidation {
    /// PostgreSQL's NOTIFY.
    pub postgres_notify: Option<PostgresNotify>,
    /// Redis pub/sub.
    pub redis: Option<RedisChannel>,
    /// A table of messages.
    pub outbox: Option<Outbox>,
    /// Each message is applied once more after this time; zero: it is not.
    pub replica_lag: Duration,
}

/// `directory.invalidation.postgres_notify`.
#[derive(Debug, Clone)]
pub struct PostgresNotify {
    /// Where it stands.
    pub at: KeyPath,
    /// The database that is listened to.
    pub url: Secret,
    /// The channel: letters, digits and `_`.
    pub channel: String,
    /// The tables that get triggers.
    pub tables: Vec<PushedTable>,
}

/// `directory.invalidation.redis`.
#[derive(Debug, Clone)]
pub struct RedisChannel {
    /// Where it stands.
    pub at: KeyPath,
    /// The server.
    pub url: Secret,
    /// The channel.
    pub channel: String,
}

/// `directory.invalidation.outbox`.
#[derive(Debug, Clone)]
pub struct Outbox {
    /// Where it stands.
    pub at: KeyPath,
    /// The database that it is in.
    pub database: OutboxDatabase,
    /// Its schema, where one is named.
    pub schema: Option<String>,
    /// Its table.
    pub table: String,
    /// Time between two readings.
    pub poll: Duration,
    /// The tables that get triggers.
    pub tables: Vec<PushedTable>,
}

/// The database of an outbox, with its URL.
#[derive(Debug, Clone)]
pub enum OutboxDatabase {
    /// PostgreSQL.
    Postgres(Secret),
    /// MySQL or MariaDB.
    MySql(Secret),
}

/// `directory.invalidation.postgres_notify.tables[]`, and `outbox.tables[]`.
#[derive(Debug, Clone)]
pub struct PushedTable {
    /// The schema, where one is named.
    pub schema: Option<String>,
    /// The table.
    pub table: String,
    /// The column of the user's id.
    pub user: Option<String>,
    /// The column of the account's id.
    pub account: Option<String>,
    /// Where the tenant is found.
    pub tenant: PushedTenant,
    /// The columns whose change counts; `None` for every column.
    pub watch: Option<Vec<String>>,
}

/// Where a trigger finds the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PushedTenant {
    /// In this column.
    Column(String),
    /// It is the name of the table's schema.
    Schema,
    /// There is but this one.
    Only(TenantId),
    /// Nowhere: a change concerns every tenant.
    Unknown,
}

/// `revocations`.
#[derive(Debug, Clone)]
pub struct Revocations {
    /// What every replica shares; `None`: this replica only.
    pub store: Option<RevocationStore>,
    /// Time between two readings of the store.
    pub refresh: Duration,
}

/// `revocations.store`, with its URL.
#[derive(Debug, Clone)]
pub enum RevocationStore {
    /// A table.
    Postgres(Secret),
    /// A sorted set.
    Redis(Secret),
}
