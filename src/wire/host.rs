//! Host: whom the request is addressed to, in one normalised spelling.
//!
//! Lower-case, without a trailing dot, without the scheme's default port (RFC 9110, section 4.2.3;
//! RFC 3986, section 6.2). The spelling read here is the one that tenants and routes are matched by
//! and that the upstream is sent, so that nobody downstream can see another host than we did.

use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::sync::Arc;

use http::HeaderValue;

use super::error::WireError;
use super::peer::Scheme;

/// Longest host name (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// Longest label (RFC 1035, section 2.3.4).
const MAX_LABEL: usize = 63;

/// A normalised host and port; cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Host(Arc<Named>);

#[derive(PartialEq, Eq)]
struct Named {
    authority: Box<str>,
    name_len: usize,
    port: Option<u16>,
    /// The authority once more.
    value: HeaderValue,
}

impl Host {
    /// Reads a `Host` value, an `:authority` or the authority of an absolute-form target.
    pub(super) fn read(text: &[u8], scheme: Scheme) -> Result<Self, WireError> {
        let text = std::str::from_utf8(text)
            .ok()
            .filter(|text| text.is_ascii())
            .ok_or(WireError::Malformed("a Host that is not ASCII"))?;
        let (name, port) = split(text)?;
        let port = port
            .map(parse_port)
            .transpose()?
            .filter(|port| *port != scheme.default_port());
        let mut authority = normalised_name(name)?;
        let name_len = authority.len();
        if let Some(port) = port {
            // Writing to a String cannot fail.
            let _ = write!(authority, ":{port}");
        }
        Ok(Self(Arc::new(Named {
            // Host names and digits are always a header value.
            value: HeaderValue::from_str(&authority).map_err(|_| INVALID)?,
            authority: authority.into_boxed_str(),
            name_len,
            port,
        })))
    }

    /// Whether this is the very reading that `other` is a clone of.
    #[must_use]
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The name: lower-case, no trailing dot, an IPv6 address in brackets.
    #[must_use]
    pub fn name(&self) -> &str {
        let Named {
            authority,
            name_len,
            ..
        } = &*self.0;
        authority.get(..*name_len).unwrap_or_default()
    }

    /// The port, unless it is the scheme's default.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        self.0.port
    }

    /// Name and port, as `Host` carries them.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.0.authority
    }

    /// Name and port as a header value.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        self.0.value.clone()
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.authority())
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Host({:?})", self.authority())
    }
}

/// Splits at the colon before the port; the colons of an IPv6 address stand in brackets.
fn split(text: &str) -> Result<(&str, Option<&str>), WireError> {
    let end = if text.starts_with('[') {
        text.find(']')
            .ok_or(WireError::Malformed("a Host with an open bracket"))?
            + 1
    } else {
        text.find(':').unwrap_or(text.len())
    };
    match text.split_at_checked(end) {
        Some((name, "")) => Ok((name, None)),
        Some((name, rest)) => rest
            .strip_prefix(':')
            .map(|port| (name, Some(port)))
            .ok_or(WireError::Malformed("a Host with something after its name")),
        None => Err(WireError::Malformed("an invalid Host")),
    }
}

fn parse_port(digits: &str) -> Result<u16, WireError> {
    let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
    canonical
        .then(|| digits.parse().ok())
        .flatten()
        .ok_or(WireError::Malformed("a Host with an invalid port"))
}

const INVALID: WireError = WireError::Malformed("an invalid Host");

fn normalised_name(name: &str) -> Result<String, WireError> {
    if let Some(address) = name.strip_prefix('[') {
        let address: Ipv6Addr = address
            .strip_suffix(']')
            .and_then(|address| address.parse().ok())
            .ok_or(WireError::Malformed("a Host with an invalid IPv6 address"))?;
        return Ok(format!("[{address}]"));
    }
    let name = name.strip_suffix('.').unwrap_or(name);
    let fits = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    if name.len() > MAX_NAME || !name.split('.').all(fits) {
        return Err(INVALID);
    }
    Ok(name.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, scheme: Scheme) -> Option<String> {
        let host = Host::read(text.as_bytes(), scheme).ok()?;
        assert_eq!(
            host.authority(),
            host.port().map_or_else(
                || host.name().to_owned(),
                |p| format!("{}:{p}", host.name())
            )
        );
        Some(host.authority().to_owned())
    }

    #[test]
    fn b21_one_spelling_of_a_host() {
        for (sent, scheme, read_as) in [
            ("A.EXAMPLE", Scheme::Http, "a.example"),
            ("a.example.", Scheme::Http, "a.example"),
            ("a.example.:80", Scheme::Http, "a.example"),
            ("a.example:443", Scheme::Https, "a.example"),
            ("a.example:443", Scheme::Http, "a.example:443"),
            ("a.example:80", Scheme::Https, "a.example:80"),
            ("a.example:65535", Scheme::Https, "a.example:65535"),
            ("127.0.0.1:8080", Scheme::Http, "127.0.0.1:8080"),
            ("0x7f.1", Scheme::Http, "0x7f.1"),
            ("xn--example-.org", Scheme::Http, "xn--example-.org"),
            ("my_service", Scheme::Http, "my_service"),
            ("[::1]", Scheme::Http, "[::1]"),
            ("[0:0:0:0:0:0:0:1]:8080", Scheme::Http, "[::1]:8080"),
            ("[2001:DB8::A]:443", Scheme::Https, "[2001:db8::a]"),
        ] {
            assert_eq!(read(sent, scheme).as_deref(), Some(read_as), "{sent}");
        }
    }

    #[test]
    fn b16_what_is_not_a_host_is_refused() {
        for sent in [
            "",
            ".",
            ":80",
            "a b",
            "a b/c@d",
            "a/b",
            "a,b",
            "a,a",
            "user@a.example",
            "a.example:",
            "a.example:0",
            "a.example:0443",
            "a.example:99999",
            "a.example:123456",
            "a.example:+80",
            "a.example:80:80",
            "a..example",
            ".a.example",
            "a.example..",
            "bücher.example",
            "a%2eexample",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%25eth0]",
            "[fe80::1%eth0]",
            "[127.0.0.1]",
            "[]",
            "a\\b",
            "a?b",
            "a#b",
            "a\tb",
            &"a".repeat(64),
            &"a.".repeat(130),
        ] {
            assert_eq!(read(sent, Scheme::Http), None, "{sent:?}");
        }
    }
}
