//! The checks that a head passes to become a request, in one order.
//!
//! Sizes come first, so that nothing below looks at more than the limits allow; then the method,
//! the host, the path, the framing and what may stand only once.

use std::net::IpAddr;

use http::header::ORIGIN;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::error::WireError;
use super::host::Host;
use super::path::CanonicalPath;
use super::peer::{self, Scheme};
use super::{
    ConnectionInfo, Memo, RequestId, Seen, WebSocketHandshake, accept, framing, upgrade, via,
};
use crate::config::Limits;

/// What a header line costs beside its name and value: `: ` and CRLF.
const LINE_OVERHEAD: usize = 4;

/// Who sent it, under which id: known even of a request that cannot be read.
pub(super) struct Source {
    pub(super) client: IpAddr,
    pub(super) proxies: Vec<IpAddr>,
    pub(super) request_id: RequestId,
    scheme: Result<Scheme, WireError>,
}

impl Source {
    pub(super) fn of(
        headers: &HeaderMap,
        connection: &ConnectionInfo,
        request_id: &HeaderName,
    ) -> Self {
        let peer = connection.peer.ip();
        let trusted = peer::is_trusted(peer, &connection.trusted_proxies);
        let (client, proxies) = peer::client(headers, peer, &connection.trusted_proxies);
        let believed = trusted
            .then(|| RequestId::believed(headers, request_id))
            .flatten();
        Self {
            scheme: peer::scheme(headers, connection.tls, trusted),
            client,
            proxies,
            request_id: believed.unwrap_or_else(RequestId::fresh),
        }
    }
}

/// What the checks have made of a head.
pub(super) struct Reading {
    pub(super) scheme: Scheme,
    pub(super) host: Host,
    pub(super) path: CanonicalPath,
    pub(super) websocket: Option<WebSocketHandshake>,
    pub(super) content_length: Option<u64>,
    pub(super) seen: Seen,
}

/// Reads what must be unambiguous; the first fault is the answer.
pub(super) fn checked(
    head: &Parts,
    has_body: bool,
    source: &Source,
    limits: &Limits,
    memo: &Memo,
) -> Result<Reading, WireError> {
    let headers = &head.headers;
    let Fields { seen, twice, host } = sizes(head, limits)?;
    if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(WireError::MethodNotAllowed);
    }
    let scheme = source.scheme?;
    once(twice, Seen::HOST)?;
    let host = agreed(head, host, scheme, memo)?;
    let target = head.uri.path_and_query().ok_or(TARGET)?;
    let path = CanonicalPath::read(target)?;
    let content_length = if seen.has(FRAMING) {
        framing::read(headers, head.version)?
    } else {
        None
    };
    for field in [Seen::AUTHORIZATION, Seen::ORIGIN, Seen::SEC_FETCH_SITE] {
        once(twice, field)?;
    }
    if seen.has(Seen::ORIGIN)
        && headers
            .get(ORIGIN)
            .is_some_and(|origin| origin.to_str().is_err())
    {
        return Err(WireError::Malformed("an Origin that is not visible ASCII"));
    }
    if seen.has(Seen::VIA) && via::seen_before(headers) {
        return Err(WireError::LoopDetected);
    }
    let websocket = if seen.has(Seen::UPGRADE) {
        upgrade::read(headers, &head.method, head.version, has_body)?
    } else {
        None
    };
    Ok(Reading {
        scheme,
        host,
        path,
        websocket,
        content_length,
        seen,
    })
}

/// What says how long the body is, or how it is to be sent.
const FRAMING: Seen = Seen::CONTENT_LENGTH
    .and(Seen::TRANSFER_ENCODING)
    .and(Seen::EXPECT);

const TARGET: WireError =
    WireError::Malformed("a request target that is neither a path nor an http URL");

/// What one look over the fields has found.
struct Fields<'a> {
    seen: Seen,
    /// What stands on more than one line.
    twice: Seen,
    /// The last `Host`.
    host: Option<&'a HeaderValue>,
}

/// Counts what came against the limits, and refuses what HTTP/2 lets through that HTTP/1 cannot
/// carry: a value with a space at either end (RFC 9113, section 8.2.1). Gives what there is.
fn sizes<'a>(head: &'a Parts, limits: &Limits) -> Result<Fields<'a>, WireError> {
    let uri = &head.uri;
    let authority = uri
        .authority()
        .map_or(0, |authority| authority.as_str().len());
    let target = uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if authority + target > limits.uri {
        return Err(WireError::UriTooLong);
    }
    if head.headers.len() > limits.headers {
        return Err(WireError::HeadersTooLarge);
    }
    let mut size = 0;
    let (mut seen, mut twice, mut host) = (Seen::default(), Seen::default(), None);
    for (name, line) in &head.headers {
        let name = name.as_str();
        let field = Seen::named(name);
        twice = twice.and(seen.also_in(field));
        seen = seen.and(field);
        size += name.len() + line.len() + LINE_OVERHEAD;
        let value = line.as_bytes();
        if field.has(Seen::HOST) {
            host = Some(line);
        } else if field.has(Seen::ACCEPT) && accept::names_html(value) {
            seen = seen.and(Seen::HTML);
        }
        let at_an_end = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
        if at_an_end(value.first()) || at_an_end(value.last()) {
            return Err(WireError::Malformed(
                "a header value with a space at its end",
            ));
        }
    }
    if size > limits.header_size {
        return Err(WireError::HeadersTooLarge);
    }
    Ok(Fields { seen, twice, host })
}

/// A field that may stand on one line alone.
fn once(twice: Seen, field: Seen) -> Result<(), WireError> {
    if !twice.has(field) {
        return Ok(());
    }
    Err(WireError::Ambiguous(match field {
        Seen::HOST => "two Host lines",
        Seen::AUTHORIZATION => "two Authorization lines",
        Seen::ORIGIN => "two Origin lines",
        _ => "a header twice that may stand once",
    }))
}

/// The one host that `Host`, `:authority` and an absolute-form target agree on (RFC 9112, sections
/// 3.2 and 3.2.2; RFC 9113, section 8.3.1).
fn agreed(
    head: &Parts,
    host: Option<&HeaderValue>,
    scheme: Scheme,
    memo: &Memo,
) -> Result<Host, WireError> {
    let uri = &head.uri;
    let header = host
        .map(|value| memo.host(value.as_bytes(), scheme))
        .transpose()?;
    let target = match (uri.scheme_str(), uri.authority()) {
        (None, None) => None,
        (Some("http" | "https"), Some(authority)) => {
            Some(memo.host(authority.as_str().as_bytes(), scheme)?)
        }
        _ => return Err(TARGET),
    };
    let from_http1 = head.version < Version::HTTP_2;
    match (header, target) {
        (Some(header), Some(target)) if header == target => Ok(header),
        (Some(_), Some(_)) => Err(WireError::Ambiguous("two different hosts")),
        (Some(header), None) if from_http1 => Ok(header),
        (None, Some(target)) if !from_http1 => Ok(target),
        (None, _) => Err(WireError::Malformed("a request without a Host")),
        (Some(_), None) => Err(WireError::Malformed("a request without an :authority")),
    }
}
