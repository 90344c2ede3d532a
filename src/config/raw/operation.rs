//! `streams`, `limits`, `drain`, `audit`, `telemetry`: how the gateway runs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Duration, Size};

/// WebSockets and long streams.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Streams {
    /// The credential expires while its stream is open.
    pub on_expiry: OnExpiry,
    /// Wait for the next frame boundary before a reset.
    pub close_grace: Duration,
    /// Longest life of a stream; null: not limited.
    pub max_lifetime: Option<Duration>,
    /// Longest silence of a WebSocket.
    pub idle: Duration,
}

impl Default for Streams {
    fn default() -> Self {
        Self {
            on_expiry: OnExpiry::default(),
            close_grace: Duration::secs(1),
            max_lifetime: None,
            idle: Duration::secs(3600),
        }
    }
}

/// The credential expires while its stream is open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnExpiry {
    /// The stream ends.
    #[default]
    Close,
    /// It goes on; revocation and moves still end it.
    Keep,
}

/// Limits of the data path.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Largest header section.
    pub header_size: Size,
    /// Most header fields.
    #[schemars(range(min = 1, max = 10_000))]
    pub headers: u32,
    /// Largest request target.
    pub uri: Size,
    /// Largest request body; null: unlimited, streamed.
    pub body: Option<Size>,
    /// Most client connections; further ones wait in the system's queue until one ends.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub connections: u32,
    /// Deadline of the TLS handshake, the first byte and a request's head.
    pub header_timeout: Duration,
    /// Memory for tokens that were verified and what was signed, over all cores, each of which has
    /// its part. 0: every token is verified, and everything signed, each time.
    pub token_cache: Size,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_size: Size(32 << 10),
            headers: 100,
            uri: Size(8 << 10),
            body: None,
            connections: 10_000,
            header_timeout: Duration::secs(10),
            token_cache: Size(64 << 20),
        }
    }
}

/// Shutdown.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Drain {
    /// Time between "not ready" and the end of accepting.
    pub delay: Duration,
    /// Time for requests in flight.
    pub timeout: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            delay: Duration::secs(5),
            timeout: Duration::secs(30),
        }
    }
}

/// The audit log: one JSON line per decision; a public route may want fewer.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Audit {
    /// Where lines go: stdout, or a file.
    pub sink: AuditSink,
    /// What happens to a request while the queue is full.
    pub when_full: WhenFull,
    /// Age from which a credential is marked as stale context; null: never.
    pub warn_age: Option<Duration>,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            sink: AuditSink::Stdout(StdoutWord::Stdout),
            when_full: WhenFull::default(),
            warn_age: None,
        }
    }
}

/// Where audit lines go.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AuditSink {
    /// Standard output.
    Stdout(StdoutWord),
    /// A file.
    File(AuditFile),
}

/// The word `stdout`.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum StdoutWord {
    /// Standard output.
    Stdout,
}

/// An audit file.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AuditFile {
    /// The file.
    #[schemars(example = &"audit.jsonl")]
    pub file: String,
    /// Size from which a new file is begun; null: never.
    #[serde(default)]
    pub rotate: Option<Size>,
}

/// The audit queue is full.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhenFull {
    /// Requests wait, then are refused.
    #[default]
    Block,
    /// Lines are dropped and counted.
    Drop,
}

/// The log.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Telemetry {
    /// Its format.
    pub log: LogFormat,
}

/// The log's format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// One line of text.
    Text,
}
