//! Leases: how a long stream learns that what it rests on may have changed.
//!
//! A lease is registered before the live look-up; until it is narrowed it covers its whole tenant,
//! since neither the user nor the account is known yet. So no change can fall between the decision
//! and the wait: whatever is applied after registration is counted, and [`Lease::changed`] returns
//! at once when the count has moved. A lease says only "decide again"; what the answer is, the
//! cache and the source say.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::binding::Binding;
use super::invalidation::Invalidation;
use super::service::Directory;
use super::sync::{AtomicU64, Mutex, MutexGuard};
use crate::ids::{AccountId, TenantId, UserId};

/// How many locks the tenants are spread over.
const SHARDS: usize = 16;

/// All leases of the process.
#[derive(Debug)]
pub struct Leases {
    shards: Arc<[Mutex<Shard>]>,
    hasher: ahash::RandomState,
    next: AtomicU64,
}

type Shard = HashMap<TenantId, HashMap<Scope, HashMap<u64, Arc<Signal>>>>;

/// What a lease listens to within its tenant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Scope {
    Whole,
    User(UserId),
    Account(AccountId),
    /// By the hash of the session's key, which is a secret; two of one hash are told together.
    Session(u64),
}

#[derive(Debug, Default)]
struct Signal {
    count: AtomicU64,
    wake: Notify,
}

/// One stream's place in the list of those to be told. Dropping it takes it off.
#[derive(Debug)]
pub struct Lease {
    shards: Arc<[Mutex<Shard>]>,
    hasher: ahash::RandomState,
    shard: usize,
    number: u64,
    tenant: TenantId,
    scopes: Vec<Scope>,
    signal: Arc<Signal>,
    seen: u64,
}

impl Default for Leases {
    fn default() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: ahash::RandomState::new(),
            next: AtomicU64::new(0),
        }
    }
}

impl Leases {
    /// Registers a lease on everything in the tenant. Call this before the live look-up.
    #[must_use]
    pub fn register(&self, tenant: &TenantId) -> Lease {
        let mut lease = Lease {
            shards: Arc::clone(&self.shards),
            hasher: self.hasher.clone(),
            shard: self.shard_of(tenant),
            number: self.next.fetch_add(1, Ordering::Relaxed),
            tenant: tenant.clone(),
            scopes: Vec::new(),
            signal: Arc::default(),
            seen: 0,
        };
        lease.listen_to(vec![Scope::Whole]);
        lease
    }

    /// Wakes every lease that `what` could concern.
    pub(super) fn tell(&self, what: &Invalidation) {
        let (tenant, scopes) = match what {
            Invalidation::All => {
                for shard in self.shards.iter() {
                    lock(shard).values().for_each(tell_tenant);
                }
                return;
            }
            Invalidation::User { tenant, user } => {
                (tenant, vec![Scope::Whole, Scope::User(user.clone())])
            }
            Invalidation::Account { tenant, account } => {
                (tenant, vec![Scope::Whole, Scope::Account(account.clone())])
            }
            Invalidation::Session { tenant, key } => {
                let session = Scope::Session(self.hasher.hash_one(key.as_str()));
                (tenant, vec![Scope::Whole, session])
            }
            Invalidation::Tenant(tenant) => (tenant, Vec::new()),
        };
        let Some(shard) = self.shards.get(self.shard_of(tenant)) else {
            return;
        };
        let shard = lock(shard);
        let Some(leases) = shard.get(tenant) else {
            return;
        };
        if scopes.is_empty() {
            tell_tenant(leases);
        }
        for scope in &scopes {
            leases.get(scope).into_iter().flatten().for_each(tell_one);
        }
    }

    fn shard_of(&self, tenant: &TenantId) -> usize {
        let hash = self.hasher.hash_one(tenant);
        usize::try_from(hash % SHARDS as u64).unwrap_or(0)
    }
}

impl Directory {
    /// How long an answer may be relied on at most, as things are now.
    #[must_use]
    pub fn life(&self) -> Duration {
        self.parts().0.cache.row_life()
    }

    /// The same of an answer whose change nobody pushes.
    #[must_use]
    pub fn life_unpushed(&self) -> Duration {
        let cache = &self.parts().0.cache;
        cache.row_life().min(cache.unpushed_life())
    }
}

impl Lease {
    /// Narrows the lease to what the decision rests on: the user, every account that the row names, the
    /// `subjects` of other credentials, and the sessions (by their keys) that prove the user. Nothing is
    /// missed meanwhile: it listens to the new before it leaves the old.
    pub fn narrow<'a>(
        &mut self,
        binding: &'a Binding,
        subjects: impl IntoIterator<Item = &'a UserId>,
        sessions: impl IntoIterator<Item = &'a str>,
    ) {
        let mut scopes = vec![Scope::User(binding.user().clone())];
        for subject in std::iter::once(binding.subject()).chain(subjects) {
            let scope = Scope::User(subject.clone());
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        for account in binding.account().into_iter().chain(binding.memberships()) {
            let scope = Scope::Account(account.clone());
            if !scopes.contains(&scope) {
                scopes.push(scope);
            }
        }
        let session = |key: &str| Scope::Session(self.hasher.hash_one(key));
        scopes.extend(sessions.into_iter().map(session));
        self.listen_to(scopes);
    }

    /// Resolves when something that could concern this lease was applied since it was registered,
    /// or since this last resolved. Several changes may be told as one. Cancel-safe.
    pub async fn changed(&mut self) {
        loop {
            let count = self.signal.count.load(Ordering::Acquire);
            if count != self.seen {
                self.seen = count;
                return;
            }
            // One waiter, and `notify_one` leaves a permit where nobody waits yet.
            self.signal.wake.notified().await;
        }
    }

    fn listen_to(&mut self, scopes: Vec<Scope>) {
        let Some(shard) = self.shards.get(self.shard) else {
            return;
        };
        let mut shard = lock(shard);
        let leases = shard.entry(self.tenant.clone()).or_default();
        for scope in &scopes {
            leases
                .entry(scope.clone())
                .or_default()
                .insert(self.number, Arc::clone(&self.signal));
        }
        for scope in self.scopes.iter().filter(|scope| !scopes.contains(scope)) {
            leave(leases, scope, self.number);
        }
        if leases.is_empty() {
            shard.remove(&self.tenant);
        }
        drop(shard);
        self.scopes = scopes;
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.listen_to(Vec::new());
    }
}

fn leave(leases: &mut HashMap<Scope, HashMap<u64, Arc<Signal>>>, scope: &Scope, number: u64) {
    if let Some(listening) = leases.get_mut(scope) {
        listening.remove(&number);
        if listening.is_empty() {
            leases.remove(scope);
        }
    }
}

fn tell_tenant(leases: &HashMap<Scope, HashMap<u64, Arc<Signal>>>) {
    leases.values().flatten().for_each(tell_one);
}

fn tell_one((_, signal): (&u64, &Arc<Signal>)) {
    signal.count.fetch_add(1, Ordering::AcqRel);
    signal.wake.notify_one();
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Each change under the lock leaves the maps whole.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "lease_tests.rs"]
mod tests;
