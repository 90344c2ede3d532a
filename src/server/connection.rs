//! One client connection: the PROXY protocol and TLS under a deadline, then HTTP/1.1 or HTTP/2 by hyper, until it is idle
//! for too long, breaks, or the process drains.

use std::convert::Infallible;
use std::error::Error as _;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::service::Service;
use hyper::upgrade::Upgraded;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::abort::Abort;
use super::core::Place;
use super::deadline::{Activity, Deadlined, Timeouts};
use super::proxy::announced;
use super::sending::{self, Sending};
use super::tls::Certificates;
use crate::config::Limits;
use crate::gateway::{self, Arrival, Core, InProgress};
use crate::telemetry::Clock;
use crate::wire::{ConnectionInfo, Heads, WatchedIo, WireError};

/// How long a connection may be idle between two requests: longer than the 60 s after which common
/// load balancers give up theirs, so that they never reuse one that is being closed here.
const IDLE: Duration = Duration::from_secs(75);
/// Streams at once on an HTTP/2 connection.
const H2_STREAMS: u32 = 128;
/// Streams that a client has reset and that are not yet forgotten (RUSTSEC-2023-0034).
const H2_RESETS: usize = 32;
/// Bytes that a stream may send before it is read.
const H2_STREAM_WINDOW: u32 = 256 * 1024;
/// Bytes that a connection may send before it is read.
const H2_CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Bytes of a response that wait in memory for a slow HTTP/2 reader, per stream.
const H2_SEND_BUFFER: usize = 64 * 1024;
/// Fields that hyper has room for in a head without allocating.
const PARSER_FIELDS: usize = 100;
/// First and longest pause between two looks at a preface that has begun.
const PREFACE_LOOKS: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// What all connections of one listener share on a core.
pub(super) struct Door {
    pub(super) core: Rc<Core>,
    pub(super) address: SocketAddr,
    pub(super) tls: Option<(tokio_rustls::TlsAcceptor, Arc<Certificates>)>,
    pub(super) trusted_proxies: Arc<[ipnet::IpNet]>,
    pub(super) h2c: bool,
    pub(super) proxy_protocol: bool,
    pub(super) limits: Limits,
}

impl Door {
    /// Serves a connection to its end, or until it becomes a tunnel; `place` lives as long as its
    /// socket.
    pub(super) async fn serve(
        self: Rc<Self>,
        mut stream: TcpStream,
        peer: SocketAddr,
        place: Place,
    ) {
        let metrics = &self.core.gateway().metrics;
        if super::listen::prepare(&stream).is_err() {
            return;
        }
        // Nothing can be judged without the time, and hyper itself panics while the clock stands
        // before 1970.
        if Clock.now().is_err() {
            tracing::error!("the system clock stands before 1970; connections are closed");
            return;
        }
        let local = stream.local_addr().unwrap_or(self.address);
        let deadline = Instant::now() + self.limits.header_timeout;
        let peer = if self.proxy_protocol {
            match announced(&mut stream, peer, &self.trusted_proxies, deadline).await {
                Ok(client) => client,
                Err(error) => {
                    metrics.protocol_errors.inc();
                    tracing::debug!(%peer, %error, "a connection without a PROXY header to believe");
                    return;
                }
            }
        } else {
            peer
        };
        let info = |tls, server_name| ConnectionInfo {
            peer,
            local,
            tls,
            server_name,
            trusted_proxies: Arc::clone(&self.trusted_proxies),
            memo: crate::wire::Memo::default(),
        };
        match &self.tls {
            None if self.h2c => {
                let Some(multiplexed) = self.prior_knowledge(&stream).await else {
                    return;
                };
                self.speak(stream, info(false, None), multiplexed, place)
                    .await;
            }
            None => self.speak(stream, info(false, None), false, place).await,
            Some((acceptor, _)) => {
                // Boxed: every connection, TLS or not, would else hold the room for both.
                let handshake =
                    Box::pin(tokio::time::timeout_at(deadline, acceptor.accept(stream))).await;
                let Ok(Ok(stream)) = handshake else {
                    metrics.protocol_errors.inc();
                    tracing::debug!(%peer, "the TLS handshake failed");
                    return;
                };
                let session = stream.get_ref().1;
                let server_name = session
                    .server_name()
                    .map(|name| Arc::from(name.to_ascii_lowercase()));
                let multiplexed = session.alpn_protocol() == Some(b"h2");
                let speak = self.speak(stream, info(true, server_name), multiplexed, place);
                Box::pin(speak).await;
            }
        }
    }

    /// Whether a clear-text connection begins with the HTTP/2 preface (RFC 9113, section 3.4); its
    /// first byte decides between `PRI` and every method but P…, then the first four.
    async fn prior_knowledge(&self, stream: &TcpStream) -> Option<bool> {
        let peek = async {
            let mut bytes = [0_u8; 4];
            // What was seen stays readable, so there is no event for the next byte.
            let mut pause = PREFACE_LOOKS.0;
            loop {
                let count = stream.peek(&mut bytes).await.ok()?;
                let seen = bytes.get(..count)?;
                if count == 0 {
                    return None;
                }
                if !b"PRI ".starts_with(seen) {
                    return Some(false);
                }
                if count == 4 {
                    return Some(true);
                }
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PREFACE_LOOKS.1);
            }
        };
        tokio::time::timeout(self.limits.header_timeout, peek)
            .await
            .ok()
            .flatten()
    }

    async fn speak<S>(
        self: &Rc<Self>,
        stream: S,
        info: ConnectionInfo,
        multiplexed: bool,
        place: Place,
    ) where
        S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
    {
        let activity = Arc::new(Activity::default());
        let timeouts = Timeouts {
            head: self.limits.header_timeout,
            idle: IDLE.max(self.limits.header_timeout),
            write: self.core.gateway().write_timeout,
        };
        let stream = Deadlined::new(
            stream,
            Arc::clone(&activity),
            timeouts,
            multiplexed,
            Box::new(place),
        );
        let peer = info.peer;
        let fields = self.fields().unwrap_or(PARSER_FIELDS);
        let heads = (!multiplexed).then(|| Heads::bounded(self.head_buffer(), fields));
        let service = Serve(Rc::new(Served {
            door: Rc::clone(self),
            info,
            activity: Arc::clone(&activity),
            heads: heads.clone(),
            reset: reset::<S>,
        }));
        let outcome = match heads {
            None => Box::pin(self.http2(TokioIo::new(stream), service)).await,
            Some(heads) => {
                let watched = WatchedIo::new(stream, heads);
                self.http1(TokioIo::new(watched), service).await
            }
        };
        if let Err(error) = outcome {
            if activity.left_a_head_unfinished() {
                self.core.gateway().metrics.protocol_errors.inc();
                tracing::info!(%peer, "a client did not finish its request's head in time");
            } else if is_unreadable(&error) {
                self.core.gateway().metrics.protocol_errors.inc();
                tracing::info!(%peer, %error, "a client's request cannot be read");
            } else {
                tracing::debug!(%peer, %error, "a client connection ended");
            }
        }
    }

    /// hyper answers a head beyond this by itself, with a bare status; the gateway's own limits are
    /// below it and answer with a reason.
    const fn head_buffer(&self) -> usize {
        2 * self.limits.header_size + self.limits.uri + 8192
    }

    /// How many fields hyper must have room for, where that is more than it has by itself: it then
    /// allocates its tables for every head.
    fn fields(&self) -> Option<usize> {
        (self.limits.headers > PARSER_FIELDS).then_some(self.limits.headers)
    }

    async fn http1<S>(
        &self,
        io: TokioIo<WatchedIo<Deadlined<S>>>,
        service: Serve,
    ) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
    {
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_buf_size(self.head_buffer())
            .half_close(false);
        if let Some(fields) = self.fields() {
            builder.max_headers(fields);
        }
        let connection = builder.serve_connection(io, service).with_upgrades();
        let mut connection = std::pin::pin!(connection);
        match self.core.drain().or_closing(connection.as_mut()).await {
            Some(outcome) => return outcome,
            None => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }

    async fn http2<S>(&self, io: TokioIo<Deadlined<S>>, service: Serve) -> hyper::Result<()>
    where
        S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
    {
        let executor = StreamExecutor {
            patience: self.core.gateway().write_timeout,
        };
        let list_size =
            u32::try_from(2 * self.limits.header_size + self.limits.uri).unwrap_or(u32::MAX);
        let connection = hyper::server::conn::http2::Builder::new(executor)
            .timer(TokioTimer::new())
            .max_concurrent_streams(H2_STREAMS)
            .max_pending_accept_reset_streams(H2_RESETS)
            .max_local_error_reset_streams(H2_RESETS)
            .initial_stream_window_size(H2_STREAM_WINDOW)
            .initial_connection_window_size(H2_CONNECTION_WINDOW)
            .max_send_buf_size(H2_SEND_BUFFER)
            .max_header_list_size(list_size)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        match self.core.drain().or_closing(connection.as_mut()).await {
            Some(outcome) => return outcome,
            None => connection.as_mut().graceful_shutdown(),
        }
        connection.await
    }
}

/// Whether the connection ended because what the client sent cannot be read as HTTP.
fn is_unreadable(error: &hyper::Error) -> bool {
    let http2 = error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>());
    error.is_parse() || error.is_parse_too_large() || http2.is_some_and(h2::Error::is_library)
}

/// The service that hyper calls for each request of a connection.
struct Serve(Rc<Served>);

/// What the requests of a connection share.
struct Served {
    door: Rc<Door>,
    info: ConnectionInfo,
    activity: Arc<Activity>,
    /// What hyper hides of each head; HTTP/1 only.
    heads: Option<Heads>,
    /// Resets a connection of this kind after its upgrade.
    reset: fn(Upgraded),
}

impl Service<Request<Incoming>> for Serve {
    type Response = Response<Sending>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let in_progress = self.0.activity.begin();
        // Once for each request, in their order: hyper calls this before it reads the next head.
        let fault = self.0.heads.as_ref().and_then(Heads::next_fault);
        let this = Rc::clone(&self.0);
        // The place first: made before it, all of the future would be copied into it.
        let place = Box::new_uninit();
        let future = Box::write(place, answer(this, request, fault, in_progress));
        Box::into_pin(future)
    }
}

/// Answers one request.
#[inline(never)]
fn answer(
    this: Rc<Served>,
    request: Request<Incoming>,
    fault: Option<WireError>,
    in_progress: InProgress,
) -> impl Future<Output = Result<Response<Sending>, Infallible>> {
    let version = request.version();
    let (mut head, body) = request.into_parts();
    async move {
        let Served { door, heads, .. } = &*this;
        let certificate = |name: &str| door.tls.as_ref().and_then(|(_, tls)| tls.index_of(name));
        // The request is in progress until its body, or the tunnel it becomes, has ended.
        let arrival = Arrival {
            info: &this.info,
            certificate: &certificate,
            fault,
            in_progress,
            reset: this.reset,
        };
        let response = gateway::serve(&door.core, &mut head, body, arrival).await;
        if let (StatusCode::SWITCHING_PROTOCOLS, Some(heads)) = (response.status(), heads) {
            heads.stop();
        }
        Ok(sending::send(response, version, &this.activity))
    }
}

/// Closes an upgraded connection over `S` by a reset: whoever is behind it got half a message.
fn reset<S>(upgraded: Upgraded)
where
    S: AsyncRead + AsyncWrite + Abort + Unpin + Send + 'static,
{
    if let Ok(parts) = upgraded.downcast::<TokioIo<WatchedIo<Deadlined<S>>>>() {
        parts.io.inner().inner().abort();
    }
}

/// Runs hyper's per-stream futures on this core.
#[derive(Clone, Copy)]
struct StreamExecutor {
    patience: Duration,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for StreamExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(sending::stream(future, self.patience));
    }
}
