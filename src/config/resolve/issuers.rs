//! `issuers`: the key's kind and the algorithms must fit, and nothing may be trusted by accident.

use std::collections::HashSet;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::urls::HttpUrl;
use super::{Context, tenants};
use crate::config::raw;
use crate::config::types::{
    Audiences, ClaimPath, Claims, Issuer, JwksTimes, KeyPath, KeySource, KnownTenants, Tenants,
};
use crate::ids::TenantId;

pub(super) fn issuers(
    raw: &[raw::Issuer],
    directory: &raw::Directory,
    tenants: &Tenants,
    cx: &mut Context<'_>,
) -> Vec<Issuer> {
    let section = KeyPath::root().key("issuers");
    let at = |index: usize| section.index(index);
    let mut resolved = Vec::new();
    for (index, one) in raw.iter().enumerate() {
        if one.name.is_none() {
            cx.fault(
                &at(index),
                "the issuer has no name",
                "add `name:`; with several issuers each needs one",
            );
        }
        resolved.extend(issuer(one, &at(index), directory, tenants, cx));
    }
    cx.distinct_names(
        "issuer",
        raw.iter().enumerate().filter_map(|(index, one)| {
            let name = one.name.as_deref()?;
            Some((at(index).key("name"), name))
        }),
    );
    for (index, one) in raw.iter().enumerate() {
        let earlier = raw.iter().take(index);
        if earlier.into_iter().any(|other| other.issuer == one.issuer) {
            let problem = match &one.issuer {
                Some(iss) => format!("another issuer already has the `iss` `{iss}`"),
                None => "two issuers accept tokens without `iss`".to_owned(),
            };
            cx.fault(
                &at(index).key("issuer"),
                problem,
                "a token must lead to one issuer: give each its own `issuer`",
            );
        }
    }
    resolved
}

fn issuer(
    raw: &raw::Issuer,
    at: &KeyPath,
    directory: &raw::Directory,
    tenants: &Tenants,
    cx: &mut Context<'_>,
) -> Option<Issuer> {
    if raw.issuer.as_deref() == Some("") {
        cx.fault(
            &at.key("issuer"),
            "the `iss` is empty",
            "write null for tokens without `iss`",
        );
    }
    let algorithms = algorithms(raw, at, cx);
    let keys = keys(raw, &algorithms, at, cx);
    let audiences = audiences(raw, at, cx);
    let claims = claims(&raw.claims, &at.key("claims"), cx);
    let bound = bound_tenants(raw, tenants, &at.key("tenants"), cx);
    lookup(&raw.lookup, directory, &at.key("lookup"), cx);
    let jwks_at = at.key("jwks");
    let jwks = JwksTimes {
        refresh: cx.positive(&jwks_at.key("refresh"), raw.jwks.refresh),
        max_stale: raw.jwks.max_stale.0,
        timeout: cx.positive(&jwks_at.key("timeout"), raw.jwks.timeout),
    };
    let max_lifetime = raw
        .max_lifetime
        .map(|life| cx.positive(&at.key("max_lifetime"), life));
    let mut require = Vec::new();
    for (name, value) in &raw.require {
        let path = claim(name, &at.key("require"), cx);
        require.extend(path.map(|path| (path, value.0.clone())));
    }
    Some(Issuer {
        at: at.clone(),
        name: Arc::from(raw.name.as_deref().unwrap_or_default()),
        issuer: raw.issuer.clone(),
        audiences,
        algorithms,
        keys: keys?,
        jwks,
        leeway: raw.leeway.0,
        max_lifetime,
        claims: claims?,
        require,
        tenants: bound,
        lookup: Arc::from(raw.lookup.as_str()),
    })
}

fn algorithms(raw: &raw::Issuer, at: &KeyPath, cx: &mut Context<'_>) -> Vec<Algorithm> {
    let at = at.key("algorithms");
    let mut algorithms: Vec<Algorithm> = Vec::new();
    for (index, one) in raw.algorithms.iter().flatten().enumerate() {
        let one = Algorithm::from(*one);
        if algorithms.contains(&one) {
            cx.fault(
                &at.index(index),
                format!("{one:?} stands twice"),
                "keep one of them",
            );
        } else {
            algorithms.push(one);
        }
    }
    if algorithms.is_empty() {
        if raw.algorithms.is_none() && raw.secret.is_some() {
            return vec![Algorithm::HS256];
        }
        cx.fault(
            &at,
            "no algorithm is named",
            "write those that the issuer signs with, such as [RS256] or [ES256]",
        );
    }
    algorithms
}

/// What keys an issuer has, and whether each algorithm fits them.
fn keys(
    raw: &raw::Issuer,
    algorithms: &[Algorithm],
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<KeySource> {
    let algorithms_at = at.key("algorithms");
    let hmac = |one: &&Algorithm| one.family() == AlgorithmFamily::Hmac;
    let symmetric: Vec<&Algorithm> = algorithms.iter().filter(hmac).collect();
    if !symmetric.is_empty() && symmetric.len() < algorithms.len() {
        cx.fault(
            &algorithms_at,
            "HMAC and public-key algorithms are mixed, so that a public key could pass for a secret",
            "keep one family; make a second issuer for the other",
        );
    } else if raw.secret.is_some() {
        for one in algorithms.iter().filter(|one| !hmac(one)) {
            cx.fault(
                &algorithms_at,
                format!("{one:?} does not fit a secret"),
                "use HS256, HS384 or HS512, or name a public key",
            );
        }
    } else if let Some(one) = symmetric.first() {
        cx.fault(
            &algorithms_at,
            format!("{one:?} needs a `secret`, but this issuer has public keys"),
            "use the algorithm of the key, such as RS256, ES256 or EdDSA",
        );
    }
    if let Some(secret) = &raw.secret {
        let at = at.key("secret");
        let secret = cx.secret(&at, secret)?;
        long_enough(secret.value.expose().len(), algorithms, &at, cx);
        return Some(KeySource::Secret(secret));
    }
    if let Some(url) = &raw.jwks_url {
        return remote(url, &at.key("jwks_url"), cx).map(KeySource::JwksUrl);
    }
    if let Some(url) = &raw.discovery_url {
        let at_url = at.key("discovery_url");
        if raw.issuer.is_none() {
            cx.fault(
                &at_url,
                "discovery needs to know the `iss` that it must answer",
                "set `issuer` to the exact `iss` of its tokens",
            );
        }
        return remote(url, &at_url, cx).map(KeySource::DiscoveryUrl);
    }
    if let Some(path) = &raw.jwks_file {
        return cx.file(&at.key("jwks_file"), path).map(KeySource::JwksFile);
    }
    let path = raw.public_key_file.as_ref()?;
    let mut families: Vec<AlgorithmFamily> = Vec::new();
    for one in algorithms {
        if !families.contains(&one.family()) {
            families.push(one.family());
        }
    }
    if families.len() > 1 && symmetric.is_empty() {
        cx.fault(
            &algorithms_at,
            "one public key cannot have algorithms of several families",
            "keep those of the key: RS and PS for RSA, ES for elliptic curves, EdDSA for Ed25519",
        );
    }
    cx.file(&at.key("public_key_file"), path)
        .map(KeySource::PublicKeyFile)
}

/// An HMAC secret is at least as long as the hash (RFC 7518, section 3.2).
fn long_enough(length: usize, algorithms: &[Algorithm], at: &KeyPath, cx: &mut Context<'_>) {
    let needed = |one: &Algorithm| match one {
        Algorithm::HS256 => Some((32, "HS256")),
        Algorithm::HS384 => Some((48, "HS384")),
        Algorithm::HS512 => Some((64, "HS512")),
        _ => None,
    };
    if let Some((bytes, name)) = algorithms.iter().filter_map(needed).max()
        && length < bytes
    {
        cx.fault(
            at,
            format!("the secret has {length} bytes, but {name} needs at least {bytes}"),
            format!("make one with: openssl rand -base64 {bytes}"),
        );
    }
}

fn remote(url: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<String> {
    match HttpUrl::parse(url) {
        Ok(parsed) if !parsed.tls && !parsed.is_loopback() => {
            cx.fault(
                at,
                "keys would come over plain http, where anyone on the way can replace them",
                "use https",
            );
            None
        }
        Ok(_) => Some(url.to_owned()),
        Err(problem) => {
            cx.fault(
                at,
                format!("this is not a URL to fetch keys from: {problem}"),
                "write https://host/path",
            );
            None
        }
    }
}

fn audiences(raw: &raw::Issuer, at: &KeyPath, cx: &mut Context<'_>) -> Audiences {
    let at = at.key("audiences");
    match &raw.audiences {
        raw::Audiences::Any(_) => Audiences::Any,
        raw::Audiences::Listed(listed) => {
            if listed.iter().any(String::is_empty) {
                cx.fault(&at, "an audience is empty", "remove it");
            }
            let shared = raw.jwks_url.is_some() || raw.discovery_url.is_some();
            if listed.is_empty() && shared {
                cx.fault(
                    &at,
                    "an issuer whose keys come from a URL signs for others too, but no audience is named",
                    "name the `aud` of your own tokens, or write any",
                );
            }
            Audiences::Listed(listed.clone())
        }
    }
}

fn claims(raw: &raw::Claims, at: &KeyPath, cx: &mut Context<'_>) -> Option<Claims> {
    let mut optional = |name: &str, path: &Option<String>| match path {
        Some(path) => claim(path, &at.key(name), cx).map(Some),
        None => Some(None),
    };
    let account = optional("account", &raw.account);
    let tenant = optional("tenant", &raw.tenant);
    let user = claim(&raw.user, &at.key("user"), cx);
    let issued_at = claim(&raw.issued_at, &at.key("issued_at"), cx);
    Some(Claims {
        user: user?,
        account: account?,
        tenant: tenant?,
        issued_at: issued_at?,
    })
}

fn claim(path: &str, at: &KeyPath, cx: &mut Context<'_>) -> Option<ClaimPath> {
    if path.is_empty() || path.split('.').any(str::is_empty) {
        cx.fault(
            at,
            format!("`{path}` is not the name of a claim"),
            "write a name, or a dotted path into an object: app.user_id",
        );
        return None;
    }
    Some(ClaimPath(Arc::from(path)))
}

fn bound_tenants(
    raw: &raw::Issuer,
    tenants: &Tenants,
    at: &KeyPath,
    cx: &mut Context<'_>,
) -> Option<Vec<TenantId>> {
    let listed = raw.tenants.as_ref()?;
    if listed.is_empty() {
        cx.fault(
            at,
            "the list is empty: the issuer may speak for no tenant",
            "name its tenants, or write null for all",
        );
    }
    let known: Option<HashSet<&TenantId>> = match &tenants.known {
        KnownTenants::Listed(known) => Some(known.iter().collect()),
        KnownTenants::Any if tenants.sources.is_empty() => {
            tenants.default.as_ref().map(|only| HashSet::from([only]))
        }
        _ => None,
    };
    let mut bound = Vec::new();
    for (index, id) in listed.iter().enumerate() {
        let at = at.index(index);
        let Some(id) = tenants::tenant(id, &at, cx) else {
            continue;
        };
        if let Some(known) = &known
            && !known.contains(&id)
        {
            let mut names: Vec<&str> = known.iter().map(|known| known.as_str()).collect();
            names.sort_unstable();
            cx.index_of(&at, "tenant", id.as_str(), &names, "tenants");
        }
        bound.push(id);
    }
    Some(bound)
}

pub(super) fn lookup(name: &str, directory: &raw::Directory, at: &KeyPath, cx: &mut Context<'_>) {
    let names: Vec<&str> = match &directory.source {
        raw::DirectorySource::Sqlite(source) => source.lookups.keys().map(String::as_str).collect(),
        raw::DirectorySource::Postgres(source) => {
            source.lookups.keys().map(String::as_str).collect()
        }
        raw::DirectorySource::Mysql(source) => source.lookups.keys().map(String::as_str).collect(),
        raw::DirectorySource::File(_) | raw::DirectorySource::Http(_) => vec!["default"],
    };
    // A source without any look-up is a mistake of its own.
    if !names.is_empty() {
        cx.index_of(at, "directory lookup", name, &names, "directory");
    }
}
