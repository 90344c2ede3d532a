//! The response body on its way to the client.
//!
//! It ends once, and its end is told once: whole, broken off, or dropped because the client no
//! longer wanted it. What it holds on to (the upstream connection, a permit) is let go at that
//! moment, not when hyper forgets the body.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::super::hop::{Towards, strip_trailers};
use super::super::names::Reserved;
use super::BodyFault;
use super::idle::Idle;

/// How a response body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Whole.
    Whole,
    /// Broken off.
    Broken(BodyFault),
    /// The client no longer wanted it.
    Dropped,
}

/// The end of a response body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyEnd {
    /// Bytes that have passed.
    pub bytes: u64,
    /// How it ended.
    pub outcome: Outcome,
}

/// What is sent to the client as the body; `H` is what it can hold on to until it has ended.
pub struct ResponseBody<B: UpstreamSource, H = ()> {
    source: Source<B>,
    bytes: u64,
    ended: Option<Outcome>,
    on_end: Option<Box<dyn FnOnce(BodyEnd)>>,
    held: Option<H>,
}

/// What an upstream's body must be: the room that talks to upstreams has its own type.
pub trait UpstreamSource: Body<Data = Bytes, Error: Into<BodyFault>> + Unpin {}

impl<B: Body<Data = Bytes, Error: Into<BodyFault>> + Unpin> UpstreamSource for B {}

enum Source<B> {
    Empty,
    Full(Bytes),
    Upstream(Box<Download<B>>),
}

struct Download<B> {
    incoming: B,
    /// As for uploads: whether `incoming` says for certain that its end has come.
    tells_end: bool,
    idle: Idle,
    cut: Option<CutSignal>,
    reserved: Rc<Reserved>,
}

impl<B: UpstreamSource, H> ResponseBody<B, H> {
    /// No body.
    pub const fn empty() -> Self {
        Self::of(Source::Empty)
    }

    /// These bytes.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::of(if bytes.is_empty() {
            Source::Empty
        } else {
            Source::Full(bytes)
        })
    }

    /// What the upstream sends over `version`, with at most `idle` between two pieces.
    pub fn upstream(
        incoming: B,
        version: Version,
        idle: Option<Duration>,
        reserved: Rc<Reserved>,
    ) -> Self {
        Self::of(Source::Upstream(Box::new(Download {
            incoming,
            tells_end: version == Version::HTTP_2,
            idle: Idle::new(idle),
            cut: None,
            reserved,
        })))
    }

    /// Breaks off when the signal comes; only an upstream's body can be cut.
    #[must_use]
    pub fn cut_by(mut self, signal: CutSignal) -> Self {
        if let Source::Upstream(download) = &mut self.source {
            download.cut = Some(signal);
        }
        self
    }

    /// Calls `told` once, when the body has ended: before its last piece is handed on where the
    /// length is known, before its end is where it is not.
    #[must_use]
    pub fn on_end(mut self, told: impl FnOnce(BodyEnd) + 'static) -> Self {
        self.on_end = Some(Box::new(told));
        self
    }

    /// Holds on to this until the body has ended.
    #[must_use]
    pub fn holding(mut self, held: H) -> Self {
        self.held = Some(held);
        self
    }

    const fn of(source: Source<B>) -> Self {
        Self {
            source,
            bytes: 0,
            ended: None,
            on_end: None,
            held: None,
        }
    }

    fn end(&mut self, outcome: Outcome) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(outcome);
        if let Some(told) = self.on_end.take() {
            told(BodyEnd {
                bytes: self.bytes,
                outcome,
            });
        }
        self.held = None;
    }

    fn broken(&mut self, fault: BodyFault) -> Poll<Piece> {
        self.end(Outcome::Broken(fault));
        Poll::Ready(Some(Err(fault)))
    }

    fn pass(&mut self, data: Bytes, last: bool) -> Poll<Piece> {
        let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
        self.bytes = self.bytes.saturating_add(size);
        if last {
            self.end(Outcome::Whole);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(outcome) = self.ended {
            return Poll::Ready(match outcome {
                // Polled on after a fault, it must still not look whole.
                Outcome::Broken(fault) => Some(Err(fault)),
                Outcome::Whole | Outcome::Dropped => None,
            });
        }
        let download = match &mut self.source {
            Source::Empty => {
                self.end(Outcome::Whole);
                return Poll::Ready(None);
            }
            Source::Full(bytes) => {
                let bytes = std::mem::take(bytes);
                return self.pass(bytes, true);
            }
            Source::Upstream(download) => download,
        };
        match download.poll_piece(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(fault))) => self.broken(fault),
            Poll::Ready(None) => {
                self.end(Outcome::Whole);
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                Ok(data) => {
                    let last = self.source.is_over();
                    self.pass(data, last)
                }
                Err(trailers) => {
                    self.end(Outcome::Whole);
                    Poll::Ready(Some(Ok(trailers)))
                }
            },
        }
    }
}

type Piece = Option<Result<Frame<Bytes>, BodyFault>>;

impl<B: UpstreamSource> Source<B> {
    /// Whether nothing is left to be polled.
    fn is_over(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(bytes) => bytes.is_empty(),
            Self::Upstream(download) => download.incoming.is_end_stream(),
        }
    }
}

impl<B: UpstreamSource> Download<B> {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if self.cut.as_ref().is_some_and(|cut| cut.poll(cx)) {
            return Poll::Ready(Some(Err(BodyFault::Cut)));
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.idle.touch();
                Poll::Ready(self.filtered(frame))
            }
            Poll::Ready(None) if !self.tells_end || self.incoming.is_end_stream() => {
                Poll::Ready(None)
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(Some(Err(BodyFault::UpstreamGone))),
            Poll::Pending if self.idle.poll(cx).is_ready() => {
                Poll::Ready(Some(Err(BodyFault::UpstreamTimedOut)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn filtered(&self, frame: Frame<Bytes>) -> Piece {
        match frame.into_trailers() {
            Ok(mut trailers) => {
                strip_trailers(&mut trailers, &self.reserved, Towards::Client);
                (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)))
            }
            Err(frame) => Some(Ok(frame)),
        }
    }
}

impl<B: UpstreamSource, H: Unpin> Body for ResponseBody<B, H> {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        self.get_mut().poll_piece(cx)
    }

    fn is_end_stream(&self) -> bool {
        match self.ended {
            Some(outcome) => outcome == Outcome::Whole,
            None => self.source.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty => SizeHint::with_exact(0),
            Source::Full(bytes) => {
                SizeHint::with_exact(u64::try_from(bytes.len()).unwrap_or(u64::MAX))
            }
            Source::Upstream(download) => download.incoming.size_hint(),
        }
    }
}

impl<B: UpstreamSource, H> Drop for ResponseBody<B, H> {
    fn drop(&mut self) {
        // A body without a byte is never polled.
        let outcome = if self.source.is_over() {
            Outcome::Whole
        } else {
            Outcome::Dropped
        };
        self.end(outcome);
    }
}

impl<B: UpstreamSource, H> std::fmt::Debug for ResponseBody<B, H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseBody({} bytes so far)", self.bytes)
    }
}

/// Breaks a body off: the two ends of a signal, on one thread.
#[must_use]
pub fn cut() -> (Cut, CutSignal) {
    let state = Rc::new(CutState::default());
    (Cut(Rc::clone(&state)), CutSignal(state))
}

#[derive(Default)]
struct CutState {
    cut: Cell<bool>,
    waiter: Cell<Option<Waker>>,
}

/// The end that cuts. Dropping it cuts nothing.
#[derive(Clone)]
pub struct Cut(Rc<CutState>);

impl Cut {
    /// Breaks the body off: the client sees a broken message, never a complete one.
    pub fn now(&self) {
        self.0.cut.set(true);
        if let Some(waker) = self.0.waiter.take() {
            waker.wake();
        }
    }
}

/// The end that a body listens to.
pub struct CutSignal(Rc<CutState>);

impl CutSignal {
    fn poll(&self, cx: &Context<'_>) -> bool {
        let cut = self.0.cut.get();
        if !cut {
            self.0.waiter.set(Some(cx.waker().clone()));
        }
        cut
    }
}

#[cfg(test)]
#[path = "response_tests.rs"]
mod tests;
