//! An HTTP/1.1 connection to an upstream: one request at a time, never pipelined.
//!
//! Dropping one aborts it: the socket closes without a last chunk, so that the upstream cannot take
//! half a request for a whole one. Only [`H1::retire`] ends one politely.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;

use super::error::UpstreamError;
use super::link::{Gauge, Link};
use super::outgoing::{Progress, RequestBody, Turn};
use super::pool::{Key, Pool};

/// Longest head of a response, and most bytes that are read of a body at once: what one response
/// that its client does not take can hold in memory.
const BUFFER: usize = 128 * 1024;

/// How long a connection whose response has ended may take to become ready again.
const SETTLE: Duration = Duration::from_secs(1);

/// A connection that no request is on, or one request.
pub(super) struct H1 {
    sender: SendRequest<RequestBody>,
    gauge: Arc<Gauge>,
    driver: Option<JoinHandle<()>>,
    /// TLS servers send session tickets when they like before the first response.
    tls: bool,
    /// Whether a request has been on it before.
    pub(super) reused: bool,
}

impl H1 {
    /// Starts HTTP/1.1 on a fresh link.
    pub(super) async fn start(link: Link) -> Result<Self, UpstreamError> {
        let (gauge, tls) = (link.gauge(), link.is_tls());
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(link))
            .await
            .map_err(|error| UpstreamError::broken(&error))?;
        let driver = tokio::task::spawn_local(async move {
            // The request on it hears of the error; without one it was an idle connection's end.
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "upstream connection ended");
            }
        });
        Ok(Self {
            sender,
            gauge,
            driver: Some(driver),
            tls,
            reused: false,
        })
    }

    /// Hands a request to the connection.
    pub(super) fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.gauge.begin(self.reused || !self.tls);
        self.sender.try_send_request(request)
    }

    /// What happened on the link since the request began.
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// Whether the next request can be written at once.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Lets the connection end by itself: it is closed in order, or has become a tunnel.
    pub(super) fn release(&mut self) {
        self.driver = None;
    }

    /// Closes the connection in order.
    pub(super) fn retire(mut self) {
        self.release();
    }
}

impl Drop for H1 {
    fn drop(&mut self) {
        if let Some(driver) = &self.driver {
            driver.abort();
        }
    }
}

/// A connection with a response on it, and the way back to its pool.
pub(super) struct H1Lease {
    /// The connection.
    pub(super) connection: H1,
    /// Where it came from.
    pub(super) pool: Rc<Pool>,
    /// Whose it is.
    pub(super) key: Key,
    /// How far the request's body has got.
    pub(super) progress: Rc<Progress>,
    /// How long it may be idle.
    pub(super) life: Duration,
}

impl H1Lease {
    /// The response has ended cleanly. A connection whose request has not ended is aborted: the
    /// upstream answered early, and what it does with the rest of the body is its own.
    pub(super) fn finish(mut self) {
        self.connection.reused = true;
        if self.connection.is_ready() {
            self.pool.give(self.key, self.connection, self.life);
            return;
        }
        if self.connection.sender.is_closed() {
            self.connection.retire();
            return;
        }
        if self.progress.turn().0 != Turn::Done {
            return;
        }
        tokio::task::spawn_local(async move {
            let ready = tokio::time::timeout(SETTLE, self.connection.sender.ready()).await;
            if matches!(ready, Ok(Ok(()))) {
                self.pool.give(self.key, self.connection, self.life);
            }
        });
    }
}
