//! Step 6: the live record decides, whatever the token says.

use serde_json::json;

use crate::harness::{Recorder, Request, Scene, Token, challenge_of, now};

fn get(token: &Token) -> Request {
    Request::get("/").bearer(&token.signed())
}

const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true }
  - { user: "off", account: "12", active: false }
  - { user: "closed", account: "13", active: true, account_active: false }
  - { user: "none", account: null, active: true }
"#;

fn scene() -> Scene {
    Scene::with(|builder| builder.users(USERS))
}

#[test]
fn a_user_that_the_tenant_does_not_have_is_unknown() {
    let scene = scene();
    let token = Token::user("nobody").account("12");
    scene.refuses(&get(&token), 401, "user_unknown");
    scene.never_written(&token.signed());
    scene.upstream.assert_untouched();
}

#[test]
fn an_inactive_user_is_refused() {
    let scene = scene();
    scene.refuses(
        &get(&Token::user("off").account("12")),
        403,
        "user_inactive",
    );
    scene.upstream.assert_untouched();
}

#[test]
fn an_inactive_account_is_refused() {
    let scene = scene();
    for token in [Token::user("closed").account("13"), Token::user("closed")] {
        scene.refuses(&get(&token), 403, "account_inactive");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a_user_without_an_account_is_refused() {
    let scene = scene();
    scene.refuses(&get(&Token::user("none")), 403, "account_missing");
    scene.upstream.assert_untouched();
}

#[test]
fn a_refusal_says_no_more_than_its_reason() {
    let scene = scene();
    for user in ["nobody", "off", "closed", "none"] {
        let token = Token::user(user).account("77001");
        let response = scene.gateway.send(&get(&token));
        let text = format!("{:?}{}", response.head, response.text());
        assert!(!text.contains("77001"), "{text}");
        assert!(!text.contains("nobody"), "{text}");
        assert!(!text.contains(&token.signed()), "{text}");
    }
}

#[test]
fn tokens_older_than_the_users_bound_are_revoked() {
    let bound = now() - 100;
    let stamp = jiff::Timestamp::from_second(bound)
        .expect("a time")
        .to_string();
    let users = format!(
        "users: [ {{ user: \"5\", account: \"12\", active: true, tokens_valid_after: {stamp} }} ]\n"
    );
    let scene = Scene::with(|builder| builder.users(&users));
    let token = Token::user("5").account("12");
    let response = scene.refuses(&get(&token.clone().issued_ago(200)), 401, "token_revoked");
    assert!(challenge_of(&response).contains("invalid_token"));
    // Who does not say when it was made cannot show that it is newer.
    scene.refuses_any(
        &get(&token.clone().without("iat")),
        401,
        &["token_revoked", "claim_missing"],
    );
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token.issued_ago(10)), "match");
}

#[test]
fn a_directory_that_does_not_answer_refuses_everybody() {
    let silent = Recorder::answering(|exchange| exchange.wait_for_end());
    let url = silent.url();
    let scene = Scene::with(|builder| {
        builder.not_ready().set(
            "directory",
            &format!("source: {{ http: {{ url: \"{url}/{{tenant}}/{{user}}\" }} }}\nlimits: {{ timeout: 300ms }}"),
        )
    });
    scene.refuses(
        &get(&Token::user("5").account("12")),
        503,
        "directory_unavailable",
    );
    scene.upstream.assert_untouched();
}

#[test]
fn the_live_account_wins_as_soon_as_the_move_is_known() {
    let scene = scene();
    let token = Token::user("5").account("12");
    let (_, seen, _) = scene.passes_as(&get(&token), "match");
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]\n");
    let (response, seen, line) = scene.passes_as(&get(&token), "live_account");
    assert_eq!(seen.header("x-auth-account-id"), Some("14"));
    assert_eq!(response.header("x-auth-token-stale"), Some("account"));
    assert_eq!(line["token_account"], "12");
    assert_eq!(line["account"], "14");
}

#[test]
fn a_push_for_one_user_is_enough() {
    let scene = scene();
    let token = Token::user("5").account("12");
    scene.passes_as(&get(&token), "match");
    scene
        .gateway
        .replace_users("users: [ { user: \"5\", account: \"12\", active: false } ]\n");
    scene
        .gateway
        .invalidate(&json!({ "tenant": "default", "user": "5" }));
    scene.refuses(&get(&token), 403, "user_inactive");
}

#[test]
fn an_optional_route_takes_a_good_credential_or_none_but_no_bad_one() {
    let scene = Scene::with(|builder| {
        builder.users(USERS).set(
            "routes",
            "[ { match: { path: / }, access: optional, upstream: app } ]",
        )
    });
    let (_, seen, line) = scene.passes_as(&Request::get("/"), "optional_anonymous");
    let names = seen.head.names();
    assert!(
        !names.iter().any(|name| name.starts_with("x-auth-")),
        "{names:?}"
    );
    assert!(line.get("user").is_none_or(serde_json::Value::is_null));
    let (response, ..) = scene.passes_as(&get(&Token::user("5").account("12")), "match");
    assert_eq!(response.json()["user"], "5");
    scene.refuses(
        &get(&Token::user("5").expires_in(-10)),
        401,
        "token_expired",
    );
    scene.refuses(&get(&Token::user("off")), 403, "user_inactive");
}

#[test]
fn a_public_route_never_has_an_identity() {
    let scene = Scene::with(|builder| {
        builder.set(
            "routes",
            "[ { match: { path: / }, access: public, upstream: app } ]",
        )
    });
    for request in [
        Request::get("/"),
        get(&Token::user("5").account("12")),
        get(&Token::user("5").expires_in(-10)),
        Request::get("/").header("X-Auth-User-Id", "1"),
    ] {
        let (_, seen, _) = scene.passes_as(&request, "public");
        let names = seen.head.names();
        assert!(
            !names.iter().any(|name| name.starts_with("x-auth-")),
            "{names:?}"
        );
    }
}
