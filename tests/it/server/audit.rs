//! The audit log: one line per decision, in a file that never holds half a line.

use std::time::Duration;

use serde_json::Value;

use crate::harness::{PATIENCE, Recorder, Request, Scene, Token, until};

fn member(target: &str) -> Request {
    Request::get(target).bearer(&Token::user("5").account("12").signed())
}

fn lines(scene: &Scene, name: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(scene.gateway.folder().join(name)).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line:?}"));
    whole.lines().map(parse).collect()
}

#[test]
fn lines_go_to_the_file_that_is_named() {
    let scene = Scene::with(|builder| builder.set("audit", "{ sink: { file: audit.log } }"));
    for number in 0..50 {
        scene.passes(&member(&format!("/{number}")));
    }
    until("every line is there", || {
        lines(&scene, "audit.log").len() == 50
    });
    for (number, line) in lines(&scene, "audit.log").iter().enumerate() {
        assert_eq!(line["path"], format!("/{number}"));
    }
    assert!(
        scene.gateway.audit_lines().is_empty(),
        "standard output is not the sink"
    );
}

#[test]
fn f7_nothing_that_a_client_sends_breaks_a_line() {
    let scene = Scene::new();
    let token = Token::user("a\"b\u{2028}\\")
        .claim("jti", "x\u{1b}]0;")
        .signed();
    let request = Request::get("/%22%7B?secret-in-query=1")
        .bearer(&token)
        .header("User-Agent", "[31m\"}{");
    let response = scene.gateway.send(&request);
    assert_eq!(response.status(), 401);
    let line = scene.audit_of(&response);
    assert_eq!(line["path"], "/%22%7B");
    scene.never_written("secret-in-query");
    assert!(!scene.gateway.audit_text().contains('\u{1b}'));
    assert!(!scene.gateway.log().contains("\u{1b}]0;"));
}

#[test]
fn the_line_is_there_when_the_answer_is() {
    let scene = Scene::new();
    for number in 0..20 {
        let response = scene.refuses(
            &Request::get(&format!("/{number}")),
            401,
            "credential_missing",
        );
        let line = scene.audit_of(&response);
        for member in [
            "time",
            "request_id",
            "reason",
            "route",
            "method",
            "duration_ms",
            "client",
        ] {
            assert!(
                line.get(member).is_some_and(|value| !value.is_null()),
                "no {member}: {line}"
            );
        }
    }
}

#[test]
fn an_old_token_is_marked() {
    let scene = Scene::with(|builder| builder.set("audit", "{ sink: stdout, warn_age: 1m }"));
    let old = Token::user("5").account("12").issued_ago(120).signed();
    let (_, _, line) = scene.passes_as(&Request::get("/").bearer(&old), "match");
    assert!(
        line["token_age_s"]
            .as_i64()
            .is_some_and(|age| (118..200).contains(&age)),
        "{line}"
    );
    assert!(line.to_string().contains("stale_context"), "{line}");
    let (_, _, line) = scene.passes_as(&member("/"), "match");
    assert!(!line["stale_context"].as_bool().unwrap_or(false), "{line}");
}

#[test]
fn a_request_that_the_client_gave_up_has_its_line() {
    let upstream = Recorder::answering(|exchange| exchange.wait_for_end());
    let scene = Scene::before(upstream, |builder| builder);
    let mut client = scene.gateway.client();
    client.send(&member("/given-up").bytes());
    let seen = scene.upstream.wait(|_| true);
    let id = seen.header("x-request-id").expect("an id").to_owned();
    client.abort();
    let line = scene
        .gateway
        .audit(|line| line["request_id"] == id.as_str());
    assert_eq!(line["user"], "5", "{line}");
    assert!(scene.upstream.is_silent_for(Duration::from_millis(20)));
}

#[test]
fn a_sink_that_takes_nothing_does_not_keep_the_process() {
    let mut held = None;
    let mut scene = Scene::with(|builder| {
        held = Some(builder.pipe("pipe"));
        builder.set("audit", "{ sink: { file: pipe } }")
    });
    // More than a pipe holds.
    let mut client = scene.gateway.client();
    for number in 0..400 {
        client.exchange(&Request::get(&format!("/{number}{}", "x".repeat(200))));
    }
    scene.gateway.process.signal("TERM");
    let status = scene.gateway.process.wait(PATIENCE).expect("it ends");
    assert_eq!(status.code(), Some(0), "{}", scene.gateway.log());
    assert!(scene.gateway.log().contains("the audit sink takes nothing"));
}
