//! Outgoing: one request as it leaves, and how far its body has got.
//!
//! The body is erased to one type, since a pooled connection outlives the type of any one request's
//! body. On its way it keeps a [`Progress`], from which the sender knows whose turn it is: the
//! client's (it is slow), the upstream's (it does not read), or nobody's (the body has ended, and
//! the wait for the response's head begins).

use std::cell::Cell;
use std::error::Error;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, request};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio::time::Instant;

use crate::config::UpstreamTimeouts;
use crate::ids::{TenantId, UserId};

/// Any body's error.
pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Who may share upstream connections with whom.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct IsolationKey {
    /// The tenant.
    pub tenant: TenantId,
    /// The user; looked at only where connections are isolated by user.
    pub user: Option<UserId>,
}

/// One request, ready to be sent.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    /// Method, origin-form target and final headers, Host and framing included.
    pub head: request::Parts,
    /// The body.
    pub body: B,
    /// Index of the upstream in the configuration.
    pub upstream: usize,
    /// Whose request it is, where the upstream isolates; `None` for nobody's.
    pub isolation: Option<IsolationKey>,
    /// The route's deadlines.
    pub timeouts: UpstreamTimeouts,
    /// Whether there is no body, so that the request can be made again.
    pub replayable: bool,
    /// Whether this is a WebSocket handshake (RFC 6455, section 4.1).
    pub websocket: bool,
    /// The request id as it stands in `head`, for `request_id_echo`.
    pub request_id: Option<(HeaderName, HeaderValue)>,
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The client owes body bytes.
    Client,
    /// The upstream has not taken the bytes that are there.
    Upstream,
    /// The body has ended.
    Done,
    /// The body failed on the client's side.
    Failed,
}

/// How far a request's body has got; shared by the body and its sender, on one thread.
pub(super) struct Progress {
    turn: Cell<Turn>,
    /// `None` before it leaves.
    since: Cell<Option<Instant>>,
    /// The task that waits for the answer, which a deadline of its own begins for when the body ends.
    waiter: Cell<Option<Waker>>,
}

impl Progress {
    fn new(turn: Turn) -> Rc<Self> {
        Rc::new(Self {
            turn: Cell::new(turn),
            since: Cell::new(None),
            waiter: Cell::new(None),
        })
    }

    /// Whose turn it is, and since when.
    pub(super) fn turn(&self) -> (Turn, Instant) {
        (
            self.turn.get(),
            self.since.get().unwrap_or_else(Instant::now),
        )
    }

    /// The request leaves anew.
    pub(super) fn restart(&self, now: Instant) {
        self.since.set(Some(now));
    }

    /// Wakes this task when the body has ended, where it has not.
    pub(super) fn wake_at_end(&self, cx: &Context<'_>) {
        if matches!(self.turn.get(), Turn::Client | Turn::Upstream) {
            self.waiter.set(Some(cx.waker().clone()));
        }
    }

    fn pass(&self, turn: Turn) {
        self.turn.set(turn);
        self.since.set(Some(Instant::now()));
        if matches!(turn, Turn::Done | Turn::Failed)
            && let Some(waiter) = self.waiter.take()
        {
            waiter.wake();
        }
    }
}

/// A request's body, of whatever type it was.
pub(super) enum RequestBody {
    /// None at all.
    Empty,
    /// Bytes as they come.
    Streaming(Streaming),
}

/// A body that keeps its progress.
pub(super) struct Streaming {
    inner: Pin<Box<dyn Body<Data = Bytes, Error = BoxError>>>,
    progress: Rc<Progress>,
    /// What Content-Length still announces.
    left: Option<u64>,
}

impl RequestBody {
    /// Takes a body in.
    pub(super) fn new<B>(body: B, head: &request::Parts) -> (Self, Rc<Progress>)
    where
        B: Body<Data = Bytes> + 'static,
        B::Error: Into<BoxError>,
    {
        if body.is_end_stream() {
            return (Self::Empty, Progress::new(Turn::Done));
        }
        let progress = Progress::new(Turn::Upstream);
        let left = head
            .headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse().ok());
        let body = Self::Streaming(Streaming {
            inner: Box::pin(body.map_err(Into::into)),
            progress: Rc::clone(&progress),
            left,
        });
        (body, progress)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Self::Streaming(body) = self.get_mut() else {
            return Poll::Ready(None);
        };
        let polled = body.inner.as_mut().poll_frame(cx);
        if polled.is_pending() && body.progress.turn.get() == Turn::Upstream {
            body.progress.pass(Turn::Client);
        }
        let mut frame = ready!(polled);
        if frame.is_none() && body.left.is_some_and(|left| left > 0) {
            frame = Some(Err("the body is shorter than its Content-Length".into()));
        }
        let turn = match &frame {
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len);
                body.left = body
                    .left
                    .map(|left| left.saturating_sub(u64::try_from(length).unwrap_or(u64::MAX)));
                if body.left == Some(0) || body.inner.is_end_stream() {
                    Turn::Done
                } else {
                    Turn::Upstream
                }
            }
            Some(Err(_)) => Turn::Failed,
            None => Turn::Done,
        };
        body.progress.pass(turn);
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Streaming(body) => body.inner.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Streaming(body) => body.inner.size_hint(),
        }
    }
}

impl Drop for Streaming {
    fn drop(&mut self) {
        // Whoever held the body will send no more of it.
        if matches!(self.progress.turn.get(), Turn::Client | Turn::Upstream) {
            self.progress.pass(Turn::Done);
        }
    }
}
