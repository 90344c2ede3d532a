//! SIGTERM: not ready first, what is in flight ends well, streams are told, then it is over.

use std::time::Duration;

use crate::harness::{
    Client, Ended, Exchange, Gate, PATIENCE, Recorder, Request, Scene, Token, WebSocket,
    echo_messages, until, upgrade_headers,
};

fn member(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

fn metrics(scene: &Scene) -> String {
    scene.gateway.admin(&Request::get("/metrics")).text()
}

fn scene(gate: &Gate, drain: &str) -> Scene {
    let gate = gate.clone();
    let upstream = Recorder::answering(move |exchange: &mut Exchange<'_>| match exchange.path() {
        "/slow" => {
            gate.pass();
            exchange.respond(200, &[], b"finished");
        }
        "/ws" => {
            echo_messages(exchange);
        }
        "/download" => {
            exchange.begin_chunked(&[("Content-Type", "application/octet-stream")]);
            exchange.send_chunk(b"first ");
            gate.pass();
            exchange.send_chunk(b"last");
            exchange.end_chunks();
        }
        "/events" => {
            exchange.begin_chunked(&[("Content-Type", "text/event-stream")]);
            exchange.send_chunk(b"data: 1\n\n");
            gate.pass();
        }
        _ => exchange.respond(200, &[], b"quick"),
    });
    Scene::before(upstream, |builder| builder.set("drain", drain))
}

#[test]
fn f17_what_is_in_flight_is_finished_and_the_exit_is_clean() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 15s }");
    let mut slow = scene.gateway.client();
    slow.send(&member("/slow").bytes());
    scene.upstream.wait(|seen| seen.head.target() == "/slow");
    scene.gateway.process.signal("TERM");
    // New connections are no longer taken, or at once told that it is over.
    let address = scene.gateway.address();
    until("no new requests are served", || {
        let Ok(mut client) = Client::try_connect(address) else {
            return true;
        };
        let _ = client.try_send(&member("/new").bytes());
        !client
            .try_response("GET")
            .is_ok_and(|response| response.status() == 200)
    });
    gate.open();
    let response = slow.response("GET");
    assert_eq!(response.text(), "finished");
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
}

#[test]
fn readiness_ends_first() {
    let gate = Gate::default();
    let scene = scene(&gate, "{ delay: 20s, timeout: 5s }");
    scene.gateway.process.signal("TERM");
    until("it says that it is not ready", || {
        scene.gateway.admin(&Request::get("/readyz")).status() == 503
    });
    // Until everybody has noticed that, requests are served.
    scene.passes(&member("/"));
    scene
        .gateway
        .admin(&Request::get("/healthz"))
        .expect_status(200);
}

#[test]
fn websockets_are_told_that_the_server_goes_away() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 10s }");
    let mut socket = WebSocket::open(scene.gateway.address(), &upgrade_headers(member("/ws")));
    socket.echo("x");
    scene.gateway.process.signal("TERM");
    assert_eq!(socket.ended(), Ended::Code(1001));
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
}

/// A second is when an exchange begins to count as a stream.
#[test]
fn long_downloads_and_slow_answers_are_finished_and_event_streams_ended() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 30s }");
    let ask = |target: &str| {
        let mut client = scene.gateway.client();
        client.send(&member(target).bytes());
        scene.upstream.wait(|seen| seen.head.target() == target);
        client
    };
    let (mut download, mut slow, mut events) = (ask("/download"), ask("/slow"), ask("/events"));
    until("both responses that have begun count as streams", || {
        metrics(&scene).contains("countersign_streams 2\n")
    });
    scene.gateway.process.signal("TERM");
    // Its end is visible, and is no regular one.
    assert_eq!(events.head().status(), 200);
    assert!(!String::from_utf8_lossy(&events.rest()).ends_with("0\r\n\r\n"));
    gate.open();
    assert_eq!(download.response("GET").text(), "first last");
    assert_eq!(slow.response("GET").text(), "finished");
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
}

#[test]
fn idle_connections_do_not_hold_it_up() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 60s }");
    let mut idle = scene.gateway.client();
    idle.exchange(&member("/")).expect_status(200);
    let silent = scene.gateway.client();
    scene.gateway.process.signal("TERM");
    assert!(idle.rest().is_empty());
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
    drop(silent);
}

#[test]
fn the_timeout_ends_what_does_not_end_by_itself() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 500ms }");
    let mut slow = scene.gateway.client();
    slow.send(&member("/slow").bytes());
    scene.upstream.wait(|seen| seen.head.target() == "/slow");
    scene.gateway.process.signal("TERM");
    let ended = scene.gateway.process.wait(Duration::from_secs(10));
    assert!(ended.is_some(), "{}", scene.gateway.log());
    gate.open();
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let gate = Gate::default();
    let mut scene = scene(&gate, "{ delay: 0s, timeout: 60s }");
    let mut slow = scene.gateway.client();
    slow.send(&member("/slow").bytes());
    scene.upstream.wait(|seen| seen.head.target() == "/slow");
    scene.gateway.process.signal("TERM");
    until("it drains", || {
        scene.gateway.admin_status("/readyz") != Some(200)
    });
    scene.gateway.process.signal("TERM");
    let ended = scene.gateway.process.wait(Duration::from_secs(10));
    assert!(ended.is_some(), "{}", scene.gateway.log());
    gate.open();
}

#[test]
fn event_streams_of_nobody_are_ended_too() {
    for audit in ["all", "refusals"] {
        a_stream_of_nobody_ends(audit);
    }
}

fn a_stream_of_nobody_ends(audit: &str) {
    let gate = Gate::default();
    let upstream = {
        let gate = gate.clone();
        Recorder::answering(move |exchange: &mut Exchange<'_>| {
            exchange.begin_chunked(&[("Content-Type", "text/event-stream; charset=utf-8")]);
            exchange.send_chunk(b"data: 1\n\n");
            gate.pass();
        })
    };
    let mut scene = Scene::before(upstream, |builder| {
        builder.set("drain", "{ delay: 0s, timeout: 10m }").set(
            "routes",
            &format!(
                "[ {{ match: {{ path: / }}, access: public, audit: {audit}, upstream: app }} ]"
            ),
        )
    });
    let mut events = scene.gateway.client();
    events.send(&Request::get("/events").bytes());
    scene.upstream.wait(|seen| seen.head.target() == "/events");
    assert_eq!(events.head().status(), 200);
    scene.gateway.process.signal("TERM");
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
    gate.open();
    assert_eq!(scene.gateway.audit_lines().is_empty(), audit == "refusals");
}
