//! Standings: what an open stream rests on, decided again.
//!
//! With the same rules as a request, and the live record of that moment: the answer has to stay the
//! same user, account and tenant.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::decide::{Authenticator, Evidence};
use super::denial::Denial;
use super::principal::Principal;
use super::proof::VerifiedCredential;
use crate::config::Config;
use crate::directory::{Binding, Lease};
use crate::ids::{AccountId, TenantId, UserId};
use crate::reason::Reason;
use crate::route::{Route, TenantBasis};
use crate::telemetry::{Trace, UnixTime};

/// What an open stream stands on: the answer that must stay the same, and what it rests on.
#[derive(Debug)]
pub struct Standing {
    tenant: TenantId,
    user: UserId,
    account: Option<AccountId>,
    /// The acting credential, and those beside it.
    credentials: Vec<Arc<VerifiedCredential>>,
    binding: Arc<Binding>,
    route: Arc<Route>,
    basis: TenantBasis,
    /// When the first credential ends of itself, and how that is called; a session may be prolonged.
    ends: Cell<(UnixTime, Reason)>,
}

impl Standing {
    /// What `principal` stands on.
    #[must_use]
    pub fn of(principal: &Principal, route: &Arc<Route>) -> Self {
        let credentials: Vec<_> = principal.credentials().cloned().collect();
        let ends = credentials
            .iter()
            .map(|credential| end(credential, credential.ends()));
        Self {
            ends: Cell::new(first(ends)),
            tenant: principal.tenant().clone(),
            user: principal.user().clone(),
            account: principal.account().cloned(),
            credentials,
            binding: Arc::clone(principal.binding()),
            route: Arc::clone(route),
            basis: principal.grounds().basis.clone(),
        }
    }

    /// Narrows a lease to what this rests on.
    pub fn narrow(&self, lease: &mut Lease) {
        narrow(lease, &self.binding, &self.credentials);
    }

    /// The tenant that its lease is registered for.
    #[must_use]
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// When the first of its credentials ends of itself, and how that is called.
    #[must_use]
    pub const fn ends(&self) -> (UnixTime, Reason) {
        self.ends.get()
    }
}

/// How the end of a credential is called.
fn end(credential: &VerifiedCredential, ends: UnixTime) -> (UnixTime, Reason) {
    let reason = if credential.session().is_some() {
        Reason::SessionExpired
    } else {
        Reason::TokenExpired
    };
    (ends, reason)
}

fn first(ends: impl Iterator<Item = (UnixTime, Reason)>) -> (UnixTime, Reason) {
    ends.min_by_key(|(time, _)| *time)
        .unwrap_or((UnixTime::from_secs(0), Reason::TokenExpired))
}

impl Authenticator {
    /// Decides an open stream again, from the live record of now. `Ok(false)` when the answer is
    /// another user, account or tenant.
    pub async fn still_stands(&self, standing: &Standing, now: UnixTime) -> Result<bool, Denial> {
        let mut evidence = Evidence::default();
        let tenant = &standing.tenant;
        let Some((acting, beside)) = standing.credentials.split_first() else {
            return Ok(false);
        };
        self.refuse_another_tenant(tenant, &standing.basis, acting)
            .await?;
        self.speaks_for(acting, tenant)?;
        let mut ends = Vec::with_capacity(standing.credentials.len());
        for (index, credential) in standing.credentials.iter().enumerate() {
            if let Some(token) = credential.token() {
                self.verifier.still_trusted(token).await?;
            }
            let prolonged = self.still_alive(credential, now).await?;
            ends.push(end(credential, prolonged.unwrap_or(credential.ends())));
            let user = Some(&standing.user).filter(|_| index == 0);
            self.refuse_revoked(tenant, credential, user, now)?;
            if self.asks_blacklist(credential) {
                self.refuse_blacklisted(tenant, credential).await?;
            }
        }
        standing.ends.set(first(ends.into_iter()));
        let principal = self
            .establish(
                tenant,
                acting,
                &standing.route,
                None,
                (&mut evidence, &mut Trace::off()),
            )
            .await?;
        self.same_live_user(beside, &principal, &standing.route)
            .await?;
        Ok(*principal.user() == standing.user && principal.account() == standing.account.as_ref())
    }

    /// Refuses a tenant that what named it names no more.
    pub(super) async fn refuse_another_tenant(
        &self,
        tenant: &TenantId,
        basis: &TenantBasis,
        acting: &VerifiedCredential,
    ) -> Result<(), Denial> {
        let spoken = acting.spoken_tenant();
        if self.tenants.still_name(tenant, basis, spoken).await? {
            Ok(())
        } else {
            Err(Denial::TenantMismatch)
        }
    }

    /// How long a stream may rest on its answer before it is decided again: no longer than a request
    /// would rest on it.
    #[must_use]
    pub fn life(&self, standing: &Standing) -> Duration {
        let unpushed = |credential: &Arc<VerifiedCredential>| {
            if credential.session().is_some() {
                self.unpushed.sessions.contains(&credential.credential())
            } else {
                self.unpushed.blacklist && self.asks_blacklist(credential)
            }
        };
        if standing.credentials.iter().any(unpushed) {
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

/// Narrows a lease to what a decision rests on: the acting credential is the first.
pub(super) fn narrow(
    lease: &mut Lease,
    binding: &Binding,
    credentials: &[Arc<VerifiedCredential>],
) {
    let sessions = credentials
        .iter()
        .filter_map(|credential| Some(credential.session()?.key()));
    let subjects = credentials
        .iter()
        .skip(1)
        .map(|credential| credential.user());
    lease.narrow(binding, subjects, sessions);
}
