//! `tenants`: how a request's tenant is found.

use std::sync::Arc;

use http::HeaderName;

use super::KeyPath;
use crate::ids::TenantId;

/// `tenants`.
#[derive(Debug, Clone)]
pub struct Tenants {
    /// Where it stands.
    pub at: KeyPath,
    /// Where a request's tenant is read.
    pub sources: Vec<TenantSource>,
    /// Which tenants exist.
    pub known: KnownTenants,
    /// The tenant where no source speaks.
    pub default: Option<TenantId>,
    /// Whether requests can name several tenants; then a token must say which one it is for.
    pub several: bool,
}

impl Tenants {
    /// The headers among the sources.
    pub fn headers(&self) -> impl Iterator<Item = &HeaderName> {
        self.sources.iter().filter_map(|source| match source {
            TenantSource::Header(name) => Some(name),
            _ => None,
        })
    }
}

/// `tenants.sources[]`.
#[derive(Debug, Clone)]
pub enum TenantSource {
    /// A host pattern: the label between `prefix` and `suffix`, both lower-case.
    Host {
        /// What stands before `{tenant}`.
        prefix: String,
        /// What stands after `{tenant}`.
        suffix: String,
    },
    /// A path pattern: the segment after `prefix` (`/t/`), then `suffix` (empty, or `/…`).
    Path {
        /// What stands before `{tenant}`.
        prefix: String,
        /// What stands after `{tenant}`, covering whole segments.
        suffix: String,
    },
    /// A header that the client chooses; it only narrows what the token proves.
    Header(HeaderName),
    /// A live look-up of the host in the directory's database.
    Domain {
        /// The query, as written, with `$host`.
        query: Arc<str>,
    },
    /// The verified tenant claim, or its issuer's only tenant.
    Token,
}

/// `tenants.known`.
#[derive(Debug, Clone)]
pub enum KnownTenants {
    /// Whatever a source names.
    Any,
    /// These alone.
    Listed(Vec<TenantId>),
    /// The rows of this query in the directory's database (column `tenant`).
    Query(Arc<str>),
}
