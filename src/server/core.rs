//! A core: one thread with a runtime of its own, its own sockets and its own upstream pools.
//!
//! Nothing on it is shared and locked. Futures stay on the core that accepted their connection.

use std::io;
use std::net::TcpListener as StdListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::{LocalOptions, LocalRuntime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::Door;
use super::tls::Certificates;
use crate::config::Listener;
use crate::drain::{Blocker, Drain};
use crate::gateway::{Core, Gateway};
use crate::telemetry::Metrics;

/// First pause after an accept that failed for want of descriptors or memory.
const BACKOFF: Duration = Duration::from_millis(10);
/// Longest such pause.
const BACKOFF_MOST: Duration = Duration::from_secs(1);

/// A listener as a core sees it.
pub(super) struct Socket {
    pub(super) listener: Listener,
    pub(super) bound: StdListener,
    pub(super) tls: Option<(Arc<rustls::ServerConfig>, Arc<Certificates>)>,
}

/// What a core runs on, made in its thread. All are made before the first one accepts: clients could
/// else take the descriptors that the last one needs.
pub(super) fn runtime() -> io::Result<LocalRuntime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build_local(LocalOptions::default())
}

/// Runs a core until the process drains. `connections` are shared by all cores.
pub(super) fn run(
    runtime: &LocalRuntime,
    gateway: Arc<Gateway>,
    sockets: Vec<Socket>,
    drain: Drain,
    connections: Arc<Semaphore>,
) -> io::Result<()> {
    runtime.block_on(async move {
        let limits = gateway.limits;
        let core = Rc::new(Core::new(gateway, drain.clone()));
        let mut accepting = Vec::new();
        for Socket {
            listener,
            bound,
            tls,
        } in sockets
        {
            let door = Rc::new(Door {
                core: Rc::clone(&core),
                address: listener.address,
                tls: tls.map(|(config, certificates)| {
                    (tokio_rustls::TlsAcceptor::from(config), certificates)
                }),
                trusted_proxies: listener.trusted_proxies.clone().into(),
                h2c: listener.h2c,
                proxy_protocol: listener.proxy_protocol,
                limits,
            });
            let socket = TcpListener::from_std(bound)?;
            accepting.push(tokio::task::spawn_local(accept(
                socket,
                door,
                Arc::clone(&connections),
                drain.clone(),
            )));
        }
        drain.closing().await;
        for task in accepting {
            task.abort();
        }
        drain.closed().await;
        Ok(())
    })
}

async fn accept(socket: TcpListener, door: Rc<Door>, connections: Arc<Semaphore>, drain: Drain) {
    let metrics = Arc::clone(&door.core.gateway().metrics);
    let mut pause = BACKOFF;
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                pause = BACKOFF;
                // At the limit this one waits, and the kernel's queue holds the rest. A place is not
                // taken before somebody needs it: another core may have the next connection.
                let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
                    return;
                };
                let place = Place::taken(Arc::clone(&metrics), permit, drain.blocker());
                tokio::task::spawn_local(Rc::clone(&door).serve(stream, peer, place));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                metrics.connections_refused.inc();
                tracing::warn!(%error, "cannot accept connections");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(BACKOFF_MOST);
            }
        }
    }
}

/// A client connection's place: it counts as open, against `limits.connections`, and the end of the
/// process waits for it, as long as this lives.
pub(super) struct Place {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
    _blocker: Blocker,
}

impl Place {
    fn taken(metrics: Arc<Metrics>, permit: OwnedSemaphorePermit, blocker: Blocker) -> Self {
        metrics.connections.inc();
        Self {
            metrics,
            _permit: permit,
            _blocker: blocker,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

/// Errors that concern the connection that was being accepted, not the socket (accept(2)).
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}
