//! Step 4: keys of every kind, each bound to its issuer and its algorithm.

use serde_json::json;

use crate::harness::{Key, KeyServer, Recorder, Request, Scene, Token, free_port, sign_parts};

fn get(token: &str) -> Request {
    Request::get("/records").bearer(token)
}

fn token() -> Token {
    Token::user("5").account("12")
}

/// The issuer `app` with these keys instead.
fn issuer(keys: &str) -> String {
    format!(
        "- name: app\n  leeway: 0s\n  claims: {{ user: user_id, account: account_id, tenant: tenant_schema }}\n{keys}"
    )
}

#[test]
fn a3_a_public_key_is_no_hmac_secret() {
    let key = Key::generate("RS256");
    let pem = key.public_pem();
    let scene = Scene::with(|builder| {
        builder.file("key.pem", &pem).set(
            "issuers",
            &issuer("  algorithms: [RS256]\n  public_key_file: key.pem"),
        )
    });
    for secret in [pem.as_str(), pem.trim_end(), &key.jwk().to_string()] {
        let forged = token().signed_by(&Key::secret("HS256", secret));
        scene.refuses(&get(&forged), 401, "algorithm_not_allowed");
    }
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token().signed_by(&key)), "match");
}

#[test]
fn every_algorithm_verifies_with_a_key_file() {
    for algorithm in ["RS256", "RS384", "PS256", "ES256", "ES384", "EdDSA"] {
        let key = Key::generate(algorithm);
        let other = Key::generate(algorithm);
        let scene = Scene::with(|builder| {
            builder.file("key.pem", &key.public_pem()).set(
                "issuers",
                &issuer(&format!(
                    "  algorithms: [{algorithm}]\n  public_key_file: key.pem"
                )),
            )
        });
        scene.refuses(&get(&token().signed_by(&other)), 401, "signature_invalid");
        scene.upstream.assert_untouched();
        scene.passes_as(&get(&token().signed_by(&key)), "match");
    }
}

#[test]
fn every_hmac_size_verifies() {
    for algorithm in ["HS256", "HS384", "HS512"] {
        let secret = "0123456789abcdef".repeat(8);
        let scene = Scene::with(|builder| {
            builder.env("SECRET", &secret).set(
                "issuers",
                &issuer(&format!(
                    "  algorithms: [{algorithm}]\n  secret: \"${{SECRET}}\""
                )),
            )
        });
        scene.passes_as(
            &get(&token().signed_by(&Key::secret(algorithm, &secret))),
            "match",
        );
    }
}

#[test]
fn a_key_that_the_issuer_does_not_have_is_unknown() {
    let key = Key::generate("ES256").with_kid("one");
    let set = json!({ "keys": [key.jwk()] }).to_string();
    let scene = Scene::with(|builder| {
        builder.file("jwks.json", &set).set(
            "issuers",
            &issuer("  algorithms: [ES256]\n  audiences: any\n  jwks_file: jwks.json"),
        )
    });
    for kid in [
        "two",
        "../../dev/null",
        "' OR 1=1 --",
        "http://127.0.0.1:1/",
    ] {
        let stranger = Key::generate("ES256").with_kid(kid);
        scene.refuses(&get(&token().signed_by(&stranger)), 401, "key_unknown");
    }
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token().signed_by(&key)), "match");
}

#[test]
fn a5_a8_a_mixed_key_set_with_an_unknown_key_type_serves_its_good_keys() {
    let rsa = Key::generate("RS256").with_kid("rsa");
    let ec = Key::generate("ES256").with_kid("ec");
    let strange = json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "pq", "pub": "AAAA" });
    let encryption = {
        let mut jwk = Key::generate("RS256").with_kid("enc").jwk();
        jwk["use"] = json!("enc");
        jwk
    };
    let set = json!({ "keys": [strange, rsa.jwk(), encryption, ec.jwk()] });
    let jwks = KeyServer::serving(set);
    let url = jwks.url();
    let scene = Scene::with(|builder| {
        builder.set(
            "issuers",
            &issuer(&format!(
                "  algorithms: [RS256, ES256]\n  audiences: any\n  jwks_url: {url}/keys"
            )),
        )
    });
    scene.passes_as(&get(&token().signed_by(&rsa)), "match");
    scene.passes_as(&get(&token().signed_by(&ec)), "match");
}

#[test]
fn keys_that_cannot_be_had_are_the_gateways_trouble() {
    let port = free_port();
    let scene = Scene::with(|builder| {
        builder.not_ready().set(
            "issuers",
            &issuer(&format!(
                "  algorithms: [ES256]\n  audiences: any\n  jwks_url: http://127.0.0.1:{port}/keys"
            )),
        )
    });
    let key = Key::generate("ES256").with_kid("one");
    scene.refuses(&get(&token().signed_by(&key)), 503, "keys_unavailable");
    scene.upstream.assert_untouched();
    let ready = scene.gateway.admin(&Request::get("/readyz"));
    assert_eq!(ready.status(), 503);
}

#[test]
fn a12_a_key_that_the_token_brings_is_never_fetched_nor_used() {
    let canary = Recorder::start();
    let scene = Scene::new();
    let stranger = Key::generate("ES256");
    let claims = token().claims().to_string();
    let url = canary.url();
    for header in [
        json!({ "alg": "ES256", "jku": format!("{url}/keys") }),
        json!({ "alg": "ES256", "x5u": format!("{url}/cert") }),
        json!({ "alg": "ES256", "jwk": stranger.jwk() }),
        json!({ "alg": "ES256", "jwk": { "kty": "XX" } }),
    ] {
        let token = sign_parts(&header.to_string(), &claims, &stranger);
        let response = scene.gateway.send(&get(&token));
        assert_eq!(response.status(), 401, "{header}");
    }
    canary.assert_untouched();
    assert_eq!(canary.connections(), 0);
    scene.upstream.assert_untouched();
}
