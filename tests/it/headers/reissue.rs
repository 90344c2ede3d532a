//! The reissued token: the app's own format with the live account, where the old one was.

use base64::Engine as _;
use serde_json::{Value, json};

use crate::harness::{
    Builder, Key, Request, SECRET, Scene, Token, decode_claims, decode_part, now,
};

const USERS: &str = r#"users:
  - { user: "5", account: "14", active: true }
  - { user: "none", account: null, active: true }
"#;

fn configured(builder: Builder, credentials: &str, more: &str) -> Builder {
    builder
        .users(USERS)
        .set("accounts", "{ on_no_account: allow }")
        .set("credentials", credentials)
        .set(
            "identity",
            &format!("{{ reissue: {{ issuer: app{more} }} }}"),
        )
}

fn bearer_scene(more: &str) -> Scene {
    Scene::with(|builder| configured(builder, "[ bearer: { forward: reissue } ]", more))
}

/// The bearer token that the upstream saw, checked against the app's own secret.
#[track_caller]
fn forwarded(authorization: &[&str]) -> Value {
    assert_eq!(authorization.len(), 1, "{authorization:?}");
    let token = authorization[0].strip_prefix("Bearer ").expect("a bearer");
    checked(token)
}

#[track_caller]
fn checked(token: &str) -> Value {
    let (message, signature) = token.rsplit_once('.').expect("a JWS");
    let key = Key::secret("HS256", SECRET);
    let wanted =
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.sign(message.as_bytes()));
    assert_eq!(signature, wanted);
    assert_eq!(decode_part(token, 0)["alg"], "HS256");
    decode_claims(token)
}

#[test]
fn a_stale_bearer_becomes_a_fresh_one_with_the_live_account() {
    let scene = bearer_scene("");
    let old = Token::user("5")
        .account("12")
        .claim("jti", "old")
        .claim("scope", "read")
        .claim("nbf", now() - 50);
    let signed = old.signed();
    let (response, seen) = scene.passes(&Request::get("/").bearer(&signed));
    assert_eq!(response.header("x-auth-token-stale"), Some("account"));
    let claims = forwarded(&seen.head.all("authorization"));
    assert_eq!(claims["user_id"], "5");
    assert_eq!(claims["account_id"], "14");
    assert_eq!(claims["scope"], "read");
    assert_ne!(claims["jti"], "old");
    assert!(claims["jti"].is_string());
    assert!(claims.get("nbf").is_none(), "{claims}");
    let time = |name: &str| claims[name].as_i64().expect("a time");
    assert!(time("iat") <= now());
    assert!(time("exp") <= now() + 61);
    assert!(time("exp") > now());
}

#[test]
fn it_never_lives_longer_than_its_source() {
    let scene = bearer_scene("");
    let old = Token::user("5").account("12").expires_in(20);
    let (_, seen) = scene.passes(&Request::get("/").bearer(&old.signed()));
    let claims = forwarded(&seen.head.all("authorization"));
    assert!(
        claims["exp"].as_i64().expect("a time") <= old.claims()["exp"].as_i64().expect("a time")
    );
}

#[test]
fn a_user_without_an_account_gets_null() {
    let scene = bearer_scene("");
    let old = Token::user("none").account("12");
    let (_, seen) = scene.passes(&Request::get("/").bearer(&old.signed()));
    let claims = forwarded(&seen.head.all("authorization"));
    assert_eq!(claims["account_id"], Value::Null);
}

#[test]
fn ids_are_written_as_the_app_writes_them() {
    let scene = bearer_scene(", ids: integer");
    let old = Token::user(5).account(12);
    let (_, seen) = scene.passes(&Request::get("/").bearer(&old.signed()));
    let claims = forwarded(&seen.head.all("authorization"));
    assert_eq!(claims["user_id"], json!(5));
    assert_eq!(claims["account_id"], json!(14));
}

#[test]
fn a_token_in_a_cookie_is_reissued_in_the_cookie() {
    let scene = Scene::with(|builder| {
        configured(
            builder,
            "[ cookie: { name: access_token, forward: reissue } ]",
            "",
        )
    });
    let old = Token::user("5").account("12").signed();
    let request = Request::get("/").header("Cookie", &format!("a=1; access_token={old}; b=2"));
    let (_, seen) = scene.passes(&request);
    let cookies = seen.head.all("cookie");
    assert_eq!(cookies.len(), 1, "{cookies:?}");
    assert!(!cookies[0].contains(&old));
    let mut pairs: Vec<_> = cookies[0].split("; ").collect();
    let at = pairs
        .iter()
        .position(|pair| pair.starts_with("access_token="));
    let token = pairs.remove(at.expect("the cookie"));
    let claims = checked(token.trim_start_matches("access_token="));
    assert_eq!(claims["account_id"], "14");
    assert_eq!(pairs, ["a=1", "b=2"]);
    assert_eq!(seen.header("authorization"), None);
}

#[test]
fn a_cookie_can_become_a_bearer_as_well() {
    let scene = Scene::with(|builder| {
        configured(
            builder,
            "[ cookie: { name: access_token, forward: remove } ]",
            ", also: authorization",
        )
    });
    let old = Token::user("5").account("12").signed();
    let request = Request::get("/").header("Cookie", &format!("access_token={old}; b=2"));
    let (_, seen) = scene.passes(&request);
    let claims = forwarded(&seen.head.all("authorization"));
    assert_eq!(claims["account_id"], "14");
    assert_eq!(seen.header("cookie"), Some("b=2"));
}

#[test]
fn a_token_of_another_issuer_gets_the_configured_claims() {
    let key = Key::generate("ES256");
    let scene = Scene::with(|builder| {
        configured(
            builder,
            "[ bearer: { forward: reissue } ]",
            ", claims: { type: access }",
        )
        .file("key.pem", &key.public_pem())
        .set(
            "issuers",
            r#"- name: app
  algorithms: [HS256]
  secret: "${JWT_SECRET}"
  claims: { user: user_id, account: account_id }
- name: idp
  issuer: https://idp.test
  audiences: [api]
  algorithms: [ES256]
  public_key_file: key.pem"#,
        )
    });
    let now = now();
    let foreign = key.token(&json!({
        "iss": "https://idp.test", "aud": "api", "sub": "5", "iat": now, "exp": now + 30, "email": "x@y.test",
    }));
    let (_, seen) = scene.passes(&Request::get("/").bearer(&foreign));
    let claims = forwarded(&seen.head.all("authorization"));
    assert_eq!(claims["user_id"], "5");
    assert_eq!(claims["account_id"], "14");
    assert_eq!(claims["type"], "access");
    assert!(claims.get("email").is_none(), "{claims}");
    assert!(claims.get("iss").is_none(), "{claims}");
    assert!(claims.get("aud").is_none(), "{claims}");
}

const ENDPOINT: &str = "/.well-known/countersign/token";

#[test]
fn the_token_endpoint_is_the_way_out_of_a_stale_token() {
    let scene = bearer_scene(&format!(", endpoint: {ENDPOINT}"));
    let old = Token::user("5").account("12").expires_in(40);
    let request = Request::new("POST", ENDPOINT)
        .bearer(&old.signed())
        .header("Content-Length", "0");
    let response = scene.gateway.send(&request).expect_status(200);
    assert!(
        response
            .header("cache-control")
            .unwrap_or_default()
            .contains("no-store")
    );
    let answer = response.json();
    assert_eq!(answer["token_type"], "Bearer");
    let fresh = answer["access_token"].as_str().expect("a token");
    let claims = checked(fresh);
    assert_eq!(claims["account_id"], "14");
    let expiry = claims["exp"].as_i64().expect("a time");
    assert!(expiry <= old.claims()["exp"].as_i64().expect("a time"));
    assert!(
        answer["expires_in"]
            .as_i64()
            .is_some_and(|left| (1..=40).contains(&left))
    );
    scene.upstream.assert_untouched();
    scene.never_written(fresh);
    let (response, ..) = scene.passes_as(&Request::get("/").bearer(fresh), "match");
    assert_eq!(response.header("x-auth-token-stale"), None);
}

#[test]
fn the_token_endpoint_asks_for_a_credential() {
    let scene = bearer_scene(&format!(", endpoint: {ENDPOINT}"));
    let bare = Request::new("POST", ENDPOINT).header("Content-Length", "0");
    scene.refuses(&bare, 401, "credential_missing");
    let expired = bare.bearer(&Token::user("5").expires_in(-5).signed());
    scene.refuses(&expired, 401, "token_expired");
    let get = Request::get(ENDPOINT).bearer(&Token::user("5").signed());
    let response = scene.gateway.send(&get);
    assert_eq!(response.status(), 405, "{}", response.text());
    scene.upstream.assert_untouched();
}

/// The leeway is for clocks, not for lives: no exchange adds it to a token once more.
#[test]
fn a_token_cannot_be_exchanged_beyond_its_own_end() {
    let scene = Scene::with(|builder| {
        let more = format!(", endpoint: {ENDPOINT}");
        configured(builder, "[ bearer: { forward: keep } ]", &more).set(
            "issuers",
            "- name: app\n  algorithms: [HS256]\n  secret: \"${JWT_SECRET}\"\n  leeway: 60s\n  claims: { user: user_id, account: account_id }",
        )
    });
    let exchange = |token: &str| {
        let request = Request::post(ENDPOINT, b"").bearer(token);
        let answer = scene.gateway.send(&request).expect_status(200).json();
        answer["access_token"].as_str().expect("a token").to_owned()
    };
    let old = Token::user("5").account("14").expires_in(20);
    let end = old.claims()["exp"].as_i64().expect("a time");
    let mut token = old.signed();
    for _ in 0..3 {
        token = exchange(&token);
        let expiry = checked(&token)["exp"].as_i64().expect("a time");
        assert!(expiry <= end, "{expiry} is beyond {end}");
    }
    // Good for a request within the leeway, and for nothing new.
    let late = Token::user("5").account("14").expires_in(-5).signed();
    scene.passes(&Request::get("/").bearer(&late));
    let ask = Request::post(ENDPOINT, b"").bearer(&late);
    scene.refuses(&ask, 401, "token_expired");
}

#[test]
fn an_id_that_is_no_integer_is_unfit_where_the_app_wants_integers() {
    let scene = bearer_scene(&format!(", ids: integer, endpoint: {ENDPOINT}"));
    let token = Token::user("none").signed();
    scene.refuses(&Request::get("/").bearer(&token), 403, "identity_unsafe");
    let ask = Request::post(ENDPOINT, b"").bearer(&token);
    scene.refuses(&ask, 403, "identity_unsafe");
    scene.upstream.assert_untouched();
}

#[test]
fn without_an_endpoint_the_path_is_the_upstreams() {
    let scene = bearer_scene("");
    let request = Request::new("POST", ENDPOINT)
        .bearer(&Token::user("5").account("14").signed())
        .header("Content-Length", "0");
    scene.passes(&request);
}
