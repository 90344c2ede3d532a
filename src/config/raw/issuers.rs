//! `issuers`: who signs tokens, and what their claims say.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AnyWord, Duration, Id, Scalar, Secret};

/// Who signs tokens, with its keys. Exactly one of `secret`, `jwks_url`, `discovery_url`, `jwks_file`, `public_key_file`.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("oneOf" = [
    { "required": ["secret"] },
    { "required": ["jwks_url"] },
    { "required": ["discovery_url"] },
    { "required": ["jwks_file"] },
    { "required": ["public_key_file"] },
]))]
pub struct Issuer {
    /// Its name in this file and in the audit log; may be left out (`app`) when there is one issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `simplejwt`, where it is one of several issuers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<IssuerPreset>,
    /// The `iss` that its tokens must have; null matches only tokens without `iss`.
    pub issuer: Option<String>,
    /// Which `aud` it accepts, or the word any; required with a JWKS or discovery URL.
    pub audiences: Audiences,
    /// Signature algorithms it accepts; HS256 when left out beside a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub algorithms: Option<Vec<Algorithm>>,
    /// HMAC secret, at least as long as the hash: 32 bytes for HS256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<Secret>,
    /// URL of its JSON Web Key Set.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://id.example.com/jwks.json")]
    pub jwks_url: Option<String>,
    /// URL under which `/.well-known/openid-configuration` stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"https://id.example.com")]
    pub discovery_url: Option<String>,
    /// File with its JSON Web Key Set; re-read when it changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"jwks.json")]
    pub jwks_file: Option<String>,
    /// PEM file with its public key or certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"issuer.pem")]
    pub public_key_file: Option<String>,
    /// How a remote key set is refreshed.
    pub jwks: Jwks,
    /// Tolerated difference of clocks.
    pub leeway: Duration,
    /// Longest life (`exp` less `iat`) of a token; null: not limited. `exp` is always required.
    pub max_lifetime: Option<Duration>,
    /// Which claims say what; dotted paths reach into objects.
    pub claims: Claims,
    /// Claims that a token must have with just this value.
    pub require: BTreeMap<String, Scalar>,
    /// Tenants it may speak for; null: all.
    pub tenants: Option<Vec<Id>>,
    /// The directory look-up that its subject goes through.
    pub lookup: String,
}

impl Default for Issuer {
    fn default() -> Self {
        Self {
            name: None,
            preset: None,
            issuer: None,
            audiences: Audiences::Listed(Vec::new()),
            algorithms: None,
            secret: None,
            jwks_url: None,
            discovery_url: None,
            jwks_file: None,
            public_key_file: None,
            jwks: Jwks::default(),
            leeway: Duration::secs(30),
            max_lifetime: None,
            claims: Claims::default(),
            require: BTreeMap::new(),
            tenants: None,
            lookup: "default".to_owned(),
        }
    }
}

/// What the tokens of a kind have in common.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IssuerPreset {
    /// Access tokens of SimpleJWT.
    Simplejwt,
}

/// Which `aud` is accepted.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Audiences {
    /// The word any.
    Any(AnyWord),
    /// A token with `aud` must match one of these.
    Listed(Vec<String>),
}

/// A signature algorithm (RFC 7518, RFC 8037).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names are the registered ones")]
pub enum Algorithm {
    HS256,
    HS384,
    HS512,
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    #[serde(rename = "EdDSA")]
    EdDsa,
}

impl From<Algorithm> for jsonwebtoken::Algorithm {
    fn from(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::HS256 => Self::HS256,
            Algorithm::HS384 => Self::HS384,
            Algorithm::HS512 => Self::HS512,
            Algorithm::RS256 => Self::RS256,
            Algorithm::RS384 => Self::RS384,
            Algorithm::RS512 => Self::RS512,
            Algorithm::PS256 => Self::PS256,
            Algorithm::PS384 => Self::PS384,
            Algorithm::PS512 => Self::PS512,
            Algorithm::ES256 => Self::ES256,
            Algorithm::ES384 => Self::ES384,
            Algorithm::EdDsa => Self::EdDSA,
        }
    }
}

/// How a remote key set is refreshed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Jwks {
    /// Time between refreshes.
    pub refresh: Duration,
    /// How long the last good set serves while refreshes fail.
    pub max_stale: Duration,
    /// Deadline of one fetch.
    pub timeout: Duration,
}

impl Default for Jwks {
    fn default() -> Self {
        Self {
            refresh: Duration::secs(600),
            max_stale: Duration::secs(86_400),
            timeout: Duration::secs(5),
        }
    }
}

/// Which claims say what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Claims {
    /// The user.
    pub user: String,
    /// The account of login time; null: tokens name none.
    pub account: Option<String>,
    /// The tenant that the token is for; null: tokens name none.
    pub tenant: Option<String>,
    /// When the token was made.
    pub issued_at: String,
}

impl Default for Claims {
    fn default() -> Self {
        Self {
            user: "sub".to_owned(),
            account: None,
            tenant: None,
            issued_at: "iat".to_owned(),
        }
    }
}
