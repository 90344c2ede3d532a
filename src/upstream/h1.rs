//! An HTTP/1.1 connection to an upstream: one request at a time, never pipelined.
//!
//! Dropping one aborts it: the socket closes without a last chunk, so that the upstream cannot take
//! half a request for a whole one. Only [`H1::retire`] ends one politely. Who moves its bytes is
//! `drive.rs`'s.

use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

use super::drive::Driver;
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
    /// What moves its bytes.
    pub(super) driver: Driver,
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
        Ok(Self {
            sender,
            gauge,
            driver: Driver::new(connection.with_upgrades()),
            tls,
            reused: false,
        })
    }

    /// Hands a request to the connection, whose driver must be polled for the answer. `keeps`: what
    /// is written of it is kept.
    pub(super) fn send(
        &mut self,
        request: Request<RequestBody>,
        keeps: bool,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.gauge.begin(self.reused || !self.tls, keeps);
        if !request.body().is_end_stream() {
            self.driver.apart();
        }
        self.sender.try_send_request(request)
    }

    /// What happened on the link since the request began.
    pub(super) fn gauge(&self) -> &Gauge {
        &self.gauge
    }

    /// The request that was on it, as it was written; the connection is closed. Nothing where it was not
    /// kept.
    pub(super) fn into_written(self) -> Vec<u8> {
        let Self {
            sender,
            gauge,
            driver,
            ..
        } = self;
        drop((sender, driver));
        gauge.left()
    }

    /// Whether the next request can be written at once.
    pub(super) fn is_ready(&self) -> bool {
        self.sender.is_ready()
    }

    /// Whether an idle connection may serve again, as far as the kernel knows.
    pub(super) fn is_good(&mut self) -> bool {
        self.gauge.begin(true, false);
        self.driver.poll_once() && self.is_ready()
    }

    /// Lets the connection go on by itself: it has become a tunnel.
    pub(super) fn release(self) {
        self.driver.let_go();
    }

    /// Closes the connection in order.
    pub(super) fn retire(self) {
        let Self { sender, driver, .. } = self;
        drop(sender);
        driver.let_go();
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
        self.connection.driver.take_back();
        if self.is_back() {
            return self.give();
        }
        if self.connection.sender.is_closed() {
            return self.connection.retire();
        }
        if self.progress.turn().0 != Turn::Done {
            return;
        }
        tokio::task::spawn_local(async move {
            let H1 { driver, sender, .. } = &mut self.connection;
            let ready = poll_fn(|cx| driver.poll_then(cx, |cx| sender.poll_ready(cx)));
            if matches!(tokio::time::timeout(SETTLE, ready).await, Ok(Ok(()))) {
                self.give();
            }
        });
    }

    /// Whether the connection has seen the end as well; it may not have been looked at since.
    fn is_back(&mut self) -> bool {
        self.connection.is_ready()
            || (self.connection.driver.poll_once() && self.connection.is_ready())
    }

    fn give(self) {
        self.connection.driver.rest();
        self.pool.give(self.key, self.connection, self.life);
    }
}
