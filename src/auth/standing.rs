//! Standings: what an open stream rests on, decided again.
//!
//! With the same rules as a request, and the live record of that moment: the answer has to stay the
//! same user, account and tenant.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::decide::{Authenticator, Evidence};
use super::denial::Denial;
use super::principal::Principal;
use super::proof::VerifiedCredential;
use super::session::LiveSession;
use crate::config::Config;
use crate::directory::{Binding, Lease};
use crate::ids::{AccountId, TenantId, UserId};
use crate::route::Route;
use crate::telemetry::{Trace, UnixTime};

/// What an open stream stands on: the answer that must stay the same.
#[derive(Debug)]
pub struct Standing {
    tenant: TenantId,
    user: UserId,
    account: Option<AccountId>,
    verified: Arc<VerifiedCredential>,
    binding: Arc<Binding>,
    route: Arc<Route>,
}

impl Standing {
    /// What `principal` stands on.
    #[must_use]
    pub fn of(principal: &Principal, route: &Arc<Route>) -> Self {
        Self {
            tenant: principal.tenant().clone(),
            user: principal.user().clone(),
            account: principal.account().cloned(),
            verified: Arc::clone(principal.verified()),
            binding: Arc::clone(principal.binding()),
            route: Arc::clone(route),
        }
    }

    /// Narrows a lease to what this rests on.
    pub fn narrow(&self, lease: &mut Lease) {
        narrow(lease, &self.binding, &self.verified);
    }

    /// The tenant that its lease is registered for.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The credential it rests on.
    #[must_use]
    pub const fn verified(&self) -> &Arc<VerifiedCredential> {
        &self.verified
    }
}

impl Authenticator {
    /// Decides an open stream again, from the live record of now. `Ok(false)` when the answer is
    /// another user, account or tenant.
    pub async fn still_stands(&self, standing: &Standing, now: UnixTime) -> Result<bool, Denial> {
        let mut evidence = Evidence::default();
        let (tenant, verified) = (&standing.tenant, &standing.verified);
        self.speaks_for(verified, tenant)?;
        self.still_alive(verified, now).await?;
        self.refuse_revoked(tenant, verified, Some(&standing.user), now)?;
        if self.asks_blacklist(verified) {
            self.refuse_blacklisted(tenant, verified).await?;
        }
        let principal = self
            .establish(
                tenant,
                verified,
                &standing.route,
                &mut evidence,
                &mut Trace::off(),
            )
            .await?;
        Ok(*principal.user() == standing.user && principal.account() == standing.account.as_ref())
    }

    /// How long a stream may rest on its answer before it is decided again: no longer than a request
    /// would rest on it.
    #[must_use]
    pub fn life(&self, standing: &Standing) -> Duration {
        let verified = &standing.verified;
        let unpushed = if verified.session().is_some() {
            self.unpushed.sessions.contains(&verified.credential())
        } else {
            self.unpushed.blacklist && self.asks_blacklist(verified)
        };
        if unpushed {
            self.directory.life_unpushed()
        } else {
            self.directory.life()
        }
    }
}

/// What can change without a trigger that says so.
#[derive(Debug)]
pub(super) struct Unpushed {
    /// The credentials, by index, whose sessions are in such a store.
    sessions: BTreeSet<usize>,
    blacklist: bool,
}

impl Unpushed {
    pub(super) fn of(config: &Config) -> Self {
        let directory = &config.directory;
        let tables = directory.session_tables.keys();
        let stored = tables.chain(directory.session_caches.keys()).copied();
        Self {
            sessions: stored
                .filter(|credential| !directory.pushes_sessions(*credential))
                .collect(),
            blacklist: !directory.pushes_blacklist(),
        }
    }
}

/// Narrows a lease to what a decision rests on.
pub(super) fn narrow(lease: &mut Lease, binding: &Binding, acting: &VerifiedCredential) {
    lease.narrow(binding, acting.session().map(LiveSession::key));
}
