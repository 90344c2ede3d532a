//! Depth and size: bounded before anything is parsed or any signature is checked.

use super::{get, never_written, refuses_token, token};
use crate::harness::{Key, SECRET, Scene, now, sign_parts};

fn roomy() -> Scene {
    Scene::with(|builder| builder.set("limits", "{ header_size: 8MiB }"))
}

fn claimed(claims: &str) -> String {
    sign_parts(r#"{"alg":"HS256"}"#, claims, &Key::secret("HS256", SECRET))
}

#[test]
fn a20_deep_json_is_refused_without_recursion() {
    let scene = roomy();
    let exp = now() + 300;
    for depth in [33, 200, 5_000, 1_000_000] {
        for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
            let (open, close) = (open.repeat(depth), close.repeat(depth));
            let claims = format!(r#"{{"user_id":"5","exp":{exp},"x":{open}1{close}}}"#);
            refuses_token(&scene, &claimed(&claims), "credential_malformed");
        }
    }
    let unclosed = claimed(&"[".repeat(8_000));
    refuses_token(&scene, &unclosed, "credential_malformed");
    let header = format!(r#"{{"alg":"HS256","x":{}}}"#, "[".repeat(8_000));
    let key = Key::secret("HS256", SECRET);
    let deep_header = sign_parts(&header, &token().claims().to_string(), &key);
    refuses_token(&scene, &deep_header, "credential_malformed");
    scene.upstream.assert_untouched();
    let shallow = format!(
        r#"{{"user_id":"5","account_id":"12","exp":{exp},"x":{}1{}}}"#,
        "[".repeat(20),
        "]".repeat(20)
    );
    scene.passes_as(&get(&claimed(&shallow)), "match");
}

#[test]
fn a21_a_token_beyond_its_size_is_refused_before_any_crypto() {
    let scene = roomy();
    // Well signed, so that only the size can be the reason.
    for size in [16 * 1024, 64 * 1024, 1024 * 1024] {
        let big = token().claim("pad", "x".repeat(size)).signed();
        refuses_token(&scene, &big, "credential_malformed");
    }
    let mut many = token();
    for number in 0..10_000 {
        many = many.claim(&format!("claim{number}"), number);
    }
    refuses_token(&scene, &many.signed(), "credential_malformed");
    let list: Vec<String> = (0..10_000).map(|number| format!("g{number}")).collect();
    refuses_token(
        &scene,
        &token().claim("groups", list.clone()).signed(),
        "credential_malformed",
    );
    refuses_token(
        &scene,
        &token().claim("aud", list).signed(),
        "credential_malformed",
    );
    scene.upstream.assert_untouched();
    // What a large but bearable one claims besides changes nothing.
    let large = token().claim("groups", vec!["group"; 900]).signed();
    assert!(large.len() > 8 * 1024);
    scene.passes_as(&get(&large), "match");
}

#[test]
fn a21_a_header_section_beyond_its_limit_is_431() {
    let scene = Scene::new();
    for size in [64 * 1024, 1024 * 1024] {
        let big = token().claim("pad", "x".repeat(size)).signed();
        let mut client = scene.gateway.client();
        let _ = client.try_send(&get(&big).bytes());
        let head = client.head();
        assert_eq!(head.status(), 431, "{head:?}");
        never_written(&scene, &big);
    }
    scene.upstream.assert_untouched();
}
