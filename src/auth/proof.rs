//! Proofs: what a verified credential rests on, a token or a session, asked in one way.
//!
//! A token proves its subject by itself. A session proves its user only together with the live
//! record, whose password column must make its hash ([`VerifiedCredential::confirm`]); that is asked
//! whenever a principal is made, so also for a stream that is decided again.

use std::sync::Arc;

use smol_str::SmolStr;

use super::denial::Denial;
use super::session::LiveSession;
use crate::directory::Binding;
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::UnixTime;
use crate::token::VerifiedToken;

/// What a credential is.
#[derive(Debug)]
pub enum Proof {
    /// A token, verified.
    Token(Arc<VerifiedToken>),
    /// A session, authentic and alive; its user's by the live password.
    Session(LiveSession),
}

/// A credential that has been verified, and where it stood.
#[derive(Debug)]
pub struct VerifiedCredential {
    pub(super) credential: usize,
    pub(super) name: SmolStr,
    pub(super) rests_on_cookie: bool,
    pub(super) proof: Proof,
}

impl VerifiedCredential {
    /// Index into the configured credentials.
    #[must_use]
    pub const fn credential(&self) -> usize {
        self.credential
    }

    /// The credential's configured name.
    #[must_use]
    pub const fn name(&self) -> &SmolStr {
        &self.name
    }

    /// What it rests on.
    #[must_use]
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// The token that it is.
    #[must_use]
    pub const fn token(&self) -> Option<&Arc<VerifiedToken>> {
        match &self.proof {
            Proof::Token(token) => Some(token),
            Proof::Session(_) => None,
        }
    }

    /// The session that it is.
    #[must_use]
    pub const fn session(&self) -> Option<&LiveSession> {
        match &self.proof {
            Proof::Token(_) => None,
            Proof::Session(session) => Some(session),
        }
    }

    /// The subject of the directory look-up.
    #[must_use]
    pub fn user(&self) -> &UserId {
        match &self.proof {
            Proof::Token(token) => token.user(),
            Proof::Session(session) => session.user(),
        }
    }

    /// The directory look-up that its subject goes through.
    #[must_use]
    pub fn lookup(&self) -> &Arc<str> {
        match &self.proof {
            Proof::Token(token) => token.lookup(),
            Proof::Session(session) => session.lookup(),
        }
    }

    /// The account of login time; a session has none.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.token().and_then(|token| token.account())
    }

    /// When it was made; of a session, when it was last saved.
    #[must_use]
    pub fn issued_at(&self) -> Option<UnixTime> {
        match &self.proof {
            Proof::Token(token) => token.issued_at(),
            Proof::Session(session) => session.saved_at(),
        }
    }

    /// When it ends of itself.
    #[must_use]
    pub fn ends(&self) -> UnixTime {
        match &self.proof {
            Proof::Token(token) => token.expires_with_leeway(),
            Proof::Session(session) => session.ends(),
        }
    }

    /// The tenant that it names: a token's claim, its issuer's only tenant, or the tenant in whose
    /// store a session was found.
    pub(super) fn spoken_tenant(&self) -> Option<&TenantId> {
        match &self.proof {
            Proof::Token(token) => spoken_by(token),
            Proof::Session(session) => Some(session.tenant()),
        }
    }

    /// Whether it may speak for this tenant, as far as configuration says.
    pub(super) fn may_speak_for(&self, tenant: &TenantId) -> bool {
        self.token()
            .and_then(|token| token.bound_tenants())
            .is_none_or(|tenants| tenants.contains(tenant))
    }

    /// Whether it was made before this time. A token that does not say when counts as older. What a
    /// session says is when it was last saved, to the second: one that was saved within that second
    /// or later is not older, and one that says nothing is bound by its hash alone.
    pub(super) fn is_older_than(&self, valid_after: UnixTime) -> bool {
        match &self.proof {
            Proof::Token(token) => token.issued_at().is_none_or(|issued| issued < valid_after),
            Proof::Session(session) => session
                .saved_at()
                .is_some_and(|saved| saved.as_secs() < valid_after.as_secs()),
        }
    }

    /// Holds a session against the live record; a token needs no more proof.
    pub(super) fn confirm(&self, binding: &Binding) -> Result<(), Denial> {
        match &self.proof {
            Proof::Token(_) => Ok(()),
            Proof::Session(session) => session
                .confirm(binding)
                .map_err(|error| Denial::Session(error, self.credential)),
        }
    }
}

/// The tenant that a token names: its claim, or its issuer's only tenant.
fn spoken_by(token: &VerifiedToken) -> Option<&TenantId> {
    token.tenant().or_else(|| match token.bound_tenants() {
        Some([only]) => Some(only),
        _ => None,
    })
}
