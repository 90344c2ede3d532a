//! Keys: what one issuer's signatures are checked with.
//!
//! A key belongs to its issuer alone and says itself which algorithms it serves; a token can only
//! pick among the keys of the issuer that it names. A key id is a plain word to compare with, never
//! a path or a query.

use std::path::Path;
use std::sync::Arc;

use aws_lc_rs::digest::{self, Digest, SHA256};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};

use super::crypto::VerifyingKey;
use super::der::public_key_from_pem;
use super::error::TokenError;
use super::jwk::{self, JwksError};
use super::public_key::is_symmetric;
use crate::config::{Fault, Issuer, KeySource, Secret};

/// Largest key file in bytes.
pub(super) const MAX_KEY_FILE_BYTES: u64 = 1024 * 1024;

/// One key.
pub(super) struct Key {
    /// Its id, where it has one.
    pub(super) kid: Option<String>,
    /// The algorithms that it serves.
    pub(super) algorithms: Vec<Algorithm>,
    /// The key itself.
    pub(super) verifying: VerifyingKey,
    /// By which it is known again in a later set.
    pub(super) mark: Mark,
}

/// A digest of a key's own numbers, whatever it is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark([u8; 32]);

impl Mark {
    /// The mark of a key.
    pub(super) fn of(key: &DecodingKey) -> Self {
        let mut context = digest::Context::new(&SHA256);
        match key.kind() {
            DecodingKeyKind::SecretOrDer(bytes) => context.update(bytes),
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                context.update(&n.len().to_be_bytes());
                context.update(n);
                context.update(e);
            }
        }
        Self(context.finish().as_ref().try_into().unwrap_or_default())
    }
}

/// All keys of an issuer at one time; never empty.
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Of the text that they came from: equal digests are equal sets.
    digest: Digest,
    /// Whether any key has an id.
    named: bool,
}

/// Why no key of a set verifies a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// No key has the token's key id.
    Unknown,
    /// The key does not serve the token's algorithm.
    Algorithm,
    /// No key that fits verifies.
    Signature,
}

impl KeySet {
    pub(super) fn new(keys: Vec<Key>, source: &[u8]) -> Self {
        let named = keys.iter().any(|key| key.kid.is_some());
        let digest = digest::digest(&SHA256, source);
        Self {
            keys,
            digest,
            named,
        }
    }

    /// Reads a JWKS document.
    pub(super) fn from_jwks(issuer: &str, text: &[u8]) -> Result<Self, JwksError> {
        Ok(Self::new(jwk::read_set(issuer, text)?, text))
    }

    /// Whether this set has the key of this mark, for this algorithm.
    pub(super) fn has(&self, mark: &Mark, algorithm: Algorithm) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|key| key.mark == *mark && key.algorithms.contains(&algorithm))
    }

    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether this set came from just this text.
    pub(super) fn is_of(&self, text: &[u8]) -> bool {
        digest::digest(&SHA256, text).as_ref() == self.digest.as_ref()
    }

    /// Tries the keys that a token may mean: those with its key id (several may share one), or, of
    /// a set without key ids or for a token without one, all that serve its algorithm. Gives the mark of
    /// the one that verifies.
    pub(super) fn check(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        verifies: impl Fn(&VerifyingKey) -> bool,
    ) -> Result<Mark, Mismatch> {
        let mut mismatch = Mismatch::Unknown;
        for key in &self.keys {
            let meant = match kid {
                Some(kid) if self.named => key.kid.as_deref() == Some(kid),
                _ => true,
            };
            if !meant {
                continue;
            }
            if !key.algorithms.contains(&algorithm) {
                if mismatch == Mismatch::Unknown {
                    mismatch = Mismatch::Algorithm;
                }
                continue;
            }
            if verifies(&key.verifying) {
                return Ok(key.mark);
            }
            mismatch = Mismatch::Signature;
        }
        Err(mismatch)
    }
}

impl Mismatch {
    /// The error for a token of this issuer.
    pub(super) fn error(self, issuer: &Arc<str>) -> TokenError {
        match self {
            Self::Unknown => TokenError::KeyUnknown(Arc::clone(issuer)),
            Self::Algorithm => TokenError::AlgorithmNotAllowed,
            Self::Signature => TokenError::SignatureInvalid,
        }
    }
}

/// The keys that the configuration fixes: a secret or a public key file; `None` for key sets.
pub(super) fn fixed(issuer: &Issuer) -> Result<Option<KeySet>, Vec<Fault>> {
    match &issuer.keys {
        KeySource::Secret(secret) => shared_secret(issuer, secret).map(Some),
        KeySource::PublicKeyFile(path) => public_key_file(issuer, path).map(Some),
        KeySource::JwksUrl(_) | KeySource::DiscoveryUrl(_) | KeySource::JwksFile(_) => {
            let faults = unfit(issuer, "a key set", |algorithm| !is_symmetric(algorithm));
            if faults.is_empty() {
                Ok(None)
            } else {
                Err(faults)
            }
        }
    }
}

/// The bytes of a key file, which must not be large.
pub(super) fn read_file(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut text = Vec::new();
    let file = std::fs::File::open(path)?;
    file.take(MAX_KEY_FILE_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_KEY_FILE_BYTES {
        return Err(std::io::Error::other("the file has more than 1 MiB"));
    }
    Ok(text)
}

fn shared_secret(issuer: &Issuer, secret: &Secret) -> Result<KeySet, Vec<Fault>> {
    let mut faults = unfit(issuer, "a secret", is_symmetric);
    let bytes = secret.value.expose().as_bytes();
    let needed = issuer
        .algorithms
        .iter()
        .map(|algorithm| match algorithm {
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => 32,
        })
        .max()
        .unwrap_or(32);
    if bytes.len() < needed {
        faults.push(Fault::new(
            &secret.at,
            format!(
                "the secret has {} bytes, and {needed} are the least for these algorithms (RFC 7518, section 3.2)",
                bytes.len()
            ),
            format!("a random secret of at least {needed} bytes, as `openssl rand -base64 {needed}` makes"),
        ));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let decoding = DecodingKey::from_secret(bytes);
    let key = Key {
        kid: None,
        algorithms: issuer.algorithms.clone(),
        mark: Mark::of(&decoding),
        verifying: VerifyingKey::new(decoding, &issuer.algorithms),
    };
    Ok(KeySet::new(vec![key], bytes))
}

fn public_key_file(issuer: &Issuer, path: &Path) -> Result<KeySet, Vec<Fault>> {
    let at = issuer.at.key("public_key_file");
    let fault = |problem: String, remedy: &str| vec![Fault::new(&at, problem, remedy)];
    let text = read_file(path).map_err(|error| {
        fault(
            format!("cannot read {}: {error}", path.display()),
            "a readable PEM file with a public key or a certificate",
        )
    })?;
    let public = public_key_from_pem(&String::from_utf8_lossy(&text)).map_err(|error| {
        fault(
            error.to_string(),
            "a PEM file with an RSA, P-256, P-384 or Ed25519 public key, or a certificate of one",
        )
    })?;
    let decoding = public.decoding_key().map_err(|error| {
        fault(
            error.to_string(),
            "a key of RSA from 2048 bits, P-256, P-384 or Ed25519",
        )
    })?;
    let faults = unfit(
        issuer,
        &format!("this {} key", public.kind()),
        |algorithm| public.algorithms().contains(&algorithm),
    );
    if !faults.is_empty() {
        return Err(faults);
    }
    let key = Key {
        kid: None,
        algorithms: issuer.algorithms.clone(),
        mark: Mark::of(&decoding),
        verifying: VerifyingKey::new(decoding, &issuer.algorithms),
    };
    Ok(KeySet::new(vec![key], &text))
}

/// One fault for each configured algorithm that the keys cannot serve.
fn unfit(issuer: &Issuer, keys: &str, fits: impl Fn(Algorithm) -> bool) -> Vec<Fault> {
    let at = issuer.at.key("algorithms");
    let faulty = |(index, algorithm): (usize, &Algorithm)| {
        (!fits(*algorithm)).then(|| {
            Fault::new(
                &at.index(index),
                format!("{algorithm:?} does not fit {keys}"),
                "HS256, HS384 or HS512 for a secret, the key's own algorithms for a public key",
            )
        })
    };
    issuer
        .algorithms
        .iter()
        .enumerate()
        .filter_map(faulty)
        .collect()
}
