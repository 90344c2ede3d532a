//! Sessions under WebSockets: a log-out, a password change and the session's end close them.

use std::time::Duration;

use serde_json::json;

use super::django::{self, FIVE, GONE, SEVEN};
use super::{LIVES, database, postgres_before, with_session};
use crate::harness::{
    Database, Ended, Recorder, Request, Scene, WebSocket, echo_messages, upgrade_headers,
};

fn scene(database: &Database) -> Scene {
    let upstream = Recorder::answering(|exchange| {
        echo_messages(exchange);
    });
    postgres_before(upstream, database, LIVES, |builder| {
        builder.set("streams", "{ close_grace: 500ms }")
    })
}

fn handshake(key: &str) -> Request {
    let request = upgrade_headers(Request::get("/ws")).header("Origin", "http://app.test");
    with_session(request, key)
}

fn open(scene: &Scene, key: &str) -> WebSocket {
    let mut socket = WebSocket::open(scene.gateway.address(), &handshake(key));
    socket.echo("before");
    socket
}

#[test]
fn e12_a_logout_puts_the_session_out_and_nobody_else() {
    let database = database();
    let scene = scene(&database);
    let mut five = open(&scene, FIVE);
    let mut seven = open(&scene, SEVEN);
    database.run(&format!(
        "DELETE FROM django_session WHERE session_key = '{FIVE}'"
    ));
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "session": FIVE }));
    assert_eq!(five.ended(), Ended::Code(4401));
    seven.echo("after");
    let line = scene
        .gateway
        .audit(|line| line["decision"] == "stream_closed");
    assert_eq!(line["reason"], "session_invalid");
}

#[test]
fn e12_a_password_change_puts_the_user_out() {
    let database = database();
    let scene = scene(&database);
    let mut five = open(&scene, FIVE);
    database.run("UPDATE users SET password = 'a newer one' WHERE id = 5");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    assert_eq!(five.ended(), Ended::Code(4401));
}

const SHORT: &str = "shortshortshortshortshortshortsh";

/// The database with one more session, which lives for so many seconds.
fn with_short_session(seconds: i64) -> Database {
    let database = database();
    let session = django::stored(&django::login("5", "password-of-5"));
    database.run(&django::insert(SHORT, &session, seconds));
    database
}

#[test]
fn a_stream_ends_with_its_session() {
    let database = with_short_session(3);
    let scene = scene(&database);
    let mut five = open(&scene, SHORT);
    assert_eq!(five.ended(), Ended::Code(4401));
    let line = scene
        .gateway
        .audit(|line| line["decision"] == "stream_closed");
    assert_eq!(line["reason"], "session_expired");
}

/// Django prolongs a session that is in use; its streams go on as its requests do.
#[test]
fn a_stream_goes_on_with_a_session_that_is_prolonged() {
    let database = with_short_session(4);
    let scene = scene(&database);
    let mut five = open(&scene, SHORT);
    database.run(&format!(
        "UPDATE django_session SET expire_date = NOW() + interval '1 hour' WHERE session_key = '{SHORT}'"
    ));
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "session": SHORT }));
    assert!(five.is_quiet_for(Duration::from_secs(5)));
    five.echo("after");
}

#[test]
fn e10_a_handshake_needs_the_apps_own_origin_and_a_live_session() {
    let database = database();
    let scene = scene(&database);
    let bare = with_session(upgrade_headers(Request::get("/ws")), FIVE);
    scene.refuses(&bare, 403, "origin_not_allowed");
    let evil = bare.header("Origin", "http://evil.test");
    scene.refuses(&evil, 403, "origin_not_allowed");
    super::dead(&scene, &handshake(GONE), "session_expired");
}
