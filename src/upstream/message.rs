//! Message: a request in the form that its connection's protocol version wants.
//!
//! Only what the version itself demands is changed here: the form of the target, the version, and
//! headers that speak of the connection. Nothing about identity is added, read or removed.

use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::uri::{PathAndQuery, Scheme, Uri};
use http::{Method, Request, Version, request};
use http_body::Body as _;

use super::error::UpstreamError;
use super::outgoing::RequestBody;
use super::targets::Target;
use crate::config::UpstreamProtocol;

/// Whether a request of this method may be repeated (RFC 9110, section 9.2.2; TRACE is not
/// forwarded).
pub(super) fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}

/// Whether an upstream that knows this method reads a body with it. Content has no defined use in
/// GET, HEAD, DELETE and OPTIONS (RFC 9110, sections 9.3.1, 9.3.2, 9.3.5 and 9.3.7): a server may
/// leave it in the connection and read it as a request of its own, whose response the next request
/// on that connection would get.
pub(super) fn expects_content(method: &Method) -> bool {
    ![Method::GET, Method::HEAD, Method::DELETE, Method::OPTIONS].contains(method)
}

/// HTTP/1.1 whatever the client spoke (hyper would drop a streaming body with another version),
/// and a target in origin-form whatever it was.
pub(super) fn h1_request(
    head: &mut request::Parts,
    body: &RequestBody,
) -> Result<(), UpstreamError> {
    if !head.headers.contains_key(HOST) {
        return Err(UpstreamError::Internal);
    }
    head.version = Version::HTTP_11;
    if head.uri.authority().is_some() {
        head.uri = origin_form(&head.uri).into();
    }
    // A body without framing would be dropped in silence (hyper sends GET without one).
    let framed = |headers: &HeaderMap| {
        headers.contains_key(CONTENT_LENGTH) || headers.contains_key(TRANSFER_ENCODING)
    };
    if !body.is_end_stream() && !framed(&head.headers) {
        let chunked = HeaderValue::from_static("chunked");
        head.headers.insert(TRANSFER_ENCODING, chunked);
    }
    Ok(())
}

/// HTTP/2: Host becomes `:authority`, and nothing speaks of connections (RFC 9113, section 8.2.2).
pub(super) fn h2_request(
    mut head: request::Parts,
    body: RequestBody,
    target: &Target,
) -> Result<Request<RequestBody>, UpstreamError> {
    let host = head.headers.remove(HOST).ok_or(UpstreamError::Internal)?;
    let scheme = if target.protocol == UpstreamProtocol::Http2 {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    };
    head.uri = Uri::builder()
        .scheme(scheme)
        .authority(host.as_bytes())
        .path_and_query(origin_form(&head.uri))
        .build()
        .map_err(|_| UpstreamError::Internal)?;
    head.version = Version::HTTP_2;
    let trailers = head
        .headers
        .get(TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if !trailers {
        head.headers.remove(TE);
    }
    for name in [
        CONNECTION,
        TRANSFER_ENCODING,
        UPGRADE,
        HeaderName::from_static("keep-alive"),
        HeaderName::from_static("proxy-connection"),
    ] {
        head.headers.remove(name);
    }
    Ok(Request::from_parts(head, body))
}

fn origin_form(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}
