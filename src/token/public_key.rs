//! Public keys: the numbers of one, and whether they may be trusted with signatures.
//!
//! The same rules hold for PEM files and key sets (RFC 8725, section 3.5; RFC 7518): RSA from 2048
//! bits with a sound exponent, points on their curve, nothing else.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
    RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};

/// Fewest bits of an RSA modulus.
const MIN_RSA_BITS: usize = 2048;
/// Most bits of an RSA modulus: what aws-lc-rs verifies with.
const MAX_RSA_BITS: usize = 8192;

/// Why a public key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeyFault {
    /// Not a key at all.
    #[error("the public key cannot be read")]
    Unreadable,
    /// A private key where a public one belongs.
    #[error("this is a private key where a public key belongs")]
    Private,
    /// A kind of key that no supported algorithm uses.
    #[error("this kind of key is not supported")]
    Unsupported,
    /// RSA under 2048 bits.
    #[error("an RSA key needs at least 2048 bits")]
    RsaTooShort,
    /// RSA over 8192 bits.
    #[error("an RSA key has at most 8192 bits")]
    RsaTooLong,
    /// A modulus or exponent that no sound RSA key has.
    #[error("the RSA modulus or exponent is unsound")]
    RsaUnsound,
    /// Coordinates that are not a point of the curve.
    #[error("the point is not on its curve")]
    NotOnCurve,
}

/// The numbers of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// RSA: unsigned big-endian numbers.
    Rsa {
        /// The modulus.
        modulus: Vec<u8>,
        /// The public exponent.
        exponent: Vec<u8>,
    },
    /// An uncompressed point on P-256.
    P256(Vec<u8>),
    /// An uncompressed point on P-384.
    P384(Vec<u8>),
    /// An Ed25519 key.
    Ed25519(Vec<u8>),
}

impl PublicKey {
    /// The algorithms that a key of this kind can serve.
    pub(super) fn algorithms(&self) -> &'static [Algorithm] {
        match self {
            Self::Rsa { .. } => &[
                Algorithm::RS256,
                Algorithm::RS384,
                Algorithm::RS512,
                Algorithm::PS256,
                Algorithm::PS384,
                Algorithm::PS512,
            ],
            Self::P256(_) => &[Algorithm::ES256],
            Self::P384(_) => &[Algorithm::ES384],
            Self::Ed25519(_) => &[Algorithm::EdDSA],
        }
    }

    /// What the algorithms of this key are called in messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "RSA",
            Self::P256(_) => "P-256",
            Self::P384(_) => "P-384",
            Self::Ed25519(_) => "Ed25519",
        }
    }

    /// The key, if it is sound.
    pub(super) fn decoding_key(&self) -> Result<DecodingKey, KeyFault> {
        match self {
            Self::Rsa { modulus, exponent } => rsa(modulus, exponent),
            Self::P256(point) => ec(&ECDSA_P256_SHA256_FIXED, point, 65),
            Self::P384(point) => ec(&ECDSA_P384_SHA384_FIXED, point, 97),
            Self::Ed25519(key) => {
                if key.len() != 32 || ParsedPublicKey::new(&ED25519, key).is_err() {
                    return Err(KeyFault::NotOnCurve);
                }
                Ok(DecodingKey::from_ed_der(key))
            }
        }
    }
}

/// The family of an algorithm.
pub(super) fn family(algorithm: Algorithm) -> AlgorithmFamily {
    [
        AlgorithmFamily::Hmac,
        AlgorithmFamily::Rsa,
        AlgorithmFamily::Ec,
    ]
    .into_iter()
    .find(|family| family.algorithms().contains(&algorithm))
    .unwrap_or(AlgorithmFamily::Ed)
}

/// Whether an algorithm uses a shared secret.
pub(super) fn is_symmetric(algorithm: Algorithm) -> bool {
    family(algorithm) == AlgorithmFamily::Hmac
}

fn rsa(modulus: &[u8], exponent: &[u8]) -> Result<DecodingKey, KeyFault> {
    let (n, e) = (unsigned(modulus), unsigned(exponent));
    let bits = n
        .first()
        .map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if bits < MIN_RSA_BITS {
        return Err(KeyFault::RsaTooShort);
    }
    if bits > MAX_RSA_BITS {
        return Err(KeyFault::RsaTooLong);
    }
    let odd = |number: &[u8]| number.last().is_some_and(|last| last & 1 == 1);
    // FIPS 186-5, section 5.1 wants 65537 and more; 3 is in use and sound for verification. Nobody
    // uses one of more than 32 bits, and aws-lc refuses those of more than 33.
    if !odd(n) || !odd(e) || e.len() > 4 || e == [1] {
        return Err(KeyFault::RsaUnsound);
    }
    RsaPublicKeyComponents { n, e }
        .to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256)
        .map_err(|_| KeyFault::RsaUnsound)?;
    Ok(DecodingKey::from_rsa_raw_components(n, e))
}

fn ec(
    algorithm: &'static dyn VerificationAlgorithm,
    point: &[u8],
    length: usize,
) -> Result<DecodingKey, KeyFault> {
    let uncompressed = point.len() == length && point.first() == Some(&4);
    if !uncompressed || ParsedPublicKey::new(algorithm, point).is_err() {
        return Err(KeyFault::NotOnCurve);
    }
    Ok(DecodingKey::from_ec_der(point))
}

/// Without leading zeros, which DER and some key sets put before a number.
fn unsigned(number: &[u8]) -> &[u8] {
    let start = number
        .iter()
        .position(|byte| *byte != 0)
        .unwrap_or(number.len());
    number.get(start..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rsa_of(bytes: usize, exponent: &[u8]) -> Option<KeyFault> {
        let mut modulus = vec![0xC5; bytes];
        if let Some(last) = modulus.last_mut() {
            *last = 1;
        }
        let key = PublicKey::Rsa {
            modulus,
            exponent: exponent.to_vec(),
        };
        key.decoding_key().err()
    }

    #[test]
    fn a09_weak_rsa_keys_are_refused() {
        assert_eq!(rsa_of(256, &[1, 0, 1]), None);
        assert_eq!(rsa_of(0, &[1, 0, 1]), Some(KeyFault::RsaTooShort));
        assert_eq!(rsa_of(128, &[1, 0, 1]), Some(KeyFault::RsaTooShort));
        assert_eq!(rsa_of(255, &[1, 0, 1]), Some(KeyFault::RsaTooShort));
        assert_eq!(rsa_of(1025, &[1, 0, 1]), Some(KeyFault::RsaTooLong));
        for exponent in [&[][..], &[0], &[1], &[0, 1], &[2], &[1, 0, 0], &[0xFF; 9]] {
            assert_eq!(
                rsa_of(256, exponent),
                Some(KeyFault::RsaUnsound),
                "{exponent:?}"
            );
        }
    }

    #[test]
    fn a09_points_off_the_curve_are_refused() {
        let mut point = vec![4; 65];
        for key in [
            PublicKey::P256(point.clone()),
            PublicKey::P256(Vec::new()),
            PublicKey::P384(vec![4; 97]),
            PublicKey::Ed25519(vec![1; 31]),
        ] {
            assert_eq!(key.decoding_key().err(), Some(KeyFault::NotOnCurve));
        }
        let pair = rcgen::KeyPair::generate().unwrap();
        point.copy_from_slice(pair.public_key_raw());
        assert!(PublicKey::P256(point.clone()).decoding_key().is_ok());
        assert!(PublicKey::P384(point.clone()).decoding_key().is_err());
        point[64] ^= 1;
        assert!(PublicKey::P256(point).decoding_key().is_err());
    }
}
