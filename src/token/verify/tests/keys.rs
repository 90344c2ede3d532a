//! Whose key verifies what, and which keys are not keys.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

use super::super::super::testing::*;
use super::super::Verifier;
use super::reason;
use crate::config::{Fault, Issuer as Rules, KeySource};
use crate::reason::Reason;
use crate::telemetry::Metrics;

fn with_key_file(pem: &str, algorithms: &[Algorithm]) -> Result<Verifier, Vec<Fault>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key.pem");
    std::fs::write(&path, pem).unwrap();
    let issuer = Rules {
        algorithms: algorithms.to_vec(),
        keys: KeySource::PublicKeyFile(path),
        ..issuer()
    };
    Verifier::build(&[issuer], fetcher(), &Arc::new(Metrics::new()))
}

fn with_jwks(keys: &[Value], algorithms: &[Algorithm]) -> Verifier {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, json!({ "keys": keys }).to_string()).unwrap();
    verifier(&[Rules {
        algorithms: algorithms.to_vec(),
        keys: KeySource::JwksFile(path),
        ..issuer()
    }])
}

fn token(algorithm: Algorithm, kid: Option<&str>, key: &EncodingKey) -> String {
    let mut header = json!({"alg": format!("{algorithm:?}"), "typ": "JWT"});
    if let Some(kid) = kid {
        header["kid"] = json!(kid);
    }
    let payload = payload(&json!({})).to_string();
    signed(&header.to_string(), &payload, algorithm, key)
}

#[test]
fn a03_a_public_key_is_never_a_shared_secret() {
    let pair = Pair::rsa();
    let verifier = with_key_file(&pair.public_pem, &[Algorithm::RS256]).unwrap();
    assert_eq!(
        reason(&verifier, &token(Algorithm::RS256, None, &pair.signing)),
        None
    );
    let pem = pair.public_pem.clone();
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(body.trim()).unwrap();
    for secret in [
        pem.as_bytes(),
        pem.trim_end().as_bytes(),
        &der,
        pair.jwk.to_string().as_bytes(),
    ] {
        let forged = token(Algorithm::HS256, None, &EncodingKey::from_secret(secret));
        assert_eq!(
            reason(&verifier, &forged),
            Some(Reason::AlgorithmNotAllowed)
        );
    }
    // Not even where the issuer's list would have both: such a list is a mistake.
    assert!(with_key_file(&pem, &[Algorithm::RS256, Algorithm::HS256]).is_err());
}

#[test]
fn a04_the_key_binds_the_algorithm() {
    let pair = Pair::rsa();
    let fixed = with_key_file(&pair.public_pem, &[Algorithm::RS256]).unwrap();
    let both = [Algorithm::RS256, Algorithm::RS512];
    let named = with_jwks(&[pair.jwk(&json!({"alg": "RS256"}))], &both);
    for algorithm in [Algorithm::RS384, Algorithm::RS512, Algorithm::PS256] {
        let token = token(algorithm, None, &pair.signing);
        for verifier in [&fixed, &named] {
            assert_eq!(
                reason(verifier, &token),
                Some(Reason::AlgorithmNotAllowed),
                "{algorithm:?}"
            );
        }
    }
    let free = with_jwks(&[pair.jwk(&json!({}))], &both);
    assert_eq!(
        reason(&free, &token(Algorithm::RS512, None, &pair.signing)),
        None
    );
}

#[test]
fn a05_algorithms_of_several_families_work_side_by_side() {
    let all = [
        Algorithm::RS256,
        Algorithm::PS512,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];
    let (p256, p384, ed) = (
        Pair::new(Algorithm::ES256),
        Pair::new(Algorithm::ES384),
        Pair::new(Algorithm::EdDSA),
    );
    let pairs = [Pair::rsa(), &p256, &p384, &ed];
    let keys: Vec<Value> = pairs.iter().map(|pair| pair.jwk.clone()).collect();
    let public = with_jwks(&keys, &all);
    for (algorithm, pair) in [
        (Algorithm::RS256, pairs[0]),
        (Algorithm::PS512, pairs[0]),
        (Algorithm::ES256, pairs[1]),
        (Algorithm::ES384, pairs[2]),
        (Algorithm::EdDSA, pairs[3]),
    ] {
        let token = token(algorithm, None, &pair.signing);
        assert_eq!(reason(&public, &token), None, "{algorithm:?}");
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let issuer = Rules {
            algorithms: vec![algorithm],
            ..issuer()
        };
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = token(algorithm, None, &key);
        assert_eq!(reason(&verifier(&[issuer]), &token), None);
    }
}

#[test]
fn a07_keys_that_share_an_id_are_all_tried() {
    let (one, two, three) = (
        Pair::new(Algorithm::ES256),
        Pair::new(Algorithm::ES256),
        Pair::new(Algorithm::ES256),
    );
    let same = json!({"kid": "k"});
    let verifier = with_jwks(&[one.jwk(&same), two.jwk(&same)], &[Algorithm::ES256]);
    for pair in [&one, &two] {
        let token = token(Algorithm::ES256, Some("k"), &pair.signing);
        assert_eq!(reason(&verifier, &token), None);
    }
    assert_eq!(
        reason(
            &verifier,
            &token(Algorithm::ES256, Some("k"), &three.signing)
        ),
        Some(Reason::SignatureInvalid)
    );
}

#[test]
fn a09_weak_keys_are_faults() {
    for (length, algorithm, weak) in [
        (0, Algorithm::HS256, true),
        (31, Algorithm::HS256, true),
        (32, Algorithm::HS256, false),
        (47, Algorithm::HS384, true),
        (63, Algorithm::HS512, true),
        (64, Algorithm::HS512, false),
    ] {
        let issuer = Rules {
            algorithms: vec![algorithm],
            keys: KeySource::Secret(secret(&"s".repeat(length))),
            ..issuer()
        };
        let built = Verifier::build(&[issuer], fetcher(), &Arc::new(Metrics::new()));
        assert_eq!(built.is_err(), weak, "{length} {algorithm:?}");
    }
}

#[test]
fn faults_name_their_place() {
    let at = |keys: KeySource, algorithms: &[Algorithm]| {
        let issuer = Rules {
            algorithms: algorithms.to_vec(),
            keys,
            ..issuer()
        };
        let faults = Verifier::build(&[issuer], fetcher(), &Arc::new(Metrics::new())).unwrap_err();
        faults[0].at.as_str().to_owned()
    };
    let nowhere = || std::path::PathBuf::from("/nonexistent/key");
    let rs256 = &[Algorithm::RS256];
    assert_eq!(
        at(
            KeySource::Secret(secret(SECRET)),
            &[Algorithm::HS256, Algorithm::RS256]
        ),
        "issuers[0].algorithms[1]"
    );
    assert_eq!(
        at(KeySource::PublicKeyFile(nowhere()), rs256),
        "issuers[0].public_key_file"
    );
    assert_eq!(
        at(KeySource::JwksFile(nowhere()), rs256),
        "issuers[0].jwks_file"
    );
    assert_eq!(
        at(KeySource::JwksUrl("ftp://a/".into()), rs256),
        "issuers[0].jwks_url"
    );
    assert_eq!(
        at(KeySource::DiscoveryUrl("http://a/".into()), rs256),
        "issuers[0].issuer"
    );
    assert_eq!(
        at(KeySource::JwksUrl("http://a/".into()), &[Algorithm::HS256]),
        "issuers[0].algorithms[0]"
    );
    let twice = Verifier::build(&[issuer(), issuer()], fetcher(), &Arc::new(Metrics::new()));
    assert!(twice.is_err());
}

#[test]
fn a11_an_unknown_key_id_is_just_unknown() {
    let pair = Pair::new(Algorithm::ES256);
    let algorithms = &[Algorithm::ES256];
    let named = with_jwks(&[pair.jwk(&json!({"kid": "a"}))], algorithms);
    let unnamed = with_jwks(&[pair.jwk(&json!({}))], algorithms);
    for kid in ["../../dev/null", "' OR 1=1", "http://127.0.0.1:1/", "A", ""] {
        let token = token(Algorithm::ES256, Some(kid), &pair.signing);
        assert_eq!(reason(&named, &token), Some(Reason::KeyUnknown), "{kid}");
        assert_eq!(reason(&unnamed, &token), None, "{kid}");
    }
    // A token without a key id may mean any key.
    assert_eq!(
        reason(&named, &token(Algorithm::ES256, None, &pair.signing)),
        None
    );
}

#[test]
fn a12_a_key_that_the_token_brings_proves_nothing() {
    let (ours, theirs) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let verifier = with_jwks(&[ours.jwk(&json!({}))], &[Algorithm::ES256]);
    let header = json!({"alg": "ES256", "jwk": theirs.jwk}).to_string();
    let forged = signed(
        &header,
        &payload(&json!({})).to_string(),
        Algorithm::ES256,
        &theirs.signing,
    );
    assert_eq!(reason(&verifier, &forged), Some(Reason::SignatureInvalid));
}

#[test]
fn a31_forged_ecdsa_signatures_are_refused() {
    let pair = Pair::new(Algorithm::ES256);
    let verifier = with_jwks(&[pair.jwk(&json!({}))], &[Algorithm::ES256]);
    let good = token(Algorithm::ES256, None, &pair.signing);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let order = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let order: Vec<u8> = (0..32)
        .map(|at| u8::from_str_radix(&order[2 * at..2 * at + 2], 16).unwrap())
        .collect();
    let (r, s) = signature.split_at(32);
    let der = [&[0x30, 0x44, 0x02, 0x20][..], r, &[0x02, 0x20], s].concat();
    for forged in [
        vec![0; 64],
        [&[0; 32][..], s].concat(),
        [r, &[0; 32]].concat(),
        [&order[..], s].concat(),
        [r, &order].concat(),
        vec![0xFF; 64],
        signature[..63].to_vec(),
        [&signature[..], &[0]].concat(),
        der,
        Vec::new(),
    ] {
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&forged));
        assert_eq!(reason(&verifier, &token), Some(Reason::SignatureInvalid));
    }
    assert_eq!(reason(&verifier, &good), None);
}

#[test]
fn a41_a_key_speaks_for_its_own_issuer_alone() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let rules = |name: &str, pair: &Pair| {
        let path = folder.path().join(name);
        let set = json!({"keys": [pair.jwk(&json!({"kid": "same"}))]});
        std::fs::write(&path, set.to_string()).unwrap();
        Rules {
            name: name.into(),
            issuer: Some(name.to_owned()),
            algorithms: vec![Algorithm::ES256],
            keys: KeySource::JwksFile(path),
            ..issuer()
        }
    };
    let verifier = verifier(&[rules("a", &a), rules("b", &b)]);
    let token = |iss: &str, pair: &Pair| {
        let payload = payload(&json!({ "iss": iss })).to_string();
        let header = r#"{"alg":"ES256","kid":"same"}"#;
        signed(header, &payload, Algorithm::ES256, &pair.signing)
    };
    assert_eq!(reason(&verifier, &token("a", &a)), None);
    assert_eq!(
        verifier
            .try_verify(&token("b", &b), now())
            .unwrap()
            .issuer(),
        1
    );
    assert_eq!(
        reason(&verifier, &token("b", &a)),
        Some(Reason::SignatureInvalid)
    );
}
