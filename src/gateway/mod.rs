//! The gateway: one request, in a straight line.
//!
//! `Gateway::decide` reads top to bottom as the decision table: the first step that fails answers.
//! No identity can appear later than the decider, and none can change after it. One place turns a
//! failure into a response ([`serve`]), and one audit line is written per decision
//! (none, where nobody acts and the route wants none).

mod answer;
mod case;
mod closing;
mod components;
mod cookies;
mod endpoints;
mod events;
mod explain;
mod listed;
mod open;
mod patience;
mod response;
mod rooms;
mod steps;
mod stream;

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;

use futures_util::FutureExt;
use http::{Response, StatusCode, request};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::upgrade::{OnUpgrade, Upgraded};

use crate::auth::{Ask, Grant, Known, VerifiedTokens};
use crate::config::Access;
use crate::credential::Presented;
use crate::directory::{Directory, Lease};
use crate::drain::Drain;
use crate::forward::{self, BodyWatch, ForwardRequest, Minted, Reserved};
use crate::reason::Reason;
use crate::reject::Rejection;
use crate::route::Matched;
use crate::telemetry::{Clock, Trace, UnixTime};
use crate::upstream::{Pools, UpstreamBody};
use crate::wire::{ConnectionInfo, RawRequest, WireError};
use open::Open;
use patience::Patience;

pub(crate) use case::Case;
pub use components::Component;
pub use explain::{Explanation, explain};
pub use listed::{Kind as StreamKind, OpenStream, OpenStreams, Page, Wanted};
pub use rooms::Gateway;

/// What a client is answered with.
pub type ResponseBody = forward::ResponseBody<UpstreamBody, (InProgress, BodyWatch)>;

/// Whoever counts the requests of a client connection.
pub trait Counts {
    /// A request is over.
    fn ended(&self);
}

/// One request in progress; dropping it ends it.
pub struct InProgress(Arc<dyn Counts + Send + Sync>);

impl InProgress {
    /// A request that has been counted as begun.
    #[must_use]
    pub fn begun(counter: Arc<dyn Counts + Send + Sync>) -> Self {
        Self(counter)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.ended();
    }
}

/// What one core owns.
pub struct Core {
    gateway: Arc<Gateway>,
    pools: Pools,
    memory: Memory,
    patience: Rc<Patience>,
    /// A copy of the core's own, which every response holds on to.
    reserved: Rc<Reserved>,
    drain: Drain,
}

/// What a core remembers of earlier requests: no identity, only proofs that are dear to make. Whom
/// a request acts as is asked of the directory each time.
#[derive(Debug)]
pub(crate) struct Memory {
    known: Known,
    minted: Minted,
}

impl Memory {
    /// An empty one, of about so many bytes: three quarters for verified tokens, one for what is
    /// signed. The way to the live records takes up to 17 MiB more.
    pub(crate) fn of_bytes(bytes: usize, directory: &Directory) -> Self {
        Self {
            known: Known {
                tokens: VerifiedTokens::of_bytes(bytes - bytes / 4),
                near: directory.near(),
            },
            minted: Minted::of_bytes(bytes / 4),
        }
    }
}

/// Which certificate a name leads to, on the connection that a request came over.
pub type CertificateOf<'a> = &'a dyn Fn(&str) -> Option<usize>;

/// A decided request, ready to be acted on.
pub(crate) struct Decided<'g> {
    pub(crate) matched: Matched<'g>,
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
    pub in_progress: InProgress,
    /// Closes an upgraded client connection by a TCP reset.
    pub reset: fn(Upgraded),
}

/// A request as it came.
pub(crate) struct Asked<'a> {
    pub(crate) head: &'a mut request::Parts,
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
            memory: Memory::of_bytes(
                gateway.limits.token_cache / gateway.workers.max(1),
                gateway.directory(),
            ),
            reserved: Rc::new(Reserved::clone(gateway.forwarder.reserved())),
            gateway,
            pools,
            patience: Rc::default(),
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

/// Serves one request to its response. What is kept of the head is taken out of it.
pub async fn serve(
    core: &Rc<Core>,
    head: &mut request::Parts,
    body: Incoming,
    arrival: Arrival<'_>,
) -> Response<ResponseBody> {
    let gateway = &core.gateway;
    let mut open = Open::new(gateway, Case::begin(arrival.info));
    let outcome = {
        // Pinned where it is made: by value it would be copied once more, all of it.
        let line = std::pin::pin!(straight_line(core, (head, body), arrival, &mut open.case));
        let line = AssertUnwindSafe(line).catch_unwind().await;
        line.unwrap_or_else(|_| Err(Rejection::of(Reason::InternalError, "a panic")))
    };
    let response = match outcome {
        Ok(response) => response,
        Err(rejection) => Box::pin(gateway.refuse(&mut open.case, rejection)).await,
    };
    open.answered = true;
    response
}

/// One request: decided, acted on, answered.
async fn straight_line(
    core: &Rc<Core>,
    (head, body): (&mut request::Parts, Incoming),
    arrival: Arrival<'_>,
    case: &mut Case,
) -> Result<Response<ResponseBody>, Rejection> {
    let gateway = &core.gateway;
    let now = Clock
        .now()
        .inspect_err(|_| case.early(&head.method, head.uri.path()))?;
    case.at = Some(now);
    if let Some(answer) = gateway.well_known(head, case) {
        return Ok(answer.map(forward::ResponseBody::full));
    }
    let upgrade = head.extensions.remove::<OnUpgrade>();
    let Arrival {
        info,
        certificate,
        fault,
        in_progress,
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
    let mut decided = gateway
        .decide(asked, &core.memory, case, &mut Trace::off())
        .await?;
    let Some(forward) = decided.forward.take() else {
        let slot = gateway.reserve(case, &decided.grant).await?;
        let answer = gateway.token_endpoint(&decided.grant, now)?;
        let mut answer = answer.map(forward::ResponseBody::full);
        gateway.finish(&mut answer, case, &decided.grant, slot);
        return Ok(answer);
    };
    // Nothing is acted on that cannot be recorded. Where nobody acts, a route may want no line, nor one
    // of a client that leaves; a WebSocket has its lines everywhere.
    let slot = if decided.grant.leaves_no_line() && !forward.is_websocket() {
        None
    } else {
        Some(gateway.reserve(case, &decided.grant).await?)
    };
    case.upstream = gateway
        .upstream_names
        .get(decided.matched.route.config().upstream)
        .cloned();
    let watch = stream::patience();
    let answer = std::pin::pin!(core.pools.send(forward, Some(&watch)));
    let sent = stream::under_lease(core, answer, &watch, &decided.grant, || case.tag()).await;
    // A body that failed on the client's side explains a failure better than the upstream does.
    let mut response =
        sent.map_err(|error| decided.watch.fault().map_or(error, Rejection::from))?;
    gateway.check_echo(&response, &decided.grant, case)?;
    gateway.guard(&mut response, &decided.matched);
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let (Some(upgrade), Some(slot)) = (upgrade, slot) else {
            let unasked = "a 101 that nobody asked for";
            return Err(Rejection::of(Reason::UpstreamProtocol, unasked));
        };
        Gateway::select_subprotocol(&mut response, case);
        let line = gateway.finish(&mut response, case, &decided.grant, slot);
        let client = stream::ClientSide {
            upgrade,
            reset,
            in_progress,
        };
        return Ok(stream::tunnel(core, response, client, decided, line));
    }
    let (version, reserved) = (response.version(), Rc::clone(&core.reserved));
    let carried = |body| forward::ResponseBody::upstream(body, version, None, reserved);
    let Some(slot) = slot else {
        gateway.mark(&mut response, case, &decided.grant);
        let kept = (in_progress, decided.watch);
        return Ok(events::without_lease(core, response.map(carried), kept));
    };
    let line = gateway.finish(&mut response, case, &decided.grant, slot);
    Ok(stream::watch_body(
        core,
        response.map(carried),
        decided,
        &line,
        in_progress,
    ))
}

impl Gateway {
    /// Steps 1 to 7: the decision table, and the request that the upstream would get.
    pub(crate) async fn decide<'g>(
        &'g self,
        asked: Asked<'_>,
        memory: &Memory,
        case: &mut Case,
        trace: &mut Trace,
    ) -> Result<Decided<'g>, Rejection> {
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
        self.refuse_repeated(&raw)?;
        self.same_server(&raw, certificate).await?;
        // 2. Its route.
        let matched = self.routes.find(&raw)?;
        case.route(matched.route);
        trace.note("route", || serde_json::json!({ "route": matched.route.name(), "preflight": matched.preflight.is_some() }));
        let (body, watch) = self.body(body, version, &matched)?;
        // 3. Its tenant.
        let nobody = matched.preflight.is_some() || matched.route.config().access == Access::Public;
        let (tenant, basis) = self.tenants.resolve(&raw, !nobody).await?;
        trace.note("tenant sources", || serde_json::json!(tenant.to_string()));
        // 4. What it carries, read before sanitising takes it away; a public route never looks.
        let presented = if nobody {
            Presented::default()
        } else {
            self.find(&raw, &matched)?
        };
        self.note_subprotocol(&raw, case);
        let streams = raw.websocket().is_some();
        let csrf = self.csrf_facts(&raw, &presented);
        let ask = Ask {
            tenant,
            presented,
            basis,
            origin: self.origin_facts(&raw),
            csrf,
        };
        let mut clean = self.forwarder.sanitize(raw, body, info);
        // 4 to 7. Who it acts as.
        let mut lease = None;
        let slot = streams.then_some(&mut lease);
        let seen = (&mut case.evidence, &mut *trace);
        let decision = self
            .authenticator
            .decide(&matched, &ask, &memory.known, now, slot, seen)
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
        let forward =
            clean.authorize(&grant, &ask.presented, &self.forwarder, &memory.minted, now)?;
        Self::keep_subprotocol_unless_offered(&forward, case);
        Ok(Decided {
            matched,
            grant,
            forward: Some(forward),
            lease,
            watch,
        })
    }
}
