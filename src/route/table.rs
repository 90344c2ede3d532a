//! The table: longest prefix of whole segments, then exact, then the narrower host.
//!
//! A look-up costs one hash per segment of the path, whatever the number of routes. The method
//! never sends a request on to a shorter path: if the routes of the winning path do not list it,
//! the answer is 405. A path that holds a form with a second reading is refused unless its route
//! admits that form and both readings lead to the same route.

use std::collections::HashMap;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use super::{Matched, Preflight, Route};
use crate::config::{Cors, HostMatch, PathAllowances};
use crate::reason::Reason;
use crate::wire::RawRequest;

/// `Access-Control-Request-Method` of a preflight (Fetch, section 3.2.2).
const REQUEST_METHOD: HeaderName = http::header::ACCESS_CONTROL_REQUEST_METHOD;

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
    prefixes: HashMap<Box<str>, Vec<Group>, ahash::RandomState>,
    /// Routes of exact paths.
    exact: HashMap<Box<str>, Vec<Group>, ahash::RandomState>,
    forward_preflight: bool,
}

/// The routes of one path and one host rule: one or more, with disjoint methods. The groups of one
/// path are sorted by narrowness of the host, narrowest first.
#[derive(Debug)]
struct Group {
    host: HostMatch,
    routes: Vec<Arc<Route>>,
}

impl RouteTable {
    /// Builds the table; the configuration has already refused ties.
    #[must_use]
    pub fn build(routes: &[crate::config::Route], cors: &Cors) -> Self {
        let mut table = Self {
            prefixes: HashMap::default(),
            exact: HashMap::default(),
            forward_preflight: cors.forward_preflight,
        };
        for route in routes {
            let side = if route.exact { &mut table.exact } else { &mut table.prefixes };
            let groups = side.entry(route.path.as_str().into()).or_default();
            let made = Arc::new(Route::new(route.clone()));
            match groups.iter_mut().find(|group| group.host == route.host) {
                Some(group) => group.routes.push(made),
                None => groups.push(Group { host: route.host.clone(), routes: vec![made] }),
            }
            groups.sort_by_key(|group| std::cmp::Reverse(narrowness(&group.host)));
        }
        table
    }

    /// The route of a request.
    pub fn find(&self, raw: &RawRequest) -> Result<Matched, RouteError> {
        let host = raw.host().name();
        let path = raw.path();
        let group = self.winner(path.as_str(), host).ok_or(RouteError::NoRoute)?;
        if let Some(other) = path.alternative() {
            // Whoever decodes once more must still arrive at the same rule.
            let same = self.winner(other, host).is_some_and(|there| std::ptr::eq(group, there));
            if !same {
                return Err(RouteError::Ambiguous);
            }
        }
        let preflight = self.preflight_method(raw);
        let method = preflight.as_ref().unwrap_or(raw.method());
        let limited = group.routes.iter().any(|route| route.config().methods.is_some());
        if limited && raw.method_override() {
            return Err(RouteError::Ambiguous);
        }
        let route = group
            .routes
            .iter()
            .find(|route| route.config().methods.as_ref().is_none_or(|methods| methods.contains(method)))
            .ok_or_else(|| RouteError::MethodNotAllowed { allow: allowed(&group.routes) })?;
        if !admits(route.config().allow, path.forms()) {
            return Err(RouteError::Ambiguous);
        }
        Ok(Matched { route: Arc::clone(route), preflight: preflight.map(|_| Preflight { _private: () }) })
    }

    /// The routes of the winning path and host.
    fn winner(&self, path: &str, host: &str) -> Option<&Group> {
        if let Some(group) = self.exact.get(path).and_then(|groups| narrowest(groups, host)) {
            return Some(group);
        }
        let mut prefix = path.strip_suffix('/').unwrap_or(path);
        loop {
            if let Some(group) = self.prefixes.get(prefix).and_then(|groups| narrowest(groups, host)) {
                return Some(group);
            }
            prefix = prefix.rsplit_once('/')?.0;
        }
    }

    /// The method that a preflight asks about: OPTIONS with `Origin` and
    /// `Access-Control-Request-Method`, and no body.
    fn preflight_method(&self, raw: &RawRequest) -> Option<Method> {
        if !self.forward_preflight || raw.method() != Method::OPTIONS || raw.has_body() || raw.origin().is_none() {
            return None;
        }
        let value = single(raw.headers(), &REQUEST_METHOD)?;
        Method::from_bytes(value.as_bytes()).ok()
    }
}

fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a http::HeaderValue> {
    let mut values = headers.get_all(name).iter();
    let first = values.next()?;
    values.next().is_none().then_some(first)
}

const fn narrowness(host: &HostMatch) -> usize {
    match host {
        HostMatch::Any => 0,
        HostMatch::Suffix(suffix) => 1 + suffix.len(),
        HostMatch::Exact(_) => usize::MAX,
    }
}

fn covers(rule: &HostMatch, host: &str) -> bool {
    match rule {
        HostMatch::Any => true,
        HostMatch::Exact(name) => name == host,
        HostMatch::Suffix(suffix) => {
            host.strip_suffix(suffix.as_str()).is_some_and(|label| !label.is_empty() && !label.contains('.'))
        }
    }
}

fn narrowest<'a>(groups: &'a [Group], host: &str) -> Option<&'a Group> {
    groups.iter().find(|group| covers(&group.host, host))
}

fn allowed(routes: &[Arc<Route>]) -> String {
    let mut methods: Vec<&str> =
        routes.iter().flat_map(|route| route.config().methods.iter().flatten()).map(Method::as_str).collect();
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
