//! Clients that leave before their answer: what the upstream may have acted on is recorded, and
//! nothing of the request is left.

use crate::harness::{Gate, Recorder, Request, Scene, Token, until};

/// A gateway whose upstream answers only when the gate opens.
fn behind(gate: &Gate) -> Scene {
    let gate = gate.clone();
    let upstream = Recorder::answering(move |exchange| {
        let _ = exchange.body();
        gate.pass();
        exchange.respond(200, &[], b"late");
    });
    Scene::before(upstream, |builder| {
        builder.set(
            "listeners",
            "[ { address: \"127.0.0.1:{{port}}\", h2c: true } ]",
        )
    })
}

fn token() -> String {
    Token::user("5").account("12").signed()
}

#[track_caller]
fn nothing_in_flight(scene: &Scene) {
    until("nothing is in flight", || {
        scene.gateway.metric("countersign_requests_in_flight") == 0
    });
}

#[test]
fn c12_a_request_whose_client_left_is_recorded_and_over() {
    let gate = Gate::default();
    let scene = behind(&gate);
    let mut client = scene.gateway.client();
    client.send(&Request::post("/transfer", b"5").bearer(&token()).bytes());
    let seen = scene
        .upstream
        .wait(|seen| seen.head.target() == "/transfer");
    client.abort();
    let id = seen.header("x-request-id").expect("an id").to_owned();
    let line = scene
        .gateway
        .audit(|line| line["request_id"] == id.as_str());
    assert_eq!(line["decision"], "allow", "{line}");
    assert_eq!(line["status"], 499, "{line}");
    assert_eq!(line["user"], "5", "{line}");
    assert_eq!(line["upstream"], "app", "{line}");
    scene.gateway.expect_single_line(&id);
    nothing_in_flight(&scene);
    gate.open();
}
