//! `directory.invalidation`: who says what has changed.

use std::time::Duration;

use super::Context;
use super::directory::{is_mysql, mysql_url, postgres_url};
use crate::config::raw;
use crate::config::types::{
    DirectorySource, Invalidation, KeyPath, KnownTenants, Outbox, PostgresNotify, PushedTable,
    PushedTenant, RedisChannel, Secret, SqlDatabase, Tenants,
};

/// Longest channel: what is put behind it in the names of triggers and functions has to fit into
/// the 63 bytes of a PostgreSQL identifier.
const MAX_CHANNEL: usize = 40;
/// Longest identifier of PostgreSQL (manual, section 4.1.1).
const MAX_IDENTIFIER: usize = 63;
/// Longest time between two readings of an outbox.
const LONGEST_POLL: Duration = Duration::from_secs(10);

pub(super) fn invalidation(
    raw: &raw::Invalidation,
    source: Option<&DirectorySource>,
    tenants: &Tenants,
    cx: &mut Context<'_>,
) -> Option<Invalidation> {
    let at = KeyPath::root().key("directory").key("invalidation");
    let postgres_notify = match &raw.postgres_notify {
        None => None,
        Some(raw) => Some(postgres(raw, source, tenants, &at, cx)?),
    };
    let redis = match &raw.redis {
        None => None,
        Some(raw) => Some(redis(raw, &at.key("redis"), cx)?),
    };
    let outbox = match &raw.outbox {
        None => None,
        Some(raw) => Some(outbox(raw, source, tenants, &at.key("outbox"), cx)?),
    };
    Some(Invalidation {
        postgres_notify,
        redis,
        outbox,
        replica_lag: raw.replica_lag.0,
    })
}

fn postgres(
    raw: &raw::PostgresNotify,
    source: Option<&DirectorySource>,
    tenants: &Tenants,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<PostgresNotify> {
    let at = at.key("postgres_notify");
    let url = match (&raw.url, source) {
        (Some(url), _) => {
            let url = cx.secret(&at.key("url"), url);
            if let Some(url) = &url {
                postgres_url(url.value.expose(), &url.at, cx);
            }
            url
        }
        (None, Some(DirectorySource::Postgres { url, .. })) => Some(url.clone()),
        (None, None) => None,
        (None, Some(_)) => {
            cx.fault(
                &at,
                "the directory is no PostgreSQL database, so that there is none to listen to",
                "add `url: \"${DATABASE_URL}\"` here, or use a postgres directory",
            );
            None
        }
    };
    channel(&raw.channel, &at.key("channel"), cx);
    let tables = tables(&raw.tables, source, tenants, &at, cx);
    Some(PostgresNotify {
        at,
        url: url?,
        channel: raw.channel.clone(),
        tables,
    })
}

fn outbox(
    raw: &raw::Outbox,
    source: Option<&DirectorySource>,
    tenants: &Tenants,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Outbox> {
    let database = match (&raw.url, source) {
        (Some(url), _) => {
            let url = cx.secret(&at.key("url"), url);
            url.map(|url| sql_database(url, cx))
        }
        (None, Some(DirectorySource::Postgres { url, .. })) => {
            Some(SqlDatabase::Postgres(url.clone()))
        }
        (None, Some(DirectorySource::MySql { url, .. })) => Some(SqlDatabase::MySql(url.clone())),
        (None, None) => None,
        (None, Some(_)) => {
            cx.fault(
                at,
                "the directory is no database with transactions of the app's, so that there is no \
                 outbox in it",
                "add `url: \"${DATABASE_URL}\"` here, or use a postgres or mysql directory",
            );
            None
        }
    };
    let (schema, table) = parted(&raw.table);
    let table_at = at.key("table");
    for name in schema.iter().chain([&table]) {
        identifier(name, &table_at, cx);
    }
    if table.len() > MAX_CHANNEL {
        cx.fault(
            &table_at,
            "the names of triggers and functions begin with this, and would be too long",
            "write 1 to 40 plain characters",
        );
    }
    let poll = cx.positive(&at.key("poll"), raw.poll);
    if poll > LONGEST_POLL {
        cx.fault(
            &at.key("poll"),
            "this is too long for the promise that a change is seen soon",
            "write 10s or less, such as 250ms",
        );
    }
    let tables = tables(&raw.tables, source, tenants, at, cx);
    Some(Outbox {
        at: at.clone(),
        database: database?,
        schema,
        table,
        poll,
        tables,
    })
}

/// Which kind of database a URL names.
pub(super) fn sql_database(url: Secret, cx: &mut Context<'_>) -> SqlDatabase {
    if is_mysql(url.value.expose()) {
        mysql_url(url.value.expose(), &url.at, cx);
        SqlDatabase::MySql(url)
    } else {
        postgres_url(url.value.expose(), &url.at, cx);
        SqlDatabase::Postgres(url)
    }
}

fn redis(raw: &raw::RedisChannel, at: &KeyPath, cx: &mut Context<'_>) -> Option<RedisChannel> {
    let url = cx.secret(&at.key("url"), &raw.url);
    if let Some(url) = &url {
        redis_url(url.value.expose(), &url.at, cx);
    }
    let channel = raw.channel.clone();
    if channel.is_empty() || channel.len() > 200 || channel.chars().any(char::is_control) {
        cx.fault(
            &at.key("channel"),
            "this is not the name of a channel",
            "write 1 to 200 plain characters",
        );
    }
    Some(RedisChannel {
        at: at.clone(),
        url: url?,
        channel,
    })
}

/// The URL is never shown: it holds a password.
pub(super) fn redis_url(url: &str, at: &KeyPath, cx: &mut Context<'_>) {
    let scheme = url.starts_with("redis://") || url.starts_with("rediss://");
    if !scheme || redis::Client::open(url).is_err() {
        cx.fault(
            at,
            "this is not the URL of a Redis server",
            "write redis://user:password@host:6379, or rediss:// over TLS; percent-encode what is \
             special in the password",
        );
    }
}

/// Plain, so that it is the same channel quoted and unquoted, for whoever sends by hand.
fn channel(name: &str, at: &KeyPath, cx: &mut Context<'_>) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    if !starts || !name.chars().all(plain) || name.len() > MAX_CHANNEL {
        cx.fault(
            at,
            "this is not the name of a channel",
            "write 1 to 40 lower-case letters, digits or `_`, and begin with a letter",
        );
    }
}

fn tables(
    raw: &[raw::PushedTable],
    source: Option<&DirectorySource>,
    tenants: &Tenants,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Vec<PushedTable> {
    let schema_per_tenant = source.is_some_and(DirectorySource::has_schema_per_tenant);
    let tables = raw.iter().enumerate().map(|(index, raw)| {
        let at = at.key("tables").index(index);
        table(raw, schema_per_tenant, tenants, &at, cx)
    });
    tables.collect()
}

/// Schema and table.
fn parted(name: &str) -> (Option<String>, String) {
    match name.split_once('.') {
        Some((schema, table)) => (Some(schema.to_owned()), table.to_owned()),
        None => (None, name.to_owned()),
    }
}

fn table(
    raw: &raw::PushedTable,
    schema_per_tenant: bool,
    tenants: &Tenants,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> PushedTable {
    let (schema, table) = parted(&raw.table);
    let table_at = at.key("table");
    for name in schema.iter().chain([&table]) {
        identifier(name, &table_at, cx);
    }
    let columns = [
        ("user", &raw.user),
        ("account", &raw.account),
        ("session", &raw.session),
        ("tenant", &raw.tenant),
    ];
    for (key, column) in columns {
        if let Some(column) = column {
            identifier(column, &at.key(key), cx);
        }
    }
    for (index, column) in raw.watch.iter().flatten().enumerate() {
        identifier(column, &at.key("watch").index(index), cx);
    }
    if raw.user.is_none() && raw.account.is_none() && raw.session.is_none() {
        cx.fault(
            at,
            "whom a change of this table concerns is not said",
            "add `user: COLUMN` or `account: COLUMN`, the column that holds the id, or `session: \
             COLUMN`, the one that holds the session's key",
        );
    }
    let tenant = match &raw.tenant {
        Some(column) => PushedTenant::Column(column.clone()),
        None => tenant_of(schema.as_ref(), schema_per_tenant, tenants),
    };
    if tenant == PushedTenant::Unknown {
        cx.warn(
            at,
            "which tenant a change concerns is not said, so that each makes every record be read \
             again",
            "add `tenant: COLUMN`, if the table has it",
        );
    }
    PushedTable {
        schema,
        table,
        user: raw.user.clone(),
        account: raw.account.clone(),
        session: raw.session.clone(),
        through: None,
        tenant,
        watch: raw.watch.clone(),
    }
}

/// The tenant of a table without a column for it.
pub(super) fn tenant_of(
    schema: Option<&String>,
    schema_per_tenant: bool,
    tenants: &Tenants,
) -> PushedTenant {
    let only = match &tenants.known {
        KnownTenants::Listed(listed) if listed.len() == 1 => listed.first(),
        _ => tenants.default.as_ref(),
    };
    match only {
        _ if schema_per_tenant && schema.is_none() => PushedTenant::Schema,
        Some(only) if !tenants.several && !schema_per_tenant => PushedTenant::Only(only.clone()),
        _ => PushedTenant::Unknown,
    }
}

fn identifier(name: &str, at: &KeyPath, cx: &mut Context<'_>) {
    if name.is_empty() || name.len() > MAX_IDENTIFIER || name.chars().any(char::is_control) {
        cx.fault(
            at,
            format!(
                "`{}` is not the name of a table or column",
                name.escape_debug()
            ),
            "write 1 to 63 plain characters, as the database spells it",
        );
    }
}
