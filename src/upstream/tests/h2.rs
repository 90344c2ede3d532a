//! HTTP/2 upstreams, against a server that is not ours.

use std::cell::Cell;
use std::rc::Rc;

use super::*;

/// Serves HTTP/2 by prior knowledge: answers each request with the connection's number, its method,
/// URI and whatever it said of Host, and sends its body back.
fn serve(listener: TcpListener) -> Rc<Cell<usize>> {
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    tokio::task::spawn_local(async move {
        loop {
            let tcp = accept(&listener).await;
            let number = count.get();
            count.set(number + 1);
            tokio::task::spawn_local(async move {
                let mut connection = ::h2::server::handshake(tcp).await.unwrap();
                while let Some(Ok((request, mut respond))) = connection.accept().await {
                    tokio::task::spawn_local(async move {
                        let (head, mut body) = request.into_parts();
                        let mut bytes = Vec::new();
                        while let Some(Ok(chunk)) = body.data().await {
                            let _ = body.flow_control().release_capacity(chunk.len());
                            bytes.extend_from_slice(&chunk);
                        }
                        let host = head.headers.contains_key("host");
                        let answer = format!(
                            "{number} {} {} {host} {}",
                            head.method,
                            head.uri,
                            String::from_utf8_lossy(&bytes)
                        );
                        let mut stream = respond.send_response(Response::new(()), false).unwrap();
                        stream.send_data(answer.into(), true).unwrap();
                    });
                }
            });
        }
    });
    connections
}

fn h2c(address: SocketAddr) -> Upstream {
    Upstream {
        protocol: UpstreamProtocol::H2c,
        ..upstream(&[address])
    }
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    core(async {
        let (listener, address) = listen().await;
        let connections = serve(listener);
        let pools = pools(h2c(address));
        let all = (0..50).map(|n| {
            let pools = &pools;
            async move { (n, fetch(pools, &format!("/{n}?q")).await.unwrap()) }
        });
        for (n, answer) in futures_util::future::join_all(all).await {
            assert_eq!(answer, format!("0 GET http://app.test/{n}?q false "));
        }
        assert_eq!(connections.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn c29_a_body_arrives_whole_and_connection_headers_do_not() {
    core(async {
        let (listener, address) = listen().await;
        serve(listener);
        let pools = pools(h2c(address));
        let mut request = post("/p", b"hello");
        let headers = &mut request.head.headers;
        headers.insert("connection", "keep-alive".parse().unwrap());
        headers.insert("keep-alive", "x".parse().unwrap());
        headers.insert("te", "gzip".parse().unwrap());
        let answer = text(pools.dispatch(request, None).await.unwrap())
            .await
            .unwrap();
        assert_eq!(answer, "0 POST http://app.test/p false hello");
    })
    .await;
}

#[tokio::test]
async fn isolation_and_no_reuse_hold_over_http_2_too() {
    core(async {
        let (listener, address) = listen().await;
        let connections = serve(listener);
        let isolated = pools(Upstream {
            isolate: Isolate::Tenant,
            ..h2c(address)
        });
        for tenant in ["a", "b", "a", "b"] {
            let mut request = get("/");
            request.isolation = Some(IsolationKey {
                tenant: crate::ids::TenantId::parse(tenant).unwrap(),
                user: None,
            });
            text(isolated.dispatch(request, None).await.unwrap())
                .await
                .unwrap();
        }
        assert_eq!(connections.get(), 2);
        let single = pools(Upstream {
            reuse: false,
            ..h2c(address)
        });
        for _ in 0..3 {
            fetch(&single, "/").await.unwrap();
        }
        assert_eq!(connections.get(), 5);
    })
    .await;
}

#[tokio::test]
async fn a_websocket_handshake_is_refused_in_words() {
    core(async {
        let (_listener, address) = listen().await;
        let pools = pools(h2c(address));
        let request = Outgoing {
            websocket: true,
            ..get("/ws")
        };
        let error = pools.dispatch(request, None).await.unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{error}");
    })
    .await;
}

#[tokio::test]
async fn over_tls_http_2_must_be_agreed_on() {
    core(async {
        let authority = super::tls::Authority::new();
        let (listener, address) = listen().await;
        let acceptor = authority.acceptor("app.internal", &["http/1.1"]);
        tokio::task::spawn_local(async move {
            loop {
                let tcp = accept(&listener).await;
                drop(acceptor.accept(tcp).await);
            }
        });
        let mut config = upstream(&[address]);
        config.protocol = UpstreamProtocol::Http2;
        config.servers[0].tls = true;
        config.tls_ca = Some(authority.ca_file());
        config.tls_server_name = Some("app.internal".to_owned());
        assert!(fetch(&pools(config), "/").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn a_slow_head_is_a_timeout_and_does_not_end_the_others() {
    core(async {
        let (listener, address) = listen().await;
        tokio::task::spawn_local(async move {
            let tcp = accept(&listener).await;
            let mut connection = ::h2::server::handshake(tcp).await.unwrap();
            let mut held = Vec::new();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if request.uri().path() == "/slow" {
                    held.push(respond);
                } else {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        });
        let pools = pools(h2c(address));
        fetch(&pools, "/").await.unwrap();
        let mut slow = get("/slow");
        slow.timeouts.response_head = SHORT;
        assert_eq!(
            pools.dispatch(slow, None).await.unwrap_err(),
            UpstreamError::Timeout
        );
        fetch(&pools, "/").await.unwrap();
        assert_eq!(pools.metrics().upstream_connects.get(), 1);
    })
    .await;
}

#[tokio::test]
async fn c7_a_failed_upload_resets_its_stream() {
    core(async {
        let (listener, address) = listen().await;
        let (tell, told) = tokio::sync::oneshot::channel();
        tokio::task::spawn_local(async move {
            let tcp = accept(&listener).await;
            let mut connection = ::h2::server::handshake(tcp).await.unwrap();
            let (request, _respond) = connection.accept().await.unwrap().unwrap();
            let mut body = request.into_body();
            tokio::task::spawn_local(async move {
                while let Some(chunk) = body.data().await {
                    if chunk.is_err() {
                        return tell.send(true).unwrap();
                    }
                }
                tell.send(false).unwrap();
            });
            while connection.accept().await.is_some() {}
        });
        let pools = pools(h2c(address));
        let chunks = [
            Ok(http_body::Frame::data(Bytes::from_static(b"half"))),
            Err(std::io::Error::from(std::io::ErrorKind::ConnectionReset)),
        ];
        let body = http_body_util::StreamBody::new(futures_util::stream::iter(chunks));
        let request = outgoing(Request::post("/").body(body).unwrap());
        let error = pools.dispatch(request, None).await.unwrap_err();
        assert_eq!(error, UpstreamError::RequestBody);
        assert!(told.await.unwrap(), "the body ended in an error");
    })
    .await;
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_time() {
    core(async {
        let (listener, address) = listen().await;
        let mut config = h2c(address);
        config.timeouts.pool_idle = SHORT;
        let pools = pools(config);
        let serve = async {
            let tcp = accept(&listener).await;
            let mut connection = ::h2::server::handshake(tcp).await.unwrap();
            while let Some(Ok((_, mut respond))) = connection.accept().await {
                respond.send_response(Response::new(()), true).unwrap();
            }
        };
        let ((), answer) = tokio::join!(serve, fetch(&pools, "/"));
        answer.unwrap();
    })
    .await;
}
