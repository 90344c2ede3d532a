//! What an assertion says, who can verify it, and that it is no credential.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderName;

use super::super::testing::*;
use super::*;
use crate::config::{Audiences, Issuer, KeyPath, KeySource, Secret};
use crate::reason::Reason;
use crate::telemetry::Redacted;

fn config(algorithm: Algorithm, pem: &str) -> Assertion {
    Assertion {
        at: KeyPath::root().key("identity").key("assertion"),
        header: HeaderName::from_static("x-auth-assertion"),
        issuer: "countersign".into(),
        audience: None,
        algorithm,
        private_key: secret(pem),
        ttl: Duration::from_mins(1),
    }
}

fn mint(asserter: &Asserter) -> String {
    let (tenant, user, account) = (
        TenantId::parse("a").unwrap(),
        UserId::parse("5").unwrap(),
        AccountId::parse("12").unwrap(),
    );
    let claims = AssertionClaims {
        upstream: "app",
        tenant: &tenant,
        user: &user,
        account: Some(&account),
        roles: &["admin".into()],
    };
    asserter.mint(&claims, now()).unwrap()
}

fn part(token: &str, position: usize) -> Value {
    let segment = token.split('.').nth(position).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(segment).unwrap()).unwrap()
}

#[test]
fn it_says_whom_the_request_acts_as() {
    let pair = Pair::new(Algorithm::ES256);
    let asserter = Asserter::build(&config(Algorithm::ES256, &pair.private_pem)).unwrap();
    let token = mint(&asserter);
    let header = part(&token, 0);
    let published = &asserter.jwks()["keys"][0];
    assert_eq!(header["typ"], "countersign+jwt");
    assert_eq!(header["alg"], "ES256");
    assert_eq!(header["kid"], published["kid"]);
    assert_eq!(published["use"], "sig");
    assert_eq!(published["alg"], "ES256");
    assert!(published.get("d").is_none());
    let mut payload = part(&token, 1);
    let jti = payload.as_object_mut().unwrap().remove("jti").unwrap();
    assert_eq!(jti.as_str().unwrap().len(), 22);
    assert_eq!(
        payload,
        json!({
            "iss": "countersign", "aud": "app", "sub": "5", "tenant": "a", "account": "12",
            "roles": ["admin"], "iat": NOW, "nbf": NOW, "exp": NOW + 60,
        })
    );
    assert_ne!(mint(&asserter), token);
}

#[test]
fn who_has_no_account_is_said_to_have_none() {
    let pair = Pair::new(Algorithm::EdDSA);
    let mut config = config(Algorithm::EdDSA, &pair.private_pem);
    config.audience = Some("others".into());
    let asserter = Asserter::build(&config).unwrap();
    let (tenant, user) = (TenantId::parse("a").unwrap(), UserId::parse("5").unwrap());
    let claims = AssertionClaims {
        upstream: "app",
        tenant: &tenant,
        user: &user,
        account: None,
        roles: &[],
    };
    let payload = part(&asserter.mint(&claims, now()).unwrap(), 1);
    assert!(payload.get("account").is_none());
    assert_eq!(payload["aud"], "others");
    assert_eq!(payload["roles"], json!([]));
}

#[test]
fn the_key_id_is_the_thumbprint() {
    // RFC 7638, section 3: members in order, no white space, SHA-256, base64url.
    let pair = Pair::new(Algorithm::ES256);
    let asserter = Asserter::build(&config(Algorithm::ES256, &pair.private_pem)).unwrap();
    let jwk = asserter.jwks()["keys"][0].clone();
    let text = format!(
        r#"{{"crv":"P-256","kty":"EC","x":{},"y":{}}}"#,
        jwk["x"], jwk["y"]
    );
    let sum = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
    assert_eq!(jwk["kid"], URL_SAFE_NO_PAD.encode(sum));
}

#[test]
fn a16_an_assertion_is_never_a_credential() {
    let pair = Pair::new(Algorithm::ES256);
    let asserter = Asserter::build(&config(Algorithm::ES256, &pair.private_pem)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    std::fs::write(&path, asserter.jwks().to_string()).unwrap();
    // Not even by an issuer that is set up to trust this very key.
    let verifier = verifier(&[Issuer {
        issuer: Some("countersign".into()),
        audiences: Audiences::Any,
        algorithms: vec![Algorithm::ES256],
        keys: KeySource::JwksFile(path),
        ..issuer()
    }]);
    let refused = verifier.try_verify(&mint(&asserter), now()).unwrap_err();
    assert_eq!(refused.reason(), Reason::CredentialMalformed);
}

#[test]
fn a_key_that_does_not_fit_is_a_fault_at_its_place() {
    let (p256, ed) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::EdDSA));
    for (algorithm, pem) in [
        (Algorithm::ES256, &*ed.private_pem),
        (Algorithm::ES384, &p256.private_pem),
        (Algorithm::EdDSA, &p256.private_pem),
        (Algorithm::RS256, &p256.private_pem),
        (Algorithm::HS256, &p256.private_pem),
        (Algorithm::ES256, &p256.public_pem),
        (Algorithm::ES256, "a secret that is no PEM at all"),
        (Algorithm::ES256, ""),
    ] {
        let faults = Asserter::build(&config(algorithm, pem)).unwrap_err();
        assert_eq!(faults[0].at.as_str(), "secret", "{algorithm:?}");
        assert!(!faults[0].problem.contains("MI"), "{}", faults[0].problem);
    }
    assert!(Asserter::build(&config(Algorithm::PS256, &Pair::rsa().private_pem)).is_ok());
}

#[test]
fn old_and_new_key_are_published_during_rotation() {
    let (old, new) = (Pair::new(Algorithm::ES256), Pair::new(Algorithm::ES256));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("assertion.key");
    std::fs::write(&file, &old.private_pem).unwrap();
    let asserter = Asserter::build(&Assertion {
        private_key: Secret {
            at: KeyPath::root(),
            value: Redacted::new(old.private_pem.trim_end().to_owned()),
            file: Some(file.clone()),
        },
        ..config(Algorithm::ES256, &old.private_pem)
    })
    .unwrap();
    let kids = |asserter: &Asserter| -> Vec<Value> {
        let jwks = asserter.jwks();
        let keys = jwks["keys"].as_array().unwrap();
        keys.iter().map(|key| key["kid"].clone()).collect()
    };
    let first = kids(&asserter);
    assert!(!asserter.reload().unwrap());
    std::fs::write(&file, "half a fi").unwrap();
    assert!(asserter.reload().is_err());
    assert_eq!(kids(&asserter), first);
    std::fs::write(&file, &new.private_pem).unwrap();
    assert!(asserter.reload().unwrap());
    let both = kids(&asserter);
    assert_eq!((both.len(), &both[1]), (2, &first[0]));
    assert_eq!(part(&mint(&asserter), 0)["kid"], both[0]);
    assert!(!asserter.reload().unwrap());
}
