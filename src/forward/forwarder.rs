//! Forwarder: what configuration fixes of this room, shared by every request.

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use smol_str::SmolStr;

use super::names::Reserved;
use crate::config::{self, Config, Conflict};
use crate::token::{Asserter, Reissuer};

/// An upstream, as far as its requests are written for it.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) name: SmolStr,
    pub(super) host: Option<HeaderValue>,
    pub(super) multiplexed: bool,
}

/// What configuration fixes of this room.
#[derive(Debug)]
pub struct Forwarder {
    pub(super) identity: config::Identity,
    pub(super) names: Arc<Reserved>,
    pub(super) credentials: Vec<config::Credential>,
    pub(super) conflict: Conflict,
    pub(super) tenant_headers: Vec<HeaderName>,
    pub(super) upstreams: Vec<Target>,
    pub(super) asserter: Option<Arc<Asserter>>,
    pub(super) reissuer: Option<Arc<Reissuer>>,
}

impl Forwarder {
    /// Builds the room.
    #[must_use]
    pub fn build(
        config: &Config,
        asserter: Option<Arc<Asserter>>,
        reissuer: Option<Arc<Reissuer>>,
    ) -> Self {
        let tenant_headers: Vec<HeaderName> = config.tenants.headers().cloned().collect();
        Self {
            names: Arc::new(Reserved::new(&config.identity, &tenant_headers)),
            identity: config.identity.clone(),
            credentials: config.credentials.clone(),
            conflict: config.conflict,
            tenant_headers,
            upstreams: config
                .upstreams
                .iter()
                .map(|upstream| {
                    let host = upstream
                        .host
                        .as_deref()
                        .and_then(|host| HeaderValue::from_str(host).ok());
                    Target {
                        name: upstream.name.clone(),
                        host,
                        multiplexed: upstream.protocol != config::UpstreamProtocol::Http1,
                    }
                })
                .collect(),
            asserter,
            reissuer,
        }
    }

    /// The names that responses may not carry.
    #[must_use]
    pub const fn reserved(&self) -> &Arc<Reserved> {
        &self.names
    }
}
