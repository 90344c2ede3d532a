//! Deadlines. Small configured ones, since the sockets are real.

use http_body::{Body, Frame};
use http_body_util::StreamBody;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::*;

fn hurried<B>(request: Outgoing<B>) -> Outgoing<B> {
    Outgoing {
        timeouts: UpstreamTimeouts {
            connect: LONG,
            response_head: SHORT,
            body_idle: SHORT,
            pool_idle: LONG,
        },
        ..request
    }
}

/// An upload that goes on as long as bytes are sent, and their sender.
fn fed() -> (
    UnboundedSender<Bytes>,
    Outgoing<impl Body<Data = Bytes, Error: Into<BoxError>>>,
) {
    let (sender, mut receiver) = unbounded_channel();
    let body = futures_util::stream::poll_fn(move |cx| {
        let next = receiver.poll_recv(cx);
        next.map(|bytes| Some(Ok::<_, std::io::Error>(Frame::data(bytes?))))
    });
    let request = Request::post("/").header("transfer-encoding", "chunked");
    let request = outgoing(request.body(StreamBody::new(body)).unwrap());
    (sender, request)
}

#[tokio::test]
async fn a_head_that_does_not_come_is_a_timeout() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let serve = async {
            let mut stream = accept_request(&listener).await;
            assert_eq!(head(&mut stream).await, "", "closed, and not asked again");
        };
        let ((), answer) = tokio::join!(serve, pools.dispatch(hurried(get("/")), None));
        assert_eq!(answer.unwrap_err(), UpstreamError::Timeout);
    })
    .await;
}

#[tokio::test]
async fn c13_endless_interim_responses_do_not_hold_the_deadline_off() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        tokio::task::spawn_local(async move {
            let mut stream = accept_request(&listener).await;
            while stream
                .write_all(b"HTTP/1.1 102 Processing\r\n\r\n")
                .await
                .is_ok()
            {
                tokio::task::yield_now().await;
            }
        });
        let answer = pools.dispatch(hurried(get("/")), None).await;
        assert_eq!(answer.unwrap_err(), UpstreamError::Timeout);
    })
    .await;
}

#[tokio::test]
async fn a_body_that_falls_silent_is_an_error_and_no_end() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let serve = async {
            let mut stream = accept_request(&listener).await;
            say(&mut stream, CUT_SHORT).await;
            assert_eq!(head(&mut stream).await, "", "closed");
        };
        let ask = async {
            let response = pools.dispatch(hurried(get("/")), None).await.unwrap();
            let error = text(response).await.unwrap_err();
            assert!(matches!(error, BodyError::Idle), "{error}");
        };
        tokio::join!(serve, ask);
        assert_eq!(pools.idle(), 0);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_the_client_stalls_is_the_clients() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let stalled = futures_util::stream::pending::<Result<Frame<Bytes>, std::io::Error>>();
        let request = Request::post("/").header("content-length", 10);
        let request = outgoing(request.body(StreamBody::new(stalled)).unwrap());
        let serve = async {
            let mut stream = accept_request(&listener).await;
            assert_eq!(head(&mut stream).await, "", "closed");
        };
        let ((), answer) = tokio::join!(serve, pools.dispatch(hurried(request), None));
        assert_eq!(answer.unwrap_err(), UpstreamError::RequestBody);
    })
    .await;
}

#[tokio::test]
async fn an_upload_that_the_upstream_does_not_read_is_the_upstreams() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let chunk = Bytes::from(vec![0; 65536]);
        let endless = futures_util::stream::repeat_with(move || {
            Ok::<_, std::io::Error>(Frame::data(chunk.clone()))
        });
        let request = Request::post("/").header("transfer-encoding", "chunked");
        let request = outgoing(request.body(StreamBody::new(endless)).unwrap());
        let serve = accept_request(&listener);
        let (_stream, answer) = tokio::join!(serve, pools.dispatch(hurried(request), None));
        assert_eq!(answer.unwrap_err(), UpstreamError::Timeout);
    })
    .await;
}

#[tokio::test]
async fn the_heads_deadline_begins_after_the_upload() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let (sender, mut request) = fed();
        request.timeouts.response_head = 4 * SHORT;
        let mut pace = tokio::time::interval(SHORT);
        let upload = async {
            // Far longer than the head's deadline, all in all.
            for _ in 0..8 {
                pace.tick().await;
                sender.send(Bytes::from_static(b"x")).unwrap();
            }
            drop(sender);
        };
        let serve = async {
            let mut stream = accept_request(&listener).await;
            while !matches!(head(&mut stream).await.as_str(), end if end.ends_with("0\r\n\r\n")) {}
            say(&mut stream, &ok("got it")).await;
            stream
        };
        let ((), _stream, answer) = tokio::join!(upload, serve, pools.dispatch(request, None));
        assert_eq!(text(answer.unwrap()).await.unwrap(), "got it");
    })
    .await;
}

#[tokio::test]
async fn a_tls_handshake_that_does_not_come_is_a_timeout() {
    core(async {
        let (listener, address) = listen().await;
        let mut config = upstream(&[address]);
        config.servers[0].tls = true;
        config.retries.attempts = 0;
        let certificate = super::tls::Authority::new();
        config.tls_ca = Some(certificate.ca_file());
        let pools = pools(config);
        let mut request = get("/");
        request.timeouts.connect = SHORT;
        let (_stream, answer) = tokio::join!(accept(&listener), pools.dispatch(request, None));
        assert_eq!(answer.unwrap_err(), UpstreamError::Timeout);
    })
    .await;
}

#[tokio::test]
async fn the_heads_deadline_begins_after_the_wait_for_another_server() {
    core(async {
        let (silent, first) = listen().await;
        let (listener, second) = listen().await;
        let held = Rc::new(RefCell::new(Vec::new()));
        let tried = Rc::clone(&held);
        tokio::task::spawn_local(async move {
            loop {
                let stream = accept(&silent).await;
                held.borrow_mut().push(stream);
            }
        });
        echo(listener);
        let mut config = upstream(&[first, second]);
        config.servers[0].tls = true;
        let certificate = super::tls::Authority::new();
        config.tls_ca = Some(certificate.ca_file());
        let pools = pools(config);
        let ask = || {
            let mut request = get("/");
            request.timeouts.connect = 4 * SHORT;
            request.timeouts.response_head = 2 * SHORT;
            pools.dispatch(request, None)
        };
        assert_eq!(text(ask().await.unwrap()).await.unwrap(), "0 /");
        idle(&pools, 1).await;
        // Until the first server has been tried again, while the second one has a connection.
        while tried.borrow().len() < 2 {
            let answer = ask().await.map_err(|error| error.to_string());
            assert_eq!(text(answer.unwrap()).await.unwrap(), "0 /");
        }
    })
    .await;
}

#[tokio::test]
async fn the_heads_deadline_begins_with_the_end_of_the_upload() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let (sender, mut request) = fed();
        request.timeouts.response_head = SHORT;
        let serve = async {
            let stream = accept_request(&listener).await;
            sender.send(Bytes::from_static(b"x")).unwrap();
            drop(sender);
            stream
        };
        // Not only when the client would have been given up.
        let answer = tokio::time::timeout(LONG / 2, pools.dispatch(request, None));
        let (_stream, answer) = tokio::join!(serve, answer);
        assert_eq!(answer.unwrap().unwrap_err(), UpstreamError::Timeout);
    })
    .await;
}
