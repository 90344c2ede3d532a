//! `workers`, `listeners`, `admin`: where the gateway is reached.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Secret;

/// Data-path threads: `auto` for one per usable core, or a number.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Workers {
    /// One per usable core.
    Auto(AutoWord),
    /// This many.
    Count(#[schemars(range(min = 1, max = 1024))] u16),
}

/// The word `auto`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AutoWord {
    /// One per usable core.
    Auto,
}

/// A data-path listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Listener {
    /// Address and port to listen on.
    #[schemars(example = &"0.0.0.0:8443")]
    pub address: String,
    /// Certificate and key, or a list of them chosen by SNI; null for clear text. Re-read when the files change.
    pub tls: Option<TlsSetting>,
    /// Networks (CIDR) of proxies whose X-Forwarded-For, X-Forwarded-Proto and X-Request-Id are believed.
    pub trusted_proxies: Vec<String>,
    /// HTTP/2 by prior knowledge on a clear-text listener.
    pub h2c: bool,
    /// Every connection begins with a PROXY protocol header (version 1 or 2) that a trusted proxy wrote; all others are closed. Needs `trusted_proxies`.
    pub proxy_protocol: bool,
}

impl Default for Listener {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:8080".to_owned(),
            tls: None,
            trusted_proxies: Vec::new(),
            h2c: false,
            proxy_protocol: false,
        }
    }
}

/// One certificate, or several chosen by SNI.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum TlsSetting {
    /// One certificate.
    One(ListenerTls),
    /// Several; the first serves clients without SNI.
    Several(Vec<ListenerTls>),
}

/// A listener's certificate.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListenerTls {
    /// PEM file of the certificate chain, leaf first.
    #[schemars(example = &"tls.crt")]
    pub certificate: String,
    /// PEM private key.
    pub private_key: Secret,
}

/// The admin listener.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Admin {
    /// Address and port to listen on.
    #[schemars(example = &"127.0.0.1:9090")]
    pub address: String,
    /// Bearer token of everything but health and metrics, which does not exist without one.
    pub token: Option<Secret>,
    /// Hosts that the API answers beside the address itself.
    pub hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            address: "127.0.0.1:9090".to_owned(),
            token: None,
            hosts: Vec::new(),
        }
    }
}
