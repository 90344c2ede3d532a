//! `credentials`, `conflict`, `origins`, `cors`: where a request may carry a credential, and who
//! may ride on a cookie.

use std::sync::Arc;

use smol_str::SmolStr;

use super::{DjangoSession, KeyPath};

/// `credentials[]`.
#[derive(Debug, Clone)]
pub struct Credential {
    /// Where it stands.
    pub at: KeyPath,
    /// Its name in routes and in the audit log; the kind when left out.
    pub name: SmolStr,
    /// Where it is read.
    pub place: CredentialPlace,
    /// What the upstream finds in this place.
    pub forward: ForwardCredential,
    /// How a session is read; only for [`CredentialPlace::DjangoSession`].
    pub django_session: Option<Arc<DjangoSession>>,
}

/// Where a credential is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialPlace {
    /// `Authorization: Bearer` (RFC 6750, section 2.1).
    Bearer,
    /// A token in a cookie of this name.
    Cookie(String),
    /// A token in a query parameter of this name, on WebSocket handshakes only.
    Query(String),
    /// A token in an offered WebSocket subprotocol, after this prefix.
    WebSocketProtocol(String),
    /// A Django session in a cookie of this name.
    DjangoSession(String),
}

impl CredentialPlace {
    /// The cookie that it is.
    #[must_use]
    pub fn cookie(&self) -> Option<&str> {
        match self {
            Self::Cookie(name) | Self::DjangoSession(name) => Some(name),
            Self::Bearer | Self::Query(_) | Self::WebSocketProtocol(_) => None,
        }
    }
}

/// `credentials[].….forward`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardCredential {
    /// As the client sent it.
    Keep,
    /// Nothing.
    Remove,
    /// A fresh token in the app's own format (`identity.reissue`).
    Reissue,
}

/// `conflict`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conflict {
    /// Two identities are refused.
    Reject,
    /// The first credential in the file's order decides; the other is checked and not forwarded.
    PreferFirst,
}

/// `origins`.
#[derive(Debug, Clone)]
pub struct Origins {
    /// Serialised origins (RFC 6454, section 6.2), lower-case.
    pub allowed: Vec<String>,
    /// Whether unsafe methods that rest on a cookie are checked here (`true`) or by the app.
    pub check_unsafe_methods: bool,
}

/// `cors`.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Whether preflights are forwarded without identity (`true`) or refused.
    pub forward_preflight: bool,
    /// Origins whose scripts may read a refusal.
    pub origins: Vec<String>,
}
