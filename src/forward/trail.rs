//! The trail: how the request came here, told to the upstream.
//!
//! `X-Forwarded-*` and `Forwarded` (RFC 7239) are rebuilt from what was read at the edge, never
//! copied: of a chain that a trusted proxy sent, the client and the trusted proxies behind it
//! remain, and what stands left of the client was its own claim. Everything here inserts; only
//! `Via` is appended to, since it is what others wrote about themselves.

use std::net::IpAddr;
use std::sync::LazyLock;

use http::header::{COOKIE, FORWARDED, HOST, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::wire::{Memo, RawParts, Scheme, Seen, Trail, pseudonym, push_address};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Writes the trail of `raw` into the headers of what is sent upstream; call it after the reserved
/// names are gone and credentials have been dealt with. The `cookie` lines that are left become one.
pub(crate) fn write(
    headers: &mut HeaderMap,
    raw: &RawParts,
    memo: &Memo,
    request_id_header: &HeaderName,
) {
    let direct = raw.client == raw.peer && raw.proxies.is_empty();
    let Trail {
        forwarded_for,
        forwarded,
        port,
    } = if direct {
        memo.trail(&raw.host, || trail(raw))
    } else {
        trail(raw)
    };
    headers.insert(X_FORWARDED_FOR, forwarded_for);
    headers.insert(X_FORWARDED_PROTO, scheme(raw.scheme));
    headers.insert(X_FORWARDED_PORT, port);
    headers.insert(FORWARDED, forwarded);
    headers.insert(request_id_header.clone(), raw.request_id.header_value());
    headers.insert(HOST, raw.host.header_value());
    headers.insert(X_FORWARDED_HOST, raw.host.header_value());
    headers.append(VIA, via(raw.version));
    if raw.seen.has(Seen::COOKIE) {
        join_cookies(headers);
    }
}

fn trail(raw: &RawParts) -> Trail {
    Trail {
        forwarded_for: text(&forwarded_for(raw)),
        forwarded: text(&forwarded(raw)),
        port: port(raw),
    }
}

/// Makes one `cookie` line of many (RFC 9113, section 8.2.3): servers behind HTTP/1.1 join two
/// with a comma, or read the first alone.
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for line in std::iter::once(second).chain(lines) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(line.as_bytes());
    }
    // Header values joined by "; " are a header value.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// A `Via` entry for what came over this version (RFC 9110, section 7.6.3), in either direction.
pub(crate) fn via(received: Version) -> HeaderValue {
    static ENTRIES: LazyLock<[HeaderValue; 3]> = LazyLock::new(|| {
        // For good: what never ends is copied without counting its users.
        let entry = |v| -> &'static str { Box::leak(format!("{v} {}", pseudonym()).into()) };
        ["1.0", "1.1", "2.0"].map(|v| HeaderValue::from_static(entry(v)))
    });
    let [http10, http11, http2] = &*ENTRIES;
    match received {
        Version::HTTP_10 | Version::HTTP_09 => http10,
        Version::HTTP_11 => http11,
        _ => http2,
    }
    .clone()
}

/// The client and each trusted proxy, as the next reader of the chain expects them.
fn hops(raw: &RawParts) -> impl Iterator<Item = IpAddr> {
    // A client that is the peer stands once.
    let peer = (raw.peer != raw.client || !raw.proxies.is_empty()).then_some(raw.peer);
    std::iter::once(raw.client)
        .chain(raw.proxies.iter().copied())
        .chain(peer)
}

fn forwarded_for(raw: &RawParts) -> Vec<u8> {
    let mut chain = Vec::with_capacity(48);
    for address in hops(raw) {
        if !chain.is_empty() {
            chain.extend_from_slice(b", ");
        }
        push_address(&mut chain, address);
    }
    chain
}

/// RFC 7239, section 4: the first element is the client's hop, with the host and scheme it used.
fn forwarded(raw: &RawParts) -> Vec<u8> {
    let mut line = Vec::with_capacity(96);
    for address in hops(raw) {
        let first = line.is_empty();
        if !first {
            line.extend_from_slice(b", ");
        }
        let (open, close) = if address.is_ipv6() {
            ("for=\"[", "]\"")
        } else {
            ("for=", "")
        };
        line.extend_from_slice(open.as_bytes());
        push_address(&mut line, address);
        line.extend_from_slice(close.as_bytes());
        if first {
            let authority = raw.host.authority();
            let quote = if authority.contains(':') { "\"" } else { "" };
            for part in [
                ";host=",
                quote,
                authority,
                quote,
                ";proto=",
                raw.scheme.as_str(),
            ] {
                line.extend_from_slice(part.as_bytes());
            }
        }
    }
    line
}

fn scheme(scheme: Scheme) -> HeaderValue {
    HeaderValue::from_static(scheme.as_str())
}

fn port(raw: &RawParts) -> HeaderValue {
    HeaderValue::from(raw.host.port().unwrap_or(raw.scheme.default_port()))
}

/// Digits, dots, colons and host names are always a header value.
fn text(text: &[u8]) -> HeaderValue {
    HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::config::Limits;
    use crate::wire::{ConnectionInfo, RawRequest};

    const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

    fn raw(peer: &str, tls: bool, lines: &[(&str, &str)]) -> RawParts {
        let mut request = http::Request::builder().uri("/");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let connection = ConnectionInfo {
            peer: peer.parse().unwrap(),
            local: "127.0.0.1:1".parse().unwrap(),
            tls,
            server_name: None,
            trusted_proxies: Arc::from(["10.0.0.0/8".parse().unwrap()]),
            memo: crate::wire::Memo::default(),
        };
        let limits = Limits {
            header_size: 4096,
            headers: 100,
            uri: 100,
            body: None,
            connections: 1,
            header_timeout: Duration::from_secs(1),
            token_cache: 0,
        };
        let mut head = request.body(()).unwrap().into_parts().0;
        *RawRequest::read(&mut head, false, &connection, &limits, &REQUEST_ID)
            .unwrap()
            .into_parts()
    }

    fn written(raw: &RawParts) -> HeaderMap {
        let mut headers = raw.headers.clone();
        write(&mut headers, raw, &Memo::default(), &REQUEST_ID);
        headers
    }

    fn only<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
        let lines: Vec<_> = headers.get_all(name).iter().collect();
        assert_eq!(lines.len(), 1, "{name}");
        lines[0].to_str().unwrap()
    }

    #[test]
    fn b13_what_a_stranger_says_of_its_way_is_replaced() {
        let raw = raw(
            "192.0.2.1:4000",
            true,
            &[
                ("host", "A.example:443"),
                ("x-forwarded-for", "6.6.6.6"),
                ("x-forwarded-proto", "http"),
                ("x-forwarded-host", "evil"),
                ("x-forwarded-port", "1"),
                ("forwarded", "for=6.6.6.6"),
                ("x-request-id", "theirs"),
            ],
        );
        let headers = written(&raw);
        assert_eq!(only(&headers, "x-forwarded-for"), "192.0.2.1");
        assert_eq!(only(&headers, "x-forwarded-proto"), "https");
        assert_eq!(only(&headers, "x-forwarded-host"), "a.example");
        assert_eq!(only(&headers, "x-forwarded-port"), "443");
        assert_eq!(
            only(&headers, "forwarded"),
            "for=192.0.2.1;host=a.example;proto=https"
        );
        assert_eq!(only(&headers, "x-request-id"), raw.request_id.as_str());
        assert_eq!(only(&headers, "host"), "a.example");
    }

    #[test]
    fn b13_a_trusted_chain_begins_at_the_client() {
        let raw = raw(
            "10.0.0.1:4000",
            false,
            &[
                ("host", "a.example:8080"),
                ("x-forwarded-for", "9.9.9.9, 2001:db8::1, 10.0.0.2"),
            ],
        );
        let headers = written(&raw);
        assert_eq!(
            only(&headers, "x-forwarded-for"),
            "2001:db8::1, 10.0.0.2, 10.0.0.1"
        );
        assert_eq!(
            only(&headers, "forwarded"),
            "for=\"[2001:db8::1]\";host=\"a.example:8080\";proto=http, for=10.0.0.2, for=10.0.0.1"
        );
        assert_eq!(only(&headers, "x-forwarded-host"), "a.example:8080");
        assert_eq!(only(&headers, "x-forwarded-port"), "8080");
    }

    #[test]
    fn a_trusted_peer_without_a_chain_is_the_client() {
        let raw = raw("10.0.0.1:4000", false, &[("host", "a")]);
        assert_eq!(only(&written(&raw), "x-forwarded-for"), "10.0.0.1");
    }

    #[test]
    fn f20_via_is_appended() {
        let raw = raw("192.0.2.1:1", false, &[("host", "a"), ("via", "1.0 fred")]);
        let headers = written(&raw);
        let lines: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(lines[0], "1.0 fred");
        assert_eq!(lines[1].to_str().unwrap(), format!("1.1 {}", pseudonym()));
        assert!(via(Version::HTTP_2).to_str().unwrap().starts_with("2.0 "));
    }

    #[test]
    fn b20_cookies_leave_in_one_line() {
        let raw = raw(
            "192.0.2.1:1",
            false,
            &[("host", "a"), ("cookie", "a=1"), ("cookie", "b=2")],
        );
        assert_eq!(only(&written(&raw), "cookie"), "a=1; b=2");
    }
}
