//! `routes`: which requests go where, and who may send them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, OnMismatch, OnNoAccount, Size};

/// A route. The longest prefix of whole segments wins; methods never send a request on to a shorter path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Which requests it covers.
    #[serde(rename = "match")]
    #[schemars(example = serde_json::json!({ "path": "/" }))]
    pub matching: RouteMatch,
    /// Who may use it.
    #[serde(default)]
    pub access: Access,
    /// Live roles, any of which is needed; empty: none.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Live attributes and the values that each may have.
    #[serde(default)]
    #[schemars(extend("examples" = [{ "plan": ["pro"] }]))]
    pub attributes: BTreeMap<String, Values>,
    /// Names of the credentials it accepts; null: all. The others, sessions too, do not reach the upstream.
    #[serde(default)]
    pub credentials: Option<Vec<String>>,
    /// The upstream's name; may be left out when there is one upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(example = &"app")]
    pub upstream: Option<String>,
    /// Overrides the section `accounts`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accounts: Option<RouteAccounts>,
    /// Overrides the section `limits`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<RouteLimits>,
    /// Overrides the upstream's timeouts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// Who decides whether responses may be cached.
    #[serde(default)]
    pub cache: Cache,
    /// Which of its requests have an audit line.
    #[serde(default)]
    pub audit: RouteAudit,
    /// Where a browser without a valid credential is sent, on this site; null: it is refused.
    #[serde(default)]
    #[schemars(example = &"/accounts/login/?next={path}")]
    pub login: Option<String>,
    /// Prefix that is removed before forwarding; null: none.
    #[serde(default)]
    #[schemars(example = &"/api")]
    pub strip_prefix: Option<String>,
}

/// Which requests a route covers.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteMatch {
    /// `*`, a host, or `*.example.com`.
    #[serde(default = "every_host")]
    pub host: String,
    /// A prefix of whole segments; a leading `=` makes it exact.
    #[schemars(example = &"/admin/")]
    pub path: String,
    /// Methods; null: all.
    #[serde(default)]
    #[schemars(extend("examples" = [["GET", "POST"]]))]
    pub methods: Option<Vec<String>>,
    /// Path forms with a second reading that are admitted here.
    #[serde(default)]
    pub allow: Vec<PathForm>,
}

fn every_host() -> String {
    "*".to_owned()
}

/// A path form with a second reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PathForm {
    /// `%2F`.
    EncodedSlash,
    /// `%5C`.
    EncodedBackslash,
    /// `;`.
    Semicolon,
    /// `//`.
    DoubleSlash,
    /// `%25` and two hexadecimal digits.
    DoubleEncoding,
}

/// Who may use a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Needs a credential.
    #[default]
    Member,
    /// Uses a credential where there is one; a bad one is still refused.
    Optional,
    /// Never looks at one.
    Public,
}

/// One value, or a list of them.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Values {
    /// One value.
    One(String),
    /// Any of these.
    Several(Vec<String>),
}

/// A route's own account policy; what is left out is the section's.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteAccounts {
    /// The token's account is not the live one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_mismatch: Option<OnMismatch>,
    /// The user belongs to no account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_no_account: Option<OnNoAccount>,
    /// Live roles that may act in the account their token names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bypass_roles: Option<Vec<String>>,
}

/// A route's own limits.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteLimits {
    /// Largest request body; null: the section's.
    pub body: Option<Size>,
}

/// A route's own deadlines; what is left out is the upstream's.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RouteTimeouts {
    /// Connection and TLS handshake.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Duration>,
    /// From the request to the head of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_head: Option<Duration>,
    /// Between two pieces of a body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub body_idle: Option<Duration>,
    /// Life of an idle connection.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pool_idle: Option<Duration>,
}

/// Who decides whether responses may be cached.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// The gateway: responses that depend on an identity stay private.
    #[default]
    Private,
    /// The upstream, for content that is equal for everyone.
    Upstream,
}

/// Which requests of a route have an audit line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RouteAudit {
    /// All of them.
    #[default]
    All,
    /// Those that the gateway refuses or cannot forward, and WebSockets; for public routes alone.
    Refusals,
}
