//! The gateway: one request, in a straight line.
//!
//! [`Gateway::decide`] reads top to bottom as the decision table: the first step that fails answers.
//! No identity can appear later than the decider, and none can change after it. One place turns a
//! failure into a response ([`serve`]), and exactly one audit line is written per decision.

mod case;
mod endpoints;
mod explain;
mod response;
mod rooms;
mod stream;

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;

use crate::auth::{Ask, Grant, OriginFacts};
use crate::config::Access;
use crate::credential::{Carriers, RepeatedCookie};
use crate::directory::Lease;
use crate::drain::{Drain, Phase};
use crate::forward::{self, BodyFault, BodyWatch, ForwardRequest, RequestBody};
use crate::reason::Reason;
use crate::reject::{self, Rejection};
use crate::route::Matched;
use crate::telemetry::{Clock, Trace, UnixTime};
use crate::upstream::{Pools, UpstreamBody, UpstreamError};
use crate::wire::{ConnectionInfo, RawRequest};

pub(crate) use case::Case;
pub use explain::{Explanation, explain};
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
    pub(crate) then: Then,
    pub(crate) lease: Option<Lease>,
}

/// What a granted request is for.
pub(crate) enum Then {
    /// The upstream.
    Forward(ForwardRequest),
    /// The gateway's own token endpoint.
    Token,
}

impl Core {
    /// A core with pools of its own.
    #[must_use]
    pub fn new(gateway: Arc<Gateway>, drain: Drain) -> Self {
        let pools = Pools::new(gateway.upstreams(), Arc::clone(&gateway.metrics));
        Self { gateway, pools, drain }
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

/// Serves one request to its response. `hold` is kept until the response's body, or the tunnel that
/// the request becomes, has ended.
pub async fn serve(
    core: &Rc<Core>,
    request: Request<Incoming>,
    info: &ConnectionInfo,
    certificate: CertificateOf<'_>,
    hold: Box<dyn Any + Send>,
) -> Response<ResponseBody> {
    let gateway = &core.gateway;
    gateway.metrics.in_flight.inc();
    let mut case = Case::begin(info);
    let line = AssertUnwindSafe(straight_line(core, request, info, certificate, &mut case, hold));
    let outcome = line.catch_unwind().await.unwrap_or_else(|_| Err(Rejection::of(Reason::InternalError, "a panic")));
    gateway.metrics.in_flight.dec();
    match outcome {
        Ok(response) => response,
        Err(rejection) => gateway.refuse(&mut case, &rejection),
    }
}

/// One request: decided, acted on, answered.
async fn straight_line(
    core: &Rc<Core>,
    request: Request<Incoming>,
    info: &ConnectionInfo,
    certificate: CertificateOf<'_>,
    case: &mut Case,
    hold: Box<dyn Any + Send>,
) -> Result<Response<ResponseBody>, Rejection> {
    let gateway = &core.gateway;
    let now = Clock.now()?;
    let (head, body) = request.into_parts();
    if let Some(answer) = gateway.well_known(&head, case) {
        return Ok(answer.map(forward::ResponseBody::full));
    }
    let upgrade = core.client_upgrade(&head);
    let (body, watch) = RequestBody::client(body, gateway.body_idle);
    let decided = gateway.decide(head, body, &watch, info, certificate, now, (case, &mut Trace::off())).await?;
    // Nothing is acted on that cannot be recorded.
    let slot = gateway.audit.reserve().await?;
    case.granted(&decided.grant);

    let forward = match decided.then {
        Then::Token => {
            let answer = gateway.token_endpoint(&decided.grant, now)?;
            let answer = answer.map(|body| forward::ResponseBody::full(Bytes::from(body)));
            return Ok(gateway.finish(answer, case, &decided.grant, Some(slot)));
        }
        Then::Forward(forward) => forward,
    };
    let sent = stream::send_under_lease(core, forward, &decided.grant, &watch, now).await;
    let response = sent.map_err(|error| error.or_of_body(&watch))?;
    gateway.check_echo(&response, &decided.grant, case)?;
    let mut response = gateway.guard(response, &decided.matched, &decided.grant);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let upgrade = upgrade.ok_or_else(|| Rejection::of(Reason::UpstreamProtocol, "a 101 that nobody asked for"))?;
        gateway.select_subprotocol(&mut response, case);
        let response = gateway.finish(response.map(forward::ResponseBody::upstream), case, &decided.grant, Some(slot));
        return Ok(stream::tunnel(core, response, upgrade, decided, case.clone_for_stream(), hold));
    }
    let response = gateway.finish(response.map(forward::ResponseBody::upstream), case, &decided.grant, Some(slot));
    Ok(stream::watch_body(core, response, decided, case, hold))
}

impl Gateway {
    /// Steps 1 to 7: the decision table, and the request that the upstream would get.
    #[expect(clippy::too_many_arguments, reason = "the one line that everything of a request meets on")]
    pub(crate) async fn decide(
        &self,
        head: request::Parts,
        body: RequestBody,
        watch: &BodyWatch,
        info: &ConnectionInfo,
        certificate: CertificateOf<'_>,
        now: UnixTime,
        seen: (&mut Case, &mut Trace),
    ) -> Result<Decided, Rejection> {
        let (case, trace) = seen;
        // 1. The request is unambiguous.
        let has_body = !body.is_end_stream();
        let raw = RawRequest::read(head, has_body, info, &self.limits, &self.request_id_header)
            .map_err(|unreadable| case.unreadable(*unreadable, &self.cors))?;
        case.read(&raw, &self.cors);
        self.same_server(&raw, certificate).await?;
        // 2. Its route.
        let matched = self.routes.find(&raw)?;
        case.route(&matched.route);
        trace.note("route", || serde_json::json!({ "route": matched.route.name(), "preflight": matched.preflight.is_some() }));
        watch.limit(&raw, matched.route.config().body_limit)?;
        // 3. Its tenant.
        let nobody = matched.preflight.is_some() || matched.route.config().access == Access::Public;
        let tenant = self.tenants.resolve(&raw, !nobody).await?;
        trace.note("tenant sources", || serde_json::json!(format!("{tenant:?}")));
        // 4. What it carries, read before sanitising takes it away; a public route never looks.
        let presented = if nobody { Default::default() } else { self.find(&raw, &matched)? };
        case.carries(&presented);
        let streams = raw.websocket().is_some();
        let ask = Ask { tenant, presented, origin: self.origin_facts(&raw) };
        let mut clean = self.forwarder.sanitize(raw, body);
        // 4 to 7. Who it acts as.
        let mut lease = None;
        let slot = streams.then_some(&mut lease);
        let decision = self.authenticator.decide(&matched, &ask, now, slot, (&mut case.evidence, &mut *trace)).await;
        let grant = decision?;
        if matched.preflight.is_some() {
            clean = clean.without_credentials();
        }
        if self.is_token_endpoint(&matched) {
            return Ok(Decided { matched, grant, then: Then::Token, lease });
        }
        let forward = clean.authorize(&grant, &ask.presented, &self.forwarder, now)?;
        Ok(Decided { matched, grant, then: Then::Forward(forward), lease })
    }

    /// Step 1 for TLS: the server name leads to the same certificate and tenant as Host
    /// (RFC 9110, section 7.4).
    async fn same_server(&self, raw: &RawRequest, certificate: CertificateOf<'_>) -> Result<(), Rejection> {
        let Some(name) = raw.server_name().filter(|name| *name != raw.host().name()) else { return Ok(()) };
        let elsewhere = certificate(name) != certificate(raw.host().name())
            || self.tenants.of_host(name).await? != self.tenants.of_host(raw.host().name()).await?;
        if elsewhere {
            return Err(Rejection::of(Reason::HostMismatch, "the TLS server name leads elsewhere than the Host"));
        }
        Ok(())
    }

    fn find(&self, raw: &RawRequest, matched: &Matched) -> Result<crate::credential::Presented, Rejection> {
        let protocols: Option<Vec<&str>> =
            raw.websocket().map(|handshake| handshake.protocols.iter().map(String::as_str).collect());
        let carriers = Carriers {
            headers: raw.headers(),
            cookie: &|name| raw.cookies().one(name).map_err(|_| RepeatedCookie),
            query: raw.query(),
            websocket: protocols.as_deref(),
        };
        Ok(self.finder.find(&carriers, &matched.route.config().credentials)?)
    }

    fn origin_facts(&self, raw: &RawRequest) -> OriginFacts {
        let origin = raw.origin();
        OriginFacts {
            websocket: raw.websocket().is_some(),
            safe_method: matches!(*raw.method(), Method::GET | Method::HEAD | Method::OPTIONS),
            has_origin: raw.headers().contains_key(http::header::ORIGIN),
            origin_allowed: origin
                .is_some_and(|origin| origin == raw.own_origin() || self.origins.iter().any(|allowed| allowed == origin)),
            fetch_site: raw.sec_fetch_site().map(crate::auth::FetchSite::read),
        }
    }

    /// The one place where a failure becomes a response, with its audit line.
    fn refuse(&self, case: &mut Case, rejection: &Rejection) -> Response<ResponseBody> {
        let reason = rejection.reason;
        self.metrics.decisions.get_or_create(&crate::telemetry::ReasonLabel { reason: reason.code() }).inc();
        if reason == Reason::InternalError {
            tracing::error!(request_id = %case.request_id(), detail = %rejection.detail, "internal error");
        }
        let mut response = match case.login(reason) {
            Some(login) => login,
            None => reject::response(reason, case.request_id(), &case.audience, rejection.allow.as_deref()),
        };
        if rejection.closes {
            response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
        }
        if let Ok(id) = HeaderValue::from_str(case.request_id()) {
            response.headers_mut().insert(&self.request_id_header, id);
        }
        let line = case.refused(reason, response.status(), &rejection.detail);
        self.audit.offer(&line);
        response.map(forward::ResponseBody::full)
    }

    /// The marks that every granted response gets, and its audit line.
    fn finish(
        &self,
        mut response: Response<ResponseBody>,
        case: &mut Case,
        grant: &Grant,
        slot: Option<crate::audit::Slot>,
    ) -> Response<ResponseBody> {
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(case.request_id()) {
            headers.insert(&self.request_id_header, id);
        }
        if grant.principal().is_some_and(crate::auth::Principal::stale) {
            headers.insert(TOKEN_STALE, HeaderValue::from_static("account"));
        }
        let reason = grant.reason();
        self.metrics.decisions.get_or_create(&crate::telemetry::ReasonLabel { reason: reason.code() }).inc();
        let line = case.allowed(reason, response.status(), self.warn_age);
        if let Some(slot) = slot {
            slot.fill(&line);
        }
        response
    }
}
