//! Revocation: what verifies and is refused all the same.

use super::decide::Authenticator;
use super::denial::Denial;
use super::proof::{Proof, VerifiedCredential};
use crate::ids::{TenantId, UserId};
use crate::telemetry::UnixTime;

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
}
