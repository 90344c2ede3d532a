//! The log: tracing to stderr, as JSON or as text for a person.
//!
//! Audit lines do not go through here; they have a sink of their own ([`crate::audit`]).

use tracing_subscriber::EnvFilter;

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// One line of text.
    Text,
}

/// Installs the process's log. Levels come from `COUNTERSIGN_LOG` (`info` when unset), in the
/// syntax of `tracing_subscriber::EnvFilter`. A second call does nothing.
pub fn install(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("COUNTERSIGN_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    // A second installation is the only way these fail, and the first one then stays.
    let _ = match format {
        LogFormat::Json => builder
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .try_init(),
        LogFormat::Text => builder.with_target(false).try_init(),
    };
}
