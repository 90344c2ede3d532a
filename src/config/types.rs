//! The resolved configuration: what the rooms are built from.
//!
//! Every section keeps its [`KeyPath`], so that a room that finds a mistake later (a key that is
//! too short, a certificate that does not fit) can say where it stands in the file.

mod push;

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use crate::ids::TenantId;
use crate::telemetry::Redacted;

pub use push::{
    Invalidation, Outbox, OutboxDatabase, PostgresNotify, PushedTable, PushedTenant, RedisChannel,
    RevocationStore, Revocations,
};

/// Where a value stands in the file, as `issuers[0].secret`; empty for the file as a whole.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct KeyPath(Arc<str>);

impl KeyPath {
    /// The whole file.
    #[must_use]
    pub fn root() -> Self {
        Self(Arc::from(""))
    }

    /// The path of a member of this mapping.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        if self.0.is_empty() {
            Self(Arc::from(key))
        } else {
            Self(format!("{}.{key}", self.0).into())
        }
    }

    /// The path of an element of this sequence.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        Self(format!("{}[{index}]", self.0).into())
    }

    /// The path that reads like this.
    pub(super) fn from_text(path: &str) -> Self {
        Self(Arc::from(path))
    }

    /// Whether this is `outer` or stands inside it.
    #[must_use]
    pub fn is_within(&self, outer: &Self) -> bool {
        self.0.strip_prefix(&*outer.0).is_some_and(|rest| {
            outer.0.is_empty() || rest.is_empty() || rest.starts_with(['.', '['])
        })
    }

    /// The path as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One mistake in the configuration: where it is, what is wrong, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where it stands.
    pub at: KeyPath,
    /// What is wrong, as a sentence without a full stop.
    pub problem: String,
    /// What would be right, as a sentence without a full stop.
    pub remedy: String,
}

impl Fault {
    /// A fault at `at`.
    #[must_use]
    pub fn new(at: &KeyPath, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            at: at.clone(),
            problem: problem.into(),
            remedy: remedy.into(),
        }
    }
}

/// The whole configuration. Lists are in the file's order; names have been resolved to indices.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data-path threads; `auto` has become the number of usable cores.
    pub workers: usize,
    /// Data-path listeners; at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// How a request's tenant is found.
    pub tenants: Tenants,
    /// Who signs tokens; at least one unless every route is public.
    pub issuers: Vec<Issuer>,
    /// Where a request may carry a credential.
    pub credentials: Vec<Credential>,
    /// Two credentials, two identities.
    pub conflict: Conflict,
    /// Who may ride on a cookie.
    pub origins: Origins,
    /// CORS preflights and refusals.
    pub cors: Cors,
    /// The live mapping.
    pub directory: Directory,
    /// Revoked tokens.
    pub revocations: Revocations,
    /// The account policy; routes carry their own resolved copy.
    pub accounts: Accounts,
    /// What the upstream is told.
    pub identity: Identity,
    /// The backends; at least one.
    pub upstreams: Vec<Upstream>,
    /// The routes; at least one.
    pub routes: Vec<Route>,
    /// WebSockets and long streams.
    pub streams: Streams,
    /// Limits of the data path; routes may override `body`.
    pub limits: Limits,
    /// Shutdown.
    pub drain: Drain,
    /// The audit sink.
    pub audit: Audit,
    /// The log.
    pub telemetry: Telemetry,
}

/// A secret text and, where it was named by `{ file: PATH }`, its file.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Where it stands.
    pub at: KeyPath,
    /// The secret: never empty; one trailing newline of a file is removed.
    pub value: Redacted,
    /// The file that it was read from, absolute.
    pub file: Option<PathBuf>,
}

/// `listeners[]`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it stands.
    pub at: KeyPath,
    /// The address to bind.
    pub address: SocketAddr,
    /// Certificates by SNI, the first also without SNI; empty for clear text.
    pub tls: Vec<ListenerTls>,
    /// Peers whose forwarding headers are believed; never a `/0`.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// HTTP/2 by prior knowledge on a clear-text listener.
    pub h2c: bool,
    /// Every connection begins with a PROXY header of a trusted proxy; that list is then not empty.
    pub proxy_protocol: bool,
}

/// `listeners[].tls`.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// Where it stands.
    pub at: KeyPath,
    /// PEM chain, leaf first; absolute path; re-read when it changes.
    pub certificate: PathBuf,
    /// PEM private key; its file is re-read when it changes.
    pub private_key: Secret,
}

/// `admin`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it stands.
    pub at: KeyPath,
    /// The address to bind; a non-loopback one needs a token.
    pub address: SocketAddr,
    /// The bearer token of everything but health and metrics.
    pub token: Option<Secret>,
    /// Hosts (lower-case, without port) that the API answers beside the address itself.
    pub hosts: Vec<String>,
}

/// `tenants`.
#[derive(Debug, Clone)]
pub struct Tenants {
    /// Where it stands.
    pub at: KeyPath,
    /// Where a request's tenant is read.
    pub sources: Vec<TenantSource>,
    /// Which tenants exist.
    pub known: KnownTenants,
    /// The tenant where no source speaks.
    pub default: Option<TenantId>,
    /// Whether requests can name several tenants; then a token must say which one it is for.
    pub several: bool,
}

/// `tenants.sources[]`.
#[derive(Debug, Clone)]
pub enum TenantSource {
    /// A host pattern: the label between `prefix` and `suffix`, both lower-case.
    Host {
        /// What stands before `{tenant}`.
        prefix: String,
        /// What stands after `{tenant}`.
        suffix: String,
    },
    /// A path pattern: the segment after `prefix` (`/t/`), then `suffix` (empty, or `/…`).
    Path {
        /// What stands before `{tenant}`.
        prefix: String,
        /// What stands after `{tenant}`, covering whole segments.
        suffix: String,
    },
    /// A header that the client chooses; it only narrows what the token proves.
    Header(HeaderName),
    /// A live look-up of the host in the directory's database.
    Domain {
        /// The query, as written, with `$host`.
        query: Arc<str>,
    },
    /// The verified tenant claim, or its issuer's only tenant.
    Token,
}

/// `tenants.known`.
#[derive(Debug, Clone)]
pub enum KnownTenants {
    /// Whatever a source names.
    Any,
    /// These alone.
    Listed(Vec<TenantId>),
    /// The rows of this query in the directory's database (column `tenant`).
    Query(Arc<str>),
}

/// `issuers[]`.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name in this file and in the audit log.
    pub name: Arc<str>,
    /// The required `iss`; `None` matches only tokens without one.
    pub issuer: Option<String>,
    /// Which `aud` it accepts.
    pub audiences: Audiences,
    /// The algorithms it accepts; at least one.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// How a remote key set is refreshed.
    pub jwks: JwksTimes,
    /// Tolerated clock difference.
    pub leeway: Duration,
    /// Largest `exp - iat`.
    pub max_lifetime: Option<Duration>,
    /// Which claims say what.
    pub claims: Claims,
    /// Claims that must stand in the token with just this value.
    pub require: Vec<(ClaimPath, serde_json::Value)>,
    /// Tenants it may speak for; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// The directory look-up that its subject goes through.
    pub lookup: Arc<str>,
}

/// `issuers[].audiences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// The word `any`: `aud` is not looked at beyond its type.
    Any,
    /// Named: a token must have an `aud` that matches one. Empty: a token must have no `aud`.
    Listed(Vec<String>),
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// An HMAC secret.
    Secret(Secret),
    /// A JWKS by URL.
    JwksUrl(String),
    /// OpenID Connect discovery: the issuer's `/.well-known/openid-configuration`.
    DiscoveryUrl(String),
    /// A JWKS file, absolute; re-read when it changes.
    JwksFile(PathBuf),
    /// A PEM public key or certificate, absolute.
    PublicKeyFile(PathBuf),
}

/// `issuers[].jwks`.
#[derive(Debug, Clone, Copy)]
pub struct JwksTimes {
    /// Time between refreshes.
    pub refresh: Duration,
    /// How long the last good set serves when refreshes fail.
    pub max_stale: Duration,
    /// Deadline of one fetch.
    pub timeout: Duration,
}

/// `issuers[].claims`.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The subject of the directory look-up (`sub` when left out).
    pub user: ClaimPath,
    /// The account of login time.
    pub account: Option<ClaimPath>,
    /// The tenant that the token is for.
    pub tenant: Option<ClaimPath>,
    /// When the token was made (`iat` when left out).
    pub issued_at: ClaimPath,
}

/// A claim, by dotted path: `a.b` reaches into an object, unless the token has a claim that is
/// called `a.b` itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(pub Arc<str>);

/// `credentials[]`.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name in routes and in the audit log; the kind when left out.
    pub name: Arc<str>,
    /// Where it is read.
    pub place: CredentialPlace,
    /// What the upstream finds in this place.
    pub forward: ForwardCredential,
    /// How a session is read; only for [`CredentialPlace::DjangoSession`].
    pub django_session: Option<Arc<super::DjangoSession>>,
}

/// Where a credential is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    Bearer,
    /// A token in a cookie of this name.
    Cookie(String),
    /// A token in a query parameter of this name, on WebSocket handshakes only.
    Query(String),
    /// A token in an offered WebSocket subprotocol, after this prefix.
    WebSocketProtocol(String),
    /// A Django session in a cookie of this name.
    DjangoSession(String),
}

impl CredentialPlace {
    /// The cookie that it is.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        match self {
            Self::Cookie(name) | Self::DjangoSession(name) => Some(name),
            Self::Bearer | Self::Query(_) | Self::WebSocketProtocol(_) => None,
        }
    }
}

/// `credentials[].….forward`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardCredential {
    /// As the client sent it.
    Keep,
    /// Nothing.
    Remove,
    /// A fresh token in the app's own format (`identity.reissue`).
    Reissue,
}

/// `conflict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Two identities are refused.
    Reject,
    /// The first credential in the file's order decides; the other is checked and not forwarded.
    PreferFirst,
}

/// `origins`.
#[derive(Debug, Clone)]
pub struct Origins {
    /// Serialised origins (RFC 6454, section 6.2), lower-case.
    pub allowed: Vec<String>,
    /// Whether unsafe methods that rest on a cookie are checked here (`true`) or by the app.
    pub check_unsafe_methods: bool,
}

/// `cors`.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Whether preflights are forwarded without identity (`true`) or refused.
    pub forward_preflight: bool,
    /// Origins whose scripts may read a refusal.
    pub origins: Vec<String>,
}

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
    /// Who says what has changed.
    pub invalidation: Invalidation,
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

/// `accounts`, resolved per route.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The token's account is not the live one.
    pub on_mismatch: OnMismatch,
    /// Whether a user without an account is let through.
    pub allow_no_account: bool,
    /// Live roles that may act in the account their token names.
    pub bypass_roles: Vec<String>,
}

/// `accounts.on_mismatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// Act in the live account, and tell the client that its token is stale.
    UseLive,
    /// Refuse.
    Reject,
    /// Act in the token's account where it is one of the live memberships.
    AllowMember,
    /// Act in the token's account, and record it.
    Observe,
}

/// `identity`.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Where it stands.
    pub at: KeyPath,
    /// The identity headers.
    pub headers: IdentityHeaderNames,
    /// Live attributes and the header of each.
    pub attributes: Vec<(String, HeaderName)>,
    /// The signed assertion.
    pub assertion: Option<Assertion>,
    /// A fresh token in the app's own format.
    pub reissue: Option<Reissue>,
    /// Request header names that are let through though they would be removed, lower-case.
    pub allow: Vec<String>,
    /// What the upstream says about whom it acted as.
    pub echo: Option<Echo>,
}

/// `identity.headers`.
#[derive(Debug, Clone)]
pub struct IdentityHeaderNames {
    /// The user.
    pub user: HeaderName,
    /// The account.
    pub account: HeaderName,
    /// The tenant.
    pub tenant: HeaderName,
    /// The live roles.
    pub roles: HeaderName,
    /// The name of the credential that proved the identity.
    pub credential: HeaderName,
    /// The request id.
    pub request_id: HeaderName,
}

/// `identity.assertion`.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Where it stands.
    pub at: KeyPath,
    /// Its header.
    pub header: HeaderName,
    /// `iss`.
    pub issuer: String,
    /// `aud`; `None` is the upstream's name.
    pub audience: Option<String>,
    /// The algorithm: an asymmetric one.
    pub algorithm: jsonwebtoken::Algorithm,
    /// PKCS#8 PEM.
    pub private_key: Secret,
    /// Life of an assertion.
    pub ttl: Duration,
}

/// `identity.reissue`.
#[derive(Debug, Clone)]
pub struct Reissue {
    /// Where it stands.
    pub at: KeyPath,
    /// Index of the issuer whose format and key it uses.
    pub issuer: usize,
    /// Life of the fresh token.
    pub ttl: Duration,
    /// Claims where the source is not a token of the same issuer.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Whether ids are written as integers.
    pub integer_ids: bool,
    /// Whether the token is also sent as `Authorization: Bearer`.
    pub also_authorization: bool,
    /// The token endpoint's exact path.
    pub endpoint: Option<String>,
}

/// `identity.echo`.
#[derive(Debug, Clone)]
pub struct Echo {
    /// The user header.
    pub user: HeaderName,
    /// The account header.
    pub account: HeaderName,
    /// The tenant header.
    pub tenant: HeaderName,
    /// Whether a response without echo headers is withheld.
    pub block_missing: bool,
    /// Whether a mismatch is withheld (`true`) or only recorded.
    pub block_mismatch: bool,
}

/// `upstreams[]`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name.
    pub name: Arc<str>,
    /// Its servers; at least one.
    pub servers: Vec<Server>,
    /// The protocol spoken to it.
    pub protocol: UpstreamProtocol,
    /// PEM file of the roots it is checked against; `None` is the system's.
    pub tls_ca: Option<PathBuf>,
    /// The name its certificate must have; `None` is the server's host.
    pub tls_server_name: Option<String>,
    /// The Host it is sent; `None` is the client's.
    pub host: Option<String>,
    /// Who shares its connections.
    pub isolate: Isolate,
    /// Whether a connection serves more than one request.
    pub reuse: bool,
    /// Whether a response whose request id is another's is withheld.
    pub request_id_echo: bool,
    /// Deadlines; routes carry their own resolved copy.
    pub timeouts: UpstreamTimeouts,
    /// When a request is sent once more.
    pub retries: Retries,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address (no brackets).
    pub host: String,
    /// Port.
    pub port: u16,
}

/// `upstreams[].protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/2 by prior knowledge in clear text.
    H2c,
}

/// `upstreams[].isolate`: upstream connections are shared by …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolate {
    /// … all requests.
    None,
    /// … requests of one tenant.
    Tenant,
    /// … requests of one user.
    User,
}

/// `upstreams[].timeouts`.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// Connection and TLS handshake.
    pub connect: Duration,
    /// From the request's last byte (or, for streams, its head) to the response's head.
    pub response_head: Duration,
    /// Between two pieces of a body, either way.
    pub body_idle: Duration,
    /// Life of an idle pooled connection.
    pub pool_idle: Duration,
}

/// `upstreams[].retries`.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// After a connection could not be opened.
    pub connect_failure: bool,
    /// After a pooled connection turned out to be closed before a byte of the response.
    pub stale_connection: bool,
}

/// `routes[]`.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where it stands.
    pub at: KeyPath,
    /// Its label in logs and metrics: `path`, with `host` before it where it has one.
    pub name: Arc<str>,
    /// Host it is narrowed to.
    pub host: HostMatch,
    /// The path in canonical form: a prefix without its trailing slash (`/` is the empty string), an
    /// exact path as it is.
    pub path: String,
    /// Whether only this very path matches.
    pub exact: bool,
    /// Methods; `None` for all.
    pub methods: Option<Vec<Method>>,
    /// Path forms with a second reading that are admitted behind its prefix.
    pub allow: PathAllowances,
    /// Who may use it.
    pub access: Access,
    /// Any of these live roles; empty asks for none.
    pub roles: Vec<String>,
    /// Each of these live attributes must have one of these values.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Indices into `credentials`, in the file's order.
    pub credentials: Vec<usize>,
    /// Index into `upstreams`.
    pub upstream: usize,
    /// The account policy.
    pub accounts: Accounts,
    /// Largest request body in bytes; `None` is unlimited.
    pub body_limit: Option<u64>,
    /// Deadlines towards the upstream.
    pub timeouts: UpstreamTimeouts,
    /// Whether the upstream's cache headers are left alone.
    pub cache_upstream: bool,
    /// Where browsers without a credential are sent, with `{path}`.
    pub login: Option<String>,
    /// Prefix removed before forwarding, without a trailing slash.
    pub strip_prefix: Option<String>,
}

/// `routes[].match.host`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This host, lower-case, without port.
    Exact(String),
    /// Hosts that end in this suffix (`.example.com`), one label before it.
    Suffix(String),
}

/// `routes[].match.allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent allowance of the contract"
)]
pub struct PathAllowances {
    /// `%2F`.
    pub encoded_slash: bool,
    /// `%5C`.
    pub encoded_backslash: bool,
    /// `;`.
    pub semicolon: bool,
    /// `//`.
    pub double_slash: bool,
    /// `%25` followed by two hexadecimal digits.
    pub double_encoding: bool,
}

/// `routes[].access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Needs a credential.
    Member,
    /// Uses a credential where there is one.
    Optional,
    /// Never looks at one.
    Public,
}

/// `streams`.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Whether a stream ends when its credential expires.
    pub close_on_expiry: bool,
    /// Wait for a frame boundary before the reset.
    pub close_grace: Duration,
    /// Longest life of a stream.
    pub max_lifetime: Option<Duration>,
    /// Longest silence of a WebSocket, both ways.
    pub idle: Duration,
}

/// `limits`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest header section in bytes.
    pub header_size: usize,
    /// Most header fields.
    pub headers: usize,
    /// Largest request target in bytes.
    pub uri: usize,
    /// Largest request body in bytes; `None` is unlimited.
    pub body: Option<u64>,
    /// Most client connections, over all listeners.
    pub connections: usize,
    /// From the first byte a connection owes to the end of the request head; also the TLS handshake
    /// and the wait for a connection's first byte.
    pub header_timeout: Duration,
}

/// `drain`.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Time between "not ready" and the end of accepting.
    pub delay: Duration,
    /// Time for requests in flight.
    pub timeout: Duration,
}

/// `audit`.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where it stands.
    pub at: KeyPath,
    /// Where lines go.
    pub sink: AuditSink,
    /// Whether a full queue makes requests wait, then refuses them (`true`), or drops lines.
    pub block_when_full: bool,
    /// Age from which a credential is marked `stale_context`.
    pub warn_age: Option<Duration>,
}

/// `audit.sink`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard output.
    Stdout,
    /// A file, absolute.
    File {
        /// The file.
        path: PathBuf,
        /// Size from which a new file is begun; the old one gets the suffix `.1`.
        rotate: Option<u64>,
    },
}

/// `telemetry`.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry {
    /// The log's format.
    pub log: crate::telemetry::LogFormat,
}
