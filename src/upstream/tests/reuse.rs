//! Which connection a request goes out on, and which it must never go out on.

use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::ids::{TenantId, UserId};

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
async fn every_clean_end_of_a_response_gives_the_connection_back() {
    core(async {
        let (listener, address) = listen().await;
        let answers = [
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nx-t: 1\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
            "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 1\r\n\r\nx",
        ];
        tokio::task::spawn_local(async move {
            let mut stream = accept(&listener).await;
            for answer in answers {
                head(&mut stream).await;
                say(&mut stream, answer).await;
            }
            head(&mut stream).await;
        });
        let pools = pools(upstream(&[address]));
        for answer in answers {
            fetch(&pools, "/").await.unwrap();
            assert_eq!(pools.idle(), 1, "{answer:?}");
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
            let mut stream = accept_request(&listener).await;
            say(&mut stream, &ok("x")).await;
            assert_eq!(head(&mut stream).await, "", "closed in order, unasked");
        };
        let ask = async {
            text(pools.dispatch(request, None).await.unwrap())
                .await
                .unwrap();
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
                let answer = text(pools.dispatch(request, None).await.unwrap())
                    .await
                    .unwrap();
                assert_eq!(answer, format!("{number} /"), "{isolate:?}");
            }
        }
    })
    .await;
}

/// A server on a thread of its own, which answers every connection's first request with its target,
/// and is then told to write a second, unsolicited response; later requests on it it answers with
/// `REUSED`.
///
/// The test waits for it without letting the core's runtime run: the poison is in the kernel, and
/// the runtime has not heard of it, when the next request leaves. That is the moment that counts.
struct Poisoner {
    address: SocketAddr,
    go: std::sync::mpsc::Sender<&'static str>,
    done: std::sync::mpsc::Receiver<()>,
}

impl Poisoner {
    fn start() -> Self {
        use std::io::{Read as _, Write as _};
        fn head(stream: &mut std::net::TcpStream) -> Option<String> {
            let (mut bytes, mut byte) = (Vec::new(), [0]);
            while !bytes.ends_with(b"\r\n\r\n") {
                stream.read_exact(&mut byte).ok()?;
                bytes.push(byte[0]);
            }
            String::from_utf8(bytes).ok()
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (go, told) = std::sync::mpsc::channel::<&'static str>();
        let (tell, done) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let first = head(&mut stream).unwrap();
                stream.write_all(ok(path_of(&first)).as_bytes()).unwrap();
                let Ok(poison) = told.recv() else { return };
                if poison == "hang up" {
                    drop(stream);
                } else {
                    stream.write_all(poison.as_bytes()).unwrap();
                    std::thread::spawn(move || {
                        if head(&mut stream).is_some() {
                            stream.write_all(ok("REUSED").as_bytes()).unwrap();
                        }
                    });
                }
                tell.send(()).unwrap();
            }
        });
        Self { address, go, done }
    }

    /// Has the second response written, without a turn of the runtime.
    fn poison(&self, with: &'static str) {
        self.go.send(with).unwrap();
        self.done.recv().unwrap();
    }
}

const POISON: &str = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nPOISON";

#[tokio::test]
async fn c10_a_second_response_is_never_the_next_requests() {
    core(async {
        let server = Poisoner::start();
        let pools = pools(upstream(&[server.address]));
        for round in 0..300 {
            let path = format!("/{round}");
            assert_eq!(fetch(&pools, &path).await.unwrap(), path);
            idle(&pools, 1).await;
            server.poison(POISON);
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
async fn c10_c20_a_post_is_not_lost_to_a_connection_that_was_spoken_on_or_closed() {
    core(async {
        let server = Poisoner::start();
        let pools = pools(upstream(&[server.address]));
        for round in 0..100 {
            let answer = pools.dispatch(post("/p", b"hello"), None).await.unwrap();
            assert_eq!(text(answer).await.unwrap(), "/p");
            idle(&pools, 1).await;
            server.poison(if round % 2 == 0 { POISON } else { "hang up" });
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
async fn c12_among_cancelled_requests_everyone_gets_his_own_answer() {
    core(async {
        let (listener, address) = listen().await;
        echo(listener);
        let pools = Rc::new(pools(upstream(&[address])));
        let answered = Rc::new(Cell::new(0));
        let callers = (0..64).map(|caller| {
            let (pools, answered) = (Rc::clone(&pools), Rc::clone(&answered));
            async move {
                for round in 0..40 {
                    let path = format!("/{caller}/{round}");
                    // Some go away after a few turns of the runtime, wherever the request is then.
                    let patience = (caller * 7 + round * 3) % 11;
                    let gives_up = async {
                        for _ in 0..patience {
                            tokio::task::yield_now().await;
                        }
                        if patience > 5 {
                            std::future::pending::<()>().await;
                        }
                    };
                    tokio::select! {
                        biased;
                        answer = fetch(&pools, &path) => {
                            let answer = answer.unwrap();
                            assert_eq!(answer.split_once(' ').unwrap().1, path);
                            answered.set(answered.get() + 1);
                        }
                        () = gives_up => {}
                    }
                }
            }
        });
        futures_util::future::join_all(callers).await;
        assert!(answered.get() >= 64 * 40 / 3, "{}", answered.get());
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
        let ((), answer) = tokio::join!(serve, pools.dispatch(request, None));
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
        let ((), answer) = tokio::join!(serve, pools.dispatch(request, None));
        assert_eq!(text(answer.unwrap()).await.unwrap(), "x");
    })
    .await;
}
