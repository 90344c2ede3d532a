//! Crypto: the one file that signs and checks signatures, through jsonwebtoken on aws-lc-rs.
//!
//! Only its `crypto::verify` and `encode` are used: never `decode`, never `Validation`, which read
//! the token a second time and skip what [`super::jose`] and [`super::rules`] insist on. Before an
//! algorithm is used for the first time it must prove itself ([`self_test`]).

use std::sync::{Once, OnceLock};

use aws_lc_rs::rand;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, OctetKeyPairParameters,
    OctetKeyPairType, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey, Header};
use serde::Serialize;

use super::vectors;

/// An algorithm does not do what it should: the crypto library is broken or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the self-test of {0:?} failed")]
pub(super) struct SelfTestError(Algorithm);

/// Whether `signature` (base64url) is that of `message` under `key` with `algorithm`.
pub(super) fn verify(
    key: &DecodingKey,
    algorithm: Algorithm,
    message: &[u8],
    signature: &str,
) -> bool {
    provider();
    jsonwebtoken::crypto::verify(signature, message, key, algorithm).unwrap_or(false)
}

/// A signed token.
pub(super) fn sign(
    header: &Header,
    claims: &impl Serialize,
    key: &EncodingKey,
) -> Result<String, Error> {
    provider();
    jsonwebtoken::encode(header, claims, key)
}

/// The public half of a private key, and its RFC 7638 thumbprint.
pub(super) fn public_half(key: &EncodingKey, algorithm: Algorithm) -> Result<(Jwk, String), Error> {
    provider();
    let jwk = if algorithm == Algorithm::EdDSA {
        ed25519_public_half(key)?
    } else {
        Jwk::from_encoding_key(key, algorithm)?
    };
    let thumbprint = jwk.thumbprint(ThumbprintHash::SHA256)?;
    Ok((jwk, thumbprint))
}

/// jsonwebtoken knows Ed25519 keys by their length, and so only PKCS #8 without the public key.
fn ed25519_public_half(key: &EncodingKey) -> Result<Jwk, Error> {
    let pair =
        Ed25519KeyPair::from_pkcs8(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Jwk {
        common: CommonParameters {
            key_algorithm: Some(Algorithm::EdDSA.into()),
            ..CommonParameters::default()
        },
        algorithm: AlgorithmParameters::OctetKeyPair(OctetKeyPairParameters {
            key_type: OctetKeyPairType::OctetKeyPair,
            curve: EllipticCurve::Ed25519,
            x: URL_SAFE_NO_PAD.encode(pair.public_key()),
        }),
    })
}

/// A random id of 128 bits, for `jti`.
pub(super) fn random_id() -> Option<String> {
    let mut bytes = [0; 16];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// Proves, once per process, that every algorithm of this family verifies what it should and
/// nothing else.
pub(super) fn self_test(family: AlgorithmFamily) -> Result<(), SelfTestError> {
    static HMAC: OnceLock<Result<(), SelfTestError>> = OnceLock::new();
    static RSA: OnceLock<Result<(), SelfTestError>> = OnceLock::new();
    static EC: OnceLock<Result<(), SelfTestError>> = OnceLock::new();
    static ED: OnceLock<Result<(), SelfTestError>> = OnceLock::new();
    let cell = match family {
        AlgorithmFamily::Hmac => &HMAC,
        AlgorithmFamily::Rsa => &RSA,
        AlgorithmFamily::Ec => &EC,
        AlgorithmFamily::Ed => &ED,
    };
    *cell.get_or_init(|| vectors::of(family).iter().try_for_each(prove))
}

fn prove(vector: &vectors::Vector) -> Result<(), SelfTestError> {
    let failed = SelfTestError(vector.algorithm);
    let key = vector.decoding_key().ok_or(failed)?;
    let good = verify(&key, vector.algorithm, vectors::MESSAGE, vector.signature);
    let bad = verify(&key, vector.algorithm, b"something else", vector.signature);
    if good && !bad { Ok(()) } else { Err(failed) }
}

/// Names the backend once, so that no dependency's feature can change it, or leave it open and
/// panic at the first token.
fn provider() {
    static NAMED: Once = Once::new();
    NAMED.call_once(|| {
        // It can only fail because one is named already.
        let _ = CryptoProvider::install_default(&jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a42_every_algorithm_proves_itself() {
        for family in [
            AlgorithmFamily::Hmac,
            AlgorithmFamily::Rsa,
            AlgorithmFamily::Ec,
            AlgorithmFamily::Ed,
        ] {
            assert_eq!(self_test(family), Ok(()));
            let proved: Vec<Algorithm> = vectors::of(family)
                .iter()
                .map(|vector| vector.algorithm)
                .collect();
            for algorithm in family.algorithms() {
                assert!(proved.contains(algorithm), "{algorithm:?}");
            }
        }
    }

    #[test]
    fn ids_are_random() {
        let (one, two) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 22);
        assert_ne!(one, two);
    }
}
