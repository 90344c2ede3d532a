//! Upgrades that are none: nothing is tunnelled that both sides did not agree on.

use std::time::Duration;

use crate::harness::{Exchange, Recorder, Request, Response, Scene, Token, upgrade_headers};

fn member(request: Request) -> Request {
    request.bearer(&Token::user("5").account("12").signed())
}

/// An upstream that switches protocols with these fields, whatever it is asked.
fn switching(fields: &'static str) -> Recorder {
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        let head = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n");
        exchange.send(head.as_bytes());
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsmuggl");
        exchange.wait_for_end();
    })
}

#[track_caller]
fn bad_gateway(scene: &Scene, request: &Request) -> Response {
    let response = scene.gateway.send(request);
    scene.check_refusal(&response, 502, "upstream_protocol");
    assert!(!response.text().contains("smuggl"));
    response
}

#[test]
fn c14_a_101_that_nobody_asked_for_is_not_tunnelled() {
    let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
    let scene = Scene::before(switching(fields), |builder| builder);
    bad_gateway(&scene, &member(Request::get("/")));
}

#[test]
fn c15_a_101_that_does_not_fit_the_handshake_is_not_tunnelled() {
    for fields in [
        "",
        "Connection: Upgrade\r\nUpgrade: websocket\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n",
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n",
    ] {
        let scene = Scene::before(switching(fields), |builder| builder);
        bad_gateway(&scene, &member(upgrade_headers(Request::get("/ws"))));
    }
}

#[test]
fn c15_bytes_behind_a_handshake_wait_for_the_101() {
    let upstream = Recorder::answering(|exchange| {
        exchange.respond(426, &[("Sec-WebSocket-Version", "13")], b"no");
    });
    let scene = Scene::before(upstream, |builder| builder);
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n";
    let mut bytes = member(upgrade_headers(Request::get("/ws"))).bytes();
    bytes.extend_from_slice(smuggled.as_bytes());
    let mut client = scene.gateway.client();
    client.send(&bytes);
    assert_eq!(client.response("GET").status(), 426);
    // What followed is another request, to be decided for itself, or is not read at all.
    if let Ok(next) = client.try_response("GET") {
        assert!([400, 401].contains(&next.status()), "{next:?}");
    }
    let raw = scene.upstream.raw(0);
    assert!(!String::from_utf8_lossy(&raw).contains("smuggled"));
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn c16_other_upgrades_are_not_passed_on() {
    let scene = Scene::new();
    for (upgrade, extra) in [
        ("h2c", Some(("HTTP2-Settings", "AAMAAABkAAQCAAAAAAIAAAAA"))),
        ("websocket, h2c", None),
        ("TLS/1.0", None),
    ] {
        let mut request = member(Request::get("/"))
            .header("Connection", "Upgrade, HTTP2-Settings")
            .header("Upgrade", upgrade);
        if let Some((name, value)) = extra {
            request = request.header(name, value);
        }
        let response = scene.gateway.send(&request);
        assert_ne!(response.status(), 101, "{upgrade}");
        if response.status() == 200 {
            let seen = scene.upstream.last();
            assert_eq!(seen.header("upgrade"), None, "{upgrade}");
            assert_eq!(seen.header("http2-settings"), None, "{upgrade}");
        } else {
            assert_eq!(response.status(), 400, "{upgrade}");
        }
    }
}

#[test]
fn c16_a_handshake_that_is_not_one_never_reaches_the_upstream_as_one() {
    let scene = Scene::new();
    let base = || {
        member(Request::get("/ws"))
            .header("Connection", "Upgrade")
            .header("Upgrade", "websocket")
    };
    let requests = [
        base().header("Sec-WebSocket-Version", "13"),
        base()
            .header("Sec-WebSocket-Version", "13")
            .header("Sec-WebSocket-Key", "short"),
        member(upgrade_headers(Request::post("/ws", b"x"))),
    ];
    for request in requests {
        let response = scene.gateway.send(&request);
        assert_ne!(response.status(), 101);
        for seen in scene.upstream.requests() {
            assert_eq!(seen.header("upgrade"), None, "{:?}", seen.head);
        }
    }
}

#[test]
fn bytes_behind_a_refused_handshake_are_not_forwarded() {
    let scene = Scene::new();
    let mut bytes = upgrade_headers(Request::get("/ws")).bytes();
    bytes.extend_from_slice(&[0x82, 0x80, 0, 0, 0, 0]);
    let mut client = scene.gateway.client();
    client.send(&bytes);
    assert_eq!(client.response("GET").status(), 401);
    assert!(scene.upstream.is_silent_for(Duration::from_millis(50)));
    scene.upstream.assert_untouched();
}
