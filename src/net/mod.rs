//! Net: connecting to others for the gateway's own purposes.
//!
//! TLS roots and client configurations ([`TlsRoots`]), URLs that the gateway itself asks
//! ([`HttpUrl`]), and one small, capped HTTP client ([`Fetcher`]) for key sets, discovery and the
//! http directory. Requests of clients never pass through here, and nothing here follows a URL that
//! a client sent. What sockets have in common ([`gathered`]) is here as well.

mod fetch;
mod gather;
#[cfg(test)]
pub(crate) mod loopback;
mod tls;
mod url;

pub use fetch::{FetchError, FetchLimits, Fetched, Fetcher};
pub use gather::gathered;
pub use tls::{TlsError, TlsRoots};
pub use url::{HttpUrl, UrlError};
