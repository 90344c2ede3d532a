//! Upstreams that fail: each failure by its own name, nothing sent twice that may have been acted
//! on.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::{Builder, Exchange, Recorder, Request, Scene, Token, free_port};

fn get(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

fn post(target: &str, body: &[u8]) -> Request {
    Request::post(target, body).bearer(&Token::user("5").account("12").signed())
}

#[track_caller]
fn fails(scene: &Scene, request: &Request, status: u16, reason: &str) {
    let response = scene.gateway.send(request);
    scene.check_refusal(&response, status, reason);
}

#[test]
fn nobody_there_is_unreachable() {
    let port = free_port();
    let upstream = Recorder::start();
    let gateway = Builder::new()
        .not_ready()
        .set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"http://127.0.0.1:{port}\" ] }} ]"),
        )
        .start();
    let scene = Scene { gateway, upstream };
    fails(&scene, &get("/"), 502, "upstream_unreachable");
}

#[test]
fn one_server_down_is_not_all() {
    let port = free_port();
    let upstream = Recorder::start();
    let url = upstream.url();
    let gateway = Builder::new()
        .not_ready()
        .set(
            "upstreams",
            &format!("[ {{ name: app, servers: [ \"http://127.0.0.1:{port}\", \"{url}\" ] }} ]"),
        )
        .start();
    for _ in 0..6 {
        gateway.send(&get("/")).expect_status(200);
    }
    assert_eq!(upstream.count(), 6);
}

#[test]
fn an_answer_that_does_not_come_is_a_timeout() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| exchange.wait_for_end());
    let url = upstream.url();
    let scene = Scene::before(upstream, |builder| {
        builder.set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{url}\" ], timeouts: {{ response_head: 300ms }} }} ]"
            ),
        )
    });
    fails(&scene, &get("/"), 504, "upstream_timeout");
    scene.upstream.wait_ended(1);
    assert_eq!(scene.upstream.count(), 1, "not sent again");
}

#[test]
fn a_body_that_stops_breaks_the_response() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
        exchange.wait_for_end();
    });
    let url = upstream.url();
    let scene = Scene::before(upstream, |builder| {
        builder.set(
            "upstreams",
            &format!(
                "[ {{ name: app, servers: [ \"{url}\" ], timeouts: {{ body_idle: 300ms }} }} ]"
            ),
        )
    });
    let response = scene.gateway.send(&get("/"));
    assert!(!response.end.complete);
    scene.upstream.wait_ended(1);
}

#[test]
fn c18_what_is_no_response_breaks_the_protocol() {
    for answer in [
        "nonsense\r\n\r\n",
        "HTTP/0.9\r\n\r\n",
        "HTTP/1.1 abc OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX-A: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    ] {
        let upstream = Recorder::answering(move |exchange: &mut Exchange<'_>| {
            exchange.send(answer.as_bytes());
            exchange.close();
        });
        let scene = Scene::before(upstream, |builder| builder);
        fails(&scene, &get("/"), 502, "upstream_protocol");
        assert_eq!(scene.upstream.count(), 1, "not sent again: {answer:?}");
    }
}

#[test]
fn an_upstream_that_hangs_up_may_have_acted() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.close();
    });
    let scene = Scene::before(upstream, |builder| builder);
    for request in [post("/", b"order"), get("/")] {
        let before = scene.upstream.count();
        let response = scene.gateway.send(&request);
        assert_eq!(response.status(), 502, "{}", response.text());
        assert_eq!(scene.upstream.count(), before + 1, "not sent again");
    }
}

#[test]
fn c20_a_kept_connection_that_the_upstream_closed_costs_nobody_a_request() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        exchange.body();
        exchange.respond(200, &[], b"fine");
        exchange.close();
    });
    let scene = Scene::before(upstream, |builder| builder.set("workers", "1"));
    let mut client = scene.gateway.client();
    for round in 1..=30 {
        let response = client.exchange(&get("/"));
        assert_eq!(response.status(), 200, "{round}: {}", response.text());
        scene.upstream.wait_ended(round);
    }
    assert_eq!(scene.upstream.count(), 30, "each was sent once");
}

#[test]
fn c28_a_request_that_fails_after_its_body_went_out_is_sent_once() {
    let calls = AtomicUsize::new(0);
    let upstream = Recorder::answering(move |exchange: &mut Exchange<'_>| {
        exchange.body();
        if calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            exchange.respond(200, &[], b"fine");
        } else {
            exchange.close();
        }
    });
    let scene = Scene::before(upstream, |builder| builder.set("workers", "1"));
    let mut client = scene.gateway.client();
    let statuses: Vec<u16> = (0..10)
        .map(|_| client.exchange(&post("/", b"order")).status())
        .collect();
    assert_eq!(scene.upstream.count(), 10, "{statuses:?}");
    assert_eq!(statuses, [200, 502].repeat(5));
}

#[test]
fn b25_errors_of_the_upstream_are_passed_on_as_they_are() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let status = exchange.path()[1..].parse().expect("a status");
        exchange.respond(status, &[("X-Own", "yes")], b"own words");
    });
    let scene = Scene::before(upstream, |builder| builder);
    for status in [400, 401, 403, 404, 418, 429, 431, 500, 502, 503, 504] {
        let response = scene.gateway.send(&get(&format!("/{status}")));
        assert_eq!(response.status(), status);
        assert_eq!(response.text(), "own words");
        assert_eq!(response.header("x-own"), Some("yes"));
    }
    assert_eq!(scene.upstream.count(), 11);
}
