//! Crypto: the one file that signs and checks signatures, through jsonwebtoken on aws-lc-rs.
//!
//! One exception: an RSA key and a secret are prepared once instead of for every signature, which is a
//! third of the work, and asked of aws-lc-rs itself. A test holds both ways to the same answers. Of
//! jsonwebtoken only its `crypto::verify` and `encode` are used: never `decode`, never `Validation`, which
//! read the token a second time and skip what [`super::jose`] and [`super::rules`] insist on. Before an
//! algorithm is used for the first time it must prove itself ([`self_test`]).

use std::sync::{Once, OnceLock};

use aws_lc_rs::signature::{
    Ed25519KeyPair, KeyPair, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::crypto::CryptoProvider;
use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::jwk::{
    AlgorithmParameters, CommonParameters, EllipticCurve, Jwk, OctetKeyPairParameters,
    OctetKeyPairType, ThumbprintHash,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey, Header};
use serde::Serialize;

use super::vectors;

/// An algorithm does not do what it should: the crypto library is broken or replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the self-test of {0:?} failed")]
pub(super) struct SelfTestError(Algorithm);

/// A key that signatures are checked with.
pub(super) struct VerifyingKey {
    decoding: DecodingKey,
    /// What is prepared for an algorithm; none for those that need no preparation.
    prepared: Vec<(Algorithm, Prepared)>,
}

/// A key as aws-lc-rs asks signatures with it.
enum Prepared {
    Rsa(ParsedPublicKey),
    Secret(Box<hmac::Key>),
}

/// A signature, as it came and as it is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signature<'a> {
    /// In base64url.
    pub(super) text: &'a str,
    /// The same, decoded.
    pub(super) bytes: &'a [u8],
}

impl VerifyingKey {
    /// A key that will check signatures of these algorithms.
    pub(super) fn new(decoding: DecodingKey, algorithms: &[Algorithm]) -> Self {
        let prepared = algorithms
            .iter()
            .filter_map(|algorithm| Some((*algorithm, prepare(&decoding, *algorithm)?)))
            .collect();
        Self { decoding, prepared }
    }

    /// Whether `signature` is that of `message` with `algorithm`.
    pub(super) fn verifies(
        &self,
        algorithm: Algorithm,
        message: &[u8],
        signature: Signature<'_>,
    ) -> bool {
        match self.prepared.iter().find(|(of, _)| *of == algorithm) {
            Some((_, Prepared::Rsa(key))) => key.verify_sig(message, signature.bytes).is_ok(),
            Some((_, Prepared::Secret(key))) => hmac::verify(key, message, signature.bytes).is_ok(),
            None => verify(&self.decoding, algorithm, message, signature.text),
        }
    }
}

fn prepare(key: &DecodingKey, algorithm: Algorithm) -> Option<Prepared> {
    let secret = |algorithm| match (key.family(), key.kind()) {
        (AlgorithmFamily::Hmac, DecodingKeyKind::SecretOrDer(secret)) => Some(Prepared::Secret(
            Box::new(hmac::Key::new(algorithm, secret)),
        )),
        _ => None,
    };
    let parameters: &'static RsaParameters = match algorithm {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::RS384 => &RSA_PKCS1_2048_8192_SHA384,
        Algorithm::RS512 => &RSA_PKCS1_2048_8192_SHA512,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        Algorithm::HS256 => return secret(hmac::HMAC_SHA256),
        Algorithm::HS384 => return secret(hmac::HMAC_SHA384),
        Algorithm::HS512 => return secret(hmac::HMAC_SHA512),
        _ => return None,
    };
    let DecodingKeyKind::RsaModulusExponent { n, e } = key.kind() else {
        return None;
    };
    let components = RsaPublicKeyComponents { n, e };
    let parsed = components.to_parsed_public_key(parameters).ok()?;
    Some(Prepared::Rsa(parsed))
}

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
    let bytes = URL_SAFE_NO_PAD.decode(vector.signature);
    let signature = Signature {
        text: vector.signature,
        bytes: &bytes.map_err(|_| failed)?,
    };
    let prepared = VerifyingKey::new(key.clone(), &[vector.algorithm]);
    let both = |message: &[u8]| {
        [
            verify(&key, vector.algorithm, message, signature.text),
            prepared.verifies(vector.algorithm, message, signature),
        ]
    };
    if both(vectors::MESSAGE) == [true; 2] && both(b"something else") == [false; 2] {
        Ok(())
    } else {
        Err(failed)
    }
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

    /// Every signature of every algorithm, whole and damaged, under every RSA key and every secret, and
    /// each algorithm of both.
    #[test]
    fn a_prepared_key_answers_as_jsonwebtoken_does() {
        let families = [
            AlgorithmFamily::Hmac,
            AlgorithmFamily::Rsa,
            AlgorithmFamily::Ec,
        ];
        let all = || families.iter().flat_map(|family| vectors::of(*family));
        let mut signatures = vec![Vec::new(), vec![0; 256], vec![0xFF; 256]];
        for vector in all() {
            let good = URL_SAFE_NO_PAD.decode(vector.signature).unwrap();
            for at in [0, good.len() / 2, good.len() - 1] {
                for bit in [1, 0x80] {
                    let mut damaged = good.clone();
                    damaged[at] ^= bit;
                    signatures.push(damaged);
                }
            }
            signatures.push(good[1..].to_vec());
            signatures.push([&good[..], &[0]].concat());
            signatures.push([&[0], &good[..]].concat());
            signatures.push(good);
        }
        let families = [AlgorithmFamily::Rsa, AlgorithmFamily::Hmac];
        let algorithms: Vec<Algorithm> = families
            .iter()
            .flat_map(AlgorithmFamily::algorithms)
            .copied()
            .collect();
        let keys = || families.iter().flat_map(|family| vectors::of(*family));
        let mut good = 0;
        for vector in keys() {
            let decoding = vector.decoding_key().unwrap();
            let key = VerifyingKey::new(decoding.clone(), &algorithms);
            // None for what would take a public key for a secret, or the other way round.
            let family = decoding.family();
            let own = family.algorithms();
            let prepared: Vec<_> = key
                .prepared
                .iter()
                .map(|(algorithm, _)| algorithm)
                .collect();
            assert_eq!(prepared, own.iter().collect::<Vec<_>>());
            for algorithm in &algorithms {
                for bytes in &signatures {
                    for message in [vectors::MESSAGE, b"", b"something else"] {
                        let text = &URL_SAFE_NO_PAD.encode(bytes);
                        let signature = Signature { text, bytes };
                        let known = verify(&decoding, *algorithm, message, text);
                        assert_eq!(key.verifies(*algorithm, message, signature), known);
                        good += usize::from(known);
                    }
                }
            }
        }
        assert!(good >= keys().count());
    }

    #[test]
    fn ids_are_random() {
        let (one, two) = (random_id().unwrap(), random_id().unwrap());
        assert_eq!(one.len(), 22);
        assert_ne!(one, two);
    }
}
