//! One GET, capped: the smallest client that the http directory needs.
//!
//! A connection of its own for each question, so that a late answer can never be read as the answer
//! to another. No redirect is followed, no compression is asked for.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Asks `url`; gives the status and the whole body, which has at most `cap` bytes.
pub(super) async fn get(
    url: &str,
    headers: &[(HeaderName, HeaderValue)],
    deadline: Duration,
    cap: usize,
) -> Result<(u16, Bytes), String> {
    tokio::time::timeout(deadline, exchange(url, headers, cap))
        .await
        .map_err(|_| "no complete answer within the time limit".to_owned())?
}

async fn exchange(
    url: &str,
    headers: &[(HeaderName, HeaderValue)],
    cap: usize,
) -> Result<(u16, Bytes), String> {
    let uri: Uri = url.parse().map_err(|_| "the URL cannot be read")?;
    if uri.scheme_str() != Some("http") {
        return Err("only http:// can be asked".into());
    }
    let authority = uri.authority().ok_or("the URL has no host")?;
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(|e| format!("no connection: {e}"))?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| e.to_string())?;
    let target = uri.path_and_query().map_or("/", |target| target.as_str());
    let mut request = Request::new(Empty::<Bytes>::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = target.parse().map_err(|_| "the URL cannot be read")?;
    let own = [
        (header::HOST, HeaderValue::from_str(authority.as_str())),
        (
            header::ACCEPT,
            Ok(HeaderValue::from_static("application/json")),
        ),
        (header::CONNECTION, Ok(HeaderValue::from_static("close"))),
    ];
    for (name, value) in own {
        let value = value.map_err(|_| "the host cannot stand in a header")?;
        request.headers_mut().insert(name, value);
    }
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|e| e.to_string())?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), cap)
            .collect()
            .await
            .map_err(|e| format!("the answer cannot be read: {e}"))?;
        Ok((status, body.to_bytes()))
    };
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => match ended {
            // What has arrived by the end of the connection is still to be read.
            Ok(()) => answer.await,
            Err(error) => Err(error.to_string()),
        },
    }
}
