//! The gateway: one request, in a straight line.
//!
//! `Gateway::decide` reads top to bottom as the decision table: the first step that fails answers.
//! No identity can appear later than the decider, and none can change after it. One place turns a
//! failure into a response ([`serve`]), and exactly one audit line is written per decision.

mod case;
mod cookies;
mod endpoints;
mod explain;
mod listed;
mod response;
mod rooms;
mod stream;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};

use crate::audit::{Line, Slot};
use crate::auth::{Ask, FetchSite, Grant, OriginFacts};
use crate::config::Access;
use crate::credential::{Carriers, Presented, RepeatedCookie};
use crate::directory::Lease;
use crate::drain::Drain;
use crate::forward::{self, BodyFault, BodyWatch, ForwardRequest, RequestBody, UploadRules};
use crate::reason::Reason;
use crate::reject::{self, Rejection};
use crate::route::Matched;
use crate::telemetry::{Clock, Trace, UnixTime};
use crate::upstream::{Pools, UpstreamBody};
use crate::wire::{ConnectionInfo, RawRequest, WireError};

pub(crate) use case::Case;
pub use explain::{Explanation, explain};
pub use listed::{Kind as StreamKind, OpenStream, OpenStreams, Page, Wanted};
pub use rooms::{Component, Gateway};

/// What a client is answered with.
pub type ResponseBody = forward::ResponseBody<UpstreamBody>;

/// `X-Auth-Token-Stale: account` tells a client that its token names another account than the live
/// one.
const TOKEN_STALE: HeaderName = HeaderName::from_static("x-auth-token-stale");

/// What one core owns.
pub struct Core {
    gateway: Arc<Gateway>,
    pools: Pools,
    drain: Drain,
}

/// Which certificate a name leads to, on the connection that a request came over.
pub type CertificateOf<'a> = &'a dyn Fn(&str) -> Option<usize>;

/// A decided request, ready to be acted on.
pub(crate) struct Decided {
    pub(crate) matched: Matched,
    pub(crate) grant: Grant,
    /// What the upstream gets; `None` for the gateway's own token endpoint.
    pub(crate) forward: Option<ForwardRequest>,
    /// Registered before the live look-up, for a WebSocket.
    pub(crate) lease: Option<Lease>,
    /// The upload; dropping it ends it.
    pub(crate) watch: BodyWatch,
}

/// What a door knows of a request beside the request itself.
pub struct Arrival<'a> {
    /// The connection.
    pub info: &'a ConnectionInfo,
    /// Which certificate a name leads to there.
    pub certificate: CertificateOf<'a>,
    /// What was wrong with the head as it stood on the wire.
    pub fault: Option<WireError>,
    /// Kept until the response's body, or the tunnel that the request becomes, has ended.
    pub hold: Box<dyn Any + Send>,
    /// Closes an upgraded client connection by a TCP reset.
    pub reset: fn(Upgraded),
}

/// A request as it came.
pub(crate) struct Asked<'a> {
    pub(crate) head: request::Parts,
    pub(crate) body: Option<Incoming>,
    pub(crate) info: &'a ConnectionInfo,
    pub(crate) certificate: CertificateOf<'a>,
    pub(crate) fault: Option<WireError>,
    pub(crate) now: UnixTime,
}

impl Core {
    /// A core with pools of its own.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, drain: Drain) -> Self {
        let pools = Pools::new(gateway.upstreams(), Arc::clone(&gateway.metrics));
        Self {
            gateway,
            pools,
            drain,
        }
    }

    /// What all cores share.
    #[must_use]
    pub const fn gateway(&self) -> &Arc<Gateway> {
        &self.gateway
    }

    /// The shutdown.
    #[must_use]
    pub const fn drain(&self) -> &Drain {
        &self.drain
    }
}

/// Serves one request to its response.
pub async fn serve(
    core: &Rc<Core>,
    request: Request<Incoming>,
    arrival: Arrival<'_>,
) -> Response<ResponseBody> {
    let gateway = &core.gateway;
    let mut open = Open::new(gateway, Case::begin(arrival.info));
    let line = AssertUnwindSafe(straight_line(core, request, arrival, &mut open.case));
    let outcome = line
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err(Rejection::of(Reason::InternalError, "a panic")));
    let response = match outcome {
        Ok(response) => response,
        Err(rejection) => gateway.refuse(&open.case, rejection).await,
    };
    open.answered = true;
    response
}

/// A request that has not been answered yet. Dropped before that, the client has given it up; what
/// was granted by then may have been acted on, and has its line all the same.
struct Open<'a> {
    gateway: &'a Gateway,
    case: Case,
    answered: bool,
}

impl<'a> Open<'a> {
    fn new(gateway: &'a Gateway, case: Case) -> Self {
        gateway.metrics.in_flight.inc();
        Self {
            gateway,
            case,
            answered: false,
        }
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.gateway.metrics.in_flight.dec();
        if !self.answered
            && let Some(line) = self.case.abandoned(self.gateway.warn_age)
        {
            self.gateway.audit.offer(&line);
        }
    }
}

/// One request: decided, acted on, answered.
async fn straight_line(
    core: &Rc<Core>,
    request: Request<Incoming>,
    arrival: Arrival<'_>,
    case: &mut Case,
) -> Result<Response<ResponseBody>, Rejection> {
    let gateway = &core.gateway;
    let now = Clock
        .now()
        .inspect_err(|_| case.early(request.method(), request.uri().path()))?;
    let (mut head, body) = request.into_parts();
    if let Some(answer) = gateway.well_known(&head, case) {
        return Ok(answer.map(forward::ResponseBody::full));
    }
    let upgrade = head.extensions.remove::<OnUpgrade>();
    let Arrival {
        info,
        certificate,
        fault,
        hold,
        reset,
    } = arrival;
    let asked = Asked {
        head,
        body: Some(body),
        info,
        certificate,
        fault,
        now,
    };
    let mut decided = gateway.decide(asked, case, &mut Trace::off()).await?;
    // Nothing is acted on that cannot be recorded.
    let slot = gateway.audit.reserve().await?;
    case.granted(&decided.grant);

    let Some(forward) = decided.forward.take() else {
        let answer = gateway.token_endpoint(&decided.grant, now)?;
        let answer = answer.map(forward::ResponseBody::full);
        return Ok(gateway.finish(answer, case, &decided.grant, slot).0);
    };
    case.upstream = gateway
        .upstream_names
        .get(decided.matched.route.config().upstream)
        .cloned();
    let sent = stream::send_under_lease(core, forward, &decided.grant, case.tag()).await;
    // A body that failed on the client's side explains a failure better than the upstream does.
    let response = sent.map_err(|error| decided.watch.fault().map_or(error, Rejection::from))?;
    gateway.check_echo(&response, &decided.grant, case)?;
    let mut response = gateway.guard(response, &decided.matched);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = upgrade.ok_or_else(|| {
            Rejection::of(Reason::UpstreamProtocol, "a 101 that nobody asked for")
        })?;
        Gateway::select_subprotocol(&mut response, case);
        let (response, line) = gateway.finish(response, case, &decided.grant, slot);
        let client = stream::ClientSide {
            upgrade,
            reset,
            hold,
        };
        return Ok(stream::tunnel(core, response, client, decided, line));
    }
    let (version, reserved) = (response.version(), gateway.forwarder.reserved());
    let response = response
        .map(|body| forward::ResponseBody::upstream(body, version, None, Arc::clone(reserved)));
    let (response, line) = gateway.finish(response, case, &decided.grant, slot);
    Ok(stream::watch_body(core, response, decided, line, hold))
}

impl Gateway {
    /// Steps 1 to 7: the decision table, and the request that the upstream would get.
    pub(crate) async fn decide(
        &self,
        asked: Asked<'_>,
        case: &mut Case,
        trace: &mut Trace,
    ) -> Result<Decided, Rejection> {
        let Asked {
            head,
            body,
            info,
            certificate,
            fault,
            now,
        } = asked;
        let version = head.version;
        // 1. The request is unambiguous.
        let has_body = body.as_ref().is_some_and(|body| !body.is_end_stream());
        let read = match fault {
            Some(error) => Err(RawRequest::refuse(
                head,
                error,
                info,
                &self.request_id_header,
            )),
            None => RawRequest::read(head, has_body, info, &self.limits, &self.request_id_header),
        };
        let raw = read.map_err(|unreadable| case.unreadable(*unreadable, &self.cors))?;
        case.read(&raw, &self.cors, &self.finder);
        self.same_server(&raw, certificate).await?;
        // 2. Its route.
        let matched = self.routes.find(&raw)?;
        case.route(&matched.route);
        trace.note("route", || serde_json::json!({ "route": matched.route.name(), "preflight": matched.preflight.is_some() }));
        let (body, watch) = self.body(body, version, &matched)?;
        // 3. Its tenant.
        let nobody = matched.preflight.is_some() || matched.route.config().access == Access::Public;
        let tenant = self.tenants.resolve(&raw, !nobody).await?;
        trace.note("tenant sources", || serde_json::json!(tenant.to_string()));
        // 4. What it carries, read before sanitising takes it away; a public route never looks.
        let presented = if nobody {
            Presented::default()
        } else {
            self.find(&raw, &matched)?
        };
        self.note_subprotocol(&raw, &presented, case);
        let streams = raw.websocket().is_some();
        let csrf = self.csrf_facts(&raw, &presented);
        let ask = Ask {
            tenant,
            presented,
            origin: self.origin_facts(&raw),
            csrf,
        };
        let mut clean = self.forwarder.sanitize(raw, body);
        // 4 to 7. Who it acts as.
        let mut lease = None;
        let slot = streams.then_some(&mut lease);
        let seen = (&mut case.evidence, &mut *trace);
        let decision = self
            .authenticator
            .decide(&matched, &ask, now, slot, seen)
            .await;
        let grant = decision.inspect_err(|_| case.claims(&ask.presented, self.verifier()))?;
        if matched.preflight.is_some() {
            clean = clean.without_credentials();
        }
        if self.is_token_endpoint(&matched) {
            return Ok(Decided {
                matched,
                grant,
                forward: None,
                lease,
                watch,
            });
        }
        let forward = clean.authorize(&grant, &ask.presented, &self.forwarder, now)?;
        Ok(Decided {
            matched,
            grant,
            forward: Some(forward),
            lease,
            watch,
        })
    }

    /// The client's body under its route's limits.
    fn body(
        &self,
        body: Option<Incoming>,
        version: http::Version,
        matched: &Matched,
    ) -> Result<(RequestBody, BodyWatch), BodyFault> {
        let Some(incoming) = body else {
            return Ok(RequestBody::empty());
        };
        let route = matched.route.config();
        let rules = UploadRules {
            limit: route.body_limit,
            idle: Some(route.timeouts.body_idle),
            reserved: Arc::clone(self.forwarder.reserved()),
        };
        RequestBody::client(incoming, version, &rules)
    }

    /// Step 1 for TLS: the server name leads to the same certificate and tenant as Host
    /// (RFC 9110, section 7.4).
    async fn same_server(
        &self,
        raw: &RawRequest,
        certificate: CertificateOf<'_>,
    ) -> Result<(), Rejection> {
        let Some(name) = raw.server_name().filter(|name| *name != raw.host().name()) else {
            return Ok(());
        };
        let elsewhere = certificate(name) != certificate(raw.host().name())
            || self.tenants.of_host(name).await? != self.tenants.of_host(raw.host().name()).await?;
        if elsewhere {
            return Err(Rejection::of(
                Reason::HostMismatch,
                "the TLS server name leads elsewhere than the Host",
            ));
        }
        Ok(())
    }

    fn find(&self, raw: &RawRequest, matched: &Matched) -> Result<Presented, Rejection> {
        let protocols: Option<Vec<&str>> = raw
            .websocket()
            .map(|handshake| handshake.protocols.iter().map(String::as_str).collect());
        let carriers = Carriers {
            headers: raw.headers(),
            cookie: &|name| raw.cookies().one(name).map_err(|_| RepeatedCookie),
            query: raw.query(),
            websocket: protocols.as_deref(),
        };
        Ok(self
            .finder
            .find(&carriers, &matched.route.config().credentials)?)
    }

    fn origin_facts(&self, raw: &RawRequest) -> OriginFacts {
        let origin = raw.origin();
        OriginFacts {
            websocket: raw.websocket().is_some(),
            safe_method: matches!(*raw.method(), Method::GET | Method::HEAD | Method::OPTIONS),
            has_origin: raw.headers().contains_key(http::header::ORIGIN),
            origin_allowed: origin.is_some_and(|origin| {
                origin == raw.own_origin() || self.origins.iter().any(|allowed| allowed == origin)
            }),
            fetch_site: raw.sec_fetch_site().map(FetchSite::read),
        }
    }

    /// The one place where a failure becomes a response, with its audit line.
    async fn refuse(&self, case: &Case, rejection: Rejection) -> Response<ResponseBody> {
        // A refusal that cannot be recorded is told as such.
        let (slot, rejection) = match self.audit.reserve().await {
            Ok(slot) => (Some(slot), rejection),
            Err(error) => (None, Rejection::from(error)),
        };
        let reason = rejection.reason;
        self.metrics
            .decisions
            .get_or_create(&crate::telemetry::ReasonLabel {
                reason: reason.code(),
            })
            .inc();
        if reason == Reason::InternalError {
            tracing::error!(request_id = %case.request_id(), detail = %rejection.detail, "internal error");
        }
        let mut response = match case.login(reason) {
            Some(login) => login,
            None => reject::response(
                reason,
                case.request_id(),
                &case.audience,
                rejection.allow.as_deref(),
            ),
        };
        let dead = rejection.dead_cookie;
        if let Some(Some(delete)) = dead.and_then(|index| self.dead_cookies.get(index)) {
            response
                .headers_mut()
                .append(http::header::SET_COOKIE, delete.clone());
        }
        if rejection.closes {
            response
                .headers_mut()
                .insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(case.request_id()) {
            response.headers_mut().insert(&self.request_id_header, id);
        }
        let line = case.refused(reason, response.status(), &rejection.detail);
        match slot {
            Some(slot) => slot.fill(&line),
            None => self.audit.offer(&line),
        }
        response.map(forward::ResponseBody::full)
    }

    /// The marks that every granted response gets, and its audit line.
    fn finish<B>(
        &self,
        mut response: Response<B>,
        case: &Case,
        grant: &Grant,
        slot: Slot,
    ) -> (Response<B>, Line) {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(case.request_id()) {
            headers.insert(&self.request_id_header, id);
        }
        if grant.principal().is_some_and(crate::auth::Principal::stale) {
            headers.insert(TOKEN_STALE, HeaderValue::from_static("account"));
        }
        let reason = grant.reason();
        self.metrics
            .decisions
            .get_or_create(&crate::telemetry::ReasonLabel {
                reason: reason.code(),
            })
            .inc();
        let line = case.allowed(reason, response.status(), self.warn_age);
        slot.fill(&line);
        (response, line)
    }
}
