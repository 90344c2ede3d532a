//! `issuers`: who signs tokens, and what their claims say.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::{KeyPath, Secret};
use crate::ids::TenantId;

/// `issuers[]`.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name in this file and in the audit log.
    pub name: Arc<str>,
    /// The required `iss`; `None` matches only tokens without one.
    pub issuer: Option<String>,
    /// Which `aud` it accepts.
    pub audiences: Audiences,
    /// The algorithms it accepts; at least one.
    pub algorithms: Vec<jsonwebtoken::Algorithm>,
    /// Where its keys are.
    pub keys: KeySource,
    /// How a remote key set is refreshed.
    pub jwks: JwksTimes,
    /// Tolerated clock difference.
    pub leeway: Duration,
    /// Largest `exp - iat`.
    pub max_lifetime: Option<Duration>,
    /// Which claims say what.
    pub claims: Claims,
    /// Claims that must stand in the token with just this value.
    pub require: Vec<(ClaimPath, serde_json::Value)>,
    /// Tenants it may speak for; `None` for all.
    pub tenants: Option<Vec<TenantId>>,
    /// The directory look-up that its subject goes through.
    pub lookup: Arc<str>,
}

/// `issuers[].audiences`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Audiences {
    /// The word `any`: `aud` is not looked at beyond its type.
    Any,
    /// Named: a token must have an `aud` that matches one. Empty: a token must have no `aud`.
    Listed(Vec<String>),
}

/// Where an issuer's keys are.
#[derive(Debug, Clone)]
pub enum KeySource {
    /// An HMAC secret.
    Secret(Secret),
    /// A JWKS by URL.
    JwksUrl(String),
    /// OpenID Connect discovery: the issuer's `/.well-known/openid-configuration`.
    DiscoveryUrl(String),
    /// A JWKS file, absolute; re-read when it changes.
    JwksFile(PathBuf),
    /// A PEM public key or certificate, absolute.
    PublicKeyFile(PathBuf),
}

/// `issuers[].jwks`.
#[derive(Debug, Clone, Copy)]
pub struct JwksTimes {
    /// Time between refreshes.
    pub refresh: Duration,
    /// How long the last good set serves when refreshes fail.
    pub max_stale: Duration,
    /// Deadline of one fetch.
    pub timeout: Duration,
}

/// `issuers[].claims`.
#[derive(Debug, Clone)]
pub struct Claims {
    /// The subject of the directory look-up (`sub` when left out).
    pub user: ClaimPath,
    /// The account of login time.
    pub account: Option<ClaimPath>,
    /// The tenant that the token is for.
    pub tenant: Option<ClaimPath>,
    /// When the token was made (`iat` when left out).
    pub issued_at: ClaimPath,
}

/// A claim, by dotted path: `a.b` reaches into an object, unless the token has a claim that is
/// called `a.b` itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClaimPath(pub Arc<str>);
