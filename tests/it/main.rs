//! The gateway from outside: the real binary, real sockets, an upstream that records every byte.
//!
//! Each module is one theme and each test one behaviour that an operator or a client can see. No
//! test here may reach into the library: what cannot be seen on a socket, in the audit log or in an
//! exit status is not tested here.
#![allow(
    clippy::redundant_closure_for_method_calls,
    reason = "the method's own lifetime does not fit where a handler is asked for"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets the unexpected fails on the spot"
)]

mod harness;

mod abandoned;
mod admin;
mod attacks;
mod big;
mod blacklist;
mod check;
mod cli;
mod credentials;
mod decision;
mod directory;
mod forwarding;
mod headers;
mod http2;
mod inspect;
mod live;
mod mysql;
mod paths;
mod proxy_protocol;
mod server;
mod sessions;
mod soak;
mod storm;
mod tenants;
mod websockets;
