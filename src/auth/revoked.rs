//! Revocation: what verifies and is refused all the same.

use std::sync::Arc;

use super::decide::Authenticator;
use super::denial::Denial;
use super::proof::{Proof, VerifiedCredential};
use crate::ids::{TenantId, UserId};
use crate::telemetry::UnixTime;
use crate::token::TokenError;

impl Authenticator {
    /// A credential that was revoked, by its id or by its user, is none.
    pub(super) fn refuse_revoked(
        &self,
        tenant: &TenantId,
        credential: &VerifiedCredential,
        user: Option<&UserId>,
        now: UnixTime,
    ) -> Result<(), Denial> {
        let revoked = match credential.proof() {
            Proof::Token(token) => self.revocations.refuses(tenant, token, user, now)?,
            Proof::Session(session) => {
                let users = [Some(session.user()), user];
                self.revocations
                    .refuses_session(tenant, session.saved_at(), users, now)?
            }
        };
        if revoked {
            return Err(Denial::TokenRevoked);
        }
        Ok(())
    }

    /// Whether the app's blacklist is asked about this credential.
    pub(super) fn asks_blacklist(&self, credential: &VerifiedCredential) -> bool {
        credential
            .token()
            .is_some_and(|token| self.blacklist.contains(&token.issuer()))
    }

    /// A token that the app's own blacklist has is none. One without an id could not be there, so it
    /// is refused: whoever can be taken back must be nameable.
    pub(super) async fn refuse_blacklisted(
        &self,
        tenant: &TenantId,
        credential: &VerifiedCredential,
    ) -> Result<(), Denial> {
        let Some(token) = credential.token() else {
            return Ok(());
        };
        let id = token.jti().filter(|id| !id.is_empty());
        let id = id.ok_or_else(|| TokenError::ClaimMissing(Arc::from("jti")))?;
        let listed = self.directory.is_blacklisted(tenant, token.user(), id);
        if listed.await? {
            return Err(Denial::TokenRevoked);
        }
        Ok(())
    }
}
