//! HTTP/2 connections to an upstream: few, each with many requests.
//!
//! A connection is opened when none has room; requests that come meanwhile wait for it instead of
//! opening their own. HTTP/2 ties each response to its request, so that nothing needs to be looked
//! for on an idle connection.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use hyper::client::conn::http2::{self, SendRequest};
use hyper::rt::Executor;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::UpstreamError;
use super::link::Link;
use super::outgoing::RequestBody;
use super::pool::Key;

/// Requests on one connection from which another one is opened; servers rarely allow more.
const MAX_STREAMS: usize = 100;

/// Bytes of one response that may come before its client takes them.
const STREAM_WINDOW: u32 = 128 * 1024;

/// The same for all of a connection's responses together: enough for every stream's own, so that
/// clients that do not read hold up nobody who shares the connection with them.
const CONNECTION_WINDOW: u32 = 128 * STREAM_WINDOW;

/// Most connections per server, sharers and core; past that they are shared further.
const MAX_CONNECTIONS: usize = 8;

/// Most (server, sharers) pairs that connections are kept for.
const MAX_SLOTS: usize = 1024;

/// Time between pings while requests are open, and the wait for an answer.
const PING: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(10));

/// One connection.
pub(super) struct H2 {
    sender: SendRequest<RequestBody>,
    active: Cell<usize>,
    idle_since: Cell<Instant>,
}

/// A request on a connection; dropping it makes room.
pub(super) struct H2Lease {
    connection: Rc<H2>,
}

/// The connections to one server for one set of sharers.
#[derive(Default)]
pub(super) struct H2Slot {
    connections: RefCell<Vec<Rc<H2>>>,
    /// Held by whoever opens a connection.
    pub(super) opening: Mutex<()>,
}

/// Every slot of a pool.
#[derive(Default)]
pub(super) struct H2Slots {
    slots: RefCell<HashMap<Key, Rc<H2Slot>, ahash::RandomState>>,
}

impl H2 {
    /// Starts HTTP/2 on a fresh link.
    pub(super) async fn start(link: Link) -> Result<Rc<Self>, UpstreamError> {
        let (sender, connection) = http2::Builder::new(LocalExecutor)
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1)
            .handshake(TokioIo::new(link))
            .await
            .map_err(|error| UpstreamError::broken(&error))?;
        tokio::task::spawn_local(async move {
            // The requests on it hear of the error.
            if let Err(error) = connection.await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Rc::new(Self {
            sender,
            active: Cell::new(0),
            idle_since: Cell::new(Instant::now()),
        }))
    }

    /// Takes room for one request.
    pub(super) fn lease(self: &Rc<Self>) -> H2Lease {
        self.active.set(self.active.get() + 1);
        H2Lease {
            connection: Rc::clone(self),
        }
    }
}

impl H2Lease {
    /// A handle to send by.
    pub(super) fn sender(&self) -> SendRequest<RequestBody> {
        self.connection.sender.clone()
    }

    /// Whether the connection as a whole is gone.
    pub(super) fn is_closed(&self) -> bool {
        self.connection.sender.is_closed()
    }
}

impl Drop for H2Lease {
    fn drop(&mut self) {
        let connection = &self.connection;
        connection
            .active
            .set(connection.active.get().saturating_sub(1));
        connection.idle_since.set(Instant::now());
    }
}

impl H2Slot {
    /// A connection with room, or, when no more may be opened, the one with most.
    pub(super) fn take(&self) -> Option<H2Lease> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| !connection.sender.is_closed());
        let best = connections.iter().min_by_key(|c| c.active.get())?;
        let room = best.active.get() < MAX_STREAMS || connections.len() >= MAX_CONNECTIONS;
        room.then(|| best.lease())
    }

    /// Keeps a connection for later requests.
    pub(super) fn keep(&self, connection: Rc<H2>) {
        self.connections.borrow_mut().push(connection);
    }
}

impl H2Slots {
    /// The slot of a key; one of nobody else's when there are too many.
    pub(super) fn slot(&self, key: &Key) -> Rc<H2Slot> {
        let mut slots = self.slots.borrow_mut();
        if let Some(slot) = slots.get(key) {
            return Rc::clone(slot);
        }
        if slots.len() >= MAX_SLOTS {
            slots.retain(|_, slot| slot.in_use());
        }
        let slot = Rc::new(H2Slot::default());
        if slots.len() < MAX_SLOTS {
            slots.insert(key.clone(), Rc::clone(&slot));
        }
        slot
    }

    /// Whether there is no connection.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.borrow().is_empty()
    }

    /// Lets go of connections that are closed, or have been idle for `life`.
    pub(super) fn sweep(&self, now: Instant, life: Duration) {
        self.slots.borrow_mut().retain(|_, slot| {
            slot.connections.borrow_mut().retain(|connection| {
                let idle = now.saturating_duration_since(connection.idle_since.get());
                !connection.sender.is_closed() && (connection.active.get() > 0 || idle < life)
            });
            // A slot that somebody is opening a connection for is held by them too.
            Rc::strong_count(slot) > 1 || !slot.connections.borrow().is_empty()
        });
    }
}

impl H2Slot {
    fn in_use(&self) -> bool {
        self.connections
            .borrow()
            .iter()
            .any(|connection| connection.active.get() > 0)
    }
}

/// Runs hyper's request-body tasks on this core.
#[derive(Debug, Clone, Copy)]
struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
