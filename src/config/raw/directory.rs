//! `directory`, `revocations`: the live mapping of users to accounts.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Secret};

/// The live mapping of users to accounts.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Directory {
    /// Where records come from: one of `file`, `sqlite`, `postgres`, `http`.
    pub source: DirectorySource,
    /// How long a record may be used.
    #[serde(default)]
    pub cache: DirectoryCache,
    /// Limits of look-ups.
    #[serde(default)]
    pub limits: DirectoryLimits,
    /// Who says what has changed; left out: nobody, and `cache.ttl_without_push` bounds staleness.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invalidation: Option<Invalidation>,
}

/// Where records come from.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DirectorySource {
    /// A YAML file of records; re-read when it changes. In it `active` left out is true, `account` null.
    File(FileSource),
    /// An SQLite database.
    Sqlite(SqliteSource),
    /// A PostgreSQL database.
    Postgres(PostgresSource),
    /// A MySQL or MariaDB database.
    Mysql(MysqlSource),
    /// An HTTP service, asked by GET.
    Http(HttpSource),
}

/// A YAML file of records.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FileSource {
    /// The file.
    #[schemars(example = &"users.yaml")]
    pub path: String,
}

/// An SQLite database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SqliteSource {
    /// The database file.
    #[schemars(example = &"app.sqlite3")]
    pub path: String,
    /// Queries by name, with the parameters `$user` and `$tenant` and the columns `id`, `account`, `active`.
    pub lookups: BTreeMap<String, String>,
}

/// A PostgreSQL database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresSource {
    /// `postgres://user:password@host:port/database?sslmode=…`.
    pub url: Secret,
    /// Most connections at once.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: u32,
    /// Whether the search path of a look-up is the tenant's schema alone.
    #[serde(default)]
    pub schema_per_tenant: bool,
    /// Schemas behind the tenant's in the search path.
    #[serde(default)]
    pub search_path_also: Vec<String>,
    /// Queries by name, with the parameters `$user` and `$tenant` and the columns `id`, `account`, `active`. At least one, unless a preset has it.
    #[serde(default)]
    pub lookups: BTreeMap<String, String>,
}

/// A MySQL or MariaDB database.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MysqlSource {
    /// `mysql://user:password@host:port/database?ssl-mode=…`.
    pub url: Secret,
    /// Most connections at once.
    #[serde(default = "eight")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: u32,
    /// Queries by name, with the parameters `$user` and `$tenant` and the columns `id`, `account`, `active`.
    pub lookups: BTreeMap<String, String>,
}

const fn eight() -> u32 {
    8
}

/// An HTTP service.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpSource {
    /// URL with `{user}` and `{tenant}`; 404 means unknown, a redirect is an error.
    #[schemars(example = &"https://app.internal/identity/{tenant}/{user}")]
    pub url: String,
    /// Headers of each request.
    #[serde(default)]
    pub headers: BTreeMap<String, Secret>,
    /// The answer's field for `user`, `account`, `active`, …; a name that is left out is itself.
    #[serde(default)]
    pub fields: BTreeMap<String, String>,
}

/// How long a record may be used.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryCache {
    /// Most records.
    #[schemars(range(min = 1, max = 100_000_000))]
    pub capacity: u64,
    /// Life of a record while changes are pushed.
    pub ttl: Duration,
    /// Life of a record while they are not: the bound of staleness.
    pub ttl_without_push: Duration,
    /// Life of "no such user".
    pub negative_ttl: Duration,
    /// How long past its life a record serves while the source fails.
    pub stale_if_error: Duration,
}

impl Default for DirectoryCache {
    fn default() -> Self {
        Self {
            capacity: 100_000,
            ttl: Duration::secs(30),
            ttl_without_push: Duration::secs(2),
            negative_ttl: Duration::secs(2),
            stale_if_error: Duration::secs(0),
        }
    }
}

/// Limits of look-ups.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DirectoryLimits {
    /// Deadline of one look-up, its wait included.
    pub timeout: Duration,
    /// Look-ups at the source at once.
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrent: u32,
    /// Look-ups that may wait.
    #[schemars(range(max = 10_000_000))]
    pub queue: u32,
}

impl Default for DirectoryLimits {
    fn default() -> Self {
        Self {
            timeout: Duration::secs(2),
            concurrent: 8,
            queue: 10_000,
        }
    }
}

/// Who says what has changed. Records live `cache.ttl` while every channel that is named here is
/// up, and `cache.ttl_without_push` otherwise.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Invalidation {
    /// PostgreSQL's NOTIFY, sent by the triggers that `countersign sql postgres` prints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postgres_notify: Option<PostgresNotify>,
    /// Redis pub/sub.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redis: Option<RedisChannel>,
    /// A table of messages that the app's own transactions write, polled; for databases without
    /// NOTIFY.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outbox: Option<Outbox>,
    /// How far the directory may be behind what pushes, such as a replica behind its primary: each
    /// message is applied once more after this time.
    pub replica_lag: Duration,
}

impl Default for Invalidation {
    fn default() -> Self {
        Self {
            postgres_notify: None,
            redis: None,
            outbox: None,
            replica_lag: Duration::secs(0),
        }
    }
}

/// PostgreSQL's NOTIFY.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostgresNotify {
    /// The database that is listened to; left out: the directory's own. A server, not a pooler in
    /// transaction mode, and the primary, not a replica.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The channel; also the beginning of the names of triggers and functions.
    #[serde(default = "countersign")]
    #[schemars(length(min = 1, max = 40))]
    pub channel: String,
    /// The tables whose changes concern users, accounts or sessions, for `countersign sql postgres`.
    #[serde(default)]
    pub tables: Vec<PushedTable>,
}

fn countersign() -> String {
    "countersign".to_owned()
}

/// Redis pub/sub.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisChannel {
    /// `redis://user:password@host:port`, or `rediss://` over TLS.
    pub url: Secret,
    /// The channel.
    #[serde(default = "countersign")]
    #[schemars(length(min = 1, max = 200))]
    pub channel: String,
}

/// A table of messages, written by the triggers that `countersign sql` prints, or by the app itself:
/// one JSON object in its column `message`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outbox {
    /// The database that it is in; left out: the directory's own. The server that the app writes to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The table, `schema.table` where it is in a schema of its own; also the beginning of the names
    /// of triggers and functions.
    #[serde(default = "countersign_outbox")]
    pub table: String,
    /// Time between two readings.
    #[serde(default = "poll")]
    pub poll: Duration,
    /// The tables whose changes concern users, accounts or sessions, for `countersign sql`.
    #[serde(default)]
    pub tables: Vec<PushedTable>,
}

fn countersign_outbox() -> String {
    "countersign_outbox".to_owned()
}

fn poll() -> Duration {
    Duration(std::time::Duration::from_millis(250))
}

/// A table whose changes concern users, accounts or sessions. At least one of `user`, `account` and
/// `session`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PushedTable {
    /// The table; `schema.table` where it is in a schema of its own.
    #[schemars(example = &"users")]
    pub table: String,
    /// The column that holds the user's id, as the look-up gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// The column that holds the account's id, as the look-up gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// The column that holds the session's key, such as `session_key` of `django_session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<String>,
    /// The column that holds the tenant, where requests can name several and have no schema each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The columns whose change counts; left out: every column.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Vec<String>>,
}

/// Where revoked tokens are remembered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Revocations {
    /// What every replica shares: postgres or redis; null: each replica remembers its own, until it
    /// ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<RevocationStore>,
    /// The store; left out: the directory's database, or `directory.invalidation.redis`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// Time between two readings of the store, where no push says that there is more.
    pub refresh: Duration,
    /// SimpleJWT's own blacklist, asked about each token; left out: it is not asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub simplejwt_blacklist: Option<SimplejwtBlacklist>,
}

impl Default for Revocations {
    fn default() -> Self {
        Self {
            store: None,
            url: None,
            refresh: Duration::secs(2),
            simplejwt_blacklist: None,
        }
    }
}

/// What every replica shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RevocationStore {
    /// The table `countersign_revocations`.
    Postgres,
    /// The sorted set `countersign:revocations`.
    Redis,
}

/// SimpleJWT's own blacklist, asked about each token. A token without `jti` is refused then.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SimplejwtBlacklist {
    /// Whose tokens it is asked about; left out: every issuer's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuers: Option<Vec<String>>,
    /// The PostgreSQL, MySQL or MariaDB database that it is in; left out: the directory's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Secret>,
    /// The table of the tokens that the app has made; with a schema per tenant the tenant's own,
    /// `schema.table` where it is in one that they share.
    pub outstanding: String,
    /// The table of those that were taken back.
    pub blacklisted: String,
}

impl Default for SimplejwtBlacklist {
    fn default() -> Self {
        Self {
            issuers: None,
            url: None,
            outstanding: "token_blacklist_outstandingtoken".to_owned(),
            blacklisted: "token_blacklist_blacklistedtoken".to_owned(),
        }
    }
}
