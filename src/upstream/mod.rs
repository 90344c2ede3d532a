//! Upstream: the only way to an upstream.
//!
//! Each data-path core owns one [`Pools`]: connections that it opened itself, over hyper's
//! connection-level clients, never shared with another core. A connection goes back to its pool
//! only when both messages ended cleanly, and serves again only if nobody spoke on it meanwhile:
//! bytes that nobody asked for would otherwise be read as the next caller's answer.
//!
//! This room never decides who a request acts as, never changes a header that the upstream sees
//! beyond what the protocol version itself demands, and never sends a request twice that may have
//! been acted on.

mod answer;
mod attempts;
mod body;
mod connect;
mod drive;
mod error;
mod frames;
mod h1;
mod h2;
mod link;
mod message;
mod outgoing;
mod pipe;
mod pool;
mod response;
mod send;
mod spare;
mod targets;
mod tls;
mod tunnel;

#[cfg(test)]
mod tests;

pub use answer::{LATE, Watch};
pub use body::{BodyError, UpstreamBody};
pub use error::UpstreamError;
pub use frames::{FrameTracker, close_frame};
pub use link::reset;
pub use send::Pools;
pub use targets::Upstreams;
pub use tunnel::{EndedBy, StreamEnd, TunnelOptions, TunnelReport, run, run_held};
