//! Keys: each bound to its issuer and its algorithm; the token never chooses.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use super::{get, issuer, never_written, refuses_token, token};
use crate::harness::{
    Builder, Key, Recorder, Request, SECRET, Scene, countersign, free_port, sign_parts,
};

/// A public RSA key of 1024 bits.
const SHORT_RSA: &str = include_str!("rsa1024.pub.pem");

fn with_issuer(lines: &str) -> impl FnOnce(Builder) -> Builder {
    let yaml = issuer(lines);
    move |builder| builder.set("issuers", &yaml)
}

/// A scene whose issuer has this key set in a file.
fn with_set(algorithms: &str, keys: &[Value]) -> Scene {
    let set = json!({ "keys": keys }).to_string();
    let lines = format!("algorithms: {algorithms}\naudiences: any\njwks_file: jwks.json");
    Scene::with(|builder| with_issuer(&lines)(builder.file("jwks.json", &set)))
}

/// Requires that `serve` does not start with this configuration, and says this.
#[track_caller]
fn never_starts(builder: &Builder, said: &str) {
    builder.write();
    for verb in ["check", "serve"] {
        let arguments = [verb, "-c", "countersign.yaml"];
        let output = countersign(builder.folder(), &builder.env_pairs(), &arguments);
        assert_eq!(output.code, Some(2), "{output:?}");
        assert!(output.stderr.contains(said), "{said:?}: {}", output.stderr);
    }
}

#[test]
fn a3_a_public_key_is_no_hmac_secret() {
    let key = Key::generate("RS256");
    let (pem, jwk) = (key.public_pem(), key.jwk().to_string());
    let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(der).expect("base64");
    let by_file = Scene::with(|builder| {
        let lines = "algorithms: [RS256]\npublic_key_file: key.pem";
        with_issuer(lines)(builder.file("key.pem", &pem))
    });
    let by_set = with_set("[RS256, ES256]", &[key.jwk()]);
    for secret in [
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        &[pem.as_bytes(), b"\n"].concat(),
        &der,
        &[&der[..], b"\n"].concat(),
        jwk.as_bytes(),
        &[jwk.as_bytes(), b"\n"].concat(),
    ] {
        for algorithm in ["HS256", "HS384", "HS512"] {
            let forged = token().signed_by(&Key::secret_bytes(algorithm, secret));
            refuses_token(&by_file, &forged, "algorithm_not_allowed");
            refuses_token(&by_set, &forged, "algorithm_not_allowed");
        }
    }
    for scene in [by_file, by_set] {
        scene.upstream.assert_untouched();
        scene.passes_as(&get(&token().signed_by(&key)), "match");
    }
    // Nor can a configuration say that it is.
    let builder = Builder::new()
        .file("key.pem", &pem)
        .set("upstreams", UPSTREAM)
        .set(
            "issuers",
            &issuer("algorithms: [RS256, HS256]\npublic_key_file: key.pem"),
        );
    never_starts(&builder, "could pass for a secret");
}

const UPSTREAM: &str = "[ { name: app, servers: [ \"http://127.0.0.1:9\" ] } ]";

#[test]
fn a4_a_key_serves_its_own_algorithm_alone() {
    let mut key = Key::generate("RS256").with_kid("one");
    // The issuer allows them all; the key says RS256.
    let scene = with_set("[RS256, RS384, RS512, PS256]", &[key.jwk()]);
    scene.passes_as(&get(&token().signed_by(&key)), "match");
    let before = scene.upstream.bytes();
    for algorithm in ["RS384", "RS512", "PS256", "PS384"] {
        key = key.using(algorithm);
        refuses_token(&scene, &token().signed_by(&key), "algorithm_not_allowed");
    }
    assert_eq!(scene.upstream.bytes(), before);
    let pem = key.public_pem();
    let by_file = Scene::with(|builder| {
        let lines = "algorithms: [RS256]\npublic_key_file: key.pem";
        with_issuer(lines)(builder.file("key.pem", &pem))
    });
    for algorithm in ["RS384", "RS512", "PS256"] {
        key = key.using(algorithm);
        refuses_token(&by_file, &token().signed_by(&key), "algorithm_not_allowed");
    }
    by_file.upstream.assert_untouched();
}

#[test]
fn a5_algorithms_of_two_families_serve_side_by_side() {
    let (rsa, ec) = (Key::generate("RS256"), Key::generate("ES256"));
    let scene = with_set("[RS256, ES256]", &[rsa.jwk(), ec.jwk()]);
    for key in [&rsa, &ec] {
        scene.passes_as(&get(&token().signed_by(key)), "match");
    }
    for algorithm in ["RS256", "ES256"] {
        let stranger = token().signed_by(&Key::generate(algorithm));
        refuses_token(&scene, &stranger, "signature_invalid");
    }
    assert_eq!(scene.upstream.count(), 2);
}

#[test]
fn a6_keys_that_are_for_something_else_are_left_out() {
    let good = Key::generate("ES256").with_kid("good");
    let bad = |change: &dyn Fn(&mut Value), kid: &str| {
        let key = Key::generate("ES256").with_kid(kid);
        let mut jwk = key.jwk();
        change(&mut jwk);
        (key, jwk)
    };
    let odd = [
        bad(&|jwk| jwk["use"] = json!("enc"), "enc"),
        bad(&|jwk| jwk["key_ops"] = json!(["encrypt"]), "ops"),
        bad(&|jwk| jwk["d"] = json!("AAAA"), "private"),
        bad(&|jwk| jwk["alg"] = json!("ES384"), "alg"),
    ];
    let secret = Key::secret("HS256", SECRET).with_kid("oct");
    let mut set: Vec<Value> = odd.iter().map(|(_, jwk)| jwk.clone()).collect();
    set.extend([secret.jwk(), good.jwk()]);
    let scene = with_set("[ES256, RS256]", &set);
    for (key, _) in &odd {
        refuses_token(&scene, &token().signed_by(key), "key_unknown");
    }
    refuses_token(&scene, &token().signed_by(&secret), "algorithm_not_allowed");
    scene.upstream.assert_untouched();
    scene.gateway.wait_for_log("it holds private members");
    scene.never_written(SECRET);
    scene.passes_as(&get(&token().signed_by(&good)), "match");
}

#[test]
fn a7_two_keys_of_one_name_are_both_tried() {
    let keys = ["one", "one"].map(|kid| Key::generate("ES256").with_kid(kid));
    let scene = with_set("[ES256]", &[keys[0].jwk(), keys[1].jwk()]);
    for key in &keys {
        scene.passes_as(&get(&token().signed_by(key)), "match");
    }
    let stranger = Key::generate("ES256").with_kid("one");
    refuses_token(&scene, &token().signed_by(&stranger), "signature_invalid");
    assert_eq!(scene.upstream.count(), 2);
}

#[test]
fn a8_a_key_that_nobody_supports_harms_none_beside_it() {
    let good = Key::generate("ES256").with_kid("good");
    let set = [
        json!({ "kty": "EC", "crv": "secp256k1", "kid": "k", "x": "AA", "y": "AA" }),
        json!({ "kty": "OKP", "crv": "X25519", "kid": "x", "x": "AA" }),
        json!({ "kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AA" }),
        json!({ "kty": 5 }),
        json!(null),
        good.jwk(),
    ];
    let scene = with_set("[ES256]", &set);
    scene.passes_as(&get(&token().signed_by(&good)), "match");
    let stranger = Key::generate("ES256").with_kid("pq");
    refuses_token(&scene, &token().signed_by(&stranger), "key_unknown");
    assert_eq!(scene.upstream.count(), 1);
}

#[test]
fn a9_a_weak_secret_is_refused_at_the_start() {
    for (algorithm, secret) in [
        ("HS256", "x".to_owned()),
        ("HS256", "x".repeat(31)),
        ("HS384", "x".repeat(47)),
        ("HS512", "x".repeat(63)),
    ] {
        let lines = format!("algorithms: [{algorithm}]\nsecret: \"${{WEAK}}\"");
        let builder = Builder::new()
            .env("WEAK", &secret)
            .set("upstreams", UPSTREAM)
            .set("issuers", &issuer(&lines));
        never_starts(&builder, "needs at least");
    }
}

#[test]
fn a9_weak_and_broken_public_keys_are_refused_where_they_are_read() {
    let lines = "algorithms: [RS256]\npublic_key_file: key.pem";
    let builder = Builder::new()
        .file("key.pem", SHORT_RSA)
        .set("upstreams", UPSTREAM)
        .set("issuers", &issuer(lines));
    never_starts(&builder, "2048");

    // Beside a good one, each is left out and named.
    let good = Key::generate("ES256").with_kid("good");
    let rsa = Key::generate("RS256").with_kid("e1");
    let ec = Key::generate("ES256").with_kid("curve");
    let mut exponent = rsa.jwk();
    exponent["e"] = json!("AQ");
    let mut off_curve = ec.jwk();
    off_curve["x"] = json!(URL_SAFE_NO_PAD.encode([1; 32]));
    let mut other_curve = ec.jwk();
    other_curve["crv"] = json!("P-384");
    let short = json!({ "kty": "RSA", "kid": "short", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xC5; 128]) });
    let set = [exponent, off_curve, other_curve, short, good.jwk()];
    let scene = with_set("[ES256, RS256]", &set);
    for key in [&rsa, &ec] {
        refuses_token(&scene, &token().signed_by(key), "key_unknown");
    }
    scene.upstream.assert_untouched();
    scene.gateway.wait_for_log("a key of the set is left out");
    scene.passes_as(&get(&token().signed_by(&good)), "match");
    // Alone they are no set at all.
    let lines = "algorithms: [RS256]\naudiences: any\njwks_file: jwks.json";
    let alone = json!({ "keys": [set[3]] }).to_string();
    let builder = Builder::new()
        .file("jwks.json", &alone)
        .set("upstreams", UPSTREAM)
        .set("issuers", &issuer(lines));
    never_starts(&builder, "no usable key");
}

#[test]
fn a10_an_unset_or_empty_secret_refuses_the_start() {
    let lines = "algorithms: [HS256]\nsecret: \"${NO_SUCH_SECRET}\"";
    let unset = Builder::new()
        .set("upstreams", UPSTREAM)
        .set("issuers", &issuer(lines));
    never_starts(&unset, "NO_SUCH_SECRET");
    let empty = Builder::new()
        .env("NO_SUCH_SECRET", "")
        .set("upstreams", UPSTREAM)
        .set("issuers", &issuer(lines));
    never_starts(&empty, "the secret is empty");
    let file = "algorithms: [HS256]\nsecret: { file: empty.key }";
    for content in ["", "\n"] {
        let builder = Builder::new()
            .file("empty.key", content)
            .set("upstreams", UPSTREAM)
            .set("issuers", &issuer(file));
        never_starts(&builder, "secret");
    }
    // And a token that is signed with nothing opens nothing.
    let scene = Scene::new();
    let forged = token().signed_by(&Key::secret("HS256", ""));
    refuses_token(&scene, &forged, "signature_invalid");
    scene.upstream.assert_untouched();
}

#[test]
fn a11_a_key_id_is_a_word_to_compare_with() {
    let canary = Recorder::start();
    let key = Key::generate("ES256").with_kid("one");
    let scene = with_set("[ES256]", &[key.jwk()]);
    let stranger = Key::generate("ES256");
    let claims = token().claims().to_string();
    let headed = |kid: Value| {
        let header = json!({ "alg": "ES256", "kid": kid });
        sign_parts(&header.to_string(), &claims, &stranger)
    };
    for kid in [
        "../../../../dev/null".to_owned(),
        "/etc/passwd".to_owned(),
        "jwks.json".to_owned(),
        "' UNION SELECT 'secret' --".to_owned(),
        format!("{}/keys", canary.url()),
        "one\r\nX-Auth-User-Id: 7".to_owned(),
        "one\u{0}".to_owned(),
        "\u{1b}]0;owned\u{7}".to_owned(),
        "ONE".to_owned(),
        String::new(),
    ] {
        refuses_token(&scene, &headed(json!(kid)), "key_unknown");
        if kid.len() > 4 {
            scene.never_written(&kid);
        }
    }
    for kid in [
        json!(1),
        json!(["one"]),
        json!(null),
        json!("k".repeat(257)),
    ] {
        refuses_token(&scene, &headed(kid), "credential_malformed");
    }
    let huge = headed(json!("k".repeat(1 << 20)));
    let mut client = scene.gateway.client();
    let _ = client.try_send(&get(&huge).bytes());
    assert_eq!(client.head().status(), 431);
    never_written(&scene, &huge);
    scene.upstream.assert_untouched();
    assert_eq!(canary.connections(), 0);
    scene.passes_as(&get(&token().signed_by(&key)), "match");
}

#[test]
fn a12_a_key_that_the_token_brings_is_neither_used_nor_fetched() {
    let canary = Recorder::start();
    let key = Key::generate("ES256").with_kid("one");
    let scene = with_set("[ES256, RS256]", &[key.jwk()]);
    let stranger = Key::generate("ES256");
    let url = canary.url();
    let claims = token().claim("iss_url", url.clone()).claims().to_string();
    for extra in [
        json!({ "jku": format!("{url}/jku") }),
        json!({ "x5u": format!("{url}/x5u") }),
        json!({ "jwk": stranger.jwk() }),
        json!({ "jwk": { "kty": "XX" } }),
        json!({ "jwk": "text", "jku": 5 }),
        json!({ "x5c": [STANDARD.encode(stranger.public_pem())], "x5t": "AAAA", "x5t#S256": "AAAA" }),
        json!({ "jku": format!("{url}/jku"), "jwk": stranger.jwk(), "kid": "one" }),
    ] {
        let mut header = json!({ "alg": "ES256" });
        let members = header.as_object_mut().expect("an object");
        members.extend(extra.as_object().expect("an object").clone());
        let forged = sign_parts(&header.to_string(), &claims, &stranger);
        refuses_token(&scene, &forged, "signature_invalid");
    }
    assert_eq!(canary.connections(), 0, "nothing was asked");
    scene.upstream.assert_untouched();
    // They are no reason to refuse a token that is good without them.
    let header = json!({ "alg": "ES256", "kid": "one", "jku": format!("{url}/jku"), "jwk": { "kty": "XX" } });
    scene.passes_as(
        &get(&sign_parts(&header.to_string(), &claims, &key)),
        "match",
    );
    assert_eq!(canary.connections(), 0, "nothing was asked");
}

#[test]
fn a10_keys_that_cannot_be_had_open_nothing() {
    let port = free_port();
    let lines =
        format!("algorithms: [ES256]\naudiences: any\njwks_url: http://127.0.0.1:{port}/keys");
    let scene = Scene::with(|builder| with_issuer(&lines)(builder.not_ready()));
    let key = Key::generate("ES256").with_kid("one");
    refuses_token(&scene, &token().signed_by(&key), "keys_unavailable");
    scene.upstream.assert_untouched();
    assert_eq!(scene.gateway.admin(&Request::get("/readyz")).status(), 503);
}
