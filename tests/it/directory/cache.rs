//! The cache: one look-up for many, nothing remembered longer than allowed, nobody's answer given
//! to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use super::five;
use crate::harness::{Client, Exchange, Gate, Recorder, Request, Scene, Token, until};

fn scene(directory: &Recorder, more: &str) -> Scene {
    let url = directory.url();
    Scene::with(|builder| {
        builder.not_ready().set(
            "directory",
            &format!("source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}\n{more}"),
        )
    })
}

/// Everybody exists, in the account that carries their own name.
fn everybody(exchange: &mut Exchange<'_>) {
    let user = exchange.last_segment();
    exchange
        .respond_json(&json!({ "user": user, "account": format!("of-{user}"), "active": true }));
}

/// As [`everybody`], as soon as the gate is open.
fn everybody_behind(gate: &Gate) -> Recorder {
    let gate = gate.clone();
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        gate.pass();
        everybody(exchange);
    })
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

const LONG: &str = "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";

/// Longer than any test keeps its directory waiting.
const PATIENT: &str = "cache: { ttl: 1h, ttl_without_push: 1h }\nlimits: { timeout: 15s }";

#[test]
fn a_record_is_asked_for_once() {
    let directory = Recorder::answering(everybody);
    let scene = scene(&directory, LONG);
    for _ in 0..50 {
        scene.gateway.send(&get("5")).expect_status(200);
    }
    assert_eq!(directory.count(), 1);
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    for _ in 0..50 {
        scene.gateway.send(&get("5")).expect_status(200);
    }
    assert_eq!(directory.count(), 2);
}

#[test]
fn e25_many_at_once_ask_once() {
    let gate = Gate::default();
    let directory = everybody_behind(&gate);
    let scene = scene(&directory, PATIENT);
    let address = scene.gateway.address();
    let clients: Vec<_> = (0..40)
        .map(|_| {
            let mut client = Client::connect(address);
            client.send(&get("5").bytes());
            client
        })
        .collect();
    directory.wait(|_| true);
    gate.open();
    for mut client in clients {
        let seen = client.response("GET").expect_status(200).json();
        assert_eq!(seen["account"], "of-5");
    }
    assert_eq!(directory.count(), 1);
}

#[test]
fn e15_a_caller_that_gives_up_takes_nobody_along() {
    let gate = Gate::default();
    let directory = everybody_behind(&gate);
    let scene = scene(&directory, PATIENT);
    let mut leader = scene.gateway.client();
    leader.send(&get("5").bytes());
    directory.wait(|_| true);
    let mut follower = scene.gateway.client();
    follower.send(&get("5").bytes());
    leader.abort();
    gate.open();
    follower.response("GET").expect_status(200);
    assert_eq!(directory.count(), 1);
}

#[test]
fn a_missing_user_is_remembered_for_a_while_only() {
    let exists = Arc::new(AtomicBool::new(false));
    let directory = Recorder::answering({
        let exists = Arc::clone(&exists);
        move |exchange: &mut Exchange<'_>| {
            if exists.load(Ordering::SeqCst) {
                everybody(exchange);
            } else {
                exchange.respond(404, &[], b"");
            }
        }
    });
    let scene = scene(
        &directory,
        "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 300ms }",
    );
    for _ in 0..5 {
        scene.refuses(&get("5"), 401, "user_unknown");
    }
    exists.store(true, Ordering::SeqCst);
    until("the user is found", || {
        scene.gateway.send(&get("5")).status() == 200
    });
    assert!(directory.count() < 20, "{}", directory.count());
}

#[test]
fn e13_a_flood_of_unknown_users_evicts_no_known_one() {
    let directory = Recorder::answering(|exchange: &mut Exchange<'_>| {
        if exchange.path().ends_with("/5") {
            everybody(exchange);
        } else {
            exchange.respond(404, &[], b"");
        }
    });
    let more = "cache: { capacity: 100, ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }";
    let scene = scene(&directory, more);
    let asked_for_five = || {
        let asked = directory.requests();
        asked
            .iter()
            .filter(|seen| seen.head.target().ends_with("/5"))
            .count()
    };
    scene.gateway.send(&get("5")).expect_status(200);
    let mut client = scene.gateway.client();
    for number in 1000..1500 {
        assert_eq!(client.exchange(&get(&number.to_string())).status(), 401);
    }
    scene.gateway.send(&get("5")).expect_status(200);
    assert_eq!(asked_for_five(), 1);
}

#[test]
fn e14_keys_that_could_be_joined_alike_stay_apart() {
    let directory = Recorder::answering(|exchange: &mut Exchange<'_>| {
        let path = exchange.path().to_owned();
        let mut parts = path[1..].split('/').map(|part| part.replace("%3A", ":"));
        let (tenant, user) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let account = format!("{}+{}", tenant.len(), user.len());
        exchange.respond_json(&json!({ "user": user, "account": account, "active": true }));
    });
    let url = directory.url();
    let scene = Scene::with(|builder| {
        builder.set("tenants", "sources: [ token: {} ]").set(
            "directory",
            &format!("source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}\n{LONG}"),
        )
    });
    for (tenant, user, account) in [
        ("a:b", "c", "3+1"),
        ("a", "b:c", "1+3"),
        ("a:b", "c", "3+1"),
    ] {
        let token = Token::user(user).tenant(tenant).signed();
        let (_, seen) = scene.passes(&Request::get("/").bearer(&token));
        assert_eq!(seen.header("x-auth-account-id"), Some(account));
        assert_eq!(seen.header("x-auth-tenant-id"), Some(tenant));
    }
}

#[test]
fn an_old_record_serves_during_an_outage_only_where_that_is_configured() {
    for (stale, status) in [("0s", 503), ("1h", 200), ("1s", 200)] {
        let up = Arc::new(AtomicBool::new(true));
        let directory = Recorder::answering({
            let up = Arc::clone(&up);
            move |exchange: &mut Exchange<'_>| {
                if up.load(Ordering::SeqCst) {
                    everybody(exchange);
                } else {
                    exchange.respond(500, &[], b"");
                }
            }
        });
        let more =
            format!("cache: {{ ttl: 50ms, ttl_without_push: 50ms, stale_if_error: {stale} }}");
        let scene = scene(&directory, &more);
        scene.gateway.send(&five()).expect_status(200);
        up.store(false, Ordering::SeqCst);
        let asked = directory.count();
        until("the record is asked for again", || {
            scene.gateway.send(&five());
            directory.count() > asked
        });
        assert_eq!(scene.gateway.send(&five()).status(), status, "{stale}");
        if stale == "1s" {
            until("it is too old", || {
                scene.gateway.send(&five()).status() == 503
            });
            continue;
        }
        // Never once it was said to have changed.
        scene
            .gateway
            .invalidate(&json!({ "tenant": "default", "user": "5" }));
        assert_eq!(scene.gateway.send(&five()).status(), 503, "{stale}");
    }
}
