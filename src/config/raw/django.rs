//! `credentials[].django_session`: a Django session as a credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Forward, Secret};

/// A Django session. Its user goes through the same directory as a token's; the look-up needs the password column as `session_auth`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DjangoSession {
    /// `SESSION_COOKIE_NAME`.
    #[serde(default = "sessionid")]
    pub cookie: String,
    /// What the upstream finds in this place; reissue needs `identity.reissue.also: authorization`.
    #[serde(default = "keep")]
    pub forward: Forward,
    /// `SECRET_KEY`.
    pub secret_key: Secret,
    /// `SECRET_KEY_FALLBACKS`.
    #[serde(default)]
    pub secret_key_fallbacks: Vec<Secret>,
    /// Where sessions are kept, as `SESSION_ENGINE` says.
    #[serde(default)]
    pub store: SessionStore,
    /// `SESSION_COOKIE_PATH`, for the deletion of a dead cookie.
    #[serde(default = "root")]
    pub path: String,
    /// `SESSION_COOKIE_DOMAIN`, for the deletion of a dead cookie.
    #[serde(default)]
    pub domain: Option<String>,
    /// `SESSION_COOKIE_AGE`, for `signed_cookies`, and for a key in Redis that has no end.
    #[serde(default = "two_weeks")]
    pub cookie_age: Duration,
    /// Which of the directory's look-ups its user goes through.
    #[serde(default = "default_lookup")]
    pub lookup: String,
    /// Where Django's CSRF token is, for sessions that become a bearer token.
    #[serde(default)]
    pub csrf: DjangoCsrf,
}

/// Where sessions are kept. Exactly one of `database`, `redis`, `signed_cookies`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SessionStore {
    /// The engines `db` and `cached_db`: a table of the directory's database.
    Database(SessionTable),
    /// The engines `cache` and `cached_db` in a Redis cache, Django's own or django-redis.
    Redis(RedisSessions),
    /// The engine `signed_cookies`: the cookie is the session.
    SignedCookies(Nothing),
}

impl Default for SessionStore {
    fn default() -> Self {
        Self::Database(SessionTable::default())
    }
}

/// A table of sessions.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SessionTable {
    /// Its name, or `schema.name`. With `schema_per_tenant` a plain name is the tenant's own table.
    pub table: String,
}

impl Default for SessionTable {
    fn default() -> Self {
        Self {
            table: "django_session".to_owned(),
        }
    }
}

/// Sessions in a Redis cache: what `CACHES` says of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedisSessions {
    /// `LOCATION`: `redis://user:password@host:port/database`, or `rediss://` over TLS.
    pub url: Secret,
    /// `SESSION_ENGINE`: cache, or `cached_db`, whose rows count where Redis has nothing; null: what is in Redis of either, and no row.
    #[serde(default)]
    pub engine: Option<CacheEngine>,
    /// The table of `cached_db`, in the directory's database; left out: `django_session`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// `KEY_PREFIX`.
    #[serde(default)]
    pub key_prefix: String,
    /// `VERSION`.
    #[serde(default = "one")]
    pub version: u32,
    /// `KEY_FUNCTION`: plain is Django's own; `django_tenants` puts the tenant's schema in front.
    #[serde(default)]
    pub key_function: KeyFunction,
    /// What the values are written with: pickle, or the JSON serializer of django-redis, without compression.
    #[serde(default)]
    pub serializer: CacheSerializer,
}

/// The engine whose sessions are in a cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheEngine {
    /// `django.contrib.sessions.backends.cache`.
    Cache,
    /// `django.contrib.sessions.backends.cached_db`.
    CachedDb,
}

/// How the cache makes its keys.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyFunction {
    /// `prefix:version:key`.
    #[default]
    Plain,
    /// `schema:prefix:version:key`, as `django_tenants.cache.make_key` does.
    DjangoTenants,
}

/// What the cache writes its values with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CacheSerializer {
    /// Python's pickle; plain values only are read.
    #[default]
    Pickle,
    /// JSON.
    Json,
}

/// Nothing to say.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Nothing {}

/// Where Django's CSRF token is. It is read from the header, never from a form.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DjangoCsrf {
    /// `CSRF_COOKIE_NAME`.
    pub cookie: String,
    /// `CSRF_HEADER_NAME`, as a header.
    pub header: String,
    /// `CSRF_USE_SESSIONS`: the secret stands in the session.
    pub in_session: bool,
}

impl Default for DjangoCsrf {
    fn default() -> Self {
        Self {
            cookie: "csrftoken".to_owned(),
            header: "X-CSRFToken".to_owned(),
            in_session: false,
        }
    }
}

fn sessionid() -> String {
    "sessionid".to_owned()
}

const fn keep() -> Forward {
    Forward::Keep
}

fn root() -> String {
    "/".to_owned()
}

const fn one() -> u32 {
    1
}

const fn two_weeks() -> Duration {
    Duration(std::time::Duration::from_hours(14 * 24))
}

fn default_lookup() -> String {
    "default".to_owned()
}
