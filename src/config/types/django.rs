//! `credentials[].django_session`, resolved.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::{KeyPath, Secret};

/// A Django session, found by its cookie.
#[derive(Debug, Clone)]
pub struct DjangoSession {
    /// Where it stands.
    pub at: KeyPath,
    /// `SECRET_KEY`.
    pub secret_key: Secret,
    /// `SECRET_KEY_FALLBACKS`.
    pub secret_key_fallbacks: Vec<Secret>,
    /// `SESSION_ENGINE`, and what belongs to it.
    pub store: SessionStore,
    /// `SESSION_COOKIE_PATH`.
    pub path: String,
    /// `SESSION_COOKIE_DOMAIN`.
    pub domain: Option<String>,
    /// `SESSION_COOKIE_AGE`, for sessions that are their own cookie.
    pub cookie_age: Duration,
    /// The directory look-up that the session's user goes through.
    pub lookup: Arc<str>,
    /// Where Django's CSRF token is, for sessions that become a bearer token.
    pub csrf: DjangoCsrf,
}

/// Where sessions are kept.
#[derive(Debug, Clone)]
pub enum SessionStore {
    /// A table of the directory's database.
    Database {
        /// Its name; a schema before it where it has one.
        table: Vec<String>,
    },
    /// A Redis cache.
    Redis(Arc<RedisSessions>),
    /// The cookie itself.
    SignedCookies,
}

impl SessionStore {
    /// The table that has its rows, if it has any.
    #[must_use]
    pub fn table(&self) -> Option<&Vec<String>> {
        match self {
            Self::Database { table } => Some(table),
            Self::Redis(redis) => redis.table.as_ref(),
            Self::SignedCookies => None,
        }
    }
}

/// Sessions in a Redis cache.
#[derive(Debug, Clone)]
pub struct RedisSessions {
    /// The server.
    pub url: Secret,
    /// What stands between the cache's prefix and a session's key, for each engine that may have
    /// written it.
    pub engines: Vec<&'static str>,
    /// Where the rows are that count where the cache has nothing.
    pub table: Option<Vec<String>>,
    /// `KEY_PREFIX`.
    pub key_prefix: String,
    /// `VERSION`.
    pub version: u32,
    /// Whether the tenant stands in front of a key.
    pub by_tenant: bool,
    /// Whether values are JSON instead of pickles.
    pub json: bool,
    /// The life of a value that has no end.
    pub endless: Duration,
}

/// Where Django's CSRF token is.
#[derive(Debug, Clone)]
pub struct DjangoCsrf {
    /// `CSRF_COOKIE_NAME`.
    pub cookie: String,
    /// `CSRF_HEADER_NAME`, as a header.
    pub header: HeaderName,
    /// `CSRF_USE_SESSIONS`.
    pub in_session: bool,
}
