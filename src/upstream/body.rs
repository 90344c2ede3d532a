//! The body of an upstream's response, and the way of its connection back to the pool.
//!
//! A body that breaks off or falls silent is an error, never an end: the client must not take half
//! a response for a whole one. The connection goes back only after the very end was seen; a body
//! that is dropped before takes its connection with it.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::h1::H1Lease;
use super::h2::H2Lease;
use crate::forward::BodyFault;

/// Why a response body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The upstream was silent for too long.
    #[error("the upstream fell silent within the response body")]
    Idle,
    /// The connection broke, or the body's framing is wrong.
    #[error("the upstream's response body broke off")]
    Broken(#[source] hyper::Error),
}

impl From<BodyError> for BodyFault {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::Idle => Self::UpstreamTimedOut,
            BodyError::Broken(_) => Self::UpstreamGone,
        }
    }
}

/// What holds the connection while a response is on it.
pub(super) enum Holder {
    /// The connection is not ours to keep (a tunnel), or was given back.
    Nobody,
    /// An HTTP/1.1 connection.
    H1(Box<H1Lease>),
    /// A stream of an HTTP/2 connection; it makes room by being dropped.
    H2(#[expect(dead_code, reason = "held, not read")] H2Lease),
}

/// The body of an upstream's response.
pub struct UpstreamBody {
    inner: Incoming,
    holder: Holder,
    idle: Duration,
    silence: Silence,
}

/// The wait for the next piece.
enum Silence {
    None,
    Since(Pin<Box<Sleep>>),
    TooLong,
}

impl UpstreamBody {
    /// Takes a response's body and what holds its connection.
    pub(super) fn new(inner: Incoming, holder: Holder, idle: Duration) -> Self {
        let mut body = Self {
            inner,
            holder,
            idle,
            silence: Silence::None,
        };
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Holder::H1(lease) = std::mem::replace(&mut self.holder, Holder::Nobody) {
            lease.finish();
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.holder = Holder::Nobody;
        self.silence = Silence::TooLong;
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if matches!(this.silence, Silence::TooLong) {
            return Poll::Ready(None);
        }
        let mut inner = Pin::new(&mut this.inner);
        let polled = match &mut this.holder {
            Holder::H1(lease) => {
                let driver = &mut lease.connection.driver;
                driver.poll_fed(cx, |cx| inner.as_mut().poll_frame(cx))
            }
            Holder::Nobody | Holder::H2(_) => inner.poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.silence = Silence::None;
                if this.inner.is_end_stream() || frame.is_trailers() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => this.fail(BodyError::Broken(error)),
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let deadline = || Box::pin(tokio::time::sleep_until(Instant::now() + this.idle));
                if matches!(this.silence, Silence::None) {
                    this.silence = Silence::Since(deadline());
                }
                if let Silence::Since(sleep) = &mut this.silence
                    && sleep.as_mut().poll(cx).is_ready()
                {
                    return this.fail(BodyError::Idle);
                }
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        !matches!(self.silence, Silence::TooLong) && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl std::fmt::Debug for UpstreamBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpstreamBody")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
