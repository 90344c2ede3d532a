//! The signed assertion: who acts, for this upstream, for a minute, verifiable by the published
//! keys, and never a credential itself.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, UnparsedPublicKey, VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use crate::harness::{Key, Request, Scene, Token, decode_claims, decode_part, now, until};

const JWKS: &str = "/.well-known/countersign/jwks.json";

const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true, roles: [writer, admin] }
  - { user: "none", account: null, active: true }
"#;

fn scene(key: &Key, assertion: &str) -> Scene {
    Scene::with(|builder| {
        builder
            .file("assertion.pem", &key.private_pem())
            .users(USERS)
            .set("accounts", "{ on_no_account: allow }")
            .set("identity", &format!("{{ assertion: {assertion} }}"))
    })
}

fn default_scene() -> Scene {
    let key = Key::generate("ES256");
    scene(&key, "{ private_key: { file: assertion.pem } }")
}

fn get(user: &str) -> Request {
    Request::get("/").bearer(&Token::user(user).signed())
}

fn published(scene: &Scene) -> Value {
    let response = scene.gateway.send(&Request::get(JWKS)).expect_status(200);
    response.json()
}

fn verify(assertion: &str, jwk: &Value) {
    let field = |name: &str| {
        let text = jwk[name].as_str().expect("a member");
        URL_SAFE_NO_PAD.decode(text).expect("base64url")
    };
    let (message, signature) = assertion.rsplit_once('.').expect("a JWS");
    let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let (algorithm, key): (&'static dyn VerificationAlgorithm, Vec<u8>) = if jwk["kty"] == "OKP" {
        (&ED25519, field("x"))
    } else {
        let point = [vec![4], field("x"), field("y")].concat();
        (&ECDSA_P256_SHA256_FIXED, point)
    };
    UnparsedPublicKey::new(algorithm, key)
        .verify(message.as_bytes(), &signature)
        .expect("its signature");
}

#[test]
fn it_says_who_acts_and_verifies_with_the_published_key() {
    let scene = default_scene();
    let (_, seen) = scene.passes(&get("5"));
    let assertions = seen.head.all("x-auth-assertion");
    assert_eq!(assertions.len(), 1);
    let header = decode_part(assertions[0], 0);
    assert_eq!(header["typ"], "countersign+jwt");
    assert_eq!(header["alg"], "ES256");
    let set = published(&scene);
    let keys = set["keys"].as_array().expect("keys");
    let jwk = keys.iter().find(|jwk| jwk["kid"] == header["kid"]);
    let jwk = jwk.expect("the key is published");
    assert!(jwk.get("d").is_none(), "{jwk}");
    verify(assertions[0], jwk);
    let claims = decode_claims(assertions[0]);
    assert_eq!(claims["iss"], "countersign");
    assert_eq!(claims["aud"], "app");
    assert_eq!(claims["sub"], "5");
    assert_eq!(claims["tenant"], "default");
    assert_eq!(claims["account"], "12");
    assert_eq!(claims["roles"], serde_json::json!(["admin", "writer"]));
    let time = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(time("exp") - time("iat"), 60);
    assert!((time("iat") - now()).abs() < 60);
    assert!(time("nbf") <= now());
    assert!(claims["jti"].as_str().is_some_and(|jti| !jti.is_empty()));
}

#[test]
fn it_follows_the_principal_at_once() {
    let scene = default_scene();
    let account = || {
        let (_, seen) = scene.passes(&get("5"));
        let assertion = seen.header("x-auth-assertion").expect("one").to_owned();
        decode_claims(&assertion)["account"].clone()
    };
    assert_eq!(account(), "12");
    scene
        .gateway
        .move_users("users: [ { user: \"5\", account: \"14\", active: true } ]\n");
    assert_eq!(account(), "14");
}

#[test]
fn it_is_used_until_half_its_life_and_for_its_principal_alone() {
    let key = Key::generate("ES256");
    let one_core = |ttl: &str| {
        Scene::with(|builder| {
            builder
                .file("assertion.pem", &key.private_pem())
                .users("users: [ { user: \"5\", account: \"12\" }, { user: \"6\", account: \"12\" } ]\n")
                .set("workers", "1")
                .set("identity", &format!("{{ assertion: {{ ttl: {ttl}, private_key: {{ file: assertion.pem }} }} }}"))
        })
    };
    let sent = |scene: &Scene, user: &str| {
        let (_, seen) = scene.passes(&get(user));
        seen.header("x-auth-assertion").expect("one").to_owned()
    };
    let scene = one_core("10m");
    let first = sent(&scene, "5");
    assert_eq!(sent(&scene, "5"), first);
    assert_eq!(decode_claims(&sent(&scene, "6"))["sub"], "6");
    assert_eq!(sent(&scene, "5"), first);
    scene
        .gateway
        .invalidate(&serde_json::json!({ "tenant": "default", "user": "5" }));
    assert_ne!(sent(&scene, "5"), first, "it outlived its principal");
    let scene = one_core("4s");
    let first = sent(&scene, "5");
    until("a new one is signed", || sent(&scene, "5") != first);
}

#[test]
fn what_is_not_known_is_not_claimed() {
    let scene = default_scene();
    let (_, seen) = scene.passes(&get("none"));
    let claims = decode_claims(seen.header("x-auth-assertion").expect("one"));
    assert!(claims.get("account").is_none_or(Value::is_null), "{claims}");
}

#[test]
fn issuer_audience_algorithm_and_life_are_the_configured_ones() {
    let key = Key::generate("EdDSA");
    let scene = scene(
        &key,
        "{ header: X-Gateway-Identity, issuer: gw, audience: backend, algorithm: EdDSA, private_key: { file: assertion.pem }, ttl: 10s }",
    );
    let request = get("5").header("X-Gateway-Identity", "forged");
    let (_, seen) = scene.passes(&request);
    let assertions = seen.head.all("x-gateway-identity");
    assert_eq!(assertions.len(), 1);
    verify(assertions[0], &published(&scene)["keys"][0]);
    let claims = decode_claims(assertions[0]);
    assert_eq!(claims["iss"], "gw");
    assert_eq!(claims["aud"], "backend");
    let time = |name: &str| claims[name].as_i64().expect("a time");
    assert_eq!(time("exp") - time("iat"), 10);
}

#[test]
fn a16_it_is_no_credential() {
    let scene = default_scene();
    let (_, seen) = scene.passes(&get("5"));
    let assertion = seen.header("x-auth-assertion").expect("one");
    let replay = Request::get("/").bearer(assertion);
    let response = scene.gateway.send(&replay);
    assert_eq!(response.status(), 401, "{}", response.text());
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn a_client_cannot_bring_its_own() {
    let scene = default_scene();
    for name in ["X-Auth-Assertion", "x_auth_assertion", "X.Auth.Assertion"] {
        let (_, seen) = scene.passes(&get("5").header(name, "forged.by.client"));
        assert_eq!(seen.head.all("x-auth-assertion").len(), 1);
        assert!(
            !seen
                .head
                .fields
                .iter()
                .any(|(_, value)| value.contains("forged"))
        );
    }
}

#[test]
fn without_one_configured_none_is_sent() {
    let scene = Scene::new();
    let (_, seen) = scene.passes(&Request::get("/").bearer(&Token::user("5").signed()));
    assert_eq!(seen.header("x-auth-assertion"), None);
}

#[test]
fn d10_the_keys_are_at_exactly_that_path() {
    let scene = default_scene();
    let before = scene.upstream.bytes();
    for path in [
        "/.well-known/countersign/jwks.json/",
        "/.well-known/countersign/jwks.json/x",
        "/.well-known/countersign",
    ] {
        let response = scene.gateway.send(&Request::get(path));
        assert_eq!(response.status(), 401, "{path}: {}", response.text());
    }
    assert_eq!(scene.upstream.bytes(), before);
}

/// Times in tokens are whole seconds, so a short life can be shorter than it is called.
#[test]
fn one_that_is_used_again_has_not_expired() {
    let key = Key::generate("ES256");
    let scene = scene(&key, "{ private_key: { file: assertion.pem }, ttl: 1s }");
    let begun = now();
    while now() < begun + 4 {
        let before = now();
        let (_, seen) = scene.passes(&get("5"));
        let assertion = seen.header("x-auth-assertion").expect("an assertion");
        let expires = decode_claims(assertion)["exp"].as_i64().expect("exp");
        assert!(expires > before, "sent at {before}, expired at {expires}");
    }
}
