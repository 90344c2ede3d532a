//! Requests that HTTP/2 allows and HTTP/1.1 does not, and the other way round.

use crate::harness::{Exchange, H2Client, H2Request, Recorder, Scene, Token};

const H2C: &str = "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]";

fn echo() -> Recorder {
    Recorder::answering(|exchange: &mut Exchange<'_>| {
        let (body, _) = exchange.body();
        exchange.respond(200, &[], &body);
    })
}

fn scene() -> Scene {
    Scene::before(echo(), |builder| builder.set("listeners", H2C))
}

fn request(method: &str, place: &str) -> H2Request {
    let token = Token::user("5").account("12").signed();
    H2Request::new(method, place).bearer(&token)
}

#[test]
fn c29_a_streamed_body_without_a_length_arrives() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    for method in ["POST", "PUT", "PATCH", "DELETE", "GET"] {
        let before = scene.upstream.count();
        let sent = request(method, "app.test/").data(b"hel").data(b"lo");
        let response = client.send(&sent).expect("a response");
        if response.status == 200 {
            assert_eq!(response.body, b"hello", "{method}");
            let seen = scene.upstream.requests()[before].clone();
            assert_eq!(seen.body, b"hello", "{method}");
            assert!(seen.head.start.ends_with("HTTP/1.1"), "{method}");
        } else {
            assert!(
                [400, 411].contains(&response.status),
                "{method}: {response:?}"
            );
        }
    }
}

#[test]
fn a_mebibyte_comes_back_whole() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    let data: Vec<u8> = (0..1_u32 << 20).map(|index| (index % 241) as u8).collect();
    let mut sent = request("POST", "app.test/");
    for piece in data.chunks(30_000) {
        sent = sent.data(piece);
    }
    let response = client.send(&sent).expect("a response");
    assert!(response.body == data);
}

#[test]
fn c7_a_reset_upload_never_looks_complete() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    client.cancel(&request("POST", "app.test/"));
    // It may not have been begun at all; if it was, it is visibly broken.
    client
        .send(&request("GET", "app.test/next"))
        .expect("a response");
    scene.upstream.wait(|seen| seen.head.target() == "/next");
    for seen in scene.upstream.requests() {
        if seen.head.target() == "/" {
            let seen = scene
                .upstream
                .wait(|seen| seen.head.target() == "/" && seen.complete.is_some());
            assert_eq!(seen.complete, Some(false));
        }
    }
}

#[test]
fn c19_a_truncated_response_resets_its_stream_alone() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/broken" {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf");
            exchange.close();
        } else {
            exchange.respond(200, &[], b"whole");
        }
    });
    let scene = Scene::before(upstream, |builder| builder.set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    let broken = client.send(&request("GET", "app.test/broken"));
    assert!(broken.is_err(), "{broken:?}");
    let whole = client
        .send(&request("GET", "app.test/x"))
        .expect("a response");
    assert_eq!(whole.body, b"whole");
}

#[test]
fn b19_an_authority_and_a_host_that_differ_are_refused() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    let response = client.send(&request("GET", "app.test/").header("host", "other.test"));
    if let Ok(response) = response {
        assert!([400, 421].contains(&response.status), "{response:?}");
    }
    let same = client.send(&request("GET", "app.test/").header("host", "app.test"));
    assert_eq!(same.expect("a response").status, 200);
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn c17_connect_opens_no_tunnel() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    if let Ok(response) = client.send(&request("CONNECT", "app.test:443")) {
        assert!(response.status >= 400, "{response:?}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn d2_paths_are_read_as_strictly() {
    let scene = scene();
    let client = H2Client::clear(scene.gateway.address());
    for path in [
        "/a/../b",
        "/a/%2e%2e/b",
        "//b",
        "/a%2fb",
        "/a;b",
        "/a%00",
        "/%2561",
    ] {
        let response = client.send(&request("GET", &format!("app.test{path}")));
        let response = response.expect("a response");
        assert_eq!(response.status, 400, "{path}");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn answers_without_a_body_end_their_stream() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| match exchange.path() {
        "/204" => exchange.respond(204, &[], b""),
        "/304" => exchange.respond(304, &[("ETag", "\"x\"")], b""),
        _ => exchange.respond(
            200,
            &[("Connection", "keep-alive"), ("Keep-Alive", "timeout=5")],
            b"x",
        ),
    });
    let scene = Scene::before(upstream, |builder| builder.set("listeners", H2C));
    let client = H2Client::clear(scene.gateway.address());
    for (method, path, status, body) in [
        ("GET", "/204", 204, b"".as_slice()),
        ("GET", "/304", 304, b""),
        ("HEAD", "/", 200, b""),
        ("GET", "/", 200, b"x"),
    ] {
        let response = client
            .send(&request(method, &format!("app.test{path}")))
            .expect("a response");
        assert_eq!(response.status, status, "{method} {path}");
        assert_eq!(response.body, body, "{method} {path}");
        for name in ["connection", "keep-alive", "transfer-encoding"] {
            assert!(!response.headers.contains_key(name), "{name}");
        }
    }
}
