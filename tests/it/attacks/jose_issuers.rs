//! Issuers side by side: no key of one serves another, and every algorithm works before any is used.

use serde_json::json;

use super::{get, issuer, refuses_token, token};
use crate::harness::{Key, Scene};

#[test]
fn a41_a_key_of_one_issuer_signs_for_no_other() {
    let (a, b) = (
        Key::generate("ES256").with_kid("same"),
        Key::generate("ES256").with_kid("same"),
    );
    let issuers: String = ["a", "b"]
        .map(|name| {
            format!(
                "- name: {name}\n  issuer: https://{name}.test\n  algorithms: [ES256]\n  audiences: any\n  jwks_file: {name}.json\n  claims: {{ user: user_id, account: account_id }}\n"
            )
        })
        .concat();
    let set = |key: &Key| json!({ "keys": [key.jwk()] }).to_string();
    let scene = Scene::with(|builder| {
        builder
            .file("a.json", &set(&a))
            .file("b.json", &set(&b))
            .set("issuers", issuers.trim_end())
    });
    let of = |name: &str, key: &Key| {
        let iss = format!("https://{name}.test");
        token().claim("iss", iss).signed_by(key)
    };
    refuses_token(&scene, &of("b", &a), "signature_invalid");
    refuses_token(&scene, &of("a", &b), "signature_invalid");
    refuses_token(&scene, &of("c", &a), "issuer_unknown");
    refuses_token(&scene, &token().signed_by(&a), "issuer_unknown");
    scene.upstream.assert_untouched();
    for (name, key) in [("a", &a), ("b", &b)] {
        let (_, _, line) = scene.passes_as(&get(&of(name, key)), "match");
        assert_eq!(line["issuer"], name);
    }
}

#[test]
fn a42_every_algorithm_proves_itself_before_the_port_opens() {
    // One issuer for each, so that one start runs the self-test of every family.
    let keys: Vec<(&str, Key)> = [
        "RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "EdDSA",
    ]
    .map(|algorithm| (algorithm, Key::generate(algorithm)))
    .into();
    let issuer_of = |algorithm: &str| {
        format!(
            "- name: {algorithm}\n  issuer: https://{algorithm}.test\n  algorithms: [{algorithm}]\n  public_key_file: {algorithm}.pem\n  claims: {{ user: user_id, account: account_id }}\n"
        )
    };
    let issuers: String = keys.iter().map(|(name, _)| issuer_of(name)).collect();
    let scene = Scene::with(|mut builder| {
        for (algorithm, key) in &keys {
            builder = builder.file(&format!("{algorithm}.pem"), &key.public_pem());
        }
        let app = issuer("algorithms: [HS256]\nsecret: \"${JWT_SECRET}\"");
        builder.set("issuers", &format!("{app}\n{}", issuers.trim_end()))
    });
    for (algorithm, key) in &keys {
        let iss = format!("https://{algorithm}.test");
        let good = token().claim("iss", iss.clone()).signed_by(key);
        scene.passes_as(&get(&good), "match");
        let stranger = Key::generate(algorithm);
        let bad = token().claim("iss", iss).signed_by(&stranger);
        refuses_token(&scene, &bad, "signature_invalid");
    }
    scene.passes_as(&get(&token().signed()), "match");
    assert_eq!(scene.upstream.count(), keys.len() + 1);
}
