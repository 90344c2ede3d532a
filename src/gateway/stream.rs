//! Streams: what stays open is decided again.
//!
//! A WebSocket's lease is registered before its live look-up. Any other exchange that is still going
//! on after [`PATIENCE`] gets a lease then, and is decided again at once, so that a change in
//! between is not missed. A lease ends at the credential's expiry, when the answer is a refusal or
//! somebody else, at the longest life, and, where it would not end by itself (WebSockets,
//! server-sent events), when the process drains.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use http::{Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, sleep, sleep_until};

use super::closing::{code, is_silence};
use super::events::{is_event_stream, is_short, without_lease};
use super::listed::{Kind, Tag, shown};
use super::{Core, Decided, InProgress, ResponseBody};
use crate::audit::Line;
use crate::auth::{Grant, Standing};
use crate::directory::Lease;
use crate::forward::cut;
use crate::reason::Reason;
use crate::reject::Rejection;
use crate::telemetry::Clock;
use crate::upstream::{
    self, EndedBy, StreamEnd, TunnelOptions, UpstreamBody, UpstreamError, Watch,
};

/// How long an ordinary exchange may take before it is under a lease.
const PATIENCE: Duration = Duration::from_millis(200);
/// Pause between two attempts while the directory does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// When a request that is sent now is looked at again, if it has not been answered.
pub(super) fn patience() -> Watch {
    let now = Instant::now();
    Watch::new(now, now + PATIENCE)
}

/// Waits for the answer to a granted request; while the upstream takes its time, the grant is watched.
pub(super) async fn under_lease<A>(
    core: &Rc<Core>,
    mut answer: Pin<&mut A>,
    watch: &Watch,
    grant: &Grant,
    tag: impl FnOnce() -> Tag,
) -> Result<Response<UpstreamBody>, Rejection>
where
    A: Future<Output = Result<Response<UpstreamBody>, UpstreamError>>,
{
    tokio::select! {
        biased;
        sent = &mut answer => return Ok(sent?),
        () = core.patience.until(watch.time()) => watch.is_over(),
    }
    let Grant::Member(route, principal) = grant else {
        return Ok(answer.await?);
    };
    let (standing, held) = (Standing::of(principal, route), AtomicBool::new(false));
    let enter = || core.gateway.open_streams.enter(Kind::Request, tag(), grant);
    // Boxed: rare, and its future would be a large part of every request's.
    let (end, listed) = (
        Box::pin(ended(core, &standing, None, &held)),
        Box::pin(shown(enter)),
    );
    tokio::select! {
        biased;
        (_, reason) = end => Err(Rejection::of(reason, "the grant ended before the upstream answered")),
        sent = &mut answer => Ok(sent?),
        never = listed => match never {},
    }
}

/// As [`ended`], and at the drain: for what would not end by itself in time.
async fn ended_or_drained(
    core: &Core,
    standing: &Standing,
    lease: Option<Lease>,
    held: &AtomicBool,
) -> (StreamEnd, Reason) {
    tokio::select! {
        biased;
        () = core.drain.closing() => (going_away("draining"), Reason::Draining),
        end = ended(core, standing, lease, held) => end,
    }
}

/// Waits until a stream may not go on, and says why.
async fn ended(
    core: &Core,
    standing: &Standing,
    lease: Option<Lease>,
    held: &AtomicBool,
) -> (StreamEnd, Reason) {
    let gateway = &core.gateway;
    let streams = &gateway.streams;
    // Without a lease from before the look-up, everything since then is unknown: decide again.
    let fresh = lease.is_none();
    let mut lease = lease.unwrap_or_else(|| {
        let mut lease = gateway.directory().leases().register(standing.tenant());
        standing.narrow(&mut lease);
        lease
    });
    let life = streams.max_lifetime.map(|life| Instant::now() + life);
    let mut next = if fresh {
        Instant::now()
    } else {
        Instant::now() + again(core, standing)
    };
    let mut unanswered: Option<Instant> = None;
    loop {
        let expiry = expiry(core, standing);
        tokio::select! {
            biased;
            () = at(expiry) => {
                let (_, reason) = standing.ends();
                // A session may have been prolonged meanwhile, and is looked at once more.
                if reason != Reason::SessionExpired {
                    return (StreamEnd { code: 4401, reason: reason.code() }, reason);
                }
            }
            () = at(life) => return (going_away("max_lifetime"), Reason::Draining),
            () = lease.changed() => {}
            () = sleep_until(next) => {}
        }
        // Until the answer is there, nothing more is done in the name of the old one.
        held.store(true, Relaxed);
        next = Instant::now() + again(core, standing);
        let Ok(now) = Clock.now() else {
            return (going_away("clock"), Reason::InternalError);
        };
        match gateway.authenticator.still_stands(standing, now).await {
            Ok(true) => {
                unanswered = None;
                held.store(false, Relaxed);
            }
            Ok(false) => {
                return (
                    StreamEnd {
                        code: 4403,
                        reason: "moved",
                    },
                    Reason::AccountMismatch,
                );
            }
            Err(denial) if is_silence(denial.reason()) => {
                // Silence is no answer; it is bounded like every other one.
                let since = *unanswered.get_or_insert_with(Instant::now);
                if since.elapsed() >= gateway.patience {
                    return (
                        StreamEnd {
                            code: 1013,
                            reason: denial.reason().code(),
                        },
                        denial.reason(),
                    );
                }
                next = Instant::now() + RETRY;
            }
            Err(denial) => {
                let reason = denial.reason();
                return (
                    StreamEnd {
                        code: code(reason),
                        reason: reason.code(),
                    },
                    reason,
                );
            }
        }
    }
}

/// Time between two decisions where nothing says that anything has changed: a stream rests on an
/// answer no longer than a request would.
fn again(core: &Core, standing: &Standing) -> Duration {
    let streams = core.gateway.authenticator.life(standing);
    streams.min(core.gateway.patience)
}

const fn going_away(reason: &'static str) -> StreamEnd {
    StreamEnd { code: 1001, reason }
}

/// When the first credential of a stream expires, on the monotonic clock of now.
fn expiry(core: &Core, standing: &Standing) -> Option<Instant> {
    if !core.gateway.streams.close_on_expiry {
        return None;
    }
    let left = Clock
        .now()
        .map(|now| standing.ends().0.since(now))
        .unwrap_or_default();
    Instant::now().checked_add(left)
}

async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

/// The client's side of a WebSocket.
pub(super) struct ClientSide {
    pub(super) upgrade: OnUpgrade,
    pub(super) reset: fn(Upgraded),
    pub(super) in_progress: InProgress,
}

/// Carries a WebSocket in a task of its own, and answers the client's handshake.
pub(super) fn tunnel(
    core: &Rc<Core>,
    mut response: Response<UpstreamBody>,
    client: ClientSide,
    decided: Decided<'_>,
    mut line: Line,
) -> Response<ResponseBody> {
    let ClientSide {
        upgrade,
        reset,
        in_progress,
    } = client;
    let (grant, lease, watch) = (decided.grant, decided.lease, decided.watch);
    let upstream = hyper::upgrade::on(&mut response);
    let (blocker, core) = (core.drain.blocker(), Rc::clone(core));
    tokio::task::spawn_local(async move {
        let started = Instant::now();
        let (Ok(client), Ok(upstream)) = (upgrade.await, upstream.await) else {
            return;
        };
        let gateway = &core.gateway;
        let options = TunnelOptions {
            close_grace: gateway.streams.close_grace,
            idle: gateway.streams.idle,
        };
        let (last, held) = (Cell::new(None), AtomicBool::new(false));
        let end = async {
            match &grant {
                Grant::Member(route, principal) => {
                    let standing = Standing::of(principal, route);
                    let (end, reason) = ended_or_drained(&core, &standing, lease, &held).await;
                    last.set(Some(reason));
                    end
                }
                Grant::Public(..) => {
                    core.drain.closing().await;
                    last.set(Some(Reason::Draining));
                    going_away("draining")
                }
            }
        };
        let listed = gateway
            .open_streams
            .enter(Kind::Websocket, tag(&line), &grant);
        gateway.metrics.streams.inc();
        let (mut client, mut upstream) = (TokioIo::new(client), TokioIo::new(upstream));
        let report = upstream::run_held(&mut client, &mut upstream, end, options, &held).await;
        gateway.metrics.streams.dec();
        drop(listed);
        if report.reset_client {
            reset(client.into_inner());
        }
        if report.reset_upstream {
            upstream::reset(upstream.into_inner());
        }
        if let Some(reason) = last.get() {
            line.reason = reason;
        }
        line.detail = Some(match report.ended_by {
            EndedBy::Client => "client".into(),
            EndedBy::Upstream => "upstream".into(),
            EndedBy::Idle => "idle".into(),
            EndedBy::Lease(end) => format!("{} {}", end.code, end.reason),
        });
        closed(&core, line, started);
        drop((in_progress, watch, blocker));
    });
    let (mut head, _) = response.into_parts();
    head.status = StatusCode::SWITCHING_PROTOCOLS;
    Response::from_parts(head, ResponseBody::empty())
}

/// Puts a response that may take long under a lease of its own.
pub(super) fn watch_body(
    core: &Rc<Core>,
    response: Response<ResponseBody>,
    decided: Decided<'_>,
    line: &Line,
    in_progress: InProgress,
) -> Response<ResponseBody> {
    let Decided { grant, watch, .. } = decided;
    // The end of the process waits for the connection that it is sent on.
    let held = (in_progress, watch);
    let (route, principal) = match &grant {
        Grant::Member(route, principal) if !is_short(&response) => (route, principal),
        Grant::Member(..) => return response.map(|body| body.holding(held)),
        Grant::Public(..) => return without_lease(core, response, held),
    };
    let endless = is_event_stream(&response);
    let standing = Standing::of(principal, route);
    let (kind, tag) = (if endless { Kind::Sse } else { Kind::Body }, tag(line));
    let (scissors, signal) = cut();
    let watched = Rc::new(Watched {
        reason: Cell::new(None),
        is_stream: Cell::new(false),
    });
    let task = tokio::task::spawn_local({
        let (core, watched) = (Rc::clone(core), Rc::clone(&watched));
        async move {
            sleep(PATIENCE).await;
            let enter = || {
                watched.is_stream.set(true);
                let listed = core.gateway.open_streams.enter(kind, tag, &grant);
                (Counted::new(Rc::clone(&core)), listed)
            };
            let pending = AtomicBool::new(false);
            let end = async {
                if endless {
                    ended_or_drained(&core, &standing, None, &pending).await
                } else {
                    ended(&core, &standing, None, &pending).await
                }
            };
            let reason = tokio::select! {
                biased;
                (_, reason) = end => reason,
                never = shown(enter) => match never {},
            };
            watched.is_stream.set(true);
            watched.reason.set(Some(reason));
            scissors.now();
        }
    });
    // Its own line is still to be written when the connection has ended.
    let (line, blocker) = (line.clone(), core.drain.blocker());
    let (core, started) = (Rc::clone(core), Instant::now());
    response.map(|body| {
        body.cut_by(signal).holding(held).on_end(move |_| {
            task.abort();
            if watched.is_stream.get() {
                let mut line = line;
                line.reason = watched.reason.get().unwrap_or(line.reason);
                closed(&core, line, started);
            }
            drop(blocker);
        })
    })
}

struct Watched {
    reason: Cell<Option<Reason>>,
    /// Whether it gets a line at its end.
    is_stream: Cell<bool>,
}

fn tag(line: &Line) -> Tag {
    Tag {
        request_id: Arc::from(line.request_id.as_str()),
        client: line.client,
    }
}

/// A stream that is counted as long as this lives.
struct Counted(Rc<Core>);

impl Counted {
    fn new(core: Rc<Core>) -> Self {
        core.gateway.metrics.streams.inc();
        Self(core)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.gateway.metrics.streams.dec();
    }
}

/// The line of a stream that has ended.
fn closed(core: &Core, mut line: Line, started: Instant) {
    if let Ok(now) = Clock.now() {
        line.time = now;
    }
    line.decision = "stream_closed";
    line.duration_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    core.gateway.audit.offer(&line);
}
