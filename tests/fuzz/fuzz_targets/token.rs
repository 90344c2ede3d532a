//! Tokens: what is accepted was signed with the key, says so in a header without tricks, and says
//! what the reference reads in it.
//!
//! Input: a byte that chooses what the rest is: a whole token; a header and a payload (between them
//! a NUL) that are signed here; or changes to a valid token.
#![no_main]

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::net::{Fetcher, TlsRoots};
use countersign::telemetry::{Metrics, UnixTime};
use countersign::token::Verifier;
use countersign_fuzz::{SECRET, configuration};
use libfuzzer_sys::fuzz_target;
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

const NOW: u64 = 1_800_000_000;

static VERIFIER: LazyLock<Verifier> = LazyLock::new(|| {
    let fetcher = Fetcher::new(&TlsRoots::system()).expect("a fetcher");
    Verifier::build(&configuration().issuers, fetcher, &Arc::new(Metrics::new()))
        .expect("a verifier")
});

static VALID: LazyLock<String> = LazyLock::new(|| {
    let claims = json!({ "user_id": "5", "account_id": 12, "exp": NOW + 60, "iat": NOW });
    sign(br#"{"alg":"HS256","typ":"JWT"}"#, claims.to_string().as_bytes())
});

fuzz_target!(|data: &[u8]| {
    let Some((kind, data)) = data.split_first() else { return };
    match kind % 3 {
        0 => {
            let Ok(token) = std::str::from_utf8(data) else { return };
            check(token);
        }
        1 => {
            let mut halves = data.splitn(2, |byte| *byte == 0);
            let header = halves.next().unwrap_or_default();
            check(&sign(header, halves.next().unwrap_or_default()));
        }
        _ => {
            let mut token = VALID.clone().into_bytes();
            for change in data.chunks_exact(2) {
                let at = usize::from(change[0]) % token.len();
                token[at] = change[1];
            }
            let Ok(token) = String::from_utf8(token) else { return };
            let read = VERIFIER.try_verify(&token, UnixTime::from_secs(NOW));
            assert_eq!(read.is_ok(), token == *VALID, "{token}");
        }
    }
});

fn sign(header: &[u8], payload: &[u8]) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn check(token: &str) {
    let _ = VERIFIER.claimed(token);
    let Ok(verified) = VERIFIER.try_verify(token, UnixTime::from_secs(NOW)) else { return };
    let segments: Vec<&str> = token.split('.').collect();
    let [header, payload, signature] = segments[..] else {
        panic!("{} segments", segments.len());
    };
    let message = &token[..header.len() + 1 + payload.len()];
    let tag = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET);
    hmac::verify(&key, message.as_bytes(), &tag).expect("a signature of the key");

    let header = object(header);
    assert_eq!(header["alg"], "HS256");
    for name in ["crit", "b64", "zip", "enc"] {
        assert!(!header.contains_key(name), "{name}");
    }
    let claims = object(payload);
    let exp = claims["exp"].as_f64().expect("a number");
    assert!(exp > NOW as f64, "{exp}");
    for name in ["nbf", "iat"] {
        if let Some(time) = claims.get(name) {
            assert!(time.as_f64().expect("a number") <= NOW as f64, "{name} {time}");
        }
    }
    // The issuer has no `iss` and no audience.
    assert!(!claims.contains_key("iss"));
    assert!(!claims.contains_key("aud") || claims["aud"].is_string() || claims["aud"].is_array());
    assert_eq!(Some(verified.user().as_str().to_owned()), id(claims.get("user_id")));
    let account = verified.account().map(|account| account.as_str().to_owned());
    assert_eq!(account, id(claims.get("account_id")));
    let tenant = verified.tenant().map(|tenant| tenant.as_str().to_owned());
    assert_eq!(tenant, id(claims.get("tenant_schema")));
}

/// The id that a claim is: a text, or an integer's digits; null is none.
fn id(claim: Option<&Value>) -> Option<String> {
    match claim? {
        Value::Null => None,
        Value::String(text) => {
            assert!(!text.is_empty() && text.len() <= 255 && text.trim() == text);
            assert!(!text.chars().any(char::is_control));
            Some(text.clone())
        }
        Value::Number(number) => {
            assert!(number.is_i64() || number.is_u64(), "{number}");
            Some(number.to_string())
        }
        other => panic!("{other} was taken for an id"),
    }
}

/// A segment as a JSON object in which no member stands twice, at any depth.
fn object(segment: &str) -> Map<String, Value> {
    let text = URL_SAFE_NO_PAD.decode(segment).expect("base64url");
    let _: Unique = serde_json::from_slice(&text).expect("JSON without duplicates");
    serde_json::from_slice(&text).expect("an object")
}

struct Unique;

impl<'de> Deserialize<'de> for Unique {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Walk)
    }
}

struct Walk;

impl<'de> Visitor<'de> for Walk {
    type Value = Unique;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique, A::Error> {
        let mut seen = HashSet::new();
        while let Some((name, Unique)) = map.next_entry::<String, Unique>()? {
            if !seen.insert(name) {
                return Err(serde::de::Error::custom("a member twice"));
            }
        }
        Ok(Unique)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Unique, A::Error> {
        while let Some(Unique) = seq.next_element()? {}
        Ok(Unique)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_str<E>(self, _: &str) -> Result<Unique, E> {
        Ok(Unique)
    }

    fn visit_unit<E>(self) -> Result<Unique, E> {
        Ok(Unique)
    }
}
