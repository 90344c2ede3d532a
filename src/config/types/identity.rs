//! `accounts`, `identity`: which account a request acts in, and what the upstream is told.

use std::time::Duration;

use http::HeaderName;

use super::{KeyPath, Secret};

/// Where the public keys of assertions stand, on every listener (RFC 8615).
pub const JWKS_PATH: &str = "/.well-known/countersign/jwks.json";

/// `accounts`, resolved per route.
#[derive(Debug, Clone)]
pub struct Accounts {
    /// The token's account is not the live one.
    pub on_mismatch: OnMismatch,
    /// Whether a user without an account is let through.
    pub allow_no_account: bool,
    /// Live roles that may act in the account their token names.
    pub bypass_roles: Vec<String>,
}

/// `accounts.on_mismatch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMismatch {
    /// Act in the live account, and tell the client that its token is stale.
    UseLive,
    /// Refuse.
    Reject,
    /// Act in the token's account where it is one of the live memberships.
    AllowMember,
    /// Act in the token's account, and record it.
    Observe,
}

/// `identity`.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Where it stands.
    pub at: KeyPath,
    /// The identity headers.
    pub headers: IdentityHeaderNames,
    /// Live attributes and the header of each.
    pub attributes: Vec<(String, HeaderName)>,
    /// The signed assertion.
    pub assertion: Option<Assertion>,
    /// A fresh token in the app's own format.
    pub reissue: Option<Reissue>,
    /// Request header names that are let through though they would be removed, lower-case.
    pub allow: Vec<String>,
    /// What the upstream says about whom it acted as.
    pub echo: Option<Echo>,
}

/// `identity.headers`.
#[derive(Debug, Clone)]
pub struct IdentityHeaderNames {
    /// The user.
    pub user: HeaderName,
    /// The account.
    pub account: HeaderName,
    /// The tenant.
    pub tenant: HeaderName,
    /// The live roles.
    pub roles: HeaderName,
    /// The name of the credential that proved the identity.
    pub credential: HeaderName,
    /// The request id.
    pub request_id: HeaderName,
}

/// `identity.assertion`.
#[derive(Debug, Clone)]
pub struct Assertion {
    /// Where it stands.
    pub at: KeyPath,
    /// Its header.
    pub header: HeaderName,
    /// `iss`.
    pub issuer: String,
    /// `aud`; `None` is the upstream's name.
    pub audience: Option<String>,
    /// The algorithm: an asymmetric one.
    pub algorithm: jsonwebtoken::Algorithm,
    /// PKCS#8 PEM.
    pub private_key: Secret,
    /// Life of an assertion.
    pub ttl: Duration,
}

/// `identity.reissue`.
#[derive(Debug, Clone)]
pub struct Reissue {
    /// Where it stands.
    pub at: KeyPath,
    /// Index of the issuer whose format and key it uses.
    pub issuer: usize,
    /// Life of the fresh token.
    pub ttl: Duration,
    /// Claims where the source is not a token of the same issuer.
    pub claims: serde_json::Map<String, serde_json::Value>,
    /// Whether ids are written as integers.
    pub integer_ids: bool,
    /// Whether the token is also sent as `Authorization: Bearer`.
    pub also_authorization: bool,
    /// The token endpoint's exact path.
    pub endpoint: Option<String>,
}

/// `identity.echo`.
#[derive(Debug, Clone)]
pub struct Echo {
    /// The user header.
    pub user: HeaderName,
    /// The account header.
    pub account: HeaderName,
    /// The tenant header.
    pub tenant: HeaderName,
    /// Whether a response without echo headers is withheld.
    pub block_missing: bool,
    /// Whether a mismatch is withheld (`true`) or only recorded.
    pub block_mismatch: bool,
}
