//! The ring: the last invalidations, each with its sequence number.
//!
//! A fill notes the number when it starts. When its row arrives, the ring tells whether anything
//! newer covers the row, which by then names its user and accounts. What the ring has already lost
//! counts as covering everything, so its size bounds memory and never safety.

use std::collections::VecDeque;

use super::invalidation::Invalidation;
use super::record::Record;
use crate::ids::{TenantId, UserId};

/// How many invalidations are remembered.
const LENGTH: usize = 1024;

#[derive(Debug, Default)]
pub(super) struct Ring {
    sequence: u64,
    /// The newest number that is no longer held; 0 while none is lost.
    lost: u64,
    held: VecDeque<(u64, Invalidation)>,
}

impl Ring {
    /// The number of the newest invalidation.
    pub(super) const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Remembers one more.
    pub(super) fn push(&mut self, what: Invalidation) {
        self.sequence += 1;
        if matches!(what, Invalidation::All) {
            // Nothing older says more, and every fill that asks about older ones asks about this.
            self.held.clear();
            self.lost = self.sequence - 1;
        }
        // A burst of one message takes one place: a fill that started before its first arrival
        // started before its last.
        if self.held.back().is_some_and(|(_, last)| *last == what) {
            self.held.pop_back();
        }
        while self.held.len() >= LENGTH {
            if let Some((number, _)) = self.held.pop_front() {
                self.lost = number;
            }
        }
        self.held.push_back((self.sequence, what));
    }

    /// Whether an answer that was asked for at `since` could be outdated by now.
    pub(super) fn outdates(
        &self,
        since: u64,
        tenant: &TenantId,
        subject: &UserId,
        record: Option<&Record>,
    ) -> bool {
        self.any_since(since, |what| what.covers(tenant, subject, record))
    }

    /// The same for what a store said of a session.
    pub(super) fn outdates_session(&self, since: u64, tenant: &TenantId, key: &str) -> bool {
        self.any_since(since, |what| what.covers_session(tenant, key))
    }

    fn any_since(&self, since: u64, covers: impl Fn(&Invalidation) -> bool) -> bool {
        self.lost > since
            || self
                .held
                .iter()
                .rev()
                .take_while(|(number, _)| *number > since)
                .any(|(_, what)| covers(what))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenant(text: &str) -> TenantId {
        TenantId::parse(text).unwrap()
    }

    fn user(text: &str) -> UserId {
        UserId::parse(text).unwrap()
    }

    #[test]
    fn only_what_is_newer_and_covers_outdates() {
        let mut ring = Ring::default();
        ring.push(Invalidation::Tenant(tenant("a")));
        let since = ring.sequence();
        assert!(!ring.outdates(since, &tenant("a"), &user("5"), None));
        ring.push(Invalidation::Tenant(tenant("b")));
        assert!(!ring.outdates(since, &tenant("a"), &user("5"), None));
        assert!(ring.outdates(since, &tenant("b"), &user("5"), None));
        ring.push(Invalidation::All);
        assert!(ring.outdates(since, &tenant("a"), &user("5"), None));
        assert!(!ring.outdates(ring.sequence(), &tenant("a"), &user("5"), None));
    }

    #[test]
    fn e21_what_was_lost_covers_everything() {
        let mut ring = Ring::default();
        for n in 0..LENGTH {
            ring.push(Invalidation::User {
                tenant: tenant("b"),
                user: user(&n.to_string()),
            });
        }
        assert!(!ring.outdates(0, &tenant("a"), &user("5"), None));
        ring.push(Invalidation::Tenant(tenant("b")));
        assert_eq!(ring.held.len(), LENGTH);
        assert!(ring.outdates(0, &tenant("a"), &user("5"), None));
        assert!(!ring.outdates(1, &tenant("a"), &user("5"), None));
    }

    #[test]
    fn e21_a_burst_of_one_message_takes_one_place() {
        let mut ring = Ring::default();
        for _ in 0..(LENGTH * 3) {
            ring.push(Invalidation::Tenant(tenant("b")));
        }
        assert!(!ring.outdates(0, &tenant("a"), &user("5"), None));
        assert!(ring.outdates(ring.sequence() - 1, &tenant("b"), &user("5"), None));
        assert!(ring.outdates(0, &tenant("b"), &user("5"), None));
    }
}
