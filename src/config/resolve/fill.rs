//! Fill: defaults that depend on other sections, written into the raw shape, so that the expanded
//! form shows them and resolution meets a file in which everything is said.

use super::credentials;
use crate::config::raw;

/// The tenant of a file without `tenants`.
const ONLY_TENANT: &str = "default";
/// The name of the only issuer and of the only upstream.
pub(in crate::config) const ONLY: &str = "app";

pub(in crate::config) fn fill(file: &mut raw::File) {
    file.tenants.get_or_insert_with(|| raw::Tenants {
        default: Some(raw::Id(ONLY_TENANT.to_owned())),
        ..raw::Tenants::default()
    });
    if let [only] = file.issuers.as_mut_slice() {
        only.name.get_or_insert_with(|| ONLY.to_owned());
    }
    for issuer in &mut file.issuers {
        if issuer.algorithms.is_none() && issuer.secret.is_some() {
            issuer.algorithms = Some(vec![raw::Algorithm::HS256]);
        }
    }
    if let [only] = file.upstreams.as_mut_slice() {
        only.name.get_or_insert_with(|| ONLY.to_owned());
    }
    for credential in &mut file.credentials {
        if credential.name.is_none() {
            credential.name = Some(credentials::kind(credential).to_owned());
        }
    }
    if let (Some(reissue), [only]) = (&mut file.identity.reissue, file.issuers.as_slice())
        && reissue.issuer.is_none()
    {
        reissue.issuer.clone_from(&only.name);
    }
    if let [only] = file.upstreams.as_slice() {
        let routes = file
            .routes
            .get_or_insert_with(|| vec![member_of_everything()]);
        for route in routes {
            if route.upstream.is_none() {
                route.upstream.clone_from(&only.name);
            }
        }
    }
}

/// The route of a file without `routes`.
fn member_of_everything() -> raw::Route {
    raw::Route {
        matching: raw::RouteMatch {
            host: "*".to_owned(),
            path: "/".to_owned(),
            methods: None,
            allow: Vec::new(),
        },
        access: raw::Access::Member,
        roles: Vec::new(),
        attributes: std::collections::BTreeMap::new(),
        credentials: None,
        upstream: None,
        accounts: None,
        limits: None,
        timeouts: None,
        cache: raw::Cache::Private,
        audit: raw::RouteAudit::All,
        login: None,
        strip_prefix: None,
    }
}
