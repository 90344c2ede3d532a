//! Hop-by-hop: what ends at this connection and is never passed on (RFC 9110, section 7.6.1).
//!
//! Beside the fixed names, whatever any `Connection` line nominates. A nomination can never take
//! away who is asking, for what, or how the message is framed; and since it is obeyed before
//! anything is added, it cannot take away what the gateway writes either.

use http::header::{CONNECTION, TE, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::names::{Reserved, remove};
use crate::wire::Seen;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Towards {
    /// To the upstream.
    Upstream,
    /// To the client.
    Client,
}

/// Whether this header never passes a hop.
pub(crate) fn ends_here(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "expect"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// The same names as a set.
const ENDING_HERE: Seen = Seen::CONNECTION
    .and(Seen::EXPECT)
    .and(Seen::HTTP2_SETTINGS)
    .and(Seen::KEEP_ALIVE)
    .and(Seen::PROXY_AUTHENTICATE)
    .and(Seen::PROXY_AUTHORIZATION)
    .and(Seen::PROXY_CONNECTION)
    .and(Seen::TE)
    .and(Seen::TRAILER)
    .and(Seen::TRANSFER_ENCODING)
    .and(Seen::UPGRADE);

/// Whether a `Connection` line cannot take this header away.
pub(crate) fn is_protected(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("content-")
        || matches!(
            name,
            "authorization" | "cookie" | "host" | "set-cookie" | "www-authenticate"
        )
}

/// Whether the sender can take trailers (`TE: trailers`); ask before [`strip`].
pub(crate) fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("trailers"))
}

/// Removes what ends here. `Trailer` stays as far as it announces trailers that may pass, since
/// hyper sends no others over HTTP/1.1.
///
/// `seen` says what `headers` have.
pub(crate) fn strip(headers: &mut HeaderMap, seen: Seen, reserved: &Reserved, towards: Towards) {
    if !seen.has(ENDING_HERE) {
        return;
    }
    let announced = announced_trailers(headers, reserved, towards);
    for name in nominated(headers) {
        headers.remove(name);
    }
    remove(headers, ends_here);
    if let Some(announced) = announced {
        headers.insert(TRAILER, announced);
    }
}

/// Whether a trailer of this name may pass: it says nothing about framing, routing, identity or
/// the message itself (RFC 9110, section 6.5.1).
pub(crate) fn trailer_passes(name: &HeaderName, reserved: &Reserved, towards: Towards) -> bool {
    let ours = match towards {
        Towards::Upstream => reserved.holds(name),
        Towards::Client => reserved.is_own(name),
    };
    let text = name.as_str();
    !ours
        && !ends_here(name)
        && !is_protected(name)
        && !text.starts_with("sec-")
        && !text.starts_with("access-control-")
        && !text.starts_with("if-")
        && !matches!(
            text,
            "age"
                | "cache-control"
                | "date"
                | "expires"
                | "location"
                | "max-forwards"
                | "origin"
                | "pragma"
                | "range"
                | "referer"
                | "retry-after"
                | "vary"
                | "via"
                | "warning"
        )
}

/// Removes the trailers that may not pass.
pub(crate) fn strip_trailers(trailers: &mut HeaderMap, reserved: &Reserved, towards: Towards) {
    remove(trailers, |name| !trailer_passes(name, reserved, towards));
}

/// The names on every `Connection` line that are present and not protected. A line that is not
/// ASCII nominates nothing: what it might mean depends on who reads it.
fn nominated(headers: &HeaderMap) -> Vec<HeaderName> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
        .filter(|name| headers.contains_key(name) && !is_protected(name))
        .collect()
}

fn announced_trailers(
    headers: &HeaderMap,
    reserved: &Reserved,
    towards: Towards,
) -> Option<HeaderValue> {
    let names: Vec<String> = headers
        .get_all(TRAILER)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .filter_map(|token| HeaderName::from_bytes(token.trim().as_bytes()).ok())
        .filter(|name| trailer_passes(name, reserved, towards))
        .map(|name| name.to_string())
        .collect();
    if names.is_empty() {
        return None;
    }
    HeaderValue::from_str(&names.join(", ")).ok()
}

#[cfg(test)]
mod tests {
    use super::super::names::tests::reserved;
    use super::*;

    fn stripped(lines: &[(&str, &[u8])]) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, HeaderValue::from_bytes(value).unwrap());
        }
        let seen = Seen::in_map(&headers);
        strip(&mut headers, seen, &reserved(), Towards::Upstream);
        headers.keys().map(ToString::to_string).collect()
    }

    #[test]
    fn b23_b24_what_ends_at_this_hop_is_removed() {
        let lines: Vec<(&str, &[u8])> = [
            "connection",
            "keep-alive",
            "proxy-connection",
            "proxy-authenticate",
            "proxy-authorization",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "http2-settings",
            "expect",
        ]
        .into_iter()
        .map(|name| (name, &b"close"[..]))
        .chain([("accept", &b"*/*"[..])])
        .collect();
        // `Trailer: close` announces a harmless trailer.
        assert_eq!(stripped(&lines), ["accept", "trailer"]);
    }

    #[test]
    fn b5_every_connection_line_nominates() {
        let lines: &[(&str, &[u8])] = &[
            ("connection", b"close, X-One"),
            ("connection", b"x-two,,  X-THREE "),
            ("x-one", b"1"),
            ("x-two", b"2"),
            ("x-three", b"3"),
            ("x-four", b"4"),
        ];
        assert_eq!(stripped(lines), ["x-four"]);
    }

    #[test]
    fn b5_a_connection_line_that_is_not_ascii_nominates_nothing() {
        let lines: &[(&str, &[u8])] = &[("connection", b"x-one, \xe9"), ("x-one", b"1")];
        assert_eq!(stripped(lines), ["x-one"]);
    }

    #[test]
    fn b6_protected_names_cannot_be_nominated() {
        let lines: &[(&str, &[u8])] = &[
            (
                "connection",
                b"host, authorization, Cookie, content-length, content-type",
            ),
            ("host", b"a"),
            ("authorization", b"a"),
            ("cookie", b"a"),
            ("content-length", b"0"),
            ("content-type", b"a"),
        ];
        assert_eq!(stripped(lines).len(), 5);
    }

    #[test]
    fn b8_only_harmless_trailers_pass() {
        let reserved = reserved();
        let sent = [
            "x-checksum",
            "grpc-status",
            "x-auth-user-id",
            "x_auth_user_id",
            "remote-user",
            "authorization",
            "cookie",
            "content-length",
            "host",
            "transfer-encoding",
            "connection",
            "cache-control",
            "via",
        ];
        let passing = |towards| {
            let mut trailers = HeaderMap::new();
            for name in sent {
                let name: HeaderName = name.parse().unwrap();
                trailers.append(name, HeaderValue::from_static("x"));
            }
            strip_trailers(&mut trailers, &reserved, towards);
            trailers.keys().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(passing(Towards::Upstream), ["x-checksum", "grpc-status"]);
        assert_eq!(
            passing(Towards::Client),
            ["x-checksum", "grpc-status", "remote-user"]
        );
    }

    #[test]
    fn b8_only_passing_trailers_are_announced() {
        let mut headers = HeaderMap::new();
        headers.append(TRAILER, HeaderValue::from_static("X-Auth-User-Id, X-Sum"));
        headers.append(TRAILER, HeaderValue::from_static("Authorization, x-other"));
        let seen = Seen::in_map(&headers);
        strip(&mut headers, seen, &reserved(), Towards::Upstream);
        assert_eq!(headers.get(TRAILER).unwrap(), "x-sum, x-other");
        headers.insert(TRAILER, HeaderValue::from_static("content-length"));
        let seen = Seen::in_map(&headers);
        strip(&mut headers, seen, &reserved(), Towards::Upstream);
        assert!(headers.get(TRAILER).is_none());
    }

    #[test]
    fn trailers_are_taken_where_te_says_so() {
        let mut headers = HeaderMap::new();
        assert!(!takes_trailers(&headers));
        headers.append(TE, HeaderValue::from_static("gzip"));
        headers.append(TE, HeaderValue::from_static("deflate;q=0.5, Trailers"));
        assert!(takes_trailers(&headers));
    }
}
