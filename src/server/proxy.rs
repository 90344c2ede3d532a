//! The PROXY header at the beginning of a connection, where a listener asks for it.
//!
//! It is required there, believed from trusted proxies alone, and read to its last byte and no
//! further: TLS or HTTP begins right behind it. A connection that does not bring one in time is
//! closed without an answer, since nothing is known of who would read it.

use std::io;
use std::net::SocketAddr;

use ipnet::IpNet;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::Instant;

use crate::wire::{ProxyHeader, ProxyHeaderError, is_trusted};

/// Why a connection is closed before it has begun.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unannounced {
    /// The peer may not speak for others.
    #[error("the peer is not a trusted proxy")]
    Untrusted,
    /// No header came in time.
    #[error("no whole PROXY header in time")]
    Late,
    /// The connection broke or ended first.
    #[error("the connection ended: {0}")]
    Io(#[from] io::Error),
    /// What came is none.
    #[error(transparent)]
    Header(#[from] ProxyHeaderError),
}

/// The client that a trusted `peer` announces, or the peer where it speaks for itself.
pub(super) async fn announced<S: AsyncRead + Unpin>(
    stream: &mut S,
    peer: SocketAddr,
    trusted: &[IpNet],
    deadline: Instant,
) -> Result<SocketAddr, Unannounced> {
    if !is_trusted(peer.ip(), trusted) {
        return Err(Unannounced::Untrusted);
    }
    let source = tokio::time::timeout_at(deadline, header(stream))
        .await
        .map_err(|_| Unannounced::Late)??;
    Ok(source.unwrap_or(peer))
}

async fn header<S: AsyncRead + Unpin>(stream: &mut S) -> Result<Option<SocketAddr>, Unannounced> {
    let mut bytes = Vec::new();
    loop {
        match ProxyHeader::read(&bytes)? {
            ProxyHeader::Complete { source, .. } => return Ok(source),
            ProxyHeader::More(count) => {
                // Never more than what is owed. What comes in pieces is judged piece by piece.
                let owed = u64::try_from(count).unwrap_or(1);
                if (&mut *stream).take(owed).read_buf(&mut bytes).await? == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    const LINE: &[u8] = b"PROXY TCP4 203.0.113.7 10.0.0.1 4711 443\r\n";

    fn trusted() -> Vec<IpNet> {
        vec!["127.0.0.0/8".parse().unwrap()]
    }

    async fn read(peer: &str, bytes: &[u8]) -> (Result<SocketAddr, Unannounced>, Vec<u8>) {
        let (mut client, mut server) = tokio::io::duplex(1 << 16);
        client.write_all(bytes).await.unwrap();
        drop(client);
        let deadline = Instant::now() + Duration::from_secs(10);
        let peer = peer.parse().unwrap();
        let outcome = announced(&mut server, peer, &trusted(), deadline).await;
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        (outcome, rest)
    }

    #[tokio::test]
    async fn b15_what_follows_the_header_is_left_alone() {
        let stream = [LINE, b"\x16\x03\x01"].concat();
        for peer in ["127.0.0.1:9", "[::ffff:127.0.0.1]:9"] {
            let (outcome, rest) = read(peer, &stream).await;
            assert_eq!(outcome.unwrap().to_string(), "203.0.113.7:4711");
            assert_eq!(rest, b"\x16\x03\x01");
        }
        let (outcome, rest) = read("127.0.0.1:9", b"PROXY UNKNOWN\r\nGET").await;
        assert_eq!(outcome.unwrap().to_string(), "127.0.0.1:9");
        assert_eq!(rest, b"GET");
    }

    #[tokio::test]
    async fn b15_nothing_is_read_of_a_stranger() {
        let (outcome, rest) = read("192.0.2.1:9", LINE).await;
        assert!(matches!(outcome, Err(Unannounced::Untrusted)));
        assert_eq!(rest, LINE);
    }

    #[tokio::test]
    async fn b15_a_truncated_header_announces_nobody() {
        let (outcome, _) = read("127.0.0.1:9", &LINE[..LINE.len() - 1]).await;
        assert!(matches!(outcome, Err(Unannounced::Io(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn b15_a_silent_proxy_is_given_up_at_the_deadline() {
        let (mut client, mut server) = tokio::io::duplex(64);
        client.write_all(b"PROXY ").await.unwrap();
        let started = Instant::now();
        let deadline = started + Duration::from_secs(10);
        let peer = "127.0.0.1:9".parse().unwrap();
        let outcome = announced(&mut server, peer, &trusted(), deadline).await;
        assert!(matches!(outcome, Err(Unannounced::Late)));
        assert_eq!(started.elapsed().as_secs(), 10);
    }
}
