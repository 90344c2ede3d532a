//! Floors: which answers of whom have been taken back, in bounded room and without a lock.
//!
//! Every invalidation gets a number, and raises the floor of whom it names to it; an answer that was
//! asked for below a floor of its own does not stand. Whoever is named by the same hash shares a
//! floor, which costs look-ups and never keeps an answer that was taken back.

use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};

use super::invalidation::Invalidation;
use crate::ids::{TenantId, UserId};

/// How many floors there are for tenants and users.
const FLOORS: usize = 4096;

#[derive(Debug)]
pub(super) struct Floors {
    number: AtomicU64,
    all: AtomicU64,
    each: Box<[AtomicU64]>,
    hasher: ahash::RandomState,
}

impl Floors {
    pub(super) fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            all: AtomicU64::new(0),
            each: (0..FLOORS).map(|_| AtomicU64::new(0)).collect(),
            hasher: ahash::RandomState::new(),
        }
    }

    /// The number of the newest invalidation, taken before a source is asked.
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Applies an invalidation of a user, a tenant or everything; when this returns, nothing that it
    /// covers and that was asked for before stands any more.
    pub(super) fn invalidate(&self, what: &Invalidation) {
        let number = self.number.fetch_add(1, Ordering::AcqRel) + 1;
        let floor = match what {
            Invalidation::All => Some(&self.all),
            Invalidation::Tenant(tenant) => self.of((tenant, None::<&UserId>)),
            Invalidation::User { tenant, user } => self.of((tenant, Some(user))),
            Invalidation::Account { .. } | Invalidation::Session { .. } => return,
        };
        if let Some(floor) = floor {
            floor.fetch_max(number, Ordering::AcqRel);
        }
    }

    /// Whether an answer that was asked for at this number, about these users, still stands.
    pub(super) fn stands<'a>(
        &self,
        number: u64,
        tenant: &TenantId,
        users: impl IntoIterator<Item = &'a UserId>,
    ) -> bool {
        let above = |floor: Option<&AtomicU64>| {
            floor.is_some_and(|floor| number >= floor.load(Ordering::Acquire))
        };
        above(Some(&self.all))
            && above(self.of((tenant, None::<&UserId>)))
            && users
                .into_iter()
                .all(|user| above(self.of((tenant, Some(user)))))
    }

    fn of(&self, whom: impl Hash) -> Option<&AtomicU64> {
        let hash = self.hasher.hash_one(whom) % FLOORS as u64;
        self.each.get(usize::try_from(hash).unwrap_or(0))
    }
}
