//! Targets: the configured upstreams, ready to be connected to.
//!
//! Built once, before a port opens, and shared by all cores. Holds no connection.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use smol_str::SmolStr;
use tokio_rustls::TlsConnector;

use super::error::UpstreamError;
use super::{connect, tls};
use crate::config::{Fault, Isolate, Retries, Upstream, UpstreamProtocol};

/// Every configured upstream, by its index in the configuration.
#[derive(Debug)]
pub struct Upstreams {
    pub(super) targets: Vec<Target>,
}

/// One upstream.
pub(super) struct Target {
    /// Its name, for the log.
    pub(super) name: SmolStr,
    /// Its servers; at least one.
    pub(super) endpoints: Vec<Endpoint>,
    /// What is spoken to it.
    pub(super) protocol: UpstreamProtocol,
    /// Who shares its connections.
    pub(super) isolate: Isolate,
    /// Whether a connection serves more than one request.
    pub(super) reuse: bool,
    /// Whether a response with another request id is withheld.
    pub(super) request_id_echo: bool,
    /// When a request is sent once more.
    pub(super) retries: Retries,
    /// How long an idle connection is kept, for the sweep.
    pub(super) pool_idle: Duration,
}

/// One server.
pub(super) struct Endpoint {
    /// Host name or address.
    pub(super) host: String,
    /// Port.
    pub(super) port: u16,
    /// The address, where the host is one; else it is resolved at each connect.
    pub(super) address: Option<SocketAddr>,
    /// TLS and the name that the certificate must have.
    pub(super) tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Upstreams {
    /// Builds every upstream, or says everything that is wrong with them.
    pub fn build(upstreams: &[Upstream]) -> Result<Self, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut targets = Vec::new();
        for upstream in upstreams {
            match target(upstream) {
                Ok(target) => targets.push(target),
                Err(found) => faults.extend(found),
            }
        }
        if faults.is_empty() {
            Ok(Self { targets })
        } else {
            Err(faults)
        }
    }

    /// Tries to connect to the upstream's servers, TLS included, one after the other, and hangs up.
    /// The first failure is the answer.
    pub async fn probe(&self, upstream: usize, deadline: Duration) -> Result<(), UpstreamError> {
        let target = self.targets.get(upstream).ok_or(UpstreamError::Internal)?;
        for endpoint in &target.endpoints {
            drop(connect::dial(target, endpoint, deadline).await?);
        }
        Ok(())
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Target").field(&self.name).finish()
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn target(upstream: &Upstream) -> Result<Target, Vec<Fault>> {
    let mut faults = Vec::new();
    if upstream.servers.is_empty() {
        faults.push(Fault::new(
            &upstream.at.key("servers"),
            "the upstream has no server",
            "at least one, as http://127.0.0.1:8000",
        ));
    }
    let mut config = None;
    if upstream.servers.iter().any(|server| server.tls) {
        match tls::client_config(upstream) {
            Ok(made) => config = Some(made),
            Err(fault) => faults.push(fault),
        }
    }
    let mut endpoints = Vec::new();
    for (index, server) in upstream.servers.iter().enumerate() {
        let at = upstream.at.key("servers").index(index);
        match (upstream.protocol, server.tls) {
            (UpstreamProtocol::Http2, false) => faults.push(Fault::new(
                &at,
                "protocol http2 is HTTP/2 over TLS, and this server is not https",
                "an https server, or protocol: h2c",
            )),
            (UpstreamProtocol::H2c, true) => faults.push(Fault::new(
                &at,
                "protocol h2c is HTTP/2 in clear text, and this server is https",
                "an http server, or protocol: http2",
            )),
            _ => {}
        }
        let tls = match &config {
            Some(config) if server.tls => {
                let name = upstream.tls_server_name.as_ref().unwrap_or(&server.host);
                let Ok(name) = ServerName::try_from(name.clone()) else {
                    faults.push(Fault::new(
                        &at,
                        format!("no certificate can have the name {name:?}"),
                        "a DNS name or an IP address, here or in tls.server_name",
                    ));
                    continue;
                };
                Some((TlsConnector::from(Arc::clone(config)), name))
            }
            _ => None,
        };
        endpoints.push(Endpoint {
            address: server
                .host
                .parse::<IpAddr>()
                .ok()
                .map(|ip| SocketAddr::new(ip, server.port)),
            host: server.host.clone(),
            port: server.port,
            tls,
        });
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Ok(Target {
        name: upstream.name.clone(),
        endpoints,
        protocol: upstream.protocol,
        isolate: upstream.isolate,
        reuse: upstream.reuse,
        request_id_echo: upstream.request_id_echo,
        retries: upstream.retries,
        pool_idle: upstream.timeouts.pool_idle,
    })
}
