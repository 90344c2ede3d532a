//! The line: what an auditor reads, field by field.

use std::net::IpAddr;
use std::sync::Arc;

use serde::Serialize;

use crate::ids::{AccountId, TenantId, UserId};
use crate::reason::Reason;

/// What a refused request claimed without proving it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Claimed {
    /// The tenant of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The user of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The account of the token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
}

impl Claimed {
    /// Whether nothing was claimed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tenant.is_none() && self.user.is_none() && self.account.is_none()
    }
}

/// One audit line. Absent values are left out.
#[derive(Debug, Clone, Serialize)]
pub struct Line {
    /// RFC 3339, UTC, milliseconds.
    pub time: String,
    /// The request's id.
    pub request_id: Arc<str>,
    /// `allow`, `deny`, or `stream_closed`.
    pub decision: &'static str,
    /// The reason's code.
    #[serde(serialize_with = "code")]
    pub reason: Reason,
    /// The tenant that the request belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    /// The proven user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// The account acted in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<AccountId>,
    /// The account in the token, as signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_account: Option<AccountId>,
    /// Age of the token, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_age_s: Option<u64>,
    /// Age of the live record, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub live_age_ms: Option<u64>,
    /// Whether a bypass role was used.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub bypass: bool,
    /// Whether the token named another account than the live one.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale: bool,
    /// Whether the credential is older than `audit.warn_age`.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stale_context: bool,
    /// The name of the credential that proved the identity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<Arc<str>>,
    /// The issuer's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<Arc<str>>,
    /// The token's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jti: Option<Arc<str>>,
    /// The hash of the session's key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<Arc<str>>,
    /// What was claimed and not proven.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claimed: Option<Claimed>,
    /// The route's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<Arc<str>>,
    /// The method.
    pub method: String,
    /// The path, without its query.
    pub path: String,
    /// The status that the client got.
    pub status: u16,
    /// The upstream's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<Arc<str>>,
    /// From the request's head to this line, in milliseconds.
    pub duration_ms: u64,
    /// The client's address.
    pub client: IpAddr,
    /// Whom the upstream says it acted as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub acted_as: Option<serde_json::Value>,
    /// What was wrong, for an operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Writes a reason as its code; serde asks for a reference.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde's serialize_with hands out references"
)]
fn code<S: serde::Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.code())
}
