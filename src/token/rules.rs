//! Rules: what the payload of a token must say, judged only after its signature has verified.
//!
//! The same rule decides here, for a cached token and in `explain`: expired is `now >= exp +
//! leeway`. Nothing is coerced: a claim of the wrong type is malformed, an absent one is missing.

use std::sync::Arc;
use std::time::Duration;

use super::claims;
use super::error::TokenError;
use super::json::{Json, Object};
use crate::config::{Audiences, ClaimPath, Issuer};
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::UnixTime;

/// Latest time that a token may name: 9999-12-31T23:59:59Z. Past it, sums and formats overflow.
const LATEST: UnixTime = UnixTime::from_secs(253_402_300_799);

/// What a verified payload says.
pub(super) struct Judged {
    pub(super) user: UserId,
    pub(super) account: Option<AccountId>,
    pub(super) tenant: Option<TenantId>,
    pub(super) expires: UnixTime,
    pub(super) expires_with_leeway: UnixTime,
    pub(super) issued_at: Option<UnixTime>,
    pub(super) jti: Option<String>,
}

/// Judges a payload by its issuer's rules.
pub(super) fn judge(
    issuer: &Issuer,
    payload: &Object<'_>,
    now: UnixTime,
) -> Result<Judged, TokenError> {
    let (expires, issued_at) = lifetime(issuer, payload, now)?;
    audience(&issuer.audiences, payload.get("aud"))?;
    for (path, value) in &issuer.require {
        if claims::find(payload, path).is_none_or(|found| *found != *value) {
            return Err(missing(path));
        }
    }
    let user = present(payload, &issuer.claims.user).ok_or_else(|| missing(&issuer.claims.user))?;
    let user = UserId::from_json(user)
        .map_err(|_| TokenError::Malformed("the user claim is not a canonical id"))?;
    let account = optional(payload, issuer.claims.account.as_ref())
        .map(AccountId::from_json)
        .transpose()
        .map_err(|_| TokenError::Malformed("the account claim is not a canonical id"))?;
    let tenant = optional(payload, issuer.claims.tenant.as_ref())
        .map(TenantId::from_json)
        .transpose()
        .map_err(|_| TokenError::Malformed("the tenant claim is not a canonical id"))?;
    let jti = match payload.get("jti") {
        None => None,
        Some(Json::Text(jti)) => Some(jti.to_string()),
        Some(_) => return Err(TokenError::Malformed("jti is not a text")),
    };
    Ok(Judged {
        user,
        account,
        tenant,
        expires,
        expires_with_leeway: expires.saturating_add(issuer.leeway),
        issued_at,
        jti,
    })
}

/// `exp`, `nbf`, `iat` (RFC 7519, sections 4.1.4 to 4.1.6) and the largest lifetime.
fn lifetime(
    issuer: &Issuer,
    payload: &Object<'_>,
    now: UnixTime,
) -> Result<(UnixTime, Option<UnixTime>), TokenError> {
    let expires = match payload.get("exp") {
        None | Some(Json::Null) => return Err(missing(&ClaimPath(Arc::from("exp")))),
        Some(Json::Number(exp)) if exp.as_f64().is_some_and(|secs| secs < 0.0) => {
            return Err(TokenError::Expired);
        }
        Some(exp) => numeric_date(exp)?,
    };
    if now >= expires.saturating_add(issuer.leeway) {
        return Err(TokenError::Expired);
    }
    let tolerated = now.saturating_add(issuer.leeway);
    for name in ["nbf", "iat"] {
        if let Some(time) = payload.get(name)
            && numeric_date(time)? > tolerated
        {
            return Err(TokenError::NotYetValid);
        }
    }
    let path = &issuer.claims.issued_at;
    let issued_at = present(payload, path).map(numeric_date).transpose()?;
    if issued_at.is_some_and(|issued_at| issued_at > tolerated) {
        return Err(TokenError::NotYetValid);
    }
    if let Some(longest) = issuer.max_lifetime {
        let issued_at = issued_at.ok_or_else(|| missing(path))?;
        if expires.since(issued_at) > longest {
            return Err(TokenError::Expired);
        }
    }
    Ok((expires, issued_at))
}

/// A `NumericDate`: an integer, or a number with a fraction, between 1970 and 9999.
fn numeric_date(value: &Json<'_>) -> Result<UnixTime, TokenError> {
    const MALFORMED: TokenError = TokenError::Malformed("a time claim is not a time");
    let time = match value {
        Json::Number(number) => match (number.as_u64(), number.as_f64()) {
            (Some(secs), _) => UnixTime::from_secs(secs),
            (None, Some(secs)) => UnixTime::from_secs_f64(secs).ok_or(MALFORMED)?,
            (None, None) => return Err(MALFORMED),
        },
        _ => return Err(MALFORMED),
    };
    if time.since(LATEST) > Duration::ZERO {
        return Err(MALFORMED);
    }
    Ok(time)
}

/// RFC 7519, section 4.1.3: a text or an array of texts.
fn audience(accepted: &Audiences, aud: Option<&Json<'_>>) -> Result<(), TokenError> {
    let fits = match aud {
        None => accepts(accepted, None),
        Some(Json::Text(one)) => accepts(accepted, Some(&[one])),
        Some(Json::Array(several)) => {
            let several: Option<Vec<&str>> = several.iter().map(Json::as_str).collect();
            several.is_some_and(|several| accepts(accepted, Some(&several)))
        }
        Some(_) => false,
    };
    if fits {
        Ok(())
    } else {
        Err(TokenError::AudienceMismatch)
    }
}

/// Whether a token that names these audiences, or has none, may be taken.
pub(super) fn accepts(accepted: &Audiences, named: Option<&[&str]>) -> bool {
    match accepted {
        Audiences::Any => true,
        Audiences::Listed(accepted) if accepted.is_empty() => named.is_none(),
        Audiences::Listed(accepted) => named
            .unwrap_or_default()
            .iter()
            .any(|name| accepted.iter().any(|accepted| accepted == name)),
    }
}

/// The claim at `path`, where it is there and not null.
fn present<'a, 'p>(payload: &'a Object<'p>, path: &ClaimPath) -> Option<&'a Json<'p>> {
    claims::find(payload, path).filter(|value| **value != Json::Null)
}

fn optional<'a, 'p>(payload: &'a Object<'p>, path: Option<&ClaimPath>) -> Option<&'a Json<'p>> {
    present(payload, path?)
}

fn missing(path: &ClaimPath) -> TokenError {
    TokenError::ClaimMissing(Arc::clone(&path.0))
}
