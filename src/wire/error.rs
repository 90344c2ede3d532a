//! Why a request cannot be read, and what is still known of it.
//!
//! The client is told the reason alone; what exactly was wrong stands in the log.

use std::net::IpAddr;

use http::{HeaderValue, Method, Version};

use super::request_id::RequestId;
use crate::reason::Reason;

/// Why a request is refused before anything looks for a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Two parties could read it in two ways.
    #[error("ambiguous request: {0}")]
    Ambiguous(&'static str),
    /// It is not well-formed.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// The TLS server name leads elsewhere than the Host.
    #[error("the TLS server name leads elsewhere than the Host")]
    HostMismatch,
    /// The header section exceeds `limits.header_size` or `limits.headers`.
    #[error("the header section exceeds the limit")]
    HeadersTooLarge,
    /// The request target exceeds `limits.uri`.
    #[error("the request target exceeds the limit")]
    UriTooLong,
    /// The body exceeds the limit of its route.
    #[error("the body exceeds the limit")]
    BodyTooLarge,
    /// `Expect` holds something other than `100-continue`.
    #[error("an Expect other than 100-continue")]
    ExpectationFailed,
    /// CONNECT or TRACE, which no route can list.
    #[error("a method that is never served")]
    MethodNotAllowed,
    /// The request has been through this gateway before.
    #[error("the request has been through this gateway before")]
    LoopDetected,
}

impl WireError {
    /// The machine-readable code.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Ambiguous(_) => Reason::AmbiguousRequest,
            Self::Malformed(_) => Reason::MalformedRequest,
            Self::HostMismatch => Reason::HostMismatch,
            Self::HeadersTooLarge => Reason::HeadersTooLarge,
            Self::UriTooLong => Reason::UriTooLong,
            Self::BodyTooLarge => Reason::BodyTooLarge,
            Self::ExpectationFailed => Reason::ExpectationFailed,
            Self::MethodNotAllowed => Reason::MethodNotAllowed,
            Self::LoopDetected => Reason::LoopDetected,
        }
    }

    /// Whether an HTTP/1 connection cannot be trusted to be in step afterwards, so that the
    /// refusal must also close it.
    #[must_use]
    pub const fn breaks_connection(&self) -> bool {
        matches!(
            self,
            Self::Ambiguous(_)
                | Self::Malformed(_)
                | Self::HeadersTooLarge
                | Self::UriTooLong
                // What follows a CONNECT may already be meant for the tunnel.
                | Self::MethodNotAllowed
        )
    }
}

/// A request that could not be read: enough for the refusal and its audit line, and no more.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Why.
    pub error: WireError,
    /// Its method.
    pub method: Method,
    /// Its protocol version.
    pub version: Version,
    /// Its path without the query, as far as it can be shown: control characters and what is not
    /// ASCII escaped, cut to 256 bytes.
    pub path: String,
    /// Its id, fresh or believed from a trusted proxy.
    pub request_id: RequestId,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client asked for HTML.
    pub wants_html: bool,
    /// Its Origin, where it has exactly one.
    pub origin: Option<HeaderValue>,
}

/// Longest path in an [`Unreadable`].
const SHOWN_PATH_BYTES: usize = 256;

/// A path that can stand in a log line.
pub(super) fn shown(path: &str) -> String {
    let mut text = String::with_capacity(path.len().min(SHOWN_PATH_BYTES));
    for character in path.chars() {
        let visible = character.is_ascii_graphic();
        let len = if visible {
            1
        } else {
            character.escape_default().len()
        };
        if text.len() + len > SHOWN_PATH_BYTES {
            break;
        }
        if visible {
            text.push(character);
        } else {
            text.extend(character.escape_default());
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn f7_a_path_in_a_log_line_is_escaped_and_cut() {
        assert_eq!(shown("/a b\u{1b}é\n"), "/a b\\u{1b}\\u{e9}\\n");
        assert_eq!(shown(&format!("/{}", "x".repeat(9000))).len(), 256);
        assert!(shown(&"é".repeat(9000)).len() <= 256);
    }
}
