//! Who moves the bytes of a connection, where it could be nobody.

use std::future::poll_fn;

use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;

/// tokio lets a task take 128 steps in one turn, and wakes whatever wants another one; what a connection
/// feeds is polled with a waker that wakes nobody. No timer of its own wakes this request.
#[tokio::test]
async fn a_task_that_has_used_up_its_turn_gets_its_answer() {
    core(async {
        let (listener, address) = listen().await;
        echo(listener);
        let pools = pools(upstream(&[address]));
        // In a task, since steps are counted there.
        let asking = tokio::task::spawn_local(async move {
            for steps in 90..=128 {
                let (sender, mut taken) = mpsc::unbounded_channel();
                for _ in 0..20 * steps {
                    sender.send(()).unwrap();
                }
                let now = tokio::time::Instant::now();
                let watch = Watch::new(now, now + LONG);
                let mut fetching = Box::pin(async {
                    let answer = pools.dispatch(get("/"), Some(&watch)).await.unwrap();
                    text(answer).await
                });
                let answer = poll_fn(|cx| {
                    for _ in 0..steps {
                        if taken.poll_recv(cx).is_pending() {
                            break;
                        }
                    }
                    fetching.as_mut().poll(cx)
                });
                let answer = timeout(LONG / 10, answer).await.expect("it is woken");
                assert_eq!(answer.unwrap(), "0 /", "after {steps} steps");
            }
        });
        asking.await.unwrap();
    })
    .await;
}

/// An upload goes on while nobody reads the response: a client that sends everything before it reads
/// would else wait for ever, as the upstream would.
#[tokio::test]
async fn an_upload_goes_on_while_nobody_reads_the_response() {
    core(async {
        const PIECE: usize = 64 * 1024;
        const PIECES: usize = 200;
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let (received, mut all) = mpsc::channel(1);
        tokio::task::spawn_local(async move {
            let mut stream = accept_request(&listener).await;
            say(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").await;
            let mut uploaded = vec![0; PIECE * PIECES];
            stream.read_exact(&mut uploaded).await.unwrap();
            received.send(()).await.unwrap();
            say(&mut stream, "x").await;
            head(&mut stream).await;
        });
        let pieces =
            (0..PIECES).map(|_| Ok::<_, BoxError>(Frame::data(Bytes::from(vec![0; PIECE]))));
        let body = StreamBody::new(futures_util::stream::iter(pieces));
        let request = Request::post("/").header("content-length", PIECE * PIECES);
        let request = outgoing(request.body(body).unwrap());
        let response = pools.dispatch(request, None).await.unwrap();
        // The response is held, and not asked for its body.
        timeout(LONG, all.recv()).await.expect("all of it arrives");
        assert_eq!(text(response).await.unwrap(), "x");
        let back = timeout(LONG, idle(&pools, 1)).await;
        back.expect("its connection serves again");
    })
    .await;
}

/// Nobody polls an idle connection, so that its end is noticed by the sweep, which must not wait for
/// the idle time to be over.
#[tokio::test]
async fn an_idle_connection_that_has_ended_is_let_go_of() {
    core(async {
        let (listener, address) = listen().await;
        let (close, closing) = tokio::sync::oneshot::channel::<()>();
        tokio::task::spawn_local(async move {
            let mut stream = accept_request(&listener).await;
            say(&mut stream, &ok("x")).await;
            let _ = closing.await;
            drop(stream);
        });
        let pools = pools(upstream(&[address]));
        assert_eq!(fetch(&pools, "/").await.unwrap(), "x");
        assert_eq!(pools.idle(), 1);
        close.send(()).unwrap();
        timeout(LONG, idle(&pools, 0)).await.expect("it is swept");
    })
    .await;
}

/// The same connection, once with its upload in a task and once with nothing to send.
#[tokio::test]
async fn a_connection_comes_back_from_its_task() {
    core(async {
        let (listener, address) = listen().await;
        tokio::task::spawn_local(async move {
            let mut stream = accept(&listener).await;
            loop {
                let head = head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                if head.starts_with("POST") {
                    stream.read_exact(&mut [0; 4]).await.unwrap();
                }
                say(&mut stream, &ok(path_of(&head))).await;
            }
        });
        let pools = pools(upstream(&[address]));
        for round in 0..20 {
            let path = format!("/{round}");
            let posted = pools.dispatch(post(&path, b"body"), None).await.unwrap();
            assert_eq!(text(posted).await.unwrap(), path);
            assert_eq!(fetch(&pools, &path).await.unwrap(), path);
        }
        assert_eq!(pools.metrics().upstream_connects.get(), 1);
    })
    .await;
}
