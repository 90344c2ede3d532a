//! The line: what an auditor reads, field by field.

use std::net::IpAddr;
use std::sync::Arc;

use http::Method;
use smol_str::SmolStr;

use super::json::{Object, key};
use crate::auth::VerifiedCredential;
use crate::ids::{AccountId, TenantId, UserId};
use crate::reason::Reason;
use crate::telemetry::UnixTime;
use crate::wire::{CanonicalPath, RequestId, push_address};

/// Longest path in an audit line, in bytes.
const PATH: usize = 2048;

/// What a refused request claimed without proving it.
#[derive(Debug, Clone, Default)]
pub struct Claimed {
    /// The tenant of the token.
    pub tenant: Option<TenantId>,
    /// The user of the token.
    pub user: Option<UserId>,
    /// The account of the token.
    pub account: Option<AccountId>,
}

impl Claimed {
    /// Whether nothing was claimed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.tenant.is_none() && self.user.is_none() && self.account.is_none()
    }

    fn write(&self, out: &mut Vec<u8>) {
        let mut claimed = Object::begin(out);
        claimed.maybe(key!("tenant"), self.tenant.as_ref().map(TenantId::as_str));
        claimed.maybe(key!("user"), self.user.as_ref().map(UserId::as_str));
        claimed.maybe(
            key!("account"),
            self.account.as_ref().map(AccountId::as_str),
        );
        claimed.end();
    }
}

/// One audit line. Absent values are left out.
#[derive(Debug, Clone)]
pub struct Line {
    /// RFC 3339, UTC, milliseconds.
    pub time: UnixTime,
    /// The request's id.
    pub request_id: RequestId,
    /// `allow`, `deny`, or `stream_closed`.
    pub decision: &'static str,
    /// The reason's code.
    pub reason: Reason,
    /// The tenant that the request belongs to.
    pub tenant: Option<TenantId>,
    /// The proven user.
    pub user: Option<UserId>,
    /// The account acted in.
    pub account: Option<AccountId>,
    /// Age of the token, in seconds.
    pub token_age_s: Option<u64>,
    /// Age of the live record, in milliseconds.
    pub live_age_ms: Option<u64>,
    /// Whether a bypass role was used.
    pub bypass: bool,
    /// Whether the token named another account than the live one.
    pub stale: bool,
    /// Whether the credential is older than `audit.warn_age`.
    pub stale_context: bool,
    /// The credential that proved the identity: its name, its issuer, its id and the account in it.
    pub verified: Option<Arc<VerifiedCredential>>,
    /// The hash of the session's key.
    pub session: Option<Arc<str>>,
    /// What was claimed and not proven.
    pub claimed: Option<Claimed>,
    /// The route's name.
    pub route: Option<SmolStr>,
    /// The method.
    pub method: Method,
    /// The path, without its query.
    pub path: LinePath,
    /// The status that the client got.
    pub status: u16,
    /// The upstream's name.
    pub upstream: Option<SmolStr>,
    /// From the request's head to this line, in milliseconds.
    pub duration_ms: u64,
    /// The client's address.
    pub client: IpAddr,
    /// Whom the upstream says it acted as.
    pub acted_as: Option<serde_json::Value>,
    /// What was wrong, for an operator.
    pub detail: Option<String>,
}

/// A path as an audit line shows it, cut to 2048 bytes.
#[derive(Debug, Clone)]
pub enum LinePath {
    /// That of a request that was read.
    Read(CanonicalPath),
    /// That of one that was not.
    Shown(String),
}

impl LinePath {
    fn as_str(&self) -> &str {
        let path = match self {
            Self::Read(path) => path.as_str(),
            Self::Shown(path) => path,
        };
        let mut end = path.len().min(PATH);
        while !path.is_char_boundary(end) {
            end -= 1;
        }
        path.get(..end).unwrap_or_default()
    }
}

impl Line {
    /// Appends the line as one JSON object, with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        let verified = self.verified.as_deref();
        let token = verified.and_then(VerifiedCredential::token);
        let mut line = Object::begin(out);
        line.text_by(key!("time"), |out| self.time.push_rfc3339(out));
        line.plain(key!("request_id"), self.request_id.as_str());
        line.plain(key!("decision"), self.decision);
        line.plain(key!("reason"), self.reason.code());
        line.maybe(key!("tenant"), self.tenant.as_ref().map(TenantId::as_str));
        line.maybe(key!("user"), self.user.as_ref().map(UserId::as_str));
        line.maybe(
            key!("account"),
            self.account.as_ref().map(AccountId::as_str),
        );
        line.maybe(
            key!("token_account"),
            token
                .and_then(|token| token.account())
                .map(AccountId::as_str),
        );
        if let Some(age) = self.token_age_s {
            line.number(key!("token_age_s"), age);
        }
        if let Some(age) = self.live_age_ms {
            line.number(key!("live_age_ms"), age);
        }
        line.flag(key!("bypass"), self.bypass);
        line.flag(key!("stale"), self.stale);
        line.flag(key!("stale_context"), self.stale_context);
        line.maybe(
            key!("credential"),
            verified.map(|verified| &**verified.name()),
        );
        line.maybe(key!("issuer"), token.map(|token| &**token.issuer_name()));
        line.maybe(key!("jti"), token.and_then(|token| token.jti()));
        line.maybe(key!("session"), self.session.as_deref());
        if let Some(claimed) = &self.claimed {
            line.value(key!("claimed"), |out| claimed.write(out));
        }
        line.maybe(key!("route"), self.route.as_deref());
        line.plain(key!("method"), self.method.as_str());
        line.text(key!("path"), self.path.as_str());
        line.number(key!("status"), u64::from(self.status));
        line.maybe(key!("upstream"), self.upstream.as_deref());
        line.number(key!("duration_ms"), self.duration_ms);
        line.text_by(key!("client"), |out| push_address(out, self.client));
        if let Some(acted_as) = &self.acted_as {
            line.value(key!("acted_as"), |out| {
                out.extend_from_slice(acted_as.to_string().as_bytes());
            });
        }
        line.maybe(key!("detail"), self.detail.as_deref());
        line.end();
        out.push(b'\n');
    }
}
