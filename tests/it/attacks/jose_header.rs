//! The header of a token: read and judged before any key is touched.

use serde_json::{Value, json};

use super::{get, issuer, never_written, refuses_token, token};
use crate::harness::{Key, SECRET, Scene, now, sign_parts};

/// A token with this header and good claims, signed with the issuer's own key.
fn headed(header: &str) -> String {
    let key = Key::secret("HS256", SECRET);
    sign_parts(header, &token().claims().to_string(), &key)
}

#[test]
fn a1_alg_none_is_refused_in_every_spelling() {
    let scene = Scene::new();
    for alg in ["none", "None", "nOnE", "NONE"] {
        let signed = headed(&json!({ "alg": alg }).to_string());
        let unsigned = signed.rsplit_once('.').expect("a signature").0;
        refuses_token(&scene, &signed, "algorithm_not_allowed");
        refuses_token(&scene, &format!("{unsigned}."), "algorithm_not_allowed");
        refuses_token(&scene, unsigned, "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a2_alg_is_one_exact_name() {
    let scene = Scene::new();
    for alg in ["hs256", "HS256 ", "", "HS-256", "HS256\u{0}"] {
        let header = json!({ "alg": alg }).to_string();
        refuses_token(&scene, &headed(&header), "algorithm_not_allowed");
    }
    for header in [
        r#"{"typ":"JWT"}"#,
        r#"{"alg":256}"#,
        r#"{"alg":null}"#,
        r#"{"alg":["HS256"]}"#,
        r#"{"alg":{"HS256":1}}"#,
        r#"{"ALG":"HS256"}"#,
    ] {
        refuses_token(&scene, &headed(header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a13_crit_is_refused() {
    let scene = Scene::new();
    for header in [
        r#"{"alg":"HS256","crit":["x-foo"],"x-foo":"1"}"#,
        r#"{"alg":"HS256","crit":[]}"#,
        r#"{"alg":"HS256","crit":["exp"],"exp":1}"#,
        r#"{"alg":"HS256","crit":["b64"],"b64":true}"#,
        r#"{"alg":"HS256","crit":null}"#,
        r#"{"alg":"HS256","crit":"x-foo"}"#,
        r#"{"alg":"HS256","crit":["alg"]}"#,
    ] {
        refuses_token(&scene, &headed(header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a14_an_unencoded_payload_is_refused() {
    let scene = Scene::new();
    for header in [
        r#"{"alg":"HS256","b64":false}"#,
        r#"{"alg":"HS256","b64":true}"#,
        r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#,
    ] {
        refuses_token(&scene, &headed(header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a15_harmless_parameters_of_any_type_pass() {
    let scene = Scene::new();
    for header in [
        r#"{"alg":"HS256","exp":123,"x":1}"#,
        r#"{"alg":"HS256","signer":"arn:aws:elb","client":"c","exp":1700000000.5}"#,
        r#"{"alg":"HS256","x":{"a":[1,null,true]},"y":[],"cty":"JWT"}"#,
    ] {
        scene.passes_as(&get(&headed(header)), "match");
    }
}

#[test]
fn a16_a_token_of_another_type_is_no_access_token() {
    let scene = Scene::new();
    for typ in [
        json!("logout+jwt"),
        json!("dpop+jwt"),
        json!("JOSE+JSON"),
        json!("secevent+jwt"),
        json!("countersign+jwt"),
        json!("application/countersign+jwt"),
        json!(""),
        json!(5),
        json!(null),
    ] {
        let header = json!({ "alg": "HS256", "typ": typ }).to_string();
        refuses_token(&scene, &headed(&header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        let header = json!({ "alg": "HS256", "typ": typ }).to_string();
        scene.passes_as(&get(&headed(&header)), "match");
    }
}

#[test]
fn a16_an_id_token_is_for_its_client_and_opens_nothing() {
    let scene = Scene::with(|builder| {
        let lines = "algorithms: [HS256]\nsecret: \"${JWT_SECRET}\"\naudiences: [api]";
        builder.set("issuers", &issuer(lines))
    });
    let id_token = token().claim("aud", "web-client").claim("nonce", "n");
    refuses_token(&scene, &id_token.signed(), "audience_mismatch");
    scene.upstream.assert_untouched();
}

#[test]
fn a16_our_own_assertion_is_no_credential() {
    // The worst configuration for it: an issuer that has the assertion's name and key.
    let key = Key::generate("ES256");
    let assertions = "- name: assertions\n  issuer: countersign\n  algorithms: [ES256]\n  audiences: any\n  public_key_file: assertion.pub";
    let app = issuer("algorithms: [HS256]\nsecret: \"${JWT_SECRET}\"");
    let scene = Scene::with(|builder| {
        builder
            .file("assertion.pem", &key.private_pem())
            .file("assertion.pub", &key.public_pem())
            .set("issuers", &format!("{app}\n{assertions}"))
            .set(
                "identity",
                "{ assertion: { private_key: { file: assertion.pem } } }",
            )
    });
    let (_, seen) = scene.passes(&get(&token().signed()));
    let assertion = seen.header("x-auth-assertion").expect("an assertion");
    refuses_token(&scene, assertion, "credential_malformed");
    // The same claims under the type of an access token pass: it is the type that refuses.
    let claims = crate::harness::decode_claims(assertion);
    scene.passes(&get(&key.token(&claims)));
}

#[test]
fn a17_what_is_not_one_compact_jws_is_refused() {
    let scene = Scene::with(|builder| builder.set("limits", "{ header_size: 256KiB }"));
    let good = token().signed();
    let parts: Vec<&str> = good.split('.').collect();
    let (header, claims, signature) = (parts[0], parts[1], parts[2]);
    let jwe = headed(r#"{"alg":"dir","enc":"A128GCM"}"#);
    let nested = sign_parts(
        r#"{"alg":"HS256","cty":"JWT"}"#,
        &good,
        &Key::secret("HS256", SECRET),
    );
    for odd in [
        format!("{good}.{signature}.{signature}"),
        format!("{good}.{signature}"),
        format!("{header}..{signature}"),
        format!("{header}.{claims}"),
        format!(".{claims}.{signature}"),
        "..".to_owned(),
        ".".repeat(100_000),
        "....".to_owned(),
        nested,
        jwe,
    ] {
        scene.refuses(&get(&odd), 401, "credential_malformed");
        never_written(&scene, &odd);
    }
    let json = json!({ "payload": claims, "protected": header, "signature": signature });
    scene.refuses(&get(&json.to_string()), 401, "credential_malformed");
    never_written(&scene, &good);
    scene.upstream.assert_untouched();
}

#[test]
fn a18_compression_and_encryption_parameters_are_refused() {
    let scene = Scene::new();
    for header in [
        r#"{"alg":"HS256","zip":"DEF"}"#,
        r#"{"alg":"HS256","zip":null}"#,
        r#"{"alg":"HS256","enc":"A128GCM"}"#,
    ] {
        refuses_token(&scene, &headed(header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a19_a_header_member_that_stands_twice_refuses_the_token() {
    let scene = Scene::new();
    for header in [
        r#"{"alg":"HS256","alg":"HS256"}"#,
        r#"{"alg":"none","alg":"HS256"}"#,
        r#"{"alg":"HS256","\u0061lg":"none"}"#,
        r#"{"alg":"HS256","x":{"y":1,"y":2}}"#,
    ] {
        refuses_token(&scene, &headed(header), "credential_malformed");
    }
    scene.upstream.assert_untouched();
}

#[test]
fn a19_a_claim_that_stands_twice_refuses_the_token_at_any_depth() {
    let scene = Scene::new();
    let key = Key::secret("HS256", SECRET);
    let exp = now() + 300;
    for members in [
        r#""user_id":"5","user_id":"7""#,
        r#""user_id":"5","user\u005fid":"7""#,
        r#""user_id":"5","exp":1"#,
        r#""user_id":"5","tenant_schema":"a","tenant_schema":"b""#,
        r#""user_id":"5","account_id":"12","account_id":"12""#,
        r#""user_id":"5","realm":{"roles":["a"],"roles":["b"]}"#,
    ] {
        let claims = format!(r#"{{{members},"exp":{exp}}}"#);
        let token = sign_parts(r#"{"alg":"HS256"}"#, &claims, &key);
        refuses_token(&scene, &token, "credential_malformed");
    }
    scene.upstream.assert_untouched();
    let single = format!(r#"{{"user_id":"5","account_id":"12","exp":{exp}}}"#);
    let token = sign_parts(r#"{"alg":"HS256"}"#, &single, &key);
    let (response, ..) = scene.passes_as(&get(&token), "match");
    assert_eq!(response.json()["account"], Value::from("12"));
}
