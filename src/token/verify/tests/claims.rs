//! What the payload must say.

use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::json;

use super::super::super::testing::*;
use super::super::Claimed;
use super::{judged, reason, refused};
use crate::config::{Audiences, Issuer as Rules};
use crate::ids::{TenantId, UserId};
use crate::reason::Reason;

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
    assert_eq!(token.claims().unwrap()["extra"], json!([1]));
}

#[test]
fn nothing_of_the_claims_is_debug_printed() {
    let token = judged(&issuer(), &payload(&json!({"email": "canary"}))).unwrap();
    assert!(!format!("{token:?}").contains("canary"));
    assert!(!format!("{token:?}").contains('5'));
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

proptest::proptest! {
    #[test]
    fn no_other_text_than_the_token_itself_verifies(
        at in 0..10_000_usize,
        with in proptest::char::range('\0', '\u{ff}'),
    ) {
        let verifier = verifier(&[issuer()]);
        let good = hs256(&payload(&json!({})));
        let mut text: Vec<char> = good.chars().collect();
        let at = at % text.len();
        text[at] = with;
        let text: String = text.into_iter().collect();
        proptest::prop_assert_eq!(verifier.try_verify(&text, now()).is_ok(), text == good);
    }

    #[test]
    fn no_text_makes_the_reader_panic(header in ".{0,40}", payload in "\\PC{0,60}") {
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = signed(&header, &payload, Algorithm::HS256, &key);
        proptest::prop_assert!(verifier(&[issuer()]).try_verify(&token, now()).is_err());
        proptest::prop_assert!(verifier(&[issuer()]).try_verify(&header, now()).is_err());
    }
}
