//! `accounts`, `identity`: which account a request acts in, and what the upstream is told.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Algorithm, Duration, Secret};

/// What happens when the token's account is not the live one.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Accounts {
    /// The token's account is not the live one.
    pub on_mismatch: OnMismatch,
    /// The user belongs to no account.
    pub on_no_account: OnNoAccount,
    /// Live roles that may act in the account their token names; always audited.
    pub bypass_roles: Vec<String>,
}

/// The token's account is not the live one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    /// Act in the live account, and tell the client that its token is stale.
    #[default]
    UseLive,
    /// Refuse.
    Reject,
    /// Act in the token's account where it is one of the live memberships, else refuse.
    AllowMember,
    /// Act in the token's account, as without a gateway, and record it.
    Observe,
}

/// The user belongs to no account.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnNoAccount {
    /// Refuse.
    #[default]
    Reject,
    /// Let through without an account.
    Allow,
}

/// What the upstream is told.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Identity {
    /// Names of the identity headers.
    pub headers: IdentityHeaders,
    /// Live attributes and the header of each.
    #[schemars(extend("examples" = [{ "email": "X-Auth-Email" }]))]
    pub attributes: BTreeMap<String, String>,
    /// A short-lived JWT that carries the principal; left out: none is sent.
    pub assertion: Option<Assertion>,
    /// A fresh token in the app's own format, where `forward: reissue` says so.
    pub reissue: Option<Reissue>,
    /// Request headers that are let through though they would be removed.
    pub allow: Vec<String>,
    /// Response headers in which the upstream says whom it acted as; left out: none.
    pub echo: Option<Echo>,
}

/// Names of the identity headers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct IdentityHeaders {
    /// The user's id.
    pub user: String,
    /// The account's id.
    pub account: String,
    /// The tenant's id.
    pub tenant: String,
    /// The live roles, comma-separated and sorted.
    pub roles: String,
    /// The name of the credential that proved the identity.
    pub credential: String,
    /// The request's id.
    pub request_id: String,
}

impl Default for IdentityHeaders {
    fn default() -> Self {
        Self {
            user: "X-Auth-User-Id".to_owned(),
            account: "X-Auth-Account-Id".to_owned(),
            tenant: "X-Auth-Tenant-Id".to_owned(),
            roles: "X-Auth-Roles".to_owned(),
            credential: "X-Auth-Credential".to_owned(),
            request_id: "X-Request-Id".to_owned(),
        }
    }
}

/// A short-lived JWT that carries the principal.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// Its header.
    #[serde(default = "assertion_header")]
    pub header: String,
    /// Its `iss`.
    #[serde(default = "assertion_issuer")]
    pub issuer: String,
    /// Its `aud`; null: the upstream's name.
    #[serde(default)]
    pub audience: Option<String>,
    /// Its algorithm, an asymmetric one.
    #[serde(default = "assertion_algorithm")]
    pub algorithm: Algorithm,
    /// PKCS#8 PEM private key.
    pub private_key: Secret,
    /// Its life.
    #[serde(default = "minute")]
    pub ttl: Duration,
}

fn assertion_header() -> String {
    "X-Auth-Assertion".to_owned()
}

fn assertion_issuer() -> String {
    "countersign".to_owned()
}

const fn assertion_algorithm() -> Algorithm {
    Algorithm::ES256
}

const fn minute() -> Duration {
    Duration::secs(60)
}

/// A fresh token in the app's own format.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Reissue {
    /// The issuer whose format and secret it uses; may be left out when there is one issuer.
    #[serde(default)]
    #[schemars(example = &"app")]
    pub issuer: Option<String>,
    /// Its longest life.
    #[serde(default = "minute")]
    pub ttl: Duration,
    /// Claims where the caller's credential is not a token of that issuer.
    #[serde(default)]
    pub claims: Map<String, Value>,
    /// How ids are written.
    #[serde(default)]
    pub ids: IdForm,
    /// Where the token is sent besides; null: nowhere.
    #[serde(default)]
    pub also: Option<AlsoAt>,
    /// Exact path of the token endpoint; null: off.
    #[serde(default)]
    #[schemars(example = &"/.well-known/countersign/token")]
    pub endpoint: Option<String>,
}

/// How ids are written into a token.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum IdForm {
    /// As text.
    #[default]
    String,
    /// As whole numbers.
    Integer,
}

/// Where a reissued token is sent besides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlsoAt {
    /// As `Authorization: Bearer`.
    Authorization,
}

/// Response headers in which the upstream says whom it acted as.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Echo {
    /// The user.
    pub user: String,
    /// The account.
    pub account: String,
    /// The tenant.
    pub tenant: String,
    /// A response without these headers.
    pub missing: EchoMissing,
    /// A response in which they name somebody else.
    pub on_mismatch: EchoMismatch,
}

impl Default for Echo {
    fn default() -> Self {
        Self {
            user: "X-Acted-As-User".to_owned(),
            account: "X-Acted-As-Account".to_owned(),
            tenant: "X-Acted-As-Tenant".to_owned(),
            missing: EchoMissing::default(),
            on_mismatch: EchoMismatch::default(),
        }
    }
}

/// A response without echo headers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EchoMissing {
    /// It passes.
    #[default]
    Allow,
    /// It is withheld.
    Block,
}

/// A response whose echo headers name somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EchoMismatch {
    /// It is withheld.
    #[default]
    Block,
    /// It passes and is recorded.
    Observe,
}
