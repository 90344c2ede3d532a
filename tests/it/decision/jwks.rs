//! Keys by URL: followed as they rotate, asked for no more often than needed, and never taken from
//! elsewhere.

use serde_json::json;

use crate::harness::{Exchange, Key, KeyServer, Recorder, Request, Scene, Token, key_set, until};

fn scene(url: &str, jwks: &str) -> Scene {
    let issuer = format!(
        "- name: app\n  leeway: 0s\n  algorithms: [ES256]\n  audiences: any\n  jwks_url: {url}/keys\n  jwks: {jwks}\n  claims: {{ user: user_id, account: account_id }}"
    );
    Scene::with(|builder| builder.not_ready().set("issuers", &issuer))
}

fn get(key: &Key) -> Request {
    let token = Token::user("5").account("12").signed_by(key);
    Request::get("/").bearer(&token)
}

fn key(kid: &str) -> Key {
    Key::generate("ES256").with_kid(kid)
}

#[test]
fn a37_a_new_key_is_found_and_an_old_one_forgotten() {
    let (old, new) = (key("old"), key("new"));
    let server = KeyServer::serving(key_set(&[&old]));
    let scene = scene(&server.url(), "{ refresh: 300ms }");
    until("the first set is read", || {
        scene.gateway.send(&get(&old)).status() == 200
    });
    scene.refuses(&get(&new), 401, "key_unknown");
    server.replace(key_set(&[&old, &new]));
    until("the new key is known", || {
        scene.gateway.send(&get(&new)).status() == 200
    });
    server.replace(key_set(&[&new]));
    until("the old key is forgotten", || {
        scene.gateway.send(&get(&old)).status() == 401
    });
    scene.passes(&get(&new));
}

#[test]
fn a38_a_flood_of_unknown_keys_is_one_question() {
    let good = key("good");
    let server = KeyServer::serving(key_set(&[&good]));
    let scene = scene(&server.url(), "{ refresh: 1h }");
    until("the set is read", || {
        scene.gateway.send(&get(&good)).status() == 200
    });
    let before = server.count();
    let stranger = Key::generate("ES256");
    let claims = Token::user("5").claims().to_string();
    let mut client = scene.gateway.client();
    for number in 0..300 {
        let header = json!({ "alg": "ES256", "kid": format!("k{number}") }).to_string();
        let token = crate::harness::sign_parts(&header, &claims, &stranger);
        let response = client.exchange(&Request::get("/").bearer(&token));
        assert_eq!(response.status(), 401, "{}", response.text());
    }
    let asked = server.count() - before;
    assert!(asked <= 3, "asked {asked} times");
    scene.passes(&get(&good));
}

#[test]
fn a39_an_outage_keeps_the_last_good_set_for_its_time() {
    let good = key("good");
    let server = KeyServer::serving(key_set(&[&good]));
    let scene = scene(&server.url(), "{ refresh: 200ms, max_stale: 5s }");
    until("the set is read", || {
        scene.gateway.send(&get(&good)).status() == 200
    });
    server.fail();
    let before = server.count();
    until("a refresh has failed", || server.count() > before + 1);
    scene.passes(&get(&good));
    until("it is too old", || {
        scene.gateway.send(&get(&good)).status() == 503
    });
    scene.refuses(&get(&good), 503, "keys_unavailable");
    server.replace(key_set(&[&good]));
    until("it is back", || {
        scene.gateway.send(&get(&good)).status() == 200
    });
}

#[test]
fn a39_what_is_no_key_set_is_none() {
    let good = key("good");
    let elsewhere = KeyServer::serving(key_set(&[&good]));
    let location = format!("{}/keys", elsewhere.url());
    let big = vec![b' '; 16 << 20];
    for number in 0..6 {
        let (location, big) = (location.clone(), big.clone());
        let server = Recorder::answering(move |exchange: &mut Exchange<'_>| match number {
            0 => exchange.respond(302, &[("Location", &location)], b""),
            1 => exchange.respond(200, &[], b"<html></html>"),
            2 => exchange.respond(200, &[], br#"{"keys":null}"#),
            3 => exchange.respond(200, &[], &big),
            4 => exchange.wait_for_end(),
            _ => exchange.respond(304, &[], b""),
        });
        let scene = scene(&server.url(), "{ timeout: 300ms }");
        server.wait(|_| true);
        let response = scene.gateway.send(&get(&good));
        assert!(
            [401, 503].contains(&response.status()),
            "{number}: {response:?}"
        );
        scene.upstream.assert_untouched();
    }
    elsewhere.assert_untouched();
}

#[test]
fn a6_a7_keys_that_are_for_something_else_verify_nothing() {
    let (encryption, other_algorithm, first, second) =
        (key("enc"), key("alg"), key("same"), key("same"));
    let mut enc = encryption.jwk();
    enc["use"] = json!("enc");
    let mut alg = other_algorithm.jwk();
    alg["alg"] = json!("ES384");
    let all = json!({ "keys": [enc, alg, first.jwk(), second.jwk()] });
    let server = KeyServer::serving(all);
    let scene = scene(&server.url(), "{ refresh: 1h }");
    until("the set is read", || {
        scene.gateway.send(&get(&first)).status() != 503
    });
    for bad in [&encryption, &other_algorithm] {
        let response = scene.gateway.send(&get(bad));
        assert_eq!(response.status(), 401, "{}", response.text());
    }
    // Two keys of one name: both are tried, or neither counts, but not the first alone.
    let statuses = [&first, &second].map(|key| scene.gateway.send(&get(key)).status());
    assert!(
        statuses == [200, 200] || statuses == [401, 401],
        "{statuses:?}"
    );
}
