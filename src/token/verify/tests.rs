//! What a verifier accepts, and why it refuses everything else.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::super::testing::*;
use super::*;
use crate::config::{Audiences, KeySource};
use crate::reason::Reason;

fn judged(issuer: &Rules, payload: &Value) -> Result<VerifiedToken, Reason> {
    verifier(std::slice::from_ref(issuer))
        .try_verify(&hs256(payload), now())
        .map_err(|error| error.reason())
}

fn refused(issuer: &Rules, extra: &Value) -> Option<Reason> {
    judged(issuer, &payload(extra)).err()
}

fn reason(verifier: &Verifier, token: &str) -> Option<Reason> {
    verifier
        .try_verify(token, now())
        .err()
        .map(|error| error.reason())
}

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
fn a_good_token_says_who() {
    let issuer = Rules {
        tenants: Some(vec![TenantId::parse("a").unwrap()]),
        ..issuer()
    };
    let token = judged(
        &issuer,
        &payload(&json!({"account_id": "12", "tenant": "a", "jti": "j", "extra": [1]})),
    )
    .unwrap();
    assert_eq!(token.user().as_str(), "5");
    assert_eq!(token.account().unwrap().as_str(), "12");
    assert_eq!(token.tenant().unwrap().as_str(), "a");
    assert_eq!(token.jti(), Some("j"));
    assert_eq!(token.expires().as_secs(), NOW + 300);
    assert_eq!(token.expires_with_leeway().as_secs(), NOW + 330);
    assert_eq!(token.issued_at().unwrap().as_secs(), NOW - 10);
    assert_eq!((token.issuer(), &**token.issuer_name()), (0, "app"));
    assert_eq!(&**token.lookup(), "default");
    assert_eq!(token.bound_tenants().unwrap().len(), 1);
    assert_eq!(token.claims()["extra"], json!([1]));
}

#[test]
fn nothing_of_the_claims_is_debug_printed() {
    let token = judged(&issuer(), &payload(&json!({"email": "canary"}))).unwrap();
    assert!(!format!("{token:?}").contains("canary"));
    assert!(!format!("{token:?}").contains('5'));
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
    let verifier = with_jwks(&keys, &all);
    for (algorithm, pair) in [
        (Algorithm::RS256, pairs[0]),
        (Algorithm::PS512, pairs[0]),
        (Algorithm::ES256, pairs[1]),
        (Algorithm::ES384, pairs[2]),
        (Algorithm::EdDSA, pairs[3]),
    ] {
        let token = token(algorithm, None, &pair.signing);
        assert_eq!(reason(&verifier, &token), None, "{algorithm:?}");
    }
    for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
        let issuer = Rules {
            algorithms: vec![algorithm],
            ..issuer()
        };
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = token(algorithm, None, &key);
        assert_eq!(
            reason(&super::super::testing::verifier(&[issuer]), &token),
            None
        );
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
fn a22_aud_of_another_type_or_value_is_refused() {
    let named = Rules {
        audiences: Audiences::Listed(vec!["api".into(), "web".into()]),
        ..issuer()
    };
    for aud in [json!("api"), json!(["x", "web"])] {
        assert_eq!(refused(&named, &json!({ "aud": aud })), None);
    }
    assert_eq!(refused(&named, &json!({})), Some(Reason::AudienceMismatch));
    let any = Rules {
        audiences: Audiences::Any,
        ..issuer()
    };
    assert_eq!(refused(&any, &json!({})), None);
    assert_eq!(refused(&any, &json!({"aud": "x"})), None);
    for aud in [
        json!(5),
        json!(["api", 5]),
        json!({}),
        json!(null),
        json!(true),
    ] {
        for issuer in [&named, &any, &issuer()] {
            assert_eq!(
                refused(issuer, &json!({ "aud": aud })),
                Some(Reason::AudienceMismatch),
                "{aud}"
            );
        }
    }
    for aud in [json!("x"), json!("API"), json!([]), json!(["x"])] {
        for issuer in [&named, &issuer()] {
            assert_eq!(
                refused(issuer, &json!({ "aud": aud })),
                Some(Reason::AudienceMismatch),
                "{aud}"
            );
        }
    }
}

#[test]
fn a23_iss_is_one_exact_text() {
    let named = Rules {
        issuer: Some("https://idp".into()),
        ..issuer()
    };
    assert_eq!(refused(&named, &json!({"iss": "https://idp"})), None);
    assert_eq!(refused(&issuer(), &json!({})), None);
    for iss in [
        json!("https://idp/"),
        json!(""),
        json!(7),
        json!({"x": "evil"}),
        json!(["evil", "https://idp"]),
        json!(null),
    ] {
        for issuer in [&named, &issuer()] {
            assert_eq!(
                refused(issuer, &json!({ "iss": iss })),
                Some(Reason::IssuerUnknown),
                "{iss}"
            );
        }
    }
    assert_eq!(refused(&named, &json!({})), Some(Reason::IssuerUnknown));
}

#[test]
fn a24_the_subject_is_canonical_and_never_coerced() {
    for (id, user) in [
        (json!(5), "5"),
        (json!("5"), "5"),
        (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        (json!("1\u{ff11}"), "1\u{ff11}"),
        (json!("05"), "05"),
    ] {
        let token = judged(&issuer(), &payload(&json!({ "user_id": id }))).unwrap();
        assert_eq!(token.user().as_str(), user);
    }
    for id in [
        json!(["1", "2"]),
        json!({}),
        json!(true),
        json!(5.0),
        json!(1e30),
        json!(""),
        json!(" 1"),
        json!("1 "),
        json!("1\u{0}"),
        json!("1\r\nX-User: 2"),
        json!("x".repeat(256)),
    ] {
        assert_eq!(
            refused(&issuer(), &json!({ "user_id": id })),
            Some(Reason::CredentialMalformed),
            "{id}"
        );
        for claim in ["account_id", "tenant"] {
            assert_eq!(
                refused(&issuer(), &json!({ claim: id })),
                Some(Reason::CredentialMalformed),
                "{claim} {id}"
            );
        }
    }
    assert_eq!(
        refused(&issuer(), &json!({"user_id": null})),
        Some(Reason::ClaimMissing)
    );
    assert_eq!(
        refused(&issuer(), &json!({"account_id": null, "tenant": null})),
        None
    );
    assert_eq!(
        refused(&issuer(), &json!({"jti": 5})),
        Some(Reason::CredentialMalformed)
    );
}

#[test]
fn a25_a26_exp_is_a_time_that_is_there() {
    for (exp, why) in [
        (json!("4102444800"), Reason::CredentialMalformed),
        (json!(null), Reason::ClaimMissing),
        (json!(-1), Reason::TokenExpired),
        (json!(0), Reason::TokenExpired),
        (json!([NOW + 300]), Reason::CredentialMalformed),
        (json!(u64::MAX), Reason::CredentialMalformed),
        (json!(1e19), Reason::CredentialMalformed),
        (json!(1e300), Reason::CredentialMalformed),
        (json!(253_402_300_800_u64), Reason::CredentialMalformed),
    ] {
        assert_eq!(
            refused(&issuer(), &json!({ "exp": exp })),
            Some(why),
            "{exp}"
        );
    }
    let verifier = verifier(&[issuer()]);
    for (text, why) in [
        (r#"{"user_id":5}"#, Reason::ClaimMissing),
        (r#"{"user_id":5,"exp":1e400}"#, Reason::CredentialMalformed),
        (
            r#"{"user_id":5,"exp":18446744073709551616}"#,
            Reason::CredentialMalformed,
        ),
        (
            r#"{"user_id":5,"exp":4102444800,"exp":1}"#,
            Reason::CredentialMalformed,
        ),
    ] {
        assert_eq!(reason(&verifier, &hs256_text(text)), Some(why), "{text}");
    }
    assert_eq!(
        refused(&issuer(), &json!({"exp": 253_402_300_799_u64})),
        None
    );
}

#[test]
fn a27_a_fraction_of_a_second_counts() {
    let token = judged(&issuer(), &payload(&json!({"exp": 1_800_000_000.5}))).unwrap();
    let verifier = verifier(&[issuer()]);
    let at = |offset: f64| UnixTime::from_secs_f64(1_800_000_000.0 + offset).unwrap();
    assert!(verifier.still_holds(&token, at(30.25)));
    assert!(!verifier.still_holds(&token, at(30.5)));
}

#[test]
fn a28_the_future_is_refused() {
    for (claim, value, why) in [
        ("nbf", json!(NOW + 3600), Some(Reason::TokenNotYetValid)),
        ("nbf", json!(NOW + 31), Some(Reason::TokenNotYetValid)),
        ("nbf", json!(NOW + 30), None),
        ("nbf", json!("1"), Some(Reason::CredentialMalformed)),
        ("nbf", json!(-1), Some(Reason::CredentialMalformed)),
        ("nbf", json!(null), Some(Reason::CredentialMalformed)),
        ("iat", json!(NOW + 3600), Some(Reason::TokenNotYetValid)),
        ("iat", json!(NOW + 30), None),
        ("iat", json!("1"), Some(Reason::CredentialMalformed)),
    ] {
        assert_eq!(
            refused(&issuer(), &json!({ claim: value })),
            why,
            "{claim} {value}"
        );
    }
}

#[test]
fn a28_a_largest_lifetime_needs_to_know_the_age() {
    let short = Rules {
        max_lifetime: Some(Duration::from_secs(310)),
        ..issuer()
    };
    assert_eq!(refused(&short, &json!({})), None);
    assert_eq!(
        refused(&short, &json!({"exp": NOW + 301})),
        Some(Reason::TokenExpired)
    );
    let ageless = json!({"user_id": 5, "exp": NOW + 300});
    assert_eq!(judged(&short, &ageless).err(), Some(Reason::ClaimMissing));
    assert!(judged(&issuer(), &ageless).is_ok());
    let own = Rules {
        claims: crate::config::Claims {
            issued_at: path("orig_iat"),
            ..issuer().claims
        },
        ..short
    };
    assert_eq!(refused(&own, &json!({})), Some(Reason::ClaimMissing));
    assert_eq!(refused(&own, &json!({"orig_iat": NOW})), None);
    assert_eq!(
        refused(&own, &json!({"orig_iat": NOW + 60})),
        Some(Reason::TokenNotYetValid)
    );
}

#[test]
fn a29_expiry_has_one_rule() {
    for (exp, why) in [
        (NOW - 31, Some(Reason::TokenExpired)),
        (NOW - 30, Some(Reason::TokenExpired)),
        (NOW - 29, None),
    ] {
        assert_eq!(refused(&issuer(), &json!({ "exp": exp })), why);
    }
    let strict = Rules {
        leeway: Duration::ZERO,
        ..issuer()
    };
    assert_eq!(
        refused(&strict, &json!({"exp": NOW})),
        Some(Reason::TokenExpired)
    );
    assert_eq!(refused(&strict, &json!({"exp": NOW + 1})), None);
    let endless = Rules {
        leeway: Duration::MAX,
        ..issuer()
    };
    assert_eq!(refused(&endless, &json!({"exp": 1, "nbf": NOW + 99})), None);
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
fn a35_a_cached_token_expires_by_the_same_rule() {
    let verifier = verifier(&[issuer()]);
    let token = hs256(&payload(&json!({"exp": NOW + 2})));
    let verified = verifier.try_verify(&token, now()).unwrap();
    for (offset, holds) in [(0, true), (31, true), (32, false), (3600, false)] {
        let later = UnixTime::from_secs(NOW + offset);
        assert_eq!(verifier.still_holds(&verified, later), holds, "{offset}");
        assert_eq!(
            verifier.try_verify(&token, later).is_ok(),
            holds,
            "{offset}"
        );
    }
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

#[test]
fn required_claims_have_just_their_value() {
    let rules = Rules {
        require: vec![
            (path("token_type"), json!("access")),
            (path("realm.level"), json!(2)),
        ],
        ..issuer()
    };
    let good = json!({"token_type": "access", "realm": {"level": 2}});
    assert_eq!(refused(&rules, &good), None);
    for bad in [
        json!({"token_type": "access"}),
        json!({"token_type": "refresh", "realm": {"level": 2}}),
        json!({"token_type": ["access"], "realm": {"level": 2}}),
        json!({"token_type": "access", "realm": {"level": "2"}}),
        json!({"token_type": "access", "realm": {"level": true}}),
    ] {
        assert_eq!(refused(&rules, &bad), Some(Reason::ClaimMissing), "{bad}");
    }
}

#[test]
fn nothing_but_issuer_and_key_is_judged_before_the_signature() {
    let verifier = verifier(&[Rules {
        audiences: Audiences::Listed(vec!["api".into()]),
        ..issuer()
    }]);
    let other = EncodingKey::from_secret(&[7; 64]);
    for extra in [
        json!({"exp": 1}),
        json!({"nbf": NOW + 999}),
        json!({"user_id": null}),
        json!({"aud": "x"}),
        json!({"jti": 5}),
    ] {
        let payload = payload(&extra).to_string();
        let forged = signed(r#"{"alg":"HS256"}"#, &payload, Algorithm::HS256, &other);
        assert_eq!(reason(&verifier, &forged), Some(Reason::SignatureInvalid));
    }
}

#[test]
fn errors_say_nothing_of_what_was_claimed() {
    let verifier = verifier(&[issuer()]);
    for extra in [
        json!({"iss": "canary"}),
        json!({"exp": "canary"}),
        json!({"user_id": " canary"}),
        json!({"aud": "canary"}),
    ] {
        let error = verifier
            .try_verify(&hs256(&payload(&extra)), now())
            .unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}

#[test]
fn what_was_claimed_is_told_apart() {
    let verifier = verifier(&[issuer()]);
    let forged = signed(
        r#"{"alg":"HS256"}"#,
        &payload(&json!({"tenant": "a"})).to_string(),
        Algorithm::HS256,
        &EncodingKey::from_secret(b"another"),
    );
    let claimed = verifier.claimed(&forged);
    assert_eq!(claimed.user, UserId::parse("5").ok());
    assert_eq!(claimed.tenant, TenantId::parse("a").ok());
    assert_eq!(claimed.issuer.as_deref(), Some("app"));
    assert_eq!(verifier.claimed("a.b.c"), Claimed::default());
}
