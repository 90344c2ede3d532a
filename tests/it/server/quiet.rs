//! Public routes whose audit log holds refusals alone: what was answered leaves no line, everything
//! else does.

use crate::harness::{
    Gate, PATIENCE, Recorder, Request, Scene, Token, WebSocket, echo_messages, until,
    upgrade_headers,
};

const ROUTES: &str = "[ { match: { path: /assets }, access: public, audit: refusals, limits: { body: 5 }, upstream: app },
  { match: { path: / }, access: member, upstream: app } ]";

const IN_FLIGHT: &str = "countersign_requests_in_flight";
/// Audit lines that there was no room for.
const DROPPED: &str = "countersign_audit_dropped_total";

fn quiet(upstream: Recorder) -> Scene {
    Scene::before(upstream, |builder| builder.set("routes", ROUTES))
}

fn member(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

/// Every path that has a line once the gateway has written all it will.
fn recorded(mut scene: Scene) -> Vec<String> {
    scene.gateway.process.end(PATIENCE);
    let path = |line: &serde_json::Value| line["path"].as_str().unwrap_or_default().to_owned();
    scene.gateway.audit_lines().iter().map(path).collect()
}

#[test]
fn what_was_answered_leaves_no_line_and_is_counted() {
    let scene = quiet(Recorder::start());
    for number in 0..3 {
        // Neither a credential nor an upgrade that is no WebSocket makes a difference.
        let request = member(&format!("/assets/{number}.css"))
            .header("Connection", "Upgrade")
            .header("Upgrade", "h2c");
        let (response, seen) = scene.passes(&request);
        assert!(response.header("x-request-id").is_some());
        assert!(seen.header("x-auth-user-id").is_none());
    }
    scene.passes_as(&member("/home"), "match");
    let metrics = scene.gateway.admin(&Request::get("/metrics")).text();
    let counted = "countersign_decisions_total{reason=\"public\"} 3\n";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(recorded(scene), ["/home"]);
}

#[test]
fn what_is_refused_or_fails_has_its_line() {
    let upstream = Recorder::answering(|exchange| match exchange.path() {
        "/assets/broken" => exchange.close(),
        "/assets/switches" => {
            exchange.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
            );
            exchange.wait_for_end();
        }
        _ => exchange.respond(200, &[], b"css"),
    });
    let scene = quiet(upstream);
    for (request, status, reason) in [
        (
            Request::post("/assets/large", b"123456"),
            413,
            "body_too_large",
        ),
        (Request::get("/assets/broken"), 502, "upstream_protocol"),
        (Request::get("/assets/switches"), 502, "upstream_protocol"),
    ] {
        let response = scene.gateway.send(&request);
        scene.check_refusal(&response, status, reason);
        assert_eq!(scene.audit_of(&response)["decision"], "deny");
    }
}

#[test]
fn a_client_that_leaves_before_its_answer_leaves_no_line() {
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            exchange.respond(200, &[], b"late");
        }
    });
    let scene = quiet(upstream);
    let mut client = scene.gateway.client();
    client.send(&Request::get("/assets/given-up").bytes());
    scene
        .upstream
        .wait(|seen| seen.head.target() == "/assets/given-up");
    client.abort();
    until("it is over", || scene.gateway.metric(IN_FLIGHT) == 0);
    gate.open();
    assert!(recorded(scene).is_empty());
}

#[test]
fn a_websocket_has_both_its_lines() {
    let scene = quiet(Recorder::answering(|exchange| {
        echo_messages(exchange);
    }));
    let request = upgrade_headers(Request::get("/assets/live"));
    let mut socket = WebSocket::open(scene.gateway.address(), &request);
    socket.echo("hello");
    let line = scene.gateway.audit(|line| line["decision"] == "allow");
    assert_eq!(line["path"], "/assets/live", "{line}");
    socket.close();
    let line = scene
        .gateway
        .audit(|line| line["decision"] == "stream_closed");
    assert_eq!(line["path"], "/assets/live", "{line}");
}

#[test]
fn a_handshake_that_the_upstream_declines_has_its_line() {
    let scene = quiet(Recorder::answering(|exchange| {
        exchange.respond(426, &[], b"no");
    }));
    let request = upgrade_headers(Request::get("/assets/live"));
    let response = scene.gateway.send(&request);
    assert_eq!(response.status(), 426);
    assert_eq!(scene.audit_of(&response)["decision"], "allow");
}

#[test]
fn an_audit_log_that_is_full_does_not_hold_it_up() {
    let mut held = None;
    let scene = Scene::before(Recorder::start(), |builder| {
        held = Some(builder.pipe("pipe"));
        builder
            .set("routes", ROUTES)
            .set("audit", "{ sink: { file: pipe }, when_full: block }")
    });
    let mut client = scene.gateway.client();
    let nobody = Request::get("/home");
    let full = (0..20_000).any(|_| client.exchange(&nobody).status() == 503);
    assert!(full, "the queue has no end");
    let response = client.exchange(&member("/home"));
    assert_eq!(response.reason().as_deref(), Some("overloaded"));
    scene.upstream.assert_untouched();
    let response = client.exchange(&Request::get("/assets/app.css"));
    assert_eq!(response.status(), 200);
    // A refusal waits for a place, and is not forgotten with the client that does not wait for it.
    let dropped = scene.gateway.metric(DROPPED);
    let mut client = scene.gateway.client();
    client.send(&nobody.bytes());
    until("it waits", || scene.gateway.metric(IN_FLIGHT) == 1);
    client.abort();
    until("it is counted", || scene.gateway.metric(DROPPED) > dropped);
    // Somebody reads it at last, so that the process can end.
    drop(held);
}
