//! Memo: what the requests of one connection have in common, kept from one to the next.
//!
//! Nearly always they name one Host, and then the way that they came is described in the same words.
//! Nothing here says who a request acts as, and nothing of a client's buffer is held on to.

use std::cell::RefCell;

use http::HeaderValue;

use super::error::WireError;
use super::host::Host;
use super::peer::Scheme;

/// What one connection remembers; of the last request alone.
#[derive(Debug, Clone, Default)]
pub struct Memo {
    host: RefCell<Option<ReadHost>>,
    trail: RefCell<Option<(Host, Trail)>>,
}

#[derive(Debug, Clone)]
struct ReadHost {
    sent: Box<[u8]>,
    scheme: Scheme,
    host: Host,
}

/// The fields that describe the way of a request whose client is the peer itself.
#[derive(Debug, Clone)]
pub struct Trail {
    /// `X-Forwarded-For`.
    pub forwarded_for: HeaderValue,
    /// `Forwarded`.
    pub forwarded: HeaderValue,
    /// `X-Forwarded-Port`.
    pub port: HeaderValue,
}

impl Memo {
    /// [`Host::read`], or what it said when the last request had the very same value.
    pub(super) fn host(&self, sent: &[u8], scheme: Scheme) -> Result<Host, WireError> {
        let mut last = self.host.borrow_mut();
        if let Some(last) = &*last
            && *last.sent == *sent
            && last.scheme == scheme
        {
            return Ok(last.host.clone());
        }
        let host = Host::read(sent, scheme)?;
        *last = Some(ReadHost {
            sent: sent.into(),
            scheme,
            host: host.clone(),
        });
        Ok(host)
    }

    /// The trail of a request to `host`, or the one that was made for the last request if its host
    /// was the same reading, and so of the same scheme.
    pub fn trail(&self, host: &Host, make: impl FnOnce() -> Trail) -> Trail {
        let mut last = self.trail.borrow_mut();
        if let Some((of, trail)) = &*last
            && of.is(host)
        {
            return trail.clone();
        }
        let trail = make();
        *last = Some((host.clone(), trail.clone()));
        trail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_value_or_scheme_is_read_anew() {
        let memo = Memo::default();
        let read = |sent: &str, scheme| memo.host(sent.as_bytes(), scheme);
        let first = read("A.example:443", Scheme::Http).unwrap();
        assert_eq!(first.authority(), "a.example:443");
        assert!(read("A.example:443", Scheme::Http).unwrap().is(&first));
        let secure = read("A.example:443", Scheme::Https).unwrap();
        assert_eq!(secure.authority(), "a.example");
        assert_eq!(
            read("b.example", Scheme::Https).unwrap().authority(),
            "b.example"
        );
        assert!(read("a b", Scheme::Https).is_err());
        assert!(
            read("a b", Scheme::Https).is_err(),
            "an error is not remembered as a host"
        );
        assert_eq!(
            read("b.example", Scheme::Https).unwrap().authority(),
            "b.example"
        );
    }

    #[test]
    fn a_trail_is_that_of_its_host() {
        let memo = Memo::default();
        let trail = |host: &Host, port: u16| {
            let make = || Trail {
                forwarded_for: HeaderValue::from_static("192.0.2.1"),
                forwarded: HeaderValue::from_static("for=192.0.2.1"),
                port: HeaderValue::from(port),
            };
            memo.trail(host, make).port
        };
        let clear = memo.host(b"a", Scheme::Http).unwrap();
        assert_eq!(trail(&clear, 80), "80");
        assert_eq!(trail(&clear, 1), "80", "kept");
        let secure = memo.host(b"a", Scheme::Https).unwrap();
        assert_eq!(trail(&secure, 443), "443");
        assert_eq!(trail(&clear, 80), "80");
    }
}
