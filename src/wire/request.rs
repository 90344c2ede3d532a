//! A request as it was read: one method, one host, one path, one client.
//!
//! [`RawRequest::read`] is the only maker. What a request carries that only a trusted proxy may
//! say has been weighed here; everything else in its headers is still the client's word, so nothing
//! may send a `RawRequest` anywhere.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{ACCESS_CONTROL_REQUEST_METHOD, ORIGIN};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Version};

use super::error::{Unreadable, WireError, shown};
use super::host::Host;
use super::path::CanonicalPath;
use super::peer::Scheme;
use super::read::{Source, checked};
use super::upgrade::only;
use super::{ConnectionInfo, Cookies, RequestId, Seen, WebSocketHandshake, accept};
use crate::config::Limits;

pub(super) const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Headers by which a request can ask the app to treat it as another method.
pub(crate) const METHOD_OVERRIDES: [HeaderName; 3] = [
    HeaderName::from_static("x-http-method-override"),
    HeaderName::from_static("x-http-method"),
    HeaderName::from_static("x-method-override"),
];

/// A request that has one reading. Its headers are as the client sent them.
pub struct RawRequest {
    /// Boxed: it is handed on from room to room, until its parts become the upstream's request.
    parts: Box<RawParts>,
}

/// What [`RawRequest::into_parts`] hands to the sanitiser.
pub struct RawParts {
    /// The method, case-exact.
    pub method: Method,
    /// The client's protocol version.
    pub version: Version,
    /// The scheme that the client used.
    pub scheme: Scheme,
    /// Whom the request is addressed to.
    pub host: Host,
    /// The path.
    pub path: CanonicalPath,
    /// The query, as it came.
    pub query: Option<String>,
    /// The headers, as they came.
    pub headers: HeaderMap,
    /// The cookies of all `Cookie` lines.
    pub cookies: Cookies,
    /// The client's address.
    pub client: IpAddr,
    /// The trusted proxies between the client and the peer, in the order of X-Forwarded-For.
    pub proxies: Vec<IpAddr>,
    /// The TCP peer's address; the client's where the peer is not a trusted proxy.
    pub peer: IpAddr,
    /// The TLS server name.
    pub server_name: Option<Arc<str>>,
    /// The request's id.
    pub request_id: RequestId,
    /// The WebSocket handshake that it is, if it is one.
    pub websocket: Option<WebSocketHandshake>,
    /// The declared body length.
    pub content_length: Option<u64>,
    /// Whether it has a body.
    pub has_body: bool,
    /// Which fields its headers have.
    pub seen: Seen,
}

impl RawRequest {
    /// Reads the head of a request, and takes out of it what is kept. `has_body` says whether the body
    /// that came with it can still yield anything.
    pub fn read(
        head: &mut Parts,
        has_body: bool,
        connection: &ConnectionInfo,
        limits: &Limits,
        request_id_header: &HeaderName,
    ) -> Result<Self, Box<Unreadable>> {
        let source = Source::of(&head.headers, connection, request_id_header);
        match checked(head, has_body, &source, limits, &connection.memo) {
            Ok(reading) => Ok(Self {
                parts: Box::new(RawParts {
                    method: std::mem::take(&mut head.method),
                    version: head.version,
                    scheme: reading.scheme,
                    host: reading.host,
                    path: reading.path,
                    query: head.uri.query().map(str::to_owned),
                    cookies: if reading.seen.has(Seen::COOKIE) {
                        Cookies::read(&head.headers)
                    } else {
                        Cookies::default()
                    },
                    headers: std::mem::take(&mut head.headers),
                    client: source.client,
                    proxies: source.proxies,
                    peer: connection.peer.ip().to_canonical(),
                    server_name: connection.server_name.clone(),
                    request_id: source.request_id,
                    websocket: reading.websocket,
                    content_length: reading.content_length,
                    has_body,
                    seen: reading.seen,
                }),
            }),
            Err(error) => Err(Box::new(unreadable(head, error, source))),
        }
    }

    /// Refuses a head in which [`Heads`](super::Heads) has seen what hyper hides.
    #[must_use]
    pub fn refuse(
        head: &mut Parts,
        error: WireError,
        connection: &ConnectionInfo,
        request_id_header: &HeaderName,
    ) -> Box<Unreadable> {
        let source = Source::of(&head.headers, connection, request_id_header);
        Box::new(unreadable(head, error, source))
    }

    /// The method, case-exact: `get` is not `GET`.
    #[must_use]
    pub const fn method(&self) -> &Method {
        &self.parts.method
    }

    /// The client's protocol version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.parts.version
    }

    /// The scheme that the client used: the connection's, or what a trusted proxy said.
    #[must_use]
    pub const fn scheme(&self) -> Scheme {
        self.parts.scheme
    }

    /// Whom the request is addressed to.
    #[must_use]
    pub const fn host(&self) -> &Host {
        &self.parts.host
    }

    /// The TLS server name, which may lead elsewhere than [`Self::host`].
    #[must_use]
    pub fn server_name(&self) -> Option<&str> {
        self.parts.server_name.as_deref()
    }

    /// The path.
    #[must_use]
    pub const fn path(&self) -> &CanonicalPath {
        &self.parts.path
    }

    /// The query, as it came.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.parts.query.as_deref()
    }

    /// The headers, as the client sent them.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }

    /// The cookies.
    #[must_use]
    pub const fn cookies(&self) -> &Cookies {
        &self.parts.cookies
    }

    /// The client's address.
    #[must_use]
    pub const fn client(&self) -> IpAddr {
        self.parts.client
    }

    /// The request's id.
    #[must_use]
    pub const fn request_id(&self) -> &RequestId {
        &self.parts.request_id
    }

    /// The WebSocket handshake that the request is, if it is one.
    #[must_use]
    pub const fn websocket(&self) -> Option<&WebSocketHandshake> {
        self.parts.websocket.as_ref()
    }

    /// The declared body length.
    #[must_use]
    pub const fn content_length(&self) -> Option<u64> {
        self.parts.content_length
    }

    /// Whether the request has a body.
    #[must_use]
    pub const fn has_body(&self) -> bool {
        self.parts.has_body
    }

    /// Which fields its headers have.
    #[must_use]
    pub const fn seen(&self) -> Seen {
        self.parts.seen
    }

    /// The `Origin`, as the browser serialised it.
    #[must_use]
    pub fn origin(&self) -> Option<&str> {
        if self.seen().has(Seen::ORIGIN) {
            self.text(&ORIGIN)
        } else {
            None
        }
    }

    /// The origin that a browser which talks to us directly would call the same (RFC 6454,
    /// section 6.2).
    #[must_use]
    pub fn own_origin(&self) -> String {
        format!("{}://{}", self.scheme().as_str(), self.host().authority())
    }

    /// `Sec-Fetch-Site`.
    #[must_use]
    pub fn sec_fetch_site(&self) -> Option<&str> {
        if self.seen().has(Seen::SEC_FETCH_SITE) {
            self.text(&SEC_FETCH_SITE)
        } else {
            None
        }
    }

    /// The method that a CORS preflight asks for: the request is an OPTIONS without a body, with
    /// `Origin` and `Access-Control-Request-Method` (Fetch standard, section 4.8).
    #[must_use]
    pub fn preflight_method(&self) -> Option<Method> {
        if *self.method() != Method::OPTIONS || self.has_body() {
            return None;
        }
        self.origin()?;
        let asked = only(self.headers(), &ACCESS_CONTROL_REQUEST_METHOD)?;
        Method::from_bytes(asked.as_bytes()).ok()
    }

    /// Whether the request is a CORS preflight.
    #[must_use]
    pub fn is_preflight(&self) -> bool {
        self.preflight_method().is_some()
    }

    /// Whether a browser is on its way to a page.
    #[must_use]
    pub fn is_navigation(&self) -> bool {
        let names_any = Seen::HTML.and(Seen::SEC_FETCH_MODE);
        self.seen().has(names_any) && accept::is_navigation(self.headers(), self.method())
    }

    /// Whether the client would rather see HTML than JSON.
    #[must_use]
    pub fn wants_html(&self) -> bool {
        self.seen().has(Seen::HTML) && accept::wants_html(self.headers())
    }

    /// Whether the request asks to be treated as another method.
    #[must_use]
    pub fn method_override(&self) -> bool {
        METHOD_OVERRIDES
            .iter()
            .any(|name| self.headers().contains_key(name))
    }

    /// Gives everything to the sanitiser.
    #[must_use]
    pub fn into_parts(self) -> Box<RawParts> {
        self.parts
    }

    /// A header that [`checked`] has found at most once.
    fn text(&self, name: &HeaderName) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }
}

impl fmt::Debug for RawRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Query and headers hold secrets.
        write!(
            f,
            "RawRequest({} {}{})",
            self.method(),
            self.host(),
            self.path().as_str()
        )
    }
}

fn unreadable(head: &mut Parts, error: WireError, source: Source) -> Unreadable {
    Unreadable {
        error,
        path: shown(head.uri.path()),
        wants_html: accept::wants_html(&head.headers),
        origin: only(&head.headers, &ORIGIN).cloned(),
        method: std::mem::take(&mut head.method),
        version: head.version,
        request_id: source.request_id,
        client: source.client,
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
