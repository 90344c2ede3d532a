//! When a request is made once more, and when it never is.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;

/// Answers one request per connection and hangs up without having said so.
fn answers(listener: TcpListener) {
    tokio::task::spawn_local(async move {
        loop {
            let mut stream = accept_request(&listener).await;
            say(&mut stream, &ok("x")).await;
        }
    });
}

/// Answers one request, takes a second one on the same connection and hangs up without a word;
/// answers every later connection. Counts what it was asked.
fn hangs_up_once(listener: TcpListener) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let record = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        let mut first = accept(&listener).await;
        head(&mut first).await;
        say(&mut first, &ok("warm")).await;
        let asked = head(&mut first).await;
        record.borrow_mut().push(asked);
        drop(first);
        loop {
            let mut stream = accept(&listener).await;
            let asked = head(&mut stream).await;
            record.borrow_mut().push(asked);
            say(&mut stream, &ok("fresh")).await;
        }
    });
    seen
}

#[tokio::test]
async fn c20_a_get_on_a_stale_connection_is_made_once_more() {
    core(async {
        let (listener, address) = listen().await;
        let seen = hangs_up_once(listener);
        let pools = pools(upstream(&[address]));
        assert_eq!(fetch(&pools, "/").await.unwrap(), "warm");
        assert_eq!(fetch(&pools, "/again").await.unwrap(), "fresh");
        assert_eq!(seen.borrow().len(), 2);
        assert_eq!(pools.metrics().upstream_retries.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn c20_a_post_is_never_made_twice() {
    core(async {
        let (listener, address) = listen().await;
        let seen = hangs_up_once(listener);
        let pools = pools(upstream(&[address]));
        assert_eq!(fetch(&pools, "/").await.unwrap(), "warm");
        let error = pools
            .dispatch(post("/p", b"hello"), None)
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{error}");
        settle().await;
        assert_eq!(seen.borrow().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn c20_a_post_without_a_body_is_not_made_twice_either() {
    core(async {
        let (listener, address) = listen().await;
        let seen = hangs_up_once(listener);
        let pools = pools(upstream(&[address]));
        assert_eq!(fetch(&pools, "/").await.unwrap(), "warm");
        let error = pools
            .dispatch(bare(&Method::POST, "/p"), None)
            .await
            .unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{error}");
        settle().await;
        assert_eq!(seen.borrow().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_fresh_connection_that_hangs_up_is_not_retried() {
    core(async {
        let (listener, address) = listen().await;
        let asked = Rc::new(RefCell::new(0));
        let count = Rc::clone(&asked);
        tokio::task::spawn_local(async move {
            loop {
                let _stream = accept_request(&listener).await;
                *count.borrow_mut() += 1;
            }
        });
        let pools = pools(upstream(&[address]));
        let error = fetch(&pools, "/").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{error}");
        settle().await;
        assert_eq!(*asked.borrow(), 1);
    })
    .await;
}

#[tokio::test]
async fn c20_an_idle_connection_that_the_upstream_closed_costs_nobody_anything() {
    core(async {
        let (listener, address) = listen().await;
        answers(listener);
        let pools = pools(upstream(&[address]));
        for _ in 0..100 {
            assert_eq!(fetch(&pools, "/").await.unwrap(), "x");
        }
    })
    .await;
}

#[tokio::test]
async fn f19_a_server_that_is_down_is_passed_over() {
    core(async {
        let (dead, dead_address) = listen().await;
        drop(dead);
        let (listener, address) = listen().await;
        answers(listener);
        let pools = pools(upstream(&[dead_address, address]));
        for _ in 0..20 {
            assert_eq!(fetch(&pools, "/").await.unwrap(), "x");
        }
        assert_eq!(
            pools.metrics().upstream_retries.get(),
            1,
            "asked once, then left alone"
        );
    })
    .await;
}

#[tokio::test]
async fn f19_all_down_is_unreachable_after_one_more_try() {
    core(async {
        let (dead, address) = listen().await;
        drop(dead);
        let pools = pools(upstream(&[address]));
        let error = fetch(&pools, "/").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
        assert_eq!(pools.metrics().upstream_connects.get(), 2);
        let error = pools.dispatch(post("/", b"x"), None).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn f19_a_name_is_resolved_and_all_its_addresses_tried() {
    core(async {
        // `localhost` may be ::1 first, where nobody listens.
        let (listener, address) = listen().await;
        answers(listener);
        let mut config = upstream(&[address]);
        config.servers[0].host = "localhost".to_owned();
        assert_eq!(fetch(&pools(config.clone()), "/").await.unwrap(), "x");
        config.servers[0].host = "no-such-host.invalid".to_owned();
        let error = fetch(&pools(config), "/").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_hangs_up_or_speaks_first_is_unreachable() {
    core(async {
        for greeting in ["", "220 mail.test ESMTP\r\n"] {
            let (listener, address) = listen().await;
            tokio::task::spawn_local(async move {
                let mut held = Vec::new();
                loop {
                    let mut stream = accept(&listener).await;
                    say(&mut stream, greeting).await;
                    if !greeting.is_empty() {
                        held.push(stream);
                    }
                }
            });
            // The connection is made, and then the greeting is there before the request is.
            let pools = pools(upstream(&[address]));
            let error = pools.dispatch(post("/", b"x"), None).await.unwrap_err();
            assert!(
                matches!(
                    error,
                    UpstreamError::Unreachable(_) | UpstreamError::Protocol(_)
                ),
                "{error}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn a_probe_says_whether_every_server_can_be_connected_to() {
    core(async {
        let (_listener, up) = listen().await;
        let (dead, down) = listen().await;
        drop(dead);
        let probe = |servers: &[SocketAddr]| {
            let upstreams = Upstreams::build(&[upstream(servers)]).unwrap();
            async move { upstreams.probe(0, LONG).await }
        };
        assert_eq!(probe(&[up]).await, Ok(()));
        let error = probe(&[up, down]).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
    })
    .await;
}
