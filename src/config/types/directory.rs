//! `directory`, `revocations`: the live mapping of users to accounts, and who says what changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::{KeyPath, Secret};
use crate::ids::TenantId;
use crate::telemetry::Redacted;

/// `directory`.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Where it stands.
    pub at: KeyPath,
    /// Where records come from.
    pub source: DirectorySource,
    /// The cache.
    pub cache: DirectoryCache,
    /// Limits of look-ups.
    pub limits: DirectoryLimits,
    /// Tables of sessions by the index of their credential, in the same database.
    pub session_tables: BTreeMap<usize, Vec<String>>,
    /// Redis caches of sessions by the index of their credential.
    pub session_caches: BTreeMap<usize, Arc<super::RedisSessions>>,
    /// The app's own list of tokens that were taken back.
    pub blacklist: Option<Blacklist>,
    /// Who says what has changed.
    pub invalidation: Invalidation,
}

impl Directory {
    /// Whether triggers say what changes in the table of this credential's sessions.
    #[must_use]
    pub fn pushes_sessions(&self, credential: usize) -> bool {
        let in_cache = self.session_caches.contains_key(&credential);
        let table = self.session_tables.get(&credential).filter(|_| !in_cache);
        table.is_some_and(|table| {
            self.invalidation.tables().any(|pushed| {
                let name = pushed.schema.iter().chain([&pushed.table]);
                pushed.session.is_some() && name.eq(table)
            })
        })
    }

    /// Whether triggers say what changes in the blacklist.
    #[must_use]
    pub fn pushes_blacklist(&self) -> bool {
        self.invalidation
            .tables()
            .any(|pushed| pushed.through.is_some())
    }
}

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

impl Invalidation {
    /// The tables that get triggers.
    fn tables(&self) -> impl Iterator<Item = &PushedTable> {
        let notify = self.postgres_notify.iter().flat_map(|to| &to.tables);
        notify.chain(self.outbox.iter().flat_map(|to| &to.tables))
    }
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
    pub database: SqlDatabase,
    /// Its schema, where one is named.
    pub schema: Option<String>,
    /// Its table.
    pub table: String,
    /// Time between two readings.
    pub poll: Duration,
    /// The tables that get triggers.
    pub tables: Vec<PushedTable>,
}

/// A database that is named apart, with its URL.
#[derive(Debug, Clone)]
pub enum SqlDatabase {
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
    /// The column of the session's key.
    pub session: Option<String>,
    /// The table of `user`, where the row itself does not have that column.
    pub through: Option<Through>,
    /// Where the tenant is found.
    pub tenant: PushedTenant,
    /// The columns whose change counts; `None` for every column.
    pub watch: Option<Vec<String>>,
}

/// Another table, whose row says whose a row is.
#[derive(Debug, Clone)]
pub struct Through {
    /// Its schema; `None`: that of the table whose rows point to it.
    pub schema: Option<String>,
    /// Its name.
    pub table: String,
    /// The column that points to it.
    pub key: String,
    /// Its column that is pointed to.
    pub id: String,
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

/// `revocations.simplejwt_blacklist`.
#[derive(Debug, Clone)]
pub struct Blacklist {
    /// Where it stands.
    pub at: KeyPath,
    /// Whose tokens are asked about: indices of issuers.
    pub issuers: BTreeSet<usize>,
    /// The database that it is in; `None`: the directory's own.
    pub database: Option<SqlDatabase>,
    /// The table of the tokens that were made, with its schema where it has one.
    pub outstanding: Vec<String>,
    /// The table of those that were taken back.
    pub blacklisted: Vec<String>,
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

/// `directory.source`.
#[derive(Debug, Clone)]
pub enum DirectorySource {
    /// A YAML file of records, absolute; re-read when it changes.
    File {
        /// Where it stands.
        at: KeyPath,
        /// The file.
        path: PathBuf,
    },
    /// An SQLite database, absolute.
    Sqlite {
        /// Where it stands.
        at: KeyPath,
        /// The database file.
        path: PathBuf,
        /// Queries by look-up name, as written, with `$user` and `$tenant`.
        lookups: BTreeMap<Arc<str>, Arc<str>>,
    },
    /// A PostgreSQL database.
    Postgres {
        /// Where it stands.
        at: KeyPath,
        /// `postgres://user:password@host:port/database?sslmode=…`.
        url: Secret,
        /// Most connections at once.
        max_connections: u32,
        /// Whether a look-up's search path is the tenant's schema.
        schema_per_tenant: bool,
        /// Schemas behind the tenant's in the search path.
        search_path_also: Vec<String>,
        /// Queries by look-up name, as written, with `$user` and `$tenant`.
        lookups: BTreeMap<Arc<str>, Arc<str>>,
    },
    /// A MySQL or MariaDB database.
    MySql {
        /// Where it stands.
        at: KeyPath,
        /// `mysql://user:password@host:port/database?ssl-mode=…`.
        url: Secret,
        /// Most connections at once.
        max_connections: u32,
        /// Queries by look-up name, as written, with `$user` and `$tenant`.
        lookups: BTreeMap<Arc<str>, Arc<str>>,
    },
    /// An HTTP service, asked by GET.
    Http {
        /// Where it stands.
        at: KeyPath,
        /// The URL with `{tenant}` and `{user}` (and `{lookup}`), percent-encoded when filled in.
        url: String,
        /// Headers of each request.
        headers: Vec<(HeaderName, Redacted)>,
        /// Field name in the answer for `user`, `account`, `active`, …; a name that is left out is itself.
        fields: BTreeMap<String, String>,
    },
}

impl DirectorySource {
    /// Whether each tenant has a schema of its own.
    #[must_use]
    pub const fn has_schema_per_tenant(&self) -> bool {
        matches!(
            self,
            Self::Postgres {
                schema_per_tenant: true,
                ..
            }
        )
    }
}

/// `directory.cache`.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryCache {
    /// Most records.
    pub capacity: u64,
    /// Life of a record while a push channel is up.
    pub ttl: Duration,
    /// Life of a record while none is.
    pub ttl_without_push: Duration,
    /// Life of "no such user".
    pub negative_ttl: Duration,
    /// How long past its life a record serves while the source fails; never once invalidated.
    pub stale_if_error: Duration,
}

/// `directory.limits`.
#[derive(Debug, Clone, Copy)]
pub struct DirectoryLimits {
    /// Deadline of one look-up, the wait in the queue included.
    pub timeout: Duration,
    /// Look-ups at the source at once.
    pub concurrent: usize,
    /// Look-ups that may wait.
    pub queue: usize,
}
