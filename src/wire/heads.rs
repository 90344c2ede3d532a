//! Heads: what hyper's HTTP/1 parser hides from us, seen on the bytes themselves.
//!
//! hyper 1.12 drops a Content-Length that stands beside a Transfer-Encoding, cuts `#…` off the
//! target and takes a bare LF for a line's end before a service can notice. All three are harmless
//! once the message is written anew, and all three are how requests are smuggled past parsers that
//! read them otherwise; so they are refused. So are two Content-Length lines that are one number in
//! two spellings, of which hyper shows the first. The socket's [`Scanner`] reads along, and [`Heads`]
//! tell the service what it saw.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::error::WireError;
use super::scan::{Fault, Scanner};

/// Longest line that is remembered between two reads, unless told otherwise.
const MAX_LINE: usize = 64 * 1024;

/// The heads of one HTTP/1 connection, shared between its socket and its service. Both live on one core;
/// atomics because hyper wants the socket to be `Send`, and read and written one after the other: nearly
/// always there is no fault, and then nothing is locked.
#[derive(Clone)]
pub struct Heads(Arc<Shared>);

struct Shared {
    longest: usize,
    most_fields: usize,
    /// Heads that have ended.
    ended: AtomicUsize,
    /// Those of them whose request was handled.
    handled: AtomicUsize,
    stopped: AtomicBool,
    /// Whether there is anything in `faults`.
    faulty: AtomicBool,
    faults: Mutex<Faults>,
}

#[derive(Default)]
struct Faults {
    /// By the number of their head.
    found: VecDeque<(usize, Fault)>,
    /// Whether nothing behind the last head is believed.
    lost: bool,
}

impl Default for Heads {
    fn default() -> Self {
        Self::bounded(MAX_LINE, usize::MAX)
    }
}

impl Heads {
    /// Heads whose lines are followed up to this length: what the parser itself can hold. A head with
    /// more than `fields` is shown to it up to there and refused, and nothing behind it is read.
    #[must_use]
    pub fn bounded(longest: usize, fields: usize) -> Self {
        Self(Arc::new(Shared {
            longest,
            most_fields: fields,
            ended: AtomicUsize::new(0),
            handled: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            faulty: AtomicBool::new(false),
            faults: Mutex::default(),
        }))
    }

    /// Takes what was seen in the next head; call it once for each request, in order.
    #[must_use]
    pub fn next_fault(&self) -> Option<WireError> {
        self.next().map(Fault::error)
    }

    pub(super) fn next(&self) -> Option<Fault> {
        let number = self.0.handled.load(Relaxed);
        let has_ended = number < self.0.ended.load(Relaxed);
        if has_ended {
            self.0.handled.store(number + 1, Relaxed);
        }
        if !self.0.faulty.load(Relaxed) {
            return None;
        }
        let mut faults = self.faults();
        if !has_ended {
            return faults.lost.then_some(Fault::OutOfStep);
        }
        let found = faults.found.pop_front_if(|(of, _)| *of == number);
        found.map(|(_, fault)| fault)
    }

    /// Stops reading along: the connection has become a tunnel.
    pub fn stop(&self) {
        self.0.stopped.store(true, Relaxed);
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.0.stopped.load(Relaxed)
    }

    /// Longest line that is followed.
    pub(super) fn longest(&self) -> usize {
        self.0.longest
    }

    /// Most fields of a head.
    pub(super) fn most_fields(&self) -> usize {
        self.0.most_fields
    }

    /// How many heads have not been asked for.
    pub(super) fn waiting(&self) -> usize {
        self.0.ended.load(Relaxed) - self.0.handled.load(Relaxed)
    }

    /// Another head has ended.
    pub(super) fn end(&self, fault: Option<Fault>) {
        let number = self.0.ended.load(Relaxed);
        if let Some(fault) = fault {
            self.faults().found.push_back((number, fault));
            self.0.faulty.store(true, Relaxed);
        }
        self.0.ended.store(number + 1, Relaxed);
    }

    /// What follows the last head cannot be told apart into messages.
    pub(super) fn lose(&self) {
        self.faults().lost = true;
        self.0.faulty.store(true, Relaxed);
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.0.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client's socket whose bytes [`Heads`] reads along.
pub struct WatchedIo<Io> {
    io: Io,
    scanner: Scanner,
}

impl<Io> WatchedIo<Io> {
    /// Watches `io`; keep a clone of `heads` for the service.
    pub fn new(io: Io, heads: Heads) -> Self {
        let scanner = Scanner::new(heads);
        Self { io, scanner }
    }

    /// The socket.
    pub const fn inner(&self) -> &Io {
        &self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for WatchedIo<Io> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.scanner.is_cut() {
            // The refusal closes the connection, and waits for no more.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        let read = ready!(Pin::new(&mut this.io).poll_read(cx, buffer));
        let fed = buffer.filled().get(before..).unwrap_or_default();
        if let Some(end) = this.scanner.feed(fed) {
            // An empty line in place of the field that is one too many ends the head. There is room
            // for one byte at least: that of the field's beginning.
            buffer.set_filled(before + end);
            buffer.put_slice(b"\n");
        }
        Poll::Ready(read)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for WatchedIo<Io> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
#[path = "heads_tests.rs"]
mod tests;
