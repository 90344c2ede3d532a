//! `upstreams`: the backends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Duration;

/// A backend.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Upstream {
    /// Its name; may be left out (`app`) when there is one upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Its servers: `http://host:port` or `https://host:port`.
    #[schemars(length(min = 1), extend("examples" = [["http://127.0.0.1:8000"]]))]
    pub servers: Vec<String>,
    /// The protocol spoken to it.
    #[serde(default)]
    pub protocol: Protocol,
    /// How https servers are checked.
    #[serde(default)]
    pub tls: UpstreamTls,
    /// The Host it is sent; null: the client's.
    #[serde(default)]
    pub host: Option<String>,
    /// How a server is chosen.
    #[serde(default)]
    pub balance: Balance,
    /// Who shares its connections.
    #[serde(default)]
    pub isolate: Isolate,
    /// Whether a connection serves more than one request.
    #[serde(default = "yes")]
    pub reuse: bool,
    /// Whether a response whose X-Request-Id is another request's is withheld.
    #[serde(default)]
    pub request_id_echo: bool,
    /// Deadlines.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// When a request is sent once more; never one that may have been acted on.
    #[serde(default)]
    pub retries: Retries,
}

const fn yes() -> bool {
    true
}

/// The protocol spoken to an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 over TLS.
    Http2,
    /// HTTP/2 in clear text, by prior knowledge.
    H2c,
}

/// How https servers are checked.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTls {
    /// PEM file of the roots; null: the system's.
    pub ca: Option<String>,
    /// The name in the certificate; null: the server's host.
    pub server_name: Option<String>,
}

/// How a server is chosen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
}

/// Who shares an upstream's connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Isolate {
    /// All requests.
    #[default]
    None,
    /// Requests of one tenant.
    Tenant,
    /// Requests of one user.
    User,
}

/// Deadlines towards an upstream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// Connection and TLS handshake.
    pub connect: Duration,
    /// From the request to the head of the response.
    pub response_head: Duration,
    /// Between two pieces of a body.
    pub body_idle: Duration,
    /// Life of an idle connection; keep it below the upstream's own keep-alive (gunicorn 2 s, uvicorn and Node 5 s).
    pub pool_idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::secs(2),
            response_head: Duration::secs(60),
            body_idle: Duration::secs(60),
            pool_idle: Duration::secs(2),
        }
    }
}

/// When a request is sent once more.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Retries {
    /// Attempts after the first.
    #[schemars(range(max = 10))]
    pub attempts: u32,
    /// After which failures.
    pub when: Vec<RetryWhen>,
}

impl Default for Retries {
    fn default() -> Self {
        Self {
            attempts: 1,
            when: vec![RetryWhen::ConnectFailure, RetryWhen::StaleConnection],
        }
    }
}

/// A failure after which a request may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RetryWhen {
    /// A connection could not be opened.
    ConnectFailure,
    /// A pooled connection turned out to be closed.
    StaleConnection,
}
