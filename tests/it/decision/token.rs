//! Step 4: what a token must be to prove anything.

use serde_json::{Value, json};

use crate::harness::{Key, Request, SECRET, Scene, Token, challenge_of, now, sign_parts};

fn get(token: &str) -> Request {
    Request::get("/records").bearer(token)
}

fn token() -> Token {
    Token::user("5").account("12")
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
