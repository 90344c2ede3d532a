//! What a core remembers of earlier requests: that a token was verified, and what it has signed.
//! Never who somebody is.

use serde_json::json;

use crate::harness::{Builder, Request, Scene, Token, decode_claims, now, until};

fn scene(configure: impl FnOnce(Builder) -> Builder) -> Scene {
    Scene::with(|builder| configure(builder.set("workers", "1")))
}

/// How many tokens have been verified.
fn verifications(scene: &Scene) -> u64 {
    scene
        .gateway
        .metric("countersign_token_verifications_total")
}

#[test]
fn a_token_is_verified_once_on_a_core() {
    let scene = scene(|builder| builder);
    let token = Token::user("5").account("12").signed();
    for _ in 0..10 {
        scene.passes(&Request::get("/").bearer(&token));
    }
    assert_eq!(verifications(&scene), 1);
    let other = Token::user("7").account("14").signed();
    scene.passes(&Request::get("/").bearer(&other));
    scene.passes(&Request::get("/").bearer(&token));
    assert_eq!(verifications(&scene), 2);
}

#[test]
fn without_room_it_is_verified_each_time() {
    let scene = scene(|builder| builder.set("limits", "{ token_cache: 0 }"));
    let token = Token::user("5").account("12").signed();
    for _ in 0..5 {
        scene.passes(&Request::get("/").bearer(&token));
    }
    assert_eq!(verifications(&scene), 5);
}

#[test]
fn another_token_is_not_the_remembered_one() {
    let scene = scene(|builder| builder);
    let token = Token::user("5").account("12").signed();
    scene.passes(&Request::get("/").bearer(&token));
    let (message, signature) = token.rsplit_once('.').expect("a JWS");
    let mut other = signature.as_bytes().to_vec();
    other[0] = if other[0] == b'A' { b'B' } else { b'A' };
    let other = format!("{message}.{}", String::from_utf8(other).expect("ASCII"));
    for _ in 0..2 {
        let forged = Request::get("/").bearer(&other);
        scene.refuses(&forged, 401, "signature_invalid");
        scene.passes(&Request::get("/").bearer(&token));
    }
}

#[test]
fn a_remembered_token_expires() {
    let scene = scene(|builder| {
        builder.set(
            "issuers",
            "- { name: app, secret: \"${JWT_SECRET}\", algorithms: [HS256], leeway: 0s, claims: { user: user_id, account: account_id } }",
        )
    });
    let token = Token::user("5").account("12").expires_in(6).signed();
    let request = Request::get("/").bearer(&token);
    scene.passes(&request);
    until("it has expired", || {
        scene.gateway.send(&request).status() == 401
    });
    scene.refuses(&request, 401, "token_expired");
}

#[test]
fn a_remembered_token_is_revoked_at_once() {
    let scene = scene(|builder| builder);
    let token = Token::user("5").account("12").claim("jti", "j1").signed();
    let request = Request::get("/").bearer(&token);
    scene.passes(&request);
    let message = json!({ "tenant": "default", "jti": "j1", "issuer": "app", "until": now() + 60 });
    scene.gateway.revoke(&message).expect_status(200);
    scene.refuses(&request, 401, "token_revoked");
}

#[test]
fn e2_a_remembered_token_speaks_for_its_own_tenant_alone() {
    let scene = scene(|builder| {
        builder
            .set("tenants", "{ sources: [ { header: X-Tenant-Id } ], known: [a, b] }")
            .users("users:\n  - { tenant: a, user: \"5\", account: \"12\" }\n  - { tenant: b, user: \"5\", account: \"99\" }\n")
    });
    let token = Token::user("5").account("12").tenant("a").signed();
    let at = |tenant: &str| {
        Request::get("/")
            .header("X-Tenant-Id", tenant)
            .bearer(&token)
    };
    scene.passes(&at("a"));
    scene.refuses(&at("b"), 403, "tenant_mismatch");
    scene.passes(&at("a"));
}

#[test]
fn whom_a_remembered_token_acts_as_is_asked_each_time() {
    let scene = scene(|builder| builder);
    let token = Token::user("5").account("12").signed();
    let account = || {
        let (_, seen) = scene.passes(&Request::get("/").bearer(&token));
        seen.header("x-auth-account-id").map(str::to_owned)
    };
    assert_eq!(account().as_deref(), Some("12"));
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\" } ]\n");
    assert_eq!(account().as_deref(), Some("14"));
    assert_eq!(verifications(&scene), 1);
}

fn reissuing(ttl: &str) -> Scene {
    scene(|builder| {
        builder
            .set("credentials", "[ bearer: { forward: reissue } ]")
            .set(
                "identity",
                &format!("{{ reissue: {{ issuer: app, ttl: {ttl} }} }}"),
            )
    })
}

fn forwarded(scene: &Scene, token: &str) -> String {
    let (_, seen) = scene.passes(&Request::get("/").bearer(token));
    seen.header("authorization").expect("a bearer").to_owned()
}

#[test]
fn a_reissued_token_is_used_until_half_its_life() {
    let scene = reissuing("4s");
    let token = Token::user("5").account("12").signed();
    let first = forwarded(&scene, &token);
    until("a new one is signed", || forwarded(&scene, &token) != first);
    let scene = reissuing("10m");
    let first = forwarded(&scene, &token);
    assert_eq!(forwarded(&scene, &token), first);
    let other = Token::user("5")
        .account("12")
        .claim("scope", "read")
        .signed();
    let others = forwarded(&scene, &other);
    assert_eq!(
        decode_claims(others.trim_start_matches("Bearer "))["scope"],
        "read"
    );
    assert_eq!(forwarded(&scene, &token), first);
}

#[test]
fn what_was_signed_for_a_principal_ends_with_it() {
    let scene = reissuing("10m");
    let token = Token::user("5").account("12").signed();
    let first = forwarded(&scene, &token);
    let users = "users: [ { user: \"5\", account: \"14\" } ]\n";
    scene.gateway.move_users(users);
    let moved = forwarded(&scene, &token);
    assert_eq!(
        decode_claims(moved.trim_start_matches("Bearer "))["account_id"],
        "14"
    );
    let back = "users: [ { user: \"5\", account: \"12\" } ]\n";
    scene.gateway.move_users(back);
    assert_ne!(forwarded(&scene, &token), first, "an earlier one came back");
}
