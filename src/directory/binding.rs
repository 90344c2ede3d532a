//! Bindings: the live record of (tenant, subject), as the directory last read it.
//!
//! Only the directory makes one, so holding one proves that a source said so, no longer ago than
//! the configuration allows, and that no invalidation has come in between. It is what the cache
//! holds; a principal is made from it for one request and never kept.
//!
//! What every request asks of a record stands in one piece of memory: where users are many, each further
//! piece is a wait for memory. Lists, attributes, secrets and ids of more than 23 bytes stand beside it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{self, Ordering};
use std::time::{Duration, Instant};

use super::key::Key;
use super::record::Record;
use super::sync::AtomicBool;
use crate::ids::{AccountId, TenantId, UserId};
use crate::telemetry::{Redacted, UnixTime};

/// What the directory says about a subject.
#[derive(Debug, Clone)]
pub enum Live {
    /// Its record.
    Known(Arc<Binding>),
    /// There is no such user.
    Unknown,
}

/// Which saying of a source a record is. Bindings share it as long as the source says the same of the
/// subject and no invalidation has come in between, so what was made from one holds for all of them. No
/// other record of this process ever has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Edition(u64);

impl Edition {
    pub(super) fn new() -> Self {
        // For its value alone: nothing is ordered by it.
        static NEXT: atomic::AtomicU64 = atomic::AtomicU64::new(0);
        Self(NEXT.fetch_add(1, Ordering::Relaxed))
    }
}

/// The live record of one user.
#[derive(Debug)]
pub struct Binding {
    key: Key,
    record: Record,
    edition: Edition,
    generation: u64,
    read_at: Instant,
    /// Whether something newer has come: an invalidation that covers it, another record in its place, or
    /// its eviction, after which no invalidation would find it.
    withdrawn: AtomicBool,
}

impl Binding {
    pub(super) fn new(
        key: Key,
        record: Record,
        edition: Edition,
        generation: u64,
        read_at: Instant,
    ) -> Self {
        Self {
            key,
            record,
            edition,
            generation,
            read_at,
            withdrawn: AtomicBool::new(false),
        }
    }

    /// The key that it was looked up by.
    pub(super) const fn key(&self) -> &Key {
        &self.key
    }

    /// From now on nobody who asks is given it, however he holds on to it.
    pub(super) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Release);
    }

    /// Whether it may no longer be given out.
    pub(super) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Acquire)
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.key.tenant
    }

    /// The look-up that found the record.
    #[must_use]
    pub fn lookup(&self) -> &Arc<str> {
        &self.key.lookup
    }

    /// The subject that the look-up was asked for.
    #[must_use]
    pub fn subject(&self) -> &UserId {
        &self.key.subject
    }

    /// The user: the id in the record, which a look-up by another key finds too.
    #[must_use]
    pub fn user(&self) -> &UserId {
        &self.record.user
    }

    /// The account that the user belongs to now.
    #[must_use]
    pub fn account(&self) -> Option<&AccountId> {
        self.record.account.as_ref()
    }

    /// Every account that the user may act in, sorted.
    #[must_use]
    pub fn memberships(&self) -> &[AccountId] {
        &self.record.memberships
    }

    /// Whether the user is active.
    #[must_use]
    pub fn active(&self) -> bool {
        self.record.active
    }

    /// Whether the account is active.
    #[must_use]
    pub fn account_active(&self) -> bool {
        self.record.account_active
    }

    /// The live roles, sorted, each once.
    #[must_use]
    pub fn roles(&self) -> &[Arc<str>] {
        &self.record.roles
    }

    /// Tokens issued before this time are revoked.
    #[must_use]
    pub fn tokens_valid_after(&self) -> Option<UnixTime> {
        self.record.tokens_valid_after
    }

    /// What a session of this user is bound to; a secret.
    #[must_use]
    pub fn session_auth(&self) -> Option<&Redacted> {
        self.record.session_auth.as_ref()
    }

    /// Every other column, as text.
    #[must_use]
    pub fn attributes(&self) -> &BTreeMap<Arc<str>, String> {
        self.record.attributes()
    }

    /// A number that no other binding of this directory has; later reads have larger ones.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// How long before `now` the source was asked.
    #[must_use]
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.read_at)
    }

    /// What the source said.
    pub(super) const fn record(&self) -> &Record {
        &self.record
    }

    /// By which it is known whether what was made from a record still says what the source says.
    #[must_use]
    pub const fn edition(&self) -> Edition {
        self.edition
    }

    pub(super) const fn read_at(&self) -> Instant {
        self.read_at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four lines of the processor's cache, the two counts of an `Arc` among them.
    #[test]
    fn a_record_fills_no_more_than_four_lines() {
        let counts = 2 * size_of::<usize>();
        assert!(size_of::<Binding>() + counts <= 256);
    }
}
