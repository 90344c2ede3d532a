//! What a trusted proxy says about the client, and what nobody else may say.
//!
//! Forwarding headers are believed only from a TCP peer that the listener names. The client is the
//! right-most address in `X-Forwarded-For` that is not itself a trusted proxy; everything to the
//! left of it is the client's own claim and is never looked at. `X-Forwarded-Host`, `-Prefix` and
//! `-Uri` are believed from nobody.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName};
use ipnet::IpNet;

use super::error::WireError;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the client speaks to the outermost trusted party.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// In clear text.
    Http,
    /// Over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    #[must_use]
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Whether forwarding headers of this peer are believed. IPv4-mapped addresses of a dual-stack
/// socket count as the IPv4 addresses that they are.
#[must_use]
pub fn is_trusted(peer: IpAddr, trusted: &[IpNet]) -> bool {
    !trusted.is_empty() && {
        let peer = peer.to_canonical();
        trusted.iter().any(|net| net.contains(&peer))
    }
}

/// The client, and the trusted proxies behind it in the order of the header (the peer left out).
pub(super) fn client(
    headers: &HeaderMap,
    peer: IpAddr,
    trusted: &[IpNet],
) -> (IpAddr, Vec<IpAddr>) {
    let mut client = peer.to_canonical();
    let mut proxies = Vec::new();
    if !is_trusted(client, trusted) {
        return (client, proxies);
    }
    let lines = headers.get_all(X_FORWARDED_FOR).iter().collect::<Vec<_>>();
    let entries = lines
        .into_iter()
        .rev()
        .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
    for (index, entry) in entries.enumerate() {
        // What a trusted proxy wrote that is no address ends what is known.
        let Some(address) = parse_address(entry) else {
            break;
        };
        if index > 0 {
            proxies.push(client);
        }
        client = address;
        if !is_trusted(client, trusted) {
            break;
        }
    }
    proxies.reverse();
    (client, proxies)
}

/// The scheme: the connection's, or what a trusted peer (the last who wrote) says it was.
pub(super) fn scheme(headers: &HeaderMap, tls: bool, trusted: bool) -> Result<Scheme, WireError> {
    let own = if tls { Scheme::Https } else { Scheme::Http };
    if !trusted {
        return Ok(own);
    }
    let Some(line) = headers.get_all(X_FORWARDED_PROTO).iter().next_back() else {
        return Ok(own);
    };
    let last = line.as_bytes().rsplit(|byte| *byte == b',').next();
    match last.unwrap_or_default().trim_ascii() {
        name if name.eq_ignore_ascii_case(b"https") || name.eq_ignore_ascii_case(b"wss") => {
            Ok(Scheme::Https)
        }
        name if name.eq_ignore_ascii_case(b"http") || name.eq_ignore_ascii_case(b"ws") => {
            Ok(Scheme::Http)
        }
        _ => Err(WireError::Malformed(
            "an X-Forwarded-Proto that names no scheme",
        )),
    }
}

/// An address as proxies write it: `1.2.3.4`, `1.2.3.4:5`, `::1`, `[::1]`, `[::1]:5`.
fn parse_address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_ascii();
    let address = text
        .parse()
        .or_else(|_| text.parse().map(|address: SocketAddr| address.ip()))
        .ok()
        .or_else(|| {
            let inner = text.strip_prefix('[')?.strip_suffix(']')?;
            inner.parse().map(IpAddr::V6).ok()
        })?;
    Some(address.to_canonical())
}

/// Appends an address as everybody writes it; the formatter costs more than the digits of an IPv4
/// address.
pub fn push_address(text: &mut Vec<u8>, address: IpAddr) {
    let IpAddr::V4(address) = address else {
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{address}");
        return;
    };
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            text.push(b'.');
        }
        for (value, divisor) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= value {
                text.push(b'0' + octet / divisor % 10);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_everywhere() {
        let written = |address: IpAddr| {
            let mut text = Vec::new();
            push_address(&mut text, address);
            String::from_utf8(text).unwrap()
        };
        for octet in 0..=255_u8 {
            let address = IpAddr::from([octet, 255 - octet, octet / 10, 7]);
            assert_eq!(written(address), address.to_string());
        }
        assert_eq!(written("2001:db8::1".parse().unwrap()), "2001:db8::1");
    }

    fn headers(name: &HeaderName, lines: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(name, line.parse().unwrap());
        }
        headers
    }

    fn client_of(peer: &str, lines: &[&str]) -> (String, Vec<String>) {
        let trusted: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"]
            .iter()
            .map(|net| net.parse().unwrap())
            .collect();
        let headers = headers(&X_FORWARDED_FOR, lines);
        let (client, proxies) = client(&headers, peer.parse().unwrap(), &trusted);
        (
            client.to_string(),
            proxies.iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn b13_the_right_most_untrusted_address_of_a_trusted_peer_is_the_client() {
        for (peer, lines, expected, proxies) in [
            ("192.0.2.1", &["6.6.6.6"][..], "192.0.2.1", &[][..]),
            ("10.0.0.1", &[], "10.0.0.1", &[]),
            ("10.0.0.1", &["6.6.6.6"], "6.6.6.6", &[]),
            ("10.0.0.1", &["9.9.9.9, 6.6.6.6"], "6.6.6.6", &[]),
            ("10.0.0.1", &["9.9.9.9", "6.6.6.6"], "6.6.6.6", &[]),
            (
                "10.0.0.1",
                &["6.6.6.6, 10.0.0.2,10.0.0.3"],
                "6.6.6.6",
                &["10.0.0.2", "10.0.0.3"],
            ),
            (
                "10.0.0.1",
                &["10.0.0.9, 10.0.0.2"],
                "10.0.0.9",
                &["10.0.0.2"],
            ),
            ("10.0.0.1", &["6.6.6.6, unknown"], "10.0.0.1", &[]),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2", &[]),
            ("10.0.0.1", &["6.6.6.6,"], "10.0.0.1", &[]),
            ("10.0.0.1", &["6.6.6.6:4711"], "6.6.6.6", &[]),
            ("10.0.0.1", &["[2001:db8::1]:4711"], "2001:db8::1", &[]),
            ("10.0.0.1", &["[2001:db8::1]"], "2001:db8::1", &[]),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1", &[]),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1", &[]),
            (
                "10.0.0.1",
                &["6.6.6.6, ::ffff:10.0.0.7"],
                "6.6.6.6",
                &["10.0.0.7"],
            ),
            ("::ffff:10.0.0.1", &["6.6.6.6"], "6.6.6.6", &[]),
            ("::ffff:192.0.2.1", &["6.6.6.6"], "192.0.2.1", &[]),
            ("fd00::1", &["6.6.6.6"], "6.6.6.6", &[]),
        ] {
            let (client, via) = client_of(peer, lines);
            assert_eq!(client, expected, "{peer} {lines:?}");
            assert_eq!(via, proxies, "{peer} {lines:?}");
        }
    }

    #[test]
    fn b13_ten_thousand_entries_are_read() {
        let chain = vec!["10.0.0.2"; 10_000].join(", ");
        let (client, proxies) = client_of("10.0.0.1", &[&chain]);
        assert_eq!(client, "10.0.0.2");
        assert_eq!(proxies.len(), 9_999);
    }

    #[test]
    fn b13_the_scheme_is_believed_only_from_a_trusted_peer() {
        let read = |lines: &[&str], tls, trusted| {
            scheme(&headers(&X_FORWARDED_PROTO, lines), tls, trusted)
        };
        assert_eq!(read(&["https"], false, false), Ok(Scheme::Http));
        assert_eq!(read(&["evil"], true, false), Ok(Scheme::Https));
        assert_eq!(read(&["https"], false, true), Ok(Scheme::Https));
        assert_eq!(read(&["HTTPS"], false, true), Ok(Scheme::Https));
        assert_eq!(read(&["wss"], false, true), Ok(Scheme::Https));
        assert_eq!(read(&["https, http"], false, true), Ok(Scheme::Http));
        assert_eq!(read(&["https", "http"], true, true), Ok(Scheme::Http));
        assert_eq!(read(&[], true, true), Ok(Scheme::Https));
        assert!(read(&["evil"], true, true).is_err());
        assert!(read(&[""], true, true).is_err());
    }
}
