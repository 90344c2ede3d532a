//! `streams`, `limits`, `drain`, `audit`, `telemetry`: how the gateway runs.

use std::path::PathBuf;
use std::time::Duration;

use super::KeyPath;
use crate::telemetry::LogFormat;

/// `streams`.
#[derive(Debug, Clone, Copy)]
pub struct Streams {
    /// Whether a stream ends when its credential expires.
    pub close_on_expiry: bool,
    /// Wait for a frame boundary before the reset.
    pub close_grace: Duration,
    /// Longest life of a stream.
    pub max_lifetime: Option<Duration>,
    /// Longest silence of a WebSocket, both ways.
    pub idle: Duration,
}

/// `limits`.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Largest header section in bytes.
    pub header_size: usize,
    /// Most header fields.
    pub headers: usize,
    /// Largest request target in bytes.
    pub uri: usize,
    /// Largest request body in bytes; `None` is unlimited.
    pub body: Option<u64>,
    /// Most client connections, over all listeners.
    pub connections: usize,
    /// From the first byte a connection owes to the end of the request head; also the TLS handshake
    /// and the wait for a connection's first byte.
    pub header_timeout: Duration,
    /// Bytes for verified tokens and what was signed, over all cores; 0 verifies each time.
    pub token_cache: usize,
}

/// `drain`.
#[derive(Debug, Clone, Copy)]
pub struct Drain {
    /// Time between "not ready" and the end of accepting.
    pub delay: Duration,
    /// Time for requests in flight.
    pub timeout: Duration,
}

/// `audit`.
#[derive(Debug, Clone)]
pub struct Audit {
    /// Where it stands.
    pub at: KeyPath,
    /// Where lines go.
    pub sink: AuditSink,
    /// Whether a full queue makes requests wait, then refuses them (`true`), or drops lines.
    pub block_when_full: bool,
    /// Age from which a credential is marked `stale_context`.
    pub warn_age: Option<Duration>,
}

/// `audit.sink`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditSink {
    /// Standard output.
    Stdout,
    /// A file, absolute.
    File {
        /// The file.
        path: PathBuf,
        /// Size from which a new file is begun; the old one gets the suffix `.1`.
        rotate: Option<u64>,
    },
}

/// `telemetry`.
#[derive(Debug, Clone, Copy)]
pub struct Telemetry {
    /// The log's format.
    pub log: LogFormat,
}
