//! Claims: of the right type or refused, never coerced.

use serde_json::json;

use super::{get, issuer, refuses_token, token};
use crate::harness::{Key, SECRET, Scene, Token, now, sign_parts};

fn scene(lines: &str) -> Scene {
    let lines = format!("algorithms: [HS256]\nsecret: \"${{JWT_SECRET}}\"\n{lines}");
    Scene::with(|builder| builder.set("issuers", &issuer(&lines)))
}

/// Claims as text, where a JSON library could not write them.
fn claimed(claims: &str) -> String {
    sign_parts(r#"{"alg":"HS256"}"#, claims, &Key::secret("HS256", SECRET))
}

#[test]
fn a22_an_audience_of_the_wrong_type_is_refused() {
    let scene = scene("audiences: [api]");
    for aud in [
        json!(5),
        json!(["other", 5]),
        json!(["api", 5]),
        json!({}),
        json!({ "api": 1 }),
        json!(null),
        json!([]),
        json!([["api"]]),
        json!("web"),
        json!("API"),
        json!(""),
    ] {
        refuses_token(
            &scene,
            &token().claim("aud", aud).signed(),
            "audience_mismatch",
        );
    }
    refuses_token(&scene, &token().signed(), "audience_mismatch");
    scene.upstream.assert_untouched();
    scene.passes_as(
        &get(&token().claim("aud", json!(["web", "api"])).signed()),
        "match",
    );
}

#[test]
fn a23_an_issuer_that_is_not_one_text_is_refused() {
    let scene = scene("issuer: https://one.test");
    for iss in [
        json!(7),
        json!({ "x": "evil" }),
        json!(["https://one.test"]),
        json!(["evil", "https://one.test"]),
        json!(null),
        json!("https://one.test/"),
        json!("HTTPS://one.test"),
        json!(""),
    ] {
        refuses_token(
            &scene,
            &token().claim("iss", iss).signed(),
            "issuer_unknown",
        );
    }
    refuses_token(&scene, &token().signed(), "issuer_unknown");
    scene.upstream.assert_untouched();
    scene.passes_as(
        &get(&token().claim("iss", "https://one.test").signed()),
        "match",
    );
}

#[test]
fn a24_a_user_is_one_canonical_id() {
    let users = r#"users:
  - { user: "5", account: "12", active: true }
  - { user: "9007199254740992", account: "1", active: true }
  - { user: "9007199254740993", account: "2", active: true }
"#;
    let scene = Scene::with(|builder| builder.users(users));
    for user in [
        json!(["5"]),
        json!(["5", "7"]),
        json!({ "id": "5" }),
        json!(""),
        json!(" 5"),
        json!("5 "),
        json!("5\u{0}"),
        json!("5\r\nX-Auth-User-Id: 7"),
        json!(5.0),
        json!(5e0),
        json!(true),
        json!("5".repeat(256)),
    ] {
        let token = Token::user(user).account("12").signed();
        refuses_token(&scene, &token, "credential_malformed");
    }
    let nobody = Token::user(json!(null)).signed();
    refuses_token(&scene, &nobody, "claim_missing");
    refuses_token(
        &scene,
        &token().without("user_id").signed(),
        "claim_missing",
    );
    // Other ids, which nobody has: never folded into 5.
    for user in [
        json!("05"),
        json!("５"),
        json!("+5"),
        json!(-5),
        json!("5.0"),
    ] {
        let token = Token::user(user).account("12").signed();
        refuses_token(&scene, &token, "user_unknown");
    }
    scene.upstream.assert_untouched();
    // 5 and "5" are one user, and no integer loses its last digit.
    for (user, seen_as) in [
        (json!(5), "5"),
        (json!("5"), "5"),
        (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        (json!(9_007_199_254_740_992_u64), "9007199254740992"),
    ] {
        let (_, seen) = scene.passes(&get(&Token::user(user).signed()));
        assert_eq!(seen.head.all("x-auth-user-id"), [seen_as]);
    }
}

#[test]
fn a25_an_expiry_that_is_no_time_is_refused() {
    let scene = Scene::new();
    let exp = |value: &str| {
        claimed(&format!(
            r#"{{"user_id":"5","account_id":"12","exp":{value}}}"#
        ))
    };
    let later = format!("\"{}\"", now() + 300);
    for value in [&later, "1e400", "18446744073709551616", "[]", "true", "{}"] {
        refuses_token(&scene, &exp(value), "credential_malformed");
    }
    for value in ["-1", "-1e300", "0", "-0.5"] {
        refuses_token(&scene, &exp(value), "token_expired");
    }
    refuses_token(&scene, &exp("null"), "claim_missing");
    refuses_token(&scene, &token().without("exp").signed(), "claim_missing");
    scene.upstream.assert_untouched();
}

#[test]
fn a26_an_expiry_beyond_all_time_is_refused_and_harms_nobody() {
    let scene = Scene::new();
    for exp in [
        json!(u64::MAX),
        json!(1e19),
        json!(i64::MAX),
        json!(1e300),
        json!(253_402_300_800_u64),
    ] {
        refuses_token(
            &scene,
            &token().claim("exp", exp).signed(),
            "credential_malformed",
        );
    }
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token().signed()), "match");
}

#[test]
fn a26_a_lifetime_beyond_the_configured_one_is_refused() {
    let scene = scene("max_lifetime: 10m");
    refuses_token(&scene, &token().expires_in(3600).signed(), "token_expired");
    refuses_token(
        &scene,
        &token().expires_in(4_000_000_000).signed(),
        "token_expired",
    );
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token().expires_in(500).signed()), "match");
}

#[test]
fn a27_a_time_with_a_fraction_is_a_time() {
    let scene = Scene::new();
    for exp in [
        json!(4_102_444_800.5),
        json!(1e10),
        json!(4_102_444_800_u64),
    ] {
        scene.passes_as(&get(&token().claim("exp", exp).signed()), "match");
    }
    let count = scene.upstream.count();
    #[expect(clippy::cast_precision_loss, reason = "a time of today")]
    let past = now() as f64 - 0.5;
    refuses_token(
        &scene,
        &token().claim("exp", past).signed(),
        "token_expired",
    );
    assert_eq!(scene.upstream.count(), count);
}

#[test]
fn a28_what_is_not_valid_yet_is_refused() {
    let scene = scene("max_lifetime: 1h");
    let later = now() + 600;
    for name in ["nbf", "iat"] {
        let token = token().expires_in(1200).claim(name, later).signed();
        refuses_token(&scene, &token, "token_not_yet_valid");
        for odd in [
            json!("soon"),
            json!(-1),
            json!([1]),
            json!({}),
            json!(1e300),
        ] {
            let token = super::token().claim(name, odd).signed();
            refuses_token(&scene, &token, "credential_malformed");
        }
    }
    // The largest lifetime cannot be judged without a beginning.
    refuses_token(&scene, &token().without("iat").signed(), "claim_missing");
    scene.upstream.assert_untouched();
    scene.passes_as(&get(&token().claim("nbf", now() - 1).signed()), "match");
}

#[test]
fn a29_leeway_is_the_configured_one_and_no_more() {
    let strict = Scene::new();
    for ago in [1, 30, 59] {
        let expired = token().issued_ago(120).expires_in(-ago).signed();
        refuses_token(&strict, &expired, "token_expired");
    }
    strict.upstream.assert_untouched();
    let app = issuer("algorithms: [HS256]\nsecret: \"${JWT_SECRET}\"").replace("0s", "30s");
    let lenient = Scene::with(|builder| builder.set("issuers", &app));
    let tolerated = token().issued_ago(120).expires_in(-10).signed();
    // Twice, so that the second is judged from the cache.
    for _ in 0..2 {
        lenient.passes_as(&get(&tolerated), "match");
    }
    let expired = token().issued_ago(120).expires_in(-31).signed();
    refuses_token(&lenient, &expired, "token_expired");
}

#[test]
fn a43_claims_that_no_header_can_carry_never_reach_one() {
    let users = r#"users:
  - { user: "日本", account: "12", active: true }
  - { user: "5", account: "12", active: true }
"#;
    let scene = Scene::with(|builder| builder.users(users));
    for user in [
        "a\r\nX-Evil: 1",
        "a\u{0}b",
        "a\u{7f}",
        "a\u{85}b",
        "a\nb",
        "\ta",
    ] {
        refuses_token(&scene, &Token::user(user).signed(), "credential_malformed");
        let account = Token::user("5").account(user).signed();
        refuses_token(&scene, &account, "credential_malformed");
    }
    // An id that is one, and that no header may carry.
    scene.refuses(&get(&Token::user("日本").signed()), 403, "identity_unsafe");
    scene.upstream.assert_untouched();
}
