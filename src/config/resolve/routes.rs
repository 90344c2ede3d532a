//! `routes`: names become indices, paths canonical, and no two routes may claim one request.

use std::collections::HashMap;

use super::{Context, identity, paths, route_match};
use crate::config::raw;
use crate::config::types::{Access, Accounts, HostMatch, KeyPath, Route, UpstreamTimeouts};

/// Why a name stands here: the sections that a route refers to.
pub(super) struct References<'a> {
    pub(super) file: &'a raw::File,
    pub(super) accounts: &'a Accounts,
    pub(super) body_limit: Option<u64>,
}

pub(super) fn routes(references: &References<'_>, cx: &mut Context<'_>) -> Vec<Route> {
    let section = KeyPath::root().key("routes");
    let Some(raw) = &references.file.routes else {
        if references.file.upstreams.len() > 1 {
            cx.fault(
                &section,
                "there are several upstreams and no routes",
                "say with `routes` which path goes where",
            );
        }
        return Vec::new();
    };
    if raw.is_empty() {
        cx.fault(
            &section,
            "the list is empty: every request would be refused",
            "add a route, or leave the key out for one member route `/`",
        );
    }
    let mut routes: Vec<Route> = Vec::new();
    // Where the routes of one path and host stand: only they can tie.
    let mut places: HashMap<_, Vec<usize>> = HashMap::new();
    for (index, raw) in raw.iter().enumerate() {
        let at = section.index(index);
        let Some(route) = route(raw, references, &at, cx) else {
            continue;
        };
        let place = (route.host.clone(), route.path.clone(), route.exact);
        let place = places.entry(place).or_default();
        let mut others = place.iter().filter_map(|index| routes.get(*index));
        if let Some(other) = others.find(|other| overlap(other, &route)) {
            cx.fault(
                &at.key("match"),
                format!(
                    "this route and {} claim the same requests ({})",
                    other.at, route.name
                ),
                "give them different paths or hosts, or disjoint `methods`",
            );
        }
        place.push(routes.len());
        routes.push(route);
    }
    unused(references, cx);
    login_loops(&routes, cx);
    routes
}

fn route(
    raw: &raw::Route,
    references: &References<'_>,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Route> {
    let file = references.file;
    let match_at = at.key("match");
    let path = route_match::path(&raw.matching.path, &match_at.key("path"), cx);
    let host = route_match::host(&raw.matching.host, &match_at.key("host"), cx);
    let methods = route_match::methods(
        raw.matching.methods.as_deref(),
        &match_at.key("methods"),
        cx,
    );
    public_asks_nothing(raw, at, cx);
    who_acts_is_recorded(raw, at, cx);
    for (attribute, values) in &raw.attributes {
        let at = at.key("attributes").key(attribute);
        identity::is_attribute(attribute, &at, cx);
        if matches!(values, raw::Values::Several(values) if values.is_empty()) {
            cx.fault(
                &at,
                "the list is empty: every request would be refused",
                "name the values that pass",
            );
        }
    }
    identity::roles(&raw.roles, &at.key("roles"), cx);
    let upstream = upstream(raw.upstream.as_deref(), file, &at.key("upstream"), cx);
    let credentials = credentials(raw, file, at, cx);
    let accounts = accounts(raw.accounts.as_ref(), references.accounts, at, cx);
    let timeouts = upstream
        .and_then(|index| file.upstreams.get(index))
        .map(|upstream| timeouts(&upstream.timeouts, raw.timeouts.as_ref(), at, cx));
    let login = route_match::login(raw, &at.key("login"), cx);
    let (path, exact) = path?;
    let strip_prefix = route_match::strip_prefix(raw, &path, &at.key("strip_prefix"), cx);
    let host = host?;
    Some(Route {
        at: at.clone(),
        name: route_match::name(&host, &path, exact),
        host,
        path,
        exact,
        methods,
        allow: route_match::allowances(&raw.matching.allow),
        access: match raw.access {
            raw::Access::Member => Access::Member,
            raw::Access::Optional => Access::Optional,
            raw::Access::Public => Access::Public,
        },
        roles: raw.roles.clone(),
        attributes: raw.attributes.iter().map(attribute).collect(),
        credentials,
        upstream: upstream?,
        accounts,
        body_limit: raw
            .limits
            .as_ref()
            .and_then(|limits| limits.body)
            .map(|size| size.0)
            .or(references.body_limit),
        timeouts: timeouts?,
        cache_upstream: raw.cache == raw::Cache::Upstream,
        audit_refusals_alone: raw.audit == raw::RouteAudit::Refusals,
        login,
        strip_prefix,
    })
}

/// A public route knows nobody, so that it can ask nothing of them.
fn public_asks_nothing(raw: &raw::Route, at: &KeyPath, cx: &mut Context<'_>) {
    if raw.access != raw::Access::Public {
        return;
    }
    let asked = [
        ("roles", !raw.roles.is_empty()),
        ("attributes", !raw.attributes.is_empty()),
        ("credentials", raw.credentials.is_some()),
        ("accounts", raw.accounts.is_some()),
        ("login", raw.login.is_some()),
    ];
    for (name, _) in asked.into_iter().filter(|(_, asked)| *asked) {
        cx.fault(
            &at.key(name),
            format!("a public route knows nobody, so that `{name}` has no effect"),
            "write access: member, or remove it",
        );
    }
}

/// Whoever the gateway lets through as somebody is recorded.
fn who_acts_is_recorded(raw: &raw::Route, at: &KeyPath, cx: &mut Context<'_>) {
    if raw.audit == raw::RouteAudit::Refusals && raw.access != raw::Access::Public {
        cx.fault(
            &at.key("audit"),
            "somebody may act here, and who acts is recorded",
            "remove it, or give the paths where nobody acts a public route of their own",
        );
    }
}

fn upstream(
    name: Option<&str>,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<usize> {
    let names: Vec<&str> = file
        .upstreams
        .iter()
        .map(|upstream| upstream.name.as_deref().unwrap_or_default())
        .collect();
    if let Some(name) = name {
        cx.index_of(at, "upstream", name, &names, "upstreams")
    } else {
        if !cx.is_broken("upstreams") {
            let remedy = format!("name one of {}", crate::config::words::listed(&names));
            cx.fault(at, "the route names no upstream", remedy);
        }
        None
    }
}

fn credentials(
    raw: &raw::Route,
    file: &raw::File,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Vec<usize> {
    if raw.access == raw::Access::Public {
        return Vec::new();
    }
    let at = at.key("credentials");
    let indices = match &raw.credentials {
        None => (0..file.credentials.len()).collect(),
        Some(listed) => {
            let names: Vec<&str> = file
                .credentials
                .iter()
                .map(|credential| credential.name.as_deref().unwrap_or_default())
                .collect();
            let mut indices: Vec<usize> = Vec::new();
            for (index, name) in listed.iter().enumerate() {
                let found =
                    cx.index_of(&at.index(index), "credential", name, &names, "credentials");
                indices.extend(found);
            }
            indices.sort_unstable();
            indices.dedup();
            indices
        }
    };
    let none = raw
        .credentials
        .as_ref()
        .map_or(file.credentials.is_empty(), Vec::is_empty);
    if none {
        cx.fault(
            &at,
            "no credential is accepted here, so that nobody could prove anything",
            "name some of `credentials`, or write access: public",
        );
    }
    indices
}

fn accounts(
    raw: Option<&raw::RouteAccounts>,
    section: &Accounts,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Accounts {
    let Some(raw) = raw else {
        return section.clone();
    };
    // Resolved as a section of its own, so that the same rules and warnings hold.
    let own = raw::Accounts {
        on_mismatch: raw.on_mismatch.unwrap_or_default(),
        on_no_account: raw.on_no_account.unwrap_or_default(),
        bypass_roles: raw.bypass_roles.clone().unwrap_or_default(),
    };
    let own = identity::accounts(&own, &at.key("accounts"), cx);
    Accounts {
        on_mismatch: raw
            .on_mismatch
            .map_or(section.on_mismatch, |_| own.on_mismatch),
        allow_no_account: raw
            .on_no_account
            .map_or(section.allow_no_account, |_| own.allow_no_account),
        bypass_roles: raw
            .bypass_roles
            .as_ref()
            .map_or_else(|| section.bypass_roles.clone(), |_| own.bypass_roles),
    }
}

fn timeouts(
    upstream: &raw::Timeouts,
    raw: Option<&raw::RouteTimeouts>,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> UpstreamTimeouts {
    let at = at.key("timeouts");
    let mut pick = |name: &str, own: Option<raw::Duration>, inherited: raw::Duration| match own {
        Some(own) => cx.positive(&at.key(name), own),
        None => inherited.0,
    };
    UpstreamTimeouts {
        connect: pick("connect", raw.and_then(|r| r.connect), upstream.connect),
        response_head: pick(
            "response_head",
            raw.and_then(|r| r.response_head),
            upstream.response_head,
        ),
        body_idle: pick(
            "body_idle",
            raw.and_then(|r| r.body_idle),
            upstream.body_idle,
        ),
        pool_idle: pick(
            "pool_idle",
            raw.and_then(|r| r.pool_idle),
            upstream.pool_idle,
        ),
    }
}

fn attribute((name, values): (&String, &raw::Values)) -> (String, Vec<String>) {
    let values = match values {
        raw::Values::One(value) => vec![value.clone()],
        raw::Values::Several(values) => values.clone(),
    };
    (name.clone(), values)
}

/// Whether one request could belong to both, which have one path and host.
fn overlap(one: &Route, other: &Route) -> bool {
    match (&one.methods, &other.methods) {
        (Some(one), Some(other)) => one.iter().any(|method| other.contains(method)),
        _ => true,
    }
}

/// An upstream that no route names would never be reached.
fn unused(references: &References<'_>, cx: &mut Context<'_>) {
    if cx.is_broken("routes") || cx.is_broken("upstreams") {
        return;
    }
    let routes = references.file.routes.iter().flatten();
    let named: Vec<&str> = routes
        .filter_map(|route| route.upstream.as_deref())
        .collect();
    let upstreams = &references.file.upstreams;
    let known = |name: &&str| {
        upstreams
            .iter()
            .any(|one| one.name.as_deref() == Some(*name))
    };
    if !named.iter().all(known) {
        // The name that leads nowhere may well be meant for this one.
        return;
    }
    for (index, upstream) in upstreams.iter().enumerate() {
        let Some(name) = upstream.name.as_deref() else {
            continue;
        };
        if !named.contains(&name) {
            cx.fault(
                &KeyPath::root().key("upstreams").index(index),
                format!("no route leads to the upstream `{name}`"),
                "name it in a route, or remove it",
            );
        }
    }
}

/// A login page that itself needs a credential sends browsers round in circles.
fn login_loops(routes: &[Route], cx: &mut Context<'_>) {
    // One page serves many routes, as a rule.
    let mut known: HashMap<(&str, &HostMatch), bool> = HashMap::new();
    for route in routes {
        let Some(login) = &route.login else { continue };
        let page = login.split('?').next().unwrap_or(login);
        let page = page.strip_suffix('/').unwrap_or(page);
        let loops = known
            .entry((page, &route.host))
            .or_insert_with(|| needs_credential(routes, page, &route.host));
        if *loops {
            cx.warn(
                &route.at.key("login"),
                "the login page needs a credential itself, so that browsers go round in circles",
                "add a public route for it",
            );
        }
    }
}

/// Whether the route that `page` of this host leads to is for members alone.
fn needs_credential(routes: &[Route], page: &str, host: &HostMatch) -> bool {
    let covers = |other: &&Route| {
        (other.host == HostMatch::Any || other.host == *host)
            && if other.exact {
                other.path == page
            } else {
                paths::covers(&other.path, page)
            }
    };
    let found = routes
        .iter()
        .filter(covers)
        .max_by_key(|other| (other.host == *host, other.path.len(), other.exact));
    found.is_some_and(|found| found.access == Access::Member)
}
