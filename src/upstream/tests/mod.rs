//! The room against real sockets: every upstream here is a raw listener that reads and writes what
//! the test dictates.

mod broken;
mod drive;
mod h2;
mod retry;
mod reuse;
mod time;
mod tls;
mod tunnel;
mod websocket;

use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Empty, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::LocalSet;

use super::outgoing::{BoxError, IsolationKey, Outgoing};
use super::*;
use crate::config::{
    Isolate, KeyPath, Retries, Server, Upstream, UpstreamProtocol, UpstreamTimeouts,
};
use crate::telemetry::Metrics;

/// Long enough never to matter.
const LONG: Duration = Duration::from_secs(30);

/// Short enough to be waited for where the passing of a deadline is the test.
const SHORT: Duration = Duration::from_millis(60);

const TIMES: UpstreamTimeouts = UpstreamTimeouts {
    connect: LONG,
    response_head: LONG,
    body_idle: LONG,
    pool_idle: LONG,
};

fn server(address: SocketAddr) -> Server {
    Server {
        tls: false,
        host: address.ip().to_string(),
        port: address.port(),
    }
}

fn upstream(servers: &[SocketAddr]) -> Upstream {
    Upstream {
        at: KeyPath::root().key("upstreams").index(0),
        name: "app".into(),
        servers: servers.iter().copied().map(server).collect(),
        protocol: UpstreamProtocol::Http1,
        tls_ca: None,
        tls_server_name: None,
        host: None,
        isolate: Isolate::None,
        reuse: true,
        request_id_echo: false,
        timeouts: TIMES,
        retries: Retries {
            attempts: 1,
            connect_failure: true,
            stale_connection: true,
        },
    }
}

fn pools(upstream: Upstream) -> Pools {
    let upstreams = Arc::new(Upstreams::build(&[upstream]).unwrap());
    Pools::new(&upstreams, Arc::new(Metrics::new()))
}

fn outgoing<B>(request: Request<B>) -> Outgoing<B> {
    let (mut head, body) = request.into_parts();
    head.headers.insert("host", "app.test".parse().unwrap());
    Outgoing {
        head,
        body,
        upstream: 0,
        isolation: None,
        timeouts: TIMES,
        replayable: false,
        websocket: false,
        request_id: None,
    }
}

fn bare(method: &Method, path: &str) -> Outgoing<Empty<Bytes>> {
    let request = Request::builder().method(method).uri(path);
    Outgoing {
        replayable: true,
        ..outgoing(request.body(Empty::new()).unwrap())
    }
}

fn get(path: &str) -> Outgoing<Empty<Bytes>> {
    bare(&Method::GET, path)
}

fn post(path: &str, body: &'static [u8]) -> Outgoing<Full<Bytes>> {
    outgoing(
        Request::post(path)
            .header("content-length", body.len())
            .body(Full::new(Bytes::from_static(body)))
            .unwrap(),
    )
}

async fn text(response: Response<UpstreamBody>) -> Result<String, BodyError> {
    let bytes = response.into_body().collect().await?.to_bytes();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Sends a GET and reads the whole answer.
async fn fetch(pools: &Pools, path: &str) -> Result<String, UpstreamError> {
    Ok(text(pools.dispatch(get(path), None).await?).await.unwrap())
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn accept(listener: &TcpListener) -> TcpStream {
    listener.accept().await.unwrap().0
}

/// Reads one request head; the empty string at the end of the connection.
async fn head(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => break,
        }
    }
    String::from_utf8(bytes).unwrap()
}

/// Accepts a connection, and reads the head of its first request.
async fn accept_request(listener: &TcpListener) -> TcpStream {
    let mut stream = accept(listener).await;
    head(&mut stream).await;
    stream
}

fn path_of(head: &str) -> &str {
    head.split(' ').nth(1).unwrap_or_default()
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

/// A response that promises more than it holds.
const CUT_SHORT: &str = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc";

fn ok(body: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Serves every connection until it closes, answering with the connection's number and the path.
fn echo(listener: TcpListener) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let record = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let mut stream = accept(&listener).await;
            let record = Rc::clone(&record);
            tokio::task::spawn_local(async move {
                loop {
                    let head = head(&mut stream).await;
                    if head.is_empty() {
                        return;
                    }
                    let answer = format!("{number} {}", path_of(&head));
                    record.borrow_mut().push(answer.clone());
                    say(&mut stream, &ok(&answer)).await;
                }
            });
        }
    });
    seen
}

/// Lets every other local task run until nothing moves any more.
async fn settle() {
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
}

/// Waits until the pools hold this many idle connections.
async fn idle(pools: &Pools, count: usize) {
    while pools.idle() != count {
        tokio::task::yield_now().await;
    }
}

/// Runs a test on one core, as the data path does.
async fn core<F: Future>(test: F) -> F::Output {
    LocalSet::new().run_until(Box::pin(test)).await
}
