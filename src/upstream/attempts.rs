//! Attempts: a request is tried, and tried again only where it cannot have been acted on.
//!
//! That is: no connection was opened; or hyper handed it back unwritten; or it has no body, its
//! reused connection died before a byte of an answer, and either nothing of it had been written or
//! its method is idempotent (RFC 9110, section 9.2.2).

use std::rc::Rc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::answer::{Failed, Watch, head_of};
use super::body::{Holder, UpstreamBody};
use super::connect::dial;
use super::error::{UpstreamError, with_causes};
use super::h1::{H1, H1Lease};
use super::h2::{H2, H2Lease};
use super::link::Link;
use super::outgoing::{IsolationKey, Progress, RequestBody, Turn};
use super::pool::{Key, Pool};
use super::response::Expectation;
use super::spare;
use super::targets::Target;
use crate::config::UpstreamTimeouts;
use crate::telemetry::Metrics;

/// Pooled connections that may turn out dead under one request before it gets a fresh one.
const MAX_DEAD: u32 = 3;

/// What stays the same over all attempts of one request.
pub(super) struct Attempts<'a> {
    pub(super) pool: &'a Rc<Pool>,
    pub(super) target: &'a Target,
    pub(super) metrics: &'a Metrics,
    pub(super) timeouts: UpstreamTimeouts,
    pub(super) watch: Option<&'a Watch>,
    pub(super) sharers: Option<IsolationKey>,
    pub(super) expectation: Expectation,
    pub(super) progress: Rc<Progress>,
    pub(super) replayable: bool,
    pub(super) idempotent: bool,
    /// Whether its connection may carry another request afterwards.
    pub(super) reusable: bool,
    pub(super) left: u32,
}

impl<'a> Attempts<'a> {
    #[expect(
        clippy::manual_async_fn,
        reason = "the future of an async fn holds its arguments twice"
    )]
    pub(super) fn over_h1(
        mut self,
        mut request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + use<'a> {
        async move {
            let (mut fresh, mut dead) = (!self.target.reuse, 0);
            // The first attempt begins with the watch; the clock is not asked again.
            let mut began = self.watch.map(Watch::since);
            loop {
                let (key, mut connection, now) = self.checkout_h1(fresh, began.take()).await?;
                let again = connection.reused && self.may_retry_stale();
                self.progress.restart(now);
                let answer = std::pin::pin!(connection.send(request, again));
                let driver = Some(&mut connection.driver);
                let answered = head_of(answer, driver, &self.progress, self.timeouts, self.watch);
                let mut error = match answered.await {
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
                let spare = (again && untouched).then(|| connection.into_written());
                match spare.and_then(|written| spare::request(&written)) {
                    Some(spare) => {
                        self.count_retry();
                        fresh = true;
                        request = spare;
                    }
                    _ => return Err(UpstreamError::broken(&error.into_error())),
                }
            }
        }
    }

    pub(super) async fn over_h2(
        mut self,
        mut request: Request<RequestBody>,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut dead = 0;
        loop {
            let (lease, reused) = self.checkout_h2().await?;
            let again = reused && self.may_retry_stale() && self.idempotent;
            let spare = again.then(|| spare::copy(&request));
            self.progress.restart(Instant::now());
            let answer = std::pin::pin!(lease.sender().try_send_request(request));
            let answered = head_of(answer, None, &self.progress, self.timeouts, self.watch);
            let mut error = match answered.await {
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
            let died = lease.is_closed();
            match spare.filter(|_| died) {
                Some(spare) => {
                    self.count_retry();
                    request = spare;
                }
                _ => return Err(UpstreamError::broken(&error.into_error())),
            }
        }
    }

    /// An idle connection, or (always, when `fresh`) a new one, and the time then. `began`: the time now,
    /// where it is known.
    async fn checkout_h1(
        &mut self,
        fresh: bool,
        mut began: Option<Instant>,
    ) -> Result<(Key, H1, Instant), UpstreamError> {
        loop {
            // Whatever was waited for below has taken its time.
            let now = began.take().unwrap_or_else(Instant::now);
            let server = self.pool.next_server();
            let key = (server, self.sharers.clone());
            if !fresh && let Some(connection) = self.pool.take(&key, now) {
                self.pool.mark(server, true);
                return Ok((key, connection, now));
            }
            // Boxed: rare, and its future would be most of every request's.
            match Box::pin(self.connect(server)).await {
                Ok(link) => {
                    let connection = Box::pin(H1::start(link)).await?;
                    return Ok((key, connection, Instant::now()));
                }
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
        connection: H1,
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
