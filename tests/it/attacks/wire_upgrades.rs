//! C14 to C17: nothing is tunnelled that both sides did not agree on.

use std::time::Duration;

use super::frames::{End, Frames, headers};
use super::support::Attack;
use super::wire_bodies::H2C;
use crate::harness::{Exchange, Recorder, echo_messages, upgrade_headers};

/// The `Sec-WebSocket-Accept` of the harness's key.
const ACCEPT: &str = "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";
const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
const VERSION: &str = "Sec-WebSocket-Version: 13\r\n";
const UP: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const SMUGGLED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsmuggl";

fn switching(fields: String) -> Recorder {
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        if exchange.path() == "/calm" {
            exchange.respond(200, &[], b"calm");
            return;
        }
        exchange.send(format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\n").as_bytes());
        exchange.send(SMUGGLED);
        exchange.wait_for_end();
    })
}

#[test]
fn c14_an_unsolicited_101_closes_both_sides() {
    let fields = format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}");
    for (method, upgrade) in [
        ("GET", ""),
        ("POST", ""),
        ("GET", "Connection: Upgrade\r\nUpgrade: h2c\r\n"),
    ] {
        let attack = Attack::before(switching(fields.clone()));
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("{method} / HTTP/1.1\r\n{{auth}}{upgrade}\r\n")));
        let response = client.response(method);
        attack
            .scene
            .check_refusal(&response, 502, "upstream_protocol");
        assert!(!response.text().contains("smuggl"));
        attack.upstream().wait_ended(1);
        // The client's connection is still HTTP: what it sends is a request, decided for itself.
        client.send(b"GET /next HTTP/1.1\r\nHost: app.test\r\n\r\n");
        if let Ok(next) = client.try_response("GET") {
            assert_eq!(next.status(), 401);
        }
        assert_eq!(attack.upstream().count(), 1);
        drop(client);
        attack.calm();
    }
}

#[test]
fn c15_a_refused_handshake_is_relayed_and_never_a_tunnel() {
    for status in [200, 400, 403, 426] {
        let upstream = Recorder::answering(move |exchange: &mut Exchange<'_>| {
            if exchange.path() == "/calm" {
                exchange.respond(200, &[], b"calm");
            } else {
                exchange.respond(status, &[("Sec-WebSocket-Version", "13")], b"no");
            }
        });
        let attack = Attack::before(upstream);
        let mut bytes = upgrade_headers(attack.request("GET", "/ws")).bytes();
        bytes.extend_from_slice(b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let mut client = attack.client();
        client.send(&bytes);
        let response = client.response("GET");
        assert_eq!(
            (response.status(), response.text().as_str()),
            (status, "no")
        );
        attack.audited(&response);
        if let Ok(next) = client.try_response("GET") {
            assert_eq!(next.status(), 401);
        }
        assert_eq!(attack.upstream().count(), 1);
        let raw = attack.upstream().raw(0);
        assert!(!String::from_utf8_lossy(&raw).contains("smuggled"));
        drop(client);
        attack.calm();
    }
}

#[test]
fn c15_a_101_that_does_not_fit_is_a_bad_gateway() {
    for fields in [
        String::new(),
        "Connection: Upgrade\r\nUpgrade: websocket\r\n".to_owned(),
        format!("Connection: Upgrade\r\nUpgrade: h2c\r\n{ACCEPT}"),
        format!("Connection: Upgrade\r\n{ACCEPT}"),
        format!("Upgrade: websocket\r\n{ACCEPT}"),
        format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}{ACCEPT}"),
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n".to_owned(),
        format!("Connection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}Sec-WebSocket-Protocol: never\r\n"),
    ] {
        let attack = Attack::before(switching(fields));
        let response = attack.gateway().send(&upgrade_headers(attack.request("GET", "/ws")));
        attack.scene.check_refusal(&response, 502, "upstream_protocol");
        assert!(!response.text().contains("smuggl"));
        attack.upstream().wait_ended(1);
        attack.calm();
    }
}

#[test]
fn c16_upgrades_other_than_a_websocket_go_no_further() {
    let attack = Attack::new();
    for upgrade in ["h2c", "TLS/1.0", "foo/2", "websocketx"] {
        let text = format!(
            "GET / HTTP/1.1\r\n{{auth}}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n\r\n"
        );
        let mut client = attack.client();
        client.send(&attack.bytes(&text));
        let response = client.response("GET").expect_status(200);
        attack.audited(&response);
        let seen = attack.upstream().last();
        for name in ["upgrade", "http2-settings", "connection"] {
            assert!(seen.header(name).is_none(), "{upgrade}: {:?}", seen.head);
        }
    }
    attack.calm();
}

#[test]
fn c16_a_handshake_that_is_none_is_refused() {
    let attack = Attack::new();
    for text in [
        format!(
            "GET /ws HTTP/1.1\r\n{{auth}}Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n{KEY}{VERSION}\r\n"
        ),
        format!("GET /ws HTTP/1.1\r\n{{auth}}{UP}Upgrade: h2c\r\n{KEY}{VERSION}\r\n"),
        format!("POST /ws HTTP/1.1\r\n{{auth}}{UP}{KEY}{VERSION}\r\n"),
        format!("GET /ws HTTP/1.1\r\n{{auth}}{UP}{KEY}{VERSION}Content-Length: 1\r\n\r\nx"),
        format!("GET /ws HTTP/1.1\r\n{{auth}}{UP}{VERSION}\r\n"),
        format!("GET /ws HTTP/1.1\r\n{{auth}}{UP}{KEY}{KEY}{VERSION}\r\n"),
        format!("GET /ws HTTP/1.1\r\n{{auth}}{UP}{KEY}Sec-WebSocket-Version: 8\r\n\r\n"),
        format!("GET /ws HTTP/1.1\r\n{{auth}}Upgrade: websocket\r\n{KEY}{VERSION}\r\n"),
        format!("GET /ws HTTP/1.0\r\n{{auth}}{UP}{KEY}{VERSION}\r\n"),
    ] {
        attack
            .refused(&text, 400, &["malformed_request"])
            .expect("a reason");
    }
    attack.calm();
}

/// Bytes behind a good handshake wait for the 101 and then belong to the WebSocket, in order.
#[test]
fn c16_bytes_before_the_101_are_not_forwarded_before_it() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/calm" {
            exchange.respond(200, &[], b"calm");
            return;
        }
        echo_messages(exchange);
    });
    let attack = Attack::before(upstream);
    let mut bytes = upgrade_headers(attack.request("GET", "/ws")).bytes();
    bytes.extend_from_slice(&[0x82, 0x82, 0, 0, 0, 0, b'h', b'i']);
    let mut client = attack.client();
    client.send(&bytes);
    assert_eq!(client.head().status(), 101);
    let mut answer = Vec::new();
    while answer.len() < 4 {
        let Ok(raw) = client.some() else { break };
        answer.extend(raw);
    }
    assert_eq!(answer, [0x82, 2, b'h', b'i']);
    drop(client);
    attack.calm();
}

#[test]
fn c17_connect_opens_no_tunnel() {
    let attack = Attack::new();
    for target in [
        "app.test:443",
        "app.test:80",
        "127.0.0.1:22",
        "/",
        "http://app.test/",
    ] {
        let mut client = attack.client();
        client.send(&attack.bytes(&format!("CONNECT {target} HTTP/1.1\r\n{{auth}}\r\n")));
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: app.test\r\n\r\n");
        let response = client.response("GET");
        assert!(
            [400, 405].contains(&response.status()),
            "{target}: {response:?}"
        );
        if let Some(reason) = response.reason() {
            attack
                .scene
                .check_refusal(&response, response.status(), &reason);
        }
        assert!(
            client.rest().is_empty(),
            "what follows a CONNECT is nobody's request"
        );
        attack.upstream().assert_untouched();
    }
    attack.calm();
}

#[test]
fn c17_connect_over_http2_opens_no_tunnel() {
    let attack = Attack::with(|builder| builder.set("listeners", H2C));
    let bearer = format!("Bearer {}", attack.token);
    let authorization = ("authorization", bearer.as_str());
    let plain = [
        (":method", "CONNECT"),
        (":authority", "app.test:443"),
        authorization,
    ];
    let extended = [
        (":method", "CONNECT"),
        (":scheme", "http"),
        (":authority", "app.test"),
        (":path", "/ws"),
        (":protocol", "websocket"),
        ("sec-websocket-version", "13"),
        authorization,
    ];
    for fields in [&plain[..], &extended] {
        let mut client = Frames::open(attack.gateway().address(), &[]);
        client.send(&headers(1, fields, false));
        let end = client.end_of(1);
        match &end {
            End::Answered(_) => {
                let reason = end.reason();
                assert!(
                    ["method_not_allowed", "malformed_request"]
                        .contains(&reason.as_deref().unwrap_or("")),
                    "{end:?}"
                );
            }
            End::Reset(_) | End::Connection(Some(_)) => {}
            End::Connection(None) => panic!("{end:?}"),
        }
        attack.upstream().assert_untouched();
    }
    assert!(attack.upstream().is_silent_for(Duration::from_millis(50)));
    attack.calm();
}

/// A stream whose lease ends while the upstream is in the middle of a frame cannot be told by a
/// Close frame: it is reset, so that half a message is not taken for a whole one.
#[test]
fn c19_a_websocket_that_ends_within_a_frame_is_reset_on_both_sides() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/calm" {
            exchange.respond(200, &[], b"calm");
            return;
        }
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n{ACCEPT}\r\n"
        );
        exchange.send(head.as_bytes());
        // The beginning of a frame of 100 bytes, and never the rest.
        exchange.send(&[0x82, 100, b'h', b'a', b'l', b'f']);
        exchange.wait_for_end();
    });
    let attack = Attack::on(crate::harness::Scene::before(upstream, |builder| {
        builder.set("streams", "{ close_grace: 200ms }")
    }));
    let mut client = attack.client();
    client.send(&upgrade_headers(attack.request("GET", "/ws")).bytes());
    assert_eq!(client.head().status(), 101);
    let mut half = Vec::new();
    while half.len() < 6 {
        half.extend(client.some().expect("half a frame"));
    }
    attack.gateway().move_users("users:\n  - { user: \"5\", account: \"99\", active: true }\n  - { user: \"7\", account: \"14\", active: true }\n");
    let end = client.some();
    let error = end.expect_err("a reset, not an end in order");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    attack.upstream().wait_ended(1);
    drop(client);
    attack.calm();
}
