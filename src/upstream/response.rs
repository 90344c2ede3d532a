//! Response: whether what an upstream answered may be passed on at all.
//!
//! Pure: a head and what was asked in, a verdict out. Checks what hyper accepts and a gateway must
//! not: a message whose end has two readings, a status that no client knows, a switch of protocols
//! that nobody asked for, another request's id.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{
    CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, request, response};

/// RFC 6455, section 1.3.
const WEBSOCKET_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What the answer to one request must be like.
#[derive(Debug, Default)]
pub(super) struct Expectation {
    handshake: Option<Handshake>,
    request_id: Option<(HeaderName, HeaderValue)>,
}

/// What a WebSocket handshake asked for.
#[derive(Debug)]
struct Handshake {
    accept: String,
    protocols: Vec<String>,
    extensions: Vec<String>,
}

impl Expectation {
    /// What a request asks for; `None` when it calls itself a handshake and is none.
    pub(super) fn of(
        head: &request::Parts,
        websocket: bool,
        request_id: Option<(HeaderName, HeaderValue)>,
    ) -> Option<Self> {
        let handshake = if websocket {
            let key = head.headers.get(SEC_WEBSOCKET_KEY)?;
            let mut text = key.as_bytes().to_vec();
            text.extend_from_slice(WEBSOCKET_GUID);
            Some(Handshake {
                accept: STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text)),
                protocols: list(&head.headers, &SEC_WEBSOCKET_PROTOCOL)?,
                extensions: list(&head.headers, &SEC_WEBSOCKET_EXTENSIONS)?,
            })
        } else {
            None
        };
        Some(Self {
            handshake,
            request_id,
        })
    }

    /// Checks an answer; the error says what is wrong with it.
    pub(super) fn check(&self, head: &response::Parts) -> Result<(), &'static str> {
        // StatusCode is never below 100, and hyper skips interim responses but for 101.
        if head.status.as_u16() >= 600 {
            return Err("a status above 599");
        }
        if let Some(codings) = head.headers.get(TRANSFER_ENCODING) {
            if head.headers.contains_key(CONTENT_LENGTH) {
                return Err("both Content-Length and Transfer-Encoding");
            }
            // TE was not sent, so no other coding may be used (RFC 9112, section 7.4).
            let several = head.headers.get_all(TRANSFER_ENCODING).iter().count() > 1;
            if several || !codings.as_bytes().eq_ignore_ascii_case(b"chunked") {
                return Err("a Transfer-Encoding other than chunked");
            }
        }
        if let Some((name, sent)) = &self.request_id
            && head.headers.get_all(name).iter().any(|got| got != sent)
        {
            return Err("the response of another request");
        }
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return match &self.handshake {
                Some(handshake) => handshake.check(&head.headers),
                None => Err("a switch of protocols that was not asked for"),
            };
        }
        Ok(())
    }
}

impl Handshake {
    /// RFC 6455, section 4.1, the client's checks 2 to 6.
    fn check(&self, headers: &HeaderMap) -> Result<(), &'static str> {
        let unreadable = "an unreadable WebSocket handshake";
        let upgrade = list(headers, &UPGRADE).ok_or(unreadable)?;
        if upgrade.len() != 1 || !upgrade.iter().all(|t| t.eq_ignore_ascii_case("websocket")) {
            return Err("a switch to another protocol than WebSocket");
        }
        let connection = list(headers, &CONNECTION).ok_or(unreadable)?;
        if !connection.iter().any(|t| t.eq_ignore_ascii_case("upgrade")) {
            return Err("a WebSocket handshake without Connection: upgrade");
        }
        let accepts: Vec<_> = headers.get_all(SEC_WEBSOCKET_ACCEPT).iter().collect();
        if !matches!(accepts.as_slice(), [one] if one.as_bytes() == self.accept.as_bytes()) {
            return Err("a wrong Sec-WebSocket-Accept");
        }
        let protocols = list(headers, &SEC_WEBSOCKET_PROTOCOL).ok_or(unreadable)?;
        if protocols.len() > 1 || protocols.iter().any(|p| !self.protocols.contains(p)) {
            return Err("a WebSocket subprotocol that was not offered");
        }
        let extensions = list(headers, &SEC_WEBSOCKET_EXTENSIONS).ok_or(unreadable)?;
        let offered =
            |extension: &String| self.extensions.iter().any(|o| name(o) == name(extension));
        if !extensions.iter().all(offered) {
            return Err("a WebSocket extension that was not offered");
        }
        Ok(())
    }
}

/// The name of an extension, without its parameters.
fn name(extension: &str) -> &str {
    extension.split(';').next().unwrap_or_default().trim()
}

/// The members of a comma-separated header over all its lines; `None` when one is not ASCII.
fn list(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<String>> {
    let mut members = Vec::new();
    for line in headers.get_all(name) {
        let line = line.to_str().ok()?;
        members.extend(
            line.split(',')
                .map(str::trim)
                .filter(|member| !member.is_empty())
                .map(str::to_owned),
        );
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{Request, Response};

    fn asked(lines: &[(&str, &str)], websocket: bool) -> Option<Expectation> {
        let mut request = Request::get("/ws");
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        let id = (
            HeaderName::from_static("x-request-id"),
            HeaderValue::from_static("r1"),
        );
        Expectation::of(
            &request.body(()).unwrap().into_parts().0,
            websocket,
            Some(id),
        )
    }

    fn verdict(
        asked: &Expectation,
        status: u16,
        lines: &[(&str, &str)],
    ) -> Result<(), &'static str> {
        let mut response = Response::builder().status(status);
        for (name, value) in lines {
            response = response.header(*name, *value);
        }
        asked.check(&response.body(()).unwrap().into_parts().0)
    }

    /// The example of RFC 6455, section 1.3.
    const KEY: (&str, &str) = ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
    const ACCEPT: (&str, &str) = ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    const UP: (&str, &str) = ("upgrade", "websocket");
    const CONN: (&str, &str) = ("connection", "Upgrade");

    #[test]
    fn a_fitting_handshake_passes() {
        let asked = asked(&[KEY, ("sec-websocket-protocol", "chat, superchat")], true).unwrap();
        assert_eq!(verdict(&asked, 101, &[UP, CONN, ACCEPT]), Ok(()));
        let chosen = ("sec-websocket-protocol", "superchat");
        assert_eq!(verdict(&asked, 101, &[UP, CONN, ACCEPT, chosen]), Ok(()));
        assert_eq!(verdict(&asked, 426, &[]), Ok(()), "a refusal is relayed");
    }

    #[test]
    fn c15_a_handshake_that_does_not_fit_is_refused() {
        let asked = asked(&[KEY, ("sec-websocket-protocol", "chat")], true).unwrap();
        for lines in [
            &[][..],
            &[UP, CONN],
            &[UP, ACCEPT],
            &[CONN, ACCEPT],
            &[("upgrade", "h2c"), CONN, ACCEPT],
            &[("upgrade", "websocket, h2c"), CONN, ACCEPT],
            &[
                UP,
                CONN,
                ("sec-websocket-accept", "AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
            ],
            &[UP, CONN, ACCEPT, ACCEPT],
            &[UP, CONN, ACCEPT, ("sec-websocket-protocol", "other")],
            &[
                UP,
                CONN,
                ACCEPT,
                ("sec-websocket-extensions", "permessage-deflate"),
            ],
        ] {
            assert!(verdict(&asked, 101, lines).is_err(), "{lines:?}");
        }
    }

    #[test]
    fn c14_an_unsolicited_switch_is_refused() {
        let plain = asked(&[], false).unwrap();
        assert!(verdict(&plain, 101, &[UP, CONN, ACCEPT]).is_err());
        assert!(asked(&[], true).is_none(), "a handshake has a key");
    }

    #[test]
    fn c18_framing_and_status_are_checked() {
        let plain = asked(&[], false).unwrap();
        let chunked = ("transfer-encoding", "Chunked");
        assert_eq!(verdict(&plain, 200, &[chunked]), Ok(()));
        assert!(verdict(&plain, 200, &[chunked, ("content-length", "1")]).is_err());
        assert!(verdict(&plain, 200, &[("transfer-encoding", "gzip, chunked")]).is_err());
        assert!(verdict(&plain, 200, &[chunked, chunked]).is_err());
        assert!(verdict(&plain, 200, &[("transfer-encoding", "identity")]).is_err());
        assert!(verdict(&plain, 600, &[]).is_err());
        assert!(verdict(&plain, 999, &[]).is_err());
        assert_eq!(verdict(&plain, 599, &[]), Ok(()));
    }

    #[test]
    fn another_requests_id_is_refused() {
        let plain = asked(&[], false).unwrap();
        assert_eq!(verdict(&plain, 200, &[("x-request-id", "r1")]), Ok(()));
        assert!(verdict(&plain, 200, &[("x-request-id", "r2")]).is_err());
        let two = [("x-request-id", "r1"), ("x-request-id", "r2")];
        assert!(verdict(&plain, 200, &two).is_err());
    }
}
