//! `tenants`: patterns are taken apart, queries checked, and it is settled whether requests can
//! name several tenants at all.

use std::sync::Arc;

use super::sql::{self, Query};
use super::{Context, headers, paths, urls};
use crate::config::raw;
use crate::config::types::{KeyPath, KnownTenants, TenantSource, Tenants};
use crate::ids::TenantId;

pub(super) fn tenants(file: &raw::File, cx: &mut Context<'_>) -> Tenants {
    let at = KeyPath::root().key("tenants");
    let left_out = raw::Tenants::default();
    let raw = file.tenants.as_ref().unwrap_or(&left_out);
    let sources: Vec<TenantSource> = raw
        .sources
        .iter()
        .enumerate()
        .filter_map(|(index, raw)| source(raw, file, &at.key("sources").index(index), cx))
        .collect();
    let known = known(&raw.known, file, &at.key("known"), cx);
    let default = raw
        .default
        .as_ref()
        .and_then(|id| tenant(id, &at.key("default"), cx));
    if raw.sources.is_empty() && raw.default.is_none() {
        cx.fault(
            &at,
            "no source and no default: every request would be refused",
            "add a source, such as `host: \"{tenant}.example.com\"`, or a default",
        );
    }
    if let (KnownTenants::Listed(listed), Some(default)) = (&known, &default)
        && !listed.contains(default)
    {
        cx.fault(
            &at.key("default"),
            format!("`{default}` is not one of the known tenants"),
            "add it to `known`",
        );
    }
    let several =
        !sources.is_empty() && !matches!(&known, KnownTenants::Listed(listed) if listed.len() == 1);
    Tenants {
        at,
        sources,
        known,
        default,
        several,
    }
}

/// A tenant's id.
pub(super) fn tenant(raw: &raw::Id, at: &KeyPath, cx: &mut Context<'_>) -> Option<TenantId> {
    TenantId::parse(&raw.0)
        .map_err(|error| {
            cx.fault(
                at,
                format!("`{}` is not a tenant: {error}", raw.0.escape_debug()),
                "write 1 to 255 plain characters",
            );
        })
        .ok()
}

fn source(
    raw: &raw::TenantSource,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<TenantSource> {
    match raw {
        raw::TenantSource::Host(pattern) => host(pattern, &at.key("host"), cx),
        raw::TenantSource::Path(pattern) => path(pattern, &at.key("path"), cx),
        raw::TenantSource::Header(name) => {
            headers::request_name(name, &at.key("header"), cx).map(TenantSource::Header)
        }
        raw::TenantSource::Domain(raw) => {
            let query = query(
                Query::Domain,
                &raw.query,
                file,
                &at.key("domain").key("query"),
                cx,
            )?;
            Some(TenantSource::Domain { query })
        }
        raw::TenantSource::Token(_) => {
            let speaks = |issuer: &raw::Issuer| {
                issuer.claims.tenant.is_some()
                    || issuer.tenants.as_ref().is_some_and(|only| only.len() == 1)
            };
            if !file.issuers.iter().any(speaks) && !cx.is_broken("issuers") {
                cx.fault(
                    at,
                    "no issuer says which tenant its tokens are for",
                    "set issuers[].claims.tenant, or issuers[].tenants to one tenant",
                );
            }
            Some(TenantSource::Token)
        }
    }
}

fn host(pattern: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<TenantSource> {
    let lower = pattern.to_ascii_lowercase();
    let parts = lower.split_once("{tenant}").filter(|(prefix, suffix)| {
        (prefix.is_empty() || prefix.ends_with(['.', '-']))
            && (suffix.is_empty() || suffix.starts_with(['.', '-']))
            && urls::is_host(&format!("{prefix}x{suffix}"))
    });
    if parts.is_none() {
        cx.fault(
            at,
            format!("`{pattern}` is not a host pattern"),
            "write a host name in which {tenant} stands for one label or a part of it, such as \
             \"{tenant}.example.com\"",
        );
    }
    parts.map(|(prefix, suffix)| TenantSource::Host {
        prefix: prefix.to_owned(),
        suffix: suffix.to_owned(),
    })
}

fn path(pattern: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<TenantSource> {
    let parts = pattern.split_once("{tenant}").and_then(|(prefix, suffix)| {
        let whole = prefix.ends_with('/') && (suffix.is_empty() || suffix.starts_with('/'));
        let canonical = paths::canonical(&format!("{prefix}x{suffix}")).ok()?;
        let suffix = canonical.get(prefix.len() + 1..)?.to_owned();
        whole.then(|| (prefix.to_owned(), suffix))
    });
    if parts.is_none() {
        cx.fault(
            at,
            format!("`{pattern}` is not a path pattern"),
            "write a path in which {tenant} is one whole segment, such as \"/t/{tenant}\"",
        );
    }
    parts.map(|(prefix, suffix)| TenantSource::Path { prefix, suffix })
}

fn known(
    raw: &raw::KnownTenants,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> KnownTenants {
    match raw {
        raw::KnownTenants::Any(_) => KnownTenants::Any,
        raw::KnownTenants::Listed(listed) => {
            if listed.is_empty() {
                cx.fault(
                    at,
                    "the list is empty: every request would be refused",
                    "name the tenants, or write any",
                );
            }
            let ids = listed.iter().enumerate();
            KnownTenants::Listed(
                ids.filter_map(|(index, id)| tenant(id, &at.index(index), cx))
                    .collect(),
            )
        }
        raw::KnownTenants::Query(raw) => {
            query(Query::Known, &raw.query, file, &at.key("query"), cx)
                .map_or(KnownTenants::Any, KnownTenants::Query)
        }
    }
}

fn query(
    kind: Query,
    text: &str,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Arc<str>> {
    let dialect = match &file.directory.source {
        raw::DirectorySource::Postgres(_) => sql::Dialect::Postgres,
        raw::DirectorySource::Sqlite(_) => sql::Dialect::Sqlite,
        raw::DirectorySource::Mysql(_) => sql::Dialect::MySql,
        raw::DirectorySource::File(_) | raw::DirectorySource::Http(_) => {
            if !cx.is_broken("directory") {
                cx.fault(
                    at,
                    "a query needs a database, but the directory's source has none",
                    "use directory.source.postgres, mysql or sqlite, or a host pattern",
                );
            }
            return None;
        }
    };
    sql::check(kind, dialect, text, at, cx);
    Some(Arc::from(text))
}
