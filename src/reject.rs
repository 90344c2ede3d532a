//! Rejections: the only table from a reason to a response.
//!
//! A refusal says its reason and nothing else: no claim, no id, no key. It is problem+json (RFC
//! 9457) with a challenge where RFC 6750, section 3 wants one, or a small page for a browser that
//! asks for HTML. Nothing else in the gateway chooses a status for a refusal.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use http::{HeaderValue, Response, StatusCode};

use crate::audit::AuditError;
use crate::auth::Denial;
use crate::credential::CredentialError;
use crate::directory::DirectoryError;
use crate::forward::{BodyFault, ForwardError};
use crate::reason::Reason;
use crate::route::{RouteError, TenantError};
use crate::telemetry::ClockError;
use crate::upstream::UpstreamError;

/// Header names that a script may read on a response from another origin.
pub const EXPOSED: &str = "WWW-Authenticate, X-Auth-Token-Stale, X-Request-Id, Retry-After";

/// A request that is not let through: what the client is told, and what the log is.
#[derive(Debug)]
pub struct Rejection {
    /// The reason.
    pub reason: Reason,
    /// What was wrong, for an operator; never sent to the client.
    pub detail: String,
    /// The methods of a 405.
    pub allow: Option<String>,
    /// Whether the connection cannot be trusted to be in step afterwards.
    pub closes: bool,
    /// The credential whose cookie holds a dead session, to be deleted.
    pub dead_cookie: Option<usize>,
}

impl Rejection {
    /// A rejection for this reason.
    #[must_use]
    pub fn of(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
            allow: None,
            closes: false,
            dead_cookie: None,
        }
    }
}

macro_rules! rejects {
    ($($error:ty),+ $(,)?) => {
        $(impl From<$error> for Rejection {
            fn from(error: $error) -> Self {
                Self::of(error.reason(), error.to_string())
            }
        })+
    };
}

rejects!(
    CredentialError,
    TenantError,
    DirectoryError,
    ForwardError,
    UpstreamError,
    BodyFault
);

impl From<RouteError> for Rejection {
    fn from(error: RouteError) -> Self {
        let mut rejection = Self::of(error.reason(), error.to_string());
        if let RouteError::MethodNotAllowed { allow } = error {
            rejection.allow = Some(allow);
        }
        rejection
    }
}

impl From<Denial> for Rejection {
    fn from(denial: Denial) -> Self {
        let mut rejection = Self::of(denial.reason(), denial.to_string());
        rejection.dead_cookie = match denial {
            Denial::Session(_, credential) => Some(credential),
            _ => None,
        };
        rejection
    }
}

impl From<AuditError> for Rejection {
    fn from(error: AuditError) -> Self {
        Self::of(Reason::Overloaded, error.to_string())
    }
}

impl From<ClockError> for Rejection {
    fn from(error: ClockError) -> Self {
        Self::of(Reason::InternalError, error.to_string())
    }
}

/// What the refused request was like, as far as it shapes the answer.
#[derive(Debug, Clone, Default)]
pub struct Audience {
    /// Whether the client prefers HTML.
    pub wants_html: bool,
    /// The request's `Origin`, if it is one of `cors.origins`.
    pub cors_origin: Option<HeaderValue>,
}

/// The status of a refusal.
#[must_use]
pub const fn status(reason: Reason) -> StatusCode {
    use Reason as R;
    match reason {
        R::AmbiguousRequest | R::MalformedRequest | R::TenantMissing => StatusCode::BAD_REQUEST,
        R::CredentialMissing
        | R::CredentialMalformed
        | R::SignatureInvalid
        | R::KeyUnknown
        | R::AlgorithmNotAllowed
        | R::TokenExpired
        | R::TokenNotYetValid
        | R::IssuerUnknown
        | R::AudienceMismatch
        | R::ClaimMissing
        | R::TokenRevoked
        | R::SessionInvalid
        | R::SessionExpired
        | R::CredentialConflict
        | R::UserUnknown
        | R::AccountMismatch => StatusCode::UNAUTHORIZED,
        R::TenantConflict
        | R::TenantMismatch
        | R::OriginNotAllowed
        | R::CsrfFailed
        | R::UserInactive
        | R::AccountInactive
        | R::AccountMissing
        | R::RoleRequired
        | R::IdentityUnsafe => StatusCode::FORBIDDEN,
        R::NoRoute | R::TenantUnknown => StatusCode::NOT_FOUND,
        R::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        R::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
        R::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        R::UriTooLong => StatusCode::URI_TOO_LONG,
        R::ExpectationFailed => StatusCode::EXPECTATION_FAILED,
        R::HostMismatch => StatusCode::MISDIRECTED_REQUEST,
        R::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        R::HeadersTooLarge => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        R::InternalError => StatusCode::INTERNAL_SERVER_ERROR,
        R::UpstreamUnreachable | R::UpstreamProtocol | R::EchoMismatch => StatusCode::BAD_GATEWAY,
        R::Overloaded | R::Draining | R::KeysUnavailable | R::DirectoryUnavailable => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        R::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        R::LoopDetected => StatusCode::LOOP_DETECTED,
        // Reasons for letting a request through never become a refusal.
        R::Match
        | R::LiveAccount
        | R::AccountFilled
        | R::Member
        | R::Bypass
        | R::Observed
        | R::NoAccount
        | R::OptionalAnonymous
        | R::Public => StatusCode::OK,
    }
}

/// The challenge of a refusal (RFC 6750, section 3): no error code where no credential was sent.
const fn challenge(reason: Reason) -> Option<&'static str> {
    match reason {
        Reason::CredentialMissing => Some("Bearer realm=\"countersign\""),
        Reason::RoleRequired => Some("Bearer realm=\"countersign\", error=\"insufficient_scope\""),
        _ if status(reason).as_u16() == 401 => {
            Some("Bearer realm=\"countersign\", error=\"invalid_token\"")
        }
        _ => None,
    }
}

/// A short, human title.
fn title(reason: Reason) -> String {
    let mut text = reason.code().replace('_', " ");
    if let Some(first) = text.get_mut(0..1) {
        first.make_ascii_uppercase();
    }
    text
}

/// The refusal of a request. `allow` are the methods of a 405 (RFC 9110, section 15.5.6).
#[must_use]
pub fn response(
    reason: Reason,
    request_id: &str,
    audience: &Audience,
    allow: Option<&str>,
) -> Response<Bytes> {
    let status = status(reason);
    let (content_type, body) = if audience.wants_html {
        ("text/html; charset=utf-8", html(reason, status, request_id))
    } else {
        (
            "application/problem+json",
            problem(reason, status, request_id),
        )
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge(reason) {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if status == StatusCode::SERVICE_UNAVAILABLE || status == StatusCode::TOO_MANY_REQUESTS {
        headers.insert(RETRY_AFTER, HeaderValue::from(retry_after(request_id)));
    }
    if let Some(allow) = allow.and_then(|methods| HeaderValue::from_str(methods).ok()) {
        headers.insert(ALLOW, allow);
    }
    if let Some(origin) = &audience.cors_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_CREDENTIALS,
            HeaderValue::from_static("true"),
        );
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(EXPOSED),
        );
        headers.insert(VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// One to three seconds, spread by the request id so that clients do not come back together.
fn retry_after(request_id: &str) -> u64 {
    1 + request_id
        .bytes()
        .fold(0_u64, |sum, byte| sum.wrapping_add(u64::from(byte)))
        % 3
}

fn problem(reason: Reason, status: StatusCode, request_id: &str) -> Vec<u8> {
    let code = reason.code();
    serde_json::json!({
        "type": format!("urn:countersign:reason:{code}"),
        "title": title(reason),
        "status": status.as_u16(),
        "reason": code,
        "request_id": request_id,
    })
    .to_string()
    .into_bytes()
}

fn html(reason: Reason, status: StatusCode, request_id: &str) -> Vec<u8> {
    let (title, code, status) = (title(reason), reason.code(), status.as_u16());
    // A request id is visible ASCII; these three could still open a tag or an entity.
    let id = request_id
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;");
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {title}</title>\
         <style>body{{font:16px/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}}\
         code{{font-size:.9em}}</style></head><body><h1>{title}</h1>\
         <p>The request was not let through: <code>{code}</code> ({status}).</p>\
         <p><small>Request <code>{id}</code></small></p></body></html>\n"
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_an_error_status_and_every_allowance_has_none() {
        for reason in Reason::ALL {
            assert_eq!(status(*reason).is_success(), reason.allows(), "{reason}");
        }
    }

    #[test]
    fn challenges_follow_rfc_6750() {
        let header = |reason| {
            let response = response(reason, "r1", &Audience::default(), None);
            response
                .headers()
                .get(WWW_AUTHENTICATE)
                .map(|v| v.to_str().unwrap().to_owned())
        };
        assert!(
            !header(Reason::CredentialMissing)
                .unwrap()
                .contains("error=")
        );
        assert!(
            header(Reason::AccountMismatch)
                .unwrap()
                .contains("error=\"invalid_token\"")
        );
        assert!(
            header(Reason::RoleRequired)
                .unwrap()
                .contains("error=\"insufficient_scope\"")
        );
        assert_eq!(header(Reason::UserInactive), None);
    }

    #[test]
    fn a_page_for_a_browser_cannot_be_written_by_the_request_id() {
        let audience = Audience {
            wants_html: true,
            cors_origin: None,
        };
        let body = response(Reason::NoRoute, "<script>", &audience, None).into_body();
        assert!(
            !String::from_utf8(body.to_vec())
                .unwrap()
                .contains("<script>")
        );
    }
}
