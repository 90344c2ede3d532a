//! Key sets by URL: asked for rarely, believed carefully, and never found through a token.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::json;

use super::{get, never_written, refuses_token, token};
use crate::harness::{
    Authority, Exchange, Key, KeyServer, Recorder, Request, Scene, key_set, sign_parts, until,
};

/// An issuer of this name, with its own `iss` and these lines.
fn issuer(name: &str, lines: &str) -> String {
    format!(
        "- name: \"{name}\"\n  issuer: https://{name}.test\n  leeway: 0s\n  algorithms: [ES256]\n  audiences: any\n  claims: {{ user: user_id, account: account_id }}\n  {lines}\n"
    )
}

fn scene(issuers: &[String]) -> Scene {
    let yaml = issuers.concat();
    Scene::with(|builder| builder.not_ready().set("issuers", yaml.trim_end()))
}

fn of(name: &str, key: &Key) -> String {
    let iss = format!("https://{name}.test");
    token().claim("iss", iss).signed_by(key)
}

fn key(kid: &str) -> Key {
    Key::generate("ES256").with_kid(kid)
}

fn status(scene: &Scene, token: &str) -> u16 {
    scene.gateway.send(&get(token)).status()
}

#[test]
fn a37_rotation_is_followed_also_by_remembered_tokens() {
    let (old, new) = (key("old"), key("new"));
    let keys = KeyServer::serving(key_set(&[&old]));
    let lines = format!("jwks_url: {}/keys\n  jwks: {{ refresh: 1s }}", keys.url());
    let scene = scene(&[issuer("a", &lines)]);
    let (by_old, by_new) = (of("a", &old), of("a", &new));
    until("the first set", || status(&scene, &by_old) == 200);
    let before = scene.upstream.bytes();
    refuses_token(&scene, &by_new, "key_unknown");
    assert_eq!(scene.upstream.bytes(), before);
    keys.replace(key_set(&[&new, &old]));
    until("the new key", || status(&scene, &by_new) == 200);
    // The same bytes, verified a moment ago and remembered, end with their key.
    keys.replace(key_set(&[&new]));
    until("the end of the old key", || status(&scene, &by_old) == 401);
    let before = scene.upstream.bytes();
    for _ in 0..4 {
        refuses_token(&scene, &by_old, "key_unknown");
    }
    assert_eq!(scene.upstream.bytes(), before);
    scene.passes_as(&get(&by_new), "match");
}

#[test]
fn a37_a_new_key_is_asked_for_by_its_first_token() {
    let (old, new) = (key("old"), key("new"));
    let keys = KeyServer::serving(key_set(&[&old]));
    let lines = format!("jwks_url: {}/keys\n  jwks: {{ refresh: 1h }}", keys.url());
    let scene = scene(&[issuer("a", &lines)]);
    until("the first set", || status(&scene, &of("a", &old)) == 200);
    let asked = keys.count();
    keys.replace(key_set(&[&old, &new]));
    scene.passes_as(&get(&of("a", &new)), "match");
    assert_eq!(keys.count(), asked + 1, "one question");
}

#[test]
fn a38_a_flood_of_unknown_keys_asks_no_more_than_the_clock_allows() {
    let good = key("good");
    let good_set = key_set(&[&good]);
    let keys = Recorder::answering(move |exchange: &mut Exchange<'_>| match exchange.path() {
        "/good" => exchange.respond_json(&good_set),
        "/empty" => exchange.respond_json(&json!({ "keys": [] })),
        _ => exchange.respond(500, &[], b""),
    });
    let url = keys.url();
    let lines = |path: &str| format!("jwks_url: {url}/{path}\n  jwks: {{ refresh: 1h }}");
    let names = ["good", "empty", "broken"];
    let issuers = names.map(|name| issuer(name, &lines(name)));
    let scene = scene(&issuers);
    until("the set", || status(&scene, &of("good", &good)) == 200);
    let before = scene.upstream.bytes();
    let asked = |name: &str| {
        let path = format!("/{name}");
        let of = |seen: &crate::harness::Seen| seen.head.target() == path;
        keys.requests().iter().filter(|seen| of(seen)).count()
    };
    let at_first = names.map(asked);
    let began = Instant::now();
    let stranger = Key::generate("ES256");
    let mut client = scene.gateway.client();
    for number in 0..600 {
        for name in names {
            let claims = token().claim("iss", format!("https://{name}.test"));
            let header = json!({ "alg": "ES256", "kid": format!("k{number}") }).to_string();
            let forged = sign_parts(&header, &claims.claims().to_string(), &stranger);
            let response = client.exchange(&get(&forged));
            let wanted = if name == "good" { 401 } else { 503 };
            assert_eq!(response.status(), wanted, "{name}: {}", response.text());
        }
        // A valid user in between notices nothing.
        if number % 100 == 0 {
            let response = client.exchange(&get(&of("good", &good)));
            assert_eq!(response.status(), 200, "{}", response.text());
        }
    }
    // One at once and one for every ten seconds; where fetches fail, also the retries, which begin
    // at one in a second and grow rarer.
    let seconds = usize::try_from(began.elapsed().as_secs()).expect("few");
    for (name, at_first) in names.iter().zip(at_first) {
        let asked = asked(name) - at_first;
        let allowed = 2 + seconds / 10 + if *name == "good" { 0 } else { 1 + seconds };
        assert!(asked <= allowed, "{name}: {asked} in {seconds} s");
    }
    assert!(scene.upstream.bytes() > before);
    assert_eq!(scene.upstream.count(), 7);
}

/// Ways to answer other than with a key set.
const ODD: [&str; 12] = [
    "error", "redirect", "loopback", "file", "html", "null", "none", "gzip", "304", "hangs",
    "trickle", "endless",
];

#[test]
fn a39_an_answer_that_is_no_key_set_gives_no_keys() {
    let good = key("good");
    let good_set = key_set(&[&good]);
    let elsewhere = KeyServer::serving(good_set.clone());
    let location = format!("{}/keys", elsewhere.url());
    let poured = Arc::new(AtomicU64::new(0));
    let keys = Recorder::answering({
        let poured = Arc::clone(&poured);
        move |exchange: &mut Exchange<'_>| match exchange.path() {
            "/error" => exchange.respond(500, &[], good_set.to_string().as_bytes()),
            "/redirect" => exchange.respond(302, &[("Location", &location)], b""),
            "/loopback" => exchange.respond(301, &[("Location", "http://127.0.0.1:9/")], b""),
            "/file" => exchange.respond(307, &[("Location", "file:///etc/passwd")], b""),
            "/html" => exchange.respond(200, &[], b"<html></html>"),
            "/null" => exchange.respond(200, &[], br#"{"keys":null}"#),
            "/none" => exchange.respond(200, &[], br#"{"keys":[]}"#),
            "/gzip" => exchange.respond(200, &[("Content-Encoding", "gzip")], b"\x1f\x8b"),
            "/304" => exchange.respond(304, &[], b""),
            "/hangs" => {
                exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n");
                exchange.wait_for_end();
            }
            "/trickle" => {
                exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{");
                exchange.wait_for_end();
            }
            _ => {
                exchange.begin_chunked(&[]);
                let piece = vec![b' '; 64 * 1024];
                while exchange.send_chunk(&piece) {
                    poured.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
                exchange.close();
            }
        }
    });
    let url = keys.url();
    let issuers = ODD.map(|name| {
        let lines = format!("jwks_url: {url}/{name}\n  jwks: {{ timeout: 500ms }}");
        issuer(name, &lines)
    });
    let scene = scene(&issuers);
    for name in ODD {
        let token = of(name, &good);
        refuses_token(&scene, &token, "keys_unavailable");
    }
    scene.upstream.assert_untouched();
    elsewhere.assert_untouched();
    // A gigabyte was not swallowed: what the sockets hold, and the cap.
    let poured = poured.load(Ordering::Relaxed);
    assert!(poured < 64 << 20, "{poured} bytes were taken");
    assert_eq!(scene.gateway.admin(&Request::get("/readyz")).status(), 503);
}

#[test]
fn a39_a_certificate_of_nobody_known_gives_no_keys() {
    let good = key("good");
    let body = key_set(&[&good]).to_string();
    let (certificate, private) = Authority::new().issue(&["127.0.0.1", "localhost"]);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.2 and 1.3")
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM")],
            PrivateKeyDer::from_pem_slice(private.as_bytes()).expect("PEM"),
        )
        .expect("a pair");
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("its address").port();
    let asked = Arc::new(AtomicU64::new(0));
    std::thread::spawn({
        let (asked, config) = (Arc::clone(&asked), Arc::new(config));
        move || {
            for socket in listener.incoming() {
                let Ok(socket) = socket else { return };
                let connection = rustls::ServerConnection::new(Arc::clone(&config));
                let connection = connection.expect("a server");
                let mut stream = rustls::StreamOwned::new(connection, socket);
                let mut head = [0; 4096];
                // Nothing can be read where the handshake fails.
                if stream.read(&mut head).is_ok_and(|count| count > 0) {
                    asked.fetch_add(1, Ordering::SeqCst);
                    let length = body.len();
                    let _ = write!(
                        stream,
                        "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}"
                    );
                }
            }
        }
    });
    let lines = format!("jwks_url: https://localhost:{port}/keys");
    let scene = scene(&[issuer("a", &lines)]);
    refuses_token(&scene, &of("a", &good), "keys_unavailable");
    scene.gateway.wait_for_log("TLS failed");
    assert_eq!(asked.load(Ordering::SeqCst), 0, "no request was made");
    scene.upstream.assert_untouched();
}

#[test]
fn a40_nothing_is_asked_because_a_token_names_it() {
    let canary = Recorder::start();
    let url = canary.url();
    let lines = format!("jwks_url: {url}/never\n  jwks: {{ refresh: 1h }}");
    let good = key("good");
    let keys = KeyServer::serving(key_set(&[&good]));
    let scene = scene(&[issuer("a", &lines.replace(&url, &keys.url()))]);
    until("the set", || status(&scene, &of("a", &good)) == 200);
    let before = scene.upstream.bytes();
    for iss in [
        url.clone(),
        format!("{url}/.well-known/openid-configuration"),
        "http://169.254.169.254/latest/meta-data".to_owned(),
        "unix:/run/x".to_owned(),
        "https://a.test@evil.test".to_owned(),
    ] {
        let forged = token()
            .claim("iss", iss)
            .claim("jwks_uri", format!("{url}/keys"))
            .signed_by(&good);
        refuses_token(&scene, &forged, "issuer_unknown");
    }
    assert_eq!(scene.upstream.bytes(), before);
    assert_eq!(canary.connections(), 0);
}

#[test]
fn a40_discovery_leads_neither_inwards_nor_to_another_issuer() {
    let good = key("good");
    let canary = KeyServer::serving(key_set(&[&good]));
    let port = canary.address().port();
    // What the document says: its issuer, and where its keys are.
    let documents = [
        (
            "metadata",
            "metadata",
            "http://169.254.169.254/latest".to_owned(),
        ),
        ("tls", "tls", "https://169.254.169.254/latest".to_owned()),
        ("private", "private", "https://10.0.0.1/keys".to_owned()),
        (
            "mapped",
            "mapped",
            "https://[::ffff:10.0.0.1]/keys".to_owned(),
        ),
        ("unix", "unix", "unix:/run/keys".to_owned()),
        ("file", "file", "file:///etc/passwd".to_owned()),
        (
            "userinfo",
            "userinfo",
            format!("http://idp.test@127.0.0.1:{port}/keys"),
        ),
        (
            "other",
            "elsewhere",
            format!("http://127.0.0.1:{port}/keys"),
        ),
    ];
    let provider = Recorder::answering({
        let documents = documents.clone();
        move |exchange: &mut Exchange<'_>| {
            let name = exchange.path().trim_start_matches('/').to_owned();
            let (_, issuer, keys) = documents
                .iter()
                .find(|(path, ..)| *path == name)
                .expect("a document");
            let issuer = format!("https://{issuer}.test");
            exchange.respond_json(&json!({ "issuer": issuer, "jwks_uri": keys }));
        }
    });
    let issuers: Vec<String> = documents
        .iter()
        .map(|(name, ..)| {
            let lines = format!(
                "discovery_url: {}/{name}\n  jwks: {{ timeout: 2s }}",
                provider.url()
            );
            issuer(name, &lines)
        })
        .collect();
    let scene = scene(&issuers);
    for (name, ..) in &documents {
        refuses_token(&scene, &of(name, &good), "keys_unavailable");
    }
    scene.upstream.assert_untouched();
    canary.assert_untouched();
    // Each refused for what it says, not because it could not be reached: none was tried.
    let log = scene.gateway.log();
    for (name, ..) in &documents {
        let said = if *name == "other" {
            "speaks for another issuer"
        } else {
            "jwks_uri"
        };
        let issuer = format!("\"issuer\":\"{name}\"");
        let of = |line: &&str| line.contains(&issuer) && line.contains(said);
        assert!(
            log.lines().any(|line| of(&line)),
            "{name}: no {said:?} in:\n{log}"
        );
    }
    never_written(&scene, &of("other", &good));
}
