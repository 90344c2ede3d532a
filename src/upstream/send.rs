//! Send: from a request that was sanitised and granted to its response, or to why there is none.
//!
//! What is tried how often is `attempts.rs`'s. A caller who goes away takes the connection with him,
//! since what is on it can no longer be told apart.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryFutureExt as _;
use futures_util::future::{Either, ready};
use http::{Request, Response};
use http_body::Body;

use super::answer::Watch;
use super::attempts::Attempts;
use super::body::UpstreamBody;
use super::error::UpstreamError;
use super::message::{expects_content, h1_request, h2_request, is_idempotent};
use super::outgoing::{BoxError, IsolationKey, Outgoing, RequestBody};
use super::pool::Pool;
use super::response::Expectation;
use super::targets::{Target, Upstreams};
use crate::config::UpstreamProtocol;
use crate::forward::ForwardRequest;
use crate::telemetry::Metrics;

/// One core's way to every upstream.
pub struct Pools {
    pools: Vec<Rc<Pool>>,
    metrics: Arc<Metrics>,
}

/// A request in the form of a protocol.
enum Message {
    H1(Request<RequestBody>),
    H2(Request<RequestBody>),
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

    /// Sends a request that was sanitised and granted, the only kind there is a way to send. `watch` is
    /// the caller's promise to poll again, if it gives one.
    pub fn send<'a>(
        &'a self,
        request: ForwardRequest,
        watch: Option<&'a Watch>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + 'a {
        let parts = request.into_parts();
        let replayable = parts.body.is_end_stream();
        let outgoing = Outgoing {
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
        };
        self.dispatch(outgoing, watch)
    }

    /// Sends a request, and gives the response as soon as its head is there. Must be called on a
    /// core, or within a `LocalSet`. A response of status 101 is a well-formed answer to the
    /// request's WebSocket handshake and carries hyper's upgrade.
    ///
    /// Not an `async fn`: its future would hold the request once more, as that of each caller would,
    /// and all of them are moved about with every request.
    pub(super) fn dispatch<'a, B>(
        &'a self,
        outgoing: Outgoing<B>,
        watch: Option<&'a Watch>,
    ) -> impl Future<Output = Result<Response<UpstreamBody>, UpstreamError>> + use<'a, B>
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        let name = self.target(&outgoing).map(|target| &target.name);
        let sent = match self.prepare(outgoing, watch) {
            Err(error) => Either::Left(ready(Err(error))),
            Ok((attempts, Message::H1(request))) => {
                Either::Right(Either::Left(attempts.over_h1(request)))
            }
            Ok((attempts, Message::H2(request))) => {
                Either::Right(Either::Right(Box::pin(attempts.over_h2(request))))
            }
        };
        sent.inspect_err(move |error| {
            let upstream = name.map_or("", |name| name);
            // A client that gives its upload up is no trouble of the upstream, and could fill a log.
            if matches!(error, UpstreamError::RequestBody) {
                tracing::debug!(upstream, %error, "no response from upstream");
            } else {
                tracing::warn!(upstream, %error, "no response from upstream");
            }
        })
    }

    fn target<B>(&self, outgoing: &Outgoing<B>) -> Option<&Target> {
        self.pools.get(outgoing.upstream)?.target()
    }

    /// The request in the form of its upstream's protocol, and how it is to be tried.
    fn prepare<'a, B>(
        &'a self,
        outgoing: Outgoing<B>,
        watch: Option<&'a Watch>,
    ) -> Result<(Attempts<'a>, Message), UpstreamError>
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
            mut head,
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
            watch,
            sharers: pool.sharers(isolation.as_ref()),
            expectation,
            replayable: replayable && body_is_empty,
            progress,
            idempotent: is_idempotent(&head.method),
            reusable: body_is_empty || expects_content(&head.method),
            left: target.retries.attempts,
        };
        let message = if http1 {
            h1_request(&mut head, &body)?;
            Message::H1(Request::from_parts(head, body))
        } else {
            Message::H2(h2_request(head, body, target)?)
        };
        Ok((attempts, message))
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
