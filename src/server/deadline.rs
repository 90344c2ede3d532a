//! Deadlines of a client connection, on the bytes themselves.
//!
//! hyper gives up on a head that never ends, but by itself it waits for ever for the first byte of
//! an HTTP/2 preface and for a client that does not read. This wrapper around the socket knows three
//! waits: for a first byte and then a whole head ([`Timeouts::head`]), for the next request of an
//! idle connection ([`Timeouts::idle`]), and for a client to take what is written to it
//! ([`Timeouts::write`]). While a request is in progress reading has no deadline here: its body has
//! one of its own.
//!
//! It is also the place where a connection ends by a reset instead of in order, so that the client
//! cannot take a response that broke off for a whole one.

use std::any::Any;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use super::abort::Abort;
use crate::gateway::{Counts, InProgress};
use crate::net::gathered;

/// Reads in a row after which a connection gives way to the others of its core: one that floods
/// with frames which cost more to answer than to send would else keep them waiting.
const TURNS: u8 = 2;

/// How long each wait may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    /// From the first byte that is owed to the end of the head.
    pub(super) head: Duration,
    /// Between two requests.
    pub(super) idle: Duration,
    /// Until the client takes some of what is written.
    pub(super) write: Duration,
}

/// What the connection is doing; the service tells, the socket reads. Atomics only because hyper
/// wants the socket to be `Send`: both live on one core.
#[derive(Debug, Default)]
pub(super) struct Activity {
    in_progress: AtomicUsize,
    /// How many requests have begun, each of which ends a head.
    served: AtomicUsize,
    broken: AtomicBool,
    unfinished: AtomicBool,
}

impl Activity {
    /// Begins a request.
    pub(super) fn begin(self: &Arc<Self>) -> InProgress {
        // Read and written one after the other: nobody else does in between.
        self.in_progress
            .store(self.in_progress.load(Relaxed) + 1, Relaxed);
        self.served
            .store(self.served.load(Relaxed).wrapping_add(1).max(1), Relaxed);
        InProgress::begun(Arc::clone(self) as _)
    }

    /// Whether the connection was given up in the middle of a head.
    pub(super) fn left_a_head_unfinished(&self) -> bool {
        self.unfinished.load(Relaxed)
    }

    /// A response broke off whose end would be the end of the connection.
    pub(super) fn break_off(&self) {
        self.broken.store(true, Relaxed);
    }
}

impl Counts for Activity {
    fn ended(&self) {
        let left = self.in_progress.load(Relaxed).saturating_sub(1);
        self.in_progress.store(left, Relaxed);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// Nothing is waited for.
    None,
    /// For the first head, or the rest of one that has begun.
    Head,
    /// For the next request.
    Idle,
}

/// A socket with deadlines.
pub(super) struct Deadlined<S: Abort> {
    socket: S,
    activity: Arc<Activity>,
    timeouts: Timeouts,
    wait: Wait,
    /// Whether some of the head that is waited for has come; HTTP/1 only.
    begun: bool,
    /// Requests that had begun when this was last looked at.
    served: usize,
    read_sleep: Pin<Box<Sleep>>,
    write_sleep: Option<Pin<Box<Sleep>>>,
    /// On HTTP/2 bytes may come at any time; only streams count.
    multiplexed: bool,
    /// Reads since it last had nothing to read, or gave way.
    turns: u8,
    /// Its place among the open connections, given back when the socket is closed: after an upgrade
    /// that is later than the end of hyper's connection.
    _place: Box<dyn Any + Send>,
}

impl<S: Abort> Deadlined<S> {
    pub(super) fn new(
        socket: S,
        activity: Arc<Activity>,
        timeouts: Timeouts,
        multiplexed: bool,
        place: Box<dyn Any + Send>,
    ) -> Self {
        let read_sleep = Box::pin(tokio::time::sleep(timeouts.head));
        Self {
            socket,
            activity,
            timeouts,
            wait: Wait::Head,
            begun: false,
            served: 0,
            read_sleep,
            write_sleep: None,
            multiplexed,
            turns: 0,
            _place: place,
        }
    }

    /// From now on dropping it resets the connection.
    pub(super) fn abort(&self) {
        self.socket.abort();
    }

    /// Arms the wait that fits what the connection is doing, when that has changed.
    fn rearm(&mut self, bytes_came: bool) {
        let served = self.activity.served.load(Relaxed);
        // A request can come and be answered between two looks.
        let ended = std::mem::replace(&mut self.served, served) != served;
        let wait = if self.activity.in_progress.load(Relaxed) > 0 {
            Wait::None
        } else if served == 0 || (bytes_came && !self.multiplexed) {
            Wait::Head
        } else if self.wait == Wait::Head && !self.multiplexed && !ended {
            // A head that has begun and not ended.
            Wait::Head
        } else {
            Wait::Idle
        };
        let still = self.begun && !ended;
        self.begun = wait == Wait::Head && !self.multiplexed && (bytes_came || still);
        if wait == self.wait && !ended {
            return;
        }
        self.wait = wait;
        let length = match wait {
            Wait::None => return,
            Wait::Head => self.timeouts.head,
            Wait::Idle => self.timeouts.idle,
        };
        self.read_sleep.as_mut().reset(Instant::now() + length);
    }

    fn late(&mut self, cx: &mut Context<'_>) -> bool {
        self.wait != Wait::None && self.read_sleep.as_mut().poll(cx).is_ready()
    }

    fn watch_write<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_sleep = None;
            return outcome;
        }
        let length = self.timeouts.write;
        let sleep = self
            .write_sleep
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(length)));
        if sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not read",
            )));
        }
        Poll::Pending
    }
}

impl<S: AsyncRead + Abort + Unpin> AsyncRead for Deadlined<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.turns >= TURNS {
            this.turns = 0;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        let outcome = Pin::new(&mut this.socket).poll_read(cx, buf);
        this.turns = if outcome.is_ready() {
            this.turns + 1
        } else {
            0
        };
        let bytes_came = outcome.is_ready() && buf.filled().len() > before;
        this.rearm(bytes_came);
        if outcome.is_pending() && this.late(cx) {
            this.activity.unfinished.store(this.begun, Relaxed);
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client is silent",
            )));
        }
        outcome
    }
}

impl<S: Abort> Drop for Deadlined<S> {
    fn drop(&mut self) {
        if self.activity.broken.load(Relaxed) {
            self.socket.abort();
        }
    }
}

impl<S: AsyncWrite + Abort + Unpin> AsyncWrite for Deadlined<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_write(cx, buf);
        this.watch_write(cx, outcome)
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
        let outcome = Pin::new(&mut this.socket).poll_write_vectored(cx, bufs);
        this.watch_write(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_flush(cx);
        this.watch_write(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.socket).poll_shutdown(cx);
        this.watch_write(cx, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    impl Abort for tokio::io::DuplexStream {
        fn abort(&self) {}
    }

    const TIMEOUTS: Timeouts = Timeouts {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        write: Duration::from_mins(1),
    };

    fn pair(
        multiplexed: bool,
    ) -> (
        tokio::io::DuplexStream,
        Deadlined<tokio::io::DuplexStream>,
        Arc<Activity>,
    ) {
        let (client, server) = tokio::io::duplex(64);
        let activity = Arc::new(Activity::default());
        (
            client,
            Deadlined::new(
                server,
                Arc::clone(&activity),
                TIMEOUTS,
                multiplexed,
                Box::new(()),
            ),
            activity,
        )
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_after_the_head_timeout() {
        for multiplexed in [false, true] {
            let (_client, mut server, _) = pair(multiplexed);
            let started = Instant::now();
            assert_eq!(
                server.read_u8().await.unwrap_err().kind(),
                io::ErrorKind::TimedOut
            );
            assert_eq!(started.elapsed().as_secs(), 10);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_in_drops_does_not_move_its_deadline() {
        let (mut client, mut server, _) = pair(false);
        let started = Instant::now();
        for _ in 0..3 {
            client.write_all(b"G").await.unwrap();
            server.read_u8().await.unwrap();
            tokio::time::advance(Duration::from_secs(3)).await;
        }
        assert!(server.read_u8().await.is_err());
        assert_eq!(started.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_lives_longer_and_a_busy_one_has_no_deadline() {
        let (mut client, mut server, activity) = pair(false);
        client.write_all(b"GET").await.unwrap();
        server.read_exact(&mut [0; 3]).await.unwrap();
        let request = activity.begin();
        let mut byte = [0];
        assert!(
            tokio::time::timeout(Duration::from_hours(1), server.read(&mut byte))
                .await
                .is_err()
        );
        drop(request);
        let started = Instant::now();
        assert!(server.read(&mut byte).await.is_err());
        assert_eq!(started.elapsed().as_secs(), 75);
    }

    #[tokio::test(start_paused = true)]
    async fn c21_a_flood_gives_way_to_the_other_connections() {
        let (mut client, mut server, _) = pair(true);
        client.write_all(&[0; 64]).await.unwrap();
        let mut in_a_row = Vec::new();
        for _ in 0..2 {
            in_a_row.push(0);
            std::future::poll_fn(|cx| {
                let mut byte = [0];
                let mut buffer = ReadBuf::new(&mut byte);
                while Pin::new(&mut server).poll_read(cx, &mut buffer).is_ready() {
                    buffer.clear();
                    *in_a_row.last_mut().unwrap() += 1;
                }
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(in_a_row, [TURNS, TURNS]);
        tokio::time::timeout(Duration::from_secs(1), server.read_exact(&mut [0; 48]))
            .await
            .unwrap()
            .unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_read_is_given_up() {
        let (_client, mut server, activity) = pair(false);
        let _request = activity.begin();
        let started = Instant::now();
        assert_eq!(
            server.write_all(&[0; 1000]).await.unwrap_err().kind(),
            io::ErrorKind::TimedOut
        );
        assert_eq!(started.elapsed().as_secs(), 60);
    }
}
