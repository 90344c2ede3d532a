//! The admin listener: health and metrics for machines, and the API behind a token.
//!
//! `/healthz`, `/readyz` and `/metrics` answer every Host without a token, to GET and HEAD alone.
//! Everything else needs the token, a Host that is this listener's own, and no page of another site
//! behind it; without a configured token it does not exist. Paths are compared exactly.

mod api;
mod health;
mod inspect;

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;

use crate::config;
use crate::drain::Drain;
use crate::gateway::Gateway;
use crate::telemetry::Clock;

/// Admin connections at once.
const CONNECTIONS: usize = 256;
/// Deadline of a request's head.
const HEAD: Duration = Duration::from_secs(10);
/// Longest life of an admin connection.
const LIFE: Duration = Duration::from_mins(1);

pub(crate) type Answer = Response<Full<Bytes>>;

/// What the handlers need.
pub(crate) struct Admin {
    pub(crate) config: config::Admin,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) drain: Drain,
}

/// Serves the admin listener for as long as the control runtime lives: readiness is told during a
/// drain too.
pub(crate) async fn serve(
    socket: std::net::TcpListener,
    config: config::Admin,
    gateway: Arc<Gateway>,
    drain: Drain,
) {
    let socket = match tokio::net::TcpListener::from_std(socket) {
        Ok(socket) => socket,
        Err(error) => {
            tracing::error!(%error, "the admin listener cannot be used");
            return;
        }
    };
    let admin = Arc::new(Admin {
        config,
        gateway,
        drain,
    });
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else {
            return;
        };
        let stream = match socket.accept().await {
            // hyper panics while the clock stands before 1970.
            Ok((_, _)) if Clock.now().is_err() => continue,
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept admin connections");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let admin = Arc::clone(&admin);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let admin = Arc::clone(&admin);
                async move { Ok::<_, Infallible>(answer(&admin, request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LIFE, connection).await;
            drop(permit);
        });
    }
}

async fn answer(admin: &Admin, request: Request<Incoming>) -> Answer {
    match request.uri().path() {
        "/healthz" => read_only(request.method(), health::live),
        "/readyz" => read_only(request.method(), || health::ready(admin)),
        "/metrics" => read_only(request.method(), || health::metrics(admin)),
        _ => api::answer(admin, request).await,
    }
}

fn read_only(method: &Method, make: impl FnOnce() -> Answer) -> Answer {
    if matches!(*method, Method::GET | Method::HEAD) {
        return make();
    }
    let mut refused = json(
        StatusCode::METHOD_NOT_ALLOWED,
        &serde_json::json!({ "error": "GET only" }),
    );
    refused
        .headers_mut()
        .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    refused
}

/// A JSON answer that nobody may keep.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Answer {
    with_type(status, "application/json", value.to_string())
}

pub(crate) fn with_type(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
