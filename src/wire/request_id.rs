//! The id that follows one request through responses, logs and the upstream.
//!
//! Believed only from a trusted proxy, and only when it is short and plain; otherwise 128 fresh
//! random bits. Random bytes are drawn from the system's generator in blocks, per thread.

use std::cell::RefCell;
use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest id that is believed.
const MAX_BYTES: usize = 128;

/// Random bytes drawn at once.
const BLOCK: usize = 1024;

/// A request's id: 1 to 128 plain ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// A fresh one: 128 random bits in lower-case hexadecimal.
    #[must_use]
    pub fn fresh() -> Self {
        Self(Arc::from(random_hex::<32>().as_str()))
    }

    /// The id that a trusted proxy sent, if it sent exactly one that is usable.
    pub(super) fn believed(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        let text = line.to_str().ok()?;
        let usable = (1..=MAX_BYTES).contains(&text.len()) && text.bytes().all(is_plain);
        usable.then(|| Self(Arc::from(text)))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as a header value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0)
            .unwrap_or_else(|_| HeaderValue::from_static("invalid-request-id"))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Letters, digits and what common ids are punctuated with: nothing that could end a string, a list
/// or a tag in somebody's log. Many proxies pass on what their client sent.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'_' | b'.' | b':' | b'+' | b'/' | b'=' | b'@' | b'~'
        )
}

/// `N` random lower-case hexadecimal digits.
pub(super) fn random_hex<const N: usize>() -> String {
    let mut text = String::with_capacity(N);
    POOL.with_borrow_mut(|pool| {
        while text.len() < N {
            let byte = pool.next();
            for nibble in [byte >> 4, byte & 0x0f] {
                text.extend(char::from_digit(u32::from(nibble), 16));
            }
        }
    });
    text.truncate(N);
    text
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool { bytes: Vec::new() }) };
}

/// Random bytes that have not been handed out yet.
struct Pool {
    bytes: Vec<u8>,
}

impl Pool {
    fn next(&mut self) -> u8 {
        if let Some(byte) = self.bytes.pop() {
            return byte;
        }
        self.bytes.resize(BLOCK, 0);
        // Invariant: a system without random numbers makes no key and no TLS session either;
        // aws-lc itself ends the process in that case.
        let filled = aws_lc_rs::rand::fill(&mut self.bytes);
        assert!(filled.is_ok(), "the system has no random numbers");
        self.bytes.pop().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: HeaderName = HeaderName::from_static("x-request-id");

    fn believed(lines: &[&[u8]]) -> Option<RequestId> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(NAME, HeaderValue::from_bytes(line).unwrap());
        }
        RequestId::believed(&headers, &NAME)
    }

    #[test]
    fn fresh_ids_are_128_bits_and_differ() {
        let ids: std::collections::HashSet<_> = (0..1000).map(|_| RequestId::fresh()).collect();
        assert_eq!(ids.len(), 1000);
        for id in ids {
            assert_eq!(id.as_str().len(), 32);
            assert!(id.as_str().bytes().all(|b| b.is_ascii_hexdigit()));
        }
    }

    #[test]
    fn only_one_short_plain_line_is_believed() {
        assert_eq!(believed(&[b"abc-1"]).unwrap().as_str(), "abc-1");
        assert!(believed(&[&[b'x'; 128]]).is_some());
        for lines in [
            &[][..],
            &[&b""[..]],
            &[&[b'x'; 129]],
            &[b"a b"],
            &[b"a\tb"],
            &[b"a\"b"],
            &[b"a,b"],
            &[b"<b>"],
            &[b"{a}"],
            &[b"\xe9"],
            &[b"a", b"a"],
        ] {
            assert!(believed(lines).is_none(), "{lines:?}");
        }
    }
}
