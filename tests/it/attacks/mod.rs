//! Attacks by their numbers: framing, connections and HTTP/2 (`c…`), paths and routes (`d…`).
//!
//! Every test sends exact bytes through the real binary and asks four things: what the client is
//! told, what the upstream was sent to the byte, whether the audit has its line without a secret,
//! and whether anything is left behind.

mod frames;
mod paths_decide;
mod paths_read;
mod support;
mod wire_bodies;
mod wire_connections;
mod wire_floods;
mod wire_framing;
mod wire_limits;
mod wire_pool;
mod wire_slow;
mod wire_translate;
mod wire_upgrades;
mod wire_upstream;
