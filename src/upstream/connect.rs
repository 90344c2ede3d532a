//! Connect: from a server's name to a link, under one deadline.
//!
//! The name is resolved at every connect, so that a change of address needs no restart. Every
//! address is tried, each with its share of the time that is left, so that a first address that
//! swallows packets does not eat the others' chance.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{UpstreamError, with_causes};
use super::link::{Link, Stream};
use super::targets::{Endpoint, Target};
use crate::config::UpstreamProtocol;

/// Silence after which the kernel asks whether the upstream is still there; tunnels live long.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Connects to one server, TLS included.
pub(super) async fn dial(
    target: &Target,
    endpoint: &Endpoint,
    limit: Duration,
) -> Result<Link, UpstreamError> {
    let deadline = Instant::now() + limit;
    timeout_at(deadline, establish(target, endpoint, deadline))
        .await
        .unwrap_or(Err(UpstreamError::Timeout))
        .inspect_err(|error| {
            tracing::debug!(upstream = %target.name, server = %endpoint, %error, "connect failed");
        })
}

async fn establish(
    target: &Target,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<Link, UpstreamError> {
    let tcp = match endpoint.address {
        Some(address) => TcpStream::connect(address)
            .await
            .map_err(|error| unreachable(endpoint, &error))?,
        None => first_of(resolve(endpoint).await?, endpoint, deadline).await?,
    };
    tune(&tcp);
    let Some((connector, name)) = &endpoint.tls else {
        return Ok(Link::new(Stream::Plain(tcp)));
    };
    let tls = connector
        .connect(name.clone(), tcp)
        .await
        .map_err(|error| unreachable(endpoint, &error))?;
    let h2 = tls.get_ref().1.alpn_protocol() == Some(b"h2");
    if h2 != (target.protocol == UpstreamProtocol::Http2) {
        return Err(UpstreamError::Protocol(format!(
            "{endpoint} agreed on another protocol than the configured one"
        )));
    }
    Ok(Link::new(Stream::Tls(Box::new(tls))))
}

async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, UpstreamError> {
    let addresses: Vec<_> = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(|error| unreachable(endpoint, &error))?
        .collect();
    if addresses.is_empty() {
        return Err(UpstreamError::Unreachable(format!(
            "{endpoint} has no address"
        )));
    }
    Ok(addresses)
}

async fn first_of(
    addresses: Vec<SocketAddr>,
    endpoint: &Endpoint,
    deadline: Instant,
) -> Result<TcpStream, UpstreamError> {
    let mut left = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    let mut last = UpstreamError::Timeout;
    for address in addresses {
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        last = match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => unreachable(endpoint, &error),
            Err(_) => UpstreamError::Timeout,
        };
    }
    Err(last)
}

fn tune(tcp: &TcpStream) {
    // Both only tune; a socket that refuses them still carries requests.
    let _ = tcp.set_nodelay(true);
    let _ = SockRef::from(tcp).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE));
}

fn unreachable(endpoint: &Endpoint, error: &io::Error) -> UpstreamError {
    UpstreamError::Unreachable(format!("{endpoint}: {}", with_causes(error)))
}
