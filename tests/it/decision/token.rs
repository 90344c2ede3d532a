//! Step 4: what a token must be to prove anything.

use serde_json::{Value, json};

use crate::harness::{
    Builder, Exchange, Key, Recorder, Request, SECRET, Scene, Token, challenge_of, free_port, now,
    sign_parts,
};

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
fn no_credential_is_challenged_without_an_error() {
    let scene = Scene::new();
    let response = scene.refuses(&Request::get("/records"), 401, "credential_missing");
    assert!(!challenge_of(&response).contains("error"));
    scene.upstream.assert_untouched();
}

#[test]
fn a_good_token_passes_and_is_recorded() {
    let scene = Scene::new();
    let (response, seen, line) = scene.passes_as(&get(&token().signed()), "match");
    assert_eq!(response.json()["user"], "5");
    assert_eq!(seen.header("x-auth-account-id"), Some("12"));
    assert_eq!(line["user"], "5");
    assert_eq!(line["account"], "12");
    assert_eq!(line["tenant"], "default");
    assert_eq!(line["token_account"], "12");
    assert_eq!(line["credential"], "bearer");
    assert_eq!(line["issuer"], "app");
    assert_eq!(line["method"], "GET");
    assert_eq!(line["path"], "/records");
    assert_eq!(line["upstream"], "app");
    assert_eq!(line["status"], 200);
}

#[test]
fn a_refused_request_proves_nothing_in_the_audit() {
    let scene = Scene::new();
    let bad = token().signed_by(&Key::secret(
        "HS256",
        "another-secret-0123456789-0123456789",
    ));
    let response = scene.refuses(&get(&bad), 401, "signature_invalid");
    let line = scene.audit_of(&response);
    assert!(line.get("user").is_none_or(Value::is_null), "{line}");
    assert!(line.get("account").is_none_or(Value::is_null), "{line}");
    scene.never_written(&bad);
}

#[test]
fn what_is_no_token_is_malformed() {
    let scene = Scene::new();
    let good = token().signed();
    let values = [
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Bearer x".to_owned(),
        "Bearer a.b".to_owned(),
        "Bearer a.b.c".to_owned(),
        "Bearer a.b.c.d.e".to_owned(),
        format!("Bearer {good} {good}"),
        format!("Bearer {good},Bearer {good}"),
        format!("Bearer {good}="),
        format!("Bearer {}", good.replace('.', "..")),
        format!("Token {good}"),
        "Basic YW5uOnNlY3JldA==".to_owned(),
        good.clone(),
    ];
    for value in values {
        let request = Request::get("/").header("Authorization", &value);
        scene.refuses(&request, 401, "credential_malformed");
    }
    scene.never_written(&good);
    scene.upstream.assert_untouched();
}

#[test]
fn a1_a2_an_algorithm_that_is_none_of_the_issuers_is_refused() {
    let scene = Scene::new();
    let claims = token().claims().to_string();
    let key = Key::secret("HS256", SECRET);
    for alg in [
        json!("none"),
        json!("None"),
        json!("NONE"),
        json!("hs256"),
        json!("HS512"),
        json!("RS256"),
        json!("ES256"),
        json!(5),
        json!(["HS256"]),
        json!(null),
    ] {
        let header = json!({ "alg": alg, "typ": "JWT" }).to_string();
        let request = get(&sign_parts(&header, &claims, &key));
        scene.refuses_any(
            &request,
            401,
            &["algorithm_not_allowed", "credential_malformed"],
        );
    }
    let signed = sign_parts(r#"{"alg":"none"}"#, &claims, &key);
    let bare = signed.rsplit_once('.').expect("a signature").0;
    for bare in [format!("{bare}."), bare.to_owned()] {
        scene.refuses_any(
            &get(&bare),
            401,
            &["algorithm_not_allowed", "credential_malformed"],
        );
    }
    let missing = sign_parts(r#"{"typ":"JWT"}"#, &claims, &key);
    scene.refuses_any(
        &get(&missing),
        401,
        &["algorithm_not_allowed", "credential_malformed"],
    );
    scene.upstream.assert_untouched();
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
fn a_changed_token_has_no_signature() {
    let scene = Scene::new();
    let parts = token().signed();
    let parts: Vec<&str> = parts.split('.').collect();
    let other = Token::user("7").account("14").signed();
    let claims = other.split('.').nth(1).expect("claims");
    let swapped = format!("{}.{claims}.{}", parts[0], parts[2]);
    scene.refuses(&get(&swapped), 401, "signature_invalid");
    scene.never_written(&swapped);
    scene.upstream.assert_untouched();
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
    let jwks = jwks_server(set);
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

fn jwks_server(set: Value) -> Recorder {
    Recorder::answering(move |exchange: &mut Exchange<'_>| exchange.respond_json(&set))
}

#[test]
fn expired_tokens_are_refused() {
    let scene = Scene::new();
    for ago in [1, 60, 100_000] {
        let request = get(&token().issued_ago(ago + 60).expires_in(-ago).signed());
        scene.refuses(&request, 401, "token_expired");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a29_the_leeway_is_the_one_configured() {
    let scene = Scene::with(|builder| builder.set("issuers", &leeway_issuer("30s")));
    scene.passes(&get(&token().issued_ago(60).expires_in(-10).signed()));
    let request = get(&token().issued_ago(100).expires_in(-40).signed());
    scene.refuses(&request, 401, "token_expired");
}

fn leeway_issuer(leeway: &str) -> String {
    format!(
        "- name: app\n  algorithms: [HS256]\n  secret: \"${{JWT_SECRET}}\"\n  leeway: {leeway}\n  claims: {{ user: user_id, account: account_id, tenant: tenant_schema }}"
    )
}

#[test]
fn a28_tokens_of_the_future_are_refused() {
    let scene = Scene::new();
    let later = now() + 3600;
    scene.refuses(
        &get(&token().claim("nbf", later).signed()),
        401,
        "token_not_yet_valid",
    );
    scene.refuses(
        &get(&token().claim("iat", later).expires_in(7200).signed()),
        401,
        "token_not_yet_valid",
    );
    let text = token().claim("nbf", "soon").signed();
    scene.refuses_any(
        &get(&text),
        401,
        &[
            "token_not_yet_valid",
            "credential_malformed",
            "claim_missing",
        ],
    );
    scene.upstream.assert_untouched();
}

#[test]
fn a25_a_token_without_a_readable_expiry_is_refused() {
    let scene = Scene::new();
    scene.refuses(&get(&token().without("exp").signed()), 401, "claim_missing");
    for exp in [json!("soon"), json!(null), json!([1]), json!(-1)] {
        let request = get(&token().claim("exp", exp).signed());
        scene.refuses_any(
            &request,
            401,
            &["claim_missing", "credential_malformed", "token_expired"],
        );
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a26_an_expiry_beyond_all_time_harms_nobody() {
    let scene = Scene::new();
    for exp in [json!(u64::MAX), json!(1e19), json!(i64::MAX)] {
        let response = scene
            .gateway
            .send(&get(&token().claim("exp", exp).signed()));
        assert!([200, 401].contains(&response.status()), "{response:?}");
    }
    scene.passes(&get(&token().signed()));
}

#[test]
fn a_lifetime_above_the_largest_is_refused() {
    let scene = Scene::with(|builder| {
        let yaml = format!("{}\n  max_lifetime: 10m", leeway_issuer("0s"));
        builder.set("issuers", &yaml)
    });
    scene.passes(&get(&token().expires_in(500).signed()));
    let reasons = [
        "token_expired",
        "claim_missing",
        "token_not_yet_valid",
        "credential_malformed",
    ];
    scene.refuses_any(&get(&token().expires_in(700).signed()), 401, &reasons);
    scene.refuses_any(&get(&token().without("iat").signed()), 401, &reasons);
}

#[test]
fn an_issuer_that_nobody_configured_is_unknown() {
    let scene = Scene::new();
    for iss in [
        json!("https://evil.test"),
        json!(""),
        json!(["app"]),
        json!(7),
    ] {
        let request = get(&token().claim("iss", iss).signed());
        scene.refuses_any(&request, 401, &["issuer_unknown", "credential_malformed"]);
    }
    scene.upstream.assert_untouched();
}

fn two_issuers(builder: Builder) -> Builder {
    builder
        .env("SECRET_A", "the-secret-of-issuer-a-0123456789abcdef")
        .env("SECRET_B", "the-secret-of-issuer-b-0123456789abcdef")
        .set(
            "issuers",
            r#"- name: a
  issuer: https://a.test
  algorithms: [HS256]
  secret: "${SECRET_A}"
  claims: { user: user_id, account: account_id }
- name: b
  issuer: https://b.test
  algorithms: [HS256]
  secret: "${SECRET_B}"
  claims: { user: user_id, account: account_id }"#,
        )
}

#[test]
fn a41_a_key_belongs_to_its_issuer_alone() {
    let scene = Scene::with(two_issuers);
    let of = |iss: &str, secret| {
        let key = Key::secret("HS256", secret);
        token().claim("iss", iss).signed_by(&key)
    };
    let a = "the-secret-of-issuer-a-0123456789abcdef";
    scene.passes(&get(&of("https://a.test", a)));
    scene.refuses(&get(&of("https://b.test", a)), 401, "signature_invalid");
    scene.refuses(&get(&of("https://c.test", a)), 401, "issuer_unknown");
    let without = token().signed_by(&Key::secret("HS256", a));
    scene.refuses(&get(&without), 401, "issuer_unknown");
}

#[test]
fn a22_a_token_for_another_audience_is_refused() {
    let scene = Scene::with(|builder| {
        let yaml = format!("{}\n  audiences: [api]", leeway_issuer("0s"));
        builder.set("issuers", &yaml)
    });
    scene.passes(&get(&token().claim("aud", "api").signed()));
    scene.passes(&get(&token().claim("aud", json!(["web", "api"])).signed()));
    scene.refuses(
        &get(&token().claim("aud", "web").signed()),
        401,
        "audience_mismatch",
    );
    scene.refuses(
        &get(&token().claim("aud", json!(["web"])).signed()),
        401,
        "audience_mismatch",
    );
    for aud in [json!(5), json!({}), json!(null), json!(["api", 5])] {
        let request = get(&token().claim("aud", aud).signed());
        scene.refuses_any(
            &request,
            401,
            &["audience_mismatch", "claim_missing", "credential_malformed"],
        );
    }
    scene.refuses_any(
        &get(&token().signed()),
        401,
        &["audience_mismatch", "claim_missing"],
    );
}

#[test]
fn a_token_with_an_audience_needs_a_configured_one() {
    let scene = Scene::new();
    let request = get(&token().claim("aud", "api").signed());
    scene.refuses(&request, 401, "audience_mismatch");
    scene.upstream.assert_untouched();
}

#[test]
fn a_refresh_token_is_no_access_token() {
    let scene = Scene::with(|builder| {
        let yaml = format!(
            "{}\n  require: {{ token_type: access }}",
            leeway_issuer("0s")
        );
        builder.set("issuers", &yaml)
    });
    scene.refuses(
        &get(&token().claim("token_type", "refresh").signed()),
        401,
        "claim_missing",
    );
    scene.refuses(
        &get(&token().claim("token_type", json!(["access"])).signed()),
        401,
        "claim_missing",
    );
    scene.refuses(&get(&token().signed()), 401, "claim_missing");
    scene.upstream.assert_untouched();
    scene.passes(&get(&token().claim("token_type", "access").signed()));
}

#[test]
fn a24_a_user_that_is_no_id_is_refused() {
    let scene = Scene::new();
    let reasons = ["claim_missing", "credential_malformed"];
    for user in [
        json!(5.0),
        json!(true),
        json!(null),
        json!(["5"]),
        json!(""),
        json!(" 5"),
        json!("5\u{0}"),
        json!("a\nb"),
        json!("x".repeat(256)),
    ] {
        let request = get(&Token::user(user).signed());
        scene.refuses_any(&request, 401, &reasons);
    }
    scene.refuses(
        &get(&token().without("user_id").signed()),
        401,
        "claim_missing",
    );
    scene.upstream.assert_untouched();
    let (response, ..) = scene.passes_as(&get(&Token::user(5).account(12).signed()), "match");
    assert_eq!(response.json()["user"], "5");
    scene.refuses(
        &get(&Token::user("05").account("12").signed()),
        401,
        "user_unknown",
    );
}

#[test]
fn a13_critical_parameters_that_nobody_understands_refuse_the_token() {
    let scene = Scene::new();
    let key = Key::secret("HS256", SECRET);
    let claims = token().claims().to_string();
    for header in [
        r#"{"alg":"HS256","crit":["x-foo"],"x-foo":"1"}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","typ":"logout+jwt"}"#,
        r#"{"alg":"HS256","typ":"dpop+jwt"}"#,
        r#"{"alg":"HS256","typ":"countersign+jwt"}"#,
        r#"{"alg":"HS256","alg":"HS256"}"#,
    ] {
        let response = scene.gateway.send(&get(&sign_parts(header, &claims, &key)));
        assert_eq!(response.status(), 401, "{header}: {}", response.text());
    }
    scene.upstream.assert_untouched();
    // Parameters that nobody must understand may be there, of any type (RFC 7515, section 4).
    let plain = sign_parts(r#"{"alg":"HS256","x":1,"typ":"at+jwt"}"#, &claims, &key);
    scene.passes(&get(&plain));
}

#[test]
fn a19_a_claim_that_stands_twice_refuses_the_token() {
    let scene = Scene::new();
    let key = Key::secret("HS256", SECRET);
    let exp = now() + 300;
    for claims in [
        format!(r#"{{"user_id":"5","user_id":"7","exp":{exp}}}"#),
        format!(r#"{{"user_id":"5","user\u005fid":"7","exp":{exp}}}"#),
        format!(r#"{{"user_id":"5","exp":1,"exp":{exp}}}"#),
        format!(r#"{{"user_id":"5","account_id":"12","account_id":"14","exp":{exp}}}"#),
        format!("[{exp}]"),
        format!(r#"{{"user_id":"5","exp":{exp}}} "#) + "x",
        "[".repeat(100_000),
    ] {
        let token = sign_parts(r#"{"alg":"HS256"}"#, &claims, &key);
        let mut client = scene.gateway.client();
        let response = client.exchange(&get(&token));
        assert!([401, 431].contains(&response.status()), "{response:?}");
    }
    scene.upstream.assert_untouched();
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
