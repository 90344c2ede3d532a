//! The oracle: an upstream that records every connection and every byte it was sent.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use super::exchange::{Exchange, answer_by_default};
use super::message::{Head, Wire};
use super::wait::{PATIENCE, Watched};

/// A request as the upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which connection it came over, counted from zero.
    pub(crate) connection: usize,
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Bytes of the body, also where the body itself is not kept.
    pub(crate) body_length: u64,
    /// Whether the body came to its proper end; `None` while it has not been read to any end.
    pub(crate) complete: Option<bool>,
    pub(crate) trailers: Vec<(String, String)>,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

pub(super) type Handler = dyn Fn(&mut Exchange<'_>) + Send + Sync;

#[derive(Default)]
pub(super) struct Log {
    pub(super) bytes: u64,
    pub(super) raw: Vec<Vec<u8>>,
    pub(super) seen: Vec<Seen>,
    ended: usize,
    /// Of the connections that are open.
    sockets: BTreeMap<usize, TcpStream>,
}

/// How much is kept of what arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Keep {
    /// How many bytes there were.
    Counts,
    /// Also every request's head.
    Heads,
    /// Also every byte.
    Everything,
}

pub(super) struct Shared {
    pub(super) log: Watched<Log>,
    pub(super) keep: Keep,
    handler: Box<Handler>,
    stopping: AtomicBool,
}

/// A recording upstream; it stops when dropped.
pub(crate) struct Recorder {
    address: SocketAddr,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

impl Recorder {
    /// Answers everything with 200 and what it saw of the identity, as JSON.
    pub(crate) fn start() -> Self {
        Self::answering(answer_by_default)
    }

    /// Answers as `handler` does.
    pub(crate) fn answering(handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(handler), Keep::Everything)
    }

    /// The same, but keeps no bytes, only counts: for bodies of gigabytes.
    pub(crate) fn counting(handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(handler), Keep::Heads)
    }

    /// The same, but keeps no requests at all: for hundreds of thousands of them.
    pub(crate) fn forgetful(handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static) -> Self {
        Self::launch(Box::new(handler), Keep::Counts)
    }

    fn launch(handler: Box<Handler>, keep: Keep) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared {
            log: Watched::new(Log::default()),
            keep,
            handler,
            stopping: AtomicBool::new(false),
        });
        let acceptor = std::thread::spawn({
            let shared = Arc::clone(&shared);
            move || accept(&listener, &shared)
        });
        Self {
            address,
            shared,
            acceptor: Some(acceptor),
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.log.read(|log| log.seen.clone())
    }

    pub(crate) fn count(&self) -> usize {
        self.shared.log.read(|log| log.seen.len())
    }

    /// How many bytes arrived, over all connections.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared.log.read(|log| log.bytes)
    }

    /// How many connections were opened.
    pub(crate) fn connections(&self) -> usize {
        self.shared.log.read(|log| log.raw.len())
    }

    /// Every byte of one connection.
    pub(crate) fn raw(&self, connection: usize) -> Vec<u8> {
        self.shared.log.read(|log| log.raw[connection].clone())
    }

    /// The only request so far.
    #[track_caller]
    pub(crate) fn only(&self) -> Seen {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "one request, but: {requests:#?}");
        requests.into_iter().next().expect("just counted")
    }

    /// The newest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("a request")
    }

    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let raw = self.shared.log.read(|log| log.raw.concat());
        let text = String::from_utf8_lossy(&raw);
        assert_eq!(self.bytes(), 0, "the upstream was sent: {text}");
    }

    /// Waits for the first request that `wanted` accepts.
    #[track_caller]
    pub(crate) fn wait(&self, mut wanted: impl FnMut(&Seen) -> bool) -> Seen {
        self.shared
            .log
            .within(PATIENCE, |log| {
                log.seen.iter().find(|seen| wanted(seen)).cloned()
            })
            .unwrap_or_else(|| panic!("no such request came: {:#?}", self.requests()))
    }

    /// Waits until this many connections have ended.
    #[track_caller]
    pub(crate) fn wait_ended(&self, count: usize) {
        self.shared
            .log
            .within(PATIENCE, |log| (log.ended >= count).then_some(()))
            .expect("the gateway ends the upstream connection");
    }

    /// Whether a new byte arrives within this time.
    pub(crate) fn is_silent_for(&self, time: Duration) -> bool {
        let before = self.bytes();
        let more = |log: &Log| (log.bytes != before).then_some(());
        self.shared.log.within(time, more).is_none()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::SeqCst);
        // Wakes the acceptor, which then sees that it is over.
        drop(TcpStream::connect(self.address));
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
        self.shared.log.update(|log| {
            for (_, socket) in std::mem::take(&mut log.sockets) {
                let _ = socket.shutdown(Shutdown::Both);
            }
        });
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for socket in listener.incoming() {
        if shared.stopping.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket else { continue };
        let _ = socket.set_nodelay(true);
        let connection = shared.log.update(|log| {
            let connection = log.raw.len();
            log.raw.push(Vec::new());
            if let Ok(socket) = socket.try_clone() {
                log.sockets.insert(connection, socket);
            }
            connection
        });
        let shared = Arc::clone(shared);
        std::thread::spawn(move || {
            serve(socket, connection, &shared);
            shared.log.update(|log| {
                log.sockets.remove(&connection);
                log.ended += 1;
            });
        });
    }
}

fn serve(socket: TcpStream, connection: usize, shared: &Arc<Shared>) {
    let mut wire = Wire::new(Tap {
        socket,
        connection,
        shared: Arc::clone(shared),
    });
    while let Ok(Some(head)) = wire.head() {
        let index = (shared.keep > Keep::Counts).then(|| {
            shared.log.update(|log| {
                log.seen.push(Seen {
                    connection,
                    head: head.clone(),
                    body: Vec::new(),
                    body_length: 0,
                    complete: None,
                    trailers: Vec::new(),
                });
                log.seen.len() - 1
            })
        });
        let mut exchange = Exchange::new(&mut wire, shared, head, index);
        (shared.handler)(&mut exchange);
        if !exchange.finish() {
            break;
        }
    }
    let _ = wire.stream.socket.shutdown(Shutdown::Both);
}

/// A socket whose incoming bytes are recorded.
pub(crate) struct Tap {
    pub(super) socket: TcpStream,
    pub(super) connection: usize,
    shared: Arc<Shared>,
}

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read(into)?;
        self.shared.log.update(|log| {
            log.bytes += count as u64;
            if self.shared.keep == Keep::Everything {
                log.raw[self.connection].extend_from_slice(&into[..count]);
            }
        });
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}
