//! What the upstream can check: the credential, a fresh token, the signed assertion.
//!
//! Only places that the route accepts keep what the client sent, and on public routes those that keep it
//! everywhere; nothing here proves anybody but the granted principal.

use std::sync::Arc;

use http::HeaderMap;

use super::minted::{Fields, Minted};
use super::places::{self, Fate};
use super::{ForwardError, Forwarder, identity};
use crate::auth::{Grant, Principal};
use crate::config::{Access, Conflict, CredentialPlace, ForwardCredential};
use crate::credential::Presented;
use crate::telemetry::{Redacted, UnixTime};
use crate::token::{AssertionClaims, MintError, ReissueSource};

impl Forwarder {
    /// What becomes of each place on its way to the upstream.
    pub(super) fn fate<'t>(
        &self,
        index: usize,
        grant: &Grant,
        presented: &Presented,
        fresh: Option<&'t Redacted>,
    ) -> Fate<'t> {
        let Some(credential) = self.credentials.get(index) else {
            return Fate::Remove;
        };
        let route = grant.route().config();
        let accepted = route.credentials.contains(&index);
        let Some(principal) = grant.principal() else {
            // Nobody. A public route never looks, so that what is kept stays. Elsewhere what stands in a
            // place that the route does not accept proves nothing; in the others is nobody's session.
            let stays = accepted || route.access == Access::Public;
            return if stays && credential.forward == ForwardCredential::Keep {
                Fate::Keep
            } else {
                Fate::Remove
            };
        };
        let ignored = self.conflict == Conflict::PreferFirst
            && principal.verified().credential() != index
            && presented
                .tokens()
                .iter()
                .any(|token| token.credential == index);
        if !accepted || ignored {
            return Fate::Remove;
        }
        let carried = presented
            .tokens()
            .iter()
            .any(|token| token.credential == index);
        match (credential.forward, fresh) {
            (ForwardCredential::Keep, _) => Fate::Keep,
            (ForwardCredential::Reissue, Some(token)) if carried => Fate::Replace(token.expose()),
            _ => Fate::Remove,
        }
    }

    /// A fresh token in the app's own format, where a place asks for one.
    pub(super) fn reissue(
        &self,
        principal: &Principal,
        presented: &Presented,
        minted: &Minted,
        now: UnixTime,
    ) -> Result<Option<Arc<Redacted>>, MintError> {
        let (Some(reissuer), Some(config)) = (&self.reissuer, &self.identity.reissue) else {
            return Ok(None);
        };
        let wanted = config.also_authorization
            || presented.tokens().iter().any(|token| {
                self.credentials
                    .get(token.credential)
                    .is_some_and(|credential| credential.forward == ForwardCredential::Reissue)
            });
        if !wanted {
            return Ok(None);
        }
        let sign = || reissuer.mint(&reissue_source(principal, false), now);
        minted.reissued(principal, now, sign).map(Some)
    }

    /// With `also: authorization` the fresh token is the request's bearer token too.
    pub(super) fn keep_only_proven_authorization(
        &self,
        headers: &mut HeaderMap,
        grant: &Grant,
        principal: &Principal,
        fresh: Option<&Redacted>,
    ) -> Result<(), ForwardError> {
        let also = self
            .identity
            .reissue
            .as_ref()
            .is_some_and(|reissue| reissue.also_authorization);
        let acting = self.credentials.get(principal.verified().credential());
        let by_bearer =
            acting.is_some_and(|credential| credential.place == CredentialPlace::Bearer);
        match fresh {
            Some(token) if also && !by_bearer => places::put_bearer(headers, token.expose())?,
            _ => {
                // An Authorization that no accepted place explains would be a second identity.
                let explained = grant.route().config().credentials.iter().any(|index| {
                    self.credentials
                        .get(*index)
                        .is_some_and(|credential| credential.place == CredentialPlace::Bearer)
                });
                if !explained {
                    headers.remove(http::header::AUTHORIZATION);
                }
            }
        }
        Ok(())
    }

    /// What the upstream is told of the principal: the identity headers, and what it can check.
    pub(super) fn identify(
        &self,
        principal: &Principal,
        upstream: usize,
        minted: &Minted,
        now: UnixTime,
    ) -> Result<Fields, ForwardError> {
        minted.fields(principal, upstream, now, || {
            let mut fields = identity::fields(&self.identity, &self.tenant_headers, principal)?;
            let (Some(asserter), Some(config)) = (&self.asserter, &self.identity.assertion) else {
                return Ok((fields.finish()?, None));
            };
            let target = self.upstreams.get(upstream).ok_or(ForwardError::Target)?;
            let claims = AssertionClaims {
                upstream: &target.name,
                tenant: principal.tenant(),
                user: principal.user(),
                account: principal.account(),
                roles: principal.roles(),
            };
            let token = asserter.mint(&claims, now)?;
            fields.put_sensitive(&config.header, &token)?;
            // Its `exp` is a whole second, and may be nearer than the ttl says.
            let ends = UnixTime::from_secs(now.saturating_add(config.ttl).as_secs());
            Ok((fields.finish()?, Some(ends)))
        })
    }
}

/// What a fresh token for `principal` is made from; `exchanged` where a client gets it.
#[must_use]
pub fn reissue_source(principal: &Principal, exchanged: bool) -> ReissueSource<'_> {
    ReissueSource {
        token: principal.verified().token().map(|token| &**token),
        tenant: principal.tenant(),
        user: principal.user(),
        account: principal.account(),
        session_end: principal
            .verified()
            .session()
            .map(crate::auth::LiveSession::ends),
        exchanged,
    }
}
