//! Listening sockets: one per core and address, sharing the port by `SO_REUSEPORT`.
//!
//! The kernel spreads connections over the cores; no core hands one to another. Every address is
//! bound before anything is served, so that a port in use is an error at start.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

/// Connections that the kernel holds until a core accepts them.
const BACKLOG: i32 = 4096;
/// Silence after which the kernel asks whether a peer is still there.
const KEEPALIVE: Duration = Duration::from_mins(1);

/// Binds `address`. With `shared` other sockets of this process may bind it too.
pub(crate) fn bind(address: SocketAddr, shared: bool) -> io::Result<std::net::TcpListener> {
    let socket = socket_for(address)?;
    socket.set_nonblocking(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Refuses an address that somebody already listens on: `SO_REUSEPORT` would share it silently with
/// another process of the same user.
pub(crate) fn must_be_free(address: SocketAddr) -> io::Result<()> {
    if address.port() == 0 {
        return Ok(());
    }
    let socket = socket_for(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

/// Options of an accepted connection.
pub(crate) fn prepare(stream: &tokio::net::TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    SockRef::from(stream).set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE))
}

/// A TCP socket that can be bound to `address`.
fn socket_for(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        // `[::]` and `0.0.0.0` are two addresses, whatever the system's default is.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    Ok(socket)
}
