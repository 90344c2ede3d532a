//! An upstream that speaks HTTP/2 by prior knowledge, and echoes bodies and trailers as gRPC does.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

use super::wait::Watched;

/// A request as this upstream saw it.
#[derive(Debug, Clone)]
pub(crate) struct H2Seen {
    pub(crate) method: String,
    pub(crate) uri: http::Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

/// An HTTP/2 upstream; it stops when dropped.
pub(crate) struct H2Upstream {
    address: SocketAddr,
    seen: Arc<Watched<Vec<H2Seen>>>,
    // Dropped in the background: what it still runs does not matter any more.
    runtime: Option<Runtime>,
}

impl H2Upstream {
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let seen = Arc::new(Watched::new(Vec::new()));
        runtime.spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, Arc::clone(&seen)));
                }
            }
        });
        Self {
            address,
            seen,
            runtime: Some(runtime),
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn requests(&self) -> Vec<H2Seen> {
        self.seen.read(Clone::clone)
    }
}

impl Drop for H2Upstream {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(socket: TcpStream, seen: Arc<Watched<Vec<H2Seen>>>) {
    let Ok(mut connection) = h2::server::handshake(socket).await else {
        return;
    };
    while let Some(Ok((request, answer))) = connection.accept().await {
        let seen = Arc::clone(&seen);
        tokio::spawn(async move {
            let _ = echo(request, answer, &seen).await;
        });
    }
}

async fn echo(
    request: Request<h2::RecvStream>,
    mut answer: h2::server::SendResponse<Bytes>,
    seen: &Watched<Vec<H2Seen>>,
) -> Result<(), h2::Error> {
    let (head, mut incoming) = request.into_parts();
    let response = Response::builder()
        .header("content-type", "application/grpc")
        .body(())
        .expect("a response");
    let mut outgoing = answer.send_response(response, false)?;
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
        outgoing.send_data(piece, false)?;
    }
    let trailers = incoming.trailers().await?;
    seen.update(|seen| {
        seen.push(H2Seen {
            method: head.method.to_string(),
            uri: head.uri,
            headers: head.headers,
            body,
            trailers,
        });
    });
    let mut end = HeaderMap::new();
    end.insert("grpc-status", "0".parse().expect("a value"));
    end.insert("x-auth-user-id", "forged".parse().expect("a value"));
    outgoing.send_trailers(end)
}
