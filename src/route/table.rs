//! The table: longest prefix of whole segments, then exact, then the narrower host.
//!
//! A look-up costs a few hashes per segment of the path, whatever the number of routes and hosts. The method
//! never sends a request on to a shorter path: if the routes of the winning path do not list it,
//! the answer is 405. A path that holds a form with a second reading is refused unless its route
//! admits that form and both readings lead to the same route.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderName, Method};

use super::{Matched, Preflight, Route};
use crate::config::{self, Access, Config, CredentialPlace, HostMatch, PathAllowances};
use crate::reason::Reason;
use crate::wire::RawRequest;

/// Largest body of a request to the token endpoint; it is not read.
const ENDPOINT_BODY: u64 = 64 * 1024;

/// Why no route serves a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    /// No route covers the path.
    #[error("no route covers the path")]
    NoRoute,
    /// The winning path's routes do not list the method.
    #[error("the path's routes list the methods {allow}")]
    MethodNotAllowed {
        /// The methods that they list, as an `Allow` field.
        allow: String,
    },
    /// The path has a second reading that the route does not admit, or that leads elsewhere.
    #[error("the path can be read in two ways")]
    Ambiguous,
}

impl RouteError {
    /// The reason that the client is told.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::NoRoute => Reason::NoRoute,
            Self::MethodNotAllowed { .. } => Reason::MethodNotAllowed,
            Self::Ambiguous => Reason::AmbiguousRequest,
        }
    }
}

/// Every route, by path.
#[derive(Debug)]
pub struct RouteTable {
    /// Routes by path without trailing slash.
    prefixes: HashMap<Box<str>, Hosts, ahash::RandomState>,
    /// Routes of exact paths.
    exact: HashMap<Box<str>, Hosts, ahash::RandomState>,
    forward_preflight: bool,
}

/// The routes of one path, by the rule for the host.
#[derive(Debug, Default)]
struct Hosts {
    exact: HashMap<Box<str>, Group, ahash::RandomState>,
    /// By what follows the one label that a wildcard stands for, with the dot.
    suffixes: HashMap<Box<str>, Group, ahash::RandomState>,
    any: Option<Group>,
}

/// The routes of one path and one host rule: one or more, with disjoint methods.
#[derive(Debug, Default)]
struct Group {
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Builds the table; the configuration has already refused ties.
    #[must_use]
    pub fn build(config: &Config) -> Self {
        let mut table = Self {
            prefixes: HashMap::default(),
            exact: HashMap::default(),
            forward_preflight: config.cors.forward_preflight,
        };
        let endpoint = endpoint(config);
        let routes = config.routes.iter().map(|route| (route, false));
        for (route, is_endpoint) in routes.chain(endpoint.iter().map(|route| (route, true))) {
            let side = if route.exact {
                &mut table.exact
            } else {
                &mut table.prefixes
            };
            let hosts = side.entry(route.path.as_str().into()).or_default();
            let made = Arc::new(Route::new(route.clone(), vary(config, route), is_endpoint));
            hosts.group(&route.host).routes.push(made);
        }
        table
    }

    /// The route of a request.
    pub fn find(&self, raw: &RawRequest) -> Result<Matched<'_>, RouteError> {
        let host = raw.host().name();
        let path = raw.path();
        let Some(group) = self.winner(path.as_str(), host) else {
            // A path with two readings is refused before anybody asks where it leads.
            let plain = path.forms() == PathAllowances::default() && path.alternative().is_none();
            return Err(if plain {
                RouteError::NoRoute
            } else {
                RouteError::Ambiguous
            });
        };
        if let Some(other) = path.alternative() {
            // Whoever decodes once more must still arrive at the same rule.
            let same = self
                .winner(other, host)
                .is_some_and(|there| std::ptr::eq(group, there));
            if !same {
                return Err(RouteError::Ambiguous);
            }
        }
        let preflight = self.preflight_method(raw);
        let method = preflight.as_ref().unwrap_or(raw.method());
        let limited = group
            .routes
            .iter()
            .any(|route| route.config().methods.is_some());
        if limited && raw.method_override() {
            return Err(RouteError::Ambiguous);
        }
        let route = group
            .routes
            .iter()
            .find(|route| {
                route
                    .config()
                    .methods
                    .as_ref()
                    .is_none_or(|methods| methods.contains(method))
            })
            .ok_or_else(|| RouteError::MethodNotAllowed {
                allow: allowed(&group.routes),
            })?;
        if !admits(route.config().allow, path.forms()) {
            return Err(RouteError::Ambiguous);
        }
        Ok(Matched {
            route,
            preflight: preflight.map(|_| Preflight { _private: () }),
        })
    }

    /// The routes of the winning path and host.
    fn winner(&self, path: &str, host: &str) -> Option<&Group> {
        if let Some(group) = self.exact.get(path).and_then(|hosts| hosts.narrowest(host)) {
            return Some(group);
        }
        let mut prefix = path.strip_suffix('/').unwrap_or(path);
        loop {
            if let Some(group) = self
                .prefixes
                .get(prefix)
                .and_then(|hosts| hosts.narrowest(host))
            {
                return Some(group);
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }

    /// The method that a preflight asks about, where preflights are forwarded.
    fn preflight_method(&self, raw: &RawRequest) -> Option<Method> {
        raw.preflight_method().filter(|_| self.forward_preflight)
    }
}

impl Hosts {
    /// The routes of a host rule, of which there may be none yet.
    fn group(&mut self, host: &HostMatch) -> &mut Group {
        match host {
            HostMatch::Exact(name) => self.exact.entry(name.as_str().into()).or_default(),
            HostMatch::Suffix(suffix) => self.suffixes.entry(suffix.as_str().into()).or_default(),
            HostMatch::Any => self.any.get_or_insert_default(),
        }
    }

    /// The routes of the narrowest rule that covers a host.
    fn narrowest(&self, host: &str) -> Option<&Group> {
        let wildcard = || {
            let (label, _) = host.split_once('.')?;
            let suffix = host.get(label.len()..)?;
            self.suffixes.get(suffix).filter(|_| !label.is_empty())
        };
        let exact = self.exact.get(host);
        exact.or_else(wildcard).or(self.any.as_ref())
    }
}

/// The token endpoint as a route: POST to exactly its path, for members, with the account that
/// `use_live` decides.
fn endpoint(config: &Config) -> Option<config::Route> {
    let reissue = config.identity.reissue.as_ref()?;
    let path = reissue.endpoint.clone()?;
    let accounts = config::Accounts {
        on_mismatch: config::OnMismatch::UseLive,
        ..config.accounts.clone()
    };
    Some(config::Route {
        at: reissue.at.key("endpoint"),
        name: path.as_str().into(),
        host: HostMatch::Any,
        path,
        exact: true,
        methods: Some(vec![Method::POST]),
        allow: PathAllowances::default(),
        access: Access::Member,
        roles: Vec::new(),
        attributes: Vec::new(),
        credentials: (0..config.credentials.len()).collect(),
        upstream: 0,
        accounts,
        body_limit: Some(ENDPOINT_BODY),
        timeouts: config.upstreams.first()?.timeouts,
        cache_upstream: false,
        audit_refusals_alone: false,
        login: None,
        strip_prefix: None,
    })
}

/// The fields that responses of a route depend on.
fn vary(config: &Config, route: &config::Route) -> Arc<[HeaderName]> {
    let places = route
        .credentials
        .iter()
        .filter_map(|index| config.credentials.get(*index));
    let mut names: Vec<HeaderName> = places
        .filter_map(|credential| match &credential.place {
            CredentialPlace::Bearer => Some(http::header::AUTHORIZATION),
            CredentialPlace::Cookie(_) | CredentialPlace::DjangoSession(_) => {
                Some(http::header::COOKIE)
            }
            CredentialPlace::WebSocketProtocol(_) => Some(http::header::SEC_WEBSOCKET_PROTOCOL),
            // The query is part of the URL, and so of every cache's key.
            CredentialPlace::Query(_) => None,
        })
        .collect();
    names.extend(config.tenants.headers().cloned());
    names.sort_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    names.into()
}

fn allowed(routes: &[Arc<Route>]) -> String {
    let mut methods: Vec<&str> = routes
        .iter()
        .flat_map(|route| route.config().methods.iter().flatten())
        .map(Method::as_str)
        .collect();
    methods.sort_unstable();
    methods.dedup();
    methods.join(", ")
}

const fn admits(allow: PathAllowances, forms: PathAllowances) -> bool {
    (allow.encoded_slash || !forms.encoded_slash)
        && (allow.encoded_backslash || !forms.encoded_backslash)
        && (allow.semicolon || !forms.semicolon)
        && (allow.double_slash || !forms.double_slash)
        && (allow.double_encoding || !forms.double_encoding)
}
