//! Send: from a request that was sanitised and granted to its response, or to why there is none.
//!
//! What is tried how often is `attempts.rs`'s. A caller who goes away takes the connection with him,
//! since what is on it can no longer be told apart.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http_body::Body;

use super::attempts::Attempts;
use super::body::UpstreamBody;
use super::error::UpstreamError;
use super::message::{expects_content, h1_request, h2_request, is_idempotent};
use super::outgoing::{BoxError, IsolationKey, Outgoing, RequestBody};
use super::pool::Pool;
use super::response::Expectation;
use super::targets::Upstreams;
use crate::config::UpstreamProtocol;
use crate::forward::ForwardRequest;
use crate::telemetry::Metrics;

/// One core's way to every upstream.
pub struct Pools {
    pools: Vec<Rc<Pool>>,
    metrics: Arc<Metrics>,
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
            // A client that gives its upload up is no trouble of the upstream, and could fill a log.
            if matches!(error, UpstreamError::RequestBody) {
                tracing::debug!(upstream = %target.name, %error, "no response from upstream");
            } else {
                tracing::warn!(upstream = %target.name, %error, "no response from upstream");
            }
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
