//! Two credentials: the same identity twice is none the worse, two identities are refused, and a
//! bad one never falls back to a good one.

use crate::harness::{Key, Request, Scene, Token};

const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true, memberships: ["12", "14"] }
  - { user: "7", account: "14", active: true }
"#;

fn scene(conflict: &str) -> Scene {
    Scene::with(|builder| {
        builder
            .users(USERS)
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
            .set("conflict", conflict)
    })
}

fn request(bearer: &str, cookie: &str) -> Request {
    Request::get("/")
        .bearer(bearer)
        .header("Cookie", &format!("access_token={cookie}; theme=dark"))
}

fn five() -> String {
    Token::user("5").account("12").signed()
}

fn seven() -> String {
    Token::user("7").account("14").signed()
}

#[test]
fn two_identities_are_refused() {
    let scene = scene("reject");
    scene.refuses(&request(&five(), &seven()), 401, "credential_conflict");
    scene.refuses(&request(&seven(), &five()), 401, "credential_conflict");
    scene.never_written(&five());
    scene.upstream.assert_untouched();
}

#[test]
fn the_same_identity_twice_passes() {
    let scene = scene("reject");
    let other = Token::user(5)
        .account("12")
        .claim("jti", "another")
        .signed();
    let (response, ..) = scene.passes_as(&request(&five(), &other), "match");
    assert_eq!(response.json()["user"], "5");
    // Which account the tokens name matters only where it decides.
    let stale = Token::user("5").account("99").signed();
    let (_, seen) = scene.passes(&request(&five(), &stale));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
}

#[test]
fn where_the_tokens_account_decides_both_must_name_the_same() {
    let scene = Scene::with(|builder| {
        builder
            .users(USERS)
            .set("accounts", "{ on_mismatch: allow_member }")
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
    });
    let other = Token::user("5").account("14").signed();
    scene.refuses(&request(&five(), &other), 401, "credential_conflict");
    scene.refuses(&request(&other, &five()), 401, "credential_conflict");
}

#[test]
fn bypass_roles_change_nothing_for_those_who_have_none() {
    let scene = Scene::with(|builder| {
        builder
            .users(
                "users:
  - { user: \"5\", account: \"12\", active: true, roles: [editor] }
  - { user: \"6\", account: \"12\", active: true, roles: [developer] }
",
            )
            .set("accounts", "{ bypass_roles: [developer] }")
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
    });
    let stale = Token::user("5").account("99").signed();
    let (_, seen) = scene.passes(&request(&five(), &stale));
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    // A developer acts in the token's account, so there the two must name the same.
    let developer = |account: &str| Token::user("6").account(account).signed();
    scene.refuses(
        &request(&developer("12"), &developer("14")),
        401,
        "credential_conflict",
    );
}

#[test]
fn a_second_token_that_was_revoked_refuses_too() {
    let scene = Scene::with(|builder| {
        builder
            .users(
                "users:
  - { user: \"5\", account: \"12\", active: true, tokens_valid_after: 2026-01-01T00:00:00Z }
",
            )
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
    });
    let old = Token::user("5")
        .account("12")
        .claim("iat", 1_600_000_000)
        .signed();
    scene.refuses(&request(&five(), &old), 401, "token_revoked");
    scene.refuses(&request(&old, &five()), 401, "token_revoked");
}

#[test]
fn e7_a_bad_credential_never_falls_back_to_a_good_one() {
    for conflict in ["reject", "prefer_first"] {
        let scene = scene(conflict);
        let expired = Token::user("5").expires_in(-5).signed();
        let forged = Token::user("5").signed_by(&Key::secret(
            "HS256",
            "another-secret-0123456789-0123456789",
        ));
        for (bad, reason) in [(expired, "token_expired"), (forged, "signature_invalid")] {
            scene.refuses(&request(&bad, &five()), 401, reason);
            scene.refuses(&request(&five(), &bad), 401, reason);
        }
        scene.refuses(&request("junk", &five()), 401, "credential_malformed");
        scene.refuses(&request(&five(), "junk"), 401, "credential_malformed");
        scene.upstream.assert_untouched();
    }
}

#[test]
fn prefer_first_takes_the_first_and_does_not_forward_the_other() {
    let scene = scene("prefer_first");
    let (response, seen) = scene.passes(&request(&five(), &seven()));
    assert_eq!(response.json()["user"], "5");
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
    let (response, seen) = scene.passes(&request(&seven(), &five()));
    assert_eq!(response.json()["user"], "7");
    assert_eq!(seen.header("cookie"), Some("theme=dark"));
}

#[test]
fn the_same_token_in_two_tenants_is_two_identities() {
    let scene = Scene::with(|builder| {
        builder
            .users("users: [ { tenant: a, user: \"5\", account: \"12\", active: true }, { tenant: b, user: \"5\", account: \"12\", active: true } ]")
            .set("tenants", "sources: [ token: {} ]")
            .set(
                "credentials",
                "[ bearer: { forward: keep }, cookie: { name: access_token, forward: keep } ]",
            )
    });
    let a = Token::user("5").tenant("a").signed();
    let b = Token::user("5").tenant("b").signed();
    let response = scene.gateway.send(&request(&a, &b));
    let reason = response.reason().unwrap_or_default();
    assert!(
        ["credential_conflict", "tenant_conflict", "tenant_mismatch"].contains(&&*reason),
        "{reason}"
    );
    scene.upstream.assert_untouched();
}
