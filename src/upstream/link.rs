//! Link: a connected socket to an upstream, clear or TLS, that can be asked what happened on it.
//!
//! The [`Gauge`] of a link answers what hyper does not: did a byte of an answer arrive, did a byte of
//! the request leave and what was it, and did anybody speak on the idle connection. The last one is
//! asked of the kernel itself (`MSG_PEEK`), in the poll that writes a request, directly before its
//! first byte: the runtime's readiness may be many task polls old, and in that time a second,
//! unsolicited response may have come in, which must never answer the next request. A link
//! that is readable then fails before hyper takes the request, which hands it back unsent and whole.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::net::gathered;

/// Most room that a connection keeps for the head of its next request.
const KEPT: usize = 4096;

/// Closes the connection under an upgraded upstream stream by a TCP reset, so that the upstream
/// cannot take what it got for a complete conversation. On any other stream this is a plain drop.
pub fn reset(upgraded: Upgraded) {
    if let Ok(parts) = upgraded.downcast::<TokioIo<Link>>() {
        let link = parts.io.into_inner();
        // Where the option is refused the drop below still closes the connection.
        let _ = SockRef::from(link.stream.tcp()).set_linger(Some(Duration::ZERO));
    }
}

/// What happened on a link since its last request began. One thread only; atomics because hyper
/// asks an upgradeable transport to be `Send`.
#[derive(Default)]
pub(super) struct Gauge {
    armed: AtomicBool,
    read: AtomicBool,
    written: AtomicBool,
    keeps: AtomicBool,
    /// Whether the link has kept this request's head.
    has_kept: AtomicBool,
    /// What the link left behind: this request's head and never an earlier one's.
    left: Mutex<Vec<u8>>,
}

impl Gauge {
    /// A request is about to be written. `check_idle`: bytes that are already there are nobody's;
    /// `keeps`: it is all head, and may have to be written again.
    pub(super) fn begin(&self, check_idle: bool, keeps: bool) {
        self.armed.store(check_idle, Relaxed);
        self.read.store(false, Relaxed);
        self.written.store(false, Relaxed);
        self.keeps.store(keeps, Relaxed);
        self.has_kept.store(false, Relaxed);
    }

    /// The request as it was to be written, once the link is gone; nothing where it was not kept or did
    /// not get that far.
    pub(super) fn left(&self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a byte arrived since.
    pub(super) fn has_read(&self) -> bool {
        self.read.load(Relaxed)
    }

    /// Whether a byte was written since.
    pub(super) fn has_written(&self) -> bool {
        self.written.load(Relaxed)
    }
}

/// Without what is kept.
impl std::fmt::Debug for Gauge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gauge").finish_non_exhaustive()
    }
}

/// A connected socket to an upstream.
#[derive(Debug)]
pub(super) struct Link {
    stream: Stream,
    gauge: Arc<Gauge>,
    kept: Kept,
}

/// The head of the request that is on a link, until its answer begins; it is left to the gauge when the
/// link goes before that.
struct Kept {
    head: Vec<u8>,
    gauge: Arc<Gauge>,
}

impl Kept {
    /// hyper hands a head over whole: its first write is all of it.
    fn keep<'a>(&mut self, first: impl IntoIterator<Item = &'a [u8]>) {
        if !self.gauge.keeps.load(Relaxed) {
            return;
        }
        self.gauge.keeps.store(false, Relaxed);
        self.gauge.has_kept.store(true, Relaxed);
        self.head.clear();
        for bytes in first {
            self.head.extend_from_slice(bytes);
        }
    }

    /// The answer has begun: the request will not be written again, and what it says of somebody is not
    /// kept.
    fn answered(&mut self) {
        if self.gauge.has_read() {
            return;
        }
        self.gauge.read.store(true, Relaxed);
        self.gauge.keeps.store(false, Relaxed);
        self.gauge.has_kept.store(false, Relaxed);
        self.head.clear();
        self.head.shrink_to(KEPT);
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        if self.gauge.has_kept.load(Relaxed) {
            *self.gauge.lock() = std::mem::take(&mut self.head);
        }
    }
}

/// Without what is kept.
impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Clear or TLS.
#[derive(Debug)]
pub(super) enum Stream {
    /// Clear TCP.
    Plain(TcpStream),
    /// TLS over TCP.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(tcp) => tcp,
            Self::Tls(tls) => tls.get_ref().0,
        }
    }
}

impl Link {
    /// Takes a connected stream.
    pub(super) fn new(stream: Stream) -> Self {
        let gauge = Arc::<Gauge>::default();
        let kept = Kept {
            head: Vec::new(),
            gauge: Arc::clone(&gauge),
        };
        Self {
            stream,
            gauge,
            kept,
        }
    }

    /// The link's gauge.
    pub(super) fn gauge(&self) -> Arc<Gauge> {
        Arc::clone(&self.gauge)
    }

    /// Whether TLS is spoken.
    pub(super) const fn is_tls(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }

    /// Whether the kernel holds bytes, an end or an error for this socket.
    fn is_readable(&self) -> bool {
        let mut byte = [MaybeUninit::uninit(); 1];
        match SockRef::from(self.stream.tcp()).peek(&mut byte) {
            Ok(_) => true,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

impl AsyncRead for Link {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.gauge.armed.load(Relaxed) {
            this.gauge.armed.store(false, Relaxed);
            if this.is_readable() {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::ConnectionAborted,
                    "the idle connection was closed or written to",
                )));
            }
        }
        let before = buf.filled().len();
        ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_read(cx, buf),
        })?;
        if buf.filled().len() > before {
            this.kept.answered();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.kept.keep([buf]);
        let written = ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write(cx, buf),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write(cx, buf),
        })?;
        this.gauge.written.store(true, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let mut one = Pin::new(&mut *this);
        if let Some(written) = gathered(bufs, |bytes| one.as_mut().poll_write(cx, bytes)) {
            return written;
        }
        this.kept.keep(bufs.iter().map(|slice| &**slice));
        let written = ready!(match &mut this.stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_write_vectored(cx, bufs),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_write_vectored(cx, bufs),
        })?;
        this.gauge.written.store(true, Relaxed);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Stream::Plain(tcp) => tcp.is_write_vectored(),
            Stream::Tls(tls) => tls.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Stream::Tls(tls) => Pin::new(tls.as_mut()).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept() -> Kept {
        Kept {
            head: Vec::new(),
            gauge: Arc::default(),
        }
    }

    /// What is left of requests that were written so, each write in these slices.
    fn left(requests: &[(bool, &[&[&[u8]]])]) -> Vec<u8> {
        let mut kept = kept();
        for (keeps, writes) in requests {
            kept.gauge.begin(true, *keeps);
            for write in *writes {
                kept.keep(write.iter().copied());
            }
        }
        let gauge = Arc::clone(&kept.gauge);
        assert!(gauge.left().is_empty(), "the link is still there");
        drop(kept);
        gauge.left()
    }

    #[test]
    fn what_is_left_is_never_an_earlier_requests() {
        let head: &[&[u8]] = &[b"GET ", b"/one"];
        let writes = [head, &[b"more"]];
        let one = (true, &writes[..]);
        assert_eq!(left(&[one]), b"GET /one");
        assert_eq!(left(&[one, (true, &[&[b"GET /two"]])]), b"GET /two");
        assert!(left(&[one, (true, &[])]).is_empty(), "not written yet");
        assert!(left(&[one, (false, &[&[b"GET /three"]])]).is_empty());
        assert!(left(&[]).is_empty());
    }

    #[test]
    fn nothing_is_left_once_the_answer_has_begun() {
        let mut kept = kept();
        kept.gauge.begin(true, true);
        kept.keep([&[b'x'; 4 * KEPT][..]]);
        kept.answered();
        assert!(kept.head.is_empty() && kept.head.capacity() <= KEPT);
        let gauge = Arc::clone(&kept.gauge);
        drop(kept);
        assert!(gauge.left().is_empty());
    }
}
