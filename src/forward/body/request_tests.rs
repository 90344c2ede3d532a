//! Request bodies as hyper's own server yields them, over HTTP/1.1 and HTTP/2.

use std::convert::Infallible;
use std::sync::LazyLock;

use http_body_util::BodyExt as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, DuplexStream};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::super::super::names::tests::reserved;
use super::*;

static RESERVED: LazyLock<Arc<Reserved>> = LazyLock::new(|| Arc::new(reserved()));

fn rules(limit: Option<u64>) -> UploadRules<'static> {
    UploadRules {
        limit,
        idle: Some(Duration::from_secs(5)),
        reserved: &RESERVED,
    }
}

#[derive(Clone)]
struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

/// The body of the request that these bytes begin, and the client's end of the connection.
async fn http1(bytes: &str) -> (Incoming, DuplexStream) {
    let (mut client, server) = tokio::io::duplex(1 << 20);
    let (bodies, mut body) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        let service = service_fn(move |request: http::Request<Incoming>| {
            bodies.send(request.into_body()).unwrap();
            std::future::pending::<Result<http::Response<ResponseStub>, Infallible>>()
        });
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    client.write_all(bytes.as_bytes()).await.unwrap();
    (body.recv().await.unwrap(), client)
}

type ResponseStub = http_body_util::Empty<Bytes>;

/// The body of an HTTP/2 POST, and its stream.
async fn http2() -> (Incoming, h2::SendStream<Bytes>) {
    let (client, server) = tokio::io::duplex(1 << 20);
    let (bodies, mut body) = mpsc::unbounded_channel();
    tokio::task::spawn_local(async move {
        let service = service_fn(move |request: http::Request<Incoming>| {
            bodies.send(request.into_body()).unwrap();
            std::future::pending::<Result<http::Response<ResponseStub>, Infallible>>()
        });
        let _ = hyper::server::conn::http2::Builder::new(Local)
            .serve_connection(TokioIo::new(server), service)
            .await;
    });
    let (mut sender, connection) = h2::client::handshake(client).await.unwrap();
    tokio::task::spawn_local(connection);
    let request = http::Request::post("http://a/").body(()).unwrap();
    let (response, stream) = sender.send_request(request, false).unwrap();
    tokio::task::spawn_local(response);
    (body.recv().await.unwrap(), stream)
}

fn client(incoming: Incoming, rules: &UploadRules<'_>) -> (RequestBody, BodyWatch) {
    RequestBody::client(incoming, Version::HTTP_11, rules).unwrap()
}

const CHUNKED: &str = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_whole_body_passes_and_is_counted() {
    LocalSet::new()
        .run_until(async {
            for request in [
                "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello".to_owned(),
                format!("{CHUNKED}2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"),
            ] {
                let (incoming, _connection) = http1(&request).await;
                let (body, watch) = client(incoming, &rules(Some(5)));
                assert_eq!(body.collect().await.unwrap().to_bytes(), "hello");
                assert!(watch.is_whole());
                assert_eq!((watch.bytes(), watch.fault()), (5, None));
                watch.ended().await;
            }
        })
        .await;
}

#[tokio::test]
async fn c24_a_body_above_the_limit_breaks_off() {
    LocalSet::new()
        .run_until(async {
            let (incoming, _connection) = http1(&format!("{CHUNKED}5\r\nhello\r\n")).await;
            let (body, watch) = client(incoming, &rules(Some(4)));
            assert_eq!(body.collect().await.unwrap_err(), BodyFault::TooLarge);
            assert_eq!(watch.fault(), Some(BodyFault::TooLarge));
            assert!(!watch.is_whole());

            let declared = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
            let (incoming, _connection) = http1(declared).await;
            let refused = RequestBody::client(incoming, Version::HTTP_11, &rules(Some(4)));
            assert_eq!(refused.err(), Some(BodyFault::TooLarge));
        })
        .await;
}

#[tokio::test]
async fn c6_c7_a_body_that_breaks_off_never_ends_cleanly() {
    LocalSet::new()
        .run_until(async {
            for (sent, fault) in [
                ("5\r\nhel", BodyFault::ClientGone),
                ("5\r\nhello\r\n", BodyFault::ClientGone),
                ("0x2\r\nhe\r\n0\r\n\r\n", BodyFault::Malformed),
                ("2\r\nheXX0\r\n\r\n", BodyFault::Malformed),
                ("FFFFFFFFFFFFFFFFF\r\n", BodyFault::Malformed),
            ] {
                let (incoming, connection) = http1(&format!("{CHUNKED}{sent}")).await;
                let (mut body, watch) = client(incoming, &rules(None));
                drop(connection);
                let broken = loop {
                    match body.frame().await {
                        Some(Ok(_)) => {}
                        other => break other,
                    }
                };
                assert_eq!(broken.unwrap().unwrap_err(), fault, "{sent:?}");
                assert_eq!(watch.fault(), Some(fault));
                assert!(!body.is_end_stream());
                let again = body.frame().await;
                assert_eq!(again.unwrap().unwrap_err(), fault, "polled on");
            }
        })
        .await;
}

#[tokio::test]
async fn c7_an_http2_reset_without_an_error_is_no_end() {
    LocalSet::new()
        .run_until(async {
            for reason in [h2::Reason::NO_ERROR, h2::Reason::CANCEL] {
                let (incoming, mut stream) = http2().await;
                let (mut body, watch) =
                    RequestBody::client(incoming, Version::HTTP_2, &rules(None)).unwrap();
                stream.send_data(Bytes::from_static(b"he"), false).unwrap();
                let piece = body.frame().await.unwrap().unwrap();
                assert_eq!(piece.into_data().unwrap(), "he");
                stream.send_reset(reason);
                let end = body.frame().await;
                assert_eq!(end.unwrap().unwrap_err(), BodyFault::ClientGone);
                assert!(!watch.is_whole());
            }
        })
        .await;
}

#[tokio::test]
async fn b8_http2_trailers_are_filtered() {
    LocalSet::new()
        .run_until(async {
            let (incoming, mut stream) = http2().await;
            let (mut body, watch) =
                RequestBody::client(incoming, Version::HTTP_2, &rules(None)).unwrap();
            stream.send_data(Bytes::from_static(b"he"), false).unwrap();
            let mut trailers = HeaderMap::new();
            for name in ["x-sum", "x-auth-user-id", "authorization", "content-length"] {
                trailers.insert(name, HeaderValue::from_static("1"));
            }
            stream.send_trailers(trailers).unwrap();
            assert!(body.frame().await.unwrap().unwrap().is_data());
            let passed = body.frame().await.unwrap().unwrap();
            let passed = passed.into_trailers().unwrap();
            assert_eq!(passed.keys().collect::<Vec<_>>(), ["x-sum"]);
            assert!(body.frame().await.is_none());
            assert!(watch.is_whole());
        })
        .await;
}

#[tokio::test]
async fn c12_an_upload_ends_with_its_request() {
    LocalSet::new()
        .run_until(async {
            let (incoming, _connection) = http1(&format!("{CHUNKED}2\r\nhe\r\n")).await;
            let (mut body, watch) = client(incoming, &rules(None));
            assert!(body.frame().await.unwrap().is_ok());
            let sending = tokio::task::spawn_local(async move { body.frame().await });
            tokio::task::yield_now().await;
            drop(watch);
            let end = sending.await.unwrap();
            assert_eq!(end.unwrap().unwrap_err(), BodyFault::ClientGone);
        })
        .await;
}

#[tokio::test]
async fn c9_a_body_that_the_upstream_does_not_want_has_no_fault() {
    LocalSet::new()
        .run_until(async {
            let (incoming, _connection) = http1(&format!("{CHUNKED}2\r\nhe\r\n")).await;
            let (body, watch) = client(incoming, &rules(None));
            drop(body);
            watch.ended().await;
            assert_eq!((watch.is_whole(), watch.fault()), (false, None));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c23_a_silent_client_times_out() {
    LocalSet::new()
        .run_until(async {
            let (incoming, mut connection) = http1(&format!("{CHUNKED}2\r\nhe\r\n")).await;
            let (mut body, watch) = client(incoming, &rules(None));
            assert!(body.frame().await.unwrap().is_ok());
            // A piece within the deadline moves it.
            tokio::task::spawn_local(async move {
                tokio::time::sleep(Duration::from_secs(4)).await;
                connection.write_all(b"2\r\nll\r\n").await.unwrap();
                std::future::pending::<()>().await;
            });
            assert!(body.frame().await.unwrap().is_ok());
            let end = body.frame().await;
            assert_eq!(end.unwrap().unwrap_err(), BodyFault::ClientTimedOut);
            assert_eq!(watch.fault(), Some(BodyFault::ClientTimedOut));
        })
        .await;
}

#[tokio::test]
async fn c3_c5_c29_c30_the_framing_is_written_anew() {
    LocalSet::new()
        .run_until(async {
            let stale = || {
                let mut headers = HeaderMap::new();
                headers.insert(CONTENT_LENGTH, HeaderValue::from_static("002"));
                headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("gzip, chunked"));
                headers
            };
            let framed = |method, body: &RequestBody, to| {
                let mut headers = stale();
                let seen = crate::wire::Seen::in_map(&headers);
                frame(&mut headers, seen, &method, body, to);
                let text = |name| headers.get(name).map(|v| v.to_str().unwrap().to_owned());
                (text(CONTENT_LENGTH), text(TRANSFER_ENCODING))
            };
            let http11 = Version::HTTP_11;
            let (empty, _watch) = RequestBody::empty();
            assert_eq!(framed(Method::GET, &empty, http11), (None, None));
            assert_eq!(framed(Method::DELETE, &empty, http11), (None, None));
            assert_eq!(
                framed(Method::POST, &empty, http11),
                (Some("0".to_owned()), None)
            );

            let sized = "GET / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhe";
            let (incoming, _connection) = http1(sized).await;
            let (body, _watch) = client(incoming, &rules(None));
            assert_eq!(
                framed(Method::GET, &body, http11),
                (Some("2".to_owned()), None)
            );

            let (incoming, _connection) = http1(CHUNKED).await;
            let (body, _watch) = client(incoming, &rules(None));
            assert_eq!(
                framed(Method::GET, &body, http11),
                (None, Some("chunked".to_owned()))
            );
            assert_eq!(framed(Method::GET, &body, Version::HTTP_2), (None, None));
        })
        .await;
}

#[tokio::test]
async fn c8_a_request_without_a_body_is_empty() {
    LocalSet::new()
        .run_until(async {
            let (incoming, _connection) = http1("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
            let (body, watch) = client(incoming, &rules(None));
            assert!(matches!(body, RequestBody::Empty));
            assert!(watch.is_whole());
        })
        .await;
}
