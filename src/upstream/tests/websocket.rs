//! WebSocket handshakes through the pool, and the tunnel behind them.

use hyper_util::rt::TokioIo;

use super::*;

/// The example of RFC 6455, section 1.3.
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn handshake() -> Outgoing<Empty<Bytes>> {
    let mut request = get("/ws");
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ] {
        let value = value.parse().unwrap();
        request.head.headers.insert(name, value);
    }
    Outgoing {
        websocket: true,
        ..request
    }
}

async fn answered(
    answer: &str,
) -> (
    Result<Response<UpstreamBody>, UpstreamError>,
    TcpStream,
    Pools,
) {
    let (listener, address) = listen().await;
    let pools = pools(upstream(&[address]));
    let serve = async {
        let mut stream = accept(&listener).await;
        let head = head(&mut stream).await;
        assert!(head.contains("\r\nupgrade: websocket\r\n"), "{head}");
        say(&mut stream, answer).await;
        stream
    };
    let (stream, response) = tokio::join!(serve, pools.dispatch(handshake(), None));
    (response, stream, pools)
}

#[tokio::test]
async fn a_fitting_handshake_becomes_a_stream() {
    core(async {
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-accept: {ACCEPT}\r\n\r\nearly"
        );
        let (response, mut server, pools) = answered(&answer).await;
        let mut response = response.unwrap();
        assert_eq!(response.status(), 101);
        let upgraded = hyper::upgrade::on(&mut response).await.unwrap();
        drop(response);
        let mut stream = TokioIo::new(upgraded);
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"early");
        stream.write_all(b"hello").await.unwrap();
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"hello");
        assert_eq!(pools.idle(), 0);
        // A reset is a reset, not an orderly end.
        reset(stream.into_inner());
        let error = server.read(&mut bytes).await.unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    })
    .await;
}

#[tokio::test]
async fn c15_a_handshake_that_does_not_fit_is_withheld_and_closed() {
    core(async {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                      connection: upgrade\r\nsec-websocket-accept: d3Jvbmc=\r\n\r\n";
        let (response, mut server, pools) = answered(answer).await;
        let error = response.unwrap_err();
        assert!(matches!(error, UpstreamError::Protocol(_)), "{error}");
        assert_eq!(head(&mut server).await, "", "closed");
        assert_eq!(pools.idle(), 0);
    })
    .await;
}

#[tokio::test]
async fn c15_a_refused_handshake_is_an_ordinary_response() {
    core(async {
        let (response, _server, pools) =
            answered("HTTP/1.1 426 Upgrade Required\r\ncontent-length: 2\r\n\r\nno").await;
        let response = response.unwrap();
        assert_eq!(response.status(), 426);
        assert_eq!(text(response).await.unwrap(), "no");
        idle(&pools, 1).await;
    })
    .await;
}
