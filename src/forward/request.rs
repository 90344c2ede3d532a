//! A request on its way: sanitised, then granted, then written for its upstream.
//!
//! The fields are private to this file: it alone makes a [`SanitizedRequest`], and it alone makes a
//! [`ForwardRequest`] of one. Nothing strips after identity is written.

use bytes::Bytes;
use http::header::{CONNECTION, COOKIE, HOST, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, Version, request};

use super::body::{self, RequestBody};
use super::hop::{self, Towards};
use super::minted::Minted;
use super::places::{self, Places};
use super::{ForwardError, Forwarder, trail};
use crate::auth::Grant;
use crate::config::UpstreamTimeouts;
use crate::credential::Presented;
use crate::ids::{TenantId, UserId};
use crate::telemetry::UnixTime;
use crate::wire::{ConnectionInfo, Cookies, RawParts, RawRequest, Seen};

/// Headers that are added to most requests: the trail, the identity, the assertion.
const ADDED: usize = 16;

/// A request without anything that the client may not say. No identity can be in it yet.
pub struct SanitizedRequest {
    /// As it was read, but for its headers: what the client sent of them has been sanitised, the trail
    /// added.
    raw: Box<RawParts>,
    /// Whether the client takes trailers, which gRPC servers ask for.
    trailers: bool,
    body: RequestBody,
}

/// Without headers and query, which hold secrets.
impl std::fmt::Debug for SanitizedRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (method, path) = (&self.raw.method, self.raw.path.as_str());
        write!(f, "SanitizedRequest({method} {path})")
    }
}

/// A request that has been sanitised and granted: the only thing an upstream can be sent.
#[derive(Debug)]
pub struct ForwardRequest {
    /// Boxed: it is handed on from room to room.
    parts: Box<ForwardParts>,
}

/// What [`ForwardRequest`] holds, for the room that sends it.
#[derive(Debug)]
pub struct ForwardParts {
    /// Method, origin-form target and final headers.
    pub head: request::Parts,
    /// The body.
    pub body: RequestBody,
    /// Index of the upstream.
    pub upstream: usize,
    /// Tenant and user, where somebody acts.
    pub acting: Option<(TenantId, UserId)>,
    /// The route's deadlines.
    pub timeouts: UpstreamTimeouts,
    /// Whether it is a WebSocket handshake.
    pub websocket: bool,
    /// The request id's header.
    pub request_id: (HeaderName, HeaderValue),
}

impl Forwarder {
    /// Takes everything away that the client may not say, and rebuilds the forwarding fields.
    #[must_use]
    pub fn sanitize(
        &self,
        raw: RawRequest,
        body: RequestBody,
        connection: &ConnectionInfo,
    ) -> SanitizedRequest {
        let mut raw = raw.into_parts();
        let mut headers = std::mem::take(&mut raw.headers);
        let seen = raw.seen;
        let trailers = seen.has(Seen::TE) && hop::takes_trailers(&headers);
        hop::strip(&mut headers, seen, &self.names, Towards::Upstream);
        self.names.strip(&mut headers);
        // Room for what is added here and by `authorize`, at once.
        headers.reserve(ADDED);
        trail::write(
            &mut headers,
            &raw,
            &connection.memo,
            &self.identity.headers.request_id,
        );
        raw.headers = headers;
        SanitizedRequest {
            raw,
            trailers,
            body,
        }
    }
}

impl SanitizedRequest {
    /// The headers that are left, and those that have been rebuilt; the identity's are not there
    /// yet.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.raw.headers
    }

    /// Writes what the grant says: credentials, identity, assertion, target and framing.
    pub fn authorize(
        self,
        grant: &Grant,
        presented: &Presented,
        forwarder: &Forwarder,
        minted: &Minted,
        now: UnixTime,
    ) -> Result<ForwardRequest, ForwardError> {
        let Self {
            mut raw,
            trailers,
            body,
        } = self;
        let mut headers = std::mem::take(&mut raw.headers);
        let route = grant.route().config();
        let upstream = forwarder
            .upstreams
            .get(route.upstream)
            .ok_or(ForwardError::Target)?;
        let fresh = match grant.principal() {
            Some(principal) => forwarder.reissue(principal, presented, minted, now)?,
            None => None,
        };
        let mut places = Places {
            headers: &mut headers,
            cookies: &raw.cookies,
            query: &mut raw.query,
            protocols: raw
                .websocket
                .as_ref()
                .map(|handshake| handshake.protocols.as_slice()),
        };
        places::rewrite_all(&mut places, &forwarder.credentials, |index| {
            forwarder.fate(index, grant, presented, fresh.as_deref())
        })?;
        if let Some(principal) = grant.principal() {
            forwarder.keep_only_proven_authorization(
                &mut headers,
                grant,
                principal,
                fresh.as_deref(),
            )?;
            let fields = forwarder.identify(principal, route.upstream, minted, now)?;
            for (name, value) in fields.iter() {
                headers.insert(name, value.clone());
            }
        }
        if trailers && upstream.multiplexed {
            headers.insert(http::header::TE, HeaderValue::from_static("trailers"));
        }
        if let Some(host) = &upstream.host {
            headers.insert(HOST, host.clone());
        }
        if raw.websocket.is_some() {
            headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        } else if raw.seen.has(Seen::SEC_WEBSOCKET_PROTOCOL) {
            headers.remove(SEC_WEBSOCKET_PROTOCOL);
        }
        body::frame(&mut headers, raw.seen, &raw.method, &body, Version::HTTP_11);
        let (strip, query) = (route.strip_prefix.as_deref(), raw.query.as_deref());
        let as_sent = raw.path.as_sent(query).filter(|_| strip.is_none());
        let uri = match as_sent {
            Some(target) => Uri::from(target.clone()),
            None => Uri::from_maybe_shared(Bytes::from(target(raw.path.as_str(), strip, query)))
                .map_err(|_| ForwardError::Target)?,
        };
        let mut head = http::Request::new(()).into_parts().0;
        head.method = raw.method;
        head.uri = uri;
        head.version = Version::HTTP_11;
        head.headers = headers;
        let request_id = (
            forwarder.identity.headers.request_id.clone(),
            raw.request_id.header_value(),
        );
        let acting = grant
            .principal()
            .map(|principal| (principal.tenant().clone(), principal.user().clone()));
        Ok(ForwardRequest {
            parts: Box::new(ForwardParts {
                head,
                body,
                upstream: route.upstream,
                acting,
                timeouts: route.timeouts,
                websocket: raw.websocket.is_some(),
                request_id,
            }),
        })
    }

    /// A preflight carries no credential of any kind, configured or not.
    #[must_use]
    pub fn without_credentials(mut self) -> Self {
        self.raw.headers.remove(http::header::AUTHORIZATION);
        self.raw.headers.remove(COOKIE);
        self.raw.cookies = Cookies::default();
        self
    }
}

impl ForwardRequest {
    /// The head, as it will be sent.
    #[must_use]
    pub const fn head(&self) -> &request::Parts {
        &self.parts.head
    }

    /// Whether it is a WebSocket handshake.
    #[must_use]
    pub const fn is_websocket(&self) -> bool {
        self.parts.websocket
    }

    /// Gives everything to the room that sends it.
    #[must_use]
    pub fn into_parts(self) -> ForwardParts {
        *self.parts
    }
}

/// The origin-form target (RFC 9112, section 3.2.1). A prefix is stripped as whole segments, and
/// what is left always begins with one slash.
fn target(path: &str, strip: Option<&str>, query: Option<&str>) -> String {
    let stripped = strip
        .and_then(|prefix| path.strip_prefix(prefix))
        .filter(|rest| rest.is_empty() || rest.starts_with('/'))
        .map(|rest| rest.trim_start_matches('/'));
    let (slash, rest) = stripped.map_or(("", path), |rest| ("/", rest));
    let (mark, query) = query.map_or(("", ""), |query| ("?", query));
    [slash, rest, mark, query].concat()
}

#[cfg(test)]
mod tests {
    use super::target;

    #[test]
    fn a_stripped_prefix_leaves_an_origin_form_target() {
        assert_eq!(target("/api/x", Some("/api"), Some("a=1")), "/x?a=1");
        assert_eq!(target("/api", Some("/api"), None), "/");
        assert_eq!(target("/apix", Some("/api"), None), "/apix");
        assert_eq!(
            target("/strip//evil.com", Some("/strip"), None),
            "/evil.com"
        );
        assert_eq!(target("/x", None, None), "/x");
        assert_eq!(target("/a//b", None, None), "/a//b");
    }
}
