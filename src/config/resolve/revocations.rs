//! `revocations`: what verifies and is refused all the same.

use super::directory::postgres_url;
use super::push::{redis_url, sql_database, tenant_of};
use super::{Context, django};
use crate::config::raw;
use crate::config::types::{
    Blacklist, Directory, DirectorySource, Issuer, KeyPath, PushedTable, PushedTenant,
    RevocationStore, Revocations, Secret, SqlDatabase, Tenants, Through,
};

/// `revocations`.
pub(super) fn revocations(
    raw: &raw::Revocations,
    directory: Option<&Directory>,
    cx: &mut Context<'_>,
) -> Option<Revocations> {
    let at = KeyPath::root().key("revocations");
    let refresh = cx.positive(&at.key("refresh"), raw.refresh);
    let Some(kind) = raw.store else {
        if raw.url.is_some() {
            cx.fault(
                &at.key("url"),
                "without a store there is nothing at it",
                "add `store: postgres` or `store: redis`",
            );
        }
        let store = None;
        return Some(Revocations { store, refresh });
    };
    let url = if let Some(url) = &raw.url {
        let url = cx.secret(&at.key("url"), url)?;
        match kind {
            raw::RevocationStore::Postgres => postgres_url(url.value.expose(), &url.at, cx),
            raw::RevocationStore::Redis => redis_url(url.value.expose(), &url.at, cx),
        }
        url
    } else {
        let directory = directory?;
        let shared = match (kind, &directory.source) {
            (raw::RevocationStore::Postgres, DirectorySource::Postgres { url, .. }) => Some(url),
            (raw::RevocationStore::Postgres, _) => None,
            (raw::RevocationStore::Redis, _) => {
                let redis = directory.invalidation.redis.as_ref();
                redis.map(|redis| &redis.url)
            }
        };
        if shared.is_none() {
            cx.fault(
                &at.key("store"),
                "which server that is is not said",
                "add `url` beside it",
            );
        }
        shared?.clone()
    };
    let store = Some(match kind {
        raw::RevocationStore::Postgres => RevocationStore::Postgres(url),
        raw::RevocationStore::Redis => RevocationStore::Redis(url),
    });
    Some(Revocations { store, refresh })
}

/// `revocations.simplejwt_blacklist`. Its table is pushed with the others where it stands in the
/// database that the app's own transactions speak in.
pub(super) fn blacklist(
    raw: &raw::Revocations,
    (issuers, tenants): (&[Issuer], &Tenants),
    directory: &mut Directory,
    cx: &mut Context<'_>,
) {
    let Some(raw) = &raw.simplejwt_blacklist else {
        return;
    };
    let at = KeyPath::root()
        .key("revocations")
        .key("simplejwt_blacklist");
    let known: Vec<&str> = issuers.iter().map(|issuer| &*issuer.name).collect();
    let asked = match &raw.issuers {
        None => (0..known.len()).collect(),
        Some(named) => {
            let at = at.key("issuers");
            if named.is_empty() {
                cx.fault(
                    &at,
                    "no issuer is named, so that it would be asked about nobody's tokens",
                    "name some, or leave it out for all",
                );
            }
            let index = |(index, name): (usize, &String)| {
                cx.index_of(&at.index(index), "issuer", name, &known, "issuers")
            };
            named.iter().enumerate().filter_map(index).collect()
        }
    };
    let database = if let Some(url) = &raw.url {
        let Some(url) = cx.secret(&at.key("url"), url) else {
            return;
        };
        Some(sql_database(url, cx))
    } else {
        if matches!(
            directory.source,
            DirectorySource::File { .. } | DirectorySource::Http { .. }
        ) {
            cx.fault(
                &at,
                "the directory is no database that could hold the blacklist",
                "add `url: \"${DATABASE_URL}\"` here, or use a postgres, mysql or sqlite directory",
            );
        }
        None
    };
    let mut table = |name: &str, key| django::table(name, &at.key(key), cx);
    let (Some(outstanding), Some(blacklisted)) = (
        table(&raw.outstanding, "outstanding"),
        table(&raw.blacklisted, "blacklisted"),
    ) else {
        return;
    };
    let blacklist = Blacklist {
        at,
        issuers: asked,
        database,
        outstanding,
        blacklisted,
    };
    push(&blacklist, tenants, directory, cx);
    directory.blacklist = Some(blacklist);
}

/// Adds the table to those that are pushed from its database.
fn push(blacklist: &Blacklist, tenants: &Tenants, directory: &mut Directory, cx: &mut Context<'_>) {
    let (postgres, mysql) = match (&blacklist.database, &directory.source) {
        (Some(SqlDatabase::Postgres(url)), _) => (Some(Some(url)), None),
        (Some(SqlDatabase::MySql(url)), _) => (None, Some(Some(url))),
        (None, DirectorySource::Postgres { .. }) => (Some(None), None),
        (None, DirectorySource::MySql { .. }) => (None, Some(None)),
        (None, _) => return,
    };
    let pushed = pushed(blacklist, directory.source.has_schema_per_tenant(), tenants);
    let pushed_by = &mut directory.invalidation;
    let mut said = Vec::new();
    if let (Some(notify), Some(url)) = (&mut pushed_by.postgres_notify, postgres)
        && url.is_none_or(|url| is_one_database(url, &notify.url))
    {
        said.push(&mut notify.tables);
    }
    if let Some(outbox) = &mut pushed_by.outbox {
        let here = match &outbox.database {
            SqlDatabase::Postgres(of) => postgres.map(|url| (url, of)),
            SqlDatabase::MySql(of) => mysql.map(|url| (url, of)),
        };
        if here.is_some_and(|(url, of)| url.is_none_or(|url| is_one_database(url, of))) {
            said.push(&mut outbox.tables);
        }
    }
    if pushed.tenant == PushedTenant::Unknown && !said.is_empty() {
        cx.warn(
            &blacklist.at,
            "whose tenant a token is, its tables do not say, so that no trigger is printed for \
             them and a blacklisting counts within directory.cache.ttl_without_push",
            "where that is too long, have the app publish {\"tenant\", \"user\"} itself",
        );
        return;
    }
    for tables in said {
        tables.push(pushed.clone());
    }
}

fn pushed(blacklist: &Blacklist, schema_per_tenant: bool, tenants: &Tenants) -> PushedTable {
    let parted = |name: &[String]| match name {
        [schema, table] => (Some(schema.clone()), table.clone()),
        _ => (None, name.concat()),
    };
    let (schema, table) = parted(&blacklist.blacklisted);
    let (other_schema, other) = parted(&blacklist.outstanding);
    PushedTable {
        tenant: tenant_of(schema.as_ref(), schema_per_tenant, tenants),
        schema,
        table,
        user: Some("user_id".to_owned()),
        account: None,
        session: None,
        through: Some(Through {
            schema: other_schema,
            table: other,
            key: "token_id".to_owned(),
            id: "id".to_owned(),
        }),
        watch: Some(vec!["token_id".to_owned()]),
    }
}

/// Whether two URLs lead to one database, by whatever role. Two ways to write one are two.
fn is_one_database(one: &Secret, other: &Secret) -> bool {
    let place = |url: &str| {
        let (_, rest) = url.split_once("://")?;
        let rest = rest.split('?').next()?;
        rest.rsplit('@').next().map(str::to_owned)
    };
    place(one.value.expose()) == place(other.value.expose())
}
