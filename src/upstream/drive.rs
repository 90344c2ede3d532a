//! Drive: who moves the bytes of an HTTP/1.1 connection.
//!
//! hyper's connection is a future that somebody must poll. In a task of its own, each request would be
//! handed to it and its response handed back by the event loop. So the request that is on a connection
//! polls it, in its own task; an idle connection is polled by nobody, and looked at when a request is
//! sent on it and now and then in its pool.
//! The exception is a request with a body: its upload must go on while nobody reads the response, so
//! that its connection runs in a task until the response has ended.
//!
//! The steps that tokio lets a task take in one turn are not counted here: between the look at an idle
//! connection and the request's first byte there must be no pause, and nothing that the connection feeds
//! could tell anybody that it wants another turn. What the client is sent is counted, and bounds this.

use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;
use tokio::task::{JoinHandle, unconstrained};

/// hyper's side of a connection.
type Connection = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// Moves the bytes of one connection. Dropping it closes the socket.
pub(super) struct Driver {
    at: At,
    relay: Arc<Relay>,
    /// Wakes whoever is on the connection, through `relay`.
    waker: Waker,
}

enum At {
    /// With whoever holds the driver.
    Here(Connection),
    /// In a task, which ends when the connection is taken out.
    Task(Rc<RefCell<Option<Connection>>>, JoinHandle<()>),
    /// Nowhere: it has ended, or runs to its own end.
    Gone,
}

/// The task that is on the connection, if one is: a request that is written to an idle connection must
/// not wake the task of the request before. All of it is used on one core; atomics because wakers are
/// `Send`, and most calls find nobody and lock nothing.
#[derive(Default)]
struct Relay {
    waker: AtomicWaker,
    /// Whether `waker` has somebody.
    on: AtomicBool,
    /// Whether anybody was to be woken since this was last set to `false`.
    called: AtomicBool,
}

impl Relay {
    fn set(&self, waker: &Waker) {
        self.waker.register(waker);
        self.on.store(true, Relaxed);
    }

    fn take(&self) -> Option<Waker> {
        if !self.on.load(Relaxed) {
            return None;
        }
        self.on.store(false, Relaxed);
        self.waker.take()
    }
}

impl Wake for Relay {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.called.store(true, Relaxed);
        if let Some(waker) = self.take() {
            waker.wake();
        }
    }
}

impl Driver {
    /// Drives a connection that has just been opened.
    pub(super) fn new(connection: impl Future<Output = hyper::Result<()>> + 'static) -> Self {
        let relay = Arc::<Relay>::default();
        Self {
            at: At::Here(Box::pin(connection)),
            waker: Waker::from(Arc::clone(&relay)),
            relay,
        }
    }

    /// Moves what can be moved, and then polls `fed`, which waits for something of this connection and
    /// for nothing else.
    pub(super) fn poll_then<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut fed: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if let At::Task(..) = self.at {
            return fed(cx);
        }
        self.relay.called.store(false, Relaxed);
        self.poll();
        // It is fed by this poll alone, and must not wake the very task that it runs in.
        let polled = uncounted(Waker::noop(), fed);
        if polled.is_pending() {
            self.relay.set(cx.waker());
            // The connection has asked for another poll while there was nobody to tell.
            if self.relay.called.load(Relaxed) {
                cx.waker().wake_by_ref();
            }
        }
        polled
    }

    /// The same for something that may have been fed already.
    pub(super) fn poll_fed<T>(
        &mut self,
        cx: &mut Context<'_>,
        mut fed: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        if let At::Here(_) = self.at {
            // What it takes makes room, of which the connection hears in this poll or the next.
            self.rest();
            let polled = uncounted(Waker::noop(), &mut fed);
            if polled.is_ready() {
                return polled;
            }
        }
        self.poll_then(cx, fed)
    }

    /// Moves what can be moved at once; nobody is woken. Whether the connection is still there.
    pub(super) fn poll_once(&mut self) -> bool {
        self.rest();
        self.poll();
        !matches!(self.at, At::Gone)
    }

    /// Moves what can be moved; whoever is on the connection is woken when there may be more.
    fn poll(&mut self) {
        if let At::Here(connection) = &mut self.at
            && run(connection, &self.waker)
        {
            self.at = At::Gone;
        }
    }

    /// Nobody is on the connection any more.
    pub(super) fn rest(&self) {
        drop(self.relay.take());
    }

    /// From now on the connection moves by itself, until it is taken back.
    pub(super) fn apart(&mut self) {
        let connection = match std::mem::replace(&mut self.at, At::Gone) {
            At::Here(connection) => connection,
            other => {
                self.at = other;
                return;
            }
        };
        let place = Rc::new(RefCell::new(Some(connection)));
        let shared = Rc::clone(&place);
        let task = tokio::task::spawn_local(poll_fn(move |cx| {
            // Taken out, so that a panic takes the connection with it.
            let Some(mut connection) = shared.borrow_mut().take() else {
                return Poll::Ready(());
            };
            if run(&mut connection, cx.waker()) {
                return Poll::Ready(());
            }
            *shared.borrow_mut() = Some(connection);
            Poll::Pending
        }));
        self.at = At::Task(place, task);
    }

    /// Takes a connection back that moved by itself.
    pub(super) fn take_back(&mut self) {
        if let At::Task(place, task) = &self.at {
            let connection = place.borrow_mut().take();
            task.abort();
            self.at = connection.map_or(At::Gone, At::Here);
        }
    }

    /// The connection runs to its end by itself.
    pub(super) fn let_go(mut self) {
        self.apart();
        self.at = At::Gone;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        // The socket is to close now and not when the task is next polled.
        self.take_back();
    }
}

/// Whether it has ended.
fn run(connection: &mut Connection, waker: &Waker) -> bool {
    match uncounted(waker, |cx| connection.as_mut().poll(cx)) {
        Poll::Ready(outcome) => {
            // The request on it hears of the error; without one it was an idle connection's end.
            if let Err(error) = outcome {
                tracing::debug!(%error, "upstream connection ended");
            }
            true
        }
        Poll::Pending => false,
    }
}

/// Polls without counting steps.
fn uncounted<T>(waker: &Waker, poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let poll = pin!(unconstrained(poll_fn(poll)));
    poll.poll(&mut Context::from_waker(waker))
}
