//! The case of one request: what its audit line will say, gathered on the way.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, LOCATION};
use http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use smol_str::SmolStr;

use super::listed::Tag;
use crate::audit::{Claimed, Line, LinePath};
use crate::auth::{Evidence, Grant};
use crate::config::Cors;
use crate::credential::{Finder, Form, Presented};
use crate::ids::{AccountId, UserId};
use crate::reason::Reason;
use crate::reject::{Audience, Rejection, status};
use crate::route::Route;
use crate::telemetry::{Clock, UnixTime};
use crate::token::Verifier;
use crate::wire::{ConnectionInfo, RawRequest, RequestId, Seen, Unreadable, WireError};

/// What a request is told whose method no route can list.
const SERVED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What is known of a request so far.
pub(crate) struct Case {
    started: Instant,
    /// The wall time at its start.
    pub(super) at: Option<UnixTime>,
    request_id: Option<RequestId>,
    method: Method,
    path: LinePath,
    client: IpAddr,
    /// What the answer looks like.
    pub(super) audience: Audience,
    /// The route's name.
    route: Option<SmolStr>,
    /// The route, where a browser on its way to a page may be sent to a login page of it.
    login: Option<Arc<Route>>,
    navigation: Option<String>,
    /// What the decision looked at.
    pub(crate) evidence: Evidence,
    acting: Option<Acting>,
    decided: Decided,
    /// What the first credential claims; proven only where the evidence says so.
    claimed: Option<Claimed>,
    /// The upstream's name, once something was sent to it.
    pub(super) upstream: Option<SmolStr>,
    /// Whom the upstream says it acted as.
    pub(super) acted_as: Option<serde_json::Value>,
    /// The subprotocol to select where the upstream selects none.
    pub(super) subprotocol: Option<HeaderValue>,
}

/// What was decided and has no line yet.
#[derive(Clone, Copy)]
enum Decided {
    /// Nothing, or it has its line.
    Nothing,
    Granted(Reason),
    Refused(Reason),
}

struct Acting {
    user: UserId,
    account: Option<AccountId>,
    bypass: bool,
    stale: bool,
}

impl Case {
    pub(crate) fn begin(info: &ConnectionInfo) -> Self {
        Self {
            started: Instant::now(),
            at: None,
            request_id: None,
            method: Method::GET,
            path: LinePath::Shown(String::new()),
            client: info.peer.ip(),
            audience: Audience::default(),
            route: None,
            login: None,
            navigation: None,
            evidence: Evidence::default(),
            acting: None,
            decided: Decided::Nothing,
            claimed: None,
            upstream: None,
            acted_as: None,
            subprotocol: None,
        }
    }

    pub(crate) fn request_id(&self) -> &str {
        self.request_id.as_ref().map_or("", RequestId::as_str)
    }

    /// The request's id as a header value, once it has one.
    pub(super) fn request_id_value(&self) -> Option<HeaderValue> {
        self.request_id.as_ref().map(RequestId::header_value)
    }

    /// How a stream that this becomes is listed.
    pub(super) fn tag(&self) -> Tag {
        Tag {
            request_id: Arc::from(self.request_id()),
            client: self.client,
        }
    }

    /// Notes a request that could not be read.
    pub(super) fn unreadable(&mut self, unreadable: Unreadable, cors: &Cors) -> Rejection {
        let Unreadable {
            error,
            method,
            path,
            request_id,
            client,
            wants_html,
            origin,
            ..
        } = unreadable;
        let mut rejection = Rejection::of(error.reason(), error.to_string());
        rejection.closes = error.breaks_connection();
        if error == WireError::MethodNotAllowed {
            rejection.allow = Some(SERVED.to_owned());
        }
        self.request_id = Some(request_id);
        self.path = LinePath::Shown(path);
        (self.method, self.client) = (method, client);
        self.audience = Audience {
            wants_html,
            cors_origin: origin.filter(|origin| is_listed(cors, origin)),
        };
        rejection
    }

    /// Notes a request that is answered before it is read as one.
    pub(super) fn early(&mut self, method: &Method, path: &str) {
        self.request_id = Some(RequestId::fresh());
        (self.method, self.path) = (method.clone(), LinePath::Shown(path.to_owned()));
    }

    /// Notes a request that was read.
    pub(super) fn read(&mut self, raw: &RawRequest, cors: &Cors, finder: &Finder) {
        self.request_id = Some(raw.request_id().clone());
        self.method = raw.method().clone();
        self.path = LinePath::Read(raw.path().clone());
        self.client = raw.client();
        let origin = Some(raw)
            .filter(|raw| raw.seen().has(Seen::ORIGIN))
            .and_then(|raw| raw.headers().get(http::header::ORIGIN))
            .filter(|origin| is_listed(cors, origin));
        self.audience = Audience {
            wants_html: raw.wants_html(),
            cors_origin: origin.cloned(),
        };
        if raw.is_navigation() {
            // A login page is told where to, never with what: it may be another's, and is logged.
            let query = raw.query().and_then(|query| finder.without_tokens(query));
            self.navigation = Some(match query {
                Some(query) => format!("{}?{query}", raw.path().as_str()),
                None => raw.path().as_str().to_owned(),
            });
        }
    }

    pub(super) fn route(&mut self, route: &Arc<Route>) {
        self.route = Some(route.name().clone());
        let leads = self.navigation.is_some() && route.config().login.is_some();
        self.login = leads.then(|| Arc::clone(route));
    }

    /// Notes what a refused request's first credential claims.
    pub(super) fn claims(&mut self, presented: &Presented, verifier: &Verifier) {
        let mut tokens = presented.tokens().iter();
        let token = tokens.find(|carried| carried.form == Form::Token);
        self.claimed = token.map(|carried| {
            let claimed = verifier.claimed(carried.token.expose());
            Claimed {
                tenant: claimed.tenant,
                user: claimed.user,
                account: claimed.account,
            }
        });
    }

    /// Notes who was let through.
    pub(super) fn granted(&mut self, grant: &Grant) {
        self.decided = Decided::Granted(grant.reason());
        self.acting = grant.principal().map(|principal| Acting {
            user: principal.user().clone(),
            account: principal.account().cloned(),
            bypass: principal.reason() == Reason::Bypass,
            stale: principal.stale(),
        });
    }

    /// Notes a refusal whose line waits for its place.
    pub(super) const fn refusing(&mut self, reason: Reason) {
        self.decided = Decided::Refused(reason);
    }

    /// Where a browser without a valid credential is sent instead of being refused: a path of this
    /// very site, with the path it wanted encoded as one value.
    pub(super) fn login(&self, reason: Reason) -> Option<Response<Bytes>> {
        let template = self.login.as_ref()?.config().login.as_deref()?;
        let wanted = self.navigation.as_deref()?;
        if status(reason) != StatusCode::UNAUTHORIZED
            || !template.starts_with('/')
            || template.starts_with("//")
        {
            return None;
        }
        // An app that follows it must not be led to another site by a route that admits such paths.
        let wanted = if names_a_host(wanted) { "/" } else { wanted };
        let target = template.replace(
            "{path}",
            &utf8_percent_encode(wanted, NON_ALPHANUMERIC).to_string(),
        );
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = StatusCode::SEE_OTHER;
        response
            .headers_mut()
            .insert(LOCATION, HeaderValue::from_str(&target).ok()?);
        response
            .headers_mut()
            .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        Some(response)
    }

    /// The line of a refusal. There is one line of a case, and nothing left of it after that.
    pub(super) fn refused(&mut self, reason: Reason, status: StatusCode, detail: &str) -> Line {
        let acting = self.acting.is_some();
        let mut line = self.line("deny", reason, status);
        line.detail = Some(detail.to_owned()).filter(|detail| !detail.is_empty());
        if !acting {
            match &self.evidence.binding {
                Some(binding) => {
                    line.user = Some(binding.user().clone());
                    line.account = binding.account().cloned();
                }
                None => line.claimed = self.claimed.take().filter(|claimed| !claimed.is_empty()),
            }
        }
        line
    }

    /// The line of a request that was let through; as with [`Self::refused`], the only one.
    pub(super) fn allowed(
        &mut self,
        reason: Reason,
        status: StatusCode,
        warn_age: Option<Duration>,
    ) -> Line {
        let mut line = self.line("allow", reason, status);
        line.stale_context = match (warn_age, line.token_age_s) {
            (Some(limit), Some(age)) => age >= limit.as_secs(),
            _ => false,
        };
        line
    }

    /// The line of a request that was decided and given up by the client before its answer; 499 as
    /// nginx logs it. None where it has its line, or wants none.
    pub(super) fn abandoned(&mut self, warn_age: Option<Duration>) -> Option<Line> {
        let status = StatusCode::from_u16(499).ok()?;
        let mut line = match self.decided {
            Decided::Refused(reason) => self.refused(reason, status, ""),
            Decided::Granted(reason) => self.allowed(reason, status, warn_age),
            Decided::Nothing => return None,
        };
        line.detail = Some("the client went away before the answer".to_owned());
        Some(line)
    }

    /// Takes what it says out of the case.
    fn line(&mut self, decision: &'static str, reason: Reason, status: StatusCode) -> Line {
        self.decided = Decided::Nothing;
        let instant = Instant::now();
        let duration = instant.saturating_duration_since(self.started);
        let now = match self.at {
            Some(at) => at.saturating_add(duration),
            None => Clock.now().unwrap_or(UnixTime::from_secs(0)),
        };
        let verified = self.evidence.verified.take();
        let (mut user, mut account, mut bypass, mut stale) = (None, None, false, false);
        if let Some(acting) = self.acting.take() {
            (user, account) = (Some(acting.user), acting.account);
            (bypass, stale) = (acting.bypass, acting.stale);
        }
        Line {
            time: now,
            request_id: self.request_id.take().unwrap_or_else(RequestId::fresh),
            decision,
            reason,
            tenant: self.evidence.tenant.take(),
            user,
            account,
            token_age_s: verified
                .as_ref()
                .and_then(|verified| verified.issued_at())
                .map(|issued| now.since(issued).as_secs()),
            live_age_ms: self
                .evidence
                .binding
                .as_ref()
                .map(|binding| u64::try_from(binding.age(instant).as_millis()).unwrap_or(u64::MAX)),
            bypass,
            stale,
            stale_context: false,
            verified,
            session: self.evidence.session.take(),
            claimed: None,
            route: self.route.take(),
            method: std::mem::take(&mut self.method),
            path: std::mem::replace(&mut self.path, LinePath::Shown(String::new())),
            status: status.as_u16(),
            upstream: self.upstream.take(),
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            client: self.client,
            acted_as: self.acted_as.take(),
            detail: None,
        }
    }
}

fn is_listed(cors: &Cors, origin: &HeaderValue) -> bool {
    cors.origins
        .iter()
        .any(|listed| listed.as_bytes() == origin.as_bytes())
}

/// Whether a browser could take this path for `//host/…`, at once or after one decoding.
fn names_a_host(path: &str) -> bool {
    let second = path.strip_prefix('/').unwrap_or(path);
    ["/", "\\", "%2F", "%5C"]
        .iter()
        .any(|slash| second.starts_with(slash))
}
