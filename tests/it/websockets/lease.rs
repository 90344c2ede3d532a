//! The lease: what changes about the caller ends the stream, with a code that says why.

use std::time::Duration;

use serde_json::json;

use crate::harness::{
    Builder, Ended, Gate, Recorder, Request, Scene, Token, WebSocket, accept, echo_messages,
    upgrade_headers,
};

const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true, roles: [staff] }
  - { user: "7", account: "14", active: true }
"#;

/// An upstream that sends each message back.
pub(super) fn echoing(change: impl FnOnce(Builder) -> Builder) -> Scene {
    let upstream = Recorder::answering(|exchange| {
        echo_messages(exchange);
    });
    Scene::before(upstream, |builder| change(builder.users(USERS)))
}

fn scene() -> Scene {
    // A record lives long here: what is noticed is noticed because of the push.
    echoing(|builder| {
        builder
            .set(
                "directory",
                "source: { file: { path: users.yaml } }\ncache: { ttl: 1h, ttl_without_push: 1h }",
            )
            .set("streams", "{ close_grace: 500ms }")
    })
}

fn open(scene: &Scene, token: &Token) -> WebSocket {
    let request = upgrade_headers(Request::get("/ws")).bearer(&token.signed());
    WebSocket::open(scene.gateway.address(), &request)
}

fn caller(user: &str, account: &str) -> Token {
    Token::user(user).account(account)
}

#[test]
fn e12_a_moved_user_is_put_out_with_4403_and_nobody_else() {
    let scene = scene();
    let mut moved = open(&scene, &caller("5", "12"));
    let mut other = open(&scene, &caller("7", "14"));
    moved.echo("before");
    other.echo("before");
    scene.gateway.move_users(
        "users: [ { user: \"5\", account: \"14\", active: true }, { user: \"7\", account: \"14\", active: true } ]",
    );
    let before = scene.upstream.bytes();
    moved.try_send("after the move");
    assert_eq!(moved.ended(), Ended::Code(4403));
    let raw = String::from_utf8_lossy(&scene.upstream.raw(0)).into_owned();
    assert!(
        scene.upstream.bytes() - before < 64,
        "only a close may arrive: {raw}"
    );
    other.echo("after");
}

#[test]
fn a_deactivated_user_is_put_out_with_4403() {
    let scene = scene();
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene
        .gateway
        .replace_users("users: [ { user: \"5\", account: \"12\", active: false } ]");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    assert_eq!(socket.ended(), Ended::Code(4403));
}

#[test]
fn a_user_that_is_gone_is_put_out_with_4401() {
    let scene = scene();
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene
        .gateway
        .move_users("users: [ { user: \"7\", account: \"14\", active: true } ]");
    assert_eq!(socket.ended(), Ended::Code(4401));
}

#[test]
fn an_account_that_is_closed_puts_its_users_out() {
    let scene = scene();
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene.gateway.replace_users(
        "users: [ { user: \"5\", account: \"12\", active: true, account_active: false } ]",
    );
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "account": "12" }));
    assert_eq!(socket.ended(), Ended::Code(4403));
}

#[test]
fn a_change_that_concerns_nobody_ends_nothing() {
    let scene = scene();
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene.gateway.move_users(USERS);
    scene.gateway.invalidate(&json!({}));
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    socket.echo("after");
    socket.echo("still");
}

#[test]
fn a_lost_role_that_the_route_asks_for_ends_the_stream() {
    let scene = echoing(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: member, roles: [staff], upstream: app } ]",
        )
    });
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"12\", active: true, roles: [guest] } ]");
    assert_eq!(socket.ended(), Ended::Code(4403));
}

#[test]
fn an_expired_token_ends_its_stream_with_4401() {
    let scene = scene();
    let mut socket = open(&scene, &caller("5", "12").expires_in(3));
    socket.echo("before");
    assert_eq!(socket.ended(), Ended::Code(4401));
    let line = scene
        .gateway
        .audit(|line| line["reason"] == "token_expired");
    assert_eq!(line["user"], "5", "{line}");
}

#[test]
fn streams_may_outlive_their_token_where_that_is_configured() {
    let scene = echoing(|builder| builder.set("streams", "{ on_expiry: keep }"));
    let mut short = open(&scene, &caller("5", "12").expires_in(1));
    assert!(short.is_quiet_for(Duration::from_millis(2500)));
    short.echo("still here");
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    assert_eq!(short.ended(), Ended::Code(4403));
}

#[test]
fn without_a_push_a_move_is_noticed_within_the_ttl() {
    let scene = echoing(|builder| {
        builder.set(
            "directory",
            "source: { file: { path: users.yaml } }\ncache: { ttl: 300ms, ttl_without_push: 300ms }",
        )
    });
    let mut socket = open(&scene, &caller("5", "12"));
    socket.echo("before");
    scene
        .gateway
        .replace_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    assert_eq!(socket.ended(), Ended::Code(4403));
}

#[test]
fn a_close_waits_for_the_frame_boundary_but_not_for_ever() {
    // The upstream stops in the middle of a frame: no close frame can be put there, so the client
    // is reset once the grace is over.
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| {
            drop(accept(exchange, None));
            // A binary frame of 1000 bytes of which 10 come.
            exchange.send(&[0x82, 126, 3, 232, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
            gate.pass();
            exchange.close();
        }
    });
    let scene = Scene::before(upstream, |builder| {
        builder
            .users(USERS)
            .set("streams", "{ close_grace: 300ms }")
    });
    let mut socket = open(&scene, &caller("5", "12"));
    scene.upstream.wait(|_| true);
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    assert_eq!(socket.ended(), Ended::Abruptly);
    gate.open();
}

#[test]
fn a_move_during_the_handshake_is_not_missed() {
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            echo_messages(exchange);
        }
    });
    let scene = Scene::before(upstream, |builder| builder.users(USERS));
    let (address, token) = (scene.gateway.address(), caller("5", "12").signed());
    let client = std::thread::spawn(move || {
        let request = upgrade_headers(Request::get("/ws")).bearer(&token);
        WebSocket::try_open(address, &request).map(|(mut socket, _)| socket.ended())
    });
    scene.upstream.wait(|_| true);
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    gate.open();
    match client.join().expect("no panic") {
        Ok(ended) => assert_eq!(ended, Ended::Code(4403)),
        Err(response) => assert!(response.status() >= 400, "{response:?}"),
    }
}
