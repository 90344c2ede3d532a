//! Mint: what every token that the gateway makes has in common, and the one that the command line
//! makes for trying things out.
//!
//! Everything is signed through [`super::crypto`]. A minted token is valid by the rules of its own
//! issuer: what those rules ask for is put in here, not hoped for.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Map, Number, Value, json};

use super::public_key::is_symmetric;
use super::{claims, crypto};
use crate::config::{Audiences, ClaimPath, Fault, Issuer, KeySource};
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::{Redacted, UnixTime};

/// Why a token cannot be minted.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// The issuer has no key to sign with: only a `secret` both verifies and signs.
    #[error(
        "issuer {0} has no secret; its tokens can only be made by whoever holds its private key"
    )]
    NoKey(String),
    /// An id must be an integer and is not.
    #[error("the {0} id is not an integer, as the reissued token needs it")]
    NotAnInteger(&'static str),
    /// A claim's path leads through something that is not an object.
    #[error("the claim {0} cannot be set: something that is not an object stands in its path")]
    Path(String),
    /// The token that it is made from is at its end.
    #[error("the token ends now")]
    Expired,
    /// The session that it is made from is at its end.
    #[error("the session ends now")]
    SessionExpired,
    /// The issuer's own rules admit no token of any life.
    #[error(
        "max_lifetime of the issuer is not longer than its leeway, by which a token is dated back"
    )]
    TooShort,
    /// The source of the token cannot be read once more.
    #[error("what the token claims cannot be read")]
    Claims,
    /// The system has no random numbers.
    #[error("no random numbers can be had")]
    Random,
    /// The library refuses.
    #[error("the token cannot be signed")]
    Sign(#[from] jsonwebtoken::errors::Error),
    /// The key file cannot be read.
    #[error("the private key cannot be read")]
    Read(#[from] std::io::Error),
    /// The key does not fit.
    #[error("the private key is not usable: {0}")]
    Key(&'static str),
}

/// What `countersign token` is asked for.
#[derive(Debug)]
pub struct MintRequest {
    /// The subject.
    pub user: UserId,
    /// The account, for issuers that name one.
    pub account: Option<AccountId>,
    /// The tenant, for issuers that name one.
    pub tenant: Option<TenantId>,
    /// Its life.
    pub ttl: Duration,
    /// Whether ids that are integers are written as such.
    pub integer_ids: bool,
    /// Further claims, by path; they win.
    pub claims: Vec<(ClaimPath, Value)>,
}

/// Mints a token with an issuer's own secret.
pub fn mint_for(
    issuer: &Issuer,
    request: &MintRequest,
    now: UnixTime,
) -> Result<Redacted, MintError> {
    let signer = Signer::of(issuer).ok_or_else(|| MintError::NoKey(issuer.name.to_string()))?;
    let id = |text: &str| {
        request
            .integer_ids
            .then(|| integer(text))
            .flatten()
            .unwrap_or_else(|| Value::from(text))
    };
    let mut payload = Map::new();
    insert_times(&mut payload, now, now.saturating_add(request.ttl))?;
    satisfy(issuer, &mut payload)?;
    set(&mut payload, &issuer.claims.user, id(request.user.as_str()))?;
    if let (Some(path), Some(account)) = (&issuer.claims.account, &request.account) {
        set(&mut payload, path, id(account.as_str()))?;
    }
    if let (Some(path), Some(tenant)) = (&issuer.claims.tenant, &request.tenant) {
        set(&mut payload, path, Value::from(tenant.as_str()))?;
    }
    if claims::find(&payload, &issuer.claims.issued_at).is_none() {
        set(&mut payload, &issuer.claims.issued_at, now.as_secs().into())?;
    }
    for (path, value) in &request.claims {
        set(&mut payload, path, value.clone())?;
    }
    signer.sign(&payload)
}

/// Signs in an issuer's own format, with its secret.
pub(super) struct Signer {
    key: EncodingKey,
    header: Header,
}

impl Signer {
    /// A signer for an issuer that has a secret.
    pub(super) fn of(issuer: &Issuer) -> Option<Self> {
        let KeySource::Secret(secret) = &issuer.keys else {
            return None;
        };
        let algorithm: Algorithm = issuer
            .algorithms
            .iter()
            .copied()
            .find(|algorithm| is_symmetric(*algorithm))?;
        Some(Self {
            key: EncodingKey::from_secret(secret.value.expose().as_bytes()),
            header: Header::new(algorithm),
        })
    }

    pub(super) fn sign(&self, payload: &Map<String, Value>) -> Result<Redacted, MintError> {
        Ok(Redacted::new(crypto::sign(
            &self.header,
            payload,
            &self.key,
        )?))
    }
}

/// The fault of an issuer that cannot sign, where signing is asked of it.
pub(super) fn cannot_sign(at: &crate::config::KeyPath, issuer: &Issuer) -> Fault {
    Fault::new(
        at,
        format!("issuer {} has no secret to sign with", issuer.name),
        "an issuer with a `secret`: only a shared secret both verifies and signs",
    )
}

/// `iat`, `exp` and a fresh `jti`.
pub(super) fn insert_times(
    payload: &mut Map<String, Value>,
    issued_at: UnixTime,
    expires: UnixTime,
) -> Result<(), MintError> {
    payload.insert("iat".into(), issued_at.as_secs().into());
    payload.insert("exp".into(), expires.as_secs().into());
    payload.insert(
        "jti".into(),
        crypto::random_id().ok_or(MintError::Random)?.into(),
    );
    Ok(())
}

/// Puts in what the issuer's own rules ask of every token: `iss`, an audience, required claims.
pub(super) fn satisfy(issuer: &Issuer, payload: &mut Map<String, Value>) -> Result<(), MintError> {
    match &issuer.issuer {
        Some(iss) => payload.insert("iss".into(), json!(iss)),
        None => payload.remove("iss"),
    };
    match &issuer.audiences {
        Audiences::Any => {}
        Audiences::Listed(accepted) => match accepted.first() {
            None => {
                payload.remove("aud");
            }
            Some(first) => {
                let named: Option<Vec<&str>> = match payload.get("aud") {
                    Some(Value::String(one)) => Some(vec![one]),
                    Some(Value::Array(several)) => several.iter().map(Value::as_str).collect(),
                    _ => None,
                };
                if !super::rules::accepts(&issuer.audiences, named.as_deref()) {
                    payload.insert("aud".into(), json!(first));
                }
            }
        },
    }
    for (path, value) in &issuer.require {
        set(payload, path, value.clone())?;
    }
    Ok(())
}

/// Sets a claim.
pub(super) fn set(
    payload: &mut Map<String, Value>,
    path: &ClaimPath,
    value: Value,
) -> Result<(), MintError> {
    if claims::put(payload, path, value) {
        Ok(())
    } else {
        Err(MintError::Path(path.0.to_string()))
    }
}

/// The JSON integer that is this id, if one is: `5` is, `05` and `five` are not.
pub(super) fn integer(id: &str) -> Option<Value> {
    let number: Number = id
        .parse::<i64>()
        .map(Number::from)
        .or_else(|_| id.parse::<u64>().map(Number::from))
        .ok()?;
    (number.to_string() == id).then_some(Value::Number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_canonical_integers_are_integers() {
        for (id, number) in [
            ("5", json!(5)),
            ("-5", json!(-5)),
            ("0", json!(0)),
            ("18446744073709551615", json!(u64::MAX)),
        ] {
            assert_eq!(integer(id), Some(number));
        }
        for id in [
            "05",
            "+5",
            "5.0",
            "-0",
            "five",
            "",
            "18446744073709551616",
            "1e3",
        ] {
            assert_eq!(integer(id), None, "{id}");
        }
    }
}
