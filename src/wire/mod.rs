//! Wire: the one reading of what a client sent.
//!
//! A request that two parties could read in two ways is refused here, before a route, a tenant or
//! a credential is looked for: one Host, one framing, one reading of the path, one Authorization
//! line. What is read here is what is matched and, byte for byte, what is forwarded. Nothing here
//! knows about routes, identities or upstreams, and nothing here opens, reads or writes a socket of
//! its own accord.

mod accept;
mod cookies;
mod error;
mod framing;
mod heads;
mod host;
mod memo;
mod path;
mod peer;
mod proxy_protocol;
mod read;
mod request;
mod request_id;
mod scan;
mod seen;
mod upgrade;
mod via;

use std::net::SocketAddr;
use std::sync::Arc;

pub use cookies::{CookieEdit, Cookies, DuplicateCookie};
pub use error::{Unreadable, WireError};
pub use heads::{Heads, WatchedIo};
pub use host::Host;
pub use memo::{Memo, Trail};
pub use path::CanonicalPath;
pub use peer::{Scheme, is_trusted, push_address};
pub use proxy_protocol::{ProxyHeader, ProxyHeaderError};
pub(crate) use request::METHOD_OVERRIDES;
pub use request::{RawParts, RawRequest};
pub use request_id::RequestId;
pub use seen::Seen;
pub use upgrade::WebSocketHandshake;
pub use via::pseudonym;

/// What is known of the connection that a request came over.
#[derive(Debug, Clone)]
pub struct ConnectionInfo {
    /// The TCP peer, or the client that it announces by the PROXY protocol.
    pub peer: SocketAddr,
    /// The address it connected to.
    pub local: SocketAddr,
    /// Whether TLS is spoken.
    pub tls: bool,
    /// The TLS server name (SNI), lower-case.
    pub server_name: Option<Arc<str>>,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Arc<[ipnet::IpNet]>,
    /// What its requests have in common.
    pub memo: Memo,
}
