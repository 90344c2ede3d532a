//! The set: what is revoked, as it is asked on every request.

use std::collections::HashMap;
use std::sync::Arc;

use crate::directory::invalidation::Invalidation;
use crate::ids::{TenantId, UserId};
use crate::telemetry::UnixTime;
use crate::token::VerifiedToken;

/// Most revocations that are held.
const CAPACITY: usize = 1_000_000;

/// One revocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::directory) struct Revoked {
    pub(in crate::directory) tenant: TenantId,
    /// The issuer's name in the configuration; `None` for all.
    pub(in crate::directory) issuer: Option<Arc<str>>,
    pub(in crate::directory) what: What,
    /// From then on it refuses nothing.
    pub(in crate::directory) until: UnixTime,
}

/// Which tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::directory) enum What {
    /// The one with this id.
    Token(String),
    /// Those of this user that were made until then, and those that do not say when.
    User { user: UserId, made_until: UnixTime },
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Name {
    Token(String),
    User(UserId),
}

#[derive(Debug)]
struct Entry {
    issuer: Option<Arc<str>>,
    made_until: Option<UnixTime>,
    until: UnixTime,
}

/// The credential that is asked about.
#[derive(Debug, Default)]
pub(super) struct Made<'c> {
    /// The name of a token's issuer; a session has none.
    pub(super) issuer: Option<&'c str>,
    /// A token's `jti`.
    pub(super) id: Option<&'c str>,
    /// When it was made, where it says so.
    pub(super) at: Option<UnixTime>,
}

impl<'c> From<&'c VerifiedToken> for Made<'c> {
    fn from(token: &'c VerifiedToken) -> Self {
        Self {
            issuer: Some(token.issuer_name()),
            id: token.jti(),
            at: token.issued_at(),
        }
    }
}

#[derive(Debug, Default)]
pub(super) struct Set {
    tenants: HashMap<TenantId, HashMap<Name, Vec<Entry>>>,
    count: usize,
}

impl Revoked {
    /// Whose streams have to be decided again.
    pub(super) fn concerns(&self) -> Invalidation {
        match &self.what {
            What::Token(_) => Invalidation::Tenant(self.tenant.clone()),
            What::User { user, .. } => Invalidation::User {
                tenant: self.tenant.clone(),
                user: user.clone(),
            },
        }
    }
}

impl Set {
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// Whether one more can be held, after what is over has gone.
    pub(super) fn has_room(&mut self, now: UnixTime) -> bool {
        if self.count >= CAPACITY {
            self.drop_over(now);
        }
        self.count < CAPACITY
    }

    /// Adds one; `true` when it refuses more than was refused before.
    pub(super) fn add(&mut self, revoked: Revoked, now: UnixTime) -> bool {
        if revoked.until <= now || !self.has_room(now) {
            return false;
        }
        let (name, made_until) = match revoked.what {
            What::Token(id) => (Name::Token(id), None),
            What::User { user, made_until } => (Name::User(user), Some(made_until)),
        };
        let names = self.tenants.entry(revoked.tenant).or_default();
        let entries = names.entry(name).or_default();
        // One covers another of its issuer when it is about no fewer tokens and ends no earlier.
        let covered = entries.iter().any(|entry| {
            entry.issuer == revoked.issuer
                && entry.made_until >= made_until
                && entry.until >= revoked.until
        });
        if covered {
            return false;
        }
        let held = entries.len();
        entries.retain(|entry| {
            entry.until > now
                && !(entry.issuer == revoked.issuer
                    && entry.made_until <= made_until
                    && entry.until <= revoked.until)
        });
        let gone = held - entries.len();
        entries.push(Entry {
            issuer: revoked.issuer,
            made_until,
            until: revoked.until,
        });
        self.count = self.count + 1 - gone;
        true
    }

    pub(super) fn refuses<'a>(
        &self,
        tenant: &TenantId,
        made: &Made<'_>,
        users: impl Iterator<Item = &'a UserId>,
        now: UnixTime,
    ) -> bool {
        // The usual case costs no allocation.
        let Some(names) = self.tenants.get(tenant) else {
            return false;
        };
        let by = |name: Name| {
            let entries = names.get(&name);
            entries.into_iter().flatten().any(|entry| {
                let issuer = entry.issuer.as_deref();
                entry.until > now
                    && issuer.is_none_or(|name| made.issuer == Some(name))
                    && entry
                        .made_until
                        .is_none_or(|until| made.at.is_none_or(|made| made <= until))
            })
        };
        made.id.is_some_and(|id| by(Name::Token(id.to_owned())))
            || users.into_iter().any(|user| by(Name::User(user.clone())))
    }

    fn drop_over(&mut self, now: UnixTime) {
        self.tenants.retain(|_, names| {
            names.retain(|_, entries| {
                entries.retain(|entry| entry.until > now);
                !entries.is_empty()
            });
            !names.is_empty()
        });
        self.count = self
            .tenants
            .values()
            .flat_map(HashMap::values)
            .map(Vec::len)
            .sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn user(made_until: u64, until: u64) -> Revoked {
        Revoked {
            tenant: TenantId::parse("a").unwrap(),
            issuer: None,
            what: What::User {
                user: UserId::parse("5").unwrap(),
                made_until: at(made_until),
            },
            until: at(until),
        }
    }

    #[test]
    fn the_same_again_is_nothing_new_and_a_later_one_is() {
        let mut set = Set::default();
        assert!(set.add(user(10, 100), at(10)));
        assert!(!set.add(user(10, 100), at(10)));
        assert!(!set.add(user(9, 90), at(10)));
        assert!(set.add(user(11, 110), at(11)));
        assert_eq!(set.len(), 1, "the later one covers the earlier");
        assert!(set.add(user(12, 50), at(12)));
        assert_eq!(set.len(), 2, "neither covers the other");
    }

    #[test]
    fn what_is_over_goes() {
        let mut set = Set::default();
        assert!(!set.add(user(10, 10), at(10)));
        assert!(set.add(user(10, 20), at(10)));
        set.drop_over(at(19));
        assert_eq!(set.len(), 1);
        set.drop_over(at(20));
        assert_eq!(set.len(), 0);
        assert!(set.tenants.is_empty());
    }
}
