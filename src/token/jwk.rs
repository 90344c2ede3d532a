//! JWK sets (RFC 7517), read key by key.
//!
//! One key that we cannot use harms none of the others: an unknown kind, a purpose other than
//! signatures, a weak or broken key is left out and named in the log. A set in which nothing is
//! usable is an error, so that the last good one stays.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

use super::crypto::VerifyingKey;
use super::json;
use super::keys::{Key, Mark};
use super::public_key::{KeyFault, PublicKey};

/// Most keys of a set that are used.
const MAX_KEYS: usize = 64;
/// Longest key id in bytes; a token's may not be longer.
const MAX_KID_BYTES: usize = 256;

/// Why a document is no usable key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum JwksError {
    /// Not one JSON object, or one with repeated members.
    #[error("the key set is not a JSON object")]
    NotJson,
    /// `keys` is absent or not an array.
    #[error("the key set has no array of keys")]
    NoKeys,
    /// No key of it can be used.
    #[error("the key set holds no usable key")]
    NoneUsable,
}

/// Why one key of a set is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Skipped {
    #[error("it is not an object")]
    NotAnObject,
    #[error("kid is not a text of at most 256 bytes")]
    Kid,
    #[error("it is not for signatures (use, key_ops)")]
    Purpose,
    #[error("it holds private members, and must be considered public now")]
    Private,
    #[error("alg does not fit the key")]
    Algorithm,
    #[error("a member is absent or not base64url")]
    Member,
    #[error(transparent)]
    Fault(#[from] KeyFault),
}

/// The usable keys of a set.
pub(super) fn read_set(issuer: &str, text: &[u8]) -> Result<Vec<Key>, JwksError> {
    let document = json::object(text).map_err(|_| JwksError::NotJson)?;
    let Some(Value::Array(members)) = document.get("keys") else {
        return Err(JwksError::NoKeys);
    };
    let mut keys = Vec::new();
    for (position, member) in members.iter().enumerate() {
        if keys.len() == MAX_KEYS {
            tracing::warn!(
                issuer,
                position,
                "the key set is too long; the rest is left out"
            );
            break;
        }
        match read(member) {
            Ok(key) => keys.push(key),
            Err(why) => tracing::warn!(issuer, position, %why, "a key of the set is left out"),
        }
    }
    if keys.is_empty() {
        return Err(JwksError::NoneUsable);
    }
    Ok(keys)
}

fn read(member: &Value) -> Result<Key, Skipped> {
    let Value::Object(jwk) = member else {
        return Err(Skipped::NotAnObject);
    };
    let kid = match jwk.get("kid") {
        None => None,
        Some(Value::String(kid)) if kid.len() <= MAX_KID_BYTES => Some(kid.clone()),
        Some(_) => return Err(Skipped::Kid),
    };
    check_purpose(jwk)?;
    let private = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    if private.iter().any(|name| jwk.contains_key(*name)) {
        return Err(Skipped::Private);
    }
    let public = numbers(jwk)?;
    let algorithms = match jwk.get("alg") {
        None => public.algorithms().to_vec(),
        Some(alg) => alg
            .as_str()
            .and_then(|alg| alg.parse::<Algorithm>().ok())
            .filter(|alg| public.algorithms().contains(alg))
            .map(|alg| vec![alg])
            .ok_or(Skipped::Algorithm)?,
    };
    let decoding = public.decoding_key()?;
    Ok(Key {
        kid,
        mark: Mark::of(&decoding),
        verifying: VerifyingKey::new(decoding, &algorithms),
        algorithms,
    })
}

/// RFC 7517, sections 4.2 and 4.3.
fn check_purpose(jwk: &Map<String, Value>) -> Result<(), Skipped> {
    let signs = jwk.get("use").is_none_or(|purpose| purpose == "sig");
    let verifies = jwk.get("key_ops").is_none_or(|operations| {
        operations
            .as_array()
            .is_some_and(|operations| operations.iter().any(|operation| operation == "verify"))
    });
    if signs && verifies {
        Ok(())
    } else {
        Err(Skipped::Purpose)
    }
}

/// RFC 7518, section 6, and RFC 8037, section 2.
fn numbers(jwk: &Map<String, Value>) -> Result<PublicKey, Skipped> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let bytes = |name: &str| {
        text(name)
            .and_then(|text| URL_SAFE_NO_PAD.decode(text).ok())
            .ok_or(Skipped::Member)
    };
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        // RFC 7518, section 6.2.1.2: the full length, whatever the number.
        if x.len() != length || y.len() != length {
            return Err(Skipped::Fault(KeyFault::NotOnCurve));
        }
        Ok([&[4][..], &x, &y].concat())
    };
    match (text("kty"), text("crv")) {
        (Some("RSA"), _) => Ok(PublicKey::Rsa {
            modulus: bytes("n")?,
            exponent: bytes("e")?,
        }),
        (Some("EC"), Some("P-256")) => Ok(PublicKey::P256(point(32)?)),
        (Some("EC"), Some("P-384")) => Ok(PublicKey::P384(point(48)?)),
        (Some("OKP"), Some("Ed25519")) => Ok(PublicKey::Ed25519(bytes("x")?)),
        _ => Err(Skipped::Fault(KeyFault::Unsupported)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ec(extra: Value) -> Value {
        let pair = rcgen::KeyPair::generate().unwrap();
        let (x, y) = pair.public_key_raw()[1..].split_at(32);
        let mut jwk = json!({
            "kty": "EC", "crv": "P-256",
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let Value::Object(extra) = extra else {
            panic!("an object")
        };
        jwk.as_object_mut().unwrap().extend(extra);
        jwk
    }

    fn skipped(member: &Value) -> Option<Skipped> {
        read(member).err()
    }

    fn set(keys: &Value) -> Result<usize, JwksError> {
        read_set("test", json!({ "keys": keys }).to_string().as_bytes()).map(|keys| keys.len())
    }

    #[test]
    fn a06_only_public_signature_keys_are_used() {
        for fine in [
            json!({}),
            json!({"use": "sig"}),
            json!({"key_ops": ["verify"]}),
            json!({"key_ops": ["sign", "verify"], "alg": "ES256"}),
            json!({"x5c": [5], "unknown": {}}),
        ] {
            assert_eq!(skipped(&ec(fine.clone())), None, "{fine}");
        }
        for (extra, why) in [
            (json!({"use": "enc"}), Skipped::Purpose),
            (json!({"use": null}), Skipped::Purpose),
            (json!({"key_ops": ["encrypt"]}), Skipped::Purpose),
            (json!({"key_ops": []}), Skipped::Purpose),
            (json!({"key_ops": "verify"}), Skipped::Purpose),
            (json!({"d": "AA"}), Skipped::Private),
            (json!({"alg": "ES384"}), Skipped::Algorithm),
            (json!({"alg": "HS256"}), Skipped::Algorithm),
            (json!({"alg": 5}), Skipped::Algorithm),
            (json!({"kid": 5}), Skipped::Kid),
            (json!({"kid": "k".repeat(257)}), Skipped::Kid),
        ] {
            assert_eq!(skipped(&ec(extra.clone())), Some(why), "{extra}");
        }
        assert_eq!(
            skipped(&json!({"kty": "oct", "k": "AAAA"})),
            Some(Skipped::Private)
        );
    }

    #[test]
    fn a08_one_unsupported_key_harms_none_beside_it() {
        let unsupported = [
            json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"}),
            json!({"kty": "OKP", "crv": "X25519", "x": "AA"}),
            json!({"kty": "AKP", "alg": "ML-DSA-65", "pub": "AA"}),
            json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}),
            json!({"kty": 5}),
            json!({}),
            json!(null),
        ];
        for key in unsupported {
            assert_eq!(set(&json!([key, ec(json!({}))])), Ok(1), "{key}");
            assert_eq!(set(&json!([key])), Err(JwksError::NoneUsable), "{key}");
        }
    }

    #[test]
    fn a09_broken_keys_are_left_out() {
        for extra in [
            json!({"x": "AA"}),
            json!({"x": "!"}),
            json!({"y": null}),
            json!({"crv": "P-384"}),
            json!({"x": URL_SAFE_NO_PAD.encode([1; 32])}),
        ] {
            assert!(skipped(&ec(extra.clone())).is_some(), "{extra}");
        }
        let short = json!({
            "kty": "RSA", "e": "AQAB", "n": URL_SAFE_NO_PAD.encode([0xC5; 128]),
        });
        assert_eq!(skipped(&short), Some(Skipped::Fault(KeyFault::RsaTooShort)));
    }

    #[test]
    fn a39_what_is_no_set_is_an_error() {
        for (text, why) in [
            ("", JwksError::NotJson),
            ("<html></html>", JwksError::NotJson),
            ("[]", JwksError::NotJson),
            (r#"{"keys":[],"keys":[]}"#, JwksError::NotJson),
            ("{}", JwksError::NoKeys),
            (r#"{"keys":null}"#, JwksError::NoKeys),
            (r#"{"keys":{}}"#, JwksError::NoKeys),
            (r#"{"keys":[]}"#, JwksError::NoneUsable),
        ] {
            assert_eq!(read_set("test", text.as_bytes()).err(), Some(why), "{text}");
        }
    }

    #[test]
    fn a_set_is_bounded() {
        let key = ec(json!({}));
        let many = vec![key; MAX_KEYS + 5];
        assert_eq!(set(&json!(many)), Ok(MAX_KEYS));
    }
}
