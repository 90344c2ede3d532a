//! `listeners`, `admin`: where the gateway is reached.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::{KeyPath, Secret};

/// `listeners[]`.
#[derive(Debug, Clone)]
pub struct Listener {
    /// Where it stands.
    pub at: KeyPath,
    /// The address to bind.
    pub address: SocketAddr,
    /// Certificates by SNI, the first also without SNI; empty for clear text.
    pub tls: Vec<ListenerTls>,
    /// Peers whose forwarding headers are believed; never a `/0`.
    pub trusted_proxies: Vec<ipnet::IpNet>,
    /// HTTP/2 by prior knowledge on a clear-text listener.
    pub h2c: bool,
    /// Every connection begins with a PROXY header of a trusted proxy; that list is then not empty.
    pub proxy_protocol: bool,
}

/// `listeners[].tls`.
#[derive(Debug, Clone)]
pub struct ListenerTls {
    /// Where it stands.
    pub at: KeyPath,
    /// PEM chain, leaf first; absolute path; re-read when it changes.
    pub certificate: PathBuf,
    /// PEM private key; its file is re-read when it changes.
    pub private_key: Secret,
}

/// `admin`.
#[derive(Debug, Clone)]
pub struct Admin {
    /// Where it stands.
    pub at: KeyPath,
    /// The address to bind; a non-loopback one needs a token.
    pub address: SocketAddr,
    /// The bearer token of everything but health and metrics.
    pub token: Option<Secret>,
    /// Hosts (lower-case, without port) that the API answers beside the address itself.
    pub hosts: Vec<String>,
}
