//! When a token begins, how old it may be, and when it is over.

use std::time::Duration;

use serde_json::json;

use super::super::super::testing::*;
use super::{judged, reason, refused};
use crate::config::Issuer as Rules;
use crate::reason::Reason;
use crate::telemetry::UnixTime;

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
fn a35_a_cached_token_expires_by_the_same_rule() {
    let verifier = verifier(&[issuer()]);
    let token = hs256(&payload(&json!({"exp": NOW + 2})));
    let cached = verifier.try_verify(&token, now()).unwrap();
    for (offset, holds) in [(0, true), (31, true), (32, false), (3600, false)] {
        let later = UnixTime::from_secs(NOW + offset);
        assert_eq!(verifier.still_holds(&cached, later), holds, "{offset}");
        assert_eq!(
            verifier.try_verify(&token, later).is_ok(),
            holds,
            "{offset}"
        );
    }
}

/// What was verified at a time that has not come yet may say things of it.
#[test]
fn a35_a_clock_that_was_set_back_is_asked_again() {
    let verifier = verifier(&[issuer()]);
    let token = hs256(&payload(&json!({"nbf": NOW})));
    let cached = verifier.try_verify(&token, now()).unwrap();
    for back in [0, 1, 31, 3600] {
        let earlier = UnixTime::from_secs(NOW - back);
        let anew = verifier.try_verify(&token, earlier).is_ok();
        assert!(
            anew || !verifier.still_holds(&cached, earlier),
            "{back} seconds earlier"
        );
    }
    assert!(verifier.still_holds(&cached, now()));
}
