//! Connections: kept, shared and ended without one caller ever being taken for another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::harness::{Builder, Exchange, Gate, Recorder, Request, Scene, Token, until};

fn as_user(user: &str, target: &str) -> Request {
    let account = if user == "7" { "14" } else { "12" };
    Request::get(target).bearer(&Token::user(user).account(account).signed())
}

#[test]
fn c25_each_request_of_a_connection_is_decided_for_itself() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    for _ in 0..10 {
        let five = client.exchange(&as_user("5", "/")).expect_status(200);
        assert_eq!(five.json()["user"], "5");
        let seven = client.exchange(&as_user("7", "/")).expect_status(200);
        assert_eq!(seven.json()["user"], "7");
        assert_eq!(seven.json()["account"], "14");
        let nobody = client.exchange(&Request::get("/"));
        assert_eq!(nobody.status(), 401);
    }
    assert_eq!(scene.upstream.count(), 20);
}

#[test]
fn c25_pipelined_requests_are_answered_in_order() {
    let scene = Scene::new();
    let mut bytes = Vec::new();
    let users = ["5", "7", "", "7", "5"];
    for round in 0..60 {
        let user = users[round % users.len()];
        let target = format!("/{round}");
        let request = if user.is_empty() {
            Request::get(&target)
        } else {
            as_user(user, &target)
        };
        bytes.extend(request.bytes());
    }
    let mut client = scene.gateway.client();
    client.send(&bytes);
    for round in 0..60 {
        let user = users[round % users.len()];
        let response = client.response("GET");
        if user.is_empty() {
            assert_eq!(response.status(), 401, "{round}");
        } else {
            let seen = response.expect_status(200).json();
            assert_eq!(seen["user"], user, "{round}");
            assert_eq!(seen["target"], format!("/{round}"));
        }
    }
}

#[test]
fn upstream_connections_are_used_again() {
    let scene = Scene::with(|builder| builder.set("workers", "1"));
    let mut client = scene.gateway.client();
    for _ in 0..20 {
        client.exchange(&as_user("5", "/")).expect_status(200);
    }
    assert_eq!(scene.upstream.connections(), 1);
}

#[test]
fn a_connection_may_be_kept_for_one_user() {
    let upstream = Recorder::start();
    let gateway = Builder::new()
        .set("workers", "1")
        .upstream_with(&upstream, ", isolate: user")
        .start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.exchange(&as_user("5", "/")).expect_status(200);
        client.exchange(&as_user("7", "/")).expect_status(200);
    }
    let mut users_of = std::collections::BTreeMap::new();
    for seen in upstream.requests() {
        let user = seen.header("x-auth-user-id").expect("a user").to_owned();
        let known = users_of
            .entry(seen.connection)
            .or_insert_with(|| user.clone());
        assert_eq!(*known, user, "connection {}", seen.connection);
    }
}

#[test]
fn a_connection_may_serve_one_request_alone() {
    let upstream = Recorder::start();
    let gateway = Builder::new()
        .upstream_with(&upstream, ", reuse: false")
        .start();
    let mut client = gateway.client();
    for _ in 0..5 {
        client.exchange(&as_user("5", "/")).expect_status(200);
    }
    assert_eq!(upstream.connections(), 5);
}

#[test]
fn c10_an_answer_that_nobody_asked_for_is_nobodys() {
    let poisoned = Arc::new(AtomicUsize::new(0));
    let upstream = Recorder::answering({
        let poisoned = Arc::clone(&poisoned);
        move |exchange: &mut Exchange<'_>| {
            let target = exchange.head.target().to_owned();
            exchange.respond(200, &[], target.as_bytes());
            if target.starts_with("/poison") {
                std::thread::sleep(Duration::from_millis(5));
                exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen");
                poisoned.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    for round in 0..50 {
        let target = format!("/poison/{round}");
        assert_eq!(scene.gateway.send(&as_user("5", &target)).text(), target);
        // The second answer is there before the next request is: what comes after that cannot be
        // told from its own answer.
        until("the second answer is sent", || {
            poisoned.load(Ordering::SeqCst) > round
        });
        let target = format!("/own/{round}");
        assert_eq!(scene.gateway.send(&as_user("7", &target)).text(), target);
    }
}

#[test]
fn c12_a_client_that_cancels_leaves_nothing_behind_for_the_next() {
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange: &mut Exchange<'_>| {
            let target = exchange.head.target().to_owned();
            if target.starts_with("/slow") {
                gate.pass();
            }
            exchange.respond(200, &[], target.as_bytes());
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    for round in 0..20 {
        let mut client = scene.gateway.client();
        client.send(&as_user("5", &format!("/slow/{round}")).bytes());
        scene
            .upstream
            .wait(|seen| seen.head.target() == format!("/slow/{round}"));
        if round % 2 == 0 {
            client.abort();
        } else {
            drop(client);
        }
    }
    gate.open();
    for round in 0..50 {
        let target = format!("/own/{round}");
        let response = scene.gateway.send(&as_user("7", &target));
        assert_eq!(response.text(), target);
    }
}

#[test]
fn c27_an_old_upstream_is_understood_and_not_kept() {
    let upstream = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let target = exchange.head.target().to_owned();
        exchange.send(format!("HTTP/1.0 200 OK\r\n\r\n{target}").as_bytes());
        exchange.close();
    });
    let scene = Scene::before(upstream, |builder| builder);
    for round in 0..5 {
        let target = format!("/{round}");
        let response = scene.gateway.send(&as_user("5", &target));
        assert_eq!(response.text(), target);
    }
    assert_eq!(scene.upstream.connections(), 5);
}

#[test]
fn a_client_may_ask_for_the_end_of_the_connection() {
    let scene = Scene::new();
    let mut client = scene.gateway.client();
    client.send(&as_user("5", "/").header("Connection", "close").bytes());
    assert_eq!(client.response("GET").status(), 200);
    assert!(client.rest().is_empty());
}
