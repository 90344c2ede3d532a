//! The resolved configuration: what the rooms are built from.
//!
//! One file for each part of the raw shape (`raw/`), under the same name. Values here are checked and
//! complete: defaults are filled in, names have become indices, paths are absolute.

mod credentials;
mod directory;
mod django;
mod fault;
mod identity;
mod issuers;
mod listeners;
mod operation;
mod routes;
mod tenants;
mod upstreams;

use std::path::PathBuf;

use crate::telemetry::Redacted;

pub use credentials::*;
pub use directory::*;
pub use django::*;
pub use fault::*;
pub use identity::*;
pub use issuers::*;
pub use listeners::*;
pub use operation::*;
pub use routes::*;
pub use tenants::*;
pub use upstreams::*;

/// The whole configuration. Lists are in the file's order; names have been resolved to indices.
#[derive(Debug, Clone)]
pub struct Config {
    /// Data-path threads; `auto` has become the number of usable cores.
    pub workers: usize,
    /// Data-path listeners; at least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// How a request's tenant is found.
    pub tenants: Tenants,
    /// Who signs tokens; at least one unless every route is public.
    pub issuers: Vec<Issuer>,
    /// Where a request may carry a credential.
    pub credentials: Vec<Credential>,
    /// Two credentials, two identities.
    pub conflict: Conflict,
    /// Who may ride on a cookie.
    pub origins: Origins,
    /// CORS preflights and refusals.
    pub cors: Cors,
    /// The live mapping.
    pub directory: Directory,
    /// Revoked tokens.
    pub revocations: Revocations,
    /// The account policy; routes carry their own resolved copy.
    pub accounts: Accounts,
    /// What the upstream is told.
    pub identity: Identity,
    /// The backends; at least one.
    pub upstreams: Vec<Upstream>,
    /// The routes; at least one.
    pub routes: Vec<Route>,
    /// WebSockets and long streams.
    pub streams: Streams,
    /// Limits of the data path; routes may override `body`.
    pub limits: Limits,
    /// Shutdown.
    pub drain: Drain,
    /// The audit sink.
    pub audit: Audit,
    /// The log.
    pub telemetry: Telemetry,
}

/// A secret text and, where it was named by `{ file: PATH }`, its file.
#[derive(Debug, Clone)]
pub struct Secret {
    /// Where it stands.
    pub at: KeyPath,
    /// The secret: never empty; one trailing newline of a file is removed.
    pub value: Redacted,
    /// The file that it was read from, absolute.
    pub file: Option<PathBuf>,
}
