//! Resolve: the raw shape becomes [`Config`], and every mistake of meaning is collected.
//!
//! One file a section. A resolver records what is wrong in the [`Context`] and goes on; only a run
//! without any fault yields a configuration. It reads files that the configuration names, and
//! opens nothing else.

mod context;
mod credentials;
mod directory;
mod django;
mod fill;
mod headers;
mod identity;
mod issuers;
mod listeners;
mod operation;
mod paths;
mod push;
mod revocations;
mod route_match;
mod routes;
mod sql;
mod tenants;
mod upstreams;
mod urls;

use std::path::Path;

use context::Context;
pub(super) use fill::{ONLY, fill};

use super::raw;
use super::types::{Config, Fault, KeyPath};

/// What resolution yields.
pub(super) struct Resolved {
    /// The configuration, when there is no fault.
    pub(super) config: Option<Config>,
    /// The mistakes.
    pub(super) faults: Vec<Fault>,
    /// What works, but should be known.
    pub(super) warnings: Vec<Fault>,
}

/// Resolves a filled file. `base` is the folder of relative paths; what stands at a `broken` path
/// is not what the user wrote, and is not blamed again.
pub(super) fn resolve(file: &raw::File, base: &Path, broken: &[KeyPath]) -> Resolved {
    let mut cx = Context::new(base, broken);
    let config = sections(file, &mut cx);
    Resolved {
        config: config.filter(|_| cx.faults.is_empty()),
        faults: cx.faults,
        warnings: cx.warnings,
    }
}

fn sections(file: &raw::File, cx: &mut Context<'_>) -> Option<Config> {
    let listeners = listeners::listeners(&file.listeners, cx);
    let admin = listeners::admin(&file.admin, &listeners, cx);
    let tenants = tenants::tenants(file, cx);
    let issuers = issuers::issuers(&file.issuers, &file.directory, &tenants, cx);
    let credentials = credentials::credentials(file, cx);
    let origins = credentials::origins(file, &credentials, cx);
    let cors = credentials::cors(&file.cors, cx);
    let mut directory = directory::directory(&file.directory, &tenants, &credentials, cx);
    let revocations = revocations::revocations(&file.revocations, directory.as_ref(), cx);
    if let Some(directory) = &mut directory {
        revocations::blacklist(&file.revocations, (&issuers, &tenants), directory, cx);
    }
    let accounts = identity::accounts(&file.accounts, &KeyPath::root().key("accounts"), cx);
    let identity = identity::identity(file, &credentials, cx);
    let upstreams = upstreams::upstreams(&file.upstreams, cx);
    let limits = operation::limits(&file.limits, cx);
    let references = routes::References {
        file,
        accounts: &accounts,
        body_limit: limits.body,
    };
    let routes = routes::routes(&references, cx);
    let streams = operation::streams(&file.streams, cx);
    let audit = operation::audit(&file.audit, cx);
    let everything_public = file.routes.as_ref().is_some_and(|routes| {
        routes
            .iter()
            .all(|route| route.access == raw::Access::Public)
    });
    let sessions = file
        .credentials
        .iter()
        .any(|raw| raw.django_session.is_some());
    if file.issuers.is_empty() && !everything_public && !sessions && !cx.is_broken("routes") {
        cx.fault(
            &KeyPath::root().key("issuers"),
            "no issuer is named, so that no credential can be checked",
            "add one, such as `- { secret: \"${JWT_SECRET}\" }`",
        );
    }
    Some(Config {
        workers: listeners::workers(&file.workers),
        listeners,
        admin: admin?,
        tenants,
        issuers,
        credentials,
        conflict: match file.conflict {
            raw::Conflict::Reject => super::types::Conflict::Reject,
            raw::Conflict::PreferFirst => super::types::Conflict::PreferFirst,
        },
        origins,
        cors,
        directory: directory?,
        revocations: revocations?,
        accounts,
        identity: identity?,
        upstreams,
        routes,
        streams,
        limits,
        drain: operation::drain(&file.drain),
        audit,
        telemetry: operation::telemetry(&file.telemetry),
    })
}
