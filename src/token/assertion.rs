//! Assertion: a short-lived JWT of our own that carries the principal to the upstream.
//!
//! Its `typ` is one that no client's token may have, its issuer and key are the gateway's own, so
//! that it is never taken for a credential (RFC 8725, sections 3.11 and 3.12). When the key file
//! changes the new key signs, and the old one stays in the published set, since assertions of a
//! moment ago are still under way.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use serde::Serialize;
use serde_json::{Value, json};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::crypto::{self, Signature};
use super::der::one_pkcs8;
use super::keys::read_file;
use super::mint::MintError;
use super::public_key::family;
use crate::config::{Assertion, Fault};
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::UnixTime;

/// The media type of an assertion's header.
pub const ASSERTION_TYPE: &str = "countersign+jwt";
/// Time between two looks at the key file.
const FILE_POLL: Duration = Duration::from_secs(1);

/// Whom an assertion speaks of.
#[derive(Debug, Clone, Copy)]
pub struct AssertionClaims<'a> {
    /// The upstream's name: `aud`, unless the configuration names another.
    pub upstream: &'a str,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The user.
    pub user: &'a UserId,
    /// The account, if any.
    pub account: Option<&'a AccountId>,
    /// The live roles.
    pub roles: &'a [Arc<str>],
}

/// Signs assertions and publishes the keys that verify them.
pub struct Asserter {
    config: Assertion,
    keys: ArcSwap<Keys>,
}

struct Keys {
    pem: zeroize::Zeroizing<String>,
    signing: EncodingKey,
    header: Header,
    public: Value,
    previous: Option<Value>,
}

#[derive(Serialize)]
struct Payload<'a> {
    iss: &'a str,
    aud: &'a str,
    sub: &'a UserId,
    tenant: &'a TenantId,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a AccountId>,
    roles: &'a [Arc<str>],
    iat: u64,
    nbf: u64,
    exp: u64,
    jti: String,
}

impl Asserter {
    /// Reads the private key and proves that it signs.
    pub fn build(config: &Assertion) -> Result<Self, Vec<Fault>> {
        let keys = Keys::read(config.private_key.value.expose(), config.algorithm, None).map_err(
            |error| {
                vec![Fault::new(
                    &config.private_key.at,
                    error.to_string(),
                    remedy(config.algorithm),
                )]
            },
        )?;
        Ok(Self {
            config: config.clone(),
            keys: ArcSwap::from_pointee(keys),
        })
    }

    /// Watches the key file on the control runtime; `None` where the key does not come from one.
    pub fn start(self: &Arc<Self>, control: &Handle) -> Option<AbortHandle> {
        self.config.private_key.file.as_ref()?;
        let weak = Arc::downgrade(self);
        let watch = async move {
            loop {
                tokio::time::sleep(FILE_POLL).await;
                let Some(asserter) = weak.upgrade() else {
                    return;
                };
                let reload = tokio::task::spawn_blocking(move || asserter.reload());
                match reload.await {
                    Ok(Ok(true)) => tracing::info!("new assertion key"),
                    Ok(Ok(false)) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(%error, "the assertion key file cannot be used; the old key stays");
                    }
                    Err(_) => return,
                }
            }
        };
        Some(control.spawn(watch).abort_handle())
    }

    /// Reads the key file once more; whether it holds a new key. On an error the old key stays.
    pub fn reload(&self) -> Result<bool, MintError> {
        let Some(file) = &self.config.private_key.file else {
            return Ok(false);
        };
        let text = zeroize::Zeroizing::new(read_file(file)?);
        let text =
            std::str::from_utf8(&text).map_err(|_| MintError::Key("the file is not text"))?;
        let current = self.keys.load();
        if same_text(text, &current.pem) {
            return Ok(false);
        }
        let next = Keys::read(text, self.config.algorithm, Some(&current))?;
        self.keys.store(Arc::new(next));
        Ok(true)
    }

    /// A signed assertion.
    pub fn mint(&self, claims: &AssertionClaims<'_>, now: UnixTime) -> Result<String, MintError> {
        let keys = self.keys.load();
        let payload = Payload {
            iss: &self.config.issuer,
            aud: self.config.audience.as_deref().unwrap_or(claims.upstream),
            sub: claims.user,
            tenant: claims.tenant,
            account: claims.account,
            roles: claims.roles,
            iat: now.as_secs(),
            nbf: now.as_secs(),
            exp: now.saturating_add(self.config.ttl).as_secs(),
            jti: crypto::random_id().ok_or(MintError::Random)?,
        };
        Ok(crypto::sign(&keys.header, &payload, &keys.signing)?)
    }

    /// The public keys as a JWK set: the signing one, and the one before it.
    #[must_use]
    pub fn jwks(&self) -> Value {
        let keys = self.keys.load();
        let set: Vec<&Value> = std::iter::once(&keys.public)
            .chain(&keys.previous)
            .collect();
        json!({ "keys": set })
    }
}

impl std::fmt::Debug for Asserter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Asserter")
            .field("algorithm", &self.config.algorithm)
            .finish_non_exhaustive()
    }
}

impl Keys {
    fn read(pem: &str, algorithm: Algorithm, before: Option<&Self>) -> Result<Self, MintError> {
        crypto::self_test(family(algorithm))
            .map_err(|_| MintError::Key("the crypto library fails its self-test"))?;
        one_pkcs8(pem).map_err(MintError::Key)?;
        let bytes = pem.as_bytes();
        let signing = match family(algorithm) {
            AlgorithmFamily::Hmac => {
                return Err(MintError::Key("an assertion needs an asymmetric algorithm"));
            }
            AlgorithmFamily::Rsa => EncodingKey::from_rsa_pem(bytes),
            AlgorithmFamily::Ec => EncodingKey::from_ec_pem(bytes),
            AlgorithmFamily::Ed => EncodingKey::from_ed_pem(bytes),
        }
        .map_err(|_| MintError::Key("it does not fit the algorithm"))?;
        let (jwk, thumbprint) = crypto::public_half(&signing, algorithm)
            .map_err(|_| MintError::Key("it does not fit the algorithm"))?;
        let mut public = serde_json::to_value(jwk)
            .map_err(|_| MintError::Key("its public half cannot be written"))?;
        if let Some(members) = public.as_object_mut() {
            members.insert("kid".into(), json!(thumbprint));
            members.insert("use".into(), json!("sig"));
        }
        let mut header = Header::new(algorithm);
        header.typ = Some(ASSERTION_TYPE.to_owned());
        header.kid = Some(thumbprint);
        let keys = Self {
            pem: zeroize::Zeroizing::new(pem.to_owned()),
            signing,
            header,
            previous: before.map(|before| before.public.clone()),
            public,
        };
        keys.prove()?;
        Ok(keys)
    }

    /// Signs something and verifies it with the published key, by the rules for any other key.
    fn prove(&self) -> Result<(), MintError> {
        let failed = MintError::Key("what it signs does not verify under its public half");
        let token = crypto::sign(&self.header, &json!({}), &self.signing)?;
        let set = json!({ "keys": [self.public] }).to_string();
        let set = super::jwk::read_set("assertion", set.as_bytes()).map_err(|_| {
            MintError::Key("its public half is not a sound key (RSA needs at least 2048 bits)")
        })?;
        let (message, text) = token.rsplit_once('.').ok_or(MintError::Random)?;
        let bytes = &URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| MintError::Random)?;
        let signature = Signature { text, bytes };
        let proved = set.iter().any(|key| {
            key.verifying
                .verifies(self.header.alg, message.as_bytes(), signature)
        });
        if proved { Ok(()) } else { Err(failed) }
    }
}

/// A trailing newline is no difference: it is removed where the configuration is read.
fn same_text(one: &str, two: &str) -> bool {
    one.trim_end() == two.trim_end()
}

fn remedy(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::ES256 => {
            "a PKCS #8 PEM, as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256` makes"
        }
        Algorithm::ES384 => {
            "a PKCS #8 PEM, as `openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-384` makes"
        }
        Algorithm::EdDSA => "a PKCS #8 PEM, as `openssl genpkey -algorithm ED25519` makes",
        _ => {
            "a PKCS #8 PEM, as `openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:3072` makes"
        }
    }
}

#[cfg(test)]
mod tests;
