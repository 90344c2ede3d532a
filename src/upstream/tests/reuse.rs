//! Which connection a request goes out on, and which it must never go out on.

use std::cell::RefCell;
use std::rc::Rc;

use super::*;
use crate::ids::{TenantId, UserId};

/// Serves every connection until it closes, answering with the connection's number and the path.
fn echo(listener: TcpListener) -> Rc<RefCell<Vec<String>>> {
    let seen = Rc::new(RefCell::new(Vec::new()));
    let record = Rc::clone(&seen);
    tokio::task::spawn_local(async move {
        for number in 0.. {
            let mut stream = accept(&listener).await;
            let record = Rc::clone(&record);
            tokio::task::spawn_local(async move {
                loop {
                    let head = head(&mut stream).await;
                    if head.is_empty() {
                        return;
                    }
                    let answer = format!("{number} {}", path_of(&head));
                    record.borrow_mut().push(answer.clone());
                    say(&mut stream, &ok(&answer)).await;
                }
            });
        }
    });
    seen
}

#[tokio::test]
async fn a_clean_connection_serves_again() {
    core(async {
        let (listener, address) = listen().await;
        echo(listener);
        let pools = pools(upstream(&[address]));
        for round in 0..5 {
            let path = format!("/{round}");
            assert_eq!(fetch(&pools, &path).await.unwrap(), format!("0 {path}"));
        }
        assert_eq!(pools.metrics().upstream_connects.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn without_reuse_each_request_has_its_own() {
    core(async {
        let (listener, address) = listen().await;
        echo(listener);
        let pools = pools(Upstream {
            reuse: false,
            ..upstream(&[address])
        });
        for round in 0..3 {
            assert_eq!(fetch(&pools, "/").await.unwrap(), format!("{round} /"));
        }
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_does_not_outlive_its_time() {
    core(async {
        let (listener, address) = listen().await;
        let mut config = upstream(&[address]);
        config.timeouts.pool_idle = SHORT;
        let pools = pools(config);
        let request = Outgoing {
            timeouts: UpstreamTimeouts {
                pool_idle: SHORT,
                ..TIMES
            },
            ..get("/")
        };
        let serve = async {
            let mut stream = accept(&listener).await;
            head(&mut stream).await;
            say(&mut stream, &ok("x")).await;
            assert_eq!(head(&mut stream).await, "", "closed in order, unasked");
        };
        let ask = async {
            text(pools.send(request).await.unwrap()).await.unwrap();
        };
        tokio::join!(serve, ask);
        idle(&pools, 0).await;
    })
    .await;
}

fn of(tenant: &str, user: &str) -> Outgoing<Empty<Bytes>> {
    Outgoing {
        isolation: Some(IsolationKey {
            tenant: TenantId::parse(tenant).unwrap(),
            user: Some(UserId::parse(user).unwrap()),
        }),
        ..get("/")
    }
}

#[tokio::test]
async fn c10_isolated_tenants_and_users_never_share_a_connection() {
    core(async {
        for (isolate, expected) in [
            (Isolate::None, [0, 0, 0, 0, 0]),
            (Isolate::Tenant, [0, 0, 1, 2, 0]),
            (Isolate::User, [0, 1, 2, 3, 0]),
        ] {
            let (listener, address) = listen().await;
            echo(listener);
            let pools = pools(Upstream {
                isolate,
                ..upstream(&[address])
            });
            let requests = [
                of("a", "5"),
                of("a", "6"),
                of("b", "5"),
                get("/"),
                of("a", "5"),
            ];
            for (request, number) in requests.into_iter().zip(expected) {
                let answer = text(pools.send(request).await.unwrap()).await.unwrap();
                assert_eq!(answer, format!("{number} /"), "{isolate:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn c10_a_second_response_is_never_the_next_requests() {
    core(async {
        let (listener, address) = listen().await;
        // Answers every request twice; the second one is poison and comes when it is told to.
        let poison = Rc::new(tokio::sync::Notify::new());
        let poisoned = Rc::new(tokio::sync::Notify::new());
        let (go, done) = (Rc::clone(&poison), Rc::clone(&poisoned));
        tokio::task::spawn_local(async move {
            loop {
                let mut stream = accept(&listener).await;
                let (go, done) = (Rc::clone(&go), Rc::clone(&done));
                tokio::task::spawn_local(async move {
                    let head = head(&mut stream).await;
                    say(&mut stream, &ok(path_of(&head))).await;
                    go.notified().await;
                    say(&mut stream, &ok("POISON")).await;
                    done.notify_one();
                    // Held open: only the bytes give it away.
                    std::future::pending::<()>().await;
                });
            }
        });
        let pools = pools(upstream(&[address]));
        for round in 0..300 {
            let path = format!("/{round}");
            assert_eq!(fetch(&pools, &path).await.unwrap(), path);
            idle(&pools, 1).await;
            poison.notify_one();
            poisoned.notified().await;
            // The next request leaves at once, before the runtime has told the connection's task.
        }
        assert_eq!(
            pools.metrics().upstream_retries.get(),
            0,
            "nothing was sent"
        );
    })
    .await;
}

#[tokio::test]
async fn c10_a_post_is_not_lost_to_a_connection_that_was_spoken_on() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let serve = async {
            let mut first = accept(&listener).await;
            head(&mut first).await;
            say(&mut first, &ok("one")).await;
            say(&mut first, &ok("POISON")).await;
            let mut second = accept(&listener).await;
            head(&mut second).await;
            let mut body = [0; 5];
            second.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"hello");
            say(&mut second, &ok("two")).await;
            (first, second)
        };
        let ask = async {
            assert_eq!(fetch(&pools, "/").await.unwrap(), "one");
            let answer = pools.send(post("/p", b"hello")).await.unwrap();
            assert_eq!(text(answer).await.unwrap(), "two");
        };
        tokio::join!(serve, ask);
    })
    .await;
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
        record.borrow_mut().push(head(&mut first).await);
        drop(first);
        loop {
            let mut stream = accept(&listener).await;
            record.borrow_mut().push(head(&mut stream).await);
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
        let error = pools.send(post("/p", b"hello")).await.unwrap_err();
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
        let error = pools.send(bare(&Method::POST, "/p")).await.unwrap_err();
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
                let mut stream = accept(&listener).await;
                head(&mut stream).await;
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
        tokio::task::spawn_local(async move {
            loop {
                let mut stream = accept(&listener).await;
                head(&mut stream).await;
                say(&mut stream, &ok("x")).await;
                // A body, if there is one, is in the same packet or already here.
                drop(stream);
            }
        });
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
        echo(listener);
        let pools = pools(upstream(&[dead_address, address]));
        for _ in 0..20 {
            assert_eq!(fetch(&pools, "/").await.unwrap(), "0 /");
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
        let error = pools.send(post("/", b"x")).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn f19_a_name_is_resolved_and_all_its_addresses_tried() {
    core(async {
        // `localhost` may be ::1 first, where nobody listens.
        let (listener, address) = listen().await;
        echo(listener);
        let mut config = upstream(&[address]);
        config.servers[0].host = "localhost".to_owned();
        assert_eq!(fetch(&pools(config.clone()), "/").await.unwrap(), "0 /");
        config.servers[0].host = "no-such-host.invalid".to_owned();
        let error = fetch(&pools(config), "/").await.unwrap_err();
        assert!(matches!(error, UpstreamError::Unreachable(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn c31_the_target_is_origin_form_and_the_version_http_1_1() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let mut request = post("http://elsewhere.test/a?b", b"abc");
        request.head.version = http::Version::HTTP_2;
        let serve = async {
            let mut stream = accept(&listener).await;
            let head = head(&mut stream).await;
            assert!(head.starts_with("POST /a?b HTTP/1.1\r\n"), "{head}");
            assert!(head.contains("\r\nhost: app.test\r\n"), "{head}");
            let mut body = [0; 3];
            stream.read_exact(&mut body).await.unwrap();
            say(&mut stream, &ok("x")).await;
        };
        let (_, answer) = tokio::join!(serve, pools.send(request));
        assert_eq!(text(answer.unwrap()).await.unwrap(), "x");
    })
    .await;
}

#[tokio::test]
async fn c30_a_streamed_get_keeps_its_body() {
    core(async {
        let (listener, address) = listen().await;
        let pools = pools(upstream(&[address]));
        let body =
            http_body_util::StreamBody::new(futures_util::stream::iter([Ok::<_, BodyError>(
                http_body::Frame::data(Bytes::from_static(b"abc")),
            )]));
        let request = outgoing(Request::get("/").body(body).unwrap());
        let serve = async {
            let mut stream = accept(&listener).await;
            let head = head(&mut stream).await;
            assert!(
                head.contains("\r\ntransfer-encoding: chunked\r\n"),
                "{head}"
            );
            let mut body = [0; 13];
            stream.read_exact(&mut body).await.unwrap();
            assert_eq!(&body, b"3\r\nabc\r\n0\r\n\r\n");
            say(&mut stream, &ok("x")).await;
        };
        let (_, answer) = tokio::join!(serve, pools.send(request));
        assert_eq!(text(answer.unwrap()).await.unwrap(), "x");
    })
    .await;
}
