//! `directory`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::sql::{self, Dialect, Query};
use super::{Context, headers, push, urls};
use crate::config::raw;
use crate::config::types::{
    Credential, Directory, DirectoryCache, DirectoryLimits, DirectorySource, Invalidation, KeyPath,
    Tenants,
};
use crate::config::{RedisSessions, SessionStore};
use crate::telemetry::Redacted;

pub(super) fn directory(
    raw: &raw::Directory,
    tenants: &Tenants,
    credentials: &[Credential],
    cx: &mut Context<'_>,
) -> Option<Directory> {
    let at = KeyPath::root().key("directory");
    let source_at = at.key("source");
    let source = match &raw.source {
        raw::DirectorySource::File(file) => {
            let at = source_at.key("file");
            cx.file(&at.key("path"), &file.path)
                .map(|path| DirectorySource::File { at, path })
        }
        raw::DirectorySource::Sqlite(sqlite) => {
            let at = source_at.key("sqlite");
            let path = cx.file(&at.key("path"), &sqlite.path);
            let lookups = lookups(&sqlite.lookups, Dialect::Sqlite, tenants.several, &at, cx);
            path.map(|path| DirectorySource::Sqlite { at, path, lookups })
        }
        raw::DirectorySource::Postgres(raw) => postgres(raw, tenants, &source_at, cx),
        raw::DirectorySource::Mysql(raw) => mysql(raw, tenants, &source_at, cx),
        raw::DirectorySource::Http(raw) => http(raw, tenants, &source_at, cx),
    };
    let cache = cache(&raw.cache, &at.key("cache"), cx);
    let limits = DirectoryLimits {
        timeout: cx.positive(&at.key("limits").key("timeout"), raw.limits.timeout),
        concurrent: usize::try_from(raw.limits.concurrent).unwrap_or(usize::MAX),
        queue: usize::try_from(raw.limits.queue).unwrap_or(usize::MAX),
    };
    let invalidation = raw.invalidation.as_ref();
    let invalidation = invalidation.map_or_else(
        || Some(Invalidation::default()),
        |invalidation| push::invalidation(invalidation, source.as_ref(), tenants, cx),
    );
    Some(Directory {
        at,
        source: source?,
        cache,
        limits,
        session_tables: session_tables(credentials),
        session_caches: session_caches(credentials),
        blacklist: None,
        invalidation: invalidation?,
    })
}

fn session_tables(credentials: &[Credential]) -> BTreeMap<usize, Vec<String>> {
    let table =
        |credential: &Credential| credential.django_session.as_ref()?.store.table().cloned();
    let tables = credentials.iter().map(table).enumerate();
    tables
        .filter_map(|(index, table)| Some((index, table?)))
        .collect()
}

fn session_caches(credentials: &[Credential]) -> BTreeMap<usize, Arc<RedisSessions>> {
    let cache = |credential: &Credential| match &credential.django_session.as_ref()?.store {
        SessionStore::Redis(redis) => Some(Arc::clone(redis)),
        SessionStore::Database { .. } | SessionStore::SignedCookies => None,
    };
    let caches = credentials.iter().map(cache).enumerate();
    caches
        .filter_map(|(index, cache)| Some((index, cache?)))
        .collect()
}

fn cache(raw: &raw::DirectoryCache, at: &KeyPath, cx: &mut Context<'_>) -> DirectoryCache {
    DirectoryCache {
        capacity: raw.capacity,
        ttl: cx.positive(&at.key("ttl"), raw.ttl),
        ttl_without_push: cx.positive(&at.key("ttl_without_push"), raw.ttl_without_push),
        negative_ttl: raw.negative_ttl.0,
        stale_if_error: raw.stale_if_error.0,
    }
}

fn postgres(
    raw: &raw::PostgresSource,
    tenants: &Tenants,
    source_at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<DirectorySource> {
    let at = source_at.key("postgres");
    let url = cx.secret(&at.key("url"), &raw.url);
    if let Some(url) = &url {
        postgres_url(url.value.expose(), &url.at, cx);
    }
    let shared = tenants.several && !raw.schema_per_tenant;
    let lookups = lookups(&raw.lookups, Dialect::Postgres, shared, &at, cx);
    if !raw.schema_per_tenant && !raw.search_path_also.is_empty() {
        cx.fault(
            &at.key("search_path_also"),
            "without schema_per_tenant the search path is the database's own",
            "set schema_per_tenant: true, or remove it",
        );
    }
    for (index, schema) in raw.search_path_also.iter().enumerate() {
        if schema.is_empty() || schema.len() > 63 || schema.chars().any(char::is_control) {
            cx.fault(
                &at.key("search_path_also").index(index),
                format!("`{}` is not a schema's name", schema.escape_debug()),
                "write 1 to 63 plain characters",
            );
        }
    }
    Some(DirectorySource::Postgres {
        at,
        url: url?,
        max_connections: raw.max_connections,
        schema_per_tenant: raw.schema_per_tenant,
        search_path_also: raw.search_path_also.clone(),
        lookups,
    })
}

fn mysql(
    raw: &raw::MysqlSource,
    tenants: &Tenants,
    source_at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<DirectorySource> {
    let at = source_at.key("mysql");
    let url = cx.secret(&at.key("url"), &raw.url);
    if let Some(url) = &url {
        mysql_url(url.value.expose(), &url.at, cx);
    }
    let lookups = lookups(&raw.lookups, Dialect::MySql, tenants.several, &at, cx);
    Some(DirectorySource::MySql {
        at,
        url: url?,
        max_connections: raw.max_connections,
        lookups,
    })
}

/// Whether this is the URL of a MySQL or MariaDB server.
pub(super) fn is_mysql(url: &str) -> bool {
    url.starts_with("mysql://") || url.starts_with("mariadb://")
}

/// The URL is never shown: it holds a password.
pub(super) fn mysql_url(url: &str, at: &KeyPath, cx: &mut Context<'_>) {
    let options = url.parse::<sqlx::mysql::MySqlConnectOptions>();
    let names_database = options.is_ok_and(|options| options.get_database().is_some());
    if !is_mysql(url) || !names_database {
        cx.fault(
            at,
            "this is not the URL of a MySQL or MariaDB database",
            "write mysql://user:password@host:3306/database; percent-encode what is special in \
             the password",
        );
    }
}

/// The URL is never shown: it holds a password.
pub(super) fn postgres_url(url: &str, at: &KeyPath, cx: &mut Context<'_>) {
    let scheme = url.starts_with("postgres://") || url.starts_with("postgresql://");
    if !scheme || url.parse::<sqlx::postgres::PgConnectOptions>().is_err() {
        cx.fault(
            at,
            "this is not the URL of a PostgreSQL database",
            "write postgres://user:password@host:5432/database; percent-encode what is special \
             in the password",
        );
    }
}

fn lookups(
    raw: &BTreeMap<String, String>,
    dialect: Dialect,
    shared: bool,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> BTreeMap<Arc<str>, Arc<str>> {
    let at = at.key("lookups");
    if raw.is_empty() {
        cx.fault(
            &at,
            "there is no look-up",
            "add one called default that selects id, account and active",
        );
    }
    for (name, query) in raw {
        let at = at.key(name);
        sql::check(Query::Lookup, dialect, query, &at, cx);
        if shared && !query.contains("$tenant") {
            cx.warn(
                &at,
                "the query does not use `$tenant`, so that a user is the same in every tenant",
                "add a condition on $tenant, unless user ids are unique across tenants",
            );
        }
    }
    raw.iter()
        .map(|(name, query)| (Arc::from(name.as_str()), Arc::from(query.as_str())))
        .collect()
}

fn http(
    raw: &raw::HttpSource,
    tenants: &Tenants,
    source_at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<DirectorySource> {
    let at = source_at.key("http");
    let url = template(&raw.url, tenants, &at.key("url"), cx);
    let mut fields = Vec::new();
    for (name, secret) in &raw.headers {
        let at = at.key("headers").key(name);
        let parsed = headers::parse(name, &at, cx);
        let value = cx.secret(&at, secret);
        if let (Some(name), Some(value)) = (parsed, value) {
            if http::HeaderValue::from_str(value.value.expose()).is_err() {
                cx.fault(
                    &at,
                    "the value cannot stand in a header",
                    "remove line breaks and control characters",
                );
            }
            fields.push((name, Redacted::new(value.value.expose().to_owned())));
        }
    }
    for (field, name) in &raw.fields {
        if name.is_empty() {
            cx.fault(
                &at.key("fields").key(field),
                "the field's name is empty",
                "name the field of the answer, or leave the line out",
            );
        }
    }
    Some(DirectorySource::Http {
        at,
        url: url?,
        headers: fields,
        fields: raw.fields.clone(),
    })
}

fn template(url: &str, tenants: &Tenants, at: &KeyPath, cx: &mut Context<'_>) -> Option<String> {
    let filled = url
        .replace("{tenant}", "t")
        .replace("{user}", "u")
        .replace("{lookup}", "l");
    let problem = match urls::HttpUrl::parse(&filled) {
        Err(problem) => Some(problem),
        Ok(_) if filled.contains(['{', '}']) => {
            Some("its placeholders are {tenant}, {user} and {lookup}")
        }
        Ok(_) if !url.contains("{user}") => Some("it does not ask for the {user}"),
        Ok(_) if authority_has_placeholder(url) => Some("its host would depend on the request"),
        Ok(_) => None,
    };
    if let Some(problem) = problem {
        cx.fault(
            at,
            format!("this is not a URL to ask for users: {problem}"),
            "write such as https://app.internal/identity/{tenant}/{user}",
        );
        return None;
    }
    if tenants.several && !url.contains("{tenant}") {
        cx.warn(
            at,
            "the URL does not name {tenant}, so that a user is the same in every tenant",
            "add {tenant}, unless user ids are unique across tenants",
        );
    }
    Some(url.to_owned())
}

fn authority_has_placeholder(url: &str) -> bool {
    url.split_once("://")
        .and_then(|(_, rest)| rest.split(['/', '?']).next())
        .is_some_and(|authority| authority.contains('{'))
}
