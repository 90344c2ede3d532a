//! Directory: the live mapping from (tenant, user) to account, roles and attributes.
//!
//! A request asks [`Directory::live`]. Most answers come out of the cache (`cache.rs`), on the
//! core's own thread and without a lock of ours; a miss is one look-up per key, a task of its own on
//! the control runtime (`flight.rs`, `gate.rs`), which asks the configured source (`source/`).
//! Whoever changes the mapping calls [`Directory::invalidate`]; when that returns, no older answer
//! is given out any more (`ring.rs`, `index.rs`), and the streams that rest on it have been told
//! (`lease.rs`).
//!
//! What it must never do: take a failure for "no such user", answer one tenant's question with
//! another tenant's row, or give out what was invalidated.

mod binding;
mod blacklist;
mod cache;
mod caches;
mod desk;
mod error;
mod flight;
mod floors;
mod gate;
mod health;
mod index;
mod inspect;
mod invalidation;
mod key;
mod lease;
mod memo;
mod mysql;
mod near;
mod postgres;
mod push;
mod record;
mod redis_text;
mod revoked;
mod ring;
#[cfg(test)]
#[cfg(feature = "schedules")]
mod schedules;
mod service;
mod sessions;
mod source;
#[cfg_attr(all(test, feature = "schedules"), path = "schedules/space.rs")]
mod space;
mod spaces;
mod strict_json;
mod sync;
#[cfg(test)]
mod testing;

pub use binding::{Binding, Edition, Live};
pub use error::{DirectoryError, SourceError};
pub use health::DirectoryStatus;
pub use inspect::{Inspection, SourceSays};
pub use invalidation::Invalidation;
pub use lease::{Lease, Leases};
pub use near::Near;
pub use push::ChannelStatus;
pub use revoked::{Revocations, RevokeError};
pub use service::Directory;
pub use sessions::{SessionData, StoredSession};
