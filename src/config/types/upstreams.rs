//! `upstreams`: the backends.

use std::path::PathBuf;
use std::time::Duration;

use smol_str::SmolStr;

use super::KeyPath;

/// `upstreams[]`.
#[derive(Debug, Clone)]
pub struct Upstream {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name.
    pub name: SmolStr,
    /// Its servers; at least one.
    pub servers: Vec<Server>,
    /// The protocol spoken to it.
    pub protocol: UpstreamProtocol,
    /// PEM file of the roots it is checked against; `None` is the system's.
    pub tls_ca: Option<PathBuf>,
    /// The name its certificate must have; `None` is the server's host.
    pub tls_server_name: Option<String>,
    /// The Host it is sent; `None` is the client's.
    pub host: Option<String>,
    /// Who shares its connections.
    pub isolate: Isolate,
    /// Whether a connection serves more than one request.
    pub reuse: bool,
    /// Whether a response whose request id is another's is withheld.
    pub request_id_echo: bool,
    /// Deadlines; routes carry their own resolved copy.
    pub timeouts: UpstreamTimeouts,
    /// When a request is sent once more.
    pub retries: Retries,
}

/// One server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Whether TLS is spoken.
    pub tls: bool,
    /// Host name or address (no brackets).
    pub host: String,
    /// Port.
    pub port: u16,
}

/// `upstreams[].protocol`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/2 by prior knowledge in clear text.
    H2c,
}

/// `upstreams[].isolate`: upstream connections are shared by …
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolate {
    /// … all requests.
    None,
    /// … requests of one tenant.
    Tenant,
    /// … requests of one user.
    User,
}

/// `upstreams[].timeouts`.
#[derive(Debug, Clone, Copy)]
pub struct UpstreamTimeouts {
    /// Connection and TLS handshake.
    pub connect: Duration,
    /// From the request's last byte (or, for streams, its head) to the response's head.
    pub response_head: Duration,
    /// Between two pieces of a body, either way.
    pub body_idle: Duration,
    /// Life of an idle pooled connection.
    pub pool_idle: Duration,
}

/// `upstreams[].retries`.
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    /// Attempts after the first.
    pub attempts: u32,
    /// After a connection could not be opened.
    pub connect_failure: bool,
    /// After a pooled connection turned out to be closed before a byte of the response.
    pub stale_connection: bool,
}
