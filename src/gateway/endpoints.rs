//! What the gateway answers itself on its data listeners: its public keys and its token endpoint.

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode, request};
use serde_json::json;

use super::{Case, Gateway};
use crate::auth::Grant;
use crate::config::JWKS_PATH;
use crate::forward::{ForwardError, reissue_source};
use crate::reason::Reason;
use crate::reject::Rejection;
use crate::route::Matched;
use crate::telemetry::UnixTime;

/// How long the keys may be kept: a new key is shown this long before a verifier must know it.
const JWKS_LIFE: &str = "public, max-age=300";

impl Gateway {
    /// The public keys, at exactly their path on every listener.
    pub(super) fn well_known(
        &self,
        head: &request::Parts,
        case: &mut Case,
    ) -> Option<Response<Bytes>> {
        let asserter = self
            .asserter
            .as_ref()
            .filter(|_| head.uri.path() == JWKS_PATH)?;
        case.early(&head.method, JWKS_PATH);
        let mut response = match head.method {
            Method::GET | Method::HEAD => {
                with_type("application/jwk-set+json", asserter.jwks().to_string())
            }
            _ => {
                let mut refused = Response::new(Bytes::new());
                *refused.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
                refused
                    .headers_mut()
                    .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
                refused
            }
        };
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static(JWKS_LIFE));
        let reason = if response.status().is_success() {
            Reason::Public
        } else {
            Reason::MethodNotAllowed
        };
        self.metrics.decided(reason);
        let line = if reason.allows() {
            case.allowed(reason, response.status(), None)
        } else {
            case.refused(reason, response.status(), "")
        };
        self.audit.offer(&line);
        Some(response)
    }

    /// Whether a request is for the token endpoint, which is a route of the gateway's own.
    pub(super) fn is_token_endpoint(&self, matched: &Matched<'_>) -> bool {
        self.endpoint.is_some() && matched.route.is_endpoint() && matched.preflight.is_none()
    }

    /// A fresh token with the live account, never beyond the old one's expiry (RFC 6749,
    /// section 5.1).
    pub(super) fn token_endpoint(
        &self,
        grant: &Grant,
        now: UnixTime,
    ) -> Result<Response<Bytes>, Rejection> {
        let defect = || {
            Rejection::of(
                Reason::InternalError,
                "the token endpoint has no principal or no reissue",
            )
        };
        let (Some(principal), Some(reissuer)) = (grant.principal(), &self.reissuer) else {
            return Err(defect());
        };
        let (token, expires) = reissuer
            .mint(&reissue_source(principal, true), now)
            .map_err(ForwardError::from)?;
        let body = json!({
            "access_token": token.expose(),
            "token_type": "Bearer",
            "expires_in": expires.since(now).as_secs(),
        });
        let mut response = with_type("application/json", body.to_string());
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Ok(response)
    }
}

fn with_type(content_type: &'static str, body: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
