//! Telemetry: how the gateway tells what it does, and the one clock it reads.
//!
//! Rooms below take [`UnixTime`] as an argument; only doors and background tasks ask [`Clock`]. No
//! secret passes through here: a secret is a [`Redacted`], whose Debug says nothing.

mod clock;
mod log;
mod metrics;
mod redacted;
mod trace;

pub use clock::{Clock, ClockError, UnixTime};
pub use log::{LogFormat, install};
pub use metrics::Metrics;
pub use redacted::Redacted;
pub use trace::{Step, Trace};
