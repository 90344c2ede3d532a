//! Fetcher: GET one configured URL, within a deadline and a size.
//!
//! One connection per fetch, so that no answer can ever meet another request. Redirects are an
//! error, never followed; a content coding is an error, so that no small answer can unfold; header
//! section and body are capped while they arrive. Futures are `Send`: fetches run as tasks of the
//! control runtime, which must have its I/O and time drivers on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{HttpUrl, TlsError, TlsRoots};

/// Most header fields of an answer.
const MAX_HEADERS: usize = 100;
/// Largest header section of an answer.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Longest wait for one address while another is left to try.
const ADDRESS_TIMEOUT: Duration = Duration::from_secs(2);
/// Most addresses of one host that are tried.
const MAX_ADDRESSES: usize = 8;

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// The deadline passed.
    #[error("no complete answer within the deadline")]
    Timeout,
    /// The host's name cannot be resolved.
    #[error("the host cannot be resolved")]
    Resolve(#[source] std::io::Error),
    /// No address of the host accepts a connection.
    #[error("no connection can be made")]
    Connect(#[source] std::io::Error),
    /// TLS failed: most often a certificate that no trusted root vouches for.
    #[error("TLS failed")]
    Tls(#[source] std::io::Error),
    /// The host is not a name that a certificate can have.
    #[error("the host cannot be the name of a certificate")]
    ServerName,
    /// The answer is not HTTP/1.1, is cut short, or its head is too large.
    #[error("the answer breaks the protocol or was cut short")]
    Protocol(#[source] hyper::Error),
    /// The request cannot be written.
    #[error("the request cannot be written")]
    Request(#[source] http::Error),
    /// A redirect, which is never followed.
    #[error("the answer is a redirect ({0}), which is not followed")]
    Redirect(StatusCode),
    /// A compressed body, which is never unfolded.
    #[error("the answer has a content coding, though none was offered")]
    ContentCoding,
    /// The body exceeds the cap.
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

/// Limits of one fetch.
#[derive(Debug, Clone, Copy)]
pub struct FetchLimits {
    /// From the look-up of the host to the last byte of the body.
    pub deadline: Duration,
    /// Largest body in bytes.
    pub body: usize,
}

impl FetchLimits {
    /// This deadline, and 1 MiB of body.
    #[must_use]
    pub const fn within(deadline: Duration) -> Self {
        Self {
            deadline,
            body: 1024 * 1024,
        }
    }
}

/// A complete answer; whether its status is good is the caller's to say.
#[derive(Debug)]
pub struct Fetched {
    /// The status; never a redirect.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// The HTTP client of the gateway's own questions. Cheap to clone.
#[derive(Clone)]
pub struct Fetcher {
    tls: Arc<rustls::ClientConfig>,
}

impl Fetcher {
    /// A client that trusts these roots.
    pub fn new(roots: &TlsRoots) -> Result<Self, TlsError> {
        let tls = Arc::new(roots.client_config(&[b"http/1.1"])?);
        Ok(Self { tls })
    }

    /// Asks `url`, with these header fields besides `Host`, `Accept-Encoding` and `Connection`.
    pub async fn fetch(
        &self,
        url: &HttpUrl,
        headers: &[(HeaderName, HeaderValue)],
        limits: FetchLimits,
    ) -> Result<Fetched, FetchError> {
        tokio::time::timeout(limits.deadline, self.exchange(url, headers, limits))
            .await
            .map_err(|_| FetchError::Timeout)?
    }

    async fn exchange(
        &self,
        url: &HttpUrl,
        headers: &[(HeaderName, HeaderValue)],
        limits: FetchLimits,
    ) -> Result<Fetched, FetchError> {
        let stream = connect(url, Instant::now() + limits.deadline).await?;
        if !url.tls() {
            return ask(stream, url, headers, limits.body).await;
        }
        let name =
            ServerName::try_from(url.host().to_owned()).map_err(|_| FetchError::ServerName)?;
        let stream = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls))
            .connect(name, stream)
            .await
            .map_err(FetchError::Tls)?;
        ask(stream, url, headers, limits.body).await
    }
}

impl std::fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fetcher")
    }
}

/// Tries the host's addresses in turn.
async fn connect(url: &HttpUrl, deadline: Instant) -> Result<TcpStream, FetchError> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((url.host(), url.port()))
        .await
        .map_err(FetchError::Resolve)?
        .take(MAX_ADDRESSES)
        .collect();
    let mut failure = std::io::Error::from(std::io::ErrorKind::AddrNotAvailable);
    let last = addresses.len().saturating_sub(1);
    for (position, address) in addresses.into_iter().enumerate() {
        // The last address may use up what is left of the deadline.
        let until = if position == last {
            deadline
        } else {
            deadline.min(Instant::now() + ADDRESS_TIMEOUT)
        };
        match tokio::time::timeout_at(until, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => failure = error,
            Err(_) => failure = std::io::Error::from(std::io::ErrorKind::TimedOut),
        }
    }
    Err(FetchError::Connect(failure))
}

/// One request and its whole answer on a fresh connection, which ends with it.
async fn ask(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    url: &HttpUrl,
    headers: &[(HeaderName, HeaderValue)],
    cap: usize,
) -> Result<Fetched, FetchError> {
    let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(FetchError::Protocol)?;
    let mut request = Request::get(url.target())
        .header(header::HOST, url.host_header())
        .header(header::ACCEPT_ENCODING, "identity")
        .header(header::CONNECTION, "close");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Empty::<Bytes>::new())
        .map_err(FetchError::Request)?;
    let answer = async move {
        let response = sender
            .send_request(request)
            .await
            .map_err(FetchError::Protocol)?;
        let (head, body) = response.into_parts();
        check_head(head.status, &head.headers, cap)?;
        let body = collect(body, cap).await?;
        Ok(Fetched {
            status: head.status,
            headers: head.headers,
            body,
        })
    };
    // The connection is driven here and dropped with the answer: no task outlives the fetch.
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        biased;
        result = &mut answer => result,
        ended = connection => match ended {
            Err(error) => Err(FetchError::Protocol(error)),
            // Everything has been read and is on its way through the channel.
            Ok(()) => answer.await,
        },
    }
}

fn check_head(status: StatusCode, headers: &HeaderMap, cap: usize) -> Result<(), FetchError> {
    if status.is_redirection() && status != StatusCode::NOT_MODIFIED {
        return Err(FetchError::Redirect(status));
    }
    let coded = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"));
    if coded {
        return Err(FetchError::ContentCoding);
    }
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > cap as u64) {
        return Err(FetchError::TooLarge(cap));
    }
    Ok(())
}

async fn collect(mut body: Incoming, cap: usize) -> Result<Bytes, FetchError> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(FetchError::Protocol)?.into_data() else {
            continue;
        };
        if whole.len().saturating_add(data.len()) > cap {
            return Err(FetchError::TooLarge(cap));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests;
