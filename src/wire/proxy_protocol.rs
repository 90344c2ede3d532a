//! The PROXY protocol, versions 1 and 2: who a load balancer in front says the client is.
//!
//! The header stands before everything else, TLS included (`HAProxy`, "The PROXY protocol", versions 1
//! and 2). This reading is pure and exact: it says how many bytes are certainly still part of the
//! header, so that a reader never takes one of what follows. It never guesses whether a header is
//! there (a client could then write one), never looks into the TLVs, and accepts nothing that two
//! readers could understand in two ways. Whether the sender may be believed is for the caller.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Longest version 1 line, CR LF included, as the specification sets it.
const V1_BYTES: usize = 107;
/// Most bytes of a version 2 header after its addresses.
const V2_TLV_BYTES: usize = 4096;
/// The shortest of all headers, `PROXY UNKNOWN` CR LF: that many can be read at once.
const SHORTEST: usize = 15;
/// The fixed part of version 2.
const V2_FIXED: usize = 16;
const V1_START: &[u8] = b"PROXY ";
const V2_SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Source and destination address and port, of IPv4 and of IPv6.
const V2_IPV4_BYTES: usize = 12;
const V2_IPV6_BYTES: usize = 36;
/// The longest addresses that are ignored, those of two Unix sockets.
const V2_IGNORED_BYTES: usize = 216;

/// What the bytes so far amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeader {
    /// The header is not complete; at least this many more bytes, never 0, belong to it.
    More(usize),
    /// The header is complete.
    Complete {
        /// Its length: what follows is the connection's own.
        length: usize,
        /// The client that it announces; `None` where the peer speaks for itself (`LOCAL`,
        /// `UNSPEC`, `UNKNOWN`).
        source: Option<SocketAddr>,
    },
}

/// Why bytes are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyHeaderError {
    /// They begin neither version.
    #[error("no PROXY header")]
    Absent,
    /// A version 1 line that the specification does not allow.
    #[error("malformed PROXY header, version 1")]
    Line,
    /// A version 2 header with an unknown version or command, or too short for its addresses.
    #[error("malformed PROXY header, version 2")]
    Binary,
    /// Unix sockets, datagrams or an unknown family: nothing that comes over TCP.
    #[error("a PROXY header for an address family that is not TCP over IP")]
    Family,
    /// Longer than a header may be.
    #[error("the PROXY header is too long")]
    TooLong,
}

impl ProxyHeader {
    /// The most bytes that a header can have.
    pub const MOST_BYTES: usize = V2_FIXED + V2_IGNORED_BYTES + V2_TLV_BYTES;

    /// Reads the beginning of a connection.
    pub fn read(bytes: &[u8]) -> Result<Self, ProxyHeaderError> {
        if starts(bytes, V2_SIGNATURE) {
            return version_2(bytes);
        }
        if starts(bytes, V1_START) {
            return version_1(bytes);
        }
        Err(ProxyHeaderError::Absent)
    }
}

/// Whether `bytes` begin with `start`, or are the beginning of it.
fn starts(bytes: &[u8], start: &[u8]) -> bool {
    let both = bytes.len().min(start.len());
    bytes.get(..both) == start.get(..both)
}

fn more(bytes: &[u8], wanted: usize) -> ProxyHeader {
    ProxyHeader::More(wanted.saturating_sub(bytes.len()).max(1))
}

fn version_1(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else {
        // A byte that no address line has ends it here, before a deadline does.
        let begun = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        if begun.iter().any(|byte| !matches!(byte, b' '..=b'~')) {
            return Err(ProxyHeaderError::Line);
        }
        let owed = if begun.len() < bytes.len() { 1 } else { 2 };
        if bytes.len() + owed > V1_BYTES {
            return Err(ProxyHeaderError::TooLong);
        }
        return Ok(more(bytes, SHORTEST.max(bytes.len() + owed)));
    };
    let length = end + 2;
    if length > V1_BYTES {
        return Err(ProxyHeaderError::TooLong);
    }
    let source =
        line(bytes.get(V1_START.len()..end).unwrap_or_default()).ok_or(ProxyHeaderError::Line)?;
    Ok(ProxyHeader::Complete { length, source })
}

/// The announced source in what follows `PROXY `; the outer `None` is malformed.
#[expect(
    clippy::option_option,
    reason = "malformed, or nobody announced, or somebody"
)]
fn line(text: &[u8]) -> Option<Option<SocketAddr>> {
    let text = std::str::from_utf8(text).ok()?;
    if text.bytes().any(|byte| !matches!(byte, b' '..=b'~')) {
        return None;
    }
    let mut fields = text.split(' ');
    let family = fields.next()?;
    if family == "UNKNOWN" {
        // Whatever else stands in the line is to be ignored.
        return Some(None);
    }
    let [source, destination] = [fields.next()?, fields.next()?];
    let (from, _to) = (port(fields.next()?)?, port(fields.next()?)?);
    if fields.next().is_some() {
        return None;
    }
    let source: IpAddr = match family {
        "TCP4" => {
            destination.parse::<Ipv4Addr>().ok()?;
            source.parse::<Ipv4Addr>().ok()?.into()
        }
        "TCP6" => {
            destination.parse::<Ipv6Addr>().ok()?;
            source.parse::<Ipv6Addr>().ok()?.into()
        }
        _ => return None,
    };
    Some(Some(SocketAddr::new(source, from)))
}

/// A port: decimal, no sign, no leading zero.
fn port(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    let leading = text.len() > 1 && text.starts_with('0');
    text.parse().ok().filter(|_| plain && !leading)
}

fn version_2(bytes: &[u8]) -> Result<ProxyHeader, ProxyHeaderError> {
    let Some(&[command, family, high, low]) = bytes
        .get(V2_SIGNATURE.len()..V2_FIXED)
        .and_then(|fixed| <&[u8; 4]>::try_from(fixed).ok())
    else {
        let wanted = if bytes.len() < SHORTEST {
            SHORTEST
        } else {
            V2_FIXED
        };
        return Ok(more(bytes, wanted));
    };
    let announced = usize::from(u16::from_be_bytes([high, low]));
    let addresses = match (command, family) {
        // The balancer's own connection, such as a health check; whatever it says of addresses is
        // to be ignored.
        (0x20, _) | (0x21, 0x00) => 0,
        (0x21, 0x11) => V2_IPV4_BYTES,
        (0x21, 0x21) => V2_IPV6_BYTES,
        (0x21, _) => return Err(ProxyHeaderError::Family),
        _ => return Err(ProxyHeaderError::Binary),
    };
    if announced < addresses {
        return Err(ProxyHeaderError::Binary);
    }
    let most = match addresses {
        0 => V2_IGNORED_BYTES + V2_TLV_BYTES,
        _ => addresses + V2_TLV_BYTES,
    };
    if announced > most {
        return Err(ProxyHeaderError::TooLong);
    }
    let length = V2_FIXED + announced;
    let Some(block) = bytes.get(V2_FIXED..length) else {
        return Ok(more(bytes, length));
    };
    let source = match addresses {
        V2_IPV4_BYTES => {
            let address: Option<[u8; 4]> = sub(block, 0);
            address.map(IpAddr::from).zip(sub(block, 8))
        }
        V2_IPV6_BYTES => {
            let address: Option<[u8; 16]> = sub(block, 0);
            address.map(IpAddr::from).zip(sub(block, 32))
        }
        _ => {
            return Ok(ProxyHeader::Complete {
                length,
                source: None,
            });
        }
    };
    let (address, port) = source.ok_or(ProxyHeaderError::Binary)?;
    Ok(ProxyHeader::Complete {
        length,
        source: Some(SocketAddr::new(address, u16::from_be_bytes(port))),
    })
}

fn sub<const N: usize>(block: &[u8], at: usize) -> Option<[u8; N]> {
    block.get(at..at + N)?.try_into().ok()
}

#[cfg(test)]
#[path = "proxy_protocol_tests.rs"]
mod tests;
