//! Response bodies as hyper's own client yields them.

use std::cell::RefCell;

use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::task::LocalSet;

use super::super::super::names::tests::reserved;
use super::*;

type Ends = Rc<RefCell<Vec<BodyEnd>>>;

/// The body of the response that these bytes begin, and the upstream's end of the connection.
async fn answered(bytes: &str) -> (Incoming, DuplexStream) {
    let (client, mut upstream) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(client))
        .await
        .unwrap();
    tokio::task::spawn_local(connection);
    let request = http::Request::get("/").header("host", "a");
    let request = request.body(Empty::<Bytes>::new()).unwrap();
    let response = tokio::task::spawn_local(sender.send_request(request));
    let mut seen = [0; 256];
    assert!(upstream.read(&mut seen).await.unwrap() > 0);
    upstream.write_all(bytes.as_bytes()).await.unwrap();
    let response = response.await.unwrap().unwrap();
    (response.into_body(), upstream)
}

fn upstream(incoming: Incoming, ends: &Ends) -> ResponseBody<Incoming, Rc<()>> {
    let ends = Rc::clone(ends);
    let idle = Some(Duration::from_secs(5));
    ResponseBody::upstream(incoming, Version::HTTP_11, idle, Rc::new(reserved()))
        .on_end(move |end| ends.borrow_mut().push(end))
}

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[tokio::test]
async fn a_whole_body_ends_once_before_its_last_piece_is_out() {
    LocalSet::new()
        .run_until(async {
            let ends = Ends::default();
            let sized = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";
            let (incoming, _upstream) = answered(sized).await;
            let guard = Rc::new(());
            let mut body = upstream(incoming, &ends).holding(Rc::clone(&guard));
            assert_eq!(body.size_hint().exact(), Some(5));
            let piece = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let end = BodyEnd {
                bytes: 5,
                outcome: Outcome::Whole,
            };
            assert_eq!(piece, "hello");
            assert_eq!(*ends.borrow(), [end]);
            assert_eq!(Rc::strong_count(&guard), 1, "the guard is let go");
            assert!(body.is_end_stream());
            assert!(body.frame().await.is_none());
            drop(body);
            assert_eq!(*ends.borrow(), [end]);
        })
        .await;
}

#[tokio::test]
async fn c19_a_truncated_body_is_broken() {
    LocalSet::new()
        .run_until(async {
            for sent in [
                "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello",
                &format!("{CHUNKED}5\r\nhello\r\n"),
                &format!("{CHUNKED}5\r\nhello\r\nzz\r\n"),
            ] {
                let ends = Ends::default();
                let (incoming, connection) = answered(sent).await;
                let mut body = upstream(incoming, &ends);
                drop(connection);
                let broken = loop {
                    match body.frame().await {
                        Some(Ok(_)) => {}
                        other => break other,
                    }
                };
                let gone = BodyFault::UpstreamGone;
                assert_eq!(broken.unwrap().unwrap_err(), gone, "{sent:?}");
                assert!(!body.is_end_stream());
                let again = body.frame().await;
                assert_eq!(again.unwrap().unwrap_err(), gone, "polled on");
                assert_eq!(ends.borrow()[0].outcome, Outcome::Broken(gone));
            }
        })
        .await;
}

#[tokio::test]
async fn b8_response_trailers_are_filtered() {
    LocalSet::new()
        .run_until(async {
            let ends = Ends::default();
            let sent = format!("{CHUNKED}1\r\nx\r\n0\r\nx-sum: 1\r\nx-auth-user-id: 1\r\n\r\n");
            let (incoming, _upstream) = answered(&sent).await;
            let whole = upstream(incoming, &ends).collect().await.unwrap();
            let trailers = whole.trailers().unwrap();
            assert_eq!(trailers.keys().collect::<Vec<_>>(), ["x-sum"]);
            assert_eq!(ends.borrow()[0].outcome, Outcome::Whole);
        })
        .await;
}

#[tokio::test]
async fn e12_a_cut_body_breaks_off_while_it_waits() {
    LocalSet::new()
        .run_until(async {
            let ends = Ends::default();
            let (incoming, _upstream) = answered(&format!("{CHUNKED}2\r\nhe\r\n")).await;
            let (cut, signal) = cut();
            let mut body = upstream(incoming, &ends).cut_by(signal);
            assert!(body.frame().await.unwrap().is_ok());
            let waiting = tokio::task::spawn_local(async move { body.frame().await });
            tokio::task::yield_now().await;
            cut.now();
            let end = waiting.await.unwrap();
            assert_eq!(end.unwrap().unwrap_err(), BodyFault::Cut);
            let outcome = Outcome::Broken(BodyFault::Cut);
            assert_eq!(*ends.borrow(), [BodyEnd { bytes: 2, outcome }]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c23_a_silent_upstream_times_out() {
    LocalSet::new()
        .run_until(async {
            let ends = Ends::default();
            let (incoming, _upstream) = answered(CHUNKED).await;
            let mut body = upstream(incoming, &ends);
            let end = body.frame().await;
            assert_eq!(end.unwrap().unwrap_err(), BodyFault::UpstreamTimedOut);
        })
        .await;
}

#[tokio::test]
async fn c12_a_body_that_is_dropped_says_so() {
    LocalSet::new()
        .run_until(async {
            let ends = Ends::default();
            let (incoming, _upstream) = answered(&format!("{CHUNKED}2\r\nhe\r\n")).await;
            drop(upstream(incoming, &ends));
            assert_eq!(ends.borrow()[0].outcome, Outcome::Dropped);
        })
        .await;
}

#[tokio::test]
async fn bodies_of_our_own_end_whole_polled_or_not() {
    let ends = Ends::default();
    let told = || {
        let ends = Rc::clone(&ends);
        move |end: BodyEnd| ends.borrow_mut().push(end)
    };
    let full = ResponseBody::<Incoming>::full("hello").on_end(told());
    assert_eq!(full.size_hint().exact(), Some(5));
    assert_eq!(full.collect().await.unwrap().to_bytes(), "hello");
    drop(ResponseBody::<Incoming>::empty().on_end(told()));
    drop(ResponseBody::<Incoming>::full("").on_end(told()));
    drop(ResponseBody::<Incoming>::full("hello").on_end(told()));
    let outcomes: Vec<_> = ends.borrow().iter().map(|end| end.outcome).collect();
    assert_eq!(
        outcomes,
        [
            Outcome::Whole,
            Outcome::Whole,
            Outcome::Whole,
            Outcome::Dropped
        ]
    );
}
