//! Audit: one JSON line per decision, and one per closed stream. A public route may record refusals
//! alone, a route where somebody may act may not.
//!
//! A line says who was allowed or refused, why, and how that was known. Only proven values stand
//! under `user` and `account`; what a refused request merely claimed stands under `claimed`. A
//! place in the sink's bounded queue is taken before a request is acted on ([`Audit::reserve`]), so
//! with `when_full: block` nothing happens that is not recorded; what a crash can lose is the queue.

mod json;
mod line;
mod queue;
mod sink;

pub use line::{Claimed, Line, LinePath};
pub use sink::{Audit, AuditError, Slot};
