//! Throwaway keys and real tokens for the tests of this room.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey};
use serde_json::{Value, json};

use super::public_key::family;
use super::{crypto, verify::Verifier};
use crate::config::{Audiences, ClaimPath, Claims, Issuer, JwksTimes, KeyPath, KeySource, Secret};
use crate::net::{Fetcher, TlsRoots};
use crate::telemetry::{Metrics, Redacted, UnixTime};

/// The time at which the tests play.
pub(super) const NOW: u64 = 1_800_000_000;
/// A secret long enough for every algorithm.
pub(super) const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

pub(super) fn now() -> UnixTime {
    UnixTime::from_secs(NOW)
}

pub(super) fn secret(text: &str) -> Secret {
    Secret {
        at: KeyPath::root().key("secret"),
        value: Redacted::new(text.to_owned()),
        file: None,
    }
}

pub(super) fn path(text: &str) -> ClaimPath {
    ClaimPath(text.into())
}

/// An issuer with a secret, HS256, no `iss`, and the claim names of a small app.
pub(super) fn issuer() -> Issuer {
    Issuer {
        at: KeyPath::root().key("issuers").index(0),
        name: "app".into(),
        issuer: None,
        audiences: Audiences::Listed(Vec::new()),
        algorithms: vec![Algorithm::HS256],
        keys: KeySource::Secret(secret(SECRET)),
        jwks: JwksTimes {
            refresh: Duration::from_mins(10),
            max_stale: Duration::from_hours(1),
            timeout: Duration::from_secs(5),
        },
        leeway: Duration::from_secs(30),
        max_lifetime: None,
        claims: Claims {
            user: path("user_id"),
            account: Some(path("account_id")),
            tenant: Some(path("tenant")),
            issued_at: path("iat"),
        },
        require: Vec::new(),
        tenants: None,
        lookup: "default".into(),
    }
}

pub(super) fn fetcher() -> Fetcher {
    static FETCHER: OnceLock<Fetcher> = OnceLock::new();
    FETCHER
        .get_or_init(|| Fetcher::new(&TlsRoots::system()).unwrap())
        .clone()
}

pub(super) fn verifier(issuers: &[Issuer]) -> Verifier {
    Verifier::build(issuers, fetcher(), &Arc::new(Metrics::new())).unwrap()
}

/// A private key with its public halves.
pub(super) struct Pair {
    pub(super) signing: EncodingKey,
    pub(super) private_pem: String,
    pub(super) public_pem: String,
    pub(super) jwk: Value,
}

impl Pair {
    /// A new EC or Ed25519 pair, or one of two RSA pairs (they take long to make).
    pub(super) fn new(algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::ES256 => &rcgen::PKCS_ECDSA_P256_SHA256,
            Algorithm::ES384 => &rcgen::PKCS_ECDSA_P384_SHA384,
            Algorithm::EdDSA => &rcgen::PKCS_ED25519,
            _ => &rcgen::PKCS_RSA_SHA256,
        };
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        Self::from_pem(&pair.serialize_pem(), &pair.public_key_pem(), algorithm)
    }

    /// The process's one RSA pair.
    pub(super) fn rsa() -> &'static Self {
        static RSA: OnceLock<Pair> = OnceLock::new();
        RSA.get_or_init(|| Self::new(Algorithm::RS256))
    }

    fn from_pem(private_pem: &str, public_pem: &str, algorithm: Algorithm) -> Self {
        let bytes = private_pem.as_bytes();
        let signing = match family(algorithm) {
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(bytes),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(bytes),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(bytes),
            AlgorithmFamily::Hmac => panic!("not a pair"),
        }
        .unwrap();
        let (jwk, _) = crypto::public_half(&signing, algorithm).unwrap();
        let mut jwk = serde_json::to_value(jwk).unwrap();
        jwk.as_object_mut().unwrap().remove("alg");
        Self {
            signing,
            private_pem: private_pem.to_owned(),
            public_pem: public_pem.to_owned(),
            jwk,
        }
    }

    /// The public key as a JWK with these further members.
    pub(super) fn jwk(&self, extra: &Value) -> Value {
        let mut jwk = self.jwk.clone();
        let members = extra.as_object().unwrap().clone();
        jwk.as_object_mut().unwrap().extend(members);
        jwk
    }
}

/// A token with any header and payload, truly signed.
pub(super) fn signed(
    header: &str,
    payload: &str,
    algorithm: Algorithm,
    key: &EncodingKey,
) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(payload)
    );
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token under the shared secret.
pub(super) fn hs256(payload: &Value) -> String {
    hs256_text(&payload.to_string())
}

/// The same from text, for payloads that no `Value` can hold.
pub(super) fn hs256_text(payload: &str) -> String {
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    signed(
        r#"{"alg":"HS256","typ":"JWT"}"#,
        payload,
        Algorithm::HS256,
        &key,
    )
}

/// A payload that the issuer above accepts, with these members replaced.
pub(super) fn payload(extra: &Value) -> Value {
    let mut payload = json!({"user_id": 5, "exp": NOW + 300, "iat": NOW - 10});
    let members = extra.as_object().unwrap().clone();
    payload.as_object_mut().unwrap().extend(members);
    payload
}
