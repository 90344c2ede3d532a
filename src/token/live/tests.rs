//! Key sets over a real loopback server: rotation, floods, and every way a server can fail.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use super::super::testing::*;
use super::super::verify::Verifier;
use super::*;
use crate::config::{Issuer, KeySource};
use crate::net::loopback::{Answer, Loopback};
use crate::reason::Reason;

fn set(keys: &[Value]) -> Answer {
    Answer::json(&json!({ "keys": keys }).to_string())
}

fn named(pair: &Pair, kid: &str) -> Value {
    pair.jwk(&json!({ "kid": kid }))
}

fn token(pair: &Pair, kid: &str) -> String {
    let header = json!({"alg": "ES256", "kid": kid}).to_string();
    let payload = payload(&json!({"iss": "https://idp"})).to_string();
    signed(&header, &payload, Algorithm::ES256, &pair.signing)
}

fn remote(keys: KeySource) -> Issuer {
    Issuer {
        issuer: Some("https://idp".into()),
        algorithms: vec![Algorithm::ES256, Algorithm::RS256],
        keys,
        ..issuer()
    }
}

fn started(issuer: Issuer, metrics: &Arc<Metrics>) -> Verifier {
    let verifier = Verifier::build(&[issuer], fetcher(), metrics).unwrap();
    verifier.start(&tokio::runtime::Handle::current());
    verifier
}

fn at(server: &Loopback) -> Issuer {
    remote(KeySource::JwksUrl(server.url("/keys")))
}

async fn reason(verifier: &Verifier, token: &str) -> Option<Reason> {
    let decided = verifier.verify(token, now()).await;
    decided.err().map(|error| error.reason())
}

#[tokio::test]
async fn the_first_tokens_wait_for_the_first_fetch() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(set(&[named(&pair, "a")])).await;
    let verifier = started(at(&server), &Arc::default());
    assert!(!verifier.status()[0].1.ready);
    assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
    assert_eq!(server.asked(), 1);
    let (name, status) = &verifier.status()[0];
    assert_eq!((&**name, status.ready, status.keys), ("app", true, 1));
    assert!(status.age.is_some() && status.error.is_none());
}

#[tokio::test]
async fn a_verifier_that_was_not_started_does_not_wait() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(set(&[])).await;
    let verifier = Verifier::build(&[at(&server)], fetcher(), &Arc::default()).unwrap();
    assert_eq!(
        reason(&verifier, &token(&pair, "a")).await,
        Some(Reason::KeysUnavailable)
    );
    assert_eq!(server.asked(), 0);
}

#[tokio::test]
async fn a37_a_new_key_is_fetched_once_and_an_old_one_is_forgotten() {
    let (old, new) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let server = Loopback::start(set(&[named(&old, "old")])).await;
    let verifier = started(at(&server), &Arc::default());
    let cached = verifier.verify(&token(&old, "old"), now()).await.unwrap();
    assert!(verifier.still_holds(&cached, now()));

    server.answer(set(&[named(&new, "new")]));
    assert_eq!(reason(&verifier, &token(&new, "new")).await, None);
    assert_eq!(server.asked(), 2);
    assert!(!verifier.still_holds(&cached, now()));
    assert_eq!(
        reason(&verifier, &token(&old, "old")).await,
        Some(Reason::KeyUnknown)
    );
    assert_eq!(server.asked(), 2);
}

#[tokio::test]
async fn an_unchanged_set_keeps_what_was_verified_under_it() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(set(&[named(&pair, "a")])).await;
    let verifier = started(at(&server), &Arc::default());
    let cached = verifier.verify(&token(&pair, "a"), now()).await.unwrap();
    assert_eq!(
        reason(&verifier, &token(&pair, "b")).await,
        Some(Reason::KeyUnknown)
    );
    assert_eq!(server.asked(), 2);
    assert!(verifier.still_holds(&cached, now()));
}

#[tokio::test]
async fn a38_a_flood_of_unknown_keys_fetches_once() {
    let pair = Pair::new(Algorithm::ES256);
    let other = Pair::new(Algorithm::ES256);
    for answer in [
        set(&[named(&pair, "a")]),
        set(&[]),
        Answer::raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
    ] {
        let server = Loopback::start(set(&[named(&pair, "a")])).await;
        let verifier = Arc::new(started(at(&server), &Arc::default()));
        assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
        server.answer(answer);
        let tasks: Vec<_> = (0..500)
            .map(|number| {
                let verifier = Arc::clone(&verifier);
                let token = token(&other, &format!("k{number}"));
                tokio::spawn(async move { reason(&verifier, &token).await })
            })
            .collect();
        for task in tasks {
            assert_eq!(task.await.unwrap(), Some(Reason::KeyUnknown));
        }
        assert_eq!(server.asked(), 2);
        assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
    }
}

#[tokio::test]
async fn a39_whatever_the_server_does_the_last_good_set_serves() {
    let pair = Pair::new(Algorithm::ES256);
    for bad in [
        Answer::raw("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"),
        Answer::raw("HTTP/1.1 304 Not Modified\r\n\r\n"),
        Answer::raw("HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n"),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\nx"),
        Answer::with_type("text/html", "<html>sign in</html>"),
        Answer::json(r#"{"keys":null}"#),
        Answer::json(r#"{"keys":[]}"#),
        Answer::json(r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#),
        Answer::raw("HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"),
        Answer::raw("garbage\r\n\r\n"),
        Answer::Raw(Vec::new()),
        Answer::Flood(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n".to_vec()),
        Answer::Flood(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        Answer::Hang(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{".to_vec()),
    ] {
        let server = Loopback::start(set(&[named(&pair, "a")])).await;
        let metrics = Arc::new(Metrics::new());
        let mut issuer = at(&server);
        issuer.jwks.timeout = Duration::from_millis(500);
        let verifier = started(issuer, &metrics);
        assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
        server.answer(bad);
        assert_eq!(
            reason(&verifier, &token(&pair, "b")).await,
            Some(Reason::KeyUnknown)
        );
        let status = verifier.status().remove(0).1;
        assert!(status.ready && status.error.is_some(), "{status:?}");
        assert_eq!(metrics.jwks_fetches.get(), 2);
        assert_eq!(metrics.jwks_errors.get(), 1);
        assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
    }
}

#[tokio::test]
async fn a39_without_a_first_set_the_keys_are_unavailable() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(Answer::json("{}")).await;
    let verifier = started(at(&server), &Arc::default());
    for _ in 0..3 {
        assert_eq!(
            reason(&verifier, &token(&pair, "a")).await,
            Some(Reason::KeysUnavailable)
        );
    }
}

#[tokio::test]
async fn a39_a_failing_source_is_asked_again_until_it_answers() {
    let pair = Pair::new(Algorithm::ES256);
    let mut server = Loopback::start(Answer::json("{}")).await;
    let issuer = super::super::issuer::Issuer::build(&at(&server), &Arc::default()).unwrap();
    let live = Arc::clone(issuer.live().unwrap());
    let mut progress = live.progress.subscribe();
    let task = tokio::spawn(Arc::clone(&live).run(fetcher()));
    progress
        .wait_for(|progress| progress.finished == 1)
        .await
        .unwrap();
    assert!(live.current().is_err());
    server.answer(set(&[named(&pair, "a")]));
    server.until_asked(2).await;
    progress
        .wait_for(|progress| progress.finished == 2)
        .await
        .unwrap();
    assert!(live.current().is_ok());
    task.abort();
}

#[tokio::test]
async fn a39_a_set_that_is_too_old_is_no_set() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(set(&[named(&pair, "a")])).await;
    let mut issuer = at(&server);
    issuer.jwks.max_stale = Duration::ZERO;
    let verifier = started(issuer, &Arc::default());
    assert_eq!(
        reason(&verifier, &token(&pair, "a")).await,
        Some(Reason::KeysUnavailable)
    );
    assert!(!verifier.status()[0].1.ready);
}

#[tokio::test]
async fn a08_an_unsupported_key_does_not_lock_anybody_out() {
    let pair = Pair::new(Algorithm::ES256);
    let odd = json!({"kty": "AKP", "alg": "ML-DSA-65", "kid": "b", "pub": "AA"});
    let server = Loopback::start(set(&[odd, named(&pair, "a")])).await;
    let verifier = started(at(&server), &Arc::default());
    assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
}

#[tokio::test]
async fn a40_discovery_leads_to_the_keys_of_the_configured_issuer() {
    let pair = Pair::new(Algorithm::ES256);
    let server = Loopback::start(Answer::json("{}")).await;
    let keys = set(&[named(&pair, "a")]);
    let serve = |issuer: &str| {
        let document = json!({"issuer": issuer, "jwks_uri": server.url("/keys")}).to_string();
        let keys = keys.clone();
        server.answer_by(move |target| match target {
            "/keys" => keys.clone(),
            _ => Answer::json(&document),
        });
    };
    let issuer = || {
        remote(KeySource::DiscoveryUrl(
            server.url("/.well-known/openid-configuration"),
        ))
    };
    serve("https://evil");
    let verifier = started(issuer(), &Arc::default());
    assert_eq!(
        reason(&verifier, &token(&pair, "a")).await,
        Some(Reason::KeysUnavailable)
    );
    serve("https://idp");
    let verifier = started(issuer(), &Arc::default());
    assert_eq!(reason(&verifier, &token(&pair, "a")).await, None);
}

#[tokio::test]
async fn a_key_file_is_read_again() {
    let (old, new) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let write = |keys: Value| std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    write(json!([named(&old, "old")]));
    let issuer = remote(KeySource::JwksFile(path.clone()));
    let verifier = started(issuer, &Arc::default());
    assert_eq!(reason(&verifier, &token(&old, "old")).await, None);
    write(json!([named(&new, "new")]));
    // A token that asks for the new key makes it be looked for at once.
    assert_eq!(reason(&verifier, &token(&new, "new")).await, None);
    assert_eq!(
        reason(&verifier, &token(&old, "old")).await,
        Some(Reason::KeyUnknown)
    );
}

#[tokio::test]
async fn a_broken_key_file_leaves_the_last_good_set() {
    let pair = Pair::new(Algorithm::ES256);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, json!({"keys": [pair.jwk]}).to_string()).unwrap();
    let rules = remote(KeySource::JwksFile(path.clone()));
    let issuer = super::super::issuer::Issuer::build(&rules, &Arc::default()).unwrap();
    let live = issuer.live().unwrap();
    assert!(live.refresh(&fetcher()).await);
    std::fs::write(&path, "{\"keys\":[").unwrap();
    assert!(!live.refresh(&fetcher()).await);
    std::fs::remove_file(&path).unwrap();
    assert!(!live.refresh(&fetcher()).await);
    let status = issuer.status();
    assert!(status.ready && status.error.is_some());
    assert_eq!(live.current().unwrap().1, 1);
}
