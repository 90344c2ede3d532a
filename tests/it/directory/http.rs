//! The HTTP source: one GET per look-up, and no answer but the asked one is believed.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{account_of, five};
use crate::harness::{Exchange, Gate, Recorder, Request, Scene, Token};

/// A gateway whose directory is this server.
fn scene(directory: &Recorder, more: &str) -> Scene {
    let url = directory.url();
    Scene::with(|builder| {
        builder.not_ready().set(
            "directory",
            &format!(
                "source:\n  http:\n    url: \"{url}/identity/{{tenant}}/{{user}}\"\n    headers: {{ X-Api-Key: \"${{JWT_SECRET}}\" }}\n    fields: {{ user: id, account: account_id, active: is_active }}\n{more}"
            ),
        )
    })
}

const QUICK: &str = "cache: { ttl: 1h, ttl_without_push: 1h }\nlimits: { timeout: 500ms }";

fn answering(answer: impl Fn(&str) -> Option<Value> + Send + Sync + 'static) -> Recorder {
    Recorder::answering(move |exchange: &mut Exchange<'_>| {
        let user = exchange.last_segment();
        match answer(&user) {
            Some(value) => exchange.respond_json(&value),
            None => exchange.respond(404, &[], b"nobody"),
        }
    })
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

#[test]
fn an_answer_is_a_record() {
    let directory = answering(|user| {
        (user == "5").then(|| {
            json!({ "id": 5, "account_id": 12, "is_active": true, "roles": ["b", "a"], "unknown": { "x": 1 } })
        })
    });
    let scene = scene(&directory, QUICK);
    let (_, seen) = scene.passes(&get("5"));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(seen.header("x-auth-roles"), Some("a,b"));
    scene.refuses(&get("6"), 401, "user_unknown");
    let asked = directory.requests();
    assert_eq!(asked[0].head.start, "GET /identity/default/5 HTTP/1.1");
    assert_eq!(asked[0].header("x-api-key"), Some(crate::harness::SECRET));
    // Nothing of the client's goes there.
    for name in ["authorization", "cookie", "x-auth-user-id"] {
        assert_eq!(asked[0].header(name), None, "{name}");
    }
    scene.never_written(crate::harness::SECRET);
}

#[test]
fn ids_are_encoded_in_the_url() {
    let directory = answering(|_| None);
    let scene = scene(&directory, QUICK);
    for (user, path) in [
        ("a/../b", "/identity/default/a%2F..%2Fb"),
        ("a?b#c", "/identity/default/a%3Fb%23c"),
        ("a b%41", "/identity/default/a%20b%2541"),
        ("é", "/identity/default/%C3%A9"),
    ] {
        let before = directory.count();
        scene.refuses(&get(user), 401, "user_unknown");
        assert_eq!(directory.requests()[before].head.target(), path);
    }
}

#[test]
fn e23_an_answer_about_somebody_else_is_an_error() {
    for answer in [
        json!({ "id": 7, "account_id": 14, "is_active": true }),
        json!({ "id": "05", "account_id": 12, "is_active": true }),
        json!({ "id": 5.0, "account_id": 12, "is_active": true }),
        json!({ "id": null, "account_id": 12, "is_active": true }),
        json!({ "account_id": 12, "is_active": true }),
        json!({ "id": 5, "is_active": true }),
        json!({ "id": 5, "account_id": 12 }),
        json!({ "id": 5, "account_id": [12], "is_active": true }),
        json!({ "id": 5, "account_id": 12, "is_active": "yes" }),
        json!([5]),
        json!(null),
    ] {
        let directory = answering({
            let answer = answer.clone();
            move |_| Some(answer.clone())
        });
        let scene = scene(&directory, QUICK);
        scene.refuses(&five(), 503, "directory_unavailable");
        scene.upstream.assert_untouched();
    }
}

type Answer = Box<dyn Fn(&mut Exchange<'_>) + Send + Sync>;

#[test]
fn whatever_is_no_answer_is_an_error() {
    let canary = Recorder::start();
    let elsewhere = canary.url();
    let answers: Vec<Answer> = vec![
        Box::new(|exchange| exchange.respond(500, &[], b"")),
        Box::new(|exchange| exchange.respond(204, &[], b"")),
        Box::new(|exchange| exchange.respond(401, &[], b"")),
        Box::new(|exchange| {
            exchange.respond(200, &[("Content-Type", "text/html")], b"<html>5</html>");
        }),
        Box::new(move |exchange| exchange.respond(302, &[("Location", &elsewhere)], b"")),
        Box::new(|exchange| {
            exchange.respond(
                200,
                &[],
                br#"{"id":5,"id":7,"account_id":12,"is_active":true}"#,
            );
        }),
        Box::new(|exchange| {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"id\":5");
            exchange.close();
        }),
        Box::new(|exchange| exchange.respond(200, &[], &vec![b' '; 8 << 20])),
        Box::new(|exchange| exchange.close()),
        Box::new(|exchange| exchange.wait_for_end()),
        Box::new(|exchange| {
            exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n");
            exchange.wait_for_end();
        }),
    ];
    for (number, answer) in answers.into_iter().enumerate() {
        let directory = Recorder::answering(answer);
        let scene = scene(&directory, QUICK);
        let begun = Instant::now();
        let response = scene.refuses(&five(), 503, "directory_unavailable");
        assert!(response.header("retry-after").is_some(), "{number}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{number}");
        scene.upstream.assert_untouched();
    }
    canary.assert_untouched();
}

#[test]
fn an_error_is_never_remembered_as_no_such_user() {
    let directory = Recorder::answering({
        let calls = std::sync::atomic::AtomicUsize::new(0);
        move |exchange: &mut Exchange<'_>| {
            if calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                exchange.respond(500, &[], b"");
            } else {
                exchange.respond_json(&json!({ "id": 5, "account_id": 12, "is_active": true }));
            }
        }
    });
    let scene = scene(
        &directory,
        "cache: { ttl: 1h, ttl_without_push: 1h, negative_ttl: 1h }\nlimits: { timeout: 500ms }",
    );
    scene.refuses(&five(), 503, "directory_unavailable");
    scene.passes_as(&five(), "match");
}

#[test]
fn e16_an_answer_on_its_way_during_a_push_is_asked_for_again() {
    for message in [
        json!({ "tenant": "default", "user": "5" }),
        json!({ "tenant": "default", "account": "12" }),
        json!({}),
    ] {
        let gate = Gate::default();
        let directory = Recorder::answering({
            let gate = gate.clone();
            let calls = std::sync::atomic::AtomicUsize::new(0);
            move |exchange: &mut Exchange<'_>| {
                let first = calls.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0;
                let account = if first { 12 } else { 14 };
                if first {
                    gate.pass();
                }
                exchange
                    .respond_json(&json!({ "id": 5, "account_id": account, "is_active": true }));
            }
        });
        let scene = scene(
            &directory,
            "cache: { ttl: 1h, ttl_without_push: 1h }\nlimits: { timeout: 15s }",
        );
        let address = scene.gateway.address();
        let early =
            std::thread::spawn(move || crate::harness::Client::connect(address).exchange(&five()));
        directory.wait(|_| true);
        scene.gateway.invalidate(&message);
        gate.open();
        let early = early.join().expect("no panic").expect_status(200);
        assert_eq!(
            early.json()["account"],
            "14",
            "the early one, after {message}"
        );
        assert_eq!(
            account_of(&scene, &five()).as_deref(),
            Some("14"),
            "the next one"
        );
        assert_eq!(directory.count(), 2, "asked twice, then remembered");
    }
}
