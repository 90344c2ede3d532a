//! `tenants`: how a request's tenant is found.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Id;

/// How a request's tenant is found. Left out: one tenant, `default`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Tenants {
    /// Where a request's tenant is read; every source that speaks must name the same one.
    pub sources: Vec<TenantSource>,
    /// Which tenants exist: any, a list, or a query; others are refused as `tenant_unknown`.
    pub known: KnownTenants,
    /// The tenant where no source speaks; null: such a request is refused.
    pub default: Option<Id>,
}

impl Default for Tenants {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            known: KnownTenants::Any(AnyWord::Any),
            default: None,
        }
    }
}

/// A place where a request's tenant is read.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TenantSource {
    /// A host pattern with one label `{tenant}`.
    Host(#[schemars(example = &"{tenant}.example.com")] String),
    /// A path pattern with one segment `{tenant}`.
    Path(#[schemars(example = &"/t/{tenant}")] String),
    /// A header that the client chooses; it only narrows what the token proves.
    Header(#[schemars(example = &"X-Tenant-Id")] String),
    /// A live look-up of the host in the directory's database.
    Domain(DomainQuery),
    /// The verified tenant claim, or its issuer's only tenant.
    Token(TokenSource),
}

/// A live look-up of the host.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DomainQuery {
    /// SQL with the parameter `$host` and the column `tenant`.
    #[schemars(example = &"SELECT tenant FROM domains WHERE domain = $host")]
    pub query: String,
}

/// The token as a tenant source; it has no settings.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenSource {}

/// Which tenants exist.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum KnownTenants {
    /// Whatever a source names.
    Any(AnyWord),
    /// These alone.
    Listed(Vec<Id>),
    /// The rows of a query in the directory's database.
    Query(TenantQuery),
}

/// The word `any`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AnyWord {
    /// No restriction.
    Any,
}

/// The tenants that a database knows.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TenantQuery {
    /// SQL with the column `tenant`.
    #[schemars(example = &"SELECT schema_name AS tenant FROM tenants")]
    pub query: String,
}
