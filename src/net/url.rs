//! URLs that the gateway itself asks: `http` or `https`, one host, no user information, no fragment.
//!
//! Read once at load. A URL that a request carries never becomes an [`HttpUrl`].

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// Longest URL in bytes.
const MAX_URL_BYTES: usize = 8 * 1024;

/// Why a text is not a URL that can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than 8 KiB.
    #[error("the URL is longer than 8 KiB")]
    TooLong,
    /// Not `http://` or `https://`.
    #[error("the URL must begin with http:// or https://")]
    Scheme,
    /// `user:password@` before the host.
    #[error("the URL must not hold a user name or password")]
    UserInfo,
    /// `#` and what follows.
    #[error("the URL must not have a fragment")]
    Fragment,
    /// No host, or not one.
    #[error("the URL has no valid host")]
    Host,
    /// Not a port.
    #[error("the URL's port is not one")]
    Port,
    /// A space, a control character or a byte that must be percent-encoded.
    #[error("the URL holds a character that must be percent-encoded")]
    Character,
}

/// An absolute `http` or `https` URL.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    tls: bool,
    host: String,
    port: u16,
    target: String,
}

impl HttpUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        if text.len() > MAX_URL_BYTES {
            return Err(UrlError::TooLong);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = if scheme.eq_ignore_ascii_case("https") {
            true
        } else if scheme.eq_ignore_ascii_case("http") {
            false
        } else {
            return Err(UrlError::Scheme);
        };
        if rest.contains('#') {
            return Err(UrlError::Fragment);
        }
        let cut = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(cut);
        if authority.contains('@') {
            return Err(UrlError::UserInfo);
        }
        let (host, port) = split_authority(authority)?;
        let port = match port {
            Some(port) => parse_port(port)?,
            None if tls => 443,
            None => 80,
        };
        let target = if target.starts_with('/') {
            target.to_owned()
        } else {
            format!("/{target}")
        };
        if !target.bytes().all(|b| b.is_ascii_graphic())
            || target.parse::<http::uri::PathAndQuery>().is_err()
        {
            return Err(UrlError::Character);
        }
        Ok(Self {
            tls,
            host,
            port,
            target,
        })
    }

    /// Whether TLS is spoken.
    #[must_use]
    pub const fn tls(&self) -> bool {
        self.tls
    }

    /// Host name or address: lower-case, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Path and query, as the request line has them.
    #[must_use]
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The `Host` header: brackets around an IPv6 address, the scheme's default port left out.
    #[must_use]
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// Whether the host is this machine: a loopback address or `localhost`.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|ip| ip.to_canonical().is_loopback())
    }

    /// Whether both lead to the same scheme, host and port.
    #[must_use]
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.host_header(), self.target)
    }
}

/// Without the query, which may hold a key.
impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        let path = self.target.split('?').next().unwrap_or_default();
        write!(f, "{scheme}://{}{path}", self.host_header())
    }
}

fn split_authority(authority: &str) -> Result<(String, Option<&str>), UrlError> {
    if let Some(rest) = authority.strip_prefix('[') {
        let (address, after) = rest.split_once(']').ok_or(UrlError::Host)?;
        let address: Ipv6Addr = address.parse().map_err(|_| UrlError::Host)?;
        let port = match after {
            "" => None,
            _ => Some(after.strip_prefix(':').ok_or(UrlError::Host)?),
        };
        return Ok((address.to_string(), port));
    }
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    let valid = !host.is_empty()
        && host.len() <= 253
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_'));
    if !valid {
        return Err(UrlError::Host);
    }
    Ok((host.to_ascii_lowercase(), port))
}

fn parse_port(text: &str) -> Result<u16, UrlError> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UrlError::Port);
    }
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or(UrlError::Port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_ports_and_targets_are_taken_apart() {
        let url = HttpUrl::parse("HTTPS://Keys.Example/.well-known/jwks.json?a=b").unwrap();
        assert!(url.tls());
        assert_eq!((url.host(), url.port()), ("keys.example", 443));
        assert_eq!(url.target(), "/.well-known/jwks.json?a=b");
        assert_eq!(url.host_header(), "keys.example");
        let url = HttpUrl::parse("http://[::1]:8080").unwrap();
        assert_eq!((url.host(), url.port()), ("::1", 8080));
        assert_eq!((url.target(), &*url.host_header()), ("/", "[::1]:8080"));
        assert!(url.is_loopback());
        assert_eq!(HttpUrl::parse("http://a?x=1").unwrap().target(), "/?x=1");
    }

    #[test]
    fn what_is_not_one_plain_url_is_refused() {
        for (text, why) in [
            ("file:///etc/passwd", UrlError::Scheme),
            ("keys.example/jwks", UrlError::Scheme),
            ("http://", UrlError::Host),
            ("http:///x", UrlError::Host),
            ("http://a b/", UrlError::Host),
            ("http://[::1/", UrlError::Host),
            ("http://[::1]x/", UrlError::Host),
            ("http://u:p@a/", UrlError::UserInfo),
            ("http://a/#x", UrlError::Fragment),
            ("http://a:/", UrlError::Port),
            ("http://a:0/", UrlError::Port),
            ("http://a:+1/", UrlError::Port),
            ("http://a:65536/", UrlError::Port),
            ("http://a/x y", UrlError::Character),
            ("http://a/\r\nX: y", UrlError::Character),
            ("http://a/é", UrlError::Character),
        ] {
            assert_eq!(HttpUrl::parse(text), Err(why), "{text:?}");
        }
    }

    #[test]
    fn debug_leaves_the_query_out() {
        let url = HttpUrl::parse("http://a/x?key=canary").unwrap();
        assert_eq!(format!("{url:?}"), "http://a/x");
    }
}
