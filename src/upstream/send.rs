//! Send: one request to one upstream, over a connection of this core.
//!
//! A request is made a second time only where the first attempt cannot have been acted on: no
//! connection was opened; or hyper handed it back unwritten; or it has no body, its reused
//! connection died before a byte of an answer, and either nothing of it had been written or its
//! method is idempotent (RFC 9110, section 9.2.2). A caller who goes away takes the connection with
//! it, since what is on it can no longer be told apart.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::time::{Instant, sleep_until, timeout};

use super::body::{Holder, UpstreamBody};
use super::connect::dial;
use super::error::{UpstreamError, with_causes};
use super::h1::{H1, H1Lease};
use super::h2::{H2, H2Lease};
use super::link::Link;
use super::message::{copy, expects_content, h1_request, h2_request, is_idempotent};
use super::outgoing::{BoxError, IsolationKey, Outgoing, Progress, RequestBody, Turn};
use super::pool::{Key, Pool};
use super::response::Expectation;
use super::targets::{Target, Upstreams};
use crate::config::{UpstreamProtocol, UpstreamTimeouts};
use crate::forward::ForwardRequest;
use crate::telemetry::Metrics;

/// Pooled connections that may turn out dead under one request before it gets a fresh one.
const MAX_DEAD: u32 = 3;

/// One core's way to every upstream.
pub struct Pools {
    pools: Vec<Rc<Pool>>,
    metrics: Arc<Metrics>,
}

/// What stays the same over all attempts of one request.
struct Attempts<'a> {
    pool: &'a Rc<Pool>,
    target: &'a Target,
    metrics: &'a Metrics,
    timeouts: UpstreamTimeouts,
    sharers: Option<IsolationKey>,
    expectation: Expectation,
    progress: Rc<Progress>,
    replayable: bool,
    idempotent: bool,
    /// Whether its connection may carry another request afterwards.
    reusable: bool,
    left: u32,
}

/// Why an attempt brought no response.
enum Failed {
    /// hyper's error, perhaps with the request in it.
    Sent(Box<TrySendError<Request<RequestBody>>>),
    /// A deadline.
    Late(UpstreamError),
}

impl Pools {
    /// A core's pools, all empty.
    #[must_use]
    pub fn new(upstreams: &Arc<Upstreams>, metrics: Arc<Metrics>) -> Self {
        let pools = (0..upstreams.targets.len())
            .map(|index| Pool::new(Arc::clone(upstreams), index))
            .collect();
        Self { pools, metrics }
    }

    /// Sends a request that was sanitised and granted, the only kind there is a way to send.
    pub async fn send(
        &self,
        request: ForwardRequest,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let parts = request.into_parts();
        let replayable = parts.body.is_end_stream();
        self.dispatch(Outgoing {
            head: parts.head,
            body: parts.body,
            upstream: parts.upstream,
            isolation: parts.acting.map(|(tenant, user)| IsolationKey {
                tenant,
                user: Some(user),
            }),
            timeouts: parts.timeouts,
            replayable,
            websocket: parts.websocket,
            request_id: Some(parts.request_id),
        })
        .await
    }

    /// Sends a request, and gives the response as soon as its head is there. Must be called within
    /// a `LocalSet`. A response of status 101 is a well-formed answer to the request's WebSocket
    /// handshake and carries hyper's upgrade.
    pub(super) async fn dispatch<B>(
        &self,
        outgoing: Outgoing<B>,
    ) -> Result<Response<UpstreamBody>, UpstreamError>
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let pool = self
            .pools
            .get(outgoing.upstream)
            .ok_or(UpstreamError::Internal)?;
        let target = pool.target().ok_or(UpstreamError::Internal)?;
        let Outgoing {
            head,
            body,
            isolation,
            timeouts,
            replayable,
            websocket,
            request_id,
            ..
        } = outgoing;
        let http1 = target.protocol == UpstreamProtocol::Http1;
        if websocket && !http1 {
            return Err(UpstreamError::Protocol(format!(
                "{} is configured for HTTP/2, which WebSockets are not forwarded over",
                target.name
            )));
        }
        let expectation = Expectation::of(
            &head,
            websocket,
            request_id.filter(|_| target.request_id_echo),
        )
        .ok_or(UpstreamError::Internal)?;
        let (body, progress) = RequestBody::new(body, &head);
        let body_is_empty = matches!(body, RequestBody::Empty);
        let attempts = Attempts {
            pool,
            target,
            metrics: &self.metrics,
            timeouts,
            sharers: pool.sharers(isolation.as_ref()),
            expectation,
            replayable: replayable && body_is_empty,
            progress,
            idempotent: is_idempotent(&head.method),
            reusable: body_is_empty || expects_content(&head.method),
            left: target.retries.attempts,
        };
        let sent = if http1 {
            attempts.over_h1(h1_request(head, body)?).await
        } else {
            Box::pin(attempts.over_h2(h2_request(head, body, target)?)).await
        };
        sent.inspect_err(|error| {
            tracing::warn!(upstream = %target.name, %error, "no response from upstream");
        })
    }

    /// The metrics it counts in.
    #[cfg(test)]
    pub(super) fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// How many HTTP/1.1 connections are idle.
    #[cfg(test)]
    pub(super) fn idle(&self) -> usize {
        self.pools.iter().map(|pool| pool.idle()).sum()
    }
}

impl Attempts<'_> {
    async fn over_h1(
        mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (mut fresh, mut dead) = (!self.target.reuse, 0);
        loop {
            let (key, mut connection) = self.checkout_h1(fresh).await?;
            let spare = (connection.reused && self.may_retry_stale()).then(|| copy(&request));
            self.progress.restart();
            let answer = connection.send(request);
            let mut error = match head_of(answer, &self.progress, self.timeouts).await {
                Ok(response) => return self.accept_h1(response, key, connection),
                Err(Failed::Late(error)) => return Err(error),
                Err(Failed::Sent(error)) => error,
            };
            if let Some(unsent) = error.take_message() {
                // Not a byte of it was written: somebody closed the connection, or spoke on it.
                if connection.reused {
                    dead += 1;
                    fresh = dead >= MAX_DEAD;
                } else if self.target.retries.connect_failure && self.left > 0 {
                    self.count_retry();
                } else {
                    let why = with_causes(&error.into_error());
                    return Err(UpstreamError::Unreachable(why));
                }
                request = unsent;
                continue;
            }
            if self.progress.turn().0 == Turn::Failed {
                return Err(UpstreamError::RequestBody);
            }
            let gauge = connection.gauge();
            let untouched = !gauge.has_read() && (self.idempotent || !gauge.has_written());
            match spare {
                Some(spare) if untouched => {
                    self.count_retry();
                    fresh = true;
                    request = spare;
                }
                _ => return Err(UpstreamError::broken(&error.into_error())),
            }
        }
    }

    async fn over_h2(
        mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut dead = 0;
        loop {
            let (lease, reused) = self.checkout_h2().await?;
            let spare =
                (reused && self.may_retry_stale() && self.idempotent).then(|| copy(&request));
            self.progress.restart();
            let answer = lease.sender().try_send_request(request);
            let mut error = match head_of(answer, &self.progress, self.timeouts).await {
                Ok(response) => return self.accept_h2(response, lease),
                Err(Failed::Late(error)) => return Err(error),
                Err(Failed::Sent(error)) => error,
            };
            if let Some(unsent) = error.take_message()
                && dead < MAX_DEAD
            {
                dead += 1;
                request = unsent;
                continue;
            }
            if self.progress.turn().0 == Turn::Failed {
                return Err(UpstreamError::RequestBody);
            }
            match spare {
                Some(spare) if lease.is_closed() => {
                    self.count_retry();
                    request = spare;
                }
                _ => return Err(UpstreamError::broken(&error.into_error())),
            }
        }
    }

    /// An idle connection, or (always, when `fresh`) a new one.
    async fn checkout_h1(&mut self, fresh: bool) -> Result<(Key, H1), UpstreamError> {
        loop {
            let server = self.pool.next_server();
            let key = (server, self.sharers.clone());
            if !fresh && let Some(connection) = self.pool.take(&key) {
                self.pool.mark(server, true);
                return Ok((key, connection));
            }
            // Boxed: rare, and its future would be most of every request's.
            match Box::pin(self.connect(server)).await {
                Ok(link) => return Ok((key, Box::pin(H1::start(link)).await?)),
                Err(error) => self.after_connect_failure(error)?,
            }
        }
    }

    /// A stream on a shared connection, and whether that connection stood before.
    async fn checkout_h2(&mut self) -> Result<(H2Lease, bool), UpstreamError> {
        loop {
            let server = self.pool.next_server();
            if !self.target.reuse {
                match self.connect(server).await {
                    Ok(link) => return Ok((H2::start(link).await?.lease(), false)),
                    Err(error) => self.after_connect_failure(error)?,
                }
                continue;
            }
            let slot = self.pool.h2.slot(&(server, self.sharers.clone()));
            if let Some(lease) = slot.take() {
                self.pool.mark(server, true);
                return Ok((lease, true));
            }
            self.pool.keep_swept();
            let opening = async {
                let _opening = slot.opening.lock().await;
                if let Some(lease) = slot.take() {
                    return Ok((lease, true));
                }
                let connection = H2::start(self.connect(server).await?).await?;
                let lease = connection.lease();
                slot.keep(connection);
                Ok((lease, false))
            };
            match timeout(self.timeouts.connect, opening).await {
                Ok(Ok(found)) => return Ok(found),
                Ok(Err(error)) => self.after_connect_failure(error)?,
                Err(_) => self.after_connect_failure(UpstreamError::Timeout)?,
            }
        }
    }

    async fn connect(&self, server: usize) -> Result<Link, UpstreamError> {
        let endpoint = self
            .target
            .endpoints
            .get(server)
            .ok_or(UpstreamError::Internal)?;
        self.metrics.upstream_connects.inc();
        let dialled = dial(self.target, endpoint, self.timeouts.connect).await;
        self.pool.mark(server, dialled.is_ok());
        dialled
    }

    fn after_connect_failure(&mut self, error: UpstreamError) -> Result<(), UpstreamError> {
        if !self.target.retries.connect_failure || self.left == 0 {
            return Err(error);
        }
        self.count_retry();
        Ok(())
    }

    const fn may_retry_stale(&self) -> bool {
        self.replayable && self.target.retries.stale_connection && self.left > 0
    }

    fn count_retry(&mut self) {
        self.left = self.left.saturating_sub(1);
        self.metrics.upstream_retries.inc();
    }

    fn accept_h1(
        self,
        response: Response<Incoming>,
        key: Key,
        mut connection: H1,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (head, body) = response.into_parts();
        // A refused response drops the connection, which aborts it.
        self.expectation
            .check(&head)
            .map_err(|what| UpstreamError::Protocol(what.to_owned()))?;
        let holder = if head.status == StatusCode::SWITCHING_PROTOCOLS {
            connection.release();
            Holder::Nobody
        } else {
            Holder::H1(Box::new(H1Lease {
                connection,
                pool: Rc::clone(self.pool),
                key,
                progress: self.progress,
                life: if self.reusable {
                    self.timeouts.pool_idle
                } else {
                    Duration::ZERO
                },
            }))
        };
        let body = UpstreamBody::new(body, holder, self.timeouts.body_idle);
        Ok(Response::from_parts(head, body))
    }

    fn accept_h2(
        self,
        response: Response<Incoming>,
        lease: H2Lease,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let (head, body) = response.into_parts();
        self.expectation
            .check(&head)
            .map_err(|what| UpstreamError::Protocol(what.to_owned()))?;
        let body = UpstreamBody::new(body, Holder::H2(lease), self.timeouts.body_idle);
        Ok(Response::from_parts(head, body))
    }
}

/// Waits for a response's head: while the request's body is on its way, for the next piece of it;
/// then for the head itself.
async fn head_of<F>(
    answer: F,
    progress: &Progress,
    timeouts: UpstreamTimeouts,
) -> Result<Response<Incoming>, Failed>
where
    F: Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>>,
{
    let mut answer = std::pin::pin!(answer);
    let limit = |(turn, since): (Turn, Instant)| match turn {
        Turn::Client | Turn::Upstream => since + timeouts.body_idle,
        Turn::Done | Turn::Failed => since + timeouts.response_head,
    };
    let mut sleep = std::pin::pin!(sleep_until(limit(progress.turn())));
    loop {
        tokio::select! {
            biased;
            answered = &mut answer => {
                return answered.map_err(|error| Failed::Sent(Box::new(error)));
            }
            () = &mut sleep => {
                let now = progress.turn();
                if limit(now) <= Instant::now() {
                    return Err(Failed::Late(match now.0 {
                        Turn::Client | Turn::Failed => UpstreamError::RequestBody,
                        Turn::Upstream | Turn::Done => UpstreamError::Timeout,
                    }));
                }
                sleep.as_mut().reset(limit(now));
            }
        }
    }
}
