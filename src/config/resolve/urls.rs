//! URLs, hosts and origins, as far as a configuration holds them. Pure readers; no faults.

use std::net::IpAddr;

/// The parts of an http or https URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HttpUrl {
    /// Whether the scheme is https.
    pub(super) tls: bool,
    /// The host, lower-case, without brackets.
    pub(super) host: String,
    /// The port, or the scheme's.
    pub(super) port: u16,
    /// Path and query; empty or starting with `/` or `?`.
    pub(super) rest: String,
}

impl HttpUrl {
    /// Reads a URL; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = text
            .split_once("://")
            .ok_or("it has no scheme (https://…)")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err("its scheme is neither http nor https"),
        };
        if rest.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\') {
            return Err("it holds a space, a backslash or a control character");
        }
        if rest.contains('#') {
            return Err("it has a fragment (#…)");
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, rest) = rest.split_at_checked(end).unwrap_or((rest, ""));
        if authority.contains('@') {
            return Err("it holds a user or password");
        }
        let (host, port) = split_port(authority).ok_or("its port is not a number")?;
        let host = host
            .strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host)
            .to_ascii_lowercase();
        if !is_host(&host) {
            return Err("its host is not a host name or address");
        }
        Ok(Self {
            tls,
            port: port.unwrap_or(if tls { 443 } else { 80 }),
            host,
            rest: rest.to_owned(),
        })
    }

    /// Whether the host can only be this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.ends_with(".localhost")
            || self
                .host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback())
    }
}

/// A serialised origin (RFC 6454, section 6.2), lower-case, without a default port.
pub(super) fn origin(text: &str) -> Result<String, &'static str> {
    if text == "*" {
        return Err("`*` would let every site in");
    }
    let url = HttpUrl::parse(text)?;
    if !url.rest.is_empty() {
        return Err("an origin has no path");
    }
    let scheme = if url.tls { "https" } else { "http" };
    let host = if url.host.contains(':') {
        format!("[{}]", url.host)
    } else {
        url.host.clone()
    };
    Ok(match (url.tls, url.port) {
        (true, 443) | (false, 80) => format!("{scheme}://{host}"),
        (_, port) => format!("{scheme}://{host}:{port}"),
    })
}

/// Whether this is a lower-case host name or an address without brackets.
pub(super) fn is_host(host: &str) -> bool {
    if host.parse::<IpAddr>().is_ok() {
        return true;
    }
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_')
    };
    host.len() <= 253 && host.split('.').all(label)
}

/// Host and port; `None` when there is a port that is no number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_brackets = authority.rfind(']').map_or(0, |at| at + 1);
    match authority
        .get(after_brackets..)
        .and_then(|tail| tail.rfind(':'))
    {
        None => Some((authority, None)),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(after_brackets + colon)?;
            let digits = port.strip_prefix(':')?;
            let number = digits.parse().ok().filter(|port| *port > 0)?;
            Some((host, Some(number)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = HttpUrl::parse("https://ID.example.com/jwks?x=1").unwrap();
        assert_eq!(
            (url.tls, url.host.as_str(), url.port, url.rest.as_str()),
            (true, "id.example.com", 443, "/jwks?x=1")
        );
        let url = HttpUrl::parse("http://[::1]:8000").unwrap();
        assert_eq!((url.host.as_str(), url.port), ("::1", 8000));
        assert!(url.is_loopback());
        assert!(!HttpUrl::parse("http://10.0.0.1").unwrap().is_loopback());
        for bad in [
            "example.com",
            "ftp://a",
            "http://",
            "http://a:b",
            "http://a:0",
            "http://u:p@a",
            "http://a b",
            "http://a/#x",
            "http://-a",
            "http://a\\b",
        ] {
            assert!(HttpUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins_are_canonical() {
        assert_eq!(
            origin("HTTPS://App.Example.com:443").unwrap(),
            "https://app.example.com"
        );
        assert_eq!(origin("http://[::1]:3000").unwrap(), "http://[::1]:3000");
        for bad in ["*", "null", "https://a/", "https://a/x", "a.example.com"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
