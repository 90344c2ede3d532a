//! Routes and tenants: which rule covers a request, and whose data it is about.
//!
//! The path alone picks the route, and the host narrows it. A route's [`Access`] is a type, not a
//! flag: only [`PublicAccess`] and [`OptionalAccess`] can make a [`PublicGrant`], so a member route
//! cannot be served without a principal. This room never looks at a credential.

mod table;
mod tenant;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use smol_str::SmolStr;

pub use table::{RouteError, RouteTable};
pub use tenant::{TenantAnswer, TenantBasis, TenantError, Tenants};

use crate::config;
use crate::reason::Reason;

/// One route of the table.
#[derive(Debug)]
pub struct Route {
    config: config::Route,
    access: Access,
    vary: Arc<[HeaderName]>,
    vary_line: Option<HeaderValue>,
    endpoint: bool,
}

/// Who may use a route.
#[derive(Debug)]
pub enum Access {
    /// Needs a principal; there is no way to a grant without one.
    Member(MemberAccess),
    /// Uses a principal where there is a credential.
    Optional(OptionalAccess),
    /// Never looks at a credential.
    Public(PublicAccess),
}

/// The access of a member route.
#[derive(Debug)]
pub struct MemberAccess {
    _private: (),
}

/// The access of an optional route.
#[derive(Debug)]
pub struct OptionalAccess {
    _private: (),
}

/// The access of a public route.
#[derive(Debug)]
pub struct PublicAccess {
    _private: (),
}

/// The proof that a request may go on without a principal. Only routes make it.
#[derive(Debug)]
pub struct PublicGrant {
    reason: Reason,
}

impl PublicGrant {
    /// Why no principal is needed.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl OptionalAccess {
    /// Lets a request that carries no credential at all go on anonymously.
    #[must_use]
    pub const fn anonymous(&self) -> PublicGrant {
        PublicGrant {
            reason: Reason::OptionalAnonymous,
        }
    }
}

impl PublicAccess {
    /// Lets a request go on.
    #[must_use]
    pub const fn grant(&self) -> PublicGrant {
        PublicGrant {
            reason: Reason::Public,
        }
    }
}

/// The proof that a request is a CORS preflight, which carries no identity whatever its route is.
#[derive(Debug)]
pub struct Preflight {
    _private: (),
}

impl Preflight {
    /// Lets the preflight go on without identity, `Authorization` and `Cookie`.
    #[must_use]
    pub const fn grant(&self) -> PublicGrant {
        PublicGrant {
            reason: Reason::Public,
        }
    }
}

/// What a request came to: its route and, for a preflight, the proof of that.
#[derive(Debug)]
pub struct Matched<'t> {
    /// The route.
    pub route: &'t Arc<Route>,
    /// Whether this is a preflight of a request to that route.
    pub preflight: Option<Preflight>,
}

impl Route {
    fn new(config: config::Route, vary: Arc<[HeaderName]>, endpoint: bool) -> Self {
        let access = match config.access {
            config::Access::Member => Access::Member(MemberAccess { _private: () }),
            config::Access::Optional => Access::Optional(OptionalAccess { _private: () }),
            config::Access::Public => Access::Public(PublicAccess { _private: () }),
        };
        let names: Vec<&str> = vary.iter().map(HeaderName::as_str).collect();
        let vary_line = Some(names.join(", ")).filter(|line| !line.is_empty());
        Self {
            config,
            access,
            // Names and commas are always a header value.
            vary_line: vary_line.and_then(|line| HeaderValue::from_str(&line).ok()),
            vary,
            endpoint,
        }
    }

    /// The same as one `Vary` field.
    #[must_use]
    pub const fn vary_line(&self) -> Option<&HeaderValue> {
        self.vary_line.as_ref()
    }

    /// The request fields that its responses depend on: every place where it accepts a credential or
    /// a tenant is read.
    #[must_use]
    pub fn vary(&self) -> &[HeaderName] {
        &self.vary
    }

    /// Whether it is the gateway's own token endpoint.
    #[must_use]
    pub const fn is_endpoint(&self) -> bool {
        self.endpoint
    }

    /// Who may use it.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Its configuration.
    #[must_use]
    pub const fn config(&self) -> &config::Route {
        &self.config
    }

    /// Its label in logs and metrics.
    #[must_use]
    pub const fn name(&self) -> &SmolStr {
        &self.config.name
    }
}
