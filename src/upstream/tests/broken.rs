//! Upstreams that break the protocol, and clients that go away.

use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::sync::mpsc;

use super::*;

/// What the next request gets after a first one got `answer`: its status and body, then the second
/// one's. The server serves one request per connection and holds it open unless told to close.
async fn after(answer: &'static str, close: bool) -> (Result<String, String>, String) {
    let (listener, address) = listen().await;
    tokio::task::spawn_local(async move {
        let mut first = accept(&listener).await;
        head(&mut first).await;
        say(&mut first, answer).await;
        if close {
            drop(first);
        } else {
            tokio::task::spawn_local(async move {
                // A second request on this connection would be answered wrongly.
                if !head(&mut first).await.is_empty() {
                    say(&mut first, &ok("REUSED")).await;
                }
            });
        }
        let mut second = accept(&listener).await;
        head(&mut second).await;
        say(&mut second, &ok("second")).await;
        std::future::pending::<()>().await;
    });
    let pools = pools(upstream(&[address]));
    let first = match pools.dispatch(get("/1"), None).await {
        Ok(response) => match text(response).await {
            Ok(text) => Ok(text),
            Err(error) => Err(error.to_string()),
        },
        Err(error) => Err(error.to_string()),
    };
    let second = fetch(&pools, "/2").await.unwrap();
    (first, second)
}

#[tokio::test]
async fn c18_responses_with_two_readings_are_refused_and_their_connections_closed() {
    core(async {
        for answer in [
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nabc",
            "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 999 Odd\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 600 Odd\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a: a\rb\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nx-a: a\0b\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 O\rK\r\ncontent-length: 0\r\n\r\n",
            "hello\r\n\r\n",
        ] {
            let (first, second) = after(answer, false).await;
            assert!(first.is_err(), "{answer:?} gave {first:?}");
            assert_eq!(second, "second", "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn c19_a_truncated_body_is_an_error() {
    core(async {
        for answer in [
            CUT_SHORT,
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        ] {
            let (first, second) = after(answer, true).await;
            assert!(first.is_err(), "{answer:?} gave {first:?}");
            assert_eq!(second, "second", "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn c11_c27_extra_bytes_and_closing_upstreams_end_rightly_and_are_not_pooled() {
    core(async {
        for (answer, close, expected) in [
            ("HTTP/1.0 200 OK\r\n\r\nold", true, "old"),
            ("HTTP/1.1 200 OK\r\n\r\nto the end", true, "to the end"),
            (
                "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
                false,
                "abc",
            ),
            (
                "HTTP/1.0 200 OK\r\ncontent-length: 3\r\n\r\nabc",
                false,
                "abc",
            ),
            (
                "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
                false,
                "abc",
            ),
            (
                "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON",
                false,
                "",
            ),
            (
                "HTTP/1.1 304 Not Modified\r\ncontent-length: 6\r\n\r\nPOISON",
                false,
                "",
            ),
        ] {
            let (first, second) = after(answer, close).await;
            assert_eq!(first.as_deref(), Ok(expected), "{answer:?}");
            assert_eq!(second, "second", "{answer:?}");
        }
    })
    .await;
}

#[tokio::test]
async fn c13_interim_responses_are_skipped() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let serve = async {
            let mut stream = accept_request(&listener).await;
            for _ in 0..50 {
                say(
                    &mut stream,
                    "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n",
                )
                .await;
                say(&mut stream, "HTTP/1.1 100 Continue\r\n\r\n").await;
            }
            say(&mut stream, &ok("final")).await;
            stream
        };
        let (_stream, answer) = tokio::join!(serve, fetch(&pools, "/"));
        assert_eq!(answer.unwrap(), "final");
    })
    .await;
}

type Chunk = Result<Frame<Bytes>, std::io::Error>;

fn upload(
    length: Option<usize>,
) -> (
    mpsc::UnboundedSender<Chunk>,
    Outgoing<impl Body<Data = Bytes, Error = std::io::Error> + 'static>,
) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let stream = futures_util::stream::poll_fn(move |cx| receiver.poll_recv(cx));
    let request = match length {
        Some(length) => Request::post("/up").header("content-length", length),
        None => Request::post("/up").header("transfer-encoding", "chunked"),
    };
    (
        sender,
        outgoing(request.body(StreamBody::new(stream)).unwrap()),
    )
}

#[tokio::test]
async fn c9_an_early_response_is_delivered_and_its_connection_not_reused() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let (chunks, request) = upload(None);
        chunks
            .send(Ok(Frame::data(Bytes::from_static(b"half"))))
            .unwrap();
        let serve = async {
            let mut stream = accept_request(&listener).await;
            say(
                &mut stream,
                "HTTP/1.1 413 Content Too Large\r\ncontent-length: 3\r\n\r\nbig",
            )
            .await;
            // The connection ends without a last chunk.
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest).await;
            assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
        };
        let ask = async {
            let response = pools.dispatch(request, None).await.unwrap();
            assert_eq!(response.status(), 413);
            assert_eq!(text(response).await.unwrap(), "big");
        };
        tokio::join!(serve, ask);
        assert_eq!(pools.idle(), 0);
        drop(chunks);
    })
    .await;
}

#[tokio::test]
async fn c7_a_failed_upload_never_looks_complete() {
    core(async {
        for length in [None, Some(100)] {
            for fails in [true, false] {
                if length.is_none() && !fails {
                    continue; // An end without an error is the end of a chunked body.
                }
                let (listener, address) = listen().await;
                let pools = pools(upstream(&[address]));
                let (chunks, request) = upload(length);
                chunks
                    .send(Ok(Frame::data(Bytes::from_static(b"half"))))
                    .unwrap();
                if fails {
                    chunks
                        .send(Err(std::io::ErrorKind::ConnectionReset.into()))
                        .unwrap();
                }
                drop(chunks);
                let serve = async {
                    let mut stream = accept_request(&listener).await;
                    let mut rest = Vec::new();
                    let _ = stream.read_to_end(&mut rest).await;
                    assert!(!rest.ends_with(b"0\r\n\r\n"), "{rest:?}");
                    assert!(rest.len() < 100);
                };
                let ((), sent) = tokio::join!(serve, pools.dispatch(request, None));
                assert_eq!(sent.unwrap_err(), UpstreamError::RequestBody);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn c12_a_caller_who_goes_away_takes_the_connection_with_him() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        // Before the head of the response.
        let asked = accept_request(&listener);
        let mut stream = tokio::select! {
            biased;
            stream = asked => stream,
            _ = pools.dispatch(get("/1"), None) => panic!("nobody answered"),
        };
        assert_eq!(head(&mut stream).await, "", "closed");
        // Within the body of the response.
        let serve = async {
            let mut stream = accept_request(&listener).await;
            say(&mut stream, CUT_SHORT).await;
            stream
        };
        let (mut stream, response) = tokio::join!(serve, pools.dispatch(get("/2"), None));
        drop(response);
        assert_eq!(head(&mut stream).await, "", "closed");
        assert_eq!(pools.idle(), 0);
    })
    .await;
}

#[tokio::test]
async fn another_requests_id_is_withheld() {
    core(async {
        for (echo, passes) in [("r1", true), ("r2", false)] {
            let (listener, address) = listen().await;
            let pools = pools(Upstream {
                request_id_echo: true,
                ..upstream(&[address])
            });
            let mut request = get("/");
            request.request_id = Some(("x-request-id".parse().unwrap(), "r1".parse().unwrap()));
            let serve = async {
                let mut stream = accept_request(&listener).await;
                let answer =
                    format!("HTTP/1.1 200 OK\r\nx-request-id: {echo}\r\ncontent-length: 0\r\n\r\n");
                say(&mut stream, &answer).await;
                stream
            };
            let (_stream, answer) = tokio::join!(serve, pools.dispatch(request, None));
            assert_eq!(answer.is_ok(), passes);
            assert_eq!(pools.idle(), usize::from(passes));
        }
    })
    .await;
}
