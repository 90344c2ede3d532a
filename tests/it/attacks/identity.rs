//! Who somebody is: refusals that tell nothing, ids that are only ever themselves, assertions that
//! stay where they belong.

use serde_json::json;

use super::get;
use crate::harness::{Gate, Key, Recorder, Request, Scene, Token, decode_claims, now};

const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true }
  - { user: "6", account: "12", active: false }
  - { user: "7", account: "13", active: true, account_active: false }
  - { user: "8", account: null, active: true }
  - { user: "9", account: "12", active: true, tokens_valid_after: 2999-01-01T00:00:00Z }
  - { user: "10", account: "12", memberships: ["12", "14"], active: true }
  - { user: "5", account: "99", active: true, tenant: other }
"#;

#[test]
fn e5_each_refusal_has_its_own_reason_and_tells_nothing_else() {
    let scene = Scene::with(|builder| {
        builder
            .users(USERS)
            .set("accounts", "{ on_mismatch: allow_member }")
    });
    for (user, account, status, reason) in [
        ("11", "12", 401, "user_unknown"),
        ("6", "12", 403, "user_inactive"),
        ("7", "13", 403, "account_inactive"),
        ("8", "", 403, "account_missing"),
        ("9", "12", 401, "token_revoked"),
        // An account of another tenant, and one that is nobody's.
        ("5", "99", 401, "account_mismatch"),
        ("10", "13", 401, "account_mismatch"),
    ] {
        let token = match account {
            "" => Token::user(user),
            account => Token::user(user).account(account),
        };
        let refused = scene.refuses(&get(&token.signed()), status, reason);
        let problem = refused.json();
        let mut members: Vec<&str> = problem
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        members.sort_unstable();
        assert_eq!(members, ["reason", "request_id", "status", "title", "type"]);
        assert_eq!(refused.header("x-auth-user-id"), None);
    }
    for account in ["12", "14"] {
        let token = Token::user("10").account(account).signed();
        let (_, seen) = scene.passes(&get(&token));
        assert_eq!(seen.header("x-auth-account-id"), Some(account));
    }
}

#[test]
fn e4_a_token_from_before_the_move_acts_by_the_live_record() {
    for (policy, answer) in [
        ("use_live", Ok("14")),
        ("allow_member", Err("account_mismatch")),
        ("reject", Err("account_mismatch")),
    ] {
        let scene =
            Scene::with(|builder| builder.set("accounts", &format!("{{ on_mismatch: {policy} }}")));
        let request = get(&Token::user("5").account("12").signed());
        scene.passes_as(&request, "match");
        scene
            .gateway
            .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
        match answer {
            Ok(account) => {
                let (response, seen, line) = scene.passes_as(&request, "live_account");
                assert_eq!(seen.header("x-auth-account-id"), Some(account));
                assert_eq!(response.header("x-auth-token-stale"), Some("account"));
                assert_eq!(line["token_account"], "12");
            }
            Err(reason) => {
                scene.refuses(&request, 401, reason);
            }
        }
        let fresh = get(&Token::user("5").account("14").signed());
        scene.passes_as(&fresh, "match");
    }
}

#[test]
fn e30_names_that_look_alike_are_other_names() {
    let scene = Scene::with(|builder| {
        builder.users("users: [ { user: ann@example.test, account: \"12\", active: true } ]")
    });
    scene.passes(&get(&Token::user("ann@example.test").signed()));
    for user in [
        "Ann@example.test",
        "ann@EXAMPLE.test",
        "ann@example.test.",
        "ann@example.test@evil.test",
        "evil@x@ann@example.test",
        "ann+x@example.test",
        "a\u{ff4e}n@example.test",
        "ａnn@example.test",
        "ann@example\u{3002}test",
        "ann\u{200b}@example.test",
        "\"ann\"@example.test",
        "ann@example.test/",
        "*",
        "ann@*",
    ] {
        scene.refuses(&get(&Token::user(user).signed()), 401, "user_unknown");
    }
    for user in [
        " ann@example.test",
        "ann@example.test ",
        "ann@example.test\u{0}",
    ] {
        let reasons = ["claim_missing", "credential_malformed"];
        scene.refuses_any(&get(&Token::user(user).signed()), 401, &reasons);
    }
}

#[test]
fn e28_equal_requests_of_two_users_are_two_requests() {
    // Nobody is answered before both have arrived: had they become one, neither would be.
    let gate = Gate::default();
    let upstream = Recorder::answering({
        let gate = gate.clone();
        move |exchange| {
            gate.pass();
            let user = exchange.head.get("x-auth-user-id").unwrap_or_default();
            let body = user.to_owned();
            exchange.respond(
                200,
                &[("Cache-Control", "public, max-age=60")],
                body.as_bytes(),
            );
        }
    });
    let scene = Scene::before(upstream, |builder| builder);
    let users = ["5", "7", "5"];
    let mut clients: Vec<_> = users
        .iter()
        .map(|user| {
            let mut client = scene.gateway.client();
            client.send(&get(&Token::user(*user).signed()).bytes());
            client
        })
        .collect();
    crate::harness::until("all have arrived", || scene.upstream.count() == users.len());
    gate.open();
    for (client, user) in clients.iter_mut().zip(users) {
        let response = client.response("GET").expect_status(200);
        assert_eq!(response.text(), user);
        let stored = response.header("cache-control").unwrap_or_default();
        assert!(stored.contains("private"), "{stored}");
    }
}

#[test]
fn e32_an_assertion_is_for_its_upstream_for_a_minute_and_no_credential() {
    let key = Key::generate("ES256");
    let (first, second) = (Recorder::start(), Recorder::start());
    let upstreams = format!(
        "[ {{ name: app, servers: [ \"{}\" ] }}, {{ name: other, servers: [ \"{}\" ] }} ]",
        first.url(),
        second.url()
    );
    let scene = Scene::before(first, |builder| {
        builder
            .file("assertion.pem", &key.private_pem())
            .set("identity", "{ assertion: { private_key: { file: assertion.pem } } }")
            .set("upstreams", &upstreams)
            .set(
                "routes",
                "[ { match: { path: / }, access: member, upstream: app }, { match: { path: /other/ }, access: member, upstream: other } ]",
            )
    });
    let token = Token::user("5").signed();
    let forged = Request::get("/")
        .bearer(&token)
        .header("X-Auth-Assertion", "forged");
    let (_, seen) = scene.passes(&forged);
    assert_eq!(seen.head.all("x-auth-assertion").len(), 1);
    let assertion = seen.header("x-auth-assertion").expect("one").to_owned();
    let elsewhere = Request::get("/other/").bearer(&token);
    scene.gateway.send(&elsewhere).expect_status(200);
    let other = second.last();
    let other = other.header("x-auth-assertion").expect("one").to_owned();
    let (claims, of_other) = (decode_claims(&assertion), decode_claims(&other));
    assert_eq!(
        (&claims["aud"], &of_other["aud"]),
        (&json!("app"), &json!("other"))
    );
    assert_ne!(claims["jti"], of_other["jti"]);
    let ends = claims["exp"].as_i64().expect("a time");
    assert!(ends - now() <= 60, "{claims}");
    for played_back in [&assertion, &other] {
        let reasons = [
            "credential_malformed",
            "issuer_unknown",
            "algorithm_not_allowed",
            "key_unknown",
            "signature_invalid",
        ];
        scene.refuses_any(&get(played_back), 401, &reasons);
    }
    // Whoever moves or is put out has no new one.
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]");
    let (_, seen) = scene.passes(&get(&token));
    let moved = decode_claims(seen.header("x-auth-assertion").expect("one"));
    assert_eq!(moved["account"], "14");
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: false } ]");
    scene.refuses(&get(&token), 403, "user_inactive");
}
