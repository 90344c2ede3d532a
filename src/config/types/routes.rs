//! `routes`: which requests go where, and who may send them.

use http::Method;
use smol_str::SmolStr;

use super::{Accounts, KeyPath, UpstreamTimeouts};

/// `routes[]`.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where it stands.
    pub at: KeyPath,
    /// Its label in logs and metrics: `path`, with `host` before it where it has one.
    pub name: SmolStr,
    /// Host it is narrowed to.
    pub host: HostMatch,
    /// The path in canonical form: a prefix without its trailing slash (`/` is the empty string), an
    /// exact path as it is.
    pub path: String,
    /// Whether only this very path matches.
    pub exact: bool,
    /// Methods; `None` for all.
    pub methods: Option<Vec<Method>>,
    /// Path forms with a second reading that are admitted behind its prefix.
    pub allow: PathAllowances,
    /// Who may use it.
    pub access: Access,
    /// Any of these live roles; empty asks for none.
    pub roles: Vec<String>,
    /// Each of these live attributes must have one of these values.
    pub attributes: Vec<(String, Vec<String>)>,
    /// Indices into `credentials`, in the file's order.
    pub credentials: Vec<usize>,
    /// Index into `upstreams`.
    pub upstream: usize,
    /// The account policy.
    pub accounts: Accounts,
    /// Largest request body in bytes; `None` is unlimited.
    pub body_limit: Option<u64>,
    /// Deadlines towards the upstream.
    pub timeouts: UpstreamTimeouts,
    /// Whether the upstream's cache headers are left alone.
    pub cache_upstream: bool,
    /// Whether a request leaves no audit line where the answer is the upstream's, or its client does not
    /// wait for one; only on public routes.
    pub audit_refusals_alone: bool,
    /// Where browsers without a credential are sent, with `{path}`.
    pub login: Option<String>,
    /// Prefix removed before forwarding, without a trailing slash.
    pub strip_prefix: Option<String>,
}

/// `routes[].match.host`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This host, lower-case, without port.
    Exact(String),
    /// Hosts that end in this suffix (`.example.com`), one label before it.
    Suffix(String),
}

/// `routes[].match.allow`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one independent allowance of the contract"
)]
pub struct PathAllowances {
    /// `%2F`.
    pub encoded_slash: bool,
    /// `%5C`.
    pub encoded_backslash: bool,
    /// `;`.
    pub semicolon: bool,
    /// `//`.
    pub double_slash: bool,
    /// `%25` followed by two hexadecimal digits.
    pub double_encoding: bool,
}

/// `routes[].access`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Needs a credential.
    Member,
    /// Uses a credential where there is one.
    Optional,
    /// Never looks at one.
    Public,
}
