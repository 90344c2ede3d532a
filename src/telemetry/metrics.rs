//! Metrics: every number the gateway counts, as typed handles.
//!
//! Labels are bounded sets: reasons, route names, upstream names. Never a user, a tenant, a path, a
//! host or a key id.

use std::sync::OnceLock;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::reason::Reason;

/// The label of a family that is split by reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    /// The reason's code.
    reason: &'static str,
}

/// Upper bounds of the histogram of invalidations, in seconds.
const APPLIED_AFTER: [f64; 12] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.001, 0.0025, 0.01, 0.025, 0.1, 0.5, 2.0,
];

/// The process's metrics; cheap to clone handles inside, shared as one `Arc`.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Decisions by reason.
    decisions: Family<ReasonLabel, Counter>,
    /// The same, by the reason's place in [`Reason::ALL`], once there has been one: what every
    /// request counts takes no lock and hashes nothing.
    by_reason: Vec<OnceLock<Counter>>,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections refused at the limit, or lost to an accept error.
    pub connections_refused: Counter,
    /// Connections that ended in a TLS or protocol error before a request could be read.
    pub protocol_errors: Counter,
    /// Requests in flight.
    pub in_flight: Gauge,
    /// Open streams under a lease.
    pub streams: Gauge,
    /// Tokens verified, those remembered from earlier requests not counted.
    pub token_verifications: Counter,
    /// Directory answers out of the cache.
    pub directory_hits: Counter,
    /// Look-ups at the directory's source.
    pub directory_lookups: Counter,
    /// Look-ups that failed.
    pub directory_errors: Counter,
    /// Answers served past their life because the source failed.
    pub directory_stale: Counter,
    /// Invalidations applied.
    pub invalidations: Counter,
    /// From a message's arrival to its effect.
    pub invalidation_seconds: Histogram,
    /// 1 while every push channel is up.
    pub push_up: Gauge,
    /// Key set fetches.
    pub jwks_fetches: Counter,
    /// Key set fetches that failed.
    pub jwks_errors: Counter,
    /// Connections opened to upstreams.
    pub upstream_connects: Counter,
    /// Requests sent once more.
    pub upstream_retries: Counter,
    /// Responses whose echo named somebody else.
    pub echo_mismatches: Counter,
    /// Audit lines written.
    pub audit_lines: Counter,
    /// Audit lines dropped because the queue was full or the sink failed.
    pub audit_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric under `countersign_`.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("countersign");
        let decisions = Family::<ReasonLabel, Counter>::default();
        registry.register("decisions", "Decisions by reason", decisions.clone());
        let mut counter = |name: &str, help: &str| {
            let counter = Counter::default();
            registry.register(name, help, counter.clone());
            counter
        };
        let connections_refused = counter(
            "connections_refused",
            "Client connections refused at the limit or lost on accept",
        );
        let protocol_errors = counter(
            "protocol_errors",
            "Client connections that ended in a TLS or protocol error",
        );
        let token_verifications = counter(
            "token_verifications",
            "Tokens verified, those remembered from earlier requests not counted",
        );
        let directory_hits = counter("directory_hits", "Directory answers out of the cache");
        let directory_lookups = counter("directory_lookups", "Look-ups at the directory's source");
        let directory_errors = counter("directory_errors", "Directory look-ups that failed");
        let directory_stale = counter(
            "directory_stale",
            "Answers served past their life because the source failed",
        );
        let invalidations = counter("invalidations", "Invalidations applied");
        let jwks_fetches = counter("jwks_fetches", "Key set fetches");
        let jwks_errors = counter("jwks_errors", "Key set fetches that failed");
        let upstream_connects = counter("upstream_connects", "Connections opened to upstreams");
        let upstream_retries =
            counter("upstream_retries", "Requests sent to an upstream once more");
        let echo_mismatches = counter(
            "echo_mismatches",
            "Responses whose echo named somebody else",
        );
        let audit_lines = counter("audit_lines", "Audit lines written");
        let audit_dropped = counter("audit_dropped", "Audit lines dropped");
        let mut gauge = |name: &str, help: &str| {
            let gauge = Gauge::default();
            registry.register(name, help, gauge.clone());
            gauge
        };
        let push_up = gauge("push_up", "Whether every push channel is up");
        let connections = gauge("connections", "Open client connections");
        let in_flight = gauge("requests_in_flight", "Requests in flight");
        let streams = gauge("streams", "Open streams under a lease");
        let invalidation_seconds = Histogram::new(APPLIED_AFTER);
        registry.register(
            "invalidation_seconds",
            "From the arrival of a message to its effect",
            invalidation_seconds.clone(),
        );
        Self {
            registry,
            decisions,
            by_reason: Reason::ALL.iter().map(|_| OnceLock::new()).collect(),
            connections,
            connections_refused,
            protocol_errors,
            in_flight,
            streams,
            token_verifications,
            directory_hits,
            directory_lookups,
            directory_errors,
            directory_stale,
            invalidations,
            invalidation_seconds,
            push_up,
            jwks_fetches,
            jwks_errors,
            upstream_connects,
            upstream_retries,
            echo_mismatches,
            audit_lines,
            audit_dropped,
        }
    }

    /// A request was decided.
    pub fn decided(&self, reason: Reason) {
        let family = || {
            let label = ReasonLabel {
                reason: reason.code(),
            };
            self.decisions.get_or_create(&label).clone()
        };
        match self.by_reason.get(reason as usize) {
            Some(counter) => counter.get_or_init(family).inc(),
            None => family().inc(),
        };
    }

    /// A message took effect this long after it arrived.
    pub fn applied_after(&self, time: std::time::Duration) {
        self.invalidation_seconds.observe(time.as_secs_f64());
    }

    /// The `OpenMetrics` text that Prometheus reads.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        // Writing into a String cannot fail; an empty page would say so if it ever did.
        if prometheus_client::encoding::text::encode(&mut text, &self.registry).is_err() {
            text.clear();
        }
        text
    }
}
