//! The request body on its way to the upstream.
//!
//! Counted against the limit as it passes, under a deadline between its pieces, its trailers
//! filtered. Whoever answers the client holds its [`BodyWatch`]: when that is dropped the request
//! is over, and an upload that has not ended breaks off instead of ending as if it were whole.

use std::cell::Cell;
use std::future::poll_fn;
use std::io::ErrorKind;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::super::hop::{Towards, strip_trailers};
use super::super::names::Reserved;
use super::BodyFault;
use super::idle::Idle;
use crate::wire::Seen;

/// What a request body must keep to.
#[derive(Debug, Clone)]
pub struct UploadRules<'a> {
    /// Most bytes.
    pub limit: Option<u64>,
    /// Longest silence.
    pub idle: Option<Duration>,
    /// Names that trailers may not have.
    pub reserved: &'a Arc<Reserved>,
}

/// What is sent upstream as the body.
pub enum RequestBody {
    /// Nothing.
    Empty,
    /// What the client sends.
    Client(Box<Upload>),
}

impl RequestBody {
    /// No body, whatever the client sent.
    pub fn empty() -> (Self, BodyWatch) {
        (Self::Empty, BodyWatch(None))
    }

    /// The client's body, which came over `version`. A declared length above the limit is refused
    /// before a byte is read.
    pub fn client(
        incoming: Incoming,
        version: Version,
        rules: &UploadRules<'_>,
    ) -> Result<(Self, BodyWatch), BodyFault> {
        if incoming.is_end_stream() {
            return Ok(Self::empty());
        }
        let left = rules.limit.unwrap_or(u64::MAX);
        if incoming.size_hint().lower() > left {
            return Err(BodyFault::TooLarge);
        }
        let watched = Rc::new(Watched::default());
        let upload = Upload {
            incoming,
            tells_end: version == Version::HTTP_2,
            left,
            idle: Idle::new(rules.idle),
            reserved: Arc::clone(rules.reserved),
            watched: Rc::clone(&watched),
        };
        Ok((Self::Client(Box::new(upload)), BodyWatch(Some(watched))))
    }
}

/// hyper reports chunks that it cannot read as `InvalidData` or `InvalidInput`; whatever else ends
/// a body early is a client that went away.
fn fault_of(error: &hyper::Error) -> BodyFault {
    let kind = std::error::Error::source(error)
        .and_then(|source| source.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match kind {
        Some(ErrorKind::InvalidData | ErrorKind::InvalidInput) => BodyFault::Malformed,
        _ => BodyFault::ClientGone,
    }
}

/// Writes the one framing of a request to an upstream of this version; whatever stood there is
/// gone. hyper's HTTP/1.1 client would send a GET without its body, unless told like this.
/// `seen` says what the client's headers had.
pub fn frame(
    headers: &mut HeaderMap,
    seen: Seen,
    method: &Method,
    body: &RequestBody,
    to: Version,
) {
    for (field, name) in [
        (Seen::CONTENT_LENGTH, CONTENT_LENGTH),
        (Seen::TRANSFER_ENCODING, TRANSFER_ENCODING),
    ] {
        if seen.has(field) {
            headers.remove(name);
        }
    }
    match (body, body.size_hint().exact()) {
        (RequestBody::Empty, _) => {
            if seen.has(Seen::TRAILER) {
                headers.remove(TRAILER);
            }
            if [Method::POST, Method::PUT, Method::PATCH].contains(method) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
        }
        (RequestBody::Client(_), Some(length)) => {
            headers.remove(TRAILER);
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        (RequestBody::Client(_), None) if to == Version::HTTP_2 => {}
        (RequestBody::Client(_), None) => {
            headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
    }
}

/// How a request body fares, for whoever answers the client. Dropping it ends the upload.
/// There is nothing to watch where there is no body.
#[must_use = "dropping it breaks the upload off"]
pub struct BodyWatch(Option<Rc<Watched>>);

impl BodyWatch {
    /// Bytes that have passed.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.as_ref().map_or(0, |watched| watched.bytes.get())
    }

    /// Whether the body has passed whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.end() == Some(Ok(()))
    }

    /// What broke it off; `None` while it flows, when it is whole, and when the upstream did not
    /// want the rest.
    pub fn fault(&self) -> Option<BodyFault> {
        self.end().and_then(Result::err).flatten()
    }

    /// Waits until no more of it will pass, for whatever reason. One waiter at a time.
    pub async fn ended(&self) {
        let Some(watched) = &self.0 else { return };
        poll_fn(|cx| {
            if watched.end.get().is_some() {
                return Poll::Ready(());
            }
            watched.waiter.set(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn end(&self) -> Option<End> {
        self.0
            .as_ref()
            .map_or(Some(Ok(())), |watched| watched.end.get())
    }
}

impl Drop for BodyWatch {
    fn drop(&mut self) {
        let Some(watched) = &self.0 else { return };
        watched.abandoned.set(true);
        if let Some(waker) = watched.sender.take() {
            waker.wake();
        }
    }
}

/// The end of a body: whole, broken off, or (`Err(None)`) no longer wanted.
type End = Result<(), Option<BodyFault>>;

/// What a body and its watch share, on one thread.
#[derive(Default)]
struct Watched {
    bytes: Cell<u64>,
    end: Cell<Option<End>>,
    abandoned: Cell<bool>,
    /// The task that sends the body on.
    sender: Cell<Option<Waker>>,
    /// The task that waits for its end.
    waiter: Cell<Option<Waker>>,
}

impl Watched {
    fn end(&self, end: End) {
        if self.end.get().is_none() {
            self.end.set(Some(end));
            if let Some(waker) = self.waiter.take() {
                waker.wake();
            }
        }
    }
}

/// The client's body.
pub struct Upload {
    incoming: Incoming,
    /// Whether `incoming` says for certain that its end has come: over HTTP/2 hyper also ends a
    /// body that the peer reset without an error (RFC 9113, section 8.1), which is not whole.
    tells_end: bool,
    left: u64,
    idle: Idle,
    reserved: Arc<Reserved>,
    watched: Rc<Watched>,
}

type Piece = Option<Result<Frame<Bytes>, BodyFault>>;

impl Upload {
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Piece> {
        if let Some(end) = self.watched.end.get() {
            // Polled on after a fault, it must still not look whole.
            return Poll::Ready(end.err().flatten().map(Err));
        }
        if self.watched.abandoned.get() {
            return self.fail(BodyFault::ClientGone);
        }
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => self.pass(frame),
            Poll::Ready(None) if !self.tells_end || self.incoming.is_end_stream() => {
                self.watched.end(Ok(()));
                Poll::Ready(None)
            }
            Poll::Ready(None) => self.fail(BodyFault::ClientGone),
            Poll::Ready(Some(Err(error))) => self.fail(fault_of(&error)),
            Poll::Pending if self.idle.poll(cx).is_ready() => self.fail(BodyFault::ClientTimedOut),
            Poll::Pending => {
                self.watched.sender.set(Some(cx.waker().clone()));
                Poll::Pending
            }
        }
    }

    fn pass(&mut self, frame: Frame<Bytes>) -> Poll<Piece> {
        self.idle.touch();
        match frame.into_data() {
            Ok(data) => {
                let size = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let Some(left) = self.left.checked_sub(size) else {
                    return self.fail(BodyFault::TooLarge);
                };
                self.left = left;
                let bytes = &self.watched.bytes;
                bytes.set(bytes.get().saturating_add(size));
                if self.incoming.is_end_stream() {
                    self.watched.end(Ok(()));
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Err(frame) => {
                self.watched.end(Ok(()));
                let mut trailers = frame.into_trailers().unwrap_or_default();
                strip_trailers(&mut trailers, &self.reserved, Towards::Upstream);
                let left = (!trailers.is_empty()).then(|| Ok(Frame::trailers(trailers)));
                Poll::Ready(left)
            }
        }
    }

    fn fail(&self, fault: BodyFault) -> Poll<Piece> {
        self.watched.end(Err(Some(fault)));
        Poll::Ready(Some(Err(fault)))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.watched.end(Err(None));
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Piece> {
        match self.get_mut() {
            Self::Empty => Poll::Ready(None),
            Self::Client(upload) => upload.poll_piece(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Client(upload) => upload.watched.end.get() == Some(Ok(())),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Client(upload) => upload.incoming.size_hint(),
        }
    }
}

impl std::fmt::Debug for RequestBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "RequestBody(empty)",
            Self::Client(_) => "RequestBody(client)",
        })
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
