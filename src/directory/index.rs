//! The reverse index: which cached answers an invalidation is about.
//!
//! One sorted set of (tenant, what the row names, generation). A reference lives exactly as long as
//! its entry: it is added before the entry is stored and removed by the cache's eviction listener,
//! which is called once for every entry that goes, whatever the cause. The generation tells the
//! references of an entry from those of the one that replaced it, so the order in which the two are
//! added and removed does not matter. Hence the index is bounded by the entries and what their rows
//! name, and holds nothing per key beyond them.
//!
//! Its lock is a leaf: nothing is called while it is held.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use super::key::Key;
use super::record::Record;
use super::sync::{Mutex, MutexGuard};
use crate::ids::{AccountId, TenantId, UserId};

/// What a row names, and so what can invalidate it. The variants stand in the order that makes one
/// tenant one range.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Named {
    First,
    User(UserId),
    Account(AccountId),
    Last,
}

type Reference = (TenantId, Named, u64);

/// The references to entries, each known by what `E` says of it.
#[derive(Debug)]
pub(super) struct Index<E>(Mutex<BTreeMap<Reference, E>>);

impl<E> Default for Index<E> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<E: Clone> Index<E> {
    /// Adds the references of an entry: its subject, and what its record names.
    pub(super) fn add(&self, key: &Key, record: Option<&Record>, generation: u64, entry: &E) {
        let mut held = self.lock();
        for named in names(key, record) {
            held.insert((key.tenant.clone(), named, generation), entry.clone());
        }
    }

    /// Removes the references of an entry.
    pub(super) fn remove(&self, key: &Key, record: Option<&Record>, generation: u64) {
        let mut held = self.lock();
        for named in names(key, record) {
            held.remove(&(key.tenant.clone(), named, generation));
        }
    }

    /// The entries that name this user.
    pub(super) fn of_user(&self, tenant: &TenantId, user: &UserId) -> Vec<E> {
        let named = Named::User(user.clone());
        self.range(tenant, &named, &named)
    }

    /// The entries that name this account.
    pub(super) fn of_account(&self, tenant: &TenantId, account: &AccountId) -> Vec<E> {
        let named = Named::Account(account.clone());
        self.range(tenant, &named, &named)
    }

    /// A tenant's entries; one may stand several times.
    pub(super) fn of_tenant(&self, tenant: &TenantId) -> Vec<E> {
        self.range(tenant, &Named::First, &Named::Last)
    }

    /// How many references there are.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    fn range(&self, tenant: &TenantId, from: &Named, to: &Named) -> Vec<E> {
        let from = (tenant.clone(), from.clone(), 0);
        let to = (tenant.clone(), to.clone(), u64::MAX);
        self.lock()
            .range(from..=to)
            .map(|(_, entry)| entry.clone())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Reference, E>> {
        // Nothing that runs under the lock panics half-way through a change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn names<'a>(key: &'a Key, record: Option<&'a Record>) -> impl Iterator<Item = Named> + 'a {
    let of_record = record.into_iter().flat_map(|record| {
        let users = [Named::User(record.user.clone())];
        let accounts = record.account.iter().chain(record.memberships.iter());
        users
            .into_iter()
            .chain(accounts.map(|account| Named::Account(account.clone())))
    });
    std::iter::once(Named::User(key.subject.clone())).chain(of_record)
}
