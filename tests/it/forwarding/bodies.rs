//! Requests with bodies: every framing arrives whole, and half a body never looks like a whole one.

use crate::harness::{Client, Exchange, Gate, Recorder, Request, Scene, Token};

fn post(target: &str) -> Request {
    Request::new("POST", target).bearer(&Token::user("5").account("12").signed())
}

fn echo_upstream() -> Recorder {
    Recorder::answering(|exchange: &mut Exchange<'_>| {
        let (body, _) = exchange.body();
        exchange.respond(200, &[], &body);
    })
}

fn pattern(length: usize) -> Vec<u8> {
    (0..=252).cycle().take(length).collect()
}

#[test]
fn a_mebibyte_comes_back_whole_in_either_framing() {
    let scene = Scene::before(echo_upstream(), |builder| builder);
    let data = pattern(1 << 20);
    let response = scene
        .gateway
        .send(&post("/").body(&data))
        .expect_status(200);
    assert!(response.body == data && response.end.complete);
    let pieces: Vec<&[u8]> = data.chunks(9_973).collect();
    let response = scene
        .gateway
        .send(&post("/").chunks(&pieces, &[]))
        .expect_status(200);
    assert!(response.body == data && response.end.complete);
    for seen in scene.upstream.requests() {
        assert!(seen.body == data);
        let framings =
            seen.head.all("content-length").len() + seen.head.all("transfer-encoding").len();
        assert_eq!(framings, 1, "{:?}", seen.head);
    }
}

#[test]
fn c8_c30_a_body_is_forwarded_whatever_the_method() {
    let scene = Scene::before(echo_upstream(), |builder| builder);
    for method in [
        "GET", "DELETE", "PUT", "PATCH", "OPTIONS", "POST", "PROPFIND",
    ] {
        let base = || Request::new(method, "/").bearer(&Token::user("5").account("12").signed());
        for request in [base().body(b"hello"), base().chunks(&[b"hel", b"lo"], &[])] {
            let before = scene.upstream.count();
            let response = scene.gateway.send(&request);
            if response.status() == 200 {
                let seen = scene.upstream.requests()[before].clone();
                assert_eq!(seen.body, b"hello", "{method}");
                assert_eq!(response.body, b"hello", "{method}");
            } else {
                assert!(
                    [400, 411].contains(&response.status()),
                    "{method}: {response:?}"
                );
            }
        }
    }
}

#[test]
fn an_upload_arrives_while_it_is_sent() {
    let gate = Gate::default();
    let scene = Scene::before(
        Recorder::answering({
            let gate = gate.clone();
            move |exchange: &mut Exchange<'_>| {
                assert_eq!(exchange.chunk(), b"first");
                gate.open();
                while !exchange.chunk().is_empty() {}
                exchange.respond(200, &[], b"done");
                exchange.close();
            }
        }),
        |builder| builder,
    );
    let mut client = scene.gateway.client();
    client.send(
        &post("/")
            .header("Transfer-Encoding", "chunked")
            .head_bytes(),
    );
    client.send(b"5\r\nfirst\r\n");
    gate.pass();
    client.send(b"6\r\nsecond\r\n0\r\n\r\n");
    assert_eq!(client.response("POST").text(), "done");
}

/// The upstream must see that this upload broke off.
#[track_caller]
fn looks_broken(scene: &Scene) {
    let seen = scene.upstream.wait(|seen| seen.complete.is_some());
    assert_eq!(seen.complete, Some(false), "{:?}", seen.head);
    let raw = scene.upstream.raw(seen.connection);
    assert!(!raw.ends_with(b"0\r\n\r\n"), "a clean end");
}

#[test]
fn c7_an_aborted_upload_never_looks_complete() {
    let chunked = |client: &mut Client| {
        client.send(
            &post("/")
                .header("Transfer-Encoding", "chunked")
                .head_bytes(),
        );
        client.send(b"5\r\nhello\r\n");
    };
    let counted = |client: &mut Client| {
        client.send(&post("/").header("Content-Length", "10").head_bytes());
        client.send(b"hello");
    };
    for begin in [&chunked as &dyn Fn(&mut Client), &counted] {
        for abrupt in [true, false] {
            let scene = Scene::before(echo_upstream(), |builder| builder);
            let mut client = scene.gateway.client();
            begin(&mut client);
            scene.upstream.wait(|seen| seen.body_length == 5);
            if abrupt {
                client.abort();
            } else {
                drop(client);
            }
            looks_broken(&scene);
        }
    }
}

#[test]
fn c6_a_body_with_bad_chunks_never_looks_complete() {
    for bad in [
        "0x2\r\nab\r\n",
        "zz\r\n",
        "-1\r\n",
        "FFFFFFFFFFFFFFFFF\r\nab\r\n",
        "2\r\nabXX\r\n0\r\n\r\n",
    ] {
        let scene = Scene::before(echo_upstream(), |builder| builder);
        let mut client = scene.gateway.client();
        client.send(
            &post("/")
                .header("Transfer-Encoding", "chunked")
                .head_bytes(),
        );
        client.send(b"5\r\nhello\r\n");
        scene.upstream.wait(|seen| seen.body_length == 5);
        client.send(bad.as_bytes());
        looks_broken(&scene);
    }
}

#[test]
fn b24_a_refused_request_is_never_told_to_continue() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    let request = Request::new("POST", "/")
        .header("Expect", "100-continue")
        .header("Content-Length", "5");
    client.send(&request.head_bytes());
    assert_eq!(client.head().status(), 401);
    scene.upstream.assert_untouched();
}

#[test]
fn an_allowed_request_is_told_to_continue() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    client.send(
        &post("/")
            .header("Expect", "100-continue")
            .header("Content-Length", "5")
            .head_bytes(),
    );
    assert_eq!(client.head().status(), 100);
    client.send(b"hello");
    let response = client.response("POST").expect_status(200);
    assert_eq!(response.json()["body_length"], 5);
}

#[test]
fn c9_an_early_answer_is_delivered_and_its_connection_not_used_again() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path() == "/early" {
            exchange.respond(413, &[], b"too much");
            exchange.wait_for_end();
        } else {
            exchange.body();
            exchange.respond(200, &[], b"fine");
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    let mut client = scene.gateway.client();
    client.send(
        &post("/early")
            .header("Content-Length", "1000000")
            .head_bytes(),
    );
    client.send(&[0; 1000]);
    let response = client.response("POST");
    assert_eq!(response.status(), 413);
    assert_eq!(response.text(), "too much");
    let response = scene.gateway.send(&post("/next").body(b"x"));
    assert_eq!(response.text(), "fine");
    let requests = scene.upstream.requests();
    assert_ne!(requests[0].connection, requests[1].connection);
}

#[test]
fn a_body_above_the_limit_is_refused() {
    let scene = Scene::with(|builder| builder.set("limits", "{ body: 1KiB }"));
    let stated = post("/").body(&[0; 2000]);
    scene.refuses(&stated, 413, "body_too_large");
    scene.passes(&post("/").body(&[0; 1024]));
}

#[test]
fn c24_a_body_that_grows_above_the_limit_breaks_off() {
    let scene = Scene::with(|builder| builder.set("limits", "{ body: 1KiB }"));
    let mut client = scene.gateway.client();
    client.send(
        &post("/")
            .header("Transfer-Encoding", "chunked")
            .head_bytes(),
    );
    let mut data = b"200\r\n".to_vec();
    data.extend([0; 0x200]);
    data.extend(b"\r\n");
    for _ in 0..5 {
        let _ = client.try_send(&data);
    }
    let response = client.response("POST");
    assert_eq!(response.status(), 413, "{}", response.text());
    assert_eq!(response.reason().as_deref(), Some("body_too_large"));
    for seen in scene.upstream.requests() {
        assert_ne!(seen.complete, Some(true));
    }
}
