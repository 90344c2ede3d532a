//! `credentials[].django_session`.

use std::sync::Arc;

use super::sql::{self, Dialect};
use super::{Context, headers, push};
use crate::config::raw;
use crate::config::types::{KeyPath, Secret};
use crate::config::{DjangoCsrf, DjangoSession, RedisSessions, SessionStore};

/// Django's own `SECRET_KEY`s have 50 characters; with fewer than this, one can be guessed.
const SHORT: usize = 32;
/// `SessionStore.cache_key_prefix` of the engine `cache`; the key follows without a separator.
const CACHE: &str = "django.contrib.sessions.cache";
/// The same of `cached_db`.
const CACHED_DB: &str = "django.contrib.sessions.cached_db";

pub(super) fn session(
    raw: &raw::DjangoSession,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<DjangoSession> {
    super::credentials::token(&raw.cookie, "a cookie's name", &at.key("cookie"), cx);
    let secret_key = secret(&raw.secret_key, &at.key("secret_key"), cx);
    let fallbacks_at = at.key("secret_key_fallbacks");
    let secret_key_fallbacks: Vec<Secret> = raw
        .secret_key_fallbacks
        .iter()
        .enumerate()
        .filter_map(|(index, fallback)| secret(fallback, &fallbacks_at.index(index), cx))
        .collect();
    let store = match &raw.store {
        raw::SessionStore::Database(database) => {
            let at = at.key("store").key("database");
            has_database(&file.directory, &at, cx);
            let table = table(&database.table, &at.key("table"), cx);
            table.map(|table| SessionStore::Database { table })
        }
        raw::SessionStore::Redis(redis) => {
            let at = at.key("store").key("redis");
            let endless = raw.cookie_age.0;
            let redis = self::redis(redis, endless, file, &at, cx);
            redis.map(|redis| SessionStore::Redis(Arc::new(redis)))
        }
        raw::SessionStore::SignedCookies(_) => Some(SessionStore::SignedCookies),
    };
    attribute(&raw.path, "path", raw.path.starts_with('/'), at, cx);
    if let Some(domain) = &raw.domain {
        attribute(domain, "domain", !domain.is_empty(), at, cx);
    }
    super::issuers::lookup(&raw.lookup, &file.directory, &at.key("lookup"), cx);
    has_password(&raw.lookup, &file.directory, at, cx);
    reissued_as_bearer(raw, file, at, cx);
    Some(DjangoSession {
        at: at.clone(),
        secret_key: secret_key?,
        secret_key_fallbacks,
        store: store?,
        path: raw.path.clone(),
        domain: raw.domain.clone(),
        cookie_age: cx.positive(&at.key("cookie_age"), raw.cookie_age),
        lookup: Arc::from(raw.lookup.as_str()),
        csrf: csrf(&raw.csrf, &at.key("csrf"), cx)?,
    })
}

fn secret(raw: &raw::Secret, at: &KeyPath, cx: &mut Context<'_>) -> Option<Secret> {
    let secret = cx.secret(at, raw)?;
    if secret.value.expose().len() < SHORT {
        cx.warn(
            at,
            format!("the secret has fewer than {SHORT} characters"),
            "Django makes SECRET_KEYs of 50 random characters",
        );
    }
    Some(secret)
}

/// A table's name, with its schema where it has one.
pub(super) fn table(text: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<Vec<String>> {
    let parts: Vec<String> = text.split('.').map(str::to_owned).collect();
    let good = |part: &String| {
        (1..=63).contains(&part.len()) && !part.contains('"') && !part.chars().any(char::is_control)
    };
    if parts.len() > 2 || !parts.iter().all(good) {
        cx.fault(
            at,
            format!("`{}` is not a table's name", text.escape_debug()),
            "write django_session, or a schema and a name, such as public.django_session",
        );
        return None;
    }
    Some(parts)
}

/// A Redis cache. `CACHES` says most of it, `SESSION_ENGINE` the rest.
fn redis(
    raw: &raw::RedisSessions,
    endless: std::time::Duration,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<RedisSessions> {
    let url = cx.secret(&at.key("url"), &raw.url);
    if let Some(url) = &url {
        push::redis_url(url.value.expose(), &url.at, cx);
    }
    if raw.key_prefix.chars().any(char::is_control) || raw.key_prefix.len() > 200 {
        cx.fault(
            &at.key("key_prefix"),
            "this is not a prefix of keys",
            "write what CACHES has as KEY_PREFIX, or leave it out",
        );
    }
    let table = match (raw.engine, &raw.table) {
        (Some(raw::CacheEngine::CachedDb), named) => {
            has_database(&file.directory, &at.key("engine"), cx);
            let name = named.as_deref().unwrap_or("django_session");
            Some(table(name, &at.key("table"), cx)?)
        }
        (_, None) => None,
        (_, Some(_)) => {
            cx.fault(
                &at.key("table"),
                "only the engine cached_db has a table",
                "add `engine: cached_db`, or leave it out",
            );
            None
        }
    };
    let several = file.tenants.as_ref().is_some_and(|tenants| {
        let known_one =
            matches!(&tenants.known, raw::KnownTenants::Listed(listed) if listed.len() == 1);
        !tenants.sources.is_empty() && !known_one
    });
    if several && raw.key_function == raw::KeyFunction::Plain {
        cx.warn(
            &at.key("key_function"),
            "the tenants share these sessions: only the hash of the password tells whose one is",
            "write `key_function: django_tenants`, and KEY_FUNCTION in CACHES",
        );
    }
    Some(RedisSessions {
        url: url?,
        engines: match raw.engine {
            Some(raw::CacheEngine::Cache) => vec![CACHE],
            Some(raw::CacheEngine::CachedDb) => vec![CACHED_DB],
            None => vec![CACHE, CACHED_DB],
        },
        table,
        key_prefix: raw.key_prefix.clone(),
        version: raw.version,
        by_tenant: raw.key_function == raw::KeyFunction::DjangoTenants,
        json: raw.serializer == raw::CacheSerializer::Json,
        endless,
    })
}

fn has_database(directory: &raw::Directory, at: &KeyPath, cx: &mut Context<'_>) {
    let database = matches!(
        directory.source,
        raw::DirectorySource::Sqlite(_)
            | raw::DirectorySource::Postgres(_)
            | raw::DirectorySource::Mysql(_)
    );
    if !database && !cx.is_broken("directory") {
        cx.fault(
            at,
            "the directory is no database that could hold sessions",
            "use a postgres, mysql or sqlite directory, or another store",
        );
    }
}

/// A session counts only while its hash is that of the live password.
fn has_password(lookup: &str, directory: &raw::Directory, at: &KeyPath, cx: &mut Context<'_>) {
    let (text, dialect) = match &directory.source {
        raw::DirectorySource::Sqlite(source) => (source.lookups.get(lookup), Dialect::Sqlite),
        raw::DirectorySource::Postgres(source) => (source.lookups.get(lookup), Dialect::Postgres),
        raw::DirectorySource::Mysql(source) => (source.lookups.get(lookup), Dialect::MySql),
        raw::DirectorySource::File(_) | raw::DirectorySource::Http(_) => return,
    };
    if text.is_some_and(|text| sql::lacks(dialect, text, "session_auth")) {
        cx.fault(
            at,
            format!(
                "look-up `{lookup}` lacks the column `session_auth`, so that no session counts"
            ),
            "select Django's password column there, as `u.password AS session_auth`",
        );
    }
}

fn reissued_as_bearer(
    raw: &raw::DjangoSession,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) {
    let reissue = file.identity.reissue.as_ref();
    if raw.forward == raw::Forward::Reissue && reissue.is_some_and(|reissue| reissue.also.is_none())
    {
        cx.fault(
            &at.key("forward"),
            "a token cannot stand in the place of a session",
            "add `also: authorization` to identity.reissue, or write keep or remove",
        );
    }
}

/// A value of a Set-Cookie attribute (RFC 6265, section 4.1.1).
fn attribute(text: &str, key: &str, fits: bool, at: &KeyPath, cx: &mut Context<'_>) {
    let plain = text.bytes().all(|b| b.is_ascii_graphic() && b != b';');
    if !plain || !fits {
        cx.fault(
            &at.key(key),
            format!("`{}` cannot be a cookie's {key}", text.escape_debug()),
            "write what Django's settings say",
        );
    }
}

fn csrf(raw: &raw::DjangoCsrf, at: &KeyPath, cx: &mut Context<'_>) -> Option<DjangoCsrf> {
    super::credentials::token(&raw.cookie, "a cookie's name", &at.key("cookie"), cx);
    Some(DjangoCsrf {
        cookie: raw.cookie.clone(),
        header: headers::own_name(&raw.header, &at.key("header"), cx)?,
        in_session: raw.in_session,
    })
}
