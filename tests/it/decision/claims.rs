//! Step 4: what a token's claims must say.

use serde_json::json;

use crate::harness::{Builder, Key, Request, Scene, Token, now};

fn get(token: &str) -> Request {
    Request::get("/records").bearer(token)
}

fn token() -> Token {
    Token::user("5").account("12")
}

fn leeway_issuer(leeway: &str) -> String {
    format!(
        "- name: app\n  algorithms: [HS256]\n  secret: \"${{JWT_SECRET}}\"\n  leeway: {leeway}\n  claims: {{ user: user_id, account: account_id, tenant: tenant_schema }}"
    )
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
