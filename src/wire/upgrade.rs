//! The WebSocket handshake (RFC 6455, section 4.2.1): the only upgrade there is.
//!
//! A request that says `Upgrade: websocket` is a well-formed handshake or is refused; one that
//! offers something else (h2c, TLS, …) is a plain request, whose Upgrade goes no further.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};

use super::error::WireError;

/// What a client that wants a WebSocket sent.
#[derive(Clone, PartialEq, Eq)]
pub struct WebSocketHandshake {
    /// `Sec-WebSocket-Key`: 16 bytes in base64.
    pub key: HeaderValue,
    /// The subprotocols it offers, in its order. One of them may carry a token.
    pub protocols: Vec<String>,
}

impl std::fmt::Debug for WebSocketHandshake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A subprotocol can be a token.
        write!(f, "WebSocketHandshake({} protocols)", self.protocols.len())
    }
}

/// Reads the handshake; `None` for a plain request.
pub(super) fn read(
    headers: &HeaderMap,
    method: &Method,
    version: Version,
    has_body: bool,
) -> Result<Option<WebSocketHandshake>, WireError> {
    let mut offers = tokens(headers, &UPGRADE);
    let Some(first) = offers.next() else {
        return Ok(None);
    };
    let others = offers.collect::<Vec<_>>();
    let is_websocket = |offer: &[u8]| offer.eq_ignore_ascii_case(b"websocket");
    if !is_websocket(first) && !others.iter().any(|offer| is_websocket(offer)) {
        return Ok(None);
    }
    let refuse = |what| Err(WireError::Malformed(what));
    if !others.is_empty() {
        return refuse("an Upgrade to WebSocket or something else");
    }
    if version != Version::HTTP_11 || *method != Method::GET || has_body {
        return refuse("a WebSocket handshake that is not a GET of HTTP/1.1 without a body");
    }
    if !tokens(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case(b"upgrade")) {
        return refuse("a WebSocket handshake whose Connection does not name Upgrade");
    }
    let Some(key) = only(headers, &SEC_WEBSOCKET_KEY).filter(|key| {
        STANDARD
            .decode(key.as_bytes())
            .is_ok_and(|key| key.len() == 16)
    }) else {
        return refuse("a WebSocket handshake without one valid Sec-WebSocket-Key");
    };
    if only(headers, &SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return refuse("a WebSocket handshake of another version than 13");
    }
    let protocols = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
        .map(protocol)
        .collect::<Option<Vec<_>>>();
    let Some(protocols) = protocols else {
        return refuse("a WebSocket subprotocol that is not one word");
    };
    Ok(Some(WebSocketHandshake {
        key: key.clone(),
        protocols,
    }))
}

/// A header that stands on one line alone.
pub(super) fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a HeaderValue> {
    let mut lines = headers.get_all(name).iter();
    let line = lines.next()?;
    lines.next().is_none().then_some(line)
}

/// The members of a comma-separated list over all its lines; empty ones count for nothing
/// (RFC 9110, section 5.6.1).
pub(super) fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(name)
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|token| !token.is_empty())
}

fn protocol(token: &[u8]) -> Option<String> {
    let word = token
        .iter()
        .all(|byte| byte.is_ascii_graphic() && *byte != b'"' && *byte != b'\\');
    let text = std::str::from_utf8(token).ok()?;
    word.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

    fn handshake() -> Vec<(&'static str, &'static str)> {
        vec![
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "WebSocket"),
            ("sec-websocket-key", KEY),
            ("sec-websocket-version", "13"),
        ]
    }

    fn read_lines(lines: &[(&str, &str)]) -> Result<Option<WebSocketHandshake>, WireError> {
        read_as(lines, &Method::GET, Version::HTTP_11, false)
    }

    fn read_as(
        lines: &[(&str, &str)],
        method: &Method,
        version: Version,
        has_body: bool,
    ) -> Result<Option<WebSocketHandshake>, WireError> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let name: HeaderName = name.parse().unwrap();
            headers.append(name, value.parse().unwrap());
        }
        read(&headers, method, version, has_body)
    }

    fn with(name: &'static str, values: &[&'static str]) -> Vec<(&'static str, &'static str)> {
        let mut lines = handshake();
        lines.retain(|line| line.0 != name);
        lines.extend(values.iter().map(|value| (name, *value)));
        lines
    }

    #[test]
    fn a_handshake_is_read_with_its_protocols_in_order() {
        let mut lines = handshake();
        lines.push(("sec-websocket-protocol", "bearer.abc.def, graphql-ws"));
        lines.push(("sec-websocket-protocol", "chat"));
        let read = read_lines(&lines).unwrap().unwrap();
        assert_eq!(read.key, KEY);
        assert_eq!(read.protocols, ["bearer.abc.def", "graphql-ws", "chat"]);
        assert!(!format!("{read:?}").contains("abc"));
    }

    #[test]
    fn b23_c16_other_upgrades_are_plain_requests() {
        for lines in [
            &[][..],
            &[
                ("upgrade", "h2c"),
                ("connection", "Upgrade, HTTP2-Settings"),
            ],
            &[("upgrade", "TLS/1.0, h2c")],
            &[("upgrade", "")],
        ] {
            assert_eq!(read_lines(lines), Ok(None), "{lines:?}");
            assert_eq!(
                read_as(lines, &Method::POST, Version::HTTP_11, true),
                Ok(None)
            );
        }
    }

    #[test]
    fn c15_c16_a_handshake_that_is_not_well_formed_is_refused() {
        for lines in [
            with("connection", &[]),
            with("connection", &["keep-alive"]),
            with("upgrade", &["websocket, h2c"]),
            with("upgrade", &["h2c", "websocket"]),
            with("upgrade", &["websocket", "websocket"]),
            with("sec-websocket-key", &[]),
            with("sec-websocket-key", &["abc"]),
            with("sec-websocket-key", &["dGhlIHNhbXBsZQ=="]),
            with("sec-websocket-key", &[KEY, KEY]),
            with("sec-websocket-version", &[]),
            with("sec-websocket-version", &["8"]),
            with("sec-websocket-version", &["13", "13"]),
            with("sec-websocket-version", &["13, 8"]),
            with("sec-websocket-protocol", &["a b"]),
            with("sec-websocket-protocol", &["\"a\""]),
        ] {
            assert!(
                matches!(read_lines(&lines), Err(WireError::Malformed(_))),
                "{lines:?}"
            );
        }
        for (method, version, has_body) in [
            (Method::POST, Version::HTTP_11, false),
            (Method::GET, Version::HTTP_10, false),
            (Method::GET, Version::HTTP_2, false),
            (Method::GET, Version::HTTP_11, true),
        ] {
            assert!(read_as(&handshake(), &method, version, has_body).is_err());
        }
    }
}
