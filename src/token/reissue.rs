//! Reissue: a fresh token in the app's own format, for the live account.
//!
//! An app that trusts its own tokens needs no change: it receives one that says what is true now.
//! Its claims come from the verified token of the same issuer, or else from the configuration; the
//! identity is always the gateway's, and it never lives longer than what it stands for.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};

use super::claims;
use super::mint::{self, MintError, Signer, integer, set};
use super::verify::VerifiedToken;
use crate::config::{Fault, Issuer, Reissue};
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::{Redacted, UnixTime};

/// Whom a reissued token speaks of, and what it stands for.
#[derive(Debug, Clone, Copy)]
pub struct ReissueSource<'a> {
    /// The token that proved the identity; `None` for a session.
    pub token: Option<&'a VerifiedToken>,
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The user.
    pub user: &'a UserId,
    /// The account, if any.
    pub account: Option<&'a AccountId>,
    /// When the session ends.
    pub session_end: Option<UnixTime>,
    /// Whether a client gets it in exchange: then it ends with the token at the latest. What is made
    /// for the upstream alone may use the leeway up, which nobody can add to itself again.
    pub exchanged: bool,
}

/// Mints tokens in an issuer's own format.
pub struct Reissuer {
    index: usize,
    issuer: Arc<Issuer>,
    signer: Signer,
    ttl: Duration,
    claims: Map<String, Value>,
    integer_ids: bool,
}

impl Reissuer {
    /// Takes the issuer's key; only a secret both verifies and signs.
    pub fn build(config: &Reissue, issuers: &[Issuer]) -> Result<Self, Vec<Fault>> {
        let at = config.at.key("issuer");
        let issuer = issuers.get(config.issuer).ok_or_else(|| {
            vec![Fault::new(
                &at,
                "no such issuer",
                "the name of one under `issuers`",
            )]
        })?;
        let signer = Signer::of(issuer).ok_or_else(|| vec![mint::cannot_sign(&at, issuer)])?;
        Ok(Self {
            index: config.issuer,
            issuer: Arc::new(issuer.clone()),
            signer,
            ttl: config.ttl,
            claims: config.claims.clone(),
            integer_ids: config.integer_ids,
        })
    }

    /// A fresh token, and when it expires.
    pub fn mint(
        &self,
        source: &ReissueSource<'_>,
        now: UnixTime,
    ) -> Result<(Redacted, UnixTime), MintError> {
        let mut payload = match source.token {
            Some(token) if token.issuer() == self.index => {
                token.claims().ok_or(MintError::Claims)?
            }
            _ => self.claims.clone(),
        };
        let issued_at = UnixTime::from_secs(now.saturating_sub(self.issuer.leeway).as_secs());
        let expires = self.expiry(source, issued_at, now)?;
        self.identify(&mut payload, source)?;
        mint::satisfy(&self.issuer, &mut payload)?;
        payload.remove("nbf");
        mint::insert_times(&mut payload, issued_at, expires)?;
        // An age of its own claim is the source's; only what has none gets one.
        if claims::find(&payload, &self.issuer.claims.issued_at).is_none() {
            set(
                &mut payload,
                &self.issuer.claims.issued_at,
                issued_at.as_secs().into(),
            )?;
        }
        Ok((self.signer.sign(&payload)?, expires))
    }

    /// The earliest of: now and the ttl, the source's `exp` (for the upstream with its leeway), the
    /// session's end, and what the issuer's own rules admit.
    fn expiry(
        &self,
        source: &ReissueSource<'_>,
        issued_at: UnixTime,
        now: UnixTime,
    ) -> Result<UnixTime, MintError> {
        let session = source.session_end;
        let token = source.token.map(|token| {
            if source.exchanged {
                token.expires()
            } else {
                token.expires_with_leeway()
            }
        });
        let ends = [
            Some(now.saturating_add(self.ttl)),
            token,
            session,
            self.issuer
                .max_lifetime
                .map(|longest| issued_at.saturating_add(longest)),
        ];
        let end = ends.into_iter().flatten().min().unwrap_or(now);
        let end = UnixTime::from_secs(end.as_secs());
        if end > now {
            return Ok(end);
        }
        let over =
            |ends: Option<UnixTime>| ends.is_some_and(|ends| ends.as_secs() <= now.as_secs());
        Err(match (over(session), over(token)) {
            (true, _) => MintError::SessionExpired,
            (_, true) => MintError::Expired,
            (false, false) => MintError::TooShort,
        })
    }

    /// User, account and tenant at the issuer's own claims.
    fn identify(
        &self,
        payload: &mut Map<String, Value>,
        source: &ReissueSource<'_>,
    ) -> Result<(), MintError> {
        let names = &self.issuer.claims;
        set(payload, &names.user, self.id("user", source.user.as_str())?)?;
        if let Some(path) = &names.account {
            let account = match source.account {
                Some(account) => self.id("account", account.as_str())?,
                None => Value::Null,
            };
            set(payload, path, account)?;
        }
        if let Some(path) = &names.tenant {
            // Tenants are names; one that came as a number stays one.
            let number = claims::find(payload, path)
                .filter(|value| value.is_number())
                .and_then(|_| integer(source.tenant.as_str()));
            let tenant = number.unwrap_or_else(|| Value::from(source.tenant.as_str()));
            set(payload, path, tenant)?;
        }
        Ok(())
    }

    fn id(&self, what: &'static str, id: &str) -> Result<Value, MintError> {
        if self.integer_ids {
            integer(id).ok_or(MintError::NotAnInteger(what))
        } else {
            Ok(Value::from(id))
        }
    }
}

impl std::fmt::Debug for Reissuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reissuer")
            .field("issuer", &self.issuer.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
