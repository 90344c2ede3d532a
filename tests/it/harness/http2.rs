//! An HTTP/2 client on raw `h2` streams, seen from blocking code.

use std::net::SocketAddr;

use bytes::Bytes;
use futures_util::future::join_all;
use h2::client::{SendRequest, handshake};
use http::{HeaderMap, Request as HttpRequest};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::time::timeout;

use super::tls::Authority;
use super::wait::PATIENCE;

/// One HTTP/2 connection to the gateway.
pub(crate) struct H2Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
}

/// A request in the making.
#[derive(Clone)]
pub(crate) struct H2Request {
    uri: String,
    method: String,
    fields: Vec<(String, String)>,
    body: Vec<Bytes>,
    trailers: HeaderMap,
}

/// A response as it came.
#[derive(Debug)]
pub(crate) struct H2Response {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl H2Response {
    pub(crate) fn json(&self) -> serde_json::Value {
        let text = String::from_utf8_lossy(&self.body);
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {text}"))
    }
}

impl H2Request {
    /// A request to this authority and path, as `app.test/x`.
    pub(crate) fn new(method: &str, place: &str) -> Self {
        Self {
            uri: format!("https://{place}"),
            method: method.to_owned(),
            fields: Vec::new(),
            body: Vec::new(),
            trailers: HeaderMap::new(),
        }
    }

    pub(crate) fn get(place: &str) -> Self {
        Self::new("GET", place)
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    /// One more piece of the body.
    pub(crate) fn data(mut self, piece: &[u8]) -> Self {
        self.body.push(Bytes::copy_from_slice(piece));
        self
    }

    pub(crate) fn trailer(mut self, name: &'static str, value: &str) -> Self {
        self.trailers.append(name, value.parse().expect("a value"));
        self
    }

    fn head(&self) -> HttpRequest<()> {
        let mut builder = HttpRequest::builder()
            .method(self.method.as_str())
            .uri(&self.uri)
            .version(http::Version::HTTP_2);
        for (name, value) in &self.fields {
            builder = builder.header(name, value);
        }
        builder.body(()).expect("a request")
    }
}

impl H2Client {
    /// Over TLS, by ALPN.
    pub(crate) fn tls(address: SocketAddr, name: &str, authority: &Authority) -> Self {
        let config = authority.client_config(b"h2");
        let name = ServerName::try_from(name.to_owned()).expect("a server name");
        Self::open(async move {
            let socket = TcpStream::connect(address).await.expect("a connection");
            let connector = tokio_rustls::TlsConnector::from(config);
            connector.connect(name, socket).await.expect("a handshake")
        })
    }

    /// In clear text, by prior knowledge.
    pub(crate) fn clear(address: SocketAddr) -> Self {
        Self::open(async move { TcpStream::connect(address).await.expect("a connection") })
    }

    fn open<S>(connect: impl Future<Output = S>) -> Self
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let sender = runtime.block_on(async {
            let (sender, connection) = handshake(connect.await).await.expect("a preface");
            tokio::spawn(connection);
            sender
        });
        Self { runtime, sender }
    }

    /// Sends one request; an error where its stream was refused or reset.
    pub(crate) fn send(&self, request: &H2Request) -> Result<H2Response, h2::Error> {
        self.runtime
            .block_on(exchange(self.sender.clone(), request.clone()))
    }

    /// Sends all at once and awaits all.
    pub(crate) fn send_all(&self, requests: Vec<H2Request>) -> Vec<Result<H2Response, h2::Error>> {
        let one = |request| exchange(self.sender.clone(), request);
        self.runtime
            .block_on(join_all(requests.into_iter().map(one)))
    }

    /// Sends a request and takes it back after its first byte of body, without waiting.
    pub(crate) fn cancel(&self, request: &H2Request) {
        assert!(self.try_cancel(request), "the connection is gone");
    }

    /// The same; false where the connection has been ended.
    pub(crate) fn try_cancel(&self, request: &H2Request) -> bool {
        self.runtime.block_on(async {
            let ready = timeout(PATIENCE, self.sender.clone().ready()).await;
            let Ok(Ok(mut sender)) = ready else {
                return false;
            };
            let Ok((_, mut stream)) = sender.send_request(request.head(), false) else {
                return false;
            };
            let _ = stream.send_data(Bytes::from_static(b"x"), false);
            stream.send_reset(h2::Reason::CANCEL);
            true
        })
    }
}

async fn exchange(sender: SendRequest<Bytes>, request: H2Request) -> Result<H2Response, h2::Error> {
    let whole = whole_exchange(sender, request);
    timeout(PATIENCE, whole).await.expect("an answer in time")
}

async fn whole_exchange(
    sender: SendRequest<Bytes>,
    request: H2Request,
) -> Result<H2Response, h2::Error> {
    let mut sender = sender.ready().await?;
    let bare = request.body.is_empty() && request.trailers.is_empty();
    let (response, mut stream) = sender.send_request(request.head(), bare)?;
    if !bare {
        let last = request.body.len().saturating_sub(1);
        for (index, piece) in request.body.iter().enumerate() {
            let end = index == last && request.trailers.is_empty();
            stream.send_data(piece.clone(), end)?;
        }
        if !request.trailers.is_empty() {
            stream.send_trailers(request.trailers)?;
        }
    }
    let (head, mut incoming) = response.await?.into_parts();
    let mut body = Vec::new();
    while let Some(piece) = incoming.data().await {
        let piece = piece?;
        incoming.flow_control().release_capacity(piece.len())?;
        body.extend_from_slice(&piece);
    }
    Ok(H2Response {
        status: head.status.as_u16(),
        headers: head.headers,
        body,
        trailers: incoming.trailers().await?,
    })
}
