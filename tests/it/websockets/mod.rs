//! WebSockets: authenticated before the upgrade, tunnelled under a lease, ended when the lease is.

mod fakes;
mod grounds;
mod handshake;
mod lease;
mod messages;
