//! The id that follows one request through responses, logs and the upstream.
//!
//! Believed only from a trusted proxy, and only when it is short and plain; otherwise 128 fresh
//! random bits. Random bytes are drawn from the system's generator and written out in blocks, per
//! thread, and an id is a part of its block: a request costs neither a call nor an allocation for it.

use std::cell::RefCell;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest id that is believed.
const MAX_BYTES: usize = 128;

/// Bytes of a fresh id in hexadecimal.
const FRESH: usize = 32;

/// Ids that are made at once.
const BLOCK: usize = 32;

/// A request's id: 1 to 128 plain ASCII characters.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// A fresh one: 128 random bits in lower-case hexadecimal.
    #[must_use]
    pub fn fresh() -> Self {
        let text = BLOCKS.with_borrow_mut(|block| {
            if block.len() < FRESH {
                *block = fresh_block();
            }
            block.split_to(FRESH)
        });
        // Hexadecimal digits are always a header value.
        Self(HeaderValue::from_maybe_shared(text).unwrap_or(HeaderValue::from_static("unknown")))
    }

    /// The id that a trusted proxy sent, if it sent exactly one that is usable.
    pub(super) fn believed(headers: &HeaderMap, name: &HeaderName) -> Option<Self> {
        let mut lines = headers.get_all(name).iter();
        let (Some(line), None) = (lines.next(), lines.next()) else {
            return None;
        };
        let text = line.as_bytes();
        let usable = (1..=MAX_BYTES).contains(&text.len()) && text.iter().copied().all(is_plain);
        usable.then(|| Self(line.clone()))
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Plain characters are text.
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }

    /// The id as a header value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    let mut random = [0; N];
    fill(&mut random);
    random
        .iter()
        .map(|byte| char::from_digit(u32::from(byte & 0x0f), 16).unwrap_or('0'))
        .collect()
}

thread_local! {
    /// Ids that have not been handed out yet, one behind the other.
    static BLOCKS: RefCell<Bytes> = const { RefCell::new(Bytes::new()) };
}

fn fresh_block() -> Bytes {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut random = [0; BLOCK * FRESH / 2];
    fill(&mut random);
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
    let mut text = [0; BLOCK * FRESH];
    for (pair, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(random) {
        *pair = [digit(byte >> 4), digit(byte & 0x0f)];
    }
    Bytes::copy_from_slice(&text)
}

fn fill(random: &mut [u8]) {
    // Invariant: a system without random numbers makes no key and no TLS session either;
    // aws-lc itself ends the process in that case.
    let filled = aws_lc_rs::rand::fill(random);
    assert!(filled.is_ok(), "the system has no random numbers");
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
