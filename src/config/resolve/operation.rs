//! `streams`, `limits`, `drain`, `audit`, `telemetry`.

use super::Context;
use crate::config::raw;
use crate::config::types::{Audit, AuditSink, Drain, KeyPath, Limits, Streams, Telemetry};
use crate::telemetry::LogFormat;

/// Smallest and largest header section: below, no browser's request fits; above, it is a body.
const HEADER_SIZE: std::ops::RangeInclusive<u64> = 16..=(16 << 20);

pub(super) fn streams(raw: &raw::Streams, cx: &mut Context<'_>) -> Streams {
    let at = KeyPath::root().key("streams");
    Streams {
        close_on_expiry: raw.on_expiry == raw::OnExpiry::Close,
        close_grace: raw.close_grace.0,
        max_lifetime: raw
            .max_lifetime
            .map(|life| cx.positive(&at.key("max_lifetime"), life)),
        idle: cx.positive(&at.key("idle"), raw.idle),
    }
}

pub(super) fn limits(raw: &raw::Limits, cx: &mut Context<'_>) -> Limits {
    let at = KeyPath::root().key("limits");
    for (name, size) in [("header_size", raw.header_size), ("uri", raw.uri)] {
        if !HEADER_SIZE.contains(&size.0) {
            cx.fault(
                &at.key(name),
                format!("{size} is out of range"),
                "write a size from 16 bytes to 16MiB",
            );
        }
    }
    if raw.uri > raw.header_size {
        cx.fault(
            &at.key("uri"),
            "the request target would be larger than the whole header section",
            "raise header_size, or lower uri",
        );
    }
    Limits {
        header_size: bytes(raw.header_size.0),
        headers: bytes(raw.headers.into()),
        uri: bytes(raw.uri.0),
        body: raw.body.map(|size| size.0),
        connections: bytes(raw.connections.into()),
        header_timeout: cx.positive(&at.key("header_timeout"), raw.header_timeout),
        token_cache: bytes(raw.token_cache.0),
    }
}

pub(super) const fn drain(raw: &raw::Drain) -> Drain {
    Drain {
        delay: raw.delay.0,
        timeout: raw.timeout.0,
    }
}

pub(super) fn audit(raw: &raw::Audit, cx: &mut Context<'_>) -> Audit {
    let at = KeyPath::root().key("audit");
    let sink = match &raw.sink {
        raw::AuditSink::Stdout(_) => AuditSink::Stdout,
        raw::AuditSink::File(file) => {
            let at = at.key("sink");
            let path = cx.path(&file.file);
            let folder = path.parent().is_some_and(std::path::Path::is_dir);
            if file.file.is_empty() || path.is_dir() || !folder {
                cx.fault(
                    &at.key("file"),
                    format!("{} cannot be written", path.display()),
                    "name a file in a folder that exists",
                );
            }
            let rotate = file.rotate.map(|size| size.0);
            if rotate.is_some_and(|size| size < 64 << 10) {
                cx.fault(
                    &at.key("rotate"),
                    "a new file would begin every few lines",
                    "write at least 64KiB, such as 100MiB",
                );
            }
            AuditSink::File { path, rotate }
        }
    };
    Audit {
        warn_age: raw
            .warn_age
            .map(|age| cx.positive(&at.key("warn_age"), age)),
        at,
        sink,
        block_when_full: raw.when_full == raw::WhenFull::Block,
    }
}

pub(super) const fn telemetry(raw: &raw::Telemetry) -> Telemetry {
    Telemetry {
        log: match raw.log {
            raw::LogFormat::Json => LogFormat::Json,
            raw::LogFormat::Text => LogFormat::Text,
        },
    }
}

fn bytes(size: u64) -> usize {
    usize::try_from(size).unwrap_or(usize::MAX)
}
